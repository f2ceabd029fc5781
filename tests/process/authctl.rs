//! authctl as scripts use it: exit codes, streams, terminals, and daemons that do not answer.

use std::{
    fs::{File, Permissions},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::{
    pty::openpty,
    sys::termios::{LocalFlags, tcgetattr},
    unistd::geteuid,
};
use tests::{
    PASSWORD,
    ctl::Outcome,
    process::{Host, LIMIT},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
    time::timeout,
};

use crate::host;

/// Nobody's number on Linux.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn exit_0_is_for_what_was_done() {
    let host = host!();
    let daemon = host.daemon().start().await;
    host.create_user("ada@example.com").await.ok();
    for line in
        ["status", "user list", "user show ada@example.com", "session list", "keys list", "audit verify", "--help"]
    {
        assert_eq!(host.ctl(line).await.exit, 0, "{line}");
    }
    daemon.stop().await.ok();
}

#[tokio::test]
async fn exit_2_is_for_command_lines_that_are_wrong() {
    let host = host!();
    let daemon = host.daemon().start().await;
    host.create_user("ada@example.com").await.ok();
    for line in [
        "",
        "nonsense",
        "user list -o xml",
        "user list --fields nonsense",
        "--timeout 0 status",
        "user create --email bob@example.com",
        "user create --email bob@example.com --generate --no-password",
        "user create --email nonsense --no-password",
        "audit list --since yesterday",
        "session revoke",
        // Without a terminal nobody can be asked.
        "keys rotate",
        "user delete ada@example.com",
        "user delete ada@example.com --yes --dry-run",
    ] {
        let refused = host.ctl(line).await;
        assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "'{line}': {refused:?}");
        assert!(!refused.err.is_empty(), "'{line}'");
    }
    assert_eq!(host.ctl("user list -o id").await.ok().out.lines().count(), 1, "nothing was done");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn cl_01_a_secret_on_the_command_line_exits_2_and_is_repeated_nowhere() {
    let host = host!();
    let daemon = host.daemon().start().await;
    host.create_user("ada@example.com").await.ok();
    let secret = "tr0ub4dor-and-three";
    let joined = format!("--password={secret}");
    for args in [
        &["user", "create", "--email", "bob@example.com", &joined][..],
        &["user", "create", "--email", "bob@example.com", "--password", secret],
        &["user", "create", "--email", "bob@example.com", "--generate", &joined],
        &["user", "set-password", "ada@example.com", &joined],
        &["user", "set-password", "ada@example.com", secret],
        &["--show-request", "user", "set-password", "ada@example.com", "--password-stdin", &joined],
        &["-o", "json", "user", "set-password", "ada@example.com", &joined],
        // Where there is no such option.
        &["user", "show", "ada@example.com", &joined],
        &["token", "verify", secret],
        &["-o", "json", "token", "inspect", secret],
    ] {
        let refused = host.authctl().args(args).input(PASSWORD).end().await;
        assert_eq!(refused.exit, 2, "{args:?}: {refused:?}");
        assert!(!refused.out.contains(secret) && !refused.err.contains(secret), "{args:?}: {refused:?}");
    }
    assert_eq!(host.ctl("user show bob@example.com").await.exit, 3, "nothing was done");
    let signed_in = daemon
        .client()
        .post("/api/auth/login", &serde_json::json!({"email": "ada@example.com", "password": PASSWORD}))
        .await;
    assert_eq!(signed_in.status, 200, "nor was a password set: {signed_in:?}");
    let end = daemon.stop().await.ok();
    assert!(!end.err.contains(secret) && !end.err.contains(PASSWORD), "{}", end.err);
}

#[tokio::test]
async fn exit_3_is_for_what_is_not_there_or_has_nothing_to_do() {
    let host = host!();
    let daemon = host.daemon().start().await;
    host.create_user("ada@example.com").await.ok();
    for line in [
        "user show bob@example.com",
        "user delete bob@example.com --yes",
        "user enable ada@example.com",
        "session show nonsense",
        "session revoke nonsense --yes",
        "session revoke --user ada@example.com --yes",
        "keys revoke nonsense --yes",
    ] {
        let refused = host.ctl(line).await;
        assert_eq!((refused.exit, refused.out.as_str()), (3, ""), "'{line}': {refused:?}");
    }
    daemon.stop().await.ok();
}

#[tokio::test]
async fn exit_4_is_for_a_state_that_does_not_allow_it() {
    let host = host!();
    let daemon = host.daemon().start().await;
    host.create_user("ada@example.com").await.ok();
    let again = host.create_user("ada@example.com").await;
    assert_eq!(again.exit, 4, "{again:?}");
    assert_eq!(host.ctl("keys rollback --yes").await.exit, 4);
    host.ctl("keys rotate --yes").await.ok();
    let under_way = host.ctl("keys rotate --yes").await;
    assert_eq!(under_way.exit, 4, "{under_way:?}");
    assert!(under_way.err.contains("fix:"), "{under_way:?}");

    let body = serde_json::json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(daemon.client().post("/api/auth/login", &body).await.status, 200);
    let other = host.ctl("session revoke --user ada@example.com --yes --expect-count 2").await;
    assert_eq!(other.exit, 4, "{other:?}");
    assert_eq!(host.ctl("session list -o id").await.ok().out.lines().count(), 1, "nothing was ended");
    daemon.stop().await.ok();
}

/// authctl where everybody may run it: the build may lie where nobody can look.
pub(crate) fn program_for_others(host: &Host) -> PathBuf {
    let program = host.path("authctl");
    if !program.exists() {
        std::fs::copy(host.authctl_program(), &program).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }
    program
}

/// Runs authctl as nobody. `None`, with a word, where this process may not become somebody else.
pub(crate) async fn as_nobody(host: &Host, args: &[&str]) -> Option<Outcome> {
    if !geteuid().is_root() {
        tests::shared::skipped("root, to run authctl as somebody else");
        return None;
    }
    let mut run = host.run(program_for_others(host)).flag("--socket", host.socket()).args(args);
    run.command.uid(NOBODY).gid(NOBODY);
    Some(run.end().await)
}

/// A password is for authd, and not for whoever could put a socket where one was looked for.
#[tokio::test]
async fn az_04_a_server_of_another_user_is_sent_nothing() {
    let host = host!();
    if !geteuid().is_root() {
        return tests::shared::skipped("root, to run a daemon as somebody else");
    }
    let (runtime, program) = (host.path("xdg"), host.path("authd-for-others"));
    let theirs = runtime.join("authd/admin.sock");
    std::fs::create_dir_all(host.path("xdg/authd")).unwrap();
    std::fs::create_dir_all(host.path("their-home")).unwrap();
    for path in ["xdg", "xdg/authd", "their-home"] {
        std::os::unix::fs::chown(host.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    std::fs::copy(host.authd_program(), &program).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut daemon = host.run(&program).args(["--development", "--listen", "127.0.0.1:0"]);
    daemon = daemon.flag("--admin-socket", &theirs).flag("--data-dir", host.path("their-home/data"));
    daemon = daemon.env("HOME", host.path("their-home"));
    daemon.command.uid(NOBODY).gid(NOBODY);
    let daemon = daemon.start().await;

    let create = ["user", "create", "--email", "ada@example.com", "--password-stdin"];
    let named = host.run(host.authctl_program()).flag("--socket", &theirs).args(create).input(PASSWORD).end().await;
    assert_eq!(named.exit, 6, "{named:?}");
    assert!(named.err.contains("uid 65534") && named.err.contains("nothing was sent"), "{named:?}");
    let found =
        host.run(host.authctl_program()).env("XDG_RUNTIME_DIR", &runtime).args(create).input(PASSWORD).end().await;
    assert_eq!(found.exit, 6, "{found:?}");
    assert!(found.err.contains("is passed over: it belongs to uid 65534"), "{found:?}");
    let by_variable =
        host.run(host.authctl_program()).env("AUTHCTL_SOCKET", &theirs).args(create).input(PASSWORD).end().await;
    assert_eq!(by_variable.exit, 6, "{by_variable:?}");

    // Whoever it belongs to uses it.
    let mut own = host.run(program_for_others(&host)).flag("--socket", &theirs).args(["user", "list", "-o", "id"]);
    own.command.uid(NOBODY).gid(NOBODY);
    assert_eq!(own.end().await.ok().out, "", "and nobody was made there");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn lg_03_a_command_line_that_is_wrong_does_not_act_on_the_terminal() {
    let host = host!();
    for word in ["\u{9b}31m", "\u{202e}x", "\rx", "\u{1b}]0;x\u{7}"] {
        let refused = host.authctl().args(["user", "list", word]).end().await;
        assert_eq!(refused.exit, 2, "{refused:?}");
        let is_plain = |c: char| c == '\n' || !common::text::is_forbidden_in_names(c);
        assert!(!refused.err.is_empty() && refused.err.chars().all(is_plain), "{:?}", refused.err);
    }
}

#[tokio::test]
async fn az_03_somebody_else_cannot_open_the_socket_and_exits_5() {
    let host = host!();
    let daemon = host.daemon().start().await;
    let Some(refused) = as_nobody(&host, &["status"]).await else { return };
    assert_eq!((refused.exit, refused.out.as_str()), (5, ""), "{refused:?}");
    assert!(refused.err.contains("authd-admin") && refused.err.contains("fix:"), "{refused:?}");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn az_04_a_socket_whose_mode_was_widened_still_refuses_somebody_else() {
    let host = host!();
    let daemon = host.daemon().start().await;
    std::fs::set_permissions(host.socket(), Permissions::from_mode(0o666)).unwrap();
    for args in [&["status"][..], &["user", "create", "--email", "eve@example.com", "--no-password"]] {
        let Some(refused) = as_nobody(&host, args).await else { return };
        assert_eq!((refused.exit, refused.out.as_str()), (5, ""), "{refused:?}");
        assert!(refused.err.contains("FORBIDDEN"), "{refused:?}");
    }
    assert_eq!(host.ctl("user list -o id").await.ok().out, "");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn az_04_the_audit_trail_has_the_operators_uid_and_reason() {
    let host = host!();
    let daemon = host.daemon().start().await;
    host.ctl("user create --email ada@example.com --no-password --reason ticket-7").await.ok();
    let trail = host.ctl("audit list --event user.created -o json").await.ok().json();
    assert_eq!(trail[0]["actor"]["uid"], geteuid().as_raw());
    assert_eq!(trail[0]["reason"], "ticket-7");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn exit_6_is_for_a_daemon_that_is_not_there() {
    let host = host!();
    let none = host.ctl("status").await;
    assert_eq!((none.exit, none.out.as_str()), (6, ""), "{none:?}");
    assert!(none.err.contains("fix:"), "{none:?}");
    host.daemon().start().await.kill().await;
    assert!(host.socket().exists());
    let dead = host.ctl("status").await;
    assert_eq!((dead.exit, dead.out.as_str()), (6, ""), "{dead:?}");
}

/// A socket on which something listens that is not authd. It is given every connection.
fn fake<F>(path: &Path, serve: impl Fn(UnixStream) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
}

#[tokio::test]
async fn cl_03_a_daemon_that_never_answers_ends_in_exit_7_within_the_timeout() {
    let host = host!();
    fake(&host.socket(), async |stream: UnixStream| {
        // Read by nobody, and never closed.
        std::future::pending::<()>().await;
        drop(stream);
    });
    let silent = host.ctl("--timeout 1 status").await;
    assert_eq!((silent.exit, silent.out.as_str()), (7, ""), "{silent:?}");
    let silent = host.ctl("--timeout 1 --idempotency-key k1 user create --email a@b.example --no-password").await;
    assert_eq!(silent.exit, 7, "{silent:?}");
    assert!(silent.err.contains("may have been done"), "{silent:?}");
    assert!(silent.err.contains("--idempotency-key k1"), "{silent:?}");
}

/// Reads a request of which nobody minds how long it is, and answers with these bytes.
async fn answer(mut stream: UnixStream, bytes: &'static str) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(bytes.as_bytes()).await;
}

#[tokio::test]
async fn cl_03_half_an_answer_exits_1_and_says_whether_it_may_have_been_done() {
    let host = host!();
    fake(&host.path("a.sock"), |stream| {
        answer(stream, "HTTP/1.1 200 OK\r\nauthd-api-version: 1\r\ncontent-length: 100\r\n\r\n{\"key\"")
    });
    fake(&host.path("b.sock"), |stream| answer(stream, ""));
    for name in ["a.sock", "b.sock"] {
        let on =
            |line: &str| host.run(host.authctl_program()).flag("--socket", host.path(name)).args(line.split(' ')).end();
        let read = on("status").await;
        assert_eq!((read.exit, read.out.as_str()), (1, ""), "{name}: {read:?}");
        assert!(!read.err.contains("may have been done"), "{name}: {read:?}");
        let write = on("keys rotate --yes").await;
        assert_eq!((write.exit, write.out.as_str()), (1, ""), "{name}: {write:?}");
        assert!(write.err.contains("may have been done"), "{name}: {write:?}");
    }
}

#[tokio::test]
async fn exit_11_is_for_a_daemon_of_another_version_and_for_what_is_none() {
    let host = host!();
    fake(&host.path("a.sock"), |stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"));
    fake(&host.path("b.sock"), |stream| {
        answer(stream, "HTTP/1.1 200 OK\r\nauthd-api-version: 99\r\ncontent-length: 2\r\n\r\n{}")
    });
    for name in ["a.sock", "b.sock"] {
        let refused = host.run(host.authctl_program()).flag("--socket", host.path(name)).args(["status"]).end().await;
        assert_eq!((refused.exit, refused.out.as_str()), (11, ""), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn cl_04_an_act_whose_answer_was_lost_is_done_once_however_often_it_is_asked_for() {
    let host = host!();
    let daemon = host.daemon().start().await;
    let real = host.socket();
    fake(&host.path("lossy.sock"), move |client| {
        let real = real.clone();
        async move {
            let (mut from_client, _to_client) = client.into_split();
            let (mut from_daemon, mut to_daemon) = UnixStream::connect(&real).await.unwrap().into_split();
            let relay = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_daemon).await });
            // The answer has come as far as here.
            let mut answer = [0; 1];
            from_daemon.read_exact(&mut answer).await.unwrap();
            relay.abort();
        }
    });
    let line = "--idempotency-key k1 keys rotate --now --yes";
    let lossy = host.run(host.authctl_program()).flag("--socket", host.path("lossy.sock"));
    let lost = lossy.args(line.split(' ')).end().await;
    assert_eq!(lost.exit, 1, "{lost:?}");
    assert!(lost.err.contains("may have been done"), "{lost:?}");
    for _ in 0..2 {
        let again = host.ctl(line).await;
        assert_eq!(again.exit, 0, "{again:?}");
    }
    assert_eq!(host.ctl("keys list -o id").await.ok().out.lines().count(), 2, "the first key and one more");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn exit_8_is_for_a_check_that_failed() {
    let host = host!();
    let daemon = host.daemon().start().await;
    let bad = host.authctl().args(["token", "verify"]).input("eyJhbGciOiJub25lIn0.e30.").end().await;
    assert_eq!(bad.exit, 8, "{bad:?}");
    let body = serde_json::json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
    let token = daemon.client().post("/api/auth/signup", &body).await.text("/access_token");
    let verify = || host.authctl().args(["token", "verify"]).input(&token).end();
    assert_eq!(verify().await.exit, 0);
    host.ctl("session revoke --user ada@example.com --yes").await.ok();
    assert_eq!(verify().await.exit, 8);
    daemon.stop().await.ok();
}

#[tokio::test]
async fn exit_9_is_for_what_is_refused() {
    let host = host!();
    let daemon = host.daemon().start().await;
    for weak in ["short", "password1", "ada@example.com"] {
        let create = host.authctl().args(["user", "create", "--email", "ada@example.com", "--password-stdin"]);
        let refused = create.input(weak).end().await;
        assert_eq!((refused.exit, refused.out.as_str()), (9, ""), "{weak}: {refused:?}");
    }
    daemon.stop().await.ok();
}

/// A command on a terminal of its own, which somebody watches.
struct Terminal {
    person: File,
    shown: watch::Receiver<String>,
}

impl Terminal {
    /// A terminal, and its other end for the streams of a command.
    fn new() -> (Self, File) {
        let pty = openpty(None, None).unwrap();
        let person = File::from(pty.master);
        let mut reader = person.try_clone().unwrap();
        let (sender, shown) = watch::channel(String::new());
        tokio::task::spawn_blocking(move || {
            let mut buffer = [0; 4096];
            // It fails when the command has closed the other end.
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                sender.send_modify(|shown| shown.push_str(&String::from_utf8_lossy(&buffer[..n])));
            }
        });
        (Self { person, shown }, File::from(pty.slave))
    }

    async fn shows(&mut self, text: &str) {
        let seen = timeout(LIMIT, self.shown.wait_for(|shown| shown.contains(text))).await.unwrap().is_ok();
        assert!(seen, "'{text}' is not shown: {}", self.shown.borrow().clone());
    }

    /// Waits until the terminal does not show what is typed. Nobody tells when that is, so it is looked at again and again.
    async fn hides_what_is_typed(&self) {
        let hides = async {
            while tcgetattr(&self.person).unwrap().local_flags.contains(LocalFlags::ECHO) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, hides).await.unwrap();
    }

    fn types(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).unwrap();
    }

    /// All that was shown, once the command has ended.
    async fn end(mut self) -> String {
        let _ = timeout(LIMIT, self.shown.wait_for(|_| false)).await.unwrap();
        self.shown.borrow().clone()
    }
}

#[tokio::test]
async fn exit_9_is_for_a_question_that_was_answered_with_no() {
    let host = host!();
    let daemon = host.daemon().start().await;
    host.create_user("ada@example.com").await.ok();
    for (answer, exit, left) in [("n", 9, 1), ("y", 0, 0)] {
        let (mut terminal, slave) = Terminal::new();
        let mut run = host.authctl().args(["user", "delete", "ada@example.com"]);
        let command = run.command.stdin(slave.try_clone().unwrap()).stdout(Stdio::null()).stderr(slave);
        let mut child = command.spawn().unwrap();
        drop(run);
        terminal.shows("Delete ada@example.com for good?").await;
        terminal.types(answer);
        let status = timeout(LIMIT, child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(exit), "{}", terminal.end().await);
        assert_eq!(host.ctl("user list -o id").await.ok().out.lines().count(), left);
    }
    daemon.stop().await.ok();
}

#[tokio::test]
async fn cl_01_user_create_asks_on_a_terminal_and_the_password_is_not_shown() {
    let host = host!();
    if openpty(None, None).is_err() {
        tests::shared::skipped("a terminal (a pty)");
        return;
    }
    let daemon = host.daemon().start().await;
    let (mut terminal, slave) = Terminal::new();
    let mut run = host.authctl().args(["user", "create", "-o", "json"]);
    let command = run.command.stdin(slave.try_clone().unwrap()).stdout(Stdio::piped()).stderr(slave);
    let child = command.spawn().unwrap();
    drop(run);
    for (question, answer) in [("E-mail address", "ada@example.com"), ("Name (may be empty)", "Ada")] {
        terminal.shows(question).await;
        terminal.types(&format!("{answer}\r"));
    }
    for question in ["Password", "Password again"] {
        terminal.shows(question).await;
        // The question stands there before the echo is off; what was typed between would be shown and thrown away.
        terminal.hides_what_is_typed().await;
        terminal.types(&format!("{PASSWORD}\r"));
    }
    let end = timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    let shown = terminal.end().await;
    assert_eq!(end.status.code(), Some(0), "{shown}");
    assert!(shown.contains("ada@example.com"), "{shown}");
    let made = String::from_utf8(end.stdout).unwrap();
    for text in [&shown, &made] {
        assert!(!text.contains(PASSWORD) && !text.contains(&PASSWORD[..8]), "{text}");
    }
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!((made["email"].as_str(), made["name"].as_str()), (Some("ada@example.com"), Some("Ada")));
    let login = serde_json::json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(daemon.client().post("/api/auth/login", &login).await.status, 200);
    assert!(!daemon.stop().await.ok().err.contains(PASSWORD));
}

/// What a command shows on a terminal.
async fn on_a_terminal(host: &Host, line: &[&str], env: &[(&str, &str)]) -> String {
    let (terminal, slave) = Terminal::new();
    let mut run = host.authctl().args(line).env("TERM", "xterm");
    for (name, value) in env {
        run = run.env(name, value);
    }
    let mut child = run.command.stdin(Stdio::null()).stdout(slave.try_clone().unwrap()).stderr(slave).spawn().unwrap();
    drop(run);
    assert_eq!(timeout(LIMIT, child.wait()).await.unwrap().unwrap().code(), Some(0));
    terminal.end().await
}

#[tokio::test]
async fn colours_are_for_terminals_and_not_where_no_color_is_set() {
    let host = host!();
    let daemon = host.daemon().start().await;
    for email in ["ada@example.com", "bob@example.com"] {
        host.create_user(email).await.ok();
    }
    for line in [&["status"][..], &["user", "list", "--limit", "1"]] {
        let shown = on_a_terminal(&host, line, &[]).await;
        assert!(shown.contains('\u{1b}') && !shown.contains("\\u{1b}"), "{shown}");
        assert_eq!(shown.contains("there are more"), line.len() > 1, "{shown}");
        let unset = on_a_terminal(&host, line, &[("NO_COLOR", "")]).await;
        assert!(unset.contains('\u{1b}'), "empty is unset (no-color.org)");
        for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let shown = on_a_terminal(&host, line, &[plain]).await;
            assert!(!shown.contains('\u{1b}') && !shown.contains("\\u{1b}"), "{shown}");
        }
    }
    let piped = host.ctl("status").await.ok();
    assert!(!piped.out.contains('\u{1b}') && !piped.err.contains('\u{1b}'), "{piped:?}");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn authctl_socket_names_the_socket_and_the_flag_wins() {
    let host = host!();
    let daemon = host.daemon().start().await;
    let authctl = || host.run(host.authctl_program()).args(["status"]);
    authctl().env("AUTHCTL_SOCKET", host.socket()).end().await.ok();
    assert_eq!(authctl().env("AUTHCTL_SOCKET", host.path("none.sock")).end().await.exit, 6);
    let both = authctl().env("AUTHCTL_SOCKET", host.path("none.sock")).flag("--socket", host.socket());
    both.end().await.ok();
    // It is no argument that was typed, and no part of what is said of those.
    let env = |run: tests::process::Run| run.env("AUTHCTL_SOCKET", host.socket());
    let wrong = env(host.run(host.authctl_program()).args(["session", "revoke", "--yes"])).end().await;
    assert!(wrong.exit == 2 && wrong.err.contains("--user <USER>") && !wrong.err.contains("--socket"), "{wrong:?}");
    let bare = env(host.run(host.authctl_program())).end().await;
    assert!(bare.exit == 2 && bare.err.contains("Commands:") && !bare.err.contains("error:"), "{bare:?}");
    // Empty is unset.
    let none = host.run(host.authctl_program()).args(["status"]).env("AUTHCTL_SOCKET", "").end().await;
    assert!(!none.err.contains("there is no admin socket at"), "{none:?}");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn without_a_word_authctl_finds_the_socket_of_the_users_own_daemon() {
    let host = host!();
    if Path::new("/run/authd/admin.sock").exists() {
        tests::shared::skipped("a machine without an authd of its own");
        return;
    }
    let runtime = host.path("run");
    std::fs::create_dir(&runtime).unwrap();
    let daemon = host.authd().args(["--listen", "127.0.0.1:0"]).env("XDG_RUNTIME_DIR", &runtime).start().await;
    host.run(host.authctl_program()).args(["status"]).env("XDG_RUNTIME_DIR", &runtime).end().await.ok();
    assert_eq!(host.run(host.authctl_program()).args(["status"]).end().await.exit, 6);
    daemon.stop().await.ok();
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let host = host!();
    let daemon = host.daemon().start().await;
    for n in 0..3 {
        host.create_user(&format!("user{n}@example.com")).await.ok();
    }
    for line in ["user list", "user list -o json", "user list -o csv", "user list -o id", "status", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut run = host.authctl().args(line.split(' '));
        let child = run.command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let end = timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
        assert_eq!((end.status.code(), end.stderr.as_slice()), (Some(0), &b""[..]), "{line}");
    }
    let script =
        format!("{} --socket {} user list -o id | head -1", host.authctl_program().display(), host.socket().display());
    let first = host.run("/bin/sh").args(["-c", &script]).end().await.ok();
    assert_eq!((first.out.lines().count(), first.err.as_str()), (1, ""));
    daemon.stop().await.ok();
}

#[tokio::test]
async fn output_that_cannot_be_written_exits_1() {
    let host = host!();
    let daemon = host.daemon().start().await;
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut run = host.authctl().args(["status"]);
    let child = run.command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let end = timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(end.status.code(), Some(1));
    assert!(!end.stderr.is_empty());
    daemon.stop().await.ok();
}

#[tokio::test]
async fn errors_are_json_where_json_is_asked_for_and_carry_the_exit_code() {
    let host = host!();
    let daemon = host.daemon().start().await;
    for line in ["user show nobody@example.com -o json", "keys rollback --yes -o json", "keys rotate -o jsonl"] {
        let refused = host.ctl(line).await;
        let error: serde_json::Value = serde_json::from_str(&refused.err).unwrap();
        assert_eq!(error["error"]["exitCode"], refused.exit, "{line}: {refused:?}");
    }
    daemon.stop().await.ok();
}

#[tokio::test]
async fn events_are_followed_as_they_happen() {
    let host = host!();
    let daemon = host.daemon().env("AUTHD_EVENTS__STREAM", "true").start().await;
    host.create_user("ada@example.com").await.ok();
    for words in [&["events", "tail", "--follow"][..], &["events", "--follow"]] {
        let mut child = host.authctl().args(words).spawn().await;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = async || {
            let line = timeout(LIMIT, lines.next_line()).await.unwrap().unwrap().unwrap();
            serde_json::from_str::<serde_json::Value>(&line).unwrap()
        };
        while next().await["type"] != "user.created" {}
        host.ctl("user disable ada@example.com --yes").await.ok();
        while next().await["type"] != "user.banned" {}
        host.ctl("user enable ada@example.com").await.ok();
        while next().await["type"] != "user.unbanned" {}
        child.kill().await.unwrap();
    }
    daemon.stop().await.ok();
}
