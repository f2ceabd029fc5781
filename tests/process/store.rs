//! `authd store …` and `authctl store …`: what an operator does with the store's files.

use std::{fs, os::unix::fs::DirBuilderExt, path::PathBuf};

use tests::{
    ctl::Outcome,
    process::{Host, Run},
};

use crate::host;

fn store(host: &Host, what: &str) -> Run {
    host.daemon().args(["store", what])
}

/// A stopped store with accounts before and after a snapshot.
async fn filled(host: &Host) {
    let daemon = host.daemon().start().await;
    host.create_user("ada@example.com").await.ok();
    host.ctl("store snapshot").await.ok();
    host.create_user("bob@example.com").await.ok();
    daemon.stop().await.ok();
}

async fn users(host: &Host) -> usize {
    let daemon = host.daemon().start().await;
    let found = host.ctl("user list -o id").await.ok().out.lines().count();
    daemon.stop().await.ok();
    found
}

fn only(host: &Host, extension: &str) -> PathBuf {
    let entries = fs::read_dir(host.data().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut found = entries.filter(|path| path.extension().is_some_and(|e| e == extension));
    let one = found.next().unwrap();
    assert_eq!(found.next(), None);
    one
}

fn failed(outcome: &Outcome, exit: u8, words: &[&str]) {
    assert_eq!(outcome.exit, exit, "{outcome:?}");
    for word in words {
        assert!(outcome.err.contains(word), "{word}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_snapshot_is_made_on_demand_and_once() {
    let host = host!();
    let daemon = host.daemon().start().await;
    let status = host.ctl("status -o json").await.ok().json();
    assert_eq!(status["store"]["snapshot"], serde_json::Value::Null);
    host.create_user("ada@example.com").await.ok();
    let made = host.ctl("store snapshot -o json").await.ok().json();
    assert_eq!(made["made"], true);
    assert_eq!(made["store"]["snapshot"]["sequence"], made["store"]["sequence"]);
    assert!(host.ctl("store snapshot").await.ok().err.contains("nothing is new"));
    let status = host.ctl("status").await.ok();
    assert!(status.out.contains("snapshot") && !status.out.contains("none yet"), "{status:?}");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn a_store_is_verified_rebuilt_and_compacted_while_nobody_has_it() {
    let host = host!();
    filled(&host).await;
    let verified = store(&host, "verify").end().await.ok();
    for word in ["snapshot    whole", "commit log  whole", "sled        as the commit log says"] {
        assert!(verified.out.contains(word), "{verified:?}");
    }
    store(&host, "rebuild").end().await.ok();
    assert!(host.data().join("sled.aside").is_dir());
    assert_eq!(users(&host).await, 2);
    let compacted = store(&host, "compact").end().await.ok();
    assert!(compacted.out.contains(" and takes "), "{compacted:?}");
    assert!(!host.data().join("sled.aside").exists());
    assert_eq!(users(&host).await, 2);
    store(&host, "verify").end().await.ok();
}

#[tokio::test]
async fn a_damaged_sled_is_named_and_made_anew_and_a_damaged_snapshot_is_named() {
    let host = host!();
    filled(&host).await;
    let db = host.data().join("sled/db");
    let whole = fs::read(&db).unwrap();
    fs::write(&db, &whole[..whole.len() / 3]).unwrap();
    failed(&store(&host, "verify").end().await, 74, &["sled        wrong", "authd store rebuild"]);
    // It starts all the same, with everything.
    let daemon = host.daemon().start().await;
    assert_eq!(host.ctl("user list -o id").await.ok().out.lines().count(), 2);
    assert!(daemon.log().contains("made anew from its commit log"), "{}", daemon.log());
    daemon.stop().await.ok();
    store(&host, "verify").end().await.ok();

    let snapshot = only(&host, "snapshot");
    let mut bytes = fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&snapshot, bytes).unwrap();
    let named = snapshot.file_name().unwrap().to_str().unwrap();
    failed(&store(&host, "verify").end().await, 74, &[named, "offset"]);
    failed(&store(&host, "rebuild").end().await, 74, &[named, "nothing was changed"]);
    // sled is as good as before; that no snapshot can be made is said.
    let daemon = host.daemon().start().await;
    assert_eq!(host.ctl("user list -o id").await.ok().out.lines().count(), 2);
    assert_ne!(host.ctl("store snapshot").await.exit, 0);
    let status = host.ctl("status").await.ok();
    assert!(status.err.contains("the last snapshot of the store failed") && status.err.contains(named), "{status:?}");
    daemon.stop().await.ok();

    // And there is a way out, for who asks for it in so many words; also where the damage lets nothing be opened.
    failed(&store(&host, "snapshot").end().await, 78, &["--unverified", "restore a backup"]);
    for damage in [None, Some(vec![]), Some(b"authdsnp".to_vec())] {
        if let Some(header) = damage {
            fs::write(only(&host, "snapshot"), header).unwrap();
            failed(&host.daemon().end().await, 74, &["snapshot", "--unverified"]);
        }
        let saved = store(&host, "snapshot").args(["--unverified"]).end().await.ok();
        assert!(saved.out.contains("a snapshot of sled was made, unverified: sequence"), "{saved:?}");
        only(&host, "snapshot");
        store(&host, "verify").end().await.ok();
        store(&host, "rebuild").end().await.ok();
        assert_eq!(users(&host).await, 2);
    }
}

/// What lacks in the log is in no snapshot either: making sled anew would lose it, and is neither advised nor done.
#[tokio::test]
async fn a_log_that_is_older_than_sled_asks_for_a_backup_and_nothing_is_made_anew() {
    let host = host!();
    filled(&host).await;
    let log = host.data().join("log");
    let older: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let daemon = host.daemon().start().await;
    host.create_user("eve@example.com").await.ok();
    daemon.stop().await.ok();
    fs::remove_dir_all(&log).unwrap();
    fs::DirBuilder::new().mode(0o700).create(&log).unwrap();
    for (path, bytes) in older {
        fs::write(path, bytes).unwrap();
    }
    let verified = store(&host, "verify").end().await;
    failed(&verified, 74, &["sled        wrong", "restore a backup; nothing was changed"]);
    assert!(!verified.err.contains("authd store rebuild"), "{verified:?}");
    failed(&store(&host, "rebuild").end().await, 74, &["restore a backup"]);
    failed(&host.daemon().end().await, 74, &["restore a backup"]);
}

#[tokio::test]
async fn op_04_the_store_of_a_running_daemon_and_a_place_without_one_are_left_alone() {
    let host = host!();
    for what in ["verify", "rebuild", "compact", "snapshot"] {
        let command = if what == "snapshot" { store(&host, what).args(["--unverified"]) } else { store(&host, what) };
        failed(&command.end().await, 74, &["there is no store in"]);
    }
    assert!(!host.data().exists(), "none was made");
    let daemon = host.daemon().start().await;
    for what in ["verify", "rebuild", "compact"] {
        failed(&store(&host, what).end().await, 75, &["another authd"]);
    }
    daemon.stop().await.ok();
}

/// Root is not told to make the files its own: the daemon could not read them afterwards.
#[tokio::test]
async fn root_is_told_to_run_it_as_the_one_whose_the_files_are() {
    let host = host!();
    if !nix::unistd::geteuid().is_root() {
        tests::shared::skipped("needs root");
        return;
    }
    filled(&host).await;
    std::os::unix::fs::chown(host.data(), Some(65534), Some(65534)).unwrap();
    let refused = store(&host, "verify").end().await;
    failed(&refused, 78, &["belongs to uid 65534", "setpriv --reuid=65534 --regid=65534"]);
    assert!(!refused.err.contains("chown"), "{refused:?}");
}
