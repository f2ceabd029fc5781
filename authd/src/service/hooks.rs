//! What the application decides: it is asked by a signed call before an account is made, a session opened, a password
//! taken, a token made. It is asked outside of every change of the store and of every hashing thread; what it took to decide
//! is looked at again by the intent that follows. No answer is a refusal, unless the configuration says otherwise.

use std::sync::{Mutex, PoisonError};

use common::{Email, SecretString, UnixTime};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tracing::{debug, warn};
use zeroize::Zeroizing;

use super::{Requester, ServiceError, Services, counts::HookCalls, fields, random};
use crate::{
    domain::{
        Act, Breaker, Event, EventKind, FieldChanges, FieldSet, FieldValues, Hook, Session, User,
        hook::{MAX_CLAIMS, MAX_CLAIMS_BYTES, is_code, is_free_claim, is_message},
    },
    json,
    metrics::{Distribution, Histogram, counter::SECONDS},
    ports::{Answered, Call, CallError, Target},
    store::Live,
};

/// The version of the bodies: it grows when something in them changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// A hook that is configured.
struct Slot {
    hook: Hook,
    target: Box<dyn Target>,
    state: Mutex<SlotState>,
    calls: HookCalls,
    seconds: Histogram,
}

#[derive(Default)]
struct SlotState {
    breaker: Breaker,
    last_failure: Option<(UnixTime, String)>,
}

/// What the application is asked, and how its answers have been.
pub struct Hooks {
    slots: Vec<Slot>,
    /// Calls that may be under way at once.
    room: Semaphore,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { slots: vec![], room: Semaphore::new(0) }
    }
}

/// A hook, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Which.
    pub hook: Hook,
    /// Where it is called.
    pub target: String,
    /// Whether things happen where it does not answer.
    pub fails_open: bool,
    /// Until when it is not called because it did not answer.
    pub rests_until: Option<UnixTime>,
    /// The last failure since the start, and when that was.
    pub last_failure: Option<(UnixTime, String)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it is left alone for a while, because it did not answer")]
    Resting,
    #[error("as many calls are under way as hooks.max_concurrent allows")]
    Crowded,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer is not understood: {0}")]
    Answer(String),
}

/// What an application says: what it adds, or why not.
enum Said<T> {
    Yes(T),
    No { code: Option<String>, message: Option<String> },
}

impl Said<Map<String, Value>> {
    fn understood<T>(self, understand: impl Fn(Map<String, Value>) -> Result<T, String>) -> Result<Said<T>, Failure> {
        Ok(match self {
            Self::Yes(more) => Said::Yes(understand(more).map_err(Failure::Answer)?),
            Self::No { code, message } => Said::No { code, message },
        })
    }
}

impl Hooks {
    /// Calling these, so many at once at most.
    pub fn new(targets: Vec<(Hook, Box<dyn Target>)>, at_once: usize) -> Self {
        let slot = |(hook, target)| {
            let (state, calls, seconds) = (Mutex::default(), HookCalls::default(), Histogram::new(SECONDS));
            Slot { hook, target, state, calls, seconds }
        };
        Self { slots: targets.into_iter().map(slot).collect(), room: Semaphore::new(at_once) }
    }

    fn slot(&self, hook: Hook) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.hook == hook)
    }

    /// Whether the application is asked that.
    pub fn is_on(&self, hook: Hook) -> bool {
        self.slot(hook).is_some()
    }

    /// How calls have ended since the start, and how long they took, by hook.
    pub fn counts(&self) -> impl Iterator<Item = (Hook, &HookCalls, Distribution)> {
        self.slots.iter().map(|slot| (slot.hook, &slot.calls, slot.seconds.read()))
    }
}

/// The hooks that are configured.
pub fn list(app: &Services) -> Vec<Shown> {
    let now = app.clock.now();
    let shown = |slot: &Slot| {
        let state = slot.state();
        Shown {
            hook: slot.hook,
            target: slot.target.describe(),
            fails_open: slot.fails_open(app),
            rests_until: state.breaker.rests_until(now),
            last_failure: state.last_failure.clone(),
        }
    };
    app.hooks.slots.iter().map(shown).collect()
}

impl Slot {
    fn state(&self) -> std::sync::MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether things happen where it does not answer.
    fn fails_open(&self, app: &Services) -> bool {
        app.policy.open_hooks.contains(&self.hook)
    }

    /// Calls, and notes how that went. An answer that nobody understands is none.
    async fn ask<T>(
        &self,
        app: &Services,
        call: &Call,
        member: &str,
        understand: impl Fn(Map<String, Value>) -> Result<T, String> + Send,
    ) -> Result<Said<T>, Failure> {
        let began = app.clock.now();
        let permit = match app.hooks.room.try_acquire() {
            Err(_) => Err(Failure::Crowded),
            Ok(_) if !self.state().breaker.admits(began) => Err(Failure::Resting),
            Ok(permit) => Ok(permit),
        };
        let _permit = permit.inspect_err(|_| self.calls.was_not_called())?;
        let outcome = match self.target.call(call).await {
            Ok(answer) => read(&answer, member).and_then(|said| said.understood(understand)),
            Err(error) => Err(error.into()),
        };
        self.seconds.observe(app.clock.now().since(began).to_std().as_secs_f64());
        self.calls.ended(outcome.as_ref().ok().map(|said| matches!(said, Said::Yes(_))));
        match &outcome {
            Ok(_) => self.state().breaker.succeeded(),
            Err(failure) => self.failed(app.clock.now(), failure),
        }
        outcome
    }

    fn failed(&self, now: UnixTime, failure: &Failure) {
        let mut state = self.state();
        state.breaker.failed(now);
        state.last_failure = Some((now, failure.to_string()));
        let rests_until = state.breaker.rests_until(now);
        drop(state);
        warn!(hook = self.hook.as_str(), error = %failure, ?rests_until, "a hook failed");
    }

    /// What it means for who waits that there is no answer.
    fn without_answer(&self, app: &Services, failure: &Failure) -> Result<(), ServiceError> {
        let is_open = self.fails_open(app);
        debug!(hook = self.hook.as_str(), error = %failure, open = is_open, "decided without the application");
        if is_open { Ok(()) } else { Err(ServiceError::HookUnavailable(self.hook)) }
    }
}

/// Reads an answer, which is strict: a member that is not known is a misunderstanding.
fn read(answer: &Answered, member: &str) -> Result<Said<Map<String, Value>>, Failure> {
    if answer.status != 200 {
        return Err(Failure::Status(answer.status));
    }
    let wrong = |what: &str| Failure::Answer(what.to_owned());
    let mut given = json::parse_object(&answer.body).map_err(wrong)?;
    let allow =
        given.remove("allow").and_then(|allow| allow.as_bool()).ok_or_else(|| wrong("allow is true or false"))?;
    let mut text = |name: &str, is_good: fn(&str) -> bool| match given.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) if is_good(&text) && !allow => Ok(Some(text)),
        Some(_) => Err(wrong("code is UPPER_CASE, message a line of at most 300 characters, both of a refusal only")),
    };
    let (code, message) = (text("code", is_code)?, text("message", is_message)?);
    let more = match given.remove(member) {
        None => Map::new(),
        Some(Value::Object(more)) if allow => more,
        Some(_) => return Err(wrong("what is added is an object, where it is allowed")),
    };
    match given.keys().next() {
        // Its name is the application's word, and may be anything.
        Some(_) => Err(wrong("it has a member that means nothing here")),
        None if allow => Ok(Said::Yes(more)),
        None => Ok(Said::No { code, message }),
    }
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    r#type: &'a str,
    version: u32,
    timestamp: UnixTime,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    test: bool,
    data: T,
}

/// The call about this. Its body is written once, into room that is large enough for what may be secret in it.
fn call_about<T: Serialize>(app: &Services, hook: Hook, data: T, test: bool) -> Call {
    let at = app.clock.now();
    let mut body = Zeroizing::new(Vec::with_capacity(8 * 1024));
    let envelope = Envelope { r#type: hook.as_str(), version: VERSION, timestamp: at, test, data };
    // Into memory, of types that are JSON.
    drop(serde_json::to_writer(&mut *body, &envelope));
    Call { id: format!("hook_{}", random::base62(&*app.entropy, 24)), at, body }
}

/// Asks, and answers what the application adds; `None` where it is not asked, or did not answer and need not.
async fn ask<D: Serialize + Send, T>(
    app: &Services,
    hook: Hook,
    data: D,
    member: &str,
    understand: impl Fn(Map<String, Value>) -> Result<T, String> + Send,
) -> Result<Option<T>, ServiceError> {
    let Some(slot) = app.hooks.slot(hook) else { return Ok(None) };
    let call = call_about(app, hook, data, false);
    match slot.ask(app, &call, member, understand).await {
        Ok(Said::Yes(understood)) => Ok(Some(understood)),
        Ok(Said::No { code, message }) => Err(ServiceError::HookRefused { hook, code, message }),
        Err(failure) => slot.without_answer(app, &failure).map(|()| None),
    }
}

/// The user as the application sees one: every field, also those that clients do not see.
pub(super) fn user_json(app: &Services, user: &User) -> Value {
    let mut body = json!({
        "id": user.id,
        "email": user.email,
        "emailVerified": user.email_verified,
        "name": user.name,
        "image": user.image,
        "role": user.role,
        "banned": user.ban.is_some(),
        "createdAt": user.created_at,
        "updatedAt": user.updated_at,
    });
    if app.policy.username.is_some() {
        body["username"] = json!(user.username);
        body["displayUsername"] = json!(user.display_username);
    }
    body["fields"] = Value::Object(fields::all(&app.policy.user_fields, &user.fields));
    body
}

/// Values for the application's fields, also for those that clients may not set.
fn changes(set: &FieldSet, given: Map<String, Value>) -> Result<FieldChanges, String> {
    let change = |(name, value): (String, Value)| {
        let field = set.get(&name).ok_or("it sets a field that is not configured")?;
        let value = match value {
            Value::Null if !field.is_required => None,
            value => {
                let read = fields::read(field.kind, &value).filter(crate::domain::FieldValue::is_plain);
                Some(read.ok_or_else(|| format!("{name} is not of its type"))?)
            }
        };
        Ok((name, value))
    };
    given.into_iter().map(change).collect()
}

fn with_changes(
    values: &FieldValues,
    set: &FieldSet,
    given: Map<String, Value>,
    most: usize,
) -> Result<FieldValues, String> {
    let values = values.changed(&changes(set, given)?);
    values.check_size(most).map_err(|_| format!("the fields have more than {most} bytes"))?;
    Ok(values)
}

fn client(requester: &Requester) -> Value {
    json!({"ipAddress": requester.source, "userAgent": requester.user_agent})
}

/// `sign_up.before`: whether this account may be made; answers its fields, with what the application sets. Asked whether or
/// not the address has an account, so that the time it takes tells nothing.
///
/// # Errors
/// `HookRefused`, `HookUnavailable`.
pub(super) async fn sign_up(
    app: &Services,
    (email, name, username): (&Email, &str, Option<&str>),
    values: FieldValues,
    requester: &Requester,
) -> Result<FieldValues, ServiceError> {
    let set = &app.policy.user_fields;
    let user = json!({"email": email, "name": name, "username": username, "fields": fields::all(set, &values)});
    let data = json!({"user": user, "client": client(requester)});
    let understand = |more| with_changes(&values, set, more, User::MAX_FIELD_BYTES);
    Ok(ask(app, Hook::SignUp, data, "fields", understand).await?.unwrap_or(values))
}

/// `sign_in.before`: whether this user may have a session, who has shown the right password, is not banned and has proved
/// what must be proved. Nobody else learns what the application thinks of an account. Answers the session with its fields.
///
/// # Errors
/// `HookRefused`, `HookUnavailable`.
pub(super) async fn sign_in(
    app: &Services,
    user: &User,
    session: Session,
    requester: &Requester,
) -> Result<Session, ServiceError> {
    let set = &app.policy.session_fields;
    let data = json!({
        "user": user_json(app, user),
        "session": {"rememberMe": session.remember, "fields": fields::all(set, &session.fields)},
        "client": client(requester),
    });
    let understand = |more| with_changes(&session.fields, set, more, Session::MAX_FIELD_BYTES);
    let fields = ask(app, Hook::SignIn, data, "fields", understand).await?;
    Ok(Session { fields: fields.unwrap_or_else(|| session.fields.clone()), ..session })
}

#[derive(Serialize)]
struct NewPassword<'a> {
    password: &'a SecretString,
    email: &'a Email,
    name: &'a str,
}

/// `password.before`: whether this may be a password of that account. authd's own rules come first.
///
/// # Errors
/// `HookRefused`, `HookUnavailable`.
pub(super) async fn password(
    app: &Services,
    password: &SecretString,
    (email, name): (&Email, &str),
) -> Result<(), ServiceError> {
    let understand = |more: Map<String, Value>| match more.is_empty() {
        true => Ok(()),
        false => Err("nothing is added to a password".to_owned()),
    };
    ask(app, Hook::Password, NewPassword { password, email, name }, "fields", understand).await.map(drop)
}

/// `token.claims`: what the application adds to these claims. It takes the place of none.
///
/// # Errors
/// `HookRefused`, `HookUnavailable`.
pub(super) async fn claims(
    app: &Services,
    live: &Live,
    kind: &str,
    taken: &Value,
) -> Result<Map<String, Value>, ServiceError> {
    if !app.hooks.is_on(Hook::Claims) {
        return Ok(Map::new());
    }
    let data = json!({
        "user": user_json(app, &live.user),
        "session": {"id": live.session.id, "createdAt": live.session.created_at, "impersonatedBy": live.session.impersonation.as_ref().map(|i| &i.by)},
        "kind": kind,
    });
    let understand = |more: Map<String, Value>| {
        if let Some(name) = more.keys().find(|name| !is_free_claim(name) || taken.get(name.as_str()).is_some()) {
            return Err(format!("the claim '{}' is not the application's", common::text::printable(name)));
        }
        let bytes = Value::Object(more.clone()).to_string().len();
        match more.len() <= MAX_CLAIMS && bytes <= MAX_CLAIMS_BYTES {
            true => Ok(more),
            false => Err(format!("more than {MAX_CLAIMS} claims, or {MAX_CLAIMS_BYTES} bytes of them")),
        }
    };
    Ok(ask(app, Hook::Claims, data, "claims", understand).await?.unwrap_or_default())
}

/// What a hook said to a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Where it was called.
    pub target: String,
    /// Whether it allows what was asked.
    pub allows: bool,
    /// Its code and text, if it refuses.
    pub said: Option<String>,
}

/// Calls a hook with made-up values and `"test": true`, whatever its breaker says, and says how that went.
///
/// # Errors
/// `HookOff`; the inner error is why there is no answer, in words.
pub async fn test(app: &Services, hook: Hook, act: Act) -> Result<Result<Tested, String>, ServiceError> {
    let slot = app.hooks.slot(hook).ok_or(ServiceError::HookOff(hook))?;
    let (now, member) = (act.at, if hook == Hook::Claims { "claims" } else { "fields" });
    app.store.note_event(act, Event::new(EventKind::HookTested).with("hook", hook.as_str())).await?;
    let user = json!({
        "id": "test", "email": "test@example.com", "emailVerified": true, "name": "Test", "image": null,
        "role": "user", "banned": false, "createdAt": now, "updatedAt": now, "fields": {},
    });
    let client = json!({"ipAddress": "192.0.2.1", "userAgent": "authctl"});
    let data = match hook {
        Hook::SignUp => json!({
            "user": {"email": "test@example.com", "name": "Test", "username": null, "fields": {}}, "client": client,
        }),
        Hook::SignIn => json!({"user": user, "session": {"rememberMe": true, "fields": {}}, "client": client}),
        Hook::Claims => json!({
            "user": user, "session": {"id": "test", "createdAt": now, "impersonatedBy": null}, "kind": "access",
        }),
        Hook::Password => json!({"password": "a password for a test", "email": "test@example.com", "name": "Test"}),
    };
    let call = call_about(app, hook, data, true);
    let outcome = match slot.target.call(&call).await {
        Ok(answer) => read(&answer, member),
        Err(error) => Err(error.into()),
    };
    let target = slot.target.describe();
    Ok(match outcome {
        Ok(Said::Yes(_)) => Ok(Tested { target, allows: true, said: None }),
        Ok(Said::No { code, message }) => {
            let said = [code, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
            Ok(Tested { target, allows: false, said: Some(said).filter(|said| !said.is_empty()) })
        }
        Err(failure) => Err(format!("{target}: {failure}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Result<String, String> {
        let answer = Answered { status, body: body.as_bytes().to_vec() };
        match read(&answer, "fields") {
            Ok(Said::Yes(more)) => Ok(Value::Object(more).to_string()),
            Ok(Said::No { code, message }) => Ok(format!("{code:?} {message:?}")),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn answers_are_read_strictly() {
        assert_eq!(said(200, r#"{"allow":true}"#).unwrap(), "{}");
        assert_eq!(said(200, r#"{"allow":true,"fields":{"plan":"pro"}}"#).unwrap(), r#"{"plan":"pro"}"#);
        assert_eq!(said(200, r#"{"allow":false}"#).unwrap(), "None None");
        let refusal = r#"{"allow":false,"code":"NOT_INVITED","message":"By invitation only."}"#;
        assert_eq!(said(200, refusal).unwrap(), r#"Some("NOT_INVITED") Some("By invitation only.")"#);
        for (status, body) in [
            (200, ""),
            (200, "ok"),
            (200, "true"),
            (200, "[]"),
            (200, "{}"),
            (200, r#"{"allow":"true"}"#),
            (200, r#"{"allow":1}"#),
            (200, r#"{"allow":false,"allow":true}"#),
            (200, r#"{"allow":true,"code":"X"}"#),
            (200, r#"{"allow":false,"code":"x"}"#),
            (200, r#"{"allow":false,"message":"a\nb"}"#),
            (200, r#"{"allow":false,"fields":{}}"#),
            (200, r#"{"allow":true,"fields":[]}"#),
            (200, r#"{"allow":true,"role":"admin"}"#),
            (200, r#"{"allow":true} {"allow":true}"#),
            (201, r#"{"allow":true}"#),
            (204, ""),
            (403, r#"{"allow":false}"#),
            (500, r#"{"allow":true}"#),
        ] {
            assert!(said(status, body).is_err(), "{status} {body}");
        }
    }
}
