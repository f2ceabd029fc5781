//! F-20: sixty-four requests at once for what only one of them may have.

use std::{any::Any, collections::BTreeSet, fmt, sync::Arc};

use authd::store::{Ended, Store};
use common::Span;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{
    Client, Dice, PASSWORD, Response, Server,
    faulty::{Faults, Faulty, How},
    server::Builder,
    size,
};

/// How many ask at once.
const PARALLEL: usize = 64;

/// What only one may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Signing up with one address.
    SignUp,
    /// Making one account as an operator.
    Create,
    /// An act under one idempotency key.
    Named,
    /// The use of a refresh token: all get the one successor.
    Refresh,
    /// A change of the password by those who know the old one.
    ChangePassword,
    /// The replacement of a temporary password.
    ReplaceTemporary,
    /// The deletion of an account, by its owner or an operator.
    Delete,
    /// A rotation of the signing keys.
    Rotate,
    /// The use of the link of a mail, which sets a new password (RC-02).
    Reset,
}

/// What came of the rounds of one act.
#[derive(Default)]
struct Report {
    seed: u64,
    rounds: usize,
    lost: usize,
    /// Those that were answered 503: somebody else had changed what they had decided on.
    put_off: usize,
    /// What was wrong, by round.
    wrong: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, rounds, lost, put_off, wrong } = self;
        let wrong = wrong.len();
        write!(
            f,
            "{rounds} rounds of {PARALLEL}: {rounds} to win, {lost} lost, {put_off} told that somebody was first, {wrong} wrong \
             (AUTHD_TEST_SEED={seed})"
        )
    }
}

fn builder() -> Builder {
    Server::builder()
        .set("throttle.failures", "false")
        .set("keys.publish_ahead", "10m")
        .set("mail.per_client", "100000")
}

/// One of the racers: what it sends.
type Racer = (Client, String, Value);

/// The ground of one round.
struct Round<'a> {
    server: &'a Server,
    public: Client,
    n: usize,
}

impl Round<'_> {
    fn email(&self) -> String {
        format!("user{}@example.com", self.n)
    }

    async fn sign_up(&self) -> Response {
        let body = json!({"email": self.email(), "password": PASSWORD, "name": "Ada"});
        let made = self.public.post("/api/auth/signup", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made
    }

    fn new_password(i: usize) -> String {
        format!("another horse battery {i}")
    }

    /// What everybody sends. The dice decide between ways that come to the same.
    async fn racers(&self, act: Act, dice: &mut Dice) -> Vec<Racer> {
        let (email, admin) = (self.email(), self.server.admin());
        match act {
            Act::SignUp => {
                let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
                let wires = ["/api/auth/signup", "/api/auth/sign-up/email"];
                (0..PARALLEL).map(|_| (self.public.clone(), wires[dice.below(2)].into(), body.clone())).collect()
            }
            Act::Create => {
                let body = |i| json!({"email": email, "password": Self::new_password(i)});
                (0..PARALLEL).map(|i| (admin.clone(), "/v1/users".into(), body(i))).collect()
            }
            Act::Named => {
                let id = self.sign_up().await.text("/user/id");
                let named = admin.header("idempotency-key", &format!("race-{}", self.n));
                let body = json!({"password": Self::new_password(0)});
                let path = format!("/v1/users/{id}/password");
                vec![(named, path, body); PARALLEL]
            }
            Act::Refresh => {
                let token = self.sign_up().await.text("/refresh_token");
                vec![(self.public.clone(), "/api/auth/refresh".into(), json!({"refresh_token": token})); PARALLEL]
            }
            Act::ChangePassword => {
                let bearer = self.public.clone().bearer(&self.sign_up().await.text("/access_token"));
                let ends = dice.once_in(2);
                let body = |i| json!({"currentPassword": PASSWORD, "newPassword": Self::new_password(i), "revokeOtherSessions": ends});
                (0..PARALLEL).map(|i| (bearer.clone(), "/api/auth/change-password".into(), body(i))).collect()
            }
            Act::ReplaceTemporary => {
                let temporary = json!({"email": email, "password": PASSWORD, "temporary": true});
                assert_eq!(admin.post("/v1/users", &temporary).await.status, 201);
                let body = |i| json!({"email": email, "password": PASSWORD, "newPassword": Self::new_password(i)});
                (0..PARALLEL).map(|i| (self.public.clone(), "/api/auth/login".into(), body(i))).collect()
            }
            Act::Delete => {
                let made = self.sign_up().await;
                let owner = self.public.clone().bearer(&made.text("/access_token"));
                let id = made.text("/user/id");
                let racer = |by_owner: bool| match by_owner {
                    true => (owner.clone(), "/api/auth/delete-user".into(), json!({"password": PASSWORD})),
                    false => (admin.clone(), format!("/v1/users/{id}"), Value::Null),
                };
                (0..PARALLEL).map(|_| racer(dice.once_in(2))).collect()
            }
            Act::Rotate => {
                // The last rotation is over, and the key before that gone.
                self.server.clock.advance(Span::from_mins(40));
                vec![(admin, "/v1/keys/rotate".into(), json!({})); PARALLEL]
            }
            Act::Reset => {
                self.sign_up().await;
                // The notices of the round before.
                self.server.mails().await;
                let asked = self.public.post("/api/auth/request-password-reset", &json!({"email": email})).await;
                assert_eq!(asked.status, 200, "{asked:?}");
                let (_, link) = self.server.mailed_link().await;
                let token = link.rsplit('/').next().and_then(|token| token.split('?').next()).unwrap();
                let body = |i| json!({"token": token, "newPassword": Self::new_password(i)});
                (0..PARALLEL).map(|i| (self.public.clone(), "/api/auth/reset-password".into(), body(i))).collect()
            }
        }
    }

    /// What each of those who were told of success has got; of one act it is one.
    fn prize(act: Act, i: usize, answer: &Response) -> Option<String> {
        match (act, answer.status) {
            (Act::Refresh, 200) => Some(answer.text("/refresh_token")),
            (_, 200 | 201) => Some(i.to_string()),
            _ => None,
        }
    }

    /// What is there afterwards is what the winner was told.
    async fn look(&self, act: Act, won: &BTreeSet<String>) -> Result<(), String> {
        let sign_in = async |password: &str| {
            let body = json!({"email": self.email(), "password": password});
            self.public.post("/api/auth/login", &body).await.status
        };
        let winner = won.first().cloned().unwrap_or_default();
        let (expected, found) = match act {
            Act::SignUp => (200, sign_in(PASSWORD).await),
            Act::Create | Act::ChangePassword | Act::ReplaceTemporary | Act::Reset => {
                (200, sign_in(&Self::new_password(winner.parse().unwrap_or_default())).await)
            }
            Act::Named => (200, sign_in(&Self::new_password(0)).await),
            Act::Refresh => {
                (200, self.public.post("/api/auth/refresh", &json!({"refresh_token": winner})).await.status)
            }
            Act::Delete => (401, sign_in(PASSWORD).await),
            Act::Rotate => return Ok(()),
        };
        if found == expected { Ok(()) } else { Err(format!("afterwards it is {found} and not {expected}")) }
    }
}

/// So many rounds of the act; ends early with the first wrong one if `is_enough`.
async fn race(server: &mut Server, act: Act, rounds: usize, first_is_enough: bool) -> Report {
    server.reload(|settings| settings.account.self_delete = true).await;
    let mut report = Report { seed: Dice::seed(), ..Report::default() };
    let mut dice = Dice::new(report.seed);
    let public = server.client().keeping_connections();
    for n in 0..rounds {
        let round = Round { server, public: public.clone(), n };
        let racers = round.racers(act, &mut dice).await;
        let asked = racers.iter().map(|(client, path, body)| async move {
            match body {
                Value::Null => client.delete(path).await,
                body => client.post(path, body).await,
            }
        });
        let answers = join_all(asked).await;
        let won: BTreeSet<String> =
            answers.iter().enumerate().filter_map(|(i, answer)| Round::prize(act, i, answer)).collect();
        report.rounds += 1;
        report.put_off += answers.iter().filter(|answer| answer.status == 503).count();
        report.lost += answers.iter().filter(|answer| (400..500).contains(&answer.status)).count();
        let failed = answers.iter().find(|answer| answer.status >= 500 && answer.status != 503);
        let mut wrong = vec![];
        if won.len() != 1 {
            wrong.push(format!("{} have won", won.len()));
        }
        wrong.extend(failed.map(Response::short));
        wrong.extend(round.look(act, &won).await.err());
        report.wrong.extend(wrong.iter().map(|wrong| format!("{act:?}, round {n}: {wrong}")));
        if first_is_enough && !wrong.is_empty() {
            break;
        }
        // What the next round begins with is not inside this one's window.
        server.clock.advance(Span::from_secs(1));
    }
    report
}

async fn one_wins(act: Act) {
    let mut server = builder().start().await;
    let report = race(&mut server, act, size(20, 1000), false).await;
    eprintln!("{act:?}: {report}");
    assert!(report.wrong.is_empty(), "{act:?}: {report}\n{:#?}", report.wrong.iter().take(5).collect::<Vec<_>>());
    tests::ctl::ctl(&server.socket).run("audit verify").await.ok();
}

macro_rules! races {
    ($($name:ident: $act:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            one_wins(Act::$act).await;
        })*
    };
}

races! {
    f_20_of_racing_sign_ups_of_one_address_one_wins: SignUp;
    f_20_of_operators_racing_to_make_one_account_one_wins: Create;
    f_20_of_racing_acts_under_one_idempotency_key_one_wins: Named;
    f_20_of_racing_uses_of_a_refresh_token_all_get_one_successor: Refresh;
    f_20_of_racing_changes_of_a_password_one_wins: ChangePassword;
    f_20_of_racing_replacements_of_a_temporary_password_one_wins: ReplaceTemporary;
    f_20_of_racing_deletions_of_an_account_one_wins: Delete;
    f_20_of_racing_rotations_of_the_keys_one_wins: Rotate;
    f_20_rc_02_of_racing_uses_of_a_reset_link_one_wins: Reset;
}

fn nothing() -> Box<dyn Any + Send> {
    Box::new(())
}

fn none_ended() -> Box<dyn Any + Send> {
    Box::new(Ended::default())
}

/// A store that lost the check which decides the race.
async fn is_found_out(act: Act) {
    let faults = Arc::new(Faults::default());
    match act {
        Act::SignUp | Act::Create => faults.set("create_user", How::Forgets(nothing)),
        Act::Named => faults.set("set_password", How::Forgets(none_ended)),
        Act::Refresh => faults.forget_the_window(),
        Act::ChangePassword | Act::ReplaceTemporary => faults.set("open_session", How::Forgets(nothing)),
        Act::Delete => faults.set("delete_user", How::Forgets(none_ended)),
        Act::Rotate => faults.set("put_keys", How::Forgets(nothing)),
        Act::Reset => faults.set("reset_password", How::Forgets(none_ended)),
    }
    let wrap = move |inner| -> Arc<dyn Store> { Arc::new(Faulty { inner, faults: faults.clone() }) };
    let mut server = builder().around_store(wrap).start().await;
    let report = race(&mut server, act, 50, true).await;
    eprintln!("{act:?} with a fault on purpose: {report}");
    assert!(report.wrong.iter().any(|wrong| wrong.ends_with("have won")), "{act:?}: {report} {:?}", report.wrong);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_20_a_store_that_forgets_the_check_is_found_out_by_every_race() {
    for act in [
        Act::SignUp,
        Act::Create,
        Act::Named,
        Act::Refresh,
        Act::ChangePassword,
        Act::ReplaceTemporary,
        Act::Delete,
        Act::Rotate,
        Act::Reset,
    ] {
        is_found_out(act).await;
    }
}
