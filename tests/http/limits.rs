//! Sizes, times and framing.

use http::Method;
use serde_json::json;
use tests::{PASSWORD, Server, shared};

#[tokio::test]
async fn ht_01_bodies_are_limited_announced_or_not() {
    let server = Server::start().await;
    let body = |size: usize| {
        let pad = "x".repeat(size - r#"{"email":"a@b.co","password":"x","pad":""}"#.len());
        format!(r#"{{"email":"a@b.co","password":"x","pad":"{pad}"}}"#)
    };
    let json = Some("application/json");
    let fits = server.client().send(Method::POST, "/api/auth/login", json, body(65_536).into()).await;
    assert_eq!(fits.code(), "INVALID_EMAIL_OR_PASSWORD");
    let answer = server.client().send(Method::POST, "/api/auth/login", json, body(65_537).into()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    assert_eq!(answer.header("connection"), "close");

    let head = "POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut chunked = head.as_bytes().to_vec();
    for _ in 0..40 {
        chunked.extend_from_slice(format!("{:x}\r\n{}\r\n", 4096, "x".repeat(4096)).as_bytes());
    }
    let answer = String::from_utf8_lossy(&server.client().raw(&chunked).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let small = Server::builder().set("http.max_body", "1KiB").start().await;
    let answer = small.client().send(Method::POST, "/api/auth/login", json, body(1025).into()).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn ht_01_a_head_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let long = format!("GET /api/auth/ok HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    let answer = String::from_utf8_lossy(&server.client().raw(long.as_bytes()).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let many = format!("GET /api/auth/ok HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    let answer = String::from_utf8_lossy(&server.client().raw(many.as_bytes()).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn ht_02_a_silent_connection_is_closed() {
    let server = Server::builder().set("http.header_timeout", "1s").start().await;
    for sent in ["", "GET /api/auth/ok HTTP/1.1\r\nHost: loc"] {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, sent.as_bytes()).await.unwrap();
        let mut out = vec![];
        // Ends because the server closes; the sending half stays open on this side.
        let closed = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut out);
        tokio::time::timeout(std::time::Duration::from_secs(30), closed).await.expect("closed").unwrap();
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_not_dropped() {
    let server = Server::builder().set("http.max_connections", "2").set("http.idle_timeout", "1s").start().await;
    let held: Vec<_> =
        futures_util::future::join_all((0..2).map(|_| tokio::net::TcpStream::connect(server.address))).await;
    assert!(held.iter().all(Result::is_ok));
    let waiting = tokio::spawn({
        let client = server.client();
        async move { client.get("/api/auth/ok").await }
    });
    drop(held);
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test]
async fn ht_03_ambiguous_framing_never_yields_a_second_request() {
    let server = Server::start().await;
    let smuggled = "GET /api/auth/ok HTTP/1.1\r\nHost: localhost\r\nX-Smuggled: yes\r\n\r\n";
    for first in [
        format!(
            "POST /api/auth/logout HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /api/auth/logout HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n{smuggled}",
            smuggled.len()
        ),
        format!(
            "POST /api/auth/logout HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!("TRACE /api/auth/ok HTTP/1.1\r\nHost: localhost\r\n\r\n{smuggled}"),
    ] {
        let answer = String::from_utf8_lossy(&server.client().raw(first.as_bytes()).await).into_owned();
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{first}\n---\n{answer}");
    }
}

#[tokio::test]
async fn ht_03_the_outside_requests_with_bad_framing_are_refused() {
    let Some(vectors) = shared::json("vectors/http1/llhttp-requests.json") else { return };
    let server = Server::start().await;
    let mut refused = 0;
    let mut doubtful = vec![];
    for vector in vectors.as_array().unwrap() {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let bytes = STANDARD.decode(vector["raw_b64"].as_str().unwrap()).unwrap();
        let answer = String::from_utf8_lossy(&server.client().raw(&bytes).await).into_owned();
        assert!(!answer.contains("HTTP/1.1 5"), "{}: {answer}", vector["name"]);
        if vector["expect"] == "reject" {
            let answers = answer.matches("HTTP/1.").count();
            let taken = answer.starts_with("HTTP/1.1 2");
            if answers > 1 || taken {
                doubtful.push(format!("{}: {answers} answers", vector["name"]));
            } else {
                refused += 1;
            }
        }
    }
    assert!(refused > 10, "{refused}");
    assert_eq!(doubtful, Vec::<String>::new());
}

#[tokio::test]
async fn ht_04_http2_is_not_spoken() {
    let server = Server::start().await;
    let preface = server.client().raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
    let answer = String::from_utf8_lossy(&preface).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    let upgrade = server.client().header("connection", "Upgrade, HTTP2-Settings").header("upgrade", "h2c");
    assert_eq!(upgrade.get("/api/auth/ok").await.status, 200, "answered in HTTP/1.1");
}

#[tokio::test]
async fn wb_06_every_answer_has_the_protective_headers() {
    let server = Server::builder().file("[http]\npublic_url = \"https://auth.example.com\"\n").start().await;
    let client = server.client().host("auth.example.com");
    let mut answers = vec![];
    for path in [
        "/api/auth/ok",
        "/api/auth/get-session",
        "/api/auth/me",
        "/api/auth/nothing",
        "/api/auth/jwks",
        "/healthz",
        "/readyz",
    ] {
        answers.push((path, client.get(path).await));
    }
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    answers.push(("signup", client.post("/api/auth/signup", &login).await));
    answers.push(("login", client.post("/api/auth/login", &login).await));
    answers
        .push(("wrong", client.post("/api/auth/login", &json!({"email": "ada@example.com", "password": "x"})).await));
    answers.push(("400", client.post("/api/auth/login", &json!({})).await));
    answers
        .push(("403", client.clone().header("origin", "https://evil.example").post("/api/auth/login", &login).await));
    answers.push((
        "413",
        client.send(Method::POST, "/api/auth/login", Some("application/json"), vec![b'x'; 70_000].into()).await,
    ));
    answers.push(("415", client.send(Method::POST, "/api/auth/login", Some("text/plain"), "x".into()).await));
    answers.push(("421", client.clone().host("evil.example").get("/api/auth/ok").await));
    answers.push(("404", client.send(Method::PUT, "/api/auth/login", None, "".into()).await));
    for (what, answer) in answers {
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{what}");
        assert!(!answer.header("cross-origin-resource-policy").is_empty(), "{what}");
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000", "{what}");
        assert!(!answer.header("x-request-id").is_empty(), "{what}");
        assert_eq!(answer.header("server"), "", "LG-04: no version is told");
        let cached = answer.header("cache-control").to_owned();
        assert!(cached == "no-store" || what == "/api/auth/jwks" && cached.starts_with("public"), "{what}: {cached}");
        assert!(answer.body.is_empty() || answer.header("content-type") == "application/json", "{what}");
    }
}

#[tokio::test]
async fn op_03_nothing_but_the_interface_is_on_the_public_door() {
    let server = Server::start().await;
    for path in [
        "/metrics",
        "/debug",
        "/v1/status",
        "/v1/users",
        "/openapi.json",
        "/",
        "/api",
        "/api/auth",
        "/api/auth/v1/users",
        "/admin",
    ] {
        let answer = server.client().get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{path}");
    }
    let ready = server.client().get("/readyz").await;
    assert_eq!(ready.short(), r#"200 {"status":"ready"}"#);
    assert_eq!(server.client().get("/healthz").await.short(), r#"200 {"status":"ok"}"#);
}

#[tokio::test]
async fn a_stop_answers_a_connection_that_was_accepted_before() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut server = Server::start().await;
    let mut early = tokio::net::TcpStream::connect(server.address).await.unwrap();
    // Another request of ours has been answered: so the connection before it has been accepted too.
    assert_eq!(server.client().get("/healthz").await.status, 200);
    let mut idle = tokio::net::TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    let stopping = tokio::spawn(async move { server.stop().await });
    // The idle one is told at once; when its end is seen, the stop has begun.
    let mut rest = vec![];
    idle.read_to_end(&mut rest).await.unwrap();
    early.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stopping.await.unwrap();
}
