//! The master key: never made where there is data, never taken where it does not belong.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::PathBuf};

use tests::process::Host;

use crate::host;

/// The fingerprint that the audit trail of a running daemon has.
async fn fingerprint(host: &Host) -> String {
    let trail = host.ctl("audit list --event store.created -o json").await.ok().json();
    trail[0]["details"]["master_key"].as_str().unwrap().to_owned()
}

/// Makes a store and its key.
async fn store(host: &Host) -> (PathBuf, String) {
    let daemon = host.daemon().start().await;
    let fingerprint = fingerprint(host).await;
    daemon.stop().await.ok();
    (host.master_key(), fingerprint)
}

#[tokio::test]
async fn cr_02_a_key_that_others_can_read_exits_78_and_says_how_to_close_it() {
    let host = host!();
    let (key, _) = store(&host).await;
    for loose in [0o644, 0o640, 0o604] {
        std::fs::set_permissions(&key, Permissions::from_mode(loose)).unwrap();
        let refused = host.daemon().end().await;
        assert_eq!(refused.exit, 78, "{refused:?}");
        assert!(refused.err.contains(&format!("chmod 600 {}", key.display())), "{refused:?}");
    }
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    host.daemon().start().await.stop().await.ok();
}

#[tokio::test]
async fn another_key_exits_78_and_names_the_file_and_both_fingerprints() {
    let (host, elsewhere) = (host!(), host!());
    let (key, expected) = store(&host).await;
    let (other_key, other) = store(&elsewhere).await;
    assert_ne!(expected, other);
    let right = std::fs::read(&key).unwrap();
    std::fs::copy(&other_key, &key).unwrap();
    let refused = host.daemon().end().await;
    assert_eq!(refused.exit, 78, "{refused:?}");
    for part in [&key.display().to_string(), &expected, &other] {
        assert!(refused.err.contains(part.as_str()), "{part}: {refused:?}");
    }
    std::fs::write(&key, right).unwrap();
    host.daemon().start().await.stop().await.ok();
}

#[tokio::test]
async fn a_missing_key_on_a_store_with_data_exits_78_and_none_is_made() {
    let host = host!();
    let (key, expected) = store(&host).await;
    let away = host.path("away.key");
    std::fs::rename(&key, &away).unwrap();
    for _ in 0..2 {
        let refused = host.daemon().end().await;
        assert_eq!(refused.exit, 78, "{refused:?}");
        assert!(refused.err.contains(&expected) && refused.err.contains("fix: "), "{refused:?}");
        assert!(!key.exists());
    }
    std::fs::rename(&away, &key).unwrap();
    host.daemon().start().await.stop().await.ok();
}

/// `authd init` into the host's `etc`.
async fn init(host: &Host) -> tests::ctl::Outcome {
    host.authd().args(["init", "--public-url", "https://auth.example.com"]).flag("--dir", host.path("etc")).end().await
}

#[tokio::test]
async fn what_the_flags_of_authd_init_say_stands_in_the_configuration() {
    let host = host!();
    let init = host.authd().args(["init", "--listen", "127.0.0.1:0"]).flag("--dir", host.path("etc"));
    init.flag("--admin-socket", host.socket()).flag("--data-dir", host.data()).end().await.ok();
    let daemon = host.authd().flag("--config", host.path("etc/authd.toml")).start().await;
    assert_eq!(daemon.socket, host.socket());
    assert!(host.data().join("sled").is_dir());
    daemon.stop().await.ok();
    let wrong = host.authd().args(["init", "--listen", "8000"]).flag("--dir", host.path("other")).end().await;
    assert_eq!(wrong.exit, 78, "{wrong:?}");
    assert!(wrong.err.contains("--listen") && !host.path("other").exists(), "{wrong:?}");
}

#[tokio::test]
async fn production_without_a_key_exits_78_names_authd_init_and_makes_none() {
    let host = host!();
    let config = host.path("authd.toml");
    let key = host.path("master.key");
    let text =
        format!("[http]\npublic_url = \"https://auth.example.com\"\n[keys]\nmaster_key_file = \"{}\"\n", key.display());
    std::fs::write(&config, text).unwrap();
    for _ in 0..2 {
        let refused = host.bare_daemon().flag("--config", &config).flag("--data-dir", host.data()).end().await;
        assert_eq!(refused.exit, 78, "{refused:?}");
        assert!(refused.err.contains(&key.display().to_string()), "{refused:?}");
        assert!(refused.err.contains("fix: authd init"), "{refused:?}");
        assert!(!key.exists());
    }
}

#[tokio::test]
async fn what_authd_init_makes_is_enough_for_production_and_a_second_init_keeps_it() {
    let host = host!();
    let made = init(&host).await.ok();
    let (config, key) = (host.path("etc/authd.toml"), host.path("etc/master.key"));
    assert!(made.out.contains(&config.display().to_string()) && made.out.contains(&key.display().to_string()));
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let checked = host.authd().args(["config", "check"]).flag("--config", &config).end().await.ok();
    assert!(checked.out.contains("production"), "{checked:?}");

    let daemon = host.bare_daemon().flag("--config", &config).flag("--data-dir", host.data()).start().await;
    let status = host.ctl("status -o json").await.ok().json();
    assert_eq!(status["mode"], "production");
    assert_eq!(status["publicUrl"], "https://auth.example.com");
    // The public door answers by its public name only.
    assert_eq!(daemon.client().host("auth.example.com").get("/api/auth/ok").await.status, 200);
    assert_ne!(daemon.client().get("/api/auth/ok").await.status, 200);
    let end = daemon.stop().await.ok();
    assert_eq!(end.out, "", "the card is for developers");

    let before = [std::fs::read(&config).unwrap(), std::fs::read(&key).unwrap()];
    let kept = init(&host).await.ok();
    assert_eq!(kept.out.matches("kept").count(), 2, "{kept:?}");
    assert!(!kept.out.contains("made"), "{kept:?}");
    assert_eq!([std::fs::read(&config).unwrap(), std::fs::read(&key).unwrap()], before);
}

/// Kills a first start as soon as a file is there, and starts again. Nobody has to tidy up in between.
async fn killed_at(moment: &str) {
    let host = host!();
    for round in 0..8 {
        let (data, key) = (host.path(&format!("data{round}")), host.path(&format!("{round}.key")));
        let daemon = || {
            let command = host.bare_daemon().args(["--development"]).flag("--data-dir", &data);
            command.env("AUTHD_KEYS__MASTER_KEY_FILE", &key).env("AUTHD_TEST_CHEAP_HASHES", "1")
        };
        let file = match moment {
            "key" => key.clone(),
            "socket" => host.socket(),
            inside => data.join(inside),
        };
        let mut first = daemon().spawn().await;
        while !file.exists() && first.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        first.kill().await.unwrap();
        let second = daemon().try_start().await.unwrap_or_else(|end| panic!("round {round}: {end:#?}"));
        host.create_user(&format!("user{round}@example.com")).await.ok();
        let verified = host.ctl("audit verify").await;
        assert_eq!(verified.exit, 0, "{verified:?}");
        second.stop().await.ok();
    }
}

#[tokio::test]
async fn a_first_start_that_is_killed_when_it_takes_the_lock_is_no_obstacle() {
    killed_at("lock").await;
}

#[tokio::test]
async fn a_first_start_that_is_killed_when_it_makes_the_store_is_no_obstacle() {
    killed_at("sled/conf").await;
    killed_at("sled/db").await;
}

#[tokio::test]
async fn a_first_start_that_is_killed_when_it_makes_the_master_key_is_no_obstacle() {
    killed_at("key").await;
}

#[tokio::test]
async fn a_first_start_that_is_killed_when_it_opens_its_doors_is_no_obstacle() {
    killed_at("socket").await;
}
