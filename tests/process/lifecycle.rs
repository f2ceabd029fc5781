//! Starting and stopping, and what two daemons do to each other.

use std::{
    fs::Permissions,
    io::{BufRead, BufReader},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::sys::signal::Signal;
use serde_json::json;
use tests::{PASSWORD, process::Daemon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::host;

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

/// Everything in a directory, and the directory itself.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() { found.extend(tree(&path)) } else { found.push(path) }
    }
    found
}

async fn sign_up(daemon: &Daemon, email: &str) -> String {
    let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
    let made = daemon.client().post("/api/auth/signup", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.text("/access_token")
}

#[tokio::test]
async fn without_a_file_it_starts_on_loopback_and_shows_a_card_with_the_next_commands() {
    let host = host!();
    let daemon = host.authd().args(["--listen", "127.0.0.1:0"]).start().await;
    assert!(daemon.address.ip().is_loopback());
    assert_eq!(daemon.client().get("/healthz").await.status, 200);
    let home = host.home();
    assert!(home.join(".local/state/authd/sled").is_dir());
    assert!(home.join(".config/authd/master.key").is_file());
    assert_eq!(daemon.socket, home.join(".local/state/authd/admin.sock"));
    let port = daemon.address.port();
    let end = daemon.stop().await.ok();
    for part in [
        "development mode",
        &format!("http://localhost:{port}/.well-known/jwks.json"),
        &format!("createAuthClient({{ baseURL: \"http://localhost:{port}/api\" }})"),
        "~/.config/authd/master.key  (just made)",
        "authctl user list",
    ] {
        assert!(end.out.contains(part), "{part} is not on the card: {}", end.out);
    }
}

#[tokio::test]
async fn the_commands_on_the_card_work_as_they_stand() {
    let host = host!();
    let daemon = host.daemon().start().await;
    let command = format!("{} --socket {} user list -o id", host.authctl_program().display(), daemon.socket.display());
    sign_up(&daemon, "ada@example.com").await;
    let listed = host.run("/bin/sh").args(["-c", &command]).end().await.ok();
    assert_eq!(listed.out.lines().count(), 1);
    let end = daemon.stop().await.ok();
    let on_card = end.out.lines().find(|line| line.contains("user list")).unwrap();
    assert_eq!(on_card.trim(), command.trim_end_matches(" -o id"));
}

#[tokio::test]
async fn sigterm_ends_it_with_0_and_removes_the_socket() {
    let host = host!();
    let daemon = host.daemon().start().await;
    assert!(host.socket().exists());
    let end = daemon.stop().await;
    assert_eq!(end.exit, 0, "{end:?}");
    assert!(!host.socket().exists());
    assert!(end.err.contains("authd stops"), "{end:?}");
}

#[tokio::test]
async fn sigint_ends_it_with_0_and_removes_the_socket() {
    let host = host!();
    let daemon = host.daemon().start().await;
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.wait().await.exit, 0);
    assert!(!host.socket().exists());
}

#[tokio::test]
async fn sighup_does_not_end_it() {
    let host = host!();
    let mut daemon = host.daemon().start().await;
    daemon.signal(Signal::SIGHUP);
    daemon.logs("the configuration was read again").await;
    assert_eq!(daemon.client().get("/readyz").await.status, 200);
    daemon.stop().await.ok();
}

/// A sign-up whose body is not all there yet.
async fn half_a_request(daemon: &Daemon) -> (TcpStream, Vec<u8>) {
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}).to_string().into_bytes();
    let (first, rest) = body.split_at(10);
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    let head = format!(
        "POST /api/auth/signup HTTP/1.1\r\nhost: localhost:{}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        daemon.address.port(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // This answer says that the request is under way.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on[..], b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(first).await.unwrap();
    (stream, rest.to_vec())
}

#[tokio::test]
async fn a_request_under_way_at_sigterm_is_answered_before_the_end() {
    let host = host!();
    // Longer than this test may take.
    let mut daemon = host.daemon().env("AUTHD_HTTP__DRAIN_TIMEOUT", "100s").start().await;
    let (mut stream, rest) = half_a_request(&daemon).await;
    daemon.signal(Signal::SIGTERM);
    daemon.logs("authd stops").await;
    stream.write_all(&rest).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    daemon.wait().await.ok();

    let daemon = host.daemon().start().await;
    let users = host.ctl("user list -o id").await.ok();
    assert_eq!(users.out.lines().count(), 1, "what was answered is stored");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn a_second_ctrl_c_does_not_wait_for_requests_under_way() {
    let host = host!();
    // Longer than this test may take.
    let mut daemon = host.daemon().env("AUTHD_HTTP__DRAIN_TIMEOUT", "100s").start().await;
    let (_stream, _) = half_a_request(&daemon).await;
    daemon.signal(Signal::SIGINT);
    daemon.logs("authd stops").await;
    daemon.signal(Signal::SIGINT);
    let end = daemon.wait().await;
    assert_eq!(end.exit, 0, "{end:?}");
    assert!(!host.socket().exists());
}

#[tokio::test]
async fn op_04_a_second_daemon_on_the_data_directory_exits_75_and_names_the_first() {
    let host = host!();
    let first = host.daemon().start().await;
    let token = sign_up(&first, "ada@example.com").await;
    let second = host
        .authd()
        .args(["--development", "--listen", "127.0.0.1:0"])
        .flag("--data-dir", host.data())
        .flag("--admin-socket", host.path("other.sock"))
        .end()
        .await;
    assert_eq!(second.exit, 75, "{second:?}");
    assert!(second.err.contains(&format!("(pid {})", first.pid())), "{second:?}");
    assert!(second.err.contains("fix: "), "{second:?}");
    assert_eq!(second.out, "", "no card for a daemon that does not run");
    assert!(!host.path("other.sock").exists());

    assert_eq!(first.client().bearer(&token).get("/api/auth/me").await.status, 200);
    sign_up(&first, "bob@example.com").await;
    host.ctl("status").await.ok();
    first.stop().await.ok();
}

#[tokio::test]
async fn op_04_of_two_daemons_that_start_at_once_one_serves_and_the_other_exits_75() {
    let host = host!();
    for round in 0..5 {
        let data = host.path(&format!("data{round}"));
        let start = || host.bare_daemon().args(["--development"]).flag("--data-dir", &data).try_start();
        let (first, second) = tokio::join!(start(), start());
        let (running, refused) = match (first, second) {
            (Ok(running), Err(refused)) | (Err(refused), Ok(running)) => (running, refused),
            (Err(a), Err(b)) => panic!("none serves: {a:?} {b:?}"),
            (Ok(_), Ok(_)) => panic!("both serve"),
        };
        assert_eq!(refused.exit, 75, "{refused:?}");
        sign_up(&running, "ada@example.com").await;
        host.ctl("status").await.ok();
        running.stop().await.ok();
    }
}

#[tokio::test]
async fn az_03_a_second_daemon_on_the_admin_socket_exits_75_and_leaves_it_alone() {
    let host = host!();
    let first = host.daemon().start().await;
    let second = host.bare_daemon().args(["--development"]).flag("--data-dir", host.path("other")).end().await;
    assert_eq!(second.exit, 75, "{second:?}");
    assert!(second.err.contains(&host.socket().display().to_string()) && second.err.contains("fix: "), "{second:?}");
    host.ctl("status").await.ok();
    first.stop().await.ok();
}

#[tokio::test]
async fn az_03_what_is_no_socket_is_left_where_it_is() {
    let host = host!();
    std::fs::write(host.socket(), "precious").unwrap();
    let refused = host.daemon().end().await;
    assert_eq!(refused.exit, 78, "{refused:?}");
    assert!(refused.err.contains("is in the way"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(host.socket()).unwrap(), "precious");
    std::fs::remove_file(host.socket()).unwrap();
    std::os::unix::fs::symlink("/dev/null", host.socket()).unwrap();
    assert_eq!(host.daemon().end().await.exit, 78);
    assert!(host.socket().is_symlink());
}

#[tokio::test]
async fn op_04_what_kill_9_leaves_behind_is_no_obstacle() {
    let host = host!();
    let first = host.daemon().start().await;
    sign_up(&first, "ada@example.com").await;
    let pid = first.pid();
    first.kill().await;
    assert!(host.socket().symlink_metadata().unwrap().file_type().is_socket(), "nobody tidied up");
    assert_eq!(std::fs::read_to_string(host.data().join("lock")).unwrap(), pid.to_string());

    let second = host.daemon().start().await;
    let known = host.ctl("user show ada@example.com -o json").await.ok().json();
    assert_eq!(known["sessions"], 1);
    second.stop().await.ok();
    assert!(!host.socket().exists());
}

#[tokio::test]
async fn a_port_in_use_exits_71_and_says_what_to_do() {
    let host = host!();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = host
        .authd()
        .args(["--development", "--listen", &address])
        .flag("--data-dir", host.data())
        .flag("--admin-socket", host.socket())
        .end()
        .await;
    assert_eq!(refused.exit, 71, "{refused:?}");
    assert!(refused.err.contains(&address) && refused.err.contains("fix: "), "{refused:?}");
    assert!(!host.socket().exists());
    // The port free again, the same directory does.
    drop(taken);
    host.daemon().start().await.stop().await.ok();
}

#[tokio::test]
async fn cr_05_a_data_directory_that_others_can_look_into_exits_78() {
    let host = host!();
    for loose in [0o750, 0o701, 0o755] {
        std::fs::remove_dir_all(host.data()).ok();
        std::fs::create_dir(host.data()).unwrap();
        std::fs::set_permissions(host.data(), Permissions::from_mode(loose)).unwrap();
        let refused = host.daemon().end().await;
        assert_eq!(refused.exit, 78, "{refused:?}");
        assert!(refused.err.contains(&format!("fix: chmod 700 {}", host.data().display())), "{refused:?}");
        assert_eq!(mode(&host.data()), loose, "nobody's modes are changed behind his back");
        assert_eq!(tree(&host.data()).len(), 1, "nothing was written");
    }
}

#[tokio::test]
async fn cr_05_nothing_that_it_makes_is_open_to_others_whatever_the_umask() {
    let host = host!();
    let daemon = host.daemon();
    let std = daemon.command.as_std();
    let (program, args): (_, Vec<_>) = (std.get_program().to_owned(), std.get_args().map(ToOwned::to_owned).collect());
    let loose = host.run("/bin/sh").args(["-c", "umask 000; exec \"$0\" \"$@\""]).args([program]).args(args);
    let daemon = loose.env("AUTHD_TEST_CHEAP_HASHES", "1").start().await;
    sign_up(&daemon, "ada@example.com").await;
    host.ctl("keys rotate --yes").await.ok();
    let open: Vec<_> = tree(&host.data()).into_iter().filter(|path| mode(path) & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
    assert!(tree(&host.data()).len() > 4, "{:?}", tree(&host.data()));
    assert_eq!(mode(&host.master_key()), 0o600);
    assert_eq!(mode(host.master_key().parent().unwrap()), 0o700);
    daemon.stop().await.ok();
    let open: Vec<_> = tree(&host.data()).into_iter().filter(|path| mode(path) & 0o077 != 0).collect();
    assert!(open.is_empty(), "after a stop: {open:?}");
}

#[tokio::test]
async fn az_03_the_admin_socket_is_for_its_owner_and_the_admin_group_only() {
    let host = host!();
    let daemon = host.daemon().start().await;
    let expected = if authd::nss::group("authd-admin").is_some() { 0o660 } else { 0o600 };
    assert_eq!(mode(&host.socket()), expected);
    daemon.stop().await.ok();
}

#[tokio::test]
async fn cr_04_it_leaves_no_core_dumps() {
    let host = host!();
    let daemon = host.daemon().start().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_does_not_stop_it() {
    let host = host!();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut daemon = host.daemon();
    let mut child = daemon.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    // The command holds an end of the pipe too.
    drop(daemon);
    // Ready, as its first line says; then the reader leaves.
    let line = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(reader);
        let mut seen = String::new();
        while !seen.contains("authd is ready") && lines.read_line(&mut seen).unwrap() > 0 {}
        seen
    })
    .await
    .unwrap();
    assert!(line.contains("authd is ready"), "{line}");
    for n in 0..3 {
        // Each of these is logged.
        let made = host.create_user(&format!("user{n}@example.com")).await;
        assert_eq!(made.exit, 0, "{made:?}");
    }
    let pid = nix::unistd::Pid::from_raw(child.id().unwrap().try_into().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(tokio::time::timeout(tests::process::LIMIT, child.wait()).await.unwrap().unwrap().code(), Some(0));
}
