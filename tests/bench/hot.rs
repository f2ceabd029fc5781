//! The hot paths, for the counter of instructions: `hot PATH N` asks N times, on one connection and one thread, with the server in the
//! same process. `tests/bench/instructions.sh` runs it under callgrind, which counts in [`counted`] only.

#![allow(clippy::unwrap_used, missing_docs)]

use authd::{
    door::{Found, Router},
    http::{Route, routes::ROUTES},
};
use tests::{PASSWORD, Server};
use tikv_jemallocator::Jemalloc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
};
use warp::Filter;

/// The daemon's.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What is asked: its name, the line, and what it shows.
const PATHS: [(&str, &str, Shows); 7] = [
    ("get-session", "GET /api/auth/get-session", Shows::Cookie),
    ("me", "GET /api/auth/me", Shows::Token),
    ("jwks", "GET /api/auth/jwks", Shows::Nothing),
    ("token", "GET /api/auth/token", Shows::Cookie),
    // The first and the last of the table of routes, and what is in neither.
    ("first", "GET /healthz", Shows::Nothing),
    ("last", "GET /api/auth/ok", Shows::Nothing),
    ("nowhere", "GET /api/auth/no/such/route", Shows::Nothing),
];

enum Shows {
    Nothing,
    Cookie,
    Token,
}

/// One answer, whole. They are all as long as the first one, so that who asks costs the same whatever is asked.
async fn ask(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>, length: Option<usize>) -> usize {
    stream.write_all(request).await.unwrap();
    buffer.clear();
    loop {
        assert_ne!(stream.read_buf(buffer).await.unwrap(), 0);
        if buffer.len() >= length.unwrap_or_else(|| length_of(buffer)) {
            return buffer.len();
        }
    }
}

/// How long the answer is that begins so.
fn length_of(answer: &[u8]) -> usize {
    let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return usize::MAX };
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    let body = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    head + 4 + body.unwrap_or(0)
}

async fn repeat(address: std::net::SocketAddr, request: &[u8], many: u64) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::with_capacity(4096);
    let mut length = None;
    for _ in 0..many {
        let now = ask(&mut stream, request, &mut buffer, length).await;
        assert_eq!(now, *length.get_or_insert(now), "{}", String::from_utf8_lossy(&buffer));
    }
}

/// A bare warp route, and what it is asked.
async fn bare() -> (std::net::SocketAddr, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let route =
        warp::path!("bare").map(|| warp::reply::with_header(vec![b' '; 600], "content-type", "application/json"));
    tokio::spawn(warp::serve(route).incoming(listener).run());
    (address, "GET /bare HTTP/1.1\r\nhost: localhost\r\n\r\n".into())
}

async fn authd(server: &Server, line: &str, shows: &Shows) -> String {
    let shown = match shows {
        Shows::Nothing => String::new(),
        Shows::Token => {
            let signed_up = server.sign_up("ada@example.com").await;
            format!("authorization: Bearer {}\r\n", signed_up.text("/access_token"))
        }
        Shows::Cookie => {
            let body = serde_json::json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
            let signed_up = server.client().header("origin", &server.url).post("/api/auth/sign-up/email", &body).await;
            let pairs: Vec<String> =
                signed_up.cookies().iter().filter_map(|line| Some(line.split(';').next()?.to_owned())).collect();
            format!("cookie: {}\r\n", pairs.join("; "))
        }
    };
    let host = server.url.trim_start_matches("http://");
    format!("{line} HTTP/1.1\r\nhost: {host}\r\n{shown}\r\n")
}

/// What callgrind counts: nothing before and nothing after it.
#[inline(never)]
fn counted(runtime: &Runtime, address: std::net::SocketAddr, request: &[u8], many: u64) {
    runtime.block_on(repeat(address, request, many));
}

/// Only the finding of a route, of a table as it is built for two mounts: `route-one` in a table of that route alone, `route-first` and
/// `route-last` in the whole table, `routes` all of it one after the other.
fn routing(which: &str, many: u64) {
    let paths: Vec<(http::Method, String, &'static Route)> = ROUTES
        .iter()
        .flat_map(|route| {
            let mounts: &[&str] = if route.is_mounted { &["/api/auth", "/api"] } else { &[""] };
            mounts.iter().map(move |mount| (route.verb.method(), format!("{mount}{}", route.path), route))
        })
        .collect();
    let (first, last) = (&paths[..1], &paths[paths.len() - 1..]);
    let (known, asked) = match which {
        "route-one" => (last, last),
        "route-first" => (&paths[..], first),
        "route-last" => (&paths[..], last),
        _ => (&paths[..], &paths[..]),
    };
    let mut router = Router::default();
    for (method, path, route) in known {
        router.insert(method.clone(), path, *route);
    }
    // A value where the path has a parameter.
    let asked: Vec<(http::Method, String)> =
        asked.iter().map(|(method, path, _)| (method.clone(), path.replace(['{', '}'], "x"))).collect();
    counted_routing(&router, &asked, many);
}

#[inline(never)]
fn counted_routing(router: &Router<Route>, asked: &[(http::Method, String)], many: u64) {
    for (method, path) in asked.iter().cycle().take(usize::try_from(many).unwrap()) {
        assert!(matches!(std::hint::black_box(router).find(method, path), Found::Route(..)), "{method} {path}");
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [path, many] = &words[..] else { return };
    let many = many.parse().unwrap();
    if path.starts_with("route") {
        return routing(path, many);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (address, request, server) = runtime.block_on(async {
        if path == "bare" {
            let (address, request) = bare().await;
            return (address, request, None);
        }
        let (_, line, shows) = PATHS.iter().find(|(name, ..)| name == path).unwrap();
        let server = Server::builder().set("throttle.requests", "off").start().await;
        let request = authd(&server, line, shows).await;
        (server.address, request, Some(server))
    });
    runtime.block_on(repeat(address, request.as_bytes(), 100));
    counted(&runtime, address, request.as_bytes(), many);
    drop(server);
}
