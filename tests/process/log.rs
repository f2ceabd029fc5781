//! What stands in the log and not in the audit trail.

use serde_json::{Value, json};
use tests::PASSWORD;

use crate::host;

#[tokio::test]
async fn lg_01_a_failed_sign_in_is_one_line_in_the_log_and_no_record() {
    let host = host!();
    let mut daemon = host.daemon().env("AUTHD_LOG__FORMAT", "json").start().await;
    let made = host.create_user("ada@example.com").await.ok();
    let trail = async || host.ctl("audit list --all -o json").await.ok().json();
    let before = trail().await;
    let user = before[0]["user"].clone();
    assert!(user.is_string(), "{made:?}");
    let client = daemon.client();
    let mut expected = vec![];
    for path in ["/api/auth/login", "/api/auth/sign-in/email"] {
        for (email, user) in [("ada@example.com", user.clone()), ("nobody@example.com", Value::Null)] {
            let refused = client.post(path, &json!({"email": email, "password": "wrong horse battery"})).await;
            assert_eq!(refused.status, 401, "{refused:?}");
            expected.push((json!(refused.header("x-request-id")), user, json!("127.0.0.1")));
        }
    }
    assert_eq!(trail().await, before);
    // A line that comes after them all.
    host.ctl("user disable ada@example.com --yes").await.ok();
    daemon.logs("an operator acted").await;
    daemon.logs("user.disabled").await;
    let log = daemon.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.filter(|line| line["message"] == "a sign-in failed").collect();
    assert!(lines.iter().all(|line| line["method"] == "password" && line["result"] == "failure"), "{lines:?}");
    let failed: Vec<_> = lines
        .into_iter()
        .map(|line| (line["request.id"].clone(), line["user"].clone(), line["source"].clone()))
        .collect();
    assert_eq!(failed, expected);
    assert!(!log.contains("@example.com") && !log.contains("horse") && !log.contains(PASSWORD), "{log}");
    daemon.stop().await.ok();
}
