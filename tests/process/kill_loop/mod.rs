//! F-01 in its short form: the daemon is killed again and again in the middle of its work, and nothing that it acknowledged
//! is ever lost, nothing that it revoked comes back.
//!
//! `AUTHD_TEST_KILLS` is the number of rounds (50), `AUTHD_TEST_SEED` the seed, which is printed.

mod check;
mod clients;
mod events;
mod model;

/// Chance that can be had again.
pub(crate) mod dice {
    pub(crate) use tests::Dice;
}

use std::{fmt, sync::Arc};

use nix::sys::signal::Signal;
use tests::process::{Daemon, Host, Run};
use tokio::task::JoinSet;

use self::{
    clients::{Doors, Fuse},
    dice::Dice,
    model::World,
};
use crate::host;

/// How many clients act at the same time.
const CLIENTS: usize = 6;

/// What came of it.
#[derive(Default)]
struct Report {
    seed: u64,
    kills: usize,
    stops: usize,
    acknowledged: u64,
    unanswered: u64,
    /// Differences between what was acknowledged and what is there after a restart.
    losses: Vec<String>,
    /// Answers that were wrong before the kill.
    wrong: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, kills, stops, acknowledged, unanswered, losses, wrong } = self;
        let (lost, wrong) = (losses.len(), wrong.len());
        write!(
            f,
            "{kills} kills, {stops} stops, {acknowledged} acts acknowledged, {unanswered} unanswered, {lost} lost, {wrong} wrong answers \
             (AUTHD_TEST_SEED={seed})"
        )
    }
}

fn rounds() -> usize {
    std::env::var("AUTHD_TEST_KILLS").map_or(50, |kills| kills.parse().unwrap())
}

/// Access tokens live so long that none expires before the end, and are good at every port that the daemon gets.
fn daemon(host: &Host) -> Run {
    host.daemon()
        .env("AUTHD_TOKEN__EXPIRES_IN", "1d")
        .env("AUTHD_TOKEN__ISSUER", "http://localhost")
        .env("AUTHD_TOKEN__AUDIENCE", "http://localhost")
}

/// Lets the clients act until one of their answers blows the fuse.
async fn work(daemon: Daemon, signal: Signal, world: &mut World, dice: &mut Dice) {
    let fuse = Fuse::new(daemon.pid(), signal, dice);
    let doors = Arc::new(Doors { public: daemon.client(), admin: daemon.admin(), fuse });
    let mut at_work = JoinSet::new();
    for deeds in world.clients.drain(..) {
        at_work.spawn(clients::act(doors.clone(), deeds, dice.fork()));
    }
    while let Some(done) = at_work.join_next().await {
        world.clients.push(done.unwrap());
    }
    world.clients.sort_by_key(|client| client.name);
    match signal {
        Signal::SIGKILL => drop(daemon.gone().await),
        _ => drop(daemon.wait().await.ok()),
    }
}

/// Starts the daemon and kills it as soon as it has taken its lock: while it opens the store.
async fn kill_at_start(run: Run, host: &Host) {
    let mut child = run.spawn().await;
    let pid = child.id().unwrap().to_string();
    while std::fs::read_to_string(host.data().join("lock")).unwrap() != pid {
        assert!(child.try_wait().unwrap().is_none(), "it did not start");
        tokio::task::yield_now().await;
    }
    child.kill().await.unwrap();
}

/// `rounds` times: work, kill, start, look. Ends early if `is_enough`.
async fn kill_loop(host: &Host, rounds: usize, run: impl Fn() -> Run, is_enough: impl Fn(&Report) -> bool) -> Report {
    let mut report = Report { seed: Dice::seed(), ..Report::default() };
    eprintln!("AUTHD_TEST_SEED={}", report.seed);
    let mut dice = Dice::new(report.seed);
    let mut running = run().start().await;
    let mut world = check::first_look(&running, CLIENTS).await;
    for round in 1..=rounds {
        // Now and then it is asked to stop: that must lose no more.
        let signal = if dice.once_in(8) { Signal::SIGTERM } else { Signal::SIGKILL };
        work(running, signal, &mut world, &mut dice).await;
        match signal {
            Signal::SIGKILL => report.kills += 1,
            _ => report.stops += 1,
        }
        for client in &mut world.clients {
            report.acknowledged += client.acknowledged;
            report.unanswered += client.unanswered;
            report.wrong.extend(client.wrong.drain(..).map(|wrong| format!("round {round}: {wrong}")));
        }
        if dice.once_in(5) {
            kill_at_start(run(), host).await;
            report.kills += 1;
        }
        running = run().start().await;
        let losses = check::look(&running, &mut world, &mut dice, round == rounds).await;
        report.losses.extend(losses.into_iter().map(|loss| format!("round {round}: {loss}")));
        if is_enough(&report) {
            break;
        }
    }
    running.stop().await.ok();
    // Record by record: is sled what the commit log says?
    let verified = run().args(["store", "verify"]).end().await;
    if verified.exit != 0 {
        report.losses.push(format!("authd store verify: {verified:?}"));
    }
    report
}

#[tokio::test]
async fn f_01_nothing_acknowledged_is_lost_and_nothing_revoked_comes_back_however_often_it_is_killed() {
    let host = host!();
    let report = kill_loop(&host, rounds(), || daemon(&host), |_| false).await;
    eprintln!("{report}");
    assert!(report.losses.is_empty(), "{report}\n{:#?}", report.losses.iter().take(20).collect::<Vec<_>>());
    assert!(report.wrong.is_empty(), "{report}\n{:#?}", report.wrong.iter().take(20).collect::<Vec<_>>());
    assert!(report.acknowledged > report.kills as u64, "{report}: hardly anything was tried");
}

#[tokio::test]
async fn f_01_a_store_that_answers_before_it_commits_is_found_out() {
    let host = host!();
    let faulty = || daemon(&host).env("AUTHD_TEST_FAULT", "answer-before-commit");
    let found = |report: &Report, what: &str| report.losses.iter().any(|loss| loss.ends_with(what));
    let both = |report: &Report| found(report, "is gone") && found(report, "is back");
    let report = kill_loop(&host, 80, faulty, both).await;
    eprintln!("with a fault on purpose: {report}");
    assert!(found(&report, "is gone"), "{report}: the check does not see what is lost: {:?}", report.losses);
    assert!(found(&report, "is back"), "{report}: the check does not see what comes back: {:?}", report.losses);
}
