//! The store's files.

use super::{ServiceError, Services};
use crate::store::{Files, Snapshotted, StoreError, Work};

/// Makes a snapshot of all that is committed; `None` if nothing is new since the last one.
///
/// # Errors
/// There is no room, or the store is not what its commit log says.
pub async fn snapshot(app: &Services) -> Result<Option<Snapshotted>, ServiceError> {
    Ok(app.upkeep.snapshot().await?)
}

/// What the files are like.
///
/// # Errors
/// They cannot be read.
pub fn files(app: &Services) -> Result<Files, ServiceError> {
    Ok(app.upkeep.files()?)
}

/// Whether it takes changes.
///
/// # Errors
/// Why not: there is no room, or it has stopped for good.
pub fn health(app: &Services) -> Result<(), StoreError> {
    app.store.health()
}

/// What it has done since the start.
pub fn work(app: &Services) -> Work {
    app.upkeep.work()
}
