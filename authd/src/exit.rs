//! How the daemon ends: the exit codes of sysexits.h, so that systemd and people can tell what helps.

use std::fmt;

macro_rules! exits {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $code:literal, )+) => {
        /// Why the daemon did not start, or stopped. The number is the exit code.
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
    /// A part of the program has failed.
    Software = 70,
    /// The operating system refused something: a port in use, no threads.
    System = 71,
    /// Something could not be made: a directory, a key file.
    CannotCreate = 73,
    /// The store cannot be read or written.
    Io = 74,
    /// Another authd has this data directory, or this socket.
    Locked = 75,
    /// A permission is missing.
    Permission = 77,
    /// The configuration, the master key or the directory's mode is wrong. Starting again does not help.
    Configuration = 78,
}

/// A start that failed, or a run that ended badly: what happened, and what to do.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Failure {
    /// Without a remedy.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), fix: None }
    }

    /// With a remedy.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        match &self.fix {
            Some(fix) => write!(f, "\n  fix: {fix}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
