//! Better Auth's admin plugin: what it must not open. That it answers as the real server does is shown by `tests/node/differential`
//! and by the replay.

use std::time::Duration;

use authd::http::routes::{Caller, Plugin, ROUTES};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::Span;
use http::Method;
use serde_json::{Value, json};
use tests::{Client, PASSWORD, Response, Server, ctl::ctl};

const OTHER: &str = "quartz lantern mosaic 82";

async fn server() -> Server {
    Server::builder().set("admin_plugin.enabled", "true").set("throttle.failures", "false").start().await
}

fn page(server: &Server) -> Client {
    server.browser("http://localhost:5173")
}

/// Somebody who has signed up, in a browser, and the id.
async fn person(server: &Server, name: &str) -> (Client, String) {
    let page = page(server);
    let body = json!({"name": name, "email": format!("{name}@example.com"), "password": PASSWORD});
    let made = page.post("/api/auth/sign-up/email", &body).await;
    assert_eq!(made.status, 200, "{made:?}");
    (page, made.text("/user/id"))
}

async fn give_role(server: &Server, name: &str, role: &str) {
    ctl(&server.socket).run(&format!("user role {name}@example.com {role} --yes")).await.ok();
}

/// An administrator and a user.
async fn root_and_bob(server: &Server) -> (Client, Client, String) {
    let (root, _) = person(server, "root").await;
    let (bob, id) = person(server, "bob").await;
    give_role(server, "root", "admin").await;
    (root, bob, id)
}

async fn act_as(root: &Client, user: &str) -> Response {
    let answer = root.post("/api/auth/admin/impersonate-user", &json!({"userId": user})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn session(page: &Client) -> Value {
    page.get("/api/auth/get-session").await.json()
}

fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn trail(server: &Server, event: &str) -> Vec<Value> {
    let found = ctl(&server.socket).run(&format!("audit list --event {event} -o json")).await.ok();
    found.json().as_array().unwrap().clone()
}

/// A body with what every route of the plugin asks for.
fn body(user: &str) -> Value {
    json!({
        "userId": user, "sessionToken": "x", "name": "x", "email": "x@example.com", "role": "user", "newPassword": OTHER,
        "data": {"name": "x"}, "permissions": {"user": ["list"]},
    })
}

#[tokio::test]
async fn az_01_every_route_of_the_plugin_asks_for_the_permission_of_the_table() {
    let server = server().await;
    let (root, bob, id) = root_and_bob(&server).await;
    let routes: Vec<_> = ROUTES.iter().filter(|route| route.plugin == Plugin::Admin).collect();
    assert_eq!(routes.len(), 15);
    for route in routes {
        let path = format!("/api/auth{}?id={id}", route.path);
        let method = route.verb.method();
        let ask = async |client: &Client, user: &str| {
            let text = if method == Method::POST { body(user).to_string() } else { String::new() };
            let kind = (method == Method::POST).then_some("application/json");
            client.send(method.clone(), &path, kind, text.into()).await
        };
        let anonymous = ask(&server.client(), &id).await;
        assert_eq!((anonymous.status, anonymous.body.as_str()), (401, ""), "{path}");
        let user = ask(&bob, &id).await;
        match route.caller {
            Caller::May(_) => {
                assert_eq!(user.status, 403, "{path}: {user:?}");
                assert!(user.code().starts_with("YOU_ARE_NOT_ALLOWED_TO_"), "{path}: {user:?}");
                // Of nobody, so that nothing is changed for the routes that follow.
                let admin = ask(&root, "nobody").await;
                assert!(admin.status != 401 && admin.status != 403, "{path}: {admin:?}");
            }
            Caller::Session => assert_ne!((user.status, user.code().as_str()), (403, "FORBIDDEN"), "{path}"),
            Caller::Anyone => panic!("{path} is open to everybody"),
        }
    }
}

#[tokio::test]
async fn az_05_without_the_plugin_there_are_no_such_routes_and_users_show_no_roles() {
    let server = Server::start().await;
    let (ada, id) = person(&server, "ada").await;
    give_role(&server, "ada", "admin").await;
    for route in ROUTES.iter().filter(|route| route.plugin == Plugin::Admin) {
        let answer = ada.send(route.verb.method(), &format!("/api/auth{}", route.path), None, "".into()).await;
        assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{}", route.path);
    }
    let seen = session(&ada).await;
    assert_eq!(seen["user"]["id"], id);
    assert!(seen["user"].get("role").is_none() && seen["session"].get("impersonatedBy").is_none(), "{seen}");
    // A role in the body is no field of anything.
    let eve = json!({"name": "Eve", "email": "eve@example.com", "password": PASSWORD, "role": "admin"});
    assert_eq!(page(&server).post("/api/auth/sign-up/email", &eve).await.status, 200);
    let shown = ctl(&server.socket).run("user show eve@example.com -o json").await.ok().json();
    assert_eq!(shown["role"], "user");
}

#[tokio::test]
async fn az_02_who_acts_is_who_is_signed_in_whomever_the_body_names() {
    let server = server().await;
    let (root, bob, id) = root_and_bob(&server).await;
    let root_id = session(&root).await["user"]["id"].clone();
    for more in [json!({"userId": root_id}), json!({"role": "admin"}), json!({"adminId": root_id})] {
        let mut body = json!({"permissions": {"user": ["list"]}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = bob.post("/api/auth/admin/has-permission", &body).await;
        assert_eq!(answer.json(), json!({"error": null, "success": false}), "{body}");
    }
    let raised = bob.post("/api/auth/admin/set-role", &json!({"userId": id, "role": "admin"})).await;
    assert_eq!((raised.status, session(&bob).await["user"]["role"].as_str()), (403, Some("user")));
}

#[tokio::test]
async fn az_07_who_acts_as_a_user_is_named_in_session_tokens_and_trail() {
    let server = server().await;
    let (root, _, id) = root_and_bob(&server).await;
    let root_id = session(&root).await["user"]["id"].as_str().unwrap().to_owned();
    let begun = act_as(&root, &id).await;
    assert_eq!(begun.text("/session/impersonatedBy"), root_id);
    let seen = session(&root).await;
    assert_eq!(
        (seen["user"]["id"].as_str(), seen["session"]["impersonatedBy"].as_str()),
        (Some(&*id), Some(&*root_id))
    );

    let by_route = root.get("/api/auth/token").await.text("/token");
    let by_header = root.get("/api/auth/get-session").await.header("set-auth-jwt").to_owned();
    let access = root.post("/api/auth/refresh", &json!({})).await.text("/access_token");
    for jwt in [&by_route, &by_header, &access] {
        let claims = claims(jwt);
        assert_eq!((claims["sub"].as_str(), claims["act"]["sub"].as_str()), (Some(&*id), Some(&*root_id)), "{claims}");
    }
    let of_user =
        server.client().post("/api/auth/login", &json!({"email": "bob@example.com", "password": PASSWORD})).await;
    assert_eq!(claims(&of_user.text("/access_token")).get("act"), None);

    assert_eq!(root.post("/api/auth/update-user", &json!({"name": "Bob!"})).await.status, 200);
    assert_eq!(root.post("/api/auth/admin/stop-impersonating", &json!({})).await.status, 200);
    for event in ["session.impersonation_begun", "user.updated", "session.impersonation_ended"] {
        let found = trail(&server, event).await;
        assert_eq!(found.len(), 1, "{event}");
        let record = found[0].to_string();
        assert!(record.contains(&root_id) && record.contains(&id), "{event}: {record}");
        let method = if event.ends_with("begun") { "session" } else { "impersonation" };
        assert!(record.contains(&format!("\"method\":\"{method}\"")), "{event}: {record}");
    }
    let listed = ctl(&server.socket).run("session list --user bob@example.com -o json").await.ok().json();
    assert!(listed.as_array().unwrap().iter().all(|session| session.get("impersonatedBy").is_none()), "it is over");
}

#[tokio::test]
async fn az_07_what_only_the_user_may_do_is_refused_and_nothing_lasting_is_made() {
    let server = Server::builder()
        .set("admin_plugin.enabled", "true")
        .set("admin_plugin.allow_impersonating_admins", "true")
        .set("account.self_delete", "true")
        .set("email.change_enabled", "true")
        .start()
        .await;
    let (root, _, id) = root_and_bob(&server).await;
    act_as(&root, &id).await;
    for (path, body) in [
        ("/change-email", json!({"newEmail": "root2@example.com"})),
        ("/delete-user", json!({"token": "x"})),
        ("/change-password", json!({"currentPassword": PASSWORD, "newPassword": OTHER})),
        ("/delete-user", json!({})),
        ("/delete-user", json!({"password": PASSWORD})),
    ] {
        let answer = root.post(&format!("/api/auth{path}"), &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "NOT_WHILE_IMPERSONATING"), "{path}");
    }
    let refreshed = root.post("/api/auth/refresh", &json!({})).await.json();
    assert!(refreshed["access_token"].is_string() && refreshed.get("refresh_token").is_none(), "{refreshed}");

    // As an administrator one is none either: what administrators do they do as themselves.
    assert_eq!(root.post("/api/auth/admin/stop-impersonating", &json!({})).await.status, 200);
    give_role(&server, "bob", "admin").await;
    act_as(&root, &id).await;
    for (path, body) in
        [("/admin/set-role", body(&id)), ("/admin/impersonate-user", body(&id)), ("/admin/ban-user", body(&id))]
    {
        let answer = root.post(&format!("/api/auth{path}"), &body).await;
        assert!(answer.status == 403 && answer.code().starts_with("YOU_ARE_NOT_ALLOWED_TO_"), "{path}: {answer:?}");
    }
    let asked = root.post("/api/auth/admin/has-permission", &body(&id)).await;
    assert_eq!(asked.json()["success"], false);

    // Nor by a token of a session: it would make one that outlives it.
    let jwt = page(&server);
    let token =
        jwt.post("/api/auth/login", &json!({"email": "root@example.com", "password": PASSWORD, "mode": "token"})).await;
    let bearer = server.client().bearer(&token.text("/access_token"));
    let answer = bearer.post("/api/auth/admin/impersonate-user", &json!({"userId": id})).await;
    assert_eq!((answer.status, answer.cookies().len()), (403, 0), "{answer:?}");
}

#[tokio::test]
async fn az_07_it_ends_by_its_own_limit_whatever_is_done_in_it() {
    let server = server().await;
    let (root, _, id) = root_and_bob(&server).await;
    act_as(&root, &id).await;
    for _ in 0..5 {
        server.clock.advance(Span::from_mins(11));
        assert_eq!(session(&root).await["user"]["id"], id.as_str());
    }
    server.clock.advance(Span::from_millis(5 * 60_000 - 1));
    assert_eq!(session(&root).await["user"]["id"], id.as_str());
    server.clock.advance(Span::from_millis(1));
    assert_eq!(session(&root).await, Value::Null);
}

/// What ends an administrator's standing, by an operator or another administrator.
const ENDS: &[&str] = &[
    "session revoke --user root@example.com --yes",
    "user ban root@example.com --yes",
    "user delete root@example.com --yes",
    "user role root@example.com user --yes",
    "user set-password root@example.com --generate",
];

#[tokio::test]
async fn au_14_az_07_it_lives_no_longer_than_what_it_was_begun_from() {
    for end in ENDS {
        let server = server().await;
        let (root, bob, id) = root_and_bob(&server).await;
        act_as(&root, &id).await;
        let jwt = root.get("/api/auth/token").await.text("/token");
        assert_eq!(server.client().bearer(&jwt).get("/api/auth/me").await.status, 200);
        ctl(&server.socket).run(end).await.ok();
        assert_eq!(session(&root).await, Value::Null, "{end}");
        assert_eq!(server.client().bearer(&jwt).get("/api/auth/me").await.status, 401, "{end}");
        assert_eq!(session(&bob).await["user"]["id"], id.as_str(), "the user's own goes on: {end}");
    }
    // So does an end of the plugin, or of the user acted as.
    let mut server = server().await;
    let (root, _, id) = root_and_bob(&server).await;
    act_as(&root, &id).await;
    let cookie = root.session_cookie();
    let acted = async |server: &Server| session(&page(server).header("cookie", &cookie)).await["user"]["id"].clone();
    server.reload(|settings| settings.admin_plugin.enabled = false).await;
    assert_eq!(acted(&server).await, Value::Null);
    server.reload(|settings| settings.admin_plugin.enabled = true).await;
    assert_eq!(acted(&server).await, id.as_str());
    ctl(&server.socket).run("user ban bob@example.com --yes").await.ok();
    assert_eq!(acted(&server).await, Value::Null);
}

#[tokio::test]
async fn az_07_only_the_very_session_comes_back_and_a_sign_out_leaves_none() {
    let server = server().await;
    let (root, _, id) = root_and_bob(&server).await;
    let (eve, _) = person(&server, "eve").await;
    let own = root.session_cookie();
    act_as(&root, &id).await;
    // Eve's own session in the place of the administrator's, well signed as a session and not as what waits.
    let acted = root.session_cookie();
    let value = eve.session_cookie().split_once('=').unwrap().1.to_owned();
    let planted = page(&server).header("cookie", &format!("{acted}; better-auth.admin_session={value}"));
    let answer = planted.post("/api/auth/admin/stop-impersonating", &json!({})).await;
    assert_eq!((answer.status, answer.cookies().len()), (500, 0), "{answer:?}");

    let out = root.post("/api/auth/sign-out", &json!({})).await;
    assert!(out.cookies().iter().any(|line| line.starts_with("better-auth.admin_session=; Max-Age=0")), "{out:?}");
    for cookie in [own, acted] {
        let answer = page(&server).header("cookie", &cookie).get("/api/auth/get-session").await;
        assert_eq!(answer.body, "null", "neither lives on");
    }
}

#[tokio::test]
async fn au_05_az_06_administrators_set_sound_passwords_and_all_they_do_is_in_the_trail() {
    let server = server().await;
    let (root, bob, id) = root_and_bob(&server).await;
    let root_id = session(&root).await["user"]["id"].as_str().unwrap().to_owned();
    for (password, code) in [
        ("short", "PASSWORD_TOO_SHORT"),
        ("password123", "PASSWORD_COMPROMISED"),
        ("bob@example.com", "PASSWORD_COMPROMISED"),
    ] {
        let set = root.post("/api/auth/admin/set-user-password", &json!({"userId": id, "newPassword": password})).await;
        assert_eq!((set.status, set.code().as_str()), (400, code), "{password}");
    }
    for (path, body, event) in [
        ("create-user", json!({"email": "new@example.com", "name": "New", "role": "user"}), "user.created"),
        ("update-user", json!({"userId": id, "data": {"name": "Bobby", "email": "bobby@example.com"}}), "user.updated"),
        ("set-role", json!({"userId": id, "role": "support"}), "user.role_set"),
        ("set-user-password", json!({"userId": id, "newPassword": OTHER}), "password.set"),
        ("ban-user", json!({"userId": id, "banReason": "spam"}), "user.disabled"),
        ("unban-user", json!({"userId": id}), "user.enabled"),
        ("remove-user", json!({"userId": id}), "user.deleted"),
    ] {
        let answer = root.post(&format!("/api/auth/admin/{path}"), &body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let record = trail(&server, event).await[0].to_string();
        assert!(record.contains(&root_id) && record.contains("\"method\":\"session\""), "{path}: {record}");
        assert!(!record.contains(OTHER), "{path}");
        if path == "set-user-password" {
            assert_eq!(session(&bob).await, Value::Null, "AU-10: the sessions end");
        }
    }
}

#[tokio::test]
async fn a_ban_by_either_door_is_the_same_and_a_reason_is_not_told() {
    let server = server().await;
    let (root, bob, id) = root_and_bob(&server).await;
    let sign_in = async || {
        let body = json!({"email": "bob@example.com", "password": PASSWORD});
        page(&server).post("/api/auth/sign-in/email", &body).await
    };
    let shown =
        ctl(&server.socket).run("user ban bob@example.com --expires-in 1h --reason spam --yes -o json").await.ok();
    assert_eq!((shown.json()["banned"].as_bool(), shown.json()["banReason"].as_str()), (Some(true), Some("spam")));
    assert_eq!(session(&bob).await, Value::Null);
    let refused = sign_in().await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "BANNED_USER"));
    assert!(!refused.body.contains("spam"));
    let seen = root.get(&format!("/api/auth/admin/get-user?id={id}")).await.json();
    assert_eq!((seen["banned"].as_bool(), seen["banReason"].as_str()), (Some(true), Some("spam")));
    server.clock.advance(Span::from_hours(1));
    assert_eq!(sign_in().await.json()["user"]["banned"], true, "as recorded: as it was when the sign-in began");
    let seen = root.get(&format!("/api/auth/admin/get-user?id={id}")).await.json();
    assert_eq!((seen["banned"].as_bool(), seen["banExpires"].is_null()), (Some(false), true));

    assert_eq!(root.post("/api/auth/admin/ban-user", &json!({"userId": id})).await.status, 200);
    assert_eq!(
        ctl(&server.socket).run("user show bob@example.com -o json").await.ok().json()["banReason"],
        "No reason"
    );
    ctl(&server.socket).run("user unban bob@example.com").await.ok();
    assert_eq!(sign_in().await.status, 200);
}

#[tokio::test]
async fn az_06_operators_are_asked_before_a_ban_or_a_role_and_told_what_it_would_do() {
    let server = server().await;
    person(&server, "bob").await;
    for (line, said) in [
        ("user ban bob@example.com --dry-run", "would be banned for good; 1 session would end"),
        ("user ban bob@example.com --expires-in 2d --dry-run", "would be banned for 2d"),
        ("user role bob@example.com support --dry-run", "the role of bob@example.com would be support"),
    ] {
        let outcome = ctl(&server.socket).run(line).await.ok();
        assert!(outcome.err.contains(said), "{outcome:?}");
    }
    for line in ["user ban bob@example.com", "user role bob@example.com support"] {
        assert_eq!(ctl(&server.socket).run(line).await.exit, 2, "{line}: not asked, and no --yes");
    }
    assert_eq!(ctl(&server.socket).run("user role bob@example.com user --yes").await.exit, 3, "nothing to do");
    assert_eq!(ctl(&server.socket).run("user unban bob@example.com").await.exit, 3);
    for bad in ["a b", "", "a,,b", "\u{e4}"] {
        let outcome = ctl(&server.socket).args(&["user", "role", "bob@example.com", bad, "--yes"]).await;
        assert_ne!(outcome.exit, 0, "{bad:?}");
    }
    let shown = ctl(&server.socket).run("user show bob@example.com -o json").await.ok().json();
    assert_eq!((shown["role"].as_str(), shown["banned"].as_bool()), (Some("user"), Some(false)));
}

/// The long form, with a figure for the change that makes the lists: `AUTHD_TEST_LONG=1`, 100,000 users.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stderr)]
async fn th_06_a_list_of_many_users_is_a_bounded_part_of_them() {
    let many: u64 = if std::env::var_os("AUTHD_TEST_LONG").is_some() { 100_000 } else { 1500 };
    let server = server().await;
    let (root, ..) = root_and_bob(&server).await;
    let services = server.services();
    let mut under_way = vec![];
    for n in 0..many {
        let services = services.clone();
        under_way.push(tokio::spawn(async move {
            let account = authd::service::users::NewAccount {
                email: format!("user{n:06}@example.com").parse().unwrap(),
                name: format!("User {}", n % 997),
                password: None,
                temporary: false,
                email_verified: n % 2 == 0,
                role: None,
                fields: authd::domain::GivenFields::default(),
                username: authd::service::usernames::GivenUsername::default(),
                image: None,
                ban: None,
            };
            let act = authd::domain::Act::by_daemon(services.clock.now());
            authd::service::users::create(&services, account, act).await.unwrap();
        }));
        if under_way.len() == 64 {
            for one in under_way.drain(..) {
                one.await.unwrap();
            }
        }
    }
    for one in under_way {
        one.await.unwrap();
    }
    let total = many + 2;
    for (query, count, expected) in [
        ("", 100, total),
        ("?limit=1000000", 1000, total),
        ("?limit=10&offset=900", 10, total),
        ("?sortBy=createdAt&sortDirection=desc&limit=10", 10, total),
        ("?sortBy=name&limit=10&offset=1000", 10, total),
        ("?searchValue=user00000&searchOperator=starts_with", 10, 10),
        ("?searchValue=9@example", 100, many / 10),
        ("?filterField=emailVerified&filterValue=true&limit=1", 1, many / 2),
        ("?filterValue=user000007@example.com", 1, 1),
        (&format!("?sortBy=name&limit=10&offset={}", many - 20), 10, total),
    ] {
        let began = tokio::time::Instant::now();
        let answer = root.get(&format!("/api/auth/admin/list-users{query}")).await;
        let took: Duration = began.elapsed();
        let list = answer.json();
        assert_eq!(list["users"].as_array().map(Vec::len), Some(count), "{query}");
        assert_eq!(list["total"].as_u64(), Some(expected), "{query}");
        eprintln!("{query:<60} {took:?}");
    }
}
