//! What is typed wrong: it is said what, by the words that were typed, and what to type instead.

use tests::{PASSWORD, Server, ctl::ctl};

#[tokio::test]
async fn an_operand_that_is_empty_is_a_usage_error() {
    let server = Server::start().await;
    for line in [
        &["user", "show", ""][..],
        &["user", "ban", "", "--yes"],
        &["user", "set-password", "", "--generate"],
        &["user", "delete", "", "--yes"],
        &["session", "show", ""],
        &["session", "list", "--user", ""],
        &["session", "revoke", "", "--yes"],
        &["session", "revoke", "--user", "", "--yes"],
        &["keys", "revoke", "", "--yes"],
        &["audit", "list", "--user", ""],
        &["audit", "erase", "--user", "", "--yes"],
        &["throttle", "clear", "--source", ""],
        &["mail", "test", ""],
        &["mail", "retry", ""],
        &["mail", "preview", ""],
        &["hook", "test", ""],
        &["import", "undo", "", "--yes"],
        &["backup", "verify", ""],
        &["token", "service", "revoke", "", "--yes"],
    ] {
        let refused = ctl(&server.socket).args(line).await;
        assert_eq!(refused.exit, 2, "{line:?}: {refused:?}");
        assert!(!refused.err.contains("Not found"), "{line:?}: {refused:?}");
    }
}

#[tokio::test]
async fn numbers_and_times_that_are_none_are_said_in_words_of_the_command() {
    let server = Server::start().await;
    for (line, said) in [
        ("user list --limit 0", "write a whole number from 1 on, or --all"),
        ("user list --limit many", "write a whole number from 1 on, or --all"),
        ("user ban ada@example.com --expires-in 0s --yes", "it would end at once: write a time such as 7d"),
        ("token service create app --scope users:read --expires 0s", "it would end at once"),
        ("session revoke --yes", "<SESSIONS|--user <USER>>"),
    ] {
        let refused = ctl(&server.socket).run(line).await;
        assert!(refused.exit == 2 && refused.err.contains(said), "{line}: {refused:?}");
    }
    let both = ctl(&server.socket).run("session revoke x --user ada@example.com --yes").await;
    assert_eq!(both.exit, 2, "{both:?}");
}

#[tokio::test]
async fn what_the_daemon_refuses_names_the_value_and_the_limit() {
    let server = Server::start().await;
    let short = ctl(&server.socket).input("short").run("user create --email ada@example.com --password-stdin").await;
    assert!(short.exit == 9 && short.err.contains("it has fewer than 8 characters"), "{short:?}");
    let long = "x".repeat(129);
    let long = ctl(&server.socket).input(&long).run("user create --email ada@example.com --password-stdin").await;
    assert!(long.exit == 9 && long.err.contains("it has more than 128 characters"), "{long:?}");
    let address = ctl(&server.socket).run("user create --email ada.example.com --no-password").await;
    assert!(address.exit == 2 && address.err.contains("'ada.example.com' is no e-mail address"), "{address:?}");
    assert!(address.err.contains("fix:"), "{address:?}");
}

#[tokio::test]
async fn an_address_is_looked_at_before_anything_else_is_typed() {
    let server = Server::start().await;
    let asked = ctl(&server.socket).person(&["ada.example.com", "Ada", PASSWORD]).run("user create").await;
    assert!(asked.exit == 2 && asked.err.contains("'ada.example.com' is no e-mail address"), "{asked:?}");
    assert!(asked.err.contains("? E-mail address\n") && !asked.err.contains("? Name"), "{asked:?}");
}

#[tokio::test]
async fn what_is_no_socket_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [dir.path(), &file] {
        let refused = ctl(path).run("status").await;
        assert!(refused.exit == 6 && refused.err.contains(" is no socket"), "{refused:?}");
        assert!(!refused.err.contains("has stopped"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_role_that_nobody_knows_is_noted() {
    let note = "! authd does not know what suport may: it is no role of admin_plugin";
    for is_on in ["false", "true"] {
        let server = Server::builder().set("admin_plugin.enabled", is_on).start().await;
        server.sign_up("ada@example.com").await;
        for more in ["--dry-run", "--yes"] {
            let given = ctl(&server.socket).run(&format!("user role ada@example.com user,suport {more}")).await.ok();
            assert!(given.err.contains(note), "{given:?}");
        }
        let admin = ctl(&server.socket).run("user role ada@example.com admin --yes").await.ok();
        assert_eq!(admin.err.contains("! "), is_on == "false", "only the plugin gives it a meaning: {admin:?}");
        let back = ctl(&server.socket).run("user role ada@example.com user --yes").await.ok();
        assert!(!back.err.contains("! "), "{back:?}");
    }
}
