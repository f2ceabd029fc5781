//! A stopped store read from end to end: the snapshot, the commit log behind it, and whether sled is what they say.

use std::{cell::Cell, sync::Arc};

use super::{
    keys,
    log::{LogError, Snapshots},
    opening::{OpenError, Opening, guarded, log_directory},
    upkeep::differences,
};
use crate::ports::Mac;

/// What was read, and was whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The snapshot: its sequence and its size in bytes.
    pub snapshot: Option<(u64, u64)>,
    /// How many segments of the commit log there are behind it, and how many bytes they have.
    pub segments: (u64, u64),
    /// The last sequence of the commit log.
    pub sequence: u64,
    /// Bytes at its end of a record that never was whole; the next start cuts them off.
    pub torn: u64,
    /// How many entries the store has by that.
    pub entries: u64,
}

/// The outcome of [`Opening::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the commit log says.
    pub whole: Whole,
    /// The sequence that sled has come to, or why it is not what the commit log says.
    pub sled: Result<u64, Wrong>,
}

/// Why sled is not what the commit log says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Wrong {
    /// What was found.
    pub what: String,
    /// Whether it is the log that lacks something: sled cannot be made anew from it.
    pub is_ahead: bool,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { what, is_ahead: false }
    }
}

impl Opening {
    /// Reads everything, and changes nothing but what sled does to its file when it is opened.
    ///
    /// # Errors
    /// The snapshot or the commit log is damaged or does not have everything: the store cannot be made anew from them.
    pub fn verify(&self, key: &Arc<dyn Mac>) -> Result<Verified, OpenError> {
        if !self.is_complete() && !self.is_new() {
            let what = "it does not have everything, and there is no snapshot that does".into();
            return Err(LogError::Apart { path: log_directory(&self.path), what }.into());
        }
        let (state, walked) = self.found.state(key)?;
        let entries = Cell::new(0);
        let mut state = state.inspect(|entry| entries.set(entries.get() + u64::from(entry.is_ok()))).peekable();
        let mut broken = None;
        // What is wrong with the log must not pass for something that is wrong with sled.
        let mut sound = std::iter::from_fn(|| match state.next()? {
            Ok(entry) => Some(Ok(entry)),
            Err(e) => {
                broken = Some(e);
                None
            }
        });
        let sled = match &self.behind {
            None => Err(Wrong::from(self.why_anew.clone().unwrap_or_default())),
            Some(behind) => guarded(|| {
                let applied = behind.applied()?.unwrap_or_default();
                let found = differences(&mut sound, &behind.db, &|| true)?;
                Ok((applied, found))
            })
            .map_err(|e| e.to_string().into()),
        };
        sound.by_ref().for_each(drop);
        if let Some(broken) = broken {
            return Err(broken.into());
        }
        let sled = sled.and_then(|(applied, found)| {
            if applied.seq > walked.end.seq {
                let what = format!("it has sequence {}, and the commit log ends at {}", applied.seq, walked.end.seq);
                return Err(Wrong { what, is_ahead: true });
            }
            if !self.found.reaches_back_to(applied) {
                return Err(format!("it has only come to sequence {}", applied.seq).into());
            }
            let found = found.ok_or_else(|| "it differs in more records than are looked into".to_owned())?;
            let key = (key.clone(), self.options.format());
            let snapshots = Snapshots::new(log_directory(&self.path), key, self.syncs.clone());
            let wrong = snapshots.unchanged_since(applied, found.into_keys().collect()).map_err(|e| e.to_string())?;
            match wrong.first() {
                Some(first) => {
                    Err(format!("{} records differ, the first is {}", wrong.len(), keys::describe(first)).into())
                }
                None => Ok(applied.seq),
            }
        });
        let (snapshot, segments) = self.found.sizes()?;
        let entries = entries.get();
        let whole = Whole { snapshot, segments, sequence: walked.end.seq, torn: walked.torn, entries };
        Ok(Verified { whole, sled })
    }
}
