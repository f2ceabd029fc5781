//! The sessions of the caller: listed and ended by Better Auth's routes.

use common::Span;
use serde_json::{Value, json};
use tests::{Client, PASSWORD, Server};

async fn sign_in(server: &Server, email: &str) -> Client {
    let page = server.browser("http://localhost:5173").header("user-agent", "Browser/1.0");
    let body = json!({"email": email, "password": PASSWORD});
    assert_eq!(page.post("/api/auth/sign-in/email", &body).await.status, 200);
    page
}

async fn list(page: &Client) -> Vec<Value> {
    page.get("/api/auth/list-sessions").await.json().as_array().cloned().unwrap_or_default()
}

async fn handle(page: &Client) -> String {
    page.get("/api/auth/get-session").await.text("/session/token")
}

async fn is_alive(page: &Client) -> bool {
    page.get("/api/auth/get-session").await.body != "null"
}

#[tokio::test]
async fn se_11_a_user_sees_own_living_sessions_oldest_first_with_time_address_and_agent() {
    let server = Server::start().await;
    server.sign_up("eve@example.com").await;
    server.sign_up("ada@example.com").await;
    server.clock.advance(Span::from_days(7));
    let first = sign_in(&server, "ada@example.com").await;
    server.clock.advance(Span::from_secs(1));
    let second = sign_in(&server, "ada@example.com").await;
    let listed = list(&first).await;
    let tokens: Vec<&str> = listed.iter().map(|session| session["token"].as_str().unwrap()).collect();
    assert_eq!(tokens, [handle(&first).await, handle(&second).await], "not Eve's, and not the one that has expired");
    assert_eq!(listed[1]["createdAt"], server.clock.now_time().to_string());
    assert_eq!(listed[1]["updatedAt"], server.clock.now_time().to_string());
    assert_eq!((&listed[1]["ipAddress"], &listed[1]["userAgent"]), (&json!("127.0.0.1"), &json!("Browser/1.0")));
    let cookie = first.session_cookie();
    let secret = cookie.split('=').nth(1).and_then(|value| value.split('.').next()).unwrap();
    assert!(secret.len() == 32 && !listed.iter().any(|session| session.to_string().contains(secret)), "SE-03");
}

#[tokio::test]
async fn se_11_sessions_are_shown_to_a_fresh_sign_in_only() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let page = sign_in(&server, "ada@example.com").await;
    let start = server.clock.now_time();
    server.clock.set(start.plus(Span::from_days(1)).minus(Span::from_millis(1)));
    assert_eq!(page.get("/api/auth/list-sessions").await.status, 200);
    server.clock.set(start.plus(Span::from_days(1)));
    let stale = page.get("/api/auth/list-sessions").await;
    assert_eq!(stale.short(), r#"403 {"code":"SESSION_NOT_FRESH","message":"Session is not fresh"}"#);
}

#[tokio::test]
async fn se_11_a_session_is_ended_by_its_handle_and_no_other() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let (laptop, phone) = (sign_in(&server, "ada@example.com").await, sign_in(&server, "ada@example.com").await);
    let lost = sign_in(&server, "ada@example.com").await;
    let jwt = lost.get("/api/auth/token").await.text("/token");
    assert_eq!(server.client().bearer(&jwt).get("/api/auth/me").await.status, 200);
    let body = json!({"token": handle(&lost).await});
    assert_eq!(laptop.post("/api/auth/revoke-session", &body).await.short(), r#"200 {"status":true}"#);
    assert_eq!((is_alive(&laptop).await, is_alive(&phone).await, is_alive(&lost).await), (true, true, false));
    assert_eq!(server.client().bearer(&jwt).get("/api/auth/me").await.code(), "SESSION_REVOKED");
    let trail = server.admin().get("/v1/audit?event=session.revoked").await;
    assert_eq!(trail.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(trail.json()["items"][0]["actor"]["kind"], "user");
}

#[tokio::test]
async fn az_08_another_users_session_is_answered_as_one_that_nobody_has() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    server.sign_up("eve@example.com").await;
    let (ada, eve) = (sign_in(&server, "ada@example.com").await, sign_in(&server, "eve@example.com").await);
    let revoke = async |token: &str| {
        let answer = eve.post("/api/auth/revoke-session", &json!({"token": token})).await;
        (answer.status, answer.body.clone(), answer.cookies())
    };
    let unknown = revoke("nobodyhasthissession").await;
    assert_eq!(revoke(&handle(&ada).await).await, unknown);
    assert_eq!(revoke(&"x".repeat(500)).await, unknown, "nor is there one by a text that cannot be a handle");
    assert!(is_alive(&ada).await);
    eve.post("/api/auth/revoke-sessions", &json!({"userId": "x", "token": handle(&ada).await})).await;
    assert!(is_alive(&ada).await && !is_alive(&eve).await);
}

#[tokio::test]
async fn se_11_all_others_or_all_sessions_end_at_once() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let (laptop, phone) = (sign_in(&server, "ada@example.com").await, sign_in(&server, "ada@example.com").await);
    assert_eq!(laptop.post("/api/auth/revoke-other-sessions", &json!({})).await.status, 200);
    assert_eq!((is_alive(&laptop).await, is_alive(&phone).await), (true, false));
    let phone = sign_in(&server, "ada@example.com").await;
    let ended = laptop.post("/api/auth/revoke-sessions", &json!({})).await;
    assert_eq!((ended.status, ended.cookies().len()), (200, 3));
    assert_eq!((is_alive(&laptop).await, is_alive(&phone).await), (false, false));
}

#[tokio::test]
async fn wb_01_a_page_that_is_not_trusted_ends_no_session() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let page = sign_in(&server, "ada@example.com").await;
    let evil = server.browser("https://evil.example").header("cookie", &page.cookie_header());
    for path in ["revoke-session", "revoke-sessions", "revoke-other-sessions"] {
        let answer = evil.post(&format!("/api/auth/{path}"), &json!({"token": handle(&page).await})).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "INVALID_ORIGIN"), "{path}");
    }
    assert!(is_alive(&page).await);
}

#[tokio::test]
async fn tk_14_the_jwt_says_what_the_user_is_now_also_after_two_changes_within_a_millisecond() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let page = sign_in(&server, "ada@example.com").await;
    for name in ["Augusta", "Ada Lovelace", "Countess"] {
        assert_eq!(page.post("/api/auth/update-user", &json!({"name": name})).await.status, 200);
        let jwt = page.get("/api/auth/token").await.text("/token");
        let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(claims["name"], name, "the clock stands still");
    }
}

#[tokio::test]
async fn tk_14_token_is_the_jwt_of_better_auths_plugin_and_both_doors_take_it() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let page = sign_in(&server, "ada@example.com").await;
    let jwt = page.get("/api/auth/token").await.text("/token");
    assert_eq!(page.get("/api/auth/get-session").await.header("set-auth-jwt"), jwt);
    let by_jwt = server.client().bearer(&jwt);
    assert_eq!(by_jwt.get("/api/auth/me").await.text("/user/email"), "ada@example.com");
    assert_eq!(list(&by_jwt).await, list(&page).await, "it stands for the session wherever a session is needed");
}
