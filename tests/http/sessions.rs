//! How long sessions live, by a clock of the test's own.

use common::Span;
use serde_json::json;
use tests::{Client, PASSWORD, Server};

async fn signed_in(server: &Server) -> Client {
    let page = server.browser("http://localhost:5173");
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
    assert_eq!(page.post("/api/auth/sign-up/email", &body).await.status, 200);
    page
}

const MS: Span = Span::from_millis(1);

#[tokio::test]
async fn se_09_an_unused_session_ends_after_seven_days_and_not_a_millisecond_before() {
    let server = Server::start().await;
    let page = signed_in(&server).await;
    let start = server.clock.now_time();
    let end = start.plus(Span::from_days(7));
    server.clock.set(end.minus(MS));
    // Looking without prolonging.
    let seen = page.get("/api/auth/get-session?disableRefresh=true").await;
    assert_eq!(seen.text("/session/expiresAt"), end.to_string());
    server.clock.set(end);
    let gone = page.get("/api/auth/get-session?disableRefresh=true").await;
    assert_eq!(gone.body, "null");
    assert_eq!(gone.cookies().len(), 3);
}

#[tokio::test]
async fn use_prolongs_a_session_once_a_day_and_sets_the_cookie_again() {
    let server = Server::start().await;
    let page = signed_in(&server).await;
    let start = server.clock.now_time();
    server.clock.set(start.plus(Span::from_days(1)).minus(MS));
    let early = page.get("/api/auth/get-session").await;
    assert_eq!(early.text("/session/expiresAt"), start.plus(Span::from_days(7)).to_string());
    assert!(early.cookies().is_empty());
    server.clock.set(start.plus(Span::from_days(1)));
    let due = page.get("/api/auth/get-session").await;
    assert_eq!(due.text("/session/expiresAt"), start.plus(Span::from_days(8)).to_string());
    assert_eq!(due.text("/session/updatedAt"), start.plus(Span::from_days(1)).to_string());
    assert_eq!(due.text("/session/createdAt"), start.to_string());
    assert!(due.cookies()[0].contains("Max-Age=604800"));
    let again = page.get("/api/auth/get-session").await;
    assert_eq!(again.text("/session/expiresAt"), due.text("/session/expiresAt"), "what was answered is stored");
    assert!(again.cookies().is_empty());
}

#[tokio::test]
async fn me_prolongs_a_session_by_cookie_and_not_by_token() {
    let server = Server::start().await;
    let page = signed_in(&server).await;
    let start = server.clock.now_time();
    let token = page.get("/api/auth/get-session").await.header("set-auth-jwt").to_owned();
    server.clock.set(start.plus(Span::from_days(1)));
    let due = page.get("/api/auth/me").await;
    assert_eq!(due.text("/session/expiresAt"), start.plus(Span::from_days(8)).to_string());
    assert!(due.cookies()[0].contains("Max-Age=604800"));
    server.clock.set(start.plus(Span::from_days(2)));
    assert_eq!(server.client().bearer(&token).get("/api/auth/me").await.code(), "TOKEN_EXPIRED");
    let token = page.get("/api/auth/get-session?disableRefresh=true").await.header("set-auth-jwt").to_owned();
    let by_token = server.client().bearer(&token).get("/api/auth/me").await;
    assert_eq!(by_token.text("/session/expiresAt"), start.plus(Span::from_days(8)).to_string());
    assert!(by_token.cookies().is_empty());
}

#[tokio::test]
async fn se_09_no_use_carries_a_session_past_thirty_days_nor_does_a_restart() {
    let server = Server::start().await;
    let page = signed_in(&server).await;
    let start = server.clock.now_time();
    for day in 1..30 {
        server.clock.set(start.plus(Span::from_days(day)));
        assert_ne!(page.get("/api/auth/get-session").await.body, "null", "day {day}");
    }
    let cookie = page.cookie_header();
    let end = start.plus(Span::from_days(30));
    server.clock.set(end.minus(MS));
    let last = page.get("/api/auth/get-session").await;
    assert_eq!(last.text("/session/expiresAt"), end.to_string());
    let server = server.restart().await;
    let page = server.client().header("cookie", &cookie);
    assert_ne!(page.get("/api/auth/get-session").await.body, "null");
    server.clock.set(end);
    assert_eq!(page.get("/api/auth/get-session").await.body, "null");
}

#[tokio::test]
async fn a_session_that_is_not_remembered_is_never_prolonged() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let page = server.browser("http://localhost:5173");
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "rememberMe": false});
    page.post("/api/auth/sign-in/email", &body).await;
    let start = server.clock.now_time();
    server.clock.set(start.plus(Span::from_days(1)).minus(MS));
    let seen = page.get("/api/auth/get-session").await;
    assert_eq!(seen.text("/session/expiresAt"), start.plus(Span::from_days(1)).to_string());
    server.clock.set(start.plus(Span::from_days(1)));
    assert_eq!(page.get("/api/auth/get-session").await.body, "null");
}

#[tokio::test]
async fn se_10_a_user_has_so_many_sessions_and_the_oldest_ends() {
    let server = Server::builder().set("session.max_per_user", "3").start().await;
    let first = server.sign_up("ada@example.com").await;
    let mut tokens = vec![first.text("/access_token")];
    for _ in 0..3 {
        server.clock.advance(Span::from_secs(1));
        let login = json!({"email": "ada@example.com", "password": PASSWORD});
        tokens.push(server.client().post("/api/auth/login", &login).await.text("/access_token"));
    }
    let mut alive = vec![];
    for token in &tokens {
        alive.push(server.client().bearer(token).get("/api/auth/me").await.status);
    }
    assert_eq!(alive, [401, 200, 200, 200]);
}

#[tokio::test]
async fn expired_sessions_are_swept_away() {
    let server = Server::start().await;
    for n in 0..5 {
        server.sign_up(&format!("user{n}@example.com")).await;
    }
    let counts = || async { server.services().store.counts().await.unwrap() };
    assert_eq!(counts().await.sessions, 5);
    server.clock.advance(Span::from_days(7));
    authd::service::maintenance::round(&server.services()).await.unwrap();
    assert_eq!(counts().await.sessions, 0);
    assert_eq!(counts().await.users, 5);
}

#[tokio::test]
async fn se_07_a_revocation_holds_on_every_connection_and_after_a_restart() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let token = made.text("/access_token");
    let page = server.browser("http://localhost:5173");
    page.post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    assert_eq!(server.client().bearer(&token).get("/api/auth/me").await.status, 200);
    let ended = tests::ctl::ctl(&server.socket).run("session revoke --user ada@example.com --yes -o json").await.ok();
    assert_eq!(ended.json()["ended"], 2);
    assert_eq!(server.client().bearer(&token).get("/api/auth/me").await.code(), "SESSION_REVOKED");
    assert_eq!(page.get("/api/auth/get-session").await.body, "null");
    let cookie = page.cookie_header();
    let server = server.restart().await;
    // The port is another one, and with it the issuer: the session itself is what counts.
    assert_eq!(server.client().header("cookie", &cookie).get("/api/auth/get-session").await.body, "null");
}

#[tokio::test]
async fn f_07_a_clock_that_is_set_back_while_authd_is_down_brings_nothing_back() {
    let server = Server::start().await;
    let page = signed_in(&server).await;
    let start = server.clock.now_time();
    server.clock.set(start.plus(Span::from_days(7)));
    authd::service::maintenance::round(&server.services()).await.unwrap();
    let cookie = page.cookie_header();
    let server = server.restart_at(start, false).await;
    let with_old = server.client().header("cookie", &cookie);
    assert_eq!(with_old.get("/api/auth/get-session").await.body, "null");
    assert_eq!(server.client().get("/healthz").await.status, 200);
    assert_eq!(server.client().get("/readyz").await.status, 503, "OP-06: its tokens would be from the future");
    let status = server.admin().get("/v1/status").await;
    assert_eq!(status.json()["ready"], false);
    assert!(status.text("/problems/0").contains("clock is 7d behind"), "{status:?}");

    server.clock.set(start.plus(Span::from_days(7)));
    assert_eq!(server.client().get("/readyz").await.status, 200, "set right again");

    let server = server.restart_at(start, true).await;
    assert_eq!(server.client().get("/readyz").await.status, 200, "the operator says that it is right");
    let trail = server.admin().get("/v1/audit?event=clock.trusted").await;
    assert_eq!(trail.json()["items"][0]["details"]["latest"], start.plus(Span::from_days(7)).to_string());
    let server = server.restart().await;
    assert_eq!(server.client().get("/readyz").await.status, 200, "once is enough");
}
