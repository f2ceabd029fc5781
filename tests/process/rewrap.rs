//! CR-08: the master key is changed while the daemon runs, and killed at any moment of it the store opens with exactly one
//! of the two keys.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::{
    PASSWORD,
    process::{Daemon, Host, Run},
};

use crate::{host, kill_loop::dice::Dice};

/// Tokens that are good at every port, and do not expire before the end.
fn daemon(host: &Host, key: &Path) -> Run {
    host.daemon()
        .env("AUTHD_KEYS__MASTER_KEY_FILE", key)
        .env("AUTHD_TOKEN__EXPIRES_IN", "1d")
        .env("AUTHD_TOKEN__ISSUER", "http://localhost")
        .env("AUTHD_TOKEN__AUDIENCE", "http://localhost")
}

/// Makes a master key; answers its fingerprint.
async fn new_key(host: &Host, path: &Path) -> String {
    let made = host.authd().args(["new-master-key"]).args([path]).end().await.ok().out;
    made.split("fingerprint ").nth(1).unwrap()[..16].to_owned()
}

/// What a user has in hand: a session cookie of one sign-in, an access and a refresh token of another.
struct InHand {
    cookie: String,
    access: String,
    refresh: String,
}

impl InHand {
    async fn make(daemon: &Daemon) -> Self {
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
        let made = daemon.client().post("/api/auth/signup", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let browser = daemon.client().with_cookies();
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "mode": "cookie"});
        assert_eq!(browser.post("/api/auth/login", &body).await.status, 200);
        Self {
            cookie: browser.cookie_header(),
            access: made.text("/access_token"),
            refresh: made.text("/refresh_token"),
        }
    }

    /// All of it is still good.
    async fn check(&mut self, daemon: &Daemon) {
        let session = daemon.client().header("cookie", &self.cookie).get("/api/auth/get-session").await;
        assert_eq!(session.text("/user/email"), "ada@example.com");
        let me = daemon.client().bearer(&self.access).get("/api/auth/me").await;
        assert_eq!(me.status, 200, "{me:?}");
        let refreshed = daemon.client().post("/api/auth/refresh", &json!({"refresh_token": self.refresh})).await;
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        (self.access, self.refresh) = (refreshed.text("/access_token"), refreshed.text("/refresh_token"));
        let chain = daemon.admin().get("/v1/audit/verify").await.json();
        assert_eq!(chain["ok"], true, "{chain}");
    }
}

#[tokio::test]
async fn cr_08_a_rewrap_keeps_every_token_and_the_old_key_opens_the_store_no_more() {
    let host = host!();
    let (old, new) = (host.path("old.key"), host.path("new.key"));
    let (old_print, new_print) = (new_key(&host, &old).await, new_key(&host, &new).await);
    let running = daemon(&host, &old).start().await;
    let mut in_hand = InHand::make(&running).await;
    let rewrap = async |args: &[&str]| {
        host.authctl().args(["keys", "rewrap", "--new-master-key"]).args([&new]).args(args).end().await
    };
    let would = rewrap(&["--dry-run"]).await.ok();
    assert!(would.err.contains("would be sealed") && would.err.contains(&new_print), "{would:?}");
    let undecided = rewrap(&[]).await;
    assert_eq!(undecided.exit, 2, "without a terminal it wants --yes: {undecided:?}");
    let done = rewrap(&["--yes", "--reason", "it leaked"]).await.ok();
    for part in [&old_print, &new_print, &format!("mv {} {}", new.display(), old.display())] {
        assert!(done.err.contains(part.as_str()), "{part}: {done:?}");
    }
    let again = rewrap(&["--yes"]).await;
    assert_eq!(again.exit, 4, "{again:?}");
    assert!(again.err.contains("in force"), "{again:?}");

    let trail = host.ctl("audit list --event keys.rewrapped -o json").await.ok().json();
    assert_eq!(trail.as_array().unwrap().len(), 1);
    assert_eq!(trail[0]["details"], json!({"from": old_print, "to": new_print}));
    assert_eq!((&trail[0]["reason"], trail[0]["actor"]["uid"].is_u64()), (&json!("it leaked"), true));

    in_hand.check(&running).await;
    // What is made from now on is sealed under the new key.
    host.ctl("keys rotate --now --yes").await.ok();
    let fresh = running.client().post("/api/auth/refresh", &json!({"refresh_token": in_hand.refresh})).await;
    (in_hand.access, in_hand.refresh) = (fresh.text("/access_token"), fresh.text("/refresh_token"));
    running.stop().await.ok();

    let refused = daemon(&host, &old).end().await;
    assert_eq!(refused.exit, 78, "{refused:?}");
    assert!(refused.err.contains(&old_print) && refused.err.contains(&new_print), "{refused:?}");
    let running = daemon(&host, &new).start().await;
    in_hand.check(&running).await;
    host.ctl("keys rotate --now --yes").await.ok();
    running.stop().await.ok();
}

#[tokio::test]
async fn a_file_that_is_no_new_master_key_changes_nothing() {
    let host = host!();
    let key = host.path("master.key");
    new_key(&host, &key).await;
    let running = daemon(&host, &key).start().await;
    let before = running.admin().get("/v1/audit?limit=1").await.body;
    let refused = async |content: Option<&str>, mode: u32| {
        let file = host.path("wrong.key");
        let _ = std::fs::remove_file(&file);
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        let end = host.authctl().args(["keys", "rewrap", "--yes", "--new-master-key"]).args([&file]).end().await;
        assert!(end.err.contains("authd new-master-key"), "{end:?}");
        end.exit
    };
    let good = std::fs::read_to_string(&key).unwrap();
    let zeros = "authd-master-key-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    assert_eq!(refused(None, 0).await, 2);
    assert_eq!(refused(Some(&good), 0o644).await, 2, "what others can read is no secret");
    assert_eq!(refused(Some("secret"), 0o600).await, 2);
    assert_eq!(refused(Some(zeros), 0o600).await, 2);
    assert_eq!(running.admin().get("/v1/audit?limit=1").await.body, before);
    running.stop().await.ok();
}

/// Asks for rewraps, back and forth, until the daemon is gone; answers the fingerprint of the last one that was
/// acknowledged, and how many were.
async fn back_and_forth(admin: tests::Client, keys: [(String, String); 2], mut next: usize) -> (Option<String>, usize) {
    let (mut acknowledged, mut count) = (None, 0);
    loop {
        let body = json!({"newMasterKey": keys[next].0}).to_string().into();
        let answer = admin.try_send(http::Method::POST, "/v1/keys/rewrap", Some("application/json"), body).await;
        let Ok(answer) = answer else { return (acknowledged, count) };
        assert_eq!(answer.status, 200, "{answer:?}");
        acknowledged = Some(keys[next].1.clone());
        (next, count) = (1 - next, count + 1);
    }
}

fn rounds() -> usize {
    std::env::var("AUTHD_TEST_KILLS").map_or(20, |kills| kills.parse().unwrap())
}

#[tokio::test]
async fn cr_08_killed_at_any_moment_of_a_rewrap_the_store_opens_with_exactly_one_key_and_nothing_is_lost() {
    let host = host!();
    let seed = Dice::seed();
    eprintln!("AUTHD_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let files = [host.path("a.key"), host.path("b.key")];
    let mut keys: Vec<(String, String)> = vec![];
    for file in &files {
        let print = new_key(&host, file).await;
        keys.push((std::fs::read_to_string(file).unwrap(), print));
    }
    let keys: [(String, String); 2] = keys.try_into().unwrap();
    let start = async |file: &PathBuf| daemon(&host, file).try_start().await;

    let mut current = 0;
    let mut running = start(&files[current]).await.unwrap();
    let mut in_hand = InHand::make(&running).await;
    let (mut rewraps, mut unanswered_but_done) = (0, 0);
    for round in 0..rounds() {
        let admin = running.admin();
        let asking = tokio::spawn(back_and_forth(admin.clone(), keys.clone(), 1 - current));
        // Chance decides after how many answers it is killed, and how far into what follows them.
        let records = |status: Value| status["counts"]["audit"].as_u64().unwrap();
        let goal = records(admin.get("/v1/status").await.json()) + dice.below(6) as u64;
        while records(admin.get("/v1/status").await.json()) < goal {}
        for _ in 0..dice.below(2000) {
            tokio::task::yield_now().await;
        }
        running.kill().await;
        let (acknowledged, count) = asking.await.unwrap();
        rewraps += count;

        let last = acknowledged.map_or(current, |print| usize::from(print == keys[1].1));
        let (fits, next) = match start(&files[last]).await {
            Ok(daemon) => (last, daemon),
            Err(refused) => {
                // The one that was not answered any more was done.
                assert_eq!(refused.exit, 78, "round {round}: {refused:?}");
                assert!(refused.err.contains(&keys[0].1) && refused.err.contains(&keys[1].1), "{refused:?}");
                unanswered_but_done += 1;
                (
                    1 - last,
                    start(&files[1 - last]).await.unwrap_or_else(|end| panic!("round {round}: neither: {end:?}")),
                )
            }
        };
        (current, running) = (fits, next);
        in_hand.check(&running).await;
    }
    running.stop().await.ok();
    let refused = start(&files[1 - current]).await.err().unwrap();
    assert_eq!(refused.exit, 78, "not with the other: {refused:?}");
    eprintln!("{rewraps} rewraps acknowledged, {unanswered_but_done} done without an answer");
    assert!(rewraps > 0, "hardly anything was tried");
}
