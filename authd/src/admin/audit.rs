//! The audit trail.

use common::{
    UnixTime,
    admin::{AuditVerdict, AuditView, Page},
};
use serde_json::{Map, Value, json};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::{AuditRecord, EventKind},
    door::Reply,
    service::{audit, users},
    store::AuditQuery,
};

/// A record as operators see it. Its payload is JSON that authd wrote; what was erased shows as such.
fn view(record: &AuditRecord) -> AuditView {
    let payload: Value = record.payload.as_deref().and_then(|p| serde_json::from_str(p).ok()).unwrap_or(Value::Null);
    let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
    AuditView {
        seq: record.seq,
        at: record.at,
        event: text("event").unwrap_or_else(|| "erased".into()),
        actor: payload.get("actor").cloned().unwrap_or(json!({"kind": "erased"})),
        user: text("user").and_then(|id| id.parse().ok()),
        session: text("session").and_then(|id| id.parse().ok()),
        source: text("source"),
        request_id: text("requestId"),
        reason: text("reason"),
        details: payload.get("details").and_then(Value::as_object).cloned().unwrap_or_else(Map::new),
    }
}

/// `GET /v1/audit?user=&event=&since=&cursor=&limit=`
///
/// # Errors
/// `ValidationError`, `UserNotFound`.
pub async fn list(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let user = match req.head.query("user") {
        // The trail of a user outlives the account: an id is taken as it is.
        Some(reference) => match users::find(&app.services, &reference).await {
            Ok(user) => Some(user.id.clone()),
            Err(e) => Some(reference.parse().map_err(|_| AdminError::from(e))?),
        },
        None => None,
    };
    let kind = match req.head.query("event") {
        Some(name) => Some(EventKind::ALL.iter().copied().find(|kind| kind.as_str() == name).ok_or_else(|| {
            let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
            AdminError::validation(format!("there is no event '{name}'")).fix(format!("one of {}", known.join(", ")))
        })?),
        None => None,
    };
    let query = AuditQuery {
        user,
        kind,
        since: req.query::<UnixTime>("since")?,
        before: req.query("cursor")?,
        limit: req.limit()?,
    };
    let page = audit::list(&app.services, query).await?;
    Ok(Reply::json(&Page { items: page.items.iter().map(view).collect::<Vec<_>>(), next: page.next }))
}

/// `GET /v1/audit/verify`
///
/// # Errors
/// The store cannot be read. A broken chain is an answer.
pub async fn verify(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    let report = audit::verify(&app.services).await?;
    let (broken_at, problem) = report.broken.unzip();
    Ok(Reply::json(&AuditVerdict {
        ok: broken_at.is_none(),
        records: report.records,
        first: report.range.map(|(first, _)| first),
        last: report.range.map(|(_, last)| last),
        broken_at,
        problem,
    }))
}
