//! How an event is written down: one JSON object per record, the same for every store.

use serde_json::{Map, Value, json};

use super::AuditQuery;
use crate::{
    digest::{is_same_secret, sha256},
    domain::{Act, Actor, AuditRecord, Event, audit::chain_input},
    ports::Mac,
};

/// The payload of an audit record. Its digest is what the chain runs over, so its form may grow and never shrink.
pub(super) fn payload(act: &Act, event: &Event) -> String {
    let mut out = Map::new();
    out.insert("event".into(), event.kind.as_str().into());
    out.insert("actor".into(), actor(&act.by));
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.insert(name.into(), value.into());
        }
    };
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

fn actor(actor: &Actor) -> Value {
    match actor {
        Actor::Anonymous => json!({"kind": "anonymous"}),
        Actor::User(id) => json!({"kind": "user", "user": id}),
        Actor::Operator { uid, pid, name } => json!({"kind": "operator", "uid": uid, "pid": pid, "name": name}),
        Actor::Daemon => json!({"kind": "daemon"}),
    }
}

/// Whether a record is one of those that the query asks for, limits apart.
pub(super) fn is_wanted(record: &AuditRecord, query: &AuditQuery) -> bool {
    if query.user.is_none() && query.kind.is_none() {
        return true;
    }
    let Some(payload) = record.payload.as_deref().and_then(|p| serde_json::from_str::<Value>(p).ok()) else {
        return false;
    };
    let is = |name: &str, wanted: &str| payload.get(name).and_then(Value::as_str) == Some(wanted);
    query.user.as_ref().is_none_or(|user| is("user", user.as_str()))
        && query.kind.is_none_or(|kind| is("event", kind.as_str()))
}

/// What is wrong with a record at this place of the chain, if something is.
pub(super) fn misfit(record: &AuditRecord, expected: u64, before: &[u8; 32], mac: &dyn Mac) -> Option<String> {
    if record.seq != expected {
        return Some(format!("record {expected} is missing; {} follows", record.seq));
    }
    if record.payload.as_ref().is_some_and(|payload| sha256(payload.as_bytes()) != record.digest) {
        return Some("its payload was altered".into());
    }
    let input = chain_input(before, record.seq, record.at, &record.digest);
    (!is_same_secret(&mac.mac(&[&input]), &record.mac)).then(|| "its MAC does not fit the record before it".into())
}
