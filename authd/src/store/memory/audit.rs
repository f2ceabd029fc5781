//! The audit trail in a list.

use std::convert::Infallible;

use common::UnixTime;

use super::{MemoryStore, State, page};
use crate::{
    domain::{Act, AuditRecord, ChainHead, Event, Topic},
    store::{
        AuditQuery, ChainReport, Erased, Erasure, Page, StoreError,
        chain::{self, Begin, Removal, Walk},
        payload::{is_wanted, names},
    },
};

impl MemoryStore {
    pub(super) fn record(&self, state: &mut State, act: &Act, event: &Event) {
        self.record_as(state, act, event, Topic::of(event));
    }

    /// The same, where the application is told of it as this.
    pub(super) fn record_as(&self, state: &mut State, act: &Act, event: &Event, topics: &[Topic]) {
        state.settle(act);
        let record = chain::append(&state.head(), act, event, &*self.mac);
        if let Some(key) = &act.idempotency {
            state.acts.entry(key.name.clone()).or_insert((record.seq, act.at, key.request));
        }
        self.publish(state, act, event, topics, &record);
        state.audit.push(record);
    }

    pub(super) fn verify(&self, state: &State) -> ChainReport {
        let mut walk = Walk::new(&state.checkpoint.as_ref().map_or(Begin::First, Begin::Checkpoint), &*self.mac);
        for record in &state.audit {
            walk = match walk.take(record.seq, record) {
                Ok(walk) => walk,
                Err(report) => return report,
            };
        }
        walk.end(&state.head())
    }

    pub(super) fn erase(&self, state: &mut State, erasure: &Erasure, act: &Act) -> Erased {
        let due = state.naming(erasure);
        let now = &due[..due.len().min(erasure.limit)];
        let (told, _) = state.events_naming(erasure);
        let gone = &told[..told.len().min(erasure.limit)];
        let left = (due.len() - now.len() + told.len() - gone.len()) as u64;
        let erased = Erased { records: now.len() as u64, events: gone.len() as u64, left };
        if now.is_empty() && gone.is_empty() {
            return erased;
        }
        for seq in gone {
            state.outbox.remove(seq);
        }
        let by = state.head().seq + 1;
        for at in now {
            state.audit[*at] = chain::erased(state.audit[*at].clone(), by, &*self.mac);
        }
        self.record(state, act, &chain::erasure(&erasure.user, erasure.before, erased.records, &*self.mac));
        erased
    }

    pub(super) fn remove_records(
        &self,
        state: &mut State,
        through: UnixTime,
        limit: usize,
        act: &Act,
    ) -> Result<u64, StoreError> {
        let old = state.old_records(through, act.at);
        let mut removal = Removal::new(state.checkpoint.clone(), act.at);
        for record in state.audit.drain(..old.min(limit)) {
            removal.take(&record, &*self.mac).map_err(|problem| StoreError::Damaged(problem.into()))?;
        }
        let removed = removal.removed;
        if let Some((checkpoint, event)) = removal.end(removed < limit as u64, &*self.mac) {
            state.checkpoint = Some(checkpoint);
            event.iter().for_each(|event| self.record(state, act, event));
        }
        Ok(removed)
    }
}

impl State {
    /// How many records at the beginning are no later than `through`, the newest apart.
    fn old_records(&self, through: UnixTime, now: UnixTime) -> usize {
        let Some((newest, others)) = self.audit.split_last() else { return 0 };
        let time = |seq: u64| Ok::<_, Infallible>(self.audit.iter().find(|r| r.seq == seq).map(|r| r.at));
        let mut overtaken = 0;
        let is_old = |record: &&AuditRecord| {
            if record.at > through && record.seq >= overtaken {
                let Ok(found) = chain::overtaken(record, newest.seq, (through, now), time);
                overtaken = found.unwrap_or(0);
            }
            record.at <= through || record.seq < overtaken
        };
        others.iter().take_while(is_old).count()
    }

    fn head(&self) -> ChainHead {
        self.audit.last().map_or(ChainHead::default(), |record| ChainHead { seq: record.seq, mac: record.mac })
    }

    pub(super) fn audit_page(&self, query: &AuditQuery) -> Page<AuditRecord> {
        let records = self.audit.iter().rev();
        let found = records
            .filter(|r| query.before.is_none_or(|before| r.seq < before))
            .filter(|r| query.since.is_none_or(|since| r.at >= since))
            .filter(|r| is_wanted(r, query))
            .cloned()
            .collect();
        page(found, query.limit, |r: &AuditRecord| r.seq.to_string())
    }

    /// The places of the records that an erasure is about, oldest first.
    pub(super) fn naming(&self, erasure: &Erasure) -> Vec<usize> {
        let due = |r: &AuditRecord| erasure.before.is_none_or(|before| r.at < before) && names(r, &erasure.user);
        self.audit.iter().enumerate().filter(|(_, record)| due(record)).map(|(at, _)| at).collect()
    }
}
