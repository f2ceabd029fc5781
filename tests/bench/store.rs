//! What the store costs: `cargo bench -p tests --bench store -- writers | cost [SIGN-INS] | size [USERS] | growth [USERS [ROUNDS]]`;
//! and `fill [USERS]`, which leaves a store behind for `start USERS DIRECTORY`, `renew USERS DIRECTORY` and `anew DIRECTORY`, each a process
//! of its own.
//!
//! Every figure of `writers` stands beside a floor that is measured in the same round on the same disk. `AUTHD_BENCH_DIR` is
//! where the stores are made (default: the current directory).

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, clippy::cast_possible_truncation)]
#![allow(clippy::cast_sign_loss, clippy::disallowed_methods, missing_docs)]

use std::{
    fs::File,
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
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
use tempfile::TempDir;

/// What a sign-in appends to the commit log, about.
const RECORD: usize = 1_300;
const ROUNDS: usize = 5;
/// How many sessions a user opens, about as many as one has devices.
const SESSIONS: usize = 8;

fn place() -> TempDir {
    let directory = std::env::var_os("AUTHD_BENCH_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    tempfile::Builder::new().prefix("bench-").tempdir_in(directory).unwrap()
}

fn open(root: &Path) -> SledStore {
    let opening = Opening::open(&root.join("sled"), SledOptions::default()).unwrap();
    opening.replay(Arc::new(HmacKey::new(b"log"))).unwrap().start(Arc::new(HmacKey::new(b"audit"))).unwrap()
}

/// Names in no order, as ids are.
fn name(n: u64) -> String {
    let z = (n ^ (n >> 30)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!("{:016x}", z ^ (z >> 31))
}

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";

async fn add_user(store: &SledStore, n: u64) {
    let name = name(n);
    let event = Event::new(EventKind::UserCreated).user(&user(&name).id);
    store.create_user(user(&name), Some(credential(&name, HASH)), Some(session(&name, 1)), act(), event).await.unwrap();
}

async fn sign_in(store: &SledStore, name: &str, n: u8) {
    store.open_session(session(name, n), 0, None, act(), Event::new(EventKind::SignedIn)).await.unwrap();
}

fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

/// The allocator of authd.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Seconds that the threads which write had on a processor.
fn busy() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    let of_writers =
        tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|c| c == "store-writer\n"));
    let nanos = of_writers.filter_map(|task| {
        std::fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e9
}

/// Operations a second of `writers` who each wait for one sign-in after the other; and the seconds of the writer's processor
/// that each of them took.
async fn sign_ins(store: &Arc<SledStore>, writers: usize, each: usize, begin: &AtomicU64) -> (f64, f64) {
    let users = each.div_ceil(SESSIONS);
    let first = 1_000_000 + begin.fetch_add((writers * users) as u64, Ordering::Relaxed);
    all((writers * users) as u64, |n| add_user(store, first + n)).await;
    let (began, was_busy) = (Instant::now(), busy());
    let mut at_work = tokio::task::JoinSet::new();
    for n in 0..writers as u64 {
        let store = store.clone();
        at_work.spawn(async move {
            for i in 0..each {
                let user = first + n * users as u64 + (i / SESSIONS) as u64;
                sign_in(&store, &name(user), (i % SESSIONS) as u8 + 2).await;
            }
        });
    }
    while at_work.join_next().await.is_some() {}
    let (took, many) = (began.elapsed(), (writers * each) as f64);
    (many / took.as_secs_f64(), (busy() - was_busy) / many)
}

/// Records a second, appended and synced in groups of this size.
fn floor(directory: &Path, group: usize, many: usize) -> f64 {
    let mut file = File::create(directory.join("floor")).unwrap();
    let record = vec![0x5a; RECORD * group];
    let began = Instant::now();
    for _ in 0..many {
        file.write_all(&record).unwrap();
        file.sync_data().unwrap();
    }
    (many * group) as f64 / began.elapsed().as_secs_f64()
}

/// The same as it was before there was a log: sled's batch, its flush, and fdatasync of its file.
fn former(directory: &Path, group: usize, many: usize) -> f64 {
    let path = directory.join("former");
    let db = sled::Config::new().path(&path).mode(sled::Mode::LowSpace).flush_every_ms(None).open().unwrap();
    let data = File::options().write(true).open(path.join("db")).unwrap();
    let mut n = 0_u64;
    let began = Instant::now();
    for _ in 0..many {
        let mut batch = sled::Batch::default();
        for _ in 0..group * 6 {
            n += 1;
            batch.insert(name(n).as_bytes(), vec![0x5a; RECORD / 6 - 16]);
        }
        db.apply_batch(batch).unwrap();
        db.flush().unwrap();
        data.sync_data().unwrap();
    }
    let rate = (many * group) as f64 / began.elapsed().as_secs_f64();
    drop(db);
    std::fs::remove_dir_all(path).unwrap();
    rate
}

async fn writers() {
    println!(
        "Durable sign-ins a second, median of {ROUNDS} rounds (least, most); floor: append + fdatasync of groups that size"
    );
    println!("\n| writers | sign-ins/s | floor | of the floor | writer's CPU | flush + fdatasync of sled |");
    println!("|---|---|---|---|---|---|");
    let begin = AtomicU64::new(0);
    for writers in [1, 16, 64, 256] {
        let temp = place();
        let store = Arc::new(open(temp.path()));
        let each = (4_000 / writers).clamp(16, 400);
        let (mut ours, mut costs, mut floors, mut formers) = (vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            let (rate, cost) = sign_ins(&store, writers, each, &begin).await;
            ours.push(rate);
            costs.push(cost * 1e6);
            floors.push(floor(temp.path(), writers, each));
            formers.push(former(temp.path(), writers, each.min(60)));
        }
        let ratio: Vec<f64> = ours.iter().zip(&floors).map(|(ours, floor)| ours / floor).collect();
        let ((o, o0, o1), (f, f0, f1), (r, r0, r1), (b, b0, b1)) =
            (median(ours), median(floors), median(ratio), median(formers));
        let (cost, cheapest, dearest) = median(costs);
        println!(
            "| {writers} | {o:.0} ({o0:.0}, {o1:.0}) | {f:.0} ({f0:.0}, {f1:.0}) | {r:.2} ({r0:.2}, {r1:.2}) | {cost:.1} µs ({cheapest:.1}, {dearest:.1}) | {b:.0} ({b0:.0}, {b1:.0}) |"
        );
    }
    beside_writers().await;
}

/// Sign-ins by 64 at a time among 1,000 users, for a profiler: two runs of different length, and the difference is theirs alone.
async fn cost(many: u64) {
    use futures_util::{StreamExt, stream};
    let temp = place();
    let store = open(temp.path());
    let of = &store;
    all(1_000, |n| add_user(of, n)).await;
    let was_busy = busy();
    stream::iter(0..many)
        .for_each_concurrent(64, |n| async move { sign_in(of, &name(n % 1_000), (n / 1_000) as u8 + 2).await })
        .await;
    println!("{:.1} µs of the writer's processor each", (busy() - was_busy) * 1e6 / many as f64);
}

/// The median and the 99th.
type Percentiles = (Duration, Duration);

/// The 99th percentile of cached session checks, alone and beside 64 writers.
async fn beside_writers() {
    let temp = place();
    let store = Arc::new(open(temp.path()));
    add_user(&store, 1).await;
    let digest = session(&name(1), 1).session.digest;
    let p99 = |store: Arc<SledStore>| async move {
        let mut took = Vec::with_capacity(200_000);
        for n in 0..200_000 {
            let began = Instant::now();
            assert!(store.session_by_token(&digest).await.unwrap().is_some());
            took.push(began.elapsed());
            if n % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        took.sort();
        (took[took.len() / 2], took[took.len() * 99 / 100])
    };
    let mut rows = vec![];
    let begin = Arc::new(AtomicU64::new(500_000_000));
    for _ in 0..ROUNDS {
        let alone = p99(store.clone()).await;
        let ends = Arc::new(AtomicBool::new(false));
        let (of_writers, until, from) = (store.clone(), ends.clone(), begin.clone());
        let writing = tokio::spawn(async move {
            while !until.load(Ordering::Relaxed) {
                sign_ins(&of_writers, 64, 16, &from).await;
            }
        });
        let beside = tokio::spawn(p99(store.clone())).await.unwrap();
        ends.store(true, Ordering::Relaxed);
        writing.await.unwrap();
        rows.push((alone, beside));
    }
    let micros = |of: &dyn Fn(&(Percentiles, Percentiles)) -> Duration| {
        median(rows.iter().map(|row| of(row).as_secs_f64() * 1e6).collect()).0
    };
    println!("\n| cached session check | median | p99 |\n|---|---|---|");
    println!("| alone | {:.2} µs | {:.2} µs |", micros(&|r| r.0.0), micros(&|r| r.0.1));
    println!("| beside 64 writers | {:.2} µs | {:.2} µs |", micros(&|r| r.1.0), micros(&|r| r.1.1));
}

fn size(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn say(root: &Path, what: &str, took: Duration) {
    let log = root.join("log");
    let of = |extension: &str| -> u64 {
        let files = std::fs::read_dir(&log).unwrap().flatten().map(|entry| entry.path());
        let files = files.filter(|path| path.extension().is_some_and(|e| e == extension));
        files.map(|path| path.metadata().map_or(0, |meta| meta.blocks() * 512)).sum()
    };
    let (sled, snapshot, log) = (size(&root.join("sled")), of("snapshot"), of("log"));
    println!(
        "| {what} | {:.2} s | {} | {} | {} | {} |",
        took.as_secs_f64(),
        bytes(sled),
        bytes(snapshot),
        bytes(log),
        bytes(resident())
    );
}

const COLUMNS: &str = "| | took | sled | snapshot | log | resident |\n|---|---|---|---|---|---|";

/// `many` things by 2,000 at the same time.
async fn all<F: Future<Output = ()>>(many: u64, work: impl Fn(u64) -> F) {
    use futures_util::{StreamExt, stream};
    stream::iter(0..many).for_each_concurrent(2_000, work).await;
}

async fn fill(root: &Path, users: u64) -> SledStore {
    let store = open(root);
    let began = Instant::now();
    let (of, n) = (&store, users);
    all(n, |n| async move {
        add_user(of, n).await;
        sign_in(of, &name(n), 2).await;
    })
    .await;
    say(root, &format!("{users} users with 2 sessions each are there"), began.elapsed());
    store
}

async fn sizes(users: u64) {
    let temp = place();
    let root = temp.path();
    println!("{COLUMNS}");
    let store = fill(root, users).await;
    let began = Instant::now();
    store.snapshot().await.unwrap();
    say(root, "snapshot, compared, log shortened", began.elapsed());
    let began = Instant::now();
    drop(store);
    say(root, "stop", began.elapsed());

    for how in ["start", "start once more"] {
        let began = Instant::now();
        let store = open(root);
        say(root, how, began.elapsed());
        let began_check = Instant::now();
        let digest = session(&name(users / 2), 1).session.digest;
        assert!(store.session_by_token(&digest).await.unwrap().is_some());
        say(root, "first session check after it", began_check.elapsed());
        let began_checks = Instant::now();
        for n in (0..users).step_by((users / 20_000).max(1) as usize) {
            assert!(store.session_by_token(&session(&name(n), 1).session.digest).await.unwrap().is_some());
        }
        say(root, "20,000 session checks all over the store", began_checks.elapsed());
        let began = Instant::now();
        drop(store);
        say(root, "stop", began.elapsed());
    }
    let began = Instant::now();
    let mut opening = Opening::open(&root.join("sled"), SledOptions::default()).unwrap();
    let key: Arc<dyn authd::ports::Mac> = Arc::new(HmacKey::new(b"log"));
    opening.verify(&key).unwrap().sled.unwrap();
    say(root, "authd store verify", began.elapsed());
    let began = Instant::now();
    opening.make_anew("a bench");
    opening.replay(key).unwrap().close().unwrap();
    say(root, "made anew", began.elapsed());
    std::fs::remove_dir_all(root.join("sled.aside")).unwrap();
    let began = Instant::now();
    drop(open(root));
    say(root, "start and stop of that", began.elapsed());
}

/// A store that is there, as a daemon of its own opens it.
async fn start(root: &Path, users: u64) {
    println!("{COLUMNS}");
    let began = Instant::now();
    let store = open(root);
    say(root, "start", began.elapsed());
    let began = Instant::now();
    for n in (0..users).step_by((users / 20_000).max(1) as usize) {
        assert!(store.session_by_token(&session(&name(n), 1).session.digest).await.unwrap().is_some());
    }
    say(root, "20,000 session checks all over the store", began.elapsed());
    let began = Instant::now();
    drop(store);
    say(root, "stop", began.elapsed());
}

/// How long sign-ins took, in ms: the median, the slowest of a hundred, the slowest.
fn milliseconds(mut took: Vec<f64>) -> String {
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize] * 1e3;
    format!("{} sign-ins: median {:.2} ms, p99 {:.1} ms, slowest {:.1} ms", took.len(), at(0.5), at(0.99), at(1.0))
}

/// sled made anew while the store is at work, beside somebody who signs in 200 times a second.
async fn renew(root: &Path, users: u64) {
    println!("{COLUMNS}");
    let options = SledOptions { outgrown_percent: 0, ..SledOptions::default() };
    let opening = Opening::open(&root.join("sled"), options).unwrap();
    let opened = opening.replay(Arc::new(HmacKey::new(b"log"))).unwrap();
    let store = Arc::new(opened.start(Arc::new(HmacKey::new(b"audit"))).unwrap());
    say(root, "start", Duration::ZERO);
    let ends = Arc::new(AtomicBool::new(false));
    let clients = |first: u8| {
        let (store, ends) = (store.clone(), ends.clone());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            let mut took = vec![];
            for n in 0.. {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                ticks.tick().await;
                let began = Instant::now();
                sign_in(&store, &name(n % users), first + (n / users) as u8).await;
                took.push(began.elapsed().as_secs_f64());
            }
            took
        })
    };
    let alone = clients(3);
    tokio::time::sleep(Duration::from_secs(20)).await;
    ends.store(true, Ordering::Relaxed);
    println!("alone: {}", milliseconds(alone.await.unwrap()));
    ends.store(false, Ordering::Relaxed);
    let beside = clients(4);
    let began = Instant::now();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    store.snapshot_if_due(UnixTime::EPOCH).await.unwrap();
    say(root, "snapshot, and made anew", began.elapsed());
    ends.store(true, Ordering::Relaxed);
    println!("beside it: {}", milliseconds(beside.await.unwrap()));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
}

/// Makes sled anew in a process that has done nothing else.
fn anew(root: &Path) {
    println!("{COLUMNS}");
    let began = Instant::now();
    let mut opening = Opening::open(&root.join("sled"), SledOptions::default()).unwrap();
    opening.make_anew("a bench");
    opening.replay(Arc::new(HmacKey::new(b"log"))).unwrap().close().unwrap();
    say(root, "made anew", began.elapsed());
    std::fs::remove_dir_all(root.join("sled.aside")).unwrap();
}

/// F-24: a million touches of sessions, and accounts that come and go.
async fn growth(users: u64, rounds: u64) {
    let temp = place();
    let root = temp.path();
    println!("{COLUMNS}");
    let store = fill(root, users).await;
    let of = &store;
    store.snapshot().await.unwrap();
    say(root, "snapshot", Duration::ZERO);
    for round in 1..=rounds {
        let began = Instant::now();
        let touches = 10 * users;
        all(touches, |n| async move {
            let of_user = name(n % users);
            let touched = session(&of_user, (n / users % 2) as u8 + 1).session;
            let end = touched.expires_at.plus(Span::from_secs(60 * (round * touches + n)));
            of.prolong_session(touched.id, end, UnixTime::EPOCH).await.unwrap();
        })
        .await;
        say(root, &format!("{touches} touches of sessions, {round}"), began.elapsed());
        let began = Instant::now();
        let (first, many) = (10_000_000 * round, users);
        all(many, |n| async move {
            add_user(of, first + n).await;
            let gone = user(&name(first + n)).id;
            of.delete_user(gone.clone(), None, act(), Event::new(EventKind::UserDeleted).user(&gone)).await.unwrap();
        })
        .await;
        say(root, &format!("{many} users came and went, {round}"), began.elapsed());
        let began = Instant::now();
        // What the retention of the audit trail does.
        while store.remove_audit(UnixTime::from_secs(1 << 40), 1_000, act()).await.unwrap() > 0 {}
        say(root, "older audit records removed", began.elapsed());
        let began = Instant::now();
        store.snapshot().await.unwrap();
        say(root, "snapshot", began.elapsed());
        let began = Instant::now();
        store.snapshot_if_due(UnixTime::EPOCH).await.unwrap();
        say(root, "made anew, if outgrown", began.elapsed());
    }
    let counts = store.counts().await.unwrap();
    drop(store);
    let began = Instant::now();
    let store = open(root);
    say(root, "start", began.elapsed());
    assert_eq!(store.counts().await.unwrap().sessions, counts.sessions);
    println!("\n{counts:?}");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, default: u64| words.get(at).map_or(default, |n| n.replace('_', "").parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match words.first().map(String::as_str) {
        Some("writers") => runtime.block_on(writers()),
        Some("cost") => runtime.block_on(cost(number(1, 20_000))),
        Some("size") => runtime.block_on(sizes(number(1, 1_000_000))),
        Some("fill") => {
            let root = place().keep();
            println!("{COLUMNS}");
            runtime.block_on(async {
                let store = fill(&root, number(1, 1_000_000)).await;
                store.snapshot().await.unwrap();
            });
            println!("\n{}", root.display());
        }
        Some("start") => runtime.block_on(start(Path::new(&words[2]), number(1, 1_000_000))),
        Some("renew") => runtime.block_on(renew(Path::new(&words[2]), number(1, 1_000_000))),
        Some("anew") => anew(Path::new(&words[1])),
        Some("growth") => runtime.block_on(growth(number(1, 100_000), number(2, 5))),
        _ => println!(
            "one of: writers, cost [SIGN-INS], size [USERS], growth [USERS [ROUNDS]], fill [USERS], start USERS DIRECTORY, renew USERS DIRECTORY, anew DIRECTORY"
        ),
    }
}
