//! By what name, and through whom, a request came.

use authd::domain::address::bucket;
use serde_json::{Value, json};
use tests::{PASSWORD, Server, shared};

#[tokio::test]
async fn only_the_configured_hosts_are_served() {
    let file = "[http]\npublic_url = \"https://auth.example.com\"\nhosts = [\"auth.internal\", \"other:8443\"]\n";
    let server = Server::builder().file(file).start().await;
    for (host, served) in [
        ("auth.example.com", true),
        ("AUTH.example.com", true),
        ("auth.internal", true),
        ("auth.internal:8000", true),
        ("other:8443", true),
        ("other", false),
        ("auth.example.com:8000", false),
        ("localhost", false),
        ("evil.example", false),
        ("auth.example.com.evil.example", false),
    ] {
        let answer = server.client().host(host).get("/api/auth/ok").await;
        let expected = if served { (200, String::new()) } else { (421, "INVALID_HOST".into()) };
        assert_eq!((answer.status, answer.code()), expected, "{host}");
        for path in ["/healthz", "/readyz", "/api/jwks", "/.well-known/jwks.json"] {
            assert_eq!(server.client().host(host).get(path).await.status, 200, "{host} {path}");
        }
    }
    for raw in [
        "GET /api/auth/ok HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /api/auth/ok HTTP/1.1\r\nHost: auth.example.com\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/api/auth/ok HTTP/1.1\r\nHost: auth.example.com\r\nConnection: close\r\n\r\n",
        "GET /api/auth/ok HTTP/1.0\r\n\r\n",
    ] {
        let answer = String::from_utf8_lossy(&server.client().raw(raw.as_bytes()).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 421") || answer.starts_with("HTTP/1.0 421"), "{raw}: {answer}");
    }
}

#[tokio::test]
async fn development_answers_this_machine_by_its_own_names_only() {
    let server = Server::start().await;
    for host in ["localhost", "localhost:1234", "127.0.0.1", "[::1]:8000", "app.localhost"] {
        assert_eq!(server.client().host(host).get("/api/auth/ok").await.status, 200, "{host}");
    }
    for odd in ["localhost:evil", "a.localhost:x@evil", "localhost:80x", "localhost:123456", "127.0.0.1:8000:x"] {
        let answer = server.client().host(odd).get("/api/auth/ok").await;
        assert!(answer.status == 421 || answer.status == 400, "{odd}: {answer:?}");
    }
    // A name of a stranger that was made to lead here (DNS rebinding).
    assert_eq!(server.client().host("rebound.example").get("/api/auth/ok").await.code(), "INVALID_HOST");
}

#[tokio::test]
async fn development_refuses_what_came_through_a_proxy_and_names_the_setting() {
    let server = Server::start().await;
    for name in ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-real-ip"] {
        let answer = server.client().header(name, "203.0.113.7").get("/api/auth/ok").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "UNTRUSTED_PROXY"), "{name}");
        assert!(answer.text("/message").contains("http.trusted_proxies"));
    }
    let behind = Server::builder().set("http.trusted_proxies", "127.0.0.1").start().await;
    assert_eq!(behind.client().header("x-forwarded-for", "203.0.113.7").get("/api/auth/ok").await.status, 200);
}

#[tokio::test]
async fn th_04_the_clients_address_is_the_peers_unless_a_trusted_proxy_says_otherwise() {
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let address = |server: &Server, forwarded: &'static str| {
        let client = server.client().host("auth.example.com").header("x-forwarded-for", forwarded);
        let body = body.clone();
        async move {
            let made = client.post("/api/auth/login", &body).await;
            client.bearer(&made.text("/access_token")).get("/api/auth/me").await.text("/session/ipAddress")
        }
    };
    let file = "[http]\npublic_url = \"https://auth.example.com\"\n";
    let direct = Server::builder().file(file).start().await;
    direct.client().host("auth.example.com").post("/api/auth/signup", &body).await;
    assert_eq!(address(&direct, "203.0.113.7").await, "127.0.0.1", "anybody can write a header");

    let trusting = format!("{file}trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n");
    let behind = Server::builder().file(&trusting).start().await;
    behind.client().host("auth.example.com").post("/api/auth/signup", &body).await;
    for (forwarded, expected) in [
        ("203.0.113.7", "203.0.113.7"),
        ("1.2.3.4, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:DB8:0:1::1", "2001:db8:0:1::1"),
        ("unknown", "127.0.0.1"),
        ("203.0.113.7, nonsense", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        assert_eq!(address(&behind, forwarded).await, expected, "{forwarded}");
    }
}

/// In `Forwarded` an IPv6 address has brackets and quotes (RFC 7239 §6): there this is one.
const OF_FORWARDED: &str = "\"[2001:db8::1]\"";

#[tokio::test]
async fn th_04_the_outside_spellings_of_addresses() {
    let Some(vectors) = shared::json("vectors/http1/client-address-forms.json") else { return };
    let file = "[http]\npublic_url = \"https://auth.example.com\"\ntrusted_proxies = [\"127.0.0.1\"]\n[session]\nmax_per_user = 200\n";
    let server = Server::builder().file(file).start().await;
    let client = server.client().host("auth.example.com");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(client.post("/api/auth/signup", &body).await.status, 201);
    // Through the door: what a session says of the client that opened it. `None` where HTTP does not let it through.
    let seen = |forwarded: String| {
        let (client, body) = (client.clone().header("x-forwarded-for", &forwarded), body.clone());
        async move {
            http::HeaderValue::from_str(&forwarded).ok()?;
            let made = client.post("/api/auth/login", &body).await;
            Some(client.bearer(&made.text("/access_token")).get("/api/auth/me").await.text("/session/ipAddress"))
        }
    };
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let key = |address: String| bucket(address.parse().unwrap());
    let (mut same, mut different, mut none) = (0, 0, 0);
    for group in vectors["same_bucket"].as_array().unwrap() {
        let group = texts(group);
        let first = key(seen(group[0].clone()).await.unwrap());
        // A loopback address is one of the trusted proxies here, and then the peer's own: the same.
        for text in group {
            assert_eq!(key(seen(text.clone()).await.unwrap()), first, "{text}");
            same += 1;
        }
    }
    for pair in vectors["different_bucket"].as_array().unwrap() {
        let pair = texts(pair);
        assert_ne!(key(seen(pair[0].clone()).await.unwrap()), key(seen(pair[1].clone()).await.unwrap()), "{pair:?}");
        different += 1;
    }
    for text in texts(&vectors["not_an_address"]) {
        // Alone, and nearest to the daemon behind an address that a client may have written.
        for forwarded in [text.clone(), format!("203.0.113.7, {text}")] {
            assert!(seen(forwarded).await.is_none_or(|address| address == "127.0.0.1"), "{text:?}");
        }
        none += 1;
    }
    assert_eq!((same, different, none), (13, 2, 15));
    let status = tests::ctl::ctl(&server.socket).run("status -o json").await.ok().json();
    assert!(status["problems"].to_string().contains("named their clients by what is no address"), "{status}");

    // The same in the other header, where it has its syntax.
    let server = Server::builder().file(&file.replace("[session]", "client_address = \"forwarded\"\n[session]"));
    let server = server.start().await;
    let client = server.client().host("auth.example.com");
    client.post("/api/auth/signup", &body).await;
    let seen = async |node: &str| {
        let Ok(header) = http::HeaderValue::from_str(&format!("for={node}")) else { return "127.0.0.1".to_owned() };
        let client = client.clone().header("forwarded", header.to_str().unwrap_or_default());
        let made = client.post("/api/auth/login", &body).await;
        client.bearer(&made.text("/access_token")).get("/api/auth/me").await.text("/session/ipAddress")
    };
    for text in texts(&vectors["not_an_address"]) {
        let expected = if text == OF_FORWARDED { "2001:db8::1" } else { "127.0.0.1" };
        assert_eq!(seen(&text).await, expected, "{text}");
    }
    for text in vectors["same_bucket"].as_array().unwrap().iter().flat_map(&texts) {
        let (node, plain) = if text.contains(':') { (format!("\"[{text}]\""), &text) } else { (text.clone(), &text) };
        let expected = authd::domain::address::parse(plain).unwrap();
        assert_eq!(seen(&node).await, expected.to_string(), "{node}");
    }
}
