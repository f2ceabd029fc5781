//! The store in plain maps: the reference model that sled is compared with step by step, and a quick store for tests.
//! Nothing here is shared with the sled implementation but the form of an audit payload.

mod audit;
mod imports;
mod mail;
mod outbox;
mod service_tokens;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use common::{Email, FamilyId, ImportId, MailId, ServiceName, SessionId, UnixTime, UserId, admin::Counts};
use tokio::sync::watch;

use super::{
    Amendment, AuditQuery, ChainReport, Counter, Ended, Ending, Erased, Erasure, Files, IDEMPOTENCY, LINK_REMEMBERED,
    Listed, Live, Meta, NewSession, OpenSnapshot, Outboxed, Page, Profile, Refresh, Refreshed, Rehash, Rewrap,
    SealedSecret, Snapshotted, Store, StoreError, Upkeep, UserQuery, Work,
};
use crate::{
    domain::{
        Act, AuditRecord, Ban, Checkpoint, Credential, Event, EventKind, Family, FieldChanges, IdempotencyKey, Import,
        KeySet, Link, Mail, Publishing, ServiceToken, Session, SessionState, SigningKey, TokenDigest, Topic, Turn,
        User, UserSearch, address, mail::Claim, throttle::Place,
    },
    ports::Mac,
};

#[derive(Default, Clone)]
struct State {
    users: BTreeMap<UserId, User>,
    credentials: BTreeMap<UserId, Credential>,
    sessions: BTreeMap<SessionId, Session>,
    families: BTreeMap<FamilyId, Family>,
    keys: KeySet,
    audit: Vec<AuditRecord>,
    checkpoint: Option<Checkpoint>,
    meta: Option<Meta>,
    secrets: BTreeMap<(String, String), SealedSecret>,
    acts: BTreeMap<String, (u64, UnixTime, [u8; 32])>,
    noted: UnixTime,
    places: BTreeMap<UserId, Vec<Place>>,
    counters: BTreeMap<[u8; 16], Counter>,
    mails: BTreeMap<MailId, Mail>,
    links: Vec<Link>,
    imports: BTreeMap<ImportId, Import>,
    imported: BTreeMap<UserId, ImportId>,
    outbox: BTreeMap<u64, Outboxed>,
    last_event: u64,
    services: BTreeMap<ServiceName, ServiceToken>,
}

/// Everything in maps behind one lock.
pub struct MemoryStore {
    state: Mutex<State>,
    mac: Arc<dyn Mac>,
    publishing: Publishing,
    published: watch::Sender<u64>,
}

impl MemoryStore {
    /// Empty.
    pub fn new(mac: Arc<dyn Mac>) -> Self {
        Self { state: Mutex::default(), mac, publishing: Publishing::default(), published: watch::Sender::new(0) }
    }

    /// With an outbox.
    #[must_use]
    pub fn with_outbox(self, publishing: Publishing) -> Self {
        Self { publishing, ..self }
    }

    /// What it begins with, as a store on disk does.
    #[must_use]
    pub fn with_secrets(self, meta: Meta, secrets: Vec<SealedSecret>, key: SigningKey) -> Self {
        let mut state = self.state();
        state.meta = Some(meta);
        state.secrets = secrets.into_iter().map(|s| ((s.purpose.clone(), s.id.clone()), s)).collect();
        state.keys = KeySet { version: 1, keys: vec![key] };
        drop(state);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for an act that is to be recorded, unless an act of its name was done before.
    fn state_for(&self, act: &Act) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        act.idempotency.as_ref().map_or(Ok(()), |key| state.check_not_done(key))?;
        state.good_link(act)?;
        Ok(state)
    }

    fn record_replaced(&self, state: &mut State, act: &Act, replaced: Vec<Session>) {
        for old in replaced {
            self.record(state, act, &Event::new(EventKind::SignedOut).user(&old.user).session(&old.id));
        }
    }
}

impl State {
    fn check_not_done(&self, key: &IdempotencyKey) -> Result<(), StoreError> {
        match self.acts.get(&key.name) {
            Some((seq, _, request)) if *request == key.request => Err(StoreError::Repeated(*seq)),
            Some((seq, ..)) => Err(StoreError::OtherAct(*seq)),
            None => Ok(()),
        }
    }

    fn has_username(&self, username: &str, but: &UserId) -> bool {
        self.users.values().any(|user| user.id != *but && user.username.as_deref() == Some(username))
    }

    fn live(&self, session: &Session) -> Option<Live> {
        let user = self.users.get(&session.user)?;
        Some(Live { session: Arc::new(session.clone()), user: Arc::new(user.clone()) })
    }

    fn of_user(&self, user: &UserId) -> Vec<Session> {
        let mut found: Vec<Session> = self.sessions.values().filter(|s| s.user == *user).cloned().collect();
        found.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        found
    }

    fn remove(&mut self, id: &SessionId) -> Option<Session> {
        let session = self.sessions.remove(id)?;
        if let Some(family) = &session.family {
            self.families.remove(family);
        }
        Some(session)
    }

    /// Answers the sessions of other users that ended by it.
    fn insert(&mut self, new: NewSession) -> Vec<Session> {
        let user = new.session.user.clone();
        let replaced = new.replaces.iter().filter_map(|id| self.remove(id)).filter(|old| old.user != user).collect();
        while self.of_user(&user).len() >= new.max_per_user.max(1) {
            let oldest = self.of_user(&user)[0].id.clone();
            self.remove(&oldest);
        }
        if let Some(place) = address::place(&new.session.ip_address) {
            let known = self.places.get(&user).cloned().unwrap_or_default();
            if let Some(places) = Place::remembered(&known, &place, new.session.created_at) {
                self.places.insert(user, places);
            }
        }
        self.families.extend(new.family.map(|family| (family.id.clone(), family)));
        self.sessions.insert(new.session.id.clone(), new.session);
        replaced
    }

    fn end_all(&mut self, user: &UserId, keep: Option<&SessionId>) -> Ended {
        let ids: Vec<SessionId> = self.of_user(user).into_iter().map(|s| s.id).filter(|id| Some(id) != keep).collect();
        let sessions = ids.iter().filter_map(|id| self.remove(id)).count() as u64;
        Ended { sessions, users: u64::from(sessions > 0) }
    }

    fn remove_user(&mut self, user: &UserId) -> Ended {
        self.users.remove(user);
        self.credentials.remove(user);
        self.places.remove(user);
        self.forget_imported(user);
        self.links.retain(|link| link.user != *user);
        self.end_all(user, None)
    }
}

/// The account after a change of what users may change themselves.
fn with_profile(owner: &User, profile: Profile, act: &Act) -> User {
    let mut changed = User { updated_at: act.at, fields: owner.fields.changed(&profile.fields), ..owner.clone() };
    if let Some(name) = profile.name {
        changed.name = name;
    }
    if let Some(image) = profile.image {
        changed.image = image;
    }
    if let Some(username) = profile.username {
        changed.username = username;
    }
    if let Some(display_username) = profile.display_username {
        changed.display_username = display_username;
    }
    changed
}

/// The account after the change, and whether its sessions end.
fn amended(owner: &User, amendment: Amendment, act: &Act) -> (User, bool) {
    let Amendment { profile, email, email_verified, role, ban } = amendment;
    let mut amended = with_profile(owner, profile, act);
    if let Some(email) = email {
        amended.email = email;
    }
    if let Some(email_verified) = email_verified {
        amended.email_verified = email_verified;
    }
    if let Some(role) = role {
        amended.role = role;
    }
    if let Some(ban) = ban {
        amended.ban = ban;
    }
    let changes = amended.ban != owner.ban;
    amended.epoch += u64::from(changes);
    let ends = changes && amended.ban.is_some();
    (amended, ends)
}

fn page<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}

/// There are no files.
#[async_trait]
impl Upkeep for MemoryStore {
    async fn snapshot(&self) -> Result<Option<Snapshotted>, StoreError> {
        Ok(None)
    }

    async fn open_snapshot(&self) -> Result<OpenSnapshot, StoreError> {
        Err(StoreError::Unavailable("there are no files".into()))
    }

    fn files(&self) -> Result<Files, StoreError> {
        Ok(Files::default())
    }

    fn work(&self) -> Work {
        Work::default()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn user(&self, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        Ok(self.state().users.get(id).cloned().map(Arc::new))
    }

    async fn user_by_email(&self, email: &Email) -> Result<Option<Arc<User>>, StoreError> {
        Ok(self.state().users.values().find(|u| u.email == *email).cloned().map(Arc::new))
    }

    async fn user_by_username(&self, username: &str) -> Result<Option<Arc<User>>, StoreError> {
        let is_meant = |user: &&User| user.username.as_deref() == Some(username);
        Ok(self.state().users.values().find(is_meant).cloned().map(Arc::new))
    }

    async fn users(&self, query: UserQuery) -> Result<Page<Arc<User>>, StoreError> {
        let text = query.contains.map(|t| t.to_lowercase());
        let mut found: Vec<Arc<User>> = self
            .state()
            .users
            .values()
            .filter(|u| query.after.as_ref().is_none_or(|after| u.email.as_str() > after.as_str()))
            .filter(|u| text.as_ref().is_none_or(|t| u.email.as_str().contains(t) || u.name.to_lowercase().contains(t)))
            .filter(|u| query.banned.is_none_or(|banned| u.ban.is_some() == banned))
            .cloned()
            .map(Arc::new)
            .collect();
        found.sort_by(|a, b| a.email.cmp(&b.email));
        Ok(page(found, query.limit, |u| u.email.to_string()))
    }

    async fn find_users(&self, search: UserSearch) -> Result<Listed, StoreError> {
        let mut found: Vec<Arc<User>> =
            self.state().users.values().filter(|user| search.holds(user)).cloned().map(Arc::new).collect();
        found.sort_by_key(|user| search.rank(user));
        if search.is_descending() {
            found.reverse();
        }
        let total = found.len() as u64;
        Ok(Listed { users: found.into_iter().skip(search.offset).take(search.limit).collect(), total })
    }

    async fn credential(&self, user: &UserId) -> Result<Option<Credential>, StoreError> {
        Ok(self.state().credentials.get(user).cloned())
    }

    async fn session_by_token(&self, digest: &TokenDigest) -> Result<Option<Live>, StoreError> {
        let state = self.state();
        Ok(state.sessions.values().find(|s| s.digest == *digest).and_then(|s| state.live(s)))
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Live>, StoreError> {
        let state = self.state();
        Ok(state.sessions.get(id).and_then(|s| state.live(s)))
    }

    async fn sessions_of(&self, user: &UserId) -> Result<Vec<Arc<Session>>, StoreError> {
        Ok(self.state().of_user(user).into_iter().map(Arc::new).collect())
    }

    async fn sessions(&self, after: Option<String>, limit: usize) -> Result<Page<Live>, StoreError> {
        let state = self.state();
        let begin = |s: &&Session| after.as_ref().is_none_or(|after| s.id.as_str() > after.as_str());
        let found = state.sessions.values().filter(begin).filter_map(|s| state.live(s)).collect();
        Ok(page(found, limit, |live: &Live| live.session.id.to_string()))
    }

    async fn family(&self, id: &FamilyId) -> Result<Option<Family>, StoreError> {
        Ok(self.state().families.get(id).cloned())
    }

    fn keys(&self) -> Arc<KeySet> {
        Arc::new(self.state().keys.clone())
    }

    async fn audit(&self, query: AuditQuery) -> Result<Page<AuditRecord>, StoreError> {
        Ok(self.state().audit_page(&query))
    }

    async fn audit_verify(&self) -> Result<ChainReport, StoreError> {
        Ok(self.verify(&self.state()))
    }

    async fn audit_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.state().checkpoint.clone())
    }

    async fn audit_naming(&self, erasure: Erasure) -> Result<u64, StoreError> {
        Ok(self.state().naming(&erasure).len() as u64)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        let state = self.state();
        Ok(Counts {
            users: state.users.len() as u64,
            sessions: state.sessions.len() as u64,
            audit: state.audit.len() as u64,
        })
    }

    fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn check_not_done(&self, key: &IdempotencyKey) -> Result<(), StoreError> {
        self.state().check_not_done(key)
    }

    async fn create_user(
        &self,
        user: User,
        credential: Option<Credential>,
        session: Option<NewSession>,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError> {
        let mut state = self.state_for(&act)?;
        if state.users.values().any(|u| u.email == user.email) {
            return Err(StoreError::EmailTaken);
        }
        if user.username.as_ref().is_some_and(|name| state.has_username(name, &user.id)) {
            return Err(StoreError::UsernameTaken);
        }
        if state.users.contains_key(&user.id) {
            return Err(StoreError::Stale);
        }
        state.credentials.extend(credential.map(|c| (user.id.clone(), c)));
        state.users.insert(user.id.clone(), user);
        let replaced = session.map(|session| state.insert(session)).unwrap_or_default();
        self.record_replaced(&mut state, &act, replaced);
        self.record(&mut state, &act, &event);
        Ok(())
    }

    async fn queue_mail(&self, act: Act) -> Result<(), StoreError> {
        self.state_for(&act)?.settle(&act);
        Ok(())
    }

    async fn open_session(
        &self,
        new: NewSession,
        epoch: u64,
        rehash: Option<Rehash>,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError> {
        let mut state = self.state_for(&act)?;
        let user = new.session.user.clone();
        if state.users.get(&user).ok_or(StoreError::NoSuchUser)?.epoch != epoch {
            return Err(StoreError::Stale);
        }
        if let Some(owner) = state.users.get_mut(&user)
            && owner.active_ban(act.at).is_none()
            && owner.ban.take().is_some()
        {
            owner.updated_at = act.at;
        }
        if let Some(rehash) = rehash {
            let stored = state.credentials.get_mut(&user).filter(|c| c.hash == rehash.old).ok_or(StoreError::Stale)?;
            stored.hash = rehash.new;
            stored.updated_at = act.at;
            if rehash.chosen {
                state.end_all(&user, None);
                let stored = state.users.get_mut(&user).ok_or(StoreError::NoSuchUser)?;
                stored.epoch += 1;
                stored.password_change_required = false;
                stored.updated_at = act.at;
                if let Some(event) = event.of_chosen_password() {
                    self.record(&mut state, &act, &event);
                }
            }
        }
        let replaced = state.insert(new);
        self.record_replaced(&mut state, &act, replaced);
        self.record(&mut state, &act, &event);
        Ok(())
    }

    async fn prolong_session(&self, id: SessionId, expires_at: UnixTime, now: UnixTime) -> Result<(), StoreError> {
        if let Some(session) = self.state().sessions.get_mut(&id).filter(|s| expires_at > s.expires_at) {
            session.expires_at = expires_at;
            session.updated_at = now;
        }
        Ok(())
    }

    async fn update_session(
        &self,
        id: SessionId,
        changes: FieldChanges,
        now: UnixTime,
    ) -> Result<Arc<Session>, StoreError> {
        let mut state = self.state();
        let session = state.sessions.get_mut(&id).ok_or(StoreError::NoSuchSession)?;
        let fields = session.fields.changed(&changes);
        fields.check_size(Session::MAX_FIELD_BYTES).map_err(|_| StoreError::Stale)?;
        (session.fields, session.updated_at) = (fields, now);
        Ok(Arc::new(session.clone()))
    }

    async fn refresh(&self, refresh: Refresh, act: Act) -> Result<Refreshed, StoreError> {
        let Refresh { family, shown, window, client, policy } = refresh;
        let mut state = self.state_for(&act)?;
        let gone = StoreError::NoSuchSession;
        let family = state.families.get(&family).cloned().ok_or(gone.clone())?;
        let mut session = state.sessions.get(&family.session).cloned().ok_or(gone.clone())?;
        let owner = state.users.get(&session.user).cloned().ok_or(gone.clone())?;
        if owner.active_ban(act.at).is_some() {
            return Err(gone);
        }
        if session.state(act.at) != SessionState::Active {
            return Ok(Refreshed::Expired);
        }
        let (turn, family, kind) = family.used(shown, window, client, act.at);
        if let Some(kind) = kind {
            let event = Event::new(kind).user(&owner.id).session(&session.id);
            let event = event.with("generation", &shown.0).with("current", &family.current.0);
            self.record(&mut state, &act, &event);
        }
        if turn == Turn::Reuse {
            state.remove(&session.id);
            return Ok(Refreshed::Reused);
        }
        state.families.insert(family.id.clone(), family.clone());
        if let Some(end) = session.prolonged(&policy, act.at) {
            (session.expires_at, session.updated_at) = (end, act.at);
            state.sessions.insert(session.id.clone(), session.clone());
        }
        Ok(Refreshed::Current(Live { session: Arc::new(session), user: Arc::new(owner) }, family))
    }

    async fn end_sessions(
        &self,
        which: Ending,
        expect: Option<u64>,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError> {
        let mut state = self.state_for(&act)?;
        let candidates: Vec<SessionId> = match which {
            Ending::These(ids) => ids,
            Ending::OfUser { user, except } => {
                state.of_user(&user).into_iter().map(|s| s.id).filter(|id| Some(id) != except.as_ref()).collect()
            }
        };
        let mut existing: Vec<SessionId> = vec![];
        for id in candidates {
            if state.sessions.contains_key(&id) && !existing.contains(&id) {
                existing.push(id);
            }
        }
        let sessions = existing.len() as u64;
        if expect.is_some_and(|expected| expected != sessions) {
            return Err(StoreError::Unexpected(sessions));
        }
        let mut by_user: Vec<(UserId, Vec<SessionId>)> = vec![];
        for session in existing.iter().filter_map(|id| state.remove(id)).collect::<Vec<_>>() {
            match by_user.iter_mut().find(|(user, _)| *user == session.user) {
                Some((_, ids)) => ids.push(session.id),
                None => by_user.push((session.user, vec![session.id])),
            }
        }
        for (user, ids) in &by_user {
            let event = event.clone().user(user);
            let event = if ids.len() == 1 { event.session(&ids[0]) } else { event.with("sessions", &ids.len()) };
            self.record(&mut state, &act, &event);
        }
        Ok(Ended { sessions, users: by_user.len() as u64 })
    }

    async fn set_password(
        &self,
        credential: Credential,
        must_change: bool,
        keep: Option<SessionId>,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError> {
        let mut state = self.state_for(&act)?;
        let id = credential.user.clone();
        let user = state.users.get_mut(&id).ok_or(StoreError::NoSuchUser)?;
        user.epoch += 1;
        user.password_change_required = must_change;
        user.updated_at = act.at;
        let credential = match state.credentials.get(&id) {
            Some(old) => Credential { id: old.id.clone(), created_at: old.created_at, ..credential },
            None => credential,
        };
        state.credentials.insert(id.clone(), credential);
        let ended = state.end_all(&id, keep.as_ref());
        self.record(&mut state, &act, &event.user(&id).with("ended_sessions", &ended.sessions));
        Ok(ended)
    }

    async fn replace_password(
        &self,
        user: UserId,
        epoch: u64,
        rehash: Rehash,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError> {
        let mut state = self.state_for(&act)?;
        if state.users.get(&user).ok_or(StoreError::NoSuchUser)?.epoch != epoch {
            return Err(StoreError::Stale);
        }
        let stored = state.credentials.get_mut(&user).filter(|c| c.hash == rehash.old).ok_or(StoreError::Stale)?;
        (stored.hash, stored.updated_at) = (rehash.new, act.at);
        let owner = state.users.get_mut(&user).ok_or(StoreError::NoSuchUser)?;
        (owner.epoch, owner.password_change_required, owner.updated_at) = (epoch + 1, false, act.at);
        self.record(&mut state, &act, &event.user(&user));
        Ok(())
    }

    async fn reset_password(
        &self,
        credential: Credential,
        keep_sessions: bool,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError> {
        let mut state = self.state_for(&act)?;
        let id = credential.user.clone();
        let owner = state.users.get_mut(&id).ok_or(StoreError::NoSuchUser)?;
        let keep = keep_sessions && owner.email_verified;
        (owner.epoch, owner.password_change_required, owner.updated_at) = (owner.epoch + 1, false, act.at);
        state.put_credential(credential);
        let ended = if keep { Ended::default() } else { state.end_all(&id, None) };
        self.record(&mut state, &act, &event.user(&id).with("ended_sessions", &ended.sessions));
        Ok(ended)
    }

    async fn verify_email(
        &self,
        user: UserId,
        session: Option<NewSession>,
        act: Act,
        event: Event,
    ) -> Result<User, StoreError> {
        let mut state = self.state_for(&act)?;
        let claim = state.good_link(&act)?.and_then(|link| link.claim);
        let owner = state.users.get_mut(&user).ok_or(StoreError::NoSuchUser)?;
        (owner.email_verified, owner.updated_at) = (true, act.at);
        if let Some(Claim { credential, name }) = claim {
            (owner.name, owner.epoch, owner.password_change_required) = (name, owner.epoch + 1, false);
            state.put_credential(credential);
            state.end_all(&user, None);
        }
        let replaced = session.map(|session| state.insert(session)).unwrap_or_default();
        self.record_replaced(&mut state, &act, replaced);
        self.record(&mut state, &act, &event.user(&user));
        state.users.get(&user).cloned().ok_or(StoreError::NoSuchUser)
    }

    async fn change_email(
        &self,
        user: UserId,
        epoch: u64,
        from: Email,
        to: Email,
        act: Act,
        event: Event,
    ) -> Result<User, StoreError> {
        let mut state = self.state_for(&act)?;
        let is_taken = state.users.values().any(|u| u.email == to);
        let owner = state.users.get_mut(&user).ok_or(StoreError::NoSuchUser)?;
        if owner.epoch != epoch || owner.email != from {
            return Err(StoreError::Stale);
        }
        if is_taken {
            return Err(StoreError::EmailTaken);
        }
        (owner.email, owner.updated_at) = (to, act.at);
        let changed = owner.clone();
        self.record(&mut state, &act, &event.user(&user));
        Ok(changed)
    }

    async fn update_profile(&self, user: UserId, profile: Profile, act: Act, event: Event) -> Result<(), StoreError> {
        let mut state = self.state_for(&act)?;
        let owner = state.users.get(&user).ok_or(StoreError::NoSuchUser)?;
        let changed = with_profile(owner, profile, &act);
        changed.fields.check_size(User::MAX_FIELD_BYTES).map_err(|_| StoreError::Stale)?;
        if changed.username.as_ref().is_some_and(|name| state.has_username(name, &user)) {
            return Err(StoreError::UsernameTaken);
        }
        state.users.insert(user.clone(), changed);
        self.record(&mut state, &act, &event.user(&user));
        Ok(())
    }

    async fn set_ban(
        &self,
        user: UserId,
        ban: Option<Ban>,
        act: Act,
        event: Event,
    ) -> Result<Option<Ended>, StoreError> {
        let mut state = self.state_for(&act)?;
        let stored = state.users.get_mut(&user).ok_or(StoreError::NoSuchUser)?;
        if stored.ban == ban {
            return Ok(None);
        }
        stored.epoch += 1;
        stored.updated_at = act.at;
        let banned = ban.is_some();
        stored.ban = ban;
        let ended = if banned { state.end_all(&user, None) } else { Ended::default() };
        let event = event.user(&user);
        let event = if ended.sessions > 0 { event.with("ended_sessions", &ended.sessions) } else { event };
        self.record(&mut state, &act, &event);
        Ok(Some(ended))
    }

    async fn amend_user(
        &self,
        user: UserId,
        amendment: Amendment,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError> {
        let mut state = self.state_for(&act)?;
        let owner = state.users.get(&user).cloned().ok_or(StoreError::NoSuchUser)?;
        let (amended, ends) = amended(&owner, amendment, &act);
        amended.fields.check_size(User::MAX_FIELD_BYTES).map_err(|_| StoreError::Stale)?;
        if state.users.values().any(|other| other.id != user && other.email == amended.email) {
            return Err(StoreError::EmailTaken);
        }
        if amended.username.as_ref().is_some_and(|name| state.has_username(name, &user)) {
            return Err(StoreError::UsernameTaken);
        }
        let ended = if ends { state.end_all(&user, None) } else { Ended::default() };
        let topics = Topic::of_amendment(Topic::of(&event), amended.ban != owner.ban, amended.ban.is_some());
        state.users.insert(user.clone(), amended);
        let event = event.user(&user);
        let event = if ended.sessions > 0 { event.with("ended_sessions", &ended.sessions) } else { event };
        self.record_as(&mut state, &act, &event, &topics);
        Ok(ended)
    }

    async fn delete_user(&self, user: UserId, epoch: Option<u64>, act: Act, event: Event) -> Result<Ended, StoreError> {
        let mut state = self.state_for(&act)?;
        let owner = state.users.get(&user).ok_or(StoreError::NoSuchUser)?;
        if epoch.is_some_and(|epoch| epoch != owner.epoch) {
            return Err(StoreError::Stale);
        }
        let ended = state.remove_user(&user);
        self.record(&mut state, &act, &event.user(&user).with("ended_sessions", &ended.sessions));
        Ok(ended)
    }

    async fn put_keys(&self, version: u64, put: Vec<SigningKey>, act: Act, event: Event) -> Result<(), StoreError> {
        let mut state = self.state_for(&act)?;
        if state.keys.version != version {
            return Err(StoreError::Stale);
        }
        state.keys.version += 1;
        for key in put {
            match state.keys.keys.iter_mut().find(|k| k.kid == key.kid) {
                Some(slot) => *slot = key,
                None => state.keys.keys.push(key),
            }
        }
        self.record(&mut state, &act, &event);
        Ok(())
    }

    async fn link(&self, digest: &TokenDigest) -> Result<Option<Link>, StoreError> {
        Ok(self.state().links.iter().find(|link| link.digest == *digest).cloned())
    }

    async fn due_mails(&self, now: UnixTime, limit: usize) -> Result<Vec<Mail>, StoreError> {
        let mut due: Vec<Mail> = self.state().mails.values().filter(|mail| mail.next_try <= now).cloned().collect();
        due.sort_by(|a, b| (a.next_try, &a.id).cmp(&(b.next_try, &b.id)));
        due.truncate(limit);
        Ok(due)
    }

    async fn mails(&self, after: Option<String>, limit: usize) -> Result<Page<Mail>, StoreError> {
        let begin = |mail: &&Mail| after.as_ref().is_none_or(|after| mail.id.as_str() > after.as_str());
        let found = self.state().mails.values().filter(begin).cloned().collect();
        Ok(page(found, limit, |mail: &Mail| mail.id.to_string()))
    }

    async fn remove_mail(&self, id: MailId) -> Result<(), StoreError> {
        self.state().mails.remove(&id);
        Ok(())
    }

    async fn note_mail(&self, mail: Mail) -> Result<(), StoreError> {
        if let Some(waiting) = self.state().mails.get_mut(&mail.id) {
            *waiting = mail;
        }
        Ok(())
    }

    async fn retry_mails(&self, which: Option<MailId>, act: Act, event: Event) -> Result<u64, StoreError> {
        let mut state = self.state_for(&act)?;
        let mut retried = 0u64;
        for mail in state.mails.values_mut().filter(|mail| which.as_ref().is_none_or(|id| mail.id == *id)) {
            if mail.attempts > 0 {
                *mail = mail.clone().again(act.at);
                retried += 1;
            }
        }
        if retried > 0 {
            self.record(&mut state, &act, &event.with("mails", &retried));
        }
        Ok(retried)
    }

    async fn places(&self, user: &UserId) -> Result<Vec<Place>, StoreError> {
        Ok(self.state().places.get(user).cloned().unwrap_or_default())
    }

    async fn counters(&self) -> Result<Vec<Counter>, StoreError> {
        Ok(self.state().counters.values().cloned().collect())
    }

    async fn put_counters(&self, counters: Vec<Counter>, by: Option<(Act, Event)>) -> Result<(), StoreError> {
        let mut state = match &by {
            Some((act, _)) => self.state_for(act)?,
            None => self.state(),
        };
        for counter in counters {
            match counter.count {
                0 => state.counters.remove(&counter.key),
                _ => state.counters.insert(counter.key, counter),
            };
        }
        if let Some((act, event)) = &by {
            self.record(&mut state, act, event);
        }
        Ok(())
    }

    async fn secrets(&self) -> Result<Vec<SealedSecret>, StoreError> {
        Ok(self.state().secrets.values().cloned().collect())
    }

    async fn rewrap(&self, version: u64, rewrap: Rewrap, act: Act, event: Event) -> Result<(), StoreError> {
        let mut state = self.state_for(&act)?;
        let given: BTreeMap<_, _> =
            rewrap.secrets.into_iter().map(|s| ((s.purpose.clone(), s.id.clone()), s)).collect();
        let is_given = |key: &SigningKey| rewrap.keys.iter().any(|given| given.kid == key.kid);
        let fits = state.keys.version == version
            && state.meta.as_ref().is_some_and(|meta| meta.fingerprint == rewrap.from)
            && state.secrets.keys().eq(given.keys())
            && state.keys.keys.iter().all(|key| key.sealed.is_empty() || is_given(key));
        let Some(meta) = state.meta.as_mut().filter(|_| fits) else { return Err(StoreError::Stale) };
        meta.fingerprint = rewrap.to;
        state.secrets = given;
        state.keys.version += 1;
        for key in rewrap.keys {
            match state.keys.keys.iter_mut().find(|k| k.kid == key.kid) {
                Some(slot) => *slot = key,
                None => state.keys.keys.push(key),
            }
        }
        self.record(&mut state, &act, &event);
        Ok(())
    }

    async fn latest_time(&self) -> Result<UnixTime, StoreError> {
        let state = self.state();
        let audited = state.audit.last().map_or(UnixTime::EPOCH, |record| record.at);
        Ok(audited.max(state.noted))
    }

    async fn note_time(&self, now: UnixTime) -> Result<(), StoreError> {
        self.state().noted = now;
        Ok(())
    }

    async fn note_clock(&self, now: UnixTime, act: Act, event: Event) -> Result<(), StoreError> {
        let mut state = self.state_for(&act)?;
        state.noted = now;
        self.record(&mut state, &act, &event);
        Ok(())
    }

    async fn erase_audit(&self, erasure: Erasure, act: Act) -> Result<Erased, StoreError> {
        Ok(self.erase(&mut *self.state_for(&act)?, &erasure, &act))
    }

    async fn remove_audit(&self, through: UnixTime, limit: usize, act: Act) -> Result<u64, StoreError> {
        self.remove_records(&mut *self.state_for(&act)?, through, limit, &act)
    }

    async fn note_event(&self, act: Act, event: Event) -> Result<(), StoreError> {
        let mut state = self.state_for(&act)?;
        self.record(&mut state, &act, &event);
        Ok(())
    }

    async fn sweep(&self, now: UnixTime, limit: usize) -> Result<u64, StoreError> {
        let mut state = self.state();
        let links = state.links.len();
        state.links.retain(|link| now < link.expires_at.plus(LINK_REMEMBERED));
        let links = (links - state.links.len()) as u64;
        state.acts.retain(|_, (_, at, _)| now < at.plus(IDEMPOTENCY));
        let mut due: Vec<Session> = state.sessions.values().filter(|s| s.expires_at <= now).cloned().collect();
        due.sort_by_key(|s| s.expires_at);
        due.truncate(limit);
        Ok(links + due.iter().filter_map(|s| state.remove(&s.id)).count() as u64)
    }
}
