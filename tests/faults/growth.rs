//! F-24: what comes and goes leaves nothing behind. Sessions are touched, accounts are made and deleted, round by round; what the
//! store takes on the disk must stop growing, and stay within three times what a store made anew of the same data takes.

use std::{
    fmt,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use authd::{
    crypto::mac::HmacKey,
    domain::{Event, EventKind},
    store::{
        Store, Upkeep,
        contract::{act, credential, session, user},
        sled::{Opening, SledOptions, SledStore},
    },
};
use common::{Span, UnixTime, text::bytes};
use futures_util::{StreamExt, stream};
use tests::size;

/// What a store may grow by, in bytes, without growing: sled takes and returns space in segments of half a MiB.
const SLACK: u64 = 2 << 20;
/// What a store takes that has nothing in it, in bytes.
const EMPTY: u64 = 4 << 20;

struct Round {
    /// What the whole directory takes, in bytes.
    total: u64,
}

struct Report {
    users: u64,
    rounds: Vec<Round>,
    /// What it takes when it is made anew.
    live: u64,
}

impl Report {
    /// What is wrong with it, in words.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = vec![];
        // It grows until it is made anew, and then again: what it falls back to must stay.
        let (first, second) = self.rounds.split_at(self.rounds.len() / 2);
        let least = |rounds: &[Round]| rounds.iter().map(|round| round.total).min().unwrap_or_default();
        let (before, after) = (least(first), least(second));
        if after > before + before / 4 + SLACK {
            wrong.push(format!("it goes on growing: {} and then {}", bytes(before), bytes(after)));
        }
        // And what it rises to, but for the size at which it is made anew: twice what it needs.
        let most = |rounds: &[Round]| rounds.iter().map(|round| round.total).max().unwrap_or_default();
        let (before, after) = (most(first), most(second));
        if after > before + before / 4 + SLACK && after > 2 * self.live + EMPTY {
            wrong.push(format!("it rises higher and higher: {} and then {}", bytes(before), bytes(after)));
        }
        for round in self.rounds.iter().filter(|round| round.total > 3 * self.live + EMPTY) {
            wrong.push(format!("{} for {} of data", bytes(round.total), bytes(self.live)));
        }
        wrong
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, rounds, live } = self;
        let sizes: Vec<String> = rounds.iter().map(|round| bytes(round.total)).collect();
        let (touches, gone) = (10 * users * rounds.len() as u64, users * rounds.len() as u64);
        write!(
            f,
            "{users} users, {touches} touches of sessions, {gone} users who came and went: {}; made anew {}",
            sizes.join(", "),
            bytes(*live)
        )
    }
}

fn taken(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let of = |path: PathBuf| match path.is_dir() {
        true => taken(&path),
        // What is set aside without being written takes nothing.
        false => path.metadata().map_or(0, |meta| meta.blocks() * 512),
    };
    entries.flatten().map(|entry| of(entry.path())).sum()
}

fn opening(root: &Path) -> Opening {
    Opening::open(&root.join("sled"), SledOptions::default()).unwrap()
}

fn started(opening: Opening) -> SledStore {
    opening.replay(Arc::new(HmacKey::new(b"log"))).unwrap().start(Arc::new(HmacKey::new(b"audit"))).unwrap()
}

/// Many at once, as the writer has them from many clients.
async fn all<F: Future<Output = ()>>(many: u64, work: impl Fn(u64) -> F) {
    stream::iter(0..many).for_each_concurrent(500, work).await;
}

async fn add(store: &SledStore, name: &str) {
    let event = Event::new(EventKind::UserCreated).user(&user(name).id);
    let opened = Some(session(name, 1));
    store.create_user(user(name), Some(credential(name, "hash")), opened, act(), event).await.unwrap();
}

/// So many rounds; without upkeep there are neither snapshots nor an end to what the audit trail keeps.
async fn grow(users: u64, rounds: u64, has_upkeep: bool) -> Report {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    let store = started(opening(root));
    let of = &store;
    all(users, |n| async move { add(of, &format!("stays{n}")).await }).await;
    let mut report = Report { users, rounds: vec![], live: 0 };
    for round in 0..rounds {
        all(10 * users, |n| async move {
            let touched = session(&format!("stays{}", n % users), 1).session;
            let end = touched.expires_at.plus(Span::from_secs(60 * (round * 10 * users + n + 1)));
            of.prolong_session(touched.id, end, UnixTime::EPOCH).await.unwrap();
        })
        .await;
        all(users, |n| async move {
            let name = format!("goes{round}x{n}");
            add(of, &name).await;
            let gone = user(&name).id;
            of.delete_user(gone.clone(), None, act(), Event::new(EventKind::UserDeleted).user(&gone)).await.unwrap();
        })
        .await;
        if has_upkeep {
            while store.remove_audit(UnixTime::from_secs(1 << 40), 1_000, act()).await.unwrap() > 0 {}
            store.snapshot().await.unwrap();
            // What the daemon does every half minute.
            store.snapshot_if_due(UnixTime::EPOCH).await.unwrap();
        }
        report.rounds.push(Round { total: taken(root) });
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.users, counts.sessions), (users, users));
    drop(store);
    let mut anew = opening(root);
    anew.make_anew("to see how large it is");
    let store = started(anew);
    assert_eq!(store.counts().await.unwrap(), counts);
    drop(store);
    let _ = std::fs::remove_dir_all(root.join("sled.aside"));
    report.live = taken(root);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_24_the_store_stops_growing() {
    let report = grow(size(200, 20_000) as u64, 6, true).await;
    eprintln!("{report}");
    assert_eq!(report.wrong(), Vec::<String>::new(), "{report}");
}

/// A checker counts only after it was seen to catch a fault: upkeep left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_24_a_store_that_keeps_everything_is_found_out() {
    let report = grow(400, 12, false).await;
    eprintln!("without upkeep, on purpose: {report}");
    assert!(!report.wrong().is_empty(), "{report}");
}
