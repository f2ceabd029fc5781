//! Every setting that a reload applies is applied by one: what shows it is asked of a server as it starts, and of one that was
//! reloaded since. A new live setting without an entry here fails the test.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt};

use authd::{
    config::{ByteSize, SETTINGS, SettingInfo, Settings},
    domain::Algorithm,
    service::maintenance,
};
use common::Span;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tests::{Client, PASSWORD, Response, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What shows a setting.
type Shown = for<'a> fn(&'a Server) -> BoxFuture<'a, String>;

struct Case {
    key: &'static str,
    /// What else stands in `[http]`.
    file: &'static str,
    change: fn(&mut Settings),
    shown: Shown,
    /// As the server starts; `None` where that would take long to see.
    before: Option<&'static str>,
    after: &'static str,
}

/// Settings that show only outside of a server in this process, or to an application, and the test that looks there.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("log.level", "tests/process/reload.rs", "the_level_of_the_log_changes_both_ways"),
    ("hooks.fail_open", "tests/http/hooks.rs", "a_hook_fails_open_as_soon_as_the_configuration_says_so"),
    ("events.types", "tests/http/events.rs", TELLING),
    ("events.give_up_after", "tests/http/events.rs", TELLING),
    ("events.retention", "tests/http/events.rs", TELLING),
    ("events.keep", "tests/http/events.rs", TELLING),
];
const TELLING: &str = "what_is_told_and_how_long_it_is_kept_changes_without_a_restart";

macro_rules! cases {
    ($( $key:literal $(with $file:literal)?: $change:expr => $shown:ident, $before:expr, $after:literal; )+) => {
        [ $( Case {
            key: $key,
            file: concat!($($file)?),
            change: $change,
            shown: { fn call(server: &Server) -> BoxFuture<'_, String> { Box::pin($shown(server)) } call },
            before: $before,
            after: $after,
        }, )+ ]
    };
}

const ORIGIN: &str = "http://localhost:8000";

fn client(server: &Server) -> Client {
    server.client().host("localhost:8000")
}

fn page(server: &Server) -> Client {
    server.browser(ORIGIN).host("localhost:8000")
}

async fn sign_up_with(server: &Server, password: &str) -> Response {
    let body = json!({"email": "ada@example.com", "password": password, "name": "Ada"});
    client(server).post("/api/auth/signup", &body).await
}

/// A browser of a user who has signed up, and its session.
async fn signed_in(server: &Server, more: Value) -> Client {
    sign_up_with(server, PASSWORD).await;
    let page = page(server);
    let mut body = json!({"email": "ada@example.com", "password": PASSWORD});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    assert_eq!(page.post("/api/auth/sign-in/email", &body).await.status, 200);
    page
}

async fn login(server: &Server) -> Response {
    client(server).post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await
}

fn outcome(answer: &Response) -> String {
    format!("{} {}", answer.status, answer.code()).trim().to_owned()
}

async fn another_host(server: &Server) -> String {
    server.client().host("auth.example.com").get("/api/auth/ok").await.status.to_string()
}

async fn another_origin(server: &Server) -> String {
    let page = client(server).header("origin", "https://app.example.com");
    page.get("/api/auth/get-session").await.header("access-control-allow-origin").to_owned()
}

async fn address(server: &Server) -> String {
    sign_up_with(server, PASSWORD).await;
    let client = client(server).header("x-forwarded-for", "203.0.113.7").header("forwarded", "for=203.0.113.8");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let token = client.post("/api/auth/login", &body).await.text("/access_token");
    client.bearer(&token).get("/api/auth/me").await.text("/session/ipAddress")
}

async fn body_of_two_kib(server: &Server) -> String {
    let body = json!({"email": "ada@example.com", "password": "wrong password", "more": "x".repeat(2048)});
    client(server).post("/api/auth/login", &body).await.status.to_string()
}

/// A request whose body lacks its last byte.
async fn unfinished(server: &Server) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/auth/login HTTP/1.1\r\nHost: localhost:8000\r\nContent-Type: application/json\r\nContent-Length: 60000\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; 59_999]).await.unwrap();
    stream
}

async fn a_body_beside_another(server: &Server) -> String {
    let other = unfinished(server).await;
    for _ in 0..300 {
        let answer = client(server).post("/api/auth/refresh", &json!({"refresh_token": "x"})).await;
        if answer.status == 503 {
            return "503".into();
        }
    }
    drop(other);
    "served".into()
}

async fn a_body_that_does_not_come(server: &Server) -> String {
    let mut answer = String::new();
    unfinished(server).await.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

/// Two administrators, of whom one asks.
async fn root(server: &Server) -> (Client, String) {
    let root = signed_in(server, json!({})).await;
    let other = json!({"email": "other@example.com", "password": PASSWORD, "name": "Other"});
    let other = client(server).post("/api/auth/signup", &other).await.text("/user/id");
    for email in ["ada@example.com", "other@example.com"] {
        let given = server.admin().post(&format!("/v1/users/{email}/role"), &json!({"role": "admin"})).await;
        assert_eq!(given.status, 200, "{given:?}");
    }
    (root, other)
}

async fn role_of_a_new_user(server: &Server) -> String {
    let role = sign_up_with(server, PASSWORD).await.json()["user"]["role"].take();
    role.as_str().unwrap_or("null").to_owned()
}

async fn acting_as_an_admin(server: &Server) -> String {
    let (root, other) = root(server).await;
    outcome(&root.post("/api/auth/admin/impersonate-user", &json!({"userId": other})).await)
}

/// An administrator by name has no role for it: asked for what no role has.
async fn ids_of_administrators(server: &Server) -> String {
    let rules = server.services().policy.admin.clone().unwrap();
    let named = server.services().store.user(&"nobody".parse().unwrap()).await.unwrap();
    assert!(named.is_none(), "ids are named before there are users");
    rules.admin_user_ids.len().to_string()
}

async fn ban(server: &Server) -> Value {
    let (root, other) = root(server).await;
    root.post("/api/auth/admin/ban-user", &json!({"userId": other})).await.json()["user"].take()
}

async fn reason_of_a_ban(server: &Server) -> String {
    let user = ban(server).await;
    format!("{} {}", user["banReason"].as_str().unwrap(), user["banExpires"])
}

async fn end_of_a_ban(server: &Server) -> String {
    let end = ban(server).await["banExpires"].take();
    let end: Option<common::UnixTime> = end.as_str().map(|end| end.parse().unwrap());
    end.map_or("never".into(), |end| end.since(server.clock.now_time()).to_string())
}

async fn life_of_an_impersonation(server: &Server) -> String {
    let (root, _) = root(server).await;
    let user = json!({"email": "user@example.com", "password": PASSWORD, "name": "User"});
    let user = client(server).post("/api/auth/signup", &user).await.text("/user/id");
    let begun = root.post("/api/auth/admin/impersonate-user", &json!({"userId": user})).await;
    let end: common::UnixTime = begun.text("/session/expiresAt").parse().unwrap();
    end.since(server.clock.now_time()).to_string()
}

async fn what_the_banned_are_told(server: &Server) -> String {
    ban(server).await;
    let body = json!({"email": "other@example.com", "password": PASSWORD});
    let told = client(server).post("/api/auth/login", &body).await.text("/message");
    told.chars().take(8).collect::<String>().trim().to_owned()
}

async fn list_by_an_admin(server: &Server) -> String {
    let (root, _) = root(server).await;
    outcome(&root.get("/api/auth/admin/list-users").await)
}

async fn name_of_three(server: &Server) -> String {
    outcome(&client(server).post("/api/auth/is-username-available", &json!({"username": "ada"})).await)
}

async fn sign_up(server: &Server) -> String {
    outcome(&sign_up_with(server, PASSWORD).await)
}

async fn sign_up_with_seventy(server: &Server) -> String {
    let long = "7Kq vR2 mX9 tB4 wZ8 hL3 nC6 pD1 sF5 gJ0 yA7 eU2 oI9 rT4 kW8 zM3 xN6 bV12";
    outcome(&sign_up_with(server, &long[..70]).await)
}

async fn sign_up_with_a_common_password(server: &Server) -> String {
    outcome(&sign_up_with(server, "password123").await)
}

async fn sign_up_with_a_middling_password(server: &Server) -> String {
    outcome(&sign_up_with(server, "wombatlamp9").await)
}

async fn sign_up_with_our_name(server: &Server) -> String {
    outcome(&sign_up_with(server, "Zanzibarian Widgets").await)
}

async fn four_sign_ins(server: &Server) -> String {
    let mut last = 0;
    for _ in 0..4 {
        let body = json!({"email": "ada@example.com", "password": "wrong password"});
        last = client(server).post("/api/auth/sign-in/email", &body).await.status;
    }
    last.to_string()
}

async fn session_after_sign_up(server: &Server) -> String {
    sign_up_with(server, PASSWORD).await.json()["access_token"].is_string().to_string()
}

async fn new_session_after_change(server: &Server) -> String {
    let page = signed_in(server, json!({})).await;
    let body = json!({"currentPassword": PASSWORD, "newPassword": "another horse battery"});
    page.post("/api/auth/change-password", &body).await.json()["token"].is_string().to_string()
}

async fn own_deletion(server: &Server) -> String {
    let page = signed_in(server, json!({})).await;
    page.post("/api/auth/delete-user", &json!({"password": PASSWORD})).await.status.to_string()
}

/// How long the session of this page still lives.
async fn left(server: &Server, page: &Client) -> String {
    let session = page.get("/api/auth/get-session").await;
    session.text("/session/expiresAt").parse::<common::UnixTime>().unwrap().since(server.clock.now_time()).to_string()
}

async fn life(server: &Server) -> String {
    left(server, &signed_in(server, json!({})).await).await
}

async fn life_unremembered(server: &Server) -> String {
    left(server, &signed_in(server, json!({"rememberMe": false})).await).await
}

async fn life_after_an_hour(server: &Server) -> String {
    let page = signed_in(server, json!({})).await;
    server.clock.advance(Span::from_hours(1));
    left(server, &page).await
}

async fn life_after_six_days(server: &Server) -> String {
    let page = signed_in(server, json!({})).await;
    server.clock.advance(Span::from_days(6));
    left(server, &page).await
}

async fn needs_refresh_after_six_days(server: &Server) -> String {
    let page = signed_in(server, json!({})).await;
    server.clock.advance(Span::from_days(6));
    page.get("/api/auth/get-session").await.json()["needsRefresh"].to_string()
}

async fn sets_auth_token(server: &Server) -> String {
    sign_up_with(server, PASSWORD).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    client(server).post("/api/auth/sign-in/email", &body).await.headers.contains_key("set-auth-token").to_string()
}

/// Whether a session token counts with its signature, and without.
async fn bearer_tokens(server: &Server) -> String {
    sign_up_with(server, PASSWORD).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let answer = client(server).post("/api/auth/sign-in/email", &body).await;
    let counts = async |token: &str| client(server).bearer(token).get("/api/auth/get-session").await.body != "null";
    format!("{} {}", counts(answer.header("set-auth-token")).await, counts(&answer.text("/token")).await)
}

async fn jwt_route(server: &Server) -> String {
    signed_in(server, json!({})).await.get("/api/auth/token").await.status.to_string()
}

async fn sets_auth_jwt(server: &Server) -> String {
    let page = signed_in(server, json!({})).await;
    page.get("/api/auth/get-session").await.headers.contains_key("set-auth-jwt").to_string()
}

async fn list_after_two_hours(server: &Server) -> String {
    let page = signed_in(server, json!({})).await;
    server.clock.advance(Span::from_hours(2));
    page.get("/api/auth/list-sessions").await.status.to_string()
}

async fn a_refresh_token_after_five_seconds(server: &Server) -> String {
    sign_up_with(server, PASSWORD).await;
    let refresh = async |token: &str| client(server).post("/api/auth/refresh", &json!({"refresh_token": token})).await;
    let first = login(server).await.text("/refresh_token");
    let second = refresh(&first).await.text("/refresh_token");
    refresh(&second).await;
    server.clock.advance(Span::from_secs(5));
    outcome(&refresh(&first).await)
}

async fn the_session_before_the_last(server: &Server) -> String {
    let first = signed_in(server, json!({})).await;
    login(server).await;
    (first.get("/api/auth/get-session").await.body != "null").to_string()
}

async fn life_of_access_tokens(server: &Server) -> String {
    sign_up_with(server, PASSWORD).await;
    login(server).await.json()["expires_in"].to_string()
}

async fn rotated(server: &Server) -> Value {
    server.admin().post("/v1/keys/rotate", &json!({})).await.json()["key"].take()
}

async fn algorithm_of_a_new_key(server: &Server) -> String {
    rotated(server).await["algorithm"].as_str().unwrap().to_owned()
}

async fn wait_of_a_new_key(server: &Server) -> String {
    let key = rotated(server).await;
    let time = |name: &str| key[name].as_str().unwrap().parse::<common::UnixTime>().unwrap();
    time("signsAt").since(time("createdAt")).to_string()
}

async fn keys_after_ten_days(server: &Server) -> String {
    server.clock.advance(Span::from_days(10));
    // The daemon's own round may be under way: then it is that one which rotates.
    let _ = maintenance::round(&server.services()).await;
    server.admin().get("/v1/keys").await.json()["items"].as_array().unwrap().len().to_string()
}

async fn trail_after_ten_days(server: &Server) -> String {
    sign_up_with(server, PASSWORD).await;
    server.clock.advance(Span::from_days(10));
    maintenance::round(&server.services()).await.unwrap();
    let removed = server.admin().get("/v1/audit?event=audit.removed").await.json();
    removed["items"].as_array().unwrap().len().to_string()
}

/// Whoever may be one of the users that roles name has to get to the socket.
#[allow(clippy::unused_async)] // as the others
async fn mode_of_the_socket(server: &Server) -> String {
    format!("{:o}", server.socket.metadata().unwrap().permissions().mode() & 0o007)
}

fn nobody<T: std::str::FromStr<Err = String>>() -> Vec<T> {
    vec!["nobody".parse().unwrap_or_else(|e| panic!("{e}"))]
}

#[tokio::test]
async fn every_live_setting_is_applied_by_a_reload() {
    let cases = cases! {
        "http.hosts": |s| s.http.hosts = vec!["auth.example.com".parse().unwrap()] => another_host, Some("421"), "200";
        "http.trusted_origins": |s| s.http.trusted_origins = vec!["https://app.example.com".parse().unwrap()]
            => another_origin, Some(""), "https://app.example.com";
        "http.trusted_proxies": |s| s.http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()]
            => address, Some("127.0.0.1"), "203.0.113.7";
        "http.client_address" with "trusted_proxies = [\"127.0.0.1\"]": |s| s.http.client_address = "forwarded".parse().unwrap()
            => address, Some("203.0.113.7"), "203.0.113.8";
        "http.max_body": |s| s.http.max_body = ByteSize(1024) => body_of_two_kib, Some("401"), "413";
        "http.max_body_total": |s| s.http.max_body_total = s.http.max_body => a_body_beside_another, Some("served"), "503";
        "http.body_timeout": |s| s.http.body_timeout = Span::from_secs(1) => a_body_that_does_not_come, None, "408";
        "password.min_length": |s| s.password.min_length = 30 => sign_up, Some("201"), "400 PASSWORD_TOO_SHORT";
        "password.max_length": |s| s.password.max_length = 64
            => sign_up_with_seventy, Some("201"), "400 PASSWORD_TOO_LONG";
        "password.blocklist": |s| s.password.blocklist = false
            => sign_up_with_a_common_password, Some("400 PASSWORD_COMPROMISED"), "201";
        "password.min_guesses": |s| s.password.min_guesses = u32::MAX
            => sign_up_with_a_middling_password, Some("201"), "400 PASSWORD_COMPROMISED";
        "password.context_words": |s| s.password.context_words = vec!["Zanzibarian Widgets".into()]
            => sign_up_with_our_name, Some("201"), "400 PASSWORD_COMPROMISED";
        "throttle.requests": |s| s.throttle.requests = "on".parse().unwrap() => four_sign_ins, Some("401"), "429";
        "sign_up.enabled": |s| s.sign_up.enabled = false
            => sign_up, Some("201"), "400 EMAIL_PASSWORD_SIGN_UP_DISABLED";
        "sign_up.auto_sign_in": |s| s.sign_up.auto_sign_in = false => session_after_sign_up, Some("true"), "false";
        "account.password_change_ends_sessions": |s| s.account.password_change_ends_sessions = false
            => new_session_after_change, Some("true"), "false";
        "account.self_delete": |s| s.account.self_delete = true => own_deletion, Some("404"), "200";
        "session.expires_in": |s| s.session.expires_in = Span::from_days(2) => life, Some("7d"), "2d";
        "session.update_age": |s| s.session.update_age = Span::from_mins(30) => life_after_an_hour, Some("6d23h"), "7d";
        "session.prolong": |s| s.session.prolong = false => life_after_six_days, Some("7d"), "1d";
        "session.defer_refresh": |s| s.session.defer_refresh = true => needs_refresh_after_six_days, Some("null"), "true";
        "bearer.enabled": |s| s.bearer.enabled = true => sets_auth_token, Some("false"), "true";
        "bearer.require_signature": |s| (s.bearer.enabled, s.bearer.require_signature) = (true, true)
            => bearer_tokens, None, "true false";
        "jwt.enabled": |s| s.jwt.enabled = false => jwt_route, Some("200"), "404";
        "jwt.set_header": |s| s.jwt.set_header = false => sets_auth_jwt, Some("true"), "false";
        "admin_plugin.enabled": |s| s.admin_plugin.enabled = true => role_of_a_new_user, Some("null"), "user";
        "admin_plugin.default_role": |s| (s.admin_plugin.enabled, s.admin_plugin.default_role) = (true, "member".into())
            => role_of_a_new_user, None, "member";
        "admin_plugin.admin_roles" with "[admin_plugin]\nenabled = true": |s| s.admin_plugin.admin_roles = vec!["boss".into()]
            => acting_as_an_admin, Some("403 YOU_CANNOT_IMPERSONATE_ADMINS"), "200";
        "admin_plugin.admin_user_ids" with "[admin_plugin]\nenabled = true": |s| s.admin_plugin.admin_user_ids = vec!["nobody".parse().unwrap()]
            => ids_of_administrators, Some("0"), "1";
        "admin_plugin.default_ban_reason" with "[admin_plugin]\nenabled = true": |s| s.admin_plugin.default_ban_reason = "because".into()
            => reason_of_a_ban, Some("No reason null"), "because null";
        "admin_plugin.default_ban_expires_in" with "[admin_plugin]\nenabled = true": |s| s.admin_plugin.default_ban_expires_in = Span::from_secs(3600)
            => end_of_a_ban, Some("never"), "1h";
        "admin_plugin.impersonation_session_duration" with "[admin_plugin]\nenabled = true": |s| s.admin_plugin.impersonation_session_duration = Span::from_secs(60)
            => life_of_an_impersonation, Some("1h"), "1m";
        "admin_plugin.banned_user_message" with "[admin_plugin]\nenabled = true": |s| s.admin_plugin.banned_user_message = "Go away".into()
            => what_the_banned_are_told, Some("You have"), "Go away";
        "admin_plugin.allow_impersonating_admins" with "[admin_plugin]\nenabled = true": |s| s.admin_plugin.allow_impersonating_admins = true
            => acting_as_an_admin, Some("403 YOU_CANNOT_IMPERSONATE_ADMINS"), "200";
        "admin_plugin.roles" with "[admin_plugin]\nenabled = true": |s| s.admin_plugin.roles = vec!["admin user:get".parse().unwrap(), "user".parse().unwrap()]
            => list_by_an_admin, Some("200"), "403 YOU_ARE_NOT_ALLOWED_TO_LIST_USERS";
        "username.enabled": |s| s.username.enabled = true => name_of_three, Some("404"), "200";
        "username.min_length" with "[username]\nenabled = true": |s| s.username.min_length = 4
            => name_of_three, Some("200"), "422 USERNAME_TOO_SHORT";
        "username.max_length" with "[username]\nenabled = true": |s| (s.username.min_length, s.username.max_length) = (1, 2)
            => name_of_three, Some("200"), "422 USERNAME_TOO_LONG";
        "session.fresh_age": |s| s.session.fresh_age = Span::from_hours(1) => list_after_two_hours, Some("200"), "403";
        "session.absolute": |s| s.session.absolute = Span::from_days(7) => life_after_six_days, Some("7d"), "1d";
        "session.unremembered": |s| s.session.unremembered = Span::from_hours(2) => life_unremembered, Some("1d"), "2h";
        "session.reuse_window": |s| s.session.reuse_window = Span::from_secs(1)
            => a_refresh_token_after_five_seconds, Some("200"), "401 REFRESH_TOKEN_REUSED";
        "session.max_per_user": |s| s.session.max_per_user = 1 => the_session_before_the_last, Some("true"), "false";
        "token.expires_in": |s| s.token.expires_in = Span::from_mins(1) => life_of_access_tokens, Some("900"), "60";
        "keys.algorithm": |s| s.keys.algorithm = Algorithm::Es256 => algorithm_of_a_new_key, Some("EdDSA"), "ES256";
        "keys.rotate_every": |s| s.keys.rotate_every = Span::from_days(9) => keys_after_ten_days, Some("1"), "2";
        "keys.publish_ahead": |s| s.keys.publish_ahead = Span::from_hours(1) => wait_of_a_new_key, Some("10m"), "1h";
        "admin.roles.view": |s| s.admin_roles.view = nobody() => mode_of_the_socket, Some("0"), "6";
        "admin.roles.helpdesk": |s| s.admin_roles.helpdesk = nobody() => mode_of_the_socket, Some("0"), "6";
        "admin.roles.oncall": |s| s.admin_roles.oncall = nobody() => mode_of_the_socket, Some("0"), "6";
        "admin.roles.admin": |s| s.admin_roles.admin = nobody() => mode_of_the_socket, Some("0"), "6";
        "audit.retention": |s| s.audit.retention = Span::from_days(9) => trail_after_ten_days, Some("0"), "1";
    };

    let live: BTreeSet<String> = SETTINGS.iter().filter(|s| s.is_live).map(SettingInfo::path).collect();
    let shown = cases.iter().map(|case| case.key).chain(ELSEWHERE.iter().map(|(key, ..)| *key));
    assert_eq!(shown.map(str::to_owned).collect::<BTreeSet<_>>(), live, "each live setting has an entry, and no other");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (key, file, test) in ELSEWHERE {
        assert!(std::fs::read_to_string(root.join(file)).unwrap().contains(&format!("fn {test}(")), "{key}");
    }

    let mut wrong = vec![];
    for case in cases {
        let start = async || {
            let file = format!("[http]\npublic_url = \"{ORIGIN}\"\n{}\n", case.file);
            Server::builder().file(&file).start().await
        };
        if let Some(before) = case.before {
            let seen = (case.shown)(&start().await).await;
            if seen != before {
                wrong.push(format!("{}: at the start '{seen}' instead of '{before}'", case.key));
            }
        }
        let mut server = start().await;
        server.reload(case.change).await;
        let seen = (case.shown)(&server).await;
        if seen != case.after {
            let status = server.admin().get("/v1/status").await.json()["problems"].take();
            wrong.push(format!("{}: after a reload '{seen}' instead of '{}' {status}", case.key, case.after));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
