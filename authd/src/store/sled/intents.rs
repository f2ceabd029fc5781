//! The intents, each a function over a [`Txn`]. Whatever they refuse leaves no trace; whatever they change becomes one
//! part of one commit.

use std::{collections::BTreeSet, sync::Arc};

use common::{SessionId, UnixTime, UserId};

use super::{
    codec::{self, Link, Number, Places, Stored},
    imports::forget_imported,
    keys, mail,
    txn::{Encoded, Txn},
};
use crate::{
    domain::{
        Act, Ban, Credential, Event, EventKind, Family, FieldChanges, Session, SessionState, SigningKey, Topic, Turn,
        User, address, throttle::Place,
    },
    store::{
        Amendment, Counter, Ended, Ending, Live, Meta, NewSession, Profile, Refresh, Refreshed, Rehash, Rewrap,
        StoreError,
    },
};

pub(super) const USERS: &str = "count/users";
pub(super) const SESSIONS: &str = "count/sessions";
/// The latest time that was noted, in milliseconds.
pub(super) const NOTED_TIME: &str = "time";
/// How often a request came to nothing that must not tell so. The name is from when those were sign-ups only.
pub(super) const REPEATED_SIGN_UPS: &str = "count/repeated-sign-ups";
pub(super) const KEYS_VERSION: &str = "keys-version";
/// What the store says of itself.
pub(super) const META: &str = "meta";

/// More than any user has: the bound of a scan, not a limit for users (that is the policy's).
const SCAN: usize = 100_000;

pub(super) fn user(tx: &Txn<'_>, id: &UserId) -> Result<User, StoreError> {
    tx.get(&keys::user(id))?.ok_or(StoreError::NoSuchUser)
}

fn sessions_of(tx: &Txn<'_>, user: &UserId) -> Result<Vec<SessionId>, StoreError> {
    let found = tx.keys_with(&keys::sessions_of(user), SCAN)?;
    Ok(found.iter().filter_map(|key| keys::session_id_in(key)).collect())
}

fn remove_session(tx: &mut Txn<'_>, session: &Session) -> Result<(), StoreError> {
    tx.delete(keys::session(&session.id));
    tx.delete(keys::token(&session.digest));
    tx.delete(keys::session_of(&session.user, session.created_at, &session.id));
    tx.delete(keys::expiry(session.expires_at, &session.id));
    if let Some(family) = &session.family {
        tx.delete(keys::family(family));
    }
    tx.count(SESSIONS, -1)
}

fn remove_sessions(tx: &mut Txn<'_>, ids: &[SessionId]) -> Result<u64, StoreError> {
    let mut removed = 0;
    for id in ids {
        if let Some(session) = tx.get::<Session>(&keys::session(id))? {
            remove_session(tx, &session)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// The records of a new session.
pub(super) fn session_records(new: &NewSession) -> Result<Vec<Encoded>, StoreError> {
    fn encoded<T: Stored>(key: Vec<u8>, value: &T) -> Result<Encoded, StoreError> {
        let bytes = codec::encode(&key, value)?;
        Ok((key, bytes))
    }
    let session = &new.session;
    let mut records = vec![
        encoded(keys::session(&session.id), session)?,
        encoded(keys::token(&session.digest), &Link(session.id.to_string()))?,
        encoded(keys::session_of(&session.user, session.created_at, &session.id), &Number(1))?,
        encoded(keys::expiry(session.expires_at, &session.id), &Number(1))?,
    ];
    if let Some(family) = &new.family {
        records.push(encoded::<Family>(keys::family(&family.id), family)?);
    }
    Ok(records)
}

pub(super) fn insert_session(tx: &mut Txn<'_>, new: &NewSession, act: &Act) -> Result<(), StoreError> {
    insert_encoded(tx, new, session_records(new)?, act)
}

fn insert_encoded(tx: &mut Txn<'_>, new: &NewSession, records: Vec<Encoded>, act: &Act) -> Result<(), StoreError> {
    let session = &new.session;
    for id in &new.replaces {
        let Some(old) = tx.get::<Session>(&keys::session(id))? else { continue };
        remove_session(tx, &old)?;
        if old.user != session.user {
            tx.audit(act, &Event::new(EventKind::SignedOut).user(&old.user).session(&old.id))?;
        }
    }
    let existing = tx.keys_with(&keys::sessions_of(&session.user), SCAN)?;
    let surplus = (existing.len() + 1).saturating_sub(new.max_per_user.max(1));
    let surplus: Vec<_> = existing[..surplus].iter().filter_map(|key| keys::session_id_in(key)).collect();
    remove_sessions(tx, &surplus)?;

    if let Some(place) = address::place(&session.ip_address) {
        let key = keys::places(&session.user);
        let Places(known) = tx.get(&key)?.unwrap_or_default();
        if let Some(places) = Place::remembered(&known, &place, session.created_at) {
            tx.put(key, &Places(places))?;
        }
    }
    tx.put_all(records);
    tx.count(SESSIONS, 1)
}

/// Makes the index follow a change of a name to sign in with: of several who want it at once, one gets it.
fn move_username(tx: &mut Txn<'_>, id: &UserId, from: Option<&str>, to: Option<&str>) -> Result<(), StoreError> {
    if from == to {
        return Ok(());
    }
    if let Some(to) = to {
        if tx.exists(&keys::username(to))? {
            return Err(StoreError::UsernameTaken);
        }
        tx.put(keys::username(to), &Link(id.to_string()))?;
    }
    if let Some(from) = from {
        tx.delete(keys::username(from));
    }
    Ok(())
}

/// The account after a change of what users may change themselves.
fn with_profile(owner: &User, profile: Profile, act: &Act) -> Result<User, StoreError> {
    let fields = owner.fields.changed(&profile.fields);
    fields.check_size(User::MAX_FIELD_BYTES).map_err(|_| StoreError::Stale)?;
    Ok(User {
        name: profile.name.unwrap_or_else(|| owner.name.clone()),
        image: profile.image.unwrap_or_else(|| owner.image.clone()),
        username: profile.username.unwrap_or_else(|| owner.username.clone()),
        display_username: profile.display_username.unwrap_or_else(|| owner.display_username.clone()),
        fields,
        updated_at: act.at,
        ..owner.clone()
    })
}

pub(super) fn create_user(
    tx: &mut Txn<'_>,
    user: &User,
    credential: Option<&Credential>,
    session: Option<&NewSession>,
    act: &Act,
    event: &Event,
) -> Result<(), StoreError> {
    if tx.exists(&keys::email(&user.email))? {
        return Err(StoreError::EmailTaken);
    }
    if tx.exists(&keys::user(&user.id))? {
        return Err(StoreError::Stale);
    }
    insert_user(tx, user, credential)?;
    if let Some(session) = session {
        insert_session(tx, session, act)?;
    }
    tx.audit(act, event)
}

/// Where neither the id nor the address is taken.
pub(super) fn insert_user(tx: &mut Txn<'_>, user: &User, credential: Option<&Credential>) -> Result<(), StoreError> {
    move_username(tx, &user.id, None, user.username.as_deref())?;
    tx.put(keys::user(&user.id), user)?;
    tx.put(keys::email(&user.email), &Link(user.id.to_string()))?;
    if let Some(credential) = credential {
        tx.put(keys::credential(&user.id), credential)?;
    }
    tx.count(USERS, 1)
}

pub(super) fn open_session(
    tx: &mut Txn<'_>,
    (new, records): (&NewSession, Vec<Encoded>),
    epoch: u64,
    rehash: Option<Rehash>,
    act: &Act,
    event: &Event,
) -> Result<(), StoreError> {
    let mut owner = tx.user(&new.session.user)?.ok_or(StoreError::NoSuchUser)?;
    if owner.epoch != epoch {
        return Err(StoreError::Stale);
    }
    // A ban that is over goes with the first sign-in after it.
    if owner.ban.is_some() && owner.active_ban(act.at).is_none() {
        owner = Arc::new(User { ban: None, updated_at: act.at, ..User::clone(&owner) });
        tx.put(keys::user(&owner.id), &*owner)?;
    }
    if let Some(rehash) = rehash {
        let key = keys::credential(&owner.id);
        let stored: Credential = tx.get(&key)?.ok_or(StoreError::Stale)?;
        if stored.hash != rehash.old {
            return Err(StoreError::Stale);
        }
        tx.put(key, &Credential { hash: rehash.new, updated_at: act.at, ..stored })?;
        if rehash.chosen {
            end_all(tx, &owner.id, None)?;
            let epoch = owner.epoch + 1;
            let changed =
                User { epoch, password_change_required: false, updated_at: act.at, ..Arc::unwrap_or_clone(owner) };
            tx.put(keys::user(&changed.id), &changed)?;
            event.of_chosen_password().map_or(Ok(()), |event| tx.audit(act, &event))?;
        }
    }
    insert_encoded(tx, new, records, act)?;
    tx.audit(act, event)
}

pub(super) fn prolong_session(
    tx: &mut Txn<'_>,
    id: &SessionId,
    expires_at: UnixTime,
    now: UnixTime,
) -> Result<(), StoreError> {
    let Some(session) = tx.get::<Session>(&keys::session(id))? else { return Ok(()) };
    if expires_at <= session.expires_at {
        return Ok(());
    }
    tx.delete(keys::expiry(session.expires_at, id));
    tx.put(keys::expiry(expires_at, id), &Number(1))?;
    tx.put(keys::session(id), &Session { expires_at, updated_at: now, ..session })
}

pub(super) fn update_session(
    tx: &mut Txn<'_>,
    id: &SessionId,
    changes: &FieldChanges,
    now: UnixTime,
) -> Result<Arc<Session>, StoreError> {
    let key = keys::session(id);
    let session: Session = tx.get(&key)?.ok_or(StoreError::NoSuchSession)?;
    let fields = session.fields.changed(changes);
    fields.check_size(Session::MAX_FIELD_BYTES).map_err(|_| StoreError::Stale)?;
    let changed = Session { fields, updated_at: now, ..session };
    tx.put(key, &changed)?;
    Ok(Arc::new(changed))
}

pub(super) fn refresh(tx: &mut Txn<'_>, refresh: Refresh, act: &Act) -> Result<Refreshed, StoreError> {
    let Refresh { family, shown, window, client, policy } = refresh;
    let gone = StoreError::NoSuchSession;
    let family: Family = tx.get(&keys::family(&family))?.ok_or(gone.clone())?;
    let session: Session = tx.get(&keys::session(&family.session))?.ok_or(gone.clone())?;
    let owner: User = tx.get(&keys::user(&session.user))?.ok_or(gone.clone())?;
    if owner.active_ban(act.at).is_some() {
        return Err(gone);
    }
    if session.state(act.at) != SessionState::Active {
        return Ok(Refreshed::Expired);
    }
    let (turn, family, kind) = family.used(shown, window, client, act.at);
    if let Some(kind) = kind {
        let event = Event::new(kind).user(&owner.id).session(&session.id);
        tx.audit(act, &event.with("generation", &shown.0).with("current", &family.current.0))?;
    }
    if turn == Turn::Reuse {
        remove_session(tx, &session)?;
        return Ok(Refreshed::Reused);
    }
    if kind.is_some() || turn != Turn::Repeat {
        tx.put::<Family>(keys::family(&family.id), &family)?;
    }
    let session = match session.prolonged(&policy, act.at) {
        Some(end) => {
            prolong_session(tx, &session.id, end, act.at)?;
            Session { expires_at: end, updated_at: act.at, ..session }
        }
        None => session,
    };
    Ok(Refreshed::Current(Live { session: Arc::new(session), user: Arc::new(owner) }, family))
}

pub(super) fn end_sessions(
    tx: &mut Txn<'_>,
    which: Ending,
    expect: Option<u64>,
    act: &Act,
    event: &Event,
) -> Result<Ended, StoreError> {
    let candidates = match which {
        Ending::These(ids) => ids,
        Ending::OfUser { user, except } => {
            sessions_of(tx, &user)?.into_iter().filter(|id| Some(id) != except.as_ref()).collect()
        }
    };
    let mut by_user: Vec<(UserId, Vec<SessionId>)> = vec![];
    for id in candidates {
        let Some(session) = tx.get::<Session>(&keys::session(&id))? else { continue };
        remove_session(tx, &session)?;
        match by_user.iter_mut().find(|(user, _)| *user == session.user) {
            Some((_, ids)) => ids.push(id),
            None => by_user.push((session.user, vec![id])),
        }
    }
    let sessions: u64 = by_user.iter().map(|(_, ids)| ids.len() as u64).sum();
    if expect.is_some_and(|expected| expected != sessions) {
        return Err(StoreError::Unexpected(sessions));
    }
    for (user, ids) in &by_user {
        let event = event.clone().user(user);
        let event = match ids.as_slice() {
            [one] => event.session(one),
            several => event.with("sessions", &several.len()),
        };
        tx.audit(act, &event)?;
    }
    Ok(Ended { sessions, users: by_user.len() as u64 })
}

pub(super) fn end_all(tx: &mut Txn<'_>, user: &UserId, keep: Option<&SessionId>) -> Result<Ended, StoreError> {
    let ids: Vec<_> = sessions_of(tx, user)?.into_iter().filter(|id| Some(id) != keep).collect();
    let sessions = remove_sessions(tx, &ids)?;
    Ok(Ended { sessions, users: u64::from(sessions > 0) })
}

pub(super) fn set_password(
    tx: &mut Txn<'_>,
    credential: Credential,
    must_change: bool,
    keep: Option<&SessionId>,
    act: &Act,
    event: Event,
) -> Result<Ended, StoreError> {
    let owner = user(tx, &credential.user)?;
    let key = keys::credential(&owner.id);
    let credential = match tx.get::<Credential>(&key)? {
        Some(old) => Credential { id: old.id, created_at: old.created_at, ..credential },
        None => credential,
    };
    tx.put(key, &credential)?;
    let ended = end_all(tx, &owner.id, keep)?;
    let changed = User { epoch: owner.epoch + 1, password_change_required: must_change, updated_at: act.at, ..owner };
    tx.put(keys::user(&changed.id), &changed)?;
    tx.audit(act, &event.user(&changed.id).with("ended_sessions", &ended.sessions))?;
    Ok(ended)
}

pub(super) fn replace_password(
    tx: &mut Txn<'_>,
    id: &UserId,
    epoch: u64,
    rehash: Rehash,
    act: &Act,
    event: Event,
) -> Result<(), StoreError> {
    let owner = user(tx, id)?;
    let key = keys::credential(id);
    let stored = tx.get::<Credential>(&key)?.filter(|stored| stored.hash == rehash.old);
    let Some(stored) = stored.filter(|_| owner.epoch == epoch) else { return Err(StoreError::Stale) };
    tx.put(key, &Credential { hash: rehash.new, updated_at: act.at, ..stored })?;
    let changed = User { epoch: epoch + 1, password_change_required: false, updated_at: act.at, ..owner };
    tx.put(keys::user(id), &changed)?;
    tx.audit(act, &event.user(id))
}

pub(super) fn update_profile(
    tx: &mut Txn<'_>,
    id: &UserId,
    profile: Profile,
    act: &Act,
    event: Event,
) -> Result<(), StoreError> {
    let owner = user(tx, id)?;
    let changed = with_profile(&owner, profile, act)?;
    move_username(tx, id, owner.username.as_deref(), changed.username.as_deref())?;
    tx.put(keys::user(id), &changed)?;
    tx.audit(act, &event.user(id))
}

pub(super) fn set_ban(
    tx: &mut Txn<'_>,
    id: &UserId,
    ban: Option<Ban>,
    act: &Act,
    event: Event,
) -> Result<Option<Ended>, StoreError> {
    let owner = user(tx, id)?;
    if owner.ban == ban {
        return Ok(None);
    }
    let ended = if ban.is_some() { end_all(tx, id, None)? } else { Ended::default() };
    let changed = User { epoch: owner.epoch + 1, ban, updated_at: act.at, ..owner };
    tx.put(keys::user(id), &changed)?;
    let event = event.user(id);
    let event = if ended.sessions > 0 { event.with("ended_sessions", &ended.sessions) } else { event };
    tx.audit(act, &event)?;
    Ok(Some(ended))
}

pub(super) fn amend_user(
    tx: &mut Txn<'_>,
    id: &UserId,
    amendment: Amendment,
    act: &Act,
    event: Event,
) -> Result<Ended, StoreError> {
    let Amendment { profile, email, email_verified, role, ban } = amendment;
    let owner = user(tx, id)?;
    if let Some(email) = email.as_ref().filter(|email| **email != owner.email) {
        if tx.exists(&keys::email(email))? {
            return Err(StoreError::EmailTaken);
        }
        tx.delete(keys::email(&owner.email));
        tx.put(keys::email(email), &Link(id.to_string()))?;
    }
    let ban = ban.unwrap_or_else(|| owner.ban.clone());
    let is_other_ban = ban != owner.ban;
    let ended = if is_other_ban && ban.is_some() { end_all(tx, id, None)? } else { Ended::default() };
    let changed = with_profile(&owner, profile, act)?;
    move_username(tx, id, owner.username.as_deref(), changed.username.as_deref())?;
    let amended = User {
        email: email.unwrap_or(owner.email),
        email_verified: email_verified.unwrap_or(owner.email_verified),
        role: role.unwrap_or(owner.role),
        ban,
        epoch: owner.epoch + u64::from(is_other_ban),
        ..changed
    };
    tx.put(keys::user(id), &amended)?;
    let event = event.user(id);
    let event = if ended.sessions > 0 { event.with("ended_sessions", &ended.sessions) } else { event };
    let topics = Topic::of_amendment(Topic::of(&event), is_other_ban, amended.ban.is_some());
    tx.audit_as(act, &event, &topics)?;
    Ok(ended)
}

pub(super) fn put_counters(tx: &mut Txn<'_>, counters: &[Counter]) -> Result<(), StoreError> {
    for counter in counters {
        match counter.count {
            0 => tx.delete(keys::counter(&counter.key)),
            _ => tx.put(keys::counter(&counter.key), counter)?,
        }
    }
    Ok(())
}

pub(super) fn delete_user(
    tx: &mut Txn<'_>,
    id: &UserId,
    epoch: Option<u64>,
    act: &Act,
    event: Event,
) -> Result<Ended, StoreError> {
    let owner = user(tx, id)?;
    if epoch.is_some_and(|epoch| epoch != owner.epoch) {
        return Err(StoreError::Stale);
    }
    let ended = remove_user(tx, &owner)?;
    tx.audit(act, &event.user(id).with("ended_sessions", &ended.sessions))?;
    Ok(ended)
}

/// A user with everything that belongs to the account.
pub(super) fn remove_user(tx: &mut Txn<'_>, owner: &User) -> Result<Ended, StoreError> {
    let ended = end_all(tx, &owner.id, None)?;
    tx.delete(keys::user(&owner.id));
    tx.delete(keys::email(&owner.email));
    move_username(tx, &owner.id, owner.username.as_deref(), None)?;
    tx.delete(keys::credential(&owner.id));
    tx.delete(keys::places(&owner.id));
    forget_imported(tx, &owner.id)?;
    mail::remove_links(tx, &owner.id)?;
    tx.count(USERS, -1)?;
    Ok(ended)
}

pub(super) fn put_keys(
    tx: &mut Txn<'_>,
    version: u64,
    put: &[SigningKey],
    act: &Act,
    event: &Event,
) -> Result<(), StoreError> {
    let key = keys::meta(KEYS_VERSION);
    let Number(current) = tx.get(&key)?.unwrap_or_default();
    if current != version {
        return Err(StoreError::Stale);
    }
    for signing_key in put {
        tx.put(keys::signing_key(&signing_key.kid), signing_key)?;
    }
    tx.put(key, &Number(current + 1))?;
    tx.audit(act, event)
}

pub(super) fn rewrap(
    tx: &mut Txn<'_>,
    version: u64,
    rewrap: &Rewrap,
    act: &Act,
    event: &Event,
) -> Result<(), StoreError> {
    let at = keys::meta(META);
    let meta: Meta = tx.get(&at)?.ok_or(StoreError::Stale)?;
    let secrets: BTreeSet<Vec<u8>> = rewrap.secrets.iter().map(|s| keys::secret(&s.purpose, &s.id)).collect();
    let stored: BTreeSet<Vec<u8>> = tx.keys_with(&keys::prefix(keys::Kind::Secret), SCAN)?.into_iter().collect();
    if meta.fingerprint != rewrap.from || stored != secrets {
        return Err(StoreError::Stale);
    }
    for key in tx.keys_with(&keys::prefix(keys::Kind::SigningKey), SCAN)? {
        let kept = tx.get::<SigningKey>(&key)?.is_some_and(|found| !found.sealed.is_empty());
        if kept && !rewrap.keys.iter().any(|given| keys::signing_key(&given.kid) == key) {
            return Err(StoreError::Stale);
        }
    }
    for secret in &rewrap.secrets {
        tx.put(keys::secret(&secret.purpose, &secret.id), secret)?;
    }
    tx.put(at, &Meta { fingerprint: rewrap.to.clone(), ..meta })?;
    tx.forgets()?;
    put_keys(tx, version, &rewrap.keys, act, event)
}

pub(super) fn sweep(tx: &mut Txn<'_>, now: UnixTime, limit: usize) -> Result<u64, StoreError> {
    let due = tx.keys_with(&keys::prefix(keys::Kind::Expiry), limit)?;
    let mut swept = 0;
    for key in due {
        let Some((at, id)) = keys::parse_expiry(&key) else {
            tx.delete(key);
            continue;
        };
        if at > now {
            break;
        }
        // The index may be behind the record: a prolonged session has another entry, and this one goes alone.
        match tx.get::<Session>(&keys::session(&id))? {
            Some(session) if session.expires_at <= now => {
                remove_session(tx, &session)?;
                swept += 1;
            }
            _ => tx.delete(key),
        }
    }
    for key in tx.keys_with(&keys::prefix(keys::Kind::ActExpiry), limit)? {
        let Some((at, name)) = keys::parse_act_expiry(&key) else { continue };
        if at > now {
            break;
        }
        let act = keys::act(name);
        tx.delete(act);
        tx.delete(key);
    }
    Ok(swept + mail::sweep(tx, now, limit)?)
}
