//! F-19: many clients act on the same users and sessions at the same time, everything is recorded with the order of requests
//! and answers, and a checker looks for answers that could not have been given. The server is stopped and started again on its
//! directory in the middle of the work.

mod check;
mod clients;
mod record;
mod seeded;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use authd::store::sled::Faults;
use common::Span;
use tests::{Dice, Server, ctl::ctl, size};
use tokio::{sync::Notify, task::JoinSet};

use self::{
    check::{Figures, Violation, check},
    clients::{Clerk, Common, Desk, Ground},
};

/// How many desks there are, and clients at each.
const DESKS: usize = 4;
const CLERKS: usize = 4;

/// What came of it.
struct Report {
    seed: u64,
    restarts: usize,
    figures: Figures,
    violations: Vec<Violation>,
    odd: BTreeMap<String, usize>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, restarts, figures, violations, odd } = self;
        let Figures { entries, sessions, unanswered, must_fail, must_succeed, open, successors, reuses } = figures;
        write!(
            f,
            "history: {entries} operations on {sessions} sessions, {restarts} restarts, {unanswered} unanswered; checks: \
             {must_fail} had to fail, {must_succeed} had to succeed, {open} could do either; {successors} refreshes, \
             {reuses} reuses told of; {} violations (AUTHD_TEST_SEED={seed}) {odd:?}",
            violations.len()
        )
    }
}

async fn start(faults: Faults) -> Server {
    let day = ["token.issuer", "token.audience"].map(|key| (key, "http://localhost"));
    let mut server = Server::builder().set("token.expires_in", "1d").set("throttle.failures", "false").faults(faults);
    for (key, value) in day {
        server = server.set(key, value);
    }
    let mut server = server.start().await;
    server.reload(|settings| settings.account.self_delete = true).await;
    server
}

/// `phases` times: work, and stop and start in the middle of it.
async fn history(operations: usize, phases: usize, faults: Faults) -> Report {
    let seed = Dice::seed();
    eprintln!("AUTHD_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut server = start(faults).await;
    let common = Arc::new(Common::default());
    let desks: Vec<Arc<Desk>> = (0..DESKS).map(|_| Arc::default()).collect();
    let mut clerks: Vec<Clerk> =
        desks.iter().flat_map(|desk| vec![desk; CLERKS]).map(|desk| Clerk::new(desk.clone(), dice.fork())).collect();
    for _ in 0..phases {
        let ground = Arc::new(Ground {
            public: server.client().keeping_connections(),
            admin: server.admin(),
            clock: server.clock.clone(),
            common: common.clone(),
            acts: AtomicUsize::new(0),
            enough: operations / phases,
            is_enough: Notify::new(),
            is_over: AtomicBool::new(false),
        });
        let mut at_work = JoinSet::new();
        for clerk in clerks.drain(..) {
            at_work.spawn(clerk.work(ground.clone()));
        }
        ground.is_enough.notified().await;
        // Stopped while they act: what is under way is answered, or is not.
        server.stop().await;
        ground.is_over.store(true, Ordering::SeqCst);
        clerks = at_work.join_all().await;
        server.clock.advance(Span::from_hours(3));
        server = server.restart().await;
    }
    ctl(&server.socket).run("audit verify").await.ok();
    server.stop().await;
    let mut entries = vec![];
    let mut odd = BTreeMap::new();
    for clerk in clerks {
        entries.extend(clerk.entries);
        for (what, n) in clerk.odd {
            *odd.entry(what).or_default() += n;
        }
    }
    let (figures, violations) = check(&entries);
    // What else there is of the session that the first one is about.
    for entry in violations.first().map(|first| first.entry.related(&entries)).unwrap_or_default() {
        eprintln!("{entry:?}");
    }
    Report { seed, restarts: phases, figures, violations, odd }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_19_no_answer_of_a_long_history_contradicts_another() {
    let report = Box::pin(history(size(4_000, 1_000_000), size(3, 25), Faults::default())).await;
    eprintln!("{report}");
    let first: Vec<String> = report.violations.iter().take(5).map(ToString::to_string).collect();
    assert!(first.is_empty(), "{report}\n{}", first.join("\n"));
    let Figures { must_fail, must_succeed, successors, reuses, .. } = report.figures;
    assert!([must_fail, must_succeed, successors, reuses].iter().all(|n| *n > 0), "{report}: a rule was not tried");
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_19_a_cache_that_is_told_too_late_is_found_out() {
    let late = Faults { caches_too_late: true, ..Faults::default() };
    let report = Box::pin(history(4_000, 1, late)).await;
    eprintln!("with a fault on purpose: {report}");
    assert!(report.violations.iter().any(|v| v.rule == "(a) it had ended"), "{report}");
}
