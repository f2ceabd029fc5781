//! LG-01: each act is one record, which says when, what, who, whom, from where and by which request.

use common::Span;
use http::Method;
use serde_json::{Map, Value, json};
use tests::{PASSWORD, Response, Server};

/// Who acts: by the public door or by the admin socket.
#[derive(Clone, Copy, PartialEq)]
enum By {
    User,
    Operator,
}

/// What is wrong with a record, if something is. Every member is known, and has its form.
fn misfit(event: &Map<String, Value>) -> Option<String> {
    let is_id = |v: &Value| v.as_str().is_some_and(|id| !id.is_empty() && id.len() <= 128 && !id.contains(' '));
    let is_time = |v: &Value| {
        let form = "0000-00-00T00:00:00.000Z";
        v.as_str().is_some_and(|text| {
            let digit = |(is, must): (char, char)| if must == '0' { is.is_ascii_digit() } else { is == must };
            text.len() == form.len() && text.chars().zip(form.chars()).all(digit)
        })
    };
    let is_actor = |v: &Value| match v["kind"].as_str() {
        Some("user") => is_id(&v["user"]) && v.as_object().is_some_and(|actor| actor.len() == 2),
        Some("operator") => v["uid"].is_u64() && v["pid"].is_u64() && v.as_object().is_some_and(|a| a.len() == 4),
        Some("daemon" | "anonymous") => v.as_object().is_some_and(|actor| actor.len() == 1),
        _ => false,
    };
    for (name, value) in event {
        let fits = match name.as_str() {
            "seq" => value.is_u64(),
            "at" => is_time(value),
            "event" => value
                .as_str()
                .is_some_and(|e| e.split_once('.').is_some_and(|(noun, verb)| !noun.is_empty() && !verb.is_empty())),
            "actor" => is_actor(value),
            "user" | "session" | "requestId" => is_id(value),
            "method" => ["password", "session", "refresh_token", "socket", "daemon"].map(Value::from).contains(value),
            "result" => ["success", "failure"].map(Value::from).contains(value),
            "source" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
            "reason" => value.is_string(),
            "details" => value.as_object().is_some_and(|details| details.values().all(Value::is_string)),
            _ => false,
        };
        if !fits {
            return Some(format!("{name}: {value}"));
        }
    }
    ["seq", "at", "event", "actor", "method", "result", "requestId"]
        .iter()
        .find(|name| !event.contains_key(**name))
        .map(ToString::to_string)
}

#[test]
fn lg_01_the_schema_refuses_what_is_no_record() {
    let good = json!({"seq": 1, "at": "2027-01-15T08:00:00.000Z", "event": "a.b", "actor": {"kind": "daemon"}, "method": "daemon", "result": "success", "requestId": "r"});
    assert_eq!(misfit(good.as_object().unwrap()), None);
    for (name, wrong) in [
        ("at", json!("2027-01-15T08:00:00Z")),
        ("at", json!("2027-01-15T08:00:00.000+01")),
        ("event", json!("ab")),
        ("actor", json!({"kind": "user"})),
        ("method", json!("magic")),
        ("result", json!("maybe")),
        ("source", json!("localhost")),
        ("requestId", Value::Null),
        ("password", json!("x")),
    ] {
        let mut bad = good.clone();
        bad[name] = wrong;
        assert!(misfit(bad.as_object().unwrap()).is_some_and(|why| why.starts_with(name)), "{bad}");
    }
}

/// A server, and how far its trail was read.
struct Trail {
    server: Server,
    seen: u64,
}

impl Trail {
    async fn new_records(&mut self) -> Vec<Map<String, Value>> {
        let page = self.server.admin().get("/v1/audit?limit=1000").await.json();
        let all = page["items"].as_array().unwrap().iter().map(|item| item.as_object().unwrap().clone());
        let mut new: Vec<_> = all.filter(|item| item["seq"].as_u64().unwrap() > self.seen).collect();
        new.reverse();
        self.seen += new.len() as u64;
        new
    }

    /// That this request made this one record; about that user, if one is given, and a session, if `session`.
    async fn one(&mut self, answer: &Response, kind: &str, by: By, user: Option<&str>, session: bool) {
        assert!((200..300).contains(&answer.status) || kind == "token.refresh_reused", "{kind}: {answer:?}");
        let new = self.new_records().await;
        let [event] = new.as_slice() else { panic!("{kind}: {new:?}") };
        assert_eq!(misfit(event), None, "{event:?}");
        assert_eq!(event["event"], kind);
        assert_eq!(event["at"], self.server.clock.now_time().to_string(), "{event:?}");
        assert_eq!(event["requestId"], answer.header("x-request-id"), "{event:?}");
        let (actor, source) = match by {
            By::User => (json!({"kind": "user", "user": user}), Some("127.0.0.1")),
            By::Operator => (event["actor"].clone(), None),
        };
        assert_eq!(event["actor"], actor, "{event:?}");
        assert_eq!(event["actor"]["kind"] == "operator", by == By::Operator, "{event:?}");
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let (method, result) = match (by, kind) {
            (By::Operator, _) => ("socket", "success"),
            (By::User, "token.refresh_reused") => ("refresh_token", "failure"),
            (By::User, "token.refreshed" | "token.refresh_repeated") => ("refresh_token", "success"),
            (By::User, "user.created" | "session.created" | "password.set" | "user.deleted") => ("password", "success"),
            (By::User, _) => ("session", "success"),
        };
        assert_eq!((text("method"), text("result")), (Some(method), Some(result)), "{event:?}");
        assert_eq!((text("user"), text("source"), text("session").is_some()), (user, source, session), "{event:?}");
        // The next act is at another time.
        self.server.clock.advance(Span::from_millis(1));
    }

    async fn none(&mut self, what: &str) {
        let new = self.new_records().await;
        assert!(new.is_empty(), "{what}: {new:?}");
    }
}

fn credentials(password: &str) -> Value {
    json!({"name": "Ada", "email": "ada@example.com", "password": password})
}

#[tokio::test]
async fn lg_01_what_a_user_does_is_one_record_each() {
    let mut t = Trail { server: Server::start().await, seen: 0 };
    assert_eq!(t.new_records().await.len(), 1, "store.created");
    let api = t.server.client();

    let made = api.post("/api/auth/signup", &credentials(PASSWORD)).await;
    let ada = made.text("/user/id");
    let ada = Some(ada.as_str());
    t.one(&made, "user.created", By::User, ada, true).await;

    let entered = api.post("/api/auth/login", &credentials(PASSWORD)).await;
    t.one(&entered, "session.created", By::User, ada, true).await;
    let refresh = async |token: &str| api.post("/api/auth/refresh", &json!({"refresh_token": token})).await;
    let first = entered.text("/refresh_token");
    let second = refresh(&first).await;
    t.one(&second, "token.refreshed", By::User, ada, true).await;
    let again = refresh(&first).await;
    t.one(&again, "token.refresh_repeated", By::User, ada, true).await;
    refresh(&first).await;
    t.none("the same repetition once more").await;
    refresh(&second.text("/refresh_token")).await;
    t.none("a second refresh on the same day").await;
    t.server.clock.advance(Span::from_secs(10));
    let reused = refresh(&first).await;
    assert_eq!(reused.code(), "REFRESH_TOKEN_REUSED");
    t.one(&reused, "token.refresh_reused", By::User, ada, true).await;

    let entered = api.post("/api/auth/login", &credentials(PASSWORD)).await;
    t.one(&entered, "session.created", By::User, ada, true).await;
    let left = t.server.client().bearer(&entered.text("/access_token")).post_empty("/api/auth/logout").await;
    t.one(&left, "session.signed_out", By::User, ada, true).await;

    // The same on Better Auth's routes.
    let page = t.server.browser("http://localhost:5173");
    let bea = json!({"name": "Bea", "email": "bea@example.com", "password": PASSWORD});
    let made = page.post("/api/auth/sign-up/email", &bea).await;
    let bea_id = made.text("/user/id");
    t.one(&made, "user.created", By::User, Some(&bea_id), true).await;
    let left = page.post("/api/auth/sign-out", &json!({})).await;
    t.one(&left, "session.signed_out", By::User, Some(&bea_id), true).await;
    let entered = page.post("/api/auth/sign-in/email", &bea).await;
    t.one(&entered, "session.created", By::User, Some(&bea_id), true).await;

    // What fails, or only looks, makes none: strangers could fill the trail with it.
    for (path, body) in [
        ("/api/auth/login", credentials("wrong horse battery")),
        ("/api/auth/login", json!({"email": "nobody@example.com", "password": PASSWORD})),
        ("/api/auth/login", json!({"email": 7})),
        ("/api/auth/signup", credentials(PASSWORD)),
        ("/api/auth/refresh", json!({"refresh_token": "nonsense"})),
        ("/api/auth/refresh", json!({"refresh_token": first})),
        ("/api/auth/logout", json!({})),
    ] {
        t.server.client().post(path, &body).await;
        t.none(&format!("{path} {body}")).await;
    }
    page.get("/api/auth/get-session").await;
    t.none("get-session").await;
}

#[tokio::test]
async fn lg_01_what_an_operator_does_is_one_record_each() {
    let mut t = Trail { server: Server::start().await, seen: 1 };
    let admin = t.server.admin();
    let made = admin.post("/v1/users", &json!({"email": "ada@example.com", "name": "Ada", "password": PASSWORD})).await;
    let id = made.text("/id");
    let ada = Some(id.as_str());
    t.one(&made, "user.created", By::Operator, ada, false).await;
    for _ in 0..3 {
        t.server.client().post("/api/auth/login", &credentials(PASSWORD)).await;
    }
    assert_eq!(t.new_records().await.len(), 3);
    let session = admin.get("/v1/sessions").await.text("/items/0/id");
    let kid = admin.get("/v1/keys").await.text("/items/0/kid");
    let (user, key) = (format!("/v1/users/{id}"), format!("/v1/keys/{kid}/revoke"));
    let one = json!({"target": {"sessions": [session]}});
    let all = json!({"target": {"user": id}});
    let password = json!({"password": "another horse battery"});
    let nothing = json!({});
    let (post, delete) = (Method::POST, Method::DELETE);
    // method, path, body, its event, about the user, about one session
    for (method, path, body, kind, user, session) in [
        (&post, "/v1/sessions/revoke", &one, "session.revoked", ada, true),
        (&post, "/v1/sessions/revoke", &all, "session.revoked", ada, false),
        (&post, &format!("{user}/password"), &password, "password.set", ada, false),
        (&post, &format!("{user}/disable"), &nothing, "user.disabled", ada, false),
        (&post, &format!("{user}/enable"), &nothing, "user.enabled", ada, false),
        (&post, "/v1/keys/rotate", &nothing, "keys.rotated", None, false),
        (&post, "/v1/keys/rollback", &nothing, "keys.rolled_back", None, false),
        (&post, key.as_str(), &nothing, "keys.revoked", None, false),
        (&delete, user.as_str(), &nothing, "user.deleted", ada, false),
        (&post, "/v1/audit/erase", &json!({"user": id}), "audit.erased", None, false),
    ] {
        // Asked for as a preview, where there is one, it makes none.
        let dry_body = [("/v1/sessions/revoke"), "/v1/keys/rotate", "/v1/audit/erase"].contains(&path);
        let mut preview = body.clone();
        if dry_body {
            preview["dryRun"] = true.into();
        }
        if !path.ends_with("/password") && !path.ends_with("/enable") {
            let query = if dry_body { path.to_owned() } else { format!("{path}?dry_run=true") };
            admin.send(method.clone(), &query, Some("application/json"), preview.to_string().into()).await;
            t.none(&format!("a preview of {kind}")).await;
        }
        let done = admin.send(method.clone(), path, Some("application/json"), body.to_string().into()).await;
        t.one(&done, kind, By::Operator, user, session).await;
        // Once more there is nothing to do, except for what makes something new.
        if !["password.set", "keys.rotated"].contains(&kind) {
            admin.send(method.clone(), path, Some("application/json"), body.to_string().into()).await;
            t.none(&format!("{kind} once more")).await;
        }
    }
}
