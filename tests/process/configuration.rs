//! The configuration as an operator meets it.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path};

use tests::process::{Host, Run};

use crate::host;

const SOUND: &str = "[http]\npublic_url = \"https://auth.example.com\"\n";

#[tokio::test]
async fn op_01_config_check_finds_all_problems_at_once_with_their_lines() {
    let host = host!();
    let file = host.path("authd.toml");
    let text = "[http]\npublic_url = \"http://auth.example.com\"\nmax_bodie = \"1KiB\"\ntrusted_proxies = [\"0.0.0.0/0\"]\n\n\
                [passwords]\nmin = 1\n\n[session]\nabsolute = \"1d\"\n\n[token]\nexpires_in = \"soon\"\n";
    std::fs::write(&file, text).unwrap();
    let check = || host.authd().args(["config", "check"]).flag("--config", &file);
    let found = check().end().await;
    assert_eq!((found.exit, found.out.as_str()), (78, ""), "{found:?}");
    // What cannot be read hides nothing of what can.
    for part in [
        "http.max_bodie (line 3)",
        "passwords (line 6)",
        "token.expires_in (line 13)",
        "http.public_url (line 2)",
        "http.trusted_proxies (line 4)",
        "session.absolute (line 10)",
    ] {
        assert!(found.err.contains(part), "{part}: {}", found.err);
    }
    assert_eq!(found.err.matches(" (line ").count(), 6, "{}", found.err);
    // The daemon says the same, and starts nothing.
    let refused = host.bare_daemon().flag("--config", &file).flag("--data-dir", host.data()).end().await;
    assert_eq!((refused.exit, refused.err), (78, found.err));
    assert!(!host.data().exists());
}

/// Configurations that must not start, each with the key that is named, and its line. `{dir}` is a directory with the files
/// of [`unsafe_files`]. In all of them the data directory is the host's.
const UNSAFE: &[(&str, &str)] = &[
    // Who can call, and under which name.
    ("[http]\nlisten = \"0.0.0.0:8000\"\n", "http.listen (line 2)"),
    ("[http]\nlisten = \"[::]:8000\"\nhosts = [\"auth.example.com\"]\n", "http.listen (line 2)"),
    ("[http]\npublic_url = \"http://auth.example.com\"\n", "http.public_url (line 2)"),
    ("[http]\n\npublic_url = \"http://192.0.2.7:8000\"\n", "http.public_url (line 3)"),
    ("[http]\npublic_url = \"https://auth.example.com/path\"\n", "http.public_url (line 2)"),
    ("[http]\npublic_url = \"https://user:secret@auth.example.com\"\n", "http.public_url (line 2)"),
    ("[http]\npublic_url = \"ftp://auth.example.com\"\n", "http.public_url (line 2)"),
    ("[http]\nhosts = [\"*\"]\n", "http.hosts (line 2)"),
    ("[http]\nhosts = [\"*.example.com\"]\n", "http.hosts (line 2)"),
    // Which pages are trusted.
    ("[http]\ntrusted_origins = [\"*\"]\n", "http.trusted_origins (line 2)"),
    ("[http]\ntrusted_origins = [\"https://*\"]\n", "http.trusted_origins (line 2)"),
    (
        "[http]\ntrusted_origins = [\"https://a.example\", \"https://a.example/path\"]\n",
        "http.trusted_origins (line 2)",
    ),
    ("[http]\ntrusted_origins = [\"\"]\n", "http.trusted_origins (line 2)"),
    // Who is believed about addresses.
    ("[http]\ntrusted_proxies = [\"0.0.0.0/0\"]\n", "http.trusted_proxies (line 2)"),
    ("[http]\ntrusted_proxies = [\"::/0\"]\n", "http.trusted_proxies (line 2)"),
    ("[http]\ntrusted_proxies = [\"10.0.0.1\", \"128.0.0.0/1\"]\n", "http.trusted_proxies (line 2)"),
    ("[http]\ntrusted_proxies = [\"proxy.example.com\"]\n", "http.trusted_proxies (line 2)"),
    // Paths and limits.
    ("[http]\nmounts = []\n", "http.mounts (line 2)"),
    ("[http]\nmounts = [\"/api\", \"/api/\"]\n", "http.mounts (line 2)"),
    ("[http]\nmounts = [\"/api/../admin\"]\n", "http.mounts (line 2)"),
    ("[http]\nmax_body = \"1GiB\"\n", "http.max_body (line 2)"),
    ("[http]\nmax_body_total = \"32KiB\"\n", "http.max_body_total (line 2)"),
    ("[http]\nmax_connections = 0\n", "http.max_connections (line 2)"),
    ("[http]\nheader_timeout = \"0s\"\n", "http.header_timeout (line 2)"),
    ("[http]\nbody_timeout = \"1h\"\n", "http.body_timeout (line 2)"),
    // Passwords.
    ("[password]\nmin_length = 4\n", "password.min_length (line 2)"),
    ("[password]\nmax_length = 32\n", "password.max_length (line 2)"),
    ("[password]\nargon2_memory = 16\n", "password.argon2_memory (line 2)"),
    ("[password]\nargon2_iterations = 1\n", "password.argon2_iterations (line 2)"),
    ("[password]\nblocklist_file = \"{dir}/missing\"\n", "password.blocklist_file (line 2)"),
    ("[password]\nblocklist_file = \"{dir}/empty\"\n", "password.blocklist_file (line 2)"),
    // Lives.
    ("[session]\nexpires_in = \"0s\"\n", "session.expires_in (line 2)"),
    ("[session]\nabsolute = \"1d\"\n", "session.absolute (line 2)"),
    ("[session]\nreuse_window = \"1m\"\n", "session.reuse_window (line 2)"),
    ("[session]\nmax_per_user = 0\n", "session.max_per_user (line 2)"),
    ("[token]\nexpires_in = \"30d\"\n", "token.expires_in (line 2)"),
    ("[token]\nissuer = \" \"\n", "token.issuer (line 2)"),
    ("[token]\nissuer = \"\"\naudience = [\"\"]\n", "token.audience (line 3)"),
    // Keys, and the one secret.
    ("[keys]\nalgorithm = \"none\"\n", "keys.algorithm (line 2)"),
    ("[keys]\nalgorithm = \"HS256\"\n", "keys.algorithm (line 2)"),
    ("[keys]\npublish_ahead = \"1s\"\n", "keys.publish_ahead (line 2)"),
    ("[keys]\nrotate_every = \"1h\"\n", "keys.rotate_every (line 2)"),
    ("[keys]\nmaster_key_file = \"{dir}/empty\"\n", "keys.master_key_file (line 2)"),
    ("[keys]\nmaster_key_file = \"{dir}/zeros\"\n", "keys.master_key_file (line 2)"),
    ("[keys]\nmaster_key_file = \"{dir}/loose\"\n", "keys.master_key_file (line 2)"),
    ("[keys]\nmaster_key_file = \"{dir}/data/master.key\"\n", "keys.master_key_file (line 2)"),
    ("[keys]\nmaster_key_file = \"master.key\"\n", "keys.master_key_file (line 2)"),
    // Who is an administrator, and where.
    ("[admin.roles]\nview = [\"*\"]\n", "admin.roles.view (line 2)"),
    ("[admin.roles]\nadmin = [\"1000\"]\n", "admin.roles.admin (line 2)"),
    ("[admin.roles]\nadmin = \"ada\"\n", "admin.roles.admin (line 2)"),
    ("[admin.roles]\nroot = [\"ada\"]\n", "admin.roles.root (line 2)"),
    ("[admin]\nroles = [\"ada\"]\n", "admin.roles (line 2)"),
    ("[\"admin.roles\"]\nadmin = [\"ada\"]\n", "admin.roles (line 1)"),
    (
        "[admin]\nsocket = \"/run/authd/a-path-that-is-longer-than-the-hundred-and-seven-bytes-which-a-socket-of-unix-can-have/admin.sock\"\n",
        "admin.socket (line 2)",
    ),
    // What is no setting, or no value of one.
    ("[http]\nlisten = 8000\n", "http.listen (line 2)"),
    ("[http]\nlisten = \"localhost\"\n", "http.listen (line 2)"),
    ("[http]\nmax_bodie = \"1KiB\"\n", "http.max_bodie (line 2)"),
    ("[sign_up]\nenabled = \"no\"\n", "sign_up.enabled (line 2)"),
    ("[password]\nhash_threads = -1\n", "password.hash_threads (line 2)"),
    ("[log]\nlevel = \"everything\"\n", "log.level (line 2)"),
    ("[store]\ncache = \"1B\"\n", "store.cache (line 2)"),
    ("\n[nonsense]\n", "nonsense (line 2)"),
    ("http = 1\n", "http (line 1)"),
    ("[http]\nmax_body = \"1KiB\"\nmax_body = \"2KiB\"\n", "line 3"),
    ("not TOML at all", "line 1"),
];

/// A secret that is empty, one that nobody drew, one that others may read.
fn unsafe_files(host: &Host) {
    let write = |name: &str, text: &str, mode: u32| {
        std::fs::write(host.path(name), text).unwrap();
        std::fs::set_permissions(host.path(name), Permissions::from_mode(mode)).unwrap();
    };
    write("empty", "", 0o600);
    write("zeros", "authd-master-key-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 0o600);
    let made = host.path("loose");
    authd::crypto::master::create(&made, &authd::crypto::entropy::SystemEntropy::default()).unwrap();
    std::fs::set_permissions(&made, Permissions::from_mode(0o644)).unwrap();
}

#[tokio::test]
async fn op_01_unsafe_and_ill_typed_configurations_exit_78_and_name_key_and_line() {
    let host = host!();
    unsafe_files(&host);
    let file = host.path("authd.toml");
    let dir = host.path("").display().to_string();
    for (text, named) in UNSAFE {
        std::fs::write(&file, text.replace("{dir}", dir.trim_end_matches('/'))).unwrap();
        let with = |run: Run| run.flag("--config", &file).flag("--data-dir", host.data());
        let refused = with(host.authd().args(["config", "check"])).end().await;
        assert_eq!((refused.exit, refused.out.as_str()), (78, ""), "{text}: {refused:?}");
        assert!(
            refused.err.contains("the configuration has 1 problem:"),
            "nothing else is wrong: {text}: {}",
            refused.err
        );
        assert!(refused.err.contains(named), "{text}: {}", refused.err);
        // The daemon says the same, and has touched nothing.
        let start = with(host.authd()).end().await;
        assert_eq!((start.exit, start.err), (78, refused.err), "{text}");
        assert!(!host.data().exists(), "{text}");
    }
}

#[tokio::test]
async fn op_01_a_configuration_that_everybody_may_write_exits_78() {
    let host = host!();
    let file = host.path("authd.toml");
    std::fs::write(&file, SOUND).unwrap();
    let check = || host.authd().args(["config", "check"]).flag("--config", &file).end();
    for (mode, exit) in [(0o666, 78), (0o602, 78), (0o664, 0), (0o640, 0)] {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let checked = check().await;
        assert_eq!(checked.exit, exit, "{mode:o}: {checked:?}");
        assert!(exit == 0 || checked.err.contains(&format!("chmod o-w {}", file.display())), "{checked:?}");
    }
}

#[tokio::test]
async fn config_check_looks_at_the_templates_of_mails_too() {
    let host = host!();
    let (templates, file) = (host.path("mail"), host.path("authd.toml"));
    std::fs::create_dir(&templates).unwrap();
    std::fs::write(&file, format!("{SOUND}[mail]\ntemplates = {templates:?}\n")).unwrap();
    let check = || host.authd().args(["config", "check"]).flag("--config", &file).end();
    for (text, exit) in [("{{password}}", 78), ("{{link}}", 0)] {
        std::fs::write(templates.join("reset-password.txt"), format!("Subject: Hello\n\n{text}\n")).unwrap();
        let checked = check().await;
        assert_eq!(checked.exit, exit, "{checked:?}");
        let named = checked.err.contains("mail.templates: reset-password.txt: {{password}} stands for nothing");
        assert_eq!(named, exit == 78, "{checked:?}");
    }
}

#[tokio::test]
async fn a_role_for_a_name_that_the_host_does_not_know_is_noted_and_no_problem() {
    let host = host!();
    let file = host.path("authd.toml");
    std::fs::write(&file, format!("{SOUND}[admin.roles]\nview = [\"root\", \"no-such\"]\noncall = [\"@no-such\"]\n"))
        .unwrap();
    let checked = host.authd().args(["config", "check"]).flag("--config", &file).end().await.ok();
    for note in [
        "note: admin.roles.view (line 4): this host has no user for 'no-such'",
        "oncall (line 5): this host has no group",
    ] {
        assert!(checked.out.contains(note), "{checked:?}");
    }
    assert!(!checked.out.contains("root"), "{checked:?}");
}

#[tokio::test]
async fn the_name_that_init_makes_up_is_noted_until_it_is_another() {
    let host = host!();
    let note = "note: http.public_url is auth.example.com, which is an example";
    for (file, url, is_noted) in [("made-up", None, true), ("own", Some("https://login.example.org"), false)] {
        let dir = host.path(file);
        let init = host.authd().args(["init"]).flag("--dir", &dir).flag("--data-dir", host.data());
        let init = match url {
            Some(url) => init.flag("--public-url", url),
            None => init,
        };
        init.end().await.ok();
        let checked = host.authd().args(["config", "check"]).flag("--config", dir.join("authd.toml")).end().await.ok();
        assert_eq!(checked.out.contains(note), is_noted, "{checked:?}");
    }
}

/// What is in force, without the comments that say where it came from.
fn settings(shown: &str) -> Vec<String> {
    let lines = shown.lines().filter(|line| !line.starts_with("# "));
    lines.map(|line| line.split("  # ").next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn what_config_init_and_config_show_print_reads_back_as_the_same() {
    let host = host!();
    let template = host.authd().args(["config", "init"]).end().await.ok();
    let show = async |file: &Path| host.authd().args(["config", "show"]).flag("--config", file).end().await.ok().out;
    let file = host.path("template.toml");
    std::fs::write(&file, &template.out).unwrap();
    host.authd().args(["config", "check"]).flag("--config", &file).end().await.ok();
    let shown = show(&file).await;
    assert!(shown.contains("public_url = \"https://auth.example.com\""), "{shown}");

    let again = host.path("shown.toml");
    std::fs::write(&again, &shown).unwrap();
    assert_eq!(settings(&show(&again).await), settings(&shown));
}

#[tokio::test]
async fn config_show_says_where_each_setting_comes_from() {
    let host = host!();
    let file = host.path("authd.toml");
    std::fs::write(&file, format!("{SOUND}[token]\nexpires_in = \"5m\"\n")).unwrap();
    let shown = host.authd().args(["config", "show", "--listen", "127.0.0.1:1"]).flag("--config", &file);
    let shown = shown.env("AUTHD_HTTP__MAX_BODY", "2KiB").end().await.ok().out;
    for line in ["expires_in = \"5m\"  # line 4", "max_body = \"2KiB\"  # AUTHD_HTTP__MAX_BODY", "# --listen"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[tokio::test]
async fn op_01_a_variable_that_is_no_setting_exits_78() {
    let host = host!();
    let refused = host.daemon().env("AUTHD_X__Y", "1").end().await;
    assert_eq!(refused.exit, 78, "{refused:?}");
    assert!(refused.err.contains("AUTHD_X__Y"), "{refused:?}");
    assert!(!host.data().exists());
}

#[tokio::test]
async fn a_named_file_that_cannot_be_read_exits_78_and_is_not_development_mode() {
    let host = host!();
    for file in [host.path("missing.toml"), host.home()] {
        for command in [host.bare_daemon().flag("--config", &file), host.bare_daemon().env("AUTHD_CONFIG", &file)] {
            let refused = command.flag("--data-dir", host.data()).end().await;
            assert_eq!(refused.exit, 78, "{refused:?}");
            assert!(refused.err.contains(&file.display().to_string()), "{refused:?}");
            assert!(!host.data().exists());
        }
    }
}

#[tokio::test]
async fn the_configuration_of_an_installed_authd_is_read_unless_told_otherwise() {
    let host = host!();
    let show = async |args: &[&str]| host.authd().args(["config", "show"]).args(args).end().await.ok().out;
    assert!(show(&[]).await.starts_with("# development mode\n"));
    std::fs::write(host.installed_config(), SOUND).unwrap();
    let installed = format!("# production mode, {}\n", host.installed_config().display());
    assert!(show(&[]).await.starts_with(&installed));
    assert!(show(&["--data-dir", "/srv/authd", "--listen", "127.0.0.1:1"]).await.starts_with(&installed));
    assert!(show(&["--development"]).await.starts_with("# development mode\n"));
    let named = host.path("named.toml");
    std::fs::write(&named, SOUND).unwrap();
    let named = named.display().to_string();
    assert!(show(&["--config", &named]).await.starts_with(&format!("# production mode, {named}\n")));
    let by_variable = host.authd().args(["config", "show"]).env("AUTHD_CONFIG", &named).end().await.ok().out;
    assert!(by_variable.starts_with(&format!("# production mode, {named}\n")));

    // What is there and cannot be read is no reason for development mode.
    std::fs::remove_file(host.installed_config()).unwrap();
    std::fs::create_dir(host.installed_config()).unwrap();
    let refused = host.bare_daemon().flag("--data-dir", host.data()).end().await;
    assert_eq!(refused.exit, 78, "{refused:?}");
    assert!(refused.err.contains("--development leaves it alone"), "{refused:?}");
    assert!(!host.data().exists());
    host.daemon().start().await.stop().await.ok();
}

#[tokio::test]
async fn op_03_development_mode_starts_on_loopback_only_wherever_the_address_comes_from() {
    let host = host!();
    let development = || host.authd().args(["--development"]).flag("--data-dir", host.data());
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.7:0", "[2001:db8::1]:0", "[::ffff:192.0.2.7]:0"] {
        for (run, origin) in [
            (development().args(["--listen", address]), "--listen"),
            (development().env("AUTHD_HTTP__LISTEN", address), "AUTHD_HTTP__LISTEN"),
        ] {
            let refused = run.end().await;
            assert_eq!((refused.exit, refused.out.as_str()), (78, ""), "{address}: {refused:?}");
            assert!(refused.err.contains(&format!("http.listen ({origin})")), "{address}: {refused:?}");
            assert!(refused.err.contains("this machine only; authd init makes one"), "{address}: {refused:?}");
            assert!(!host.data().exists());
        }
    }
    for address in ["127.0.0.1:0", "127.0.0.2:0"] {
        let daemon = host.daemon().env("AUTHD_HTTP__LISTEN", address).start().await;
        assert!(daemon.address.ip().is_loopback());
        assert!(daemon.stop().await.ok().out.contains("development mode: for this machine only"));
    }
}

#[tokio::test]
async fn without_a_home_the_data_directory_must_be_named() {
    let host = host!();
    let homeless = || host.authd().args(["--development", "--listen", "127.0.0.1:0"]).without_env("HOME");
    let refused = homeless().end().await;
    assert_eq!(refused.exit, 78, "{refused:?}");
    assert!(refused.err.contains("--data-dir"), "{refused:?}");
    let daemon = homeless().flag("--data-dir", host.data()).start().await;
    assert_eq!(daemon.socket, host.data().join("admin.sock"));
    assert!(host.path("data.master.key").is_file(), "beside the data, not inside");
    daemon.stop().await.ok();
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_of_the_configuration_is_no_error() {
    let host = host!();
    for command in ["init", "show"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut run = host.authd().args(["config", command]);
        let child = run.command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let end = tokio::time::timeout(tests::process::LIMIT, child.wait_with_output()).await.unwrap().unwrap();
        assert_eq!((end.status.code(), end.stderr.as_slice()), (Some(0), &b""[..]));
    }
}

#[tokio::test]
async fn wrong_flags_exit_2_and_development_excludes_a_file() {
    let host = host!();
    for args in [
        &["--nonsense"][..],
        &["--development", "--config", "x.toml"],
        &["config"],
        &["config", "reload"],
        &["init", "--config", "x.toml"],
        &["--config", "x.toml", "init"],
        &["init", "--development"],
        &["config", "init", "--config", "x.toml"],
        &["config", "--config", "x.toml", "init"],
        &["--config", "x.toml", "config", "init"],
        &["config", "init", "--development"],
        &["--development", "config", "init"],
    ] {
        let program = host.authd().args(args);
        // Should it not refuse, it is not to make a configuration for this machine.
        let program = if args.contains(&"init") { program.flag("--dir", host.path("etc")) } else { program };
        let refused = program.end().await;
        assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "{args:?}: {refused:?}");
    }
    assert!(host.authd().args(["--version"]).end().await.ok().out.starts_with("authd "));
}
