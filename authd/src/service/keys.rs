//! Signing keys: rotated, rolled back, revoked. The rules are the domain's; here a decision is made on one version of the
//! key set and written only if that is the version still.

use std::sync::Arc;

use common::{Kid, UnixTime};

use super::{ServiceError, Services};
use crate::{
    domain::{Act, Event, EventKind, KeySet, KeyState, SigningKey, key::KeyChange, key::KeyProblem},
    store::StoreError,
};

/// The keys as they are now.
pub fn current(app: &Services) -> Arc<KeySet> {
    app.store.keys()
}

/// How often a decision is made anew because somebody changed the keys meanwhile.
const ATTEMPTS: usize = 3;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Publish a new key, which signs after the configured time, or at once.
    Rotate {
        /// Do not wait until verifiers have seen it.
        at_once: bool,
    },
    /// Take the last rotation back.
    RollBack,
    /// Declare a key unusable.
    Revoke(String),
}

impl Step {
    /// What stands in the audit trail once it is done.
    pub const fn event(&self) -> EventKind {
        match self {
            Self::Rotate { .. } => EventKind::KeysRotated,
            Self::RollBack => EventKind::KeysRolledBack,
            Self::Revoke(_) => EventKind::KeyRevoked,
        }
    }
}

/// A change that was made, or would be.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The key that signs, now or next.
    pub key: SigningKey,
    /// Whether that key was made for this.
    pub is_new: bool,
    /// The one it takes over from.
    pub previous: Option<SigningKey>,
    /// When this was decided.
    pub at: UnixTime,
}

fn decide(
    app: &Services,
    set: &KeySet,
    step: &Step,
    fresh: SigningKey,
    now: UnixTime,
) -> Result<KeyChange, ServiceError> {
    let policy = &app.policy.keys;
    match step {
        Step::Rotate { at_once } => set.rotate(policy, fresh, *at_once, now),
        Step::RollBack => set.roll_back(policy, now),
        Step::Revoke(kid) => set.revoke(kid, fresh, now),
    }
    .map_err(ServiceError::Keys)
}

fn described(set: &KeySet, change: &KeyChange, now: UnixTime) -> Option<Changed> {
    let find = |kid: &Kid| change.put.iter().chain(&set.keys).find(|k| k.kid == *kid).cloned();
    let previous = change.previous.as_ref().and_then(find);
    let is_new = !set.keys.iter().any(|k| k.kid == change.key);
    Some(Changed { key: find(&change.key)?, is_new, previous, at: now })
}

/// Performs the step; or only says what it would do.
///
/// # Errors
/// `Keys`, with why it cannot be done now; `Signer`.
pub async fn perform(app: &Services, step: Step, preview: bool, mut act: Act) -> Result<Changed, ServiceError> {
    for _ in 0..ATTEMPTS {
        let now = app.clock.now();
        act.at = now;
        let set = app.store.keys();
        let fresh = generate(app, now).await?;
        let change = decide(app, &set, &step, fresh, now)?;
        let Some(changed) = described(&set, &change, now) else { return Err(ServiceError::Keys(KeyProblem::Unknown)) };
        if preview {
            return Ok(changed);
        }
        let event = match &step {
            Step::Rotate { at_once } => Event::new(step.event()).with("at_once", &at_once),
            Step::RollBack => Event::new(step.event()),
            Step::Revoke(kid) => Event::new(step.event()).with("revoked", &kid),
        };
        let event = event.with("kid", &change.key).with("signs_at", &changed.key.signs_at);
        match app.store.put_keys(set.version, change.put, act.clone(), event).await {
            Ok(()) => return Ok(changed),
            Err(StoreError::Stale) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(ServiceError::Contention)
}

/// Makes a key pair where it can take its time: RSA needs up to a second.
async fn generate(app: &Services, now: UnixTime) -> Result<SigningKey, ServiceError> {
    let (signer, algorithm, life) = (app.signer.clone(), app.policy.algorithm, app.policy.keys.token_life);
    let made = tokio::task::spawn_blocking(move || signer.generate(algorithm, life, now)).await;
    match made {
        Ok(key) => Ok(key?),
        Err(_) => Err(crate::ports::SignerError::Refused("make a key").into()),
    }
}

/// Lets the keys remember that tokens may live longer from now on. To be done before the first token is signed by the new
/// configuration.
///
/// # Errors
/// Those of the store.
pub async fn allow_longer_tokens(app: &Services) -> Result<(), ServiceError> {
    for _ in 0..ATTEMPTS {
        let now = app.clock.now();
        let set = app.store.keys();
        let longer = set.with_longer_tokens(&app.policy.keys, now);
        if longer.is_empty() {
            return Ok(());
        }
        let event = Event::new(EventKind::TokensLiveLonger).with("token_life", &app.policy.keys.token_life);
        match app.store.put_keys(set.version, longer, Act::by_daemon(now), event).await {
            Err(StoreError::Stale) => {}
            done => return Ok(done?),
        }
    }
    Err(ServiceError::Contention)
}

/// What falls due by itself: a rotation when the signing key is old, and the erasure of private halves whose keys have
/// left the set. Answers whether anything was done.
///
/// # Errors
/// As [`perform`].
pub async fn tend(app: &Services) -> Result<bool, ServiceError> {
    let now = app.clock.now();
    let act = Act::by_daemon(now);
    let set = app.store.keys();
    if set.signing(now).is_none() {
        // Nothing can be signed: after a clock was set right, most likely. Waiting helps nobody.
        perform(app, Step::Rotate { at_once: true }, false, act).await?;
        return Ok(true);
    }
    if set.rotation_due(&app.policy.keys, now) {
        perform(app, Step::Rotate { at_once: false }, false, act).await?;
        return Ok(true);
    }
    let dead = |key: &&SigningKey| key.state(now) == KeyState::Gone && !key.sealed.is_empty();
    let erased: Vec<SigningKey> =
        set.keys.iter().filter(dead).map(|key| SigningKey { sealed: [].into(), ..key.clone() }).collect();
    if erased.is_empty() {
        return Ok(false);
    }
    let kids: Vec<&str> = erased.iter().map(|key| key.kid.as_str()).collect();
    let event = Event::new(EventKind::KeyErased).with("kids", &kids.join(" "));
    match app.store.put_keys(set.version, erased, act, event).await {
        // Somebody else was first; the next round sees to the rest.
        Ok(()) | Err(StoreError::Stale) => Ok(true),
        Err(e) => Err(e.into()),
    }
}
