//! The runbooks of the manual, command by command as they stand there, on a host that has the trouble that they are about. What
//! stands for the host's own programs (systemctl and the like) is made here.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tests::{PASSWORD, process::Host};

use crate::{failures::Small, host, readme::matches};

/// One command, and what one sees; a line of `…` stands for any lines.
struct Step {
    line: String,
    seen: Vec<String>,
}

fn manual() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/manual/src/runbooks.md");
    fs::read_to_string(path).unwrap()
}

/// The runbooks that have commands: the heading, and the steps of all blocks below it.
fn runbooks(page: &str) -> Vec<(String, Vec<Step>)> {
    let mut found = vec![];
    for part in page.split("\n## ").skip(1) {
        let heading = part.lines().next().unwrap().to_owned();
        let mut steps: Vec<Step> = vec![];
        for block in part.split("<!-- run -->\n```console\n").skip(1) {
            for line in block.split("\n```").next().unwrap().lines() {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(line), _) => steps.push(Step { line: line.into(), seen: vec![] }),
                    (None, Some(step)) => step.seen.push(line.into()),
                    (None, None) => panic!("{heading}: output before a command: {line}"),
                }
            }
        }
        if !steps.is_empty() {
            found.push((heading, steps));
        }
    }
    found
}

/// Whether what was printed is what one is to see.
fn is_seen(expected: &[String], printed: &[&str]) -> bool {
    match (expected, printed) {
        ([], []) => true,
        ([any, rest @ ..], _) if any == "…" => (0..=printed.len()).any(|skip| is_seen(rest, &printed[skip..])),
        ([line, rest @ ..], [first, others @ ..]) => matches(line, first) && is_seen(rest, others),
        _ => false,
    }
}

/// The programs of the host. `systemctl` keeps one daemon, which it starts as the unit would: with drop-ins, and with what the
/// test put into its environment.
const PROGRAMS: &[(&str, &str)] = &[
    ("sudo", "exec \"$@\""),
    ("systemd-run", "while [ \"${1#-}\" != \"$1\" ]; do [ \"$1\" = -p ] && shift; shift; done; exec \"$@\""),
    // There is no user authd here.
    ("chown", "echo \"$*\" >>\"$ROOT/chowned\""),
    ("timedatectl", "echo 'System clock synchronized: yes'"),
    ("journalctl", "case $* in *--vacuum-size*) rm -f \"$ROOT/data/filler\";; *) tail -n 50 \"$ROOT/log\";; esac"),
    (
        "systemctl",
        r#"
case $1 in
  is-active) kill -0 "$(cat "$ROOT/pid")" 2>/dev/null && echo active || echo inactive ;;
  stop | restart)
    if kill "$(cat "$ROOT/pid")" 2>/dev/null; then tail --pid="$(cat "$ROOT/pid")" -f /dev/null; fi ;;
esac
case $1 in
  start | restart)
    flags=$(cat "$ROOT"/units/authd.service.d/*.conf 2>/dev/null | sed -n 's|^ExecStart=/usr/bin/authd||p' | tail -n 1)
    [ -e "$ROOT/ahead" ] && export AUTHD_TEST_CLOCK_AHEAD=$(cat "$ROOT/ahead")
    # shellcheck disable=SC2086
    setsid authd $flags >/dev/null 2>>"$ROOT/log" </dev/null &
    echo $! >"$ROOT/pid"
    for try in $(seq 600); do
      authctl status >/dev/null 2>&1; [ $? -lt 5 -o $? -eq 8 ] && [ -S "$AUTHCTL_SOCKET" ] && break
      kill -0 "$(cat "$ROOT/pid")" || break
      read -rt 0.05 <> <(:)
    done ;;
esac
true"#,
    ),
];

struct Scene {
    host: Host,
    bin: PathBuf,
}

impl Scene {
    async fn new(host: Host) -> Self {
        let bin = host.path("bin");
        fs::create_dir(&bin).unwrap();
        for (name, script) in PROGRAMS {
            let file = bin.join(name);
            fs::write(&file, format!("#!/bin/bash\n{script}\n")).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let init = host.authd().args(["init", "--public-url", "http://localhost:8000", "--listen", "127.0.0.1:0"]);
        let init = init.flag("--dir", host.path("etc")).flag("--data-dir", host.data());
        init.flag("--admin-socket", host.socket()).end().await.ok();
        fs::copy(host.path("etc/authd.toml"), host.installed_config()).unwrap();
        Self { host, bin }
    }

    /// The paths of an installed authd are those of this host.
    async fn sh(&self, script: &str) -> String {
        let programs = self.host.authctl_program().parent().unwrap();
        let root = self.host.path("");
        let path = |name: &str| root.join(name).display().to_string();
        let script = format!("cd {}\n{script}", root.display())
            .replace("/etc/authd/", &path("etc/"))
            .replace("/var/lib/authd", &path("data"))
            .replace("/run/systemd/system", &path("units"));
        self.host
            .run("bash")
            .args(["-c", &script])
            .env("PATH", format!("{}:{}:/usr/bin:/bin", self.bin.display(), programs.display()))
            .env("AUTHCTL_SOCKET", self.host.socket())
            .env("AUTHD_TEST_INSTALLED_CONFIG", self.host.installed_config())
            .env("AUTHD_TEST_CHEAP_HASHES", "1")
            .env("ROOT", root.as_os_str())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .end()
            .await
            .out
    }

    /// Signs in: the status.
    async fn signs_in(&self, password: &str) -> String {
        let body = json!({"email": "ada@example.com", "password": password});
        self.sh(&format!(
            "address=$(sed -n 's/.*\"authd is ready\".*\"address\":\"\\([^\"]*\\)\".*/\\1/p' \"$ROOT/log\" | tail -n 1)
             curl -s -o /dev/null -w '%{{http_code}}' -H 'Host: localhost:8000' --json '{body}' \"http://$address/api/auth/login\""
        ))
        .await
    }

    /// Makes the trouble that this runbook is about.
    async fn trouble(&self, heading: &str) {
        if heading == "The clock was wrong" {
            fs::write(self.host.path("ahead"), "1h").unwrap();
        }
        self.sh("systemctl start authd.service").await;
        self.host.create_user("ada@example.com").await.ok();
        assert_eq!(self.signs_in(PASSWORD).await, "200");
        match heading {
            "Nobody can log in" => {
                for _ in 0..25 {
                    self.signs_in("wrong horse battery").await;
                }
            }
            "The store is damaged" => {
                self.sh("authctl store snapshot; systemctl stop authd.service").await;
                let sled = self.host.data().join("sled/db");
                let mut bytes = fs::read(&sled).unwrap();
                bytes[2000..2200].fill(0);
                fs::write(sled, bytes).unwrap();
            }
            "The disk is full" => {
                self.sh("fallocate -l 40M \"$ROOT/data/filler\"").await;
                assert_eq!(self.signs_in(PASSWORD).await, "503");
            }
            "The clock was wrong" => {
                fs::remove_file(self.host.path("ahead")).unwrap();
                self.sh("systemctl restart authd.service").await;
            }
            "A deleted user wants to be forgotten" => {
                self.sh("authctl user delete ada@example.com --yes").await;
            }
            "The host is lost" => {
                self.sh("authctl backup recipient new recovery.txt >recipient
                     AUTHD_BACKUP__RECIPIENTS=$(cat recipient) systemctl restart authd.service
                     authctl backup create FILE; systemctl stop authd.service
                     rm -rf /var/lib/authd /etc/authd/master.key
                     authd new-master-key /etc/authd/master.key; systemctl start authd.service")
                    .await;
                assert_eq!(self.signs_in(PASSWORD).await, "401", "nobody is known on the new host");
            }
            _ => {}
        }
    }

    /// Whether it is gone.
    async fn is_over(&self, heading: &str) {
        let sessions = async || self.sh("authctl session list --all -o id").await;
        match heading {
            "Nobody can log in" | "The store is damaged" | "The disk is full" | "The clock was wrong" => {
                assert_eq!(self.signs_in(PASSWORD).await, "200", "{heading}");
                assert_eq!(self.sh("authctl status >/dev/null; echo $?").await, "0\n", "{heading}");
            }
            "An account is in wrong hands" => {
                assert_eq!(
                    (sessions().await.as_str(), self.signs_in(PASSWORD).await.as_str()),
                    ("", "401"),
                    "{heading}"
                );
            }
            "The host is lost" => {
                assert_eq!(self.signs_in(PASSWORD).await, "200", "{heading}");
                assert_ne!(self.sh("authctl audit list --event store.restored -o id").await, "", "{heading}");
                let given = fs::read_to_string(self.host.path("chowned")).unwrap();
                assert_eq!(given, format!("-R authd:authd {}\n", self.host.data().display()));
            }
            "Everybody out" => assert_eq!(sessions().await, "", "{heading}"),
            "The master key leaked, or is lost" => {
                assert_eq!(sessions().await, "", "{heading}");
                self.sh("systemctl restart authd.service").await;
                assert_eq!(self.signs_in(PASSWORD).await, "200", "{heading}");
            }
            "A signing key leaked"
            | "A deleted user wants to be forgotten"
            | "Somebody has to wait, or an account is under attack" => {}
            other => panic!("{other}: what is it good for? Say so here"),
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.host.path("pid")).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

async fn run(host: Host, heading: &str, steps: &[Step]) {
    let small = (heading == "The disk is full").then(|| Small::mount(&host.data()));
    if matches!(small, Some(None)) {
        return;
    }
    let scene = Scene::new(host).await;
    scene.trouble(heading).await;
    let kid = scene.sh("authctl keys list -o id").await.lines().next().unwrap_or_default().to_owned();
    let user = scene.sh("authctl audit list --event user.created -o json --fields user").await;
    let user = user.split('"').nth(3).unwrap_or_default().to_owned();
    let separator = "--- next ---";
    let filled = |text: &str| text.replace("KID", &kid).replace("USERID", &user);
    let command = |step: &Step| format!("{{ {}\n}} 2>&1; echo; echo '{separator}'\n", filled(&step.line));
    let printed = scene.sh(&steps.iter().map(command).collect::<String>()).await;
    let printed = printed.replace(&scene.host.data().display().to_string(), "/var/lib/authd");
    let answers: Vec<&str> = printed.split(&format!("\n{separator}\n")).collect();
    assert_eq!(answers.len(), steps.len() + 1, "{heading}\n{printed}");
    for (step, printed) in steps.iter().zip(answers) {
        let lines: Vec<&str> = printed.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let expected: Vec<String> = step.seen.iter().map(|line| filled(line)).collect();
        let shown = expected.join("\n");
        assert!(is_seen(&expected, &lines), "{heading}\n$ {}\n{shown}\n--- printed\n{printed}", step.line);
    }
    scene.is_over(heading).await;
}

#[test]
fn every_block_of_the_runbooks_is_run_by_a_test() {
    let page = manual();
    let fences = page.lines().filter(|line| line.starts_with("```")).count() / 2;
    let run = page.matches("<!-- run -->\n```console\n").count();
    assert_eq!(fences, run, "a block without <!-- run --> before it");
    assert!(run >= 8, "{run}");
}

#[test]
fn what_one_does_not_see_is_noticed() {
    let seen = |expected: &[&str], printed: &[&str]| {
        is_seen(&expected.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), printed)
    };
    assert!(seen(&["a", "…", "z [..]"], &["a", "b", "c", "z 1"]));
    assert!(seen(&["…"], &[]));
    assert!(!seen(&["a", "…", "z"], &["a", "b"]));
    assert!(!seen(&[], &["error: x"]));
}

macro_rules! runbook {
    ($( $name:ident: $heading:literal; )+) => {
        $(
            #[tokio::test]
            async fn $name() {
                let host = host!();
                let all = runbooks(&manual());
                let (heading, steps) = all.iter().find(|(heading, _)| heading == $heading).unwrap();
                run(host, heading, steps).await;
            }
        )+

        #[test]
        fn every_runbook_has_its_test() {
            let named = [$( $heading ),+];
            for (heading, _) in runbooks(&manual()) {
                assert!(named.contains(&heading.as_str()), "{heading}");
            }
        }
    };
}

runbook! {
    nobody_can_log_in: "Nobody can log in";
    the_store_is_damaged: "The store is damaged";
    the_disk_is_full: "The disk is full";
    the_clock_was_wrong: "The clock was wrong";
    a_signing_key_leaked: "A signing key leaked";
    the_master_key_leaked: "The master key leaked, or is lost";
    an_account_is_in_wrong_hands: "An account is in wrong hands";
    a_deleted_user_wants_to_be_forgotten: "A deleted user wants to be forgotten";
    everybody_out: "Everybody out";
    the_host_is_lost: "The host is lost";
}
