//! Backups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::UnixTime;

/// A backup in the daemon's directory of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupView {
    /// Its name there.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was made.
    pub made_at: UnixTime,
}

/// What a backup has: `authctl backup create | verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupContents {
    /// Its name in the daemon's directory; of a file the path that was given.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Everything up to this change is in it.
    pub sequence: u64,
    /// When it was made.
    pub made_at: UnixTime,
    /// Accounts.
    pub users: u64,
    /// Sessions; a restore ends them.
    pub sessions: u64,
    /// Records of the store, all that was read.
    pub entries: u64,
    /// The fingerprint of the master key that opens it.
    pub fingerprint: String,
    /// Whether the recovery recipients can open it where the master key is lost.
    pub recoverable: bool,
}

/// A backup that is being made, or read to its end; or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupJob {
    /// Tells one from another.
    pub id: String,
    /// `working`, `done` or `failed`.
    pub state: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes there are to do; 0 while that is not known.
    pub total: u64,
    /// What was found, once it is done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub contents: Option<BackupContents>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// `GET /v1/backups`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupList {
    /// Those that are there, the oldest first.
    pub items: Vec<BackupView>,
    /// Where.
    pub directory: String,
    /// How often one is made by itself; absent if none is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub every: Option<String>,
    /// How many are kept, where they are made by themselves.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keep: Option<u64>,
    /// The public keys of those who can open them where the master key is lost.
    pub recipients: Vec<String>,
    /// The last one that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job: Option<BackupJob>,
}

/// Body of `POST /v1/backups/verify`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VerifyBackup {
    /// Which.
    pub name: String,
}

/// Body of `POST /v1/backups/prune`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PruneBackups {
    /// How many stay.
    pub keep: u32,
    /// Only say which would go.
    #[serde(default)]
    pub dry_run: bool,
}

/// Answer to `POST /v1/backups/prune` and `DELETE /v1/backups/{backup}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupsPruned {
    /// Those that went, or would.
    pub removed: Vec<BackupView>,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// What `authctl backup drill` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupDrilled {
    /// The path that was given.
    pub name: String,
    /// Whether an account was signed in on what was restored; false is an error, and not said here.
    pub passed: bool,
    /// What opened it: `identity` or `masterKey`.
    pub opened_by: String,
    /// Everything up to this change was restored.
    pub sequence: u64,
    /// When it was made.
    pub made_at: UnixTime,
    /// Accounts that were restored.
    pub users: u64,
}

/// What `authctl backup recipient new` made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecipientMade {
    /// The public key, for `backup.recipients`.
    pub recipient: String,
    /// The file with the identity, which opens backups.
    pub file: String,
}

/// How it stands with backups, in `GET /v1/status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// The newest one that is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<BackupView>,
    /// How often one is made by itself; absent if none is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub every: Option<String>,
    /// Why none could be made when it was tried last; absent if one was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
}
