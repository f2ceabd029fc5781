//! Who may come in, and what the door refuses.

use std::os::unix::fs::MetadataExt;

use http::Method;
use serde_json::json;
use tests::{Server, ctl::ctl};

#[tokio::test]
async fn curl_can_ask() {
    let server = Server::start().await;
    let status = server.admin().get("/v1/status").await;
    assert_eq!(status.status, 200, "{status:?}");
    assert_eq!(status.header("authd-api-version"), "1");
    assert_eq!(status.json()["ready"], true);
    assert_eq!(status.json()["mode"], "development");
    assert_eq!(server.admin().host("anything.example").get("/v1/status").await.status, 200, "any single host");
}

#[tokio::test]
async fn az_05_whatever_smells_of_a_browser_is_refused() {
    let server = Server::start().await;
    for (name, value) in [
        ("origin", "http://localhost:8000"),
        ("origin", "null"),
        ("referer", "http://localhost:8000/"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ] {
        let answer = server.admin().header(name, value).get("/v1/status").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "BROWSER_REFUSED"), "{name}");
    }
}

#[tokio::test]
async fn az_05_no_admin_path_is_on_the_public_door_and_the_other_way_round() {
    let server = Server::start().await;
    for route in authd::admin::routes::ROUTES {
        for prefix in ["", "/api", "/api/auth"] {
            let path = format!(
                "{prefix}{}",
                route.path.replace("{user}", "x").replace("{session}", "x").replace("{kid}", "x")
            );
            let answer = server.client().send(route.verb.method(), &path, None, "".into()).await;
            assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{path}");
        }
    }
    for path in ["/api/auth/login", "/login", "/jwks", "/healthz"] {
        let answer = server.admin().post(path, &json!({})).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "NOT_FOUND"), "{path}");
    }
}

#[tokio::test]
async fn az_03_the_socket_is_for_its_owner_and_the_admin_group() {
    let server = Server::start().await;
    let meta = server.socket.metadata().unwrap();
    assert!(matches!(meta.mode() & 0o777, 0o600 | 0o660), "{:o}", meta.mode());
    assert_eq!(meta.mode() & 0o007, 0);
    assert_eq!(meta.uid(), nix::unistd::geteuid().as_raw());
}

#[tokio::test]
async fn refusals_say_what_why_and_what_to_do() {
    let server = Server::start().await;
    let admin = server.admin();
    let wrong_method = admin.delete("/v1/status").await;
    assert_eq!((wrong_method.status, wrong_method.header("allow")), (405, "GET"));
    let unknown = admin.get("/v1/nothing").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "NOT_FOUND"));
    let nobody = admin.get("/v1/users/nobody@example.com").await;
    assert_eq!((nobody.status, nobody.code().as_str()), (404, "USER_NOT_FOUND"));
    assert!(nobody.text("/fix").contains("authctl user list") && !nobody.text("/requestId").is_empty());
    let post = |body: &'static str, kind: Option<&'static str>| {
        let admin = admin.clone();
        async move { admin.send(Method::POST, "/v1/users", kind, body.into()).await }
    };
    let json_type = Some("application/json");
    assert_eq!(post("{", json_type).await.code(), "BAD_REQUEST");
    assert_eq!(post("{}", None).await.code(), "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(post("{}", json_type).await.code(), "VALIDATION_ERROR");
    assert_eq!(
        post(r#"{"email":"a@b.co","admin":true}"#, json_type).await.code(),
        "VALIDATION_ERROR",
        "unknown fields"
    );
    assert_eq!(post(r#"{"email":"a@b.co","email":"c@d.co"}"#, json_type).await.code(), "BAD_REQUEST", "twice the same");
    assert_eq!(post(r#"{"email":"nobody"}"#, json_type).await.code(), "INVALID_EMAIL");
    let large = admin.send(Method::POST, "/v1/users", json_type, vec![b'x'; 70_000].into()).await;
    assert_eq!((large.status, large.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    let other = admin.clone().header("authd-api-version", "99").get("/v1/status").await;
    assert_eq!((other.status, other.code().as_str()), (426, "VERSION_MISMATCH"));
    assert!(!other.text("/fix").is_empty());
    for limit in ["0", "1001", "x", "-1"] {
        assert_eq!(admin.get(&format!("/v1/users?limit={limit}")).await.code(), "VALIDATION_ERROR", "{limit}");
    }
}

#[tokio::test]
async fn cl_04_a_write_with_a_name_is_done_once() {
    let server = Server::start().await;
    let admin = server.admin().header("idempotency-key", "move-1");
    let body = json!({"email": "ada@example.com", "password": tests::PASSWORD});
    let made = admin.post("/v1/users", &body).await;
    assert_eq!(made.status, 201);
    // Somebody deletes the user in between: the repeated request must not make it again.
    server.admin().delete("/v1/users/ada@example.com").await;
    let again = admin.post("/v1/users", &body).await;
    assert_eq!((again.status, again.code().as_str()), (409, "ALREADY_DONE"), "{again:?}");
    assert_eq!(server.admin().get("/v1/users").await.json()["items"], json!([]));
    assert_eq!(server.admin().post("/v1/users", &body).await.status, 201, "without the name it is another act");
}

#[tokio::test]
async fn cl_04_a_name_stands_for_one_request() {
    let server = Server::start().await;
    let admin = server.admin().header("idempotency-key", "move-2");
    let body = json!({"email": "ada@example.com", "password": tests::PASSWORD});
    assert_eq!(admin.post("/v1/users", &body).await.status, 201);
    let other = admin.post("/v1/users", &json!({"email": "bob@example.com"})).await;
    assert_eq!((other.status, other.code().as_str()), (409, "IDEMPOTENCY_KEY_REUSED"), "{other:?}");
    let read = admin.get("/v1/users").await;
    assert_eq!(read.json()["items"].as_array().unwrap().len(), 1, "a name means nothing to what changes nothing");
    let twice = server.admin().header("idempotency-key", "a").header("Idempotency-Key", "b");
    assert_eq!(twice.post("/v1/users", &body).await.code(), "VALIDATION_ERROR");
    let broken = server.admin().header("authd-reason", "%ff");
    assert_eq!(
        broken.post("/v1/users", &body).await.code(),
        "VALIDATION_ERROR",
        "a reason is kept whole or not at all"
    );
}

#[tokio::test]
async fn cl_04_a_command_with_a_name_is_done_once() {
    let server = Server::start().await;
    let run = async |line: &str| ctl(&server.socket).run(line).await;
    for (line, other) in [
        ("user create --email ada@example.com --generate", "user create --email bob@example.com --generate"),
        ("user disable ada@example.com --yes", "user enable ada@example.com"),
        ("user delete ada@example.com --yes", "user delete bob@example.com --yes"),
        ("keys rotate --yes", "keys rollback --yes"),
    ] {
        let key = line.replace(' ', "_");
        let first = run(&format!("{line} --idempotency-key {key}")).await.ok();
        let records = run("audit list -o id --all").await.ok().out.lines().count();
        assert!(!first.err.contains("done before"), "{first:?}");
        let again = run(&format!("{line} --idempotency-key {key}")).await.ok();
        assert!(again.err.contains("done before: audit record"), "{again:?}");
        let json = run(&format!("{line} --idempotency-key {key} -o json")).await.ok().json();
        assert_eq!(json["alreadyDone"], true, "{json}");
        let other = run(&format!("{other} --idempotency-key {key}")).await;
        assert_eq!(other.exit, 4, "{other:?}");
        assert!(other.err.contains("IDEMPOTENCY_KEY_REUSED"), "{other:?}");
        assert_eq!(run("audit list -o id --all").await.ok().out.lines().count(), records, "{line}");
    }
}

#[tokio::test]
async fn az_04_a_connection_takes_one_request_so_that_who_asks_is_looked_up_each_time() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::start().await;
    let mut stream = tokio::net::UnixStream::connect(&server.socket).await.unwrap();
    let request = b"GET /v1/status HTTP/1.1\r\nhost: authd\r\n\r\n";
    stream.write_all(&[&request[..], &request[..]].concat()).await.unwrap();
    let mut answers = String::new();
    // It ends, because the daemon hangs up; a reset is no worse an end.
    let _ = stream.read_to_string(&mut answers).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    assert!(answers.to_lowercase().contains("connection: close"), "{answers}");
}

#[tokio::test]
async fn who_is_refused_before_its_body_was_read_gets_the_answer() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::start().await;
    for line in ["PATCH /v1/users/x/role", "POST /v1/nothing"] {
        let mut stream = tokio::net::UnixStream::connect(&server.socket).await.unwrap();
        let head = format!("{line} HTTP/1.1\r\nhost: authd\r\ncontent-length: 400000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 40") && answer.contains("connection: close"), "{line}: {answer}");
    }
}

/// The fields of a type could be read from a list too, in their order.
#[tokio::test]
async fn a_body_that_is_no_object_is_refused_on_every_route() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    for (path, body) in [
        ("/v1/mail/retry", json!([])),
        ("/v1/keys/rotate", json!([true, false])),
        ("/v1/users/ada@example.com/password", json!(["quartz lantern mosaic 82", false])),
        ("/v1/keys/rotate", json!(null)),
        ("/v1/keys/rotate", json!("now")),
    ] {
        let answer = server.admin().post(path, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION_ERROR"), "{path} {body}: {answer:?}");
    }
}
