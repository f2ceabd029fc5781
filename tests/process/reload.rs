//! SIGHUP: a changed configuration in a running daemon.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::{
    PASSWORD,
    process::{Daemon, Host, LIMIT},
};
use tokio::{net::UnixDatagram, time::timeout};

use crate::host;

/// A host with what `authd init` makes, and a configuration file of the test's own.
struct Service {
    host: Host,
    file: PathBuf,
}

const READ: &str = "the configuration was read again";

impl Service {
    async fn new(host: Host) -> Self {
        host.authd().args(["init"]).flag("--dir", host.path("etc")).end().await.ok();
        let file = host.path("etc/authd.toml");
        Self { host, file }
    }

    /// Writes the configuration: `[http]` with what is given, and everything after it.
    fn write(&self, more: &str) {
        let key = self.host.path("etc/master.key");
        let head = "[http]\npublic_url = \"https://auth.example.com\"\n";
        std::fs::write(&self.file, format!("{head}{more}\n[keys]\nmaster_key_file = \"{}\"\n", key.display())).unwrap();
    }

    async fn start(&self) -> Daemon {
        let daemon = self.host.bare_daemon().flag("--config", &self.file).flag("--data-dir", self.host.data());
        daemon.env("AUTHD_TEST_CHEAP_HASHES", "1").start().await
    }

    /// SIGHUP, and what `status` says once it was read.
    async fn reload(&self, daemon: &mut Daemon, more: &str) -> Value {
        self.write(more);
        let times = |log: &str| log.matches(READ).count();
        let before = times(&daemon.log());
        daemon.signal(Signal::SIGHUP);
        daemon.logs_that(|log| times(log) > before).await;
        self.host.ctl("status -o json").await.ok().json()
    }
}

async fn sign_up(daemon: &Daemon, name: &str) -> (u16, String) {
    let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD, "name": "Ada"});
    let answer = daemon.client().host("auth.example.com").post("/api/auth/signup", &body).await;
    (answer.status, answer.code())
}

#[tokio::test]
async fn what_can_be_applied_is_what_cannot_is_named_and_both_are_on_record() {
    let service = Service::new(host!()).await;
    service.write("");
    let mut daemon = service.start().await;
    assert_eq!(sign_up(&daemon, "ada").await.0, 201);
    let started = service.host.ctl("status -o json").await.ok().json();
    assert_eq!(started["needsRestart"], json!([]));

    let more =
        "hosts = [\"auth.internal\"]\nmax_connections = 500\n[sign_up]\nenabled = false\n[store]\ncache = \"64MiB\"";
    let status = service.reload(&mut daemon, more).await;
    assert_eq!(sign_up(&daemon, "bob").await, (400, "EMAIL_PASSWORD_SIGN_UP_DISABLED".into()));
    assert_eq!(daemon.client().host("auth.internal").get("/api/auth/ok").await.status, 200);
    assert_eq!(status["needsRestart"], json!(["http.max_connections", "store.cache"]));
    assert!(status["configReadAt"].as_str() > started["configReadAt"].as_str(), "{status}");
    assert_eq!(status["problems"], json!([]));
    let shown = service.host.ctl("status").await.ok();
    assert!(shown.err.contains("only after a restart: http.max_connections, store.cache"), "{shown:?}");
    for (key, what) in [("http.hosts", "applied"), ("sign_up.enabled", "applied"), ("store.cache", "needs a restart")] {
        let line = |line: &&str| line.contains(&format!("\"key\":\"{key}\"")) && line.contains(what);
        assert_eq!(daemon.log().lines().filter(line).count(), 1, "{key}: {}", daemon.log());
    }
    let trail = service.host.ctl("audit list --event config.reloaded -o json").await.ok().json();
    assert_eq!(trail[0]["details"]["applied"], "http.hosts sign_up.enabled");
    assert_eq!(trail[0]["details"]["needs_restart"], "http.max_connections store.cache");

    // Taken back: nothing waits any more. And once more the same, which is nothing.
    let status = service.reload(&mut daemon, "").await;
    assert_eq!(status["needsRestart"], json!([]));
    assert_eq!(sign_up(&daemon, "bob").await.0, 201);
    service.reload(&mut daemon, "").await;
    let trail = service.host.ctl("audit list --event config.reloaded -o id").await.ok();
    assert_eq!(trail.out.lines().count(), 2, "{trail:?}");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn a_file_with_a_problem_changes_nothing_and_status_says_what_it_is_until_it_is_mended() {
    let service = Service::new(host!()).await;
    service.write("");
    let mut daemon = service.start().await;
    let off = "[sign_up]\nenabled = false";
    for (broken, key) in [
        ("[sign_up]\nenabled = \"perhaps\"", "sign_up.enabled (line 4)"),
        ("trusted_proxies = [\"0.0.0.0/0\"]\n[sign_up]\nenabled = false", "http.trusted_proxies (line 3)"),
        ("[sign_up\n", "line 3"),
    ] {
        let status = service.reload(&mut daemon, broken).await;
        assert!(status["problems"].to_string().contains(key), "{broken}: {status}");
        assert_eq!(status["ready"], true, "it goes on as before");
        assert!(daemon.log().contains(key));
    }
    // What everybody may write, and what is gone.
    service.write(off);
    std::fs::set_permissions(&service.file, Permissions::from_mode(0o666)).unwrap();
    let status = service.reload(&mut daemon, off).await;
    assert!(status["problems"].to_string().contains("everybody may change it"), "{status}");
    let aside = service.file.with_extension("aside");
    std::fs::rename(&service.file, &aside).unwrap();
    let before = daemon.log().matches(READ).count();
    daemon.signal(Signal::SIGHUP);
    daemon.logs_that(|log| log.matches(READ).count() > before).await;
    let shown = service.host.ctl("status").await.ok();
    assert!(shown.err.contains("cannot be read"), "{shown:?}");
    std::fs::rename(&aside, &service.file).unwrap();
    assert_eq!(sign_up(&daemon, "ada").await.0, 201, "nothing of all this was applied");
    let trail = service.host.ctl("audit list --event config.reloaded -o id").await.ok();
    assert_eq!(trail.out, "", "nothing was changed");

    std::fs::set_permissions(&service.file, Permissions::from_mode(0o600)).unwrap();
    let status = service.reload(&mut daemon, off).await;
    assert_eq!(status["problems"], json!([]), "mended");
    assert_eq!(sign_up(&daemon, "bob").await.0, 400);
    daemon.stop().await.ok();
}

#[tokio::test]
async fn the_level_of_the_log_changes_both_ways() {
    let service = Service::new(host!()).await;
    service.write("");
    let mut daemon = service.start().await;
    service.reload(&mut daemon, "[log]\nlevel = \"debug\"").await;
    assert_eq!(sign_up(&daemon, "ada").await.0, 201);
    daemon.logs("\"message\":\"answered\"").await;
    service.reload(&mut daemon, "[log]\nlevel = \"info\"").await;
    let before = daemon.log().matches("\"message\":\"answered\"").count();
    assert_eq!(sign_up(&daemon, "bob").await.0, 201);
    let end = daemon.stop().await.ok();
    assert_eq!(end.err.matches("\"message\":\"answered\"").count(), before);
}

#[tokio::test]
async fn az_03_roles_and_the_mode_of_the_socket_follow_a_reload() {
    let service = Service::new(host!()).await;
    service.write("");
    let mut daemon = service.start().await;
    let mode = || service.host.socket().metadata().unwrap().permissions().mode() & 0o777;
    let closed = mode();
    assert_eq!(closed & 0o007, 0);
    service.reload(&mut daemon, "[admin.roles]\nview = [\"nobody\"]").await;
    assert_eq!(mode(), 0o666);
    if let Some(seen) = crate::authctl::as_nobody(&service.host, &["status", "-o", "json"]).await {
        assert_eq!(seen.ok().json()["role"], "view");
        let refused = crate::authctl::as_nobody(&service.host, &["keys", "rotate", "--yes"]).await.unwrap();
        assert_eq!(refused.exit, 5, "{refused:?}");
        service.reload(&mut daemon, "[admin.roles]\noncall = [\"nobody\"]").await;
        crate::authctl::as_nobody(&service.host, &["keys", "rotate", "--yes"]).await.unwrap().ok();
    }
    service.reload(&mut daemon, "").await;
    assert_eq!(mode(), closed);
    daemon.stop().await.ok();
}

#[tokio::test]
async fn systemd_is_told_when_reading_begins_and_when_it_is_over() {
    let service = Service::new(host!()).await;
    service.write("");
    let path = service.host.path("notify.sock");
    let notify = UnixDatagram::bind(&path).unwrap();
    let daemon = service.host.bare_daemon().flag("--config", &service.file).flag("--data-dir", service.host.data());
    let daemon = daemon.env("NOTIFY_SOCKET", &path).start().await;
    let next = async || {
        let mut buffer = [0; 4096];
        let n = timeout(LIMIT, notify.recv(&mut buffer)).await.unwrap().unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    };
    while !next().await.contains("READY=1") {}
    daemon.signal(Signal::SIGHUP);
    let begins = next().await;
    assert!(begins.contains("RELOADING=1") && begins.contains("MONOTONIC_USEC="), "{begins}");
    assert!(next().await.contains("READY=1"));
    daemon.stop().await.ok();
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_not_applied_however_sound_it_is() {
    let service = Service::new(host!()).await;
    service.write("[sign_up]\nenabled = false");
    let mut daemon = service.start().await;
    for rest in ["", "[http]\npublic_url = \"https://auth.example.com\"\n"] {
        std::fs::write(&service.file, rest).unwrap();
        let before = daemon.log().matches(READ).count();
        daemon.signal(Signal::SIGHUP);
        daemon.logs_that(|log| log.matches(READ).count() > before).await;
        let status = service.host.ctl("status -o json").await.ok().json();
        let problems = status["problems"].to_string();
        assert!(problems.contains("gone from the file"), "'{rest}': {status}");
        assert_eq!(sign_up(&daemon, "bob").await, (400, "EMAIL_PASSWORD_SIGN_UP_DISABLED".into()), "'{rest}'");
    }
}

/// Reading it would wait for a writer, for good, and then the daemon would neither reload nor stop.
#[tokio::test]
async fn a_fifo_in_the_place_of_the_configuration_is_refused_and_the_daemon_goes_on() {
    let service = Service::new(host!()).await;
    service.write("");
    let mut daemon = service.start().await;
    std::fs::remove_file(&service.file).unwrap();
    nix::unistd::mkfifo(&service.file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    daemon.signal(Signal::SIGHUP);
    // To the last line of the refusal: what comes after it is of the next reload.
    daemon.logs_that(|log| log.contains("it is not a plain file") && log.contains(READ)).await;
    std::fs::remove_file(&service.file).unwrap();
    let status = service.reload(&mut daemon, "hosts = [\"auth.internal\"]").await;
    assert_eq!(status["problems"], json!([]), "{status}");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn an_empty_store_is_made_in_production_with_a_word() {
    let service = Service::new(host!()).await;
    service.write("");
    let said = |daemon: &Daemon| daemon.log().matches("an empty store was made in").count();
    let daemon = service.start().await;
    assert_eq!(said(&daemon), 1, "{}", daemon.log());
    daemon.stop().await.ok();
    let daemon = service.start().await;
    assert_eq!(said(&daemon), 0, "{}", daemon.log());
    daemon.stop().await.ok();
}

/// What stands in the place of the socket that authd made is none of its business (AZ-03).
#[tokio::test]
async fn az_03_neither_a_reload_nor_a_stop_touches_what_took_the_place_of_the_socket() {
    let service = Service::new(host!()).await;
    service.write("");
    let mut daemon = service.start().await;
    let socket = service.host.socket();
    let (aside, victim) = (service.host.path("aside.sock"), service.host.path("victim"));
    std::fs::rename(&socket, &aside).unwrap();
    std::fs::write(&victim, "precious").unwrap();
    std::fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&victim, &socket).unwrap();
    service.write("[admin.roles]\nview = [\"nobody\"]");
    daemon.signal(Signal::SIGHUP);
    daemon.logs_that(|log| log.contains(READ)).await;
    assert_eq!(victim.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    daemon.stop().await.ok();
    assert!(socket.is_symlink() && aside.exists(), "they stay");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}
