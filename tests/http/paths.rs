//! Every way in, against every reason to keep somebody out; and nobody gets at anybody else's.

use serde_json::{Value, json};
use tests::{Client, PASSWORD, Response, Server, ctl::ctl};

/// The ways of showing who one is, each with what it takes: a client that has it, and the request.
async fn ways(server: &Server, email: &str) -> Vec<(&'static str, Client, &'static str, Value)> {
    let login = json!({"email": email, "password": PASSWORD});
    let script = server.client().post("/api/auth/login", &login).await;
    let page = server.browser("http://localhost:5173");
    page.post("/api/auth/login", &login).await;
    let cookie = page.cookie_header();
    // A jar of its own: a dead cookie must not be forgotten between two ways.
    let page = || server.client().header("origin", "http://localhost:5173").header("cookie", &cookie);
    let jwt = page().get("/api/auth/get-session").await.header("set-auth-jwt").to_owned();
    let bearer = server.client().bearer(&script.text("/access_token"));
    vec![
        ("password", server.client(), "/api/auth/login", login.clone()),
        ("password, Better Auth", server.client(), "/api/auth/sign-in/email", login),
        ("access token", bearer.clone(), "GET /api/auth/me", Value::Null),
        ("access token, Better Auth", bearer, "GET /api/auth/get-session", Value::Null),
        ("Better Auth's JWT", server.client().bearer(&jwt), "GET /api/auth/me", Value::Null),
        ("cookie", page(), "GET /api/auth/me", Value::Null),
        ("cookie, Better Auth", page(), "GET /api/auth/get-session", Value::Null),
        ("cookie, refresh", page(), "/api/auth/refresh", json!({})),
        (
            "refresh token",
            server.client(),
            "/api/auth/refresh",
            json!({"refresh_token": script.text("/refresh_token")}),
        ),
    ]
}

async fn ask(client: &Client, request: &str, body: &Value) -> Response {
    match request.strip_prefix("GET ") {
        Some(path) => client.get(path).await,
        None => client.post(request, body).await,
    }
}

fn is_let_in(answer: &Response) -> bool {
    answer.status == 200 && answer.body != "null"
}

#[tokio::test]
async fn au_14_every_way_in_passes_every_check() {
    for (act, password_still_good) in [
        ("user disable ada@example.com --yes", false),
        ("user delete ada@example.com --yes", false),
        ("user set-password ada@example.com --generate", false),
        ("session revoke --user ada@example.com --yes", true),
    ] {
        let server = Server::start().await;
        server.sign_up("ada@example.com").await;
        let ways = ways(&server, "ada@example.com").await;
        for (name, client, request, body) in ways.iter().filter(|(name, ..)| *name != "refresh token") {
            let answer = ask(client, request, body).await;
            assert!(is_let_in(&answer), "{name} before '{act}': {answer:?}");
        }
        ctl(&server.socket).run(act).await.ok();
        for (name, client, request, body) in &ways {
            let answer = ask(client, request, body).await;
            let expected = password_still_good && name.starts_with("password");
            assert_eq!(is_let_in(&answer), expected, "{name} after '{act}': {answer:?}");
        }
    }
}

#[tokio::test]
async fn az_02_nobody_acts_as_somebody_else_by_saying_so() {
    let server = Server::start().await;
    let ada = server.sign_up("ada@example.com").await;
    let victim = server.sign_up("victim@example.com").await.text("/user/id");
    let client = server.client().bearer(&ada.text("/access_token")).header("x-user-id", &victim);
    for query in ["userId", "user_id", "id", "sub"] {
        let me = client.get(&format!("/api/auth/me?{query}={victim}")).await;
        assert_eq!(me.text("/user/email"), "ada@example.com", "{query}");
        let session = client.get(&format!("/api/auth/get-session?{query}={victim}")).await;
        assert_eq!(session.text("/user/email"), "ada@example.com", "{query}");
    }
    for name in ["userId", "user_id", "id", "user"] {
        let mut body = json!({"email": "ada@example.com", "password": PASSWORD});
        body[name] = victim.as_str().into();
        let login = server.client().post("/api/auth/login", &body).await;
        assert_eq!(login.text("/user/email"), "ada@example.com", "{name}");
        let mut body = json!({});
        body[name] = victim.as_str().into();
        client.post("/api/auth/logout", &body).await;
        let sessions = ctl(&server.socket).run("session list --user victim@example.com -o id").await.ok().out;
        assert_eq!(sessions.lines().count(), 1, "{name}: the victim's session lives");
    }
}

#[tokio::test]
async fn az_08_a_foreign_handle_is_no_credential_for_anything() {
    let server = Server::start().await;
    let mallory = server.sign_up("mallory@example.com").await;
    server.sign_up("victim@example.com").await;
    let handle =
        ctl(&server.socket).run("session list --user victim@example.com -o id").await.ok().out.trim().to_owned();
    let client = server.client().bearer(&mallory.text("/access_token"));
    for body in [json!({"token": handle}), json!({"session": handle}), json!({"sid": handle}), json!({"id": handle})] {
        client.post("/api/auth/logout", &body).await;
        client.post("/api/auth/sign-out", &body).await;
    }
    for credential in [handle.clone(), format!("{handle}.x"), format!("authd-rt.{handle}.1.x")] {
        assert_eq!(server.client().bearer(&credential).get("/api/auth/me").await.status, 401);
        let cookie = server.client().header("cookie", &format!("better-auth.session_token={credential}"));
        assert_eq!(cookie.get("/api/auth/get-session").await.body, "null");
        let refreshed = server.client().post("/api/auth/refresh", &json!({"refresh_token": credential})).await;
        assert_eq!(refreshed.status, 401);
    }
    let alive = ctl(&server.socket).run(&format!("session show {handle} -o json")).await.ok().json();
    assert_eq!(alive["state"], "active");
}

/// Every kind of credential in the place of every other kind.
#[tokio::test]
async fn tk_06_no_credential_is_good_for_another_kind() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let page = server.browser("http://localhost:5173");
    page.post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    let cookie_value = page.session_cookie().split_once('=').unwrap().1.to_owned();
    let session_token = cookie_value.split('.').next().unwrap().to_owned();
    let kinds = [
        ("access token", made.text("/access_token")),
        ("refresh token", made.text("/refresh_token")),
        ("cookie", cookie_value),
        ("session token", session_token),
        ("handle", page.get("/api/auth/me").await.text("/session/id")),
        ("password", PASSWORD.to_owned()),
    ];
    for (name, credential) in &kinds {
        let me = server.client().bearer(credential).get("/api/auth/me").await;
        assert_eq!(me.status == 200, *name == "access token", "{name} as bearer: {me:?}");
        let cookie = server.client().header("cookie", &format!("better-auth.session_token={credential}"));
        let session = cookie.get("/api/auth/get-session").await;
        assert_eq!(session.body != "null", *name == "cookie", "{name} as cookie: {session:?}");
        let refreshed = server.client().post("/api/auth/refresh", &json!({"refresh_token": credential})).await;
        assert_eq!(refreshed.status == 200, *name == "refresh token", "{name} as refresh token: {refreshed:?}");
    }
}
