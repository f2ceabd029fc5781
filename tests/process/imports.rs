//! An import that breaks off: what was stored is there and known, the rest can be imported, and all of it taken back.

use std::fmt::Write;

use serde_json::{Value, json};
use tests::process::{Daemon, Host};

use crate::host;

const ACCOUNTS: usize = 3000;
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuqREtd3VJD2QVZbuFskFSLk6eRIrQoOS";

fn source(host: &Host) -> String {
    let mut lines = String::new();
    for n in 0..ACCOUNTS {
        let row = json!({"id": format!("id{n}"), "email": format!("u{n}@example.com"), "passwordHash": HASH});
        writeln!(lines, "{row}").unwrap();
    }
    let path = host.path("users.jsonl");
    std::fs::write(&path, lines).unwrap();
    path.display().to_string()
}

async fn users(host: &Host) -> usize {
    let counts = host.ctl("status -o json --fields counts").await.ok().json();
    usize::try_from(counts["counts"]["users"].as_u64().unwrap()).unwrap()
}

/// Runs this, and kills the daemon once it has said so in its log; answers what the command said to that.
async fn broken_off(host: &Host, mut daemon: Daemon, line: &str, event: &str) {
    let run = host.authctl().args(line.split(' '));
    let command = tokio::spawn(run.end());
    daemon.logs(event).await;
    daemon.kill().await;
    let outcome = command.await.unwrap();
    assert_ne!(outcome.exit, 0, "{line}: it was faster than the kill: {outcome:?}");
}

#[tokio::test]
async fn f_01_an_import_that_is_killed_half_way_goes_on_and_can_be_taken_back() {
    let host = host!();
    let daemon = host.daemon().start().await;
    host.create_user("ada@example.com").await.ok();
    let before = host.ctl("user list --all -o json").await.ok().out;
    let line = format!("import users {} --yes -o json", source(&host));
    broken_off(&host, daemon, &line, "import.stored").await;

    let daemon = host.daemon().start().await;
    let part = users(&host).await - 1;
    assert!((1..ACCOUNTS).contains(&part), "{part}");
    let imports = host.ctl("import list -o json").await.ok().json();
    assert_eq!((&imports[0]["users"], imports[1].is_null()), (&json!(part), true), "{imports}");
    let done = host.ctl(&line).await.ok().json();
    let count = |rows: &Value, finding: &str| {
        let found =
            rows.as_array().unwrap().iter().find(|row| row["finding"] == finding).map(|row| row["count"].clone());
        found.unwrap_or_default()
    };
    assert_eq!((count(&done, "user"), count(&done, "user_done")), (json!(ACCOUNTS - part), json!(part)));
    let imports = host.ctl("import list -o json").await.ok().json();
    assert_eq!((&imports[0]["users"], imports[1].is_null()), (&json!(ACCOUNTS), true), "the same one: {imports}");
    assert_eq!(host.ctl(&line).await.exit, 3, "and nothing is left to do");

    // Some sign in meanwhile.
    for n in [0, 7, ACCOUNTS - 1] {
        let body = json!({"email": format!("u{n}@example.com"), "password": "correct horse battery"});
        assert_eq!(daemon.client().post("/api/auth/login", &body).await.status, 200);
    }
    let undo = format!("import undo {} --yes", imports[0]["id"].as_str().unwrap());
    broken_off(&host, daemon, &undo, "import.undone").await;
    let _daemon = host.daemon().start().await;
    let left = users(&host).await - 1;
    assert!((1..ACCOUNTS).contains(&left), "{left}");
    host.ctl(&undo).await.ok();
    assert_eq!(host.ctl("user list --all -o json").await.ok().out, before);
    assert_eq!(host.ctl("import list -o id").await.ok().out, "");
    host.ctl("audit verify").await.ok();
}
