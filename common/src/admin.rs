//! JSON bodies of the admin door: HTTP/1.1 over a Unix socket, paths under `/v1`.

mod backups;
mod events;
mod hooks;
mod mail;
mod service_tokens;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::backups::{
    BackupContents, BackupDrilled, BackupJob, BackupList, BackupStatus, BackupView, BackupsPruned, PruneBackups,
    RecipientMade, VerifyBackup,
};
pub use self::events::{EventView, EventsReplayed, ReplayEvents};
pub use self::hooks::{HookTested, HookView, TestHook};
pub use self::mail::{MailFailure, MailPreview, MailSent, MailStatus, MailView, MailsRetried, RetryMails, TestMail};
pub use self::service_tokens::{CreateServiceToken, ServiceTokenMade, ServiceTokenRevoked, ServiceTokenView};

use crate::{Kid, SecretString, SessionId, UnixTime, UserId};

/// The version of this interface. The daemon sends it in every answer; a client may send its own.
pub const API_VERSION: u32 = 1;
/// The header that carries [`API_VERSION`].
pub const VERSION_HEADER: &str = "authd-api-version";
/// Why the caller does this, percent-encoded UTF-8; goes into the audit log.
pub const REASON_HEADER: &str = "authd-reason";
/// A key of the caller's choice by which a repeated write is recognised and done once.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// What an idempotency key stands for, in the caller's words, percent-encoded UTF-8. Without it a key stands for the request
/// as it was sent; with it a repetition may be worded anew, with another generated password, say.
pub const ACT_HEADER: &str = "authd-act";

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Ask again with this as `cursor` for more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Of the daemon.
    pub version: String,
    /// `development` or `production`.
    pub mode: String,
    /// Of the daemon.
    pub pid: u32,
    /// When it started.
    pub started_at: UnixTime,
    /// The daemon's idea of now.
    pub now: UnixTime,
    /// Whether it serves everything: store writable, a key that signs.
    pub ready: bool,
    /// What a person should look at.
    pub problems: Vec<String>,
    /// What is as configured, and could be better.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The public door.
    pub listen: Vec<String>,
    /// What clients call it.
    pub public_url: String,
    /// The configuration file, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub config: Option<String>,
    /// When the configuration was read last: at the start, or by a reload.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub config_read_at: Option<UnixTime>,
    /// Settings that were changed and are in force only after a restart.
    #[serde(default)]
    pub needs_restart: Vec<String>,
    /// The caller's own role: `view`, `helpdesk`, `oncall` or `admin`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// The data directory.
    pub data_dir: String,
    /// Counts of what is stored.
    pub counts: Counts,
    /// The store's files.
    #[serde(default)]
    pub store: StoreFiles,
    /// Signing.
    pub signing_key: Option<Kid>,
    /// How many sign-ins are being hashed or wait for it.
    pub hashing: Hashing,
    /// Connections on the public door.
    pub connections: u64,
    /// The mail queue.
    #[serde(default)]
    pub mail: MailStatus,
    /// The backups in the daemon's directory.
    #[serde(default)]
    pub backup: BackupStatus,
    /// Lines that the log has lost because nobody read them in time.
    #[serde(default)]
    pub log_lines_dropped: u64,
}

/// What the store's files are like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreFiles {
    /// The last change that is committed.
    pub sequence: u64,
    /// The size of the commit log behind the snapshot, in bytes.
    pub log_bytes: u64,
    /// The newest snapshot.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshot: Option<SnapshotView>,
}

/// A snapshot of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView {
    /// Everything up to this change is in it.
    pub sequence: u64,
    /// Its size.
    pub bytes: u64,
    /// When it was made.
    pub made_at: UnixTime,
}

/// Answer to `POST /v1/store/snapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotMade {
    /// Whether one was made: not, if nothing is new since the last one.
    pub made: bool,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// The files now.
    pub store: StoreFiles,
}

/// What the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Accounts.
    pub users: u64,
    /// Sessions, those that expired and were not swept yet included.
    pub sessions: u64,
    /// Audit records.
    pub audit: u64,
}

/// The hashing threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hashing {
    /// How many threads hash.
    pub threads: u64,
    /// How many jobs wait.
    pub queued: u64,
    /// How many may wait.
    pub capacity: u64,
}

/// A user as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Opaque.
    pub id: UserId,
    /// Canonical address.
    pub email: String,
    /// Display name.
    pub name: String,
    /// Whether the owner has proved the mailbox.
    pub email_verified: bool,
    /// Address of a picture.
    pub image: Option<String>,
    /// The name to sign in with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// How it is spelled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub display_username: Option<String>,
    /// Better Auth's role text, `user` by default.
    pub role: String,
    /// Whether the account is banned or disabled now.
    pub banned: bool,
    /// Why.
    pub ban_reason: Option<String>,
    /// Until when; `null` is for good.
    pub ban_expires: Option<UnixTime>,
    /// Whether the password is for one use and must be changed.
    pub password_change_required: bool,
    /// How the password is stored: `argon2id`, `scrypt` or `none`. Never the hash.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<String>,
    /// How many sessions are alive (in `show` only).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sessions: Option<u64>,
    /// When the account was made.
    pub created_at: UnixTime,
    /// When it last changed.
    pub updated_at: UnixTime,
    /// The application's own fields, all of them.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub fields: Map<String, Value>,
}

/// `POST /v1/users`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateUser {
    /// The address.
    pub email: String,
    /// Display name.
    #[serde(default)]
    pub name: String,
    /// The password; without one nobody can sign in to the account until one is set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<SecretString>,
    /// Whether the password must be changed at the first sign-in.
    #[serde(default)]
    pub temporary: bool,
    /// Whether the address counts as proved.
    #[serde(default)]
    pub email_verified: bool,
    /// The role; `user` if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// The name to sign in with, while the username plugin is on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// The application's own fields: JSON of their types, or texts.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub fields: Map<String, Value>,
}

/// `POST /v1/users/{user}/ban`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BanUser {
    /// How long, in seconds; absent: for good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_in: Option<u64>,
}

/// `POST /v1/users/{user}/role`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetRole {
    /// One, or some separated by commas, in place of those before.
    pub role: String,
}

/// `POST /v1/users/{user}/password`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetPassword {
    /// The new password.
    pub password: SecretString,
    /// Whether it must be changed at the next sign-in.
    #[serde(default)]
    pub temporary: bool,
}

/// What a change of a user did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserChanged {
    /// The user afterwards (before, for a deletion or a dry run).
    pub user: UserView,
    /// Whether anything changed; false where the wanted state was there already.
    pub changed: bool,
    /// How many sessions ended, or would end.
    pub ended_sessions: u64,
    /// Whether nothing was done because only a preview was asked for.
    #[serde(default)]
    pub dry_run: bool,
    /// What is worth a word.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

/// A session as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// The handle, which `session revoke` takes.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The user's address.
    pub email: String,
    /// `active`, `idle_expired` or `expired`.
    pub state: String,
    /// How the user authenticated (RFC 8176 words).
    pub methods: Vec<String>,
    /// Whether a refresh token family hangs on it.
    pub refreshable: bool,
    /// The administrator who acts as the user in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub impersonated_by: Option<UserId>,
    /// The client's address at sign-in.
    pub ip_address: String,
    /// The client's `User-Agent` at sign-in.
    pub user_agent: String,
    /// When the user signed in.
    pub created_at: UnixTime,
    /// When it was last prolonged.
    pub updated_at: UnixTime,
    /// When it ends unless it is used before.
    pub expires_at: UnixTime,
    /// When it ends at the latest.
    pub absolute_expires_at: UnixTime,
}

/// `POST /v1/sessions/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeSessions {
    /// Which ones.
    pub target: RevokeTarget,
    /// Only say what would end.
    #[serde(default)]
    pub dry_run: bool,
    /// Refuse unless exactly so many would end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expect_count: Option<u64>,
}

/// Which sessions to revoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RevokeTarget {
    /// These.
    Sessions(Vec<SessionId>),
    /// All of one user, by id, address or name.
    User(String),
}

/// What a revocation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// How many sessions ended, or would end.
    pub ended: u64,
    /// Of how many users.
    pub users: u64,
    /// Whether nothing was done because only a preview was asked for.
    #[serde(default)]
    pub dry_run: bool,
}

/// A signing key as operators see it. There is no way to see a private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    /// Its id.
    pub kid: Kid,
    /// Its one algorithm.
    pub algorithm: String,
    /// `staged`, `published`, `signing`, `retiring`, `gone` or `revoked`.
    pub state: String,
    /// When it was made.
    pub created_at: UnixTime,
    /// From when it is in the key set.
    pub published_at: UnixTime,
    /// From when it signs.
    pub signs_at: UnixTime,
    /// When it stops signing, if that is known.
    pub retires_at: Option<UnixTime>,
    /// When it leaves the key set, if that is known.
    pub gone_at: Option<UnixTime>,
    /// When it was revoked.
    pub revoked_at: Option<UnixTime>,
}

/// `POST /v1/keys/rotate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateKeys {
    /// Sign with the new key at once, without waiting for verifiers to see it.
    #[serde(default)]
    pub now: bool,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a change of the keys did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeysChanged {
    /// The key that signs from `signs_at` on.
    pub key: KeyView,
    /// The key that it takes over from.
    pub previous: Option<KeyView>,
    /// What happens when, for people.
    pub timeline: Vec<String>,
    /// Whether nothing was done because only a preview was asked for.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/keys/rewrap`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewrapKeys {
    /// The text of the new master key's file.
    pub new_master_key: SecretString,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a change of the master key did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeysRewrapped {
    /// The fingerprint of the key that opens the store no more.
    pub from: String,
    /// The fingerprint of the key that opens it now.
    pub to: String,
    /// Where authd reads its master key at the next start; absent if it is a credential of systemd.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub master_key_file: Option<String>,
    /// What was done and what is to be done, for people.
    pub timeline: Vec<String>,
    /// Whether nothing was done because only a preview was asked for.
    #[serde(default)]
    pub dry_run: bool,
}

/// What reads the copies of sessions that browsers carry.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CookieCacheSecret {
    /// The secret, for `getCookieCache`.
    pub secret: String,
    /// The form of the copies: `compact`, `jwt` or `jwe`.
    pub strategy: String,
    /// What the cookies' names begin with.
    pub cookie_prefix: String,
}

/// `POST /v1/tokens/inspect` and `/verify`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// An access token, another JWT of ours, or a refresh token.
    pub token: SecretString,
}

/// What a token says of itself and what authd thinks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenReport {
    /// Whether authd would take it now.
    pub valid: bool,
    /// `access_token`, `jwt`, `refresh_token`, `service_token` or `unknown`.
    pub kind: String,
    /// Why not, as a code that a client would get.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Every check that was made, in order.
    pub checks: Vec<TokenCheck>,
    /// The decoded header. Never the signature.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub header: Option<Value>,
    /// The decoded claims.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub claims: Option<Value>,
    /// The state of the key that it names.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<KeyView>,
    /// The service whose token it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<ServiceTokenView>,
    /// The session it stands for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<SessionView>,
}

/// One check of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCheck {
    /// What was checked.
    pub check: String,
    /// Whether it held.
    pub ok: bool,
    /// What was found.
    pub found: String,
}

/// One audit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// When.
    pub at: UnixTime,
    /// What, for example `session.revoked`.
    pub event: String,
    /// Who did it: a user, an operator (uid and pid on the socket) or the daemon itself.
    pub actor: Value,
    /// By what that was known: `password`, `session` (its cookie or a JWT), `impersonation`, `refresh_token`, `mail_link`,
    /// `service_token`, `socket`, `daemon`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// How it ended for them: `success`, or `failure` where a refresh token was shown that had been used before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<String>,
    /// To whom.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<UserId>,
    /// The user's address as it is now, which is no part of the record: where `addresses` asks for it and the account is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    /// By which session, or to which.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<SessionId>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// Finds the request in the log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// The operator's `--reason`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What else is known of it.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub details: Map<String, Value>,
    /// The record of the act that erased all but the event, its result, the kind of its actor and the method; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub erased_by: Option<u64>,
}

/// `GET /v1/audit/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerdict {
    /// Whether the chain holds from its beginning to its head.
    pub ok: bool,
    /// How many records were checked.
    pub records: u64,
    /// The first and the last one.
    pub first: Option<u64>,
    /// See `first`.
    pub last: Option<u64>,
    /// How many records were removed before the first, because of their age.
    #[serde(default)]
    pub removed: u64,
    /// The time of the last of those.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub removed_until: Option<UnixTime>,
    /// How many of the checked records no longer say whom they are about.
    #[serde(default)]
    pub erased: u64,
    /// The first record that does not fit, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub broken_at: Option<u64>,
    /// See `broken_at`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
}

/// Somebody who has to wait before the next sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThrottleView {
    /// `account`: failures on it from anywhere; `place`: from a network of its owner's; `source`: from a client's network.
    pub kind: String,
    /// Whom it is about: a user's id, a network, or both with a slash between them; `unknown` for an address that nobody has.
    pub subject: String,
    /// The address of the user that it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    /// Failures that are not forgotten yet.
    pub failures: u32,
    /// When the next attempt may be made.
    pub until: UnixTime,
}

/// What is to be cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ThrottleTarget {
    /// An account: id, address or name.
    User(String),
    /// A client's address; its network is meant.
    Source(String),
    /// Everything.
    All,
}

/// `POST /v1/throttles/clear`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClearThrottles {
    /// What.
    pub target: ThrottleTarget,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThrottlesCleared {
    /// How many counters there were.
    pub cleared: u64,
}

/// `POST /v1/audit/erase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EraseAudit {
    /// Id, address or name; the id also of a user who was deleted.
    pub user: String,
    /// Only records before this time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<UnixTime>,
    /// Only say how many.
    #[serde(default)]
    pub dry_run: bool,
}

/// What an erasure did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditErased {
    /// Whose records.
    pub user: UserId,
    /// How many were erased, or would be.
    pub records: u64,
    /// How many of the user's events left the outbox, or would.
    #[serde(default)]
    pub events: u64,
    /// How many stay there, because the application has not been told of them.
    #[serde(default)]
    pub events_waiting: u64,
    /// How many are left for another time, because they are too many for one.
    pub left: u64,
    /// Whether nothing was done because only a preview was asked for.
    #[serde(default)]
    pub dry_run: bool,
}
