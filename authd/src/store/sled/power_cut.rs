//! F-02 and F-03 in their short form: the power goes again and again, at any sync or between two, and nothing that was
//! acknowledged is lost. The disk is simulated: of each file what was synced is there, and of what was written since, any
//! blocks. sled's own syncs do not count; that is less than what it has.
//!
//! `AUTHD_TEST_LONG=1` makes it 200 cuts, `AUTHD_TEST_SEED` repeats one run.

mod platter;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::UnixTime;
use tokio::task::JoinSet;

pub(super) use self::platter::Dice;
use self::platter::{Plan, Platter};
use super::{
    Opening, SledOptions, SledStore,
    disk::Syncs,
    opening::{Faults, OpenError},
};
use crate::{
    crypto::mac::HmacKey,
    domain::{Event, EventKind},
    store::{
        Ending, SealedSecret, Store, StoreError, Upkeep, UserQuery,
        contract::{act, session, user},
    },
};

/// How many act at the same time.
const CLIENTS: usize = 6;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    User(String),
    Session(String, u8),
    Ended(String, u8),
}

type Acknowledged = Arc<Mutex<Vec<Deed>>>;

fn key(text: &[u8]) -> Arc<HmacKey> {
    Arc::new(HmacKey::new(text))
}

fn open(
    root: &Path,
    faults: Faults,
    checkpoint_every: Duration,
    syncs: &Arc<dyn Syncs>,
) -> Result<SledStore, OpenError> {
    let segment_bytes = 16 << 10;
    let small = SledOptions {
        cache_bytes: 4 << 20,
        reserve_bytes: 0,
        segment_bytes,
        outgrown_percent: 0,
        ..SledOptions::default()
    };
    let options = SledOptions { checkpoint_every, faults, ..small };
    // The sled of the look before lets go of its files a moment after it was dropped.
    let opening = loop {
        match Opening::open_with(&root.join("sled"), options, syncs.clone()) {
            Err(e) if e.to_string().contains("acquire lock") => std::thread::yield_now(),
            opened => break opened?,
        }
    };
    if opening.is_new() {
        let secret =
            SealedSecret { purpose: "log".into(), id: "1".into(), sealed: vec![1; 72], created_at: UnixTime::EPOCH };
        opening.put_log_key("fingerprint", &secret)?;
    }
    assert_eq!(opening.log_key("fingerprint")?.map(|secret| secret.sealed), Some(vec![1; 72]));
    opening.replay(key(b"log"))?.start(key(b"audit"))
}

/// What must be true, and what may be.
#[derive(Default)]
struct World {
    users: BTreeSet<String>,
    sessions: BTreeSet<(String, u8)>,
    ended: BTreeSet<(String, u8)>,
    names: usize,
}

impl World {
    fn has(&mut self, deed: Deed) {
        match deed {
            Deed::User(name) => drop(self.users.insert(name)),
            Deed::Session(name, n) => drop(self.sessions.insert((name, n))),
            Deed::Ended(name, n) => {
                self.sessions.remove(&(name.clone(), n));
                self.ended.insert((name, n));
            }
        }
    }

    /// Compares; answers what is lost, and takes what is there for what must be there from now on.
    async fn look(&mut self, store: &SledStore, asked: &[Deed]) -> Result<Vec<String>, StoreError> {
        let mut lost = vec![];
        let exists =
            async |name: &str, n: u8| store.session(&session(name, n).session.id).await.map(|found| found.is_some());
        for name in &self.users {
            if store.user(&user(name).id).await?.is_none() {
                lost.push(format!("user {name} is gone"));
            }
        }
        for (name, n) in self.sessions.clone() {
            if !exists(&name, n).await? {
                // Its end may have been asked for, without an answer.
                match asked.contains(&Deed::Ended(name.clone(), n)) {
                    true => self.has(Deed::Ended(name, n)),
                    false => lost.push(format!("session {n} of {name} is gone")),
                }
            }
        }
        for (name, n) in &self.ended {
            if exists(name, *n).await? {
                lost.push(format!("session {n} of {name} is back"));
            }
        }
        for deed in asked {
            match deed {
                Deed::User(name) if store.user(&user(name).id).await?.is_some() => self.has(deed.clone()),
                Deed::Session(name, n) if exists(name, *n).await? && !self.ended.contains(&(name.clone(), *n)) => {
                    self.has(deed.clone());
                }
                _ => {}
            }
        }
        let counts = store.counts().await?;
        let users = store.users(UserQuery { limit: 100_000, ..UserQuery::default() }).await?.items.len();
        let sessions = store.sessions(None, 100_000).await?.items.len();
        if (counts.users, counts.sessions) != (users as u64, sessions as u64) {
            lost.push(format!("{counts:?}, and there are {users} users and {sessions} sessions"));
        }
        // It compares sled with the commit log, record by record.
        if let Err(e) = store.snapshot().await {
            lost.push(format!("no snapshot: {e}"));
        }
        if let Some(broken) = store.audit_verify().await?.broken {
            lost.push(format!("the audit trail is broken: {broken:?}"));
        }
        Ok(lost)
    }
}

/// Users with sessions, of which every other one ends, until something fails.
async fn act_on(
    store: Arc<SledStore>,
    names: Vec<String>,
    (done, asked): (Acknowledged, Acknowledged),
    enough: usize,
    snapshots: bool,
) {
    let told = |deed: Deed| done.lock().unwrap().push(deed);
    let event = |kind| Event::new(kind);
    for name in names {
        if done.lock().unwrap().len() >= enough {
            return;
        }
        asked.lock().unwrap().push(Deed::User(name.clone()));
        let made = store.create_user(user(&name), None, None, act(), event(EventKind::UserCreated)).await;
        if made.is_err() {
            return;
        }
        told(Deed::User(name.clone()));
        // It makes sled anew, too.
        if snapshots && store.snapshot_if_due(UnixTime::EPOCH).await.is_err() && store.health().is_err() {
            return;
        }
        for n in 1..=4 {
            asked.lock().unwrap().push(Deed::Session(name.clone(), n));
            let new = session(&name, n);
            let id = new.session.id.clone();
            if store.open_session(new, 0, None, act(), event(EventKind::SignedIn)).await.is_err() {
                return;
            }
            told(Deed::Session(name.clone(), n));
            if n % 2 == 0 {
                asked.lock().unwrap().push(Deed::Ended(name.clone(), n));
                let these = Ending::These(vec![id]);
                if store.end_sessions(these, None, act(), event(EventKind::SignedOut)).await.is_err() {
                    return;
                }
                told(Deed::Ended(name.clone(), n));
            }
        }
    }
}

#[derive(Default)]
struct Report {
    cuts: usize,
    acknowledged: usize,
    /// Stores whose sled did not open; each was made anew from the log.
    sled_made_anew: usize,
    lost: Vec<String>,
}

/// So many times: work, a cut, a start with what is left of the disk, a look. Ends early when something is lost.
async fn cuts(many: usize, faults: Faults) -> Report {
    let seed = std::env::var("AUTHD_TEST_SEED").map_or_else(
        |_| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
        |seed| seed.parse().unwrap(),
    );
    eprintln!("AUTHD_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let (mut world, mut report) = (World::default(), Report::default());
    let mut root = tempfile::tempdir().unwrap();
    for cut in 1..=many {
        let plan = match dice.below(4) {
            0 => Plan::Later(1 + dice.below(120)),
            1 => Plan::Fail(3 + dice.below(40)),
            _ => Plan::Cut(1 + dice.below(60)),
        };
        let (done, asked) = (Acknowledged::default(), Acknowledged::default());
        let platter = Platter::new(root.path(), plan, Dice(dice.next()), done.clone());
        let enough = if let Plan::Later(answers) = plan { answers } else { 300 };
        let checkpoint_every = Duration::from_millis([2, 10, 60_000][dice.below(3)]);
        match open(root.path(), faults, checkpoint_every, &(platter.clone() as Arc<dyn Syncs>)) {
            Ok(store) => {
                let store = Arc::new(store);
                let mut at_work = JoinSet::new();
                let snapshots = dice.below(3) > 0;
                for client in 0..CLIENTS {
                    let names = (0..12).map(|n| format!("u{}", world.names + n)).collect();
                    world.names += 12;
                    let deeds = (done.clone(), asked.clone());
                    at_work.spawn(act_on(store.clone(), names, deeds, enough, snapshots && client == 0));
                }
                while at_work.join_next().await.is_some() {}
            }
            // The sync that fails may be the first one: then it does not start.
            Err(e) => assert!(plan != Plan::Later(enough), "cut {cut}, seed {seed}: {e}"),
        }
        let image = platter.image();
        report.cuts += 1;
        report.acknowledged += image.acknowledged.len();
        image.acknowledged.into_iter().for_each(|deed| world.has(deed));

        let next = tempfile::tempdir().unwrap();
        for (path, bytes) in &image.files {
            let path = next.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root = next;
        let calm = || Platter::new(root.path(), Plan::Later(0), Dice(0), Acknowledged::default());
        let asked = asked.lock().unwrap().clone();
        let mut lost = match after(root.path(), faults, calm(), &mut world, &asked).await {
            // What is left to an operator whose log is whole.
            Err(OpenError::Sled { .. }) => {
                report.sled_made_anew += 1;
                fs::rename(root.path().join("sled"), root.path().join("aside")).unwrap();
                after(root.path(), faults, calm(), &mut world, &asked).await
            }
            looked => looked,
        }
        .unwrap_or_else(|e| vec![format!("it does not open: {e}")]);
        lost.iter_mut().for_each(|lost| write!(lost, " (cut {cut}, {plan:?}, seed {seed})").unwrap());
        report.lost.append(&mut lost);
        if !report.lost.is_empty() {
            break;
        }
    }
    eprintln!(
        "{} cuts, {} acknowledged, {} lost, {} times sled was made anew",
        report.cuts,
        report.acknowledged,
        report.lost.len(),
        report.sled_made_anew
    );
    report
}

/// Opens what the cut has left, and looks.
async fn after(
    root: &Path,
    faults: Faults,
    syncs: Arc<dyn Syncs>,
    world: &mut World,
    asked: &[Deed],
) -> Result<Vec<String>, OpenError> {
    let store = open(root, faults, Duration::from_millis(10), &syncs)?;
    Ok(world.look(&store, asked).await?)
}

fn many() -> usize {
    if std::env::var("AUTHD_TEST_LONG").is_ok_and(|long| long == "1") { 200 } else { 20 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_02_f_03_nothing_acknowledged_is_lost_wherever_the_power_goes_or_a_sync_fails() {
    let report = cuts(many(), Faults::default()).await;
    assert!(report.lost.is_empty(), "{:#?}", report.lost.iter().take(20).collect::<Vec<_>>());
    assert_eq!(report.sled_made_anew, 0, "it was to be made anew before it was read");
    assert!(report.acknowledged > 10 * report.cuts, "hardly anything was tried: {}", report.acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_02_a_log_that_is_not_synced_is_found_out() {
    let report = cuts(many(), Faults { skips_log_sync: true, ..Faults::default() }).await;
    assert!(!report.lost.is_empty(), "the cuts do not see what is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_02_a_replay_that_leaves_something_out_is_found_out() {
    let report = cuts(many(), Faults { replay_skips_one: true, ..Faults::default() }).await;
    assert!(!report.lost.is_empty(), "the cuts do not see what is lost");
}
