//! What the audit trail forgets: records by their age, and what they say of a user by an operator's act.

use std::os::unix::fs::PermissionsExt;

use crate::{blind, raw};
use authd::service::events;
use common::Span;
use serde_json::{Value, json};
use tests::{Application, PASSWORD, Server, application::Manner, ctl::ctl, server::START};

async fn trail(server: &Server) -> Vec<Value> {
    let mut items = server.admin().get("/v1/audit?limit=1000").await.json()["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

async fn maintain(server: &Server) {
    authd::service::maintenance::round(&server.services()).await.unwrap();
}

fn kinds(trail: &[Value]) -> Vec<&str> {
    trail.iter().map(|record| record["event"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lg_07_records_older_than_the_retention_go_and_the_rest_can_be_checked() {
    // Longer than anything else here lasts, and no keys that rotate by themselves.
    let server = Server::builder().set("audit.retention", "30d").set("keys.rotate_every", "0s").start().await;
    server.sign_up("ada@example.com").await;
    server.clock.advance(Span::from_hours(12));
    server.sign_up("bob@example.com").await;

    server.clock.set(START.plus(Span::from_days(30)).minus(Span::from_millis(1)));
    maintain(&server).await;
    assert_eq!(
        kinds(&trail(&server).await),
        ["store.created", "user.created", "user.created"],
        "not a millisecond before"
    );
    let verified = ctl(&server.socket).run("audit verify").await.ok();
    assert_eq!(verified.out, "ok  3 records, unbroken\n");

    server.clock.advance(Span::from_millis(1));
    for _ in 0..3 {
        maintain(&server).await;
    }
    let left = trail(&server).await;
    assert_eq!(kinds(&left), ["user.created", "audit.removed"], "one event, however many rounds");
    assert_eq!((&left[0]["seq"], &left[1]["seq"]), (&json!(3), &json!(4)), "numbers stay");
    assert_eq!(left[1]["actor"], json!({"kind": "daemon"}));
    assert_eq!(left[1]["details"], json!({"records": "2", "through": "2", "until": START.to_string()}));
    let verified = ctl(&server.socket).run("audit verify -o json").await.ok().json();
    let known = json!({"ok": true, "records": 2, "first": 3, "last": 4, "removed": 2, "removedUntil": START.to_string(), "erased": 0});
    assert_eq!(verified, known);
    let verified = ctl(&server.socket).run("audit verify").await.ok();
    assert!(verified.out.starts_with("ok  2 records, unbroken; 2 before them removed, up to 20"), "{verified:?}");
    assert_eq!(ctl(&server.socket).run("status -o json").await.ok().json()["counts"]["audit"], 2);

    // Once a day, although bob's is due since noon.
    server.clock.set(START.plus(Span::from_days(31)).minus(Span::from_millis(1)));
    maintain(&server).await;
    assert_eq!(trail(&server).await, left);
    server.clock.advance(Span::from_millis(1));
    maintain(&server).await;
    assert_eq!(kinds(&trail(&server).await), ["audit.removed", "audit.removed"]);

    // Left alone, it comes to rest: the last event of a removal stays, whatever its age, and makes no other one.
    for day in 61..70 {
        server.clock.set(START.plus(Span::from_days(day)));
        maintain(&server).await;
    }
    assert_eq!(kinds(&trail(&server).await), ["audit.removed"]);
    let server = server.restart().await;
    assert_eq!(ctl(&server.socket).run("audit verify").await.exit, 0);
}

#[tokio::test]
async fn a_retention_of_nothing_keeps_the_trail_for_ever() {
    let server = Server::builder().set("audit.retention", "0s").start().await;
    server.sign_up("ada@example.com").await;
    server.clock.advance(Span::from_days(20_000));
    maintain(&server).await;
    assert_eq!(kinds(&trail(&server).await)[..2], ["store.created", "user.created"]);
}

#[tokio::test]
async fn a_round_that_is_too_long_is_ended_by_the_next_ones() {
    let server = Server::builder().set("audit.retention", "1d").set("keys.rotate_every", "0s").start().await;
    let services = server.services();
    for n in 0..300_u32 {
        let act = authd::domain::Act::by_daemon(START);
        let event = authd::domain::Event::new(authd::domain::EventKind::ClockTrusted).with("n", &n);
        services.store.note_clock(START, act, event).await.unwrap();
    }
    server.clock.advance(Span::from_days(1));
    // Interrupted after a step.
    let step = services.store.remove_audit(START, 64, authd::domain::Act::by_daemon(server.clock.now_time())).await;
    assert_eq!(step, Ok(64));
    assert_eq!(ctl(&server.socket).run("audit verify").await.exit, 0);
    maintain(&server).await;
    let left = trail(&server).await;
    assert_eq!(kinds(&left), ["clock.trusted", "audit.removed"], "no day passes before it goes on");
    assert_eq!(left[1]["details"]["records"], "300", "and what was removed before counts");
}

#[tokio::test]
async fn lg_07_a_checkpoint_that_is_missing_or_altered_fails_the_check() {
    let mut server = Server::builder().set("audit.retention", "1d").start().await;
    server.sign_up("ada@example.com").await;
    server.clock.advance(Span::from_days(1));
    server.sign_up("bob@example.com").await;
    maintain(&server).await;
    assert_eq!(ctl(&server.socket).run("audit verify").await.exit, 0);
    blind(&server).await;
    let key = b"\x00chain-begin";
    let mut genuine = None;
    for (what, value, at) in [("missing", None, 1), ("altered", Some(b"x"), 3)] {
        server.stop().await;
        let db = raw(&server);
        let before = match value {
            None => db.remove(key).unwrap(),
            Some(value) => db.insert(key, value).unwrap(),
        };
        genuine = genuine.or(before);
        drop(db);
        server = server.restart().await;
        let verdict = ctl(&server.socket).run("audit verify -o json").await;
        assert_eq!((verdict.exit, &verdict.json()["brokenAt"]), (8, &json!(at)), "{what}: {verdict:?}");
    }
    server.stop().await;
    let db = raw(&server);
    db.insert(key, genuine.unwrap()).unwrap();
    drop(db);
    server = server.restart().await;
    assert_eq!(ctl(&server.socket).run("audit verify").await.exit, 0);
}

#[tokio::test]
async fn what_the_trail_says_of_a_deleted_user_is_erased_and_the_chain_holds() {
    let server = Server::start().await;
    let run = async |line: &str| ctl(&server.socket).run(line).await;
    let id = server.sign_up("ada@example.com").await.text("/user/id");
    server.sign_up("bob@example.com").await;
    server.clock.advance(Span::from_secs(60));
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let entered = server.client().post("/api/auth/login", &login).await;
    let session = run("session list --user ada@example.com -o id").await.ok().out;
    run("user delete ada@example.com --yes --reason ada-asked").await.ok();
    let before = trail(&server).await;
    let old = before.clone();

    // A preview, a question, and no one to answer it.
    let preview = run(&format!("audit erase --user {id} --dry-run -o json")).await.ok().json();
    assert_eq!(preview, json!({"user": id, "records": 3, "events": 0, "eventsWaiting": 0, "left": 0, "dryRun": true}));
    assert_eq!(run(&format!("audit erase --user {id}")).await.exit, 2);
    let declined = ctl(&server.socket).person(&["n"]).run(&format!("audit erase --user {id}")).await;
    assert_eq!(declined.exit, 9, "{declined:?}");
    assert!(declined.err.contains("Erase for good what 3 records say of"), "{declined:?}");
    assert_eq!(trail(&server).await, before);

    let minute = START.plus(Span::from_secs(60)).to_string();
    let some = format!("audit erase --user {id} --before {minute} --yes --reason GDPR-17 --idempotency-key e1");
    run(&some).await.ok();
    assert_eq!(trail(&server).await.len(), before.len() + 1);
    let again = run(&some).await;
    assert_eq!((again.exit, again.err.contains("done before: audit record 6")), (0, true), "{again:?}");
    assert_eq!(trail(&server).await.len(), before.len() + 1);
    let rest = run(&format!("audit erase --user {id} --yes -o json")).await.ok().json();
    assert_eq!((&rest["records"], &rest["left"]), (&json!(2), &json!(0)));
    assert_eq!(run(&format!("audit erase --user {id} --yes")).await.exit, 3, "nothing is left");
    assert_eq!(run("audit erase --user nobody@example.com --yes").await.exit, 3);
    assert_eq!(run(&format!("audit erase --user {id} --before yesterday --yes")).await.exit, 2);

    let now = trail(&server).await;
    assert_eq!(kinds(&now)[..before.len()], kinds(&old)[..], "what happened is still known");
    for (was, is) in before.iter().zip(&now) {
        assert_eq!((&was["seq"], &was["at"]), (&is["seq"], &is["at"]));
        match is.get("erasedBy") {
            None => assert_eq!(was, is),
            Some(by) => {
                let left: Vec<&str> = is.as_object().unwrap().keys().map(String::as_str).collect();
                assert_eq!(left, ["seq", "at", "event", "actor", "method", "result", "erasedBy"]);
                assert_eq!(*by, if was["at"] == START.to_string() { 6 } else { 7 });
            }
        }
    }
    assert_eq!(now[4]["actor"]["kind"], "operator", "an operator's part in it stays");
    let erased = &now[5];
    assert_eq!((&erased["event"], &erased["details"]["records"]), (&json!("audit.erased"), &json!("1")));
    assert_eq!((&erased["reason"], erased.get("user")), (&json!("GDPR-17"), None));
    assert_eq!(erased["details"]["of"], now[6]["details"]["of"]);
    let all = serde_json::to_string(&now).unwrap();
    for gone in [&id, session.trim(), entered.header("x-request-id"), "ada-asked"] {
        assert!(!gone.is_empty() && !all.contains(gone), "{gone}");
    }
    let table = run("audit list").await.ok().out;
    assert_eq!(table.lines().filter(|line| line.contains("erased, see")).count(), 3, "{table}");
    assert!(run(&format!("audit list --user {id} -o id")).await.ok().out.is_empty());
    assert_eq!(run("audit list --event session.created -o id").await.ok().out, "4\n");
    let server = server.restart().await;
    let verified = ctl(&server.socket).run("audit verify").await.ok();
    assert_eq!(verified.out, "ok  7 records, unbroken; 3 of them erased\n");
    // The bytes are gone from what is read; bob is untouched.
    assert_eq!(ctl(&server.socket).run("audit list --user bob@example.com -o id").await.ok().out, "3\n");
}

#[tokio::test]
async fn told_events_of_a_user_are_erased_and_the_others_are_told_first() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let secret = dir.path().join("secret");
    std::fs::write(&secret, Application::SECRET).unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let builder = Server::builder().set("events.secret_file", &secret.display().to_string());
    let server = builder.set("events.url", &app.url("/events")).start().await;
    let run = async |line: &str| ctl(&server.socket).run(line).await;
    let told = async || events::round(&server.services()).await.unwrap();
    let id = server.sign_up("ada@example.com").await.text("/user/id");
    server.sign_up("bob@example.com").await;
    told().await;
    app.set(Manner::Says(503, String::new()));
    run("user delete ada@example.com --yes").await.ok();
    let naming = async |text: &str| run("events list --limit 1000 -o json").await.ok().out.matches(text).count();
    let (of_ada, of_bob) = (naming(&id).await, naming("session.created").await);
    assert!(of_ada >= 3 && of_bob == 2, "{of_ada} {of_bob}");

    let preview = run(&format!("audit erase --user {id} --dry-run -o json")).await.ok().json();
    assert_eq!((&preview["events"], &preview["eventsWaiting"]), (&json!(2), &json!(1)));
    let erased = run(&format!("audit erase --user {id} --yes")).await.ok();
    assert!(erased.err.contains("kept until the application has taken them: 1 event of the user"), "{erased:?}");
    assert_eq!((naming(&id).await, naming("session.created").await), (1, 1), "bob's are untouched");
    // The application is told that the account is gone; then nothing is left of it.
    app.calls();
    app.set(Manner::Says(204, String::new()));
    server.clock.advance(Span::from_mins(15));
    told().await;
    assert!(app.calls().iter().any(|call| call.body["type"] == "user.deleted" && call.text.contains(&id)));
    let last = run(&format!("audit erase --user {id} --yes -o json")).await.ok().json();
    assert_eq!((&last["events"], &last["eventsWaiting"]), (&json!(1), &json!(0)));
    assert_eq!(naming(&id).await, 0);
    assert_eq!(run(&format!("audit erase --user {id} --yes")).await.exit, 3, "nothing is left");
    assert_eq!(run("audit verify").await.exit, 0);
    let server = server.restart().await;
    assert_eq!(ctl(&server.socket).run("events list --state dead -o id").await.ok().out, "");
}
