//! A store that fails, call by call: nobody is signed in by a failure, nothing is lost by one, and no answer tells of the
//! inside (LG-04, LG-05, LG-06, RF-04).

use std::{collections::BTreeSet, sync::Arc};

use authd::{
    exit::Exit,
    store::{Store, StoreError},
};
use common::Span;
use serde_json::json;
use tests::{
    Client, PASSWORD, Response, Server,
    faulty::{Faults, Faulty, How},
};

/// What must be in no answer: it is in the errors that are injected.
const INSIDE: &str = "sled: /var/lib/authd/store is on fire";

fn errors() -> Vec<StoreError> {
    vec![StoreError::Unavailable(INSIDE.into()), StoreError::Damaged(INSIDE.into()), StoreError::Busy, StoreError::Full]
}

async fn faulty_by(faults: &Arc<Faults>) -> Server {
    let faults = faults.clone();
    let wrap = move |inner| -> Arc<dyn Store> { Arc::new(Faulty { inner, faults: faults.clone() }) };
    Server::builder().around_store(wrap).start().await
}

async fn faulty() -> (Server, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    (faulty_by(&faults).await, faults)
}

/// Somebody with every kind of credential.
struct Ada {
    client: Client,
    browser: Client,
    access: String,
    refresh: String,
}

const ACTS: &[&str] = &[
    "sign up",
    "wire sign up",
    "sign in",
    "wire sign in",
    "me by token",
    "me by cookie",
    "get-session",
    "refresh",
    "list sessions",
    "update user",
    "change password",
    "revoke others",
    "sign out",
];

impl Ada {
    async fn new(server: &Server) -> Self {
        // Of too many sessions the oldest end: these are the newest.
        server.clock.advance(Span::from_millis(1));
        let sign_in = json!({"email": "ada@example.com", "password": PASSWORD});
        let made = server.client().post("/api/auth/login", &sign_in).await;
        let browser = server.browser(&server.url);
        assert_eq!(browser.post("/api/auth/login", &sign_in).await.status, 200);
        let (access, refresh) = (made.text("/access_token"), made.text("/refresh_token"));
        Self { client: server.client(), browser, access, refresh }
    }

    async fn act(&self, act: &str, n: usize) -> Response {
        let sign_in = json!({"email": "ada@example.com", "password": PASSWORD});
        let new = json!({"email": format!("new{n}@example.com"), "password": PASSWORD, "name": "New"});
        match act {
            "sign up" => self.client.post("/api/auth/signup", &new).await,
            "wire sign up" => self.client.post("/api/auth/sign-up/email", &new).await,
            "sign in" => self.client.post("/api/auth/login", &sign_in).await,
            "wire sign in" => self.client.post("/api/auth/sign-in/email", &sign_in).await,
            "me by token" => self.client.clone().bearer(&self.access).get("/api/auth/me").await,
            "me by cookie" => self.browser.get("/api/auth/me").await,
            "get-session" => self.browser.get("/api/auth/get-session").await,
            "refresh" => self.client.post("/api/auth/refresh", &json!({"refresh_token": self.refresh})).await,
            "sign out" => self.browser.post("/api/auth/logout", &json!({})).await,
            "list sessions" => self.browser.get("/api/auth/list-sessions").await,
            "update user" => self.browser.post("/api/auth/update-user", &json!({"name": "Ada"})).await,
            "change password" => {
                let same = json!({"currentPassword": PASSWORD, "newPassword": PASSWORD, "revokeOtherSessions": false});
                self.browser.post("/api/auth/change-password", &same).await
            }
            "revoke others" => self.browser.post("/api/auth/revoke-other-sessions", &json!({})).await,
            other => panic!("{other}"),
        }
    }
}

/// A failure for every way in which a call can fail.
fn ways() -> Vec<How> {
    errors().into_iter().flat_map(|e| [How::Before(e.clone()), How::After(e)]).chain([How::Panic]).collect()
}

fn assert_tells_nothing(answer: &Response, case: &str) {
    let all = format!("{} {:?}", answer.body, answer.headers).to_lowercase();
    for word in ["sled", "fire", "/var/", "damaged", "purpose", "panic", "intent"] {
        assert!(!all.contains(word), "{word} in {case}");
    }
}

#[tokio::test]
async fn lg_06_no_failing_call_of_the_store_signs_anybody_in_or_tells_of_the_inside() {
    let (server, faults) = faulty().await;
    server.sign_up("ada@example.com").await;
    let (mut n, mut met) = (0, BTreeSet::new());
    for act in ACTS {
        let ada = Ada::new(&server).await;
        faults.take_called();
        assert!(matches!(ada.act(act, n).await.status, 200 | 201), "{act}");
        let mut called = faults.take_called();
        // Those are who sends mail and who writes the counters down, beside the requests.
        called.retain(|method| !["due_mails", "put_counters"].contains(method));
        assert!(!called.is_empty(), "{act}");
        for (method, how) in called.into_iter().flat_map(|method| ways().into_iter().map(move |how| (method, how))) {
            n += 1;
            let ada = Ada::new(&server).await;
            faults.set(method, how.clone());
            let answer = ada.act(act, n).await;
            let fired = faults.take_fired();
            faults.clear();
            let case = format!("{act}, {method} {how:?}: {answer:?}");
            assert!(fired > 0, "{case}");
            met.insert((*act, method));
            assert!(matches!(answer.status, 500 | 503), "{case}");
            assert!(
                ["INTERNAL_SERVER_ERROR", "STORE_UNAVAILABLE", "SERVICE_UNAVAILABLE"].contains(&answer.code().as_str()),
                "{case}"
            );
            assert!(!answer.body.contains("token\":"), "{case}");
            assert!(answer.cookies().is_empty(), "{case}");
            assert_tells_nothing(&answer, &case);
            // It was for that request only; and who is not signed out still is signed in. A refresh whose answer was lost is
            // repeated inside the window, and is no reuse (RF-04).
            if *act == "refresh" {
                assert_eq!(ada.act("refresh", n).await.status, 200, "{case}");
            }
            if *act != "sign out" {
                assert_eq!(ada.act("me by cookie", n).await.status, 200, "{case}");
            }
        }
    }
    let expected = [
        ("get-session", "session_by_token"),
        ("me by cookie", "session_by_token"),
        ("me by token", "session"),
        ("change password", "credential"),
        ("change password", "replace_password"),
        ("list sessions", "sessions_of"),
        ("revoke others", "end_sessions"),
        ("update user", "update_profile"),
        ("refresh", "family"),
        ("refresh", "refresh"),
        ("refresh", "session"),
        ("sign in", "credential"),
        ("sign in", "open_session"),
        ("sign in", "user_by_email"),
        ("sign out", "end_sessions"),
        ("sign up", "create_user"),
        ("wire sign in", "open_session"),
        ("wire sign up", "create_user"),
    ];
    for pair in expected {
        assert!(met.contains(&pair), "{pair:?} was not met: {met:?}");
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_prolonged_still_says_who_is_signed_in_and_the_next_use_prolongs_it() {
    let (server, faults) = faulty().await;
    server.sign_up("ada@example.com").await;
    for error in errors() {
        let ada = Ada::new(&server).await;
        let end = async || ada.act("get-session", 0).await.text("/session/expiresAt");
        let before = end().await;
        server.clock.advance(Span::from_days(1));
        faults.set("prolong_session", How::Before(error));
        assert_eq!(end().await, before);
        assert_eq!(faults.take_fired(), 1);
        faults.clear();
        assert_ne!(end().await, before);
    }
}

#[tokio::test]
async fn rf_04_with_every_third_refresh_failing_the_user_goes_on_and_no_alarm_is_false() {
    let (server, faults) = faulty().await;
    let mut token = server.sign_up("ada@example.com").await.text("/refresh_token");
    let mut failed = 0;
    for n in 0..60 {
        let errors = errors();
        let error = errors[n / 3 % errors.len()].clone();
        match n % 6 {
            2 => faults.set("refresh", How::Before(error)),
            5 => faults.set("refresh", How::After(error)),
            _ => faults.clear(),
        }
        let answer = server.client().post("/api/auth/refresh", &json!({"refresh_token": token})).await;
        match answer.status {
            200 => token = answer.text("/refresh_token"),
            status => {
                assert!(matches!(status, 500 | 503), "{answer:?}");
                failed += 1;
            }
        }
        server.clock.advance(Span::from_secs(5));
    }
    assert_eq!(failed, 20);
    let audit = tests::ctl::ctl(&server.socket).run("audit list --event token.refresh_reused").await.ok().out;
    assert!(!audit.contains("token.refresh_reused"), "{audit}");
}

#[tokio::test]
async fn lg_05_a_panic_in_the_task_that_tends_the_store_is_noticed_and_ends_the_daemon() {
    let faults = Arc::new(Faults::default());
    faults.set("sweep", How::Panic);
    let mut server = faulty_by(&faults).await;
    let failure = server.failed().await;
    assert_eq!(failure.exit, Exit::Software, "{failure}");
}
