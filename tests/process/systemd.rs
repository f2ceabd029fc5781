//! What systemd and authd say to each other: readiness, watchdog, sockets that are handed over.

use std::os::fd::OwnedFd;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::process::{Host, LIMIT, Run};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixDatagram,
    time::timeout,
};

use crate::host;

/// The daemon's command behind a shell that hands over its standard input as the first of systemd's sockets.
fn with_socket(host: &Host, name: &str, socket: OwnedFd) -> Run {
    let daemon = host.daemon();
    let std = daemon.command.as_std();
    let words = std::iter::once(std.get_program()).chain(std.get_args()).map(ToOwned::to_owned);
    let script = format!(
        "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name} AUTHD_TEST_CHEAP_HASHES=1 exec \"$@\""
    );
    host.run("/bin/sh").args(["-c", &script, "sh"]).args(words.collect::<Vec<_>>()).stdin(socket)
}

async fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let n = timeout(LIMIT, socket.recv(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8(buffer[..n].to_vec()).unwrap()
}

/// What is said until something says this.
async fn until(socket: &UnixDatagram, wanted: &str) -> String {
    loop {
        let said = next(socket).await;
        if said.contains(wanted) {
            return said;
        }
    }
}

#[tokio::test]
async fn it_tells_systemd_what_it_does_that_it_lives_and_when_it_stops() {
    let host = host!();
    let notify = UnixDatagram::bind(host.path("notify.sock")).unwrap();
    let daemon = host.daemon().env("NOTIFY_SOCKET", host.path("notify.sock")).env("WATCHDOG_USEC", "200000");
    let daemon = daemon.start().await;
    let first = next(&notify).await;
    assert!(first.contains("EXTEND_TIMEOUT_USEC=") && first.contains("STATUS=opening the store: "), "{first}");
    let ready = until(&notify, "READY=1").await;
    assert!(ready.contains("STATUS=serving http://localhost:"), "{ready}");
    assert!(next(&notify).await.contains("WATCHDOG=1"));
    assert!(next(&notify).await.contains("WATCHDOG=1"));
    daemon.stop().await.ok();
    let last = until(&notify, "STOPPING=1").await;
    assert!(last.contains("STATUS=stopping"), "{last}");
}

#[tokio::test]
async fn a_reload_that_is_refused_shows_in_the_status_until_one_is_not() {
    let host = host!();
    let notify = UnixDatagram::bind(host.path("notify.sock")).unwrap();
    let config = host.path("authd.toml");
    std::fs::write(&config, "http.public_url = \"http://localhost:8000\"\n").unwrap();
    host.authd().args(["new-master-key"]).args([host.path("master.key")]).end().await.ok();
    let daemon = host
        .bare_daemon()
        .flag("--config", &config)
        .flag("--data-dir", host.data())
        .env("AUTHD_KEYS__MASTER_KEY_FILE", host.path("master.key"))
        .env("AUTHD_TEST_CHEAP_HASHES", "1")
        .env("NOTIFY_SOCKET", host.path("notify.sock"));
    let daemon = daemon.start().await;
    until(&notify, "READY=1").await;
    for (text, is_refused) in [("nonsense = 1\n", true), ("", false)] {
        std::fs::write(&config, format!("{text}http.public_url = \"http://localhost:8000\"\n")).unwrap();
        daemon.signal(Signal::SIGHUP);
        until(&notify, "RELOADING=1").await;
        let done = until(&notify, "READY=1").await;
        assert_eq!(done.contains("the changed one has 1 problem (authctl status)"), is_refused, "{done}");
        assert!(done.contains("STATUS=serving http://localhost:8000"), "{done}");
    }
    daemon.stop().await.ok();
}

/// One thread is held, as a debugger holds it, and all others go on: no part of the daemon knows of it but by its silence.
#[tokio::test]
async fn f_08_the_watchdog_is_not_fed_while_the_writer_does_not_live() {
    let host = host!();
    let notify = UnixDatagram::bind(host.path("notify.sock")).unwrap();
    let daemon = host.daemon().env("NOTIFY_SOCKET", host.path("notify.sock")).env("WATCHDOG_USEC", "400000");
    let daemon = daemon.start().await;
    until(&notify, "WATCHDOG=1").await;
    let Some(held) = daemon.hold_thread("store-writer") else {
        tests::shared::skipped("the right to hold a thread of another process (root)");
        return drop(daemon.stop().await.ok());
    };
    until(&notify, "STATUS=no sign of life from the store's writer").await;
    assert_eq!(daemon.client().get("/healthz").await.status, 200, "the rest of it lives");
    // Nothing more is said, and that is what systemd acts upon.
    assert!(notify.try_recv(&mut [0; 64]).is_err());
    drop(held);
    until(&notify, "STATUS=serving").await;
    until(&notify, "WATCHDOG=1").await;
    daemon.stop().await.ok();
}

/// What the kernel has as the children of this process, zombies among them.
fn children(pid: impl std::fmt::Display) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().trim().to_owned()
}

/// As in a container: nobody has set anything up, a signal without a handler would be lost, and whoever is left behind there is a
/// child of the first process.
#[tokio::test]
async fn as_pid_1_it_serves_reaps_and_stops_on_sigterm() {
    let host = host!();
    let probe = host.run("unshare").args(["--pid", "--fork", "true"]).end().await;
    if probe.exit != 0 {
        return tests::shared::skipped("root, for a process that is PID 1");
    }
    let daemon = host.daemon();
    let words: Vec<_> = std::iter::once(daemon.command.as_std().get_program())
        .chain(daemon.command.as_std().get_args())
        .map(ToOwned::to_owned)
        .collect();
    let daemon = host.run("unshare").args(["--pid", "--fork", "--kill-child"]).args(words);
    let daemon = daemon.env("AUTHD_TEST_CHEAP_HASHES", "1").start().await;
    let child: i32 = children(daemon.pid()).parse().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    let inside = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
    assert!(inside.ends_with("\t1"), "{inside}");
    assert_eq!(daemon.client().get("/readyz").await.status, 200);

    let gate = host.path("gate");
    let orphan = format!("mkfifo {0}; (read -r line <{0}) >/dev/null 2>&1 & exit 0", gate.display());
    let enter = host.run("nsenter").args(["--target", &child.to_string(), "--pid", "--", "sh", "-c", &orphan]);
    enter.end().await.ok();
    assert_ne!(children(child), "", "it was left behind to somebody else");
    std::fs::write(&gate, "end\n").unwrap();
    let reaped = async {
        while !children(child).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, reaped).await.expect("a zombie is left");
    assert_eq!(daemon.client().get("/readyz").await.status, 200);
    kill(Pid::from_raw(child), Signal::SIGTERM).unwrap();
    daemon.wait().await.ok();
}

#[tokio::test]
async fn a_public_socket_that_is_handed_over_is_served() {
    let host = host!();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let daemon = with_socket(&host, "http", listener.into()).start().await;
    assert_eq!(daemon.address, address);
    assert_eq!(daemon.client().get("/readyz").await.status, 200);
    daemon.stop().await.ok();
}

#[tokio::test]
async fn op_03_development_mode_takes_no_socket_that_other_machines_reach() {
    let host = host!();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let refused = with_socket(&host, "http", listener.into()).end().await;
    assert_eq!((refused.exit, refused.out.as_str()), (78, ""), "{refused:?}");
    assert!(refused.err.contains("0.0.0.0") && refused.err.contains("this machine only"), "{refused:?}");
}

#[tokio::test]
async fn op_03_a_metrics_socket_that_is_handed_over_is_served_on_this_machine_only() {
    let host = host!();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let daemon = with_socket(&host, "metrics", listener.into()).start().await;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\nauthd_ready 1\n"), "{answer}");
    daemon.stop().await.ok();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let refused = with_socket(&host, "metrics", listener.into()).end().await;
    assert!(refused.exit == 78 && refused.err.contains("metrics.allow_remote"), "{refused:?}");
}

/// The value of a field of an entry of the journal.
fn field<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// The daemon's command behind a shell that says, as systemd does, that standard error leads to the journal.
fn before_journal(host: &Host) -> Run {
    let daemon = host.daemon();
    let std = daemon.command.as_std();
    let words: Vec<_> = std::iter::once(std.get_program()).chain(std.get_args()).map(ToOwned::to_owned).collect();
    let script = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) AUTHD_TEST_CHEAP_HASHES=1 exec \"$@\"";
    host.run("/bin/sh").args(["-c", script, "sh"]).args(words).env("AUTHD_TEST_JOURNAL", host.path("journal"))
}

#[tokio::test]
async fn lg_01_the_journal_gets_entries_with_fields_and_standard_error_nothing() {
    let host = host!();
    let journal = UnixDatagram::bind(host.path("journal")).unwrap();
    let mut child = before_journal(&host).spawn().await;
    let entry = async |message: &str| loop {
        let entry = next(&journal).await;
        if field(&entry, "MESSAGE") == Some(message) {
            break entry;
        }
    };
    let ready = entry("authd is ready").await;
    assert_eq!((field(&ready, "PRIORITY"), field(&ready, "SYSLOG_IDENTIFIER")), (Some("6"), Some("authd")));
    assert!(field(&ready, "AUTHD_ADDRESS").unwrap().starts_with("127.0.0.1:"), "{ready}");
    host.create_user("ada@example.com").await.ok();
    host.ctl("user disable ada@example.com --yes").await.ok();
    let disabled = loop {
        let acted = entry("an operator acted").await;
        if field(&acted, "AUTHD_EVENT") == Some("user.disabled") {
            break acted;
        }
    };
    assert_eq!(field(&disabled, "AUTHD_PEER_UID"), Some(&*nix::unistd::geteuid().to_string()));
    assert!(field(&disabled, "AUTHD_REQUEST_ID").unwrap().starts_with("admin-"), "{disabled}");
    assert!(!disabled.contains("example.com"), "{disabled}");
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    entry("authd stops").await;
    assert!(timeout(LIMIT, child.wait()).await.unwrap().unwrap().success());
    let mut rest = String::new();
    child.stderr.take().unwrap().read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "");
}

#[tokio::test]
async fn f_13_a_journal_that_nobody_reads_holds_up_no_request_and_not_the_end() {
    let host = host!();
    let journal = UnixDatagram::bind(host.path("journal")).unwrap();
    let mut child = before_journal(&host).env("AUTHD_LOG__LEVEL", "debug").spawn().await;
    let ready = loop {
        let entry = next(&journal).await;
        if field(&entry, "MESSAGE") == Some("authd is ready") {
            break entry;
        }
    };
    let address = field(&ready, "AUTHD_ADDRESS").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    // Over a megabyte of log.
    for _ in 0..80 {
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answers = 0;
        let mut text = String::new();
        while answers < 100 {
            let mut buffer = [0; 4096];
            let n = timeout(LIMIT, stream.read(&mut buffer)).await.expect("requests wait for the journal").unwrap();
            text += std::str::from_utf8(&buffer[..n]).unwrap();
            answers = text.matches("HTTP/1.1 200").count();
        }
    }
    let lost = host.ctl("status -o json").await.json()["logLinesDropped"].as_u64().unwrap();
    assert!(lost > 1000, "{lost}");
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(timeout(LIMIT, child.wait()).await.expect("it waits for its journal").unwrap().success());
}

#[tokio::test]
async fn an_admin_socket_that_is_handed_over_is_served_and_left_where_it_is() {
    let host = host!();
    let listener = std::os::unix::net::UnixListener::bind(host.socket()).unwrap();
    let daemon = with_socket(&host, "admin", listener.into()).start().await;
    host.ctl("status").await.ok();
    daemon.stop().await.ok();
    assert!(host.socket().exists(), "it is systemd's");
}

#[tokio::test]
async fn a_socket_by_another_name_or_of_another_kind_exits_78() {
    let host = host!();
    for name in ["web", "admin"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = with_socket(&host, name, listener.into()).end().await;
        assert_eq!(refused.exit, 78, "{refused:?}");
        assert!(refused.err.contains(&format!("'{name}'")), "{refused:?}");
    }
}

#[tokio::test]
async fn under_systemd_without_a_configuration_it_exits_78_and_is_not_development_mode() {
    let host = host!();
    let service = host.bare_daemon().env("INVOCATION_ID", "1").env("NOTIFY_SOCKET", host.path("notify.sock"));
    let refused = service.end().await;
    assert_eq!(refused.exit, 78, "{refused:?}");
    assert!(refused.err.contains(&host.installed_config().display().to_string()), "{refused:?}");
    assert!(refused.err.contains("authd init"), "{refused:?}");
}
