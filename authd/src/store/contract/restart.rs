//! The suite on both stores, and what must be there after a restart.

use std::{fmt::Display, path::Path, sync::Arc};

use super::*;
use crate::{
    crypto::mac::HmacKey,
    domain::Publishing,
    store::{
        Meta,
        memory::MemoryStore,
        sled::{Opened, Opening, SledOptions, SledStore},
    },
};

const PUBLISHING: Publishing = Publishing { is_on: true, delivers: true };

pub(super) fn memory() -> MemoryStore {
    MemoryStore::new(Arc::new(HmacKey::new(b"audit"))).with_outbox(PUBLISHING)
}

/// Opens what was closed a moment ago: sled's own threads may hold its lock a little longer than the store is there.
pub(in crate::store) fn again<T, E: Display>(open: impl Fn() -> Result<T, E>) -> T {
    for _ in 0..100_000 {
        match open() {
            Ok(opened) => return opened,
            Err(e) if e.to_string().contains("acquire lock") => std::thread::yield_now(),
            Err(e) => panic!("{e}"),
        }
    }
    panic!("somebody keeps the lock");
}

fn closed(path: &Path, options: SledOptions) -> Opened {
    again(|| Opening::open(&path.join("sled"), options)).replay(Arc::new(HmacKey::new(b"log"))).unwrap()
}

pub(in crate::store) fn open(path: &Path) -> SledStore {
    let options =
        SledOptions { cache_bytes: 4 << 20, reserve_bytes: 0, publishing: PUBLISHING, ..SledOptions::default() };
    closed(path, options).start(Arc::new(HmacKey::new(b"audit"))).unwrap()
}

#[tokio::test]
async fn the_memory_store_holds_the_contract() {
    suite(Arc::new(memory())).await;
}

#[tokio::test]
async fn the_sled_store_holds_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    suite(Arc::new(open(dir.path()))).await;
}

fn beginning() -> (Meta, Vec<SealedSecret>, SigningKey) {
    let secret = SealedSecret { purpose: "cookie".into(), id: "1".into(), sealed: vec![1, 2], created_at: T0 };
    (Meta { fingerprint: "old".into(), created_at: T0 }, vec![secret], key("k0"))
}

#[tokio::test]
async fn cr_08_a_rewrap_is_whole_or_nothing_on_sled_and_in_memory() {
    let (meta, secrets, first) = beginning();
    rewraps(Arc::new(memory().with_secrets(meta, secrets, first))).await;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (meta, secrets, first) = beginning();
    store.initialise(meta.clone(), secrets, first, act(), event(EventKind::StoreCreated)).await.unwrap();
    rewraps(Arc::new(store)).await;
    let opening = closed(dir.path(), SledOptions::default());
    assert_eq!(opening.meta().unwrap(), Some(Meta { fingerprint: "new".into(), ..meta }));
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let meta = Meta { fingerprint: "f".into(), created_at: T0 };
    store.initialise(meta.clone(), vec![], key("k0"), act(), event(EventKind::StoreCreated)).await.unwrap();
    let again = store.initialise(meta.clone(), vec![], key("k9"), act(), event(EventKind::StoreCreated)).await;
    assert_eq!(again, Err(StoreError::Stale));
    new_user(&store, "ada").await;
    store.open_session(session("ada", 1), 0, None, act(), event(EventKind::SignedIn)).await.unwrap();
    let counts = store.counts().await.unwrap();
    drop(store);

    let opening = closed(dir.path(), SledOptions::default());
    assert_eq!(opening.meta().unwrap(), Some(meta));
    let store = opening.start(Arc::new(HmacKey::new(b"audit"))).unwrap();
    assert_eq!(store.counts().await.unwrap(), counts);
    assert!(store.keys().get("k0").is_some());
    assert!(store.session(&session("ada", 1).session.id).await.unwrap().is_some());
    assert_eq!(store.audit_verify().await.unwrap().broken, None);
    drop(store);

    let other_key = closed(dir.path(), SledOptions::default());
    let store = other_key.start(Arc::new(HmacKey::new(b"another"))).unwrap();
    assert_eq!(store.audit_verify().await.unwrap().broken.unwrap().0, 1, "another key finds no chain");
}

#[tokio::test]
async fn op_06_a_store_without_room_says_so_before_anybody_writes_and_goes_on_reading() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ada = new_user(&store, "ada").await;
    assert_eq!(store.health(), Ok(()));
    drop(store);
    let full = SledOptions { reserve_bytes: u64::MAX, ..SledOptions::default() };
    let opening = closed(dir.path(), full);
    let store = opening.start(Arc::new(HmacKey::new(b"audit"))).unwrap();
    assert_eq!(store.health(), Err(StoreError::Full));
    assert_eq!(store.note_time(T0).await, Err(StoreError::Full));
    assert!(store.user(&ada.id).await.unwrap().is_some());
    drop(store);
    // Nothing was lost by it, and with room again it goes on.
    let store = open(dir.path());
    assert_eq!(store.note_time(T0).await, Ok(()));
}

#[tokio::test]
async fn f_03_what_sled_puts_beside_its_file_is_synced_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let blobs = dir.path().join("sled/blobs");
    std::fs::write(blobs.join("1"), "x").unwrap();
    assert_eq!(store.note_time(T0).await, Ok(()));
    assert_eq!(store.checkpoint().await, Ok(()));
    std::fs::remove_file(blobs.join("1")).unwrap();
    std::fs::remove_dir(&blobs).unwrap();
    assert_eq!(store.note_time(T0).await, Ok(()), "the commit log has it");
    let lost = store.checkpoint().await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    let lost = store.note_time(T0).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "and from then on nothing is written: {lost:?}");
}
