//! Opaque identifiers. Imports bring foreign ids, so nothing may be assumed of one but its bounds: 1 to 128 bytes of
//! printable ASCII without white space (what fits a URL, a header, a log line and a record key as it is).

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("an id cannot be empty")]
    Empty,
    /// More than [`MAX_ID_BYTES`] bytes.
    #[error("an id has at most 128 bytes")]
    TooLong,
    /// A control character, white space or a character outside ASCII.
    #[error("an id consists of printable ASCII characters without spaces")]
    Character,
}

fn check(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(InvalidId::TooLong);
    }
    if text.bytes().all(|b| b.is_ascii_graphic()) { Ok(()) } else { Err(InvalidId::Character) }
}

macro_rules! id {
    ($(#[doc = $doc:literal])* $name:ident) => {
        $(#[doc = $doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                check(&text).map(|()| Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES, "pattern": "^[!-~]+$"})
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::try_from(text).map_err(de::Error::custom)
            }
        }
    };
}

id! {
    /// A user. 32 characters base62 where authd makes it.
    UserId
}
id! {
    /// A session's public handle: shown in lists, taken by the revoke routes, worth nothing as a credential.
    SessionId
}
id! {
    /// A way to sign in to an account (Better Auth's `account` row).
    AccountId
}
id! {
    /// A signing key: its RFC 7638 thumbprint where authd makes it.
    Kid
}
id! {
    /// A family of refresh tokens, all from one sign-in (RFC 9700 §4.14.2).
    FamilyId
}
id! {
    /// A mail in the queue; it stands in its `Message-ID` too.
    MailId
}
id! {
    /// What came in together from another server.
    ImportId
}
id! {
    /// One request on either door, as in the header `x-request-id` and in the logs.
    RequestId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_up_to_its_bounds_and_no_further() {
        assert!("a".parse::<UserId>().is_ok());
        assert!("x".repeat(128).parse::<UserId>().is_ok());
        assert_eq!("x".repeat(129).parse::<UserId>(), Err(InvalidId::TooLong));
        assert_eq!("".parse::<UserId>(), Err(InvalidId::Empty));
        for bad in ["a b", "a\n", "a\0b", "é", "\u{202e}x"] {
            assert_eq!(bad.parse::<UserId>(), Err(InvalidId::Character), "{bad:?}");
        }
    }

    #[test]
    fn serde_checks_what_it_reads() {
        assert!(serde_json::from_str::<SessionId>("\"ok\"").is_ok());
        assert!(serde_json::from_str::<SessionId>("\"\"").is_err());
    }
}
