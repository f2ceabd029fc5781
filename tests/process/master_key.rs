//! The master key: never made where there is data, never taken where it does not belong.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::PathBuf};

use authd::{clock::SystemClock, ports::Clock};
use base64::{Engine, engine::general_purpose::STANDARD};
use common::Span;
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
async fn cr_02_a_key_that_is_no_plain_file_or_that_somebody_typed_exits_78() {
    let host = host!();
    let (key, _) = store(&host).await;
    let good = std::fs::read_to_string(&key).unwrap();
    let refused = async |why: &str| {
        let refused = host.daemon().end().await;
        assert_eq!(refused.exit, 78, "{why}: {refused:?}");
        let said = refused.err.contains(&key.display().to_string()) && refused.err.contains(why);
        assert!(said, "{why}: {refused:?}");
        std::fs::remove_file(&key).unwrap();
    };
    let write = |content: &str| {
        std::fs::write(&key, content).unwrap();
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    };
    let elsewhere = host.path("elsewhere.key");
    std::fs::rename(&key, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &key).unwrap();
    refused("symbolic link").await;
    nix::unistd::mkfifo(&key, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    refused("not a plain file").await;
    let typed = STANDARD.encode(b"correct horse battery staple now");
    for (content, why) in [
        (format!("authd-master-key-1:{}\n", STANDARD.encode([0; 32])), "not an authd master key"),
        (format!("authd-master-key-1:{typed}\n"), "not an authd master key"),
        (format!("{good}\n"), "not an authd master key"),
        (good.replace("authd-master-key-1:", ""), "not an authd master key"),
        (String::new(), "not an authd master key"),
    ] {
        write(&content);
        refused(why).await;
    }
    write(&good);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&key, Some(4242), None).unwrap();
        refused("uid 4242").await;
        write(&good);
    }
    host.daemon().start().await.stop().await.ok();
}

#[tokio::test]
async fn cr_01_a_key_in_the_data_directory_exits_78_by_whatever_name() {
    let host = host!();
    let (key, _) = store(&host).await;
    let inside = host.data().join("master.key");
    std::fs::rename(&key, &inside).unwrap();
    std::os::unix::fs::symlink(host.data(), host.path("alias")).unwrap();
    for name in [inside, host.path("alias/master.key"), host.path("home/../data/master.key")] {
        let refused = host.daemon().env("AUTHD_KEYS__MASTER_KEY_FILE", &name).end().await;
        assert_eq!(refused.exit, 78, "{name:?}: {refused:?}");
        assert!(refused.err.contains("lies in the data directory"), "{name:?}: {refused:?}");
    }
}

#[tokio::test]
async fn op_01_a_weak_secret_of_the_server_before_or_half_of_its_settings_exits_78() {
    let host = host!();
    let file = host.path("legacy.secret");
    std::fs::write(&file, "better-auth-secret-12345678901234567890").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let (secret, until) = ("AUTHD_SESSION__LEGACY_SECRET_FILE", "AUTHD_SESSION__LEGACY_SECRET_UNTIL");
    let soon = SystemClock::default().now().plus(Span::from_days(30)).to_string();
    let far = SystemClock::default().now().plus(Span::from_days(91)).to_string();
    for (daemon, said) in [
        (host.daemon().env(secret, &file).env(until, &soon), "it is publicly known"),
        (host.daemon().env(secret, host.path("none")).env(until, &soon), "is not there"),
        (host.daemon().env(secret, &file), "session.legacy_secret_until"),
        (host.daemon().env(until, &soon), "session.legacy_secret_file"),
        (host.daemon().env(secret, &file).env(until, "soon"), "session.legacy_secret_until"),
        (host.daemon().env(secret, "legacy.secret").env(until, &soon), "session.legacy_secret_file"),
        (host.daemon().env(secret, host.data().join("s")).env(until, &soon), "session.legacy_secret_file"),
    ] {
        let refused = daemon.end().await;
        assert_eq!(refused.exit, 78, "{said}: {refused:?}");
        assert!(refused.err.contains(said), "{said}: {refused:?}");
        assert!(!refused.err.contains("12345678901234567890"), "{refused:?}");
    }
    assert!(!host.data().exists());
    // The deadline is judged by the time on record: a store is opened for it.
    let good = host.path("good.secret");
    std::fs::write(&good, "kP4xV9sQ2mT7wZ1cR6nB8yL3hF5jD0gA").unwrap();
    std::fs::set_permissions(&good, Permissions::from_mode(0o600)).unwrap();
    let refused = host.daemon().env(secret, &good).env(until, &far).end().await;
    assert!(refused.exit == 78 && refused.err.contains("90d"), "{refused:?}");
    let check = host.authd().args(["config", "check", "--development"]).env(secret, &file).env(until, &far).end().await;
    assert_eq!(check.exit, 78, "{check:?}");
    // systemd hands it over.
    let credentials = host.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let credential = credentials.join("authd.legacy-secret");
    std::fs::write(&credential, "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=\n").unwrap();
    std::fs::set_permissions(&credential, Permissions::from_mode(0o440)).unwrap();
    let daemon = host.daemon().env("CREDENTIALS_DIRECTORY", &credentials).env(until, &soon).start().await;
    assert!(host.ctl("status -o json").await.ok().out.contains("are taken until"));
    daemon.stop().await.ok();
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

#[tokio::test]
async fn in_production_a_daemon_of_root_says_that_it_need_not_be() {
    let host = host!();
    init(&host).await.ok();
    let said = "authd runs as root";
    let in_status = async |host: &Host| {
        let status = host.ctl("status -o json").await.ok().json();
        status["notes"].as_array().unwrap().iter().filter(|note| note.as_str().unwrap().starts_with(said)).count()
    };
    let config = host.path("etc/authd.toml");
    let mut daemon = host.bare_daemon().flag("--config", &config).flag("--data-dir", host.data()).start().await;
    let expected = usize::from(nix::unistd::geteuid().is_root());
    assert_eq!((daemon.log().matches(said).count(), in_status(&host).await), (expected, expected), "{}", daemon.log());
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    daemon.logs("the configuration was read again").await;
    assert_eq!(in_status(&host).await, expected);
    daemon.stop().await.ok();
    // Whoever tries authd out in a container or on a machine of their own is not bothered.
    let host = host!();
    let daemon = host.daemon().start().await;
    assert!(!daemon.log().contains(said) && in_status(&host).await == 0, "{}", daemon.log());
    daemon.stop().await.ok();
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
