//! DESIGN 5: the secret of a Better Auth server verifies the cookies that browsers have, until a deadline, and never signs.

use std::{os::unix::fs::PermissionsExt, path::Path};

use authd::{crypto::mac::HmacKey, exit::Exit, ports::Mac};
use base64::{Engine, engine::general_purpose::STANDARD};
use common::Span;
use serde_json::json;
use tempfile::TempDir;
use tests::{
    Client, PASSWORD, Response, Server,
    server::{Builder, START},
    shared,
};

/// As `openssl rand -base64 32` makes them.
const SECRET: &str = "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=";
const MS: Span = Span::from_millis(1);
const DEADLINE: Span = Span::from_days(30);

fn file(dir: &Path, secret: &str, mode: u32) -> String {
    let path = dir.join("legacy.secret");
    std::fs::write(&path, secret).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    path.display().to_string()
}

fn taking_over(dir: &Path, secret: &str, until: &str) -> Builder {
    Server::builder()
        .set("session.legacy_secret_file", &file(dir, secret, 0o600))
        .set("session.legacy_secret_until", until)
        .set("session.expires_in", "60d")
        .set("session.absolute", "90d")
}

async fn server(dir: &Path) -> Server {
    taking_over(dir, &format!("{SECRET}\n"), &START.plus(DEADLINE).to_string()).start().await
}

/// A session, and its token as it stands in the cookie.
async fn signed_in(server: &Server) -> (String, String) {
    let page = server.browser("http://localhost:5173");
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
    assert_eq!(page.post("/api/auth/sign-up/email", &body).await.status, 200);
    let ours = page.session_cookie();
    let token = ours.split_once('=').unwrap().1.split('.').next().unwrap().to_owned();
    (ours, token)
}

/// The cookie as a server with this secret has it.
fn signed_by(secret: &str, token: &str) -> String {
    let mac = STANDARD.encode(HmacKey::new(secret.as_bytes()).mac(&[token.as_bytes()]));
    let value = mac.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("better-auth.session_token={token}.{value}")
}

async fn session(server: &Server, cookie: &str) -> Response {
    browser(server, cookie).get("/api/auth/get-session").await
}

fn browser(server: &Server, cookie: &str) -> Client {
    server.client().header("cookie", cookie).header("origin", "http://localhost:5173")
}

/// What stands in the session cookie that an answer sets.
fn set(answer: &Response) -> Option<String> {
    let cookies = answer.cookies();
    let line = cookies.iter().find(|line| line.starts_with("better-auth.session_token="))?;
    line.split(';').next().map(str::to_owned)
}

#[tokio::test]
async fn cr_08_a_cookie_of_the_server_before_is_taken_and_signed_anew_at_its_next_use() {
    let dir = TempDir::new().unwrap();
    let server = server(dir.path()).await;
    let (ours, token) = signed_in(&server).await;
    let theirs = signed_by(SECRET, &token);
    assert_ne!(ours, theirs, "it never signs");
    for path in ["/api/auth/get-session", "/api/auth/me"] {
        let used = browser(&server, &theirs).get(path).await;
        assert_eq!((used.text("/user/email").as_str(), set(&used)), ("ada@example.com", Some(ours.clone())), "{path}");
        let then = browser(&server, &ours).get(path).await;
        assert_eq!((then.status, set(&then)), (200, None), "{path}");
    }
    let refreshed = browser(&server, &theirs).post_empty("/api/auth/refresh").await;
    assert_eq!((refreshed.status, set(&refreshed)), (200, Some(ours)), "{refreshed:?}");
    // And it ends what it stands for.
    assert_eq!(browser(&server, &theirs).post_empty("/api/auth/sign-out").await.status, 200);
    assert_eq!(session(&server, &theirs).await.body, "null");
}

#[tokio::test]
async fn a_cookie_of_the_server_before_that_stays_beside_ours_is_no_second_session() {
    let dir = TempDir::new().unwrap();
    let server = server(dir.path()).await;
    let (ours, token) = signed_in(&server).await;
    let theirs = signed_by(SECRET, &token);
    // Set for the whole domain it is not replaced by ours.
    for both in [format!("{ours}; {theirs}"), format!("{theirs}; {ours}")] {
        let used = session(&server, &both).await;
        assert_eq!((used.text("/user/email").as_str(), set(&used)), ("ada@example.com", None), "{both}");
    }
    let planted = signed_by(SECRET, "anotherTokenThatSomebodyHadBefor");
    assert_eq!(session(&server, &format!("{ours}; {planted}")).await.body, "null", "SE-13");
}

#[tokio::test]
async fn se_06_a_wrong_signature_is_none_with_a_secret_of_the_server_before_too() {
    let dir = TempDir::new().unwrap();
    let server = server(dir.path()).await;
    let (_, token) = signed_in(&server).await;
    let theirs = signed_by(SECRET, &token);
    for wrong in [
        signed_by(&SECRET[..SECRET.len() - 1], &token),
        signed_by(&format!("{SECRET}\n"), &token),
        theirs.replace(&token, &token.to_lowercase()),
        theirs.replace("%3D", ""),
        format!("{theirs}A"),
    ] {
        let refused = session(&server, &wrong).await;
        assert_eq!((refused.body.as_str(), set(&refused)), ("null", None), "{wrong}");
    }
}

#[tokio::test]
async fn cr_08_at_the_deadline_the_secret_means_nothing_and_status_says_so() {
    let dir = TempDir::new().unwrap();
    let server = server(dir.path()).await;
    let (ours, token) = signed_in(&server).await;
    let theirs = signed_by(SECRET, &token);
    let notes = async |server: &Server| server.admin().get("/v1/status").await.json()["notes"].to_string();
    server.clock.set(START.plus(DEADLINE).minus(MS));
    assert_eq!(session(&server, &theirs).await.status, 200);
    assert!(notes(&server).await.contains("are taken until"), "{}", notes(&server).await);
    server.clock.set(START.plus(DEADLINE));
    assert_eq!(session(&server, &theirs).await.body, "null");
    assert_eq!(session(&server, &ours).await.text("/user/email"), "ada@example.com");
    assert!(notes(&server).await.contains("remove it"), "{}", notes(&server).await);
    // The secret may be gone by then: it is not looked for any more.
    std::fs::remove_file(dir.path().join("legacy.secret")).unwrap();
    let server = server.restart().await;
    assert!(notes(&server).await.contains("remove it"), "{}", notes(&server).await);
}

#[tokio::test]
async fn op_01_a_deadline_is_at_most_ninety_days_ahead() {
    let dir = TempDir::new().unwrap();
    let at = |span: Span| START.plus(span).to_string();
    taking_over(dir.path(), SECRET, &at(Span::from_days(90))).start().await;
    let refused = taking_over(dir.path(), SECRET, &at(Span::from_days(90).plus(MS))).try_start().await.err().unwrap();
    assert_eq!(refused.exit, Exit::Configuration);
    assert!(refused.message.contains("session.legacy_secret_until"), "{refused}");
}

#[tokio::test]
async fn cr_03_a_weak_or_known_secret_is_refused_without_being_shown() {
    let dir = TempDir::new().unwrap();
    let until = START.plus(DEADLINE).to_string();
    for secret in [
        "",
        "\n",
        "changeme",
        "better-auth-secret-12345678901234567890",
        "hJ2kQ9xLw4mNb7vCz1tRy6uPa3sDf5g",
        "passwordpasswordpasswordpasswordpassword",
        &"long".repeat(1000),
    ] {
        let refused = taking_over(dir.path(), secret, &until).try_start().await.err().unwrap();
        assert_eq!(refused.exit, Exit::Configuration, "{secret}");
        assert!(refused.message.starts_with("session.legacy_secret_file: "), "{refused}");
        let said = refused.to_string().replace(&dir.path().display().to_string(), "");
        assert!(secret.trim().is_empty() || !said.contains(secret.trim()), "{refused}");
    }
}

#[test]
fn cr_03_every_publicly_known_secret_is_weak() {
    let Some(known) = shared::lines("vectors/jwt-secrets/known-secrets.txt") else { return };
    let missed: Vec<_> = known.iter().filter(|line| authd::crypto::known::weakness(line).is_none()).collect();
    assert!(known.len() > 1000 && missed.is_empty(), "{} of {}: {missed:?}", missed.len(), known.len());
}

#[tokio::test]
async fn a_host_that_boots_with_a_clock_of_long_ago_starts_all_the_same() {
    let dir = TempDir::new().unwrap();
    let server = server(dir.path()).await;
    signed_in(&server).await;
    // By that clock the deadline is years ahead; by the store's records it is not.
    let long_ago = START.minus(Span::from_days(5 * 365));
    let server = server.restart_at(long_ago, false).await;
    assert_eq!(server.client().get("/healthz").await.status, 200);
}
