//! What stands in answers, and what never does.

use http::Method;
use serde_json::{Value, json};
use tests::{PASSWORD, Response, Server, ctl::ctl};

/// Words that tell of the inside.
const INSIDE: &[&str] = &[
    "sled",
    "postcard",
    "panicked",
    "unwrap",
    "backtrace",
    "src/",
    ".rs",
    "/tmp",
    "/home",
    "/var",
    "argon2",
    "tokio",
    "hyper",
    "warp",
    "rustc",
    "thread",
    "0.1.0",
];

/// One refusal of each kind that the public door can give today.
async fn refusals(server: &Server) -> Vec<Response> {
    let (client, login) = (server.client(), "/api/auth/login");
    let made = server.sign_up("ada@example.com").await;
    let page = server.browser("https://evil.example").header("cookie", "a=b");
    let huge = json!({"email": "x".repeat(70_000), "password": "x"});
    let raw = |method, path: &str, kind: &'static str, body: &'static str| {
        let client = client.clone();
        let path = path.to_owned();
        async move { client.send(method, &path, Some(kind), body.into()).await }
    };
    vec![
        client.post(login, &json!({})).await,
        client.post(login, &json!({"email": "nobody@example.com", "password": "x"})).await,
        client.post(login, &json!({"email": "no address", "password": "x"})).await,
        client.post("/api/auth/signup", &json!({"email": "a@example.com", "password": "short"})).await,
        client.post("/api/auth/signup", &json!({"email": "a@example.com", "password": "password1"})).await,
        server.sign_up("ada@example.com").await,
        raw(Method::POST, login, "application/json", "{\"email\":").await,
        raw(Method::POST, login, "text/plain", "x").await,
        client.post(login, &huge).await,
        client.get(&format!("/api/auth/me?{}", "x".repeat(9000))).await,
        client.get("/api/auth/me").await,
        client.clone().bearer("not.a.token").get("/api/auth/me").await,
        client.clone().bearer(&format!("{}x", made.text("/access_token"))).get("/api/auth/me").await,
        client.post("/api/auth/refresh", &json!({"refresh_token": "nonsense"})).await,
        page.post(login, &json!({"email": "ada@example.com", "password": PASSWORD})).await,
        client.clone().host("elsewhere.example").get("/api/auth/me").await,
        client.header("x-forwarded-for", "192.0.2.1").get("/api/auth/me").await,
    ]
}

#[tokio::test]
async fn lg_04_every_refusal_has_a_code_a_plain_message_and_an_id_and_tells_nothing_of_the_inside() {
    let server = Server::start().await;
    let refusals = refusals(&server).await;
    let mut codes: Vec<String> = refusals.iter().map(Response::code).collect();
    for refusal in &refusals {
        assert!((400..500).contains(&refusal.status), "{refusal:?}");
        let body = refusal.json();
        let members: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["code", "message"], "{refusal:?}");
        let code = refusal.code();
        assert!(code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'), "{code}");
        assert_eq!(refusal.header("x-request-id").len(), 16, "{refusal:?}");
        assert_eq!(refusal.header("server"), "", "{refusal:?}");
        let shown = format!("{:?} {}", refusal.headers, refusal.body).to_lowercase();
        for word in INSIDE {
            assert!(!shown.contains(word), "'{word}' in {refusal:?}");
        }
    }
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() >= 13, "{codes:?}");
}

#[tokio::test]
async fn se_12_session_tokens_are_in_cookies_and_nowhere_else_and_se_08_no_session_is_cached_in_one() {
    let server = Server::start().await;
    let page = server.browser("http://localhost:5173");
    let sign_up = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "callbackURL": "/welcome"});
    let sign_in = json!({"email": "ada@example.com", "password": PASSWORD, "callbackURL": "/welcome"});
    let mut answers = vec![
        page.post("/api/auth/sign-up/email", &sign_up).await,
        page.post("/api/auth/sign-in/email", &sign_in).await,
        page.post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await,
    ];
    let tokens: Vec<String> = answers
        .iter()
        .flat_map(Response::cookies)
        .filter_map(|cookie| {
            let (name, value) = cookie.split_once('=')?;
            (name == "better-auth.session_token").then(|| value.split(['.', ';']).next().unwrap_or_default().to_owned())
        })
        .collect();
    assert_eq!(tokens.len(), 3);
    for path in ["/api/auth/get-session", "/api/auth/me"] {
        answers.push(page.get(path).await);
    }
    answers.push(page.post("/api/auth/refresh", &json!({})).await);
    answers.push(page.post("/api/auth/sign-out", &json!({})).await);
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        for token in &tokens {
            assert!(!answer.body.contains(token.as_str()), "{answer:?}");
            for (name, value) in answer.headers.iter().filter(|(name, _)| *name != "set-cookie") {
                assert!(!value.to_str().unwrap().contains(token.as_str()), "{name}: {value:?}");
            }
        }
        let data = answer.cookies().into_iter().filter(|cookie| cookie.starts_with("better-auth.session_data="));
        assert!(data.into_iter().all(|cookie| cookie.contains("Max-Age=0")), "SE-08: {answer:?}");
    }
}

#[tokio::test]
async fn wb_07_no_route_ever_answers_with_a_page_or_with_what_it_was_given_to_show() {
    let server = Server::start().await;
    let page = server.browser("http://localhost:5173").header("accept", "text/html,*/*");
    let script = "<script>alert(1)</script>";
    let given = "error=%3Cscript%3Ealert(1)%3C/script%3E&error_description=%3Cscript%3Ealert(1)%3C/script%3E";
    let mut asked = 0;
    let body = json!({
        "email": script, "password": script, "name": script, "token": script, "callbackURL": script,
        "refresh_token": script, "image": script, "currentPassword": script, "newPassword": script,
    });
    for route in authd::http::routes::ROUTES {
        let mount = if route.is_mounted { "/api/auth" } else { "" };
        for method in [Method::GET, Method::POST] {
            let path = format!("{mount}{}?{given}", route.path);
            let answer = page.send(method, &path, Some("application/json"), body.to_string().into()).await;
            let kind = answer.header("content-type");
            assert!(kind.is_empty() && answer.body.is_empty() || kind == "application/json", "{path}: {answer:?}");
            assert!(!answer.body.contains('<'), "{path}: {answer:?}");
            // As recorded, a description goes on to the application's page: encoded, and as a parameter.
            let location = answer.header("location");
            assert!(!location.contains('<') && !location.starts_with(script), "{path}: {answer:?}");
            assert!(location.split('?').next().is_none_or(|page| !page.contains("script")), "{path}: {answer:?}");
            asked += 1;
        }
    }
    assert_eq!(asked, authd::http::routes::ROUTES.len() * 2);
}

#[tokio::test]
async fn wb_03_bodies_are_json_and_where_it_was_recorded_forms() {
    let server = Server::start().await;
    let body = format!(r#"{{"email":"nobody@example.com","password":"{PASSWORD}"}}"#);
    for (kind, plain, recorded) in [
        (Some("application/json"), 401, 401),
        (Some("application/json; charset=utf-8"), 401, 401),
        (Some("APPLICATION/JSON"), 401, 401),
        (Some("text/plain"), 415, 415),
        (Some("multipart/form-data; boundary=x"), 415, 415),
        (Some("application/jsonx"), 415, 415),
        (Some("application/ld+json"), 415, 415),
        (Some("text/plain; application/json"), 415, 415),
        // As on Node: on Better Auth's routes a body without a type is none.
        (Some(""), 415, 400),
        (None, 415, 400),
    ] {
        for (path, expected) in [("/api/auth/login", plain), ("/api/auth/sign-in/email", recorded)] {
            let answer = server.client().send(Method::POST, path, kind, body.clone().into()).await;
            assert_eq!(answer.status, expected, "{path} {kind:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn au_08_where_a_sign_up_does_not_sign_in_it_tells_nothing_of_the_address() {
    let server = Server::builder().set("sign_up.auto_sign_in", "false").start().await;
    let first = server.sign_up("ada@example.com").await;
    let again = server.sign_up("ada@example.com").await;
    assert_eq!((first.status, again.status), (201, 201));
    let shape = |answer: &Response| {
        let user = answer.json()["user"].clone();
        let names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        (user.as_object().unwrap().keys().cloned().collect::<Vec<_>>(), user["email"].clone(), names)
    };
    assert_eq!(shape(&first), shape(&again));
    assert_ne!(first.text("/user/id"), again.text("/user/id"), "an id that nobody has");
    let users = server.admin().get("/v1/users").await.json();
    assert_eq!(users["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn au_12_a_new_store_has_no_user_and_knows_no_password() {
    let server = Server::start().await;
    assert_eq!(server.admin().get("/v1/users").await.json()["items"], json!([]));
    for (email, password) in
        [("admin@example.com", "admin"), ("root@localhost.local", "root"), ("admin@authd.local", "authd")]
    {
        let answer = server.client().post("/api/auth/login", &json!({"email": email, "password": password})).await;
        assert_eq!(answer.status, 401, "{email}");
    }
}

#[tokio::test]
async fn au_13_operators_set_passwords_for_one_use_and_never_see_one_or_its_hash() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let run = async |line: &str| ctl(&server.socket).run(line).await.ok();
    let hash = {
        let services = server.services();
        let user = services.store.user_by_email(&"ada@example.com".parse().unwrap()).await.unwrap().unwrap();
        services.store.credential(&user.id).await.unwrap().unwrap().hash.as_str().to_owned()
    };
    for line in ["user show ada@example.com", "user list", "audit list", "session list", "status"] {
        for format in ["table", "json", "csv"] {
            let seen = run(&format!("{line} -o {format}")).await;
            assert!(!seen.out.contains(&hash) && !seen.out.contains(PASSWORD), "{line}: {seen:?}");
        }
    }
    let made = run("user set-password ada@example.com --generate --temporary -o json").await.json();
    let password = made["generatedPassword"].as_str().unwrap().to_owned();
    let login = async |body: Value| server.client().post("/api/auth/login", &body).await;
    let refused = login(json!({"email": "ada@example.com", "password": password})).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "PASSWORD_CHANGE_REQUIRED"));
    let shown = run("user show ada@example.com -o json").await.out;
    assert!(!shown.contains(&password), "shown once: {shown}");
}

/// Who asks twice learns nothing of how often others asked in between.
#[tokio::test]
async fn lg_04_the_ids_of_requests_count_nothing() {
    let server = Server::start().await;
    let mut ids = std::collections::HashSet::new();
    let mut common = usize::MAX;
    let mut last = String::new();
    for _ in 0..50 {
        let id = server.client().get("/api/auth/ok").await.header("x-request-id").to_owned();
        let same = last.chars().zip(id.chars()).take_while(|(a, b)| a == b).count();
        common = if last.is_empty() { common } else { common.min(same) };
        last.clone_from(&id);
        assert!(ids.insert(id));
    }
    assert_eq!(common, 0, "no part of them is a constant of the process");
    let admin = server.admin().get("/v1/status").await.header("x-request-id").to_owned();
    assert!(admin.starts_with("admin-") && admin.len() == 22, "{admin}");
}
