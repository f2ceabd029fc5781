//! Valid requests of every route, and what becomes of them when bytes, lines, headers and bodies are changed at random
//! (HT-08, F-21). Some thousands each run; a hundred thousand with `AUTHD_TEST_LONG=1`. `AUTHD_TEST_SEED` repeats a run.

#![allow(clippy::print_stderr)] // the seed

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use authd::{admin, crypto::entropy::SystemEntropy, door::Verb, http, ports::Entropy};
use serde_json::json;
use tests::{PASSWORD, Server};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// `SplitMix64`: as random as this needs, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A place in bytes of this length.
    fn cut(&mut self, length: usize) -> (usize, usize) {
        let from = self.below(length);
        (from, (from + 1 + self.below(24)).min(length))
    }
}

/// Lines that a request may get in addition.
const LINES: &[&str] = &[
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding : chunked",
    "Expect: 100-continue",
    "Upgrade: h2c",
    "Connection: close",
    "Connection: upgrade, close, keep-alive",
    "Host: evil.example",
    "Host:",
    " folded",
    "X-Forwarded-For: ::ffff:1.2.3.4, x",
    "Forwarded: for=\"[::1\"",
    "Origin: null",
    "Origin: http://localhost:1",
    "Sec-Fetch-Site: cross-site",
    "Access-Control-Request-Method: POST",
    "Cookie: better-auth.session_token=x.y; a=\"b",
    "Cookie: better-auth.session_token=%00%ff%2e; =; ;;",
    "Authorization: Bearer a.b.c",
    "Authorization: Basic Og==",
    "Idempotency-Key: x",
    "Accept-Encoding: gzip;q=\u{fffd}",
    "If-None-Match: \"x\", W/\"y\", *",
    "Content-Type: application/json; charset=utf-16",
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Type: multipart/form-data; boundary=x",
    "Range: bytes=0-0",
];

/// Bytes that mean something to somebody.
const BYTES: &[&[u8]] = &[
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\x1b[31m",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b":",
    b",",
    b"null",
    b"1e999",
    b"-",
    b"%",
    b"%00",
    b"%2e%2e%2f",
    b"/../",
    b"//",
    b"?",
    b"#",
    b" ",
    b"\t",
    b"\\u0000",
    b"\\ud800",
    b"\xe2\x80\xae",
    b"'",
    b"\x7f",
    b"HTTP/1.1",
    b"HTTP/9.9",
    b"0\r\n\r\n",
    b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

fn mutated(dice: &mut Dice, all: &[String]) -> Vec<u8> {
    let mut bytes = dice.of(all).clone().into_bytes();
    for _ in 0..=dice.below(3) {
        if bytes.is_empty() {
            break;
        }
        let (from, to) = dice.cut(bytes.len());
        match dice.below(11) {
            0 => bytes[from] ^= 1 << dice.below(8),
            1 => bytes[from] = u8::try_from(dice.below(256)).unwrap(),
            2 => drop(bytes.drain(from..to)),
            3 => drop(bytes.splice(from..from, dice.of(BYTES).iter().copied())),
            4 => drop(bytes.splice(from..to, dice.of(BYTES).iter().copied())),
            5 => {
                let piece = bytes[from..to].to_vec();
                let times = 1 + dice.below(40);
                drop(bytes.splice(from..from, piece.repeat(times)));
            }
            6 => {
                // A line more, where a line may stand.
                let ends: Vec<usize> = (2..bytes.len()).filter(|at| bytes[at - 2..*at] == *b"\r\n").collect();
                let at = ends.get(dice.below(ends.len())).copied().unwrap_or(0);
                let line = format!("{}\r\n", dice.of(LINES));
                drop(bytes.splice(at..at, line.into_bytes()));
            }
            7 => {
                // A line less, or twice.
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let mut lines: Vec<&str> = text.split("\r\n").collect();
                let at = dice.below(lines.len());
                match dice.below(2) {
                    0 => _ = lines.remove(at),
                    _ => lines.insert(at, lines[at]),
                }
                bytes = lines.join("\r\n").into_bytes();
            }
            8 => bytes.truncate(from),
            9 => {
                // The end of another request.
                let other = dice.of(all).as_bytes().to_vec();
                let at = dice.below(other.len());
                bytes.truncate(from);
                bytes.extend_from_slice(&other[at..]);
            }
            _ => {
                let long = "x".repeat(1 << dice.below(16));
                drop(bytes.splice(from..from, long.into_bytes()));
            }
        }
    }
    bytes
}

/// One valid request of a route.
fn request(verb: Verb, path: &str, lines: &str, body: &str) -> String {
    let typed = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    format!("{} {path} HTTP/1.1\r\n{lines}{typed}Content-Length: {length}\r\n\r\n{body}", verb.method())
}

/// What the answers were.
#[derive(Default)]
struct Tally {
    sent: AtomicUsize,
    answered: AtomicUsize,
    refused: AtomicUsize,
}

/// All statuses in what came back. Bodies of ours have no such text in them.
fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok()).collect()
}

/// Sends one thing after the other on one connection as long as it lasts, and at last closes the sending half: whatever
/// the other side makes of it, it has to close then, and within its time limits.
async fn converse<S>(mut stream: S, requests: &[Vec<u8>], tally: &Tally, seed: u64)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let all = requests.concat();
    // The server may answer and close before it has read everything.
    let (mut reading, mut writing) = tokio::io::split(&mut stream);
    let mut out = vec![];
    let send = async {
        let _ = writing.write_all(&all).await;
        let _ = writing.shutdown().await;
    };
    let receive = timeout(Duration::from_mins(1), reading.read_to_end(&mut out));
    let ((), received) = tokio::join!(send, receive);
    assert!(received.is_ok(), "seed {seed}: the connection stays open after {:?}", String::from_utf8_lossy(&all));
    let statuses = statuses(&out);
    assert!(
        statuses.iter().all(|status| *status < 500 || *status == 503),
        "seed {seed}: {statuses:?} to {:?}\n{}",
        String::from_utf8_lossy(&all),
        String::from_utf8_lossy(&out)
    );
    let text = String::from_utf8_lossy(&out);
    if let (Some(closes), Some(last)) = (text.find("connection: close"), text.rfind("HTTP/1.1 ")) {
        assert!(last < closes, "seed {seed}: answers after the connection was to be closed\n{text}");
    }
    tally.sent.fetch_add(requests.len(), Ordering::Relaxed);
    tally.answered.fetch_add(statuses.len(), Ordering::Relaxed);
    tally.refused.fetch_add(statuses.iter().filter(|status| **status >= 400).count(), Ordering::Relaxed);
}

enum Door {
    Public(std::net::SocketAddr),
    Admin(PathBuf),
}

/// Panics, wherever they happen: one in a task of a connection would leave no answer to look at.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
}

/// So many requests, from four connections at a time.
async fn batter(door: Arc<Door>, valid: Vec<String>, count: usize) -> Arc<Tally> {
    let seed = std::env::var("AUTHD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let mut seed = [0; 8];
        SystemEntropy::default().fill(&mut seed);
        u64::from_le_bytes(seed)
    });
    count_panics();
    eprintln!("AUTHD_TEST_SEED={seed} ({count} requests)");
    let (tally, valid) = (Arc::new(Tally::default()), Arc::new(valid));
    let workers: Vec<_> = (0..4_u64)
        .map(|worker| {
            let (door, tally, valid) = (door.clone(), tally.clone(), valid.clone());
            tokio::spawn(async move {
                let mut dice = Dice(seed.wrapping_add(worker << 32));
                let mut left = count / 4;
                while left > 0 {
                    let n = (1 + dice.below(3)).min(left);
                    let requests: Vec<Vec<u8>> = (0..n).map(|_| mutated(&mut dice, &valid)).collect();
                    match &*door {
                        Door::Public(address) => {
                            converse(TcpStream::connect(address).await.unwrap(), &requests, &tally, seed).await;
                        }
                        Door::Admin(path) => {
                            converse(UnixStream::connect(path).await.unwrap(), &requests, &tally, seed).await;
                        }
                    }
                    left -= n;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    tally
}

fn count(short: usize, long: usize) -> usize {
    if std::env::var_os("AUTHD_TEST_LONG").is_some() { long } else { short }
}

/// Still of sound mind: ready, and somebody new can sign up.
async fn assert_well(server: &Server, tally: &Tally) {
    assert_eq!(server.client().get("/readyz").await.status, 200);
    assert_eq!(server.sign_up("last@example.com").await.status, 201);
    let (sent, answered) = (tally.sent.load(Ordering::Relaxed), tally.answered.load(Ordering::Relaxed));
    let refused = tally.refused.load(Ordering::Relaxed);
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
    eprintln!("{sent} sent, {answered} answered, {refused} of them refused");
    assert!(answered * 4 > sent && refused * 4 > sent, "{sent} {answered} {refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ht_08_mutated_requests_to_every_public_route_are_answered_below_500() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let (access, refresh) = (made.text("/access_token"), made.text("/refresh_token"));
    let browser = server.browser(&server.url);
    let sign_in = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(browser.post("/api/auth/login", &sign_in).await.status, 200);
    let host = format!("Host: localhost:{}\r\n", server.address.port());
    let origin = format!("Origin: {}\r\n", server.url);
    let cookie = format!("Cookie: {}\r\n", browser.cookie_header());
    let bearer = format!("Authorization: Bearer {access}\r\n");
    let bodies = [
        json!({"email": "ada@example.com", "password": PASSWORD, "rememberMe": true, "name": "Ada"}).to_string(),
        json!({"email": "bob@example.com", "password": PASSWORD, "mode": "token", "image": "https://x.example/a.png"})
            .to_string(),
        json!({"refresh_token": refresh}).to_string(),
        "{}".to_owned(),
    ];
    let mut valid = vec![];
    for route in http::routes::ROUTES {
        let path = if route.is_mounted { format!("/api/auth{}", route.path) } else { route.path.to_owned() };
        for lines in
            [host.clone(), format!("{host}{origin}{cookie}"), format!("{host}{bearer}"), format!("{host}{origin}")]
        {
            match route.verb {
                Verb::Get => valid.push(request(route.verb, &format!("{path}?disableCookieCache=true"), &lines, "")),
                _ => valid.extend(bodies.iter().map(|body| request(route.verb, &path, &lines, body))),
            }
        }
    }
    assert!(valid.len() >= http::routes::ROUTES.len() * 4);
    let tally = batter(Arc::new(Door::Public(server.address)), valid, count(3_000, 100_000)).await;
    assert_well(&server, &tally).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ht_08_mutated_requests_to_every_admin_route_are_answered_below_500() {
    let server = Server::start().await;
    let token = server.sign_up("ada@example.com").await.text("/access_token");
    let lines = "Host: authd\r\nauthd-reason: because\r\nIdempotency-Key: a-key-of-some-length\r\n";
    let bodies = [
        json!({"email": "bob@example.com", "password": PASSWORD, "name": "Bob", "temporary": true}).to_string(),
        json!({"token": token, "reason": "x", "until": 1_900_000_000_i64, "atOnce": true, "password": PASSWORD})
            .to_string(),
        json!({"sessions": ["x"], "user": "ada@example.com", "all": true, "expect": 1}).to_string(),
        "{}".to_owned(),
    ];
    let mut valid = vec![];
    for route in admin::routes::ROUTES {
        let path = route.path.replace("{user}", "ada@example.com").replace("{session}", "x").replace("{kid}", "x");
        match route.verb {
            Verb::Get => valid.push(request(route.verb, &format!("{path}?limit=10&after=x&contains=a"), lines, "")),
            _ => valid.extend(bodies.iter().map(|body| request(route.verb, &path, lines, body))),
        }
    }
    let tally = batter(Arc::new(Door::Admin(server.socket.clone())), valid, count(1_000, 10_000)).await;
    assert_well(&server, &tally).await;
}
