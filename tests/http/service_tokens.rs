//! Services: an application's backend acts by a token on the routes under `/admin`, as far as its scopes reach and no further.

use authd::http::routes::{Caller, Plugin, ROUTES};
use common::{Scope, Span};
use http::Method;
use serde_json::{Value, json};
use tests::{Client, PASSWORD, Response, Server, ctl::ctl};

const OTHER: &str = "quartz lantern mosaic 82";

async fn server() -> Server {
    Server::builder().set("admin_plugin.enabled", "true").start().await
}

async fn token(server: &Server, name: &str, options: &str) -> String {
    let made = ctl(&server.socket).run(&format!("token service create {name} {options}")).await.ok();
    made.out.trim().to_owned()
}

/// A service whose token has these scopes.
async fn service(server: &Server, scopes: &str) -> Client {
    let name = format!("s-{}-{}", scopes.len(), &scopes.replace([':', ','], "-")[..6.min(scopes.len())]);
    server.client().bearer(&token(server, &name, &format!("--scope {scopes}")).await)
}

/// Somebody with an account, and the id.
async fn person(server: &Server, name: &str) -> String {
    let email = format!("{name}@example.com");
    let args = ["user", "create", "--email", &email, "--name", name, "--password-stdin", "-o", "id"];
    ctl(&server.socket).input(PASSWORD).args(&args).await.ok().out.trim().to_owned()
}

async fn sign_in(server: &Server, name: &str) -> Response {
    let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
    server.client().post("/api/auth/login", &body).await
}

async fn ask(client: &Client, method: Method, path: &str, body: &Value) -> Response {
    let is_post = method == Method::POST;
    let text = if is_post { body.to_string() } else { String::new() };
    client.send(method, &format!("/api/auth{path}"), is_post.then_some("application/json"), text.into()).await
}

async fn post(client: &Client, path: &str, body: Value) -> Response {
    ask(client, Method::POST, path, &body).await
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
async fn az_01_each_scope_opens_the_routes_of_the_table_that_ask_for_it_and_no_other() {
    let server = server().await;
    for scope in Scope::ALL {
        let client = service(&server, scope.as_str()).await;
        for route in ROUTES.iter().filter(|route| route.plugin == Plugin::Admin) {
            let path = format!("{}?id=nobody", route.path);
            let answer = ask(&client, route.verb.method(), &path, &body("nobody")).await;
            let needed = match route.caller {
                Caller::May(permission) => permission.scope(),
                // It tells what the token may.
                _ if route.path == "/admin/has-permission" => {
                    let may = *scope == Scope::UsersRead;
                    assert_eq!(answer.json(), json!({"error": null, "success": may}), "{scope}");
                    continue;
                }
                _ => None,
            };
            if needed == Some(*scope) && route.path != "/admin/create-user" {
                assert!(answer.status != 401 && answer.status != 403, "{scope} {}: {answer:?}", route.path);
            } else if needed != Some(*scope) {
                let said = (answer.status, answer.code());
                assert_eq!(said, (403, "INSUFFICIENT_SCOPE".into()), "{scope} {}: {answer:?}", route.path);
                let challenge = answer.header("www-authenticate");
                let expected = match needed {
                    Some(needed) => format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\""),
                    None => "Bearer error=\"insufficient_scope\"".into(),
                };
                assert_eq!(challenge, expected, "{}", route.path);
            }
        }
    }
}

#[tokio::test]
async fn a_service_looks_after_users_without_a_cookie_or_an_origin_and_the_trail_has_its_name() {
    let server = server().await;
    let scopes = "users:read,users:write,users:ban,sessions:read,sessions:revoke";
    let backend = server.client().bearer(&token(&server, "backend", &format!("--scope {scopes}")).await);
    let new = json!({"email": "ada@example.com", "name": "Ada", "password": PASSWORD});
    let made = post(&backend, "/admin/create-user", new).await;
    assert_eq!(made.status, 200, "{made:?}");
    let id = made.text("/user/id");
    let found = backend.get(&format!("/api/auth/admin/get-user?id={id}")).await;
    assert_eq!((found.status, found.text("/email").as_str()), (200, "ada@example.com"));
    let ada = sign_in(&server, "ada").await;
    let sessions = post(&backend, "/admin/list-user-sessions", json!({"userId": id})).await;
    assert_eq!(sessions.json()["sessions"].as_array().map(Vec::len), Some(1));
    let banned = post(&backend, "/admin/ban-user", json!({"userId": id, "banReason": "spam"})).await;
    assert_eq!((banned.status, banned.text("/user/banReason").as_str()), (200, "spam"));
    assert_eq!(server.client().bearer(&ada.text("/access_token")).get("/api/auth/me").await.status, 401);

    let acts = trail(&server, "user.disabled").await;
    assert_eq!(acts[0]["actor"], json!({"kind": "service", "name": "backend"}));
    assert_eq!(acts[0]["method"], "service_token");
    let table = ctl(&server.socket).run("audit list --event user.created").await.ok();
    assert!(table.out.contains("service backend"), "{}", table.out);
    // The page of a stranger makes a browser send cookies, and never this; so nothing else is asked for.
    let from_page = server.browser("https://evil.example").bearer("authd_svc_none");
    assert_eq!(post(&from_page, "/admin/unban-user", json!({"userId": id})).await.status, 401);
}

#[tokio::test]
async fn az_07_a_service_does_nothing_to_administrators_unless_its_token_says_so() {
    let server = server().await;
    let (root, bob) = (person(&server, "root").await, person(&server, "bob").await);
    ctl(&server.socket).run("user role root@example.com admin --yes").await.ok();
    let all = Scope::ALL.iter().filter(|scope| **scope != Scope::Admins).map(|s| s.as_str()).collect::<Vec<_>>();
    let limited = service(&server, &all.join(",")).await;
    let session = sign_in(&server, "root").await;
    let handles = post(&limited, "/admin/list-user-sessions", json!({"userId": root})).await;
    let handle = handles.text("/sessions/0/token");
    let acts = |user: &str| {
        vec![
            ("/admin/update-user", json!({"userId": user, "data": {"email": "taken-over@example.com"}})),
            ("/admin/set-role", json!({"userId": user, "role": "user"})),
            ("/admin/ban-user", json!({"userId": user})),
            ("/admin/unban-user", json!({"userId": user})),
            ("/admin/set-user-password", json!({"userId": user, "newPassword": OTHER})),
            ("/admin/revoke-user-sessions", json!({"userId": user})),
            ("/admin/remove-user", json!({"userId": user})),
        ]
    };
    let one_session = ("/admin/revoke-user-session", json!({"sessionToken": handle}));
    let raise = |user: &str, role: &str| json!({"userId": user, "role": role});
    let raising = vec![
        ("/admin/set-role", raise(&bob, "admin")),
        ("/admin/set-role", raise(&bob, "user,admin")),
        ("/admin/update-user", json!({"userId": bob, "data": {"role": "admin"}})),
        ("/admin/create-user", json!({"email": "x@example.com", "name": "x", "role": "admin"})),
        ("/admin/create-user", json!({"email": "x@example.com", "name": "x", "data": {"role": "admin"}})),
    ];
    for (path, body) in acts(&root).into_iter().chain([one_session]).chain(raising) {
        let answer = post(&limited, path, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "INSUFFICIENT_SCOPE"), "{path}: {answer:?}");
        assert!(answer.header("www-authenticate").ends_with("scope=\"admins\""), "{path}");
    }
    // Nothing of it was done.
    let bearer = server.client().bearer(&session.text("/access_token"));
    assert_eq!(bearer.get("/api/auth/me").await.text("/user/role"), "admin");
    // To see them is another matter, and ordinary users are within reach.
    assert_eq!(limited.get(&format!("/api/auth/admin/get-user?id={root}")).await.status, 200);
    for (path, body) in acts(&bob) {
        assert_eq!(post(&limited, path, body).await.status, 200, "{path}");
    }
    let unlimited = service(&server, &format!("{},admins", all.join(","))).await;
    for (path, body) in acts(&root) {
        assert_eq!(post(&unlimited, path, body).await.status, 200, "{path}");
    }
    // Acting as somebody is for people.
    let cyd = person(&server, "cyd").await;
    let acting = post(&unlimited, "/admin/impersonate-user", json!({"userId": cyd})).await;
    assert_eq!((acting.status, acting.code().as_str(), acting.cookies()), (403, "INSUFFICIENT_SCOPE", vec![]));
}

#[tokio::test]
async fn a_token_is_refused_from_its_revocation_and_from_its_end_on() {
    let server = server().await;
    let list = async |token: &str| {
        let answer = server.client().bearer(token).get("/api/auth/admin/list-users").await;
        (answer.status, answer.code(), answer.header("www-authenticate").to_owned())
    };
    let revoked = token(&server, "revoked", "--scope users:read").await;
    assert_eq!(list(&revoked).await.0, 200);
    ctl(&server.socket).run("token service revoke revoked --yes").await.ok();
    let invalid = "Bearer error=\"invalid_token\", error_description=\"The token is not valid\"";
    assert_eq!(list(&revoked).await, (401, "INVALID_TOKEN".into(), invalid.into()));
    let again = ctl(&server.socket).run("token service revoke revoked --yes").await;
    assert_eq!(again.exit, 3, "{again:?}");
    assert_eq!(trail(&server, "service.token_revoked").await.len(), 1);

    let ending = token(&server, "ending", "--scope users:read --expires 90d").await;
    server.clock.advance(Span::from_millis(90 * 86_400_000 - 1));
    assert_eq!(list(&ending).await.0, 200);
    server.clock.advance(Span::from_millis(1));
    assert_eq!(list(&ending).await.1, "TOKEN_EXPIRED");
    let shown = ctl(&server.socket).run("token service list -o json").await.ok().json();
    assert_eq!((&shown[0]["name"], &shown[0]["state"]), (&json!("ending"), &json!("expired")));
    assert_eq!(shown[0]["lastUsedAt"], "2027-04-15T07:59:59.999Z", "{shown}");
}

#[tokio::test]
async fn what_is_no_token_is_none_and_a_cookie_does_not_take_its_place() {
    let server = server().await;
    person(&server, "root").await;
    ctl(&server.socket).run("user role root@example.com admin --yes").await.ok();
    let page = server.browser("http://localhost:5173");
    let body = json!({"email": "root@example.com", "password": PASSWORD});
    assert_eq!(page.post("/api/auth/sign-in/email", &body).await.status, 200);
    let good = token(&server, "backend", "--scope users:read").await;
    let page = page.bearer(&good.replace("authd_svc_", "authd_svc_x"));
    let answer = page.get("/api/auth/admin/list-users").await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"));

    let flipped = format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { '1' } else { '0' });
    for wrong in [flipped.as_str(), "authd_svc_", &good[..40], &format!("{good}x")] {
        let answer = server.client().bearer(wrong).get("/api/auth/admin/list-users").await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"), "{wrong}");
    }
    // It opens nothing else, by whatever name.
    let service = server.client().bearer(&good);
    for path in ["/api/auth/me", "/api/auth/list-sessions", "/api/auth/token"] {
        assert_eq!(service.get(path).await.status, 401, "{path}");
    }
    assert_eq!(service.get("/api/auth/get-session").await.body, "null");
    let in_query = format!("/api/auth/admin/list-users?access_token={good}");
    assert_eq!(server.client().get(&in_query).await.status, 401);
}

#[tokio::test]
async fn wrong_tokens_are_slowed_down_and_the_right_one_is_not() {
    let server = server().await;
    let good = token(&server, "backend", "--scope users:read").await;
    let wrong = server.client().bearer("authd_svc_guess");
    let mut statuses = vec![];
    for _ in 0..25 {
        statuses.push(wrong.get("/api/auth/admin/list-users").await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 20, "{statuses:?}");
    let refused = wrong.get("/api/auth/admin/list-users").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert_eq!(server.client().bearer(&good).get("/api/auth/admin/list-users").await.status, 200);
    server.clock.advance(Span::from_secs(60));
    assert_eq!(wrong.get("/api/auth/admin/list-users").await.status, 401);
}

#[tokio::test]
async fn the_command_shows_a_token_once_and_refuses_what_makes_no_sense() {
    let server = Server::start().await;
    let ctl = || ctl(&server.socket);
    let made = ctl().run("token service create backend --scope users:read,users:ban").await.ok();
    assert!(made.err.contains("admin_plugin.enabled is off"), "{made:?}");
    let text = made.out.trim();
    assert!(text.starts_with("authd_svc_") && text.len() == 59 && made.out.lines().count() == 1, "{made:?}");
    let json = ctl().run("token service create other --scope users:read --expires 30d -o json").await.ok().json();
    assert!(json["token"].as_str().unwrap().starts_with("authd_svc_"), "{json}");
    assert_eq!(json["expiresAt"], "2027-02-14T08:00:00.000Z", "{json}");
    let listed = ctl().run("token service list -o json").await.ok().out;
    assert!(!listed.contains("authd_svc_"), "{listed}");
    for (line, exit) in [
        ("token service create backend --scope users:read", 4),
        ("token service create third", 2),
        ("token service create third --scope users:impersonate", 2),
        ("token service create Third --scope users:read", 2),
        ("token service create third --scope users:read --expires 0s", 2),
        ("token service create third --scope users:read --expires 4000d", 2),
        ("token service revoke nobody --yes", 3),
        ("token service revoke backend", 2),
    ] {
        let outcome = ctl().run(line).await;
        assert_eq!(outcome.exit, exit, "{line}: {outcome:?}");
    }
    let would = ctl().run("token service revoke backend --dry-run").await.ok();
    assert!(would.err.contains("would revoke the token of backend"), "{would:?}");
    let left = ctl().run("token service list -o id").await.ok();
    assert_eq!(left.out, "backend\nother\n");
}

#[tokio::test]
async fn the_token_of_a_service_is_explained_and_never_shown() {
    let server = server().await;
    let first = token(&server, "backend", "--scope users:read,users:ban --expires 90d").await;
    let inspect = async |text: &str| ctl(&server.socket).input(text).run("token inspect -o json").await.ok().json();
    let found = |report: &Value, check: &str| -> String {
        let checks = report["checks"].as_array().unwrap().clone();
        checks.iter().find(|c| c["check"] == check).unwrap()["found"].as_str().unwrap().to_owned()
    };
    let good = inspect(&first).await;
    assert_eq!((&good["valid"], &good["kind"]), (&json!(true), &json!("service_token")));
    assert_eq!((&good["service"]["name"], &good["service"]["state"]), (&json!("backend"), &json!("active")));
    assert_eq!(found(&good, "scopes"), "users:read users:ban");
    let operator = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    assert!(found(&good, "made").starts_with(&format!("by {operator} at 20")), "{good}");
    assert_eq!(good["service"]["lastUsedAt"], Value::Null, "a look is no use");
    let said = ctl(&server.socket).input(&first).run("token inspect").await.ok();
    assert!(said.out.starts_with("valid  service_token of backend\n") && !said.out.contains(&first), "{said:?}");
    assert_eq!(ctl(&server.socket).input(&first).run("token verify").await.exit, 0);

    server.clock.advance(Span::from_days(90));
    let over = inspect(&first).await;
    assert_eq!((&over["valid"], &over["code"]), (&json!(false), &json!("TOKEN_EXPIRED")));
    ctl(&server.socket).run("token service revoke backend --yes").await.ok();
    let second = token(&server, "backend", "--scope users:read").await;
    // Each is itself, though they had one name.
    assert_eq!(inspect(&second).await["valid"], true);
    let revoked = inspect(&first).await;
    assert_eq!((&revoked["valid"], &revoked["code"]), (&json!(false), &json!("INVALID_TOKEN")));
    let reason = revoked["reason"].as_str().unwrap();
    assert!(
        reason.contains("of backend, made by") && reason.contains(&format!("revoked by {operator} at")),
        "{reason}"
    );
    let wrong = format!("{}{}", &first[..first.len() - 1], if first.ends_with('x') { "y" } else { "x" });
    assert!(inspect(&wrong).await["reason"].as_str().unwrap().starts_with("form:"));
    for text in [good, over, revoked].map(|report| report.to_string()) {
        assert!(!text.contains(&first) && !text.contains(&first[10..53]), "{text}");
    }
}
