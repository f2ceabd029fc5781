//! Forged, foreign, expired and misused tokens.

use std::sync::Arc;

use authd::{
    crypto::{
        entropy::SystemEntropy,
        jwt::Jwt,
        seal::{MasterVault, Sealer},
    },
    domain::{Algorithm, SigningKey},
    ports::TokenSigner,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::Span;
use serde_json::{Value, json};
use tests::{Server, server::START};

async fn me(server: &Server, token: &str) -> (u16, String) {
    let answer = server.client().bearer(token).get("/api/auth/me").await;
    assert!(answer.status == 200 || !answer.header("www-authenticate").is_empty() || answer.status == 400);
    (answer.status, answer.code())
}

fn part(token: &str, n: usize) -> Value {
    let part = token.split('.').nth(n).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn tk_14_an_access_token_carries_exactly_these_claims() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let token = made.text("/access_token");
    let header = part(&token, 0);
    assert_eq!(header.as_object().unwrap().keys().collect::<Vec<_>>(), ["alg", "kid", "typ"]);
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("EdDSA"), Some("at+jwt")));
    let claims = part(&token, 1);
    let names: Vec<&String> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "sid", "role"]);
    assert_eq!(claims["iss"], server.url.as_str());
    assert_eq!(claims["aud"], server.url.as_str());
    assert_eq!(claims["sub"], made.text("/user/id").as_str());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    assert_eq!(claims["role"], "user");

    let jwt = part(made.header("set-auth-jwt"), 1);
    let mut names: Vec<&String> = jwt.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "aud",
            "createdAt",
            "email",
            "emailVerified",
            "exp",
            "iat",
            "id",
            "image",
            "iss",
            "name",
            "sid",
            "sub",
            "updatedAt"
        ]
    );
    assert_eq!(part(made.header("set-auth-jwt"), 0).get("typ"), None, "as Better Auth's plugin");
}

#[tokio::test]
async fn tk_04_a_token_expires_in_the_second_it_names() {
    let server = Server::start().await;
    let token = server.sign_up("ada@example.com").await.text("/access_token");
    server.clock.set(START.plus(Span::from_secs(900)).minus(Span::from_millis(1)));
    assert_eq!(me(&server, &token).await.0, 200);
    server.clock.set(START.plus(Span::from_secs(900)));
    assert_eq!(me(&server, &token).await, (401, "TOKEN_EXPIRED".into()));
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let server = Server::start().await;
    let token = server.sign_up("ada@example.com").await.text("/access_token");
    let parts: Vec<&str> = token.split('.').collect();
    let b64 = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let with = |n: usize, change: &dyn Fn(&mut Value)| {
        let mut value = part(&token, n);
        change(&mut value);
        let mut parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        parts[n] = b64(&value);
        parts.join(".")
    };
    let mut forged = vec![
        with(1, &|c| c["role"] = "admin".into()),
        with(1, &|c| c["exp"] = 4_000_000_000_i64.into()),
        with(0, &|h| h["alg"] = "none".into()),
        with(0, &|h| h["alg"] = "HS256".into()),
        with(0, &|h| h["alg"] = "ES256".into()),
        with(0, &|h| h["typ"] = "JWT".into()),
        with(0, &|h| h["kid"] = "nobody".into()),
        with(0, &|h| h["kid"] = "../../etc/passwd".into()),
        with(0, &|h| h["kid"] = 7.into()),
        with(0, &|h| h["crit"] = json!(["exp"])),
        with(0, &|h| h["jwk"] = json!({"kty": "OKP"})),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}.x"),
        "x".repeat(9000),
        "..".into(),
        String::new(),
    ];
    let mut flipped = token.clone().into_bytes();
    let last = flipped.len() - 3;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    forged.push(String::from_utf8(flipped).unwrap());

    // Signed by a key of the same kind and name that is not ours.
    let vault = MasterVault::new(Sealer::new(&[9; 32]), Arc::new(SystemEntropy::default()));
    let foreign = Jwt::new(Arc::new(vault));
    let key = foreign.generate(Algorithm::EdDsa, Span::from_mins(15), START).unwrap();
    let kid = part(&token, 0)["kid"].as_str().unwrap().to_owned();
    let signed = foreign.sign(&key, "at+jwt", &part(&token, 1).to_string()).unwrap();
    let signature_of_foreign = signed.rsplit('.').next().unwrap();
    forged.push(format!("{}.{}.{signature_of_foreign}", parts[0], parts[1]));
    forged.push(signed);
    assert_ne!(kid, key.kid.as_str());
    for token in forged {
        let (status, code) = me(&server, &token).await;
        assert_eq!((status, code.as_str()), (401, "INVALID_TOKEN"), "{token}");
    }
    assert_eq!(me(&server, &token).await.0, 200);
}

/// Tokens that our own key signed, so that only the claim is wrong.
#[tokio::test]
async fn tk_05_tk_06_tokens_for_others_and_of_other_kinds_are_refused() {
    let server = Server::start().await;
    let token = server.sign_up("ada@example.com").await.text("/access_token");
    let services = server.services();
    let keys = services.store.keys();
    let key: &SigningKey = keys.signing(START).unwrap();
    let claims = part(&token, 1);
    let signed = |typ: &str, change: &dyn Fn(&mut Value)| {
        let mut claims = claims.clone();
        change(&mut claims);
        services.signer.sign(key, typ, &claims.to_string()).unwrap()
    };
    assert_eq!(me(&server, &signed("at+jwt", &|_| {})).await.0, 200);
    assert_eq!(me(&server, &signed("AT+JWT", &|_| {})).await.0, 200, "types are compared whatever their case");
    assert_eq!(me(&server, &signed("application/at+jwt", &|_| {})).await.0, 200);
    for typ in ["JWT", "refresh+jwt", "logout+jwt", "at+jwt "] {
        assert_eq!(me(&server, &signed(typ, &|_| {})).await.1, "INVALID_TOKEN", "{typ}");
    }
    let url = server.url.clone();
    #[allow(clippy::type_complexity)]
    let cases: Vec<Box<dyn Fn(&mut Value)>> = vec![
        Box::new(|c| c["iss"] = "https://other.example".into()),
        Box::new(|c| c["iss"] = format!("{}/", c["iss"].as_str().unwrap()).into()),
        Box::new(|c| c["aud"] = "https://other.example".into()),
        Box::new(|c| c["aud"] = json!([])),
        Box::new(|c| c["aud"] = Value::Null),
        Box::new(|c| c["sub"] = "somebody-else".into()),
        Box::new(|c| c["sub"] = 7.into()),
        Box::new(|c| c["sid"] = Value::Null),
        Box::new(|c| c["exp"] = "9999999999".into()),
        Box::new(|c| c["exp"] = 9_999_999_999_i64.into()),
        Box::new(|c| c["iat"] = 9_999_999_999_i64.into()),
        Box::new(|c| c["nbf"] = (START.as_secs() + 120).into()),
        Box::new(|c| drop(c.as_object_mut().unwrap().remove("jti"))),
        Box::new(|c| drop(c.as_object_mut().unwrap().remove("exp"))),
    ];
    for (n, case) in cases.iter().enumerate() {
        assert_eq!(me(&server, &signed("at+jwt", case)).await, (401, "INVALID_TOKEN".into()), "case {n}");
    }
    let several = signed("at+jwt", &move |c| c["aud"] = json!(["https://other.example", url]));
    assert_eq!(me(&server, &several).await.0, 200, "one of several audiences is enough");
    let gone = signed("at+jwt", &|c| c["sid"] = "no-such-session".into());
    assert_eq!(me(&server, &gone).await.1, "SESSION_REVOKED");
}

#[tokio::test]
async fn tk_12_bans_and_deletions_end_tokens_at_once() {
    let server = Server::start().await;
    for (email, command) in [("ban@example.com", "disable"), ("gone@example.com", "delete")] {
        let token = server.sign_up(email).await.text("/access_token");
        assert_eq!(me(&server, &token).await.0, 200);
        tests::ctl::ctl(&server.socket).run(&format!("user {command} {email} --yes")).await.ok();
        assert_eq!(me(&server, &token).await.1, "SESSION_REVOKED");
    }
}

#[tokio::test]
async fn tk_13_tokens_come_in_the_header_and_nowhere_else() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let token = made.text("/access_token");
    let client = server.client();
    assert_eq!(client.get(&format!("/api/auth/me?access_token={token}")).await.code(), "UNAUTHORIZED");
    let cookie = client.clone().header("cookie", &format!("access_token={token}; better-auth.session_token={token}"));
    assert_eq!(cookie.get("/api/auth/me").await.code(), "UNAUTHORIZED");
    assert_eq!(
        client.clone().header("authorization", &format!("Basic {token}")).get("/api/auth/me").await.code(),
        "INVALID_TOKEN"
    );
    assert_eq!(
        client.clone().header("authorization", &format!("bearer   {token}")).get("/api/auth/me").await.status,
        200
    );
    assert_eq!(
        client.clone().header("authorization", &format!("Bearer\t{token}")).get("/api/auth/me").await.status,
        401
    );
    let twice = format!(
        "GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let answer = String::from_utf8_lossy(&client.raw(twice.as_bytes()).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("AMBIGUOUS_CREDENTIALS"), "{answer}");
    // A refresh token is no access token, and the other way round.
    assert_eq!(me(&server, &made.text("/refresh_token")).await.1, "INVALID_TOKEN");
    let as_refresh = json!({"refresh_token": token});
    assert_eq!(client.post("/api/auth/logout", &as_refresh).await.code(), "INVALID_TOKEN");
}

/// Who saw a token once must not be able to keep access for longer than that token: a backend that it was sent to, a log.
#[tokio::test]
async fn tk_04_what_is_made_from_a_token_lives_no_longer_than_that_token() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let ends = START.plus(Span::from_secs(900));
    for first in [made.text("/access_token"), made.header("set-auth-jwt").to_owned()] {
        server.clock.set(START);
        let mut token = first;
        for minute in [0, 5, 8, 12, 14] {
            server.clock.set(START.plus(Span::from_mins(minute)));
            let client = server.client().bearer(&token);
            assert_eq!(client.get("/api/auth/get-session").await.header("set-auth-jwt"), "", "minute {minute}");
            let renewed = client.get("/api/auth/token").await.text("/token");
            assert_eq!(part(&renewed, 1)["exp"], ends.as_secs(), "minute {minute}");
            token = renewed;
        }
        server.clock.set(ends.minus(Span::from_millis(1)));
        let last = server.client().bearer(&token).get("/api/auth/token").await.text("/token");
        assert_eq!(me(&server, &last).await.0, 200);
        server.clock.set(ends);
        for token in [token, last] {
            assert_eq!(me(&server, &token).await, (401, "TOKEN_EXPIRED".into()));
            let client = server.client().bearer(&token);
            assert_eq!(client.get("/api/auth/token").await.status, 401);
            assert_eq!(client.get("/api/auth/get-session").await.short(), "200 null");
        }
    }
}

/// The session's own credential makes tokens of the whole life, and a short one that was made from a token is not among them.
#[tokio::test]
async fn a_session_gets_tokens_of_the_whole_life_whatever_was_made_from_a_token_before() {
    let server = Server::start().await;
    let page = server.browser("http://localhost:5173");
    let body = json!({"email": "ada@example.com", "password": tests::PASSWORD, "name": "Ada"});
    let jwt = page.post("/api/auth/signup", &body).await.header("set-auth-jwt").to_owned();
    server.clock.advance(Span::from_mins(8));
    let short = server.client().bearer(&jwt).get("/api/auth/token").await.text("/token");
    let whole = page.get("/api/auth/token").await.text("/token");
    let life = |token: &str| part(token, 1)["exp"].as_i64().unwrap() - part(token, 1)["iat"].as_i64().unwrap();
    assert_eq!((life(&short), life(&whole)), (7 * 60, 15 * 60));
    assert_eq!(page.get("/api/auth/get-session").await.header("set-auth-jwt"), whole);
}
