//! How a command ends: exit codes with names, and errors that say what happened, why, and what to type next.

use common::{ErrorCode, error::AdminErrorBody, text::printable};
use serde_json::json;

use crate::{
    io::{Io, Paint},
    output::inert,
};

macro_rules! exits {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $code:literal, )+) => {
        /// The exit codes (design, section 9). 10, "partly done", is kept for acts on several things; no command has one yet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Exit { $( $(#[doc = $doc])+ $variant = $code, )+ }

        impl Exit {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// What it means, for the manual.
            pub const fn describe(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+), )+ }
            }
        }
    };
}

exits! {
    /// It was done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// What was named does not exist, or there is nothing to do.
    NotFound = 3,
    /// The state does not allow it.
    Conflict = 4,
    /// The caller may not.
    NotPermitted = 5,
    /// No daemon answers.
    Unreachable = 6,
    /// The daemon did not answer in time.
    TimedOut = 7,
    /// A check was made and failed.
    CheckFailed = 8,
    /// It was refused, or the caller declined.
    Refused = 9,
    /// authctl and authd do not go together.
    VersionMismatch = 11,
}

/// See the module's text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon refused.
    #[error("{}", .0.message)]
    Refused(AdminErrorBody),
    /// Everything that happens on this side.
    #[error("{message}")]
    Here {
        /// The exit code.
        exit: Exit,
        /// What happened.
        message: String,
        /// Why.
        cause: Option<String>,
        /// What to type next.
        fix: Option<String>,
    },
    /// The question was answered with no.
    #[error("declined; nothing was done")]
    Declined,
    /// The reader of our output has seen enough.
    #[error("the output was closed")]
    Closed,
}

impl Error {
    /// With this exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::Here { exit, message: message.into(), cause: None, fix: None }
    }

    /// It failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A question has to be answered, and nobody is there to ask.
    pub fn needs_yes(what: &str) -> Self {
        Self::usage(format!("{what} needs a word from you, and there is no terminal to ask"))
            .fix("add --yes, or --dry-run to see what it would do")
    }

    /// There is nothing to do.
    pub fn nothing(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// With a reason.
    #[must_use]
    pub fn cause(mut self, text: impl Into<String>) -> Self {
        if let Self::Here { cause, .. } = &mut self {
            *cause = Some(text.into());
        }
        self
    }

    /// With a remedy.
    #[must_use]
    pub fn fix(mut self, text: impl Into<String>) -> Self {
        if let Self::Here { fix, .. } = &mut self {
            *fix = Some(text.into());
        }
        self
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused(body) => body.code.parse().map_or(Exit::Failed, exit_of),
            Self::Here { exit, .. } => *exit,
            Self::Declined => Exit::Refused,
            Self::Closed => Exit::Done,
        }
    }

    fn parts(&self) -> (Option<&str>, String, Option<&str>, Option<&str>, Option<&str>) {
        match self {
            Self::Refused(b) => {
                (Some(&b.code), b.message.clone(), b.cause.as_deref(), b.fix.as_deref(), b.request_id.as_deref())
            }
            Self::Here { message, cause, fix, .. } => (None, message.clone(), cause.as_deref(), fix.as_deref(), None),
            Self::Declined => (None, self.to_string(), None, None, None),
            Self::Closed => (None, String::new(), None, None, None),
        }
    }

    /// For people.
    pub fn to_text(&self, io: &Io) -> String {
        match self {
            Self::Closed => return String::new(),
            // Who says no knows it: that is no error.
            Self::Declined => return format!("{self}\n"),
            Self::Refused(_) | Self::Here { .. } => {}
        }
        let (code, message, cause, fix, request) = self.parts();
        let code = code.map_or_else(String::new, |code| format!("  [{}]", printable(code)));
        let mut text = format!("{} {}{code}\n", io.paint_err(Paint::Bad, "error:"), printable(&message));
        for (label, value) in [("cause:", cause), ("fix:", fix), ("request:", request)] {
            if let Some(value) = value {
                text += &format!("  {} {}\n", io.paint_err(Paint::Strong, &format!("{label:<8}")), printable(value));
            }
        }
        text
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        if matches!(self, Self::Closed) {
            return String::new();
        }
        let (code, message, cause, fix, request_id) = self.parts();
        let error = json!({
            "code": code, "message": message, "cause": cause, "fix": fix, "requestId": request_id, "exitCode": self.exit() as u8,
        });
        format!("{}\n", inert(&json!({ "error": error }).to_string()))
    }
}

/// The exit code of a refusal. Total over the codes that the admin door gives, so that scripts can rely on it.
fn exit_of(code: ErrorCode) -> Exit {
    use ErrorCode as E;
    match code {
        E::NotFound | E::UserNotFound | E::SessionNotFound | E::KeyNotFound | E::ServiceNotFound => Exit::NotFound,
        E::Conflict
        | E::IdempotencyKeyReused
        | E::UnexpectedCount
        | E::AmbiguousUser
        | E::UserAlreadyExists
        | E::ServiceNameTaken => Exit::Conflict,
        E::AlreadyDone => Exit::Done,
        E::Forbidden | E::BrowserRefused => Exit::NotPermitted,
        E::ValidationError
        | E::InvalidEmail
        | E::MissingField
        | E::FieldNotAllowed
        | E::BadRequest
        | E::PayloadTooLarge
        | E::UnsupportedMediaType => Exit::Usage,
        E::PasswordTooShort | E::PasswordTooLong | E::PasswordCompromised | E::HookRefused => Exit::Refused,
        E::VersionMismatch => Exit::VersionMismatch,
        E::CheckFailed => Exit::CheckFailed,
        _ => Exit::Failed,
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::failed(format!("reading or writing failed: {error}")),
        }
    }
}
