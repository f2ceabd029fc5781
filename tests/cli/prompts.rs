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
        assert!(declined.err.contains("nothing was done"), "{line}");
        assert_eq!(server.admin().get("/v1/audit").await.body, before, "{line}");
    }
    let revoked = ctl(&server.socket).person(&["y"]).run("session revoke --user ada@example.com").await.ok();
    assert!(revoked.err.contains("? End 1 session of 1 user?"), "{revoked:?}");
    let deleted = ctl(&server.socket).person(&["y"]).run("user delete ada@example.com").await.ok();
    assert!(deleted.err.contains("? Delete ada@example.com for good? (no session would end)"), "{deleted:?}");
    let rotated = ctl(&server.socket).person(&["y"]).run("keys rotate").await.ok();
    assert!(rotated.err.contains("signs from"), "{rotated:?}");
}
