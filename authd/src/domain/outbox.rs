//! Events that the application is told of: which there are, what each says, when it is told again, and when that is given up.

use std::collections::BTreeMap;

use common::{SessionId, Span, UnixTime, UserId};

use super::{Event, EventKind};

macro_rules! topics {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal; )+) => {
        /// What an event is about. Append-only, like the kinds of the audit trail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Topic { $( $(#[doc = $doc])+ $variant, )+ }

        impl Topic {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The name in the `type` of an event.
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

topics! {
    /// An account was made.
    UserCreated = "user.created";
    /// Something of an account has changed: its name, picture, fields, roles.
    UserUpdated = "user.updated";
    /// An account was deleted, with all its sessions.
    UserDeleted = "user.deleted";
    /// Nobody may sign in to the account any more; its sessions have ended.
    UserBanned = "user.banned";
    /// The account may be used again.
    UserUnbanned = "user.unbanned";
    /// A session was opened.
    SessionCreated = "session.created";
    /// Sessions were ended: by their user, by an operator, or because a refresh token was shown twice.
    SessionRevoked = "session.revoked";
    /// The account has another password.
    PasswordChanged = "password.changed";
    /// The user proved the mailbox.
    EmailVerified = "email.verified";
    /// The account has another address.
    EmailChanged = "email.changed";
    /// A new signing key was published.
    KeysRotated = "keys.rotated";
    /// A rotation was taken back.
    KeysRolledBack = "keys.rolled_back";
    /// A signing key must not be trusted any more.
    KeysRevoked = "keys.revoked";
    /// A batch of accounts came in from another server.
    UsersImported = "users.imported";
    /// A batch of accounts that came with an import was deleted.
    ImportUndone = "users.import_undone";
}

impl Topic {
    /// The topic of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|topic| topic.as_str() == name)
    }

    /// What the application is told of an act that stands in the audit trail like this. A sign-up that signs in is two things.
    pub fn of(event: &Event) -> &'static [Self] {
        let opened = event.session.is_some();
        match event.kind {
            EventKind::UserCreated if opened => &[Self::UserCreated, Self::SessionCreated],
            EventKind::UserCreated => &[Self::UserCreated],
            EventKind::UserUpdated | EventKind::RoleSet => &[Self::UserUpdated],
            EventKind::UserDeleted => &[Self::UserDeleted],
            EventKind::UserDisabled => &[Self::UserBanned],
            EventKind::UserEnabled => &[Self::UserUnbanned],
            EventKind::SignedIn | EventKind::ImpersonationBegun => &[Self::SessionCreated],
            EventKind::SignedOut
            | EventKind::SessionRevoked
            | EventKind::ImpersonationEnded
            | EventKind::RefreshReused => &[Self::SessionRevoked],
            EventKind::PasswordSet => &[Self::PasswordChanged],
            EventKind::EmailVerified if opened => &[Self::EmailVerified, Self::SessionCreated],
            EventKind::EmailVerified => &[Self::EmailVerified],
            EventKind::EmailChanged => &[Self::EmailChanged],
            EventKind::KeysRotated => &[Self::KeysRotated],
            EventKind::KeysRolledBack => &[Self::KeysRolledBack],
            EventKind::KeyRevoked => &[Self::KeysRevoked],
            EventKind::UsersImported => &[Self::UsersImported],
            EventKind::ImportUndone => &[Self::ImportUndone],
            EventKind::StoreCreated
            | EventKind::TokenRefreshed
            | EventKind::RefreshRepeated
            | EventKind::KeyErased
            | EventKind::ThrottleCleared
            | EventKind::KeysRewrapped
            | EventKind::CookieCacheShown
            | EventKind::ClockTrusted
            | EventKind::TokensLiveLonger
            | EventKind::AuditRemoved
            | EventKind::AuditErased
            | EventKind::ConfigReloaded
            | EventKind::MailTested
            | EventKind::MailRetried
            | EventKind::HookTested
            | EventKind::ServiceTokenCreated
            | EventKind::ServiceTokenRevoked
            | EventKind::EventsReplayed
            | EventKind::BackupMade
            | EventKind::BackupsRemoved
            | EventKind::StoreRestored => &[],
        }
    }

    /// The same of what an administrator changed, the ban too perhaps.
    pub fn of_amendment(topics: &[Self], is_other_ban: bool, is_banned: bool) -> Vec<Self> {
        let ban = match (is_other_ban, is_banned) {
            (true, true) => Some(Self::UserBanned),
            (true, false) => Some(Self::UserUnbanned),
            (false, _) => None,
        };
        let others = topics.iter().copied().filter(|topic| Some(*topic) != ban);
        others.chain(ban).collect()
    }
}

/// Which details of an act go out with its event: none of them says who somebody is.
const FACTS: [(&str, &str); 7] = [
    ("ended_sessions", "endedSessions"),
    ("sessions", "sessions"),
    ("fields", "changed"),
    ("kid", "kid"),
    ("import", "import"),
    ("users", "users"),
    ("temporary", "temporary"),
];

/// Whether events are written down, and for whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Publishing {
    /// Whether they are: for the stream, and for the application.
    pub is_on: bool,
    /// Whether the application is to be told.
    pub delivers: bool,
}

/// An event as it is stored. It has ids and no personal data: what else the application is told of a user is looked up when
/// it is told, and of one who was deleted there is nothing left to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its place: from 1 on, without gaps.
    pub seq: u64,
    /// Tells it from the event of the same number in a store that was restored.
    pub mark: [u8; 8],
    /// What it is about.
    pub topic: Topic,
    /// When it happened.
    pub at: UnixTime,
    /// To whom.
    pub user: Option<UserId>,
    /// Which session it is about.
    pub session: Option<SessionId>,
    /// What else there is to tell.
    pub facts: BTreeMap<String, String>,
}

impl Outgoing {
    /// Of an act as it stands in the audit trail.
    pub fn new(seq: u64, mark: [u8; 8], topic: Topic, at: UnixTime, event: &Event) -> Self {
        let fact = |(detail, name): (&str, &str)| Some((name.to_owned(), event.details.get(detail)?.clone()));
        let facts = FACTS.into_iter().filter_map(fact).collect();
        Self { seq, mark, topic, at, user: event.user.clone(), session: event.session.clone(), facts }
    }

    /// Its name, the same whenever and however often it is told.
    pub fn id(&self) -> String {
        let mark: String = self.mark.iter().map(|b| format!("{b:02x}")).collect();
        format!("evt_{}_{mark}", self.seq)
    }
}

/// The first wait after a failure.
const FIRST_WAIT: Span = Span::from_secs(5);
/// The longest.
const LONGEST_WAIT: Span = Span::from_mins(15);

/// How far an event is on its way to the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Since when it is to be told.
    pub since: UnixTime,
    /// When it is tried next.
    pub next_try: UnixTime,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last time failed.
    pub error: Option<String>,
    /// Whether it is not tried any more.
    pub is_dead: bool,
}

impl Delivery {
    /// To be tried now.
    pub fn begun(now: UnixTime) -> Self {
        Self { since: now, next_try: now, attempts: 0, error: None, is_dead: false }
    }

    /// After a failure at `now`: tried again after 5 s, 10 s, 20 s … 15 min, or given up, if it has waited for `patience`.
    #[must_use]
    pub fn failed(self, error: String, patience: Span, now: UnixTime) -> Self {
        let wait = Span::from_millis(FIRST_WAIT.as_millis() << self.attempts.min(16)).min(LONGEST_WAIT);
        let is_dead = now >= self.since.plus(patience);
        Self {
            attempts: self.attempts.saturating_add(1),
            error: Some(error),
            is_dead,
            next_try: now.plus(wait),
            ..self
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    pub(crate) fn outgoing() -> Outgoing {
        let event = Event::new(EventKind::UserDeleted).user(&"u1".parse().unwrap()).with("ended_sessions", &2);
        let event = event.session(&"s1".parse().unwrap()).with("source", "192.0.2.1");
        Outgoing::new(7, [0xab; 8], Topic::UserDeleted, NOW, &event)
    }

    #[test]
    fn names_read_back_and_what_is_personal_stays_in_the_trail() {
        assert!(Topic::ALL.iter().all(|topic| Topic::from_name(topic.as_str()) == Some(*topic)));
        let outgoing = outgoing();
        assert_eq!(outgoing.id(), "evt_7_abababababababab");
        assert_eq!(outgoing.facts, BTreeMap::from([("endedSessions".into(), "2".into())]));
    }

    #[test]
    fn an_event_is_told_again_ever_more_rarely_and_given_up_after_its_time() {
        let (mut delivery, mut now, patience) = (Delivery::begun(NOW), NOW, Span::from_hours(1));
        let mut waits = vec![];
        loop {
            delivery = delivery.failed("503".into(), patience, now);
            waits.push(delivery.next_try.since(now).as_secs());
            if delivery.is_dead {
                break;
            }
            now = delivery.next_try;
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900]);
        assert!(!Delivery::begun(now).is_dead);
    }
}
