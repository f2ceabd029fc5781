//! The store, in the words of the domain. Every method that changes something is one **intent**: it happens whole or not
//! at all, is decided where nothing else can come between, carries the audit event of the act it records, and is on disk
//! when it returns. No randomness, clock, mail or log line in it: decide outside, write inside.
//!
//! Implementations: [`sled`] (the product) and [`memory`] (tests and the reference model). Both pass [`contract`]. No
//! method may assume that one process is all there is.

mod chain;
#[cfg(any(test, feature = "test-util"))]
pub mod contract;
mod imports;
pub mod memory;
mod outbox;
mod payload;
mod service_tokens;
pub mod sled;

use std::{fs::File, sync::Arc, time::Duration};

use async_trait::async_trait;
use common::{Email, FamilyId, MailId, SessionId, Span, UnixTime, UserId, admin::Counts};

pub use self::{
    imports::{ImportBatch, Imports, Undone},
    outbox::{Backlog, EventsOf, Outbox, Outboxed, Replay, Trimmed, Which},
    service_tokens::ServiceTokens,
};
use crate::{
    domain::{
        Act, AuditRecord, Ban, Checkpoint, ClientDigest, Credential, Event, EventKind, Family, FieldChanges,
        Generation, IdempotencyKey, KeySet, Link, Mail, Outgoing, PasswordHash, Session, SessionPolicy, SigningKey,
        TokenDigest, User, UserSearch, throttle::Place,
    },
    metrics::Distribution,
};

/// Why the store did not do it. A variant exists where a caller does something else because of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another user has this e-mail address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Another user has this name to sign in with.
    #[error("the username is taken")]
    UsernameTaken,
    /// A service of this name has a token.
    #[error("a service of this name has a token")]
    ServiceNameTaken,
    /// No such user (any more).
    #[error("no such user")]
    NoSuchUser,
    /// No such session (any more).
    #[error("no such session")]
    NoSuchSession,
    /// What the caller decided on has changed meanwhile; nothing was done. Load again and decide again.
    #[error("the state has changed meanwhile")]
    Stale,
    /// An act of this name was done before, as that audit record; nothing was done now.
    #[error("done before, as audit record {0}")]
    Repeated(u64),
    /// Another act was done by this name, as that audit record; nothing was done now.
    #[error("another act had this idempotency key, audit record {0}")]
    OtherAct(u64),
    /// The link that the act is done by is not good (any more).
    #[error("the link is not good")]
    BadLink,
    /// As many things would be touched, and the caller expected another number; nothing was done.
    #[error("{0} would be touched")]
    Unexpected(u64),
    /// The writer's queue is full; nothing was done.
    #[error("the store has too much to do")]
    Busy,
    /// The disk is too full for changes; nothing was done, reading goes on.
    #[error("there is no space for changes")]
    Full,
    /// The store does not take changes any more; whether this one was done is not known.
    #[error("the store does not take changes: {0}")]
    Unavailable(Arc<str>),
    /// What the store lies on could not be read.
    #[error("the store cannot be read: {0}")]
    Unreadable(Arc<str>),
    /// A record is damaged. Never guessed at, never repaired by itself.
    #[error("the record {0} is damaged")]
    Damaged(String),
}

/// A session with its user.
#[derive(Debug, Clone)]
pub struct Live {
    /// The session.
    pub session: Arc<Session>,
    /// Whose it is.
    pub user: Arc<User>,
}

/// A new session and what is to be done along with it.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// Its refresh tokens, if it has any.
    pub family: Option<Family>,
    /// The sessions that this one replaces: those that the browser showed (SE-04). They end, whosever they are.
    pub replaces: Vec<SessionId>,
    /// How many sessions the user may have; the oldest end.
    pub max_per_user: usize,
}

/// A refresh token that was shown, and is genuine.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// Its family.
    pub family: FamilyId,
    /// Its place in it.
    pub shown: Generation,
    /// How long after its rotation it may be shown again.
    pub window: Span,
    /// Who shows it.
    pub client: ClientDigest,
    /// How long the session lives on by it: a refresh is a use of the session.
    pub policy: SessionPolicy,
}

/// What became of a refresh.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// The session lives, and this is its current refresh token.
    Current(Live, Family),
    /// The token was used before: the session has ended.
    Reused,
    /// The session has expired; nothing was changed.
    Expired,
}

/// A throttle's counter of failed sign-ins on one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// What it is known by: a digest.
    pub key: [u8; 16],
    /// Failures as of `last`; with 0 there is no such counter.
    pub count: u32,
    /// The last attempt.
    pub last: UnixTime,
    /// Whom it is about, for operators.
    pub label: Option<String>,
}

/// A new password hash that takes the place of a known old one.
#[derive(Debug, Clone)]
pub struct Rehash {
    /// What must be stored now.
    pub old: PasswordHash,
    /// What takes its place.
    pub new: PasswordHash,
    /// Whether it is another password, which the user chose in place of a temporary one: then the user need not change it
    /// any more, all other sessions end, and the trail tells of it. Otherwise it is the same password, hashed anew.
    pub chosen: bool,
}

/// What a user changes of the own account. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The display name.
    pub name: Option<String>,
    /// The address of a picture; `Some(None)` takes it away.
    pub image: Option<Option<String>>,
    /// The application's fields; `None` takes one's value away.
    pub fields: FieldChanges,
    /// The name to sign in with, in lower case; `Some(None)` takes it away.
    pub username: Option<Option<String>>,
    /// How it is spelled; `Some(None)` takes that away.
    pub display_username: Option<Option<String>>,
}

/// Which sessions to end.
#[derive(Debug, Clone)]
pub enum Ending {
    /// Those of these that exist.
    These(Vec<SessionId>),
    /// All of this user, but perhaps one.
    OfUser {
        /// Whose.
        user: UserId,
        /// The one that stays.
        except: Option<SessionId>,
    },
}

/// How long a link is remembered after its time: so long it is told that it has expired.
pub const LINK_REMEMBERED: Span = Span::from_days(1);

/// How long the name of an act is remembered.
pub const IDEMPOTENCY: Span = Span::from_hours(24);

/// How many sessions ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// Sessions.
    pub sessions: u64,
    /// Users they belonged to.
    pub users: u64,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` if nothing of what was asked for follows.
    pub next: Option<String>,
}

/// Which users to list, in the order of their addresses.
#[derive(Debug, Clone, Default)]
pub struct UserQuery {
    /// Only those whose address or name contains this, whatever the case.
    pub contains: Option<String>,
    /// Only banned ones, or only others.
    pub banned: Option<bool>,
    /// From `Page::next`.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A part of a list of users.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// The part.
    pub users: Vec<Arc<User>>,
    /// How many users are in the whole list.
    pub total: u64,
}

/// What an administrator changes of an account. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amendment {
    /// What users may change themselves.
    pub profile: Profile,
    /// The address.
    pub email: Option<Email>,
    /// Whether it is proved.
    pub email_verified: Option<bool>,
    /// The roles.
    pub role: Option<String>,
    /// The ban; `Some(None)` lifts it.
    pub ban: Option<Option<Ban>>,
}

/// Which audit records to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only about this user.
    pub user: Option<UserId>,
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only from this time on.
    pub since: Option<UnixTime>,
    /// Only before this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// The state of the audit chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// How many records were checked.
    pub records: u64,
    /// First and last.
    pub range: Option<(u64, u64)>,
    /// How many were removed before the first, and the time of the last of them.
    pub removed: Option<(u64, UnixTime)>,
    /// How many of those that were checked have no personal part any more.
    pub erased: u64,
    /// The first record that does not fit, and why.
    pub broken: Option<(u64, String)>,
}

/// Whose records are to forget whom they are about.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// Those that name this user, as the one whom they are about or as the one who acted.
    pub user: UserId,
    /// Only those before this time.
    pub before: Option<UnixTime>,
    /// At most so many, the oldest.
    pub limit: usize,
}

impl Erasure {
    /// Whether an event of the outbox is one that it is about.
    fn concerns(&self, event: &Outgoing) -> bool {
        event.user.as_ref() == Some(&self.user) && self.before.is_none_or(|before| event.at < before)
    }
}

/// What an erasure did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Records that have no personal part any more.
    pub records: u64,
    /// Events of the user that are in the outbox no more.
    pub events: u64,
    /// Those that are left, because of the limit.
    pub left: u64,
}

/// What stands in a store from its first record on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Names the master key.
    pub fingerprint: String,
    /// When the store was made.
    pub created_at: UnixTime,
}

/// A sealed secret that is not a signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// What it is for.
    pub purpose: String,
    /// Tells those of one purpose apart.
    pub id: String,
    /// Sealed under the master key.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: UnixTime,
}

/// A change of the master key: everything that is sealed, sealed anew.
#[derive(Debug, Clone)]
pub struct Rewrap {
    /// The fingerprint of the master key that must be in force.
    pub from: String,
    /// That of the key which takes its place.
    pub to: String,
    /// All signing keys whose private half is kept.
    pub keys: Vec<SigningKey>,
    /// All other sealed secrets.
    pub secrets: Vec<SealedSecret>,
}

/// A snapshot that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshotted {
    /// Everything up to this sequence of the commit log is in it.
    pub sequence: u64,
    /// Its size.
    pub bytes: u64,
    /// How long it took, the reading back included.
    pub took: Duration,
}

/// A snapshot that can be read to its end, also when a newer one takes its place meanwhile.
#[derive(Debug)]
pub struct OpenSnapshot {
    /// Its file.
    pub file: File,
    /// Everything up to this sequence of the commit log is in it.
    pub sequence: u64,
    /// Its size.
    pub bytes: u64,
}

/// What a store's files are like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The last sequence that is committed.
    pub sequence: u64,
    /// The size of the commit log behind the snapshot, in bytes.
    pub log_bytes: u64,
    /// How many segments that is.
    pub log_segments: u64,
    /// The size of the file behind the log, in bytes.
    pub file_bytes: u64,
    /// The newest snapshot: its sequence, its size in bytes, and when it was made.
    pub snapshot: Option<(u64, u64, UnixTime)>,
    /// Why the last snapshot failed, if it did.
    pub problem: Option<String>,
    /// How much room is free where they are, in bytes, if that is known.
    pub free_bytes: Option<u64>,
    /// Below so much nothing is written.
    pub reserve_bytes: u64,
}

/// What a store has done since it was opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Work {
    /// Audit records that were written, by event.
    pub events: Vec<(EventKind, u64)>,
    /// How many intents shared a commit.
    pub groups: Distribution,
    /// How long commits took, in seconds.
    pub commits: Distribution,
    /// Looks into a cache: its name, how many found what they looked for, and how many did not.
    pub lookups: Vec<(&'static str, u64, u64)>,
    /// Answers that failed because something could not be read.
    pub unreadable: u64,
}

/// Keeping a store's files in order, where it has any.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Makes a snapshot of all that is committed: on disk and read back. `None`: nothing is new.
    ///
    /// # Errors
    /// `Full` where there is no room for it; `Unavailable` where the commit log cannot be read, or the store is not what
    /// that says.
    async fn snapshot(&self) -> Result<Option<Snapshotted>, StoreError>;

    /// A snapshot of all that is committed, open to be read.
    ///
    /// # Errors
    /// As for [`Upkeep::snapshot`].
    async fn open_snapshot(&self) -> Result<OpenSnapshot, StoreError>;

    /// What the files are like.
    ///
    /// # Errors
    /// They cannot be read.
    fn files(&self) -> Result<Files, StoreError>;

    /// What the store has done since it was opened.
    fn work(&self) -> Work;
}

/// See the module's text.
#[async_trait]
pub trait Store: Imports + Outbox + ServiceTokens {
    /// The user by id.
    async fn user(&self, id: &UserId) -> Result<Option<Arc<User>>, StoreError>;
    /// The user who owns this address.
    async fn user_by_email(&self, email: &Email) -> Result<Option<Arc<User>>, StoreError>;
    /// The user who signs in with this name, in lower case.
    async fn user_by_username(&self, username: &str) -> Result<Option<Arc<User>>, StoreError>;
    /// A page of users.
    async fn users(&self, query: UserQuery) -> Result<Page<Arc<User>>, StoreError>;
    /// A part of a list of users. It is decided by looking at as few of them as the search allows, at the store's leisure, and
    /// keeps some thousand in memory at most.
    async fn find_users(&self, search: UserSearch) -> Result<Listed, StoreError>;
    /// The user's password.
    async fn credential(&self, user: &UserId) -> Result<Option<Credential>, StoreError>;
    /// The session that a cookie stands for. The caller checks its state and the user's ban.
    async fn session_by_token(&self, digest: &TokenDigest) -> Result<Option<Live>, StoreError>;
    /// The session by its handle.
    async fn session(&self, id: &SessionId) -> Result<Option<Live>, StoreError>;
    /// All sessions of a user, oldest first.
    async fn sessions_of(&self, user: &UserId) -> Result<Vec<Arc<Session>>, StoreError>;
    /// A page of all sessions, in no meaningful order.
    async fn sessions(&self, after: Option<String>, limit: usize) -> Result<Page<Live>, StoreError>;
    /// The refresh tokens of a family.
    async fn family(&self, id: &FamilyId) -> Result<Option<Family>, StoreError>;
    /// The link in a mail, whatever it is worth.
    async fn link(&self, digest: &TokenDigest) -> Result<Option<Link>, StoreError>;
    /// The mails with which something is to be done at `now`, the oldest first, at most `limit`.
    async fn due_mails(&self, now: UnixTime, limit: usize) -> Result<Vec<Mail>, StoreError>;
    /// A page of all mails, in no meaningful order.
    async fn mails(&self, after: Option<String>, limit: usize) -> Result<Page<Mail>, StoreError>;
    /// From where the user signed in of late. Every session that is opened adds to it.
    async fn places(&self, user: &UserId) -> Result<Vec<Place>, StoreError>;
    /// The counters of failed sign-ins that were written down.
    async fn counters(&self) -> Result<Vec<Counter>, StoreError>;
    /// All signing keys. From memory: every signature and every check asks.
    fn keys(&self) -> Arc<KeySet>;
    /// The sealed secrets that are not signing keys, in the order of purpose and id.
    async fn secrets(&self) -> Result<Vec<SealedSecret>, StoreError>;
    /// A page of audit records, newest first.
    async fn audit(&self, query: AuditQuery) -> Result<Page<AuditRecord>, StoreError>;
    /// Walks the whole chain.
    async fn audit_verify(&self) -> Result<ChainReport, StoreError>;
    /// Where the chain begins, if its first records were removed.
    async fn audit_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError>;
    /// How many records [`Store::erase_audit`] would change, its limit apart.
    async fn audit_naming(&self, erasure: Erasure) -> Result<u64, StoreError>;
    /// What is stored.
    async fn counts(&self) -> Result<Counts, StoreError>;
    /// Whether changes are taken.
    ///
    /// # Errors
    /// `Unavailable`, with why not.
    fn health(&self) -> Result<(), StoreError>;

    /// Whether an act by this name was done already. Every intent asks that itself; this is for those who would not come
    /// so far a second time, because the first time has changed what they begin with.
    ///
    /// # Errors
    /// `Repeated`, `OtherAct`.
    async fn check_not_done(&self, key: &IdempotencyKey) -> Result<(), StoreError>;

    /// Makes an account, and a first session if one is given; one event for both.
    ///
    /// # Errors
    /// `EmailTaken`, `UsernameTaken`.
    async fn create_user(
        &self,
        user: User,
        credential: Option<Credential>,
        session: Option<NewSession>,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError>;

    /// Queues the mail of an act that changes nothing else. Without any it is a commit all the same: where answers do not
    /// tell whether there is an account, the work must not (AU-08).
    async fn queue_mail(&self, act: Act) -> Result<(), StoreError>;

    /// Opens a session, if the user still is at `epoch`: a ban, a password change or a deletion that came between the
    /// check of the password and this wins. A ban that is over is taken away.
    ///
    /// # Errors
    /// `Stale`, also if the stored hash is not `rehash.old`; `NoSuchUser`.
    async fn open_session(
        &self,
        new: NewSession,
        epoch: u64,
        rehash: Option<Rehash>,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError>;

    /// Moves the end of a session that was used. Not an audit event. A session that has ended meanwhile stays ended.
    async fn prolong_session(&self, id: SessionId, expires_at: UnixTime, now: UnixTime) -> Result<(), StoreError>;

    /// Changes fields of a session. Not an audit event. Answers the session as it is then.
    ///
    /// # Errors
    /// `NoSuchSession`; `Stale` if the fields would have more than [`Session::MAX_FIELD_BYTES`].
    async fn update_session(
        &self,
        id: SessionId,
        changes: FieldChanges,
        now: UnixTime,
    ) -> Result<Arc<Session>, StoreError>;

    /// Uses a refresh token: decides by [`Family::judge`], prolongs the session, ends it if the token was used before.
    /// Events `token.refreshed`, `token.refresh_repeated` (each once in 24 hours, the latter for each kind of client) and
    /// `token.refresh_reused`.
    ///
    /// # Errors
    /// `NoSuchSession`, also if the user is banned or gone.
    async fn refresh(&self, refresh: Refresh, act: Act) -> Result<Refreshed, StoreError>;

    /// Ends sessions, with everything that hangs on them. One event per user whose sessions ended; none, and no change,
    /// if there were none.
    ///
    /// # Errors
    /// `Unexpected` if `expect` is another number.
    async fn end_sessions(
        &self,
        which: Ending,
        expect: Option<u64>,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError>;

    /// Sets a password and ends all sessions of the user but `keep`.
    ///
    /// # Errors
    /// `NoSuchUser`.
    async fn set_password(
        &self,
        credential: Credential,
        must_change: bool,
        keep: Option<SessionId>,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError>;

    /// Puts a new password in the place of the one that was checked, and ends no session. Sign-ins under way are void.
    ///
    /// # Errors
    /// `Stale` if the user is not at `epoch` any more, or the stored hash is not `rehash.old`; `NoSuchUser`.
    async fn replace_password(
        &self,
        user: UserId,
        epoch: u64,
        rehash: Rehash,
        act: Act,
        event: Event,
    ) -> Result<(), StoreError>;

    /// Sets the password by a link, whatever it was, and ends all sessions unless they are to stay; also then, if nobody
    /// had proved the mailbox yet: whoever had the account till now may be somebody else (RC-07).
    ///
    /// # Errors
    /// `BadLink`, `NoSuchUser`.
    async fn reset_password(
        &self,
        credential: Credential,
        keep_sessions: bool,
        act: Act,
        event: Event,
    ) -> Result<Ended, StoreError>;

    /// The user has proved the mailbox, by the link of the act. What that link claims comes into force, and then all sessions
    /// end. Opens a session, if one is given. The link stays, as a used one. Answers the user as stored.
    ///
    /// # Errors
    /// `BadLink`.
    async fn verify_email(
        &self,
        user: UserId,
        session: Option<NewSession>,
        act: Act,
        event: Event,
    ) -> Result<User, StoreError>;

    /// Gives the account another address, if the user still is at `epoch` and has the address `from`. Answers the user as
    /// stored.
    ///
    /// # Errors
    /// `BadLink` if the act has a link that is none; `EmailTaken`, `Stale`, `NoSuchUser`.
    async fn change_email(
        &self,
        user: UserId,
        epoch: u64,
        from: Email,
        to: Email,
        act: Act,
        event: Event,
    ) -> Result<User, StoreError>;

    /// Changes what users may change of their own accounts.
    ///
    /// # Errors
    /// `NoSuchUser`, `UsernameTaken`; `Stale` if the fields, which others changed meanwhile, would have more than [`User::MAX_FIELD_BYTES`].
    async fn update_profile(&self, user: UserId, profile: Profile, act: Act, event: Event) -> Result<(), StoreError>;

    /// Bans a user and ends all sessions, or lifts the ban. Nothing happens, and no event is written, if that is the state
    /// already: then the answer is `None`.
    ///
    /// # Errors
    /// `NoSuchUser`.
    async fn set_ban(
        &self,
        user: UserId,
        ban: Option<Ban>,
        act: Act,
        event: Event,
    ) -> Result<Option<Ended>, StoreError>;

    /// Changes what administrators may change of other people's accounts. A ban that is not the one in force ends all sessions, or
    /// is lifted, as by [`Store::set_ban`].
    ///
    /// # Errors
    /// `EmailTaken`, `UsernameTaken`, `NoSuchUser`.
    async fn amend_user(&self, user: UserId, amendment: Amendment, act: Act, event: Event)
    -> Result<Ended, StoreError>;

    /// Deletes a user with everything that belongs to the account.
    ///
    /// # Errors
    /// `Stale` if an epoch is given and the user is at another one; `NoSuchUser`.
    async fn delete_user(&self, user: UserId, epoch: Option<u64>, act: Act, event: Event) -> Result<Ended, StoreError>;

    /// Writes signing keys, if the set still is at `version`.
    ///
    /// # Errors
    /// `Stale`.
    async fn put_keys(&self, version: u64, keys: Vec<SigningKey>, act: Act, event: Event) -> Result<(), StoreError>;

    /// Changes the master key: everything that is sealed and the store's fingerprint are replaced as one change, so that
    /// the store opens with exactly one of the two keys whenever the power goes.
    ///
    /// # Errors
    /// `Stale` if the set is not at `version` any more, another master key is in force, or something sealed is missing
    /// from `rewrap`: it would be lost.
    async fn rewrap(&self, version: u64, rewrap: Rewrap, act: Act, event: Event) -> Result<(), StoreError>;

    /// The latest time that is on record: of the newest audit record, or noted.
    async fn latest_time(&self) -> Result<UnixTime, StoreError>;

    /// Notes that it has been so late.
    async fn note_time(&self, now: UnixTime) -> Result<(), StoreError>;

    /// Writes counters of failed sign-ins down; those of 0 are removed. An operator's act is recorded.
    async fn put_counters(&self, counters: Vec<Counter>, by: Option<(Act, Event)>) -> Result<(), StoreError>;

    /// Notes that it is so late, whatever was noted before.
    async fn note_clock(&self, now: UnixTime, act: Act, event: Event) -> Result<(), StoreError>;

    /// Takes a mail out of the queue, because it was sent or is not worth it.
    async fn remove_mail(&self, id: MailId) -> Result<(), StoreError>;

    /// Writes down what became of a try. A mail that is not in the queue any more does not come back.
    async fn note_mail(&self, mail: Mail) -> Result<(), StoreError>;

    /// Lets a mail be tried again at once, or all that have failed. Answers how many; the event is written if there are any.
    async fn retry_mails(&self, which: Option<MailId>, act: Act, event: Event) -> Result<u64, StoreError>;

    /// Erases the personal part of records; the chain stays whole. Event `audit.erased`; none, and no change, if there is
    /// nothing to erase. Records that come while it is under way stay as they are.
    async fn erase_audit(&self, erasure: Erasure, act: Act) -> Result<Erased, StoreError>;

    /// Removes records of no later time than `through` from the beginning of the chain, at most `limit`, and never the
    /// newest; and stores a checkpoint in their place, from which the chain can be checked. Answers how many. When nothing
    /// more is due (fewer than `limit`), one event `audit.removed` tells of all steps since the last; removing nothing but
    /// such events makes none.
    ///
    /// # Errors
    /// `Damaged` if a record does not fit: what was tampered with stays.
    async fn remove_audit(&self, through: UnixTime, limit: usize, act: Act) -> Result<u64, StoreError>;

    /// Records an event that changes nothing else in the store.
    async fn note_event(&self, act: Act, event: Event) -> Result<(), StoreError>;

    /// Removes sessions that ended before `now`, and links of mails that expired a while before, at most `limit` of each.
    /// Answers how many there were; 0 is the end.
    async fn sweep(&self, now: UnixTime, limit: usize) -> Result<u64, StoreError>;
}
