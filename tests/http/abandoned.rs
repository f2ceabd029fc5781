//! Requests whose client goes away in the middle: what was asked is done whole or not at all, and nobody gets another's
//! answer (F-22).

use std::time::Duration;

use serde_json::json;
use tests::{PASSWORD, Server, ctl::ctl};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// More with `AUTHD_TEST_LONG=1`.
fn rounds() -> usize {
    if std::env::var_os("AUTHD_TEST_LONG").is_some() { 10_000 } else { 200 }
}

/// Sends a request and lets go of it: at once, after the head, in the body, or when the handler has got so far.
async fn abandon(server: &Server, path: &str, body: &str, n: usize) {
    let host = format!("localhost:{}", server.address.port());
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let cut = match n % 5 {
        0 => request.len() / 3,
        1 => request.len() - length / 2,
        _ => request.len(),
    };
    stream.write_all(&request.as_bytes()[..cut]).await.unwrap();
    if cut == request.len() {
        // Anywhere from before the handler began to after it answered.
        let waits = Duration::from_micros(u64::try_from(n * 137 % 4000).unwrap());
        let _ = tokio::time::timeout(waits, stream.read_u8()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_22_an_abandoned_sign_up_has_made_a_whole_account_or_none() {
    let server = Server::builder().set("throttle.failures", "false").start().await;
    let (mut made, mut not) = (0, 0);
    for n in 0..rounds() {
        let email = format!("user{n}@example.com");
        let body = json!({"email": email, "password": PASSWORD, "name": "U"});
        abandon(&server, "/api/auth/signup", &body.to_string(), n).await;
        let signed_in = server.client().post("/api/auth/login", &body).await;
        match signed_in.status {
            200 => made += 1,
            401 => not += 1,
            _ => panic!("{signed_in:?}"),
        }
        if signed_in.status == 200 {
            assert_eq!(signed_in.text("/user/email"), email, "another's answer");
        } else {
            // It may still be on its way: then it is there now, and whole.
            let again = server.client().post("/api/auth/signup", &body).await;
            assert!(matches!(again.status, 201 | 422), "{again:?}");
            assert_eq!(server.client().post("/api/auth/login", &body).await.status, 200);
        }
    }
    assert!(made > 0 && not > 0, "{made} {not}");
    ctl(&server.socket).run("audit verify").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_22_an_abandoned_refresh_neither_burns_the_token_nor_counts_as_its_reuse() {
    let server = Server::start().await;
    let mut token = server.sign_up("ada@example.com").await.text("/refresh_token");
    for n in 0..rounds() {
        let body = json!({"refresh_token": token});
        abandon(&server, "/api/auth/refresh", &body.to_string(), n).await;
        let answer = server.client().post("/api/auth/refresh", &body).await;
        assert_eq!(answer.status, 200, "round {n}: {answer:?}");
        token = answer.text("/refresh_token");
    }
}
