//! Starting and stopping over and over (F-14), kills in a migration and while the store is made anew, and stores of a newer
//! authd (F-15).
//!
//! `AUTHD_TEST_LONG=1` makes it 300 restarts and 100 kills; `AUTHD_TEST_SEED` repeats one run.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use serde_json::json;
use tests::{
    Client, PASSWORD,
    process::{Host, Run},
};

use crate::{host, kill_loop::dice::Dice};

fn many(short: usize, long: usize) -> usize {
    if std::env::var("AUTHD_TEST_LONG").is_ok_and(|wanted| wanted == "1") { long } else { short }
}

async fn sign_up(client: &Client, n: usize) -> Option<u16> {
    let body = json!({"email": format!("user{n}@example.com"), "password": PASSWORD});
    let kind = Some("application/json");
    let answer = client.try_send(http::Method::POST, "/api/auth/signup", kind, body.to_string().into()).await;
    answer.ok().map(|answer| answer.status)
}

/// Everything below a directory, but for sockets.
fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else if path.is_file() {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn f_14_restarts_lose_nothing_and_leave_alone_what_is_not_authds() {
    let host = host!();
    let cycles = many(12, 300);
    fs::create_dir_all(host.data()).unwrap();
    let mode = PermissionsExt::from_mode(0o700);
    fs::set_permissions(host.data(), mode).unwrap();
    let foreign = [host.data().join("README"), host.socket().with_file_name("other.sock"), host.path("elsewhere")];
    for path in &foreign {
        fs::write(path, b"not authd's").unwrap();
    }
    let mut acknowledged = vec![];
    for cycle in 0..cycles {
        let daemon = host.daemon().start().await;
        let client = daemon.client();
        assert_eq!(sign_up(&client, 2 * cycle).await, Some(201));
        acknowledged.push(2 * cycle);
        // One is on its way when it is told to stop: it is answered, or it never was.
        let signal = [Signal::SIGTERM, Signal::SIGINT][cycle % 2];
        let (answer, ()) = tokio::join!(sign_up(&client, 2 * cycle + 1), async {
            tokio::task::yield_now().await;
            daemon.signal(signal);
        });
        match answer {
            Some(201) => acknowledged.push(2 * cycle + 1),
            Some(status) => assert_eq!(status, 503),
            None => {}
        }
        let ended = daemon.wait().await;
        assert_eq!(ended.exit, 0, "cycle {cycle}: {ended:?}");
        assert!(!host.socket().exists(), "cycle {cycle}: its socket is left");
    }
    let daemon = host.daemon().start().await;
    let listed = host.ctl("user list --all -o csv --fields email").await.ok().out;
    for n in &acknowledged {
        assert!(listed.lines().any(|line| line == format!("user{n}@example.com")), "user{n} is gone");
    }
    daemon.stop().await.ok();
    for path in &foreign {
        assert_eq!(fs::read(path).unwrap(), b"not authd's", "{}", path.display());
    }
    eprintln!("{cycles} restarts, {} acts acknowledged, 0 lost", acknowledged.len());
}

/// The authd that comes after this one.
fn newer(host: &Host) -> Run {
    host.daemon().env("AUTHD_TEST_FAULT", "next-format")
}

/// Everything in a directory but who holds the lock.
fn but_the_lock(host: &Host) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = tree(&host.data());
    found.remove(&host.data().join("lock"));
    found
}

#[tokio::test]
async fn f_15_a_kill_in_a_migration_leaves_the_one_format_or_the_other_and_the_older_authd_changes_nothing() {
    let host = host!();
    let kills = many(20, 100);
    let seed = Dice::seed();
    eprintln!("AUTHD_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let daemon = host.daemon().start().await;
    for n in 0..40 {
        assert_eq!(sign_up(&daemon.client(), n).await, Some(201));
    }
    host.ctl("store snapshot").await.ok();
    assert_eq!(sign_up(&daemon.client(), 40).await, Some(201));
    daemon.stop().await.ok();
    let before = tree(&host.data());
    let (mut migrated, mut in_the_middle) = (0, 0);
    for kill in 0..kills {
        fs::remove_dir_all(host.data()).unwrap();
        for (path, bytes) in &before {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
            fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        }
        for dir in [host.data(), host.data().join("log"), host.data().join("sled")] {
            fs::set_permissions(dir, PermissionsExt::from_mode(0o700)).unwrap();
        }
        let mut child = newer(&host).args(["store", "migrate"]).spawn().await;
        let (unfinished, kept) = (host.data().join("before-format-2.unfinished"), host.data().join("before-format-2"));
        let late = kill % 2 == 1;
        while !kept.exists() && (late || !unfinished.exists()) && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        for _ in 0..dice.below(2000) {
            std::thread::yield_now();
        }
        child.kill().await.unwrap();
        in_the_middle += usize::from(unfinished.exists() || kept.exists());
        let after = but_the_lock(&host);
        let older = host.daemon().args(["store", "verify"]).end().await;
        match older.exit {
            0 => {}
            78 => {
                migrated += 1;
                assert!(older.err.contains("format 2, and this authd knows up to 1"), "{older:?}");
                assert!(older.err.contains("before-format-2"), "it says how to go back: {older:?}");
                assert!(after == but_the_lock(&host), "the older authd changed something");
                // What was kept is the whole of what was there.
                for (path, bytes) in before.iter().filter(|(path, _)| path.starts_with(host.data().join("log"))) {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    if name != "open-since" {
                        assert!(fs::read(kept.join("log").join(name)).unwrap() == *bytes, "{name} was not kept");
                    }
                }
            }
            _ => panic!("kill {kill}, AUTHD_TEST_SEED={seed}: {older:?}"),
        }
        let whole = newer(&host).args(["store", "verify"]).end().await;
        assert_eq!(whole.exit, 0, "kill {kill}, AUTHD_TEST_SEED={seed}: {whole:?}");
    }
    assert!(in_the_middle > 0, "none was in the middle of it");
    newer(&host).args(["store", "migrate"]).end().await.ok();
    let daemon = newer(&host).start().await;
    assert_eq!(host.ctl("user list --all -o id").await.ok().out.lines().count(), 41);
    daemon.stop().await.ok();
    eprintln!(
        "{kills} kills, {in_the_middle} of them in the middle, {migrated} with the new format, all or nothing (AUTHD_TEST_SEED={seed})"
    );
}

#[tokio::test]
async fn f_15_a_start_migrates_and_keeps_the_store_for_the_authd_before() {
    let host = host!();
    made(&host).await;
    let nothing = host.daemon().args(["store", "migrate"]).end().await.ok();
    assert!(nothing.out.contains("there is nothing to do"), "{nothing:?}");
    let before = but_the_lock(&host);
    let check = newer(&host).args(["store", "migrate", "--check"]).end().await.ok();
    assert!(check.out.contains("has format 1, and this authd writes 2; all of it can be read"), "{check:?}");
    let log = |tree: &BTreeMap<PathBuf, Vec<u8>>| -> Vec<_> {
        tree.iter()
            .filter(|(path, _)| path.starts_with(host.data().join("log")))
            .map(|(p, b)| (p.clone(), b.clone()))
            .collect()
    };
    assert!(log(&before) == log(&but_the_lock(&host)), "a check changes nothing");

    let daemon = newer(&host).start().await;
    assert!(daemon.log().contains("the store has another format now"), "{}", daemon.log());
    host.create_user("bob@example.com").await.ok();
    daemon.stop().await.ok();
    let daemon = newer(&host).start().await;
    assert!(!daemon.log().contains("another format"), "once is enough: {}", daemon.log());
    let status = host.ctl("status").await.ok();
    assert!(status.err.contains("before-format-2"), "that it is there is said: {status:?}");
    daemon.stop().await.ok();

    assert_eq!(host.daemon().try_start().await.err().unwrap().exit, 78);
    for name in ["log", "sled"] {
        fs::rename(host.data().join(name), host.path(name)).unwrap();
    }
    fs::rename(host.data().join("before-format-2/log"), host.data().join("log")).unwrap();
    let daemon = host.daemon().start().await;
    let users = host.ctl("user list -o csv --fields email").await.ok().out;
    assert!(users.contains("ada@example.com") && !users.contains("bob@example.com"), "{users}");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn f_15_a_snapshot_of_a_newer_authd_is_refused_with_both_formats() {
    let host = host!();
    let daemon = newer(&host).start().await;
    host.create_user("ada@example.com").await.ok();
    host.ctl("store snapshot").await.ok();
    daemon.stop().await.ok();
    let snapshot = || {
        let files = fs::read_dir(host.data().join("log")).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|e| e == "snapshot")).max().unwrap()
    };
    assert_eq!(fs::read(snapshot()).unwrap()[8..12], [0, 0, 0, 2], "the number behind the first eight bytes");

    // Where the snapshot alone is newer.
    fs::remove_dir_all(host.data()).unwrap();
    made(&host).await;
    let daemon = host.daemon().start().await;
    host.ctl("store snapshot").await.ok();
    daemon.stop().await.ok();
    let path = snapshot();
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[8..12], [0, 0, 0, 1]);
    bytes[11] = 2;
    fs::write(&path, bytes).unwrap();
    let before = but_the_lock(&host);
    let refused = host.daemon().try_start().await.err().unwrap();
    assert!(
        refused.exit == 78 && refused.err.contains(".snapshot has format 2, and this authd knows up to 1"),
        "{refused:?}"
    );
    assert!(before == but_the_lock(&host), "something was changed");
}

/// Making the store anew is what changes all of it at once.
#[tokio::test]
async fn f_15_a_kill_while_the_store_is_made_anew_leaves_all_or_nothing() {
    let host = host!();
    let kills = many(10, 100);
    let seed = Dice::seed();
    eprintln!("AUTHD_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let daemon = host.daemon().start().await;
    for n in 0..60 {
        assert_eq!(sign_up(&daemon.client(), n).await, Some(201));
    }
    host.ctl("store snapshot").await.ok();
    assert_eq!(sign_up(&daemon.client(), 60).await, Some(201));
    daemon.stop().await.ok();
    let mut in_the_middle = 0;
    for kill in 0..kills {
        let what = ["rebuild", "compact"][dice.below(2)];
        let mut child = host.daemon().args(["store", what]).spawn().await;
        // Until it has begun, and a little more.
        let (unfinished, aside) = (host.data().join("sled.unfinished"), host.data().join("sled.aside"));
        let _ = fs::remove_dir_all(&aside);
        while !unfinished.exists() && !aside.exists() && child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        for _ in 0..dice.below(400) {
            tokio::task::yield_now().await;
        }
        child.kill().await.unwrap();
        in_the_middle += usize::from(unfinished.exists());
        let verified = host.daemon().args(["store", "verify"]).end().await;
        assert_eq!(verified.exit, 0, "kill {kill}, {what}, AUTHD_TEST_SEED={seed}: {verified:?}");
    }
    assert!(in_the_middle > 0, "none was in the middle of it");
    let daemon = host.daemon().start().await;
    assert_eq!(host.ctl("user list --all -o id").await.ok().out.lines().count(), 61);
    daemon.stop().await.ok();
    eprintln!("{kills} kills, {in_the_middle} of them in the middle, all or nothing (AUTHD_TEST_SEED={seed})");
}

async fn made(host: &Host) {
    let daemon = host.daemon().start().await;
    host.create_user("ada@example.com").await.ok();
    daemon.stop().await.ok();
}

#[tokio::test]
async fn f_15_a_store_of_a_newer_authd_is_refused_and_not_a_byte_of_it_is_changed() {
    let host = host!();
    made(&host).await;
    let log = fs::read_dir(host.data().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let segment = log.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // The form of a segment is the number behind the first eight bytes.
    assert_eq!(bytes[8..12], [0, 0, 0, 1]);
    bytes[11] = 2;
    fs::write(&segment, bytes).unwrap();
    let mut before = tree(&host.data());
    let refused = host.daemon().try_start().await.err().unwrap();
    assert_eq!(refused.exit, 78, "{refused:?}");
    assert!(refused.err.contains("format 2, and this authd knows up to 1"), "{refused:?}");
    for what in ["verify", "rebuild", "compact"] {
        let refused = host.daemon().args(["store", what]).end().await;
        assert_eq!(refused.exit, 78, "{refused:?}");
    }
    let mut after = tree(&host.data());
    // Who holds the lock.
    let lock = host.data().join("lock");
    assert!(before.remove(&lock).is_some() && after.remove(&lock).is_some());
    assert!(before == after, "something was changed");
}
