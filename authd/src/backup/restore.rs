//! `authd restore` and its relatives: work on a backup without a daemon. A store is made in a directory that gets its name when
//! all of it is done; what must not come back does not: sessions, refresh tokens, links, mails, signing keys. Where the log of
//! the store before is still there, what happened to accounts in later times is brought over from it (`bringing.rs`).

use std::{
    fmt::Write as _,
    fs::{DirBuilder, File},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use common::{SecretString, ServiceName, UnixTime, admin::RecipientMade, text::bytes};
use nix::{
    fcntl::{Flock, FlockArg, OFlag},
    unistd::{geteuid, getpid},
};

use tokio::time::Instant;

use super::{
    Told,
    bringing::{Brought, bring_over, by_who_restores, revoke_services},
    file::{Content, Opening, told},
    shelf::open_plain,
};
use crate::{
    app::store_options,
    config::Config,
    crypto::{
        age::{Identity, Key},
        entropy::SystemEntropy,
        jwt::Jwt,
        master::{self, MasterKeyError},
        seal::{MasterVault, Sealer},
        secret_file,
    },
    domain::{Act, Event, EventKind, SigningKey},
    exit::{Exit, Failure},
    files::create_whole,
    opening::{bring_up, open_store, unopenable, unusable},
    ports::{BackupError, Entropy, Mac, TokenSigner},
    store::{
        ServiceTokens, Store, StoreError,
        sled::{self, After, Copied, SledOptions, SledStore, copy_into},
    },
};

/// What opens a backup, and what else is known.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The backup.
    pub file: PathBuf,
    /// The file of a recovery identity; else the configured master key opens it.
    pub identity: Option<PathBuf>,
    /// Only a backup of the store with this master key is taken.
    pub fingerprint: Option<String>,
    /// The data directory of the store before, as far as there is something left of it.
    pub old_data: Option<PathBuf>,
}

fn refused(wanted: &Wanted, e: BackupError) -> Failure {
    let shown = wanted.file.display();
    match e {
        BackupError::Io(e) => Failure::new(Exit::Io, format!("{shown} cannot be read: {e}")),
        e => Failure::new(Exit::Io, format!("{shown} is refused: {e}")).fix("take another backup; nothing was changed"),
    }
}

fn identity(path: &Path) -> Result<Identity, Failure> {
    let text = secret_file::read(path, false).map_err(|e| Failure::new(Exit::Configuration, e.to_string()))?;
    text.and_then(|text| Identity::parse(&text).ok()).ok_or_else(|| {
        Failure::new(Exit::Configuration, format!("{} is not an identity of age", path.display()))
            .fix("authctl backup recipient new FILE makes one")
    })
}

/// Opens the backup, by the identity or the configured master key.
fn open(config: &Config, wanted: &Wanted) -> Result<Opening, Failure> {
    let file = open_plain(&wanted.file, OFlag::O_NONBLOCK | OFlag::O_NOCTTY);
    let file = file.map_err(|e| refused(wanted, e.into()))?;
    let opening = match &wanted.identity {
        Some(path) => Opening::open(file, &wanted.file, &Key::Identity(&identity(path)?)),
        None => {
            let key = master::load(&config.places.master_key, config.places.is_credential).map_err(|e| {
                Failure::new(Exit::Configuration, e.to_string()).fix("open it by an identity: --identity FILE")
            })?;
            Opening::open(file, &wanted.file, &Key::Master(&Sealer::new(key.expose())))
        }
    };
    let opening = opening.map_err(|e| refused(wanted, e))?;
    if let Some(fingerprint) = wanted.fingerprint.as_ref().filter(|wanted| **wanted != opening.content.fingerprint) {
        let message = format!(
            "{} is a backup of the store with the master key {}, and not {fingerprint}",
            wanted.file.display(),
            opening.content.fingerprint
        );
        return Err(Failure::new(Exit::Io, message)
            .fix("whoever knows the recipient can make a file that looks like a backup: do not use this one"));
    }
    Ok(opening)
}

/// Reads a backup to its end, and says what is in it.
///
/// # Errors
/// It is not whole, or does not open.
pub fn verify(config: &Config, wanted: &Wanted) -> Result<Told, Failure> {
    let found = open(config, wanted)?.verify().map_err(|e| refused(wanted, e))?;
    let size = wanted.file.metadata().map_or(0, |meta| meta.len());
    let found = found.view(wanted.file.display().to_string(), size);
    let recovery = match found.recoverable {
        true => "inside, for the recovery recipients",
        false => "not inside: without it this file opens for nobody",
    };
    let text = format!(
        "whole       every byte was read: {}, {} entries\nmade        {}, sequence {}\nhas         {} users, {} sessions (a restore ends them)\nmaster key  {}; {recovery}\n",
        bytes(size),
        found.entries,
        found.made_at,
        found.sequence,
        found.users,
        found.sessions,
        found.fingerprint
    );
    Ok(Told::new(text, &found))
}

/// Makes an identity in a file that must not exist. Answers what to do with it.
///
/// # Errors
/// It cannot be written.
pub fn new_identity(path: &Path) -> Result<Told, Failure> {
    let entropy = SystemEntropy::default();
    let made = Identity::generate(&entropy);
    create_whole(path, 0o600, made.file().expose().as_bytes(), &entropy)
        .map_err(|e| Failure::new(Exit::CannotCreate, format!("{} cannot be made: {e}", path.display())))?;
    let made = RecipientMade { recipient: made.recipient().to_string(), file: path.display().to_string() };
    Ok(Told::new(format!("{}\n", made.recipient), &made))
}

/// How long sled's threads may hold its files after it was closed.
const LETS_GO: Duration = Duration::from_secs(10);

/// A directory in the making. Dropped before it has its name, it is removed.
pub(super) struct Unborn {
    path: PathBuf,
    is_named: bool,
}

impl Unborn {
    /// Beside the place that it will have.
    fn beside(target: &Path) -> Result<Self, Failure> {
        let refuse = |path: &Path, e: std::io::Error| {
            Failure::new(Exit::CannotCreate, format!("{} cannot be made: {e}", path.display()))
        };
        match std::fs::read_dir(target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    let message =
                        format!("{} is not empty, and a restore never changes what is there", target.display());
                    return Err(Failure::new(Exit::Configuration, message)
                        .fix("move it away, or restore into a new place: --data-dir DIR"));
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(refuse(target, e)),
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.restored-{}", getpid()));
        DirBuilder::new().mode(0o700).create(&path).map_err(|e| refuse(&path, e))?;
        Ok(Self { path, is_named: false })
    }

    /// Gives it its name, in the place of an empty directory if there is one.
    fn name(mut self, target: &Path) -> Result<(), Failure> {
        let parent = target.parent().unwrap_or(Path::new("/"));
        let named = std::fs::rename(&self.path, target).and_then(|()| File::open(parent)?.sync_all());
        named.map_err(|e| Failure::new(Exit::CannotCreate, format!("{} cannot be made: {e}", target.display())))?;
        self.is_named = true;
        Ok(())
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if !self.is_named {
            // Half a store is of no use to anybody.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Puts the master key where the configuration says, if it is not there.
fn place_master_key(config: &Config, line: Option<&SecretString>, fingerprint: &str) -> Result<bool, Failure> {
    let path = &config.places.master_key;
    let found = master::load(path, config.places.is_credential);
    match found.map(|key| Sealer::new(key.expose())) {
        Ok(there) if there.fingerprint() == fingerprint => Ok(false),
        Ok(_) => {
            Err(Failure::new(Exit::Configuration, format!("{} is the master key of another store", path.display()))
                .fix("move it away: the backup brings its own"))
        }
        Err(MasterKeyError::Missing(_)) => {
            let missing = || Failure::new(Exit::Configuration, format!("there is no master key at {}", path.display()));
            let line = line.ok_or_else(missing)?;
            if let Some(dir) = path.parent() {
                crate::datadir::make_private(dir)?;
            }
            create_whole(path, 0o600, line.expose().as_bytes(), &SystemEntropy::default())
                .map_err(|e| Failure::new(Exit::CannotCreate, format!("{} cannot be made: {e}", path.display())))?;
            Ok(true)
        }
        Err(e) => Err(Failure::new(Exit::Configuration, e.to_string())),
    }
}

/// What was restored.
pub(super) struct Restored {
    pub content: Content,
    pub copied: Copied,
    pub after: Option<Brought>,
    /// Services whose tokens are none any more.
    pub revoked: Vec<ServiceName>,
    pub made_master_key: bool,
}

/// Makes the store of the configuration's data directory from a backup. Answers what there is, for people.
///
/// # Errors
/// The backup is not right, there is something in the data directory already, or it cannot be written. Then nothing was changed.
pub fn restore(config: &Config, wanted: &Wanted, now: UnixTime) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(Exit::System, format!("no threads: {e}")))?;
    let restored = runtime.block_on(make(config, wanted, now))?;
    Ok(report(config, &restored))
}

pub(super) async fn make(config: &Config, wanted: &Wanted, now: UnixTime) -> Result<Restored, Failure> {
    let target = &config.places.data_dir;
    let opening = open(config, wanted)?;
    let unborn = Unborn::beside(target)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
    let mut mac = [0; 32];
    entropy.fill(&mut mac);
    let Opening { content, master, sealer, log_key, sealed_log_key, snapshot, path } = opening;
    let log_mac = log_key.clone();
    let store_path = unborn.path.join("sled");
    let copied = {
        let (store_path, name) = (store_path.clone(), path.clone());
        let (fingerprint, beginning) = (content.fingerprint.clone(), (content.store_format, mac));
        let copy =
            move || copy_into(&store_path, snapshot, &name, (&log_key, &sealed_log_key), &fingerprint, beginning);
        let done = tokio::task::spawn_blocking(copy).await;
        let done = done.map_err(|e| Failure::new(Exit::Software, e.to_string()))?;
        done.map_err(|e| refused(wanted, told(e)))?
    };
    let made_master_key = place_master_key(config, master.as_ref(), &content.fingerprint)?;
    let after = match &wanted.old_data {
        Some(old) => Some(compare(config, &store_path, old.join("log"), content.sequence, log_mac).await?),
        None => None,
    };
    let vault = Arc::new(MasterVault::new(sealer, entropy.clone()));
    let signer: Arc<dyn TokenSigner> = Arc::new(Jwt::new(vault.clone()));
    let opening = open_store(store_path.clone(), store_options(config, SledOptions::default())).await?;
    let (store, ..) = bring_up(config, opening, &vault, content.fingerprint.clone(), &signer, &entropy, now).await?;
    let act = by_who_restores(now);
    let revoked = match &after {
        Some(after) if after.reaches_back && after.broken.is_none() => after.revoked_services.clone(),
        // Any of them may have been revoked since.
        _ => store.service_tokens().await.map_err(|e| unusable(&e))?.into_iter().map(|token| token.name).collect(),
    };
    revoke_services(&store, &revoked, &act).await.map_err(|e| unusable(&e))?;
    let after = match after {
        Some(after) => Some(bring_over(&store, after, &act).await.map_err(|e| unusable(&e))?),
        None => None,
    };
    replace_keys(config, &store, &*signer, (&content, &copied), act).await?;
    drop(store);
    until_closed(&store_path).map_err(|e| unusable(&StoreError::Unavailable(e.to_string().into())))?;
    unborn.name(target)?;
    Ok(Restored { content, copied, after, revoked, made_master_key })
}

/// sled's threads hold its files for a moment after it was closed.
fn until_closed(store: &Path) -> std::io::Result<()> {
    let began = Instant::now();
    loop {
        match Flock::lock(File::open(store.join("db"))?, FlockArg::LockExclusiveNonblock) {
            Ok(_) => return Ok(()),
            Err((_, e)) if began.elapsed() > LETS_GO => return Err(e.into()),
            Err(_) => std::thread::yield_now(),
        }
    }
}

async fn compare(config: &Config, store: &Path, old: PathBuf, since: u64, key: Arc<dyn Mac>) -> Result<After, Failure> {
    let options = store_options(config, SledOptions::default());
    let store = store.to_owned();
    let work = move || {
        let opened = sled::Opening::open(&store, options)?.replay(key)?;
        let after = opened.compare_with_later(&old, since)?;
        opened.close().map(|()| after)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Failure::new(Exit::Software, e.to_string()))?.map_err(unopenable)
}

/// A new signing key, and none of those before: any of them may have been revoked since.
async fn replace_keys(
    config: &Config,
    store: &SledStore,
    signer: &dyn TokenSigner,
    (content, copied): (&Content, &Copied),
    act: Act,
) -> Result<(), Failure> {
    let now = act.at;
    let set = store.keys();
    let fresh = signer.generate(config.settings.keys.algorithm, config.settings.token.expires_in, now);
    let fresh = fresh.map_err(|e| Failure::new(Exit::System, format!("no signing key could be made: {e}")))?;
    let event = Event::new(EventKind::StoreRestored)
        .with("made_at", &content.made_at)
        .with("sequence", &content.sequence)
        .with("sessions", &copied.sessions)
        .with("kid", &fresh.kid);
    let revoked = set.keys.iter().filter(|key| key.revoked_at.is_none());
    let revoked = revoked.map(|key| SigningKey { revoked_at: Some(now), sealed: Arc::from([]), ..key.clone() });
    let keys = revoked.chain([fresh]).collect();
    store.put_keys(set.version, keys, act, event).await.map_err(|e| unusable(&e))
}

fn report(config: &Config, restored: &Restored) -> String {
    let Restored { content, copied, after, revoked, made_master_key } = restored;
    let target = config.places.data_dir.display();
    let mut text = format!(
        "restored    {target}: {} users, everything up to {}, sequence {}\nended       all sessions ({}), with their refresh tokens; links in mails, and mails that waited\nreplaced    all signing keys by a new one: whoever verifies tokens fetches the key set anew\n",
        copied.users, content.made_at, content.sequence, copied.sessions
    );
    if !revoked.is_empty() {
        let names: Vec<&str> = revoked.iter().map(ServiceName::as_str).collect();
        let _ = writeln!(
            text,
            "revoked     {} service tokens, make new ones (authctl token service create): {}",
            names.len(),
            names.join(" ")
        );
    }
    if *made_master_key {
        let _ = writeln!(text, "master key  written to {}", config.places.master_key.display());
    }
    match after {
        None => {
            let _ = writeln!(
                text,
                "not in it   what happened after {}: accounts that were made since; accounts that were deleted, disabled, or given another address, name, role or \
                 password since are as they were; what was erased from the audit trail is there again. Look for 'an operator acted' in the host's log since then; if the log directory of the store before is \
                 there, restore again with --old-data DIR",
                content.made_at
            );
        }
        Some(brought) => text += &brought.report(content.sequence),
    }
    if geteuid().is_root() {
        let _ = writeln!(text, "next        give it to the user of authd: chown -R authd:authd {target}");
    }
    text
}
