//! Sessions: how long they live, and when use prolongs them.

use std::fmt;

use common::{FamilyId, SessionId, Span, UnixTime, UserId};

use super::FieldValues;

/// SHA-256 of an opaque token: all that is ever stored of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenDigest(pub [u8; 32]);

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenDigest({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// A signed-in device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The public handle.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Of the session token that the cookie carries.
    pub digest: TokenDigest,
    /// When the user signed in.
    pub created_at: UnixTime,
    /// When it was last prolonged.
    pub updated_at: UnixTime,
    /// When it ends unless it is used before.
    pub expires_at: UnixTime,
    /// When it ends at the latest, whatever is done with it.
    pub absolute_expires_at: UnixTime,
    /// Better Auth's `rememberMe`: false gives a short session that use does not prolong.
    pub remember: bool,
    /// The client's address at sign-in, canonical; empty if unknown.
    pub ip_address: String,
    /// The client's `User-Agent` at sign-in; empty if none.
    pub user_agent: String,
    /// How the user authenticated (RFC 8176 words: `pwd`).
    pub methods: Vec<String>,
    /// The refresh tokens that hang on it.
    pub family: Option<FamilyId>,
    /// The application's own fields.
    pub fields: FieldValues,
    /// Who acts as the user, if it is not the user.
    pub impersonation: Option<Impersonation>,
}

/// An administrator acts as another user (AZ-07). It lives no longer than the session from which it was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonation {
    /// The administrator.
    pub by: UserId,
    /// The administrator's own session.
    pub from: SessionId,
}

/// The configured limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPolicy {
    /// How long a session lives without use (sliding). Better Auth: 7 d.
    pub expires_in: Span,
    /// A session is prolonged at most this often. Better Auth: 1 d.
    pub update_age: Span,
    /// How long a session lives whatever is done with it (SE-09). 30 d.
    pub absolute: Span,
    /// How long a session lives that is not to be remembered. Better Auth: 1 d.
    pub unremembered: Span,
    /// How long after sign-in a session counts as fresh; zero: always. Better Auth: 1 d.
    pub fresh_age: Span,
    /// How many sessions one user may have; the oldest ends when a new one is opened (SE-10).
    pub max_per_user: usize,
}

/// What a session is at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// It may be used.
    Active,
    /// It was not used for too long.
    IdleExpired,
    /// Its absolute limit is reached.
    Expired,
}

impl SessionState {
    /// The word that operators see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::IdleExpired => "idle_expired",
            Self::Expired => "expired",
        }
    }
}

impl SessionPolicy {
    /// When a session that is opened at `now` ends: (unless used, at the latest).
    pub fn limits(&self, now: UnixTime, remember: bool) -> (UnixTime, UnixTime) {
        let absolute = now.plus(self.absolute);
        let idle = now.plus(if remember { self.expires_in } else { self.unremembered });
        (idle.min(absolute), absolute)
    }

    /// The same for uses that prolong nothing: from now on no time is added.
    #[must_use]
    pub fn without_prolonging(self) -> Self {
        Self { expires_in: Span::ZERO, ..self }
    }
}

impl Session {
    /// How much the application's fields may take together: with the longest user agent they fit a record.
    pub const MAX_FIELD_BYTES: usize = 1024;

    /// The state at `now`. A limit is reached in the very millisecond it names (`now >= limit`), as for `exp` in
    /// RFC 7519 §4.1.4. Which limits: SP 800-63B-4 §5.2.
    pub fn state(&self, now: UnixTime) -> SessionState {
        if now >= self.absolute_expires_at {
            SessionState::Expired
        } else if now >= self.expires_at {
            SessionState::IdleExpired
        } else {
            SessionState::Active
        }
    }

    /// The new end of the session if a use at `now` prolongs it: Better Auth's rule, once per `update_age`
    /// (`expires_at - expires_in + update_age <= now`), never past the absolute limit, never for a session that is not
    /// remembered.
    pub fn prolonged(&self, policy: &SessionPolicy, now: UnixTime) -> Option<UnixTime> {
        let due = now.plus(policy.expires_in) >= self.expires_at.plus(policy.update_age);
        let end = now.plus(policy.expires_in).min(self.absolute_expires_at);
        (self.remember && due && end > self.expires_at && self.state(now) == SessionState::Active).then_some(end)
    }

    /// Whether the sign-in is recent enough for acts that need it.
    pub fn is_fresh(&self, policy: &SessionPolicy, now: UnixTime) -> bool {
        policy.fresh_age == Span::ZERO || now < self.created_at.plus(policy.fresh_age)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::User;

    pub(crate) fn user() -> User {
        User {
            id: "u1".parse().unwrap(),
            email: "ada@example.com".parse().unwrap(),
            email_verified: false,
            name: "Ada".into(),
            image: None,
            username: None,
            display_username: None,
            fields: FieldValues::default(),
            role: "user".into(),
            ban: None,
            password_change_required: false,
            epoch: 0,
            created_at: UnixTime::EPOCH,
            updated_at: UnixTime::EPOCH,
        }
    }

    pub(crate) fn policy() -> SessionPolicy {
        SessionPolicy {
            expires_in: Span::from_days(7),
            update_age: Span::from_days(1),
            absolute: Span::from_days(30),
            unremembered: Span::from_days(1),
            fresh_age: Span::from_days(1),
            max_per_user: 100,
        }
    }

    pub(crate) fn session(now: UnixTime, remember: bool) -> Session {
        let (expires_at, absolute_expires_at) = policy().limits(now, remember);
        Session {
            id: "s1".parse().unwrap(),
            user: "u1".parse().unwrap(),
            digest: TokenDigest([7; 32]),
            created_at: now,
            updated_at: now,
            expires_at,
            absolute_expires_at,
            remember,
            ip_address: String::new(),
            user_agent: String::new(),
            methods: vec!["pwd".into()],
            family: None,
            fields: FieldValues::default(),
            impersonation: None,
        }
    }

    const MS: Span = Span::from_millis(1);

    #[test]
    fn se_09_a_session_ends_at_its_limit_and_not_a_millisecond_before() {
        let start = UnixTime::from_secs(1_000_000);
        let s = session(start, true);
        let idle = start.plus(Span::from_days(7));
        assert_eq!(s.state(idle.minus(MS)), SessionState::Active);
        assert_eq!(s.state(idle), SessionState::IdleExpired);
        let absolute = start.plus(Span::from_days(30));
        let kept = Session { expires_at: absolute.plus(Span::from_days(7)), ..s };
        assert_eq!(kept.state(absolute.minus(MS)), SessionState::Active);
        assert_eq!(kept.state(absolute), SessionState::Expired);
    }

    #[test]
    fn use_prolongs_a_session_once_a_day_and_never_past_the_absolute_limit() {
        let start = UnixTime::from_secs(1_000_000);
        let mut s = session(start, true);
        let day = start.plus(Span::from_days(1));
        assert_eq!(s.prolonged(&policy(), day.minus(MS)), None);
        assert_eq!(s.prolonged(&policy(), day), Some(day.plus(Span::from_days(7))));
        s.expires_at = start.plus(Span::from_days(29));
        let late = start.plus(Span::from_days(28));
        assert_eq!(s.prolonged(&policy(), late), Some(start.plus(Span::from_days(30))));
        s.expires_at = s.absolute_expires_at;
        assert_eq!(s.prolonged(&policy(), late), None);
    }

    #[test]
    fn a_session_that_is_not_remembered_lives_a_day_and_is_not_prolonged() {
        let start = UnixTime::from_secs(1_000_000);
        let s = session(start, false);
        assert_eq!(s.expires_at, start.plus(Span::from_days(1)));
        assert_eq!(s.prolonged(&policy(), start.plus(Span::from_hours(23))), None);
    }

    #[test]
    fn freshness_counts_from_the_sign_in() {
        let start = UnixTime::from_secs(1_000_000);
        let s = session(start, true);
        assert!(s.is_fresh(&policy(), start.plus(Span::from_days(1)).minus(MS)));
        assert!(!s.is_fresh(&policy(), start.plus(Span::from_days(1))));
        let always = SessionPolicy { fresh_age: Span::ZERO, ..policy() };
        assert!(s.is_fresh(&always, UnixTime::MAX));
    }
}
