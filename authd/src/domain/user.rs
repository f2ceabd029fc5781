//! Accounts and the one state that shuts them: the ban.

use common::{Email, UnixTime, UserId};

use super::FieldValues;

/// The role of an ordinary user, as Better Auth's admin plugin has it.
pub const DEFAULT_ROLE: &str = "user";

/// The longest reason of a ban, in characters.
pub const MAX_REASON: usize = 500;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Opaque.
    pub id: UserId,
    /// Unique among all users.
    pub email: Email,
    /// Whether the owner has proved the mailbox.
    pub email_verified: bool,
    /// Display name; may be empty.
    pub name: String,
    /// Address of a picture.
    pub image: Option<String>,
    /// The name to sign in with, in lower case; unique.
    pub username: Option<String>,
    /// The same as its owner spells it.
    pub display_username: Option<String>,
    /// The application's own fields.
    pub fields: FieldValues,
    /// Better Auth's role text: names separated by commas.
    pub role: String,
    /// Present while the account is banned or disabled.
    pub ban: Option<Ban>,
    /// Whether the password was set by an administrator for one use.
    pub password_change_required: bool,
    /// Grows with every change that must end what was begun before it: ban, password, deletion of all sessions. A
    /// session can be opened only under the epoch that the sign-in saw.
    pub epoch: u64,
    /// When the account was made.
    pub created_at: UnixTime,
    /// When it last changed.
    pub updated_at: UnixTime,
}

/// Why and how long nobody may sign in to an account. `disable` is a ban without end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Shown to operators, never to the user.
    pub reason: Option<String>,
    /// From this very moment on the ban no longer holds; `None` is for good.
    pub expires_at: Option<UnixTime>,
}

impl User {
    /// How much the application's fields may take together: with the longest name, picture, role and reason of a ban they fit
    /// a record.
    pub const MAX_FIELD_BYTES: usize = 1024;

    /// The ban that holds at `now`, if one does.
    pub fn active_ban(&self, now: UnixTime) -> Option<&Ban> {
        self.ban.as_ref().filter(|ban| ban.expires_at.is_none_or(|end| now < end))
    }

    /// The user after choosing a new password at `now`.
    #[must_use]
    pub fn with_new_password(&self, now: UnixTime) -> Self {
        Self { epoch: self.epoch + 1, password_change_required: false, updated_at: now, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_holds_until_the_moment_it_names() {
        let mut user = crate::domain::session::tests::user();
        let end = UnixTime::from_secs(1000);
        user.ban = Some(Ban { reason: None, expires_at: Some(end) });
        assert!(user.active_ban(UnixTime::from_millis(999_999)).is_some());
        assert!(user.active_ban(end).is_none());
        user.ban = Some(Ban { reason: None, expires_at: None });
        assert!(user.active_ban(UnixTime::MAX).is_some());
    }
}
