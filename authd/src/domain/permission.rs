//! Better Auth's access control: what users may do to each other, by the roles they have. The roles of operators on the
//! admin door are another matter ([`super::access`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use common::{Span, UserId};

use super::User;

/// Which actions are meant, by resource.
pub type Statements = BTreeMap<String, BTreeSet<String>>;

/// What the routes of the admin plugin ask for: a resource and an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// `user` or `session`.
    pub resource: &'static str,
    /// As in the recording.
    pub action: &'static str,
}

impl Permission {
    const fn user(action: &'static str) -> Self {
        Self { resource: "user", action }
    }

    const fn session(action: &'static str) -> Self {
        Self { resource: "session", action }
    }

    /// Make accounts.
    pub const CREATE: Self = Self::user("create");
    /// See all users.
    pub const LIST: Self = Self::user("list");
    /// See one user.
    pub const GET: Self = Self::user("get");
    /// Change users.
    pub const UPDATE: Self = Self::user("update");
    /// Give roles.
    pub const SET_ROLE: Self = Self::user("set-role");
    /// Change addresses, and whether they are proved.
    pub const SET_EMAIL: Self = Self::user("set-email");
    /// Change telephone numbers.
    pub const SET_PHONE: Self = Self::user("set-phone");
    /// Set passwords.
    pub const SET_PASSWORD: Self = Self::user("set-password");
    /// Ban, and lift bans.
    pub const BAN: Self = Self::user("ban");
    /// Act as an ordinary user.
    pub const IMPERSONATE: Self = Self::user("impersonate");
    /// Act as anybody.
    pub const IMPERSONATE_ADMINS: Self = Self::user("impersonate-admins");
    /// Delete accounts.
    pub const DELETE: Self = Self::user("delete");
    /// See sessions.
    pub const LIST_SESSIONS: Self = Self::session("list");
    /// End sessions.
    pub const REVOKE_SESSIONS: Self = Self::session("revoke");
}

/// What the role `admin` may where no roles are configured, as recorded.
const OF_ADMIN: &[Permission] = &[
    Permission::CREATE,
    Permission::LIST,
    Permission::SET_ROLE,
    Permission::BAN,
    Permission::IMPERSONATE,
    Permission::DELETE,
    Permission::SET_PASSWORD,
    Permission::SET_EMAIL,
    Permission::SET_PHONE,
    Permission::GET,
    Permission::UPDATE,
    Permission::LIST_SESSIONS,
    Permission::REVOKE_SESSIONS,
    Permission::session("delete"),
];

/// A role and what it may: `support user:list user:get project:create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRole {
    /// Its name.
    pub name: String,
    /// What it may.
    pub may: Statements,
}

impl UserRole {
    /// Whether it may do all of this. Who asks for nothing is told no, as recorded.
    fn allows(&self, asked: &Statements) -> bool {
        let known = |(resource, actions): (&String, &BTreeSet<String>)| {
            self.may.get(resource).is_some_and(|may| !actions.is_empty() && actions.is_subset(may))
        };
        !asked.is_empty() && asked.iter().all(known)
    }
}

/// The longest role, in bytes, and the longest list of roles of a user.
pub const MAX_ROLE_BYTES: usize = 128;

/// Whether the text may be one role. Programs compare roles, so no two may look alike.
pub fn is_role(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ROLE_BYTES && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

impl FromStr for UserRole {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().filter(|name| is_role(name) && !name.contains(':'));
        let name = name.ok_or_else(|| format!("'{text}' names no role: write support user:list user:get"))?.to_owned();
        let mut may = Statements::new();
        for word in words {
            match word.split_once(':') {
                Some((resource, action)) if !resource.is_empty() && !action.is_empty() && !action.contains(':') => {
                    may.entry(resource.to_owned()).or_default().insert(action.to_owned());
                }
                _ => return Err(format!("'{word}' is no permission: write a resource and an action, user:list")),
            }
        }
        Ok(Self { name, may })
    }
}

impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (resource, actions) in &self.may {
            for action in actions {
                write!(f, " {resource}:{action}")?;
            }
        }
        Ok(())
    }
}

/// The rules of Better Auth's admin plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminRules {
    /// The role of new accounts.
    pub default_role: String,
    /// Who has one of these is not impersonated by who may only impersonate users.
    pub admin_roles: Vec<String>,
    /// These may everything, whatever their roles.
    pub admin_user_ids: Vec<UserId>,
    /// The reason of a ban for which none is given.
    pub default_ban_reason: String,
    /// How long such a ban holds; `None`: for good.
    pub default_ban_expires_in: Option<Span>,
    /// How long an impersonation lasts at most.
    pub impersonation: Span,
    /// What the banned are told who know their password.
    pub banned_user_message: String,
    /// Whether who may impersonate users may impersonate administrators too.
    pub allow_impersonating_admins: bool,
    /// The roles that there are; `None`: `user`, who may nothing, and `admin`.
    pub roles: Option<Vec<UserRole>>,
}

impl AdminRules {
    /// The roles of a user. Who has none has the default role, as recorded.
    fn roles_of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a str> {
        let text = if user.role.is_empty() { &self.default_role } else { &user.role };
        text.split(',')
    }

    fn role(&self, name: &str) -> Option<UserRole> {
        if let Some(roles) = &self.roles {
            return roles.iter().find(|role| role.name == name).cloned();
        }
        let mut may = Statements::new();
        for permission in OF_ADMIN {
            may.entry(permission.resource.into()).or_default().insert(permission.action.into());
        }
        (name == "admin").then(|| UserRole { name: name.into(), may })
    }

    /// Whether the user may do all of this, by one of the roles alone.
    pub fn allows(&self, user: &User, asked: &Statements) -> bool {
        self.admin_user_ids.contains(&user.id)
            || self.roles_of(user).any(|name| self.role(name).is_some_and(|role| role.allows(asked)))
    }

    /// Whether the user may do this.
    pub fn may(&self, user: &User, permission: Permission) -> bool {
        let actions = BTreeSet::from([permission.action.to_owned()]);
        self.allows(user, &Statements::from([(permission.resource.to_owned(), actions)]))
    }

    /// Whether the user is an administrator, by name or by a role.
    pub fn is_admin(&self, user: &User) -> bool {
        self.admin_user_ids.contains(&user.id)
            || self.roles_of(user).any(|name| self.admin_roles.iter().any(|admin| admin == name))
    }

    /// Whether the user is an administrator in any way: by name, by a role of that standing, or because a role allows
    /// something that the routes of the plugin do.
    pub fn is_privileged(&self, user: &User) -> bool {
        self.admin_user_ids.contains(&user.id) || self.gives_privilege(&user.role)
    }

    /// Whether these roles make whoever has them one of those.
    pub fn gives_privilege(&self, roles: &str) -> bool {
        let allows =
            |role: UserRole, p: &Permission| role.may.get(p.resource).is_some_and(|may| may.contains(p.action));
        let text = if roles.is_empty() { &self.default_role } else { roles };
        text.split(',').any(|name| {
            self.admin_roles.iter().any(|admin| admin == name)
                || OF_ADMIN
                    .iter()
                    .chain([&Permission::IMPERSONATE_ADMINS])
                    .any(|p| self.role(name).is_some_and(|role| allows(role, p)))
        })
    }

    /// Whether there is such a role. Where none are configured every word is one.
    pub fn knows(&self, role: &str) -> bool {
        self.roles.as_ref().is_none_or(|roles| roles.iter().any(|known| known.name == role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::session::tests::user;

    fn rules() -> AdminRules {
        AdminRules {
            default_role: "user".into(),
            admin_roles: vec!["admin".into()],
            admin_user_ids: vec!["named".parse().unwrap()],
            default_ban_reason: "No reason".into(),
            default_ban_expires_in: None,
            impersonation: Span::from_hours(1),
            banned_user_message: String::new(),
            allow_impersonating_admins: false,
            roles: None,
        }
    }

    fn with_role(role: &str) -> User {
        User { role: role.into(), ..user() }
    }

    fn statements(texts: &[&str]) -> Statements {
        format!("x {}", texts.join(" ")).parse::<UserRole>().unwrap().may
    }

    #[test]
    fn az_01_the_built_in_roles_may_what_was_recorded() {
        let rules = rules();
        for role in ["user", "", "admins", "Admin", "support,user", " admin"] {
            assert!(OF_ADMIN.iter().all(|p| !rules.may(&with_role(role), *p)), "{role:?}");
        }
        for role in ["admin", "user,admin", "admin,user"] {
            assert!(OF_ADMIN.iter().all(|p| rules.may(&with_role(role), *p)), "{role:?}");
            assert!(!rules.may(&with_role(role), Permission::IMPERSONATE_ADMINS));
        }
        let named = User { id: "named".parse().unwrap(), ..user() };
        assert!(rules.may(&named, Permission::IMPERSONATE_ADMINS) && rules.is_admin(&named));
        assert!(rules.is_admin(&with_role("user,admin")) && !rules.is_admin(&with_role("user")));
    }

    #[test]
    fn all_that_is_asked_for_must_be_of_one_role() {
        let roles = ["a user:list project:create", "b user:get project:share"].map(|role| role.parse().unwrap());
        let rules = AdminRules { roles: Some(roles.into()), ..rules() };
        for (role, asked, expected) in [
            ("a", &["user:list"][..], true),
            ("a", &["user:list", "project:create"], true),
            ("a", &["user:list", "user:get"], false),
            ("a", &["user:list", "nothing:create"], false),
            ("a,b", &["project:create", "project:share"], false),
            ("a,b", &["project:share"], true),
            ("admin", &["user:list"], false),
            ("a", &[], false),
        ] {
            assert_eq!(rules.allows(&with_role(role), &statements(asked)), expected, "{role} {asked:?}");
        }
        let nothing = Statements::from([("user".to_owned(), BTreeSet::new())]);
        assert!(!rules.allows(&with_role("a"), &nothing));
        assert!(rules.knows("a") && !rules.knows("admin") && !rules.knows("a,b"));
    }

    #[test]
    fn a_role_reads_back_as_it_is_written() {
        for text in ["support project:create user:get user:list", "user"] {
            assert_eq!(text.parse::<UserRole>().unwrap().to_string(), text);
        }
        for bad in ["", "  ", "user:list", "a,b user:list", "support user", "support user:", "support :list", "a b:c:d"]
        {
            assert!(bad.parse::<UserRole>().is_err(), "{bad:?}");
        }
    }
}
