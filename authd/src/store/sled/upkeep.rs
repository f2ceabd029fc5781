//! Keeping the store's files in order while it is at work: snapshots, by which the commit log can be shortened, and the
//! question whether sled is what the log says.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use common::UnixTime;
use tokio::{sync::watch, time::Instant};
use tracing::{error, info, warn};

use super::{
    SledOptions, SledStore,
    behind::{Current, aside, remove},
    checkpoint::Progress,
    codec::Number,
    disk::Syncs,
    keys,
    log::{self, LogError, Mark, Snapshot, Snapshots},
    read,
    renewal::{self, Renewals},
    txn::{FORGOTTEN, unreadable},
    writer::{Health, Turns},
};
use crate::{
    ports::Mac,
    store::{Files, OpenSnapshot, Snapshotted, StoreError, Upkeep, Work},
};

/// What works beside the writer.
pub(super) struct Keeper {
    pub current: Arc<Current>,
    pub path: PathBuf,
    pub snapshots: Snapshots,
    pub progress: Arc<Progress>,
    pub health: Arc<Health>,
    pub mark: Mark,
    /// For what needs the log at rest.
    pub turns: Turns,
    pub at_work: Mutex<()>,
    pub ends: AtomicBool,
    /// Whether sled was compared with a snapshot since the start.
    pub was_compared: AtomicBool,
    /// Why the last one failed.
    pub problem: Mutex<Option<String>>,
    pub renewals: Mutex<Renewals>,
    pub log_key: Arc<dyn Mac>,
    pub syncs: Arc<dyn Syncs>,
    pub options: SledOptions,
}

#[allow(clippy::needless_pass_by_value, reason = "it is handed on as a function")]
fn failed(e: LogError) -> StoreError {
    match &e {
        LogError::Io { source, .. } if source.kind() == ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Unavailable(e.to_string().into()),
    }
}

/// Where sled and a state of the commit log differ: the key, and the checksum of the value that should be there.
type Differences = BTreeMap<Vec<u8>, Option<u32>>;

/// More differences than this are not looked into while the store is at work: it changes faster than it is read.
const MAX_DIFFERENCES: usize = 1 << 20;

/// How often a snapshot is looked for that another one replaces at that very moment.
const OPENED_WITHIN: usize = 5;

/// Compares sled with what it should have, key by key in their order. `None`: `go_on` said no, or they are too many.
pub(super) fn differences(
    state: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), LogError>>,
    db: &sled::Db,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Differences>, StoreError> {
    let own = keys::meta(log::APPLIED);
    let mut found = Differences::new();
    let mut there = db.iter().filter(|entry| !entry.as_ref().is_ok_and(|(key, _)| *key == own));
    let mut next = there.next().transpose().map_err(|e| unreadable(&e))?;
    let mut advance = || there.next().transpose().map_err(|e| unreadable(&e));
    for wanted in state {
        let (key, value) = wanted.map_err(|e| StoreError::Unavailable(e.to_string().into()))?;
        if !go_on() || found.len() > MAX_DIFFERENCES {
            return Ok(None);
        }
        while let Some((extra, _)) = next.take_if(|(there, _)| there.as_ref() < key.as_slice()) {
            found.insert(extra.to_vec(), None);
            next = advance()?;
        }
        match next.take_if(|(there, _)| there.as_ref() == key.as_slice()) {
            Some((_, have)) => {
                if have.as_ref() != value.as_slice() {
                    found.insert(key, Some(crc32fast::hash(&value)));
                }
                next = advance()?;
            }
            None => drop(found.insert(key, Some(crc32fast::hash(&value)))),
        }
    }
    while let Some((extra, _)) = next {
        found.insert(extra.to_vec(), None);
        next = advance()?;
        if !go_on() || found.len() > MAX_DIFFERENCES {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

impl Keeper {
    pub(super) fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::Relaxed)
    }

    fn note_failure(&self, e: StoreError) -> StoreError {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
        e
    }

    /// Whether it is time for a snapshot.
    fn is_due(&self, now: UnixTime) -> Result<bool, StoreError> {
        let newest = self.snapshots.newest().map_err(failed)?;
        let reached = newest.as_ref().map_or(0, |snapshot| snapshot.position.seq);
        if self.progress.applied() <= reached {
            return Ok(false);
        }
        let (size, made) = match &newest {
            Some(snapshot) => (snapshot.bytes, snapshot.made),
            None => (0, self.began()),
        };
        // A clock that was set back makes it wait, and one of the future makes it early: neither does harm.
        let is_old = now > made.plus(self.options.snapshot_every);
        // Each one is written whole: as the store grows, it takes more of a log to make one worth while.
        let is_long = self.snapshots.log_size().map_err(failed)?.1 > self.options.log_bytes.max(size / 2);
        let Number(forgotten) = read(&self.current.get().db, &keys::meta(FORGOTTEN))?.unwrap_or_default();
        Ok(is_old || is_long || forgotten > reached)
    }

    /// When the store was made, as far as the file system knows.
    fn began(&self) -> UnixTime {
        self.path.metadata().and_then(|meta| meta.created()).map_or(UnixTime::EPOCH, log::unix_time)
    }

    /// Begins a segment of the log.
    pub(super) fn rotate(&self) -> Result<(), StoreError> {
        let health = self.health.clone();
        // In the writer's own turn: nothing may be appended after it.
        let rotated = self.turns.take(move |log| {
            log.rotate().map_err(|e| {
                let problem = format!("commit log: {e}");
                health.poison(&problem);
                StoreError::Unavailable(problem.into())
            })
        });
        rotated?
    }

    /// Makes a snapshot of everything in closed segments, compares sled with it, and shortens the log.
    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let _at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        // What is in closed segments goes into it.
        self.rotate()?;
        let before = self.snapshots.newest().map_err(failed)?;
        let needed = before.map_or(0, |snapshot| snapshot.bytes) + self.snapshots.log_size().map_err(failed)?.1;
        if !self.current.get().disk.has_space_for(needed) {
            return Err(StoreError::Full);
        }
        let go_on = || self.goes_on();
        let Some(snapshot) = self.snapshots.make(&go_on).map_err(failed)? else { return Ok(None) };
        if !self.compare(&snapshot)? {
            return Ok(Some(snapshot));
        }
        self.was_compared.store(true, Ordering::Relaxed);
        // sled's file has everything of the snapshot before the segments go that had it.
        self.progress.checkpoint().map_err(|problem| {
            self.health.poison(&problem);
            StoreError::Unavailable(problem.into())
        })?;
        let pruned = self.snapshots.prune(&snapshot).map_err(failed)?;
        let io = |e: std::io::Error| StoreError::Unavailable(e.to_string().into());
        remove(&aside(&self.path)).map_err(io)?;
        let (sequence, bytes) = (snapshot.position.seq, snapshot.bytes);
        info!(sequence, bytes, pruned, "a snapshot was made and read back");
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(Some(snapshot))
    }

    /// Compares sled with the snapshot that there is, once after a start.
    fn compare_newest(&self) -> Result<(), StoreError> {
        let _at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        self.was_compared.store(true, Ordering::Relaxed);
        match self.snapshots.newest().map_err(failed)? {
            Some(snapshot) => self.compare(&snapshot).map(drop),
            None => Ok(()),
        }
    }

    /// Whether sled was compared with the snapshot. Where it differs although no record since has changed that, sled is
    /// wrong: the store stops, and is made anew from the log when it starts.
    fn compare(&self, snapshot: &Snapshot) -> Result<bool, StoreError> {
        let unreadable = |e: LogError| StoreError::Unavailable(e.to_string().into());
        let mut broken = None;
        // A snapshot that cannot be read says nothing about sled, which may well be sound.
        let state = self.snapshots.read(snapshot).map_err(unreadable)?.map_while(|entry| match entry {
            Ok(entry) => Some(Ok(entry)),
            Err(e) => {
                broken = Some(e);
                None
            }
        });
        let compared = differences(state, &self.current.get().db, &|| self.goes_on());
        if let Some(broken) = broken {
            return Err(unreadable(broken));
        }
        let wrong = match compared {
            Ok(None) => return Ok(false),
            Ok(Some(found)) => {
                let keys = found.keys().cloned().collect();
                let suspects = self.snapshots.unchanged_since(snapshot.position, keys).map_err(unreadable)?;
                let is_right = |key: &[u8]| {
                    let there =
                        self.current.get().db.get(key).ok().map(|value| value.map(|value| crc32fast::hash(&value)));
                    there.as_ref() == found.get(key)
                };
                let wrong: Vec<_> = suspects.iter().filter(|key| !is_right(key)).collect();
                wrong.first().map(|key| format!("{} records, the first {}", wrong.len(), keys::describe(key)))
            }
            Err(e) => Some(e.to_string()),
        };
        wrong.map_or(Ok(true), |wrong| Err(self.is_wrong(&wrong)))
    }

    /// Stops the store, so that the next start makes sled anew.
    fn is_wrong(&self, wrong: &str) -> StoreError {
        let problem = format!("sled is not what the commit log says: {wrong}");
        if let Err(e) = self.mark.is_wrong(&problem) {
            error!(error = %e, "and that cannot be noted");
        }
        self.health.poison(&problem);
        StoreError::Unavailable(problem.into())
    }
}

impl SledStore {
    /// Makes a snapshot if it is time for one, and sled anew where its file takes much more than it needs.
    ///
    /// # Errors
    /// As for [`Upkeep::snapshot`].
    pub async fn snapshot_if_due(&self, now: UnixTime) -> Result<Option<Snapshotted>, StoreError> {
        // By an old snapshot it may look so: the one that is made then tells.
        let keeper = &self.keeper;
        let seems_outgrown = keeper.is_outgrown().map_err(|e| keeper.note_failure(failed(e)))?;
        let made = self.snapshot_or_compare(now, seems_outgrown).await?;
        if seems_outgrown && let Err(error) = self.renew_if_outgrown().await {
            warn!(%error, "the store's file takes more than it needs, and could not be made anew; it is tried again in an hour");
        }
        Ok(made)
    }

    async fn snapshot_or_compare(&self, now: UnixTime, at_any_rate: bool) -> Result<Option<Snapshotted>, StoreError> {
        let keeper = self.keeper.clone();
        match keeper.is_due(now).map(|is_due| is_due || at_any_rate) {
            Ok(true) => {
                let made = self.snapshot().await?;
                keeper.health.is_beyond_doubt();
                Ok(made)
            }
            Ok(false) if keeper.was_compared.load(Ordering::Relaxed) => Ok(None),
            Ok(false) => {
                let compare = move || keeper.compare_newest().map_err(|e| keeper.note_failure(e));
                let done = tokio::task::spawn_blocking(compare).await;
                done.unwrap_or_else(|e| Err(StoreError::Unavailable(format!("comparing failed: {e}").into())))?;
                Ok(None)
            }
            Err(e) => Err(keeper.note_failure(e)),
        }
    }

    /// Becomes true at the first record that cannot be read: then [`Self::settle_doubts`] is due.
    pub fn doubts(&self) -> watch::Receiver<bool> {
        self.keeper.health.doubts()
    }

    /// Compares sled with everything that is committed, because something in it could not be read. Where sled is wrong the
    /// store stops, and is made anew when it starts. Where it is not, the log has it so too, and no restart would help.
    ///
    /// # Errors
    /// sled is wrong, or that could not be found out.
    pub async fn settle_doubts(&self) -> Result<(), StoreError> {
        let keeper = self.keeper.clone();
        warn!("something in the store cannot be read; it is compared with the commit log");
        // What was committed since the newest snapshot only a new one has.
        match self.snapshot().await {
            Ok(Some(_)) => return Ok(()),
            Err(e) if keeper.health.check().is_err() => return Err(e),
            Ok(None) | Err(_) => {}
        }
        let compare = move || keeper.compare_newest().map_err(|e| keeper.note_failure(e));
        let done = tokio::task::spawn_blocking(compare).await;
        // sled panics at some damage.
        done.unwrap_or_else(|e| Err(self.keeper.is_wrong(&format!("reading it failed: {e}"))))
    }

    /// Lets a snapshot that is being made be, so that the store can close.
    pub fn end_upkeep(&self) {
        self.keeper.ends.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Upkeep for SledStore {
    async fn snapshot(&self) -> Result<Option<Snapshotted>, StoreError> {
        let began = Instant::now();
        let keeper = self.keeper.clone();
        let done = tokio::task::spawn_blocking(move || keeper.snapshot().map_err(|e| keeper.note_failure(e))).await;
        let made = done.unwrap_or_else(|e| Err(StoreError::Unavailable(format!("a snapshot failed: {e}").into())))?;
        Ok(made.map(|made| Snapshotted { sequence: made.position.seq, bytes: made.bytes, took: began.elapsed() }))
    }

    async fn open_snapshot(&self) -> Result<OpenSnapshot, StoreError> {
        self.snapshot().await?;
        let keeper = &self.keeper;
        // The next one may take its place, name and all, before this one is open.
        for _ in 0..OPENED_WITHIN {
            match keeper.snapshots.open_newest() {
                Ok(Some((Snapshot { position, bytes, .. }, file))) => {
                    return Ok(OpenSnapshot { file, sequence: position.seq, bytes });
                }
                Ok(None) => break,
                Err(LogError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Err(StoreError::Unavailable("there is no snapshot to be read".into()))
    }

    fn files(&self) -> Result<Files, StoreError> {
        let (keeper, behind) = (&self.keeper, self.current.get());
        let newest = keeper.snapshots.newest().map_err(failed)?;
        let (log_segments, log_bytes) = keeper.snapshots.log_size().map_err(failed)?;
        Ok(Files {
            sequence: keeper.progress.applied(),
            log_bytes,
            log_segments,
            file_bytes: renewal::taken(&keeper.path),
            snapshot: newest.map(|snapshot| (snapshot.position.seq, snapshot.bytes, snapshot.made)),
            problem: keeper.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            free_bytes: behind.disk.free_bytes(),
            reserve_bytes: behind.disk.reserve_bytes(),
        })
    }

    fn work(&self) -> Work {
        self.counters.read(self.cache.lookups(), self.keeper.health.unreadable())
    }
}
