//! Links in mails: what each is good for, once, and for whom.

use authd::ports::Letter;
use common::Span;
use serde_json::json;
use tests::{Client, PASSWORD, Server};

const PAGE: &str = "http://localhost:5173";
const NEW: &str = "violet lamp harbour 9";

async fn server(settings: &[(&str, &str)]) -> Server {
    let with = |builder: tests::server::Builder, (key, value): &(&str, &str)| builder.set(key, value);
    settings.iter().fold(Server::builder(), with).start().await
}

fn path_of(link: &str) -> String {
    let at = link.find("/api/auth").unwrap_or_else(|| panic!("{link}"));
    link[at..].to_owned()
}

fn token_of(link: &str) -> String {
    let after = link.split("token=").nth(1).or_else(|| link.split("/reset-password/").nth(1)).unwrap();
    after.split(['&', '?']).next().unwrap().to_owned()
}

async fn signed_up(server: &Server, email: &str) -> Client {
    let browser = server.browser(PAGE);
    let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
    let made = browser.post("/api/auth/sign-up/email", &body).await;
    assert_eq!(made.status, 200, "{made:?}");
    browser
}

async fn reset_link(server: &Server, email: &str) -> String {
    let body = json!({"email": email, "redirectTo": "/reset"});
    assert_eq!(server.client().post("/api/auth/request-password-reset", &body).await.status, 200);
    let (to, link) = server.mailed_link().await;
    assert_eq!(to, email);
    link
}

async fn reset(server: &Server, token: &str, password: &str) -> String {
    let body = json!({"token": token, "newPassword": password});
    server.client().post("/api/auth/reset-password", &body).await.short()
}

async fn sign_in(server: &Server, email: &str, password: &str) -> u16 {
    server.client().post("/api/auth/sign-in/email", &json!({"email": email, "password": password})).await.status
}

const BAD: &str = r#"400 {"code":"INVALID_TOKEN","message":"Invalid token"}"#;
const DONE: &str = r#"200 {"status":true}"#;

#[tokio::test]
async fn rc_01_a_reset_link_sets_one_password_and_rc_06_ends_every_session() {
    let server = Server::start().await;
    let ada = signed_up(&server, "ada@example.com").await;
    let link = reset_link(&server, "ada@example.com").await;
    let opened = server.client().get(&path_of(&link)).await;
    let token = token_of(&link);
    assert_eq!(
        (opened.status, opened.header("location")),
        (302, format!("{}/reset?token={token}", server.url).as_str())
    );
    assert_eq!(opened.header("referrer-policy"), "no-referrer");
    assert_eq!(opened.header("cache-control"), "no-store");
    assert_eq!(token.len(), 24);

    assert!(reset(&server, &token, "short").await.contains("PASSWORD_TOO_SHORT"), "and the link stays good");
    assert_eq!(reset(&server, &token, NEW).await, DONE);
    assert_eq!(reset(&server, &token, "another violet lamp 9").await, BAD, "once");
    assert_eq!(ada.get("/api/auth/get-session").await.body, "null", "the session is over");
    assert_eq!(sign_in(&server, "ada@example.com", PASSWORD).await, 401);
    assert_eq!(sign_in(&server, "ada@example.com", NEW).await, 200);
    let told: Vec<Letter> = server.mails().await;
    assert!(told.len() == 1 && told[0].subject.contains("was changed"), "{told:?}");
}

#[tokio::test]
async fn rc_01_a_link_is_void_after_its_time_a_newer_request_a_change_of_password_or_for_another_purpose() {
    let server = server(&[("mail.per_address", "100"), ("email.change_enabled", "true")]).await;
    let ada = signed_up(&server, "ada@example.com").await;
    let expired = token_of(&reset_link(&server, "ada@example.com").await);
    server.clock.advance(Span::from_hours(1));
    assert_eq!(reset(&server, &expired, NEW).await, BAD);

    let older = token_of(&reset_link(&server, "ada@example.com").await);
    let newer = token_of(&reset_link(&server, "ada@example.com").await);
    assert_eq!(reset(&server, &older, NEW).await, BAD, "a newer one was asked for");

    let changed = json!({"currentPassword": PASSWORD, "newPassword": NEW, "revokeOtherSessions": false});
    assert_eq!(ada.post("/api/auth/change-password", &changed).await.status, 200);
    assert_eq!(reset(&server, &newer, NEW).await, BAD, "the password was changed meanwhile");

    let asked = json!({"email": "ada@example.com"});
    assert_eq!(server.client().post("/api/auth/send-verification-email", &asked).await.status, 200);
    let of_address = token_of(&server.mailed_link().await.1);
    assert_eq!(reset(&server, &of_address, NEW).await, BAD, "it is for the mailbox");
    let of_password = token_of(&reset_link(&server, "ada@example.com").await);
    let wrong = server.client().get(&format!("/api/auth/verify-email?token={of_password}")).await;
    assert_eq!(wrong.short(), r#"401 {"code":"INVALID_TOKEN","message":"Invalid token"}"#);

    let change = json!({"newEmail": "new@example.com"});
    assert_eq!(ada.post("/api/auth/change-email", &change).await.status, 200);
    let (to, link) = server.mailed_link().await;
    assert_eq!(to, "new@example.com");
    assert_eq!(ada.get(&path_of(&link)).await.status, 302);
    assert_eq!(reset(&server, &of_password, NEW).await, BAD, "the address is another one now");
    let again = ada.get(&path_of(&link)).await;
    assert_eq!(again.header("location"), "/?error=INVALID_TOKEN");
}

#[tokio::test]
async fn rc_06_a_reset_lifts_no_ban() {
    let server = Server::start().await;
    signed_up(&server, "ada@example.com").await;
    let token = token_of(&reset_link(&server, "ada@example.com").await);
    assert_eq!(server.admin().post("/v1/users/ada@example.com/disable", &json!({})).await.status, 200);
    assert_eq!(reset(&server, &token, NEW).await, BAD, "the ban came after the link");
    let token = token_of(&reset_link(&server, "ada@example.com").await);
    assert_eq!(reset(&server, &token, NEW).await, DONE);
    assert_eq!(sign_in(&server, "ada@example.com", NEW).await, 403);
}

#[tokio::test]
async fn rc_05_link_scanners_may_open_a_link_before_the_user_does() {
    let server = server(&[("email.verification_required", "true")]).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada", "callbackURL": "/welcome"});
    let made = server.client().post("/api/auth/sign-up/email", &body).await;
    assert_eq!((made.status, &made.json()["token"]), (200, &json!(null)));
    assert_eq!(sign_in(&server, "ada@example.com", PASSWORD).await, 403);
    let (_, link) = server.mailed_link().await;
    for _ in 0..5 {
        assert_eq!(server.client().send(http::Method::HEAD, &path_of(&link), None, "".into()).await.status, 404);
    }
    for _ in 0..6 {
        let opened = server.client().get(&path_of(&link)).await;
        assert_eq!((opened.status, opened.header("location")), (302, "/welcome"));
    }
    assert_eq!(sign_in(&server, "ada@example.com", PASSWORD).await, 200);
    let events = server.admin().get("/v1/audit?event=user.email_verified").await.json();
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "it happened once");
}

#[tokio::test]
async fn rc_07_who_proves_the_mailbox_gets_the_account_and_not_who_was_there_before() {
    let server = server(&[("email.verification_required", "true"), ("mail.per_address", "100")]).await;
    let sign_up = async |password: &str, name: &str| {
        let body = json!({"email": "victim@example.com", "password": password, "name": name});
        let made = server.client().post("/api/auth/sign-up/email", &body).await;
        assert_eq!(made.status, 200, "{made:?}");
        assert_eq!(made.text("/user/name"), name);
        server.mailed_link().await.1
    };
    let of_attacker = sign_up("attacker knows this 1", "Eve").await;
    let of_owner = sign_up(NEW, "Victim").await;
    let void = server.client().get(&path_of(&of_attacker)).await;
    assert_eq!(void.header("location"), "/?error=INVALID_TOKEN", "the older link is void");
    assert_eq!(server.client().get(&path_of(&of_owner)).await.header("location"), "/");
    assert_eq!(sign_in(&server, "victim@example.com", "attacker knows this 1").await, 401);
    let signed_in =
        server.client().post("/api/auth/login", &json!({"email": "victim@example.com", "password": NEW})).await;
    assert_eq!((signed_in.status, signed_in.text("/user/name")), (200, "Victim".into()));

    // And by a reset: sessions that were opened before anybody proved anything end, whatever the policy says.
    let server = self::server(&[("password.reset_ends_sessions", "false")]).await;
    let attacker = signed_up(&server, "victim@example.com").await;
    let token = token_of(&reset_link(&server, "victim@example.com").await);
    assert_eq!(reset(&server, &token, NEW).await, DONE);
    assert_eq!(attacker.get("/api/auth/get-session").await.body, "null");
    assert_eq!(sign_in(&server, "victim@example.com", PASSWORD).await, 401);
}

#[tokio::test]
async fn rc_02_of_64_who_use_a_link_at_once_one_succeeds() {
    let server = server(&[("mail.per_address", "1000"), ("mail.per_client", "1000")]).await;
    signed_up(&server, "ada@example.com").await;
    for round in 0..tests::size(3, 1_000) {
        let token = token_of(&reset_link(&server, "ada@example.com").await);
        let client = server.client();
        let tries = (0..64).map(|n| {
            let body = json!({"token": token, "newPassword": format!("{NEW} {round} {n}")});
            let client = client.clone();
            async move { client.post("/api/auth/reset-password", &body).await.status }
        });
        let statuses = futures_util::future::join_all(tries).await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 400 | 503)), "{statuses:?}");
        assert_eq!(server.mails().await.len(), 1, "and one notice");
    }
}

#[tokio::test]
async fn rc_03_links_are_built_from_the_configured_url_alone() {
    let server = server(&[("mail.per_address", "1000"), ("mail.per_client", "1000")]).await;
    signed_up(&server, "ada@example.com").await;
    let host = Client::host_of(&server);
    let evil = ["evil.example", "https://evil.example", "evil.example:443", "host=evil.example;proto=https"];
    let names = [
        "origin",
        "referer",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "forwarded",
        "x-host",
        "x-original-host",
        "x-rewrite-url",
        "x-forwarded-server",
    ];
    let (mut sent, mut refused) = (0, 0);
    for name in names {
        for value in evil {
            let body = json!({"email": "ada@example.com"});
            let client = server.client().header(name, value);
            let answer = client.post("/api/auth/request-password-reset", &body).await;
            if answer.status != 200 {
                refused += 1;
                continue;
            }
            let (_, link) = server.mailed_link().await;
            assert!(link.starts_with(&format!("http://{host}/api/auth/reset-password/")), "{name}: {value}: {link}");
            sent += 1;
        }
    }
    assert!(sent + refused == 40 && sent > 0, "{sent} {refused}");
    let other = server.client().header("host", "evil.example");
    let answer = other.post("/api/auth/request-password-reset", &json!({"email": "ada@example.com"})).await;
    assert_eq!(answer.status, 421);
}

#[tokio::test]
async fn rc_08_an_address_is_one_text_and_never_a_list() {
    let server = Server::start().await;
    signed_up(&server, "ada@example.com").await;
    let bad = [
        json!(["ada@example.com", "eve@example.com"]),
        json!({"0": "ada@example.com"}),
        json!("ada@example.com,eve@example.com"),
        json!("ada@example.com\r\nBcc: eve@example.com"),
        json!("ada@example.com\u{0}"),
        json!("Ada <ada@example.com>"),
        json!("\"ada@example.com\" <eve@example.com>"),
        json!("ada@example.com eve@example.com"),
    ];
    for path in ["request-password-reset", "send-verification-email"] {
        for email in &bad {
            let answer = server.client().post(&format!("/api/auth/{path}"), &json!({"email": email})).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION_ERROR"), "{path} {email}");
        }
    }
    assert!(server.mails().await.is_empty());
}

#[tokio::test]
async fn rc_09_an_address_gets_three_links_an_hour_and_nobody_is_told() {
    let server = Server::start().await;
    signed_up(&server, "ada@example.com").await;
    let mut answers = vec![];
    for n in 0..20 {
        let path = if n % 2 == 0 { "request-password-reset" } else { "send-verification-email" };
        let answer = server.client().post(&format!("/api/auth/{path}"), &json!({"email": "ada@example.com"})).await;
        answers.push((n % 2, answer.short()));
    }
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), 2, "all answers of a route are alike: {answers:?}");
    assert_eq!(server.mails().await.len(), 3);
    server.clock.advance(Span::from_hours(1));
    reset_link(&server, "ada@example.com").await;
}

#[tokio::test]
async fn au_08_a_sign_up_and_a_reset_answer_alike_whether_there_is_an_account_or_not() {
    let server = server(&[("email.verification_required", "true"), ("mail.per_address", "100")]).await;
    let shape = |answer: &tests::Response| {
        let mut body = answer.json();
        for field in ["id", "email", "createdAt", "updatedAt"] {
            if let Some(value) = body.pointer_mut(&format!("/user/{field}")) {
                *value = json!("…");
            }
        }
        let names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        (answer.status, body.to_string(), names)
    };
    for path in ["/api/auth/sign-up/email", "/api/auth/signup"] {
        let of = async |email: &str| {
            let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
            shape(&server.client().post(path, &body).await)
        };
        let email = format!("ada{}@example.com", path.len());
        let new = of(&email).await;
        let link = server.mailed_link().await.1;
        assert_eq!(of(&email).await, new, "{path}: before the proof");
        let link = if server.mails().await.is_empty() { link } else { reset_of(&server, &email).await };
        assert!(!link.is_empty());
    }
    for path in ["request-password-reset", "send-verification-email"] {
        let of = async |email: &str| {
            shape(&server.client().post(&format!("/api/auth/{path}"), &json!({"email": email})).await)
        };
        let known = of("ada23@example.com").await;
        server.mails().await;
        assert_eq!(of("nobody@example.com").await, known, "{path}");
        assert!(server.mails().await.is_empty());
    }
}

async fn reset_of(server: &Server, email: &str) -> String {
    reset_link(server, email).await
}

#[tokio::test]
async fn au_08_the_owner_is_told_of_a_sign_up_with_an_address_that_has_an_account() {
    let server = server(&[("email.verification_required", "true"), ("mail.per_address", "100")]).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
    server.client().post("/api/auth/sign-up/email", &body).await;
    let (_, link) = server.mailed_link().await;
    server.client().get(&path_of(&link)).await;
    let eve = json!({"email": "ada@example.com", "password": NEW, "name": "Eve"});
    assert_eq!(server.client().post("/api/auth/sign-up/email", &eve).await.status, 200);
    let mails = server.mails().await;
    assert_eq!(mails.len(), 1);
    assert!(mails[0].link.is_none() && mails[0].text.expose().contains("an account with this address already"));
    assert!(!mails[0].text.expose().contains("Eve"), "{:?}", mails[0].text.expose());
    assert_eq!(sign_in(&server, "ada@example.com", PASSWORD).await, 200);
    assert_eq!(sign_in(&server, "ada@example.com", NEW).await, 401);
}

#[tokio::test]
async fn au_11_an_address_is_changed_by_who_signed_in_of_late_and_the_old_one_is_told() {
    let settings =
        [("email.change_enabled", "true"), ("email.change_confirmation", "true"), ("mail.per_address", "100")];
    let server = server(&settings).await;
    let ada = signed_up(&server, "ada@example.com").await;
    server.client().post("/api/auth/send-verification-email", &json!({"email": "ada@example.com"})).await;
    let (_, link) = server.mailed_link().await;
    assert_eq!(server.client().get(&path_of(&link)).await.status, 302);

    let change = json!({"newEmail": "new@example.com", "callbackURL": "/settings"});
    assert_eq!(ada.post("/api/auth/change-email", &change).await.short(), DONE);
    let (to, agree) = server.mailed_link().await;
    assert_eq!(to, "ada@example.com", "the old address is asked");
    assert_eq!(ada.get(&path_of(&agree)).await.header("location"), "/settings");
    let (to, prove) = server.mailed_link().await;
    assert_eq!(to, "new@example.com");
    let mallory = signed_up(&server, "mallory@example.com").await;
    assert_eq!(mallory.get(&path_of(&prove)).await.header("location"), "/settings?error=INVALID_USER");
    assert_eq!(ada.get(&path_of(&prove)).await.header("location"), "/settings");
    let told = server.mails().await;
    assert_eq!((told.len(), told[0].to.as_str()), (1, "ada@example.com"));
    assert!(told[0].text.expose().contains("to new@example.com"));
    let session = ada.get("/api/auth/get-session").await;
    assert_eq!(session.text("/user/email"), "new@example.com");
    assert_eq!(sign_in(&server, "new@example.com", PASSWORD).await, 200);

    server.clock.advance(Span::from_hours(24));
    let stale = ada.post("/api/auth/change-email", &json!({"newEmail": "x@example.com"})).await;
    assert_eq!((stale.status, stale.code().as_str()), (403, "SESSION_NOT_FRESH"));
}

#[tokio::test]
async fn an_account_is_deleted_by_its_own_link_in_its_own_browser() {
    let settings = [("account.self_delete", "true"), ("account.delete_by_mail", "true")];
    let server = server(&settings).await;
    let ada = signed_up(&server, "ada@example.com").await;
    let bob = signed_up(&server, "bob@example.com").await;
    let asked = ada.post("/api/auth/delete-user", &json!({"callbackURL": "/bye"})).await;
    assert_eq!(asked.short(), r#"200 {"success":true,"message":"Verification email sent"}"#);
    let (_, link) = server.mailed_link().await;
    let nobody = server.client().get(&path_of(&link)).await;
    assert_eq!((nobody.status, nobody.code().as_str()), (404, "FAILED_TO_GET_USER_INFO"));
    assert_eq!(bob.get(&path_of(&link)).await.code(), "INVALID_TOKEN");
    let done = ada.get(&path_of(&link)).await;
    assert_eq!((done.status, done.header("location")), (302, "/bye"));
    assert_eq!(sign_in(&server, "ada@example.com", PASSWORD).await, 401);
    assert_eq!(sign_in(&server, "bob@example.com", PASSWORD).await, 200);
}

#[tokio::test]
async fn rc_04_no_link_leads_to_another_origin() {
    let server = Server::start().await;
    signed_up(&server, "ada@example.com").await;
    let link = reset_link(&server, "ada@example.com").await;
    let token = token_of(&link);
    for evil in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/%09/evil.example",
        "/.//evil.example",
        "http://localhost@evil.example",
        "/a%0d%0aset-cookie:x",
        " https://evil.example",
    ] {
        let target: String =
            percent_encoding::utf8_percent_encode(evil, percent_encoding::NON_ALPHANUMERIC).to_string();
        for path in [
            format!("/api/auth/reset-password/{token}?callbackURL={target}"),
            format!("/api/auth/reset-password/bad?callbackURL={target}"),
            format!("/api/auth/verify-email?token=bad&callbackURL={target}"),
            format!("/api/auth/delete-user/callback?token=bad&callbackURL={target}"),
        ] {
            let answer = server.client().get(&path).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "INVALID_CALLBACK_URL"), "{path}");
            assert_eq!(answer.header("location"), "");
        }
        for (path, field) in [
            ("request-password-reset", "redirectTo"),
            ("send-verification-email", "callbackURL"),
            ("sign-up/email", "callbackURL"),
        ] {
            let body = json!({"email": "bob@example.com", "password": PASSWORD, "name": "B", field: evil});
            assert_eq!(server.client().post(&format!("/api/auth/{path}"), &body).await.status, 403, "{path} {evil}");
        }
    }
    assert!(server.mails().await.is_empty());
}
