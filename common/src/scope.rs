//! What the token of a service may be used for, and what a service is called.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! scopes {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal; )+) => {
        /// A part of what Better Auth's `/admin/*` routes do. Append-only: the names are in stored tokens.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope { $( $(#[doc = $doc])+ $variant, )+ }

        impl Scope {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The name.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// What it opens, for the manual.
            pub const fn describe(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+), )+ }
            }
        }
    };
}

scopes! {
    /// List users, and see one.
    UsersRead = "users:read";
    /// Make accounts; change names, pictures, addresses and the application's fields.
    UsersWrite = "users:write";
    /// Ban users, and lift bans.
    UsersBan = "users:ban";
    /// Delete accounts.
    UsersDelete = "users:delete";
    /// Set passwords.
    UsersPassword = "users:set-password";
    /// Give roles.
    UsersRole = "users:set-role";
    /// See the sessions of users.
    SessionsRead = "sessions:read";
    /// End the sessions of users.
    SessionsRevoke = "sessions:revoke";
    /// Do what the other scopes allow to administrators too, and make users administrators.
    Admins = "admins";
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().copied().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("'{text}' is no scope; there are {}", known()))
    }
}

impl JsonSchema for Scope {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scope".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": Self::ALL.iter().map(|scope| scope.as_str()).collect::<Vec<_>>()})
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The longest name of a service, in bytes.
pub const MAX_SERVICE_NAME: usize = 64;

/// What a service is called: in lists, and in the audit trail as the one who acted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(String);

impl ServiceName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if begins && text.len() <= MAX_SERVICE_NAME && text.bytes().all(is_good) {
            Ok(Self(text.to_owned()))
        } else {
            Err("the name of a service has 1 to 64 of a-z, 0-9, '-', '_' and '.', and begins with a letter or digit"
                .into())
        }
    }
}

impl JsonSchema for ServiceName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ServiceName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"})
    }
}

impl Serialize for ServiceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_and_nothing_else_is_one() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(*scope));
            assert!(!scope.describe().is_empty());
        }
        for bad in ["", "users", "users:", "Users:read", "users:read ", "users:impersonate", "*"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_of_services_stand_in_urls_and_logs_as_they_are() {
        for good in ["a", "backend", "billing-2026.11", "0_x", &"x".repeat(64)] {
            assert_eq!(good.parse::<ServiceName>().unwrap().as_str(), good);
        }
        for bad in ["", "Backend", "a b", "a/b", "-a", ".", "é", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad:?}");
        }
    }
}
