//! What the public door costs, beside a bare warp route and beside the real Better Auth server, in turns, on one machine:
//!
//! `cargo build --profile shipped --bins && cargo bench --profile shipped -p tests --bench http -- [--rounds N] [--seconds N] [--report FILE] [PART …]`
//!
//! Parts: `requests`, `flood`, `idle`, `start`, `hashes`, `peers`; without one, all. The table goes to standard output, and with
//! `--report` to a file too. Every figure is a median of the rounds, with the least and the most in brackets. Who asks runs on the
//! same processors as who answers, so processor time of the server (µs a request, from `/proc`) says more than requests a second.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation
)]
#![allow(clippy::cast_sign_loss, clippy::disallowed_methods, unreachable_pub, missing_docs)]

mod crypto;
mod flood;
mod load;
mod peers;
mod report;
mod servers;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use self::{
    load::{Ask, Connection, Outcome, always, closed, paced, patient},
    report::{Report, Spread},
    servers::Peer,
};

/// The daemon's, for the bare route too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PASSWORD: &str = "correct horse battery";

/// What the command line asks for.
pub struct Wanted {
    rounds: usize,
    lasts: Duration,
    report: Option<String>,
    parts: Vec<String>,
}

impl Wanted {
    fn read() -> Self {
        let mut wanted = Self { rounds: 5, lasts: Duration::from_secs(2), report: None, parts: vec![] };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let mut number = || words.next().unwrap().parse().unwrap();
            match word.as_str() {
                "--rounds" => wanted.rounds = number() as usize,
                "--seconds" => wanted.lasts = Duration::from_secs(number()),
                "--report" => wanted.report = words.next(),
                _ => wanted.parts.push(word),
            }
        }
        wanted
    }

    fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

/// A request as bytes.
fn request(peer: &Peer, line: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nhost: {}\r\n", peer.host);
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        text += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    (text + "\r\n" + &body).into_bytes()
}

/// The answer's body, and the cookies that it sets as a `Cookie` header.
fn read_answer(answer: &[u8]) -> (Value, String) {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let cookies = head.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next().unwrap_or_default())
    });
    // Node's server sends its bodies in one chunk.
    let json = body.find(['{', 'n']).map(|at| &body[at..]).unwrap_or_default();
    let value = serde_json::Deserializer::from_str(json).into_iter::<Value>().next().and_then(Result::ok);
    (value.unwrap_or_default(), cookies.collect::<Vec<_>>().join("; "))
}

/// A user of a server who is signed in.
struct User {
    cookie: String,
    email: String,
}

async fn sign_up(peer: &Peer, email: &str) -> User {
    let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
    let origin = format!("http://{}", peer.host);
    let mut connection = Connection::open(peer.address).await.unwrap();
    let asked = request(peer, "POST /api/auth/sign-up/email", &[("origin", &origin)], Some(&body));
    let status = connection.ask(&asked).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(connection.answer()));
    User { cookie: read_answer(connection.answer()).1, email: email.into() }
}

async fn ask_once(peer: &Peer, asked: &[u8]) -> (u16, Vec<u8>) {
    let mut connection = Connection::open(peer.address).await.unwrap();
    (connection.ask(asked).await.unwrap(), connection.answer().to_vec())
}

/// The access token of a user, by the plain login.
async fn access_token(peer: &Peer, user: &User) -> String {
    let body = json!({"email": user.email, "password": PASSWORD});
    let (status, answer) = ask_once(peer, &request(peer, "POST /api/auth/login", &[], Some(&body))).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    read_answer(&answer).0["access_token"].as_str().unwrap().to_owned()
}

/// One kind of request, and how a bare route is asked for the same answer.
struct Kind {
    name: &'static str,
    ask: Ask,
    floor: Ask,
    /// The part that it must reach of what the bare route does.
    budget: Option<f64>,
}

/// Teaches the bare route an answer, and how it is asked for it: with the same headers.
async fn taught(bare: &Peer, headers: &[(&str, &str)], answer: &[u8]) -> Ask {
    let mut asked =
        format!("POST /learn HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n", bare.host, answer.len()).into_bytes();
    asked.extend_from_slice(answer);
    let (_, number) = ask_once(bare, &asked).await;
    let number = String::from_utf8(number).unwrap().split("\r\n\r\n").nth(1).unwrap().to_owned();
    always(request(bare, &format!("GET /say/{number}"), headers, None))
}

async fn kinds(peer: &Peer, bare: &Peer) -> Vec<Kind> {
    let user = sign_up(peer, "ada@example.com").await;
    let token = access_token(peer, &user).await;
    let bearer = format!("Bearer {token}");
    let cookie = [("cookie", user.cookie.as_str())];
    let mut kinds = vec![];
    for (name, line, headers, budget) in [
        ("get-session (cookie)", "GET /api/auth/get-session", &cookie[..], Some(0.85)),
        ("me (JWT)", "GET /api/auth/me", &[("authorization", bearer.as_str())][..], Some(0.85)),
        ("token", "GET /api/auth/token", &cookie, None),
        ("list-sessions", "GET /api/auth/list-sessions", &cookie, None),
        ("jwks", "GET /api/auth/jwks", &[], None),
        ("ok", "GET /api/auth/ok", &[], None),
    ] {
        let asked = request(peer, line, headers, None);
        let (status, answer) = ask_once(peer, &asked).await;
        assert_eq!(status, 200, "{name}: {}", String::from_utf8_lossy(&answer));
        let floor = taught(bare, headers, &answer).await;
        kinds.push(Kind { name, ask: always(asked), floor, budget });
        if name == "jwks" {
            let head = String::from_utf8_lossy(&answer);
            let tag = head.split("\r\n").find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
            let asked = request(peer, line, &[("if-none-match", &tag)], None);
            let (status, answer) = ask_once(peer, &asked).await;
            assert_eq!(status, 304);
            let floor = taught(bare, &[("if-none-match", &tag)], &answer).await;
            kinds.push(Kind { name: "jwks, 304", ask: always(asked), floor, budget: None });
        }
    }
    kinds
}

/// A load, and the processor time that the server had for it, in µs a request.
async fn measured(peer: &Peer, connections: usize, lasts: Duration, ask: &Ask) -> (Outcome, f64) {
    let before = peer.cpu();
    let outcome = closed(peer.address, connections, lasts, ask.clone()).await.unwrap();
    assert_eq!(outcome.odd, 0, "some answers were others");
    let spent = peer.cpu().saturating_sub(before);
    let each = spent.as_secs_f64() * 1e6 / outcome.took.len().max(1) as f64;
    (outcome, each)
}

async fn requests(wanted: &Wanted, report: &mut Report) {
    let (ours, bare) = (servers::authd(tempfile::tempdir().unwrap()), servers::bare());
    let kinds = kinds(&ours, &bare).await;
    report.section(
        "Requests that change nothing",
        "Beside a bare warp route that is asked with the same headers and gives the same answer, head and body, in turns. The budget is ≥ 0.85 × its requests a second.",
        &[
            "what",
            "connections",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "CPU µs",
            "bare: requests/s",
            "CPU µs",
            "of bare",
            "budget",
        ],
    );
    for connections in [1, 32, 256] {
        for kind in &kinds {
            let (mut own, mut its) = (Rounds::default(), Rounds::default());
            let mut ratios = Spread::default();
            for _ in 0..wanted.rounds {
                let (o, b) = (
                    measured(&ours, connections, wanted.lasts, &kind.ask).await,
                    measured(&bare, connections, wanted.lasts, &kind.floor).await,
                );
                ratios.add(o.0.rate() / b.0.rate());
                own.add(&o.0, o.1);
                its.add(&b.0, b.1);
            }
            let met = kind.budget.map_or("", |budget| if ratios.median() >= budget { "met" } else { "not met" });
            report.row(&[
                kind.name.into(),
                connections.to_string(),
                own.rate.whole(),
                own.p50.fine(),
                own.p99.fine(),
                own.cpu.tenths(),
                its.rate.whole(),
                its.cpu.tenths(),
                ratios.fine(),
                met.into(),
            ]);
        }
    }
}

#[derive(Default)]
struct Rounds {
    rate: Spread,
    p50: Spread,
    p99: Spread,
    cpu: Spread,
}

impl Rounds {
    fn add(&mut self, outcome: &Outcome, cpu: f64) {
        self.rate.add(outcome.rate());
        self.p50.add(outcome.within(0.5));
        self.p99.add(outcome.within(0.99));
        self.cpu.add(cpu);
    }
}

/// Signing in, up and out: each connection has users of its own.
async fn changes(wanted: &Wanted, report: &mut Report) {
    let ours = servers::authd(tempfile::tempdir().unwrap());
    report.section(
        "Requests that change something",
        "Each answer is on the disk before it is sent. Sign-ups and sign-ins hash a password (argon2id, 19 MiB, 2 passes).",
        &["what", "connections", "requests/s", "p50 ms", "p99 ms", "CPU µs"],
    );
    let origin = format!("http://{}", ours.host);
    let post = |line: &str, body: Value| request(&ours, line, &[("origin", &origin)], Some(&body));
    for n in 0..32 {
        sign_up(&ours, &format!("user{n}@example.com")).await;
    }
    let sign_ins: Vec<Vec<u8>> = (0..32)
        .map(|n| json!({"email": format!("user{n}@example.com"), "password": PASSWORD}))
        .map(|body| post("POST /api/auth/sign-in/email", body))
        .collect();
    let sign_in: Ask = Arc::new(move |n, _| sign_ins[n % sign_ins.len()].clone());
    let host = ours.host.clone();
    let sign_up: Ask = {
        let origin = origin.clone();
        let begin = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let counter = Arc::new(std::sync::atomic::AtomicU64::new(0));
        Arc::new(move |_, _| {
            let n = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let body = json!({"email": format!("new{begin}x{n}@example.com"), "password": PASSWORD, "name": "Ada"});
            let body = body.to_string();
            format!(
                "POST /api/auth/sign-up/email HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        })
    };
    for (name, ask) in [("sign-in", &sign_in), ("sign-up", &sign_up)] {
        for connections in [1, 8, 32] {
            let mut rounds = Rounds::default();
            for _ in 0..wanted.rounds {
                let (outcome, cpu) = measured(&ours, connections, wanted.lasts, ask).await;
                rounds.add(&outcome, cpu);
            }
            let Rounds { rate, p50, p99, cpu } = rounds;
            report.row(&[name.into(), connections.to_string(), rate.tenths(), p50.fine(), p99.fine(), cpu.whole()]);
        }
    }
    refreshes(wanted, &ours, report).await;
}

/// Refreshes, each with the token that the one before brought; and sign-outs of as many sessions.
async fn refreshes(wanted: &Wanted, ours: &Peer, report: &mut Report) {
    let mut rounds = Rounds::default();
    for round in 0..wanted.rounds {
        let mut at_work = tokio::task::JoinSet::new();
        let (before, began) = (ours.cpu(), std::time::Instant::now());
        for n in 0..8 {
            let body = json!({"email": format!("user{}@example.com", (round + n) % 32), "password": PASSWORD});
            let login = request(ours, "POST /api/auth/login", &[], Some(&body));
            let (status, answer) = ask_once(ours, &login).await;
            assert_eq!(status, 200);
            let mut token = read_answer(&answer).0["refresh_token"].as_str().unwrap().to_owned();
            let (address, host, lasts) = (ours.address, ours.host.clone(), wanted.lasts);
            at_work.spawn(async move {
                let mut connection = Connection::open(address).await.unwrap();
                let (mut took, began) = (vec![], std::time::Instant::now());
                while began.elapsed() < lasts {
                    let body = json!({"refresh_token": token}).to_string();
                    let text = format!(
                        "POST /api/auth/refresh HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let asked = std::time::Instant::now();
                    assert_eq!(connection.ask(text.as_bytes()).await.unwrap(), 200);
                    took.push(asked.elapsed().as_nanos() as u64);
                    read_answer(connection.answer()).0["refresh_token"].as_str().unwrap().clone_into(&mut token);
                }
                took
            });
        }
        let mut outcome = Outcome::default();
        while let Some(took) = at_work.join_next().await {
            outcome.took.extend(took.unwrap());
        }
        outcome.lasted = began.elapsed();
        outcome.took.sort_unstable();
        let cpu = ours.cpu().saturating_sub(before).as_secs_f64() * 1e6 / outcome.took.len() as f64;
        rounds.add(&outcome, cpu);
    }
    let Rounds { rate, p50, p99, cpu } = rounds;
    report.row(&["refresh".into(), "8".into(), rate.whole(), p50.fine(), p99.fine(), cpu.whole()]);
}

/// Connections that do nothing.
async fn idle(report: &mut Report) {
    let ours = servers::authd(tempfile::tempdir().unwrap());
    let asked = request(&ours, "GET /api/auth/ok", &[], None);
    report.section(
        "Idle connections",
        "Budget: ≤ 8 KiB each.",
        &["connections", "KiB each", "MiB 5 s after", "budget"],
    );
    ask_once(&ours, &asked).await;
    let before = ours.resident();
    for many in [1_000, 10_000] {
        let mut open = vec![];
        for _ in 0..many {
            let Ok(mut connection) = Connection::open(ours.address).await else { break };
            if connection.ask(&asked).await.is_err() {
                break;
            }
            open.push(connection);
        }
        let each = (ours.resident().saturating_sub(before)) as f64 / open.len().max(1) as f64;
        let there = open.len();
        drop(open);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let left = ours.resident().saturating_sub(before) as f64 / 1024.0;
        let met = if each <= 8.0 { "met" } else { "not met" };
        report.row(&[there.to_string(), format!("{each:.1}"), format!("{left:+.1}"), met.into()]);
    }
}

/// From nothing to the first answer, what it then holds, and what `authctl status` takes.
async fn start(wanted: &Wanted, report: &mut Report) {
    report.section(
        "Start and size",
        "Budgets: first answer ≤ 60 ms on an empty store, ≤ 12 MiB resident, authctl status ≤ 15 ms.",
        &["what", "", "budget"],
    );
    let (mut first, mut again, mut resident, mut status) =
        (Spread::default(), Spread::default(), Spread::default(), Spread::default());
    for _ in 0..wanted.rounds {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let mut peer = servers::authd(dir);
        first.add(peer.started_in.as_secs_f64() * 1e3);
        let dir = peer.dir.take().unwrap();
        drop(peer);
        let peer = servers::authd(dir);
        again.add(peer.started_in.as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_secs(1)).await;
        resident.add(peer.resident() as f64 / 1024.0);
        status.add(servers::status(&path).as_secs_f64() * 1e3);
    }
    let met = |spread: &Spread, most: f64| if spread.median() <= most { "met" } else { "not met" }.to_owned();
    report.row(&["first start, keys made: ms".into(), first.tenths(), String::new()]);
    report.row(&["start on a store that is there: ms".into(), again.tenths(), met(&again, 60.0)]);
    report.row(&["resident: MiB".into(), resident.tenths(), met(&resident, 12.0)]);
    report.row(&["authctl status: ms".into(), status.tenths(), met(&status, 15.0)]);
}

fn main() {
    if std::env::args().any(|word| word == "bare") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(servers::serve_bare());
    }
    let wanted = Wanted::read();
    // As many connections as the system lets us have.
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most);
    let mut report = Report::new(wanted.rounds, wanted.lasts);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        if wanted.has("requests") {
            requests(&wanted, &mut report).await;
            changes(&wanted, &mut report).await;
        }
        if wanted.has("flood") {
            flood::flood(&wanted, &mut report).await;
        }
        if wanted.has("idle") {
            idle(&mut report).await;
        }
        if wanted.has("start") {
            start(&wanted, &mut report).await;
        }
        if wanted.has("hashes") {
            crypto::hashes(wanted.rounds, &mut report).await;
            crypto::signatures(wanted.rounds, &mut report);
        }
        if wanted.has("peers") {
            peers::peers(&wanted, &mut report).await;
        }
    });
    if let Some(path) = &wanted.report {
        std::fs::write(path, report.text()).unwrap();
    }
}
