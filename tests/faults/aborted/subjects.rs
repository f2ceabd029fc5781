//! Who breaks off: a user, what it asks for, and a look at what became of that.

use serde_json::{Value, json};
use tests::{Client, Dice, PASSWORD, Response, Server};

/// What is asked for. Every route of the public door that changes something, and those of the admin door that change a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    SignUp,
    WireSignUp,
    SignIn,
    WireSignIn,
    SignOut,
    WireSignOut,
    Refresh,
    RevokeSession,
    RevokeSessions,
    RevokeOthers,
    UpdateUser,
    ChangePassword,
    ChangePasswordKeeping,
    DeleteUser,
    Create,
    Disable,
    SetPassword,
    RevokeByOperator,
    Delete,
}

impl Act {
    pub(super) const ALL: &[Self] = &[
        Self::SignUp,
        Self::WireSignUp,
        Self::SignIn,
        Self::WireSignIn,
        Self::SignOut,
        Self::WireSignOut,
        Self::Refresh,
        Self::RevokeSession,
        Self::RevokeSessions,
        Self::RevokeOthers,
        Self::UpdateUser,
        Self::ChangePassword,
        Self::ChangePasswordKeeping,
        Self::DeleteUser,
        Self::Create,
        Self::Disable,
        Self::SetPassword,
        Self::RevokeByOperator,
        Self::Delete,
    ];

    pub(super) fn is_by_operator(self) -> bool {
        matches!(self, Self::Create | Self::Disable | Self::SetPassword | Self::RevokeByOperator | Self::Delete)
    }

    /// Those that make an account where there is none.
    fn makes_one(self) -> bool {
        matches!(self, Self::SignUp | Self::WireSignUp | Self::Create)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SignUp => "signup",
            Self::WireSignUp => "sign-up/email",
            Self::SignIn => "login",
            Self::WireSignIn => "sign-in/email",
            Self::SignOut => "logout",
            Self::WireSignOut => "sign-out",
            Self::Refresh => "refresh",
            Self::RevokeSession => "revoke-session",
            Self::RevokeSessions => "revoke-sessions",
            Self::RevokeOthers => "revoke-other-sessions",
            Self::UpdateUser => "update-user",
            Self::ChangePassword => "change-password",
            Self::ChangePasswordKeeping => "change-password, keeping",
            Self::DeleteUser => "delete-user",
            Self::Create => "operator creates",
            Self::Disable => "operator disables",
            Self::SetPassword => "operator sets password",
            Self::RevokeByOperator => "operator revokes",
            Self::Delete => "operator deletes",
        }
    }
}

/// A user, as far as it knows.
pub(super) struct Subject {
    pub(super) email: String,
    pub(super) exists: bool,
    /// How many sessions it has.
    pub(super) sessions: usize,
    /// The accounts that it left behind, and their sessions.
    pub(super) left: (usize, usize),
    /// Whose turn it is, for names that are new each time.
    turn: usize,
    number: usize,
    id: String,
    password: String,
    profile: (String, String),
    /// The session that asks, by token; and another one.
    access: String,
    session: String,
    refresh: String,
    other: Other,
}

/// Another session of the user, by cookie.
#[derive(Default)]
struct Other {
    cookie: String,
    session: String,
}

fn cookie_of(answer: &Response) -> String {
    let pairs: Vec<String> =
        answer.cookies().iter().map(|line| line.split(';').next().unwrap_or_default().to_owned()).collect();
    pairs.join("; ")
}

/// The two that a look tells apart, or what is wrong.
type Found = Result<bool, String>;

impl Subject {
    pub(super) async fn new(server: &Server, public: &Client, number: usize) -> Self {
        let mut subject = Self {
            email: String::new(),
            exists: false,
            sessions: 0,
            left: (0, 0),
            turn: 0,
            number,
            id: String::new(),
            password: PASSWORD.into(),
            profile: (String::new(), String::new()),
            access: String::new(),
            session: String::new(),
            refresh: String::new(),
            other: Other::default(),
        };
        subject.renamed();
        subject.sign_up(public).await.unwrap();
        subject.settle_in(server, public).await.unwrap();
        subject
    }

    /// From now on it is somebody else, who is not there yet.
    fn renamed(&mut self) {
        self.turn += 1;
        if self.exists {
            self.left = (self.left.0 + 1, self.left.1 + self.sessions);
        }
        self.email = format!("subject{}.{}@example.com", self.turn, self.number);
        (self.exists, self.sessions) = (false, 0);
        (self.password, self.profile) = (PASSWORD.into(), ("Ada".into(), String::new()));
    }

    /// Chooses what to ask for. Who is to sign up gives the present account up first.
    pub(super) fn choose(&mut self, acts: &[Act], dice: &mut Dice) -> Act {
        let fits = |act: &Act| act.makes_one() || self.exists;
        let act = dice.pick(acts.iter().copied().filter(fits).collect()).expect("some make an account");
        self.turn += 1;
        if act.makes_one() && self.exists {
            self.renamed();
        }
        act
    }

    fn new_password(&self) -> String {
        format!("another horse battery {}", self.turn)
    }

    fn new_profile(&self) -> (String, String) {
        (format!("Ada {}", self.turn), format!("https://example.com/{}.png", self.turn))
    }

    fn name_of_act(&self) -> String {
        format!("aborted-{}-{}", self.number, self.turn)
    }

    /// Method, path and body.
    fn asks(&self, act: Act) -> (&'static str, String, Value) {
        let public = |path: &str, body: Value| ("POST", format!("/api/auth/{path}"), body);
        let account = json!({"email": self.email, "password": self.password, "name": "Ada"});
        let change = |ends: bool| json!({"currentPassword": self.password, "newPassword": self.new_password(), "revokeOtherSessions": ends});
        let of_user = |what: &str, body: Value| ("POST", format!("/v1/users/{}/{what}", self.id), body);
        match act {
            Act::SignUp => public("signup", account),
            Act::WireSignUp => public("sign-up/email", account),
            Act::SignIn => public("login", account),
            Act::WireSignIn => public("sign-in/email", account),
            Act::SignOut => public("logout", json!({})),
            Act::WireSignOut => public("sign-out", json!({})),
            Act::Refresh => public("refresh", json!({"refresh_token": self.refresh})),
            Act::RevokeSession => public("revoke-session", json!({"token": self.other.session})),
            Act::RevokeSessions => public("revoke-sessions", json!({})),
            Act::RevokeOthers => public("revoke-other-sessions", json!({})),
            Act::UpdateUser => {
                let (name, image) = self.new_profile();
                public("update-user", json!({"name": name, "image": image}))
            }
            Act::ChangePassword => public("change-password", change(true)),
            Act::ChangePasswordKeeping => public("change-password", change(false)),
            Act::DeleteUser => public("delete-user", json!({"password": self.password})),
            Act::Create => {
                ("POST", "/v1/users".into(), json!({"email": self.email, "password": self.password, "name": "Ada"}))
            }
            Act::Disable => of_user("disable", json!({})),
            Act::SetPassword => of_user("password", json!({"password": self.new_password()})),
            Act::RevokeByOperator => ("POST", "/v1/sessions/revoke".into(), json!({"target": {"user": self.id}})),
            Act::Delete => ("DELETE", format!("/v1/users/{}", self.id), Value::Null),
        }
    }

    /// The request as it goes over the wire.
    pub(super) fn request(&self, server: &Server, act: Act) -> Vec<u8> {
        let (method, path, body) = self.asks(act);
        let host = if act.is_by_operator() { "authd".into() } else { Client::host_of(server) };
        let credential = match act {
            Act::WireSignOut => format!("Cookie: {}\r\nOrigin: http://localhost:5173\r\n", self.other.cookie),
            act if act.is_by_operator() => format!("Idempotency-Key: {}\r\n", self.name_of_act()),
            Act::SignUp | Act::WireSignUp | Act::SignIn | Act::WireSignIn | Act::Refresh => String::new(),
            _ => format!("Authorization: Bearer {}\r\n", self.access),
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = body.len();
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{credential}{kind}Content-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }

    /// Whether what there is of an answer names nobody else.
    pub(super) fn owns(&self, partial: &str) -> bool {
        let addresses = partial.match_indices("\"email\":\"").map(|(at, found)| &partial[at + found.len()..]);
        // What was cut off may be the beginning.
        addresses.into_iter().all(|rest| {
            let address = rest.split('"').next().unwrap_or_default();
            self.email.starts_with(address)
        })
    }

    async fn sign_in(&mut self, public: &Client, password: &str) -> Found {
        let body = json!({"email": self.email, "password": password});
        let answer = public.post("/api/auth/login", &body).await;
        match answer.status {
            200 if answer.text("/user/email") == self.email => {
                self.opened(&answer);
                Ok(true)
            }
            401 | 403 => Ok(false),
            _ => Err(format!("signing in: {}", answer.short())),
        }
    }

    fn opened(&mut self, answer: &Response) {
        self.sessions += 1;
        (self.access, self.refresh) = (answer.text("/access_token"), answer.text("/refresh_token"));
        self.id = answer.text("/user/id");
    }

    async fn sign_up(&mut self, public: &Client) -> Result<(), String> {
        let body = json!({"email": self.email, "password": self.password, "name": "Ada"});
        let made = public.post("/api/auth/signup", &body).await;
        if made.status != 201 {
            return Err(format!("signing up: {}", made.short()));
        }
        self.exists = true;
        self.opened(&made);
        Ok(())
    }

    /// Makes certain that there is a session by token and another one by cookie, and not too many of them.
    async fn settle_in(&mut self, server: &Server, public: &Client) -> Result<(), String> {
        if !self.exists {
            return Ok(());
        }
        if self.sessions > 40 {
            let revoked = server.admin().post("/v1/sessions/revoke", &json!({"target": {"user": self.id}})).await;
            if revoked.status != 200 || revoked.json()["ended"] != self.sessions {
                return Err(format!("of {} sessions: {}", self.sessions, revoked.short()));
            }
            self.sessions = 0;
        }
        let me = public.clone().bearer(&self.access).get("/api/auth/me").await;
        let me = if me.status == 200 {
            me
        } else {
            let password = self.password.clone();
            if !self.sign_in(public, &password).await? {
                return Err("it cannot sign in".into());
            }
            public.clone().bearer(&self.access).get("/api/auth/me").await
        };
        self.session = me.text("/session/id");
        if !self.is_alive_by_cookie(public).await {
            let body = json!({"email": self.email, "password": self.password, "mode": "cookie"});
            let other = public.post("/api/auth/login", &body).await;
            if other.status != 200 {
                return Err(format!("signing in: {}", other.short()));
            }
            self.sessions += 1;
            let cookie = cookie_of(&other);
            let shown = public.clone().header("cookie", &cookie).get("/api/auth/me").await;
            self.other = Other { cookie, session: shown.text("/session/id") };
        }
        Ok(())
    }

    async fn is_alive(&self, public: &Client) -> bool {
        public.clone().bearer(&self.access).get("/api/auth/me").await.status == 200
    }

    async fn is_alive_by_cookie(&self, public: &Client) -> bool {
        let shown = public.clone().header("cookie", &self.other.cookie).get("/api/auth/me").await;
        shown.status == 200 && shown.text("/user/email") == self.email
    }

    /// How many sessions there really are.
    async fn count(&self, server: &Server) -> Result<usize, String> {
        let shown = server.admin().get(&format!("/v1/users/{}", self.id)).await;
        match shown.status {
            200 => Ok(usize::try_from(shown.json()["sessions"].as_u64().unwrap()).unwrap()),
            _ => Err(format!("an operator sees {}", shown.short())),
        }
    }

    /// Whether so many sessions are there as if nothing was done, or as if it was.
    async fn count_is(&mut self, server: &Server, before: usize, after: usize) -> Found {
        let found = self.count(server).await?;
        self.sessions = found;
        match found {
            n if n == after => Ok(true),
            n if n == before => Ok(false),
            n => Err(format!("there are {n} sessions, and should be {before} or {after}")),
        }
    }

    /// Whether it was done; and everything that belongs to it, or nothing.
    pub(super) async fn look(&mut self, server: &Server, public: &Client, act: Act) -> Found {
        let done = self.find(server, public, act).await?;
        self.settle_in(server, public).await?;
        Ok(done)
    }

    async fn find(&mut self, server: &Server, public: &Client, act: Act) -> Found {
        let before = self.sessions;
        let agree = |done: bool, others: &[bool], what: &str| match others.iter().all(|other| *other == done) {
            true => Ok(done),
            false => Err(format!("{what}, done: {done}, and otherwise {others:?}")),
        };
        match act {
            Act::SignUp | Act::WireSignUp => self.made(server, public, 1, "without its session").await,
            Act::Create => {
                let done_before = self.again(server, act, 201).await?;
                match self.made(server, public, 0, "with a session").await? {
                    true => Ok(done_before),
                    false => Err("it was said to be done".into()),
                }
            }
            Act::SignIn | Act::WireSignIn => self.count_is(server, before, before + 1).await,
            Act::SignOut => {
                let done = self.count_is(server, before, before - 1).await?;
                let by_refresh = public.post("/api/auth/refresh", &json!({"refresh_token": self.refresh})).await;
                agree(done, &[!self.is_alive(public).await, by_refresh.status == 401], "signed out")?;
                if by_refresh.status == 200 {
                    self.refresh = by_refresh.text("/refresh_token");
                }
                Ok(done)
            }
            Act::WireSignOut | Act::RevokeSession => {
                let done = self.count_is(server, before, before - 1).await?;
                agree(done, &[!self.is_alive_by_cookie(public).await], "one session ended")
            }
            Act::RevokeSessions => {
                let done = self.count_is(server, before, 0).await?;
                let others = [!self.is_alive(public).await, !self.is_alive_by_cookie(public).await];
                agree(done, &others, "all sessions ended")
            }
            Act::RevokeOthers => {
                let done = self.count_is(server, before, 1).await?;
                agree(done, &[!self.is_alive_by_cookie(public).await], "the others ended")?;
                agree(true, &[self.is_alive(public).await], "its own stays")?;
                Ok(done)
            }
            Act::Refresh => {
                let next = public.post("/api/auth/refresh", &json!({"refresh_token": self.refresh})).await;
                if next.status != 200 || next.text("/user/email") != self.email {
                    return Err(format!("refreshing again: {}", next.short()));
                }
                (self.refresh, self.access) = (next.text("/refresh_token"), next.text("/access_token"));
                agree(true, &[self.is_alive(public).await], "refreshed")?;
                // Where it was done, this was a repetition.
                let audit = server.admin().get(&format!("/v1/audit?user={}&limit=1", self.id)).await.json();
                Ok(audit["items"][0]["event"] == "token.refresh_repeated")
            }
            Act::UpdateUser => {
                let me = public.clone().bearer(&self.access).get("/api/auth/me").await.json();
                let field = |name: &str| me["user"][name].as_str().unwrap_or_default().to_owned();
                let found = (field("name"), field("image"));
                let new = self.new_profile();
                match &found {
                    found if *found == new => {
                        self.profile = new;
                        Ok(true)
                    }
                    found if *found == self.profile => Ok(false),
                    found => Err(format!("it is {found:?}, was {:?} and was to be {new:?}", self.profile)),
                }
            }
            Act::ChangePassword => self.password_changed(server, public, Some(1)).await,
            Act::ChangePasswordKeeping => self.password_changed(server, public, None).await,
            Act::SetPassword => {
                let done_before = self.again(server, act, 200).await?;
                match self.password_changed(server, public, Some(0)).await? {
                    true => Ok(done_before),
                    false => Err("it was said to be done".into()),
                }
            }
            Act::DeleteUser => self.deleted(server, public).await,
            Act::Delete => {
                let done_before = self.again(server, act, 200).await?;
                match self.deleted(server, public).await? {
                    true => Ok(done_before),
                    false => Err("it was said to be done".into()),
                }
            }
            Act::Disable => {
                let done_before = self.again(server, act, 200).await?;
                self.count_is(server, 0, 0).await?;
                let password = self.password.clone();
                let others = [
                    !self.is_alive(public).await,
                    !self.is_alive_by_cookie(public).await,
                    !self.sign_in(public, &password).await?,
                ];
                agree(true, &others, "disabled")?;
                let enabled = server.admin().post(&format!("/v1/users/{}/enable", self.id), &json!({})).await;
                if enabled.status != 200 || enabled.json()["changed"] != true {
                    return Err(format!("enabling: {}", enabled.short()));
                }
                Ok(done_before)
            }
            Act::RevokeByOperator => {
                let done_before = self.again(server, act, 200).await?;
                self.count_is(server, 0, 0).await?;
                agree(true, &[!self.is_alive(public).await, !self.is_alive_by_cookie(public).await], "revoked")?;
                Ok(done_before)
            }
        }
    }

    /// Asks an operator's act again by the same name. Whether it had been done.
    async fn again(&self, server: &Server, act: Act, expected: u16) -> Found {
        let (method, path, body) = self.asks(act);
        let admin = server.admin().header("idempotency-key", &self.name_of_act());
        let answer = match method {
            "DELETE" => admin.delete(&path).await,
            _ => admin.post(&path, &body).await,
        };
        match (answer.status, answer.code().as_str()) {
            (409, "ALREADY_DONE") => Ok(true),
            (status, _) if status == expected => Ok(false),
            _ => Err(format!("asking again: {}", answer.short())),
        }
    }

    /// Whether the account is there, with so many sessions; else it is made now.
    async fn made(&mut self, server: &Server, public: &Client, sessions: usize, otherwise: &str) -> Found {
        self.sessions = sessions;
        let password = self.password.clone();
        if !self.sign_in(public, &password).await? {
            self.sessions = 0;
            self.sign_up(public).await?;
            return Ok(false);
        }
        self.exists = true;
        match self.count(server).await? {
            n if n == sessions + 1 => Ok(true),
            n => {
                self.sessions = n;
                Err(format!("the account was made {otherwise}: {n} sessions and not {}", sessions + 1))
            }
        }
    }

    /// Whether the new password is the one; `stays`: how many sessions there are then, if the others end.
    async fn password_changed(&mut self, server: &Server, public: &Client, stays: Option<usize>) -> Found {
        let before = self.sessions;
        let was_alive = [self.is_alive(public).await, self.is_alive_by_cookie(public).await];
        let (old, new) = (self.password.clone(), self.new_password());
        let by_new = self.sign_in(public, &new).await?;
        let by_old = self.sign_in(public, &old).await?;
        let alive = if by_new { stays.is_none() } else { true };
        let expected = 1 + if by_new { stays.unwrap_or(before) } else { before };
        let found = self.count(server).await?;
        self.sessions = found;
        if by_new == by_old || was_alive != [alive; 2] || found != expected {
            return Err(format!(
                "new password: {by_new}, old password: {by_old}, sessions live: {was_alive:?}, {found} sessions of {expected}"
            ));
        }
        if by_new {
            self.password = new;
        }
        Ok(by_new)
    }

    /// Whether everything is gone. Then there is somebody else in its place, who is not there yet.
    async fn deleted(&mut self, server: &Server, public: &Client) -> Found {
        let before = self.sessions;
        let was_alive = [self.is_alive(public).await, self.is_alive_by_cookie(public).await];
        let password = self.password.clone();
        let signs_in = self.sign_in(public, &password).await?;
        if was_alive != [signs_in; 2] {
            return Err(format!("signs in: {signs_in}, sessions live: {was_alive:?}"));
        }
        // Not each time: what is no user's id is looked for among all users' names.
        if self.turn.is_multiple_of(16) {
            let shown = server.admin().get(&format!("/v1/users/{}", self.id)).await;
            if (shown.status == 200) != signs_in {
                return Err(format!("signs in: {signs_in}, operators see {}", shown.short()));
            }
        }
        if signs_in {
            self.count_is(server, before + 1, before + 1).await?;
            return Ok(false);
        }
        self.exists = false;
        self.renamed();
        Ok(true)
    }
}
