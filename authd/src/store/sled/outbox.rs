//! Events on sled: written with the audit record of the act that they tell of, taken out of the queue when the application was
//! told, removed when they are old.

use common::UnixTime;

use super::{
    codec::{self, Number},
    keys::{self, Kind},
    read,
    txn::{Txn, unreadable},
};
use crate::{
    digest::sha256,
    domain::{Act, AuditRecord, Delivery, Event, Outgoing, Topic},
    store::{Backlog, Erasure, Outboxed, Page, Replay, StoreError, Trimmed, Which},
};

/// The number of the last event.
pub(super) const LAST: &str = "outbox";
/// More than are ever kept.
const SCAN: usize = 10_000_000;

/// The event of an act that has just been recorded.
pub(super) fn publish(
    tx: &mut Txn<'_>,
    act: &Act,
    event: &Event,
    topics: &[Topic],
    record: &AuditRecord,
) -> Result<(), StoreError> {
    let publishing = tx.publishing();
    if !publishing.is_on {
        return Ok(());
    }
    for topic in topics {
        let Number(last) = tx.get(&keys::meta(LAST))?.unwrap_or_default();
        let seq = last + 1;
        let mut mark = [0; 8];
        mark.copy_from_slice(&sha256(&record.mac)[..8]);
        tx.put(keys::meta(LAST), &Number(seq))?;
        tx.put(keys::outbox(seq), &Outgoing::new(seq, mark, *topic, act.at, event))?;
        if publishing.delivers {
            tx.put(keys::outbox_waiting(seq), &Delivery::begun(act.at))?;
        }
    }
    Ok(())
}

/// A page of events.
pub(super) fn page(db: &sled::Db, which: Which, after: u64, limit: usize) -> Result<Page<Outboxed>, StoreError> {
    let key = match which {
        Which::All => keys::outbox,
        Which::Waiting => keys::outbox_waiting,
        Which::Dead => keys::outbox_dead,
    };
    let mut items: Vec<Outboxed> = vec![];
    for found in db.range(key(after.saturating_add(1))..=key(u64::MAX)).keys() {
        let found = found.map_err(|e| unreadable(&e))?;
        let Some(seq) = keys::parse_audit(&found) else { continue };
        // It may be told, or removed, in this moment.
        let Some(event) = read::<Outgoing>(db, &keys::outbox(seq))? else { continue };
        let delivery = match read(db, &keys::outbox_waiting(seq))? {
            Some(waiting) => Some(waiting),
            None => read(db, &keys::outbox_dead(seq))?,
        };
        let fits = match which {
            Which::All => true,
            Which::Waiting => delivery.as_ref().is_some_and(|delivery: &Delivery| !delivery.is_dead),
            Which::Dead => delivery.as_ref().is_some_and(|delivery| delivery.is_dead),
        };
        if !fits {
            continue;
        }
        if items.len() >= limit {
            let next = items.last().map(|item| item.event.seq.to_string());
            return Ok(Page { items, next });
        }
        items.push(Outboxed { event, delivery });
    }
    Ok(Page { items, next: None })
}

/// What waits, and what was given up. A walk over both: what is told is in neither.
pub(super) fn backlog(db: &sled::Db) -> Result<Backlog, StoreError> {
    let mut backlog = Backlog::default();
    for entry in db.scan_prefix(keys::prefix(Kind::OutboxWaiting)) {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        let since = codec::decode::<Delivery>(&key, &value)?.since;
        backlog.waiting += 1;
        backlog.oldest = Some(backlog.oldest.map_or(since, |oldest| oldest.min(since)));
    }
    for entry in db.scan_prefix(keys::prefix(Kind::OutboxDead)).keys() {
        entry.map_err(|e| unreadable(&e))?;
        backlog.dead += 1;
    }
    Ok(backlog)
}

/// The events of a user: told ones by their numbers, and how many are still to be told.
pub(super) fn naming(db: &sled::Db, erasure: &Erasure) -> Result<(Vec<u64>, u64), StoreError> {
    let (mut told, mut untold) = (vec![], 0);
    for entry in db.scan_prefix(keys::prefix(Kind::Outbox)) {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        let event: Outgoing = codec::decode(&key, &value)?;
        if !erasure.concerns(&event) {
            continue;
        }
        let seq = event.seq;
        let is_there = |key: Vec<u8>| db.contains_key(key).map_err(|e| unreadable(&e));
        if is_there(keys::outbox_waiting(seq))? || is_there(keys::outbox_dead(seq))? {
            untold += 1;
        } else {
            told.push(seq);
        }
    }
    Ok((told, untold))
}

/// Takes those away that nobody waits for. `found` is what [`naming`] said a moment ago.
pub(super) fn erase(tx: &mut Txn<'_>, found: &[u64], limit: usize) -> Result<(u64, u64), StoreError> {
    let (mut erased, mut left) = (0, 0);
    for seq in found {
        let is_untold = tx.exists(&keys::outbox_waiting(*seq))? || tx.exists(&keys::outbox_dead(*seq))?;
        if is_untold || !tx.exists(&keys::outbox(*seq))? {
            continue;
        }
        if erased >= limit as u64 {
            left += 1;
            continue;
        }
        tx.delete(keys::outbox(*seq));
        erased += 1;
    }
    Ok((erased, left))
}

fn put(tx: &mut Txn<'_>, seq: u64, delivery: Option<&Delivery>) -> Result<(), StoreError> {
    tx.delete(keys::outbox_waiting(seq));
    tx.delete(keys::outbox_dead(seq));
    match delivery {
        Some(delivery) if delivery.is_dead => tx.put(keys::outbox_dead(seq), delivery),
        Some(delivery) => tx.put(keys::outbox_waiting(seq), delivery),
        None => Ok(()),
    }
}

pub(super) fn note(tx: &mut Txn<'_>, outcomes: &[(u64, Option<Delivery>)]) -> Result<(), StoreError> {
    for (seq, outcome) in outcomes {
        if tx.exists(&keys::outbox(*seq))? {
            put(tx, *seq, outcome.as_ref())?;
        }
    }
    Ok(())
}

pub(super) fn replay(tx: &mut Txn<'_>, which: Replay, act: &Act, event: Event) -> Result<u64, StoreError> {
    let found: Vec<u64> = match which {
        Replay::One(seq) => vec![seq],
        Replay::Dead => numbers(tx, Kind::OutboxDead, SCAN)?,
        Replay::From(seq) => numbers(tx, Kind::Outbox, SCAN)?.into_iter().filter(|found| *found >= seq).collect(),
    };
    let mut replayed = 0u64;
    for seq in found {
        if tx.exists(&keys::outbox(seq))? {
            put(tx, seq, Some(&Delivery::begun(act.at)))?;
            replayed += 1;
        }
    }
    if replayed > 0 {
        tx.audit(act, &event.with("events", &replayed))?;
    }
    Ok(replayed)
}

fn numbers(tx: &Txn<'_>, kind: Kind, limit: usize) -> Result<Vec<u64>, StoreError> {
    Ok(tx.keys_with(&keys::prefix(kind), limit)?.iter().filter_map(|key| keys::parse_audit(key)).collect())
}

pub(super) fn trim(tx: &mut Txn<'_>, before: UnixTime, keep: u64, limit: usize) -> Result<Trimmed, StoreError> {
    let Number(last) = tx.get(&keys::meta(LAST))?.unwrap_or_default();
    let mut trimmed = Trimmed::default();
    for seq in numbers(tx, Kind::Outbox, limit)? {
        let key = keys::outbox(seq);
        let Some(event) = tx.get::<Outgoing>(&key)? else { continue };
        if event.at >= before && seq > last.saturating_sub(keep) {
            break;
        }
        trimmed.removed += 1;
        trimmed.untold += u64::from(tx.exists(&keys::outbox_waiting(seq))?);
        put(tx, seq, None)?;
        tx.delete(key);
    }
    Ok(trimmed)
}

/// The number of the last event.
pub(super) fn last(db: &sled::Db) -> Result<u64, StoreError> {
    Ok(read::<Number>(db, &keys::meta(LAST))?.unwrap_or_default().0)
}

/// The same, as a commit has it.
pub(super) fn last_in(key: &[u8], value: Option<&[u8]>) -> Option<u64> {
    codec::decode::<Number>(key, value?).ok().map(|Number(last)| last)
}
