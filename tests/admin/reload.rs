//! A configuration that is read again while requests are under way.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use authd::{
    crypto::{
        entropy::SystemEntropy,
        hasher::{Cost, HasherConfig, HasherPool},
        strength::Strength,
    },
    domain::PasswordHash,
    ports::{Entropy, HasherError, HasherLoad, PasswordHasher, Verdict},
};
use common::{SecretString, Span};
use serde_json::json;
use tests::{PASSWORD, Server};
use tokio::sync::Notify;

/// A hasher that waits before it compares, if it is told to.
struct Gate {
    inner: HasherPool,
    closed: Mutex<bool>,
    reached: Notify,
    opened: Notify,
}

impl Gate {
    fn new() -> Arc<Self> {
        let config =
            HasherConfig { cost: Cost::insecure_for_tests(), threads: 1, queue: 8, strength: Strength::default() };
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        let inner = HasherPool::start(&config, &entropy).unwrap();
        Arc::new(Self { inner, closed: Mutex::new(false), reached: Notify::new(), opened: Notify::new() })
    }
}

#[async_trait]
impl PasswordHasher for Gate {
    async fn hash(&self, password: SecretString, client: Option<IpAddr>) -> Result<PasswordHash, HasherError> {
        self.inner.hash(password, client).await
    }

    async fn verify(
        &self,
        password: SecretString,
        stored: Option<PasswordHash>,
        client: Option<IpAddr>,
    ) -> Result<Verdict, HasherError> {
        let closed = *self.closed.lock().unwrap();
        if closed {
            self.reached.notify_one();
            self.opened.notified().await;
        }
        self.inner.verify(password, stored, client).await
    }

    async fn guesses(
        &self,
        password: SecretString,
        own_words: Vec<String>,
        client: Option<IpAddr>,
    ) -> Result<u64, HasherError> {
        self.inner.guesses(password, own_words, client).await
    }

    fn load(&self) -> HasherLoad {
        self.inner.load()
    }
}

const MINUTE: Span = Span::from_mins(1);

#[tokio::test]
async fn a_request_under_way_ends_under_the_rules_it_began_with_and_the_next_has_the_new_ones() {
    let gate = Gate::new();
    let mut server = Server::builder().hasher(gate.clone()).start().await;
    server.sign_up("ada@example.com").await;
    let sign_in = |server: &Server| {
        let client = server.client();
        async move { client.post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await }
    };
    *gate.closed.lock().unwrap() = true;
    let under_way = tokio::spawn(sign_in(&server));
    gate.reached.notified().await;
    server.reload(|s| s.token.expires_in = MINUTE).await;
    *gate.closed.lock().unwrap() = false;
    gate.opened.notify_one();
    let answer = tokio::time::timeout(Duration::from_mins(1), under_way).await.unwrap().unwrap();
    assert_eq!((answer.status, &answer.json()["expires_in"]), (200, &json!(900)), "{answer:?}");
    assert_eq!(sign_in(&server).await.json()["expires_in"], 60);
}

#[tokio::test]
async fn keys_remember_that_tokens_live_longer_before_any_does() {
    let mut server = Server::start().await;
    server.reload(|s| s.token.expires_in = Span::from_mins(30)).await;
    let trail = server.admin().get("/v1/audit").await.json();
    let kinds: Vec<&str> = trail["items"].as_array().unwrap().iter().map(|r| r["event"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["config.reloaded", "keys.tokens_live_longer"], "{trail}");
}

#[tokio::test]
async fn settings_that_do_not_fit_each_other_are_refused_as_a_whole() {
    let mut server = Server::builder().file("[http]\npublic_url = \"https://auth.example.com\"\n").start().await;
    // What is asked for is checked once more together with what stays until a restart.
    server
        .reload(|s| {
            s.session.absolute = Span::from_days(1);
            s.sign_up.enabled = false;
        })
        .await;
    let status = server.admin().get("/v1/status").await.json();
    assert!(status["problems"].to_string().contains("session.absolute"), "{status}");
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
    let client = server.client().host("auth.example.com");
    assert_eq!(client.post("/api/auth/signup", &body).await.status, 201, "sign_up.enabled was not applied either");
}

#[tokio::test]
async fn live_settings_are_applied_and_others_wait_for_a_restart() {
    let mut server = Server::start().await;
    server
        .reload(|s| {
            s.password.min_length = 30;
            s.session.max_per_user = 1;
            s.password.hash_queue = 1;
            s.token.issuer = Some("https://elsewhere.example".into());
        })
        .await;
    let status = server.admin().get("/v1/status").await.json();
    assert_eq!(status["needsRestart"], json!(["password.hash_queue", "token.issuer"]));
    let short = server.sign_up("ada@example.com").await;
    assert_eq!((PASSWORD.len(), short.code().as_str()), (21, "PASSWORD_TOO_SHORT"), "{short:?}");
}
