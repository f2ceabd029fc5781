//! Opening the store in three steps, because its secrets are sealed inside it: look at what is there; with the key of the
//! commit log bring sled up to it; with the key of the audit trail start the writer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tracing::warn;

use super::{
    SledStore, audit,
    cache::HotCache,
    checkpoint::{Checkpoints, Progress},
    codec::{Number, SCHEMA},
    disk::{self, Device, Disk, Syncs},
    intents::META,
    keys, load_keys,
    log::{self, Found, Keys, Log, LogError, Mark, Position},
    read, secrets,
    writer::{Ground, Writer},
};
use crate::{
    ports::Mac,
    store::{Meta, SealedSecret, StoreError},
};

/// How the store uses the machine.
#[derive(Debug, Clone, Copy)]
pub struct SledOptions {
    /// Memory for caches, in bytes: half for sled's pages, half for hot sessions and users. Plan twice as much resident.
    pub cache_bytes: u64,
    /// Free space below which nothing is written, in bytes.
    pub reserve_bytes: u64,
    /// How large a segment of the commit log becomes, in bytes: large enough that beginning one is rare, small enough to be
    /// read whole when the store is opened.
    pub segment_bytes: u64,
    /// How often sled is brought up to the commit log on disk: so much of the log is replayed after a power cut.
    pub checkpoint_every: Duration,
    /// Faults on purpose, by which the tests show that they would find them. Release builds have no way to ask for one.
    #[cfg(debug_assertions)]
    pub faults: Faults,
}

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Answers go out before the commit point, and the commit waits for whoever comes next.
    pub answers_too_early: bool,
    /// The writer panics instead of committing this group, counted from one. Zero is never.
    pub panics_at_group: u64,
    /// The commit log is not synced.
    pub skips_log_sync: bool,
    /// A replay leaves its first intent out.
    pub replay_skips_one: bool,
}

impl SledOptions {
    /// None in a release build.
    pub(super) fn faults(&self) -> Faults {
        #[cfg(debug_assertions)]
        return self.faults;
        #[cfg(not(debug_assertions))]
        return Faults::default();
    }
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            reserve_bytes: disk::RESERVE_BYTES,
            segment_bytes: 64 << 20,
            checkpoint_every: Duration::from_secs(5),
            #[cfg(debug_assertions)]
            faults: Faults::default(),
        }
    }
}

/// Why a store cannot be opened. Nothing is repaired, nothing is deleted.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// sled refused or panicked.
    #[error("the store in {path} cannot be opened: {problem}")]
    Sled {
        /// sled's directory.
        path: PathBuf,
        /// What it said.
        problem: String,
    },
    /// It was written by a newer authd.
    #[error("the store in {path} has schema {found}, and this authd knows up to {known}")]
    Newer {
        /// sled's directory.
        path: PathBuf,
        /// In the store.
        found: u64,
        /// Of this program.
        known: u32,
    },
    /// Its commit log is not taken.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// Its files cannot be synced.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
}

impl OpenError {
    /// With sled's directory.
    fn at(self, directory: &Path) -> Self {
        match self {
            Self::Sled { problem, .. } => Self::Sled { path: directory.into(), problem },
            other => other,
        }
    }
}

impl From<StoreError> for OpenError {
    /// While the store is opened nothing but sled makes it unavailable.
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Unavailable(problem) => Self::Sled { path: "sled".into(), problem: problem.to_string() },
            other => Self::Store(other),
        }
    }
}

/// A store that was looked at: sled may be behind the commit log, whose key is not known yet.
pub struct Opening {
    db: sled::Db,
    disk: Disk,
    found: Found,
    log_keys: Keys,
    path: PathBuf,
    options: SledOptions,
    syncs: Arc<dyn Syncs>,
}

/// A store that is what its commit log says, and does not write yet: the key of the audit trail is sealed inside it.
pub struct Opened {
    pub(super) db: sled::Db,
    disk: Disk,
    log: Log,
    log_keys: Keys,
    mark: Mark,
    path: PathBuf,
    options: SledOptions,
}

/// Where the commit log of the store in `path` is: beside it.
fn log_directory(path: &Path) -> PathBuf {
    path.with_file_name("log")
}

/// Lets the store be made anew from its log, which has everything. What sled had is kept until the next time.
fn set_aside(path: &Path, syncs: &dyn Syncs) -> std::io::Result<()> {
    if !path.try_exists()? {
        return Ok(());
    }
    let aside = path.with_extension("aside");
    warn!(sled = %path.display(), aside = %aside.display(), "the machine went down while the store was open: it is made anew from its commit log");
    if aside.try_exists()? {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(path, &aside)?;
    path.parent().map_or(Ok(()), |parent| syncs.names(parent))
}

impl Opening {
    /// Opens or makes the store under `path`, which must be in a directory of its own, and looks at the commit log beside
    /// it, `log`.
    ///
    /// # Errors
    /// sled's refusal, and its panics, which some damage brings about; a schema newer than ours; a log that has holes or is
    /// not there.
    pub fn open(path: &Path, options: SledOptions) -> Result<Self, OpenError> {
        Self::open_with(path, options, Arc::new(Device)).map_err(|e| e.at(path))
    }

    pub(super) fn open_with(path: &Path, options: SledOptions, syncs: Arc<dyn Syncs>) -> Result<Self, OpenError> {
        let refuse = |problem: String| OpenError::Sled { path: path.into(), problem };
        let found = Found::look(&log_directory(path))?;
        let mark = Mark::new(log_directory(path), syncs.clone());
        let io = |e| OpenError::Io(path.into(), e);
        if found.is_complete() && mark.machine_went_down().map_err(io)? {
            set_aside(path, &*syncs).map_err(io)?;
        }
        disk::clear_unfinished(path).map_err(io)?;
        let config = sled::Config::new()
            .path(path)
            .mode(sled::Mode::LowSpace)
            .cache_capacity((options.cache_bytes / 2).max(1 << 20))
            .flush_every_ms(Some(500))
            .use_compression(false);
        let db = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| refuse("sled panicked; the files are damaged".into()))?
            .map_err(|e| refuse(e.to_string()))?;
        let disk = Disk::settle(path, options.reserve_bytes, syncs.clone());
        let disk = disk.map_err(|e| OpenError::Io(path.into(), e))?;
        let log_keys = Keys::new(log_directory(path), syncs.clone());
        let opening = Self { db, disk, found, log_keys, path: path.into(), options, syncs };
        opening.check_schema()?;
        let without_log = !opening.db.is_empty() && read::<Position>(&opening.db, &keys::meta(log::APPLIED))?.is_none();
        if without_log {
            return Err(LogError::Missing(opening.found.directory().into()).into());
        }
        Ok(opening)
    }

    fn check_schema(&self) -> Result<(), OpenError> {
        match read(&self.db, &keys::meta("schema"))? {
            Some(Number(found)) if found > u64::from(SCHEMA) => {
                Err(OpenError::Newer { path: self.path.clone(), found, known: SCHEMA })
            }
            _ => Ok(()),
        }
    }

    /// Whether nothing was ever stored.
    pub fn is_new(&self) -> bool {
        self.found.is_blank() && self.db.is_empty()
    }

    /// The fingerprints of the master keys with which the store opens: one, or two while it is being changed.
    ///
    /// # Errors
    /// The directory cannot be read, a record is damaged.
    pub fn fingerprints(&self) -> Result<Vec<String>, OpenError> {
        let found = self.log_keys.list()?;
        let meta: Option<Meta> = read(&self.db, &keys::meta(META))?;
        Ok(if found.is_empty() { meta.into_iter().map(|meta| meta.fingerprint).collect() } else { found })
    }

    /// The key of the commit log, sealed under the master key with this fingerprint.
    ///
    /// # Errors
    /// It is damaged.
    pub fn log_key(&self, fingerprint: &str) -> Result<Option<SealedSecret>, OpenError> {
        Ok(self.log_keys.read(fingerprint)?)
    }

    /// Writes the key of a new store's commit log down, before anything is stored.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_log_key(&self, fingerprint: &str, key: &SealedSecret) -> Result<(), OpenError> {
        Ok(self.log_keys.put(fingerprint, key)?)
    }

    /// Checks the commit log and gives sled what it has not got.
    ///
    /// # Errors
    /// The log is damaged, was written with another key, or does not belong to what sled has. Then nothing was changed.
    pub fn replay(self, key: Arc<dyn Mac>) -> Result<Opened, OpenError> {
        let Self { db, disk, found, log_keys, path, options, syncs } = self;
        let of_mark = syncs.clone();
        let applied =
            read(&db, &keys::meta(log::APPLIED)).map_err(|e| OpenError::from(e).at(&path))?.unwrap_or_default();
        // sled panics over some damage when it comes to it, not when it is opened.
        let replayed = catch_unwind(AssertUnwindSafe(|| {
            let (log, done) = found.open(&db, applied, key, &options, syncs)?;
            if done.intents > 0 {
                db.flush().map_err(|e| OpenError::Sled { path: path.clone(), problem: e.to_string() })?;
                disk.sync().map_err(|e| OpenError::Io(path.clone(), e))?;
            }
            Ok::<_, OpenError>(log)
        }));
        let panicked =
            |_| OpenError::Sled { path: path.clone(), problem: "sled panicked; the files are damaged".into() };
        let log = replayed.map_err(panicked)?.map_err(|e| e.at(&path))?;
        let mark = Mark::new(log_directory(&path), of_mark);
        Ok(Opened { db, disk, log, log_keys, mark, path, options })
    }
}

impl Opened {
    /// What the store says of itself; `None` if it is empty.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn meta(&self) -> Result<Option<Meta>, StoreError> {
        read(&self.db, &keys::meta(META))
    }

    /// The sealed secrets.
    ///
    /// # Errors
    /// A record is damaged.
    pub fn secrets(&self) -> Result<Vec<SealedSecret>, StoreError> {
        secrets(&self.db)
    }

    /// From now on the commit log opens with this master key only.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn keep_only_log_key(&self, fingerprint: &str) -> Result<(), OpenError> {
        Ok(self.log_keys.keep_only(fingerprint)?)
    }

    /// Starts the writer, now that the key of the audit chain is known.
    ///
    /// # Errors
    /// A record is damaged, or the system refuses a thread.
    pub fn start(self, mac: Arc<dyn Mac>) -> Result<SledStore, OpenError> {
        let Self { db, disk, log, log_keys, mark, path, options } = self;
        let cache = Arc::new(HotCache::new(options.cache_bytes / 2));
        let sled_at = |e| OpenError::from(e).at(&path);
        cache.set_keys(load_keys(&db).map_err(sled_at)?);
        let chain = audit::head(&db).map_err(sled_at)?;
        let disk = Arc::new(disk);
        let progress = Arc::new(Progress::new(db.clone(), disk.clone(), log.end().seq));
        let ground = Ground {
            db: db.clone(),
            disk: disk.clone(),
            log,
            progress: progress.clone(),
            cache: cache.clone(),
            mac: mac.clone(),
            chain,
            options,
        };
        let refuse = |e| OpenError::Io(path.clone(), e);
        mark.set().map_err(refuse)?;
        let writer = Writer::start(ground).map_err(refuse)?;
        let checkpoints = Checkpoints::start(progress.clone(), writer.health().clone(), options.checkpoint_every, mark);
        let checkpoints = checkpoints.map_err(refuse)?;
        Ok(SledStore { db, disk, cache, writer, progress, mac, log_keys, _checkpoints: checkpoints })
    }
}
