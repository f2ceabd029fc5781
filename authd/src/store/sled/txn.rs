//! One intent at work: what it reads is sled, overlaid with what the intents before it in the same group decided,
//! overlaid with its own changes. Nothing touches sled before the group is committed.

use std::{collections::BTreeMap, sync::Arc};

use common::UserId;
use sled::Tree;

use super::{
    cache::HotCache,
    codec::{self, Done, Number, Stored},
    keys, outbox,
};
use crate::{
    domain::{Act, ChainHead, Event, EventKind, Publishing, Topic, User},
    ports::Mac,
    store::{IDEMPOTENCY, StoreError, chain},
};

/// Changes by key; `None` deletes.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The key and the value of a record.
pub(super) type Encoded = (Vec<u8>, Vec<u8>);

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
    cache: &'a HotCache,
    group: &'a Group,
    pub(super) mac: &'a dyn Mac,
    publishing: Publishing,
    changes: Changes,
    chain: ChainHead,
    events: Vec<EventKind>,
}

pub(super) fn unreadable(error: &sled::Error) -> StoreError {
    StoreError::Unreadable(Arc::from(format!("sled: {error}")))
}

impl<'a> Txn<'a> {
    pub(super) fn new(
        (tree, cache): (&'a Tree, &'a HotCache),
        group: &'a Group,
        mac: &'a dyn Mac,
        publishing: Publishing,
    ) -> Self {
        Self { tree, cache, group, mac, publishing, changes: Changes::new(), chain: group.chain, events: vec![] }
    }

    /// The changes, the chain's new end, and the events, to be added to the group.
    pub(super) fn into_parts(self) -> (Changes, ChainHead, Vec<EventKind>) {
        (self.changes, self.chain, self.events)
    }

    /// What was decided about a record since the last commit.
    fn overlaid(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.changes.get(key).or_else(|| self.group.changes.get(key))
    }

    pub(super) fn get<T: Stored>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        match self.overlaid(key) {
            Some(Some(bytes)) => codec::decode(key, bytes).map(Some),
            Some(None) => Ok(None),
            None => match self.tree.get(key).map_err(|e| unreadable(&e))? {
                Some(bytes) => codec::decode(key, &bytes).map(Some),
                None => Ok(None),
            },
        }
    }

    /// A user, from the cache where nothing was decided about it since the last commit: only this thread commits, and the
    /// cache drops what a commit changes, so what it has is what sled has.
    pub(super) fn user(&self, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        let key = keys::user(id);
        if self.overlaid(&key).is_some() {
            return self.get(&key).map(|found| found.map(Arc::new));
        }
        if let Some(user) = self.cache.kept_user(id) {
            return Ok(Some(user));
        }
        let began = self.cache.begin();
        let found = self.get(&key)?.map(Arc::new);
        found.iter().for_each(|user| self.cache.fill_user(began, user));
        Ok(found)
    }

    pub(super) fn exists(&self, key: &[u8]) -> Result<bool, StoreError> {
        match self.overlaid(key) {
            Some(change) => Ok(change.is_some()),
            None => self.tree.contains_key(key).map_err(|e| unreadable(&e)),
        }
    }

    pub(super) fn put<T: Stored>(&mut self, key: Vec<u8>, value: &T) -> Result<(), StoreError> {
        let bytes = codec::encode(&key, value)?;
        self.changes.insert(key, Some(bytes));
        Ok(())
    }

    /// Puts records that are encoded already.
    pub(super) fn put_all(&mut self, records: Vec<Encoded>) {
        self.changes.extend(records.into_iter().map(|(key, value)| (key, Some(value))));
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
        let there = self.tree.scan_prefix(prefix).keys().take(limit);
        let there: Vec<_> =
            there.map(|key| key.map(|key| key.to_vec()).map_err(|e| unreadable(&e))).collect::<Result<_, _>>()?;
        let overlaid = || {
            let both = [&self.group.changes, &self.changes].into_iter();
            both.flat_map(|changes| changes.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)))
        };
        if overlaid().next().is_none() {
            return Ok(there);
        }
        let mut found: BTreeMap<_, _> = there.into_iter().map(|key| (key, true)).collect();
        found.extend(overlaid().map(|(key, value)| (key.clone(), value.is_some())));
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
