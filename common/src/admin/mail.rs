//! Mail on the admin door.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{MailId, UnixTime};

/// How mail is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailStatus {
    /// Where mails go; `None`: there is no mail.
    pub delivery: Option<String>,
    /// How many wait.
    pub waiting: u64,
    /// How many were given up.
    pub dead: u64,
    /// When one failed last since the start, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_failure: Option<MailFailure>,
}

/// A mail that was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailFailure {
    /// When.
    pub at: UnixTime,
    /// The server's words, or ours.
    pub error: String,
}

/// A mail in the queue. Its link is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailView {
    /// Its id, which is its `Message-ID` too.
    pub id: MailId,
    /// `waiting` or `dead`.
    pub state: String,
    /// Which one: `reset-password` and so on.
    pub template: String,
    /// To whom.
    pub to: String,
    /// When it was queued.
    pub created_at: UnixTime,
    /// When it is tried next, or, dead, removed.
    pub next_try: UnixTime,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last time failed.
    pub error: Option<String>,
}

/// `POST /v1/mail/test`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestMail {
    /// To whom.
    pub to: String,
}

/// A test mail was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailSent {
    /// To whom.
    pub to: String,
    /// Where it was handed over.
    pub delivery: String,
}

/// `POST /v1/mail/retry`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryMails {
    /// Only this one; absent: all that have failed.
    #[serde(default)]
    pub id: Option<MailId>,
}

/// What a retry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailsRetried {
    /// How many are tried again now.
    pub retried: u64,
}

/// `GET /v1/mail/preview`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailPreview {
    /// Which template.
    pub template: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML.
    pub html: String,
}
