//! The application's own fields of users and sessions. That they are what the real server makes of them is shown by
//! `tests/node/differential`; here is what differs, what must never happen, and what lasts.

use common::Span;
use serde_json::{Value, json};
use tests::{Client, PASSWORD, Server, ctl::ctl};

const USER_FIELDS: &str = r#"
plan = { type = "string", required = false, default = "free" }
nick = { type = "string" }
level = { type = "number", required = false }
news = { type = "boolean", required = false }
born = { type = "date", required = false }
tags = { type = "string[]", required = false }
scores = { type = "number[]", required = false }
locked = { type = "string", required = false, input = false }
vip = { type = "boolean", default = false, input = false }
note = { type = "string", required = false, returned = false }
"#;
const SESSION_FIELDS: &str = r#"
theme = { type = "string", default = "light" }
device = { type = "string", required = false, input = false }
secret = { type = "string", required = false, returned = false }
"#;

fn with_fields() -> tests::server::Builder {
    Server::builder().set("user.fields", USER_FIELDS).set("session.fields", SESSION_FIELDS)
}

fn ada(more: &Value) -> Value {
    let mut body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "nick": "ada"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn signed_up(server: &Server) -> Client {
    let page = server.browser("http://localhost:5173");
    let made = page.post("/api/auth/sign-up/email", &ada(&json!({"note": "hush"}))).await;
    assert_eq!(made.status, 200, "{made:?}");
    page
}

async fn seen(page: &Client) -> Value {
    page.get("/api/auth/get-session").await.json()
}

async fn stored(server: &Server) -> Value {
    ctl(&server.socket).run("user show ada@example.com -o json").await.ok().json()["fields"].clone()
}

#[tokio::test]
async fn every_answer_that_shows_a_user_shows_the_fields() {
    let server = with_fields().start().await;
    let fields =
        json!({"plan": "pro", "level": 4.5, "news": true, "born": "1815-12-10", "tags": ["a"], "scores": [1, -2.5]});
    let shown = json!({
        "plan": "pro", "nick": "ada", "level": 4.5, "news": true, "born": "1815-12-10T00:00:00.000Z", "tags": ["a"],
        "scores": [1, -2.5], "locked": null, "vip": false,
    });
    let is_shown = |user: &Value, what: &str| {
        for (name, value) in shown.as_object().unwrap() {
            assert_eq!(&user[name], value, "{what}: {name} of {user}");
        }
        assert_eq!(user.get("note"), None, "{what}");
    };
    let page = server.browser("http://localhost:5173");
    let made = page.post("/api/auth/signup", &ada(&fields)).await;
    assert_eq!(made.status, 201, "{made:?}");
    is_shown(&made.json()["user"], "/signup");
    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    for route in ["/api/auth/login", "/api/auth/sign-in/email"] {
        is_shown(&page.post(route, &credentials).await.json()["user"], route);
    }
    for route in ["/api/auth/me", "/api/auth/get-session"] {
        is_shown(&page.get(route).await.json()["user"], route);
    }
    is_shown(&page.post("/api/auth/refresh", &json!({})).await.json()["user"], "/refresh");
    let change = json!({"currentPassword": PASSWORD, "newPassword": "another good passphrase"});
    is_shown(&page.post("/api/auth/change-password", &change).await.json()["user"], "/change-password");
    let order: Vec<String> = made.json()["user"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        order[7..],
        ["plan", "nick", "level", "news", "born", "tags", "scores", "locked", "vip"],
        "as configured"
    );
}

#[tokio::test]
async fn what_is_not_of_its_type_is_refused_in_the_words_of_the_validator() {
    let server = with_fields().start().await;
    let page = signed_up(&server).await;
    for (change, said) in [
        (json!({"plan": 5}), "[body.plan] Invalid input: expected string, received number"),
        (json!({"nick": null}), "[body.nick] Invalid input: expected string, received null"),
        (json!({"level": "5"}), "[body.level] Invalid input: expected number, received string"),
        (json!({"born": "soon"}), "[body.born] Invalid date"),
        (
            json!({"tags": [1], "news": 1}),
            "[body.news] Invalid input: expected boolean, received number; [body.tags.0] Invalid input: expected string, received number",
        ),
        (json!({"plan": "a\u{202e}b"}), "[body.plan] Invalid text: it contains control characters or invisible ones"),
        (json!({"plan": "x".repeat(1024)}), "[body] Too large: the application's fields may have 1024 bytes together"),
    ] {
        let refused = page.post("/api/auth/update-user", &change).await;
        assert_eq!((refused.status, refused.text("/message").as_str()), (400, said));
        assert_eq!(refused.code(), "VALIDATION_ERROR");
        let mut bob = ada(&change);
        bob["email"] = "bob@example.com".into();
        for route in ["/api/auth/sign-up/email", "/api/auth/signup"] {
            assert_eq!(server.client().post(route, &bob).await.short(), refused.short(), "{route}");
        }
    }
    let refused = page.post("/api/auth/update-session", &json!({"theme": null})).await;
    assert_eq!(refused.text("/message"), "[body.theme] Invalid input: expected string, received null");
    let refused = page.post("/api/auth/update-session", &json!({"theme": "x".repeat(1024)})).await;
    assert_eq!(refused.text("/message"), "[body] Too large: the application's fields may have 1024 bytes together");
}

#[tokio::test]
async fn what_is_missing_is_named_before_the_password_is_hashed_and_after_its_length() {
    let server = with_fields().start().await;
    let post = async |body: Value| server.client().post("/api/auth/signup", &body).await.short();
    let without = |password: &str| json!({"email": "ada@example.com", "password": password, "locked": "x"});
    let missing = r#"400 {"code":"MISSING_FIELD","message":"nick is required"}"#;
    assert_eq!(post(without(PASSWORD)).await, missing);
    assert_eq!(post(without("short")).await, r#"400 {"code":"PASSWORD_TOO_SHORT","message":"Password too short"}"#);
    assert_eq!(post(without("password")).await, missing);
    let with = json!({"email": "ada@example.com", "password": PASSWORD, "nick": "a", "locked": "x"});
    assert_eq!(post(with).await, r#"400 {"code":"FIELD_NOT_ALLOWED","message":"locked is not allowed to be set"}"#);
}

#[tokio::test]
async fn ht_06_no_client_sets_a_field_that_is_not_its_to_set_or_no_field_at_all() {
    let server = with_fields().start().await;
    let page = signed_up(&server).await;
    let before = stored(&server).await;
    assert_eq!(before["note"], "hush", "operators see all of them");
    let nothing = r#"400 {"message":"No fields to update"}"#;
    for (body, answer) in [
        (json!({"vip": true}), r#"400 {"code":"FIELD_NOT_ALLOWED","message":"vip is not allowed to be set"}"#),
        (
            json!({"plan": "pro", "locked": "x"}),
            r#"400 {"code":"FIELD_NOT_ALLOWED","message":"locked is not allowed to be set"}"#,
        ),
        (json!({"vip": false, "locked": null}), nothing),
        (json!({"fields": {"vip": true}, "theme": "dark", "username": "root", "role": "admin"}), nothing),
    ] {
        assert_eq!(page.post("/api/auth/update-user", &body).await.short(), answer, "{body}");
    }
    let tried = page.post("/api/auth/update-session", &json!({"device": "x", "theme": "dark"})).await;
    assert_eq!(tried.code(), "FIELD_NOT_ALLOWED");
    let core = json!({"userId": "x", "token": "x", "expiresAt": "2099-01-01T00:00:00.000Z", "plan": "pro", "fields": {"device": "x"}});
    assert_eq!(page.post("/api/auth/update-session", &core).await.short(), nothing);
    assert_eq!(stored(&server).await, before);
    let session = seen(&page).await["session"].clone();
    assert_eq!((&session["theme"], &session["device"]), (&json!("light"), &Value::Null));
}

#[tokio::test]
async fn a_change_is_seen_at_once_by_every_device_and_in_the_jwt_and_outlives_a_restart() {
    let server = with_fields().start().await;
    let page = signed_up(&server).await;
    server.clock.advance(Span::from_secs(1));
    let phone = server.browser("http://localhost:5173");
    phone.post("/api/auth/sign-in/email", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    let before = phone.get("/api/auth/token").await.text("/token");
    let changed = page.post("/api/auth/update-user", &json!({"plan": "pro", "level": 3})).await;
    assert_eq!(changed.short(), r#"200 {"status":true}"#);
    assert_eq!(seen(&phone).await["user"]["plan"], "pro");
    assert_ne!(phone.get("/api/auth/token").await.text("/token"), before);
    let event = server.admin().get("/v1/audit?limit=1").await.json()["items"][0].clone();
    assert_eq!((&event["event"], &event["details"]["fields"]), (&json!("user.updated"), &json!("level, plan")));

    let set = page.post("/api/auth/update-session", &json!({"theme": "dark", "secret": "x"})).await;
    let session = set.json()["session"].clone();
    assert_eq!((set.status, &session["theme"], session.get("secret")), (200, &json!("dark"), None));
    assert_eq!(set.json().as_object().unwrap().len(), 1);
    assert!(set.cookies()[0].contains("Max-Age=604800"));
    assert_eq!(seen(&phone).await["session"]["theme"], "light", "of one session only");
    let listed = page.get("/api/auth/list-sessions").await.json();
    let themes: Vec<&Value> = listed.as_array().unwrap().iter().map(|session| &session["theme"]).collect();
    assert_eq!(themes, ["dark", "light"]);
    let cookie = page.cookie_header();
    let server = server.restart().await;
    let page = server.browser("http://localhost:5173").header("cookie", &cookie);
    let again = seen(&page).await;
    assert_eq!((&again["session"], &again["user"]["level"]), (&session, &json!(3)));
    let jwt = server.client().bearer(&page.get("/api/auth/token").await.text("/token"));
    let by_jwt = jwt.post("/api/auth/update-session", &json!({"theme": "blue"})).await;
    assert_eq!((by_jwt.status, by_jwt.cookies().len()), (200, 0));
}

#[tokio::test]
async fn an_account_of_before_has_no_value_and_what_is_not_configured_any_more_is_kept() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let fields = |text: &str| {
        use authd::config::{Setting, UserFields};
        UserFields::from_text(text).unwrap()
    };
    let plan = "plan = { type = \"string\", default = \"free\" }";
    let server = server.restart_with(|s| s.user.fields = fields(plan)).await;
    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    let user =
        async |server: &Server| server.client().post("/api/auth/login", &credentials).await.json()["user"].clone();
    assert_eq!(user(&server).await["plan"], Value::Null, "a default is for new accounts");
    let page = server.browser("http://localhost:5173");
    page.post("/api/auth/sign-in/email", &credentials).await;
    assert_eq!(page.post("/api/auth/update-user", &json!({"plan": "pro"})).await.status, 200);
    let server = server.restart_with(|s| s.user.fields = fields("")).await;
    assert_eq!(user(&server).await.get("plan"), None);
    let server = server.restart_with(|s| s.user.fields = fields("plan.type = \"number\"")).await;
    assert_eq!(user(&server).await["plan"], Value::Null, "of another type it is nothing");
    let server = server.restart_with(|s| s.user.fields = fields(plan)).await;
    assert_eq!(user(&server).await["plan"], "pro");
}

#[tokio::test]
async fn th_01_changes_of_session_fields_count_with_those_of_users() {
    let server = with_fields().start().await;
    let page = signed_up(&server).await;
    for n in 0..30 {
        let body = json!({"theme": n.to_string()});
        assert_eq!(page.post("/api/auth/update-session", &body).await.status, 200);
        assert_eq!(page.post("/api/auth/update-user", &json!({"plan": n.to_string()})).await.status, 200);
    }
    let refused = page.post("/api/auth/update-session", &json!({"theme": "one more"})).await;
    assert_eq!(refused.status, 429, "{refused:?}");
}
