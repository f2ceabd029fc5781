//! The store's files.

use common::admin::{SnapshotMade, SnapshotView, StoreFiles};

use super::{AdminApp, AdminError, AdminReq};
use crate::{door::Reply, service::store, store::Files};

pub(super) fn view(files: &Files) -> StoreFiles {
    let snapshot = files.snapshot.map(|(sequence, bytes, made_at)| SnapshotView { sequence, bytes, made_at });
    StoreFiles { sequence: files.sequence, log_bytes: files.log_bytes, snapshot }
}

/// `POST /v1/store/snapshot`
///
/// # Errors
/// There is no room, or the store is not what its commit log says.
pub async fn snapshot(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    let made = store::snapshot(&app.services).await?;
    let took = made.map_or(0, |made| u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX));
    let files = store::files(&app.services)?;
    Ok(Reply::json(&SnapshotMade { made: made.is_some(), took_ms: took, store: view(&files) }))
}
