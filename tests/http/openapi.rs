//! The description of the public door says what the door does. That every answer is as described is shown by `tests/openapi`.

use std::collections::BTreeSet;

use authd::http::{
    BodyRule, Plugins,
    openapi::document,
    routes::{Plugin, ROUTES},
};
use http::Method;
use serde_json::{Value, json};
use tests::{PASSWORD, Server, ctl::ctl};

async fn server() -> Server {
    Server::builder()
        .set("admin_plugin.enabled", "true")
        .set("username.enabled", "true")
        .set("throttle.failures", "false")
        .start()
        .await
}

/// The fields that a refusal names.
fn named(message: &str) -> BTreeSet<String> {
    message
        .split("[body.")
        .skip(1)
        .filter_map(|rest| rest.split_once(']'))
        .map(|(name, _)| name.split('.').next().unwrap_or_default().to_owned())
        .collect()
}

fn body_of(document: &Value, path: &str) -> Value {
    document["paths"][format!("/api/auth{path}")]["post"]["requestBody"]["content"]["application/json"]["schema"]
        .clone()
}

fn texts(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn the_fields_that_must_be_there_and_their_types_are_those_that_the_handlers_ask_for() {
    let server = server().await;
    let made = server.sign_up("ada@example.com").await;
    ctl(&server.socket).run("user role ada@example.com admin --yes").await.ok();
    let ada = server.client().bearer(&made.text("/access_token"));
    let document = document("http://localhost", "/api/auth", Plugins::ALL, true);
    let mut checked = 0;
    for route in ROUTES.iter().filter(|route| route.body != BodyRule::None) {
        // What it takes is not a fixed set of fields, or may be one of two.
        if matches!(route.path, "/login" | "/admin/has-permission") {
            continue;
        }
        let schema = body_of(&document, route.path);
        let post = async |body: Value| {
            let path = format!("/api/auth{}", route.path);
            ada.send(Method::POST, &path, Some("application/json"), body.to_string().into()).await
        };
        let required = texts(&schema["required"]);
        let empty = post(json!({})).await;
        let missing = if empty.code() == "VALIDATION_ERROR" { named(&empty.text("/message")) } else { BTreeSet::new() };
        assert_eq!(missing, required, "{}: {empty:?}", route.path);
        // Each described field that has one simple type is refused as another, and each is known to the handler.
        let members = schema["properties"].as_object().cloned().unwrap_or_default();
        for (name, member) in
            members.iter().filter(|(_, member)| member["type"] == "string" || member["type"] == "boolean")
        {
            let wrong = post(json!({name: ["wrong"]})).await;
            // Where it leads is looked at before its form.
            let is_target = name == "callbackURL" || name == "redirectTo";
            let said = named(&wrong.text("/message"));
            assert!(
                is_target && wrong.status == 400 || said.contains(name),
                "{} {name} {member}: {wrong:?}",
                route.path
            );
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

#[tokio::test]
async fn in_development_the_document_is_served_with_the_routes_that_there_are() {
    let server = Server::start().await;
    let answer = server.client().get("/openapi.json").await;
    assert_eq!(answer.status, 200);
    let served = answer.json();
    assert_eq!(served["openapi"], "3.1.0");
    for route in ROUTES {
        let prefix = if route.is_mounted { "/api/auth" } else { "" };
        let there = served["paths"].get(format!("{prefix}{}", route.path)).is_some();
        let is_off = matches!(route.plugin, Plugin::Admin | Plugin::Username);
        assert_eq!(there, !is_off, "{}", route.path);
    }
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(server.client().post("/api/auth/signup", &body).await.status, 201);
}

#[test]
fn the_routes_of_services_name_their_scopes() {
    let document = document("", "", Plugins::ALL, true);
    let scope = |path: &str| document["paths"][path]["post"]["security"][2]["serviceToken"][0].clone();
    assert_eq!(scope("/admin/ban-user"), "users:ban");
    assert_eq!(scope("/admin/revoke-user-sessions"), "sessions:revoke");
    assert_eq!(scope("/admin/impersonate-user"), Value::Null);
}
