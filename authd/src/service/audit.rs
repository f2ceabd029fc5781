//! Reading the audit trail.

use super::{ServiceError, Services};
use crate::{
    domain::AuditRecord,
    store::{AuditQuery, ChainReport, Page},
};

/// A page of records, newest first.
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &Services, query: AuditQuery) -> Result<Page<AuditRecord>, ServiceError> {
    Ok(app.store.audit(query).await?)
}

/// Walks the whole chain.
///
/// # Errors
/// The store cannot be read. A broken chain is no error but a report.
pub async fn verify(app: &Services) -> Result<ChainReport, ServiceError> {
    Ok(app.store.audit_verify().await?)
}
