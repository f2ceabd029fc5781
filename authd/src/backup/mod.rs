//! Backups: the whole store in one file, which opens with the store's master key, or with the identity of a recovery recipient
//! where the host and its master key are lost. Made from a snapshot of the commit log, so exact and consistent; read and
//! written as a stream, so that the size of a store is no matter of memory.

mod bringing;
mod drill;
mod file;
mod restore;
mod shelf;

use serde::Serialize;

pub use self::{
    drill::drill,
    file::{Content, Opening},
    restore::{Wanted, new_identity, restore, verify},
    shelf::Shelf,
};

/// What became of work on a backup: for people, and for programs.
#[derive(Debug, Clone)]
pub struct Told {
    text: String,
    json: String,
}

impl Told {
    fn new(text: String, found: &impl Serialize) -> Self {
        Self { text, json: serde_json::to_string(found).unwrap_or_default() + "\n" }
    }

    /// The one or the other.
    pub fn as_asked(&self, json: bool) -> &str {
        if json { &self.json } else { &self.text }
    }
}
