//! Mails and the links in them: what a link is good for and how long, what waits to be sent, and when it is tried again.

use common::{Email, MailId, Span, UnixTime, UserId};

use super::{Credential, TokenDigest, User};

/// What a link in a mail is for. It does nothing else (RC-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Proves the mailbox of the account's address.
    VerifyEmail,
    /// Sets a new password.
    ResetPassword,
    /// Agrees, at the old address, that the address is changed.
    ConfirmChange,
    /// Proves the mailbox of the new address, which then is the account's.
    VerifyChange,
    /// Deletes the account.
    DeleteUser,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::VerifyEmail, Self::ResetPassword, Self::ConfirmChange, Self::VerifyChange, Self::DeleteUser];

    /// The name in a record: append-only.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
            Self::ResetPassword => "reset-password",
            Self::ConfirmChange => "confirm-change",
            Self::VerifyChange => "verify-change",
            Self::DeleteUser => "delete-user",
        }
    }

    /// The purpose of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == name)
    }
}

/// What a sign-up asked for whose address had an account that nobody had proved: it takes the place of what that account
/// had, if its link is followed (RC-07).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The password of that sign-up.
    pub credential: Credential,
    /// Its name.
    pub name: String,
}

/// A link that was put into a mail. Its token is not in here, and nothing from which it could be made without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What is known of its token.
    pub digest: TokenDigest,
    /// What it is for.
    pub purpose: Purpose,
    /// Whose it is.
    pub user: UserId,
    /// The user's address when it was made. Any other, and it is void.
    pub email: Email,
    /// The user's epoch when it was made: a new password, a ban, and it is void.
    pub epoch: u64,
    /// The address that is to become the user's.
    pub new_email: Option<Email>,
    /// What comes into force with the proof.
    pub claim: Option<Claim>,
    /// When it was made.
    pub created_at: UnixTime,
    /// From this millisecond on it is worth nothing.
    pub expires_at: UnixTime,
    /// Whether it did its work already.
    pub is_used: bool,
}

/// What a link is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It does what it is for.
    Good,
    /// It did.
    Used,
    /// Its time is over.
    Expired,
    /// It is for something else, or the account is not as it was.
    Void,
}

impl Link {
    /// What it is worth at `now` for this purpose, the user being as given.
    pub fn state(&self, user: Option<&User>, purpose: Purpose, now: UnixTime) -> LinkState {
        let fits = |user: &&User| user.id == self.user && user.email == self.email;
        match user.filter(fits) {
            _ if self.purpose != purpose => LinkState::Void,
            _ if now >= self.expires_at => LinkState::Expired,
            Some(_) if self.is_used => LinkState::Used,
            Some(user) if user.epoch == self.epoch => LinkState::Good,
            Some(_) | None => LinkState::Void,
        }
    }
}

/// The link that an act is done by, and is used up by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Which.
    pub digest: TokenDigest,
    /// What for.
    pub purpose: Purpose,
}

/// The kinds of mails. Each has a template of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// The link that proves the mailbox.
    VerifyEmail,
    /// The link that sets a new password.
    ResetPassword,
    /// To the old address: the link that agrees to a new one.
    ConfirmChange,
    /// To the new address: the link that makes it the account's.
    VerifyChange,
    /// The link that deletes the account.
    DeleteUser,
    /// To the old address: it is not the account's any more.
    EmailChanged,
    /// The password was set by a link.
    PasswordReset,
    /// Somebody signed up with an address that has an account.
    AccountExists,
    /// An operator tries whether mail arrives.
    Test,
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::VerifyEmail,
        Self::ResetPassword,
        Self::ConfirmChange,
        Self::VerifyChange,
        Self::DeleteUser,
        Self::EmailChanged,
        Self::PasswordReset,
        Self::AccountExists,
        Self::Test,
    ];

    /// The name in a record and of the files: append-only.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
            Self::ResetPassword => "reset-password",
            Self::ConfirmChange => "confirm-change",
            Self::VerifyChange => "verify-change",
            Self::DeleteUser => "delete-user",
            Self::EmailChanged => "email-changed",
            Self::PasswordReset => "password-reset",
            Self::AccountExists => "account-exists",
            Self::Test => "test",
        }
    }

    /// The template of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|template| template.as_str() == name)
    }

    /// The mail with the link for this purpose.
    pub const fn of(purpose: Purpose) -> Self {
        match purpose {
            Purpose::VerifyEmail => Self::VerifyEmail,
            Purpose::ResetPassword => Self::ResetPassword,
            Purpose::ConfirmChange => Self::ConfirmChange,
            Purpose::VerifyChange => Self::VerifyChange,
            Purpose::DeleteUser => Self::DeleteUser,
        }
    }
}

/// What a mail says of its link: with the key, the token can be made again from it; without, it is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailedLink {
    /// What the token is made from.
    pub nonce: [u8; 16],
    /// What is known of it.
    pub digest: TokenDigest,
    /// What it is for.
    pub purpose: Purpose,
    /// Where it leads in the end, as the request said.
    pub target: String,
}

/// A mail that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Names it in the queue, and as `Message-ID`, whenever it is sent.
    pub id: MailId,
    /// Which one.
    pub template: Template,
    /// To whom.
    pub to: Email,
    /// The user whom it is about, if any.
    pub user: Option<UserId>,
    /// The user's name.
    pub name: String,
    /// The other address that it speaks of.
    pub new_email: Option<Email>,
    /// The link in it.
    pub link: Option<MailedLink>,
    /// When it was queued.
    pub created_at: UnixTime,
    /// From this millisecond on it is not worth sending.
    pub send_by: UnixTime,
    /// When something is to be done with it: it is sent, or, given up, removed.
    pub next_try: UnixTime,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last time failed.
    pub error: Option<String>,
    /// Whether it is not tried any more.
    pub is_dead: bool,
}

/// The first wait after a failure.
const FIRST_WAIT: Span = Span::from_secs(30);
/// The longest.
const LONGEST_WAIT: Span = Span::from_hours(1);
/// How long operators can look at a mail that was given up.
pub const DEAD_FOR: Span = Span::from_days(14);

impl Mail {
    /// The mail after a failure at `now`: tried again after 30 s, 1 min, 2 min … 1 h, or given up, if that is for good or it
    /// has waited for `patience`.
    #[must_use]
    pub fn failed(self, error: String, for_good: bool, patience: Span, now: UnixTime) -> Self {
        let wait = Span::from_millis(FIRST_WAIT.as_millis() << self.attempts.min(16)).min(LONGEST_WAIT);
        let is_dead = for_good || now.plus(wait) >= self.created_at.plus(patience);
        let next_try = now.plus(if is_dead { DEAD_FOR } else { wait });
        Self { attempts: self.attempts.saturating_add(1), error: Some(error), is_dead, next_try, ..self }
    }

    /// The mail as if it had just been queued: an operator wants it to be tried at once.
    #[must_use]
    pub fn again(self, now: UnixTime) -> Self {
        Self { is_dead: false, next_try: now, created_at: now, ..self }
    }
}

/// What is queued together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The mail.
    pub mail: Mail,
    /// Its link. It takes the place of older ones of the same purpose and user (RC-01).
    pub link: Option<Link>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::session::tests::user;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    pub(crate) fn link(purpose: Purpose) -> Link {
        let User { id, email, epoch, .. } = user();
        let digest = TokenDigest([9; 32]);
        let expires_at = NOW.plus(Span::from_hours(1));
        let (new_email, claim, is_used) = (None, None, false);
        Link { digest, purpose, user: id, email, epoch, new_email, claim, created_at: NOW, expires_at, is_used }
    }

    pub(crate) fn mail() -> Mail {
        Mail {
            id: "m1".parse().unwrap(),
            template: Template::ResetPassword,
            to: "ada@example.com".parse().unwrap(),
            user: Some(user().id),
            name: "Ada".into(),
            new_email: None,
            link: None,
            created_at: NOW,
            send_by: NOW.plus(Span::from_hours(1)),
            next_try: NOW,
            attempts: 0,
            error: None,
            is_dead: false,
        }
    }

    #[test]
    fn rc_01_a_link_is_for_one_purpose_one_address_and_one_epoch() {
        let good = link(Purpose::ResetPassword);
        let state = |user: &User, purpose, now| good.state(Some(user), purpose, now);
        let owner = user();
        assert_eq!(state(&owner, Purpose::ResetPassword, NOW), LinkState::Good);
        assert_eq!(state(&owner, Purpose::VerifyEmail, NOW), LinkState::Void);
        let moved = User { email: "else@example.com".parse().unwrap(), ..owner.clone() };
        assert_eq!(state(&moved, Purpose::ResetPassword, NOW), LinkState::Void);
        let later = User { epoch: owner.epoch + 1, ..owner.clone() };
        assert_eq!(state(&later, Purpose::ResetPassword, NOW), LinkState::Void);
        let last = good.expires_at.as_millis() - 1;
        assert_eq!(state(&owner, Purpose::ResetPassword, UnixTime::from_millis(last)), LinkState::Good);
        assert_eq!(state(&owner, Purpose::ResetPassword, good.expires_at), LinkState::Expired);
        assert_eq!(good.state(None, Purpose::ResetPassword, NOW), LinkState::Void);
        let used = Link { is_used: true, ..good.clone() };
        assert_eq!(used.state(Some(&owner), Purpose::ResetPassword, NOW), LinkState::Used);
    }

    #[test]
    fn a_mail_is_tried_ever_more_rarely_and_then_given_up() {
        let (mut mail, mut now, patience) = (mail(), NOW, Span::from_hours(3));
        let mut waits = vec![];
        while !mail.is_dead {
            mail = mail.failed("421 busy".into(), false, patience, now);
            waits.push(mail.next_try.since(now).as_secs());
            now = mail.next_try;
        }
        let dead = DEAD_FOR.as_secs();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, dead]);
        assert!(mail.clone().failed("550".into(), true, patience, NOW).is_dead, "for good is for good");
        let again = mail.again(now);
        assert!(!again.is_dead && again.next_try == now);
        let often = Mail { attempts: u32::MAX, ..again };
        assert_eq!(often.failed("x".into(), false, Span::from_days(9), now).attempts, u32::MAX);
    }

    #[test]
    fn names_read_back() {
        assert!(Purpose::ALL.iter().all(|p| Purpose::from_name(p.as_str()) == Some(*p)));
        assert!(Template::ALL.iter().all(|t| Template::from_name(t.as_str()) == Some(*t)));
    }
}
