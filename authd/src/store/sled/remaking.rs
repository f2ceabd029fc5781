//! Snapshots, and a sled that is made anew from them: whatever happens to sled, the store is what it was.

use std::{fs, os::unix::fs::FileExt, path::Path, sync::Arc};

use common::UnixTime;
use tempfile::TempDir;

use super::{
    Opening, SledOptions, SledStore,
    behind::aside,
    keys,
    log::{LogError, PURPOSE},
    opening::OpenError,
};
pub(super) use crate::store::contract::user as user_of;
use crate::{
    crypto::mac::HmacKey,
    domain::{Event, EventKind},
    ports::Mac,
    store::{
        Ending, Erasure, SealedSecret, Store, StoreError, Upkeep,
        contract::{act, session, user},
    },
};

pub(super) fn key(text: &[u8]) -> Arc<dyn Mac> {
    Arc::new(HmacKey::new(text))
}

fn options() -> SledOptions {
    SledOptions { cache_bytes: 4 << 20, reserve_bytes: 0, segment_bytes: 4 << 10, ..SledOptions::default() }
}

pub(super) struct Place {
    pub temp: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    pub(super) fn sled(&self) -> std::path::PathBuf {
        self.temp.path().join("sled")
    }

    pub(super) fn look(&self) -> Result<Opening, OpenError> {
        loop {
            // The sled of the look before lets go of its files a moment after it was dropped.
            match Opening::open(&self.sled(), options()) {
                Err(e) if e.to_string().contains("acquire lock") => std::thread::yield_now(),
                looked => return looked,
            }
        }
    }

    pub(super) fn try_open(&self) -> Result<SledStore, OpenError> {
        let opening = self.look()?;
        if opening.is_new() {
            let secret =
                SealedSecret { purpose: PURPOSE.into(), id: "1".into(), sealed: vec![1], created_at: UnixTime::EPOCH };
            opening.put_log_key("fingerprint", &secret)?;
        }
        opening.replay(key(b"log"))?.start(key(b"audit"))
    }

    pub(super) fn open(&self) -> SledStore {
        self.try_open().unwrap()
    }

    /// The files of the log with this extension.
    pub(super) fn files(&self, extension: &str) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(self.temp.path().join("log")).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
        found.sort();
        found
    }

    /// A store with users, sessions and sessions that ended, before and after a snapshot, and closed.
    pub(super) async fn filled() -> Self {
        let place = Self::new();
        let store = place.open();
        add(&store, 0..20).await;
        assert_eq!(store.snapshot().await.unwrap().unwrap().sequence, 60);
        add(&store, 20..40).await;
        drop(store);
        place
    }

    pub(super) fn verified(&self) -> Result<u64, String> {
        self.look().unwrap().verify(&key(b"log")).unwrap().sled.map_err(|wrong| wrong.what)
    }
}

pub(super) async fn add(store: &SledStore, these: std::ops::Range<usize>) {
    for n in these {
        let name = format!("u{n}");
        store.create_user(user(&name), None, None, act(), Event::new(EventKind::UserCreated)).await.unwrap();
        store.open_session(session(&name, 1), 0, None, act(), Event::new(EventKind::SignedIn)).await.unwrap();
        let second = session(&name, 2);
        let id = second.session.id.clone();
        match n % 2 {
            0 => store.open_session(second, 0, None, act(), Event::new(EventKind::SignedIn)).await.unwrap(),
            _ => {
                let first = Ending::These(vec![session(&name, 1).session.id]);
                store.end_sessions(first, None, act(), Event::new(EventKind::SignedOut)).await.unwrap();
                assert!(store.session(&id).await.unwrap().is_none());
            }
        }
    }
}

pub(super) async fn has_all(store: &SledStore, users: usize) {
    for n in 0..users {
        let name = format!("u{n}");
        assert!(store.user(&user(&name).id).await.unwrap().is_some(), "user {n}");
        let exists = async |s: u8| store.session(&session(&name, s).session.id).await.unwrap().is_some();
        assert_eq!((exists(1).await, exists(2).await), (n % 2 == 0, n % 2 == 0), "sessions of {n}");
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.users, counts.sessions), (users as u64, users.div_ceil(2) as u64 * 2));
    assert_eq!(store.audit_verify().await.unwrap().broken, None);
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
}

#[tokio::test]
async fn a_snapshot_shortens_the_log_and_the_store_can_be_made_from_it() {
    let place = Place::filled().await;
    assert_eq!(place.files("snapshot").len(), 1);
    let store = place.open();
    let before = place.files("log").len();
    assert!(before > 3, "{before}");
    assert_eq!(store.snapshot().await.unwrap().unwrap().sequence, 120);
    assert_eq!((place.files("log").len(), place.files("snapshot").len()), (1, 1));
    assert!(store.snapshot().await.unwrap().is_none(), "nothing is new");
    assert_eq!(store.files().unwrap().snapshot.unwrap().0, 120);
    add(&store, 40..45).await;
    drop(store);

    fs::remove_dir_all(place.sled()).unwrap();
    has_all(&place.open(), 45).await;
    assert_eq!(place.verified(), Ok(135));
}

#[tokio::test]
async fn f_05_a_sled_that_refuses_or_panics_is_made_anew() {
    let place = Place::filled().await;
    let db = place.sled().join("db");
    let whole = fs::read(&db).unwrap();
    let snap = || {
        fs::read_dir(place.sled())
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.display().to_string().contains("snap."))
    };
    let damages: [(&str, &dyn Fn()); 4] = [
        ("cut off", &|| fs::write(&db, &whole[..whole.len() / 2]).unwrap()),
        ("conf", &|| flip(&place.sled().join("conf"), 3)),
        ("its snapshot", &|| snap().for_each(|path| flip(&path, 20))),
        ("all zeros", &|| fs::write(&db, vec![0; whole.len()]).unwrap()),
    ];
    for (what, damage) in damages {
        damage();
        let store = place.open();
        has_all(&store, 40).await;
        assert!(store.files().unwrap().problem.is_none(), "{what}");
        drop(store);
        assert_eq!(place.verified(), Ok(120), "{what}");
    }
    assert!(aside(&place.sled()).exists(), "what was there is kept");
    let store = place.open();
    store.snapshot().await.unwrap().unwrap();
    assert!(!aside(&place.sled()).exists(), "until the next snapshot");
}

/// sled says nothing, and has not what it should: the snapshot finds that out, the store stops, and is right again after a
/// start.
#[tokio::test]
async fn f_05_what_sled_has_lost_without_a_word_is_found_by_the_next_snapshot() {
    let of_user = keys::user(&user("u7").id);
    let seeded: [&dyn Fn(&SledStore); 4] = [
        &|store| drop(store.db().remove(&of_user).unwrap()),
        &|store| drop(store.db().insert(&of_user, b"something else").unwrap()),
        &|store| drop(store.db().insert(keys::user(&user("nobody").id), b"it was deleted").unwrap()),
        &|store| drop(store.db().insert([0xff], b"at the end").unwrap()),
    ];
    for (i, seed) in seeded.into_iter().enumerate() {
        let place = Place::filled().await;
        let store = place.open();
        seed(&store);
        let log = place.files("log");
        let found = store.snapshot().await;
        let Err(StoreError::Unavailable(problem)) = &found else { panic!("{i}: {found:?}") };
        assert!(problem.contains("1 records, the first"), "{i}: {problem}");
        assert!(store.health().is_err(), "{i}: it takes no changes any more");
        assert!(log.iter().all(|segment| segment.exists()), "{i}: the log was shortened all the same");
        drop(store);

        let store = place.open();
        has_all(&store, 40).await;
        add(&store, 40..41).await;
        assert!(store.snapshot().await.unwrap().is_some(), "{i}");
    }
}

/// And what it lost, or what somebody altered, while the store was closed is found when it opens.
#[tokio::test]
async fn f_05_a_small_store_is_compared_with_its_log_at_every_start() {
    let of_user = keys::user(&user("u7").id);
    let seeded: [&dyn Fn(&sled::Db); 2] =
        [&|db| drop(db.remove(&of_user).unwrap()), &|db| drop(db.insert(&of_user, b"something else").unwrap())];
    let place = Place::filled().await;
    for seed in seeded {
        let look = place.look().unwrap();
        seed(&look.behind.as_ref().unwrap().db);
        drop(look);
        assert!(place.verified().unwrap_err().contains("1 records differ, the first is user"));
        let store = place.open();
        has_all(&store, 40).await;
        drop(store);
        assert_eq!(place.verified(), Ok(120));
    }
}

/// What changes while sled is compared is no difference.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_at_work_is_not_taken_for_a_wrong_one() {
    let place = Place::filled().await;
    let store = Arc::new(place.open());
    let at_work = {
        let store = store.clone();
        tokio::spawn(async move { add(&store, 40..240).await })
    };
    let mut made = 0;
    while !at_work.is_finished() {
        made += u32::from(store.snapshot().await.unwrap().is_some());
    }
    at_work.await.unwrap();
    assert!(made > 1, "{made}");
    has_all(&store, 240).await;
}

#[tokio::test]
async fn f_01_a_kill_while_sled_is_made_anew_leaves_a_store_that_opens() {
    let place = Place::filled().await;
    // Killed before anything was put aside, with what was aside from the time before.
    let (unfinished, aside) = (place.sled().with_extension("unfinished"), aside(&place.sled()));
    fs::write(&unfinished, b"").unwrap();
    has_all(&place.open(), 40).await;
    assert!(!unfinished.exists());

    // Killed in the middle: what is there is half, and what was there comes back.
    fs::rename(place.sled(), &aside).unwrap();
    fs::create_dir(place.sled()).unwrap();
    fs::write(place.sled().join("conf"), b"half").unwrap();
    fs::write(&unfinished, b"").unwrap();
    has_all(&place.open(), 40).await;
    assert!(!unfinished.exists() && !aside.exists());

    // Nothing was there before.
    fs::remove_dir_all(place.sled()).unwrap();
    let half = sled::Config::new().path(place.sled()).open().unwrap();
    half.insert(keys::user(&user("u1").id), b"half").unwrap();
    drop(half);
    fs::write(&unfinished, b"nothing was there").unwrap();
    has_all(&place.open(), 40).await;
    assert_eq!(place.verified(), Ok(120));
}

#[tokio::test]
async fn f_05_a_damaged_snapshot_or_log_is_refused_and_sled_stays_as_it_is() {
    let place = Place::filled().await;
    let snapshot = place.files("snapshot").pop().unwrap();
    let whole = fs::read(&snapshot).unwrap();
    for at in [60, whole.len() as u64 / 2, whole.len() as u64 - 1] {
        flip(&snapshot, at);
        has_all(&place.open(), 40).await;
        let refused = place.look().unwrap().verify(&key(b"log")).unwrap_err().to_string();
        assert!(refused.contains(snapshot.file_name().unwrap().to_str().unwrap()), "{refused}");
        let mut opening = place.look().unwrap();
        opening.make_anew("a test");
        let refused = opening.replay(key(b"log")).err().unwrap();
        assert!(matches!(refused, OpenError::Log(LogError::Damaged { .. })), "{refused}");
        fs::write(&snapshot, &whole).unwrap();
        assert_eq!(place.verified(), Ok(120), "sled was touched");
    }
    // As long as sled is sound, there is a way out of it.
    flip(&snapshot, whole.len() as u64 / 2);
    place.look().unwrap().replay(key(b"log")).unwrap().save().unwrap();
    assert_eq!(place.verified(), Ok(120));
    assert_eq!((place.files("log").len(), place.files("snapshot").len()), (1, 1));
    fs::remove_dir_all(place.sled()).unwrap();
    let store = place.open();
    has_all(&store, 40).await;
    add(&store, 40..45).await;
    assert_eq!(store.snapshot().await.unwrap().unwrap().sequence, 135);
    add(&store, 45..50).await;
    drop(store);
    // A hole behind the snapshot.
    let gone = place.files("log").remove(1);
    fs::remove_file(&gone).unwrap();
    let refused = place.try_open().err().unwrap().to_string();
    assert!(refused.contains("missing"), "{refused}");
}

/// A power cut may leave any of the files that were to go.
#[tokio::test]
async fn f_02_what_a_snapshot_replaced_may_be_there_or_not() {
    let place = Place::filled().await;
    let old: Vec<_> = place.files("log").into_iter().chain(place.files("snapshot")).collect();
    let kept: Vec<_> = old.iter().map(|path| fs::read(path).unwrap()).collect();
    let store = place.open();
    store.snapshot().await.unwrap().unwrap();
    drop(store);
    for which in [0b1010_1010, 0b0101_0101, 0b1111_1111_usize] {
        for (i, path) in old.iter().enumerate().filter(|(i, _)| which >> (i % 8) & 1 == 1) {
            fs::write(path, &kept[i]).unwrap();
        }
        fs::remove_dir_all(place.sled()).unwrap();
        let store = place.open();
        has_all(&store, 40).await;
        drop(store);
        assert_eq!(place.verified(), Ok(120));
    }
    let store = place.open();
    add(&store, 40..41).await;
    store.snapshot().await.unwrap().unwrap();
    assert_eq!((place.files("log").len(), place.files("snapshot").len()), (1, 1), "the next one removes them");
}

/// What sled says it has must be in the log: else the log has lost something.
#[tokio::test]
async fn f_05_a_sled_that_is_ahead_of_the_log_is_refused_also_where_it_is_not_trusted() {
    let place = Place::filled().await;
    let last = place.files("log").pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 5]).unwrap();
    fs::write(place.temp.path().join("log/open-since"), b"another boot").unwrap();
    let refused = place.try_open().err().unwrap().to_string();
    assert!(refused.contains("the log ends at"), "{refused}");
    fs::write(&last, &bytes).unwrap();
    has_all(&place.open(), 40).await;
}

#[tokio::test]
async fn a_snapshot_that_is_not_to_go_on_leaves_nothing() {
    let place = Place::filled().await;
    let store = place.open();
    let before = place.files("snapshot");
    store.end_upkeep();
    assert!(store.snapshot().await.unwrap().is_none());
    assert_eq!(place.files("snapshot"), before);
    drop(store);
    has_all(&place.open(), 40).await;
}

#[tokio::test]
async fn lg_06_a_snapshot_stays_due_until_what_was_erased_has_left_the_log() {
    let place = Place::new();
    let store = place.open();
    add(&store, 0..4).await;
    let now = UnixTime::EPOCH;
    let erasure = Erasure { user: user_of("u1").id, before: None, limit: 100 };
    store.snapshot().await.unwrap();
    add(&store, 4..5).await;
    assert!(store.snapshot_if_due(now).await.unwrap().is_none(), "nothing went");
    assert!(store.erase_audit(erasure, act()).await.unwrap().records > 0);
    // Nobody came to make it: the next start knows of it all the same, also one with a sled that was made anew.
    drop(store);
    fs::remove_dir_all(place.sled()).unwrap();
    let store = place.open();
    assert!(store.snapshot_if_due(now).await.unwrap().is_some());
    add(&store, 5..6).await;
    assert!(store.snapshot_if_due(now).await.unwrap().is_none(), "once");
}
