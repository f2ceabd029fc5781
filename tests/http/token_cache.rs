//! Verified tokens are remembered, and whatever ends a token ends a remembered one at the next request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use authd::{
    domain::{Algorithm, KeySet, SigningKey, token::TokenProblem},
    ports::{DecodedToken, SignerError, TokenSigner, VerifiedToken},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Span, UnixTime};
use serde_json::{Value, json};
use tests::{PASSWORD, Server, ctl::ctl, server::START};

/// Counts how often a token is verified.
struct Counting(Arc<dyn TokenSigner>, Arc<AtomicUsize>);

impl TokenSigner for Counting {
    fn generate(&self, algorithm: Algorithm, token_life: Span, now: UnixTime) -> Result<SigningKey, SignerError> {
        self.0.generate(algorithm, token_life, now)
    }

    fn sign(&self, key: &SigningKey, typ: &str, claims: &str) -> Result<String, SignerError> {
        self.0.sign(key, typ, claims)
    }

    fn verify(&self, token: &str, keys: &KeySet, now: UnixTime) -> Result<VerifiedToken, TokenProblem> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.verify(token, keys, now)
    }

    fn decode(&self, token: &str) -> Result<DecodedToken, TokenProblem> {
        self.0.decode(token)
    }
}

struct Scene {
    server: Server,
    verified: Arc<AtomicUsize>,
    token: String,
    session: String,
}

impl Scene {
    /// Ada is signed in, and her token was taken twice: it is remembered.
    async fn new() -> Self {
        let verified = Arc::new(AtomicUsize::new(0));
        let count = verified.clone();
        let wrap = move |signer| -> Arc<dyn TokenSigner> { Arc::new(Counting(signer, count.clone())) };
        let server = Server::builder().around_signer(wrap).start().await;
        let token = server.sign_up("ada@example.com").await.text("/access_token");
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let session = serde_json::from_slice::<Value>(&payload).unwrap()["sid"].as_str().unwrap().to_owned();
        let scene = Self { server, verified, token, session };
        assert_eq!((scene.me().await, scene.verified()), ("200 ".into(), 1));
        assert_eq!((scene.me().await, scene.verified()), ("200 ".into(), 1), "the second time it is looked up");
        scene
    }

    async fn shown(&self, token: &str) -> String {
        let answer = self.server.client().bearer(token).get("/api/auth/me").await;
        format!("{} {}", answer.status, answer.code())
    }

    async fn me(&self) -> String {
        self.shown(&self.token).await
    }

    fn verified(&self) -> usize {
        self.verified.load(Ordering::SeqCst)
    }

    async fn signed_in_again(&self) -> String {
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        self.server.client().post("/api/auth/login", &body).await.text("/access_token")
    }

    async fn ctl(&self, line: &str) {
        ctl(&self.server.socket).run(line).await.ok();
    }

    fn kid(&self) -> String {
        self.server.services().store.keys().signing(self.server.clock.now_time()).unwrap().kid.to_string()
    }
}

#[tokio::test]
async fn a_token_is_verified_once_and_then_looked_up_by_both_kinds_of_routes() {
    let scene = Scene::new().await;
    let answer = scene.server.client().bearer(&scene.token).get("/api/auth/get-session").await;
    assert_eq!((answer.status, scene.verified()), (200, 1));
    let other = scene.signed_in_again().await;
    assert_eq!((scene.shown(&other).await, scene.verified()), ("200 ".into(), 2), "another token is another matter");
}

#[tokio::test]
async fn tk_11_a_remembered_token_is_refused_once_its_key_is_revoked() {
    let scene = Scene::new().await;
    scene.ctl(&format!("keys revoke {} --yes", scene.kid())).await;
    assert_eq!(scene.me().await, "401 KEY_REVOKED");
    assert_eq!(scene.me().await, "401 KEY_REVOKED");
}

#[tokio::test]
async fn tk_12_a_remembered_token_is_refused_once_its_session_is_revoked_or_its_user_banned_or_deleted() {
    for act in
        ["session revoke SESSION --yes", "user disable ada@example.com --yes", "user delete ada@example.com --yes"]
    {
        let scene = Scene::new().await;
        scene.ctl(&act.replace("SESSION", &scene.session)).await;
        assert_eq!(scene.me().await, "401 SESSION_REVOKED", "{act}");
        if act.contains("disable") {
            scene.ctl("user enable ada@example.com").await;
            assert_eq!(scene.me().await, "401 SESSION_REVOKED", "the end of the ban does not bring it back");
        }
    }
}

#[tokio::test]
async fn tk_12_a_remembered_token_is_refused_after_sign_out_and_after_a_new_password() {
    let scene = Scene::new().await;
    let out = scene.server.client().bearer(&scene.token).post("/api/auth/logout", &json!({})).await;
    assert_eq!(out.status, 200);
    assert_eq!(scene.me().await, "401 SESSION_REVOKED");

    let scene = Scene::new().await;
    scene.ctl("user set-password ada@example.com --generate").await;
    assert_eq!(scene.me().await, "401 SESSION_REVOKED");
}

#[tokio::test]
async fn tk_04_a_remembered_token_is_refused_in_the_second_its_exp_names() {
    let scene = Scene::new().await;
    scene.server.clock.set(START.plus(Span::from_secs(900)).minus(Span::from_millis(1)));
    assert_eq!((scene.me().await, scene.verified()), ("200 ".into(), 1));
    scene.server.clock.set(START.plus(Span::from_secs(900)));
    assert_eq!(scene.me().await, "401 TOKEN_EXPIRED");
}

#[tokio::test]
async fn tk_10_a_remembered_token_is_refused_once_its_key_has_left_the_set() {
    let scene = Scene::new().await;
    scene.ctl("keys rotate --yes").await;
    scene.server.clock.advance(Span::from_mins(10));
    let fresh = scene.signed_in_again().await;
    assert_eq!((scene.shown(&fresh).await, scene.verified()), ("200 ".into(), 2));
    assert_eq!(scene.me().await, "200 ", "the retiring key still verifies");
    // Out of the set before its tokens have expired, so that nothing but the key is wrong.
    let services = scene.server.services();
    let now = scene.server.clock.now_time();
    let keys = services.store.keys();
    let key = SigningKey { retires_at: Some(now), gone_at: Some(now), ..keys.signing(now).unwrap().clone() };
    let old = keys.keys.iter().find(|k| k.kid != key.kid).unwrap();
    let old = SigningKey { signs_at: now, retires_at: None, gone_at: None, ..old.clone() };
    let (act, event) =
        (authd::domain::Act::by_daemon(now), authd::domain::Event::new(authd::domain::EventKind::KeysRotated));
    services.store.put_keys(keys.version, vec![key, old], act, event).await.unwrap();
    assert_eq!(scene.shown(&fresh).await, "401 INVALID_TOKEN");
    assert_eq!(scene.me().await, "200 ");
}

#[tokio::test]
async fn a_token_that_begins_or_ends_like_a_remembered_one_is_not_taken_for_it() {
    let scene = Scene::new().await;
    let (message, signature) = scene.token.rsplit_once('.').unwrap();
    let flipped = |text: &str, at: usize| {
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &text[..at], &text[at + 1..])
    };
    for token in [
        format!("{message}.{}", flipped(signature, 40)),
        format!("{}.{signature}", flipped(message, message.len() - 30)),
        format!("{}A", scene.token),
        scene.token[..scene.token.len() - 1].to_owned(),
        format!("{}.", scene.token),
    ] {
        assert_eq!(scene.shown(&token).await, "401 INVALID_TOKEN", "{token}");
    }
}

#[tokio::test]
async fn refused_tokens_are_not_remembered_and_push_no_good_one_out() {
    let scene = Scene::new().await;
    let (message, _) = scene.token.rsplit_once('.').unwrap();
    let bad: Vec<String> = (0..50_u8).map(|n| format!("{message}.{}", URL_SAFE_NO_PAD.encode([n; 64]))).collect();
    for _ in 0..2 {
        for token in &bad {
            assert_eq!(scene.shown(token).await, "401 INVALID_TOKEN");
        }
    }
    assert_eq!(scene.verified(), 101, "each was verified each time it came");
    assert_eq!((scene.me().await, scene.verified()), ("200 ".into(), 101));
}
