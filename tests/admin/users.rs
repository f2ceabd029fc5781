//! Accounts and sessions, by operators.

use common::Span;
use serde_json::{Value, json};
use tests::{PASSWORD, Server};

async fn login(server: &Server, password: &str) -> tests::Response {
    server.client().post("/api/auth/login", &json!({"email": "ada@example.com", "password": password})).await
}

#[tokio::test]
async fn an_account_from_its_making_to_its_end() {
    let server = Server::start().await;
    let admin = server.admin();
    let made = admin.post("/v1/users", &json!({"email": "Ada@Example.com", "name": "Ada", "password": PASSWORD})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.text("/id");
    assert_eq!(made.text("/email"), "ada@example.com");
    let twice = admin.post("/v1/users", &json!({"email": "ADA@example.com", "password": PASSWORD})).await;
    assert_eq!((twice.status, twice.code().as_str()), (409, "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL"));

    let entered = login(&server, PASSWORD).await;
    assert_eq!(entered.status, 200);
    let shown = admin.get(&format!("/v1/users/{id}")).await;
    assert_eq!((shown.text("/password"), shown.json()["sessions"].as_u64()), ("argon2id".into(), Some(1)));
    assert!(!shown.body.contains("$argon2id"), "AU-13: never the hash");
    assert_eq!(admin.get("/v1/users/Ada").await.text("/id"), id, "by name, if only one has it");

    let preview = admin.post("/v1/users/ada@example.com/disable?dry_run=true", &Value::Null).await.json();
    assert_eq!((&preview["dryRun"], &preview["endedSessions"]), (&json!(true), &json!(1)));
    assert_eq!(login(&server, PASSWORD).await.status, 200, "a preview does nothing");
    let disabled = admin.post("/v1/users/ada@example.com/disable", &Value::Null).await.json();
    assert_eq!((&disabled["changed"], &disabled["endedSessions"]), (&json!(true), &json!(2)));
    assert_eq!(login(&server, PASSWORD).await.code(), "BANNED_USER");
    let again = admin.post("/v1/users/ada@example.com/disable", &Value::Null).await.json();
    assert_eq!(again["changed"], false);
    let enabled = admin.post("/v1/users/ada@example.com/enable", &Value::Null).await.json();
    assert_eq!((&enabled["changed"], &enabled["user"]["banned"]), (&json!(true), &json!(false)));

    let session = login(&server, PASSWORD).await;
    let set = admin.post(&format!("/v1/users/{id}/password"), &json!({"password": "another horse battery"})).await;
    assert_eq!(set.json()["endedSessions"], 1, "{set:?}");
    let old = server.client().bearer(&session.text("/access_token")).get("/api/auth/me").await;
    assert_eq!(old.code(), "SESSION_REVOKED", "AU-10: a new password ends what was begun with the old one");
    assert_eq!(login(&server, PASSWORD).await.code(), "INVALID_EMAIL_OR_PASSWORD");
    assert_eq!(login(&server, "another horse battery").await.status, 200);

    let deleted = admin.delete(&format!("/v1/users/{id}")).await.json();
    assert_eq!(deleted["endedSessions"], 1);
    assert_eq!(admin.get(&format!("/v1/users/{id}")).await.status, 404);
    assert_eq!(login(&server, "another horse battery").await.code(), "INVALID_EMAIL_OR_PASSWORD");
    let anew = admin.post("/v1/users", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    assert_eq!(anew.status, 201, "the address is free again");
    assert_ne!(anew.text("/id"), id);
}

#[tokio::test]
async fn an_ambiguous_name_lists_its_candidates() {
    let server = Server::start().await;
    for email in ["ada@example.com", "ada@example.org"] {
        server.admin().post("/v1/users", &json!({"email": email, "name": "Ada"})).await;
    }
    let ambiguous = server.admin().get("/v1/users/ada").await;
    assert_eq!((ambiguous.status, ambiguous.code().as_str()), (409, "AMBIGUOUS_USER"));
    assert_eq!(ambiguous.text("/cause"), "ada@example.com, ada@example.org");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::start().await;
    for n in 0..7 {
        server
            .admin()
            .post("/v1/users", &json!({"email": format!("user{n}@example.com"), "name": format!("User {n}")}))
            .await;
    }
    let mut seen = vec![];
    let mut cursor = String::new();
    loop {
        let page = server.admin().get(&format!("/v1/users?limit=3{cursor}")).await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|user| user["email"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..7).map(|n| format!("user{n}@example.com")).collect::<Vec<_>>());
    let found = server.admin().get("/v1/users?search=USER%205").await.json();
    assert_eq!(found["items"][0]["email"], "user5@example.com");
}

#[tokio::test]
async fn sessions_are_listed_shown_and_revoked() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    server.clock.advance(Span::from_secs(1));
    login(&server, PASSWORD).await;
    server.sign_up("eve@example.com").await;
    let of_ada = server.admin().get("/v1/sessions?user=ada@example.com").await.json();
    let sessions = of_ada["items"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    for session in sessions {
        for secret in ["token", "digest", "family"] {
            assert!(session.get(secret).is_none(), "{session}");
        }
    }
    assert_eq!(server.admin().get("/v1/sessions").await.json()["items"].as_array().unwrap().len(), 3);
    let id = sessions[0]["id"].as_str().unwrap();
    let shown = server.admin().get(&format!("/v1/sessions/{id}")).await.json();
    assert_eq!(
        (&shown["email"], &shown["state"], &shown["methods"]),
        (&json!("ada@example.com"), &json!("active"), &json!(["pwd"]))
    );

    let revoke = |body: Value| {
        let admin = server.admin();
        async move { admin.post("/v1/sessions/revoke", &body).await }
    };
    let target = json!({"sessions": [id, id, "unknown"]});
    let preview = revoke(json!({"target": target, "dryRun": true})).await.json();
    assert_eq!(preview, json!({"ended": 1, "users": 1, "dryRun": true}));
    let wrong = revoke(json!({"target": target, "expectCount": 2})).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (409, "UNEXPECTED_COUNT"));
    assert_eq!(server.client().bearer(&made.text("/access_token")).get("/api/auth/me").await.status, 200);
    let done = revoke(json!({"target": target, "expectCount": 1})).await.json();
    assert_eq!(done, json!({"ended": 1, "users": 1, "dryRun": false}));
    assert_eq!(server.client().bearer(&made.text("/access_token")).get("/api/auth/me").await.code(), "SESSION_REVOKED");
    assert_eq!(server.admin().get(&format!("/v1/sessions/{id}")).await.code(), "SESSION_NOT_FOUND");
    let all = revoke(json!({"target": {"user": "ada@example.com"}})).await.json();
    assert_eq!(all["ended"], 1);
    assert_eq!(revoke(json!({"target": {"sessions": []}})).await.code(), "VALIDATION_ERROR");
}

#[tokio::test]
async fn a_name_is_looked_for_on_every_page() {
    use authd::domain::{Act, Event, EventKind, FieldValues, User};
    let server = Server::start().await;
    let services = server.services();
    let at = services.clock.now();
    let make = async |id: &str, name: &str| {
        let user = User {
            id: id.parse().unwrap(),
            email: format!("{id}@example.com").parse().unwrap(),
            email_verified: false,
            name: name.into(),
            image: None,
            username: None,
            display_username: None,
            fields: FieldValues::default(),
            role: "user".into(),
            ban: None,
            password_change_required: false,
            epoch: 0,
            created_at: at,
            updated_at: at,
        };
        services.store.create_user(user, None, None, Act::by_daemon(at), Event::new(EventKind::UserCreated)).await
    };
    let crowd: Vec<String> = (0..1001).map(|n| format!("m{n:04}")).collect();
    let made = futures_util::future::join_all(crowd.iter().map(|id| make(id, "Maxine"))).await;
    assert!(made.into_iter().all(|done| done.is_ok()));
    make("z1", "Max").await.unwrap();
    assert_eq!(server.admin().get("/v1/users/max").await.text("/id"), "z1", "after a thousand who only contain it");
    make("a1", "Max").await.unwrap();
    assert_eq!(server.admin().get("/v1/users/max").await.code(), "AMBIGUOUS_USER");
    assert_eq!(server.admin().get("/v1/users/z1").await.text("/id"), "z1", "the part before the @ counts too");
}

/// People know their own ids, and choose their names: none may be taken for the account that is gone.
#[tokio::test]
async fn lg_07_a_name_that_is_the_id_of_a_deleted_account_is_not_taken_for_it() {
    let server = Server::start().await;
    let admin = server.admin();
    let gone = server.sign_up("gone@example.com").await.text("/user/id");
    assert_eq!(admin.delete(&format!("/v1/users/{gone}")).await.status, 200);
    let uuid = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    for (email, name) in [("mallory@example.com", gone.as_str()), ("eve@example.com", uuid)] {
        let body = json!({"email": email, "password": PASSWORD, "name": name});
        assert_eq!(server.client().post("/api/auth/signup", &body).await.status, 201);
    }

    let trail = admin.get(&format!("/v1/audit?user={gone}")).await.json();
    let events: Vec<&str> = trail["items"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["user.deleted", "user.created"], "the trail of the account that is gone");
    for id in [gone.as_str(), uuid] {
        for path in [format!("/v1/users/{id}/disable"), format!("/v1/users/{id}/enable")] {
            assert_eq!(admin.post(&path, &Value::Null).await.status, 404, "{path}");
        }
        assert_eq!(admin.delete(&format!("/v1/users/{id}")).await.status, 404, "{id}");
        assert_eq!(admin.get(&format!("/v1/sessions?user={id}")).await.status, 404, "{id}");
    }
    let erased = admin.post("/v1/audit/erase", &json!({"user": gone})).await.json();
    assert_eq!((&erased["user"], &erased["records"]), (&json!(gone), &json!(2)));
    let of_mallory = admin.get("/v1/audit?user=mallory@example.com").await.json();
    assert!(of_mallory["items"].as_array().unwrap().iter().all(|e| e.get("erasedBy").is_none()), "{of_mallory}");
}

#[tokio::test]
async fn ht_07_a_role_is_a_plain_word_and_a_name_has_nothing_invisible() {
    let server = Server::start().await;
    let admin = server.admin();
    let create = async |name: &str, role: &str| {
        admin.post("/v1/users", &json!({"email": "ada@example.com", "name": name, "role": role})).await
    };
    for role in ["", " ", " user", "user ", "user\u{200b}", "us\u{435}r", "a\nb", &"x".repeat(129)] {
        let refused = create("Ada", role).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "VALIDATION_ERROR"), "{role:?}: {refused:?}");
    }
    for c in ['\u{200b}', '\u{ad}', '\u{2060}', '\u{180e}', '\u{3164}', '\u{fff9}', '\u{e0041}'] {
        let name = format!("Ada{c}");
        assert_eq!(create(&name, "user").await.code(), "VALIDATION_ERROR", "{c:?}");
        let sign_up = json!({"email": "eve@example.com", "password": PASSWORD, "name": name});
        for path in ["/api/auth/signup", "/api/auth/sign-up/email"] {
            assert_eq!(server.client().post(path, &sign_up).await.code(), "VALIDATION_ERROR", "{path} {c:?}");
        }
    }
    for (n, name) in ["Zoë 👩‍💻", "می‌خواهم", "क्‍ष"].into_iter().enumerate() {
        let body = json!({"email": format!("{n}@example.com"), "name": name, "role": "editor,admin"});
        assert_eq!(admin.post("/v1/users", &body).await.status, 201, "{name}");
    }
}

#[tokio::test]
async fn operators_set_every_field_of_an_account_and_see_all_of_them() {
    let fields = "nick.type = \"string\"\nteam = { type = \"string\", input = false, returned = false }\n\
        level = { type = \"number\", required = false }\ntags = { type = \"string[]\", default = [\"x\"] }";
    let server = Server::builder().set("user.fields", fields).start().await;
    let admin = server.admin();
    let make = async |fields: Value| {
        admin.post("/v1/users", &json!({"email": "ada@example.com", "password": PASSWORD, "fields": fields})).await
    };
    for (fields, code, cause) in [
        (json!({"nick": "a"}), "MISSING_FIELD", "the field team must have a value"),
        (
            json!({"nick": "a", "team": "core", "level": "many"}),
            "VALIDATION_ERROR",
            "level: expected number, found string",
        ),
        (json!({"nick": "a", "team": "core", "role": "admin"}), "VALIDATION_ERROR", "there is no field 'role'"),
        (json!({"nick": "a", "team": "x".repeat(1024)}), "VALIDATION_ERROR", "the fields may have 1024 bytes together"),
        (json!({"nick": null, "team": "core"}), "VALIDATION_ERROR", "nick: expected string, found null"),
    ] {
        let refused = make(fields).await;
        assert_eq!((refused.status, refused.code().as_str(), refused.text("/cause").as_str()), (400, code, cause));
    }
    let made = make(json!({"nick": "a", "team": "core", "level": "4"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let all = json!({"nick": "a", "team": "core", "level": 4, "tags": ["x"]});
    for shown in [
        made.json(),
        admin.get("/v1/users/ada@example.com").await.json(),
        admin.get("/v1/users").await.json()["items"][0].clone(),
    ] {
        assert_eq!(shown["fields"], all);
    }
    assert_eq!(login(&server, PASSWORD).await.json()["user"].get("team"), None, "clients do not");
}
