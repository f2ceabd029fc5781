//! Backups, as an operator makes and uses them: of a running daemon, verified, drilled, restored into a new place, with the host
//! lost or not (CR-09, AZ-06).

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tests::{
    Application, PASSWORD,
    ctl::Outcome,
    process::{Daemon, Host, LIMIT, Run},
};

use crate::host;

/// A host with a recovery identity, and the recipient of that.
async fn with_identity(host: &Host) -> (PathBuf, String) {
    let identity = host.path("recovery.txt");
    let made = host.authd().args(["backup", "new-identity"]).args([&identity]).end().await.ok();
    assert_eq!(identity.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_ne!(
        host.authd().args(["backup", "new-identity"]).args([&identity]).end().await.exit,
        0,
        "never overwritten"
    );
    (identity, made.out.trim().to_owned())
}

fn daemon(host: &Host, recipient: &str) -> Run {
    host.daemon().env("AUTHD_BACKUP__RECIPIENTS", recipient).env("AUTHD_TOKEN__ISSUER", "http://localhost")
}

fn restore(host: &Host, file: &PathBuf, new: &PathBuf) -> Run {
    host.authd().args(["restore"]).args([file]).flag("--data-dir", new)
}

/// A daemon on a data directory of its own, with the master key that a restore wrote.
fn on(host: &Host, data: &PathBuf) -> Run {
    host.authd()
        .flag("--data-dir", data)
        .flag("--listen", "127.0.0.1:0")
        .flag("--admin-socket", host.socket())
        .env("AUTHD_TOKEN__ISSUER", "http://localhost")
}

fn failed(outcome: &Outcome, exit: u8, words: &[&str]) {
    assert_eq!(outcome.exit, exit, "{outcome:?}");
    for word in words {
        assert!(outcome.err.contains(word), "{word}: {outcome:?}");
    }
}

struct InHand {
    cookie: String,
    access: String,
    refresh: String,
}

async fn sign_up(daemon: &Daemon, email: &str) -> InHand {
    let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
    let made = daemon.client().post("/api/auth/signup", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let browser = daemon.client().with_cookies();
    let body = json!({"email": email, "password": PASSWORD, "mode": "cookie"});
    assert_eq!(browser.post("/api/auth/login", &body).await.status, 200);
    InHand { cookie: browser.cookie_header(), access: made.text("/access_token"), refresh: made.text("/refresh_token") }
}

async fn sign_in(daemon: &Daemon, email: &str, password: &str) -> u16 {
    let body = json!({"email": email, "password": password, "mode": "token"});
    daemon.client().post("/api/auth/login", &body).await.status
}

/// Nothing of it is good any more.
async fn is_dead(daemon: &Daemon, in_hand: &InHand) {
    let session = daemon.client().header("cookie", &in_hand.cookie).get("/api/auth/get-session").await;
    assert_eq!(session.body, "null", "{session:?}");
    assert_eq!(daemon.client().bearer(&in_hand.access).get("/api/auth/me").await.status, 401);
    let refreshed = daemon.client().post("/api/auth/refresh", &json!({"refresh_token": in_hand.refresh})).await;
    assert_eq!(refreshed.status, 401, "{refreshed:?}");
}

/// What people are told in words, programs are told in the members that the manual lists: not one more, not one less.
async fn as_json(host: &Host, file: &Path, identity: &Path, recipient: &str) {
    let ctl = async |words: &[&Path]| {
        let run = host.authctl().args(["backup"]).args(words).flag("--identity", identity);
        run.args(["-o", "json"]).end().await.ok().json()
    };
    let verified = ctl(&[Path::new("verify"), file]).await;
    let members = "bytes entries fingerprint madeAt name recoverable sequence sessions users";
    assert_eq!(names(&verified), members);
    assert_eq!(verified["name"], file.display().to_string());
    assert_eq!(verified["bytes"], file.metadata().unwrap().len());
    assert_eq!(
        (&verified["users"], &verified["sessions"], &verified["recoverable"]),
        (&json!(1), &json!(2), &json!(true))
    );
    let text = host.authctl().args(["backup", "verify"]).args([file]).flag("--identity", identity).end().await.ok().out;
    for member in ["entries", "madeAt", "sequence", "fingerprint"] {
        let value = verified[member].as_str().map_or_else(|| verified[member].to_string(), ToOwned::to_owned);
        assert!(text.contains(&value), "{member}: {value} is not in\n{text}");
    }

    let drilled = ctl(&[Path::new("drill"), file]).await;
    assert_eq!(names(&drilled), "madeAt name openedBy passed sequence users");
    assert_eq!(
        (&drilled["passed"], &drilled["openedBy"], &drilled["users"]),
        (&json!(true), &json!("identity"), &json!(1))
    );
    assert_eq!((&drilled["madeAt"], &drilled["sequence"]), (&verified["madeAt"], &verified["sequence"]));

    let second = host.path("second.txt");
    let new = host.authctl().args(["backup", "recipient", "new"]).args([&second]).args(["-o", "json"]).end().await.ok();
    assert_eq!(names(&new.json()), "file recipient");
    assert_eq!(new.json()["file"], second.display().to_string());
    let made = new.json()["recipient"].as_str().unwrap().to_owned();
    assert!(made.starts_with("age1") && made != recipient, "{made}");
    assert!(!new.out.contains("AGE-SECRET-KEY"), "the identity is in the file only");
    let id = host.authctl().args(["backup", "verify"]).args([file]).flag("--identity", identity).args(["-o", "id"]);
    assert_eq!(id.end().await.ok().out.trim(), file.display().to_string());

    // The manual has the same.
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/manual/src/backup-and-restore.md"));
    let page = page.unwrap();
    for found in [&verified, &drilled, &new.json()] {
        for name in names(found).split(' ') {
            assert!(page.contains(&format!("`{name}`")), "{name} is not in the manual");
        }
    }
}

/// The members of an object, in the order of the alphabet.
fn names(object: &Value) -> String {
    let mut names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(" ")
}

#[tokio::test]
async fn cr_09_the_host_is_lost_and_the_file_and_the_identity_are_enough() {
    let host = host!();
    let (identity, recipient) = with_identity(&host).await;
    let running = daemon(&host, &recipient).start().await;
    let ada = sign_up(&running, "ada@example.com").await;
    let file = host.path("a.backup");
    let made = host.ctl(&format!("backup create {}", file.display())).await.ok();
    assert!(made.err.contains(": 1 user, ") && made.err.contains("read back"), "{made:?}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(host.ctl("backup list -o id").await.ok().out.is_empty(), "it has left the daemon's directory");
    failed(&host.ctl(&format!("backup create {}", file.display())).await, 4, &["is there already"]);
    let keys = host.ctl("keys list -o json").await.ok().json();
    let old_kid = keys[0]["kid"].as_str().unwrap().to_owned();
    let bytes = fs::read(&file).unwrap();
    for secret in ["ada@example.com", "argon2id", &ada.refresh, &ada.cookie, "authd-master-key"] {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} is readable in the file");
    }
    let audit = host.ctl("audit list --event backup.made -o json").await.ok().json();
    assert_eq!(audit.as_array().unwrap().len(), 1);
    running.stop().await.ok();

    // By either key; and the drill touches nothing.
    let verified = host.authd().args(["backup", "verify"]).args([&file]).flag("--identity", &identity).end().await.ok();
    assert!(verified.out.contains("every byte was read") && verified.out.contains("1 users"), "{verified:?}");
    host.daemon().args(["backup", "verify"]).args([&file]).end().await.ok();
    as_json(&host, &file, &identity, &recipient).await;
    let drill = host.authd().args(["backup", "drill"]).args([&file]).flag("--identity", &identity);
    let drilled = drill.flag("--scratch", host.path("drill")).end().await.ok();
    assert!(drilled.out.contains("the drill passed") && drilled.out.contains("the identity alone"), "{drilled:?}");
    assert!(!host.path("drill").exists());
    let drilled = host.authctl().args(["backup", "drill"]).args([&file]).flag("--identity", &identity).end().await.ok();
    assert!(drilled.out.contains("the drill passed"), "{drilled:?}");

    // Everything of the host goes.
    fs::remove_dir_all(host.data()).unwrap();
    let _ = fs::remove_file(host.master_key());
    failed(&host.daemon().args(["backup", "verify"]).args([&file]).end().await, 78, &["--identity"]);
    let new = host.path("new");
    let other = host.path("other.txt");
    host.authd().args(["backup", "new-identity"]).args([&other]).end().await.ok();
    failed(
        &restore(&host, &file, &new).flag("--identity", &other).end().await,
        74,
        &["does not open it", "1 recipient"],
    );
    failed(
        &restore(&host, &file, &new)
            .flag("--identity", &identity)
            .flag("--fingerprint", "0000000000000000")
            .end()
            .await,
        74,
        &["do not use this one"],
    );
    assert!(!new.exists());
    let restored = restore(&host, &file, &new).flag("--identity", &identity).end().await.ok();
    for word in ["1 users", "all sessions (2)", "all signing keys", "master key  written to", "--old-data"] {
        assert!(restored.out.contains(word), "{word}: {restored:?}");
    }
    failed(&restore(&host, &file, &new).flag("--identity", &identity).end().await, 78, &["is not empty"]);

    let running = on(&host, &new).start().await;
    is_dead(&running, &ada).await;
    assert_eq!(sign_in(&running, "ada@example.com", PASSWORD).await, 200);
    let keys = host.ctl("keys list -o json").await.ok().json();
    let old = keys.as_array().unwrap().iter().find(|key| key["kid"] == *old_kid).unwrap();
    assert_eq!(old["state"], "revoked");
    assert!(!running.client().get("/api/auth/jwks").await.body.contains(&old_kid), "out of the key set");
    host.ctl("audit verify").await.ok();
    let audit = host.ctl("audit list --event store.restored -o json").await.ok().json();
    assert_eq!(audit[0]["details"]["sessions"], "2", "{audit}");
    running.stop().await.ok();
    host.authd().args(["store", "verify"]).flag("--data-dir", &new).end().await.ok();
}

#[tokio::test]
async fn cr_09_what_happened_after_the_backup_is_brought_over_from_the_old_log_or_named() {
    let host = host!();
    let (identity, recipient) = with_identity(&host).await;
    let running = daemon(&host, &recipient).start().await;
    for name in ["ada", "ban", "del", "chg"] {
        sign_up(&running, &format!("{name}@example.com")).await;
    }
    host.ctl("user disable chg@example.com --yes").await.ok();
    let file = host.path("a.backup");
    host.ctl(&format!("backup create {}", file.display())).await.ok();
    host.ctl("user disable ban@example.com --yes --reason later").await.ok();
    host.ctl("user enable chg@example.com").await.ok();
    host.ctl("user delete del@example.com --yes").await.ok();
    let chosen = "another quite long password 4711";
    let set = host.authctl().args(["user", "set-password", "ada@example.com", "--password-stdin"]).input(chosen);
    set.env("AUTHCTL_SOCKET", host.socket()).end().await.ok();
    host.create_user("new@example.com").await.ok();
    running.stop().await.ok();

    // With the log as it was left; with a newer snapshot in it; with its end damaged.
    for (round, is_damaged) in [(0, false), (1, false), (2, true)] {
        if round == 1 {
            host.daemon().args(["store", "compact"]).end().await.ok();
        }
        if is_damaged {
            let logs = fs::read_dir(host.data().join("log")).unwrap().map(|entry| entry.unwrap().path());
            let snapshot = logs.into_iter().find(|path| path.extension().is_some_and(|e| e == "snapshot")).unwrap();
            let mut bytes = fs::read(&snapshot).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&snapshot, bytes).unwrap();
        }
        let new = host.path(&format!("new-{round}"));
        let restored =
            restore(&host, &file, &new).flag("--identity", &identity).flag("--old-data", host.data()).end().await.ok();
        if is_damaged {
            for word in ["gap behind sequence", "the commit log is damaged"] {
                assert!(restored.out.contains(word), "{word}: {restored:?}");
            }
            continue;
        }
        for word in ["1 deletions, 1 bans, 1 bans lifted", "1 passwords", "1 accounts that were made since"] {
            assert!(restored.out.contains(word), "{word}: {restored:?}");
        }
        let running = on(&host, &new).start().await;
        assert_eq!(sign_in(&running, "ban@example.com", PASSWORD).await, 403, "the ban holds");
        assert_eq!(sign_in(&running, "chg@example.com", PASSWORD).await, 200);
        assert_eq!(sign_in(&running, "del@example.com", PASSWORD).await, 401, "the deleted stay deleted");
        assert_eq!(sign_in(&running, "ada@example.com", PASSWORD).await, 401, "the old password is not good again");
        assert_eq!(sign_in(&running, "ada@example.com", chosen).await, 200);
        host.ctl("audit verify").await.ok();
        running.stop().await.ok();
    }
    // Without it they come back: the check can fail.
    let new = host.path("without");
    restore(&host, &file, &new).flag("--identity", &identity).end().await.ok();
    let running = on(&host, &new).start().await;
    assert_eq!(sign_in(&running, "del@example.com", PASSWORD).await, 200);
    assert_eq!(sign_in(&running, "ban@example.com", PASSWORD).await, 200);
    running.stop().await.ok();
}

/// An application's backend, by its token.
async fn update(daemon: &Daemon, token: &str, id: &str, data: Value) {
    let body = json!({"userId": id, "data": data});
    let done = daemon.client().bearer(token).post("/api/auth/admin/update-user", &body).await;
    assert_eq!(done.status, 200, "{done:?}");
}

#[tokio::test]
async fn cr_09_addresses_names_and_service_tokens_are_as_they_were_at_last_or_are_named() {
    let host = host!();
    let (identity, recipient) = with_identity(&host).await;
    let with = |run: Run| run.env("AUTHD_ADMIN_PLUGIN__ENABLED", "true").env("AUTHD_USERNAME__ENABLED", "true");
    let running = with(daemon(&host, &recipient)).start().await;
    let mut ids = vec![];
    for name in ["ada", "bob", "eve"] {
        sign_up(&running, &format!("{name}@example.com")).await;
        ids.push(host.ctl(&format!("user show {name}@example.com -o id")).await.ok().out.trim().to_owned());
    }
    let service = async |name: &str| {
        let made = host.ctl(&format!("token service create {name} --scope users:read,users:write")).await.ok();
        made.out.trim().to_owned()
    };
    let (stays, leaks, again) = (service("stays").await, service("leaks").await, service("again").await);
    let file = host.path("a.backup");
    host.ctl(&format!("backup create {}", file.display())).await.ok();

    // Eve's address goes to Bob, and Bob's to Ada: whichever is brought over first finds one that is taken still.
    update(&running, &stays, &ids[2], json!({"email": "eve2@example.com", "name": "Eve II"})).await;
    update(&running, &stays, &ids[1], json!({"email": "eve@example.com", "emailVerified": true})).await;
    update(&running, &stays, &ids[0], json!({"email": "bob@example.com", "username": "ada_l"})).await;
    for name in ["leaks", "again"] {
        host.ctl(&format!("token service revoke {name} --yes")).await.ok();
    }
    let renewed = service("again").await;
    let shown =
        async || host.ctl("user list --all -o csv --fields id,email,emailVerified,name,username").await.ok().out;
    let at_last = shown().await;
    running.stop().await.ok();

    let state = async |daemon: &Daemon, token: &str| {
        daemon.client().bearer(token).get("/api/auth/admin/list-users").await.status
    };
    for round in 0..2 {
        if round == 1 {
            host.daemon().args(["store", "compact"]).end().await.ok();
        }
        let new = host.path(&format!("new-{round}"));
        let restored = restore(&host, &file, &new).flag("--identity", &identity).flag("--old-data", host.data());
        let restored = restored.end().await.ok();
        for word in [
            "3 addresses, 2 names or other data",
            "revoked     2 service tokens",
            "again leaks",
            "1 service tokens that were made since",
            "records of the audit trail since",
        ] {
            assert!(restored.out.contains(word), "{word}: {restored:?}");
        }
        let running = with(on(&host, &new)).start().await;
        assert_eq!(shown().await, at_last);
        let states = [&stays, &leaks, &again, &renewed].map(|token| state(&running, token));
        let states = futures_util::future::join_all(states).await;
        assert_eq!(states, [200, 401, 401, 401]);
        host.ctl("audit verify").await.ok();
        running.stop().await.ok();
    }
    // Where nobody can tell what was revoked since, none is taken for good, and that is said.
    let new = host.path("without");
    let restored = restore(&host, &file, &new).flag("--identity", &identity).end().await.ok();
    for word in ["revoked     3 service tokens", "another address, name, role", "erased from the audit trail"] {
        assert!(restored.out.contains(word), "{word}: {restored:?}");
    }
    let running = with(on(&host, &new)).start().await;
    assert_eq!(state(&running, &stays).await, 401);
    assert_eq!(
        sign_in(&running, "eve@example.com", PASSWORD).await,
        200,
        "the address is Eve's again: the check can fail"
    );
    running.stop().await.ok();
}

/// The names of so many calls, in their order.
async fn told(app: &Application, count: usize) -> Vec<String> {
    let mut names = vec![];
    let all = async {
        while names.len() < count {
            names.extend(app.calls().iter().map(|call| call.header("webhook-id").to_owned()));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, all).await.unwrap_or_else(|_| panic!("{count} calls were to come"));
    names
}

#[tokio::test]
async fn an_event_that_waited_is_told_again_after_a_restore_by_its_own_name_and_no_other_by_that() {
    let host = host!();
    let (identity, recipient) = with_identity(&host).await;
    let app = Application::start();
    let secret = host.path("events.secret");
    fs::write(&secret, Application::SECRET).unwrap();
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let with = |run: Run| {
        run.env("AUTHD_EVENTS__URL", app.url("/events"))
            .env("AUTHD_EVENTS__SECRET_FILE", &secret)
            .env("AUTHD_EVENTS__TIMEOUT", "30s")
    };
    let running = with(daemon(&host, &recipient)).start().await;
    let thinks = app.hold();
    sign_up(&running, "ada@example.com").await;
    let file = host.path("a.backup");
    host.ctl(&format!("backup create {}", file.display())).await.ok();
    drop(thinks);
    // The account, and the sessions of the sign-up and of the sign-in.
    let before = told(&app, 3).await;
    running.stop().await.ok();

    let new = host.path("new");
    restore(&host, &file, &new).flag("--identity", &identity).end().await.ok();
    let running = with(on(&host, &new)).start().await;
    assert_eq!(told(&app, 3).await, before);
    host.create_user("new@example.com").await.ok();
    let later = told(&app, 1).await;
    assert!(!before.contains(&later[0]), "{later:?} was another's: {before:?}");
    running.stop().await.ok();
}

#[tokio::test]
async fn backups_are_kept_listed_verified_streamed_and_pruned() {
    let host = host!();
    let running = host.daemon().start().await;
    for n in 0..3 {
        host.create_user(&format!("u{n}@example.com")).await.ok();
        host.ctl("backup create").await.ok();
    }
    let names = host.ctl("backup list -o id").await.ok().out;
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names.len(), 3);
    let verified = host.ctl(&format!("backup verify {} -o json", names[0])).await.ok().json();
    assert_eq!((&verified["users"], &verified["recoverable"]), (&json!(1), &json!(false)));
    assert_eq!(self::names(&verified), "bytes entries fingerprint madeAt name recoverable sequence sessions users");
    let streamed = host.authctl().args(["backup", "create", "-"]).env("AUTHCTL_SOCKET", host.socket()).end().await.ok();
    assert!(streamed.out.starts_with("age-encryption.org/v1"), "{}", streamed.err);
    // A place that cannot be written is known before anything is made.
    let nowhere = host.path("nowhere/b.age");
    failed(&host.ctl(&format!("backup create {}", nowhere.display())).await, 1, &["cannot be written"]);
    let left = host.path("left.age");
    fs::write(host.path("left.age.unborn"), "").unwrap();
    failed(&host.ctl(&format!("backup create {}", left.display())).await, 1, &["left.age.unborn", "remove it"]);
    assert!(!left.exists());
    assert_eq!(host.ctl("backup list -o id").await.ok().out.lines().count(), 3);
    let listed = host.ctl("backup list").await.ok();
    assert!(listed.out.contains(" KiB  ") && listed.err.contains("set backup.directory"), "{listed:?}");
    failed(&host.ctl("backup verify authd-1-2.backup").await, 3, &["no such backup"]);
    failed(&host.ctl("backup prune --keep 1").await, 2, &["--yes"]);
    assert_eq!(host.ctl("backup prune --keep 1 --dry-run -o id").await.ok().out.lines().count(), 2);
    assert_eq!(host.ctl("backup list -o id").await.ok().out.lines().count(), 3);
    host.ctl("backup prune --keep 1 --yes").await.ok();
    assert_eq!(host.ctl("backup list -o id").await.ok().out.trim(), names[2]);
    // Whoever fetches it from behind its end gets nothing, however far behind.
    let client = running.admin();
    let length = fs::metadata(host.data().join("backups").join(names[2])).unwrap().len();
    for from in [length, length + 1, 1_000_000_000_000_001, u64::MAX] {
        let piece = client.get(&format!("/v1/backups/{}?from={from}", names[2])).await;
        assert!(piece.status == 200 && piece.body.is_empty(), "{from}: {piece:?}");
    }
    // What is not whole is said to be so, by who made it and by who reads it.
    let path = host.data().join("backups").join(names[2]);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    failed(&host.ctl(&format!("backup verify {}", names[2])).await, 8, &["it is damaged between offset"]);
    assert!(host.ctl("status").await.ok().err.contains("the last backup failed"));
    // What leads elsewhere is not followed.
    let other = host.path("elsewhere");
    fs::write(&other, "secret of another").unwrap();
    let link = host.data().join("backups/authd-9-9.backup");
    std::os::unix::fs::symlink(&other, &link).unwrap();
    let piece = client.get("/v1/backups/authd-9-9.backup").await;
    assert!(piece.status != 200 && !piece.body.contains("secret of another"), "{piece:?}");
    for name in ["..%2Flog%2Fopen-since", "unborn", "lock"] {
        assert_eq!(client.get(&format!("/v1/backups/{name}")).await.status, 404, "{name}");
    }
    running.stop().await.ok();
}
