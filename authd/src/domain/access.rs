//! Who may do what on the admin door: four roles in rising order, each held by users and groups of the host.

use std::{fmt, str::FromStr};

/// What a person may do on the admin door. Each may also do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything that the admin door shows.
    View,
    /// Look after ordinary accounts: make them, disable them, set passwords, end sessions.
    Helpdesk,
    /// Look after the signing keys.
    Oncall,
    /// Everything.
    Admin,
}

impl Role {
    /// In rising order.
    pub const ALL: [Self; 4] = [Self::View, Self::Helpdesk, Self::Oncall, Self::Admin];

    /// As in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Helpdesk => "helpdesk",
            Self::Oncall => "oncall",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The group whose members are administrators where nothing else is configured.
pub const ADMIN_GROUP: &str = "authd-admin";

/// Whom a role is given to: `ada`, or `@support` for the members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A user of the host.
    User(String),
    /// The members of a group of the host.
    Group(String),
}

impl Principal {
    /// Whether it is the group that the socket's file is for.
    pub fn is_admin_group(&self) -> bool {
        matches!(self, Self::Group(name) if name == ADMIN_GROUP)
    }
}

impl FromStr for Principal {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, is_group) = text.strip_prefix('@').map_or((text, false), |name| (name, true));
        // What account databases take differs; these cannot be in any, or would be read as something else.
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ',' | '@' | '*' | '/');
        if name.is_empty() || name.len() > 256 || name.contains(odd) || name.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("'{text}' is no name of a user, nor of a group: write ada, or @support for a group"));
        }
        Ok(if is_group { Self::Group(name.into()) } else { Self::User(name.into()) })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => f.write_str(name),
            Self::Group(name) => write!(f, "@{name}"),
        }
    }
}

/// To whom a role is given, as far as this host knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// The user of this name.
    User(String),
    /// The group of this number.
    Group(u32),
}

/// Who has which role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The daemon's own user, who has its files anyway.
    pub own_uid: u32,
    /// What is configured. Names that the host does not know are not among it: they give nobody anything.
    pub grants: Vec<(Role, Grant)>,
}

impl Access {
    /// The highest role of a user, by what the kernel and the account database say: root and the daemon's own user have all.
    /// `name` and `groups` are empty where they could not be looked up, and then nothing is given on their account.
    pub fn role(&self, uid: u32, name: Option<&str>, groups: &[u32]) -> Option<Role> {
        if uid == 0 || uid == self.own_uid {
            return Some(Role::Admin);
        }
        let holds = |grant: &Grant| match grant {
            Grant::User(user) => name == Some(user.as_str()),
            Grant::Group(group) => groups.contains(group),
        };
        self.grants.iter().filter(|(_, grant)| holds(grant)).map(|(role, _)| *role).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let user = |name: &str| Grant::User(name.into());
        let grants = vec![
            (Role::View, user("vera")),
            (Role::View, Grant::Group(20)),
            (Role::Oncall, user("olga")),
            (Role::Helpdesk, Grant::Group(30)),
            (Role::Admin, Grant::Group(40)),
        ];
        Access { own_uid: 7, grants }
    }

    #[test]
    fn az_04_the_highest_role_counts_and_who_is_not_named_has_none() {
        for (uid, name, groups, role) in [
            (0, Some("root"), &[0][..], Some(Role::Admin)),
            (0, None, &[], Some(Role::Admin)),
            (7, Some("authd"), &[7], Some(Role::Admin)),
            (1, Some("vera"), &[1], Some(Role::View)),
            (1, Some("vera"), &[1, 30], Some(Role::Helpdesk)),
            (2, Some("olga"), &[30, 20], Some(Role::Oncall)),
            (2, Some("olga"), &[40], Some(Role::Admin)),
            (3, Some("eve"), &[20], Some(Role::View)),
            (3, Some("eve"), &[3], None),
            // What could not be looked up is nothing.
            (1, None, &[], None),
            (40, None, &[], None),
        ] {
            assert_eq!(access().role(uid, name, groups), role, "{uid} {name:?} {groups:?}");
        }
        assert!(Role::ALL.is_sorted());
    }

    #[test]
    fn principals_are_names_and_no_numbers_patterns_or_nothing() {
        assert_eq!("ada".parse(), Ok(Principal::User("ada".into())));
        assert_eq!("@support".parse(), Ok(Principal::Group("support".into())));
        for bad in
            ["", "@", "*", "@*", "0", "@0", "1000", "a b", " ada", "a:b", "a\n", "@@x", "ada@example.com", "%x y"]
        {
            assert!(bad.parse::<Principal>().is_err(), "{bad:?}");
        }
    }
}
