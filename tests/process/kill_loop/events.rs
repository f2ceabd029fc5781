//! F-01 for events: the daemon is killed again and again while it tells an application what happens. The application keeps a
//! copy of users, bans and sessions of what it is told, as applications do. At the end it has been told of every act that was
//! acknowledged, for each user in order, and its copy is what the store has: nothing was lost, and nothing told that is not so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    sync::Arc,
};

use http::Method;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::{
    Application, Dice, Response,
    application::{Called, Manner},
    process::{Daemon, Host, LIMIT, Run},
};
use tokio::task::JoinSet;

use super::{
    check::all,
    clients::{Dead, Doors, Fuse, credentials, session_of},
    daemon, kill_at_start, rounds,
};
use crate::host;

/// How many act at the same time.
const ACTORS: usize = 4;

/// What happened to a user: the type of the event, and the session that it names.
type Fact = (String, Option<String>);

fn fact(topic: &str, session: Option<&str>) -> Fact {
    (topic.to_owned(), session.map(str::to_owned))
}

/// An account, and what its application must be told of it.
struct Account {
    id: String,
    email: String,
    /// With their access tokens.
    sessions: Vec<(String, String)>,
    is_banned: bool,
    expected: Vec<Fact>,
    /// An act on it was not answered: it may be told, and the account is left alone.
    is_open: bool,
}

/// Acts on accounts of its own, one act after the other.
struct Actor {
    name: usize,
    addresses: usize,
    accounts: Vec<Account>,
    wrong: Vec<String>,
}

impl Actor {
    /// Acts until the daemon is dead.
    async fn act(mut self, doors: Arc<Doors>, mut dice: Dice) -> Self {
        while self.one(&doors, &mut dice).await.is_ok() {}
        self
    }

    async fn one(&mut self, doors: &Doors, dice: &mut Dice) -> Result<(), Dead> {
        let usable = self.accounts.iter().enumerate().filter(|(_, account)| !account.is_open);
        let Some(at) = dice.pick(usable.map(|(at, _)| at).rev().take(6).collect()) else {
            return self.sign_up(doors).await;
        };
        let account = &self.accounts[at];
        match dice.below(8) {
            0..2 if account.is_banned => self.enable(doors, at).await,
            _ if account.is_banned => self.sign_up(doors).await,
            0..2 => self.sign_up(doors).await,
            2..5 => self.sign_in(doors, at).await,
            5..7 if !account.sessions.is_empty() => self.sign_out(doors, at, dice).await,
            _ => self.disable(doors, at).await,
        }
    }

    fn is(&mut self, what: &str, answer: &Response, status: u16) -> bool {
        if answer.status != status {
            self.wrong.push(format!("{what}: {}", answer.short()));
        }
        answer.status == status
    }

    async fn sign_up(&mut self, doors: &Doors) -> Result<(), Dead> {
        self.addresses += 1;
        let email = format!("user{}.{}@example.com", self.addresses, self.name);
        let answer =
            doors.send(doors.public.clone(), Method::POST, "/api/auth/signup", Some(credentials(&email))).await;
        let answer = answer.ok_or(Dead)?;
        if self.is("signing up", &answer, 201) {
            let token = answer.text("/access_token");
            let session = session_of(&token);
            let expected = vec![fact("user.created", Some(&session)), fact("session.created", Some(&session))];
            let (id, sessions) = (answer.text("/user/id"), vec![(session, token)]);
            self.accounts.push(Account { id, email, sessions, is_banned: false, expected, is_open: false });
        }
        Ok(())
    }

    /// An act on an account, which is left alone if there is no answer.
    async fn send(&mut self, doors: &Doors, at: usize, call: Call) -> Result<Response, Dead> {
        self.accounts[at].is_open = true;
        let (client, path, body) = call;
        let answer = doors.send(client, Method::POST, &path, body).await.ok_or(Dead)?;
        self.accounts[at].is_open = false;
        Ok(answer)
    }

    async fn sign_in(&mut self, doors: &Doors, at: usize) -> Result<(), Dead> {
        let body = credentials(&self.accounts[at].email);
        let call = (doors.public.clone(), "/api/auth/login".into(), Some(body));
        let answer = self.send(doors, at, call).await?;
        if self.is("signing in", &answer, 200) {
            let token = answer.text("/access_token");
            let session = session_of(&token);
            self.accounts[at].expected.push(fact("session.created", Some(&session)));
            self.accounts[at].sessions.push((session, token));
        }
        Ok(())
    }

    async fn sign_out(&mut self, doors: &Doors, at: usize, dice: &mut Dice) -> Result<(), Dead> {
        let sessions = &mut self.accounts[at].sessions;
        let (session, token) = sessions.swap_remove(dice.below(sessions.len()));
        let call = (doors.public.clone().bearer(&token), "/api/auth/logout".into(), None);
        let answer = self.send(doors, at, call).await?;
        if self.is("signing out", &answer, 200) {
            self.accounts[at].expected.push(fact("session.revoked", Some(&session)));
        }
        Ok(())
    }

    async fn disable(&mut self, doors: &Doors, at: usize) -> Result<(), Dead> {
        let call = (doors.admin.clone(), format!("/v1/users/{}/disable", self.accounts[at].id), Some(Value::Null));
        let answer = self.send(doors, at, call).await?;
        if self.is("banning", &answer, 200) {
            let account = &mut self.accounts[at];
            account.is_banned = true;
            account.sessions.clear();
            account.expected.push(fact("user.banned", None));
        }
        Ok(())
    }

    async fn enable(&mut self, doors: &Doors, at: usize) -> Result<(), Dead> {
        let call = (doors.admin.clone(), format!("/v1/users/{}/enable", self.accounts[at].id), Some(Value::Null));
        let answer = self.send(doors, at, call).await?;
        if self.is("lifting a ban", &answer, 200) {
            self.accounts[at].is_banned = false;
            self.accounts[at].expected.push(fact("user.unbanned", None));
        }
        Ok(())
    }
}

type Call = (tests::Client, String, Option<Value>);

/// What the application has been told: each event once, with the order in which it came first.
#[derive(Default)]
struct Told {
    /// Name, user and fact, by sequence.
    events: BTreeMap<u64, (String, String, Fact)>,
    /// In the order in which they came, the first time.
    arrived: Vec<u64>,
    calls: usize,
    problems: Vec<String>,
}

impl Told {
    /// Takes what the application answered with 2xx and what it did not: it knows both.
    fn of(calls: Vec<Called>) -> Self {
        let mut told = Self { calls: calls.len(), ..Self::default() };
        for call in calls {
            let text = |at: &str| call.body.pointer(at).and_then(Value::as_str).map(str::to_owned);
            let Some(user) = text("/data/userId") else { continue };
            let (sequence, id) = (call.body["sequence"].as_u64().unwrap(), call.header("webhook-id").to_owned());
            let event = (id, user, (text("/type").unwrap(), text("/data/sessionId")));
            match told.events.get(&sequence) {
                None => {
                    told.events.insert(sequence, event);
                    told.arrived.push(sequence);
                }
                Some(before) if *before == event => {}
                Some(before) => told.problems.push(format!("event {sequence} was {before:?}, and then {event:?}")),
            }
        }
        told
    }

    /// Each user's events came in their order.
    fn check_order(&mut self) {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for sequence in &self.arrived {
            let (_, user, _) = &self.events[sequence];
            let before = last.insert(user, *sequence).unwrap_or_default();
            if before > *sequence {
                self.problems.push(format!("of {user}, {before} came before {sequence}"));
            }
        }
    }

    /// What was acknowledged was told, in order; and nothing else but what may have happened without an answer.
    fn check_account(&mut self, account: &Account) {
        let told: Vec<&Fact> =
            self.events.values().filter(|(_, user, _)| *user == account.id).map(|(_, _, fact)| fact).collect();
        let begins_so = told.iter().zip(&account.expected).all(|(told, expected)| *told == expected);
        let more = told.len().checked_sub(account.expected.len());
        if !begins_so || more.is_none_or(|more| more > usize::from(account.is_open)) {
            self.problems.push(format!("{}: told {told:?}, acknowledged {:?}", account.email, account.expected));
        }
    }

    /// What the application has of users: whether each is banned; and the sessions that live.
    fn copy(&self) -> (BTreeMap<String, bool>, BTreeSet<(String, String)>) {
        let (mut users, mut sessions) = (BTreeMap::new(), BTreeSet::new());
        for (_, user, (topic, session)) in self.events.values() {
            let of_session = session.clone().map(|session| (user.clone(), session));
            match topic.as_str() {
                "user.created" | "user.unbanned" => drop(users.insert(user.clone(), false)),
                "user.banned" => {
                    users.insert(user.clone(), true);
                    sessions.retain(|(of, _)| of != user);
                }
                "session.created" => sessions.extend(of_session),
                "session.revoked" => sessions.retain(|session| Some(session) != of_session.as_ref()),
                _ => {}
            }
        }
        (users, sessions)
    }

    /// The copy is what the store has.
    async fn check_copy(&mut self, daemon: &Daemon) {
        let admin = daemon.admin();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let users = all(&admin, "/v1/users").await;
        let users = users.iter().map(|user| (text(user, "id"), user["banned"] == true)).collect::<BTreeMap<_, _>>();
        let sessions = all(&admin, "/v1/sessions").await;
        let sessions = sessions.iter().map(|s| (text(s, "userId"), text(s, "id"))).collect::<BTreeSet<_>>();
        let (copied_users, copied_sessions) = self.copy();
        for (what, there, copied) in [
            ("users", format!("{users:?}"), format!("{copied_users:?}")),
            ("sessions", format!("{sessions:?}"), format!("{copied_sessions:?}")),
        ] {
            if there != copied {
                self.problems.push(format!("the {what} of the store are {there}, the application knows of {copied}"));
            }
        }
    }
}

/// A daemon that tells this application.
fn telling(host: &Host, app: &Application) -> Run {
    let secret = host.path("event.secret");
    fs::write(&secret, Application::SECRET).unwrap();
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    daemon(host).env("AUTHD_EVENTS__URL", app.url("/events")).env("AUTHD_EVENTS__SECRET_FILE", secret)
}

/// Waits until nothing is to be told any more.
async fn everything_is_told(daemon: &Daemon) {
    let admin = daemon.admin();
    let empty = async {
        while admin.get("/v1/events?state=waiting&limit=1").await.json()["items"] != json!([]) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, empty).await.expect("it is told in time");
}

/// `rounds` times: work, kill, start. Then everything is told, and what was told is answered.
async fn killed_while_it_tells(host: &Host, rounds: usize, run: impl Fn(&Application) -> Run) -> Told {
    let (app, seed) = (Application::start(), Dice::seed());
    eprintln!("AUTHD_TEST_SEED={seed}");
    app.set(Manner::Says(204, String::new()));
    let mut dice = Dice::new(seed);
    let new = |name| Actor { name, addresses: 0, accounts: vec![], wrong: vec![] };
    let mut actors: Vec<Actor> = (0..ACTORS).map(new).collect();
    for _ in 0..rounds {
        let running = run(&app).start().await;
        // Now and then it does not take one: its user's events wait, the others go on.
        if dice.once_in(3) {
            let manner = if dice.once_in(2) { Manner::HangsUp } else { Manner::Says(503, String::new()) };
            app.once(manner);
        }
        let fuse = Fuse::new(running.pid(), Signal::SIGKILL, &mut dice);
        let doors = Arc::new(Doors { public: running.client(), admin: running.admin(), fuse });
        let mut at_work = JoinSet::new();
        for actor in actors.drain(..) {
            at_work.spawn(actor.act(doors.clone(), dice.fork()));
        }
        while let Some(actor) = at_work.join_next().await {
            actors.push(actor.unwrap());
        }
        actors.sort_by_key(|actor| actor.name);
        running.gone().await;
        if dice.once_in(5) {
            kill_at_start(run(&app), host).await;
        }
    }
    // Later, so that what was not taken is due again.
    let last = run(&app).env("AUTHD_TEST_CLOCK_AHEAD", "1h").start().await;
    everything_is_told(&last).await;
    let mut told = Told::of(app.calls());
    told.check_order();
    let accounts: Vec<&Account> = actors.iter().flat_map(|actor| &actor.accounts).collect();
    accounts.iter().for_each(|account| told.check_account(account));
    told.check_copy(&last).await;
    last.stop().await.ok();
    told.problems.extend(actors.iter().flat_map(|actor| actor.wrong.clone()));
    let acknowledged: usize = accounts.iter().map(|account| account.expected.len()).sum();
    let (events, calls, problems) = (told.events.len(), told.calls, told.problems.len());
    eprintln!(
        "{rounds} kills, {acknowledged} events of acknowledged acts, {events} told in {calls} calls, {problems} problems (AUTHD_TEST_SEED={seed})"
    );
    assert!(acknowledged > rounds, "hardly anything was tried");
    told
}

#[tokio::test]
async fn f_01_the_application_is_told_of_all_that_was_acknowledged_however_often_authd_is_killed() {
    let host = host!();
    let told = killed_while_it_tells(&host, rounds().div_ceil(4), |app| telling(&host, app)).await;
    assert!(told.problems.is_empty(), "{:#?}", told.problems.iter().take(10).collect::<Vec<_>>());
    assert!(told.calls > 0);
}

#[tokio::test]
async fn f_01_events_that_count_as_told_before_they_are_told_are_found_out() {
    let host = host!();
    let faulty = |app: &Application| telling(&host, app).env("AUTHD_TEST_FAULT", "told-before-telling");
    let told = killed_while_it_tells(&host, 25, faulty).await;
    let is_missed = |problem: &String| problem.contains("acknowledged") || problem.contains("knows of");
    assert!(told.problems.iter().any(is_missed), "the check does not see what is lost: {:?}", told.problems);
}
