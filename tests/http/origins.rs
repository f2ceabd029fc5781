//! Which pages may call: CORS, and the checks of the origin.

use http::Method;
use serde_json::json;
use tests::{Client, PASSWORD, Server};

const PRODUCTION: &str =
    "[http]\npublic_url = \"https://auth.example.com\"\ntrusted_origins = [\"https://app.example.com\"]\n";

async fn production() -> Server {
    Server::builder().file(PRODUCTION).start().await
}

fn client(server: &Server) -> Client {
    server.client().host("auth.example.com")
}

/// Origins that are not trusted, each with another trick.
const HOSTILE: &[&str] = &[
    "null",
    "",
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.",
    "https://app.example.com.evil.example",
    "https://evil-app.example.com",
    "https://app.example.com@evil.example",
    "https://app.example.com/",
    "https://APP.example.com",
    "https://xn--pp-fma.example.com",
    "https://app.example.com,https://evil.example",
    "https://app.example.com https://evil.example",
    "app.example.com",
    "//app.example.com",
    "https:app.example.com",
    "https://sub.app.example.com",
    "https://example.com",
    "file://",
    "data:text/html,x",
    "chrome-extension://abc",
    "http://localhost:3000",
    "http://127.0.0.1",
    "https://auth.example.com:443",
    "http://auth.example.com",
    "HTTPS://app.example.com",
];

#[tokio::test]
async fn wb_02_no_untrusted_page_can_call_a_plain_route_with_or_without_cookies() {
    let server = production().await;
    let good = client(&server).header("origin", "https://app.example.com");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(good.post("/api/auth/signup", &body).await.status, 201);
    for origin in HOSTILE {
        for route in ["/api/auth/signup", "/api/auth/login", "/api/auth/logout"] {
            let answer = client(&server).header("origin", origin).post(route, &body).await;
            assert_eq!(answer.status, 403, "{origin} {route}");
            assert!(matches!(answer.code().as_str(), "INVALID_ORIGIN" | "MISSING_OR_NULL_ORIGIN"), "{answer:?}");
            assert!(answer.cookies().is_empty());
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
            assert_eq!(answer.header("vary"), "Origin");
        }
    }
    for (name, value) in [
        ("cookie", "theme=dark"),
        ("referer", "https://evil.example/page"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-origin"),
    ] {
        let answer = client(&server).header(name, value).post("/api/auth/login", &body).await;
        assert_eq!(answer.status, 403, "{name}: {value}");
    }
    // Node's fetch, and a script, say nothing of the kind.
    let node = client(&server).header("sec-fetch-mode", "cors").post("/api/auth/login", &body).await;
    assert_eq!(node.status, 200, "{node:?}");
    let by_referer =
        client(&server).header("referer", "https://app.example.com/page").post("/api/auth/login", &body).await;
    assert_eq!(by_referer.status, 200);
}

#[tokio::test]
async fn wb_05_trusted_pages_may_read_with_credentials_and_no_others() {
    let server = production().await;
    for origin in ["https://app.example.com", "https://auth.example.com"] {
        let answer = client(&server).header("origin", origin).get("/api/auth/get-session").await;
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("access-control-expose-headers").contains("set-auth-jwt"));
        let missing = client(&server).header("origin", origin).get("/api/auth/nothing").await;
        assert_eq!((missing.status, missing.header("access-control-allow-origin")), (404, origin), "errors too");
        let preflight = client(&server).header("origin", origin).header("access-control-request-method", "POST");
        let preflight = preflight.send(Method::OPTIONS, "/api/auth/login", None, "".into()).await;
        assert_eq!(preflight.status, 204);
        assert_eq!(preflight.header("access-control-allow-methods"), "GET, POST");
        assert_eq!(preflight.header("access-control-allow-headers"), "content-type, authorization");
        assert_eq!(preflight.header("access-control-allow-origin"), origin);
    }
    for origin in HOSTILE.iter().filter(|origin| !origin.is_empty()) {
        let answer = client(&server).header("origin", origin).get("/api/auth/get-session").await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        assert_eq!(answer.header("vary"), "Origin");
        let preflight = client(&server).header("origin", origin).header("access-control-request-method", "POST");
        let preflight = preflight.send(Method::OPTIONS, "/api/auth/login", None, "".into()).await;
        assert_eq!((preflight.status, preflight.body.as_str()), (404, ""), "{origin}");
    }
    let plain_options = client(&server).send(Method::OPTIONS, "/api/auth/login", None, "".into()).await;
    assert_eq!((plain_options.status, plain_options.body.as_str()), (404, ""), "as recorded");
}

#[tokio::test]
async fn development_trusts_every_page_of_this_machine() {
    let server = Server::start().await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    server.sign_up("ada@example.com").await;
    for origin in ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:8080", "https://app.localhost"] {
        let answer = server.client().header("origin", origin).post("/api/auth/login", &body).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, origin));
    }
    let foreign = server.client().header("origin", "http://192.168.1.2:3000").post("/api/auth/login", &body).await;
    assert_eq!(foreign.code(), "INVALID_ORIGIN");
}
