//! JSON as others write it: strict, and never a fault of ours.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Method;
use tests::{Server, shared};

#[tokio::test]
async fn ht_05_the_outside_parser_tests_hold() {
    let Some(vectors) = shared::json("vectors/jsontestsuite/parsing.json") else { return };
    let server = Server::start().await;
    let (mut accepted, mut refused) = (0, 0);
    for vector in vectors.as_array().unwrap() {
        let (name, expect) = (vector["name"].as_str().unwrap(), vector["expect"].as_str().unwrap());
        let body = STANDARD.decode(vector["body_b64"].as_str().unwrap()).unwrap();
        let answer = server.client().send(Method::POST, "/api/auth/login", Some("application/json"), body.into()).await;
        assert!(matches!(answer.status, 400 | 413), "{name}: {answer:?}");
        let broken = answer.code() == "BAD_REQUEST";
        match expect {
            // An empty body is none, and that is a mistake of the schema.
            "reject" if name.contains("no_data") => assert!(!broken, "{name}"),
            "reject" => {
                assert!(broken, "{name}: {answer:?}");
                refused += 1;
            }
            // Duplicate members are JSON by the letter, and refused here: two readers could see two things.
            "accept" if name.contains("duplicated_key") => assert!(broken, "{name}: {answer:?}"),
            "accept" => {
                assert_eq!(answer.code(), "VALIDATION_ERROR", "{name}: {answer:?}");
                accepted += 1;
            }
            _ => {}
        }
    }
    assert!(accepted >= 40 && refused > 50, "{accepted} {refused}");
}

#[tokio::test]
async fn ht_06_fields_that_are_not_the_users_to_set_have_no_effect() {
    let server = Server::start().await;
    let body = serde_json::json!({
        "email": "ada@example.com", "password": tests::PASSWORD, "name": "Ada", "id": "chosen", "role": "admin",
        "emailVerified": true, "banned": false, "epoch": 9, "createdAt": "2001-01-01T00:00:00.000Z", "passwordHash": "x",
        "userId": "chosen", "password_change_required": true,
    });
    for (route, email) in [("/api/auth/signup", "a@example.com"), ("/api/auth/sign-up/email", "b@example.com")] {
        let mut body = body.clone();
        body["email"] = email.into();
        let made = server.client().post(route, &body).await;
        assert!(matches!(made.status, 200 | 201), "{made:?}");
        let user = &made.json()["user"];
        assert_ne!(user["id"], "chosen");
        assert_eq!((&user["emailVerified"], user.get("role")), (&false.into(), None));
        let stored = tests::ctl::ctl(&server.socket).run(&format!("user show {email} -o json")).await.ok().json();
        assert_eq!((stored["role"].as_str(), stored["emailVerified"].as_bool()), (Some("user"), Some(false)));
        assert_eq!(stored["createdAt"], server.clock.now_time().to_string());
    }
}
