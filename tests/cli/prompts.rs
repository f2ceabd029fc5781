//! With a person at the terminal.

use tests::{PASSWORD, Server, ctl::ctl};

#[tokio::test]
async fn user_create_asks_for_all_it_needs() {
    let server = Server::start().await;
    let made = ctl(&server.socket).person(&["ada@example.com", "Ada", PASSWORD]).run("user create").await.ok();
    assert!(made.err.contains("? E-mail address\n? Name (may be empty)\n? Password\n"), "{made:?}");
    assert!(!made.err.contains(PASSWORD) && !made.out.contains(PASSWORD));
    let login = serde_json::json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(server.client().post("/api/auth/login", &login).await.status, 200);
}

#[tokio::test]
async fn destructive_commands_ask_and_no_means_no() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    for line in [
        "user delete ada@example.com",
        "user disable ada@example.com",
        "session revoke --user ada@example.com",
        "keys rotate",
    ] {
        let before = server.admin().get("/v1/audit").await.body;
        let declined = ctl(&server.socket).person(&["n"]).run(line).await;
        assert_eq!(declined.exit, 9, "{line}: {declined:?}");
        assert!(declined.err.ends_with("declined; nothing was done\n"), "{line}");
        assert!(!declined.err.contains("error:"), "{line}: who says no has made no mistake: {declined:?}");
        assert_eq!(server.admin().get("/v1/audit").await.body, before, "{line}");
    }
    let revoked = ctl(&server.socket).person(&["y"]).run("session revoke --user ada@example.com").await.ok();
    assert!(revoked.err.contains("? End 1 session of 1 user?"), "{revoked:?}");
    let deleted = ctl(&server.socket).person(&["y"]).run("user delete ada@example.com").await.ok();
    assert!(deleted.err.contains("? Delete ada@example.com for good? (no session would end)"), "{deleted:?}");
    let rotated = ctl(&server.socket).person(&["y"]).run("keys rotate").await.ok();
    assert!(rotated.err.contains("signs from"), "{rotated:?}");
}

#[tokio::test]
async fn a_password_that_ends_sessions_is_asked_for_where_a_person_is() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let question = "? Set another password for ada@example.com? (1 session would end)";
    let set = "user set-password ada@example.com --generate";
    let declined = ctl(&server.socket).person(&["n"]).run(set).await;
    assert!(declined.exit == 9 && declined.err.contains(question), "{declined:?}");
    let login = serde_json::json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(server.client().post("/api/auth/login", &login).await.status, 200, "the old one is good");
    let asked = ctl(&server.socket).person(&["y"]).run(set).await.ok();
    assert!(asked.err.contains("(2 sessions would end)") && asked.err.contains("2 sessions ended"), "{asked:?}");
    // Nothing ends; nobody is to be asked; nobody is there.
    ctl(&server.socket).person(&[]).run(set).await.ok();
    let made = ctl(&server.socket).run("user set-password ada@example.com --generate -o json").await.ok().json();
    let login = serde_json::json!({"email": "ada@example.com", "password": made["generatedPassword"]});
    assert_eq!(server.client().post("/api/auth/login", &login).await.status, 200);
    ctl(&server.socket).person(&[]).run(&format!("{set} --yes")).await.ok();
    assert_eq!(server.client().post("/api/auth/login", &login).await.status, 401);
}
