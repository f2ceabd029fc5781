//! One intent at work: what it reads is sled, overlaid with what the intents before it in the same group decided,
//! overlaid with its own changes. Nothing touches sled before the group is committed.

use std::{collections::BTreeMap, sync::Arc};

use sled::Tree;

use super::{
    codec::{self, Done, Number, Stored},
    keys, outbox,
};
use crate::{
    domain::{Act, ChainHead, Event, EventKind, Publishing, Topic},
    ports::Mac,
    store::{IDEMPOTENCY, StoreError, chain},
};

/// Changes by key; `None` deletes.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What a group of intents has decided so far.
#[derive(Default)]
pub(super) struct Group {
    pub changes: Changes,
    pub chain: ChainHead,
    /// The first sequence that it takes in the commit log.
    pub seq: u64,
    /// What goes into the audit trail.
    pub events: Vec<EventKind>,
}

/// The view and the changes of one intent.
pub(super) struct Txn<'a> {
    tree: &'a Tree,
    group: &'a Group,
    pub(super) mac: &'a dyn Mac,
    publishing: Publishing,
    changes: Changes,
    chain: ChainHead,
    events: Vec<EventKind>,
}

pub(super) fn unreadable(error: &sled::Error) -> StoreError {
    StoreError::Unavailable(Arc::from(format!("sled: {error}")))
}

impl<'a> Txn<'a> {
    pub(super) fn new(tree: &'a Tree, group: &'a Group, mac: &'a dyn Mac, publishing: Publishing) -> Self {
        Self { tree, group, mac, publishing, changes: Changes::new(), chain: group.chain, events: vec![] }
    }

    /// The changes, the chain's new end, and the events, to be added to the group.
    pub(super) fn into_parts(self) -> (Changes, ChainHead, Vec<EventKind>) {
        (self.changes, self.chain, self.events)
    }

    pub(super) fn get<T: Stored>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        let overlaid = self.changes.get(key).or_else(|| self.group.changes.get(key));
        match overlaid {
            Some(Some(bytes)) => codec::decode(key, bytes).map(Some),
            Some(None) => Ok(None),
            None => match self.tree.get(key).map_err(|e| unreadable(&e))? {
                Some(bytes) => codec::decode(key, &bytes).map(Some),
                None => Ok(None),
            },
        }
    }

    pub(super) fn exists(&self, key: &[u8]) -> Result<bool, StoreError> {
        match self.changes.get(key).or_else(|| self.group.changes.get(key)) {
            Some(change) => Ok(change.is_some()),
            None => self.tree.contains_key(key).map_err(|e| unreadable(&e)),
        }
    }

    pub(super) fn put<T: Stored>(&mut self, key: Vec<u8>, value: &T) -> Result<(), StoreError> {
        let bytes = codec::encode(&key, value)?;
        self.changes.insert(key, Some(bytes));
        Ok(())
    }

    /// Changes nothing after all.
    pub(super) fn abandon(&mut self) {
        self.changes.clear();
        self.events.clear();
        self.chain = self.group.chain;
    }

    pub(super) fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// The keys that begin with `prefix`, in order, at most `limit` of those in sled.
    pub(super) fn keys_with(&self, prefix: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut found = BTreeMap::new();
        for key in self.tree.scan_prefix(prefix).keys().take(limit) {
            found.insert(key.map_err(|e| unreadable(&e))?.to_vec(), true);
        }
        for changes in [&self.group.changes, &self.changes] {
            let begins = changes.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
            found.extend(begins.map(|(key, value)| (key.clone(), value.is_some())));
        }
        Ok(found.into_iter().filter_map(|(key, present)| present.then_some(key)).collect())
    }

    /// Adds to a counter.
    pub(super) fn count(&mut self, name: &str, delta: i64) -> Result<(), StoreError> {
        if delta == 0 {
            return Ok(());
        }
        let key = keys::meta(name);
        let Number(old) = self.get(&key)?.unwrap_or_default();
        self.put(key, &Number(old.saturating_add_signed(delta)))
    }

    /// Refuses an act whose name was used before (CL-04).
    pub(super) fn check_not_done(&self, act: &Act) -> Result<(), StoreError> {
        match &act.idempotency {
            Some(key) => Done::check(self.get(&keys::act(&key.name))?, key),
            None => Ok(()),
        }
    }

    /// What was taken away must not stay in the commit log either: a snapshot is due, until there is one of this group.
    pub(super) fn forgets(&mut self) -> Result<(), StoreError> {
        self.put(keys::meta(FORGOTTEN), &Number(self.group.seq))
    }

    /// The end of the audit chain.
    pub(super) fn head(&self) -> ChainHead {
        self.chain
    }

    /// Whether events are written down.
    pub(super) fn publishing(&self) -> Publishing {
        self.publishing
    }

    /// Appends an event to the audit chain, and puts what the application is told of it into the outbox.
    pub(super) fn audit(&mut self, act: &Act, event: &Event) -> Result<(), StoreError> {
        self.audit_as(act, event, Topic::of(event))
    }

    /// The same, where the application is told of it as this.
    pub(super) fn audit_as(&mut self, act: &Act, event: &Event, topics: &[Topic]) -> Result<(), StoreError> {
        let record = chain::append(&self.chain, act, event, self.mac);
        let seq = record.seq;
        // The same act may have several events; the first one gives it its number.
        if let Some(key) = &act.idempotency
            && !self.exists(&keys::act(&key.name))?
        {
            self.put(keys::act(&key.name), &Done { seq, request: key.request })?;
            self.put(keys::act_expiry(act.at.plus(IDEMPOTENCY), &key.name), &Number(1))?;
        }
        self.put(keys::audit(seq), &record)?;
        self.chain = ChainHead { seq, mac: record.mac };
        self.events.push(event.kind);
        let head = self.chain;
        self.put(keys::meta(CHAIN), &head)?;
        outbox::publish(self, act, event, topics, &record)
    }
}

/// The name under which the end of the chain is kept.
pub(super) const CHAIN: &str = "chain";
/// The name under which it is kept since when a snapshot is due because something was taken away.
pub(super) const FORGOTTEN: &str = "forgotten";
/// The name under which its beginning is kept, once records were removed.
pub(super) const CHECKPOINT: &str = "chain-begin";
