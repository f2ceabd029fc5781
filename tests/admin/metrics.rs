//! Metrics: what is on the page, where it can be read, and that there is nothing of users on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
};

use authd::{
    metrics::{FAMILIES, Kind},
    service::events,
};
use serde_json::json;
use tests::{Application, PASSWORD, Server, application::Manner, ctl::ctl, server::Builder};

/// The lines of a page by name and labels.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let samples: Vec<(String, f64)> = lines
        .map(|line| {
            let (name, number) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), number.parse().unwrap())
        })
        .collect();
    let count = samples.len();
    let samples: BTreeMap<_, _> = samples.into_iter().collect();
    assert_eq!(samples.len(), count, "a sample stands there twice");
    samples
}

/// A server that asks the application at a sign-in, and tells it of events.
fn asking(app: &Application, dir: &tempfile::TempDir) -> Builder {
    let secret = dir.path().join("secret");
    std::fs::write(&secret, Application::SECRET).unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let secret = secret.display().to_string();
    Server::builder()
        .set("hooks.secret_file", &secret)
        .set("hooks.sign_in_before", &app.url("/sign-in"))
        .set("events.secret_file", &secret)
        .set("events.give_up_after", "1h")
        .set("events.url", &app.url("/events"))
}

async fn page(server: &Server) -> String {
    let answer = server.admin().get("/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    answer.body
}

#[tokio::test]
async fn every_metric_of_the_table_is_on_the_page_once_and_nothing_else() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir).start().await;
    server.sign_up("ada@example.com").await;
    events::round(&server.services()).await.unwrap();
    server.admin().post("/v1/store/snapshot", &json!({})).await;
    let page = page(&server).await;
    let told: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    // Nothing waits to be sent or told, and no backup was made; these are the ones that a quiet daemon does not have.
    let missing = [
        "authd_mail_oldest_timestamp_seconds",
        "authd_outbox_oldest_timestamp_seconds",
        "authd_backup_timestamp_seconds",
        "authd_backup_bytes",
    ];
    let known: Vec<(&str, &str)> =
        FAMILIES.iter().map(|f| (f.name, f.kind.as_str())).filter(|(name, _)| !missing.contains(name)).collect();
    assert_eq!(told, known);
    let bases: BTreeSet<&str> = FAMILIES.iter().filter(|f| f.kind == Kind::Histogram).map(|f| f.name).collect();
    for name in samples(&page).keys() {
        let name = name.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(bases.contains(base) || told.iter().any(|(known, _)| *known == name), "{name}");
    }
}

#[tokio::test]
async fn what_happens_is_counted() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let login = |password: &'static str| {
        let body = json!({"email": "ada@example.com", "password": password});
        let client = server.client();
        async move { client.post("/api/auth/login", &body).await.status }
    };
    assert_eq!((login(PASSWORD).await, login("another one").await), (200, 401));
    let refresh = |token: String| {
        let client = server.client();
        async move { client.post("/api/refresh", &json!({"refresh_token": token})).await }
    };
    let first = made.text("/refresh_token");
    let second = refresh(first.clone()).await.text("/refresh_token");
    assert_eq!(refresh(second).await.status, 200);
    server.clock.advance(common::Span::from_mins(1));
    assert_eq!(refresh(first).await.status, 401);
    for path in ["/nowhere", "/api/auth/nowhere/user@example.com", "/api/auth/login"] {
        assert_eq!(server.client().get(path).await.status, 404);
    }
    let seen = samples(&page(&server).await);
    for (name, expected) in [
        ("authd_http_requests_total{method=\"POST\",route=\"/login\",status=\"2xx\"}", 1.0),
        ("authd_http_requests_total{method=\"POST\",route=\"/login\",status=\"4xx\"}", 1.0),
        ("authd_http_request_duration_seconds_count{method=\"POST\",route=\"/login\"}", 2.0),
        ("authd_http_request_duration_seconds_bucket{method=\"POST\",route=\"/login\",le=\"+Inf\"}", 2.0),
        ("authd_http_requests_total{method=\"POST\",route=\"/refresh\",status=\"2xx\"}", 2.0),
        ("authd_http_requests_total{method=\"any\",route=\"none\",status=\"4xx\"}", 3.0),
        ("authd_sign_ins_total{outcome=\"success\"}", 1.0),
        ("authd_sign_ins_total{outcome=\"wrong\"}", 1.0),
        ("authd_sign_ins_total{outcome=\"put_off\"}", 0.0),
        ("authd_refreshes_total{outcome=\"success\"}", 2.0),
        ("authd_refreshes_total{outcome=\"reused\"}", 1.0),
        ("authd_events_total{event=\"user.created\"}", 1.0),
        ("authd_events_total{event=\"session.created\"}", 1.0),
        ("authd_events_total{event=\"token.refresh_reused\"}", 1.0),
        ("authd_users", 1.0),
        ("authd_ready", 1.0),
        ("authd_store_poisoned", 0.0),
        ("authd_hash_threads_busy", 0.0),
        ("authd_log_lines_dropped_total", 0.0),
        ("authd_config_in_force", 1.0),
    ] {
        assert_eq!(seen.get(name), Some(&expected), "{name}");
    }
    for (name, at_least) in [
        ("authd_hash_duration_seconds_count", 3.0),
        ("authd_store_commit_duration_seconds_count", 4.0),
        ("authd_store_free_bytes", 1.0),
        ("authd_store_log_segments", 1.0),
        ("authd_store_sequence", 4.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 4.0),
        ("process_cpu_seconds_total", 0.001),
    ] {
        assert!(seen[name] >= at_least, "{name} {}", seen[name]);
    }
    assert!(seen["authd_signing_key_next_rotation_timestamp_seconds"] > seen["authd_config_read_timestamp_seconds"]);
}

#[tokio::test]
async fn calls_of_the_application_are_counted_and_what_waits_for_it_is_seen() {
    let (app, dir) = (Application::start(), tempfile::tempdir().unwrap());
    let server = asking(&app, &dir).start().await;
    server.sign_up("ada@example.com").await;
    events::round(&server.services()).await.unwrap();
    let sign_in = async || {
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        server.client().post("/api/auth/login", &body).await.status
    };
    let seen = async |expected: &[(&str, f64)]| {
        let seen = samples(&page(&server).await);
        for (name, expected) in expected {
            assert_eq!(seen.get(*name), Some(expected), "{name}");
        }
        seen
    };
    let calls = |outcome: &str| format!("authd_hook_calls_total{{hook=\"sign_in.before\",outcome=\"{outcome}\"}}");
    let (allowed, refused, failed, not_called) =
        (calls("allowed"), calls("refused"), calls("failed"), calls("not_called"));
    let resting = "authd_hook_resting{hook=\"sign_in.before\"}";
    assert_eq!(sign_in().await, 200);
    let told = seen(&[(&allowed, 1.0), (&failed, 0.0), (resting, 0.0), ("authd_outbox_given_up", 0.0)]).await;
    assert!(told["authd_outbox_told_total"] >= 2.0, "an account and its session");

    app.set(Manner::Says(200, r#"{"allow":false}"#.into()));
    assert_eq!(sign_in().await, 403);
    app.set(Manner::Says(500, String::new()));
    for _ in 0..6 {
        assert_eq!(sign_in().await, 503);
    }
    ctl(&server.socket).run("user disable ada@example.com --yes").await.ok();
    events::round(&server.services()).await.unwrap();
    let seconds = "authd_hook_duration_seconds_count{hook=\"sign_in.before\"}";
    let sign_ins = "authd_sign_ins_total{outcome=\"refused\"}";
    let counted =
        [(sign_ins, 1.0), (&*refused, 1.0), (&*failed, 5.0), (&*not_called, 1.0), (resting, 1.0), (seconds, 7.0)];
    let waiting = seen(&counted).await;
    assert!(waiting["authd_outbox_failures_total"] >= 1.0);
    let oldest = waiting["authd_outbox_oldest_timestamp_seconds"];
    let began = f64::from(u32::try_from(tests::server::START.as_secs()).unwrap());
    assert!((oldest - began).abs() < 1.0, "{oldest}");
    // In time it is given up.
    server.clock.advance(common::Span::from_hours(2));
    for _ in 0..3 {
        events::round(&server.services()).await.unwrap();
        server.clock.advance(common::Span::from_mins(15));
    }
    let given_up = samples(&page(&server).await);
    assert!(given_up["authd_outbox_given_up"] >= 1.0);
}

#[tokio::test]
async fn op_03_there_is_nothing_of_users_in_metrics_and_no_label_comes_from_a_client() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let before = samples(&page(&server).await).len();
    for n in 0..50 {
        let client = server.client().header("user-agent", &format!("agent-{n}"));
        client.get(&format!("/api/auth/made-up-{n}?x={n}")).await;
        let body = json!({"email": format!("nobody-{n}@example.com"), "password": PASSWORD});
        client.post("/api/auth/login", &body).await;
    }
    let page = page(&server).await;
    for secret in ["ada@", "Ada", "example.com", "made-up", "agent-", &made.text("/user/id"), "127.0.0.1"] {
        assert!(!page.contains(secret), "{secret}");
    }
    // One route that was not asked before, and the row of those that are none.
    let grown = samples(&page).len() - before;
    assert!(grown <= 2 * (1 + 14 + 2), "{grown}");
}

#[tokio::test]
async fn op_03_metrics_are_not_on_the_public_door_and_on_an_address_of_their_own_only_where_one_is_configured() {
    let server = Server::start().await;
    assert!(server.metrics().is_none());
    for path in ["/metrics", "/api/metrics", "/api/auth/metrics"] {
        assert_eq!(server.client().get(path).await.status, 404, "{path}");
    }
    let server = Server::builder().set("metrics.listen", "127.0.0.1:0").start().await;
    let client = server.metrics().unwrap();
    let answer = client.get("/metrics").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    assert!(samples(&answer.body).contains_key("authd_ready"));
    for path in ["/", "/v1/status", "/metrics/", "/api/auth/ok", "/healthz"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    assert_eq!(client.post("/metrics", &json!({})).await.status, 404);
}

#[tokio::test]
async fn op_03_others_than_this_machine_reach_metrics_only_where_that_is_allowed() {
    // Without that it is refused: a case of the unit tests of the configuration.
    let server = Server::builder().set("metrics.listen", "0.0.0.0:0").set("metrics.allow_remote", "true").start().await;
    assert_eq!(server.metrics().unwrap().get("/metrics").await.status, 200);
}
