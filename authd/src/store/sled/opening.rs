//! Opening the store in three steps, because its secrets are sealed inside it: look at what is there; with the key of the
//! commit log bring sled up to it; with the key of the audit trail start the writer.

use std::{
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use common::Span;
use tracing::{info, warn};

use super::{
    SledStore, audit,
    behind::{Behind, Current, aside, clear_half_made, put_aside, put_back, unfinished},
    cache::HotCache,
    checkpoint::{Checkpoints, Progress},
    codec::{self, Number, SCHEMA},
    disk::{self, Device, Disk, Syncs},
    intents::META,
    keys, load_keys,
    log::{self, Found, Keys, Log, LogError, Mark, Snapshots, Walked},
    migration, outbox, read, secrets,
    step::Steps,
    upkeep::Keeper,
    work::Counters,
    writer::{Ground, Writer},
};
use crate::{
    domain::Publishing,
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
    /// A snapshot is made when the last one is so old and something has changed since.
    pub snapshot_every: Span,
    /// And when the commit log behind it is so long, in bytes, and half as long as the snapshot.
    pub log_bytes: u64,
    /// sled is made anew when its file takes so many percent of what it would take then.
    pub outgrown_percent: u64,
    /// Whether events are written down, and for whom.
    pub publishing: Publishing,
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
    /// The store has the format after this one, as a newer authd writes it. No fault, but a way to have two formats.
    pub next_format: bool,
    /// The hot cache is told of a group when the next one is committed.
    pub caches_too_late: bool,
    /// Events count as told as soon as they are read to be told.
    pub told_before_telling: bool,
}

impl SledOptions {
    /// The format of the store that is written.
    pub(super) fn format(&self) -> u32 {
        log::FORMAT + u32::from(self.faults().next_format)
    }

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
            snapshot_every: Span::from_days(1),
            log_bytes: 256 << 20,
            outgrown_percent: 200,
            publishing: Publishing::default(),
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
        /// Whether it is its files that are at fault.
        is_damage: bool,
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
    pub(super) fn at(self, directory: &Path) -> Self {
        match self {
            Self::Sled { problem, is_damage, .. } => Self::Sled { path: directory.into(), problem, is_damage },
            other => other,
        }
    }

    /// What is wrong with sled's files, if that is it.
    fn damage(&self) -> Option<String> {
        match self {
            Self::Sled { problem, is_damage: true, .. } => Some(problem.clone()),
            Self::Store(e @ StoreError::Damaged(_)) => Some(e.to_string()),
            _ => None,
        }
    }
}

/// sled's own words, and whether they are about its files.
#[allow(clippy::needless_pass_by_value, reason = "it is handed on as a function")]
pub(super) fn sled_says(error: sled::Error) -> OpenError {
    let is_damage = match &error {
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => true,
        sled::Error::Io(e) => matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData),
        _ => false,
    };
    let problem = error.to_string().trim_end_matches(" backtrace ()").to_owned();
    OpenError::Sled { path: "sled".into(), problem, is_damage }
}

/// sled panics over some damage, when it is opened or when it comes to it.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let panicked = |_| OpenError::Sled {
        path: "sled".into(),
        problem: "sled panicked; the files are damaged".into(),
        is_damage: true,
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic)))
}

impl From<StoreError> for OpenError {
    /// While the store is opened nothing but sled makes it unavailable.
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Unavailable(problem) | StoreError::Unreadable(problem) => {
                Self::Sled { path: "sled".into(), problem: problem.to_string(), is_damage: false }
            }
            other => Self::Store(other),
        }
    }
}

/// A store that was looked at: sled may be behind the commit log, whose key is not known yet.
pub struct Opening {
    /// `None` if its files are damaged.
    pub(super) behind: Option<Behind>,
    /// Why sled is not to be taken as it is.
    pub(super) why_anew: Option<String>,
    pub(super) found: Found,
    log_keys: Keys,
    pub(super) path: PathBuf,
    pub(super) options: SledOptions,
    pub(super) syncs: Arc<dyn Syncs>,
}

/// A store that is what its commit log says, and does not write yet: the key of the audit trail is sealed inside it.
pub struct Opened {
    pub(super) db: sled::Db,
    disk: Disk,
    pub(super) log: Log,
    pub(super) log_key: Arc<dyn Mac>,
    log_keys: Keys,
    mark: Mark,
    pub(super) path: PathBuf,
    pub(super) options: SledOptions,
    pub(super) syncs: Arc<dyn Syncs>,
    /// Why sled could not be compared with what it should be.
    problem: Option<String>,
}

/// A store is small up to so many bytes of sled, snapshot and log: about 20,000 users.
const SMALL_BYTES: u64 = 64 << 20;

/// Where the commit log of the store in `path` is: beside it.
pub(super) fn log_directory(path: &Path) -> PathBuf {
    path.with_file_name("log")
}

impl Opening {
    /// Opens or makes the store under `path`, which must be in a directory of its own, and looks at the commit log beside
    /// it, `log`.
    ///
    /// # Errors
    /// sled's refusal, and its panics, which some damage brings about, if the log does not have everything; a schema newer
    /// than ours; a log that has holes or is not there.
    pub fn open(path: &Path, options: SledOptions) -> Result<Self, OpenError> {
        Self::open_with(path, options, Arc::new(Device))
    }

    pub(super) fn open_with(path: &Path, options: SledOptions, syncs: Arc<dyn Syncs>) -> Result<Self, OpenError> {
        let found = Found::look(&log_directory(path))?.up_to(options.format())?;
        let io = |e| OpenError::Io(path.into(), e);
        clear_half_made(path, &*syncs).map_err(io)?;
        let log_keys = Keys::new(log_directory(path), syncs.clone());
        let mut opening =
            Self { behind: None, why_anew: None, found, log_keys, path: path.into(), options, syncs: syncs.clone() };
        match Behind::open(path, &options, &syncs).and_then(|behind| Ok((behind.applied()?, behind))) {
            Ok((applied, behind)) => {
                if !behind.db.is_empty() && applied.is_none() {
                    return Err(LogError::Missing(opening.found.directory().into()).into());
                }
                opening.behind = Some(behind);
                opening.check_schema()?;
            }
            Err(e) => match e.damage().filter(|_| opening.found.is_complete()) {
                Some(problem) => opening.why_anew = Some(problem),
                None => return Err(e),
            },
        }
        if opening.found.is_complete()
            && opening.why_anew.is_none()
            && let Some(why) = Mark::new(log_directory(path), syncs).distrust().map_err(io)?
        {
            opening.make_anew(&why);
        }
        Ok(opening)
    }

    /// Says at each step how far it has come.
    #[must_use]
    pub fn telling(mut self, steps: Arc<Steps>) -> Self {
        self.found.steps = steps;
        self
    }

    /// sled will be made anew from the commit log, whatever it is like.
    pub fn make_anew(&mut self, why: &str) {
        self.why_anew = Some(why.into());
    }

    /// Whether the commit log has everything, so that sled can be made anew.
    pub fn is_complete(&self) -> bool {
        self.found.is_complete()
    }

    fn check_schema(&self) -> Result<(), OpenError> {
        match self.read(&keys::meta("schema"))? {
            Some(Number(found)) if found > u64::from(SCHEMA) => {
                Err(OpenError::Newer { path: self.path.clone(), found, known: SCHEMA })
            }
            _ => Ok(()),
        }
    }

    /// `None` also if sled cannot be read.
    fn read<T: codec::Stored>(&self, key: &[u8]) -> Result<Option<T>, OpenError> {
        match &self.behind {
            Some(behind) => Ok(read(&behind.db, key)?),
            None => Ok(None),
        }
    }

    /// Whether nothing was ever stored.
    pub fn is_new(&self) -> bool {
        self.found.is_blank() && self.behind.as_ref().is_some_and(|behind| behind.db.is_empty())
    }

    /// The fingerprints of the master keys with which the store opens: one, or two while it is being changed.
    ///
    /// # Errors
    /// The directory cannot be read, a record is damaged.
    pub fn fingerprints(&self) -> Result<Vec<String>, OpenError> {
        let found = self.log_keys.list()?;
        let meta: Option<Meta> = self.read(&keys::meta(META))?;
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

    /// Checks the commit log and gives sled what it has not got; where sled is not to be trusted, makes it anew. What was
    /// there of it is kept beside it, until the next snapshot.
    ///
    /// # Errors
    /// The log is damaged, was written with another key, or does not belong to what sled has. Then nothing was changed.
    pub fn replay(mut self, key: Arc<dyn Mac>) -> Result<Opened, OpenError> {
        let applied = self.behind.as_ref().map(Behind::applied).transpose()?.map(Option::unwrap_or_default);
        let path = self.path.clone();
        if let Some(applied) = applied
            && self.why_anew.is_none()
            && !self.found.reaches_back_to(applied)
            && self.found.is_complete()
        {
            self.make_anew("it is older than what the commit log begins with");
        }
        // What sled has must be in the log, also where sled goes: else it is the log that has lost something.
        let begin = if self.why_anew.is_some() { None } else { applied };
        let meets = applied.filter(|applied| self.found.reaches_back_to(*applied));
        let walked = self.found.check(begin, meets, &*key, &*self.syncs)?;
        let mut log = self.found.settle(&walked, key.clone(), &self.options, self.syncs.clone())?;
        if let (None, Some(behind)) = (&self.why_anew, &self.behind) {
            let (from, to) = (applied.unwrap_or_default().seq, walked.end.seq);
            if from < to {
                info!(from, to, "the store is behind its commit log, which is replayed");
            }
            let replayed = guarded(|| {
                if self.found.apply(&behind.db, applied.unwrap_or_default(), &walked, &self.options)? > 0 {
                    behind.settle()?;
                }
                Ok(())
            });
            match replayed.map_err(|e| e.at(&path)) {
                Ok(()) => {}
                Err(e) => match e.damage().filter(|_| self.found.is_complete()) {
                    Some(problem) => self.make_anew(&problem),
                    None => return Err(e),
                },
            }
        }
        let mut problem = None;
        if self.why_anew.is_none() && self.is_small().map_err(|e| OpenError::Io(path.clone(), e))? {
            // sled forgets some damage without a word. A larger one is compared when the daemon is at work.
            match self.verify(&key) {
                Ok(verified) => self.why_anew = verified.sled.err().map(|wrong| wrong.to_string()),
                Err(e) => {
                    warn!(error = %e, "sled cannot be compared with what it should be");
                    problem = Some(e.to_string());
                }
            }
        }
        let Behind { db, disk } = match (self.why_anew.take(), self.behind.take()) {
            (None, Some(behind)) => behind,
            (why, behind) => {
                // What is damaged may panic once more.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(behind)));
                // From the snapshot on: so far sled may have been taken for right up to where it has come.
                let walked = self.found.check(None, None, &*key, &*self.syncs)?;
                self.made_anew(&why.unwrap_or_default(), &key, &walked).map_err(|e| e.at(&path))?
            }
        };
        migration::migrate(&self.found, &mut log, &disk, key.clone(), &self.options, &self.syncs)?;
        let mark = Mark::new(log_directory(&path), self.syncs.clone());
        let Self { log_keys, options, syncs, .. } = self;
        Ok(Opened { db, disk, log, log_key: key, log_keys, mark, path, options, syncs, problem })
    }

    /// Whether comparing all of it takes no time that anybody would notice.
    fn is_small(&self) -> std::io::Result<bool> {
        let size = |path: &Path| path.metadata().map_or(0, |meta| meta.len());
        let (snapshot, (_, log)) = self.found.sizes().map_err(std::io::Error::other)?;
        Ok(size(&self.path.join("db")) + snapshot.map_or(0, |(_, bytes)| bytes) + log <= SMALL_BYTES)
    }

    /// A new sled, with everything that the log says.
    fn made_anew(&self, why: &str, key: &Arc<dyn Mac>, walked: &Walked) -> Result<Behind, OpenError> {
        let Self { path, syncs, .. } = self;
        let (aside, unfinished) = (aside(path), unfinished(path));
        warn!(why, sled = %path.display(), aside = %aside.display(), "the store is made anew from its commit log");
        let parent = path.parent().unwrap_or(Path::new("/"));
        self.found.read_snapshot(key.clone())?;
        put_aside(path, &**syncs).map_err(|e| OpenError::Io(path.clone(), e))?;
        let made =
            Behind::loaded(&self.found, key.clone(), path, &self.options, syncs, &|| true).and_then(|(behind, at)| {
                guarded(|| {
                    self.found.apply(&behind.db, at, walked, &self.options)?;
                    behind.settle()?;
                    Ok(behind)
                })
            });
        let behind = match made {
            Ok(behind) => behind,
            Err(e) => {
                // No room, say. What there was is better than what there is.
                put_back(path, &**syncs).map_err(|e| OpenError::Io(path.clone(), e))?;
                return Err(e);
            }
        };
        let finish = || {
            std::fs::remove_file(&unfinished)?;
            syncs.names(parent)
        };
        finish().map_err(|e| OpenError::Io(unfinished.clone(), e))?;
        info!(sequence = walked.end.seq, "the store is made anew");
        Ok(behind)
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

    /// Closes it again, with sled as the commit log says.
    ///
    /// # Errors
    /// It cannot be noted that sled may be taken as it is.
    pub fn close(self) -> Result<(), OpenError> {
        let Self { db, mark, path, .. } = self;
        drop(db);
        mark.set().and_then(|()| mark.clear()).map_err(|e| OpenError::Io(path, e))
    }

    /// Starts the writer, now that the key of the audit chain is known.
    ///
    /// # Errors
    /// A record is damaged, or the system refuses a thread.
    pub fn start(self, mac: Arc<dyn Mac>) -> Result<SledStore, OpenError> {
        let Self { db, disk, log, log_key, log_keys, mark, path, options, syncs, problem } = self;
        let cache = Arc::new(HotCache::new(options.cache_bytes / 2));
        let sled_at = |e| OpenError::from(e).at(&path);
        cache.has_published(outbox::last(&db).map_err(sled_at)?);
        cache.set_keys(load_keys(&db).map_err(sled_at)?);
        let chain = audit::head(&db).map_err(sled_at)?;
        let current = Arc::new(Current::new(Behind { db, disk }));
        let progress = Arc::new(Progress::new(current.clone(), log.end().seq));
        let counters = Arc::new(Counters::default());
        let ground = Ground {
            current: current.clone(),
            log,
            progress: progress.clone(),
            cache: cache.clone(),
            mac: mac.clone(),
            chain,
            options,
            counters: counters.clone(),
        };
        let refuse = |e| OpenError::Io(path.clone(), e);
        mark.set().map_err(refuse)?;
        let writer = Writer::start(ground).map_err(refuse)?;
        let health = writer.health().clone();
        let checkpoints = Checkpoints::start(progress.clone(), health.clone(), options.checkpoint_every, mark);
        let checkpoints = checkpoints.map_err(refuse)?;
        let directory = log_directory(&path);
        let keeper = Arc::new(Keeper {
            current: current.clone(),
            snapshots: Snapshots::new(directory.clone(), (log_key.clone(), options.format()), syncs.clone()),
            progress: progress.clone(),
            health,
            mark: Mark::new(directory, syncs.clone()),
            turns: writer.turns(),
            at_work: Mutex::default(),
            ends: AtomicBool::new(false),
            problem: Mutex::new(problem),
            was_compared: AtomicBool::new(false),
            renewals: Mutex::default(),
            log_key,
            syncs,
            options,
            path,
        });
        let faults = options.faults();
        Ok(SledStore {
            current,
            cache,
            writer,
            progress,
            mac,
            log_keys,
            keeper,
            counters,
            faults,
            _checkpoints: checkpoints,
        })
    }
}
