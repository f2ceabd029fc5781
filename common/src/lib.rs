//! What authd, authctl and their tests must agree on: ids, addresses, time, secrets, error codes and the JSON bodies of
//! both doors. No I/O, no clock, no randomness.

pub mod admin;
pub mod api;
pub mod duration;
pub mod email;
pub mod error;
pub mod id;
pub mod import;
pub mod scope;
pub mod secret;
pub mod text;
pub mod time;

pub use duration::Span;
pub use email::Email;
pub use error::ErrorCode;
pub use id::{AccountId, FamilyId, ImportId, Kid, MailId, RequestId, SessionId, UserId};
pub use scope::{Scope, ServiceName};
pub use secret::SecretString;
pub use time::{Moment, UnixTime};
