//! Keys and tokens, by operators.

use serde_json::{Value, json};
use tests::Server;

#[tokio::test]
async fn az_06_a_preview_says_what_a_rotation_would_do_and_does_nothing() {
    let server = Server::start().await;
    let admin = server.admin();
    let before = admin.get("/v1/keys").await.body;
    let preview = admin.post("/v1/keys/rotate", &json!({"dryRun": true})).await.json();
    assert_eq!(preview["dryRun"], true);
    let timeline = preview["timeline"].as_array().unwrap();
    assert_eq!(timeline.len(), 2);
    assert!(timeline.iter().all(|line| line.as_str().unwrap().contains("would")), "{timeline:?}");
    assert_eq!(admin.get("/v1/keys").await.body, before);
    let kid = admin.get("/v1/keys").await.text("/items/0/kid");
    admin.post(&format!("/v1/keys/{kid}/revoke?dry_run=true"), &Value::Null).await;
    assert_eq!(admin.get("/v1/keys").await.body, before);
    let done = admin.post("/v1/keys/rotate", &json!({})).await.json();
    assert_eq!((&done["key"]["state"], &done["previous"]["state"]), (&json!("published"), &json!("signing")));
    let listed = admin.get("/v1/keys").await;
    assert!(!listed.body.contains("sealed") && !listed.body.contains("private"), "{}", listed.body);
}

#[tokio::test]
async fn tokens_are_explained() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let inspect = |token: String| {
        let admin = server.admin();
        async move { admin.post("/v1/tokens/inspect", &json!({"token": token})).await.json() }
    };
    let good = inspect(made.text("/access_token")).await;
    assert_eq!((&good["valid"], &good["kind"]), (&json!(true), &json!("access_token")));
    assert_eq!(good["session"]["email"], "ada@example.com");
    assert_eq!(
        good["checks"].as_array().unwrap().iter().map(|c| c["check"].as_str().unwrap()).collect::<Vec<_>>(),
        ["form", "key", "signature", "claims", "session"]
    );
    assert_eq!(inspect(made.header("set-auth-jwt").to_owned()).await["kind"], "jwt");
    let refresh = inspect(made.text("/refresh_token")).await;
    assert_eq!((&refresh["valid"], &refresh["kind"]), (&json!(true), &json!("refresh_token")));

    let token = made.text("/access_token");
    let forged = inspect(format!("{}AAAA", &token[..token.len() - 4])).await;
    assert_eq!((&forged["valid"], &forged["code"]), (&json!(false), &json!("INVALID_TOKEN")));
    assert!(forged["reason"].as_str().unwrap().starts_with("signature:"), "{forged}");
    assert_eq!(forged["claims"]["sub"], made.text("/user/id").as_str(), "what it says is shown all the same");
    assert_eq!(inspect("nonsense".into()).await["kind"], "unknown");
    assert_eq!(
        inspect("authd-rt.AAAAAAAAAAAAAAAAAAAAAAAA.1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()).await["valid"],
        false
    );
    server.clock.advance(common::Span::from_mins(16));
    let expired = inspect(token.clone()).await;
    assert_eq!(expired["code"], "TOKEN_EXPIRED");
    server.clock.set(tests::server::START);
    server.admin().post("/v1/sessions/revoke", &json!({"target": {"user": "ada@example.com"}})).await;
    assert_eq!(inspect(token).await["code"], "SESSION_REVOKED");
    assert_eq!(inspect(made.text("/refresh_token")).await["valid"], false);
}

#[tokio::test]
async fn cr_01_no_private_key_leaves_and_none_lies_open() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let services = server.services();
    let keys = services.store.keys();
    let key = &keys.keys[0];
    let files: Vec<u8> = walk(&server.data_dir());
    // The sealed record is there; what it seals is a PKCS #8 structure whose beginning is known.
    let ed25519_pkcs8: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
    let find = |needle: &[u8]| files.windows(needle.len()).any(|window| window == needle);
    assert!(find(&key.sealed[..24]), "the search finds what is there");
    assert!(!find(ed25519_pkcs8));
    for path in ["/v1/keys", "/v1/status", "/v1/audit"] {
        let body = server.admin().get(path).await.body;
        assert!(!body.contains("\"d\"") && !body.contains("sealed"), "{path}");
    }
}

fn walk(dir: &std::path::Path) -> Vec<u8> {
    let mut out = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(walk(&path));
        } else if path.is_file() {
            out.extend(std::fs::read(path).unwrap());
        }
    }
    out
}

#[tokio::test]
async fn se_02_nothing_in_the_data_directory_is_a_credential() {
    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    let server = Server::start().await;
    let mut secrets = vec![tests::PASSWORD.to_owned()];
    for n in 0..20 {
        let page = server.browser("http://localhost:5173");
        let body = json!({"email": format!("user{n}@example.com"), "password": tests::PASSWORD});
        let made = page.post("/api/auth/signup", &body).await;
        secrets.push(made.text("/access_token"));
        let cookie = page.session_cookie();
        let token = cookie.split_once('=').unwrap().1.split('.').next().unwrap().to_owned();
        assert_eq!(token.len(), 32);
        secrets.push(token);
        let script = server.client().post("/api/auth/login", &body).await;
        secrets.push(script.text("/refresh_token"));
    }
    let files = walk(&server.data_dir());
    assert!(files.windows(17).any(|w| w == b"user7@example.com"), "the search finds what is there");
    for secret in secrets {
        let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
        for form in [secret.clone(), STANDARD.encode(&secret), URL_SAFE_NO_PAD.encode(&secret), hex] {
            assert!(!files.windows(form.len()).any(|w| w == form.as_bytes()), "{form}");
        }
    }
}

#[tokio::test]
async fn a_rotation_adds_no_key_to_a_set_that_has_sixteen_and_a_revocation_still_does() {
    let server = Server::start().await;
    let admin = server.admin();
    let rotate = async || admin.post("/v1/keys/rotate", &json!({"now": true})).await;
    for n in 2..=16 {
        assert_eq!(rotate().await.status, 200, "{n}");
    }
    let refused = rotate().await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "CONFLICT"), "{refused:?}");
    assert!(refused.text("/cause").contains("16 keys"), "{refused:?}");
    assert_eq!(admin.get("/v1/keys").await.json()["items"].as_array().unwrap().len(), 16);
    let kid = server.services().store.keys().signing(server.clock.now_time()).unwrap().kid.to_string();
    assert_eq!(admin.post(&format!("/v1/keys/{kid}/revoke"), &Value::Null).await.status, 200, "in an emergency");
    // Those that hand over leave the set by and by.
    server.clock.advance(common::Span::from_days(1));
    assert_eq!(rotate().await.status, 200);
}
