//! The hot paths one after the other, for the counter of instructions: `hot PATH N` asks N times, on one connection and one
//! thread, with the server in the same process. `tests/bench/instructions.sh` runs it under callgrind with two counts and takes the
//! difference, so neither start nor end are in it.

#![allow(clippy::unwrap_used, missing_docs)]

use tests::{PASSWORD, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use warp::Filter;

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

async fn ask(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) {
    stream.write_all(request).await.unwrap();
    buffer.clear();
    loop {
        assert_ne!(stream.read_buf(buffer).await.unwrap(), 0);
        // All of these answers are small, and come whole.
        let Some(head) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        if buffer.len() >= head + 4 + length.unwrap_or(0) {
            return;
        }
    }
}

async fn repeat(address: std::net::SocketAddr, request: &[u8], many: u64) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::with_capacity(4096);
    for _ in 0..many {
        ask(&mut stream, request, &mut buffer).await;
    }
}

async fn bare(many: u64) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let route =
        warp::path!("bare").map(|| warp::reply::with_header(vec![b' '; 600], "content-type", "application/json"));
    tokio::spawn(warp::serve(route).incoming(listener).run());
    repeat(address, b"GET /bare HTTP/1.1\r\nhost: localhost\r\n\r\n", many).await;
}

async fn of_authd(path: &str, many: u64) {
    let (_, line, shows) = PATHS.iter().find(|(name, ..)| *name == path).unwrap();
    let server = Server::builder().set("throttle.requests", "off").start().await;
    let signed_up = server.sign_up("ada@example.com").await;
    let shown = match shows {
        Shows::Nothing => String::new(),
        Shows::Token => format!("authorization: Bearer {}\r\n", signed_up.text("/access_token")),
        Shows::Cookie => {
            let body = serde_json::json!({"email": "ada@example.com", "password": PASSWORD});
            let signed_in = server.client().header("origin", &server.url).post("/api/auth/sign-in/email", &body).await;
            let pairs: Vec<String> =
                signed_in.cookies().iter().filter_map(|line| Some(line.split(';').next()?.to_owned())).collect();
            format!("cookie: {}\r\n", pairs.join("; "))
        }
    };
    let host = server.url.trim_start_matches("http://");
    let request = format!("{line} HTTP/1.1\r\nhost: {host}\r\n{shown}\r\n");
    repeat(server.address, request.as_bytes(), many).await;
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [path, many] = &words[..] else { return };
    let many = many.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match path.as_str() {
            "bare" => bare(many).await,
            path => of_authd(path, many).await,
        }
    });
}
