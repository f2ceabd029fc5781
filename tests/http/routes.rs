//! The route table against the running router: who may call, by which method, spelt how.

use authd::http::routes::{BodyRule, Caller, Plugin, ROUTES};
use http::Method;
use serde_json::json;
use tests::Server;

#[tokio::test]
async fn az_01_every_route_asks_for_what_the_table_says() {
    let server = Server::builder().set("admin_plugin.enabled", "true").set("username.enabled", "true").start().await;
    for route in ROUTES {
        let prefixes: &[&str] = if route.is_mounted { &["/api/auth", "/api"] } else { &[""] };
        for prefix in prefixes {
            let path = format!("{prefix}{}", route.path);
            let path = if route.path == "/admin/get-user" { format!("{path}?id=x") } else { path };
            let body = (route.body != BodyRule::None)
                .then_some(json!({"email": "nobody@example.com", "password": "x", "token": "x", "newPassword": "x", "currentPassword": "x", "userId": "x", "sessionToken": "x", "name": "x", "role": "x", "username": "nobody", "data": {}, "permissions": {}, "newEmail": "x@example.com"}));
            let text = body.map(|b| b.to_string()).unwrap_or_default();
            let content_type = (!text.is_empty()).then_some("application/json");
            let answer = server.client().send(route.verb.method(), &path, content_type, text.into()).await;
            match route.caller {
                // As recorded, the admin plugin refuses without a body.
                Caller::May(_) => assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{path}"),
                Caller::Session if route.plugin == Plugin::Admin => {
                    assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{path}");
                }
                Caller::Session => assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"), "{path}"),
                Caller::Anyone => {
                    assert!(answer.status != 404 && answer.code() != "UNAUTHORIZED", "{path}: {answer:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn wb_04_wrong_methods_are_the_recorded_empty_404() {
    let server = Server::start().await;
    for route in ROUTES.iter().filter(|route| route.is_mounted) {
        let path = format!("/api/auth{}", route.path);
        let methods =
            [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
        for method in methods {
            if ROUTES.iter().any(|other| other.path == route.path && other.verb.method() == method) {
                continue;
            }
            let answer = server.client().send(method.clone(), &path, None, "".into()).await;
            assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{method} {path}");
            assert_eq!(answer.header("content-type"), "");
        }
    }
}

#[tokio::test]
async fn th_05_no_other_spelling_of_a_path_reaches_a_handler() {
    let server = Server::start().await;
    let body = json!({"email": "nobody@example.com", "password": "x"});
    for path in [
        "/api/auth/login/",
        "/api/auth//login",
        "//api/auth/login",
        "/api/./auth/login",
        "/api/auth/../auth/login",
        "/api/auth/Login",
        "/API/auth/login",
        "/api/auth/%6cogin",
        "/api/auth/login%00",
        "/api/auth/login%2f",
        "/api/auth/login;x=y",
        "/api/auth/login.",
        "/api/auth/log%69n",
        "/api%2fauth/login",
        "/api/auth/login%20",
        "/api/auth\\login",
        "/api/auth/sign-in//email",
        "/api/auth/sign-in/email/",
        "/api/auth/sign-in%2femail",
        "/api/auth/SIGN-IN/email",
        "/api/auth/sign-in/./email",
        "/api/auth/sign-in/x/../email",
        "/api/auth/sign_in/email",
        "/api/auth/api/auth/login",
        "/api/authx/login",
        "/api/aut/login",
    ] {
        let answer = server.client().post(path, &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{path}");
    }
    let query = server.client().post("/api/auth/login?x=y", &body).await;
    assert_eq!(query.code(), "INVALID_EMAIL_OR_PASSWORD", "a query is no other path");
}

#[tokio::test]
async fn mounts_can_be_chosen() {
    let server = Server::builder().set("http.mounts", "/, /auth").start().await;
    for path in ["/ok", "/auth/ok"] {
        assert_eq!(server.client().get(path).await.short(), r#"200 {"ok":true}"#, "{path}");
    }
    assert_eq!(server.client().get("/api/auth/ok").await.status, 404);
}
