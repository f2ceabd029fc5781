//! A store that fails when it is told to, or forgets what it has to look at.

use std::{
    any::Any,
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use authd::{
    domain::{
        Act, AuditRecord, Ban, Checkpoint, Credential, Delivery, Event, Family, Fate, FieldChanges, IdempotencyKey,
        Import, KeySet, Link, Mail, ServiceToken, Session, SigningKey, TokenDigest, User, UserSearch, throttle::Place,
    },
    store::{
        Amendment, AuditQuery, Backlog, ChainReport, Counter, Ended, Ending, Erased, Erasure, EventsOf, ImportBatch,
        Imports, Listed, Live, NewSession, Outbox, Outboxed, Page, Profile, Refresh, Refreshed, Rehash, Replay, Rewrap,
        SealedSecret, ServiceTokens, Store, StoreError, Trimmed, Undone, UserQuery, Which,
    },
};
use common::{Email, FamilyId, ImportId, MailId, ServiceName, SessionId, Span, UnixTime, UserId, admin::Counts};
use tokio::sync::watch;

/// How a call fails.
#[derive(Debug, Clone)]
pub enum How {
    /// With this, and nothing was done.
    Before(StoreError),
    /// With this, although it was done: the answer was lost.
    After(StoreError),
    /// With a panic.
    Panic,
    /// Not at all: where it refuses, this is the answer, as if it had been done. Of the method's type.
    Forgets(fn() -> Box<dyn Any + Send>),
}

/// Which call fails, and how often it did.
#[derive(Default)]
pub struct Faults {
    failing: Mutex<Option<(&'static str, How)>>,
    fired: AtomicUsize,
    called: Mutex<BTreeSet<&'static str>>,
    forgets_the_window: AtomicBool,
    splits_sign_ups: AtomicBool,
}

#[allow(clippy::unwrap_used, reason = "nobody panics with the lock")]
impl Faults {
    /// From now on this method fails.
    ///
    /// # Panics
    /// If there is no such method.
    pub fn set(&self, method: &'static str, how: How) {
        assert!(METHODS.contains(&method));
        *self.failing.lock().unwrap() = Some((method, how));
        self.fired.store(0, Ordering::SeqCst);
    }

    /// From now on a refresh token that was just used is not known again.
    pub fn forget_the_window(&self) {
        self.forgets_the_window.store(true, Ordering::SeqCst);
    }

    /// From now on a sign-up is two changes: the account, and then its session.
    pub fn split_sign_ups(&self) {
        self.splits_sign_ups.store(true, Ordering::SeqCst);
    }

    /// From now on none fails.
    pub fn clear(&self) {
        *self.failing.lock().unwrap() = None;
    }

    /// How often it failed since it was set, or since this was asked.
    pub fn take_fired(&self) -> usize {
        self.fired.swap(0, Ordering::SeqCst)
    }

    /// The methods that were called since this was asked.
    pub fn take_called(&self) -> BTreeSet<&'static str> {
        std::mem::take(&mut self.called.lock().unwrap())
    }

    fn of(&self, method: &'static str) -> Option<How> {
        self.called.lock().unwrap().insert(method);
        let how = self.failing.lock().unwrap().as_ref().filter(|(name, _)| *name == method).map(|(_, how)| how.clone());
        if how.is_some() {
            self.fired.fetch_add(1, Ordering::SeqCst);
        }
        how
    }
}

/// See the module's text.
pub struct Faulty {
    /// The real one.
    pub inner: Arc<dyn Store>,
    /// What it is told.
    pub faults: Arc<Faults>,
}

/// Nor into the outbox.
#[async_trait]
impl Outbox for Faulty {
    async fn events(&self, which: Which, after: u64, limit: usize) -> Result<Page<Outboxed>, StoreError> {
        self.inner.events(which, after, limit).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.inner.backlog().await
    }

    async fn events_naming(&self, erasure: Erasure) -> Result<EventsOf, StoreError> {
        self.inner.events_naming(erasure).await
    }

    async fn note_deliveries(&self, outcomes: Vec<(u64, Option<Delivery>)>) -> Result<(), StoreError> {
        self.inner.note_deliveries(outcomes).await
    }

    async fn replay_events(&self, which: Replay, act: Act, event: Event) -> Result<u64, StoreError> {
        self.inner.replay_events(which, act, event).await
    }

    async fn trim_events(&self, before: UnixTime, keep: u64, limit: usize) -> Result<Trimmed, StoreError> {
        self.inner.trim_events(before, keep, limit).await
    }

    fn published(&self) -> watch::Receiver<u64> {
        self.inner.published()
    }
}

/// No fault is put into imports.
#[async_trait]
impl Imports for Faulty {
    async fn import(&self, batch: ImportBatch, act: Act, event: Event) -> Result<Vec<Fate>, StoreError> {
        self.inner.import(batch, act, event).await
    }

    async fn preview_import(&self, batch: ImportBatch) -> Result<Vec<Fate>, StoreError> {
        self.inner.preview_import(batch).await
    }

    async fn imports(&self) -> Result<Vec<Import>, StoreError> {
        self.inner.imports().await
    }

    async fn undo_import(
        &self,
        id: ImportId,
        limit: usize,
        act: Act,
        event: Event,
    ) -> Result<Option<Undone>, StoreError> {
        self.inner.undo_import(id, limit, act, event).await
    }
}

/// Nor into the tokens of services.
#[async_trait]
impl ServiceTokens for Faulty {
    async fn service_token(&self, digest: &TokenDigest) -> Result<Option<ServiceToken>, StoreError> {
        self.inner.service_token(digest).await
    }

    async fn service_tokens(&self) -> Result<Vec<ServiceToken>, StoreError> {
        self.inner.service_tokens().await
    }

    async fn create_service_token(&self, token: ServiceToken, act: Act, event: Event) -> Result<(), StoreError> {
        self.inner.create_service_token(token, act, event).await
    }

    async fn revoke_service_token(
        &self,
        name: ServiceName,
        act: Act,
        event: Event,
    ) -> Result<Option<ServiceToken>, StoreError> {
        self.inner.revoke_service_token(name, act, event).await
    }

    async fn note_service_use(&self, digest: TokenDigest, at: UnixTime) -> Result<(), StoreError> {
        self.inner.note_service_use(digest, at).await
    }
}

/// A call that may fail.
macro_rules! call {
    ($store:ident, $name:expr, $out:ty, $call:expr) => {
        match $store.faults.of($name) {
            None => $call.await,
            Some(How::Before(error)) => Err(error),
            Some(How::After(error)) => {
                $call.await?;
                Err(error)
            }
            Some(How::Panic) => panic!("a fault on purpose in {}", $name),
            Some(How::Forgets(answer)) => match $call.await {
                Err(_) => Ok(*answer().downcast::<$out>().expect("it is of this type")),
                done => done,
            },
        }
    };
}

macro_rules! faulty {
    ($(fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $out:ty;)*) => {
        /// The methods that can fail.
        pub const METHODS: &[&str] = &["refresh", "create_user", $(stringify!($name)),*];

        #[async_trait]
        #[allow(clippy::expect_used, reason = "tests are to fail")]
        impl Store for Faulty {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$out, StoreError> {
                call!(self, stringify!($name), $out, self.inner.$name($($arg),*))
            })*

            async fn refresh(&self, mut refresh: Refresh, act: Act) -> Result<Refreshed, StoreError> {
                if self.faults.forgets_the_window.load(Ordering::SeqCst) {
                    refresh.window = Span::ZERO;
                }
                call!(self, "refresh", Refreshed, self.inner.refresh(refresh, act))
            }

            async fn create_user(
                &self,
                user: User,
                credential: Option<Credential>,
                session: Option<NewSession>,
                act: Act,
                event: Event,
            ) -> Result<(), StoreError> {
                if let (true, Some(session)) = (self.faults.splits_sign_ups.load(Ordering::SeqCst), &session) {
                    let (session, epoch) = (session.clone(), user.epoch);
                    self.inner.create_user(user, credential, None, act.clone(), event.clone()).await?;
                    return self.inner.open_session(session, epoch, None, act, event).await;
                }
                call!(self, "create_user", (), self.inner.create_user(user, credential, session, act, event))
            }

            fn keys(&self) -> Arc<KeySet> {
                self.inner.keys()
            }

            fn health(&self) -> Result<(), StoreError> {
                self.inner.health()
            }
        }
    };
}

faulty! {
    fn user(&self, id: &UserId) -> Option<Arc<User>>;
    fn user_by_email(&self, email: &Email) -> Option<Arc<User>>;
    fn user_by_username(&self, username: &str) -> Option<Arc<User>>;
    fn users(&self, query: UserQuery) -> Page<Arc<User>>;
    fn find_users(&self, search: UserSearch) -> Listed;
    fn amend_user(&self, user: UserId, amendment: Amendment, act: Act, event: Event) -> Ended;
    fn credential(&self, user: &UserId) -> Option<Credential>;
    fn session_by_token(&self, digest: &TokenDigest) -> Option<Live>;
    fn session(&self, id: &SessionId) -> Option<Live>;
    fn sessions_of(&self, user: &UserId) -> Vec<Arc<Session>>;
    fn sessions(&self, after: Option<String>, limit: usize) -> Page<Live>;
    fn family(&self, id: &FamilyId) -> Option<Family>;
    fn note_event(&self, act: Act, event: Event) -> ();
    fn secrets(&self) -> Vec<SealedSecret>;
    fn rewrap(&self, version: u64, rewrap: Rewrap, act: Act, event: Event) -> ();
    fn places(&self, user: &UserId) -> Vec<Place>;
    fn counters(&self) -> Vec<Counter>;
    fn audit_checkpoint(&self) -> Option<Checkpoint>;
    fn audit_naming(&self, erasure: Erasure) -> u64;
    fn put_counters(&self, counters: Vec<Counter>, by: Option<(Act, Event)>) -> ();
    fn erase_audit(&self, erasure: Erasure, act: Act) -> Erased;
    fn remove_audit(&self, through: UnixTime, limit: usize, act: Act) -> u64;
    fn audit(&self, query: AuditQuery) -> Page<AuditRecord>;
    fn audit_verify(&self) -> ChainReport;
    fn counts(&self) -> Counts;
    fn check_not_done(&self, key: &IdempotencyKey) -> ();
    fn queue_mail(&self, act: Act) -> ();
    fn link(&self, digest: &TokenDigest) -> Option<Link>;
    fn due_mails(&self, now: UnixTime, limit: usize) -> Vec<Mail>;
    fn mails(&self, after: Option<String>, limit: usize) -> Page<Mail>;
    fn remove_mail(&self, id: MailId) -> ();
    fn note_mail(&self, mail: Mail) -> ();
    fn retry_mails(&self, which: Option<MailId>, act: Act, event: Event) -> u64;
    fn reset_password(&self, credential: Credential, keep_sessions: bool, act: Act, event: Event) -> Ended;
    fn verify_email(&self, user: UserId, session: Option<NewSession>, act: Act, event: Event) -> User;
    fn change_email(&self, user: UserId, epoch: u64, from: Email, to: Email, act: Act, event: Event) -> User;
    fn open_session(&self, new: NewSession, epoch: u64, rehash: Option<Rehash>, act: Act, event: Event) -> ();
    fn update_session(&self, id: SessionId, changes: FieldChanges, now: UnixTime) -> Arc<Session>;
    fn prolong_session(&self, id: SessionId, expires_at: UnixTime, now: UnixTime) -> ();
    fn end_sessions(&self, which: Ending, expect: Option<u64>, act: Act, event: Event) -> Ended;
    fn set_password(
        &self,
        credential: Credential,
        must_change: bool,
        keep: Option<SessionId>,
        act: Act,
        event: Event
    ) -> Ended;
    fn replace_password(&self, user: UserId, epoch: u64, rehash: Rehash, act: Act, event: Event) -> ();
    fn update_profile(&self, user: UserId, profile: Profile, act: Act, event: Event) -> ();
    fn set_ban(&self, user: UserId, ban: Option<Ban>, act: Act, event: Event) -> Option<Ended>;
    fn delete_user(&self, user: UserId, epoch: Option<u64>, act: Act, event: Event) -> Ended;
    fn put_keys(&self, version: u64, keys: Vec<SigningKey>, act: Act, event: Event) -> ();
    fn latest_time(&self) -> UnixTime;
    fn note_time(&self, now: UnixTime) -> ();
    fn note_clock(&self, now: UnixTime, act: Act, event: Event) -> ();
    fn sweep(&self, now: UnixTime, limit: usize) -> u64;
}
