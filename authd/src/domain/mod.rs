//! The rules, pure: facts and `now` in, verdicts out. No async, no clock, no randomness, no I/O, no serde; imports
//! `common` and nothing else of this workspace.

pub mod access;
pub mod address;
pub mod audit;
pub mod credential;
pub mod family;
pub mod field;
pub mod hook;
pub mod import;
pub mod key;
pub mod mail;
pub mod origin;
pub mod outbox;
pub mod permission;
pub mod search;
pub mod session;
pub mod stored_hash;
pub mod throttle;
pub mod token;
pub mod user;
pub mod username;

pub use access::{Access, Role};
pub use audit::{Act, Actor, AuditRecord, ChainHead, Checkpoint, Event, EventKind, IdempotencyKey, Method, Personal};
pub use credential::{Credential, HashProblem, HashScheme, PasswordHash, PasswordPolicy, PasswordProblem};
pub use family::{ClientDigest, Family, Generation, RepeatSeen, Turn};
pub use field::{Field, FieldChanges, FieldProblem, FieldSet, FieldType, FieldValue, FieldValues, GivenFields};
pub use hook::{Breaker, Hook};
pub use import::{Fate, Import, Incoming};
pub use key::{Algorithm, KeyPolicy, KeySet, KeyState, SigningKey};
pub use mail::{Link, LinkState, Mail, Post, Purpose};
pub use outbox::{Delivery, Outgoing, Publishing, Topic};
pub use permission::{AdminRules, Permission, Statements, UserRole};
pub use search::{Condition, Test, UserField, UserSearch};
pub use session::{Impersonation, Session, SessionPolicy, SessionState, TokenDigest};
pub use user::{Ban, User};
pub use username::{UsernameProblem, UsernameRules};
