//! F-01 where it is hardest: a process that makes sled anew all the time, beside what it writes, is killed again and again. What it
//! said to be certain is there, and sled is what the commit log says. (The exchange itself takes milliseconds: each of its steps is in
//! `authd/src/store/sled/renewing.rs`.)

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use authd::{
    crypto::mac::HmacKey,
    domain::{Event, EventKind},
    store::{
        Store, Upkeep, UserQuery,
        contract::{act, session, user},
        sled::{Faults, Opening, SledOptions, SledStore},
    },
};
use common::UnixTime;
use tests::{Dice, size};

/// Where the process that is killed has its store, and the number of its first user.
const PLACE: &str = "AUTHD_TEST_KILLED_IN";
const FIRST: &str = "AUTHD_TEST_KILLED_FROM";
const FAULTY: &str = "AUTHD_TEST_KILLED_FAULTY";

fn open(root: &Path, outgrown_percent: u64, faults: Faults) -> SledStore {
    let options =
        SledOptions { outgrown_percent, faults, reserve_bytes: 0, segment_bytes: 64 << 10, ..SledOptions::default() };
    let opened = Opening::open(&root.join("sled"), options).unwrap().replay(Arc::new(HmacKey::new(b"log"))).unwrap();
    opened.start(Arc::new(HmacKey::new(b"audit"))).unwrap()
}

/// What is killed.
async fn works_until_it_is_killed(place: &OsStr) {
    let first: u64 = env::var(FIRST).unwrap().parse().unwrap();
    let faults = Faults { answers_too_early: env::var_os(FAULTY).is_some(), ..Faults::default() };
    let store = Arc::new(open(Path::new(place), 0, faults));
    let renewing = store.clone();
    tokio::spawn(async move {
        loop {
            renewing.snapshot_if_due(UnixTime::EPOCH).await.unwrap();
        }
    });
    for n in first.. {
        let name = format!("u{n}");
        let event = Event::new(EventKind::UserCreated);
        store.create_user(user(&name), None, Some(session(&name, 1)), act(), event).await.unwrap();
        #[allow(clippy::print_stdout)] // what it says is what counts
        {
            println!("certain {n}");
        }
    }
}

fn child(root: &Path, first: u64, is_faulty: bool) -> Child {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "--nocapture", "renewal::f_01_a_kill_while_sled_is_exchanged_loses_nothing"]);
    child.env(PLACE, root).env(FIRST, first.to_string()).stdout(Stdio::piped());
    if is_faulty {
        child.env(FAULTY, "1");
    }
    child.spawn().unwrap()
}

fn is_exchanging(root: &Path) -> bool {
    root.join("sled.unfinished").exists() || root.join("sled.aside").exists()
}

#[derive(Default, Debug)]
struct Report {
    kills: usize,
    acknowledged: u64,
    /// Kills that left a sled in the making, and kills in the middle of the exchange.
    in_the_making: usize,
    exchanging: usize,
    wrong: Vec<String>,
}

async fn kills(many: usize, seed: u64, is_faulty: bool) -> Report {
    let mut dice = Dice::new(seed);
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    let mut report = Report::default();
    let mut users = 0_u64;
    // Until one of them met a renewal, too; about one in seven does.
    let enough = |report: &Report| report.kills >= many && report.in_the_making + report.exchanging > 0;
    while !enough(&report) && report.kills < many + 100 && report.wrong.is_empty() {
        let mut killed = child(root, users, is_faulty);
        let lines = BufReader::new(killed.stdout.take().unwrap()).lines();
        let mut certain =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("certain ")?.parse::<u64>().ok());
        let until = users + dice.below(200) as u64;
        let said = certain.by_ref().find(|n| *n >= until);
        killed.kill().unwrap();
        killed.wait().unwrap();
        // And what it had said when it was killed.
        let last = certain.last().or(said).expect("it said something");
        report.kills += 1;
        report.acknowledged += last + 1 - users;
        report.in_the_making += usize::from(root.join("sled.next").exists());
        report.exchanging += usize::from(is_exchanging(root));

        let store = open(root, 200, Faults::default());
        for n in users..=last {
            let name = format!("u{n}");
            if store.user(&user(&name).id).await.unwrap().is_none() {
                report.wrong.push(format!("user {n} of {last} is gone"));
            }
        }
        let there =
            store.users(UserQuery { limit: 1_000_000, ..UserQuery::default() }).await.unwrap().items.len() as u64;
        let counts = store.counts().await.unwrap();
        // One may be there of which it could not say so any more.
        let fits = (last + 1..=last + 2).contains(&there) && counts.users == there && counts.sessions == there;
        if !fits {
            report.wrong.push(format!("{there} users of {}, and {counts:?}", last + 1));
        }
        if let Err(e) = store.snapshot().await {
            report.wrong.push(format!("sled is not what the log says: {e}"));
        }
        if let Some(broken) = store.audit_verify().await.unwrap().broken {
            report.wrong.push(format!("the audit trail is broken: {broken:?}"));
        }
        users = there;
    }
    eprintln!(
        "{} kills, {} acknowledged, {} with a sled in the making, {} in an exchange, {} wrong (AUTHD_TEST_SEED={seed})",
        report.kills,
        report.acknowledged,
        report.in_the_making,
        report.exchanging,
        report.wrong.len()
    );
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_01_a_kill_while_sled_is_exchanged_loses_nothing() {
    if let Some(place) = env::var_os(PLACE) {
        return works_until_it_is_killed(&place).await;
    }
    let report = kills(size(10, 200), Dice::seed(), false).await;
    assert_eq!(report.wrong, Vec::<String>::new());
    assert!(report.in_the_making + report.exchanging > 0, "none met one: {report:?}");
}

/// A checker counts only after it was seen to catch a fault: answers before the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_01_an_answer_that_came_too_early_is_found_out() {
    let report = kills(20, Dice::seed(), true).await;
    eprintln!("answered before the commit, on purpose");
    assert!(!report.wrong.is_empty(), "{report:?}");
}
