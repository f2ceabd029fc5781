//! How an event is written down: two JSON objects per record, the same for every store.

use common::UserId;
use serde_json::{Map, Value, json};

use super::AuditQuery;
use crate::domain::{Act, Actor, AuditRecord, Event};

/// What stays of an event as long as its record. The chain runs over it, so its form may grow and never shrink.
pub(super) fn open(act: &Act, event: &Event) -> String {
    let actor = match &act.by {
        Actor::Anonymous => json!({"kind": "anonymous"}),
        Actor::User(_) => json!({"kind": "user"}),
        Actor::Operator { uid, pid, name } => json!({"kind": "operator", "uid": uid, "pid": pid, "name": name}),
        Actor::Service(name) => json!({"kind": "service", "name": name.as_str()}),
        Actor::Daemon => json!({"kind": "daemon"}),
    };
    let (method, result) = (act.method.as_str(), event.kind.result());
    json!({"event": event.kind.as_str(), "actor": actor, "method": method, "result": result}).to_string()
}

/// What can be erased of it.
pub(super) fn personal(act: &Act, event: &Event) -> String {
    let mut out = Map::new();
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.insert(name.into(), value.into());
        }
    };
    if let Actor::User(id) = &act.by {
        set("by", Some(id.to_string()));
    }
    set("user", event.user.as_ref().map(ToString::to_string));
    set("session", event.session.as_ref().map(ToString::to_string));
    set("source", act.source.clone());
    set("requestId", act.request_id.as_ref().map(ToString::to_string));
    set("reason", act.reason.clone());
    if !event.details.is_empty() {
        let details = event.details.iter().map(|(k, v)| ((*k).to_owned(), Value::from(v.as_str())));
        out.insert("details".into(), Value::Object(details.collect()));
    }
    Value::Object(out).to_string()
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
