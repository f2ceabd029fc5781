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
async fn ht_01_a_chunked_body_is_counted_as_it_comes() {
    let server = Server::builder().set("http.max_body", "1KiB").start().await;
    let send = |sizes: &[usize]| {
        let mut sent = String::from(
            "POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for size in sizes {
            sent.push_str(&format!("{size:x}\r\n{}\r\n", " ".repeat(*size)));
        }
        sent.push_str("0\r\n\r\n");
        let server = &server;
        async move { answers_until_closed(server, sent.as_bytes()).await }
    };
    for fits in [&[1024][..], &[1000, 24], &[512, 512]] {
        let answer = send(fits).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains("BAD_REQUEST"),
            "white space is no JSON: {answer}"
        );
    }
    for too_large in [&[1025][..], &[1024, 1], &[512, 513]] {
        let answer = send(too_large).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
    }
}

/// The status line's number of the one answer to a GET with these header lines; the server closes after it.
async fn status_of(server: &Server, target: &str, lines: &str) -> String {
    let sent = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
    answers_until_closed(server, sent.as_bytes()).await.get(9..12).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn ht_01_a_head_has_16_kib_and_100_fields_and_no_more() {
    let server = Server::start().await;
    let frame = "GET /api/auth/ok HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Long: \r\n\r\n".len();
    for (total, status) in [(16_384, "200"), (16_385, "431"), (20_000, "431"), (40_000, "431")] {
        let line = format!("X-Long: {}\r\n", "x".repeat(total - frame));
        assert_eq!(status_of(&server, "/api/auth/ok", &line).await, status, "{total} bytes");
    }
    for (fields, status) in [(100, "200"), (101, "431"), (200, "431")] {
        // Two of them are Host and Connection.
        let lines: String = (2..fields).map(|n| format!("X-{n}: y\r\n")).collect();
        assert_eq!(status_of(&server, "/api/auth/ok", &lines).await, status, "{fields} fields");
    }
}

#[tokio::test]
async fn ht_01_a_target_has_8_kib_and_no_more() {
    let server = Server::start().await;
    let target = |start: &str, length: usize| format!("{start}{}", "x".repeat(length - start.len()));
    for start in ["/api/auth/ok?", "http://localhost/api/auth/ok?"] {
        assert_eq!(status_of(&server, &target(start, 8192), "").await, "200", "{start}");
        assert_eq!(status_of(&server, &target(start, 8193), "").await, "414", "{start}");
    }
    assert_eq!(status_of(&server, &target("/nowhere/", 8193), "").await, "414", "before anything is looked for");
    let answer = server.client().get(&target("/api/auth/ok?", 8193)).await;
    assert_eq!(answer.short(), r#"414 {"code":"URI_TOO_LONG","message":"The URL is too long"}"#);
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "dressed as every answer");
}

#[tokio::test]
async fn ht_01_json_has_32_levels_and_1000_members_and_no_more() {
    let server = Server::start().await;
    let code = |body: String| {
        let client = server.client();
        async move { client.send(Method::POST, "/api/auth/login", Some("application/json"), body.into()).await.code() }
    };
    let nested = |depth: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(code(nested(32)).await, "VALIDATION_ERROR", "read, and then there is no e-mail address");
    assert_eq!(code(nested(33)).await, "BAD_REQUEST");
    let members = |n: usize| format!("{{{}}}", (0..n).map(|n| format!(r#""x{n}":0"#)).collect::<Vec<_>>().join(","));
    assert_eq!(code(members(1000)).await, "VALIDATION_ERROR");
    assert_eq!(code(members(1001)).await, "BAD_REQUEST");
    let elements = |n: usize| format!(r#"{{"x":[{}]}}"#, vec!["0"; n - 1].join(","));
    assert_eq!(code(elements(1000)).await, "VALIDATION_ERROR", "elements count as members do");
    assert_eq!(code(elements(1001)).await, "BAD_REQUEST");
}

#[tokio::test]
async fn ht_01_cookies_of_others_do_not_crowd_out_a_session() {
    let server = Server::start().await;
    let browser = server.browser("http://localhost:5173");
    let sign_up = json!({"email": "ada@example.com", "password": PASSWORD, "mode": "cookie"});
    assert_eq!(browser.post("/api/auth/signup", &sign_up).await.status, 201);
    let session = browser.session_cookie();
    let me = |cookies: String| {
        let client = server.client().header("cookie", &cookies);
        async move { client.get("/api/auth/me").await.status }
    };
    assert_eq!(me(session.clone()).await, 200);
    let many: String = (0..500).map(|n| format!("c{n}=x; ")).collect();
    assert_eq!(me(format!("{many}{session}")).await, 200);
    assert_eq!(me(format!("large={}; {session}", "x".repeat(8000))).await, 200);
    let name = session.split_once('=').unwrap().0;
    let long = format!("{session}; {name}={}", "x".repeat(5000));
    assert_eq!(me(long).await, 401, "another value of the same name, however long");
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

/// The answers on a connection, one after the other: the head of each with its first bytes of body. Ends when the server
/// closes, long before it would for silence; this side's sending half stays open until then.
async fn answers_until_closed(server: &Server, sent: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut out = vec![];
    let closed = stream.read_to_end(&mut out);
    tokio::time::timeout(std::time::Duration::from_secs(30), closed).await.expect("the server closes").unwrap();
    String::from_utf8_lossy(&out).into_owned()
}

#[tokio::test]
async fn ht_03_ambiguous_requests_are_refused_and_the_connection_closed() {
    let server = Server::start().await;
    let good = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let smuggled = "GET /api/auth/ok HTTP/1.1\r\nHost: localhost\r\nX-Smuggled: yes\r\n\r\n";
    let post = |fields: &str, rest: &str| {
        format!("POST /api/auth/logout HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{rest}")
    };
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let chunks = "0\r\n\r\n";
    for bad in [
        post("Content-Length: 5\r\nTransfer-Encoding: chunked", chunks),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5", chunks),
        post(&format!("Content-Length: 0\r\nContent-Length: {}", smuggled.len()), ""),
        post("Content-Length: 0\r\nContent-Length: 0", ""),
        post("Content-Length: +0", ""),
        post(&format!("Content-Length: {}0", "0".repeat(60)), ""),
        post("Content-Length : 0", ""),
        post("Transfer-Encoding: gzip, chunked", chunks),
        post("Transfer-Encoding: identity", ""),
        post("Transfer-Encoding: xchunked", chunks),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", chunks),
        post("Transfer-Encoding: chunked, chunked", chunks),
        post("Transfer-Encoding: chunked", chunks).replace("HTTP/1.1", "HTTP/1.0"),
        post("X-A: 1\r\n Content-Length: 5", ""),
        post("X-A: 1\rX-B: 2", ""),
        post("X-A: 1\nX-B: 2", ""),
        get("/api/auth/ok#x"),
        get("/api/auth/ok?a=b#x"),
        get("/api/auth/ö"),
        get("/api/auth/ok\u{1}"),
        get("/api/auth/ok\t"),
        get("/api/auth/ok").replace("\r\n", "\n"),
    ] {
        for before in [0, 2] {
            let sent = format!("{}{bad}{smuggled}", good.repeat(before));
            let answers = answers_until_closed(&server, sent.as_bytes()).await;
            let statuses: Vec<&str> = answers.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).collect();
            let expected: Vec<&str> = std::iter::repeat_n("200", before).chain(["400"]).collect();
            assert_eq!(statuses, expected, "{bad:?}");
        }
    }
    // What is not ambiguous: the coding in capitals, a length with white space, an empty line before the request.
    let fine = "\r\nPOST /api/auth/logout HTTP/1.1\r\nHost: localhost\r\nContent-Length:\t0 \r\n\r\n";
    let chunked = post("Content-Type: application/json\r\nTransfer-Encoding: Chunked", chunks);
    let answers = answers_until_closed(&server, format!("{fine}{chunked}{smuggled}").as_bytes()).await;
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "200"], "and after a chunked body nothing is looked for: {answers}");
}

#[tokio::test]
async fn who_is_answered_before_its_body_was_read_is_told_that_the_connection_closes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::start().await;
    for (line, status) in [
        ("POST /api/auth/no-such-route", "404"),
        ("PATCH /api/auth/sign-in/email", "404"),
        ("POST /api/auth/sign-in/email", "413"),
        ("GET /api/auth/ok", "200"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 400000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{line}: {answer}");
    }
    // What was read to its end keeps the connection.
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let whole = "POST /api/auth/sign-out HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 2\r\n\r\n{}";
    for _ in 0..2 {
        stream.write_all(whole.as_bytes()).await.unwrap();
        let mut answer = vec![];
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.to_lowercase().contains("connection:"), "{answer}");
    }
}

#[tokio::test]
async fn ht_03_bodies_with_broken_chunks_are_refused_and_methods_of_proxies_too() {
    let server = Server::start().await;
    let smuggled = "GET /api/auth/ok HTTP/1.1\r\nHost: localhost\r\nX-Smuggled: yes\r\n\r\n";
    for chunks in ["x\r\n", "-1\r\n", "3\r\nfoobar\r\n", "3\r\nfoo\r\n\r\n", "5\r\r;ABCD\r\n", "fffffffffffffffff\r\n"]
    {
        let head = "POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answers = answers_until_closed(&server, format!("{head}{chunks}{smuggled}").as_bytes()).await;
        assert!(answers.starts_with("HTTP/1.1 400") && answers.contains("broken off"), "{chunks:?}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{chunks:?}: {answers}");
    }
    for method in ["TRACE /api/auth/ok", "CONNECT localhost:80"] {
        let sent = format!("{method} HTTP/1.1\r\nHost: localhost\r\n\r\n{smuggled}");
        let answers = answers_until_closed(&server, sent.as_bytes()).await;
        assert!(answers.starts_with("HTTP/1.1 400") && answers.matches("HTTP/1.1 ").count() == 1, "{answers}");
    }
}

/// Vectors that are refused for another reason than theirs, which comes first: (name, status, why).
const NOT_400: &[(&str, &str, &str)] = &[
    (
        "connection: No restart when keep-alive is off (1.0)",
        "421",
        "the first request names no host; the second is not read",
    ),
    ("connection: Upgrade GET request", "421", "an upgrade is not refused but ignored; the host is not served"),
    ("method: PRI request HTTP2", "421", "as HTTP/1.1 only an unknown method; no host"),
    ("transfer-encoding: No extension after semicolon", "404", "no such path: the body is not read"),
    ("transfer-encoding: Unbalanced chunk extensions quoting", "421", "no host: the body is not read"),
    ("transfer-encoding: Missing last-chunk", "421", "no host: the body is not read"),
    ("transfer-encoding: Chunk header not terminated by CRLF", "421", "the host is not served: the body is not read"),
    ("transfer-encoding: Chunk data not terminated by CRLF", "421", "the host is not served: the body is not read"),
];

#[tokio::test]
async fn ht_03_the_outside_requests_with_bad_framing_are_refused() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let Some(vectors) = shared::json("vectors/http1/llhttp-requests.json") else { return };
    let server = Server::start().await;
    let (mut refused, mut taken) = (0, 0);
    let mut problems = vec![];
    for vector in vectors.as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let bytes = STANDARD.decode(vector["raw_b64"].as_str().unwrap()).unwrap();
        let answer = String::from_utf8_lossy(&server.client().raw(&bytes).await).into_owned();
        let statuses: Vec<&str> = answer.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).collect();
        let is_http = answer.is_empty() || answer.starts_with("HTTP/1.");
        assert!(is_http && statuses.iter().all(|status| !status.starts_with('5')), "{name}: {answer}");
        match vector["expect"].as_str().unwrap() {
            "reject" => {
                refused += 1;
                let expected = NOT_400.iter().find(|(n, ..)| *n == name).map_or("400", |(_, status, _)| status);
                if statuses != [expected] {
                    problems.push(format!("{name}: {statuses:?}"));
                }
            }
            "parse" => taken += 1,
            other => panic!("{name}: {other}"),
        }
    }
    assert_eq!(problems, Vec::<String>::new());
    assert!(refused >= 28 && taken >= 28, "{refused} {taken}");
}

#[tokio::test]
async fn ht_02_all_bodies_together_have_a_limit_and_beyond_it_a_request_is_told_to_come_again() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::builder().set("http.max_body_total", "128KiB").start().await;
    let begun = async |sent: usize| {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let head = "POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; sent]).await.unwrap();
        stream
    };
    let login = async || {
        let body = json!({"email": "ada@example.com", "password": "wrong password"});
        server.client().post("/api/auth/login", &body).await
    };
    let mut announced = vec![];
    for _ in 0..20 {
        announced.push(begun(0).await);
    }
    assert_eq!(login().await.status, 401, "to announce a body costs nothing");
    let (mut first, second) = (begun(59_999).await, begun(59_999).await);
    let until = async |status: u16| loop {
        let answer = login().await;
        if answer.status == status {
            break answer;
        }
    };
    let minute = std::time::Duration::from_mins(1);
    let refused = tokio::time::timeout(minute, until(503)).await.expect("two bodies fill the room");
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("SERVICE_UNAVAILABLE", "1"));
    assert_eq!(refused.header("connection"), "close", "the body was not read");
    assert_eq!(server.client().get("/api/auth/get-session").await.status, 200, "who sends none is served");
    // What is finished gives its room back before it is answered.
    first.write_all(b"x").await.unwrap();
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(login().await.status, 401);
    // And so does what breaks off.
    let third = begun(59_999).await;
    tokio::time::timeout(minute, until(503)).await.expect("full again");
    drop((second, third));
    tokio::time::timeout(minute, until(401)).await.expect("nothing is held");
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
        "/v1/openapi.json",
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
