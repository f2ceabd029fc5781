//! The master key: changed while the daemon runs, in one change of the store.

use std::sync::Arc;

use common::SecretString;

use super::{ServiceError, Services};
use crate::{
    domain::{Act, Event, EventKind, KeySet, SigningKey},
    ports::{MasterKeyChange, VaultError},
    store::{Rewrap, SealedSecret, StoreError},
};

/// What was sealed anew, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// The fingerprint of the key that opens the store no more.
    pub from: String,
    /// The fingerprint of the key that opens it now.
    pub to: String,
    /// How many signing keys.
    pub keys: usize,
    /// How many other secrets.
    pub secrets: usize,
}

/// How often everything is sealed anew because somebody changed the keys meanwhile.
const ATTEMPTS: usize = 5;

/// Seals everything under the master key of this line, the text of a file that `authd new-master-key` made; or only looks
/// whether that can be done.
///
/// # Errors
/// `NotAMasterKey`, `SameMasterKey`; `Sealed` if something does not open; `Busy` while another change is under way.
pub async fn rewrap(
    app: Arc<Services>,
    line: SecretString,
    preview: bool,
    act: Act,
) -> Result<Rewrapped, ServiceError> {
    // On a task of its own: a caller that hangs up between the commit and `done` would leave the daemon with a key that
    // the store does not have any more.
    let done = tokio::spawn(async move { whole(&app, &line, preview, act).await }).await;
    done.unwrap_or_else(|e| Err(StoreError::Unavailable(format!("the rewrap broke off: {e}").into()).into()))
}

async fn whole(app: &Services, line: &SecretString, preview: bool, mut act: Act) -> Result<Rewrapped, ServiceError> {
    let change = app.vault.clone().change(line)?;
    for _ in 0..ATTEMPTS {
        act.at = app.clock.now();
        let set = app.store.keys();
        let rewrap = sealed_anew(&*change, &set, &app.store.secrets().await?)?;
        let rewrapped = Rewrapped {
            from: rewrap.from.clone(),
            to: rewrap.to.clone(),
            keys: rewrap.keys.len(),
            secrets: rewrap.secrets.len(),
        };
        if preview {
            return Ok(rewrapped);
        }
        let event = Event::new(EventKind::KeysRewrapped).with("from", change.from()).with("to", change.to());
        match app.store.rewrap(set.version, rewrap, act.clone(), event).await {
            Ok(()) => {
                change.done();
                return Ok(rewrapped);
            }
            Err(StoreError::Stale) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(ServiceError::Contention)
}

fn sealed_anew(change: &dyn MasterKeyChange, set: &KeySet, secrets: &[SealedSecret]) -> Result<Rewrap, VaultError> {
    let kept = |key: &&SigningKey| !key.sealed.is_empty();
    let keys = set.keys.iter().filter(kept).map(|key| change.signing_key(key)).collect::<Result<_, _>>()?;
    let secret = |old: &SealedSecret| {
        let sealed = change.secret(&old.purpose, &old.id, &old.sealed)?;
        Ok::<_, VaultError>(SealedSecret { sealed, ..old.clone() })
    };
    let secrets = secrets.iter().map(secret).collect::<Result<_, _>>()?;
    Ok(Rewrap { from: change.from().into(), to: change.to().into(), keys, secrets })
}
