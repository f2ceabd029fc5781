//! Refresh tokens, in both modes (RF-01 … RF-06). The long forms: `AUTHD_TEST_LONG=1`.

use std::sync::Arc;

use common::Span;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Client, PASSWORD, Response, Server, ctl::ctl};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const PATH: &str = "/api/auth/refresh";
const WINDOW: Span = Span::from_secs(10);

async fn refresh(client: &Client, token: &str) -> Response {
    client.post(PATH, &json!({"refresh_token": token})).await
}

/// How often a round is made: the short form, or the issue's.
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var("AUTHD_TEST_LONG").is_ok_and(|value| value == "1") { long } else { short }
}

async fn events(server: &Server, kind: &str) -> Vec<Value> {
    let trail = ctl(&server.socket).run(&format!("audit list --event {kind} --all -o json")).await.ok().json();
    trail.as_array().unwrap().clone()
}

#[tokio::test]
async fn rf_01_a_token_is_good_for_one_use_and_its_successor_for_the_next() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    assert_eq!(made.json()["refresh_expires_in"], 7 * 86_400);
    let mut token = made.text("/refresh_token");
    for n in 1..=3 {
        server.clock.advance(Span::from_mins(14));
        let next = refresh(&server.client(), &token).await;
        assert_eq!(next.status, 200, "{next:?}");
        assert_eq!(next.json()["expires_in"], 900);
        assert_eq!(next.json()["refresh_expires_in"], 7 * 86_400 - n * 14 * 60);
        assert_eq!((next.text("/token_type"), next.text("/user/email")), ("Bearer".into(), "ada@example.com".into()));
        assert_eq!(next.header("cache-control"), "no-store");
        assert!(next.cookies().is_empty(), "RF-06: never in a cookie");
        assert_ne!(next.text("/refresh_token"), token);
        let me = server.client().bearer(&next.text("/access_token")).get("/api/auth/me").await;
        assert_eq!(me.status, 200, "{me:?}");
        token = next.text("/refresh_token");
    }
    assert_eq!(events(&server, "token.refreshed").await.len(), 1, "LG-01, and TH-08: once a day");
}

#[tokio::test]
async fn th_08_refreshes_leave_a_record_a_day_and_none_of_them_is_lost_by_it() {
    let mut server = Server::start().await;
    let mut token = server.sign_up("ada@example.com").await.text("/refresh_token");
    for n in 0..200 {
        let next = refresh(&server.client(), &token).await;
        assert_eq!(next.status, 200, "{n}: {next:?}");
        // Each second one is shown again, by somebody else.
        if n % 2 == 0 {
            refresh(&server.client().header("user-agent", "another"), &token).await;
        }
        token = next.text("/refresh_token");
        server.clock.advance(Span::from_mins(15));
        if n == 100 {
            server = server.restart().await;
        }
    }
    let (refreshed, repeated) =
        (events(&server, "token.refreshed").await, events(&server, "token.refresh_repeated").await);
    assert_eq!((refreshed.len(), repeated.len()), (3, 3), "two days and two hours");
}

#[tokio::test]
async fn a_refresh_is_a_use_of_the_session_and_the_absolute_limit_stays() {
    let server = Server::start().await;
    let mut token = server.sign_up("ada@example.com").await.text("/refresh_token");
    for day in 1..30 {
        server.clock.advance(Span::from_days(1));
        let next = refresh(&server.client(), &token).await;
        assert_eq!(next.status, 200, "day {day}: {next:?}");
        let left = next.json()["refresh_expires_in"].as_i64().unwrap();
        assert_eq!(left, (30 - day).min(7) * 86_400, "the lesser of idle and absolute, day {day}");
        token = next.text("/refresh_token");
    }
    server.clock.advance(Span::from_days(1));
    assert_eq!(refresh(&server.client(), &token).await.code(), "SESSION_EXPIRED");
}

#[tokio::test]
async fn rf_02_a_token_that_was_used_ends_the_session_also_after_a_restart() {
    for restarted in [false, true] {
        let mut server = Server::start().await;
        let first = server.sign_up("ada@example.com").await;
        let second = refresh(&server.client(), &first.text("/refresh_token")).await;
        let third = refresh(&server.client(), &second.text("/refresh_token")).await;
        server.clock.advance(WINDOW);
        if restarted {
            server = server.restart().await;
        }
        let reused = refresh(&server.client(), &first.text("/refresh_token")).await;
        assert_eq!((reused.status, reused.code().as_str()), (401, "REFRESH_TOKEN_REUSED"), "{reused:?}");
        assert_eq!(refresh(&server.client(), &third.text("/refresh_token")).await.code(), "SESSION_REVOKED");
        if !restarted {
            // (The port, and with it the issuer, is another one after a restart.)
            let me = server.client().bearer(&third.text("/access_token")).get("/api/auth/me").await;
            assert_eq!(me.code(), "SESSION_REVOKED", "the access tokens with it");
        }
        let told = events(&server, "token.refresh_reused").await;
        assert_eq!((told.len(), &told[0]["details"]["generation"]), (1, &json!("1")), "{told:?}");
    }
}

#[tokio::test]
async fn rf_03_inside_the_window_the_answer_is_the_same_successor_also_after_a_restart() {
    let server = Server::start().await;
    let first = server.sign_up("ada@example.com").await.text("/refresh_token");
    let second = refresh(&server.client(), &first).await.text("/refresh_token");
    server.clock.advance(Span::from_millis(WINDOW.as_millis() - 1));
    assert_eq!(refresh(&server.client(), &first).await.text("/refresh_token"), second);
    let server = server.restart().await;
    assert_eq!(refresh(&server.client(), &first).await.text("/refresh_token"), second);
    assert_eq!(events(&server, "token.refresh_repeated").await.len(), 1, "one record, however often");
    let other = server.client().header("user-agent", "somebody else");
    assert_eq!(refresh(&other, &first).await.text("/refresh_token"), second);
    assert_eq!(events(&server, "token.refresh_repeated").await.len(), 2, "another client is told of");
}

#[tokio::test]
async fn rf_02_and_f_07_a_clock_that_was_wrong_leaves_no_old_token_good() {
    let server = Server::start().await;
    let right = server.clock.now_time();
    server.clock.advance(Span::from_hours(4));
    let first = server.sign_up("ada@example.com").await.text("/refresh_token");
    let second = refresh(&server.client(), &first).await.text("/refresh_token");
    let server = server.restart_at(right, true).await;
    let third = refresh(&server.client(), &second).await;
    assert_eq!(third.status, 200, "{third:?}");
    server.clock.advance(Span::from_secs(15));
    assert_eq!(refresh(&server.client(), &first).await.code(), "REFRESH_TOKEN_REUSED");
}

#[tokio::test]
async fn a_lost_answer_is_made_good_after_any_sleep() {
    let server = Server::start().await;
    let first = server.sign_up("ada@example.com").await.text("/refresh_token");
    let lost = refresh(&server.client(), &first).await.text("/refresh_token");
    server.clock.advance(Span::from_days(1));
    let second = refresh(&server.client(), &first).await;
    assert_eq!(second.status, 200, "the laptop slept before the answer came: {second:?}");
    assert_ne!(second.text("/refresh_token"), lost);
    server.clock.advance(WINDOW);
    assert_eq!(
        refresh(&server.client(), &lost).await.code(),
        "REFRESH_TOKEN_REUSED",
        "the orphan is no token any more"
    );
}

#[tokio::test]
async fn rf_02_thief_and_owner_who_take_turns_cannot_both_go_on() {
    for thief_first in [true, false] {
        for pause in [WINDOW, Span::from_mins(15), Span::from_days(1)] {
            let server = Server::start().await;
            let copied = server.sign_up("ada@example.com").await.text("/refresh_token");
            let mut tokens = [copied.clone(), copied];
            let mut uses = 0;
            let dead = loop {
                let who = (uses + usize::from(!thief_first)) % 2;
                let answer = refresh(&server.client(), &tokens[who]).await;
                uses += 1;
                match answer.status {
                    200 => tokens[who] = answer.text("/refresh_token"),
                    _ => break answer.code(),
                }
                assert!(uses < 4, "at the latest at either party's second use");
                server.clock.advance(pause);
            };
            assert_eq!(dead, "REFRESH_TOKEN_REUSED");
            for token in &tokens {
                assert_eq!(refresh(&server.client(), token).await.code(), "SESSION_REVOKED");
            }
        }
    }
}

#[tokio::test]
async fn rf_03_of_racing_refreshes_all_get_one_successor() {
    let server = Server::start().await;
    let mut token = server.sign_up("ada@example.com").await.text("/refresh_token");
    let client = server.client();
    let rounds = rounds(12, 1000);
    for round in 0..rounds {
        let answers = join_all((0..64).map(|_| refresh(&client, &token))).await;
        let mut successors: Vec<String> = answers.iter().map(|answer| answer.text("/refresh_token")).collect();
        successors.dedup();
        assert_eq!(successors.len(), 1, "round {round}");
        token = successors.remove(0);
        server.clock.advance(Span::from_secs(1));
    }
    assert_eq!(events(&server, "token.refreshed").await.len(), 1, "{rounds} seconds are a part of a day");
}

/// A person's browser: tabs share one stored token, read it again before each refresh, and store what they get.
#[tokio::test]
async fn fifty_tabs_with_lost_answers_and_sleep_never_sign_anybody_out() {
    let server = Server::start().await;
    let stored = Arc::new(std::sync::Mutex::new(server.sign_up("ada@example.com").await.text("/refresh_token")));
    let mut signed_in = server.clock.now_time();
    let mut dice = Dice(0x5eed_1234_abcd_0001);
    for round in 0..rounds(10, 200) {
        // Every tab's timer goes off within less than the window.
        let mut jitter: Vec<u64> = (0..50).map(|_| dice.below(9_000)).collect();
        jitter.sort_unstable();
        let start = server.clock.now_time();
        let mut waves: Vec<(u64, usize)> = vec![];
        for at in jitter {
            match waves.last_mut() {
                // Those that fall into the same half second race.
                Some((first, n)) if at - *first < 500 => *n += 1,
                _ => waves.push((at, 1)),
            }
        }
        for (at, tabs) in waves {
            server.clock.set(start.plus(Span::from_millis(at)));
            let lost: Vec<bool> = (0..tabs).map(|_| dice.below(10) == 0).collect();
            let read = stored.lock().unwrap().clone();
            let answers = join_all((0..tabs).map(|_| refresh_of(&server, &read))).await;
            for (answer, lost) in answers.into_iter().zip(lost) {
                assert_eq!(answer.status, 200, "round {round}: {answer:?}");
                if !lost {
                    *stored.lock().unwrap() = answer.text("/refresh_token");
                }
            }
        }
        let pause = if dice.below(10) == 0 { Span::from_days(1) } else { Span::from_mins(14) };
        server.clock.set(start.plus(Span::from_secs(9)).plus(pause));
        if server.clock.now_time() > signed_in.plus(Span::from_days(25)) {
            // Before the absolute limit the person signs in again.
            signed_in = server.clock.now_time();
            let login = json!({"email": "ada@example.com", "password": PASSWORD});
            *stored.lock().unwrap() = server.client().post("/api/auth/login", &login).await.text("/refresh_token");
        }
    }
    assert_eq!(events(&server, "token.refresh_reused").await, Vec::<Value>::new());
}

async fn refresh_of(server: &Server, token: &str) -> Response {
    refresh(&server.client(), token).await
}

/// A small generator (xorshift64*), so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

#[tokio::test]
async fn rf_05_who_may_not_sign_in_may_not_refresh() {
    let server = Server::start().await;
    let run = async |line: &str| ctl(&server.socket).run(line).await.ok();
    for (n, act) in ["user disable u0@example.com --yes", "user delete u1@example.com --yes"].into_iter().enumerate() {
        let made = server.sign_up(&format!("u{n}@example.com")).await;
        run(act).await;
        assert_eq!(refresh(&server.client(), &made.text("/refresh_token")).await.code(), "SESSION_REVOKED", "{act}");
    }
    let made = server.sign_up("u2@example.com").await;
    let set = ctl(&server.socket).input("another long phrase").run("user set-password u2@example.com --password-stdin");
    set.await.ok();
    assert_eq!(refresh(&server.client(), &made.text("/refresh_token")).await.code(), "SESSION_REVOKED");
    // A role that changed is in the next access token.
    let made = server.sign_up("u3@example.com").await;
    let session = run("session list --user u3@example.com -o id").await.out;
    run(&format!("session revoke {} --yes", session.trim())).await;
    assert_eq!(refresh(&server.client(), &made.text("/refresh_token")).await.code(), "SESSION_REVOKED");
}

#[tokio::test]
async fn forged_and_foreign_tokens_are_refused_and_end_nothing() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let other = server.sign_up("bob@example.com").await;
    let token = made.text("/refresh_token");
    let parts: Vec<&str> = token.split('.').collect();
    let of_bob = other.text("/refresh_token");
    let bob: Vec<&str> = of_bob.split('.').collect();
    for forged in [
        format!("{}.{}.2.{}", parts[0], parts[1], parts[3]),
        format!("{}.{}.1.{}", parts[0], parts[1], bob[3]),
        format!("{}.{}.01.{}", parts[0], parts[1], parts[3]),
        format!("{token}."),
        token[..token.len() - 1].to_owned(),
        made.text("/access_token"),
        "x".repeat(10_000),
        String::new(),
    ] {
        let refused = refresh(&server.client(), &forged).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "INVALID_TOKEN"), "{forged}: {refused:?}");
    }
    let unknown = format!("{}.{}.1.{}", parts[0], "A".repeat(parts[1].len()), parts[3]);
    assert_eq!(refresh(&server.client(), &unknown).await.status, 401);
    assert_eq!(refresh(&server.client(), &token).await.status, 200);
    let wrong = server.client().post(PATH, &json!({"refresh_token": 7})).await;
    assert_eq!(wrong.code(), "VALIDATION_ERROR");
}

#[tokio::test]
async fn rf_06_a_page_refreshes_by_its_cookie_and_gets_no_lasting_token() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let page = server.browser("http://localhost:5173");
    page.post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    server.clock.advance(Span::from_mins(20));
    let fresh = page.post(PATH, &json!({})).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert_eq!(fresh.json().get("refresh_token"), None);
    assert!(fresh.cookies().is_empty(), "nothing was prolonged");
    let me = server.client().bearer(&fresh.text("/access_token")).get("/api/auth/me").await;
    assert_eq!(me.status, 200);
    server.clock.advance(Span::from_days(2));
    let prolonged = page.post_empty(PATH).await;
    assert!(prolonged.cookies()[0].contains("Max-Age=604800"), "{prolonged:?}");

    let foreign = page.clone().header("origin", "https://evil.example").post(PATH, &json!({})).await;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "INVALID_ORIGIN"));
    let script =
        server.client().post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    let both = refresh(&page, &script.text("/refresh_token")).await;
    assert_eq!((both.status, both.code().as_str()), (400, "AMBIGUOUS_CREDENTIALS"));
    let bearer = page.clone().bearer(&fresh.text("/access_token")).post(PATH, &json!({})).await;
    assert_eq!((bearer.status, bearer.code().as_str()), (401, "INVALID_TOKEN"), "no fallback to the cookie");
    for other in ["whatever", &script.text("/access_token")] {
        let both = refresh(&server.client().bearer(other), &script.text("/refresh_token")).await;
        assert_eq!((both.status, both.code().as_str()), (400, "AMBIGUOUS_CREDENTIALS"), "TK-13: {other}");
    }
    assert_eq!(refresh(&server.client(), &script.text("/refresh_token")).await.status, 200, "none of that used it up");

    ctl(&server.socket).run("session revoke --user ada@example.com --yes").await.ok();
    let dead = page.post(PATH, &json!({})).await;
    assert_eq!((dead.status, dead.code().as_str()), (401, "SESSION_REVOKED"));
    assert_eq!(dead.cookies().len(), 3, "the browser forgets it");
    assert_eq!(server.client().post(PATH, &json!({})).await.code(), "UNAUTHORIZED");
}

/// A refresh that fails on our side: the token is not burnt, and nothing is told of a reuse.
#[tokio::test]
async fn rf_04_a_refresh_that_could_not_be_written_can_be_tried_again() {
    let server = Server::start().await;
    let mut token = server.sign_up("ada@example.com").await.text("/refresh_token");
    // The client hangs up while the answer is made: every third time.
    for n in 0..9 {
        server.clock.advance(Span::from_mins(14));
        if n % 3 == 0 {
            let body = json!({"refresh_token": token}).to_string();
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let head = format!(
                "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
        let next = refresh(&server.client(), &token).await;
        assert_eq!(next.status, 200, "{n}: {next:?}");
        token = next.text("/refresh_token");
    }
    assert_eq!(events(&server, "token.refresh_reused").await, Vec::<Value>::new());
}
