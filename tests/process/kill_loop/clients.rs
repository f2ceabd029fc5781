//! The clients: users at the public door and operators at the admin socket, until the daemon is dead.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tests::{Client, PASSWORD, Response};

use super::{
    dice::Dice,
    model::{Deeds, Known, User},
};

/// What kills the daemon: at an answer, or while a request after it is on its way.
pub(super) struct Fuse {
    pid: Pid,
    signal: Signal,
    answers: AtomicU64,
    /// At this answer it burns.
    length: u64,
    /// `None`: at once. Else with the next request, after so many turns of the scheduler.
    turns: Option<usize>,
    burns: AtomicBool,
    blown: AtomicBool,
}

impl Fuse {
    pub(super) fn new(pid: Pid, signal: Signal, dice: &mut Dice) -> Self {
        let length = 5 + dice.below(90) as u64;
        let turns = (!dice.once_in(3)).then(|| dice.below(200));
        let (answers, burns, blown) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Self { pid, signal, answers, length, turns, burns, blown }
    }

    fn answered(&self) {
        if self.answers.fetch_add(1, Ordering::SeqCst) + 1 == self.length {
            match self.turns {
                None => self.blow(),
                Some(_) => self.burns.store(true, Ordering::SeqCst),
            }
        }
    }

    fn blow(&self) {
        self.blown.store(true, Ordering::SeqCst);
        // The process is waited for by nobody yet, so the number is still its own.
        kill(self.pid, self.signal).unwrap();
    }

    /// Burns down beside one request.
    async fn burn(&self) {
        if let (Some(turns), true) = (self.turns, self.burns.swap(false, Ordering::SeqCst)) {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            self.blow();
        }
    }
}

/// The doors of the daemon of this round.
pub(super) struct Doors {
    pub(super) public: Client,
    pub(super) admin: Client,
    pub(super) fuse: Fuse,
}

impl Doors {
    /// `None` when the daemon has died before it answered.
    pub(super) async fn send(
        &self,
        client: Client,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<Response> {
        let kind = body.as_ref().map(|_| "application/json");
        let body = body.map_or_else(String::new, |body| body.to_string()).into();
        let (answer, ()) = tokio::join!(client.try_send(method, path, kind, body), self.fuse.burn());
        match answer {
            Ok(answer) => {
                self.fuse.answered();
                Some(answer)
            }
            Err(error) => {
                assert!(self.fuse.blown.load(Ordering::SeqCst), "{path}: the daemon lives and broke off: {error}");
                None
            }
        }
    }
}

/// The session that an access token names.
pub(super) fn session_of(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}

/// What signs a user in.
pub(super) fn credentials(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "name": "Ada"})
}

/// The daemon is dead.
pub(super) struct Dead;

/// A client at work.
struct Worker {
    doors: Arc<Doors>,
    deeds: Deeds,
}

/// Acts until the daemon is dead; answers what was done.
pub(super) async fn act(doors: Arc<Doors>, deeds: Deeds, mut dice: Dice) -> Deeds {
    let mut worker = Worker { doors, deeds };
    while worker.one(&mut dice).await.is_ok() {}
    worker.deeds
}

impl Worker {
    async fn one(&mut self, dice: &mut Dice) -> Result<(), Dead> {
        let settled = |user: &User| user.is_settled();
        let alive = self.deeds.sessions(|user, session| user.is_settled() && session.alive == Known::Yes);
        match dice.below(100) {
            // Users with several sessions come about by taking a few users only.
            0..25 => match dice.pick(self.deeds.users(settled).into_iter().rev().take(8).collect()) {
                Some(user) => self.sign_in(user).await,
                None => self.sign_up().await,
            },
            25..40 => match dice.pick(with_tokens(&self.deeds, alive)) {
                Some((user, session)) => self.sign_out(user, session).await,
                None => self.sign_up().await,
            },
            40..52 => match dice.pick(alive) {
                Some((user, session)) => self.revoke(user, session, dice).await,
                None => self.sign_up().await,
            },
            52..57 => match dice.pick(self.deeds.users(|user| user.is_settled() && user.alive() > 0)) {
                Some(user) => self.revoke_all(user).await,
                None => self.sign_up().await,
            },
            57..63 => self.rotate(dice.once_in(2)).await,
            63..66 => self.snapshot().await,
            66..76 => match dice.pick(with_tokens(&self.deeds, self.deeds.sessions(|user, _| user.is_settled()))) {
                Some((user, session)) => self.look(user, session).await,
                None => self.sign_up().await,
            },
            _ => self.sign_up().await,
        }
    }

    /// Sends an act. One without an answer ends the round.
    async fn act(&mut self, client: Client, path: &str, body: Option<Value>) -> Result<Response, Dead> {
        match self.doors.send(client, Method::POST, path, body).await {
            Some(answer) => Ok(answer),
            None => {
                self.deeds.unanswered += 1;
                Err(Dead)
            }
        }
    }

    fn wrong(&mut self, what: &str, answer: &Response) {
        self.deeds.wrong.push(format!("{what}: {}", answer.short()));
    }

    /// Shortens the commit log. It changes nothing that would have to be remembered.
    async fn snapshot(&mut self) -> Result<(), Dead> {
        let answer = self.act(self.doors.admin.clone(), "/v1/store/snapshot", Some(json!({}))).await?;
        if answer.status != 200 {
            self.wrong("a snapshot", &answer);
        }
        Ok(())
    }

    async fn sign_up(&mut self) -> Result<(), Dead> {
        self.deeds.addresses += 1;
        let email = format!("user{}.{}@example.com", self.deeds.addresses, self.deeds.name);
        self.deeds.users.push(User { may_have_a_session_more: true, ..User::new(email.clone()) });
        let user = self.deeds.users.len() - 1;
        let answer = self.act(self.doors.public.clone(), "/api/auth/signup", Some(credentials(&email))).await?;
        self.signed_in(user, &answer, 201);
        Ok(())
    }

    async fn sign_in(&mut self, user: usize) -> Result<(), Dead> {
        self.deeds.users[user].may_have_a_session_more = true;
        let body = credentials(&self.deeds.users[user].email);
        let answer = self.act(self.doors.public.clone(), "/api/auth/login", Some(body)).await?;
        self.signed_in(user, &answer, 200);
        Ok(())
    }

    fn signed_in(&mut self, user: usize, answer: &Response, expected: u16) {
        if answer.status != expected {
            return self.wrong("signing in", answer);
        }
        let token = answer.text("/access_token");
        let user = &mut self.deeds.users[user];
        (user.exists, user.may_have_a_session_more) = (Known::Yes, false);
        user.opened(session_of(&token), Some(token));
        self.deeds.acknowledged += 1;
    }

    async fn sign_out(&mut self, user: usize, session: usize) -> Result<(), Dead> {
        let subject = &mut self.deeds.users[user].sessions[session];
        (subject.alive, subject.touched) = (Known::Open, true);
        let client = self.doors.public.clone().bearer(&subject.token.clone().unwrap());
        let answer = self.act(client, "/api/auth/logout", None).await?;
        if answer.status != 200 || answer.json()["ended"] != 1 {
            self.wrong("signing out", &answer);
            return Ok(());
        }
        self.deeds.users[user].sessions[session].alive = Known::No;
        self.deeds.acknowledged += 1;
        Ok(())
    }

    async fn revoke(&mut self, user: usize, session: usize, dice: &mut Dice) -> Result<(), Dead> {
        let key = format!("kill-loop-{}-{}", self.deeds.name, dice.below(usize::MAX));
        let subject = &mut self.deeds.users[user].sessions[session];
        (subject.alive, subject.touched, subject.asked_to_end) = (Known::Open, true, Some(key.clone()));
        let body = json!({"target": {"sessions": [subject.id]}});
        let client = self.doors.admin.clone().header("idempotency-key", &key);
        let answer = self.act(client, "/v1/sessions/revoke", Some(body)).await?;
        let subject = &mut self.deeds.users[user].sessions[session];
        subject.asked_to_end = None;
        if answer.status != 200 || answer.json()["ended"] != 1 {
            self.wrong("revoking a session", &answer);
            return Ok(());
        }
        subject.alive = Known::No;
        self.deeds.acknowledged += 1;
        Ok(())
    }

    async fn revoke_all(&mut self, user: usize) -> Result<(), Dead> {
        let subject = &mut self.deeds.users[user];
        subject.all_or_none = true;
        let alive = subject.alive();
        for session in subject.sessions.iter_mut().filter(|session| session.alive == Known::Yes) {
            (session.alive, session.touched) = (Known::Open, true);
        }
        let body = json!({"target": {"user": subject.email}});
        let answer = self.act(self.doors.admin.clone(), "/v1/sessions/revoke", Some(body)).await?;
        if answer.status != 200 || answer.json()["ended"] != alive {
            self.wrong("revoking a user's sessions", &answer);
            return Ok(());
        }
        let subject = &mut self.deeds.users[user];
        subject.all_or_none = false;
        for session in subject.sessions.iter_mut().filter(|session| session.alive == Known::Open) {
            session.alive = Known::No;
        }
        self.deeds.acknowledged += 1;
        Ok(())
    }

    async fn rotate(&mut self, now: bool) -> Result<(), Dead> {
        self.deeds.open_rotations += 1;
        let answer = self.act(self.doors.admin.clone(), "/v1/keys/rotate", Some(json!({"now": now}))).await?;
        self.deeds.open_rotations -= 1;
        match (answer.status, answer.code().as_str()) {
            (200, _) => {
                self.deeds.kids.push(answer.text("/key/kid"));
                self.deeds.acknowledged += 1;
            }
            // A rotation is under way already; or others changed the keys again and again meanwhile.
            (409, "CONFLICT") | (503, "SERVICE_UNAVAILABLE") => {}
            _ => self.wrong("rotating", &answer),
        }
        Ok(())
    }

    /// What was acknowledged holds at once, on another connection too.
    async fn look(&mut self, user: usize, session: usize) -> Result<(), Dead> {
        let subject = &self.deeds.users[user].sessions[session];
        let client = self.doors.public.clone().bearer(&subject.token.clone().unwrap());
        let expected = subject.alive;
        let Some(answer) = self.doors.send(client, Method::GET, "/api/auth/me", None).await else { return Err(Dead) };
        let is_right = match expected {
            Known::Yes => answer.status == 200,
            Known::No => answer.status == 401 && answer.code() == "SESSION_REVOKED",
            Known::Open => true,
        };
        if !is_right {
            self.wrong("/me, while it runs", &answer);
        }
        Ok(())
    }
}

/// Those whose access token is known.
fn with_tokens(deeds: &Deeds, sessions: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    sessions.into_iter().filter(|(u, s)| deeds.users[*u].sessions[*s].token.is_some()).collect()
}
