//! Parts of the daemon that fail, and a disk that fills up: what was acknowledged is there afterwards (LG-05, F-04).

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tests::{Client, Dice, PASSWORD, shared, size};

use super::host;

async fn sign_up(client: &Client, n: usize) -> (u16, String) {
    let body = json!({"email": format!("user{n}@example.com"), "password": PASSWORD});
    match client
        .try_send(http::Method::POST, "/api/auth/signup", Some("application/json"), body.to_string().into())
        .await
    {
        Ok(answer) => (answer.status, answer.code()),
        // It has ended, and says nothing any more.
        Err(_) => (0, String::new()),
    }
}

async fn signs_in(client: &Client, n: usize) -> bool {
    let body = json!({"email": format!("user{n}@example.com"), "password": PASSWORD});
    client.post("/api/auth/login", &body).await.status == 200
}

#[tokio::test]
async fn lg_05_a_panic_in_the_stores_writer_ends_the_daemon_and_loses_nothing_that_was_acknowledged() {
    let host = host!();
    let daemon = || host.daemon().env("AUTHD_TEST_CHEAP_HASHES", "1");
    let broken = daemon().env("AUTHD_TEST_FAULT", "panic-in-writer").start().await;
    let client = broken.client();
    let mut acknowledged = vec![];
    let refusal = loop {
        let n = acknowledged.len();
        assert!(n < 20, "the fault was not met");
        match sign_up(&client, n).await {
            (201, _) => acknowledged.push(n),
            other => break other,
        }
    };
    assert!(matches!((refusal.0, refusal.1.as_str()), (503, "STORE_UNAVAILABLE") | (0, "")), "{refusal:?}");
    let ended = broken.wait().await;
    assert_eq!(ended.exit, 74, "{ended:?}");
    assert!(ended.err.contains("the store has stopped taking changes"), "{ended:?}");
    let panics: Vec<&str> = ended.err.lines().filter(|line| line.contains("panicked: a fault on purpose")).collect();
    assert_eq!(panics.len(), 1, "{ended:?}");
    assert!(acknowledged.len() > 2, "{acknowledged:?}");

    let whole = daemon().start().await;
    for n in acknowledged {
        assert!(signs_in(&whole.client(), n).await, "user{n}");
    }
    whole.stop().await;
}

/// A small file system of its own, as long as this lives.
pub(crate) struct Small(PathBuf);

impl Small {
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m,mode=0700", "none"]).arg(at).output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.into()));
        }
        shared::skipped("root, to mount a small file system");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test]
async fn f_04_a_full_disk_refuses_changes_only_and_space_that_comes_back_is_enough() {
    let host = host!();
    let Some(_small) = Small::mount(&host.data()) else { return };
    let daemon = || host.daemon().env("AUTHD_TEST_CHEAP_HASHES", "1").env("AUTHD_STORE__RESERVE", "64MiB");
    let running = daemon().start().await;
    let client = running.client();
    assert_eq!(sign_up(&client, 0).await.0, 201);
    let body = json!({"email": "user0@example.com", "password": PASSWORD});
    let token = client.post("/api/auth/login", &body).await.text("/access_token");
    let me = async || client.clone().bearer(&token).get("/api/auth/me").await.status;
    let (seed, rounds, mut refused) = (Dice::seed(), size(3, 100), 0);
    let mut dice = Dice::new(seed);
    for round in 1..=rounds {
        let filler = host.data().join("filler");
        // Nothing of it is left to the reserve.
        nix::fcntl::posix_fallocate(File::create(&filler).unwrap(), 0, 40 << 20).unwrap();
        for _ in 0..=dice.below(5) {
            assert_eq!(sign_up(&client, round).await, (503, "STORE_UNAVAILABLE".into()));
            assert_eq!(me().await, 200, "reading goes on");
            refused += 1;
        }
        std::fs::remove_file(&filler).unwrap();
        assert_eq!(sign_up(&client, round).await.0, 201, "there is space again");
        assert_eq!(me().await, 200);
    }
    assert_eq!(running.stop().await.exit, 0);
    let again = daemon().start().await;
    for n in 0..=rounds {
        assert!(signs_in(&again.client(), n).await, "user{n}");
    }
    again.stop().await;
    eprintln!(
        "{rounds} times full: {refused} changes refused, reading went on, {rounds} changes taken at once when there was space, \
         0 lost (AUTHD_TEST_SEED={seed})"
    );
}
