//! Sessions: found, used, prolonged, ended.

use std::sync::Arc;

use common::{SecretString, SessionId, UnixTime, UserId};
use futures_util::future::try_join_all;
use tracing::warn;

use super::{
    Requester, ServiceError, Services, impersonation, random,
    tokens::{self, Added},
};
use crate::{
    digest::sha256,
    domain::{
        Act, Actor, Event, EventKind, Family, Generation, GivenFields, Hook, Method, RepeatSeen, Session, SessionState,
        TokenDigest, User,
    },
    store::{Ended, Ending, Live, NewSession, Page},
};

/// A session that was just opened, with the credentials that stand for it and are shown this once.
pub struct Opened {
    /// The session and its user.
    pub live: Live,
    /// For the cookie.
    pub token: SecretString,
    /// For clients that keep tokens.
    pub refresh_token: Option<SecretString>,
    /// What the application adds to the first access token, if one was wished for.
    pub claims: Option<Added>,
}

/// What a sign-in asks of its session.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Whether the session should outlive the browser.
    pub remember: bool,
    /// Whether refresh tokens are wanted.
    pub refreshable: bool,
    /// Whether an access token is given out with it.
    pub access_token: bool,
    /// The sessions that the client showed; they end (SE-04).
    pub replaces: Vec<SessionId>,
}

/// What a credential for a session led to.
#[derive(Debug, Clone)]
pub enum Found {
    /// A session that may be used.
    Alive(Live),
    /// One that has expired.
    Expired(Live),
    /// None: never was, signed out, revoked, or the user is gone or banned.
    Nothing,
}

/// The digest under which a token is known.
pub fn digest(token: &str) -> TokenDigest {
    TokenDigest(sha256(token.as_bytes()))
}

pub(super) fn judge(live: Option<Live>, now: UnixTime) -> Found {
    match live {
        None => Found::Nothing,
        Some(live) => match live.session.state(now) {
            SessionState::Active if live.user.active_ban(now).is_none() => Found::Alive(live),
            // A ban ends all sessions; should one be there all the same, it is none.
            SessionState::Active => Found::Nothing,
            SessionState::IdleExpired | SessionState::Expired => Found::Expired(live),
        },
    }
}

/// The session that a session token stands for.
///
/// # Errors
/// The store cannot be read: nobody is signed in by a failure (LG-06).
pub async fn by_token(app: &Services, token: &str) -> Result<Found, ServiceError> {
    by_digest(app, &digest(token)).await
}

/// The session whose token has this digest.
///
/// # Errors
/// As [`by_token`].
pub async fn by_digest(app: &Services, digest: &TokenDigest) -> Result<Found, ServiceError> {
    let now = app.clock.now();
    impersonation::judge(app, judge(app.store.session_by_token(digest).await?, now), now).await
}

/// The session by its handle.
///
/// # Errors
/// As [`by_token`].
pub async fn by_id(app: &Services, id: &SessionId) -> Result<Found, ServiceError> {
    let now = app.clock.now();
    impersonation::judge(app, judge(app.store.session(id).await?, now), now).await
}

/// A page of a user's sessions, oldest first. The cursor is a place in that order and not a session, which may have ended
/// by the time of the next page.
///
/// # Errors
/// `None` for a cursor that is none; the store cannot be read.
pub async fn page_of_user(
    app: &Services,
    user: &Arc<User>,
    after: Option<&str>,
    limit: usize,
) -> Result<Option<Page<Live>>, ServiceError> {
    let begin = match after {
        None => None,
        Some(cursor) => {
            let place = cursor.split_once('-').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
            let Some((at, id)) = place else { return Ok(None) };
            Some((UnixTime::from_millis(at), id))
        }
    };
    let mut found = app.store.sessions_of(&user.id).await?;
    let place = |session: &Session| (session.created_at, session.id.clone());
    found.retain(|session| begin.as_ref().is_none_or(|begin| place(session) > *begin));
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next = last.map(|session| format!("{}-{}", session.created_at.as_millis(), session.id));
    let items = found.into_iter().map(|session| Live { session, user: user.clone() }).collect();
    Ok(Some(Page { items, next }))
}

/// A page of all sessions.
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &Services, after: Option<String>, limit: usize) -> Result<Page<Live>, ServiceError> {
    Ok(app.store.sessions(after, limit).await?)
}

/// A session, whatever its state.
///
/// # Errors
/// `SessionNotFound`.
pub async fn show(app: &Services, id: &SessionId) -> Result<Live, ServiceError> {
    app.store.session(id).await?.ok_or(ServiceError::SessionNotFound)
}

/// Prolongs the session if this use does (Better Auth's rule: once per `update_age`). The new end is on disk when this
/// returns. `None` if nothing was due; or if it could not be written: who is signed in can be said all the same, and the
/// next use tries again.
pub async fn used(app: &Services, live: &Live) -> Option<Live> {
    let now = app.clock.now();
    let end = live.session.prolonged(&app.policy.session_in_use(), now)?;
    if let Err(error) = app.store.prolong_session(live.session.id.clone(), end, now).await {
        warn!(%error, session = %live.session.id, "a session was not prolonged");
        return None;
    }
    let session = Session { expires_at: end, updated_at: now, ..Session::clone(&live.session) };
    Some(Live { session: Arc::new(session), user: live.user.clone() })
}

/// Whether a use of the session at this time would prolong it.
pub fn is_due(app: &Services, live: &Live) -> bool {
    live.session.prolonged(&app.policy.session_in_use(), app.clock.now()).is_some()
}

/// A new session for `user`, not stored yet, with its credentials.
pub(super) fn prepare(
    app: &Services,
    user: &UserId,
    wish: &Wish,
    requester: &Requester,
    now: UnixTime,
) -> (NewSession, Opening) {
    let token = SecretString::new(random::session_token(&*app.entropy));
    let id = random::session_id(&*app.entropy);
    let (expires_at, absolute_expires_at) = app.policy.session.limits(now, wish.remember);
    let family = wish.refreshable.then(|| {
        let mut salt = [0; 16];
        app.entropy.fill(&mut salt);
        Family {
            id: random::family_id(&*app.entropy),
            session: id.clone(),
            salt,
            current: Generation::FIRST,
            parent: None,
            rotations: vec![],
            client: requester.client(),
            repeat_seen: RepeatSeen::default(),
            created_at: now,
        }
    });
    let refresh_token = family.as_ref().map(|family| tokens::refresh_token(app, family, Generation::FIRST));
    let session = Session {
        id,
        user: user.clone(),
        digest: digest(token.expose()),
        created_at: now,
        updated_at: now,
        expires_at,
        absolute_expires_at,
        remember: wish.remember,
        ip_address: requester.source.clone().unwrap_or_default(),
        user_agent: requester.user_agent.clone(),
        methods: vec!["pwd".into()],
        family: family.as_ref().map(|family| family.id.clone()),
        fields: app.policy.session_fields.begin(GivenFields::default()).unwrap_or_default(),
        impersonation: None,
    };
    let new = NewSession {
        session: session.clone(),
        family,
        replaces: wish.replaces.clone(),
        max_per_user: app.policy.session.max_per_user,
    };
    (new, Opening { session, token, refresh_token, claims: None })
}

/// The credentials of a session that is about to be stored.
pub(super) struct Opening {
    session: Session,
    token: SecretString,
    refresh_token: Option<SecretString>,
    claims: Option<Added>,
}

impl Opening {
    /// With what the application adds to the access token, where one is given out with it.
    ///
    /// # Errors
    /// `HookRefused`, `HookUnavailable`: the session is not to be stored.
    pub(super) async fn with_claims(self, app: &Services, user: &User, wish: &Wish) -> Result<Self, ServiceError> {
        if !wish.access_token || !app.hooks.is_on(Hook::Claims) {
            return Ok(self);
        }
        let live = Live { session: Arc::new(self.session.clone()), user: Arc::new(user.clone()) };
        Ok(Self { claims: Some(tokens::added_before(app, &live).await?), ..self })
    }

    /// Now it is stored, in another form than it was made in.
    pub(super) fn opened_as(self, session: Session, user: Arc<User>) -> Opened {
        Self { session, ..self }.opened(user)
    }

    /// The session is about to be stored in another form than it was made in.
    #[must_use]
    pub(super) fn of(self, new: &NewSession) -> Self {
        Self { session: new.session.clone(), ..self }
    }

    /// Now it is stored.
    pub(super) fn opened(self, user: Arc<User>) -> Opened {
        Opened {
            live: Live { session: Arc::new(self.session), user },
            token: self.token,
            refresh_token: self.refresh_token,
            claims: self.claims,
        }
    }
}

/// Ends the sessions that a client showed. Ending what has ended already is as good as once (RFC 7009 §2.2).
///
/// # Errors
/// It could not be made durable: then none may be told that it happened.
pub async fn sign_out(app: &Services, ids: Vec<SessionId>, requester: &Requester) -> Result<Ended, ServiceError> {
    let now = app.clock.now();
    let mut by_user: Vec<(Act, Vec<SessionId>)> = vec![];
    for id in ids {
        let by = match app.store.session(&id).await? {
            Some(live) => requester.act_in(&live, now),
            None => requester.act(Actor::Anonymous, Method::Session, now),
        };
        match by_user.iter_mut().find(|(act, _)| *act == by) {
            Some((_, ids)) => ids.push(id),
            None => by_user.push((by, vec![id])),
        }
    }
    // One change for each user, so that the trail names whoever signed out; all are asked for before any is waited for.
    let ends = by_user
        .into_iter()
        .map(|(act, ids)| app.store.end_sessions(Ending::These(ids), None, act, Event::new(EventKind::SignedOut)));
    let ended = try_join_all(ends).await?;
    Ok(ended.into_iter().fold(Ended::default(), |all, some| Ended {
        sessions: all.sessions + some.sessions,
        users: all.users + some.users,
    }))
}

/// Ends sessions from outside: another device, an operator.
///
/// # Errors
/// `Unexpected` if exactly `expect` were to end and it is another number.
pub async fn revoke(app: &Services, which: Ending, expect: Option<u64>, act: Act) -> Result<Ended, ServiceError> {
    Ok(app.store.end_sessions(which, expect, act, Event::new(EventKind::SessionRevoked)).await?)
}

/// The living sessions of the user, oldest first; `None` if the sign-in is too long ago to be shown them.
///
/// # Errors
/// The store cannot be read.
pub async fn own(app: &Services, live: &Live) -> Result<Option<Vec<Arc<Session>>>, ServiceError> {
    let now = app.clock.now();
    if !live.session.is_fresh(&app.policy.session, now) {
        return Ok(None);
    }
    let mut found = app.store.sessions_of(&live.user.id).await?;
    // That an administrator acts as the user is in the audit trail, and not here (recorded).
    found.retain(|session| session.state(now) == SessionState::Active && session.impersonation.is_none());
    Ok(Some(found))
}

/// Ends a session of the same user. Another's is left alone, as if there were none (AZ-08). Whose a session is never
/// changes, so it can be asked before.
///
/// # Errors
/// It could not be made durable.
pub async fn revoke_own(
    app: &Services,
    live: &Live,
    id: SessionId,
    requester: &Requester,
) -> Result<Ended, ServiceError> {
    match app.store.session(&id).await? {
        Some(found) if found.user.id == live.user.id => {
            revoke_by_owner(app, live, Ending::These(vec![id]), requester).await
        }
        _ => Ok(Ended::default()),
    }
}

/// Ends sessions of the user at the user's own wish.
///
/// # Errors
/// It could not be made durable.
pub async fn revoke_by_owner(
    app: &Services,
    live: &Live,
    which: Ending,
    requester: &Requester,
) -> Result<Ended, ServiceError> {
    revoke(app, which, None, requester.act_in(live, app.clock.now())).await
}

/// How many sessions [`revoke`] would end.
///
/// # Errors
/// The store cannot be read.
pub async fn preview_revoke(app: &Services, which: &Ending) -> Result<Ended, ServiceError> {
    let mut users: Vec<UserId> = vec![];
    let mut sessions = 0;
    let mut count = |user: &UserId| {
        sessions += 1;
        if !users.contains(user) {
            users.push(user.clone());
        }
    };
    match which {
        Ending::These(ids) => {
            for (i, id) in ids.iter().enumerate() {
                if ids[..i].contains(id) {
                    continue;
                }
                if let Some(live) = app.store.session(id).await? {
                    count(&live.user.id);
                }
            }
        }
        Ending::OfUser { user, except } => {
            let found = app.store.sessions_of(user).await?;
            found.iter().filter(|s| Some(&s.id) != except.as_ref()).for_each(|s| count(&s.user));
        }
    }
    Ok(Ended { sessions, users: users.len() as u64 })
}
