//! How far opening the store has come, for those who wait for it: of a large store it can take minutes.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Step {
    /// Files are opened and checked.
    #[default]
    Checking,
    /// sled is made from the snapshot: so many records of it are there.
    Loading(u64),
    /// The commit log is replayed.
    Replaying {
        /// It has come so far.
        sequence: u64,
        /// It goes so far.
        end: u64,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checking => write!(f, "checking its files"),
            Self::Loading(entries) => write!(f, "making it anew from its snapshot, {entries} records"),
            Self::Replaying { sequence, end } => write!(f, "replaying its commit log, {sequence} of {end}"),
        }
    }
}

/// The step at which somebody else can look.
#[derive(Default)]
pub struct Steps(Mutex<Step>);

impl Steps {
    pub(super) fn at(&self, step: Step) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// What is being done now.
    pub fn now(&self) -> Step {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
