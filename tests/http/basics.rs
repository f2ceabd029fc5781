//! placeholder
use tests::Server;

#[tokio::test]
async fn it_starts_and_answers() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    assert_eq!(made.status, 201, "{made:?}");
    let me = server.client().bearer(&made.text("/access_token")).get("/api/auth/me").await;
    assert_eq!(me.text("/user/email"), "ada@example.com");
    let users = tests::ctl::ctl(&server.socket).run("user list -o id").await.ok();
    assert_eq!(users.out.lines().count(), 1);
}
