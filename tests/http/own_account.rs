//! What users do with their own accounts by Better Auth's routes: name and picture, password, deletion.

use common::Span;
use serde_json::{Value, json};
use tests::{Client, PASSWORD, Response, Server};

const NEW: &str = "another good passphrase";

async fn sign_in_with(server: &Server, password: &str) -> (Client, Response) {
    let page = server.browser("http://localhost:5173");
    let answer = page.post("/api/auth/sign-in/email", &json!({"email": "ada@example.com", "password": password})).await;
    (page, answer)
}

async fn sign_in(server: &Server) -> Client {
    let (page, answer) = sign_in_with(server, PASSWORD).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    page
}

async fn ada() -> (Server, Client) {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let page = sign_in(&server).await;
    server.clock.advance(Span::from_secs(1));
    (server, page)
}

async fn user(page: &Client) -> Value {
    page.get("/api/auth/get-session").await.json()["user"].clone()
}

async fn is_alive(page: &Client) -> bool {
    page.get("/api/auth/get-session").await.body != "null"
}

fn change(current: &str, new: &str) -> Value {
    json!({"currentPassword": current, "newPassword": new})
}

async fn newest_event(server: &Server) -> Value {
    server.admin().get("/v1/audit?limit=1").await.json()["items"][0].clone()
}

#[tokio::test]
async fn users_change_their_own_name_and_picture_and_every_answer_says_so_at_once() {
    let (server, page) = ada().await;
    let before = page.get("/api/auth/token").await.text("/token");
    let body = json!({"name": "Ada L", "image": "https://example.com/a.png"});
    let done = page.post("/api/auth/update-user", &body).await;
    assert_eq!(done.short(), r#"200 {"status":true}"#);
    assert!(done.cookies()[0].contains("Max-Age=604800"), "{:?}", done.cookies());
    let seen = user(&page).await;
    assert_eq!((&seen["name"], &seen["image"]), (&body["name"], &body["image"]));
    assert_eq!(seen["updatedAt"], server.clock.now_time().to_string());
    assert_ne!(page.get("/api/auth/token").await.text("/token"), before, "the JWT carries the name");
    let event = newest_event(&server).await;
    assert_eq!((&event["event"], &event["details"]["fields"]), (&json!("user.updated"), &json!("name, image")));
    assert!(!event.to_string().contains("Ada L"), "what fields, not what is in them");
    page.post("/api/auth/update-user", &json!({"image": null})).await;
    let seen = user(&page).await;
    assert_eq!((&seen["name"], &seen["image"]), (&body["name"], &Value::Null));
}

#[tokio::test]
async fn ht_06_no_other_field_of_a_user_is_settable_beside_the_name() {
    let (server, page) = ada().await;
    let before = server.admin().get("/v1/users/ada@example.com").await.json();
    let fields = json!({
        "id": "x", "userId": "x", "role": "admin", "emailVerified": true, "banned": true, "ban": {"reason": "x"},
        "banReason": "x", "createdAt": "2020-01-01T00:00:00.000Z", "updatedAt": "2020-01-01T00:00:00.000Z",
        "passwordHash": "x", "password": "x", "epoch": 99, "passwordChangeRequired": true, "__proto__": {"role": "admin"},
    });
    let alone = page.post("/api/auth/update-user", &fields).await;
    assert_eq!(alone.short(), r#"400 {"message":"No fields to update"}"#);
    assert_eq!(page.post("/api/auth/update-session", &fields).await.short(), alone.short());
    let mut beside = fields.clone();
    beside["name"] = before["name"].clone();
    assert_eq!(page.post("/api/auth/update-user", &beside).await.status, 200);
    let mut after = server.admin().get("/v1/users/ada@example.com").await.json();
    assert_eq!(after["updatedAt"], server.clock.now_time().to_string());
    after["updatedAt"] = before["updatedAt"].clone();
    assert_eq!(after, before);
    assert_eq!(sign_in_with(&server, PASSWORD).await.1.status, 200);
}

#[tokio::test]
async fn ht_07_names_and_pictures_have_the_limits_of_a_sign_up() {
    let (_server, page) = ada().await;
    for (field, value) in [
        ("name", json!("x".repeat(257))),
        ("name", json!("a\u{1b}[2J")),
        ("name", json!(7)),
        ("name", Value::Null),
        ("image", json!("javascript:alert(1)")),
        ("image", json!(format!("https://example.com/{}", "x".repeat(2048)))),
        ("image", json!({"url": "https://example.com"})),
    ] {
        let refused = page.post("/api/auth/update-user", &json!({field: value})).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "VALIDATION_ERROR"), "{field} {value}");
        assert!(refused.text("/message").starts_with(&format!("[body.{field}] ")), "{refused:?}");
    }
}

#[tokio::test]
async fn au_10_a_changed_password_ends_every_old_cookie_refresh_token_and_access_token() {
    let (server, page) = ada().await;
    let app = server.client();
    let tokens = app.post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    let (access, refresh) = (tokens.text("/access_token"), tokens.text("/refresh_token"));
    let other = sign_in(&server).await;
    let old = server.client().header("cookie", &page.cookie_header());
    let jwt = page.get("/api/auth/token").await.text("/token");

    let changed = page.post("/api/auth/change-password", &change(PASSWORD, NEW)).await;
    assert_eq!((changed.status, changed.text("/user/email").as_str()), (200, "ada@example.com"), "{changed:?}");
    assert_eq!(page.get("/api/auth/get-session").await.text("/session/token"), changed.text("/token"));
    assert!(!is_alive(&other).await && !is_alive(&old).await, "the caller's own session has a new token");
    for token in [&access, &jwt] {
        assert_eq!(app.clone().bearer(token).get("/api/auth/me").await.code(), "SESSION_REVOKED");
    }
    let refreshed = app.post("/api/auth/refresh", &json!({"refresh_token": refresh})).await;
    assert_eq!((refreshed.status, refreshed.code().as_str()), (401, "SESSION_REVOKED"));
    assert_eq!(sign_in_with(&server, PASSWORD).await.1.status, 401);
    assert_eq!(sign_in_with(&server, NEW).await.1.status, 200);
    let trail = server.admin().get("/v1/audit?event=password.set").await.json();
    assert_eq!(trail["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&trail["items"][0]["actor"]["kind"], &trail["items"][0]["details"]["sessions"]),
        (&json!("user"), &json!("ended"))
    );
}

/// Two modes, never mixed (DESIGN 3): what a caller gets is what it had.
#[tokio::test]
async fn au_10_who_changes_a_password_by_an_access_token_gets_tokens_and_no_cookie() {
    let (server, page) = ada().await;
    let app = server.client();
    let tokens = app.post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    let bearer = app.clone().bearer(&tokens.text("/access_token"));
    let changed = bearer.post("/api/auth/change-password", &change(PASSWORD, NEW)).await;
    assert_eq!((changed.status, changed.cookies().len()), (200, 0), "{changed:?}");
    let session = app.clone().bearer(&changed.text("/access_token")).get("/api/auth/get-session").await;
    assert_eq!(session.text("/session/token"), changed.text("/token"));
    let refreshed = app.post("/api/auth/refresh", &json!({"refresh_token": changed.text("/refresh_token")})).await;
    assert_eq!((refreshed.status, &changed.json()["expires_in"]), (200, &json!(900)), "{refreshed:?}");
    assert!(!is_alive(&page).await);

    // The access token of a page whose session is in a cookie: no lasting credential for a script.
    let (page, signed_in) = sign_in_with(&server, NEW).await;
    assert_eq!(signed_in.status, 200);
    let jwt = page.get("/api/auth/token").await.text("/token");
    let changed = app.clone().bearer(&jwt).post("/api/auth/change-password", &change(NEW, PASSWORD)).await;
    assert_eq!((changed.status, changed.cookies().len()), (200, 0), "{changed:?}");
    assert_eq!(changed.json().get("refresh_token"), None);
    assert_eq!(app.clone().bearer(&changed.text("/access_token")).get("/api/auth/me").await.status, 200);

    // Where the cookie of the same session stands beside it, the page keeps its session.
    let page = sign_in(&server).await;
    let jwt = page.get("/api/auth/token").await.text("/token");
    let changed = page.clone().bearer(&jwt).post("/api/auth/change-password", &change(PASSWORD, NEW)).await;
    assert_eq!((changed.status, changed.json().get("access_token")), (200, None), "{changed:?}");
    assert!(is_alive(&page).await);
}

#[tokio::test]
async fn au_10_sessions_are_kept_only_if_the_request_or_the_configuration_says_so() {
    let (mut server, page) = ada().await;
    let other = sign_in(&server).await;
    let mut body = change(PASSWORD, NEW);
    body["revokeOtherSessions"] = false.into();
    let kept = page.post("/api/auth/change-password", &body).await;
    assert_eq!((kept.status, &kept.json()["token"]), (200, &Value::Null));
    let cookies = kept.cookies();
    assert!(cookies.len() == 1 && cookies[0].starts_with("authd.device="), "no session; the device is known anew");
    assert!(is_alive(&page).await && is_alive(&other).await);
    assert_eq!(sign_in_with(&server, PASSWORD).await.1.status, 401);

    server.reload(|settings| settings.account.password_change_ends_sessions = false).await;
    assert_eq!(page.post("/api/auth/change-password", &change(NEW, PASSWORD)).await.json()["token"], Value::Null);
    assert!(is_alive(&page).await && is_alive(&other).await);
    let mut body = change(PASSWORD, NEW);
    body["revokeOtherSessions"] = true.into();
    assert_eq!(page.post("/api/auth/change-password", &body).await.status, 200);
    assert!(is_alive(&page).await && !is_alive(&other).await);
}

#[tokio::test]
async fn au_10_a_password_changes_for_who_knows_it_and_for_a_good_one_only() {
    let (_server, page) = ada().await;
    let refused = async |body: Value| page.post("/api/auth/change-password", &body).await.code();
    assert_eq!(refused(change("wrong password", NEW)).await, "INVALID_PASSWORD");
    assert_eq!(refused(change(&"x".repeat(2000), NEW)).await, "INVALID_PASSWORD");
    assert_eq!(refused(change(PASSWORD, "short")).await, "PASSWORD_TOO_SHORT");
    assert_eq!(refused(change(PASSWORD, &"long ".repeat(30))).await, "PASSWORD_TOO_LONG");
    assert_eq!(refused(change(PASSWORD, "password123")).await, "PASSWORD_COMPROMISED", "AU-05");
    assert_eq!(page.post("/api/auth/verify-password", &json!({"password": PASSWORD})).await.status, 200);
    assert!(is_alive(&page).await);
}

#[tokio::test]
async fn th_01_guesses_by_a_signed_in_client_are_counted_with_the_sign_ins_to_the_account() {
    let (server, page) = ada().await;
    let verify = async |password: &str| page.post("/api/auth/verify-password", &json!({"password": password})).await;
    for n in 0..10 {
        assert_eq!(verify("wrong password").await.code(), "INVALID_PASSWORD", "{n}");
    }
    let put_off = page.post("/api/auth/change-password", &change(PASSWORD, NEW)).await;
    assert_eq!((put_off.status, put_off.header("x-retry-after")), (429, "1"), "the right password too");
    assert_eq!(verify(PASSWORD).await.status, 429);
    let account = json!({"email": "ada@example.com", "password": PASSWORD});
    let again = page.post("/api/auth/sign-in/email", &account).await;
    assert_eq!(again.status, 429, "nor does the sign-in of this device give further tries");
    server.clock.advance(Span::from_secs(120));
    assert_eq!(verify(PASSWORD).await.status, 200);
}

#[tokio::test]
async fn users_delete_their_own_accounts_with_the_password_or_soon_after_the_sign_in() {
    let (mut server, page) = ada().await;
    let off = page.post("/api/auth/delete-user", &json!({"password": PASSWORD})).await;
    assert_eq!((off.status, off.body.as_str()), (404, ""), "it is off unless configured");
    server.reload(|settings| settings.account.self_delete = true).await;
    let wrong = page.post("/api/auth/delete-user", &json!({"password": "wrong password"})).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "INVALID_PASSWORD"));
    server.clock.advance(Span::from_days(1));
    let stale = page.post("/api/auth/delete-user", &json!({})).await;
    assert_eq!((stale.status, stale.code().as_str()), (400, "SESSION_EXPIRED"), "{stale:?}");
    assert!(is_alive(&page).await);
    let by_token = page.post("/api/auth/delete-user", &json!({"token": "x", "password": PASSWORD})).await;
    assert_eq!((by_token.status, by_token.code().as_str()), (404, "INVALID_TOKEN"));
    assert!(is_alive(&page).await, "a token that is none deletes nothing, whatever stands beside it");

    let other = sign_in(&server).await;
    let gone = page.post("/api/auth/delete-user", &json!({"password": PASSWORD})).await;
    assert_eq!(gone.short(), r#"200 {"success":true,"message":"User deleted"}"#);
    assert_eq!(gone.cookies().len(), 3);
    assert!(!is_alive(&page).await && !is_alive(&other).await);
    assert_eq!(sign_in_with(&server, PASSWORD).await.1.code(), "INVALID_EMAIL_OR_PASSWORD");
    let event = newest_event(&server).await;
    assert_eq!((&event["event"], &event["actor"]["kind"]), (&json!("user.deleted"), &json!("user")));

    server.sign_up("ada@example.com").await;
    let fresh = sign_in(&server).await;
    assert_eq!(fresh.post("/api/auth/delete-user", &json!({})).await.status, 200);
}

#[tokio::test]
async fn the_page_of_errors_leads_to_the_front_page_and_nowhere_else() {
    let server = Server::start().await;
    for (query, place) in [
        ("?error=INVALID_TOKEN", "/?error=INVALID_TOKEN"),
        ("", "/?error=UNKNOWN"),
        ("?error=", "/?error=UNKNOWN"),
        ("?error=%0d%0aset-cookie:x", "/?error=UNKNOWN"),
        ("?error=%3Cscript%3E", "/?error=UNKNOWN"),
        ("?error=x%26url=//evil.example", "/?error=UNKNOWN"),
        ("?error=x&error_description=%0d%0aa%26b%3Cc", "/?error=x&error_description=%0D%0Aa%26b%3Cc"),
    ] {
        let answer = server.client().get(&format!("/api/auth/error{query}")).await;
        assert_eq!((answer.status, answer.header("location"), answer.body.as_str()), (302, place, ""), "{query}");
    }
}
