//! Hooks and events over https: an application's certificate counts if an authority signed it that is trusted, for the name
//! that is called. Anything else is no answer, and says what it is.

use authd::service::events;
use common::Span;
use serde_json::{Value, json};
use tests::{Application, Authority, PASSWORD, Server, application::Manner, ctl::ctl, server::Builder};

use super::hooks::secret_file;

/// A server that asks the application at a sign-in and tells it of events, at `localhost`.
fn calling(app: &Application, dir: &tempfile::TempDir, trusted: Option<&Authority>) -> Builder {
    let url = |path: &str| format!("https://localhost:{}{path}", app.port);
    let secret = secret_file(dir);
    let builder = Server::builder()
        .set("hooks.secret_file", &secret)
        .set("hooks.sign_in_before", &url("/sign-in"))
        .set("events.secret_file", &secret)
        .set("events.url", &url("/events"));
    let Some(authority) = trusted else { return builder };
    let file = authority.certificate().display().to_string();
    builder.set("hooks.ca_file", &file).set("events.ca_file", &file)
}

async fn sign_in(server: &Server) -> (u16, Value) {
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let answer = server.client().post("/api/auth/login", &body).await;
    (answer.status, answer.json()["code"].clone())
}

#[tokio::test]
async fn op_05_an_application_is_called_over_https_that_its_own_authority_vouches_for() {
    let Some(authority) = Authority::new() else { return };
    let (app, dir) = (Application::start_tls(authority.server("localhost")), tempfile::tempdir().unwrap());
    let server = calling(&app, &dir, Some(&authority)).start().await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    assert_eq!(sign_in(&server).await.0, 200);
    events::round(&server.services()).await.unwrap();
    let mut paths: Vec<String> = app.calls().into_iter().map(|call| call.path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths, ["/events", "/sign-in"]);
    // What it refuses over https is refused.
    app.set(Manner::Says(200, r#"{"allow":false,"code":"NOT_TODAY"}"#.into()));
    assert_eq!(sign_in(&server).await, (403, json!("NOT_TODAY")));
}

/// Calls this application, which must not be believed; answers what operators are told.
async fn refused(app: &Application, trusted: Option<&Authority>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let server = calling(app, &dir, trusted).start().await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    assert_eq!(sign_in(&server).await, (503, json!("HOOK_UNAVAILABLE")), "it fails closed");
    events::round(&server.services()).await.unwrap();
    let waiting = server.admin().get("/v1/events?state=waiting").await.json();
    let of_events = waiting["items"][0]["error"].as_str().unwrap().to_owned();
    let test = ctl(&server.socket).run("hook test sign_in.before").await;
    assert_ne!(test.exit, 0);
    assert!(test.err.contains(&of_events), "{} is not told as: {of_events}", test.err);
    assert!(app.calls().is_empty(), "nothing was sent to it");
    // Nobody is told to come again at once for ever, and nothing is lost.
    server.clock.advance(Span::from_mins(1));
    assert_eq!(server.client().get("/readyz").await.status, 200);
    of_events
}

#[tokio::test]
async fn op_05_an_unknown_authority_and_a_wrong_name_are_refused_and_said() {
    let (Some(authority), Some(other)) = (Authority::new(), Authority::new()) else { return };
    let app = Application::start_tls(authority.server("localhost"));
    for trusted in [None, Some(&other)] {
        let why = refused(&app, trusted).await;
        assert!(why.contains("no authority that is trusted") && why.contains("ca_file"), "{why}");
    }
    let elsewhere = Application::start_tls(authority.server("app.example.com"));
    let why = refused(&elsewhere, Some(&authority)).await;
    assert!(why.contains("localhost") && why.contains("app.example.com"), "{why}");
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_found_at_the_start() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let path = dir.path().join("ca.pem");
    for (text, key) in [(None, "hooks.ca_file"), (Some("no certificate\n"), "hooks.ca_file")] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let builder = calling(&app, &dir, None).set("hooks.ca_file", &path.display().to_string());
        let refused = builder.try_start().await.err().unwrap().to_string();
        assert!(refused.contains(key) && refused.contains("ca.pem"), "{refused}");
    }
}
