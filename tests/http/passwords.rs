//! Passwords, from outside.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
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
use common::SecretString;
use serde_json::json;
use tests::{PASSWORD, Response, Server, ctl::ctl, shared};

async fn login(server: &Server, email: &str, password: &str) -> Response {
    server.client().post("/api/auth/login", &json!({"email": email, "password": password})).await
}

/// Everything of an answer that a client can see, but for what differs in every request.
fn visible(answer: &Response) -> String {
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    format!("{}\n{}\n{}", answer.status, headers.join("\n"), answer.body)
}

#[tokio::test]
async fn au_06_a_failed_sign_in_tells_nothing_of_the_account() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    server.sign_up("banned@example.com").await;
    ctl(&server.socket).run("user disable banned@example.com --yes").await.ok();
    ctl(&server.socket).run("user create --email without@example.com --no-password").await.ok();
    let wrong = visible(&login(&server, "ada@example.com", "wrong password").await);
    assert!(wrong.starts_with("401"));
    for email in ["nobody@example.com", "without@example.com", "banned@example.com"] {
        assert_eq!(visible(&login(&server, email, "wrong password").await), wrong, "{email}");
    }
    for (route, body) in [("/api/auth/sign-in/email", json!({"email": "nobody@example.com", "password": "x"}))] {
        let nobody = server.client().post(route, &body).await;
        let known = json!({"email": "ada@example.com", "password": "x"});
        assert_eq!(visible(&nobody), visible(&server.client().post(route, &known).await));
    }
}

/// The real hasher, and what it was asked for.
struct Recorder {
    inner: HasherPool,
    jobs: Mutex<Vec<&'static str>>,
}

impl Recorder {
    fn new() -> Arc<Self> {
        let config =
            HasherConfig { cost: Cost::insecure_for_tests(), threads: 1, queue: 8, strength: Strength::default() };
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        Arc::new(Self { inner: HasherPool::start(&config, &entropy).unwrap(), jobs: Mutex::default() })
    }

    /// The jobs since it was asked last.
    fn jobs(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.jobs.lock().unwrap())
    }
}

#[async_trait]
impl PasswordHasher for Recorder {
    async fn hash(&self, password: SecretString, client: Option<IpAddr>) -> Result<PasswordHash, HasherError> {
        self.jobs.lock().unwrap().push("hash");
        self.inner.hash(password, client).await
    }

    async fn verify(
        &self,
        password: SecretString,
        stored: Option<PasswordHash>,
        client: Option<IpAddr>,
    ) -> Result<Verdict, HasherError> {
        self.jobs.lock().unwrap().push("verify");
        self.inner.verify(password, stored, client).await
    }

    async fn guesses(
        &self,
        password: SecretString,
        own_words: Vec<String>,
        client: Option<IpAddr>,
    ) -> Result<u64, HasherError> {
        self.jobs.lock().unwrap().push("guesses");
        self.inner.guesses(password, own_words, client).await
    }

    fn load(&self) -> HasherLoad {
        self.inner.load()
    }
}

/// That a comparison with nothing costs what one with a hash does is the hasher's own test.
#[tokio::test]
async fn au_07_a_failed_sign_in_is_the_same_work_whoever_it_is_about() {
    let recorder = Recorder::new();
    let server = Server::builder().hasher(recorder.clone()).start().await;
    server.sign_up("ada@example.com").await;
    server.sign_up("banned@example.com").await;
    ctl(&server.socket).run("user disable banned@example.com --yes").await.ok();
    ctl(&server.socket).run("user create --email without@example.com --no-password").await.ok();
    assert_eq!(recorder.jobs(), ["guesses", "hash", "guesses", "hash"], "two passwords were chosen");
    for route in ["/api/auth/login", "/api/auth/sign-in/email"] {
        let sign_in = |email: &str, password: &str| {
            let (client, body) = (server.client(), json!({"email": email, "password": password}));
            async move { visible(&client.post(route, &body).await) }
        };
        let wrong = sign_in("ada@example.com", "wrong password").await;
        assert!(wrong.starts_with("401"), "{wrong}");
        assert_eq!(recorder.jobs(), ["verify"]);
        for email in ["nobody@example.com", "without@example.com", "banned@example.com"] {
            assert_eq!(sign_in(email, "wrong password").await, wrong, "{route} {email}");
            assert_eq!(recorder.jobs(), ["verify"], "{route} {email}");
        }
        // Nothing that is typed makes it another work for some of them.
        for password in ["x", "", &"x".repeat(129)] {
            let known = (sign_in("ada@example.com", password).await, recorder.jobs());
            for email in ["nobody@example.com", "without@example.com", "banned@example.com"] {
                assert_eq!((sign_in(email, password).await, recorder.jobs()), known, "{route} {email} {password}");
            }
        }
    }
}

#[tokio::test]
async fn au_07_a_sign_up_that_tells_nothing_is_the_same_work_for_a_taken_address() {
    let recorder = Recorder::new();
    let server = Server::builder().set("sign_up.auto_sign_in", "false").hasher(recorder.clone()).start().await;
    let first = server.sign_up("ada@example.com").await;
    assert_eq!((first.status, recorder.jobs()), (201, vec!["guesses", "hash"]));
    let again = server.sign_up("ada@example.com").await;
    assert_eq!((again.status, recorder.jobs()), (201, vec!["guesses", "hash"]));
    assert_eq!(first.headers.keys().collect::<Vec<_>>(), again.headers.keys().collect::<Vec<_>>());
}

async fn stored_hash(server: &Server, email: &str) -> String {
    let store = server.services().store.clone();
    let user = store.user_by_email(&email.parse().unwrap()).await.unwrap().unwrap();
    store.credential(&user.id).await.unwrap().unwrap().hash.as_str().to_owned()
}

#[tokio::test]
async fn au_01_the_configured_cost_is_what_a_hash_costs() {
    let server = Server::builder()
        .set("password.argon2_memory", "20480")
        .set("password.argon2_iterations", "3")
        .set("password.argon2_parallelism", "2")
        .real_hashes()
        .start()
        .await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    ctl(&server.socket).input(PASSWORD).run("user create --email eve@example.com --password-stdin").await.ok();
    for email in ["ada@example.com", "eve@example.com"] {
        let hash = stored_hash(&server, email).await;
        assert!(hash.starts_with("$argon2id$v=19$m=20480,t=3,p=2$"), "{hash}");
        assert_eq!(login(&server, email, PASSWORD).await.status, 200);
        assert_eq!(stored_hash(&server, email).await, hash, "as it should be: it stays");
    }
}

#[tokio::test]
async fn au_01_a_hash_of_a_lower_cost_is_made_anew_at_the_next_good_sign_in() {
    let server = Server::builder().real_hashes().start().await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    let old = stored_hash(&server, "ada@example.com").await;
    assert!(old.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "the floor is the default: {old}");
    let server = server.restart_with(|settings| settings.password.argon2_iterations = 3).await;
    assert_eq!(login(&server, "ada@example.com", "wrong password").await.status, 401);
    assert_eq!(stored_hash(&server, "ada@example.com").await, old, "a wrong password changes nothing");
    assert_eq!(login(&server, "ada@example.com", PASSWORD).await.status, 200);
    let new = stored_hash(&server, "ada@example.com").await;
    assert!(new.starts_with("$argon2id$v=19$m=19456,t=3,p=1$"), "{new}");
    assert_eq!(login(&server, "ada@example.com", PASSWORD).await.status, 200);
    assert_eq!(stored_hash(&server, "ada@example.com").await, new);
}

#[tokio::test]
async fn au_02_lengths_and_au_04_spelling() {
    let server = Server::builder().set("password.blocklist", "false").start().await;
    let sign_up = |n: usize, password: String| {
        let client = server.client();
        async move {
            client.post("/api/auth/signup", &json!({"email": format!("u{n}@example.com"), "password": password})).await
        }
    };
    assert_eq!(sign_up(1, "x".repeat(7)).await.code(), "PASSWORD_TOO_SHORT");
    assert_eq!(sign_up(2, "x".repeat(8)).await.status, 201);
    assert_eq!(sign_up(3, "x".repeat(64)).await.status, 201);
    assert_eq!(sign_up(4, "x".repeat(128)).await.status, 201);
    assert_eq!(sign_up(5, "x".repeat(129)).await.code(), "PASSWORD_TOO_LONG");
    assert_eq!(login(&server, "u4@example.com", &"x".repeat(129)).await.code(), "PASSWORD_TOO_LONG");
    let long = "p".repeat(72);
    assert_eq!(sign_up(6, format!("{long}a")).await.status, 201);
    assert_eq!(login(&server, "u6@example.com", &format!("{long}b")).await.status, 401, "nothing is cut off");
    assert_eq!(sign_up(7, "pa\u{308}sswo\u{308}rter".into()).await.status, 201);
    assert_eq!(login(&server, "u7@example.com", "pässwörter").await.status, 200, "NFKC on both sides");
    for other in ["Pässwörter", "pässwörter ", "pässwörter\0", "passworter"] {
        assert_eq!(login(&server, "u7@example.com", other).await.status, 401, "{other:?}");
    }
}

#[tokio::test]
async fn au_03_no_composition_rules() {
    let server = Server::start().await;
    for (n, password) in
        ["correct horse battery", "zyrtqpwmvbnk", "8305719264", " spaces and 😀 ", "Τὸ πράγμα γὰρ"].iter().enumerate()
    {
        let body = json!({"email": format!("u{n}@example.com"), "password": password});
        assert_eq!(server.client().post("/api/auth/signup", &body).await.status, 201, "{password}");
    }
}

/// Sign-up over both routes and the operator's two ways; change and reset come with their routes.
#[tokio::test]
async fn au_05_common_passwords_are_refused_on_every_path() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let own = [
        "ada@example.com".to_owned(),
        "lovelace1".into(),
        "LoveLace1".into(),
        "password123".into(),
        "qwertyuiop".into(),
    ];
    for password in own {
        let body = json!({"email": "lovelace1@example.com", "name": "ada@example.com", "password": password});
        for route in ["/api/auth/signup", "/api/auth/sign-up/email"] {
            let answer = server.client().post(route, &body).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "PASSWORD_COMPROMISED"), "{password}");
        }
        let create = ctl(&server.socket).input(&password);
        let create = create.args(&[
            "user",
            "create",
            "--email",
            "lovelace1@example.com",
            "--name",
            "ada@example.com",
            "--password-stdin",
        ]);
        assert_eq!(create.await.exit, 9, "{password}");
    }
    let set = ctl(&server.socket).input("password123").run("user set-password ada@example.com --password-stdin").await;
    assert_eq!(set.exit, 9);
    assert!(set.err.contains("PASSWORD_COMPROMISED"), "{set:?}");
    assert_eq!(login(&server, "ada@example.com", PASSWORD).await.status, 200, "the old one stays");
}

#[tokio::test]
async fn au_05_every_line_of_the_outside_list_is_refused() {
    let Some(lines) = shared::lines("vectors/passwords/common-8plus-top3000.txt") else { return };
    assert!(lines.len() >= 3000);
    let server = Server::start().await;
    let services = server.services();
    let least = services.policy.password.min_guesses.unwrap();
    let mut taken = vec![];
    for line in lines {
        if services.hasher.guesses(line.as_str().into(), vec![], None).await.unwrap() >= least {
            taken.push(line);
        }
    }
    assert_eq!(taken, Vec::<String>::new());
}

#[tokio::test]
async fn au_01_an_old_hash_is_replaced_at_the_next_good_sign_in() {
    let server = Server::builder().set("password.argon2_iterations", "3").real_hashes().start().await;
    ctl(&server.socket).input(PASSWORD).run("user create --email ada@example.com --password-stdin").await.ok();
    let services = server.services();
    let user = services.store.user_by_email(&"ada@example.com".parse().unwrap()).await.unwrap().unwrap();
    let hash = || async { services.store.credential(&user.id).await.unwrap().unwrap().hash };
    let strong = hash().await;
    assert!(strong.as_str().starts_with("$argon2id$v=19$m=19456,t=3,p=1$"));
    // As an import would have left it: Better Auth's scrypt of the same password.
    let scrypt = "7289a8669daed558db1fce049910e30a:ed872d13e04c3cbdc540cdb369be426ecf81bb74960736abf09886154d129689f9898b4846d54f6f6bcbf09c6a6a25a8fa1b67feaabecd044f90b5c2ebf5dfba";
    let old = services.store.credential(&user.id).await.unwrap().unwrap();
    let act = authd::store::contract::act();
    let event = authd::domain::Event::new(authd::domain::EventKind::PasswordSet);
    let credential = authd::domain::Credential { hash: PasswordHash::new(scrypt), ..old };
    services.store.set_password(credential, false, None, act, event).await.unwrap();
    assert_eq!(login(&server, "ada@example.com", "wrong").await.status, 401);
    assert_eq!(hash().await.as_str(), scrypt, "a wrong password changes nothing");
    assert_eq!(login(&server, "ada@example.com", PASSWORD).await.status, 200);
    assert!(hash().await.as_str().starts_with("$argon2id$"), "{:?}", hash().await);
    assert_eq!(login(&server, "ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn th_06_when_the_hashing_threads_are_busy_the_rest_goes_on() {
    let server =
        Server::builder().set("password.hash_threads", "1").set("password.hash_queue", "1").real_hashes().start().await;
    let made = server.sign_up("ada@example.com").await;
    let flood = (0..24).map(|_| login(&server, "ada@example.com", "wrong password"));
    let (answers, me) = tokio::join!(futures_util::future::join_all(flood), async {
        server.client().bearer(&made.text("/access_token")).get("/api/auth/me").await
    });
    assert_eq!(me.status, 200);
    let mut busy = 0;
    for answer in answers {
        match answer.status {
            401 => {}
            _ => {
                assert_eq!((answer.status, answer.code().as_str()), (503, "SERVICE_UNAVAILABLE"), "{answer:?}");
                assert_eq!(answer.header("retry-after"), "1");
                busy += 1;
            }
        }
    }
    assert!(busy > 0, "twenty-four at once do not fit one thread and one place to wait");
    assert_eq!(login(&server, "ada@example.com", PASSWORD).await.status, 200);
}
