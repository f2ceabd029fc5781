//! sled made anew beside the one at work, which is then exchanged for it. sled's file grows far beyond what it holds: it clears
//! a segment of its file (512 KiB) every half second, and one more page with each page that it writes, which is too little
//! while much is written; and it never gives room back once the writing has ended.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    SledStore,
    behind::{Behind, aside, next, put_aside, put_back, remove, unfinished},
    disk::{Disk, Syncs},
    log::{Found, Log, LogError, Position},
    opening::{OpenError, SledOptions, guarded, log_directory},
    upkeep::Keeper,
};
use crate::{ports::Mac, store::StoreError};

/// What a sled that was just made takes for each byte of the snapshot it was made from: 10.5 with 20,000 users, 10.8 with
/// 100,000 (`cargo bench -p tests --bench store -- anew`).
const PER_SNAPSHOT_BYTE: u64 = 11;
/// And besides, in bytes.
const BESIDES: u64 = 4 << 20;
/// After one that failed the next is not tried before this time is over.
const TRIED_AGAIN: Duration = Duration::from_hours(1);
/// The exchange waits until no more than this many intents are still to be replayed: it keeps all writing waiting.
const FEW: u64 = 1_000;
/// So many attempts are made to come so near.
const ATTEMPTS: usize = 8;
/// And where they fail, with more than this many there is no exchange.
const MANY: u64 = 20 * FEW;

/// What is known of the last time.
#[derive(Default)]
pub(super) struct Renewals {
    /// What sled took then for each byte of the snapshot, without what it takes besides.
    per_snapshot_byte: u64,
    not_before: Option<Instant>,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Renewed {
    pub before: u64,
    pub after: u64,
    /// How long all writing waited.
    pub paused: Duration,
}

/// What sled's file takes, in bytes.
pub(super) fn taken(path: &Path) -> u64 {
    path.join("db").metadata().map_or(0, |meta| meta.blocks() * 512)
}

impl Keeper {
    fn newest_bytes(&self) -> Result<u64, LogError> {
        Ok(self.snapshots.newest()?.map_or(0, |snapshot| snapshot.bytes))
    }

    /// What sled would take if it were made anew, in bytes, about.
    fn needs(&self) -> Result<u64, LogError> {
        let seen = self.renewals.lock().unwrap_or_else(PoisonError::into_inner).per_snapshot_byte;
        Ok(PER_SNAPSHOT_BYTE.max(seen) * self.newest_bytes()? + BESIDES)
    }

    /// Whether sled takes so much more than it needs that it is to be made anew.
    pub(super) fn is_outgrown(&self) -> Result<bool, LogError> {
        let not_before = self.renewals.lock().unwrap_or_else(PoisonError::into_inner).not_before;
        if not_before.is_some_and(|time| Instant::now() < time) {
            return Ok(false);
        }
        Ok(taken(&self.path) > self.needs()? / 100 * self.options.outgrown_percent)
    }

    /// Makes sled anew. `None`: the store is to close.
    pub(super) fn renew(&self) -> Result<Option<Renewed>, OpenError> {
        let _at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let set = |renewals| *self.renewals.lock().unwrap_or_else(PoisonError::into_inner) = renewals;
        let before = self.renewals.lock().unwrap_or_else(PoisonError::into_inner).per_snapshot_byte;
        // Unless it is known to have gone well.
        set(Renewals { per_snapshot_byte: before, not_before: Some(Instant::now() + TRIED_AGAIN) });
        let next = next(&self.path);
        let done = guarded(|| self.renewed(&next));
        match &done {
            Ok(Some(renewed)) => {
                let per_snapshot_byte = renewed.after.saturating_sub(BESIDES) / self.newest_bytes()?.max(1);
                set(Renewals { per_snapshot_byte, not_before: None });
            }
            Ok(None) | Err(_) => remove(&next).map_err(|e| OpenError::Io(next.clone(), e))?,
        }
        done
    }

    /// Whether there is room to write on.
    fn has_space(&self) -> bool {
        self.current.get().disk.has_space()
    }

    fn renewed(&self, path: &Path) -> Result<Option<Renewed>, OpenError> {
        let of = |path: &Path| {
            let path = path.to_owned();
            move |e| OpenError::Io(path, e)
        };
        remove(path).map_err(of(path))?;
        if !self.current.get().disk.can_move() {
            return Err(of(path)(std::io::Error::other("a store can only move where /proc is")));
        }
        if !self.current.get().disk.has_space_for(self.needs()?) {
            return Err(OpenError::Store(StoreError::Full));
        }
        let before = taken(&self.path);
        let Some((behind, at)) = self.make(path)? else { return Ok(None) };
        let aside = aside(&self.path);
        // What can be done before the writer waits is done before.
        remove(&aside).map_err(of(&aside))?;
        self.progress.checkpoint().map_err(|problem| {
            self.health.poison(&problem);
            StoreError::Unavailable(problem.into())
        })?;
        let change = Change {
            path: self.path.clone(),
            options: self.options,
            syncs: self.syncs.clone(),
            key: self.log_key.clone(),
            at,
        };
        let progress = self.progress.clone();
        let changed = self.turns.take(move |log| {
            let began = Instant::now();
            match change.over(behind, log) {
                Ok(behind) => Ok((progress.exchange(behind, log.end().seq), began.elapsed())),
                Err(failed) => Err(failed),
            }
        });
        // One that failed is closed here: that takes longer than the writer should wait.
        let (old, paused) = changed?.map_err(|(e, _unused)| e)?;
        let after = taken(&self.path);
        if let Err(error) = remove(&aside) {
            warn!(%error, aside = %aside.display(), "what was there of the store's file could not be removed");
        }
        // Whoever still reads in it reads on. It is closed here, unless a scan takes longer than what was done since.
        drop(old);
        Ok(Some(Renewed { before, after, paused }))
    }

    /// A new sled that lacks little of what the log has, and up to where it has everything.
    fn make(&self, path: &Path) -> Result<Option<(Behind, Position)>, OpenError> {
        let (options, syncs) = (&self.options, &self.syncs);
        let go_on = || self.goes_on() && self.has_space();
        let found = Found::look(&log_directory(&self.path))?;
        let loaded = Behind::loaded(&found, self.log_key.clone(), path, options, syncs, &go_on);
        let (behind, mut at) = match loaded {
            Err(_) if !self.goes_on() => return Ok(None),
            Err(_) if !self.has_space() => return Err(OpenError::Store(StoreError::Full)),
            loaded => loaded?,
        };
        // What it was given at a stretch it keeps in memory.
        let behind = behind.reopened(path, options, syncs)?;
        let mut behind_by = MANY;
        for _ in 0..ATTEMPTS {
            // What is in closed segments nobody writes to any more.
            self.rotate()?;
            let from = at.seq;
            at = Found::look(&log_directory(&self.path))?.closed().bring(&behind.db, at, &*self.log_key, options)?;
            behind.settle()?;
            if !self.goes_on() {
                return Ok(None);
            }
            if !self.has_space() {
                return Err(OpenError::Store(StoreError::Full));
            }
            behind_by = at.seq - from;
            if behind_by <= FEW {
                break;
            }
        }
        if behind_by > MANY {
            return Err(StoreError::Busy.into());
        }
        Ok(Some((behind, at)))
    }
}

/// What the writer does between two groups.
struct Change {
    path: PathBuf,
    options: SledOptions,
    syncs: Arc<dyn Syncs>,
    key: Arc<dyn Mac>,
    /// Up to where the new sled has everything.
    at: Position,
}

impl Change {
    /// Brings the new sled to the end of the log and puts it in the place of the old one: at every step there is one that the
    /// log can bring up to date. Answers it with its new place; or why not, and it as it is.
    fn over(self, behind: Behind, log: &Log) -> Result<Behind, (OpenError, sled::Db)> {
        if let Err(e) = guarded(|| self.bring(&behind, log)) {
            return Err((e, behind.db));
        }
        let Behind { db, disk } = behind;
        match self.exchange(disk) {
            Ok(disk) => Ok(Behind { db, disk }),
            Err(e) => {
                if unfinished(&self.path).exists()
                    && let Err(error) = put_back(&self.path, &*self.syncs)
                {
                    warn!(%error, "the next start puts back what was there of sled");
                }
                Err((OpenError::Io(self.path, e), db))
            }
        }
    }

    fn bring(&self, behind: &Behind, log: &Log) -> Result<(), OpenError> {
        let directory = log_directory(&self.path);
        let end = Found::look(&directory)?.bring(&behind.db, self.at, &*self.key, &self.options)?;
        if end != log.end() {
            let what = format!("it was read to sequence {}, and it has {}", end.seq, log.end().seq);
            return Err(LogError::Apart { path: directory, what }.into());
        }
        behind.settle()
    }

    fn exchange(&self, disk: Disk) -> std::io::Result<Disk> {
        let Self { path, syncs, .. } = self;
        let parent = path.parent().unwrap_or(Path::new("/"));
        put_aside(path, &**syncs)?;
        std::fs::rename(next(path), path)?;
        syncs.names(parent)?;
        let disk = disk.moved(path)?;
        // From here on it is the one that counts: with the marker still there, the next start would take the old one and bring it
        // up to date, or make it anew.
        let finished = std::fs::remove_file(unfinished(path)).and_then(|()| syncs.names(parent));
        if let Err(error) = finished {
            warn!(%error, "the store's file was made anew, and that could not be noted");
        }
        Ok(disk)
    }
}

impl SledStore {
    /// Makes sled anew if its file takes much more than it needs. Whether it did.
    pub(super) async fn renew_if_outgrown(&self) -> Result<bool, OpenError> {
        if !self.keeper.is_outgrown()? {
            return Ok(false);
        }
        let began = Instant::now();
        let keeper = self.keeper.clone();
        let done = tokio::task::spawn_blocking(move || keeper.renew()).await;
        let ended = |e: tokio::task::JoinError| StoreError::Unavailable(format!("making it anew failed: {e}").into());
        let Some(Renewed { before, after, paused }) = done.map_err(ended)?? else { return Ok(false) };
        let (took_ms, paused_ms) = (began.elapsed().as_millis(), paused.as_millis());
        info!(
            bytes_before = before,
            bytes = after,
            took_ms = u64::try_from(took_ms).unwrap_or(u64::MAX),
            paused_ms = u64::try_from(paused_ms).unwrap_or(u64::MAX),
            "the store's file was made anew while it was at work"
        );
        Ok(true)
    }
}
