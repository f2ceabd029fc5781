//! The plain endpoints.

use serde_json::json;
use tests::{PASSWORD, Server};

const JSON: Option<&str> = Some("application/json");

#[tokio::test]
async fn a_script_signs_up_in_and_out_with_tokens_and_gets_no_cookie() {
    let server = Server::start().await;
    let client = server.client();
    let body = json!({"email": " Ada@Example.com ", "password": PASSWORD, "name": "Ada"});
    let made = client.post("/api/auth/signup", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.cookies(), Vec::<String>::new());
    let token = made.json();
    assert_eq!((token["token_type"].as_str(), token["expires_in"].as_u64()), (Some("Bearer"), Some(900)));
    assert!(token["refresh_token"].as_str().unwrap().starts_with("authd-rt."));
    assert_eq!(token["refresh_expires_in"], 604_800);
    let mut fields: Vec<&String> = token["user"].as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["createdAt", "email", "emailVerified", "id", "image", "name", "updatedAt"]);
    assert_eq!(token["user"]["email"], "ada@example.com", "canonical");
    assert_eq!(made.header("cache-control"), "no-store");
    assert!(!made.header("set-auth-jwt").is_empty());

    let entered = client.post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    assert_eq!(entered.status, 200);
    let bearer = client.clone().bearer(&entered.text("/access_token"));
    let me = bearer.get("/api/me").await;
    assert_eq!(me.status, 200, "the same routes under every mount");
    assert_eq!(me.text("/user/id"), made.text("/user/id"));
    let mut fields: Vec<String> = me.json()["session"].as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(fields, ["createdAt", "expiresAt", "id", "ipAddress", "userAgent"]);

    let out = bearer.post_empty("/api/auth/logout").await;
    assert_eq!(out.json(), json!({"success": true, "ended": 1}));
    let after = bearer.get("/api/auth/me").await;
    assert_eq!((after.status, after.code().as_str()), (401, "SESSION_REVOKED"));
    assert!(after.header("www-authenticate").starts_with("Bearer error=\"invalid_token\""), "{after:?}");
    let other = client.bearer(&made.text("/access_token")).get("/api/auth/me").await;
    assert_eq!(other.status, 200, "the session of the sign-up is another one");
}

#[tokio::test]
async fn a_page_gets_a_cookie_and_no_lasting_token() {
    let server = Server::start().await;
    let page = server.browser("http://localhost:5173");
    let made = page.post("/api/auth/signup", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.json().get("refresh_token").is_none() && made.json().get("refresh_expires_in").is_none());
    assert!(made.cookies()[0].starts_with("better-auth.session_token="));
    assert_eq!(page.get("/api/auth/me").await.status, 200, "by cookie");
    let session = page.get("/api/auth/get-session").await;
    assert_eq!(session.text("/user/email"), "ada@example.com", "the one that useSession sees");

    // The header decides, whatever cookie is there.
    let wrong = page.clone().bearer("not.a.token").get("/api/auth/me").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "INVALID_TOKEN"));

    let out = page.post("/api/auth/logout", &json!({})).await;
    assert_eq!(out.json()["ended"], 1);
    assert_eq!(out.cookies().len(), 3, "all cookies are deleted");
    assert_eq!(page.get("/api/auth/me").await.code(), "UNAUTHORIZED");
    assert_eq!(page.get("/api/auth/get-session").await.body, "null");
}

#[tokio::test]
async fn the_mode_can_be_asked_for_and_modes_are_not_mixed() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let login = |mode: &str| json!({"email": "ada@example.com", "password": PASSWORD, "mode": mode});
    let cookie = server.client().post("/api/auth/login", &login("cookie")).await;
    assert!(!cookie.cookies().is_empty() && cookie.json().get("refresh_token").is_none());
    let token = server.browser("http://localhost:5173").post("/api/auth/login", &login("token")).await;
    assert!(token.cookies().is_empty() && token.json().get("refresh_token").is_some());
    let odd = server.client().post("/api/auth/login", &login("both")).await;
    assert_eq!(
        odd.short(),
        r#"400 {"code":"VALIDATION_ERROR","message":"[body.mode] Invalid option: expected one of \"cookie\"|\"token\""}"#
    );
}

#[tokio::test]
async fn a_session_that_is_not_to_be_remembered_ends_with_the_browser_or_after_a_day() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let page = server.browser("http://localhost:5173");
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "rememberMe": false});
    let brief = page.post("/api/auth/login", &body).await;
    assert_eq!(brief.cookies().len(), 2);
    assert!(brief.cookies().iter().all(|line| !line.contains("Max-Age")), "{:?}", brief.cookies());
    server.clock.advance(common::Span::from_days(1));
    assert_eq!(page.get("/api/auth/me").await.code(), "SESSION_EXPIRED");
    let kept = page.post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    let deleted = "better-auth.dont_remember=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax".to_owned();
    assert!(kept.cookies().contains(&deleted), "{:?}", kept.cookies());
}

#[tokio::test]
async fn logout_ends_every_session_that_is_shown() {
    let server = Server::start().await;
    let first = server.sign_up("ada@example.com").await;
    let page = server.browser("http://localhost:5173");
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    page.post("/api/auth/login", &login).await;
    let third = server.client().post("/api/auth/login", &login).await;
    let all = page.clone().bearer(&first.text("/access_token"));
    let out = all.post("/api/auth/logout", &json!({"refresh_token": third.text("/refresh_token")})).await;
    assert_eq!(out.json(), json!({"success": true, "ended": 3}));
    for token in [first.text("/access_token"), third.text("/access_token")] {
        assert_eq!(server.client().bearer(&token).get("/api/auth/me").await.code(), "SESSION_REVOKED");
    }
    let again = server.client().post("/api/auth/logout", &json!({"refresh_token": third.text("/refresh_token")})).await;
    assert_eq!(again.json(), json!({"success": true, "ended": 0}), "twice is as good as once");
    let nobody = server.client().post_empty("/api/auth/logout").await;
    assert_eq!(nobody.json(), json!({"success": true, "ended": 0}));
}

#[tokio::test]
async fn an_expired_token_still_signs_its_session_out_and_a_forged_one_does_not() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    server.clock.advance(common::Span::from_mins(16));
    let token = made.text("/access_token");
    let bearer = server.client().bearer(&token);
    assert_eq!(bearer.get("/api/auth/me").await.code(), "TOKEN_EXPIRED");
    let forged = server.client().bearer(&format!("{}x", &token[..token.len() - 1]));
    assert_eq!(forged.post_empty("/api/auth/logout").await.code(), "INVALID_TOKEN");
    assert_eq!(bearer.post_empty("/api/auth/logout").await.json()["ended"], 1);
    assert_eq!(bearer.post_empty("/api/auth/logout").await.json()["ended"], 0, "twice is as good as once");
    let made_up = json!({"refresh_token": "authd-rt.AAAAAAAAAAAAAAAAAAAAAAAA.1.x"});
    assert_eq!(server.client().post("/api/auth/logout", &made_up).await.code(), "INVALID_TOKEN");
}

#[tokio::test]
async fn a_bad_credential_keeps_no_session_alive_that_is_shown_beside_it() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    for round in ["plain", "with refresh token"] {
        let page = server.browser("http://localhost:5173");
        page.post("/api/auth/login", &login).await;
        let cookie = page.cookie_header();
        let body = if round == "plain" { json!({}) } else { json!({"refresh_token": "nonsense"}) };
        let out = page.clone().bearer("not.a.token").post("/api/auth/logout", &body).await;
        assert_eq!(out.json(), json!({"success": true, "ended": 1}), "{round}");
        let with_old = server.client().header("cookie", &cookie);
        assert_eq!(with_old.get("/api/auth/me").await.code(), "SESSION_REVOKED", "{round}");
    }
}

#[tokio::test]
async fn a_token_of_a_key_that_has_left_the_set_still_signs_its_session_out() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let bearer = server.client().bearer(&made.text("/access_token"));
    assert_eq!(server.admin().post("/v1/keys/rotate", &json!({"now": true})).await.status, 200);
    server.clock.advance(common::Span::from_days(2));
    assert_eq!(bearer.get("/api/auth/me").await.code(), "INVALID_TOKEN", "its key is gone");
    assert_eq!(bearer.post_empty("/api/auth/logout").await.json()["ended"], 1);
    let made =
        server.client().post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    let bearer = server.client().bearer(&made.text("/access_token"));
    let kid = server.admin().get("/v1/status").await.text("/signingKey");
    server.admin().post_empty(&format!("/v1/keys/{kid}/revoke")).await;
    assert_eq!(bearer.post_empty("/api/auth/logout").await.code(), "KEY_REVOKED", "anybody may have made it");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let server = Server::start().await;
    let client = server.client();
    let post = |path: &'static str, content_type: Option<&'static str>, body: &'static str| {
        let client = client.clone();
        async move { client.send(http::Method::POST, path, content_type, body.into()).await.short() }
    };
    let code = |short: String| short.split("\"code\":\"").nth(1).map(|r| r[..r.find('"').unwrap()].to_owned());
    assert_eq!(
        post("/api/auth/login", JSON, "{}").await,
        r#"400 {"code":"VALIDATION_ERROR","message":"[body.email] Invalid input: expected string, received undefined; [body.password] Invalid input: expected string, received undefined"}"#
    );
    for (path, content_type, body, status, expected) in [
        ("/api/auth/login", JSON, "{not json", "400", "BAD_REQUEST"),
        ("/api/auth/login", JSON, "[]", "400", "VALIDATION_ERROR"),
        ("/api/auth/login", JSON, r#"{"email":7,"password":true}"#, "400", "VALIDATION_ERROR"),
        ("/api/auth/login", None, r#"{"email":"a@b.co","password":"x"}"#, "415", "UNSUPPORTED_MEDIA_TYPE"),
        ("/api/auth/login", Some("text/plain"), "x", "415", "UNSUPPORTED_MEDIA_TYPE"),
        ("/api/auth/login", Some("application/x-www-form-urlencoded"), "email=a", "415", "UNSUPPORTED_MEDIA_TYPE"),
        (
            "/api/auth/signup",
            JSON,
            r#"{"email":"nobody","password":"correct horse battery"}"#,
            "400",
            "VALIDATION_ERROR",
        ),
        ("/api/auth/signup", JSON, r#"{"email":"a@b.co","password":"short"}"#, "400", "PASSWORD_TOO_SHORT"),
        ("/api/auth/signup", JSON, r#"{"email":"a@b.co","password":"password1"}"#, "400", "PASSWORD_COMPROMISED"),
        ("/api/auth/login", JSON, r#"{"email":"a@b.co","password":"x"}"#, "401", "INVALID_EMAIL_OR_PASSWORD"),
    ] {
        let short = post(path, content_type, body).await;
        assert!(short.starts_with(status), "{body}: {short}");
        assert_eq!(code(short).as_deref(), Some(expected), "{body}");
    }
    let name = format!(r#"{{"email":"a@b.co","password":"correct horse battery","name":"{}"}}"#, "x".repeat(257));
    let long = client.send(http::Method::POST, "/api/auth/signup", JSON, name.into()).await;
    assert_eq!((long.status, long.code().as_str()), (400, "VALIDATION_ERROR"));
}

#[tokio::test]
async fn au_09_one_address_signed_up_a_hundred_times_at_once_is_one_account() {
    let server = std::sync::Arc::new(Server::builder().set("password.hash_queue", "1000").start().await);
    let variants = [
        "ada@bücher.example",
        "ADA@bücher.example",
        " ada@BÜCHER.example",
        "ada@bu\u{308}cher.example ",
        "Ada@xn--bcher-kva.example",
    ];
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let server = server.clone();
            let body = json!({"email": variants[n % variants.len()], "password": format!("{PASSWORD} {n}")});
            tokio::spawn(async move { server.client().post("/api/auth/signup", &body).await })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        match answer.status {
            201 => made += 1,
            _ => assert_eq!((answer.status, answer.code().as_str()), (422, "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL")),
        }
    }
    assert_eq!(made, 1);
    let users = tests::ctl::ctl(&server.socket).run("user list -o jsonl").await.ok();
    assert_eq!(users.out.lines().count(), 1);
}

#[tokio::test]
async fn sign_up_can_be_off_and_can_leave_the_sign_in_to_the_user() {
    let off = Server::builder().set("sign_up.enabled", "false").start().await;
    assert_eq!(off.sign_up("ada@example.com").await.code(), "EMAIL_PASSWORD_SIGN_UP_DISABLED");

    let quiet = Server::builder().set("sign_up.auto_sign_in", "false").start().await;
    let first = quiet.sign_up("ada@example.com").await;
    let second = quiet.sign_up("ada@example.com").await;
    for answer in [&first, &second] {
        assert_eq!(answer.status, 201);
        assert_eq!(answer.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["user"]);
    }
    assert_ne!(first.text("/user/id"), second.text("/user/id"), "AU-08: the second is a user that was not made");
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let entered = quiet.client().post("/api/auth/login", &login).await;
    assert_eq!(entered.text("/user/id"), first.text("/user/id"));
}

#[tokio::test]
async fn a_temporary_password_must_be_replaced_in_the_same_breath() {
    let server = Server::start().await;
    let ctl = tests::ctl::ctl(&server.socket).input("first horse battery");
    ctl.run("user create --email ada@example.com --password-stdin --temporary").await.ok();
    let client = server.client();
    let login = |password: &str, new: Option<&str>| {
        json!({"email": "ada@example.com", "password": password, "newPassword": new})
            .as_object()
            .map(|o| o.clone().into_iter().filter(|(_, v)| !v.is_null()).collect::<serde_json::Map<_, _>>())
    };
    let post = |body| {
        let client = client.clone();
        async move { client.post("/api/auth/login", &serde_json::Value::Object(body)).await }
    };
    let refused = post(login("first horse battery", None).unwrap()).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "PASSWORD_CHANGE_REQUIRED"));
    let same = post(login("first horse battery", Some("first horse battery")).unwrap()).await;
    assert_eq!(same.code(), "PASSWORD_CHANGE_REQUIRED");
    let weak = post(login("first horse battery", Some("password1")).unwrap()).await;
    assert_eq!(weak.code(), "PASSWORD_COMPROMISED");
    let wrong = post(login("wrong", Some(PASSWORD)).unwrap()).await;
    assert_eq!(wrong.code(), "INVALID_EMAIL_OR_PASSWORD");
    let changed = post(login("first horse battery", Some(PASSWORD)).unwrap()).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(post(login("first horse battery", None).unwrap()).await.code(), "INVALID_EMAIL_OR_PASSWORD");
    assert_eq!(post(login(PASSWORD, None).unwrap()).await.status, 200);
    // LG-01: two acts, two events, in this order; the second sign-in is one.
    let trail = server.admin().get("/v1/audit?limit=3").await.json()["items"].take();
    let seen = |n: usize| (trail[n]["event"].as_str().unwrap(), &trail[n]["user"], &trail[n]["actor"]);
    assert_eq!([seen(2).0, seen(1).0, seen(0).0], ["password.set", "session.created", "session.created"]);
    assert_eq!((seen(2).1, seen(2).2), (seen(1).1, seen(1).2), "by the user, of the user");
}

#[tokio::test]
async fn lg_01_who_signs_out_of_two_accounts_is_in_the_trail_of_each_as_its_own_user() {
    let server = Server::start().await;
    let sign_up = async |email: &str, client: &tests::Client| {
        let body = json!({"email": email, "password": PASSWORD, "name": ""});
        client.post("/api/auth/signup", &body).await
    };
    // Whichever of the two sessions has the lesser id.
    for n in 0..4 {
        let page = server.browser("http://localhost:5173");
        sign_up(&format!("ada{n}@example.com"), &page).await;
        let other = sign_up(&format!("bob{n}@example.com"), &server.client()).await;
        let out = page.post("/api/auth/logout", &json!({"refresh_token": other.text("/refresh_token")})).await;
        assert_eq!((out.status, &out.json()["ended"]), (200, &json!(2)), "{out:?}");
    }
    let trail = server.admin().get("/v1/audit?event=session.signed_out").await.json();
    let items = trail["items"].as_array().unwrap();
    assert_eq!(items.len(), 8);
    for event in items {
        assert_eq!(event["actor"]["user"], event["user"], "{event}");
    }
}
