//! The audit trail: reading and checking it, erasing what it says of a user, removing what is too old.

use common::{Span, UnixTime, UserId};
use tracing::info;

use super::{ServiceError, Services};
use crate::{
    domain::{Act, AuditRecord, Event, EventKind, IdempotencyKey},
    store::{AuditQuery, ChainReport, Erased, Erasure, Page},
};

/// How many records one act erases: they are one change, and a larger one would hold up everybody else's.
pub const ERASE_AT_ONCE: usize = 20_000;
/// How many records one step of a removal takes.
const CHUNK: usize = 64;
/// How many steps one round makes.
const STEPS: usize = 200;
/// How long after a removal the next one begins: each makes a record of its own.
const REMOVE_EVERY: Span = Span::from_days(1);

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

/// Erases what the records say of a user, who may be deleted already. What stays is in [`AuditRecord::open`]. By the same
/// change the user's events leave the outbox, but those that the application is still to be told of.
///
/// # Errors
/// `Repeated`, `OtherAct`; the store cannot write.
pub async fn erase(app: &Services, user: &UserId, before: Option<UnixTime>, act: Act) -> Result<Erased, ServiceError> {
    let erasure = Erasure { user: user.clone(), before, limit: ERASE_AT_ONCE };
    Ok(app.store.erase_audit(erasure, act).await?)
}

/// What [`erase`] would do.
///
/// # Errors
/// The store cannot be read.
pub async fn preview_erasure(app: &Services, user: &UserId, before: Option<UnixTime>) -> Result<Erased, ServiceError> {
    let limit = ERASE_AT_ONCE as u64;
    let erasure = Erasure { user: user.clone(), before, limit: ERASE_AT_ONCE };
    let events = app.store.events_naming(erasure.clone()).await?.told;
    let records = app.store.audit_naming(erasure).await?;
    let left = records.saturating_sub(limit) + events.saturating_sub(limit);
    Ok(Erased { records: records.min(limit), events: events.min(limit), left })
}

/// How many events of a user the application is still to be told of: no erasure takes them away.
///
/// # Errors
/// The store cannot be read.
pub async fn untold(app: &Services, user: &UserId, before: Option<UnixTime>) -> Result<u64, ServiceError> {
    let erasure = Erasure { user: user.clone(), before, limit: ERASE_AT_ONCE };
    Ok(app.store.events_naming(erasure).await?.untold)
}

/// Removes records that are older than the configured retention, once a day and as long as it takes.
///
/// # Errors
/// The store cannot write; a record was tampered with.
pub async fn remove_old(app: &Services, now: UnixTime) -> Result<u64, ServiceError> {
    let Some(retention) = app.policy.audit_retention else { return Ok(0) };
    if let Some(last) = app.store.audit_checkpoint().await?
        && last.finished
        && now < last.at.plus(REMOVE_EVERY)
    {
        return Ok(0);
    }
    let mut removed = 0;
    for _ in 0..STEPS {
        let step = app.store.remove_audit(now.minus(retention), CHUNK, Act::by_daemon(now)).await?;
        removed += step;
        if step < CHUNK as u64 {
            break;
        }
    }
    if removed > 0 {
        info!(removed, "audit records older than the retention were removed");
    }
    Ok(removed)
}

/// Notes that something was shown to an operator.
///
/// # Errors
/// The store cannot write: then it is not to be shown.
pub async fn note(app: &Services, act: Act, kind: EventKind) -> Result<(), ServiceError> {
    Ok(app.store.note_event(act, Event::new(kind)).await?)
}
