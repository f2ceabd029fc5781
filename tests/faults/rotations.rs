//! F-18: keys are rotated, rolled back and revoked again and again while tokens are issued, and verifiers outside, who know
//! nothing but the key set's address and its `Cache-Control`, check every token that lives.

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use common::{Span, UnixTime};
use futures_util::future::{join, join_all};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};
use tests::{Client, Dice, PASSWORD, Server, size};
use tokio::time::Instant;

/// How long a token may be of use after it has expired by authd's clock, to a verifier whose clock is late (RFC 7519 §4.1.4:
/// "no more than a few minutes").
const LATE: Span = Span::from_secs(60);
/// How often a good verifier asks again for a key it does not know.
const COOLDOWN: Span = Span::from_secs(30);
/// How many tokens are asked for at each step.
const LOAD: usize = 8;

/// A key set as its answer said it may be kept.
struct Kept {
    keys: JwkSet,
    tag: String,
    at: UnixTime,
    max_age: Span,
    stale: Span,
}

/// Somebody else's server, which checks tokens.
struct Verifier {
    name: &'static str,
    client: Client,
    issuer: String,
    /// Its clock is so late.
    late: Span,
    /// Whether it asks for a key that it does not know before the key set is due.
    asks_for_unknown: bool,
    /// Whether it ever asks again: one that does not is wrong.
    asks_again: bool,
    kept: Option<Kept>,
    fetches: usize,
}

fn seconds(header: &str, name: &str) -> Span {
    let value = header.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    Span::from_secs(value.map_or(0, |value| value.parse().unwrap()))
}

impl Verifier {
    fn new(server: &Server, name: &'static str) -> Self {
        let (client, issuer) = (server.client().keeping_connections(), server.url.clone());
        let (asks_for_unknown, asks_again) = (true, true);
        Self { name, client, issuer, late: Span::ZERO, asks_for_unknown, asks_again, kept: None, fetches: 0 }
    }

    async fn fetch(&mut self, now: UnixTime) {
        self.fetches += 1;
        let client = match &self.kept {
            Some(kept) => self.client.clone().header("if-none-match", &kept.tag),
            None => self.client.clone(),
        };
        let answer = client.get("/api/auth/jwks").await;
        let control = answer.header("cache-control");
        let (max_age, stale) = (seconds(control, "max-age"), seconds(control, "stale-while-revalidate"));
        let kept = self.kept.take();
        let (keys, tag) = match (answer.status, kept) {
            (304, Some(kept)) => (kept.keys, kept.tag),
            (200, _) => (serde_json::from_str(&answer.body).unwrap(), answer.header("etag").to_owned()),
            _ => panic!("{answer:?}"),
        };
        self.kept = Some(Kept { keys, tag, at: now, max_age, stale });
    }

    fn key(&self, kid: &str) -> Option<DecodingKey> {
        let kept = self.kept.as_ref()?;
        kept.keys.find(kid).map(|jwk| DecodingKey::from_jwk(jwk).unwrap())
    }

    /// Whether it takes the token, at this time by its own clock.
    async fn takes(&mut self, token: &str, now: UnixTime) -> bool {
        let age = self.kept.as_ref().map(|kept| (now.since(kept.at), kept.max_age, kept.stale));
        let mut is_due = false;
        match age {
            Some((age, max_age, _)) if age < max_age || !self.asks_again => {}
            // Used once more while it is fetched anew.
            Some((age, max_age, stale)) if age < max_age.plus(stale) => is_due = true,
            _ => self.fetch(now).await,
        }
        let kid = decode_header(token).unwrap().kid.unwrap();
        let mut key = self.key(&kid);
        let may_ask = self.kept.as_ref().is_some_and(|kept| now >= kept.at.plus(COOLDOWN));
        if key.is_none() && self.asks_for_unknown && may_ask {
            self.fetch(now).await;
            key = self.key(&kid);
        }
        if is_due {
            self.fetch(now).await;
        }
        key.is_some_and(|key| {
            let mut rules = Validation::new(Algorithm::EdDSA);
            rules.set_issuer(&[&self.issuer]);
            rules.set_audience(&[&self.issuer]);
            // Its clock is the test's.
            rules.validate_exp = false;
            decode::<Value>(token, &key, &rules).is_ok_and(|token| {
                let exp = token.claims["exp"].as_i64().unwrap();
                now.as_millis() - i64::try_from(self.late.as_millis()).unwrap() < exp * 1000
            })
        })
    }
}

/// A token on its way through the world.
struct Issued {
    token: String,
    kid: String,
    expires: UnixTime,
}

/// What came of it.
#[derive(Default)]
struct Report {
    seed: u64,
    rotations: usize,
    rolled_back: usize,
    revoked: usize,
    tokens: usize,
    checks: usize,
    fetches: usize,
    /// Requests that authd answered, and how many that were in a second.
    requests: usize,
    rate: usize,
    /// Valid tokens that were refused, and tokens of revoked keys that were taken.
    refused: Vec<String>,
    taken: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, rotations, rolled_back, revoked, tokens, checks, fetches, requests, rate, refused, taken } =
            self;
        let (refused, taken) = (refused.len(), taken.len());
        write!(
            f,
            "{rotations} rotations ({rolled_back} rolled back), {revoked} revocations, {tokens} tokens, {checks} checks \
             outside, {fetches} fetches of the key set, {requests} requests in all, {rate} a second: {refused} valid refused, {taken} revoked taken \
             (AUTHD_TEST_SEED={seed})"
        )
    }
}

/// The world: a server, its verifiers, and the tokens that they meet.
struct World {
    server: Server,
    public: Client,
    verifiers: Vec<Verifier>,
    tokens: Vec<Issued>,
    /// The keys that were revoked, and since when.
    revoked: BTreeMap<String, UnixTime>,
    /// Keys that signed at once because the one before was revoked, and since when.
    emergencies: BTreeMap<String, UnixTime>,
    report: Report,
    asked: AtomicUsize,
    began: Instant,
    /// Whether every verifier checks every token at every step.
    checks_all: bool,
}

fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims
}

impl World {
    async fn new(seed: u64) -> Self {
        let server = Server::builder().set("session.max_per_user", "20").start().await;
        let public = server.client().keeping_connections();
        assert_eq!(server.sign_up("ada@example.com").await.status, 201);
        let report = Report { seed, ..Report::default() };
        let (tokens, revoked, emergencies) = (vec![], BTreeMap::new(), BTreeMap::new());
        let (asked, began) = (AtomicUsize::new(0), Instant::now());
        Self {
            server,
            public,
            verifiers: vec![],
            tokens,
            revoked,
            emergencies,
            report,
            asked,
            began,
            checks_all: false,
        }
    }

    /// What may be kept of a key set at most.
    fn cache_time(&self) -> Span {
        let kept = self.verifiers.iter().filter_map(|verifier| verifier.kept.as_ref());
        kept.map(|kept| kept.max_age.plus(kept.stale)).max().unwrap_or(Span::ZERO)
    }

    /// Somebody signs in, and uses the session in every way that gives a token.
    async fn ask(&self) -> Vec<String> {
        let login = json!({"email": "ada@example.com", "password": PASSWORD});
        let made = self.public.post("/api/auth/login", &login).await;
        assert_eq!(made.status, 200, "{made:?}");
        let bearer = self.public.clone().bearer(&made.text("/access_token"));
        let refresh = json!({"refresh_token": made.text("/refresh_token")});
        let (refreshed, shown) =
            join(self.public.post("/api/auth/refresh", &refresh), bearer.get("/api/auth/token")).await;
        self.asked.fetch_add(3, Ordering::Relaxed);
        let mut all = vec![made.text("/access_token"), made.header("set-auth-jwt").to_owned()];
        // The key may have been revoked meanwhile, and then its token is none.
        all.extend((refreshed.status == 200).then(|| refreshed.text("/access_token")));
        all.extend((shown.status == 200).then(|| shown.text("/token")));
        all
    }

    fn met(&mut self, tokens: Vec<String>) {
        for token in tokens {
            let expires = UnixTime::from_secs(claims(&token)["exp"].as_i64().unwrap());
            let kid = decode_header(&token).unwrap().kid.unwrap();
            self.report.tokens += 1;
            self.tokens.push(Issued { token, kid, expires });
        }
    }

    /// Issues tokens, and lets every verifier that happens to have work check those that live.
    async fn step(&mut self, dice: &mut Dice) {
        let known: Vec<String> = self.revoked.keys().cloned().collect();
        let new = join_all((0..LOAD / 4).map(|_| self.ask())).await.concat();
        // What is issued after the answer to a revocation is signed by another key.
        for token in &new {
            let kid = decode_header(token).unwrap().kid.unwrap();
            if known.contains(&kid) {
                self.report.taken.push(format!("authd signs with {kid}, which is revoked"));
            }
        }
        self.met(new);
        self.check(dice).await;
        self.server.clock.advance(Span::from_secs(31 + dice.below(60) as u64));
        let now = self.server.clock.now_time();
        self.tokens.retain(|issued| now < issued.expires.plus(LATE));
    }

    async fn check(&mut self, dice: &mut Dice) {
        let now = self.server.clock.now_time();
        let cache_time = self.cache_time();
        let grace = |since: Option<&UnixTime>| since.is_some_and(|since| now < since.plus(cache_time));
        for verifier in &mut self.verifiers {
            if !self.checks_all && dice.once_in(3) {
                continue;
            }
            for (n, issued) in self.tokens.iter().rev().enumerate() {
                // The newest, and some of the others.
                if n >= LOAD && !self.checks_all && !dice.once_in(10) {
                    continue;
                }
                let is_taken = verifier.takes(&issued.token, now).await;
                self.report.checks += 1;
                let is_valid = now < issued.expires.plus(verifier.late);
                let is_unknown = !verifier.asks_for_unknown && grace(self.emergencies.get(&issued.kid));
                let what = || format!("{} at {now}: {} until {}", verifier.name, issued.kid, issued.expires);
                match self.revoked.get(&issued.kid) {
                    Some(since) if is_taken && now >= since.plus(cache_time) => self.report.taken.push(what()),
                    // After a revocation the next key signs at once: only who asks for it knows it.
                    None if is_valid && !is_taken && !is_unknown => self.report.refused.push(what()),
                    _ => {}
                }
            }
        }
    }

    async fn by_operator(&mut self, path: &str, body: &Value) -> Value {
        let admin = self.server.admin();
        // While others ask for tokens.
        let (done, tokens) = join(admin.post(path, body), join_all((0..LOAD / 2).map(|_| self.ask()))).await;
        assert_eq!(done.status, 200, "{path}: {done:?}");
        self.met(tokens.concat());
        done.json()
    }

    /// One rotation and what follows until the new key signs.
    async fn round(&mut self, at_once: bool, dice: &mut Dice) {
        self.by_operator("/v1/keys/rotate", &json!({"now": at_once})).await;
        self.report.rotations += 1;
        let start = self.server.clock.now_time();
        let fate = dice.below(10);
        let mut is_told = at_once;
        while self.server.clock.now_time() < start.plus(Span::from_mins(12)) {
            self.step(dice).await;
            let signs = self.server.clock.now_time() >= start.plus(Span::from_mins(10));
            match fate {
                // Before the new key signs, or after.
                0 | 1 if !is_told && (fate == 0 || signs) => {
                    self.by_operator("/v1/keys/rollback", &json!({})).await;
                    self.report.rolled_back += 1;
                    is_told = true;
                }
                // The signing key has leaked.
                2 if !is_told && dice.once_in(5) => {
                    self.revoke().await;
                    is_told = true;
                }
                _ => {}
            }
        }
    }

    fn finish(mut self) -> Report {
        self.report.fetches = self.verifiers.iter().map(|verifier| verifier.fetches).sum();
        self.report.requests = self.asked.into_inner() + self.report.fetches;
        let millis = usize::try_from(self.began.elapsed().as_millis()).unwrap();
        self.report.rate = self.report.requests * 1000 / millis.max(1);
        self.report
    }

    async fn revoke(&mut self) {
        let now = self.server.clock.now_time();
        let keys = self.server.admin().get("/v1/keys").await.json();
        let keys = keys["items"].as_array().unwrap();
        let kid = keys.iter().find(|key| key["state"] == "signing").unwrap()["kid"].as_str().unwrap().to_owned();
        let done = self.by_operator(&format!("/v1/keys/{kid}/revoke"), &json!({})).await;
        let next = done["key"]["kid"].as_str().unwrap().to_owned();
        self.report.revoked += 1;
        for issued in self.tokens.iter().filter(|issued| issued.kid == kid) {
            let answer = self.public.clone().bearer(&issued.token).get("/api/auth/me").await;
            if answer.status == 200 {
                self.report.taken.push(format!("authd takes a token of {kid}, which is revoked"));
            }
        }
        self.revoked.insert(kid, now);
        self.emergencies.insert(next, now);
    }
}

async fn rotations(n: usize, at_once: bool, change: impl Fn(&mut Verifier)) -> Report {
    let seed = Dice::seed();
    let mut dice = Dice::new(seed);
    let mut world = World::new(seed).await;
    let server = &world.server;
    let mut verifiers = vec![
        Verifier::new(server, "one that asks for unknown keys"),
        Verifier { late: LATE, ..Verifier::new(server, "one whose clock is late") },
        Verifier { asks_for_unknown: false, ..Verifier::new(server, "one that only keeps the key set") },
        Verifier { asks_for_unknown: false, late: LATE, ..Verifier::new(server, "one that is late and only keeps it") },
    ];
    verifiers.iter_mut().for_each(change);
    world.verifiers = verifiers;
    for _ in 0..n {
        world.round(at_once, &mut dice).await;
    }
    tests::ctl::ctl(&world.server.socket).run("audit verify").await.ok();
    world.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_18_no_verifier_refuses_a_valid_token_nor_takes_one_of_a_revoked_key() {
    let report = rotations(size(15, 1000), false, |_| ()).await;
    eprintln!("{report}");
    let (refused, taken) = (&report.refused, &report.taken);
    assert!(refused.is_empty() && taken.is_empty(), "{report}\n{:#?}\n{:#?}", refused.first(), taken.first());
    assert!(report.checks > report.rotations * 100, "{report}: hardly anything was checked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_18_a_key_that_signs_before_it_is_known_is_found_out() {
    let report = rotations(6, true, |_| ()).await;
    eprintln!("with keys that sign at once: {report}");
    let by = |who: &str| report.refused.iter().any(|refused| refused.starts_with(who));
    // Which of the two meets a new token before its copy is old is chance.
    assert!(by("one that only keeps the key set") || by("one that is late and only keeps it"), "{report}");
    assert!(!by("one that asks for unknown keys"), "{report}: that is what asking is for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_18_a_verifier_that_never_asks_again_is_found_out() {
    let seed = Dice::seed();
    let mut dice = Dice::new(seed);
    let mut world = World::new(seed).await;
    world.verifiers = vec![Verifier {
        asks_for_unknown: false,
        asks_again: false,
        ..Verifier::new(&world.server, "one that never asks again")
    }];
    world.checks_all = true;
    world.step(&mut dice).await;
    world.revoke().await;
    while world.tokens.iter().any(|issued| world.revoked.contains_key(&issued.kid)) {
        world.step(&mut dice).await;
    }
    let report = world.finish();
    eprintln!("with a verifier that never asks again: {report}");
    assert!(!report.taken.is_empty() && !report.refused.is_empty(), "{report}");
}
