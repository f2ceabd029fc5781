//! sled made anew while the store is at work: nobody notices, whatever goes wrong and wherever it ends.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tempfile::TempDir;
use tokio::sync::watch;

use super::{
    Opening, SledOptions, SledStore,
    behind::{aside, next, unfinished},
    disk::{Device, Syncs},
    opening::{Faults, OpenError},
    remaking::{Place, add, has_all, key},
    renewal::Renewed,
};
use crate::{
    domain::{Event, EventKind},
    store::{
        Ending, Store, StoreError, Upkeep,
        contract::{act, session, user},
    },
};

async fn renew(store: &Arc<SledStore>) -> Result<Option<Renewed>, OpenError> {
    let keeper = store.keeper.clone();
    tokio::task::spawn_blocking(move || keeper.renew()).await.unwrap()
}

fn open_outgrown(path: &Path, outgrown_percent: u64) -> Arc<SledStore> {
    with(path, SledOptions { outgrown_percent, reserve_bytes: 0, ..SledOptions::default() }, &(Arc::new(Device) as _))
}

fn open(path: &Path, faults: Faults, syncs: &Arc<dyn Syncs>) -> Arc<SledStore> {
    let options = SledOptions {
        cache_bytes: 4 << 20,
        reserve_bytes: 0,
        segment_bytes: 4 << 10,
        faults,
        ..SledOptions::default()
    };
    with(path, options, syncs)
}

fn with(path: &Path, options: SledOptions, syncs: &Arc<dyn Syncs>) -> Arc<SledStore> {
    loop {
        match Opening::open_with(path, options, syncs.clone()) {
            // The sled of the look before lets go of its files a moment after it was dropped.
            Err(e) if e.to_string().contains("acquire lock") => std::thread::yield_now(),
            opened => return Arc::new(opened.unwrap().replay(key(b"log")).unwrap().start(key(b"audit")).unwrap()),
        }
    }
}

fn nothing_is_left(place: &Place) {
    let sled = place.sled();
    assert!(![next(&sled), aside(&sled), unfinished(&sled)].iter().any(|path| path.exists()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_24_sled_is_made_anew_while_others_read_and_write() {
    let place = Place::filled().await;
    let store = Arc::new(place.open());
    let of_writer = store.clone();
    let at_work = tokio::spawn(async move { add(&of_writer, 40..300).await });
    let mut renewed = 0;
    while !at_work.is_finished() {
        renewed += usize::from(renew(&store).await.unwrap().is_some());
        has_40(&store).await;
        nothing_is_left(&place);
    }
    at_work.await.unwrap();
    assert!(renewed > 1, "{renewed}");
    has_all(&store, 300).await;
    // It is compared with the log, record by record.
    store.snapshot().await.unwrap().unwrap();
    add(&store, 300..310).await;
    renew(&store).await.unwrap().unwrap();
    drop(store);
    assert_eq!(place.verified(), Ok(930));
    has_all(&place.open(), 310).await;
}

/// Also what is read while others write.
async fn has_40(store: &SledStore) {
    for n in 0..40 {
        for s in [1, 2] {
            let found = store.session(&session(&format!("u{n}"), s).session.id).await.unwrap();
            assert_eq!(found.is_some(), n % 2 == 0, "session {s} of {n}");
        }
    }
}

/// A new store has no snapshot: sled is made from the whole log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_24_also_without_a_snapshot() {
    let place = Place::new();
    let store = Arc::new(place.open());
    add(&store, 0..30).await;
    renew(&store).await.unwrap().unwrap();
    has_all(&store, 30).await;
    drop(store);
    assert_eq!(place.verified(), Ok(90));
}

/// Does something at each sync of sled's files and names.
struct Hook<F>(F);

impl<F: Fn() -> io::Result<()> + Send + Sync> Syncs for Hook<F> {
    fn data(&self, file: &File, path: &Path) -> io::Result<()> {
        if !path.components().any(|part| part.as_os_str() == "log") {
            (self.0)()?;
        }
        Device.data(file, path)
    }

    fn names(&self, directory: &Path) -> io::Result<()> {
        if !directory.ends_with("log") {
            (self.0)()?;
        }
        Device.names(directory)
    }

    fn boot(&self) -> io::Result<String> {
        Device.boot()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        match path.is_dir() {
            true => copy(&path, &to),
            // sled's own threads may just have removed it.
            false => drop(fs::copy(path, to)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_01_a_kill_at_any_step_leaves_a_store_that_opens() {
    let place = Place::filled().await;
    let copies: Arc<Mutex<Vec<TempDir>>> = Arc::default();
    let (root, of_hook): (PathBuf, _) = (place.temp.path().into(), copies.clone());
    let hook = Hook(move || {
        let kept = tempfile::tempdir()?;
        copy(&root, kept.path());
        of_hook.lock().unwrap().push(kept);
        Ok(())
    });
    let store = open(&place.sled(), Faults::default(), &(Arc::new(hook) as Arc<dyn Syncs>));
    add(&store, 40..50).await;
    copies.lock().unwrap().clear();
    renew(&store).await.unwrap().unwrap();
    let copies = std::mem::take(&mut *copies.lock().unwrap());
    // Both the old one and the new one were seen, and what there is in between.
    let has =
        |what: &dyn Fn(&Path) -> PathBuf| copies.iter().filter(|temp| what(&temp.path().join("sled")).exists()).count();
    assert!(has(&next) > 0 && has(&aside) > 0 && has(&unfinished) > 0, "{} steps", copies.len());
    for temp in copies {
        let place = Place { temp };
        has_all(&place.open(), 50).await;
        assert_eq!(place.verified(), Ok(150));
        assert!(!next(&place.sled()).exists() && !unfinished(&place.sled()).exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_03_where_a_step_fails_the_store_goes_on_with_the_sled_that_it_has() {
    let place = Place::filled().await;
    // The step at which it fails; zero is none.
    let fails_at = Arc::new(Mutex::new(0));
    let of_hook = fails_at.clone();
    let hook = Hook(move || {
        let mut left = of_hook.lock().unwrap();
        *left -= 1_i64;
        if *left == 0 { Err(io::Error::other("a fault on purpose")) } else { Ok(()) }
    });
    let hook: Arc<dyn Syncs> = Arc::new(hook);
    let (mut users, mut failed) = (40, 0);
    for step in 1.. {
        let store = open(&place.sled(), Faults::default(), &hook);
        // A sync of the sled at work that fails would end all writing, as ever.
        store.checkpoint().await.unwrap();
        *fails_at.lock().unwrap() = step;
        let done = renew(&store).await;
        let was_reached = *fails_at.lock().unwrap() <= 0;
        *fails_at.lock().unwrap() = 0;
        assert!(was_reached || done.is_ok(), "step {step}: {done:?}");
        failed += usize::from(done.is_err());
        add(&store, users..users + 2).await;
        users += 2;
        has_all(&store, users).await;
        drop(store);
        assert_eq!(place.verified(), Ok(users as u64 * 3), "step {step}");
        if !was_reached {
            // The last one, after the exchange, changes nothing any more.
            assert_eq!(failed, usize::try_from(step).unwrap() - 2, "of all steps");
            assert!(failed > 8, "{failed} steps");
            return;
        }
    }
}

/// A segment that could not be begun ends all writing: what followed in the one before would be in the wrong place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_03_a_segment_that_cannot_be_begun_ends_all_writing() {
    struct Names(AtomicBool);
    impl Syncs for Names {
        fn data(&self, file: &File, path: &Path) -> io::Result<()> {
            Device.data(file, path)
        }

        fn names(&self, directory: &Path) -> io::Result<()> {
            if directory.ends_with("log") && self.0.load(Ordering::Relaxed) {
                return Err(io::Error::other("a fault on purpose"));
            }
            Device.names(directory)
        }

        fn boot(&self) -> io::Result<String> {
            Device.boot()
        }
    }
    let place = Place::filled().await;
    let names = Arc::new(Names(AtomicBool::new(false)));
    let store = open(&place.sled(), Faults::default(), &(names.clone() as Arc<dyn Syncs>));
    names.0.store(true, Ordering::Relaxed);
    let rotated = {
        let keeper = store.keeper.clone();
        tokio::task::spawn_blocking(move || keeper.rotate())
    };
    assert!(rotated.await.unwrap().is_err());
    let event = Event::new(EventKind::UserCreated);
    let refused = store.create_user(user("late"), None, None, act(), event).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    drop(store);
    has_all(&place.open(), 40).await;
}

/// Beside it somebody signs out again and again: a session that was ended never comes back, whichever sled answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_19_what_was_ended_stays_ended_while_sled_is_exchanged() {
    let place = Place::filled().await;
    let store = Arc::new(place.open());
    let of_reader = store.clone();
    let (ended, told) = watch::channel(0);
    // It asks for the newest that was ended, over and over, so that what it reads goes into the cache at any moment.
    let reader = tokio::spawn(async move {
        let mut asked = 0;
        while told.has_changed().is_ok() {
            let n = *told.borrow();
            for n in 40..n {
                let found = of_reader.session(&session(&format!("u{n}"), 1).session.id).await.unwrap();
                assert!(found.is_none(), "the session of {n} is back");
                asked += 1;
            }
            tokio::task::yield_now().await;
        }
        asked
    });
    for n in 40..140 {
        let name = format!("u{n}");
        store.create_user(user(&name), None, None, act(), Event::new(EventKind::UserCreated)).await.unwrap();
        let new = session(&name, 1);
        let id = new.session.id.clone();
        store.open_session(new, 0, None, act(), Event::new(EventKind::SignedIn)).await.unwrap();
        assert!(store.session(&id).await.unwrap().is_some(), "it is in the cache");
        let renewal = (n % 4 == 0).then(|| {
            let store = store.clone();
            tokio::spawn(async move { renew(&store).await.unwrap().unwrap() })
        });
        let ending = Ending::These(vec![id]);
        store.end_sessions(ending, None, act(), Event::new(EventKind::SignedOut)).await.unwrap();
        ended.send_replace(n + 1);
        if let Some(renewal) = renewal {
            renewal.await.unwrap();
        }
    }
    drop(ended);
    assert!(reader.await.unwrap() > 1_000);
}

/// What is too large for its file sled puts in one of its own, and looks for it by the path with which it was opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_finds_its_files_where_they_have_gone() {
    let place = Place::filled().await;
    let store = Arc::new(place.open());
    renew(&store).await.unwrap().unwrap();
    let large = vec![7; 400_000];
    store.db().insert([0xfe], large.clone()).unwrap();
    assert_eq!(fs::read_dir(place.sled().join("blobs")).unwrap().count(), 1);
    assert_eq!(store.db().get([0xfe]).unwrap().unwrap(), large);
    store.checkpoint().await.unwrap();
    nothing_is_left(&place);
}

/// It stops where it is, and leaves nothing that would harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_to_close_is_not_made_anew() {
    let place = Place::filled().await;
    let store = Arc::new(place.open());
    store.end_upkeep();
    assert!(renew(&store).await.unwrap().is_none());
    nothing_is_left(&place);
    drop(store);
    has_all(&place.open(), 40).await;
}

/// After one it is not outgrown, and after one that failed it is left alone for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_outgrown_is_told_from_what_a_new_one_takes() {
    let place = Place::filled().await;
    let store = open_outgrown(&place.sled(), 0);
    store.snapshot().await.unwrap();
    assert!(store.keeper.is_outgrown().unwrap());
    assert!(store.renew_if_outgrown().await.unwrap());
    assert!(store.keeper.is_outgrown().unwrap(), "by this rule always");
    store.end_upkeep();
    assert!(!store.renew_if_outgrown().await.unwrap());
    assert!(!store.keeper.is_outgrown().unwrap(), "not at once again");
    drop(store);
    assert!(!open_outgrown(&place.sled(), 200).keeper.is_outgrown().unwrap(), "a small one is never outgrown");
}

/// A checker counts only after it was seen to catch a fault: a sled that lacks one intent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_05_a_new_sled_that_lacks_something_is_found_out_by_the_next_snapshot() {
    let place = Place::filled().await;
    let store = open(
        &place.sled(),
        Faults { replay_skips_one: true, ..Faults::default() },
        &(Arc::new(Device) as Arc<dyn Syncs>),
    );
    add(&store, 40..50).await;
    renew(&store).await.unwrap().unwrap();
    let found = store.snapshot().await;
    assert!(
        matches!(&found, Err(StoreError::Unavailable(problem)) if problem.contains("records, the first")),
        "{found:?}"
    );
    drop(store);
    has_all(&place.open(), 50).await;
}
