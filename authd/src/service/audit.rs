//! Reading the audit trail.

use super::{ServiceError, Services};
use crate::{
    domain::{AuditRecord, IdempotencyKey},
    store::{AuditQuery, ChainReport, Page},
};

/// A page of records, newest first.
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &Services, query: AuditQuery) -> Result<Page<AuditRecord>, ServiceError> {
    Ok(app.store.audit(query).await?)
}

/// Refuses an act whose name was used before (CL-04).
///
/// # Errors
/// `Repeated` if it is the same act, `OtherAct` if not.
pub async fn check_not_done(app: &Services, key: &IdempotencyKey) -> Result<(), ServiceError> {
    Ok(app.store.check_not_done(key).await?)
}

/// Walks the whole chain.
///
/// # Errors
/// The store cannot be read. A broken chain is no error but a report.
pub async fn verify(app: &Services) -> Result<ChainReport, ServiceError> {
    Ok(app.store.audit_verify().await?)
}
