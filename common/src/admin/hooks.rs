//! Hooks on the admin door.

use serde::{Deserialize, Serialize};

use crate::UnixTime;

/// A hook that is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookView {
    /// Its name: `sign_in.before` and so on.
    pub hook: String,
    /// Where it is called.
    pub target: String,
    /// What happens without an answer: `closed` refuses, `open` goes on.
    pub on_failure: String,
    /// `ready`, or `resting`: it is not called for a while, because it did not answer.
    pub state: String,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rests_until: Option<UnixTime>,
    /// When it failed last since the start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failed_at: Option<UnixTime>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// `POST /v1/hooks/test`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestHook {
    /// Which.
    pub hook: String,
}

/// What it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookTested {
    /// Which.
    pub hook: String,
    /// Where it was called.
    pub target: String,
    /// Whether it allows what was made up for it.
    pub allows: bool,
    /// Its code and text, if it refuses.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub said: Option<String>,
}
