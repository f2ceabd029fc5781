//! Events: told at least once and in order whatever the application does, streamed, given up and told once more.

use std::collections::BTreeMap;

use authd::service::events;
use common::Span;
use serde_json::{Value, json};
use tests::{Application, PASSWORD, Server, application::Manner, ctl::ctl, server::Builder};

use super::hooks::secret_file;

fn telling(app: &Application, dir: &tempfile::TempDir) -> Builder {
    Server::builder()
        .set("events.secret_file", &secret_file(dir))
        .set("events.timeout", "300ms")
        .set("events.url", &app.url("/events"))
}

async fn sign_in(server: &Server, name: &str) {
    let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
    assert_eq!(server.client().post("/api/auth/login", &body).await.status, 200);
}

/// Tells what is due after this time.
async fn later(server: &Server, wait: Span) {
    server.clock.advance(wait);
    events::round(&server.services()).await.unwrap();
}

async fn listed(server: &Server, state: &str) -> Vec<Value> {
    let page = server.admin().get(&format!("/v1/events?state={state}&limit=1000")).await.json();
    page["items"].as_array().unwrap().clone()
}

/// What the application has taken since this was asked: (user, sequence, type, id).
fn taken(app: &Application) -> Vec<(String, u64, String, String)> {
    let of = |call: tests::application::Called| {
        let text = |at: &str| call.body.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let sequence = call.body["sequence"].as_u64().unwrap();
        (text("/data/userId"), sequence, text("/type"), call.header("webhook-id").to_owned())
    };
    app.calls().into_iter().map(of).collect()
}

fn assert_in_order(taken: &[(String, u64, String, String)]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (user, sequence, ..) in taken {
        let before = last.insert(user, *sequence).unwrap_or_default();
        assert!(before <= *sequence, "{user}: {before} and then {sequence}");
    }
}

#[tokio::test]
async fn an_event_is_signed_says_what_happened_and_has_no_secret_in_it() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = telling(&app, &dir).start().await;
    let made = server.sign_up("ada@example.com").await;
    let user = made.text("/user/id");
    events::round(&server.services()).await.unwrap();
    let calls = app.calls();
    // The rotation of the first key may be among them.
    let of_ada: Vec<_> = calls.iter().filter(|call| call.body["data"]["userId"] == user.as_str()).collect();
    let types: Vec<&str> = of_ada.iter().map(|call| call.body["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["user.created", "session.created"]);
    let signer = authd::webhook::Signer::from_text(&Application::SECRET.into()).unwrap();
    for call in &of_ada {
        let (id, at) = (call.header("webhook-id"), call.header("webhook-timestamp").parse().unwrap());
        assert_eq!(call.header("webhook-signature"), signer.sign(id, at, call.text.as_bytes()));
        assert_eq!(
            (&call.body["version"], &call.body["data"]["user"]["email"]),
            (&json!(1), &json!("ada@example.com"))
        );
        for secret in [PASSWORD.to_owned(), made.text("/access_token"), made.text("/refresh_token"), "$argon2".into()] {
            assert!(!call.text.contains(&secret), "{}", call.text);
        }
    }
    assert!(listed(&server, "waiting").await.is_empty());
    // Who is gone is told of by id alone.
    ctl(&server.socket).run("user delete ada@example.com --yes").await.ok();
    events::round(&server.services()).await.unwrap();
    let call = app.calls().pop().unwrap();
    assert_eq!((&call.body["type"], &call.body["data"]["user"]), (&json!("user.deleted"), &Value::Null));
    assert!(!call.text.contains("ada@example.com"), "{}", call.text);
}

#[tokio::test]
async fn a_target_that_fails_for_a_day_gets_everything_in_order_afterwards() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = telling(&app, &dir).start().await;
    app.set(Manner::Says(503, "{}".into()));
    for name in ["ada", "bob", "cyd"] {
        server.sign_up(&format!("{name}@example.com")).await;
    }
    for hour in 0..24 {
        sign_in(&server, ["ada", "bob", "cyd"][hour % 3]).await;
        later(&server, Span::from_hours(1)).await;
    }
    let waiting = listed(&server, "waiting").await;
    assert!(waiting.len() >= 30, "{}", waiting.len());
    assert!(listed(&server, "dead").await.is_empty());
    let problems = server.admin().get("/v1/status").await.json()["problems"].to_string();
    assert!(problems.contains("does not take events"), "{problems}");
    // What was tried in that day is little: it was left alone.
    let tried = app.calls().len();
    assert!((1..600).contains(&tried), "{tried}");

    app.set(Manner::Says(204, String::new()));
    let server = server.restart().await;
    for _ in 0..4 {
        later(&server, Span::from_mins(15)).await;
    }
    let taken = taken(&app);
    assert_in_order(&taken);
    let expected: Vec<&str> = waiting.iter().map(|event| event["id"].as_str().unwrap()).collect();
    let mut ids: Vec<&str> = taken.iter().map(|(.., id)| id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert!(expected.iter().all(|id| ids.contains(id)), "some were lost");
    assert!(listed(&server, "waiting").await.is_empty());
}

#[tokio::test]
async fn a_poisonous_event_holds_up_its_own_user_only_and_is_given_up_and_told_once_more() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = telling(&app, &dir).set("events.give_up_after", "1h").start().await;
    app.set(Manner::Says(200, String::new()));
    let ada = server.sign_up("ada@example.com").await.text("/user/id");
    let bob = server.sign_up("bob@example.com").await.text("/user/id");
    events::round(&server.services()).await.unwrap();
    app.calls();
    app.about("\"user.updated\",\"version\":1", Some(Manner::Says(500, String::new())));
    ctl(&server.socket).run("user role ada@example.com support --yes").await.ok();
    sign_in(&server, "ada").await;
    sign_in(&server, "bob").await;
    let told = async |wait: Span| {
        later(&server, wait).await;
        let taken = taken(&app);
        taken.into_iter().map(|(user, _, topic, id)| (user, topic, id)).collect::<Vec<_>>()
    };
    let mut first = told(Span::ZERO).await;
    first.sort();
    assert!(first.iter().any(|(user, topic, _)| (user, topic.as_str()) == (&bob, "session.created")), "{first:?}");
    assert!(!first.iter().any(|(user, topic, _)| (user, topic.as_str()) == (&ada, "session.created")), "{first:?}");
    let poison = first.iter().find(|(user, ..)| *user == ada).unwrap().2.clone();
    // Every try has the same name.
    for _ in 0..20 {
        for (user, topic, id) in told(Span::from_mins(5)).await {
            assert!((user, topic.as_str()) != (ada.clone(), "user.updated") || id == poison);
        }
    }
    let dead = listed(&server, "dead").await;
    assert_eq!((dead.len(), &dead[0]["id"], &dead[0]["error"]), (1, &json!(poison), &json!("it answered 500")));
    assert!(listed(&server, "waiting").await.is_empty(), "what waited behind it was told");
    let problems = server.admin().get("/v1/status").await.json()["problems"].to_string();
    assert!(problems.contains("authctl events replay"), "{problems}");

    app.about("\"user.updated\",\"version\":1", None);
    ctl(&server.socket).run("events replay --dead").await.ok();
    let again = told(Span::from_secs(10)).await;
    assert!(again.contains(&(ada, "user.updated".into(), poison)), "{again:?}");
    assert_eq!(ctl(&server.socket).run("events replay --dead").await.exit, 3);
    assert!(listed(&server, "dead").await.is_empty());
}

#[tokio::test]
async fn an_application_that_dies_before_it_answers_is_told_again_by_the_same_name() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = telling(&app, &dir).start().await;
    for manner in
        [Manner::HangsUp, Manner::Silent, Manner::Redirects("http://127.0.0.1:9/".into()), Manner::Talks(1 << 20)]
    {
        app.set(manner.clone());
        sign_up_some(&server, &format!("{manner:?}").to_lowercase()[..4]).await;
        events::round(&server.services()).await.unwrap();
        let first = taken(&app);
        assert!(!first.is_empty(), "{manner:?}");
        app.set(Manner::Says(200, String::new()));
        for _ in 0..3 {
            later(&server, Span::from_mins(15)).await;
        }
        let second = taken(&app);
        assert!(second.iter().any(|(.., id)| *id == first[0].3), "{manner:?}");
        assert!(listed(&server, "waiting").await.is_empty(), "{manner:?}");
    }
}

async fn sign_up_some(server: &Server, name: &str) {
    assert_eq!(server.sign_up(&format!("{name}@example.com")).await.status, 201);
}

#[tokio::test]
async fn the_stream_goes_on_where_it_ended_and_waits_for_what_comes() {
    let server = Server::builder().set("events.stream", "true").start().await;
    let made = server.sign_up("ada@example.com").await.text("/user/id");
    let first = listed(&server, "all").await;
    let last = first.last().unwrap()["seq"].as_u64().unwrap();
    assert_eq!(
        (&first.last().unwrap()["type"], &first.last().unwrap()["state"]),
        (&json!("session.created"), &json!("kept"))
    );
    let path = format!("/v1/events?cursor={last}&wait=60");
    let admin = server.admin();
    let (next, ()) = futures_util::future::join(admin.get(&path), async {
        sign_in(&server, "ada").await;
    })
    .await;
    let next = next.json()["items"][0].clone();
    assert_eq!((next["seq"].as_u64(), &next["user"]), (Some(last + 1), &json!(made)));
    let tail = ctl(&server.socket).run(&format!("events tail --after {last}")).await.ok();
    assert_eq!(serde_json::from_str::<Value>(tail.out.trim()).unwrap()["seq"], last + 1);
    let shown = ctl(&server.socket).run("events tail --lines 2 -o id").await.ok();
    assert_eq!(shown.out.lines().count(), 2);
    // Nothing is told where nobody is to be told; and without either setting nothing is written down.
    assert_eq!(ctl(&server.socket).run("events replay --dead").await.exit, 4);
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    assert!(listed(&server, "all").await.is_empty());
}

#[tokio::test]
async fn who_waits_for_an_event_does_not_hold_up_the_end() {
    let mut server = Server::builder().set("events.stream", "true").start().await;
    let admin = server.admin();
    let waiting = tokio::spawn(async move { admin.get("/v1/events?cursor=100000&wait=60").await.status });
    while server.services().events.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    // Far sooner than it would have been by itself.
    let answered = tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await;
    assert_eq!(answered.expect("it is told of the end").unwrap(), 200, "with nothing, and not cut off");
}

#[tokio::test]
async fn old_events_go_and_only_what_is_wanted_is_told() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    app.set(Manner::Says(200, String::new()));
    let server = telling(&app, &dir).set("events.types", "user.deleted").start().await;
    server.sign_up("ada@example.com").await;
    ctl(&server.socket).run("user delete ada@example.com --yes").await.ok();
    events::round(&server.services()).await.unwrap();
    assert_eq!(taken(&app).iter().map(|(_, _, topic, _)| topic.as_str()).collect::<Vec<_>>(), ["user.deleted"]);
    assert!(listed(&server, "waiting").await.is_empty());
    assert!(!listed(&server, "all").await.is_empty());
    server.clock.advance(Span::from_days(8));
    events::trim(&server.services()).await.unwrap();
    // Keys may have been rotated since.
    assert!(listed(&server, "all").await.iter().all(|event| event["type"].as_str().unwrap().starts_with("keys.")));
}

#[tokio::test]
async fn what_is_told_and_how_long_it_is_kept_changes_without_a_restart() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let mut server = telling(&app, &dir).set("keys.rotate_every", "0s").start().await;
    server.sign_up("ada@example.com").await;
    events::round(&server.services()).await.unwrap();
    app.calls();
    let topics = || taken(&app).into_iter().map(|(_, _, topic, _)| topic).collect::<Vec<_>>();
    server.reload(|s| s.events.types = vec!["user.deleted".parse().unwrap()]).await;
    sign_in(&server, "ada").await;
    ctl(&server.socket).run("user delete ada@example.com --yes").await.ok();
    events::round(&server.services()).await.unwrap();
    assert_eq!(topics(), ["user.deleted"]);

    // Given up sooner.
    server.reload(|s| s.events.give_up_after = Span::from_mins(1)).await;
    app.set(Manner::Says(500, String::new()));
    sign_up_some(&server, "bob").await;
    ctl(&server.socket).run("user delete bob@example.com --yes").await.ok();
    later(&server, Span::from_mins(2)).await;
    assert_eq!(listed(&server, "dead").await.len(), 1);
    // Fewer, and for a shorter time.
    server.reload(|s| s.events.keep = 1000).await;
    assert_eq!(server.services().policy.events.keep, 1000);
    server.clock.advance(Span::from_hours(2));
    assert_eq!(events::trim(&server.services()).await.unwrap(), 0);
    server.reload(|s| s.events.retention = Span::from_hours(1)).await;
    assert!(events::trim(&server.services()).await.unwrap() > 3);
    assert!(listed(&server, "all").await.is_empty());
}
