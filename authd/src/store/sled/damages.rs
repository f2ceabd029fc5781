//! F-05: files of a stopped store are damaged at random, those of sled and those of the commit log. What opens then says
//! nothing wrong; what does not was left as it is.
//!
//! `AUTHD_TEST_LONG=1` makes it 200 damages, `AUTHD_TEST_SEED` repeats one run.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    SledStore,
    behind::aside,
    codec::Number,
    keys,
    power_cut::Dice,
    remaking::{Place, add, user_of},
    txn::unreadable,
};
use crate::{
    domain::{Event, EventKind},
    store::{
        Store, StoreError, Upkeep,
        contract::{act, session},
    },
};

/// So many that sled's file has several segments, most of it from before the snapshot.
const USERS: usize = 600;

/// Everything below a directory.
fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in tree(from) {
        let path = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::create_dir_all(to.join("sled/blobs")).unwrap();
}

/// Damages one file; answers what was done.
fn damage(directory: &Path, dice: &mut Dice) -> String {
    let files: Vec<PathBuf> = tree(directory).into_keys().collect();
    // sled's one large file and the log's many small ones get their share alike.
    let (of_sled, of_log): (Vec<&PathBuf>, Vec<&PathBuf>) =
        files.iter().partition(|path| path.parent().is_some_and(|p| p.ends_with("sled")));
    let these = if dice.below(2) == 0 { of_sled } else { of_log };
    let path = these[dice.below(these.len())];
    let mut bytes = fs::read(path).unwrap();
    let len = bytes.len();
    // Where something stands: most of sled's file is room for more.
    let written: Vec<usize> = (0..len).filter(|at| bytes[*at] != 0).collect();
    let at = if written.is_empty() { 0 } else { written[dice.below(written.len())] };
    let end = (at + 1 + dice.below(600)).min(len);
    let how = match dice.below(6) {
        0 => {
            if len > 0 {
                bytes[at] ^= 1 << dice.below(8);
            }
            "a bit flipped"
        }
        1 => {
            bytes[at..end].iter_mut().for_each(|byte| *byte = dice.next().to_be_bytes()[0]);
            "noise"
        }
        2 => {
            bytes[at..end].fill(0);
            "zeros"
        }
        3 => {
            bytes.truncate(at);
            "cut off"
        }
        4 => {
            bytes.extend((0..=dice.below(900)).map(|_| 0));
            "zeros at the end"
        }
        _ => {
            fs::remove_file(path).unwrap();
            return format!("{} is gone", path.strip_prefix(directory).unwrap().display());
        }
    };
    fs::write(path, bytes).unwrap();
    format!("{} of {len}: {how} at {at}", path.strip_prefix(directory).unwrap().display())
}

#[derive(Debug, Default)]
struct Report {
    damages: usize,
    refused: usize,
    /// Opened, and as it was.
    whole: usize,
    /// Opened with a sled that was made anew.
    anew: usize,
    /// Opened, said that something is damaged when it was asked, and was right after the next start.
    mended: usize,
    wrong: Vec<String>,
}

/// Asks for everything. `Ok(None)`: all answers are right. `Err`: one was refused. `Ok(Some)`: one is wrong.
async fn ask(store: &SledStore) -> Result<Option<String>, String> {
    for n in 0..USERS {
        let name = format!("u{n}");
        let said = |e: StoreError| e.to_string();
        let user = user_of(&name);
        if store.user(&user.id).await.map_err(said)?.is_none() {
            return Ok(Some(format!("user {n} is gone")));
        }
        if store.user_by_email(&user.email).await.map_err(said)?.is_none() {
            return Ok(Some(format!("the address of user {n} is gone")));
        }
        let open = store.sessions_of(&user.id).await.map_err(said)?.len();
        let expected = if n.is_multiple_of(2) { 2 } else { 0 };
        if open != expected {
            return Ok(Some(format!("user {n} has {open} sessions")));
        }
    }
    Ok(None)
}

async fn damages(many: usize) -> Report {
    let seed = std::env::var("AUTHD_TEST_SEED").map_or_else(
        |_| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
        |seed| seed.parse().unwrap(),
    );
    eprintln!("AUTHD_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let mut report = Report::default();
    let template = Place::filled().await;
    let store = template.open();
    add(&store, 40..USERS - 20).await;
    store.snapshot().await.unwrap().unwrap();
    add(&store, USERS - 20..USERS).await;
    drop(store);
    for _ in 0..many {
        report.damages += 1;
        let place = Place::new();
        copy(template.temp.path(), place.temp.path());
        let done = damage(place.temp.path(), &mut dice);
        let log = tree(&place.temp.path().join("log"));
        let store = match place.try_open() {
            Ok(store) => store,
            Err(e) => {
                report.refused += 1;
                if tree(&place.temp.path().join("log")) != log {
                    report.wrong.push(format!("{done}: refused ({e}), and yet the log was changed"));
                }
                continue;
            }
        };
        report.anew += usize::from(aside(&place.sled()).exists());
        match ask(&store).await {
            Ok(Some(wrong)) => report.wrong.push(format!("{done}: {wrong}")),
            Ok(None) => match store.snapshot().await {
                Ok(_) => report.whole += 1,
                // Of the log it is found when it is read, and sled is right.
                Err(_) if done.starts_with("log/") => report.whole += 1,
                Err(_) => report.mended += 1,
            },
            Err(_) => report.mended += 1,
        }
        drop(store);
        if !done.starts_with("log/") {
            let store = place.open();
            match ask(&store).await {
                Ok(None) => {}
                outcome => report.wrong.push(format!("{done}: after the next start {outcome:?}")),
            }
        }
    }
    let Report { damages, refused, whole, anew, mended, wrong } = &report;
    let wrong = wrong.len();
    eprintln!(
        "{damages} damages: {refused} refused, {whole} whole, {anew} made anew, {mended} mended later, {wrong} wrong"
    );
    report
}

#[tokio::test]
async fn f_05_a_damaged_store_is_refused_or_right() {
    let many = if std::env::var("AUTHD_TEST_LONG").is_ok_and(|long| long == "1") { 200 } else { 40 };
    let report = damages(many).await;
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
    assert!(report.refused > 0 && report.whole > 0, "{report:?}");
}

#[tokio::test]
async fn f_05_the_questions_see_what_is_lost() {
    let place = Place::filled().await;
    let store = place.open();
    add(&store, 40..USERS).await;
    assert_eq!(ask(&store).await, Ok(None));
    let of_address = keys::email(&user_of("u539").email);
    let kept = store.db().remove(&of_address).unwrap().unwrap();
    assert_eq!(ask(&store).await, Ok(Some("the address of user 539 is gone".into())));
    store.db().insert(&of_address, kept).unwrap();
    let second = session("u538", 2).session;
    store.db().remove(keys::session_of(&second.user, second.created_at, &second.id)).unwrap().unwrap();
    assert_eq!(ask(&store).await, Ok(Some("user 538 has 1 sessions".into())));
}

#[tokio::test]
async fn f_05_what_cannot_be_read_at_work_stops_the_store_and_the_next_start_mends_it() {
    let place = Place::filled().await;
    let store = place.open();
    // Those behind the snapshot, and with nothing in the cache.
    add(&store, 40..USERS).await;
    drop(store);
    let store = place.open();
    let damaged = user_of("u300").id;
    let key = keys::user(&damaged);
    let mut bytes = store.db().get(&key).unwrap().unwrap().to_vec();
    bytes[9] ^= 1;
    store.db().insert(&key, bytes).unwrap();
    let (doubts, stopped) = (store.doubts(), store.stopped());
    let refused = store.user(&damaged).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
    assert!(*doubts.borrow(), "at the first of them");
    assert!(!*stopped.borrow(), "not before it is certain");
    // So the writer's own reads, and what sled itself cannot read.
    assert!(store.open_session(session("u300", 3), 0, None, act(), Event::new(EventKind::SignedIn)).await.is_err());
    assert!(store.noted::<()>(Err(unreadable(&sled::Error::Unsupported("a page".into())))).is_err());
    assert_eq!(store.work().unreadable, 3);

    let wrong = store.settle_doubts().await.unwrap_err().to_string();
    assert!(wrong.contains("sled is not what the commit log says"), "{wrong}");
    assert!(*stopped.borrow() && store.health().is_err());
    drop(store);
    let store = place.open();
    assert!(aside(&place.sled()).exists(), "it was made anew");
    assert_eq!(ask(&store).await, Ok(None));
}

/// A record that the log has so too: a restart would not mend it, so there is none.
#[tokio::test]
async fn f_05_what_the_log_has_so_too_does_not_stop_the_store() {
    let place = Place::filled().await;
    let store = place.open();
    let key = keys::user(&user_of("u1").id);
    let of_write = key.clone();
    store.writer.write(move |tx| tx.put(of_write, &Number(7))).await.unwrap();
    let refused = store.user(&user_of("u1").id).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
    let mut doubts = store.doubts();
    assert!(*doubts.borrow_and_update());
    assert_eq!(store.settle_doubts().await, Ok(()));
    assert_eq!(store.health(), Ok(()));
    // The next one of them does not set everything in motion again.
    assert!(store.user(&user_of("u1").id).await.is_err());
    assert!(!doubts.has_changed().unwrap() && store.work().unreadable == 2);
}

/// A snapshot that cannot be read says nothing about sled. The store is not stopped for it: it would not start again.
#[tokio::test]
async fn f_05_a_snapshot_that_cannot_be_read_does_not_stop_a_sound_store() {
    let place = Place::filled().await;
    let store = place.open();
    let files = fs::read_dir(place.sled().with_file_name("log")).unwrap().map(|entry| entry.unwrap().path());
    let snapshot = files.filter(|path| path.extension().is_some_and(|e| e == "snapshot")).max().unwrap();
    let mut bytes = fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(snapshot, bytes).unwrap();
    let refused = store.settle_doubts().await.unwrap_err().to_string();
    assert!(refused.contains(".snapshot") && !refused.contains("sled is not"), "{refused}");
    assert!(store.health().is_ok() && !*store.stopped().borrow());
    drop(store);
    assert!(place.open().user(&user_of("u1").id).await.unwrap().is_some());
    assert!(!aside(&place.sled()).exists(), "it was not made anew");
}
