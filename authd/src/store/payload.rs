//! How an event is written down: two JSON objects per record, the same for every store.

use std::collections::BTreeMap;

use common::{RequestId, SessionId, UserId};
use serde::Serialize;
use serde_json::Value;

use super::AuditQuery;
use crate::domain::{Act, Actor, AuditRecord, Event};

#[derive(Serialize)]
struct Open<'a> {
    event: &'a str,
    actor: Who<'a>,
    method: &'a str,
    result: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Who<'a> {
    Anonymous,
    User,
    Operator { uid: u32, pid: Option<i32>, name: Option<&'a str> },
    Service { name: &'a str },
    Daemon,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Personal<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: &'a BTreeMap<&'static str, String>,
}

#[allow(clippy::expect_used)]
fn json(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("texts and numbers under names of our own always are JSON")
}

/// What stays of an event as long as its record. The chain runs over it, so its form may grow and never shrink.
pub(super) fn open(act: &Act, event: &Event) -> String {
    let actor = match &act.by {
        Actor::Anonymous => Who::Anonymous,
        Actor::User(_) => Who::User,
        Actor::Operator { uid, pid, name } => Who::Operator { uid: *uid, pid: *pid, name: name.as_deref() },
        Actor::Service(name) => Who::Service { name: name.as_str() },
        Actor::Daemon => Who::Daemon,
    };
    let (event, method, result) = (event.kind.as_str(), act.method.as_str(), event.kind.result());
    json(&Open { event, actor, method, result })
}

/// What can be erased of it.
pub(super) fn personal(act: &Act, event: &Event) -> String {
    let by = match &act.by {
        Actor::User(id) => Some(id.as_str()),
        _ => None,
    };
    json(&Personal {
        by,
        user: event.user.as_ref().map(UserId::as_str),
        session: event.session.as_ref().map(SessionId::as_str),
        source: act.source.as_deref(),
        request_id: act.request_id.as_ref().map(RequestId::as_str),
        reason: act.reason.as_deref(),
        details: &event.details,
    })
}

fn has(json: &str, name: &str, wanted: &str) -> bool {
    let object = serde_json::from_str::<Value>(json).ok();
    object.is_some_and(|object| object.get(name).and_then(Value::as_str) == Some(wanted))
}

/// Whether a record is one of those that the query asks for, limits apart.
pub(super) fn is_wanted(record: &AuditRecord, query: &AuditQuery) -> bool {
    let about = |user: &UserId| record.personal.text().is_some_and(|text| has(text, "user", user.as_str()));
    query.user.as_ref().is_none_or(about) && query.kind.is_none_or(|kind| has(&record.open, "event", kind.as_str()))
}

/// Whether a record still names the user, as the one whom it is about or as the one who acted.
pub(super) fn names(record: &AuditRecord, user: &UserId) -> bool {
    let id = user.as_str();
    record.personal.text().is_some_and(|text| has(text, "user", id) || has(text, "by", id))
}
