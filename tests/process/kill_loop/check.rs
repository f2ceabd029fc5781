//! The look after a restart: everything that is stored against everything that was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::{Client, process::Daemon};

use super::{
    clients::{credentials, session_of},
    dice::Dice,
    model::{Deeds, Known, Session, User, World},
};

/// How many sessions and users of earlier rounds are looked at one by one, each time.
const SAMPLE: usize = 40;

/// All items of a list of the admin door.
pub(super) async fn all(admin: &Client, path: &str) -> Vec<Value> {
    let mut items: Vec<Value> = vec![];
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("{path}?limit=1000{cursor}")).await.json();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => {
                let next = percent_encoding::utf8_percent_encode(next, percent_encoding::NON_ALPHANUMERIC);
                cursor = format!("&cursor={next}");
            }
            None => return items,
        }
    }
}

fn field(item: &Value, name: &str) -> String {
    item[name].as_str().unwrap().to_owned()
}

/// A look in progress. Every difference is a loss; afterwards the model is what is really there, so that each is told once.
pub(super) struct Look<'a> {
    daemon: &'a Daemon,
    world: &'a mut World,
    losses: Vec<String>,
    /// Acts of this look, each with one record in the audit trail.
    own_acts: u64,
}

/// Compares; answers what was lost. `everything`: no sample, but all sessions one by one.
pub(super) async fn look(daemon: &Daemon, world: &mut World, dice: &mut Dice, everything: bool) -> Vec<String> {
    let mut look = Look { daemon, world, losses: vec![], own_acts: 0 };
    look.audit().await;
    look.users_and_sessions().await;
    look.keys().await;
    look.counters().await;
    look.tokens(dice, everything).await;
    look.retries().await;
    look.sign_ins(dice, everything).await;
    look.world.audit += look.own_acts;
    for client in &mut look.world.clients {
        (client.acknowledged, client.unanswered) = (0, 0);
        client.users.iter_mut().flat_map(|user| &mut user.sessions).for_each(|session| session.touched = false);
    }
    look.losses
}

impl Look<'_> {
    fn lost(&mut self, what: impl Into<String>) {
        self.losses.push(what.into());
    }

    /// The chain is whole, and has a record for each act: no fewer than were acknowledged, no more than were asked for.
    async fn audit(&mut self) {
        let verdict = self.daemon.admin().get("/v1/audit/verify").await.json();
        if verdict["ok"] != true {
            self.lost(format!("the audit chain is broken: {verdict}"));
        }
        let last = verdict["last"].as_u64().unwrap_or(0);
        let least = self.world.audit + self.world.clients.iter().map(|client| client.acknowledged).sum::<u64>();
        let most = least + self.world.clients.iter().map(|client| client.unanswered).sum::<u64>();
        if !(least..=most).contains(&last) {
            self.lost(format!("the audit trail ends at {last}, and should between {least} and {most}"));
        }
        self.world.audit = last;
    }

    async fn users_and_sessions(&mut self) {
        let admin = self.daemon.admin();
        let mut users: BTreeSet<String> =
            all(&admin, "/v1/users").await.iter().map(|user| field(user, "email")).collect();
        let mut sessions: BTreeMap<String, String> = all(&admin, "/v1/sessions")
            .await
            .iter()
            .map(|session| (field(session, "id"), field(session, "email")))
            .collect();
        let mut losses = vec![];
        for user in self.world.clients.iter_mut().flat_map(|client| &mut client.users) {
            settle_user(user, users.remove(&user.email), &mut losses);
            settle_sessions(user, &mut sessions, &mut losses);
        }
        losses.extend(users.into_iter().map(|email| format!("{email} exists, and nobody signed up so")));
        losses
            .extend(sessions.into_iter().map(|(id, of)| format!("session {id} of {of} exists, and nobody opened it")));
        self.losses.append(&mut losses);
    }

    async fn keys(&mut self) {
        let found: Vec<String> =
            all(&self.daemon.admin(), "/v1/keys").await.iter().map(|key| field(key, "kid")).collect();
        let mut open = 0;
        for client in &mut self.world.clients {
            self.world.kids.extend(client.kids.drain(..));
            open += std::mem::take(&mut client.open_rotations);
        }
        let gone: Vec<String> = self.world.kids.iter().filter(|kid| !found.contains(kid)).cloned().collect();
        for kid in gone {
            self.lost(format!("key {kid} was acknowledged and is gone"));
        }
        let more = found.iter().filter(|kid| !self.world.kids.contains(*kid)).count();
        if more > open {
            self.lost(format!("{more} keys are there that nobody knows, after {open} rotations without an answer"));
        }
        self.world.kids = found.into_iter().collect();
    }

    /// The counters move with what they count.
    async fn counters(&mut self) {
        let status = self.daemon.admin().get("/v1/status").await.json();
        if status["ready"] != true {
            self.lost(format!("it is not ready: {status}"));
        }
        let users = self.world.clients.iter().flat_map(|client| &client.users);
        let there = users.clone().filter(|user| user.exists == Known::Yes).count();
        let alive: usize = users.map(User::alive).sum();
        let expected = json!({"users": there, "sessions": alive, "audit": self.world.audit});
        if status["counts"] != expected {
            self.lost(format!("the counters say {}, and there are {expected}", status["counts"]));
        }
    }

    /// Access tokens of what lives are taken, those of what has ended are not.
    async fn tokens(&mut self, dice: &mut Dice, everything: bool) {
        let client = self.daemon.client();
        let mut older = vec![];
        let mut chosen = vec![];
        for (c, deeds) in self.world.clients.iter().enumerate() {
            for (u, s) in deeds.sessions(|_, session| session.token.is_some()) {
                let list = if everything || deeds.users[u].sessions[s].touched { &mut chosen } else { &mut older };
                list.push((c, u, s));
            }
        }
        for _ in 0..SAMPLE.min(older.len()) {
            chosen.push(older.swap_remove(dice.below(older.len())));
        }
        for (c, u, s) in chosen {
            let user = &self.world.clients[c].users[u];
            let session = &user.sessions[s];
            let answer = client.clone().bearer(session.token.as_deref().unwrap()).get("/api/auth/me").await;
            let is_right = match session.alive {
                Known::Yes => answer.status == 200 && answer.text("/user/email") == user.email,
                Known::No => answer.status == 401 && answer.code() == "SESSION_REVOKED",
                Known::Open => false,
            };
            if !is_right {
                self.losses.push(format!(
                    "session {} of {}, alive: {:?}: /me says {}",
                    session.id,
                    user.email,
                    session.alive,
                    answer.short()
                ));
            }
        }
    }

    /// A revocation without an answer is asked for again by the same name: it happens now if it had not, and only then.
    async fn retries(&mut self) {
        let admin = self.daemon.admin();
        for user in self.world.clients.iter_mut().flat_map(|client| &mut client.users) {
            for session in &mut user.sessions {
                let Some(key) = session.asked_to_end.take() else { continue };
                let body = json!({"target": {"sessions": [session.id]}});
                let again = admin.clone().header("idempotency-key", &key).post("/v1/sessions/revoke", &body).await;
                let is_right = match session.alive {
                    Known::Yes => again.status == 200 && again.json()["ended"] == 1,
                    // Nothing is left to end, and nothing is recorded.
                    Known::No | Known::Open => {
                        again.status == 409 && again.code() == "ALREADY_DONE" || again.json()["ended"] == 0
                    }
                };
                if !is_right {
                    self.losses.push(format!(
                        "session {}, alive: {:?}: asked again, the answer is {}",
                        session.id,
                        session.alive,
                        again.short()
                    ));
                }
                self.own_acts += u64::from(session.alive == Known::Yes);
                session.alive = Known::No;
            }
        }
    }

    /// Acknowledged accounts can sign in.
    async fn sign_ins(&mut self, dice: &mut Dice, everything: bool) {
        for c in 0..self.world.clients.len() {
            let mut known = self.world.clients[c].users(|user| user.exists == Known::Yes);
            // The last ones are those of this round; beside them one of the others.
            let recent = if everything { 0 } else { known.len().saturating_sub(2) };
            let chosen = known.split_off(recent).into_iter().chain(dice.pick(known));
            for u in chosen.collect::<Vec<_>>() {
                let email = self.world.clients[c].users[u].email.clone();
                let answer = self.daemon.client().post("/api/auth/login", &credentials(&email)).await;
                if answer.status != 200 {
                    self.lost(format!("{email} cannot sign in: {}", answer.short()));
                    continue;
                }
                let token = answer.text("/access_token");
                self.world.clients[c].users[u].opened(session_of(&token), Some(token));
                self.own_acts += 1;
            }
        }
    }
}

fn settle_user(user: &mut User, is_there: bool, losses: &mut Vec<String>) {
    match (user.exists, is_there) {
        (Known::Yes, false) => losses.push(format!("{} signed up and is gone", user.email)),
        (Known::No, true) => losses.push(format!("{} was not there and is back", user.email)),
        (Known::Yes, true) | (Known::No, false) => {}
        (Known::Open, is_there) => {
            // An account and its first session are one act.
            user.may_have_a_session_more = is_there;
            if is_there {
                user.exists = Known::Yes;
                return;
            }
        }
    }
    user.exists = is_there.into();
}

/// Takes the user's sessions out of what was `found`.
fn settle_sessions(user: &mut User, found: &mut BTreeMap<String, String>, losses: &mut Vec<String>) {
    let was_open = user.sessions.iter().filter(|session| session.alive == Known::Open).count();
    let mut still_alive = 0;
    for session in &mut user.sessions {
        let is_there = found.remove(&session.id).is_some();
        match (session.alive, is_there) {
            (Known::Yes, false) => losses.push(format!("session {} of {} is gone", session.id, user.email)),
            (Known::No, true) => losses.push(format!("session {} of {} had ended and is back", session.id, user.email)),
            (Known::Open, true) => still_alive += 1,
            (Known::Open | Known::No, false) | (Known::Yes, true) => {}
        }
        session.alive = is_there.into();
    }
    if std::mem::take(&mut user.all_or_none) && still_alive != 0 && still_alive != was_open {
        losses.push(format!("of {was_open} sessions of {}, ended as one act, {still_alive} live", user.email));
    }
    let unknown: Vec<String> = found.iter().filter(|(_, of)| **of == user.email).map(|(id, _)| id.clone()).collect();
    if std::mem::take(&mut user.may_have_a_session_more)
        && let [id] = unknown.as_slice()
    {
        found.remove(id);
        user.sessions.push(Session {
            id: id.clone(),
            token: None,
            alive: Known::Yes,
            asked_to_end: None,
            touched: false,
        });
    }
}

/// What there is before anything is done.
pub(super) async fn first_look(daemon: &Daemon, clients: usize) -> World {
    let kids = all(&daemon.admin(), "/v1/keys").await.iter().map(|key| field(key, "kid")).collect();
    let audit = daemon.admin().get("/v1/audit/verify").await.json()["last"].as_u64().unwrap_or(0);
    World { clients: (0..clients).map(Deeds::new).collect(), kids, audit }
}
