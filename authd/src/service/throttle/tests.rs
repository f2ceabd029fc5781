//! What the counters do to those who guess, and to those whom they must not touch.

use super::{written::WRITTEN_AT_ONCE, *};
use crate::store::Counter;

const NOW: UnixTime = UnixTime::from_secs(1_000_000);

#[allow(clippy::unnecessary_wraps)] // as the functions take it
fn ip(n: u32) -> Option<IpAddr> {
    Some(IpAddr::from(n.to_be_bytes()))
}

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn throttles() -> Arc<Throttles> {
    Arc::new(Throttles::new(true))
}

/// One attempt that fails: what came of it.
fn fails(throttles: &Arc<Throttles>, account: &Account<'_>, source: Option<IpAddr>, now: UnixTime) -> &'static str {
    match throttles.begin(account, source, None, now) {
        Ok(attempt) if attempt.put_off.is_some() => "in vain",
        Ok(_) => "looked at",
        Err(_) => "refused",
    }
}

#[test]
fn th_01_one_account_is_guessed_at_from_a_thousand_sources() {
    let throttles = throttles();
    let ada = user("ada");
    let outcomes: Vec<_> = (0..1000).map(|n| fails(&throttles, &Account::Known(&ada), ip(n), NOW)).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "looked at").count(), 10);
    assert_eq!(fails(&throttles, &Account::Known(&user("bob")), ip(1), NOW), "looked at");
    let seen = throttles.waiting(NOW);
    assert_eq!((seen[0].kind, seen[0].subject.as_str(), seen[0].failures), ("account", "ada", 10));
    assert_eq!(seen.len(), 1);
}

#[test]
fn th_01_a_thousand_accounts_are_guessed_at_from_one_source() {
    let throttles = throttles();
    let users = (0..1000).map(|n| user(&format!("u{n}")));
    let outcomes: Vec<_> = users.map(|user| fails(&throttles, &Account::Known(&user), ip(7), NOW)).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "looked at").count(), 20);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "refused").count(), 980);
}

#[test]
fn th_02_a_lane_and_a_device_have_counters_of_their_own() {
    let throttles = throttles();
    let ada = user("ada");
    for n in 0..1000 {
        fails(&throttles, &Account::Known(&ada), ip(n), NOW);
    }
    let attempt = throttles.begin(&Account::Known(&ada), ip(5000), None, NOW).ok().unwrap();
    assert!(attempt.put_off.is_some(), "whether it is the owner's place is for the caller to ask");
    attempt.succeeded();
    // It is limited too, without any effect on others.
    let guesses: Vec<_> = (0..50).map(|_| fails(&throttles, &Account::Known(&ada), ip(5000), NOW)).collect();
    assert_eq!(guesses.iter().filter(|outcome| **outcome == "in vain").count(), 10);
    assert_eq!(fails(&throttles, &Account::Known(&ada), ip(5001), NOW), "in vain");
    let by_device = || throttles.begin(&Account::Known(&ada), ip(5000), Some([7; 16]), NOW);
    assert_eq!((0..50).filter(|_| by_device().is_ok_and(|attempt| attempt.put_off.is_none())).count(), 10);
    let seen = throttles.waiting(NOW);
    assert!(seen.iter().any(|one| one.subject == "ada/device-07070707"), "{seen:?}");
    throttles.forget(&Which::Account(ada.clone()));
    assert!(throttles.waiting(NOW).iter().all(|one| one.kind == "source"));
    assert_eq!(fails(&throttles, &Account::Known(&ada), ip(5002), NOW), "looked at");
}

#[test]
fn au_06_all_is_counted_and_judged_alike_whether_or_not_there_is_an_account() {
    let (ada, nobody): (UserId, Email) = (user("ada"), "nobody@example.com".parse().unwrap());
    let seen = [Account::Known(&ada), Account::Unknown(&nobody)].map(|account| {
        let throttles = throttles();
        let mut seen = vec![];
        let mut now = NOW;
        for n in 0..400 {
            let source = ip(n % 7);
            let verdict = throttles.begin(&account, source, None, now);
            seen.push(match verdict {
                Ok(attempt) => (true, attempt.put_off.as_ref().map(|refused| refused.wait)),
                Err(Problem::Refused(refused) | Problem::UnderWay(refused)) => (false, Some(refused.wait)),
            });
            now = now.plus(Span::from_secs(u64::from(n % 5)));
        }
        seen
    });
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].iter().any(|(hashed, wait)| *hashed && wait.is_some()), "also where the account waits");
}

#[test]
fn th_03_a_success_takes_back_itself_and_no_failure() {
    let throttles = throttles();
    let (ada, own) = (user("ada"), user("own"));
    for n in 0..10 {
        assert_eq!(fails(&throttles, &Account::Known(&ada), ip(n), NOW), "looked at");
        throttles.begin(&Account::Known(&own), ip(n), None, NOW).ok().unwrap().succeeded();
    }
    assert_eq!(fails(&throttles, &Account::Known(&ada), ip(77), NOW), "in vain");
    assert_eq!(fails(&throttles, &Account::Known(&own), ip(78), NOW), "looked at", "nothing is left of those");
}

#[tokio::test]
async fn th_02_right_passwords_that_come_at_once_wait_for_each_other_and_wrong_ones_gain_nothing() {
    let throttles = throttles();
    let ada = user("ada");
    for (right, expected) in [(true, 64), (false, 10)] {
        let attempts = (0..64).map(|n| {
            let (throttles, ada) = (throttles.clone(), ada.clone());
            async move {
                let attempt = throttles.admit(&Account::Known(&ada), ip(n), None, NOW).await;
                tokio::task::yield_now().await;
                match attempt {
                    Ok(attempt) if attempt.put_off.is_some() => false,
                    Ok(attempt) if right => {
                        attempt.succeeded();
                        true
                    }
                    Ok(_) => true,
                    Err(_) => false,
                }
            }
        });
        let looked_at = futures_util::future::join_all(attempts).await.into_iter().filter(|seen| *seen).count();
        assert_eq!(looked_at, expected, "right: {right}");
    }
}

#[test]
fn th_07_a_million_keys_take_bounded_room_and_free_no_account_under_attack() {
    let throttles = throttles();
    let (ada, eve) = (user("ada"), user("eve"));
    for n in 0..10 {
        fails(&throttles, &Account::Known(&ada), ip(n), NOW);
        if n < 9 {
            fails(&throttles, &Account::Known(&eve), ip(n), NOW);
        }
    }
    let rule = WindowRule::new(3, 10);
    for n in 0..1_000_000u32 {
        let email: Email = format!("u{n}@example.com").parse().unwrap();
        let _ = throttles.begin(&Account::Unknown(&email), ip(n + 10_000), None, NOW);
        let _ = throttles.request(ip(n), "/sign-in/email", rule, NOW);
    }
    let inner = throttles.lock();
    let (accounts, sources, lanes) = (&inner.accounts, &inner.sources, &inner.lanes);
    let all = [accounts, sources, lanes].map(|table| table.iter().count());
    assert!(all.iter().chain([&inner.windows.iter().count()]).all(|n| *n <= 2 * HALF), "{all:?}");
    assert!(inner.unwritten.len() <= WAITING_AT_MOST, "{}", inner.unwritten.len());
    drop(inner);
    assert_eq!(fails(&throttles, &Account::Known(&ada), ip(99), NOW), "in vain", "still under attack");
    assert_eq!(fails(&throttles, &Account::Known(&eve), ip(99), NOW), "looked at");
    assert_eq!(fails(&throttles, &Account::Known(&eve), ip(99), NOW), "in vain", "nine are not forgotten either");
}

#[test]
fn th_07_attempts_of_which_no_password_is_looked_at_leave_nothing_behind() {
    let throttles = throttles();
    let ada = user("ada");
    for n in 0..9 {
        fails(&throttles, &Account::Known(&ada), ip(n + 100), NOW);
    }
    for n in 0..19 {
        fails(&throttles, &Account::Known(&user(&format!("u{n}"))), ip(7), NOW);
    }
    let count = |throttles: &Throttles| throttles.lock().accounts.iter().count();
    let before = count(&throttles);
    for n in 0..120_000u32 {
        let email: Email = format!("u{n}@example.com").parse().unwrap();
        throttles.begin(&Account::Unknown(&email), ip(n + 10_000), None, NOW).ok().unwrap().was_none();
    }
    assert_eq!(count(&throttles), before);
    assert_eq!(fails(&throttles, &Account::Known(&ada), ip(99), NOW), "looked at");
    assert_eq!(fails(&throttles, &Account::Known(&ada), ip(99), NOW), "in vain", "nine and one are ten");
    let guesses = (0..5).map(|n| fails(&throttles, &Account::Known(&user(&format!("w{n}"))), ip(7), NOW));
    assert_eq!(guesses.filter(|outcome| *outcome == "looked at").count(), 1, "nineteen and one are twenty");
}

#[test]
fn th_07_a_store_that_takes_nothing_lets_nothing_grow() {
    let throttles = throttles();
    for n in 0..30_000u32 {
        let email: Email = format!("u{n}@example.com").parse().unwrap();
        for m in 0..WRITTEN_FROM {
            let _ = throttles.begin(&Account::Unknown(&email), ip(n * 8 + m), None, NOW);
        }
    }
    assert_eq!(throttles.lock().unwritten.len(), WAITING_AT_MOST);
    let taken = throttles.take_unwritten(NOW);
    assert_eq!(taken.len(), WRITTEN_AT_ONCE);
    assert!(taken.iter().all(|counter| counter.count == WRITTEN_FROM), "those that matter");
}

#[test]
fn th_02_a_counter_from_a_clock_that_was_ahead_is_not_waited_for() {
    let throttles = throttles();
    let key = Account::Known(&user("ada")).key();
    let last = NOW.plus(Span::from_days(365));
    throttles.load(vec![Counter { key, count: 14, last, label: Some("ada".into()) }], NOW);
    let attempt = throttles.begin(&Account::Known(&user("ada")), ip(1), None, NOW).ok().unwrap();
    assert_eq!(attempt.put_off.as_ref().unwrap().wait, Span::from_secs(16));
}
