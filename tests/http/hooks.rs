//! Hooks: what the application decides, and what becomes of people when it does not answer, or not as it must.

use std::{fs, os::unix::fs::PermissionsExt};

use authd::config;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::Span;
use serde_json::{Value, json};
use tests::{
    Application, PASSWORD, Response, Server,
    application::Manner,
    ctl::ctl,
    server::{Builder, START},
};

pub(super) fn secret_file(dir: &tempfile::TempDir) -> String {
    let path = dir.path().join("hook.secret");
    fs::write(&path, Application::SECRET).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// A server that asks the application these.
fn asking(app: &Application, dir: &tempfile::TempDir, hooks: &[&str]) -> Builder {
    let mut builder = Server::builder().set("hooks.secret_file", &secret_file(dir)).set("hooks.timeout", "300ms");
    for hook in hooks {
        builder = builder.set(&format!("hooks.{hook}"), &app.url(&format!("/{hook}")));
    }
    builder
}

fn says(body: &Value) -> Manner {
    Manner::Says(200, body.to_string())
}

async fn sign_in(server: &Server) -> Response {
    server.client().post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await
}

fn payload(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_call_is_signed_as_standard_webhooks_has_it_and_says_what_it_is_about() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["sign_up_before", "sign_in_before"]).start().await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    assert_eq!(sign_in(&server).await.status, 200);
    let calls = app.calls();
    assert_eq!(calls.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["/sign_up_before", "/sign_in_before"]);
    let signer = authd::webhook::Signer::from_text(&Application::SECRET.into()).unwrap();
    for call in &calls {
        let (id, at) = (call.header("webhook-id"), call.header("webhook-timestamp"));
        assert!(id.starts_with("hook_") && at == START.as_secs().to_string(), "{call:?}");
        assert_eq!(call.header("webhook-signature"), signer.sign(id, START.as_secs(), call.text.as_bytes()));
        assert_eq!((call.header("content-type"), &call.body["version"]), ("application/json", &json!(1)));
        assert!(!call.text.contains(PASSWORD), "{}", call.text);
    }
    assert_ne!(calls[0].header("webhook-id"), calls[1].header("webhook-id"));
    assert_eq!(calls[0].body["type"], "sign_up.before");
    assert_eq!(calls[0].body["data"]["user"]["email"], "ada@example.com");
    assert_eq!(calls[1].body["data"]["user"]["email"], "ada@example.com");
    assert_eq!(calls[1].body["data"]["client"]["ipAddress"], "127.0.0.1");
}

#[tokio::test]
async fn the_application_refuses_with_a_code_and_a_message_of_its_own() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["sign_up_before", "sign_in_before", "password_before"]).start().await;
    app.once(says(&json!({"allow": false, "code": "NOT_INVITED", "message": "By invitation only."})));
    let refused = server.sign_up("ada@example.com").await;
    let body = json!({"code": "NOT_INVITED", "message": "By invitation only."});
    assert_eq!((refused.status, refused.json()), (403, body));
    app.once(Manner::allows());
    app.once(says(&json!({"allow": false})));
    let refused = server.sign_up("ada@example.com").await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (400, json!("HOOK_REFUSED")), "the password");
    let asked = app.calls().pop().unwrap().body;
    assert_eq!((&asked["type"], &asked["data"]["password"]), (&json!("password.before"), &json!(PASSWORD)));

    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    let before = server.services().store.counts().await.unwrap().sessions;
    app.once(says(&json!({"allow": false, "code": "NO_SEAT", "message": "No seat is free."})));
    let refused = sign_in(&server).await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (403, json!("NO_SEAT")));
    assert_eq!(server.services().store.counts().await.unwrap().sessions, before, "no session was opened");
}

#[tokio::test]
async fn au_06_who_does_not_know_the_password_learns_nothing_of_what_the_application_thinks() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["sign_in_before"]).start().await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    app.set(says(&json!({"allow": false, "code": "NO_SEAT"})));
    app.calls();
    for (email, password) in [("ada@example.com", "another password"), ("nobody@example.com", PASSWORD)] {
        let body = json!({"email": email, "password": password});
        assert_eq!(server.client().post("/api/auth/login", &body).await.json()["code"], "INVALID_EMAIL_OR_PASSWORD");
    }
    assert!(app.calls().is_empty(), "it was not even asked");
    assert_eq!(sign_in(&server).await.json()["code"], "NO_SEAT");
}

#[tokio::test]
async fn op_05_an_application_that_is_ill_refuses_everybody_and_is_not_followed_elsewhere() {
    let elsewhere = Application::start();
    let manners = [
        Manner::Silent,
        Manner::HangsUp,
        Manner::Babbles,
        Manner::Drips,
        Manner::Redirects(elsewhere.url("/")),
        Manner::Talks(1 << 20),
        Manner::Says(200, "garbage".into()),
        Manner::Says(200, r#"{"allow":"yes"}"#.into()),
        Manner::Says(500, r#"{"allow":true}"#.into()),
        Manner::Says(204, String::new()),
    ];
    for manner in manners {
        let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
        let server = asking(&app, &dir, &["sign_up_before"]).start().await;
        app.set(manner.clone());
        let refused = server.sign_up("ada@example.com").await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (503, json!("HOOK_UNAVAILABLE")), "{manner:?}");
        assert!(!refused.header("retry-after").is_empty(), "{manner:?}");
        let listed = server.admin().get("/v1/hooks").await.json();
        assert!(listed["items"][0]["error"].is_string(), "{manner:?}: {listed}");
        app.set(Manner::allows());
        assert_eq!(server.sign_up("ada@example.com").await.status, 201, "{manner:?}");
    }
    assert!(elsewhere.calls().is_empty(), "a redirect was followed");

    // Nobody is there at all; and where it is configured to, things happen all the same.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let down = |builder: Builder| {
        builder
            .set("hooks.secret_file", &secret_file(&dir))
            .set("hooks.sign_up_before", &format!("http://127.0.0.1:{gone}/"))
    };
    let server = down(Server::builder()).start().await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 503);
    let server = down(Server::builder().set("hooks.fail_open", "sign_up.before")).start().await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
}

#[tokio::test]
async fn an_application_that_failed_five_times_is_left_alone_for_a_while() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["sign_up_before"]).start().await;
    app.set(Manner::HangsUp);
    for _ in 0..8 {
        assert_eq!(server.sign_up("ada@example.com").await.status, 503);
    }
    // A pooled connection may be tried anew: what counts is that the last three were not sent.
    let sent = app.calls().len();
    assert!((5..=10).contains(&sent), "{sent}");
    app.set(Manner::allows());
    assert_eq!(server.sign_up("ada@example.com").await.json()["code"], "HOOK_UNAVAILABLE");
    assert!(app.calls().is_empty());
    let listed = server.admin().get("/v1/hooks").await.json();
    assert_eq!(listed["items"][0]["state"], "resting", "{listed}");
    assert!(server.admin().get("/v1/status").await.json()["problems"].to_string().contains("sign_up.before"));
    // An operator's test goes through, and changes nothing of that.
    let tested = ctl(&server.socket).run("hook test sign_up.before -o json").await.ok().json();
    assert_eq!((&tested["allows"], app.calls()[0].body["test"].clone()), (&json!(true), json!(true)));
    assert_eq!(server.sign_up("ada@example.com").await.status, 503);
    server.clock.advance(Span::from_secs(10));
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    assert_eq!(server.admin().get("/v1/hooks").await.json()["items"][0]["state"], "ready");
}

#[tokio::test]
async fn a_slow_application_slows_no_session_check_and_never_has_more_than_its_share_of_calls() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["sign_in_before", "token_claims"])
        .set("hooks.timeout", "10s")
        .set("hooks.max_concurrent", "2")
        .start()
        .await;
    let made = server.sign_up("ada@example.com").await.text("/access_token");
    app.calls();
    app.set(Manner::Silent);
    let waiting = async { futures_util::future::join(sign_in(&server), sign_in(&server)).await };
    tokio::pin!(waiting);
    // Both are under way, and wait: then a third has no room, and checks of sessions do not notice.
    let mut seen = 0;
    while seen < 2 {
        tokio::select! {
            _ = &mut waiting => panic!("they do not wait"),
            () = tokio::task::yield_now() => seen += app.calls().len(),
        }
    }
    tokio::select! {
        _ = &mut waiting => panic!("they do not wait"),
        () = async {
            assert_eq!(sign_in(&server).await.json()["code"], "HOOK_UNAVAILABLE", "no room is left");
            let me = server.client().bearer(&made);
            for path in ["/api/auth/me", "/api/auth/get-session"] {
                let answer = me.get(path).await;
                assert_eq!(answer.status, 200, "{path}");
                assert_eq!(answer.text("/user/email"), "ada@example.com", "{path}");
            }
        } => {}
    }
}

#[tokio::test]
async fn a_ban_that_comes_while_the_application_thinks_wins() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["sign_in_before"]).set("hooks.timeout", "10s").start().await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    let release = app.hold();
    let banned = async {
        while app.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        ctl(&server.socket).run("user ban ada@example.com --yes").await.ok();
        drop(release);
    };
    let (answer, ()) = futures_util::future::join(sign_in(&server), banned).await;
    assert_eq!(answer.json()["code"], "BANNED_USER");
    assert_eq!(server.services().store.counts().await.unwrap().sessions, 0);
}

#[tokio::test]
async fn the_application_sets_fields_that_users_may_not_set() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["sign_up_before", "sign_in_before"])
        .set("user.fields", r#"plan = { type = "string", required = false, input = false }"#)
        .set("session.fields", r#"seat = { type = "number", required = false }"#)
        .start()
        .await;
    app.once(says(&json!({"allow": true, "fields": {"plan": "pro"}})));
    assert_eq!(server.sign_up("ada@example.com").await.json()["user"]["plan"], "pro");
    app.once(says(&json!({"allow": true, "fields": {"seat": 7}})));
    let browser = server.browser("http://localhost:5173");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(browser.post("/api/auth/sign-in/email", &body).await.status, 200);
    assert_eq!(browser.get("/api/auth/get-session").await.json()["session"]["seat"], 7);
    // What is not configured, or not of its type, is a misunderstanding, and no answer.
    for fields in [json!({"role": "admin"}), json!({"plan": 5}), json!({"plan": "\u{1b}[2J"}), json!({"id": "x"})] {
        app.once(says(&json!({"allow": true, "fields": fields})));
        assert_eq!(server.sign_up("bob@example.com").await.json()["code"], "HOOK_UNAVAILABLE", "{fields}");
    }
}

#[tokio::test]
async fn tk_14_the_application_adds_claims_and_takes_the_place_of_none() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["token_claims"]).start().await;
    app.set(says(&json!({"allow": true, "claims": {"plan": "pro", "https://example.com/seats": [1, 2]}})));
    let made = server.sign_up("ada@example.com").await;
    let claims = payload(&made.text("/access_token"));
    assert_eq!((&claims["plan"], &claims["https://example.com/seats"]), (&json!("pro"), &json!([1, 2])));
    assert_eq!(claims["sub"], made.json()["user"]["id"]);
    let call = app.calls().remove(0).body;
    assert_eq!((&call["data"]["kind"], &call["data"]["session"]["id"]), (&json!("access"), &claims["sid"]));
    // The token counts as any other.
    let me = server.client().bearer(&made.text("/access_token"));
    assert_eq!(me.get("/api/auth/me").await.status, 200);
    let jwt = me.get("/api/auth/token").await.text("/token");
    assert_eq!(payload(&jwt)["plan"], "pro");

    let refreshing = async |claims: Value| {
        app.once(says(&json!({"allow": true, "claims": claims})));
        sign_in(&server).await
    };
    for claims in [
        json!({"sub": "somebody else"}),
        json!({"role": "admin"}),
        json!({"exp": 9_999_999_999_u64}),
        json!({"plan": "x".repeat(2048)}),
        json!((0..33).map(|n| (format!("c{n}"), n.into())).collect::<serde_json::Map<_, _>>()),
    ] {
        let answer = refreshing(claims.clone()).await;
        assert_eq!(answer.json()["code"], "HOOK_UNAVAILABLE", "{claims}");
        server.clock.advance(Span::from_secs(10));
        assert_eq!(sign_in(&server).await.status, 200);
    }
    // The user's own fields stand in the JWT of Better Auth's shape, and stay what they are.
    app.set(says(&json!({"allow": true, "claims": {"email": "root@example.com"}})));
    server.clock.advance(Span::from_mins(8));
    assert_eq!(me.get("/api/auth/token").await.json()["code"], "HOOK_UNAVAILABLE");
}

#[tokio::test]
async fn where_the_claims_are_refused_there_is_no_session_that_nobody_holds() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["token_claims"]).start().await;
    let tokens = server.sign_up("ada@example.com").await;
    let ada = server.client().bearer(&tokens.text("/access_token"));
    let counts = async || server.admin().get("/v1/status").await.json()["counts"].clone();
    let before = counts().await;
    let change =
        json!({"currentPassword": PASSWORD, "newPassword": "another horse battery", "revokeOtherSessions": true});
    for (answer, code) in [
        (says(&json!({"allow": false, "code": "NO_SEAT"})), "NO_SEAT"),
        (says(&json!({"allow": true, "claims": {"sub": "eve"}})), "HOOK_UNAVAILABLE"),
        (Manner::Says(500, String::new()), "HOOK_UNAVAILABLE"),
    ] {
        app.set(answer);
        assert_eq!(sign_in(&server).await.code(), code);
        let body = json!({"email": "bob@example.com", "password": PASSWORD, "name": "Bob"});
        assert_eq!(server.client().post("/api/auth/signup", &body).await.code(), code);
        assert_eq!(ada.post("/api/auth/change-password", &change).await.code(), code);
        // Neither a session nor an account, no new password, and nothing in the audit trail.
        assert_eq!(counts().await, before);
        assert_eq!(ada.get("/api/auth/me").await.status, 200);
    }
    app.set(Manner::allows());
    server.clock.advance(Span::from_secs(10));
    assert_eq!(sign_in(&server).await.status, 200);
    // Asked once, and about the session that was then opened.
    app.calls();
    let opened = sign_in(&server).await;
    let calls = app.calls();
    let session = &payload(&opened.text("/access_token"))["sid"];
    assert_eq!((calls.len(), &calls[0].body["data"]["session"]["id"]), (1, session));
}

#[tokio::test]
async fn a_new_password_is_shown_to_the_application_wherever_it_is_chosen() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir, &["password_before"]).start().await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    app.set(says(&json!({"allow": false, "code": "USED_BEFORE", "message": "You had this one."})));
    let outcome = ctl(&server.socket)
        .input("a quite new password")
        .run("user set-password ada@example.com --password-stdin")
        .await;
    assert!(outcome.err.contains("USED_BEFORE"), "{}", outcome.err);
    assert_eq!(sign_in(&server).await.status, 200, "no new password, no call: {:?}", app.calls().len());
    // Its own rules come first: what authd refuses is shown to nobody.
    app.calls();
    let body = json!({"email": "bob@example.com", "password": "password", "name": "Bob"});
    assert_eq!(server.client().post("/api/auth/signup", &body).await.json()["code"], "PASSWORD_COMPROMISED");
    assert!(app.calls().is_empty());
}

#[tokio::test]
async fn op_05_unsafe_addresses_are_refused_before_the_start() {
    let check = |name: &str, url: &str, more: &[(&str, &str)]| {
        let mut env = vec![("HOME".to_owned(), "/tmp".to_owned()), (format!("AUTHD_HOOKS__{name}"), url.to_owned())];
        env.extend(more.iter().map(|(k, v)| (format!("AUTHD_HOOKS__{k}"), (*v).to_owned())));
        let flags = config::Flags { development: true, ..config::Flags::default() };
        config::load(&flags, &env).map(drop).map_err(|problems| format!("{problems:?}"))
    };
    for (name, url, more) in [
        ("SIGN_IN_BEFORE", "http://app.example.com/hook", &[][..]),
        ("SIGN_IN_BEFORE", "http://169.254.169.254/latest/meta-data", &[]),
        ("SIGN_IN_BEFORE", "https://user:secret@app.example.com/hook", &[]),
        ("SIGN_IN_BEFORE", "file:///etc/passwd", &[]),
        ("PASSWORD_BEFORE", "http://10.0.0.1/hook", &[]),
        ("PASSWORD_BEFORE", "http://app.example.com/hook", &[("ALLOW_PLAIN_HTTP", "true")]),
        ("SIGN_IN_BEFORE", "https://app.example.com/", &[("TIMEOUT", "1m")]),
        ("SIGN_IN_BEFORE", "https://app.example.com/", &[("FAIL_OPEN", "sign_up.before")]),
        ("SIGN_IN_BEFORE", "https://app.example.com/", &[("FAIL_OPEN", "sign-in")]),
    ] {
        assert!(check(name, url, more).is_err(), "{name} {url} {more:?}");
    }
    for (name, url, more) in [
        ("SIGN_IN_BEFORE", "https://app.example.com/hook", &[][..]),
        ("SIGN_IN_BEFORE", "http://10.0.0.1/hook", &[]),
        ("PASSWORD_BEFORE", "http://localhost:3000/hook", &[]),
        ("SIGN_IN_BEFORE", "http://app.example.com/hook", &[("ALLOW_PLAIN_HTTP", "true")]),
    ] {
        assert_eq!(check(name, url, more), Ok(()), "{name} {url} {more:?}");
    }
    // Without a secret, or with a bad one, it does not start.
    let refused = Server::builder().set("hooks.sign_in_before", "http://127.0.0.1:9/").try_start().await;
    assert!(refused.err().unwrap().to_string().contains("hooks.secret_file"));
}

#[tokio::test]
async fn a_hook_fails_open_as_soon_as_the_configuration_says_so() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let mut server = asking(&app, &dir, &["sign_in_before"]).start().await;
    server.sign_up("ada@example.com").await;
    app.set(Manner::HangsUp);
    assert_eq!(sign_in(&server).await.code(), "HOOK_UNAVAILABLE");
    server.reload(|s| s.hooks.fail_open = vec!["sign_in.before".parse().unwrap()]).await;
    assert_eq!(sign_in(&server).await.status, 200);
    let listed = ctl(&server.socket).run("hook list -o json").await.ok().json();
    assert_eq!(listed[0]["onFailure"], "open");
    server.reload(|s| s.hooks.fail_open.clear()).await;
    assert_eq!(sign_in(&server).await.code(), "HOOK_UNAVAILABLE");
}
