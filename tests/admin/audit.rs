//! The audit trail.

use crate::{blind, raw};
use serde_json::{Value, json};
use tests::{PASSWORD, Server, ctl::ctl};

async fn events(server: &Server) -> Vec<Value> {
    let mut items = server.admin().get("/v1/audit?limit=1000").await.json()["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

#[tokio::test]
async fn lg_01_each_act_is_one_event_with_who_what_and_why() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let id = made.text("/user/id");
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let entered = server.client().post("/api/auth/login", &login).await;
    server.client().post("/api/auth/login", &json!({"email": "ada@example.com", "password": "wrong"})).await;
    server.client().bearer(&entered.text("/access_token")).post_empty("/api/auth/logout").await;
    let why = ["--reason", "ticket 7: lost ‘laptop’\n"];
    let run = |line: &'static str| {
        let socket = server.socket.clone();
        async move {
            ctl(&socket)
                .input("another horse battery")
                .args(&[line.split(' ').collect::<Vec<_>>(), why.to_vec()].concat())
                .await
                .ok()
        }
    };
    run("session revoke --user ada@example.com --yes").await;
    run("user set-password ada@example.com --password-stdin").await;
    run("user disable ada@example.com --yes").await;
    run("user enable ada@example.com").await;
    run("keys rotate --yes").await;
    run("keys rollback --yes").await;
    run("user delete ada@example.com --yes").await;
    let events = events(&server).await;
    let names: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "store.created",
            "user.created",
            "session.created",
            "session.signed_out",
            "session.revoked",
            "password.set",
            "user.disabled",
            "user.enabled",
            "keys.rotated",
            "keys.rolled_back",
            "user.deleted"
        ],
        "a failed sign-in, which strangers can cause at will, is not in the chain"
    );
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], n as u64 + 1);
        assert_eq!(event["at"], server.clock.now_time().to_string());
    }
    assert_eq!(events[1]["actor"], json!({"kind": "user", "user": id}));
    assert_eq!((&events[2]["source"], &events[2]["user"]), (&json!("127.0.0.1"), &json!(id)));
    assert!(events[2]["requestId"].is_string() && events[2]["session"].is_string());
    for event in &events[4..] {
        assert_eq!(event["actor"]["kind"], "operator");
        assert_eq!(event["actor"]["uid"], nix::unistd::geteuid().as_raw());
        assert_eq!(event["actor"]["pid"], std::process::id());
        assert_eq!(event["reason"], "ticket 7: lost ‘laptop’\n");
    }
    let table = ctl(&server.socket).run("audit list").await.ok().out;
    assert_eq!(table.lines().count(), 12, "a heading and a line each: {table}");
    let of_ada = ctl(&server.socket).args(&["audit", "list", "--user", &id, "-o", "id"]).await.ok();
    assert_eq!(of_ada.out.lines().count(), 8, "the trail outlives the account");
    let revoked = ctl(&server.socket).run("audit list --event session.revoked -o id").await.ok();
    assert_eq!(revoked.out, "5\n");
    assert_eq!(ctl(&server.socket).run("audit list --event nonsense").await.exit, 2);
    let verified = ctl(&server.socket).run("audit verify -o json").await.ok().json();
    assert_eq!((&verified["ok"], &verified["records"]), (&json!(true), &json!(11)));
}

#[tokio::test]
async fn lg_02_no_secret_is_in_the_trail() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    ctl(&server.socket)
        .input("another horse battery")
        .run("user set-password ada@example.com --password-stdin")
        .await
        .ok();
    let trail = server.admin().get("/v1/audit?limit=1000").await.body;
    for secret in
        [PASSWORD, "another horse battery", &made.text("/access_token"), &made.text("/refresh_token"), "$argon2id"]
    {
        assert!(!trail.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn lg_07_an_altered_or_missing_record_is_found() {
    let mut server = Server::start().await;
    for n in 0..5 {
        server.sign_up(&format!("user{n}@example.com")).await;
    }
    assert_eq!(ctl(&server.socket).run("audit verify").await.exit, 0);
    blind(&server).await;
    server.stop().await;
    // The keys and records of the store as they lie on disk (0x05 and the number, big-endian).
    let key = |seq: u64| [&[5u8][..], &seq.to_be_bytes()].concat();
    let tamper = |server: &Server, change: &dyn Fn(&sled::Db)| {
        let db = raw(server);
        change(&db);
        db.flush().unwrap();
    };
    let original: Vec<(Vec<u8>, Vec<u8>)> = {
        let db = raw(&server);
        db.iter().map(|e| e.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap()).collect()
    };
    #[allow(clippy::type_complexity)]
    let cases: Vec<(&str, u64, Box<dyn Fn(&sled::Db)>)> = vec![
        ("removed", 3, Box::new(|db| drop(db.remove(key(3)).unwrap()))),
        ("first removed", 1, Box::new(|db| drop(db.remove(key(1)).unwrap()))),
        ("last removed", 6, Box::new(|db| drop(db.remove(key(6)).unwrap()))),
        (
            "one byte altered",
            4,
            Box::new(|db| {
                let mut value = db.get(key(4)).unwrap().unwrap().to_vec();
                let middle = value.len() / 2;
                value[middle] ^= 1;
                db.insert(key(4), value).unwrap();
            }),
        ),
        (
            "replaced by another",
            2,
            Box::new(|db| {
                let other = db.get(key(5)).unwrap().unwrap();
                db.insert(key(2), other).unwrap();
            }),
        ),
    ];
    for (what, at, change) in cases {
        tamper(&server, &*change);
        server = server.restart().await;
        let verdict = ctl(&server.socket).run("audit verify -o json").await;
        assert_eq!(verdict.exit, 8, "{what}: {verdict:?}");
        assert_eq!(verdict.json()["brokenAt"], at, "{what}: {verdict:?}");
        server.stop().await;
        tamper(&server, &|db| {
            for (k, v) in &original {
                db.insert(k.clone(), v.clone()).unwrap();
            }
        });
    }
    server = server.restart().await;
    assert_eq!(ctl(&server.socket).run("audit verify").await.exit, 0);
}

/// With the commit log whole, what was altered in sled behind the daemon's back is seen at the next start, and undone.
#[tokio::test]
async fn lg_07_what_was_altered_while_it_was_stopped_is_undone_by_the_commit_log() {
    let mut server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let before = server.admin().get("/v1/audit?limit=100").await.body;
    server.stop().await;
    let key = [&[5u8][..], &2_u64.to_be_bytes()].concat();
    assert!(raw(&server).remove(key).unwrap().is_some());
    server = server.restart().await;
    assert_eq!(ctl(&server.socket).run("audit verify").await.exit, 0);
    assert_eq!(server.admin().get("/v1/audit?limit=100").await.body, before);
    assert!(server.data_dir().join("sled.aside").is_dir(), "and what there was is kept");
}
