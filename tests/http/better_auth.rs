//! Better Auth's wire, where the recordings do not reach.

use serde_json::json;
use tests::{PASSWORD, Server};

#[tokio::test]
async fn se_03_the_token_on_the_wire_is_a_handle_and_no_credential() {
    let server = Server::start().await;
    let page = server.browser("http://localhost:5173");
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
    let made = page.post("/api/sign-up/email", &body).await;
    let session = page.get("/api/get-session").await;
    let handle = session.text("/session/token");
    assert_eq!(made.text("/token"), handle, "the same value everywhere, so that clients can compare");
    assert_eq!(session.text("/session/id"), handle);
    assert!(!page.cookie_header().contains(&handle));
    let as_cookie = format!("better-auth.session_token={handle}");
    assert_eq!(server.client().header("cookie", &as_cookie).get("/api/get-session").await.body, "null");
    assert_eq!(server.client().bearer(&handle).get("/api/get-session").await.body, "null");
    assert_eq!(server.client().bearer(&handle).get("/api/me").await.code(), "INVALID_TOKEN");
}

#[tokio::test]
async fn se_04_a_sign_in_ends_the_session_that_the_browser_showed() {
    let server = Server::start().await;
    let page = server.browser("http://localhost:5173");
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
    page.post("/api/auth/sign-up/email", &body).await;
    let old = page.cookie_header();
    let again = page.post("/api/auth/sign-in/email", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_ne!(page.cookie_header(), old);
    let with_old = server.client().header("cookie", &old).get("/api/auth/get-session").await;
    assert_eq!(with_old.body, "null");
    assert_eq!(with_old.cookies().len(), 3, "the browser is told to forget it");
    // A failed sign-in ends nothing.
    page.post("/api/auth/sign-in/email", &json!({"email": "ada@example.com", "password": "wrong"})).await;
    assert_eq!(page.get("/api/auth/get-session").await.text("/user/name"), "Ada");
}

#[tokio::test]
async fn se_04_every_session_that_is_shown_ends_with_a_sign_in_and_a_sign_out() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let cookie = async || {
        let page = server.browser("http://localhost:5173");
        page.post("/api/auth/sign-in/email", &login).await;
        page.cookie_header()
    };
    let is_dead =
        async |cookie: &str| server.client().header("cookie", cookie).get("/api/auth/get-session").await.body == "null";
    for path in ["/api/auth/sign-in/email", "/api/auth/sign-out", "/api/auth/logout", "/api/auth/login"] {
        let (planted, own) = (cookie().await, cookie().await);
        let page = server.browser("http://localhost:5173").header("cookie", &format!("{planted}; {own}"));
        assert_eq!(page.get("/api/auth/get-session").await.body, "null", "two are none (SE-13)");
        let mut body = login.clone();
        body["mode"] = if path.ends_with("/login") { "token".into() } else { serde_json::Value::Null };
        let body = if path.contains("out") { json!({}) } else { body };
        assert_eq!(page.post(path, &body).await.status, 200, "{path}");
        assert!(is_dead(&planted).await && is_dead(&own).await, "{path}");
    }
}

#[tokio::test]
async fn get_session_takes_our_jwts_whatever_their_type() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    for jwt in [&made.text("/access_token"), made.header("set-auth-jwt")] {
        let bearer = server.client().bearer(jwt);
        assert_eq!(bearer.get("/api/auth/get-session").await.text("/user/email"), "ada@example.com");
        assert_eq!(bearer.get("/api/auth/me").await.status, 200, "typ-less JWTs with our sid are taken");
    }
    // A bad bearer is as good as none on Better Auth's routes.
    assert_eq!(server.client().bearer("x.y.z").get("/api/auth/get-session").await.short(), "200 null");
}

#[tokio::test]
async fn forms_are_taken_where_the_real_server_takes_them() {
    let server = Server::start().await;
    let form = Some("application/x-www-form-urlencoded");
    let send = |path: &'static str, body: &'static str| {
        let client = server.client().header("origin", "http://localhost:5173");
        async move { client.send(http::Method::POST, path, form, body.into()).await }
    };
    let made = send("/api/sign-up/email", "name=Ada&email=ada%40example.com&password=correct+horse+battery").await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(send("/api/sign-in/email", "email=ada%40example.com&password=correct+horse+battery").await.status, 200);
    assert_eq!(send("/api/sign-out", "x=y").await.status, 415);
}

#[tokio::test]
async fn a_banned_user_learns_it_only_with_the_right_password() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    tests::ctl::ctl(&server.socket).run("user disable ada@example.com --yes").await.ok();
    let sign_in = |password: &'static str| {
        let client = server.client();
        async move {
            client.post("/api/auth/sign-in/email", &json!({"email": "ada@example.com", "password": password})).await
        }
    };
    assert_eq!(
        sign_in(PASSWORD).await.short(),
        r#"403 {"code":"BANNED_USER","message":"You have been banned from this application. Please contact support if you believe this is an error."}"#
    );
    assert_eq!(sign_in("wrong password").await.code(), "INVALID_EMAIL_OR_PASSWORD");
}
