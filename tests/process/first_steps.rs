//! An operator's first steps, as the manual has them, on a host without anything: what they install, make and start is there
//! afterwards. Directories of the system and the programs of systemd are made here.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::pages::{blocks, root};

use crate::host;

/// The first keeps what it was asked and starts one daemon, as the unit would; the last is authd, with flags that keep it here.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "systemctl",
        r#"
echo "$*" >>"$ROOT/asked"
case $1 in
  enable)
    for unit in "$@"; do case $unit in *.service | *.socket) [ -f "$ROOT/etc/systemd/system/$unit" ] || exit 1 ;; esac; done
    setsid "$ROOT/bin/authd" --config "$ROOT/etc/authd/authd.toml" >/dev/null 2>"$ROOT/log" </dev/null &
    echo $! >"$ROOT/pid"
    for try in $(seq 600); do
      grep -q 'authd is ready' "$ROOT/log" && exit 0
      kill -0 "$(cat "$ROOT/pid")" || exit 1
      read -rt 0.05 <> <(:)
    done
    exit 1 ;;
esac"#,
    ),
    ("systemd-sysusers", "grep -q '^u authd ' \"$ROOT/etc/sysusers.d/authd.conf\""),
    ("systemd-tmpfiles", "[ -f \"$ROOT/etc/tmpfiles.d/$2\" ]"),
    (
        "authd",
        r#"
if [ "$1" = init ]; then
  exec "$ROOT/bin/authd" "$@" --dir "$ROOT/etc/authd" --data-dir "$ROOT/data" --admin-socket "$AUTHCTL_SOCKET" --listen 127.0.0.1:0
fi
exec "$ROOT/bin/authd" "$@""#,
    ),
];

struct Daemon(std::path::PathBuf);

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = fs::read_to_string(&self.0).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn make_programs(dir: &Path) {
    fs::create_dir(dir).unwrap();
    for (name, script) in PROGRAMS {
        let file = dir.join(name);
        fs::write(&file, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

#[tokio::test]
async fn the_first_steps_of_an_operator_lead_to_a_daemon_that_is_ready() {
    let host = host!();
    let page = fs::read_to_string(root().join("packaging/manual/src/start-operator.md")).unwrap();
    let steps: Vec<_> =
        blocks("start-operator.md", &page).into_iter().filter(|block| block.text.contains("authd init")).collect();
    let [steps] = steps.as_slice() else { panic!("{} blocks make a configuration", steps.len()) };
    make_programs(&host.path("wrap"));
    for dir in ["bin", "etc/systemd/system"] {
        fs::create_dir_all(host.path(dir)).unwrap();
    }
    let at = host.path("");
    let at = at.display();
    let programs = host.authctl_program().parent().unwrap().display().to_string();
    let script = steps
        .text
        .replace("target/release/", &format!("{programs}/"))
        .replace("cd packaging/", &format!("cd {}/packaging/", root().display()))
        .replace("/usr/bin/", &format!("{at}/bin/"))
        .replace("/etc/", &format!("{at}/etc/"));
    let _daemon = Daemon(host.path("pid"));
    let run = host
        .run("bash")
        .args(["-e", "-c", &script])
        .env("PATH", format!("{at}/wrap:{at}/bin:/usr/bin:/bin"))
        .env("AUTHCTL_SOCKET", host.socket())
        .env("AUTHD_TEST_INSTALLED_CONFIG", host.path("etc/authd/authd.toml"))
        .env("AUTHD_TEST_CHEAP_HASHES", "1")
        .env("ROOT", host.path("").as_os_str());
    let end = run.end().await;
    let log = fs::read_to_string(host.path("log")).unwrap_or_default();
    assert_eq!(end.exit, 0, "{end:?}\n{log}");
    assert!(end.out.contains("ready"), "{}", end.out);
    for made in ["etc/authd/authd.toml", "etc/authd/master.key", "data/lock"] {
        assert!(host.path(made).exists(), "{made}");
    }
    assert!(fs::read_to_string(host.path("asked")).unwrap().starts_with("daemon-reload\nenable --now "));
    // The account of the last step.
    host.create_user("you@example.com").await.ok();
}
