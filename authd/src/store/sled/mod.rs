//! The store on sled 0.34.7: one tree with typed keys, one writer thread, a commit log of our own that is synced before
//! every answer, a hot cache in front of the reads. Why these rules: design, section 6 and STORE.

mod audit;
mod behind;
mod cache;
mod checkpoint;
mod codec;
#[cfg(test)]
mod damages;
mod disk;
mod imports;
mod intents;
mod keys;
mod log;
mod mail;
mod migration;
mod opening;
mod outbox;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod remaking;
mod renewal;
#[cfg(test)]
mod renewing;
mod restoring;
mod saving;
mod search;
mod service_tokens;
#[cfg(test)]
mod slow_disk;
mod step;
#[cfg(test)]
mod tampering;
mod txn;
mod upkeep;
mod verify;
mod work;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use common::{Email, FamilyId, MailId, SessionId, UnixTime, UserId, admin::Counts};
use tokio::sync::watch;
use tracing::warn;

use self::{
    behind::Current,
    cache::HotCache,
    checkpoint::{Checkpoints, Progress},
    codec::{Done, Link as Index, Number, Places, SCHEMA, Stored},
    intents::{KEYS_VERSION, META, NOTED_TIME, REPEATED_SIGN_UPS},
    keys::Kind,
    txn::{Txn, unreadable},
    upkeep::Keeper,
    work::Counters,
    writer::Writer,
};
pub use self::{
    behind::remove_aside,
    log::{FORMAT, LogError, PURPOSE as LOG_PURPOSE},
    migration::{Formats, kept_stores},
    opening::{Faults, OpenError, Opened, Opening, SledOptions},
    restoring::{After, Copied, check_copy, copy_into},
    saving::{Aside, put_aside_damaged},
    step::{Step, Steps},
    verify::{Verified, Whole, Wrong},
};
use super::{
    Amendment, AuditQuery, Backlog, ChainReport, Counter, Ended, Ending, Erased, Erasure, EventsOf, Listed, Live, Meta,
    NewSession, Outbox, Outboxed, Page, Profile, Refresh, Refreshed, Rehash, Replay, Rewrap, SealedSecret, Store,
    StoreError, Trimmed, UserQuery, Which,
};
use crate::{
    domain::{
        Act, AuditRecord, Ban, Checkpoint, Credential, Delivery, Event, Family, FieldChanges, IdempotencyKey, KeySet,
        Link, Mail, Session, SigningKey, TokenDigest, User, UserSearch, throttle::Place,
    },
    ports::Mac,
};

/// The store at work.
pub struct SledStore {
    current: Arc<Current>,
    cache: Arc<HotCache>,
    writer: Writer,
    progress: Arc<Progress>,
    mac: Arc<dyn Mac>,
    log_keys: log::Keys,
    keeper: Arc<Keeper>,
    counters: Arc<Counters>,
    faults: Faults,
    /// Behind the writer, so that the last checkpoint comes after the last change.
    _checkpoints: Checkpoints,
}

fn read<T: Stored>(db: &sled::Db, key: &[u8]) -> Result<Option<T>, StoreError> {
    match db.get(key).map_err(|e| unreadable(&e))? {
        Some(bytes) => codec::decode(key, &bytes).map(Some),
        None => Ok(None),
    }
}

fn secrets(db: &sled::Db) -> Result<Vec<SealedSecret>, StoreError> {
    let entries = db.scan_prefix(keys::prefix(Kind::Secret));
    entries.map(|e| e.map_err(|e| unreadable(&e)).and_then(|(k, v)| codec::decode(&k, &v))).collect()
}

fn load_keys(db: &sled::Db) -> Result<KeySet, StoreError> {
    let Number(version) = read(db, &keys::meta(KEYS_VERSION))?.unwrap_or_default();
    let mut set = KeySet { version, keys: vec![] };
    for entry in db.scan_prefix(keys::prefix(Kind::SigningKey)) {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        set.keys.push(codec::decode::<SigningKey>(&key, &value)?);
    }
    set.keys.sort_by(|a, b| (a.created_at, a.signs_at, &a.kid).cmp(&(b.created_at, b.signs_at, &b.kid)));
    Ok(set)
}

impl SledStore {
    /// Writes the first records: what the store is, its secrets, its first signing key. One commit.
    ///
    /// # Errors
    /// `Stale` if the store is not empty.
    pub async fn initialise(
        &self,
        meta: Meta,
        secrets: Vec<SealedSecret>,
        key: SigningKey,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |tx| {
                if tx.exists(&keys::meta(META))? {
                    return Err(StoreError::Stale);
                }
                tx.put(keys::meta("schema"), &Number(u64::from(SCHEMA)))?;
                tx.put(keys::meta(META), &meta)?;
                for secret in &secrets {
                    tx.put(keys::secret(&secret.purpose, &secret.id), secret)?;
                }
                intents::put_keys(tx, 0, &[key], &act, &event)
            })
            .await
    }

    /// Brings sled's file up to what is committed. It happens by itself every few seconds; what calls for it at once is a
    /// change on which opening the store depends.
    ///
    /// # Errors
    /// The store takes no changes any more.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let progress = self.progress.clone();
        let done = tokio::task::spawn_blocking(move || progress.checkpoint()).await;
        done.map_err(|e| e.to_string()).flatten().map(drop).map_err(|problem| {
            self.writer.health().poison(&problem);
            StoreError::Unavailable(problem.into())
        })
    }

    /// Waits until the writer has taken its turn. Nothing is written.
    ///
    /// # Errors
    /// Too many wait for it, or it takes no changes any more.
    pub async fn beat(&self) -> Result<(), StoreError> {
        self.writer.write(|_| Ok(())).await
    }

    /// Becomes true when the store stops taking changes for good: the daemon should end then.
    pub fn stopped(&self) -> watch::Receiver<bool> {
        self.writer.health().watch()
    }

    /// Passes an answer on. Every answer that rests on what sled says goes through this, or through the writer's.
    fn noted<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.writer.health().noted(answer)
    }

    /// sled as it is now.
    fn db(&self) -> sled::Db {
        self.current.get().db.clone()
    }

    fn read<T: Stored>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.noted(read(&self.current.get().db, key))
    }

    fn session_by_id(&self, id: &SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        if let Some(session) = self.cache.session(id) {
            return Ok(Some(session));
        }
        let began = self.cache.begin();
        let found = self.read::<Session>(&keys::session(id))?.map(Arc::new);
        if let Some(session) = &found {
            self.cache.fill_session(began, session);
        }
        Ok(found)
    }

    fn user_by_id(&self, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        if let Some(user) = self.cache.user(id) {
            return Ok(Some(user));
        }
        let began = self.cache.begin();
        let found = self.read::<User>(&keys::user(id))?.map(Arc::new);
        if let Some(user) = &found {
            self.cache.fill_user(began, user);
        }
        Ok(found)
    }

    fn live(&self, id: &SessionId) -> Result<Option<Live>, StoreError> {
        let Some(session) = self.session_by_id(id)? else { return Ok(None) };
        Ok(self.user_by_id(&session.user)?.map(|user| Live { session, user }))
    }

    /// Performs what somebody is accountable for, unless it was done before.
    async fn act<T: Send + 'static>(
        &self,
        act: Act,
        intent: impl FnOnce(&mut Txn<'_>, &Act) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer
            .write(move |tx| {
                tx.check_not_done(&act)?;
                mail::spend(tx, &act)?;
                let done = intent(tx, &act)?;
                mail::queue(tx, &act)?;
                Ok(done)
            })
            .await
    }

    /// Runs a scan where it can take its time.
    async fn scan<T: Send + 'static>(
        &self,
        work: impl FnOnce(&sled::Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let current = self.current.get();
        let done = tokio::task::spawn_blocking(move || work(&current.db)).await;
        self.noted(done.unwrap_or_else(|e| Err(StoreError::Unreadable(format!("a scan failed: {e}").into()))))
    }
}

#[async_trait]
impl Outbox for SledStore {
    async fn events(&self, which: Which, after: u64, limit: usize) -> Result<Page<Outboxed>, StoreError> {
        let page = self.scan(move |db| outbox::page(db, which, after, limit)).await?;
        if self.faults.told_before_telling && which == Which::Waiting {
            let told = page.items.iter().map(|item| (item.event.seq, None)).collect();
            self.note_deliveries(told).await?;
        }
        Ok(page)
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.scan(outbox::backlog).await
    }

    async fn events_naming(&self, erasure: Erasure) -> Result<EventsOf, StoreError> {
        let (told, untold) = self.scan(move |db| outbox::naming(db, &erasure)).await?;
        Ok(EventsOf { told: told.len() as u64, untold })
    }

    async fn note_deliveries(&self, outcomes: Vec<(u64, Option<Delivery>)>) -> Result<(), StoreError> {
        self.writer.write(move |tx| outbox::note(tx, &outcomes)).await
    }

    async fn replay_events(&self, which: Replay, act: Act, event: Event) -> Result<u64, StoreError> {
        self.act(act, move |tx, act| outbox::replay(tx, which, act, event)).await
    }

    async fn trim_events(&self, before: UnixTime, keep: u64, limit: usize) -> Result<Trimmed, StoreError> {
        self.writer.write(move |tx| outbox::trim(tx, before, keep, limit)).await
    }

    fn published(&self) -> watch::Receiver<u64> {
        self.cache.published()
    }
}

#[async_trait]
impl Store for SledStore {
    async fn user(&self, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        self.user_by_id(id)
    }

    async fn user_by_email(&self, email: &Email) -> Result<Option<Arc<User>>, StoreError> {
        let Some(Index(id)) = self.read(&keys::email(email))? else { return Ok(None) };
        let id = id.parse().map_err(|_| StoreError::Damaged("an index entry".into()))?;
        // Two reads are not one: the address may have moved on in between.
        Ok(self.user_by_id(&id)?.filter(|user| user.email == *email))
    }

    async fn user_by_username(&self, username: &str) -> Result<Option<Arc<User>>, StoreError> {
        let Some(Index(id)) = self.read(&keys::username(username))? else { return Ok(None) };
        let id = id.parse().map_err(|_| StoreError::Damaged("an index entry".into()))?;
        Ok(self.user_by_id(&id)?.filter(|user| user.username.as_deref() == Some(username)))
    }

    async fn users(&self, query: UserQuery) -> Result<Page<Arc<User>>, StoreError> {
        self.scan(move |db| {
            let prefix = keys::prefix(Kind::UserByEmail);
            let begin = match &query.after {
                Some(after) => [&prefix[..], after.as_bytes(), &[0]].concat(),
                None => prefix.clone(),
            };
            let contains = query.contains.as_ref().map(|text| text.to_lowercase());
            let mut items: Vec<Arc<User>> = vec![];
            for entry in db.range(begin..) {
                let (key, value) = entry.map_err(|e| unreadable(&e))?;
                if !key.starts_with(&prefix) {
                    break;
                }
                let Index(id) = codec::decode(&key, &value)?;
                let id: UserId = id.parse().map_err(|_| StoreError::Damaged("an index entry".into()))?;
                let Some(user) = read::<User>(db, &keys::user(&id))? else { continue };
                let wanted = contains
                    .as_ref()
                    .is_none_or(|text| user.email.as_str().contains(text) || user.name.to_lowercase().contains(text));
                if !wanted || query.banned.is_some_and(|banned| user.ban.is_some() != banned) {
                    continue;
                }
                if items.len() >= query.limit {
                    let next = items.last().map(|user| user.email.to_string());
                    return Ok(Page { items, next });
                }
                items.push(Arc::new(user));
            }
            Ok(Page { items, next: None })
        })
        .await
    }

    async fn find_users(&self, search: UserSearch) -> Result<Listed, StoreError> {
        self.scan(move |db| search::find(db, &search)).await
    }

    async fn credential(&self, user: &UserId) -> Result<Option<Credential>, StoreError> {
        self.read(&keys::credential(user))
    }

    async fn session_by_token(&self, digest: &TokenDigest) -> Result<Option<Live>, StoreError> {
        let id = match self.cache.token(digest) {
            Some(id) => id,
            None => {
                let began = self.cache.begin();
                let Some(Index(id)) = self.read(&keys::token(digest))? else { return Ok(None) };
                let id = id.parse().map_err(|_| StoreError::Damaged("an index entry".into()))?;
                self.cache.fill_token(began, *digest, &id);
                id
            }
        };
        Ok(self.live(&id)?.filter(|live| live.session.digest == *digest))
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Live>, StoreError> {
        self.live(id)
    }

    async fn sessions_of(&self, user: &UserId) -> Result<Vec<Arc<Session>>, StoreError> {
        let mut found = vec![];
        for key in self.db().scan_prefix(keys::sessions_of(user)).keys() {
            let key = self.noted(key.map_err(|e| unreadable(&e)))?;
            let Some(id) = keys::session_id_in(&key) else { continue };
            found.extend(self.session_by_id(&id)?);
        }
        Ok(found)
    }

    async fn sessions(&self, after: Option<String>, limit: usize) -> Result<Page<Live>, StoreError> {
        self.scan(move |db| {
            let prefix = keys::prefix(Kind::Session);
            let begin = match &after {
                Some(after) => [&prefix[..], after.as_bytes(), &[0]].concat(),
                None => prefix.clone(),
            };
            let mut items: Vec<Live> = vec![];
            for entry in db.range(begin..) {
                let (key, value) = entry.map_err(|e| unreadable(&e))?;
                if !key.starts_with(&prefix) {
                    break;
                }
                let session: Session = codec::decode(&key, &value)?;
                let Some(user) = read::<User>(db, &keys::user(&session.user))? else { continue };
                if items.len() >= limit {
                    let next = items.last().map(|live| live.session.id.to_string());
                    return Ok(Page { items, next });
                }
                items.push(Live { session: Arc::new(session), user: Arc::new(user) });
            }
            Ok(Page { items, next: None })
        })
        .await
    }

    async fn family(&self, id: &FamilyId) -> Result<Option<Family>, StoreError> {
        self.read(&keys::family(id))
    }

    fn keys(&self) -> Arc<KeySet> {
        self.cache.keys()
    }

    async fn secrets(&self) -> Result<Vec<SealedSecret>, StoreError> {
        self.noted(secrets(&self.db()))
    }

    async fn audit(&self, query: AuditQuery) -> Result<Page<AuditRecord>, StoreError> {
        self.scan(move |db| audit::page(db, &query)).await
    }

    async fn audit_verify(&self) -> Result<ChainReport, StoreError> {
        let mac = self.mac.clone();
        self.scan(move |db| audit::verify(db, &*mac)).await
    }

    async fn audit_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.noted(audit::checkpoint(&self.db()))
    }

    async fn audit_naming(&self, erasure: Erasure) -> Result<u64, StoreError> {
        self.scan(move |db| audit::naming(db, &erasure).map(|found| found.len() as u64)).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.noted(audit::counts(&self.db()))
    }

    fn health(&self) -> Result<(), StoreError> {
        self.writer.health().check()?;
        if self.current.get().disk.has_space() { Ok(()) } else { Err(StoreError::Full) }
    }

    async fn check_not_done(&self, key: &IdempotencyKey) -> Result<(), StoreError> {
        Done::check(self.read(&keys::act(&key.name))?, key)
    }

    async fn create_user(
        &self,
        user: User,
        credential: Option<Credential>,
        session: Option<NewSession>,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError> {
        self.act(act, move |tx, act| {
            intents::create_user(tx, &user, credential.as_ref(), session.as_ref(), act, &event)
        })
        .await
    }

    async fn queue_mail(&self, act: Act) -> Result<(), StoreError> {
        self.act(act, |tx, act| if act.post.is_empty() { tx.count(REPEATED_SIGN_UPS, 1) } else { Ok(()) }).await
    }

    async fn open_session(
        &self,
        new: NewSession,
        epoch: u64,
        rehash: Option<Rehash>,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError> {
        // Encoded here: for the writer all others wait.
        let records = intents::session_records(&new)?;
        self.act(act, move |tx, act| intents::open_session(tx, (&new, records), epoch, rehash, act, &event)).await
    }

    async fn prolong_session(&self, id: SessionId, expires_at: UnixTime, now: UnixTime) -> Result<(), StoreError> {
        self.writer.write(move |tx| intents::prolong_session(tx, &id, expires_at, now)).await
    }

    async fn update_session(
        &self,
        id: SessionId,
        changes: FieldChanges,
        now: UnixTime,
    ) -> Result<Arc<Session>, StoreError> {
        self.writer.write(move |tx| intents::update_session(tx, &id, &changes, now)).await
    }

    async fn refresh(&self, refresh: Refresh, act: Act) -> Result<Refreshed, StoreError> {
        self.act(act, move |tx, act| intents::refresh(tx, refresh, act)).await
    }

    async fn end_sessions(
        &self,
        which: Ending,
        expect: Option<u64>,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError> {
        self.act(act, move |tx, act| intents::end_sessions(tx, which, expect, act, &event)).await
    }

    async fn set_password(
        &self,
        credential: Credential,
        must_change: bool,
        keep: Option<SessionId>,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError> {
        self.act(act, move |tx, act| intents::set_password(tx, credential, must_change, keep.as_ref(), act, event))
            .await
    }

    async fn replace_password(
        &self,
        user: UserId,
        epoch: u64,
        rehash: Rehash,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError> {
        self.act(act, move |tx, act| intents::replace_password(tx, &user, epoch, rehash, act, event)).await
    }

    async fn reset_password(
        &self,
        credential: Credential,
        keep_sessions: bool,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError> {
        self.act(act, move |tx, act| mail::reset_password(tx, credential, keep_sessions, act, event)).await
    }

    async fn verify_email(
        &self,
        user: UserId,
        session: Option<NewSession>,
        act: Act,
        event: Event,
    ) -> Result<User, StoreError> {
        self.writer
            .write(move |tx| {
                let link = mail::spend(tx, &act)?;
                let verified = mail::verify_email(tx, &user, link, session.as_ref(), &act, event)?;
                mail::queue(tx, &act)?;
                Ok(verified)
            })
            .await
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
        self.act(act, move |tx, act| mail::change_email(tx, &user, epoch, &from, &to, act, event)).await
    }

    async fn update_profile(&self, user: UserId, profile: Profile, act: Act, event: Event) -> Result<(), StoreError> {
        self.act(act, move |tx, act| intents::update_profile(tx, &user, profile, act, event)).await
    }

    async fn set_ban(
        &self,
        user: UserId,
        ban: Option<Ban>,
        act: Act,
        event: Event,
    ) -> Result<Option<Ended>, StoreError> {
        self.act(act, move |tx, act| intents::set_ban(tx, &user, ban, act, event)).await
    }

    async fn amend_user(
        &self,
        user: UserId,
        amendment: Amendment,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError> {
        self.act(act, move |tx, act| intents::amend_user(tx, &user, amendment, act, event)).await
    }

    async fn delete_user(&self, user: UserId, epoch: Option<u64>, act: Act, event: Event) -> Result<Ended, StoreError> {
        self.act(act, move |tx, act| intents::delete_user(tx, &user, epoch, act, event)).await
    }

    async fn put_keys(&self, version: u64, put: Vec<SigningKey>, act: Act, event: Event) -> Result<(), StoreError> {
        self.act(act, move |tx, act| intents::put_keys(tx, version, &put, act, &event)).await
    }

    async fn link(&self, digest: &TokenDigest) -> Result<Option<Link>, StoreError> {
        self.read(&keys::mail_link(digest))
    }

    async fn due_mails(&self, now: UnixTime, limit: usize) -> Result<Vec<Mail>, StoreError> {
        self.noted(mail::due(&self.db(), now, limit))
    }

    async fn mails(&self, after: Option<String>, limit: usize) -> Result<Page<Mail>, StoreError> {
        self.scan(move |db| mail::page(db, after.as_deref(), limit)).await
    }

    async fn remove_mail(&self, id: MailId) -> Result<(), StoreError> {
        self.writer.write(move |tx| mail::remove_mail(tx, &id)).await
    }

    async fn note_mail(&self, mail: Mail) -> Result<(), StoreError> {
        self.writer.write(move |tx| mail::note_mail(tx, &mail)).await
    }

    async fn retry_mails(&self, which: Option<MailId>, act: Act, event: Event) -> Result<u64, StoreError> {
        self.act(act, move |tx, act| mail::retry_mails(tx, which.as_ref(), act, event)).await
    }

    async fn places(&self, user: &UserId) -> Result<Vec<Place>, StoreError> {
        Ok(self.read::<Places>(&keys::places(user))?.unwrap_or_default().0)
    }

    async fn counters(&self) -> Result<Vec<Counter>, StoreError> {
        self.scan(|db| {
            let entries = db.scan_prefix(keys::prefix(Kind::Counter));
            let decode = |(key, value): (sled::IVec, sled::IVec)| codec::decode(&key, &value);
            entries.map(|entry| entry.map_err(|e| unreadable(&e)).and_then(decode)).collect()
        })
        .await
    }

    async fn put_counters(&self, counters: Vec<Counter>, by: Option<(Act, Event)>) -> Result<(), StoreError> {
        match by {
            None => self.writer.write(move |tx| intents::put_counters(tx, &counters)).await,
            Some((act, event)) => {
                self.act(act, move |tx, act| {
                    intents::put_counters(tx, &counters)?;
                    tx.audit(act, &event)
                })
                .await
            }
        }
    }

    async fn rewrap(&self, version: u64, rewrap: Rewrap, act: Act, event: Event) -> Result<(), StoreError> {
        // The log opens by either key as long as it is not certain which of them the store has.
        let (to, log_key) = (rewrap.to.clone(), rewrap.secrets.iter().find(|secret| secret.purpose == LOG_PURPOSE));
        if let Some(key) = log_key {
            self.log_keys.put(&to, key).map_err(|e| StoreError::Unavailable(e.to_string().into()))?;
        }
        self.act(act, move |tx, act| intents::rewrap(tx, version, &rewrap, act, &event)).await?;
        if let Err(error) = self.log_keys.keep_only(&to) {
            warn!(%error, "the commit log's key is still there sealed under the old master key; the next start removes it");
        }
        Ok(())
    }

    async fn latest_time(&self) -> Result<UnixTime, StoreError> {
        let Number(noted) = self.read(&keys::meta(NOTED_TIME))?.unwrap_or_default();
        let noted = UnixTime::from_millis(i64::try_from(noted).unwrap_or_default());
        let newest: Option<AuditRecord> = self.read(&keys::audit(self.noted(audit::head(&self.db()))?.seq))?;
        Ok(newest.map_or(noted, |record| noted.max(record.at)))
    }

    async fn note_time(&self, now: UnixTime) -> Result<(), StoreError> {
        let millis = u64::try_from(now.as_millis()).unwrap_or_default();
        self.writer.write(move |tx| tx.put(keys::meta(NOTED_TIME), &Number(millis))).await
    }

    async fn note_clock(&self, now: UnixTime, act: Act, event: Event) -> Result<(), StoreError> {
        let millis = u64::try_from(now.as_millis()).unwrap_or_default();
        self.act(act, move |tx, act| {
            tx.put(keys::meta(NOTED_TIME), &Number(millis))?;
            tx.audit(act, &event)
        })
        .await
    }

    async fn erase_audit(&self, erasure: Erasure, act: Act) -> Result<Erased, StoreError> {
        let of_scan = erasure.clone();
        let scan = move |db: &sled::Db| Ok((audit::naming(db, &of_scan)?, outbox::naming(db, &of_scan)?.0));
        let (records, events) = self.scan(scan).await?;
        self.act(act, move |tx, act| audit::erase(tx, &erasure, (&records, &events), act)).await
    }

    async fn remove_audit(&self, through: UnixTime, limit: usize, act: Act) -> Result<u64, StoreError> {
        self.act(act, move |tx, act| audit::remove(tx, through, limit, act)).await
    }

    async fn note_event(&self, act: Act, event: Event) -> Result<(), StoreError> {
        self.act(act, move |tx, act| tx.audit(act, &event)).await
    }

    async fn sweep(&self, now: UnixTime, limit: usize) -> Result<u64, StoreError> {
        self.writer.write(move |tx| intents::sweep(tx, now, limit)).await
    }
}
