//! The clients: several to a desk, which has a few users whose sessions all of them know and act upon.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Span, UnixTime};
use http::Method;
use serde_json::{Value, json};
use tests::{Client, Dice, Response, TestClock};
use tokio::sync::Notify;

use super::record::{Asked, Ending, Entry, Got, No, Seen, Stamps, Token, What, When};

/// How many users a desk has at a time.
const USERS: usize = 3;
/// How many sessions of a user are known at a time: far fewer than the user may have.
const SESSIONS: usize = 10;
/// Access tokens live for a day; those older than this are not shown any more.
const TOKEN_LIFE: Span = Span::from_hours(20);

/// A session as far as clients know it.
#[derive(Clone)]
struct Known {
    no: No,
    id: String,
    access: String,
    access_from: UnixTime,
    cookie: Option<String>,
    remember: bool,
    /// The last few, newest last.
    refresh: Vec<String>,
    /// Somebody has seen that it is over.
    is_over: bool,
}

/// A user as far as clients know it.
struct Subject {
    no: No,
    email: String,
    id: String,
    password: (No, String),
    /// Somebody is changing the password, or nobody knows whether it was changed.
    is_changing: bool,
    is_banned: bool,
    sessions: Vec<Known>,
}

/// What a desk's clients share.
#[derive(Default)]
pub(super) struct Desk {
    users: Mutex<Vec<Subject>>,
}

/// What all clients share while the server runs.
pub(super) struct Ground {
    pub(super) public: Client,
    pub(super) admin: Client,
    pub(super) clock: Arc<TestClock>,
    pub(super) common: Arc<Common>,
    /// The server is going to stop at so many acts, and has.
    pub(super) acts: AtomicUsize,
    pub(super) enough: usize,
    pub(super) is_enough: Notify,
    pub(super) is_over: AtomicBool,
}

/// What all clients share from the first to the last.
#[derive(Default)]
pub(super) struct Common {
    pub(super) stamps: Stamps,
    numbers: AtomicU32,
}

impl Common {
    fn number(&self) -> No {
        self.numbers.fetch_add(1, Ordering::SeqCst)
    }
}

/// A client, and what it has seen.
pub(super) struct Clerk {
    pub(super) desk: Arc<Desk>,
    pub(super) dice: Dice,
    pub(super) entries: Vec<Entry>,
    /// Answers that are no outcome of any act, by what they are.
    pub(super) odd: BTreeMap<String, usize>,
    /// The server is gone.
    is_cut_off: bool,
}

/// What came of a request: an answer, or the time since when it may have been done.
type Outcome = (When, Option<Response>);

fn claim(token: &str, name: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims[name].as_str().unwrap().to_owned()
}

fn token(text: &str) -> Token {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let generation = text.split('.').nth(2).unwrap().parse().unwrap();
    Token { generation, digest: hasher.finish() }
}

fn cookie_of(answer: &Response) -> Option<String> {
    let pairs: Vec<String> =
        answer.cookies().iter().map(|line| line.split(';').next().unwrap_or_default().to_owned()).collect();
    (!pairs.is_empty()).then(|| pairs.join("; "))
}

/// One way in which a session is shown.
enum By {
    Access,
    Cookie,
}

impl Clerk {
    pub(super) fn new(desk: Arc<Desk>, dice: Dice) -> Self {
        Self { desk, dice, entries: vec![], odd: BTreeMap::new(), is_cut_off: false }
    }

    /// Acts until the server has stopped.
    pub(super) async fn work(mut self, ground: Arc<Ground>) -> Self {
        self.is_cut_off = false;
        let mut told = self.entries.len();
        while !self.is_cut_off && !ground.is_over.load(Ordering::SeqCst) {
            self.one(&ground).await;
            for _ in std::mem::replace(&mut told, self.entries.len())..self.entries.len() {
                if ground.acts.fetch_add(1, Ordering::SeqCst) + 1 == ground.enough {
                    ground.is_enough.notify_one();
                }
            }
            if self.dice.once_in(60) {
                ground.clock.advance(Span::from_secs(3));
            }
        }
        self
    }

    fn note(&mut self, user: No, when: When, what: What) {
        if let What::Checked { session, seen: Seen::Dead } = what {
            self.of_user(user, |user| {
                user.sessions.iter_mut().filter(|known| known.no == session).for_each(|known| known.is_over = true);
            });
        }
        self.entries.push(Entry { user, when, what });
    }

    fn odd(&mut self, what: &str, answer: &Response) {
        *self.odd.entry(format!("{what}: {} {}", answer.status, answer.code())).or_default() += 1;
    }

    /// Sends a request; now and then the client hangs up before the answer.
    async fn send(
        &mut self,
        ground: &Ground,
        client: Client,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Outcome {
        let kind = body.as_ref().map(|_| "application/json");
        let bytes = body.map_or_else(String::new, |body| body.to_string()).into();
        let patience = (method != Method::GET && self.dice.once_in(60)).then(|| self.dice.below(60));
        let asked = ground.common.stamps.ask(&ground.clock);
        let request = client.try_send(method, path, kind, bytes);
        let answer = match patience {
            None => {
                let answer = request.await.ok();
                self.is_cut_off = answer.is_none();
                answer
            }
            Some(turns) => tokio::select! {
                biased;
                answer = request => answer.ok(),
                () = turn(turns) => None,
            },
        };
        self.settle(ground, asked, path, answer)
    }

    fn settle(&mut self, ground: &Ground, asked: Asked, path: &str, answer: Option<Response>) -> Outcome {
        match answer {
            // What was begun may have been done.
            Some(answer) if answer.status >= 500 => {
                self.odd(path, &answer);
                (Stamps::unanswered(asked), None)
            }
            Some(answer) => (ground.common.stamps.answered(asked, &ground.clock), Some(answer)),
            None => (Stamps::unanswered(asked), None),
        }
    }

    async fn post(&mut self, ground: &Ground, path: &str, body: Value) -> Outcome {
        self.send(ground, ground.public.clone(), Method::POST, path, Some(body)).await
    }

    async fn by_operator(&mut self, ground: &Ground, method: Method, path: &str, body: Option<Value>) -> Outcome {
        self.send(ground, ground.admin.clone(), method, path, body).await
    }

    /// Looks at the desk's users. `None`: there is none such.
    fn user<T>(&mut self, pick: impl Fn(&mut Subject) -> Option<T>) -> Option<T> {
        let mut users = self.desk.users.lock().unwrap();
        let n = users.len();
        let first = if n == 0 { 0 } else { self.dice.below(n) };
        (0..n).find_map(|i| pick(&mut users[(first + i) % n]))
    }

    fn of_user<T>(&self, no: No, act: impl FnOnce(&mut Subject) -> T) -> Option<T> {
        self.desk.users.lock().unwrap().iter_mut().find(|user| user.no == no).map(act)
    }

    fn session(&mut self) -> Option<(No, Known)> {
        let place = self.dice.below(usize::MAX);
        // What is over is looked at too, but less: it should stay so.
        let any = self.dice.once_in(4);
        self.user(|user| {
            let such: Vec<&Known> = user.sessions.iter().filter(|session| any || !session.is_over).collect();
            (!such.is_empty()).then(|| (user.no, such[place % such.len()].clone()))
        })
    }

    fn forget(&self, no: No) {
        self.desk.users.lock().unwrap().retain(|user| user.no != no);
    }

    async fn one(&mut self, ground: &Ground) {
        if self.desk.users.lock().unwrap().len() < USERS {
            return self.sign_up(ground).await;
        }
        if self.dice.once_in(3)
            && let Some(banned) = self.user(|user| user.is_banned.then(|| (user.no, user.id.clone())))
        {
            return self.enable(ground, banned).await;
        }
        let Some((user, session)) = self.session() else { return self.sign_in(ground).await };
        match self.dice.below(1000) {
            0..80 => self.sign_in(ground).await,
            80..300 => self.refresh(ground, user, &session).await,
            300..320 => self.sign_out(ground, user, &session).await,
            320..340 => self.revoke(ground, user, &session).await,
            340..348 => self.revoke_many(ground, user, &session).await,
            348..352 => self.ban(ground).await,
            352..355 => self.delete(ground, user, &session).await,
            355..362 => self.change_password(ground, user, &session).await,
            _ => {
                let by = self.way(ground, &session);
                self.check(ground, user, &session, by).await;
            }
        }
    }

    fn way(&mut self, ground: &Ground, session: &Known) -> By {
        let is_young = ground.clock.now_time() < session.access_from.plus(TOKEN_LIFE);
        match session.cookie {
            Some(_) if !is_young || self.dice.once_in(2) => By::Cookie,
            _ => By::Access,
        }
    }

    /// With what shows the session.
    fn shown(ground: &Ground, session: &Known, by: &By) -> Client {
        match (by, &session.cookie) {
            (By::Cookie, Some(cookie)) => {
                ground.public.clone().header("cookie", cookie).header("origin", "http://localhost:5173")
            }
            _ => ground.public.clone().bearer(&session.access),
        }
    }

    async fn check(&mut self, ground: &Ground, user: No, session: &Known, by: By) {
        if matches!(by, By::Access) && ground.clock.now_time() >= session.access_from.plus(TOKEN_LIFE) {
            return;
        }
        let path = ["/api/auth/me", "/api/auth/get-session"][self.dice.below(2)];
        let client = Self::shown(ground, session, &by);
        let (when, Some(answer)) = self.send(ground, client, Method::GET, path, None).await else { return };
        let seen = match (answer.status, answer.body.as_str()) {
            (200, "null") => Seen::Dead,
            (200, _) if answer.text("/session/id") == session.id => Seen::Alive,
            (200, _) => Seen::Another,
            (401, _) if matches!(answer.code().as_str(), "SESSION_REVOKED" | "SESSION_EXPIRED") => Seen::Dead,
            _ => return self.odd("check", &answer),
        };
        self.note(user, when, What::Checked { session: session.no, seen });
    }

    async fn sign_up(&mut self, ground: &Ground) {
        let no = ground.common.number();
        let email = format!("user{no}@example.com");
        let password = format!("correct horse battery {no}");
        let body = json!({"email": email, "password": password, "name": "Ada"});
        let (when, Some(answer)) = self.post(ground, "/api/auth/signup", body).await else { return };
        if answer.status != 201 {
            return self.odd("sign up", &answer);
        }
        let id = answer.text("/user/id");
        let password = (ground.common.number(), password);
        let subject = Subject {
            no,
            email,
            id,
            password: password.clone(),
            is_changing: false,
            is_banned: false,
            sessions: vec![],
        };
        self.desk.users.lock().unwrap().push(subject);
        self.opened(ground, no, when, &answer, password.0, true);
    }

    fn opened(&mut self, ground: &Ground, user: No, when: When, answer: &Response, password: No, remember: bool) {
        let access = answer.text("/access_token");
        let no = ground.common.number();
        let refresh = answer.json()["refresh_token"].as_str().map(str::to_owned);
        let session = Known {
            no,
            id: claim(&access, "sid"),
            access,
            access_from: when.from,
            cookie: cookie_of(answer),
            remember,
            refresh: refresh.into_iter().collect(),
            is_over: false,
        };
        self.note(user, when, What::Opened { session: no, password, remember });
        self.know(user, session);
    }

    fn know(&self, user: No, session: Known) {
        self.of_user(user, |user| {
            user.sessions.push(session);
            if user.sessions.len() > SESSIONS {
                user.sessions.remove(0);
            }
        });
    }

    async fn sign_in(&mut self, ground: &Ground) {
        let pick = |user: &mut Subject| Some((user.no, user.email.clone(), user.password.clone()));
        let Some((user, email, password)) = self.user(pick) else { return };
        let remember = !self.dice.once_in(3);
        let mode = ["token", "cookie"][self.dice.below(2)];
        let body = json!({"email": email, "password": password.1, "rememberMe": remember, "mode": mode});
        let (when, Some(answer)) = self.post(ground, "/api/auth/login", body).await else { return };
        match answer.status {
            200 => self.opened(ground, user, when, &answer, password.0, remember),
            401 | 403 => self.note(user, when, What::Refused { password: password.0 }),
            _ => self.odd("sign in", &answer),
        }
    }

    async fn refresh(&mut self, ground: &Ground, user: No, session: &Known) {
        // Mostly the newest that is known; now and then an older one, as a thief has.
        let n = session.refresh.len();
        let back = if self.dice.once_in(8) { self.dice.below(3) } else { 0 };
        let Some(shown) = n.checked_sub(1 + back).map(|at| session.refresh[at].clone()) else { return };
        let (when, answer) = self.post(ground, "/api/auth/refresh", json!({"refresh_token": shown})).await;
        let got = match &answer {
            None => Got::Nothing,
            Some(answer) => match (answer.status, answer.code().as_str()) {
                (200, _) => {
                    let (next, access) = (answer.text("/refresh_token"), answer.text("/access_token"));
                    self.of_user(user, |user| {
                        let known = user.sessions.iter_mut().find(|known| known.no == session.no)?;
                        (known.access, known.access_from) = (access, when.from);
                        if !known.refresh.contains(&next) {
                            known.refresh.push(next.clone());
                            known.refresh.sort_by_key(|text| token(text).generation);
                            let surplus = known.refresh.len().saturating_sub(4);
                            known.refresh.drain(..surplus);
                        }
                        Some(())
                    });
                    Got::Successor(token(&next))
                }
                (401, "REFRESH_TOKEN_REUSED") => Got::Reused,
                (401, "SESSION_REVOKED" | "SESSION_EXPIRED") => Got::Dead,
                _ => return self.odd("refresh", answer),
            },
        };
        self.note(user, when, What::Refreshed { session: session.no, shown: token(&shown), got });
    }

    /// What an act by the session's own credential says of it, beside what it does.
    fn ended(&mut self, user: No, (when, answer): &Outcome, caller: Option<No>, ending: Ending, what: &str) {
        match answer {
            None => self.note(user, *when, What::Ended(ending)),
            Some(answer) => match (answer.status, caller) {
                (200, _) => self.note(user, *when, What::Ended(ending)),
                (401, Some(session)) => self.note(user, *when, What::Checked { session, seen: Seen::Dead }),
                (404, None) => {}
                _ => self.odd(what, answer),
            },
        }
    }

    /// What has just ended is looked at once more, at once: that is when it matters.
    async fn look_again(&mut self, ground: &Ground, user: No, session: &Known) {
        if self.dice.once_in(2) {
            let by = self.way(ground, session);
            self.check(ground, user, session, by).await;
        }
    }

    async fn sign_out(&mut self, ground: &Ground, user: No, session: &Known) {
        let by = self.way(ground, session);
        let client = Self::shown(ground, session, &by);
        let path = match by {
            By::Cookie => "/api/auth/sign-out",
            By::Access if ground.clock.now_time() >= session.access_from.plus(TOKEN_LIFE) => return,
            By::Access => "/api/auth/logout",
        };
        let outcome = self.send(ground, client, Method::POST, path, Some(json!({}))).await;
        self.ended(user, &outcome, Some(session.no), Ending::Session(session.no), "sign out");
        self.look_again(ground, user, session).await;
    }

    async fn revoke(&mut self, ground: &Ground, user: No, session: &Known) {
        let own = self.of_user(user, |user| user.sessions.iter().find(|other| other.no != session.no).cloned());
        let outcome = match own.flatten() {
            Some(caller) if self.dice.once_in(2) => {
                let by = self.way(ground, &caller);
                let client = Self::shown(ground, &caller, &by);
                let body = json!({"token": session.id});
                let outcome = self.send(ground, client, Method::POST, "/api/auth/revoke-session", Some(body)).await;
                if outcome.1.as_ref().is_some_and(|answer| answer.status == 401) {
                    // A token that has expired is no credential here, and says nothing of its session.
                    return;
                }
                outcome
            }
            _ => {
                let body = json!({"target": {"sessions": [session.id]}});
                self.by_operator(ground, Method::POST, "/v1/sessions/revoke", Some(body)).await
            }
        };
        self.ended(user, &outcome, None, Ending::Session(session.no), "revoke");
        self.look_again(ground, user, session).await;
    }

    async fn revoke_many(&mut self, ground: &Ground, user: No, session: &Known) {
        let by = self.way(ground, session);
        let client = Self::shown(ground, session, &by);
        let (outcome, ending) = match self.dice.below(3) {
            0 => {
                let id = self.of_user(user, |user| user.id.clone()).unwrap_or_default();
                let body = json!({"target": {"user": id}});
                (self.by_operator(ground, Method::POST, "/v1/sessions/revoke", Some(body)).await, Ending::All)
            }
            1 => {
                let path = "/api/auth/revoke-sessions";
                (self.send(ground, client, Method::POST, path, Some(json!({}))).await, Ending::All)
            }
            _ => {
                let path = "/api/auth/revoke-other-sessions";
                (self.send(ground, client, Method::POST, path, Some(json!({}))).await, Ending::Others(session.no))
            }
        };
        if outcome.1.as_ref().is_some_and(|answer| matches!(answer.status, 400 | 401)) {
            return;
        }
        self.ended(user, &outcome, None, ending, "revoke many");
        self.look_again(ground, user, session).await;
    }

    async fn ban(&mut self, ground: &Ground) {
        let pick = |user: &mut Subject| {
            (!user.is_banned).then(|| {
                user.is_banned = true;
                (user.no, user.id.clone(), user.sessions.last().cloned())
            })
        };
        let Some((user, id, session)) = self.user(pick) else { return };
        let (when, answer) =
            self.by_operator(ground, Method::POST, &format!("/v1/users/{id}/disable"), Some(json!({}))).await;
        match &answer {
            None => self.note(user, when, What::Ended(Ending::Ban)),
            Some(answer) if answer.status == 200 => {
                if answer.json()["changed"] == true {
                    self.note(user, when, What::Ended(Ending::Ban));
                }
            }
            Some(answer) if answer.status == 404 => return self.forget(user),
            Some(answer) => self.odd("ban", answer),
        }
        if let Some(session) = session {
            self.look_again(ground, user, &session).await;
        }
    }

    async fn enable(&mut self, ground: &Ground, (user, id): (No, String)) {
        let (when, answer) =
            self.by_operator(ground, Method::POST, &format!("/v1/users/{id}/enable"), Some(json!({}))).await;
        match &answer {
            None => self.note(user, when, What::Enabled),
            Some(answer) if answer.status == 200 => {
                if answer.json()["changed"] == true {
                    self.note(user, when, What::Enabled);
                }
                self.of_user(user, |user| user.is_banned = false);
            }
            Some(answer) if answer.status == 404 => self.forget(user),
            Some(answer) => self.odd("enable", answer),
        }
    }

    async fn delete(&mut self, ground: &Ground, user: No, session: &Known) {
        let Some((id, password, is_changing)) =
            self.of_user(user, |user| (user.id.clone(), user.password.1.clone(), user.is_changing))
        else {
            return;
        };
        let outcome = if is_changing || self.dice.once_in(2) {
            self.by_operator(ground, Method::DELETE, &format!("/v1/users/{id}"), None).await
        } else {
            let client = Self::shown(ground, session, &self.way(ground, session));
            let body = json!({"password": password});
            self.send(ground, client, Method::POST, "/api/auth/delete-user", Some(body)).await
        };
        if outcome.1.as_ref().is_some_and(|answer| matches!(answer.status, 400 | 401)) {
            return;
        }
        self.ended(user, &outcome, None, Ending::Delete, "delete");
        self.look_again(ground, user, session).await;
        // For a while others go on with it: its sessions must stay dead.
        if outcome.1.is_some() && self.dice.once_in(2) {
            self.forget(user);
        }
    }

    async fn change_password(&mut self, ground: &Ground, user: No, session: &Known) {
        let pick = |user: &mut Subject| {
            (!user.is_changing).then(|| {
                user.is_changing = true;
                user.password.clone()
            })
        };
        let Some((_, current)) = self.of_user(user, pick).flatten() else { return };
        let number = ground.common.number();
        let new = format!("correct horse battery {number}");
        let by = match session.cookie {
            Some(_) => By::Cookie,
            None => By::Access,
        };
        let client = Self::shown(ground, session, &by);
        let body = json!({"currentPassword": current, "newPassword": new, "revokeOtherSessions": true});
        let (when, answer) = self.send(ground, client, Method::POST, "/api/auth/change-password", Some(body)).await;
        // Who hangs up leaves the password unknown: nobody signs in any more, and the sessions go on or not.
        let Some(answer) = answer else {
            return self.note(user, when, What::Ended(Ending::Password(number)));
        };
        if answer.status == 200 {
            self.note(user, when, What::Ended(Ending::Password(number)));
            let no = ground.common.number();
            self.note(user, when, What::Opened { session: no, password: number, remember: session.remember });
            let known = Known {
                no,
                id: answer.text("/token"),
                access: String::new(),
                access_from: UnixTime::EPOCH,
                cookie: cookie_of(&answer),
                remember: session.remember,
                refresh: vec![],
                is_over: false,
            };
            self.know(user, known);
            self.of_user(user, |user| user.password = (number, new));
        } else if !matches!(answer.status, 400 | 401) {
            self.odd("change password", &answer);
        }
        self.of_user(user, |user| user.is_changing = false);
        self.look_again(ground, user, session).await;
    }
}

async fn turn(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}
