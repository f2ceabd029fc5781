//! Opening the store: the master key, the key of the commit log, what sled has not got, the other secrets, the writer. And
//! what to say where one of them does not fit.

use std::{io::ErrorKind, path::PathBuf, sync::Arc};

use common::UnixTime;
use nix::unistd::geteuid;
use tracing::warn;
use zeroize::Zeroizing;

use crate::{
    config::{Config, Mode},
    crypto::{
        mac::{HmacKey, derive},
        master::{self, MasterKey, MasterKeyError},
        seal::{MasterVault, Sealer},
        secret_file::lies_in,
    },
    datadir,
    domain::{Act, Event, EventKind},
    exit::{Exit, Failure},
    ports::{Entropy, Secrets, TokenSigner},
    store::{
        Meta, SealedSecret, StoreError,
        sled::{LOG_PURPOSE, LogError, OpenError, Opened, Opening, SledOptions, SledStore, kept_stores},
    },
};

pub(crate) async fn open_store(path: PathBuf, options: SledOptions) -> Result<Opening, Failure> {
    blocking(move || Opening::open(&path, options)).await
}

/// Looks at the store, or replays its log, where that can take its time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Failure::new(Exit::Io, format!("opening the store failed: {e}")))?.map_err(unopenable)
}

pub(crate) fn unopenable(e: OpenError) -> Failure {
    match e {
        OpenError::Log(LogError::Newer { ref path, .. }) => {
            let kept = path.ancestors().nth(2).map(kept_stores).and_then(|mut kept| kept.pop());
            let or = kept.map(|kept| format!("; or go back to the store as it was before, {}", kept.display()));
            let fix = format!("install the authd that wrote it, or a newer one{}", or.unwrap_or_default());
            Failure::new(Exit::Configuration, e.to_string()).fix(fix)
        }
        OpenError::Newer { .. } => {
            Failure::new(Exit::Configuration, e.to_string()).fix("install the authd that wrote it, or a newer one")
        }
        OpenError::Io(path, e) | OpenError::Log(LogError::Io { path, source: e })
            if e.kind() == ErrorKind::PermissionDenied =>
        {
            let message = format!("{} cannot be used: {e}", path.display());
            Failure::new(Exit::Permission, message).fix(format!("give it to the user of authd (uid {})", geteuid()))
        }
        OpenError::Io(path, e) | OpenError::Log(LogError::Io { path, source: e }) => {
            let message = format!("{} cannot be read or written: {e}", path.display());
            Failure::new(Exit::Io, message).fix("look after the file system; nothing was changed")
        }
        OpenError::Store(e) => unusable(&e),
        OpenError::Log(LogError::Missing(_)) => Failure::new(Exit::Io, e.to_string())
            .fix("bring back the commit log that belongs to this store, or restore a backup; nothing was changed"),
        OpenError::Sled { ref path, .. } => {
            let fix = format!(
                "look after the file system; if it is sound, authd store rebuild makes {} anew from the commit log",
                path.display()
            );
            Failure::new(Exit::Io, e.to_string()).fix(fix)
        }
        OpenError::Log(LogError::Damaged { ref path, .. }) if path.extension().is_some_and(|e| e == "snapshot") => {
            Failure::new(Exit::Io, e.to_string())
                .fix("restore a backup; or, if sled is sound, authd store snapshot --unverified makes a new one from it; nothing was changed")
        }
        OpenError::Log(LogError::Damaged { .. } | LogError::Apart { .. }) => {
            Failure::new(Exit::Io, e.to_string()).fix(RESTORE)
        }
    }
}

/// Where nothing else helps.
const RESTORE: &str = "restore a backup; nothing was changed";

pub(crate) fn unusable(e: &StoreError) -> Failure {
    let failure = Failure::new(Exit::Io, format!("the store cannot be used: {e}"));
    match e {
        StoreError::Full => {
            failure.fix("make room on its file system (store.reserve says how much), and start authd again")
        }
        StoreError::Damaged(_) => failure.fix(RESTORE),
        _ => failure.fix("look after the file system and the log; nothing was changed"),
    }
}

/// The master key. It is made only while the store is empty, and only in development; a key that does not fit the store
/// is refused by its fingerprint before anything is opened with it.
pub(crate) fn master_key(
    config: &Config,
    opening: &Opening,
    entropy: &dyn Entropy,
) -> Result<(MasterKey, bool), Failure> {
    let places = &config.places;
    let path = &places.master_key;
    let known = opening.fingerprints().map_err(unopenable)?;
    if !places.is_credential && lies_in(path, &places.data_dir) {
        let message =
            format!("the master key {} lies in the data directory {}", path.display(), places.data_dir.display());
        return Err(Failure::new(Exit::Configuration, message)
            .fix("move it out: a copy of the data must not be a copy of the key"));
    }
    let key = match master::load(path, places.is_credential) {
        Ok(key) => key,
        Err(MasterKeyError::Missing(_)) if opening.is_new() && config.mode == Mode::Development => {
            if let Some(dir) = path.parent() {
                datadir::make_private(dir)?;
            }
            let made = master::create(path, entropy).map_err(|e| Failure::new(Exit::CannotCreate, e.to_string()))?;
            return Ok((made, true));
        }
        Err(e @ MasterKeyError::Missing(_)) => {
            let failure = Failure::new(Exit::Configuration, e.to_string());
            return Err(match opening.is_new() {
                true => failure.fix("authd init"),
                false => failure.fix(format!("bring back the key with the fingerprint {}", known.join(" or "))),
            });
        }
        Err(e) => return Err(Failure::new(Exit::Configuration, e.to_string())),
    };
    let fingerprint = Sealer::new(key.expose()).fingerprint().to_owned();
    match opening.is_new() || known.contains(&fingerprint) {
        true => Ok((key, false)),
        false => Err(other_master_key(config, &fingerprint, &known.join(" or "))),
    }
}

fn other_master_key(config: &Config, fingerprint: &str, known: &str) -> Failure {
    let Config { places, .. } = config;
    let (path, data) = (places.master_key.display(), places.data_dir.display());
    let message = format!(
        "the master key {path} has the fingerprint {fingerprint}, and the store in {data} was made with {known}"
    );
    Failure::new(Exit::Configuration, message).fix("bring back the master key that belongs to this store")
}

/// The purposes of the sealed secrets.
const COOKIE: &str = "cookie";
const REFRESH: &str = "refresh";
const AUDIT: &str = "audit";
/// A purpose without a secret of its own: its key is derived from the one of cookies, so a store that was made before there
/// were device cookies needs nothing new.
const DEVICE: &str = "device";
/// As [`DEVICE`].
const LINK: &str = "mail-link";
/// As [`DEVICE`].
const COPIES: &str = "cookie-cache";

fn mac_of(secret: &[u8], purpose: &str) -> Arc<HmacKey> {
    Arc::new(HmacKey::new(&*derive(secret, &format!("authd {purpose} mac v1"))))
}

/// The key for a purpose, from a secret that may be kept for another.
fn open_secret(vault: &MasterVault, secret: &SealedSecret, key_for: &str) -> Result<Arc<HmacKey>, Failure> {
    let opened = vault.open(&secret.purpose, &secret.id, &secret.sealed);
    let plain = opened.map_err(|_| {
        let message = format!("the secret '{}' of the store does not open with the master key", secret.purpose);
        Failure::new(Exit::Io, message).fix(RESTORE)
    })?;
    Ok(mac_of(&plain, key_for))
}

fn no_log_key(fingerprint: &str) -> Failure {
    let message = format!("the key of the commit log, log/key-{fingerprint}, is not there");
    Failure::new(Exit::Io, message).fix(RESTORE)
}

/// The key of the commit log of a store that has one, opened with this master key.
///
/// # Errors
/// It is not there, or does not open.
pub(crate) fn log_key(
    opening: &Opening,
    master: &MasterKey,
    entropy: &Arc<dyn Entropy>,
) -> Result<Arc<HmacKey>, Failure> {
    let sealer = Sealer::new(master.expose());
    let fingerprint = sealer.fingerprint().to_owned();
    let vault = MasterVault::new(sealer, entropy.clone());
    let sealed = opening.log_key(&fingerprint).map_err(unopenable)?.ok_or_else(|| no_log_key(&fingerprint))?;
    open_secret(&vault, &sealed, &sealed.purpose)
}

/// Opens the secrets, or makes them while the store is empty, and starts the writer.
pub(crate) async fn bring_up(
    config: &Config,
    opening: Opening,
    vault: &MasterVault,
    fingerprint: String,
    signer: &Arc<dyn TokenSigner>,
    entropy: &Arc<dyn Entropy>,
    now: UnixTime,
) -> Result<(SledStore, Secrets, Arc<HmacKey>), Failure> {
    let make = |purpose: &str| {
        let mut secret = Zeroizing::new([0; 32]);
        entropy.fill(secret.as_mut());
        let sealed = vault.seal(purpose, "1", secret.as_ref());
        let sealed = sealed.map_err(|e| Failure::new(Exit::Software, e.to_string()))?;
        Ok::<_, Failure>(SealedSecret { purpose: purpose.into(), id: "1".into(), sealed, created_at: now })
    };
    let log_key = match opening.log_key(&fingerprint).map_err(unopenable)? {
        Some(key) => key,
        None if opening.is_new() => {
            let key = make(LOG_PURPOSE)?;
            opening.put_log_key(&fingerprint, &key).map_err(unopenable)?;
            key
        }
        None => return Err(no_log_key(&fingerprint)),
    };
    let log_mac = open_secret(vault, &log_key, &log_key.purpose)?;
    let opened: Opened = blocking(move || opening.replay(log_mac)).await?;
    let meta = opened.meta().map_err(|e| unusable(&e))?;
    // The log may have brought another master key into force than sled knew of.
    if let Some(meta) = meta.as_ref().filter(|meta| meta.fingerprint != fingerprint) {
        return Err(other_master_key(config, &fingerprint, &meta.fingerprint));
    }
    let is_new = meta.is_none();
    let sealed = match is_new {
        true => [COOKIE, REFRESH, AUDIT].into_iter().map(make).chain([Ok(log_key)]).collect::<Result<_, _>>()?,
        false => opened.secrets().map_err(|e| unusable(&e))?,
    };
    opened.keep_only_log_key(&fingerprint).map_err(unopenable)?;
    let open = |purpose: &str, key_for: &str| {
        let missing = || Failure::new(Exit::Io, format!("the store has no secret '{purpose}'")).fix(RESTORE);
        let secret = sealed.iter().rev().find(|secret| secret.purpose == purpose).ok_or_else(missing)?;
        open_secret(vault, secret, key_for)
    };
    let cookie = open(COOKIE, COOKIE)?;
    let secrets = Secrets {
        cookie: cookie.clone(),
        refresh: open(REFRESH, REFRESH)?,
        device: open(COOKIE, DEVICE)?,
        link: open(COOKIE, LINK)?,
        copies: open(COOKIE, COPIES)?,
    };
    let store = opened.start(open(AUDIT, AUDIT)?).map_err(|e| Failure::new(Exit::Io, e.to_string()))?;
    if is_new {
        let key = signer
            .generate(config.settings.keys.algorithm, config.settings.token.expires_in, now)
            .map_err(|e| Failure::new(Exit::System, format!("no signing key could be made: {e}")))?;
        let act = Act::by_daemon(now);
        let event = Event::new(EventKind::StoreCreated).with("kid", &key.kid).with("master_key", &fingerprint);
        let meta = Meta { fingerprint, created_at: now };
        store.initialise(meta, sealed, key, act, event).await.map_err(|e| unusable(&e))?;
        if config.mode == Mode::Production {
            // The first start, or else everything is gone: whoever reads the log knows which.
            warn!(
                "an empty store was made in {}: if there was one before, stop authd and bring that one, or a backup, back",
                config.places.data_dir.display()
            );
        }
    }
    Ok((store, secrets, cookie))
}
