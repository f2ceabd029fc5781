//! The audit trail.

use common::{
    UnixTime, UserId,
    admin::{AuditErased, AuditVerdict, AuditView, EraseAudit, Page},
};
use serde_json::{Map, Value};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::{AuditRecord, EventKind, Personal},
    door::Reply,
    service::{ServiceError, audit, users},
    store::{AuditQuery, Erased},
};

/// A record as operators see it. What it says is JSON that authd wrote; what was erased is not there.
fn view(record: &AuditRecord) -> AuditView {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let (open, personal) = (parsed(&record.open), record.personal.text().map(parsed).unwrap_or_default());
    let text = |name: &str| personal.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut actor = open.get("actor").cloned().unwrap_or(Value::Null);
    if let (Some(actor), Some(by)) = (actor.as_object_mut(), text("by")) {
        actor.insert("user".into(), by.into());
    }
    let known = |name: &str| open.get(name).and_then(Value::as_str).map(str::to_owned);
    AuditView {
        seq: record.seq,
        at: record.at,
        event: known("event").unwrap_or_default(),
        actor,
        method: known("method"),
        result: known("result"),
        user: text("user").and_then(|id| id.parse().ok()),
        email: None,
        session: text("session").and_then(|id| id.parse().ok()),
        source: text("source"),
        request_id: text("requestId"),
        reason: text("reason"),
        details: personal.get("details").and_then(Value::as_object).cloned().unwrap_or_else(Map::new),
        erased_by: match record.personal {
            Personal::Erased { by, .. } => Some(by),
            Personal::Kept(_) => None,
        },
    }
}

/// The trail of a user outlives the account: what names no user is taken as the id of one who was. That no name is taken for
/// such an id is seen to by `find`.
async fn user_or_id(app: &AdminApp, reference: &str) -> Result<UserId, AdminError> {
    match users::find(&app.services, reference).await {
        Ok(user) => Ok(user.id.clone()),
        Err(e @ ServiceError::UserNotFound) => reference.parse().map_err(|_| e.into()),
        Err(e) => Err(e.into()),
    }
}

/// `GET /v1/audit?user=&event=&since=&addresses=&cursor=&limit=`
///
/// # Errors
/// `ValidationError`, `UserNotFound`.
pub async fn list(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let user = match req.head.query("user") {
        Some(reference) => Some(user_or_id(app, &reference).await?),
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
    let mut items: Vec<AuditView> = page.items.iter().map(view).collect();
    // Not by itself: what is exported of the trail has no addresses in it.
    if req.query::<bool>("addresses")?.unwrap_or(false) {
        for item in &mut items {
            item.email = users::address_of(&app.services, item.user.as_ref()).await?;
        }
    }
    Ok(Reply::json(&Page { items, next: page.next }))
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
        removed: report.removed.map_or(0, |(removed, _)| removed),
        removed_until: report.removed.map(|(_, until)| until),
        erased: report.erased,
        broken_at,
        problem,
    }))
}

/// `POST /v1/audit/erase`
///
/// # Errors
/// `ValidationError`, `UserNotFound`, `AmbiguousUser`.
pub async fn erase(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: EraseAudit = req.json()?;
    let user = user_or_id(app, &wanted.user).await?;
    let services = &app.services;
    let erased = match wanted.dry_run {
        true => audit::preview_erasure(services, &user, wanted.before).await?,
        false => audit::erase(services, &user, wanted.before, req.act(services.clock.now())).await?,
    };
    let Erased { records, events, left } = erased;
    if !wanted.dry_run && records + events > 0 {
        req.log_done(EventKind::AuditErased, &format!("{records} records, {events} events"));
    }
    let events_waiting = audit::untold(services, &user, wanted.before).await?;
    Ok(Reply::json(&AuditErased { user, records, events, events_waiting, left, dry_run: wanted.dry_run }))
}
