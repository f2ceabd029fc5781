//! The configuration as an operator meets it.

use std::path::Path;

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
    for part in ["http.max_bodie (line 3)", "passwords (line 6)", "token.expires_in (line 13)"] {
        assert!(found.err.contains(part), "{part}: {}", found.err);
    }
    // What can only be judged once everything can be read.
    std::fs::write(
        &file,
        text.replace("max_bodie", "max_body").replace("[passwords]\nmin = 1", "").replace("soon", "1m"),
    )
    .unwrap();
    let found = check().end().await;
    assert_eq!(found.exit, 78, "{found:?}");
    for part in ["http.public_url (line 2)", "http.trusted_proxies (line 4)", "session.absolute (line 9)"] {
        assert!(found.err.contains(part), "{part}: {}", found.err);
    }
    // The daemon says the same, and starts nothing.
    let refused = host.bare_daemon().flag("--config", &file).flag("--data-dir", host.data()).end().await;
    assert_eq!((refused.exit, refused.err), (78, found.err));
    assert!(!host.data().exists());
}

#[tokio::test]
async fn op_01_unsafe_and_ill_typed_configurations_exit_78_and_name_the_key() {
    let host = host!();
    let file = host.path("authd.toml");
    for (text, key) in [
        ("[http]\nlisten = 8000\n", "http.listen"),
        ("[http]\nlisten = \"0.0.0.0:8000\"\n", "http.public_url"),
        ("[http]\npublic_url = \"http://auth.example.com\"\n", "http.public_url"),
        ("[http]\npublic_url = \"https://auth.example.com/path\"\n", "http.public_url"),
        ("[http]\npublic_url = \"ftp://auth.example.com\"\n", "http.public_url"),
        ("[http]\ntrusted_origins = [\"*\"]\n", "http.trusted_origins"),
        ("[http]\ntrusted_proxies = [\"0.0.0.0/0\"]\n", "http.trusted_proxies"),
        ("[http]\ntrusted_proxies = [\"::/0\"]\n", "http.trusted_proxies"),
        ("[http]\nmounts = []\n", "http.mounts"),
        ("[http]\nmax_body = \"1GiB\"\n", "http.max_body"),
        ("[http]\nheader_timeout = \"0s\"\n", "http.header_timeout"),
        ("[password]\nmin_length = 4\n", "password.min_length"),
        ("[password]\nargon2_memory = 16\n", "password.argon2_memory"),
        ("[password]\nargon2_iterations = 1\n", "password.argon2_iterations"),
        ("[session]\nexpires_in = \"0s\"\n", "session.expires_in"),
        ("[session]\nmax_per_user = 0\n", "session.max_per_user"),
        ("[token]\nexpires_in = \"30d\"\n", "token.expires_in"),
        ("[token]\nissuer = \"\"\naudience = [\"\"]\n", "token.audience"),
        ("[keys]\nalgorithm = \"none\"\n", "keys.algorithm"),
        ("[keys]\nalgorithm = \"HS256\"\n", "keys.algorithm"),
        ("[keys]\npublish_ahead = \"1s\"\n", "keys.publish_ahead"),
        ("[log]\nlevel = \"everything\"\n", "log.level"),
        ("[store]\ncache = \"1B\"\n", "store.cache"),
        ("[nonsense]\n", "nonsense"),
        ("not TOML at all", "line 1"),
    ] {
        std::fs::write(&file, text).unwrap();
        let refused = host.authd().args(["config", "check"]).flag("--config", &file).end().await;
        assert_eq!(refused.exit, 78, "{text}: {refused:?}");
        assert!(refused.err.contains(key), "{text}: {}", refused.err);
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
    ] {
        let program = host.authd().args(args);
        // Should it not refuse, it is not to make a configuration for this machine.
        let program = if args.contains(&"init") { program.flag("--dir", host.path("etc")) } else { program };
        let refused = program.end().await;
        assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "{args:?}: {refused:?}");
    }
    assert!(host.authd().args(["--version"]).end().await.ok().out.starts_with("authd "));
}
