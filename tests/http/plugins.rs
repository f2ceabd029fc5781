//! Better Auth's plugins and options that change what counts as a session: bearer, jwt, deferred refresh, cookies for a domain.
//! That they answer as the real server does is shown by `tests/node/differential`; here is what they must not open.

use common::Span;
use http::Method;
use serde_json::{Value, json};
use tests::{PASSWORD, Response, Server};

fn ada() -> Value {
    json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD})
}

async fn sign_up(server: &Server) -> Response {
    let made = server.client().post("/api/auth/sign-up/email", &ada()).await;
    assert_eq!(made.status, 200, "{made:?}");
    made
}

async fn is_signed_in(server: &Server, bearer: &str) -> bool {
    server.client().bearer(bearer).get("/api/auth/get-session").await.body != "null"
}

#[tokio::test]
async fn se_12_only_the_bearer_plugin_shows_a_session_token_and_only_the_callers_own() {
    let mut server = Server::start().await;
    let off = sign_up(&server).await;
    assert!(!off.headers.contains_key("set-auth-token"));
    assert!(!is_signed_in(&server, &off.text("/token")).await, "a handle");

    server.reload(|settings| settings.bearer.enabled = true).await;
    let sign_in = || async { server.client().post("/api/auth/sign-in/email", &ada()).await };
    let (phone, laptop) = (sign_in().await, sign_in().await);
    let signed = laptop.header("set-auth-token").to_owned();
    let token = laptop.text("/token");
    assert!(signed.starts_with(&format!("{token}.")), "the same as the body's, signed");
    assert!(is_signed_in(&server, &signed).await && is_signed_in(&server, &token).await);

    let listed = server.client().bearer(&token).get("/api/auth/list-sessions").await.json();
    let tokens: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|s| s["token"].as_str()).collect();
    assert_eq!(tokens.len(), 3);
    assert!(tokens.contains(&token.as_str()), "one's own");
    for handle in tokens.iter().filter(|shown| **shown != token) {
        assert!(!is_signed_in(&server, handle).await, "those of others are handles");
    }
    assert!(!tokens.contains(&phone.text("/token").as_str()));

    // The plain routes take no session token, and give none.
    let login =
        server.client().post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    assert!(!login.headers.contains_key("set-auth-token"));
    let cookie = json!({"email": "ada@example.com", "password": PASSWORD, "mode": "cookie"});
    let login = server.client().post("/api/auth/login", &cookie).await;
    assert!(login.cookies().len() == 2 && login.cookies()[1].starts_with("authd.device="), "{login:?}");
    assert!(!login.headers.contains_key("set-auth-token"), "{login:?}");
    assert_eq!(server.client().bearer(&signed).get("/api/auth/me").await.code(), "INVALID_TOKEN");

    server.reload(|settings| settings.bearer.require_signature = true).await;
    assert!(is_signed_in(&server, &signed).await && !is_signed_in(&server, &token).await);
    server.reload(|settings| settings.bearer.enabled = false).await;
    assert!(!is_signed_in(&server, &signed).await, "off again, at once");
}

#[tokio::test]
async fn se_07_a_sign_out_by_bearer_ends_the_session_for_good() {
    let server = Server::builder().set("bearer.enabled", "true").start().await;
    let token = sign_up(&server).await.header("set-auth-token").to_owned();
    let answer = server.client().bearer(&token).post("/api/auth/sign-out", &json!({})).await;
    assert_eq!((answer.status, answer.cookies().len()), (200, 3));
    assert!(!is_signed_in(&server, &token).await);
}

#[tokio::test]
async fn wb_01_a_bearer_token_beside_a_cookie_does_not_switch_the_origin_check_off() {
    let server = Server::builder().set("bearer.enabled", "true").start().await;
    let token = sign_up(&server).await.header("set-auth-token").to_owned();
    let page = server.client().bearer(&token).header("cookie", "theme=dark").header("origin", "https://evil.example");
    assert_eq!(page.post("/api/auth/update-user", &json!({"name": "Eve"})).await.code(), "INVALID_ORIGIN");
    assert_eq!(page.post("/api/auth/sign-out", &json!({})).await.code(), "INVALID_ORIGIN");
    assert!(is_signed_in(&server, &token).await);
}

#[tokio::test]
async fn without_the_jwt_plugin_there_is_no_token_but_the_key_set() {
    let mut server = Server::start().await;
    let browser = server.browser("http://localhost:5173");
    browser.post("/api/auth/sign-up/email", &ada()).await;
    assert_eq!(browser.get("/api/auth/token").await.status, 200);
    server.reload(|settings| settings.jwt.enabled = false).await;
    let gone = browser.get("/api/auth/token").await;
    assert_eq!((gone.status, gone.body.as_str()), (404, ""));
    assert!(!browser.get("/api/auth/get-session").await.headers.contains_key("set-auth-jwt"));
    assert_eq!(browser.get("/api/auth/jwks").await.status, 200, "access tokens are verified by it");
    let login = json!({"email": "ada@example.com", "password": PASSWORD, "mode": "token"});
    let login = server.client().post("/api/auth/login", &login).await;
    assert!(login.status == 200 && !login.headers.contains_key("set-auth-jwt"), "{login:?}");
}

#[tokio::test]
async fn where_refresh_is_deferred_reading_writes_nothing_and_a_post_prolongs() {
    let server = Server::builder().set("session.defer_refresh", "true").start().await;
    let browser = server.browser("http://localhost:5173");
    browser.post("/api/auth/sign-up/email", &ada()).await;
    server.clock.advance(Span::from_days(2));
    let end = async || browser.get("/api/auth/get-session").await;
    let before = end().await;
    assert_eq!((before.json()["needsRefresh"].clone(), before.cookies().len()), (json!(true), 0));
    browser.get("/api/auth/list-accounts").await;
    assert_eq!(end().await.text("/session/expiresAt"), before.text("/session/expiresAt"));
    let prolonged = browser.post("/api/auth/get-session", &json!({})).await;
    assert_eq!((prolonged.status, prolonged.cookies().len()), (200, 1), "{prolonged:?}");
    let after = end().await;
    assert_eq!(after.text("/session/expiresAt"), prolonged.text("/session/expiresAt"));
    assert_eq!(after.json()["needsRefresh"], json!(false));
    assert_ne!(after.text("/session/expiresAt"), before.text("/session/expiresAt"));
    // Without a trusted origin a cookie prolongs nothing.
    let elsewhere = server.client().header("cookie", &browser.cookie_header()).header("origin", "https://evil.example");
    assert_eq!(elsewhere.post("/api/auth/get-session", &json!({})).await.code(), "INVALID_ORIGIN");
}

#[tokio::test]
async fn where_use_prolongs_nothing_a_session_ends_in_its_time() {
    let server = Server::builder().set("session.prolong", "false").start().await;
    let browser = server.browser("http://localhost:5173");
    browser.post("/api/auth/sign-up/email", &ada()).await;
    let login = json!({"email": "ada@example.com", "password": PASSWORD, "mode": "token"});
    let mut script = server.client().post("/api/auth/login", &login).await;
    for _ in 0..6 {
        server.clock.advance(Span::from_days(1));
        let left = script.json()["refresh_expires_in"].as_u64().unwrap();
        script =
            server.client().post("/api/auth/refresh", &json!({"refresh_token": script.text("/refresh_token")})).await;
        assert_eq!(script.json()["refresh_expires_in"], left - 86_400, "{script:?}");
        let used = browser.get("/api/auth/get-session").await;
        assert_eq!((used.text("/user/name").as_str(), used.cookies().len()), ("Ada", 0));
    }
    server.clock.advance(Span::from_days(1));
    assert_eq!(browser.get("/api/auth/get-session").await.body, "null");
}

#[tokio::test]
async fn a_refused_request_that_prolonged_the_session_sets_the_cookie_too() {
    let server = Server::start().await;
    let browser = server.browser("http://localhost:5173");
    browser.post("/api/auth/sign-up/email", &ada()).await;
    server.clock.advance(Span::from_days(2));
    let refused = browser.post("/api/auth/verify-password", &json!({"password": "wrong"})).await;
    assert_eq!(refused.status, 400);
    assert!(refused.cookies()[0].contains("Max-Age=604800"), "{refused:?}");
}

/// A browser keeps the cookie that was set for the host before `cookies.domain` was, and sends both.
#[tokio::test]
async fn se_05_and_se_13_the_cookie_of_before_is_deleted_where_one_for_the_domain_stands_beside_it() {
    let file = "[http]\npublic_url = \"https://auth.example.com\"\n[cookies]\ndomain = \"example.com\"\n";
    let server = Server::builder().file(file).start().await;
    let client = || server.client().host("auth.example.com").header("origin", "https://auth.example.com");
    let pair = |answer: &Response| answer.cookies()[0].split(';').next().unwrap().to_owned();
    let before = client().post("/api/auth/sign-up/email", &ada()).await;
    assert!(before.cookies()[0].contains("; Domain=example.com; Path=/; HttpOnly; Secure; SameSite=Lax"), "{before:?}");
    let after = client().post("/api/auth/sign-in/email", &ada()).await;
    let both = client().header("cookie", &format!("{}; {}", pair(&before), pair(&after)));
    let confused = both.get("/api/auth/get-session").await;
    assert_eq!(confused.body, "null", "nobody can say which of the two counts");
    let host_only = "__Secure-better-auth.session_token=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax";
    assert_eq!(confused.cookies(), [host_only]);
    let again = both.post("/api/auth/sign-in/email", &ada()).await;
    assert!(again.cookies().contains(&host_only.to_owned()), "{again:?}");
    let one = client().header("cookie", &pair(&again)).get("/api/auth/get-session").await;
    assert_eq!((one.status, one.cookies().len()), (200, 0));
    assert_eq!(one.text("/user/name"), "Ada");
}

#[tokio::test]
async fn preflights_of_apps_with_tokens_are_granted() {
    let server = Server::builder().set("bearer.enabled", "true").start().await;
    let page = server.client().header("origin", "http://localhost:5173");
    let asked =
        page.header("access-control-request-method", "GET").header("access-control-request-headers", "authorization");
    let answer = asked.send(Method::OPTIONS, "/api/auth/get-session", None, "".into()).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    assert!(answer.header("access-control-expose-headers").contains("set-auth-token"));
}
