//! What somebody can do to the audit trail who can write the data directory and has no key (LG-07): whatever it is, the
//! verification names the place. Every change has the right checksum: it is no damage but a lie.

use std::path::Path;

use common::{Span, UnixTime, UserId};

use super::{
    SledStore,
    audit::verify,
    codec::{self, Stored},
    keys::{self, Kind},
    txn::{CHAIN, CHECKPOINT},
};
use crate::{
    crypto::mac::HmacKey,
    domain::{Act, Actor, AuditRecord, ChainHead, Checkpoint, Event, EventKind, Personal},
    store::{
        Erasure, Store,
        contract::{
            T0,
            restart::{again, open},
        },
    },
};

fn mac() -> HmacKey {
    HmacKey::new(b"audit")
}

/// As it lies on disk, without the store.
fn raw(dir: &Path) -> sled::Db {
    again(|| sled::Config::new().path(dir.join("sled")).mode(sled::Mode::LowSpace).open())
}

fn at(secs: u64) -> UnixTime {
    T0.plus(Span::from_secs(secs))
}

/// Records of all kinds, twice over, some of them erased.
async fn records(store: &SledStore) {
    let users: Vec<UserId> = ["ada", "eve"].iter().map(|id| id.parse().unwrap()).collect();
    let kinds = EventKind::ALL.iter().chain(EventKind::ALL);
    for (n, kind) in (0..).zip(kinds) {
        let user = &users[n % 2];
        let by = [Actor::User(user.clone()), Actor::Daemon, Actor::Anonymous][n % 3].clone();
        let act = Act { by, source: Some("192.0.2.7".into()), ..Act::by_daemon(at(n as u64)) };
        store.note_clock(T0, act, Event::new(*kind).user(user).with("n", &n)).await.unwrap();
    }
    let some = Erasure { user: users[1].clone(), before: None, limit: 12 };
    assert_eq!(store.erase_audit(some, Act::by_daemon(at(100))).await.unwrap().records, 12);
}

/// A closed store, whose trail reaches from the first to the last number.
struct Trail {
    db: sled::Db,
    first: u64,
    last: u64,
}

impl Trail {
    /// With `removed` of its records gone by age.
    async fn new(dir: &Path, removed: u64) -> Self {
        let store = open(dir);
        records(&store).await;
        let through = at(removed).minus(Span::from_millis(1));
        assert_eq!(store.remove_audit(through, 100, Act::by_daemon(at(200))).await, Ok(removed));
        let report = store.audit_verify().await.unwrap();
        assert_eq!((report.broken, report.removed.map(|(n, _)| n)), (None, (removed > 0).then_some(removed)));
        let (first, last) = report.range.unwrap();
        drop(store);
        let db = raw(dir);
        Self { db, first, last }
    }

    fn put<T: Stored>(&self, key: Vec<u8>, value: &T) {
        let value = codec::encode(&key, value).unwrap();
        self.db.insert(key, value).unwrap();
    }

    fn get(&self, seq: u64) -> AuditRecord {
        let key = keys::audit(seq);
        codec::decode(&key, &self.db.get(&key).unwrap().unwrap()).unwrap()
    }

    fn remove(&self, seq: u64) {
        self.db.remove(keys::audit(seq)).unwrap().unwrap();
    }

    /// That the verification names `seq` while `change` is made, and nothing once it is taken back.
    fn finds(&self, seq: u64, problem: &str, what: &str, change: impl FnOnce(&Self)) {
        let before: Vec<_> = self.db.iter().map(Result::unwrap).collect();
        change(self);
        let broken = verify(&self.db, &mac()).unwrap().broken;
        let (found, why) = broken.unwrap_or_else(|| panic!("not seen: {what}, at {seq}"));
        assert!(found == seq && why.contains(problem), "{what}, at {seq}: '{why}' at {found}");
        let added: Vec<_> = self.db.iter().keys().map(Result::unwrap).collect();
        for key in added.iter().filter(|key| !before.iter().any(|(was, _)| was == *key)) {
            self.db.remove(key).unwrap();
        }
        for (key, value) in before {
            self.db.insert(key, value).unwrap();
        }
        assert_eq!(verify(&self.db, &mac()).unwrap().broken, None, "{what}, at {seq}, taken back");
    }
}

/// One byte, another text.
fn altered(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'x' { b'y' } else { b'x' };
    String::from_utf8(bytes).unwrap()
}

fn flipped(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[17] ^= 1;
    bytes
}

/// Everything that can be altered in a record.
fn alterations(record: &AuditRecord) -> Vec<(&'static str, AuditRecord)> {
    let mut out = vec![
        ("the open part altered", AuditRecord { open: altered(&record.open), ..record.clone() }),
        ("the digest altered", AuditRecord { digest: flipped(record.digest), ..record.clone() }),
        ("the MAC altered", AuditRecord { mac: flipped(record.mac), ..record.clone() }),
        ("the time altered", AuditRecord { at: record.at.plus(Span::from_millis(1)), ..record.clone() }),
        ("the number altered", AuditRecord { seq: record.seq + 1, ..record.clone() }),
    ];
    let mut with = |what, personal| out.push((what, AuditRecord { personal, ..record.clone() }));
    match &record.personal {
        Personal::Kept(text) => {
            with("the personal part altered", Personal::Kept(altered(text)));
            with("the personal part emptied", Personal::Kept(String::new()));
            with("the personal part taken away", Personal::Erased { by: record.seq + 1, proof: record.mac });
        }
        Personal::Erased { by, proof } => {
            with("another act of erasure", Personal::Erased { by: by + 1, proof: *proof });
            with("the proof of the erasure altered", Personal::Erased { by: *by, proof: flipped(*proof) });
            with("a personal part made up", Personal::Kept("{}".into()));
        }
    }
    out
}

async fn every_record(removed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::new(dir.path(), removed).await;
    let (first, last) = (trail.first, trail.last);
    assert!(first == removed + 1 && last >= 40, "{last}");
    for seq in first..=last {
        let record = trail.get(seq);
        for (what, altered) in alterations(&record) {
            trail.finds(seq, "", what, |t| t.put(keys::audit(seq), &altered));
        }
        trail.finds(seq, &format!("record {seq} is missing"), "deleted", |t| t.remove(seq));
        trail.finds(seq, "", "the rest cut off", |t| (seq..=last).for_each(|seq| t.remove(seq)));
        for other in [seq + 1, last].into_iter().filter(|other| *other > seq && *other <= last) {
            let theirs = trail.get(other);
            trail.finds(seq, "another record stands in its place", "swapped", |t| {
                t.put(keys::audit(seq), &theirs);
                t.put(keys::audit(other), &record);
            });
        }
        trail.finds(last + 1, "", "a copy at the end", |t| t.put(keys::audit(last + 1), &record));
        trail.finds(last + 1, "", "a copy at the end, with its number", |t| {
            t.put(keys::audit(last + 1), &AuditRecord { seq: last + 1, ..record.clone() });
        });
        let between = [keys::audit(seq), vec![0]].concat();
        let after = if seq == last { last + 1 } else { seq + 1 };
        trail.finds(after, "something else stands before it", "a copy in between", |t| t.put(between, &record));
        trail.finds(first - 1, "before the beginning", "a copy at the beginning", |t| {
            t.put(keys::audit(first - 1), &record);
        });
    }
}

#[tokio::test]
async fn lg_07_whatever_is_done_to_a_record_its_number_is_named() {
    every_record(0).await;
}

#[tokio::test]
async fn lg_07_whatever_is_done_to_a_record_behind_a_checkpoint_its_number_is_named() {
    every_record(5).await;
}

#[tokio::test]
async fn lg_07_an_altered_missing_or_older_checkpoint_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::new(dir.path(), 5).await;
    let key = || keys::meta(CHECKPOINT);
    let found: Checkpoint = codec::decode(&key(), &trail.db.get(key()).unwrap().unwrap()).unwrap();
    trail.finds(1, "no checkpoint says that it was removed", "missing", |t| drop(t.db.remove(key()).unwrap()));
    trail.finds(6, "the checkpoint before it was altered", "damaged", |t| drop(t.db.insert(key(), b"x").unwrap()));
    let later = found.at.plus(Span::from_millis(1));
    for (what, altered) in [
        ("the number", Checkpoint { last: ChainHead { seq: 6, ..found.last }, ..found.clone() }),
        ("the MAC", Checkpoint { last: ChainHead { mac: flipped(found.last.mac), ..found.last }, ..found.clone() }),
        ("the time of the last record", Checkpoint { until: later, ..found.clone() }),
        ("the time of the removal", Checkpoint { at: later, ..found.clone() }),
        ("what was told", Checkpoint { told: 0, ..found.clone() }),
        ("whether it was told", Checkpoint { owes: !found.owes, ..found.clone() }),
        ("whether it is over", Checkpoint { finished: !found.finished, ..found.clone() }),
        ("the proof", Checkpoint { proof: flipped(found.proof), ..found.clone() }),
    ] {
        trail.finds(6, "the checkpoint before it was altered", what, |t| t.put(key(), &altered));
    }
    // Further on than it says: made by who has no key, of a record that is there.
    let record = trail.get(6);
    let last = ChainHead { seq: 6, mac: record.mac };
    trail.finds(7, "the checkpoint before it was altered", "one removed more", |t| {
        t.put(key(), &Checkpoint { last, until: record.at, ..found.clone() });
        t.remove(6);
    });
    drop(trail);

    // One that was genuine once says too little now.
    let store = open(dir.path());
    assert_eq!(store.remove_audit(at(9), 100, Act::by_daemon(at(300))).await, Ok(5));
    assert_eq!(store.audit_verify().await.unwrap().removed, Some((10, at(9))));
    drop(store);
    let db = raw(dir.path());
    let trail = Trail { db, first: 11, last: 0 };
    trail.finds(6, "record 6 is missing; 11 follows", "an older one", |t| t.put(key(), &found));
}

#[tokio::test]
async fn lg_07_an_altered_or_missing_head_of_the_chain_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::new(dir.path(), 0).await;
    let (key, last) = (|| keys::meta(CHAIN), trail.last);
    let mac = trail.get(last).mac;
    trail.finds(1, "behind the recorded head", "missing", |t| drop(t.db.remove(key()).unwrap()));
    let head = |seq, mac| move |t: &Trail| t.put(key(), &ChainHead { seq, mac });
    trail.finds(last + 1, "is missing", "further on", head(last + 1, mac));
    trail.finds(last, "behind the recorded head", "not so far", head(last - 1, trail.get(last - 1).mac));
    trail.finds(last, "not the recorded head's", "another MAC", head(last, flipped(mac)));
    let everything =
        |t: &Trail| t.db.scan_prefix(keys::prefix(Kind::Audit)).keys().for_each(|key| drop(t.db.remove(key.unwrap())));
    trail.finds(1, "record 1 is missing", "all records", everything);
}

/// A removal takes nothing that was tampered with: it would take the trace away too.
#[tokio::test]
async fn lg_07_what_was_tampered_with_is_not_removed_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::new(dir.path(), 0).await;
    let (third, mut seventh) = (trail.get(3), trail.get(7));
    seventh.open = altered(&seventh.open);
    drop(trail);
    let store = open(dir.path());
    // While it is at work: at a start sled is compared with the commit log, and would be made anew.
    let key = keys::audit(7);
    store.db().insert(&key, codec::encode(&key, &seventh).unwrap()).unwrap();
    assert_eq!(store.remove_audit(third.at, 100, Act::by_daemon(at(300))).await, Ok(3));
    let stopped = store.remove_audit(at(100), 100, Act::by_daemon(at(300))).await.unwrap_err();
    assert!(stopped.to_string().contains("7 of the audit trail"), "{stopped}");
    let report = store.audit_verify().await.unwrap();
    assert_eq!((report.removed, report.broken.unwrap().0), (Some((3, third.at)), 7));
}
