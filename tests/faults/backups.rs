//! F-16: backups are made while several clients write, and each one is restored and compared with what was acknowledged before
//! it was begun; and damaged ones are refused, with the place named.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use authd::{
    backup::Opening,
    crypto::age::{Identity, Key},
};
use common::SecretString;
use serde_json::json;
use tests::{
    Dice,
    process::{Daemon, Host},
    size,
};
use tokio::{task::JoinSet, time::Instant};

/// How many clients write.
const WRITERS: usize = 8;

/// One of those who write: accounts by numbers, one after the other.
#[derive(Default)]
struct Writer {
    acknowledged: AtomicUsize,
}

fn address(writer: usize, number: usize) -> String {
    format!("w{writer}-{number}@example.com")
}

async fn write(daemon: &Daemon, of: usize, writer: Arc<Writer>, stop: Arc<AtomicBool>) {
    let client = daemon.admin();
    while !stop.load(Ordering::Relaxed) {
        let number = writer.acknowledged.load(Ordering::Relaxed);
        let made = client.post("/v1/users", &json!({"email": address(of, number)})).await;
        assert_eq!(made.status, 201, "{made:?}");
        writer.acknowledged.fetch_add(1, Ordering::Release);
    }
}

/// What is wrong with a restored store: of each writer it must have all up to some account, and no less than was acknowledged
/// when the backup began.
fn inconsistencies(found: &BTreeSet<String>, before: &[usize]) -> Vec<String> {
    let mut wrong = vec![];
    for (writer, acknowledged) in before.iter().enumerate() {
        let prefix = format!("w{writer}-");
        let count = found.iter().filter(|address| address.starts_with(&prefix)).count();
        if count < *acknowledged {
            wrong.push(format!("writer {writer}: {count} accounts, and {acknowledged} were acknowledged"));
        }
        wrong.extend(
            (0..count).map(|n| address(writer, n)).filter(|a| !found.contains(a)).map(|a| format!("{a} is missing")),
        );
    }
    wrong
}

#[derive(Default)]
struct Report {
    backups: usize,
    writes: usize,
    per_second: f64,
    bytes: u64,
    wrong: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backups, writes, per_second, bytes, wrong } = self;
        write!(
            f,
            "{backups} backups under {per_second:.0} writes/s ({writes} accounts; the last file has {bytes} bytes), {} inconsistent",
            wrong.len()
        )
    }
}

/// The addresses of a store that is restored from this file.
async fn restored(host: &Host, file: &Path, identity: &Path, place: PathBuf) -> BTreeSet<String> {
    let restore = host.authd().args(["restore"]).args([file]).flag("--data-dir", &place).flag("--identity", identity);
    restore.end().await.ok();
    let socket = host.path("restored.sock");
    let daemon =
        host.authd().args(["--listen", "127.0.0.1:0"]).flag("--data-dir", &place).flag("--admin-socket", &socket);
    let daemon = daemon.start().await;
    let listed =
        host.run(host.authctl_program()).flag("--socket", &socket).args(["user", "list", "--all", "--fields", "email"]);
    let listed = listed.args(["-o", "csv"]).end().await.ok().out;
    daemon.stop().await.ok();
    std::fs::remove_dir_all(place).unwrap();
    listed.lines().skip(1).map(str::to_owned).collect()
}

async fn identity(host: &Host) -> (PathBuf, String) {
    let identity = host.path("recovery.txt");
    let made = host.authd().args(["backup", "new-identity"]).args([&identity]).end().await.ok();
    (identity, made.out.trim().to_owned())
}

/// Each round on a store of its own: one that grows all the time would take longer and longer to restore.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_16_every_backup_under_load_is_of_one_moment() {
    for _ in 0..size(1, 20) {
        let Some(host) = Host::new() else { return };
        let report = round(host).await;
        eprintln!("{report}");
        assert!(report.wrong.is_empty(), "{:?}", report.wrong);
    }
}

async fn round(host: Host) -> Report {
    let (identity, recipient) = identity(&host).await;
    let daemon = Arc::new(host.daemon().env("AUTHD_BACKUP__RECIPIENTS", recipient).start().await);
    let writers: Vec<Arc<Writer>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let mut at_work = JoinSet::new();
    for (of, writer) in writers.iter().enumerate() {
        let (daemon, writer, stop) = (daemon.clone(), writer.clone(), stop.clone());
        at_work.spawn(async move { write(&daemon, of, writer, stop).await });
    }
    let mut report = Report::default();
    let mut made = vec![];
    let (began, all) =
        (Instant::now(), || writers.iter().map(|w| w.acknowledged.load(Ordering::Acquire)).collect::<Vec<_>>());
    for n in 0..5 {
        let before = all();
        let file = host.path(&format!("{n}.backup"));
        host.authctl().args(["--timeout", "60", "backup", "create"]).args([&file]).end().await.ok();
        made.push((file, before));
    }
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = at_work.join_next().await {
        ended.unwrap();
    }
    report.writes = all().iter().sum();
    #[allow(clippy::cast_precision_loss)]
    let writes = report.writes as f64;
    report.per_second = writes / took.as_secs_f64();
    assert!(all().iter().all(|writes| *writes > 0), "nobody wrote meanwhile");
    for (n, (file, before)) in made.into_iter().enumerate() {
        let found = restored(&host, &file, &identity, host.path(&format!("restored-{n}"))).await;
        report.bytes = file.metadata().unwrap().len();
        report.wrong.extend(inconsistencies(&found, &before).into_iter().map(|wrong| format!("backup {n}: {wrong}")));
        report.backups += 1;
    }
    Arc::into_inner(daemon).unwrap().stop().await.ok();
    report
}

/// The checker finds a backup that lacks what was acknowledged, and one with a hole in it.
#[test]
fn f_16_the_checker_finds_a_torn_backup() {
    let whole: BTreeSet<String> = (0..5).flat_map(|n| [address(0, n), address(1, n)]).collect();
    assert!(inconsistencies(&whole, &[5, 3]).is_empty());
    let mut late = whole.clone();
    late.remove(&address(0, 4));
    assert_eq!(inconsistencies(&late, &[5, 3]).len(), 1);
    let mut torn = whole.clone();
    torn.remove(&address(1, 2));
    assert!(!inconsistencies(&torn, &[5, 3]).is_empty());
}

/// What becomes of a file.
fn damaged(whole: &[u8], dice: &mut Dice) -> (Vec<u8>, usize, &'static str) {
    let at = dice.below(whole.len());
    match dice.below(4) {
        0 => (whole[..at].to_vec(), at, "cut off"),
        1 => ([&whole[..at], b"x", &whole[at..]].concat(), at, "a byte more"),
        2 => {
            let mut bytes = whole.to_vec();
            let len = (whole.len() - at).min(4096);
            bytes[at..at + len].fill(0);
            (bytes, at, "a block of zeros")
        }
        _ => {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << dice.below(8);
            (bytes, at, "a flipped bit")
        }
    }
}

/// The range that a refusal names: `between offset 10 and 20`, `offset 0 to 20`.
fn named(refusal: &str) -> Option<(usize, usize)> {
    let (_, place) = refusal.rsplit_once("offset ")?;
    let mut numbers = place.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[tokio::test]
async fn f_16_every_damaged_backup_is_refused_with_its_place() {
    let Some(host) = Host::new() else { return };
    let (path, recipient) = identity(&host).await;
    let daemon = host.daemon().env("AUTHD_BACKUP__RECIPIENTS", recipient).start().await;
    let client = daemon.admin();
    for n in 0..2000 {
        assert_eq!(client.post("/v1/users", &json!({"email": address(0, n)})).await.status, 201);
    }
    let file = host.path("whole.backup");
    host.authctl().args(["--timeout", "60", "backup", "create"]).args([&file]).end().await.ok();
    daemon.stop().await.ok();
    let identity = Identity::parse(&SecretString::from(std::fs::read_to_string(path).unwrap())).unwrap();
    let read = |bytes: Vec<u8>| {
        let opened = Opening::open(std::io::Cursor::new(bytes), &file, &Key::Identity(&identity));
        opened.and_then(Opening::verify)
    };
    let whole = std::fs::read(&file).unwrap();
    assert_eq!(read(whole.clone()).unwrap().users, 2000, "the whole one is taken");
    let seed = Dice::seed();
    let mut dice = Dice::new(seed);
    let (mut refused, mut chunks) = (0, BTreeSet::new());
    for _ in 0..size(60, 300) {
        let (bytes, at, what) = damaged(&whole, &mut dice);
        if bytes == whole {
            continue;
        }
        let refusal = read(bytes).expect_err(what).to_string();
        match named(&refusal) {
            Some((from, to)) => {
                assert!(from <= at && at <= to, "{what} at {at}: {refusal} (AUTHD_TEST_SEED={seed})");
                chunks.insert(from);
            }
            None => assert!(
                at < 22 && refusal.contains("not a backup"),
                "{what} at {at}: {refusal} (AUTHD_TEST_SEED={seed})"
            ),
        }
        refused += 1;
    }
    eprintln!(
        "{refused} damaged backups of {} bytes, all refused, at {} places (AUTHD_TEST_SEED={seed})",
        whole.len(),
        chunks.len()
    );
    assert!(refused > 0 && chunks.len() > 1);
}
