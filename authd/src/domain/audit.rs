//! Security events: what is recorded of an act, in the same change as the act itself.

use std::collections::BTreeMap;

use common::{RequestId, ServiceName, SessionId, UnixTime, UserId};

use super::mail::{Post, Spent};

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Nobody is signed in.
    Anonymous,
    /// A user, by a session.
    User(UserId),
    /// Somebody on the admin socket; uid and pid are the kernel's word.
    Operator {
        /// Of the peer process.
        uid: u32,
        /// Of the peer process.
        pid: Option<i32>,
        /// The account's name on this host.
        name: Option<String>,
    },
    /// An application's backend, by its token.
    Service(ServiceName),
    /// The daemon by itself: sweeper, automatic rotation.
    Daemon,
}

/// By what it was known who acts (ASVS 16.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The password of the account.
    Password,
    /// A living session, by its cookie or a JWT.
    Session,
    /// A living session in which an administrator acts as another user.
    Impersonation,
    /// A refresh token.
    RefreshToken,
    /// The link of a mail to the account's address.
    MailLink,
    /// The token of a service.
    ServiceToken,
    /// The kernel's word about a peer of the admin socket.
    Socket,
    /// Nobody else can act by it.
    Daemon,
}

impl Method {
    /// The name in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Session => "session",
            Self::Impersonation => "impersonation",
            Self::RefreshToken => "refresh_token",
            Self::MailLink => "mail_link",
            Self::ServiceToken => "service_token",
            Self::Socket => "socket",
            Self::Daemon => "daemon",
        }
    }
}

/// The circumstances of an act, the same for every event it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Who.
    pub by: Actor,
    /// By what that was known.
    pub method: Method,
    /// When, read once.
    pub at: UnixTime,
    /// Which request.
    pub request_id: Option<RequestId>,
    /// From which client address.
    pub source: Option<String>,
    /// The operator's `--reason`.
    pub reason: Option<String>,
    /// The caller's own name for this act: the store does an act of one name once.
    pub idempotency: Option<IdempotencyKey>,
    /// The link in a mail that it is done by: it must be good, and is used up by the same change.
    pub link: Option<Spent>,
    /// The mail that it calls for: queued by the same change.
    pub post: Vec<Post>,
}

/// The name that a caller gave to an act, and what was asked for under that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The name.
    pub name: String,
    /// A digest of the request: the same name for something else is a mistake, and not a repetition.
    pub request: [u8; 32],
}

impl Act {
    /// Something that the daemon does by itself.
    pub fn by_daemon(at: UnixTime) -> Self {
        let (by, method) = (Actor::Daemon, Method::Daemon);
        let (link, post) = (None, vec![]);
        Self { by, method, at, request_id: None, source: None, reason: None, idempotency: None, link, post }
    }

    /// With this mail.
    #[must_use]
    pub fn with_post(mut self, post: impl IntoIterator<Item = Post>) -> Self {
        self.post.extend(post);
        self
    }
}

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal; )+) => {
        /// What happened. Append-only, like the error codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind { $( $(#[doc = $doc])+ $variant, )+ }

        impl EventKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The name in the log.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// What it means, for the manual.
            pub const fn describe(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+), )+ }
            }
        }
    };
}

kinds! {
    /// The store was made, with its first keys.
    StoreCreated = "store.created";
    /// Somebody signed up, or an operator made an account.
    UserCreated = "user.created";
    /// The account and everything that belongs to it was deleted.
    UserDeleted = "user.deleted";
    /// Nobody may sign in to the account any more.
    UserDisabled = "user.disabled";
    /// The account may be used again.
    UserEnabled = "user.enabled";
    /// A password was set, by its owner or an operator.
    PasswordSet = "password.set";
    /// A sign-in succeeded and made a session.
    SignedIn = "session.created";
    /// The user signed out.
    SignedOut = "session.signed_out";
    /// A session was ended from outside: by another device of the user, or by an operator.
    SessionRevoked = "session.revoked";
    /// A refresh token was used and replaced, the first time in each 24 hours of the session.
    TokenRefreshed = "token.refreshed";
    /// A refresh token was shown again within the window, by the same or another client; one record of each in 24 hours.
    RefreshRepeated = "token.refresh_repeated";
    /// A refresh token was shown that had been used before: somebody has a copy, and the session ended.
    RefreshReused = "token.refresh_reused";
    /// A new signing key was published.
    KeysRotated = "keys.rotated";
    /// A rotation was taken back.
    KeysRolledBack = "keys.rolled_back";
    /// A signing key was declared unusable.
    KeyRevoked = "keys.revoked";
    /// The private half of a key was erased, because its last token has expired.
    KeyErased = "keys.erased";
    /// An operator let somebody try again who had failed too often.
    ThrottleCleared = "throttle.cleared";
    /// The master key was changed: everything sealed was sealed anew, and the old key opens the store no more.
    KeysRewrapped = "keys.rewrapped";
    /// An operator was shown the secret of the copies of sessions that browsers carry.
    CookieCacheShown = "keys.cookie_cache_shown";
    /// An operator declared the host's clock right, although there were records of a later time.
    ClockTrusted = "clock.trusted";
    /// Signing keys may sign tokens of a longer life than before.
    TokensLiveLonger = "keys.tokens_live_longer";
    /// The oldest audit records were removed, because they were older than the retention allows.
    AuditRemoved = "audit.removed";
    /// What audit records said of a user was erased.
    AuditErased = "audit.erased";
    /// The configuration was read again while the daemon ran: what was applied, and what needs a restart.
    ConfigReloaded = "config.reloaded";
    /// Users changed their own name, picture or the like, or an administrator among the users did.
    UserUpdated = "user.updated";
    /// The roles of a user were set.
    RoleSet = "user.role_set";
    /// An administrator began to act as another user.
    ImpersonationBegun = "session.impersonation_begun";
    /// An administrator acts as another user no more.
    ImpersonationEnded = "session.impersonation_ended";
    /// The user proved the mailbox of the account's address.
    EmailVerified = "user.email_verified";
    /// The account has another address.
    EmailChanged = "user.email_changed";
    /// An operator sent a mail to see whether it arrives.
    MailTested = "mail.tested";
    /// An operator let mails be tried again that had failed.
    MailRetried = "mail.retried";
    /// Accounts of another server came in, a batch of them.
    UsersImported = "import.stored";
    /// Accounts that came with an import were deleted, a batch of them.
    ImportUndone = "import.undone";
    /// A backup of the whole store was made.
    BackupMade = "backup.made";
    /// Backups were removed, by an operator or because there are newer ones.
    BackupsRemoved = "backup.removed";
    /// The store was made anew from a backup: all sessions ended, and all signing keys were replaced.
    StoreRestored = "store.restored";
    /// An operator called a hook to see what it answers.
    HookTested = "hook.tested";
    /// An operator let events be told to the application once more.
    EventsReplayed = "events.replayed";
    /// An operator made a token for a service.
    ServiceTokenCreated = "service.token_created";
    /// An operator revoked the token of a service.
    ServiceTokenRevoked = "service.token_revoked";
}

impl EventKind {
    /// How it ended for who acted: what was refused to strangers is not in the trail, but in the log.
    pub const fn result(self) -> &'static str {
        match self {
            Self::RefreshReused => "failure",
            _ => "success",
        }
    }
}

/// An event without its circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To whom.
    pub user: Option<UserId>,
    /// By which session, or to which.
    pub session: Option<SessionId>,
    /// What else is to be known. Never a secret; values are shown to operators.
    pub details: BTreeMap<&'static str, String>,
}

impl Event {
    /// An event about nothing in particular.
    pub fn new(kind: EventKind) -> Self {
        Self { kind, user: None, session: None, details: BTreeMap::new() }
    }

    /// About this user.
    #[must_use]
    pub fn user(mut self, user: &UserId) -> Self {
        self.user = Some(user.clone());
        self
    }

    /// About this session.
    #[must_use]
    pub fn session(mut self, session: &SessionId) -> Self {
        self.session = Some(session.clone());
        self
    }

    /// What is recorded before this event of a new session if a password was chosen with it: that is an act of its own,
    /// unless this event tells of it already.
    pub fn of_chosen_password(&self) -> Option<Self> {
        let said = Self { user: self.user.clone(), ..Self::new(EventKind::PasswordSet).with("sessions", "ended") };
        (self.kind != EventKind::PasswordSet).then_some(said)
    }

    /// With one more detail.
    #[must_use]
    pub fn with<V: ToString + ?Sized>(mut self, name: &'static str, value: &V) -> Self {
        self.details.insert(name, value.to_string());
        self
    }
}

/// A stored event: its place in the chain, what it says, and the MAC that ties it to all before it. The MAC runs over a
/// digest of the personal part, so that this can be erased under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// From 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: UnixTime,
    /// What stays as long as the record, as JSON text: what happened and how it ended, what kind of actor did it, known by what, and which operator.
    pub open: String,
    /// Everything else: which user and session, from where, why.
    pub personal: Personal,
    /// A keyed digest of the personal part as it was written: without the key nobody can try guesses on it.
    pub digest: [u8; 32],
    /// HMAC-SHA-256 over [`chain_input`].
    pub mac: [u8; 32],
}

/// The part of a record that can be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Personal {
    /// JSON text.
    Kept(String),
    /// Gone.
    Erased {
        /// The record of the erasure.
        by: u64,
        /// HMAC-SHA-256 over [`erasure_input`]: only who has the key can have erased it.
        proof: [u8; 32],
    },
}

impl Personal {
    /// What it says, if it still does.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Kept(text) => Some(text),
            Self::Erased { .. } => None,
        }
    }
}

/// An end of the audit chain: a record's number and MAC. All zero before the first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainHead {
    /// Of the record.
    pub seq: u64,
    /// Of the record.
    pub mac: [u8; 32],
}

/// Where the chain begins since its first records were removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last removed record: the first one that is left fits behind it.
    pub last: ChainHead,
    /// The time of that record.
    pub until: UnixTime,
    /// When it was removed.
    pub at: UnixTime,
    /// Up to which record an event has told of the removal.
    pub told: u64,
    /// Whether something was removed since then that is worth an event. Removing such an event is not.
    pub owes: bool,
    /// Whether everything was removed that was due.
    pub finished: bool,
    /// HMAC-SHA-256 over [`checkpoint_input`].
    pub proof: [u8; 32],
}

/// What the MAC of a record runs over: the MAC before it, its number, its time and the digests of what it says, each of
/// fixed width.
pub fn chain_input(before: &[u8; 32], seq: u64, at: UnixTime, open: &[u8; 32], personal: &[u8; 32]) -> [u8; 112] {
    let mut input = [0; 112];
    input[..32].copy_from_slice(before);
    input[32..40].copy_from_slice(&seq.to_be_bytes());
    input[40..48].copy_from_slice(&at.as_millis().to_be_bytes());
    input[48..80].copy_from_slice(open);
    input[80..].copy_from_slice(personal);
    input
}

// Under the same key as the chain: each begins with a text of its own, which no MAC before a record is.

/// What the digest of a personal part runs over, before its text. The number makes equal texts different.
pub fn personal_input(seq: u64) -> Vec<u8> {
    [b"authd audit personal v1".as_slice(), &[0], &seq.to_be_bytes()].concat()
}

/// What the proof of an erasure runs over.
pub fn erasure_input(seq: u64, digest: &[u8; 32], by: u64) -> Vec<u8> {
    [b"authd audit erasure v1".as_slice(), &[0], &seq.to_be_bytes(), digest, &by.to_be_bytes()].concat()
}

/// What the proof of a checkpoint runs over: everything else in it.
pub fn checkpoint_input(c: &Checkpoint) -> Vec<u8> {
    let (until, at) = (c.until.as_millis().to_be_bytes(), c.at.as_millis().to_be_bytes());
    let flags = [u8::from(c.owes), u8::from(c.finished)];
    let seqs = (c.last.seq.to_be_bytes(), c.told.to_be_bytes());
    [b"authd audit checkpoint v1".as_slice(), &[0], &seqs.0, &c.last.mac, &until, &at, &seqs.1, &flags].concat()
}

/// What the name of a user in the record of an erasure is made of: nobody can read the id from it, and who knows the id
/// can compare.
pub fn marker_input(user: &UserId) -> Vec<u8> {
    [b"authd audit marker v1".as_slice(), &[0], user.as_str().as_bytes()].concat()
}
