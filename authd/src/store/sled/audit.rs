//! The audit trail on sled: reading it, checking it, erasing what it says, removing its beginning.

use common::{UnixTime, admin::Counts};

use super::{
    codec::{self, Number},
    intents::{SESSIONS, USERS},
    keys::{self, Kind},
    outbox, read,
    txn::{CHAIN, CHECKPOINT, Txn, unreadable},
};
use crate::{
    domain::{Act, AuditRecord, ChainHead, Checkpoint},
    ports::Mac,
    store::{
        AuditQuery, ChainReport, Erased, Erasure, Page, StoreError,
        chain::{self, Begin, Removal, Walk},
        payload::{is_wanted, names},
    },
};

pub(super) fn head(db: &sled::Db) -> Result<ChainHead, StoreError> {
    Ok(read(db, &keys::meta(CHAIN))?.unwrap_or_default())
}

pub(super) fn checkpoint(db: &sled::Db) -> Result<Option<Checkpoint>, StoreError> {
    read(db, &keys::meta(CHECKPOINT))
}

pub(super) fn counts(db: &sled::Db) -> Result<Counts, StoreError> {
    let number = |name| read::<Number>(db, &keys::meta(name)).map(|n| n.unwrap_or_default().0);
    let removed = checkpoint(db)?.map_or(0, |checkpoint| checkpoint.last.seq);
    Ok(Counts { users: number(USERS)?, sessions: number(SESSIONS)?, audit: head(db)?.seq.saturating_sub(removed) })
}

pub(super) fn page(db: &sled::Db, query: &AuditQuery) -> Result<Page<AuditRecord>, StoreError> {
    let mut items: Vec<AuditRecord> = vec![];
    let mut older = 0;
    let end = keys::audit(query.before.unwrap_or(u64::MAX));
    for entry in db.range(keys::audit(0)..end).rev() {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        let record: AuditRecord = codec::decode(&key, &value)?;
        if query.since.is_some_and(|since| record.at < since) {
            older += 1;
            if older == chain::OLDER_IN_A_ROW {
                break;
            }
            continue;
        }
        older = 0;
        if !is_wanted(&record, query) {
            continue;
        }
        if items.len() >= query.limit {
            let next = items.last().map(|r| r.seq.to_string());
            return Ok(Page { items, next });
        }
        items.push(record);
    }
    Ok(Page { items, next: None })
}

/// Walks the chain. A removal that comes between takes records away that the walk counts on: then it begins anew.
pub(super) fn verify(db: &sled::Db, mac: &dyn Mac) -> Result<ChainReport, StoreError> {
    let begin = || db.get(keys::meta(CHECKPOINT)).map_err(|e| unreadable(&e));
    loop {
        let began = begin()?;
        let report = walk(db, mac)?;
        if report.broken.is_none() || began == begin()? {
            return Ok(report);
        }
    }
}

fn walk(db: &sled::Db, mac: &dyn Mac) -> Result<ChainReport, StoreError> {
    let checkpoint = match checkpoint(db) {
        Err(StoreError::Damaged(_)) => Err(()),
        other => Ok(other?),
    };
    let begin = match &checkpoint {
        Ok(None) => Begin::First,
        Ok(Some(checkpoint)) => Begin::Checkpoint(checkpoint),
        Err(()) => Begin::Unreadable,
    };
    let recorded = head(db)?;
    let mut walk = Walk::new(&begin, mac);
    for entry in db.scan_prefix(keys::prefix(Kind::Audit)) {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        let expected = walk.before.seq + 1;
        let Some(place) = keys::parse_audit(&key) else {
            return Ok(walk.fail(expected, "something else stands before it"));
        };
        let record: AuditRecord = match codec::decode(&key, &value) {
            Ok(record) => record,
            Err(e) => return Ok(walk.fail(place.min(expected), e.to_string())),
        };
        walk = match walk.take(place, &record) {
            Ok(walk) => walk,
            Err(report) => return Ok(report),
        };
    }
    // The chain may have grown since its head was read, and also since the walk was over.
    let head = if walk.before.seq > recorded.seq { head(db)? } else { recorded };
    let grown = head != recorded && head.seq > walk.before.seq;
    let head = if grown { walk.before } else { head };
    Ok(walk.end(&head))
}

/// The numbers of the records that an erasure is about, oldest first.
pub(super) fn naming(db: &sled::Db, erasure: &Erasure) -> Result<Vec<u64>, StoreError> {
    let mut found = vec![];
    for entry in db.scan_prefix(keys::prefix(Kind::Audit)) {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        let record: AuditRecord = codec::decode(&key, &value)?;
        if is_due(&record, erasure) {
            found.push(record.seq);
        }
    }
    Ok(found)
}

fn is_due(record: &AuditRecord, erasure: &Erasure) -> bool {
    erasure.before.is_none_or(|before| record.at < before) && names(record, &erasure.user)
}

/// `found` is what [`naming`] said a moment ago; what has become of it since is seen here.
pub(super) fn erase(
    tx: &mut Txn<'_>,
    erasure: &Erasure,
    (found, told): (&[u64], &[u64]),
    act: &Act,
) -> Result<Erased, StoreError> {
    let by = tx.head().seq + 1;
    let (limit, mut records, mut left) = (erasure.limit as u64, 0, 0);
    for seq in found {
        let key = keys::audit(*seq);
        let Some(record) = tx.get::<AuditRecord>(&key)?.filter(|record| is_due(record, erasure)) else { continue };
        if records >= limit {
            left += 1;
            continue;
        }
        let erased = chain::erased(record, by, tx.mac);
        tx.put(key, &erased)?;
        records += 1;
    }
    let (events, events_left) = outbox::erase(tx, told, erasure.limit)?;
    if records + events > 0 {
        tx.audit(act, &chain::erasure(&erasure.user, erasure.before, records, tx.mac))?;
        tx.forgets()?;
    }
    Ok(Erased { records, events, left: left + events_left })
}

pub(super) fn remove(tx: &mut Txn<'_>, through: UnixTime, limit: usize, act: &Act) -> Result<u64, StoreError> {
    let found: Option<Checkpoint> = tx.get(&keys::meta(CHECKPOINT))?;
    if found.as_ref().is_some_and(|found| !chain::is_genuine(found, tx.mac)) {
        return Err(StoreError::Damaged("of the checkpoint of the audit trail".into()));
    }
    let head = tx.head();
    let mut removal = Removal::new(found, act.at);
    let (mut more, mut overtaken) = (true, 0);
    while more && removal.removed < limit as u64 {
        let (seq, key) = (removal.next(), keys::audit(removal.next()));
        let damaged = |problem: &str| StoreError::Damaged(format!("{seq} of the audit trail ({problem})"));
        more = seq < head.seq;
        if more {
            let record: AuditRecord = tx.get(&key)?.ok_or_else(|| damaged("it is missing"))?;
            if record.at > through && seq >= overtaken {
                let time = |seq| Ok(tx.get::<AuditRecord>(&keys::audit(seq))?.map(|record| record.at));
                overtaken = chain::overtaken(&record, head.seq, (through, act.at), time)?.unwrap_or(0);
            }
            more = record.at <= through || seq < overtaken;
            if more {
                removal.take(&record, tx.mac).map_err(damaged)?;
                tx.delete(key);
            }
        }
    }
    let removed = removal.removed;
    if let Some((checkpoint, event)) = removal.end(!more, tx.mac) {
        tx.put(keys::meta(CHECKPOINT), &checkpoint)?;
        event.map_or(Ok(()), |event| tx.audit(act, &event))?;
    }
    Ok(removed)
}
