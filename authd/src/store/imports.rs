//! Accounts that come from another server, batch by batch, and how they are taken back.

use async_trait::async_trait;
use common::ImportId;

use super::StoreError;
use crate::domain::{Act, Event, Fate, Import, Incoming};

/// Some accounts of an import.
#[derive(Debug, Clone)]
pub struct ImportBatch {
    /// Of which import.
    pub id: ImportId,
    /// From what.
    pub source: String,
    /// The accounts.
    pub accounts: Vec<Incoming>,
}

/// What a step of taking an import back did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// As it was before the step.
    pub import: Import,
    /// Accounts that were deleted.
    pub users: u64,
    /// Sessions that ended with them.
    pub sessions: u64,
}

/// See the module's text.
#[async_trait]
pub trait Imports: Send + Sync {
    /// Takes a batch in: of each account all or nothing, and of the batch whatever nothing here stands in the way of. Its
    /// accounts are known as those of this import from then on. The event gets the counts; there is none, and no change, if
    /// no account is new. Answers what became of each, in their order.
    async fn import(&self, batch: ImportBatch, act: Act, event: Event) -> Result<Vec<Fate>, StoreError>;

    /// What [`Imports::import`] would do now.
    async fn preview_import(&self, batch: ImportBatch) -> Result<Vec<Fate>, StoreError>;

    /// All imports, in the order of their ids.
    async fn imports(&self) -> Result<Vec<Import>, StoreError>;

    /// Deletes at most `limit` accounts of an import with everything that belongs to them; with the last of them the import
    /// is forgotten. The event gets the counts. `None`, and no change, if there is no such import.
    async fn undo_import(
        &self,
        id: ImportId,
        limit: usize,
        act: Act,
        event: Event,
    ) -> Result<Option<Undone>, StoreError>;
}
