//! The rules, pure: facts and `now` in, verdicts out. No async, no clock, no randomness, no I/O, no serde; imports
//! `common` and nothing else of this workspace.

pub mod access;
pub mod address;
pub mod audit;
pub mod credential;
pub mod family;
pub mod import;
pub mod key;
pub mod origin;
pub mod session;
pub mod stored_hash;
pub mod throttle;
pub mod token;
pub mod user;

pub use access::{Access, Role};
pub use audit::{Act, Actor, AuditRecord, ChainHead, Checkpoint, Event, EventKind, IdempotencyKey, Method, Personal};
pub use credential::{Credential, HashProblem, HashScheme, PasswordHash, PasswordPolicy, PasswordProblem};
pub use family::{ClientDigest, Family, Generation, RepeatSeen, Turn};
pub use import::{Fate, Import, Incoming};
pub use key::{Algorithm, KeyPolicy, KeySet, KeyState, SigningKey};
pub use session::{Session, SessionPolicy, SessionState, TokenDigest};
pub use user::{Ban, User};
