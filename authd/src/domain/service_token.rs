//! The tokens of services: an application's backend acts by one on Better Auth's `/admin/*` routes. A service is nobody's
//! session and no user; it may what its scopes say, and never act as somebody else.

use std::collections::BTreeSet;

use common::{Scope, ServiceName, Span, UnixTime};

use super::{Permission, Statements, TokenDigest};

/// What every token begins with: secret scanners find it by that.
pub const PREFIX: &str = "authd_svc_";
/// The random characters behind the prefix: 62^43 is more than 2^256.
pub const RANDOM: usize = 43;
/// The characters of the checksum behind them.
pub const CHECKSUM: usize = 6;

/// A use is written down at most this often.
const NOTED_EVERY: Span = Span::from_mins(1);

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceToken {
    /// Whose it is.
    pub name: ServiceName,
    /// Of the token: it is not kept.
    pub digest: TokenDigest,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends; `None`: not until it is revoked.
    pub expires_at: Option<UnixTime>,
    /// When it was used last, as far as that was written down.
    pub last_used_at: Option<UnixTime>,
}

impl ServiceToken {
    /// Whether it is good at `now`. It has ended in the very millisecond it names.
    pub fn is_active(&self, now: UnixTime) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether this use is to be written down.
    pub fn is_use_due(&self, now: UnixTime) -> bool {
        self.last_used_at.is_none_or(|last| now >= last.plus(NOTED_EVERY))
    }

    /// Whether it allows all of this. Who asks for nothing is told no, as users are.
    pub fn allows(&self, asked: &Statements) -> bool {
        let may = |resource: &str, action: &str| {
            let meant = |(p, _): &&(Permission, Scope)| p.resource == resource && p.action == action;
            SCOPES.iter().find(meant).is_some_and(|(_, scope)| self.scopes.contains(scope))
        };
        let known = |(resource, actions): (&String, &BTreeSet<String>)| {
            !actions.is_empty() && actions.iter().all(|action| may(resource, action))
        };
        !asked.is_empty() && asked.iter().all(known)
    }

    /// Whether it allows this.
    pub fn may(&self, permission: Permission) -> bool {
        permission.scope().is_some_and(|scope| self.scopes.contains(&scope))
    }
}

impl Permission {
    /// The scope by which a service may do this; `None`: no service ever may. To act as somebody else is for people, who are
    /// accountable (AZ-07).
    pub fn scope(self) -> Option<Scope> {
        SCOPES.iter().find_map(|(permission, scope)| (*permission == self).then_some(*scope))
    }
}

/// The permissions that there is a scope for.
const SCOPES: &[(Permission, Scope)] = &[
    (Permission::LIST, Scope::UsersRead),
    (Permission::GET, Scope::UsersRead),
    (Permission::CREATE, Scope::UsersWrite),
    (Permission::UPDATE, Scope::UsersWrite),
    (Permission::SET_EMAIL, Scope::UsersWrite),
    (Permission::SET_PHONE, Scope::UsersWrite),
    (Permission::BAN, Scope::UsersBan),
    (Permission::DELETE, Scope::UsersDelete),
    (Permission::SET_PASSWORD, Scope::UsersPassword),
    (Permission::SET_ROLE, Scope::UsersRole),
    (Permission::LIST_SESSIONS, Scope::SessionsRead),
    (Permission::REVOKE_SESSIONS, Scope::SessionsRevoke),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn token(scopes: &[Scope]) -> ServiceToken {
        ServiceToken {
            name: "backend".parse().unwrap(),
            digest: TokenDigest([1; 32]),
            scopes: scopes.iter().copied().collect(),
            created_at: UnixTime::EPOCH,
            expires_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn a_token_ends_in_the_millisecond_it_names() {
        let end = UnixTime::from_secs(100);
        let ending = ServiceToken { expires_at: Some(end), ..token(&[]) };
        assert!(ending.is_active(end.minus(Span::from_millis(1))));
        assert!(!ending.is_active(end) && token(&[]).is_active(end));
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let at = UnixTime::from_secs(1000);
        let used = ServiceToken { last_used_at: Some(at), ..token(&[]) };
        assert!(token(&[]).is_use_due(at) && !used.is_use_due(at));
        assert!(!used.is_use_due(at.plus(Span::from_millis(59_999))) && used.is_use_due(at.plus(Span::from_secs(60))));
    }

    #[test]
    fn az_07_no_scope_lets_a_service_act_as_somebody_else() {
        let all = token(Scope::ALL);
        assert!(!all.may(Permission::IMPERSONATE) && !all.may(Permission::IMPERSONATE_ADMINS));
        assert!(all.may(Permission::BAN) && !token(&[Scope::UsersRead]).may(Permission::BAN));
        assert!(token(&[Scope::UsersRead]).may(Permission::GET));
    }
}
