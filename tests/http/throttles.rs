//! Who has to wait (TH-01 … TH-08), and Better Auth's limits of requests.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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
use futures_util::future::join_all;
use serde_json::json;
use tests::{Client, PASSWORD, Response, Server, ctl::ctl, shared};

/// In production, behind a proxy on this machine, with an address for everybody.
async fn server(more: &str) -> Server {
    let file = format!("[http]\npublic_url = \"http://localhost:8000\"\ntrusted_proxies = [\"127.0.0.1\"]\n{more}");
    Server::builder().file(&file).start().await
}

fn from(server: &Server, address: &str) -> Client {
    server.client().host("localhost:8000").header("x-forwarded-for", address)
}

async fn login(client: &Client, password: &str) -> Response {
    client.post("/api/auth/login", &json!({"email": "ada@example.com", "password": password})).await
}

async fn sign_up(client: &Client) -> Response {
    client.post("/api/auth/signup", &json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"})).await
}

#[tokio::test]
async fn th_01_an_account_under_attack_from_everywhere_slows_down_and_its_owner_does_not() {
    let server = server("").await;
    assert_eq!(sign_up(&from(&server, "198.51.100.1")).await.status, 201);
    server.clock.advance(Span::from_days(29));
    // A thousand guesses from two hundred networks.
    let mut looked_at = 0;
    for n in 0..1000 {
        let guess = login(&from(&server, &format!("203.0.113.{}", n % 200)), "wrong password").await;
        match guess.status {
            401 => looked_at += 1,
            429 => {
                assert_eq!(guess.code(), "TOO_MANY_REQUESTS");
                assert_eq!(guess.header("retry-after"), "1");
            }
            other => panic!("{other}: {guess:?}"),
        }
    }
    assert_eq!(looked_at, 10);
    let right = login(&from(&server, "203.0.113.250"), PASSWORD).await;
    assert_eq!(right.status, 429, "from a new place not even the right password is looked at");
    assert_eq!(login(&from(&server, "198.51.100.1"), PASSWORD).await.status, 200, "the owner's own place");
    // TH-02: a new place waits for a minute at most.
    server.clock.advance(Span::from_secs(60));
    let new_place = from(&server, "192.0.2.77");
    assert_eq!(login(&new_place, PASSWORD).await.status, 200);
    server.clock.advance(Span::from_secs(1));
    assert_eq!(login(&from(&server, "203.0.113.9"), "wrong password").await.status, 401);
    let next = login(&from(&server, "203.0.113.9"), "wrong password").await;
    assert_eq!((next.status, next.header("retry-after")), (429, "2"), "the count goes on");
    assert_eq!(login(&new_place, PASSWORD).await.status, 200, "which is a known one now");
}

#[tokio::test]
async fn th_02_a_place_is_known_for_thirty_days_and_counted_apart() {
    let server = server("").await;
    let home = from(&server, "2001:db8:1:2::1");
    sign_up(&home).await;
    for n in 0..10 {
        assert_eq!(login(&from(&server, &format!("203.0.113.{n}")), "wrong password").await.status, 401);
    }
    let neighbour = from(&server, "2001:db8:1:2:ffff::9");
    assert_eq!(login(&neighbour, PASSWORD).await.status, 200, "the same /64");
    assert_eq!(login(&from(&server, "2001:db8:1:3::1"), PASSWORD).await.status, 429, "another one");
    // Guesses at the owner's place are limited too, and answered as everywhere.
    let guesses = join_all((0..40).map(|_| login(&home, "wrong password"))).await;
    assert!(guesses.iter().all(|guess| guess.status == 429));
    assert_eq!(login(&home, PASSWORD).await.status, 429, "ten of them were looked at");
    server.clock.advance(Span::from_secs(60));
    assert_eq!(login(&home, PASSWORD).await.status, 200);
    server.clock.advance(Span::from_days(31));
    for n in 0..10 {
        assert_eq!(login(&from(&server, &format!("203.0.113.{n}")), "wrong password").await.status, 401);
    }
    assert_eq!(login(&home, PASSWORD).await.status, 429, "31 days later it is a place as any other");
}

#[tokio::test]
async fn au_06_waits_tell_nothing_of_the_account() {
    let server = server("").await;
    sign_up(&from(&server, "198.51.100.1")).await;
    let mut seen = vec![];
    for email in ["ada@example.com", "nobody@example.com"] {
        let mut answers = vec![];
        for n in 0..14 {
            let client = from(&server, &format!("203.0.113.{n}"));
            let body = json!({"email": email, "password": "wrong password"});
            let answer = client.post("/api/auth/login", &body).await;
            answers.push((answer.status, answer.body.clone(), answer.header("retry-after").to_owned()));
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0][13].0, 429);
}

#[tokio::test]
async fn au_06_a_known_place_does_not_show_by_the_answer_to_a_wrong_password() {
    let server = server("").await;
    let office = from(&server, "198.51.100.1");
    sign_up(&office).await;
    let wrong = async |email: &str| {
        let body = json!({"email": email, "password": "wrong password"});
        let answer = office.post("/api/auth/login", &body).await;
        (answer.status, answer.body.clone(), answer.header("retry-after").to_owned())
    };
    for n in 0..24 {
        wrong(&format!("u{n}@example.com")).await;
    }
    assert_eq!(wrong("nobody@example.com").await.0, 429, "the network has failed too often");
    assert_eq!(wrong("ada@example.com").await, wrong("nobody@example.com").await);
    assert_eq!(
        login(&office, PASSWORD).await.status,
        429,
        "the right password makes no difference in a network that waits"
    );
}

/// What a stranger sees of an account: the answer, how long to wait, and whether a hash was made, which takes its time.
type Seen = (u16, String, String, usize);

#[tokio::test]
async fn au_06_and_au_07_a_429_tells_nothing_of_who_uses_a_network() {
    let count = Arc::new(Counting::new());
    let file = "[http]\npublic_url = \"http://localhost:8000\"\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let server = Server::builder().file(file).hasher(count.clone()).start().await;
    sign_up(&from(&server, "198.51.100.1")).await;
    let guess = async |address: &str, email: &str| -> Seen {
        count.taken();
        let body = json!({"email": email, "password": "wrong password"});
        let answer = from(&server, address).post("/api/auth/login", &body).await;
        (answer.status, answer.text("/code"), answer.header("retry-after").to_owned(), count.taken())
    };
    // Ada's own network, one that is new, and back; until the network waits too, and then in another one that is new.
    let mut places = vec!["198.51.100.1"; 11];
    places.extend(["203.0.113.1", "198.51.100.1", "203.0.113.1", "203.0.113.2"]);
    places.extend(["198.51.100.1"; 20]);
    places.extend(["203.0.113.1"; 20]);
    let (mut of_ada, mut of_nobody) = (vec![], vec![]);
    for place in &places {
        of_ada.push(guess(place, "ada@example.com").await);
    }
    // The same with an address that is nobody's, after all that is forgotten.
    server.clock.advance(Span::from_days(5));
    for place in &places {
        of_nobody.push(guess(place, "nobody@example.com").await);
    }
    assert_eq!(of_ada, of_nobody);
    let hashed = |seen: &[Seen], status: u16| seen.iter().filter(|one| one.0 == status && one.3 == 1).count();
    assert_eq!(hashed(&of_ada, 401), 10, "never more are looked at");
    assert!(hashed(&of_ada, 429) > 0, "where the account waits, and the network does not");
    // Where the network waits, nothing is hashed for anybody, as often as it is asked.
    for n in 0..24 {
        guess("198.51.100.1", &format!("u{n}@example.com")).await;
    }
    let (ada, nobody) =
        (guess("198.51.100.1", "ada@example.com").await, guess("198.51.100.1", "noone@example.com").await);
    assert_eq!((ada.0, ada.3, nobody.0, nobody.3), (429, 0, 429, 0));
}

#[tokio::test]
async fn th_01_a_network_that_sprays_waits_also_for_the_accounts_that_are_used_from_it() {
    let server = server("").await;
    let device = browser(&server, "198.51.100.1").await;
    let office = from(&server, "198.51.100.1");
    for n in 0..30 {
        let body = json!({"email": format!("u{n}@example.com"), "password": "wrong password"});
        office.post("/api/auth/login", &body).await;
    }
    for password in ["wrong password", PASSWORD] {
        assert_eq!(login(&office, password).await.status, 429, "{password}");
    }
    assert_eq!(
        login(&device, PASSWORD).await.status,
        200,
        "TH-02: the owner's device does not wait for its neighbours"
    );
    server.clock.advance(Span::from_secs(60));
    assert_eq!(login(&office, PASSWORD).await.status, 200, "and the wait is bounded");
}

#[tokio::test]
async fn th_02_right_passwords_that_come_at_once_from_new_networks_are_all_let_in() {
    let server = server("").await;
    sign_up(&from(&server, "198.51.100.1")).await;
    let clients: Vec<Client> = (0..16).map(|n| from(&server, &format!("203.0.113.{n}"))).collect();
    for round in 0..3 {
        let answers = join_all(clients.iter().map(|client| login(client, PASSWORD))).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert!(statuses.iter().all(|status| *status == 200), "{round}: {statuses:?}");
    }
}

#[tokio::test]
async fn th_08_changes_of_a_profile_are_limited_by_account_and_not_by_network() {
    let server = server("").await;
    let page = browser(&server, "198.51.100.1").await;
    let update = async |n: usize| {
        let client = page.clone().header("x-forwarded-for", &format!("203.0.113.{}", n % 200));
        client.post("/api/auth/update-user", &json!({"name": format!("Ada {n}")})).await
    };
    for n in 0..60 {
        assert_eq!(update(n).await.status, 200, "{n}");
    }
    let refused = update(60).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "600"));
    server.clock.advance(Span::from_mins(10));
    assert_eq!((update(61).await.status, update(62).await.status), (200, 429));
    assert_eq!(page.post("/api/auth/update-user", &json!({"name": ""})).await.status, 429);
}

/// Counts the passwords that are compared.
struct Counting {
    inner: HasherPool,
    compared: AtomicUsize,
}

impl Counting {
    fn new() -> Self {
        let config =
            HasherConfig { cost: Cost::insecure_for_tests(), threads: 1, queue: 64, strength: Strength::default() };
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        Self { inner: HasherPool::start(&config, &entropy).unwrap(), compared: AtomicUsize::new(0) }
    }

    /// How many since it was asked last.
    fn taken(&self) -> usize {
        self.compared.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl PasswordHasher for Counting {
    async fn hash(&self, password: SecretString, client: Option<IpAddr>) -> Result<PasswordHash, HasherError> {
        self.inner.hash(password, client).await
    }

    async fn verify(
        &self,
        password: SecretString,
        stored: Option<PasswordHash>,
        client: Option<IpAddr>,
    ) -> Result<Verdict, HasherError> {
        self.compared.fetch_add(1, Ordering::Relaxed);
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

#[tokio::test]
async fn th_01_one_network_that_guesses_at_many_accounts_slows_down() {
    let server = server("").await;
    let mut looked_at = 0;
    for n in 0..200 {
        let client = from(&server, &format!("2001:db8:7:7::{n:x}"));
        let body = json!({"email": format!("u{n}@example.com"), "password": "wrong password"});
        looked_at += usize::from(client.post("/api/auth/login", &body).await.status == 401);
    }
    assert_eq!(looked_at, 20, "one /64 is one client");
    let body = json!({"email": "u1@example.com", "password": "wrong password"});
    assert_eq!(from(&server, "2001:db8:7:8::1").post("/api/auth/login", &body).await.status, 401);
    server.clock.advance(Span::from_mins(30));
    assert_eq!(from(&server, "2001:db8:7:7::1").post("/api/auth/login", &body).await.status, 401, "forgotten");
}

#[tokio::test]
async fn th_03_of_five_hundred_guesses_at_once_ten_are_looked_at() {
    let server = server("").await;
    sign_up(&from(&server, "198.51.100.1")).await;
    let clients: Vec<Client> = (0..500).map(|n| from(&server, &format!("203.{}.{}.1", n / 250, n % 250))).collect();
    let guesses = join_all(clients.iter().map(|client| login(client, "wrong password"))).await;
    let looked_at = guesses.iter().filter(|guess| guess.status == 401).count();
    let busy = guesses.iter().filter(|guess| guess.status == 503).count();
    assert!(looked_at <= 10, "{looked_at}");
    assert_eq!(looked_at + busy + guesses.iter().filter(|guess| guess.status == 429).count(), 500);
}

#[tokio::test]
async fn th_03_a_success_elsewhere_and_a_restart_free_nobody() {
    let server = server("").await;
    sign_up(&from(&server, "198.51.100.1")).await;
    for n in 0..10 {
        login(&from(&server, &format!("203.0.113.{n}")), "wrong password").await;
    }
    assert_eq!(login(&from(&server, "198.51.100.1"), PASSWORD).await.status, 200);
    assert_eq!(login(&from(&server, "203.0.113.99"), "wrong password").await.status, 429);
    let server = server.restart().await;
    assert_eq!(login(&from(&server, "203.0.113.99"), "wrong password").await.status, 429);
    assert_eq!(login(&from(&server, "198.51.100.1"), PASSWORD).await.status, 200);
}

#[tokio::test]
async fn operators_see_who_waits_and_let_them_try_again() {
    let server = server("").await;
    sign_up(&from(&server, "198.51.100.1")).await;
    let run = async |line: &str| ctl(&server.socket).run(line).await;
    assert!(run("throttle list").await.ok().err.contains("no throttles"));
    assert_eq!(run("throttle clear --user ada@example.com").await.exit, 3, "nothing to do");
    for n in 0..25 {
        login(&from(&server, "203.0.113.5"), "wrong password").await;
        let body = json!({"email": format!("u{n}@example.com"), "password": "wrong password"});
        from(&server, "203.0.113.5").post("/api/auth/login", &body).await;
    }
    let seen = run("throttle list -o json").await.ok().json();
    let kinds: Vec<&str> = seen.as_array().unwrap().iter().map(|w| w["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 2, "{seen}");
    assert!(kinds.contains(&"account") && kinds.contains(&"source"), "{seen}");
    let table = run("throttle list").await.ok().out;
    assert!(table.contains("203.0.113.5") && table.contains("FAILED"), "{table}");
    assert!(table.contains("  ada@example.com  "), "people see an address: {table}");
    let of_ada = seen.as_array().unwrap().iter().find(|one| one["kind"] == "account").unwrap();
    assert!(of_ada["email"] == "ada@example.com" && of_ada["subject"] != "ada@example.com", "{seen}");
    run("throttle clear --source 203.0.113.5").await.ok();
    let cleared = run("throttle clear --user ada@example.com --reason asked").await.ok();
    assert!(cleared.err.contains("may try again"), "{cleared:?}");
    assert_eq!(login(&from(&server, "203.0.113.5"), PASSWORD).await.status, 200);
    let trail = run("audit list --event throttle.cleared -o json").await.ok().json();
    assert_eq!((trail.as_array().unwrap().len(), &trail[0]["reason"]), (2, &json!("asked")));
    assert_eq!(run("throttle clear --source nonsense").await.exit, 2);
    assert_eq!(run("throttle clear").await.exit, 2);
    assert_eq!(run("throttle clear --all").await.ok().exit, 0, "the owner's place is counted");
}

#[tokio::test]
async fn th_04_a_proxy_that_is_not_trusted_is_told_of_and_believed_in_nothing() {
    let file = "[http]\npublic_url = \"http://localhost:8000\"\n";
    let server = Server::builder().file(file).start().await;
    sign_up(&from(&server, "198.51.100.1")).await;
    for n in 0..30 {
        login(&from(&server, &format!("203.0.113.{n}")), "wrong password").await;
    }
    let status = ctl(&server.socket).run("status -o json").await.ok().json();
    let problem = status["problems"].to_string();
    assert!(
        problem.contains("by 127.0.0.1 named other clients") && problem.contains("http.trusted_proxies"),
        "{status}"
    );
    assert_eq!(status["ready"], true);

    let file = "[http]\npublic_url = \"https://auth.example.com\"\n";
    let behind = Server::builder().file(file).start().await;
    let notes = ctl(&behind.socket).run("status -o json").await.ok().json()["notes"].to_string();
    assert!(notes.contains("all clients count as one"), "at start: {notes}");
}

#[tokio::test]
async fn th_04_a_proxy_whose_words_cannot_be_read_is_told_of_and_one_that_writes_ports_is_understood() {
    let server = server("").await;
    // As Azure's gateway and some balancers write it.
    for (n, spelling) in ["203.0.113.1:4711", "[2001:db8:1:2::1]:4711", "[2001:db8:1:3::1]"].into_iter().enumerate() {
        for _ in 0..20 {
            let body = json!({"email": format!("u{n}@example.com"), "password": "wrong password"});
            from(&server, spelling).post("/api/auth/login", &body).await;
        }
    }
    assert_eq!(sign_up(&from(&server, "203.0.113.2:9")).await.status, 201);
    let sources = ctl(&server.socket).run("throttle list -o json").await.ok().json().to_string();
    for source in ["203.0.113.1", "2001:db8:1:2::", "2001:db8:1:3::"] {
        assert!(!sources.contains(&format!("{source}:4711")) && !sources.contains("127.0.0.1"), "{sources}");
    }
    let said = async || {
        let status = ctl(&server.socket).run("status -o json").await.ok().json();
        (status["problems"].to_string(), status["notes"].to_string())
    };
    assert!(!said().await.0.contains("no address"), "all of them were understood");
    for odd in ["unknown", "203.0.113.7:x", "10.0.0.1, [203.0.113.7]", "203.0.113.7, \u{1b}[31m"] {
        if http::HeaderValue::from_str(odd).is_ok() {
            login(&from(&server, odd), PASSWORD).await;
        }
    }
    assert!(
        said().await.0.contains("3 requests by the trusted proxy 127.0.0.1 named their clients by what is no address")
    );
    assert!(!said().await.1.contains("named no client"));
    let silent = server.client().host("localhost:8000");
    assert_eq!(silent.get("/healthz").await.status, 200);
    login(&silent, PASSWORD).await;
    assert!(said().await.1.contains("1 requests by the trusted proxy 127.0.0.1 named no client"), "{:?}", said().await);
}

/// The recorded exchanges, one after the other, with time passing where it did.
#[tokio::test]
async fn the_recorded_limits_of_requests() {
    let Some(recorded) = shared::json("better-auth/transcripts/rate-limit.json") else { return };
    let file = "[http]\npublic_url = \"http://localhost:8000\"\ntrusted_proxies = [\"127.0.0.1\"]\n[throttle]\nfailures = false\n";
    let server = Server::builder().file(file).set("throttle.requests", "on").start().await;
    let mut alike = 0;
    for exchange in recorded.as_array().unwrap() {
        let name = exchange["name"].as_str().unwrap();
        let (request, expected) = (&exchange["request"], &exchange["response"]);
        let path = request["path"].as_str().unwrap();
        if name == "after the window" {
            server.clock.advance(Span::from_secs(10));
        }
        if name == "get-session request 100 in 10 s" {
            // The recording leaves out the first 99.
            for _ in 0..99 {
                from(&server, "198.51.100.9").get(path).await;
            }
        }
        if name.starts_with("x-forwarded-for with two values") {
            // There nothing was trusted; here the rightmost address that is no proxy counts (TH-04).
            continue;
        }
        let mut client = server.client().host("localhost:8000");
        for (header, value) in request["headers"].as_object().unwrap() {
            if !matches!(header.as_str(), "host" | "content-type") {
                client = client.header(header, value.as_str().unwrap());
            }
        }
        let answer = match request.get("body") {
            Some(body) if !body.is_null() => client.post(path, body).await,
            _ => client.get(path).await,
        };
        let limited = expected["status"] == 429;
        assert_eq!(answer.status == 429, limited, "{name}: {answer:?}");
        if limited {
            assert_eq!(answer.json(), expected["body"], "{name}");
            assert_eq!(answer.header("x-retry-after"), expected["headers"]["x-retry-after"], "{name}");
        }
        alike += 1;
    }
    assert_eq!(alike, 17);
}

#[tokio::test]
async fn th_08_every_endpoint_has_a_limit_and_a_refusal_costs_no_hash() {
    let file = "[http]\npublic_url = \"http://localhost:8000\"\n";
    let server = Server::builder().file(file).set("throttle.requests", "on").start().await;
    let client = server.client().host("localhost:8000");
    let nothing = json!({});
    for (path, most) in [("/login", 20), ("/signup", 10), ("/refresh", 300), ("/logout", 100)] {
        for prefix in ["/api/auth", "/api"] {
            let mut allowed = 0;
            let last = loop {
                let answer = client.post(&format!("{prefix}{path}"), &nothing).await;
                if answer.status == 429 {
                    break answer;
                }
                allowed += 1;
                assert!(allowed <= most, "{path}");
            };
            // The mounts are two names of one endpoint.
            assert_eq!(allowed, if prefix == "/api" { 0 } else { most }, "{prefix}{path}");
            assert_eq!((last.code().as_str(), last.header("retry-after")), ("TOO_MANY_REQUESTS", "10"), "{path}");
        }
    }
    for path in ["/api/auth/jwks", "/.well-known/jwks.json", "/readyz"] {
        for _ in 0..150 {
            assert_eq!(client.get(path).await.status, 200, "{path} is never limited");
        }
    }
    let preflight = client.header("origin", "http://localhost:8000").header("access-control-request-method", "POST");
    let answer = preflight.send(http::Method::OPTIONS, "/api/auth/login", None, bytes::Bytes::new()).await;
    assert_ne!(answer.status, 429);
    // TH-05: other spellings are no way around.
    for path in ["/api/auth//login", "/api/auth/./login", "/api/auth/%6cogin", "/api/auth/login/", "/API/auth/login"] {
        assert_eq!(server.client().host("localhost:8000").post(path, &nothing).await.status, 404, "{path}");
    }
}

const ORIGIN: &str = "http://localhost:8000";

/// A browser of `ada`'s that has signed up in cookie mode.
async fn browser(server: &Server, address: &str) -> Client {
    let browser = from(server, address).header("origin", ORIGIN).with_cookies();
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
    assert_eq!(browser.post("/api/auth/signup", &body).await.status, 201);
    browser
}

/// Spends the hundred guesses that an account has (TH-01): from then on one attempt an hour is left for strangers, and the
/// attacker takes it.
async fn besiege(server: &Server) {
    let mut looked_at = 0;
    for n in 0.. {
        let guess = login(&from(server, &format!("203.0.{}.{}", n / 250, n % 250)), "wrong password").await;
        match guess.status {
            401 => looked_at += 1,
            429 if looked_at >= 100 => return,
            429 => server.clock.advance(Span::from_secs(guess.header("retry-after").parse().unwrap())),
            other => panic!("{other}: {guess:?}"),
        }
    }
}

#[tokio::test]
async fn th_02_a_known_device_signs_in_from_a_new_network_while_strangers_wait_for_hours() {
    let server = server("").await;
    let device = browser(&server, "198.51.100.1").await;
    besiege(&server).await;
    assert_eq!(login(&from(&server, "192.0.2.1"), PASSWORD).await.status, 429, "a new network");
    let moved = device.clone().header("x-forwarded-for", "192.0.2.2");
    assert_eq!(login(&moved, PASSWORD).await.status, 200, "the owner's device in a new network");
    let server = server.restart().await;
    let cookie = device.cookie_header();
    let shows = |address: &str, cookie: &str| from(&server, address).header("origin", ORIGIN).header("cookie", cookie);
    assert_eq!(login(&shows("192.0.2.3", &cookie), PASSWORD).await.status, 200, "also after a restart");

    // Guesses with the device's mark count against the device, and against nobody else.
    let guesses = join_all((0..40).map(|n| {
        let client = shows(&format!("192.0.2.{}", 100 + n), &cookie);
        async move { login(&client, "wrong password").await.status }
    }));
    assert_eq!(guesses.await.iter().filter(|status| **status == 401).count(), 10);
    assert_eq!(login(&shows("192.0.2.4", &cookie), PASSWORD).await.status, 429);
    assert_eq!(
        login(&from(&server, "198.51.100.1"), PASSWORD).await.status,
        200,
        "the owner's network is counted apart"
    );
    let waiting = ctl(&server.socket).run("throttle list -o json").await.ok().json();
    let subjects: Vec<_> = waiting.as_array().unwrap().iter().filter_map(|w| w["subject"].as_str()).collect();
    assert!(subjects.iter().any(|subject| subject.contains("/device-")), "{subjects:?}");
}

#[tokio::test]
async fn th_02_a_device_is_known_by_its_own_mark_only_and_until_the_password_changes() {
    let server = server("").await;
    let device = browser(&server, "198.51.100.1").await;
    let mark = device.cookie_header();
    let mark = mark.split("; ").find(|pair| pair.starts_with("authd.device=")).unwrap();
    let eve = from(&server, "198.51.100.66").with_cookies();
    let body = json!({"email": "eve@example.com", "password": PASSWORD, "name": "Eve", "mode": "cookie"});
    eve.post("/api/auth/signup", &body).await;
    besiege(&server).await;
    let shows = |cookie: &str| from(&server, "192.0.2.2").header("origin", ORIGIN).header("cookie", cookie);
    let elsewhere = |cookie: &str| shows(cookie).header("x-forwarded-for", "192.0.2.3");
    let altered = format!("{}A", &mark[..mark.len() - 1]);
    let altered = if altered == mark { format!("{}B", &mark[..mark.len() - 1]) } else { altered };
    for odd in [eve.cookie_header().as_str(), &altered, "authd.device=", "authd.device=x.y.z", &mark[..mark.len() - 4]]
    {
        assert_eq!(login(&shows(odd), PASSWORD).await.status, 429, "{odd}");
    }
    assert_eq!(login(&shows(&format!("authd.device=planted; {mark}")), PASSWORD).await.status, 200, "a planted one");

    let set = ctl(&server.socket).input("another horse battery");
    set.run("user set-password ada@example.com --password-stdin").await.ok();
    assert_eq!(
        login(&elsewhere(mark), "another horse battery").await.status,
        429,
        "a new password forgets the devices"
    );
}

#[tokio::test]
async fn th_02_the_mark_of_a_device_is_set_by_remembered_sign_ins_of_browsers_and_lives_for_a_year() {
    let server = Server::builder().file("[http]\npublic_url = \"https://auth.example.com\"\n").start().await;
    let client = server.client().host("auth.example.com").header("origin", "https://auth.example.com");
    let mark = |answer: &Response| answer.cookies().into_iter().find(|c| c.starts_with("__Secure-authd.device="));
    let account = |more: serde_json::Value| {
        let mut body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let post = async |path: &str, more| client.post(path, &account(more)).await;
    let made = post("/api/auth/sign-up/email", json!({})).await;
    let cookie = mark(&made).unwrap();
    assert!(cookie.ends_with("; Max-Age=31536000; Path=/; HttpOnly; Secure; SameSite=Lax"), "{cookie}");
    assert!(!cookie.contains("Domain"));
    assert!(made.cookies()[0].starts_with("__Secure-better-auth.session_token="), "Better Auth's come first");
    assert!(mark(&post("/api/auth/sign-in/email", json!({})).await).is_some());
    assert!(mark(&post("/api/auth/login", json!({})).await).is_some());
    assert!(mark(&post("/api/auth/login", json!({"mode": "token"})).await).is_none());
    assert!(mark(&post("/api/auth/login", json!({"rememberMe": false})).await).is_none());
    assert!(mark(&post("/api/auth/login", json!({"password": "wrong"})).await).is_none());
    // A second account on the same device, and the first one stays known; signing out does not forget either.
    let browser = client.clone().with_cookies();
    browser.post("/api/auth/login", &account(json!({}))).await;
    let first = browser.cookie_header();
    browser.post("/api/auth/sign-up/email", &account(json!({"email": "bob@example.com"}))).await;
    browser.post("/api/auth/sign-out", &json!({})).await;
    let both = browser.cookie_header();
    let marks =
        |cookies: &str| cookies.split_once("authd.device=").unwrap().1.split(';').next().unwrap().split('.').count();
    assert_eq!((marks(&first), marks(&both)), (1, 2));
    // Six accounts on one device: the last four.
    for n in 0..6 {
        let email = format!("u{n}@example.com");
        browser.post("/api/auth/sign-up/email", &account(json!({"email": email}))).await;
    }
    assert_eq!(marks(&browser.cookie_header()), 4);
    // A change of the password by its owner renews the mark, sessions ended or not.
    for keeps in [true, false] {
        let (old, new) =
            if keeps { (PASSWORD, "new horse battery") } else { ("new horse battery", "newer horse battery") };
        let change = json!({"currentPassword": old, "newPassword": new, "revokeOtherSessions": !keeps});
        let changed = browser.post("/api/auth/change-password", &change).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        assert!(mark(&changed).is_some(), "kept: {keeps}");
    }
}

#[tokio::test]
async fn th_05_what_a_refusal_looks_like_goes_by_the_route_and_not_by_the_end_of_the_path() {
    let file = "[http]\npublic_url = \"http://localhost:8000\"\n";
    let server = Server::builder().file(file).set("throttle.requests", "on").start().await;
    let client = server.client().host("localhost:8000");
    for (path, code) in [("/api/auth/login", "TOO_MANY_REQUESTS"), ("/api/auth/made-up/login", "")] {
        let mut last = client.post(path, &json!({})).await;
        for _ in 0..300 {
            last = client.post(path, &json!({})).await;
        }
        assert_eq!((last.status, last.code().as_str()), (429, code), "{path}");
    }
}
