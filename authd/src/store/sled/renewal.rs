//! sled made anew beside the one at work, which is then exchanged for it. sled's file grows far beyond what it holds: it clears
//! a segment of its file (512 KiB) every half second, and one more page with each page that it writes, which is too little
//! while much is written; and it never gives room back once the writing has ended.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Duration,
};

use common::text;
use rustix::process::setpriority_process;
use tokio::{sync::oneshot, time::Instant};
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
/// The exchange waits for no more than this many intents that are still to be replayed: it keeps all writing waiting.
const FEW: u64 = 1_000;
/// But after so many attempts to come near it takes what there is.
const ATTEMPTS: usize = 8;
/// How far the thread steps back behind those that answer requests (`nice`).
const NICENESS: i32 = 10;

/// What is known of the last time.
#[derive(Default)]
pub(super) struct Renewals {
    /// How large sled was when it was new, in bytes.
    made: u64,
    not_before: Option<Instant>,
}

/// What the exchange rests on.
struct Next {
    behind: Behind,
    /// Up to where it has everything.
    at: Position,
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
    /// What sled would take if it were made anew, in bytes, about.
    fn needs(&self) -> Result<u64, LogError> {
        let newest = self.snapshots.newest()?.map_or(0, |snapshot| snapshot.bytes);
        let made = self.renewals.lock().unwrap_or_else(PoisonError::into_inner).made;
        Ok((PER_SNAPSHOT_BYTE * newest + BESIDES).max(made))
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
        let next = next(&self.path);
        let io = |e| OpenError::Io(next.clone(), e);
        remove(&next).map_err(io)?;
        let done = self.renewed(&next);
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        match &done {
            Ok(Some(renewed)) => *renewals = Renewals { made: renewed.after, not_before: None },
            Ok(None) | Err(_) => {
                renewals.not_before = Some(Instant::now() + TRIED_AGAIN);
                remove(&next).map_err(io)?;
            }
        }
        done
    }

    fn renewed(&self, path: &Path) -> Result<Option<Renewed>, OpenError> {
        if !self.current.get().disk.has_space_for(self.needs()?) {
            return Err(OpenError::Store(StoreError::Full));
        }
        let before = taken(&self.path);
        let Some(next) = self.make(path)? else { return Ok(None) };
        let change = Change {
            path: self.path.clone(),
            options: self.options,
            syncs: self.syncs.clone(),
            key: self.log_key.clone(),
            next,
        };
        let progress = self.progress.clone();
        let changed = self.turns.take(move |log| {
            let began = Instant::now();
            let (behind, reached) = change.over(log)?;
            Ok::<_, OpenError>((progress.exchange(behind, reached), began.elapsed()))
        });
        let (old, paused) = changed??;
        let after = taken(&self.path);
        remove(&aside(&self.path)).map_err(|e| OpenError::Io(aside(&self.path), e))?;
        // Whoever still reads in it reads on. It is closed here, unless a scan takes longer than what was done since.
        drop(old);
        Ok(Some(Renewed { before, after, paused }))
    }

    /// A new sled that lacks little of what the log has.
    fn make(&self, path: &Path) -> Result<Option<Next>, OpenError> {
        let (options, syncs, go_on) = (&self.options, &self.syncs, || self.goes_on());
        let found = Found::look(&log_directory(&self.path))?;
        let loaded = Behind::loaded(&found, self.log_key.clone(), path, options, syncs, &go_on);
        let (behind, mut at) = match loaded {
            Err(_) if !self.goes_on() => return Ok(None),
            loaded => loaded?,
        };
        // What it was given at a stretch it keeps in memory.
        let behind = behind.reopened(path, options, syncs)?;
        for _ in 0..ATTEMPTS {
            // What is in closed segments nobody writes to any more.
            self.rotate()?;
            let from = at.seq;
            at = Found::look(&log_directory(&self.path))?.closed().bring(&behind.db, at, &*self.log_key, options)?;
            behind.settle()?;
            if !self.goes_on() {
                return Ok(None);
            }
            if at.seq - from <= FEW {
                break;
            }
        }
        Ok(Some(Next { behind, at }))
    }
}

/// What the writer does between two groups.
struct Change {
    path: PathBuf,
    options: SledOptions,
    syncs: Arc<dyn Syncs>,
    key: Arc<dyn Mac>,
    next: Next,
}

impl Change {
    /// Brings the new sled to the end of the log and puts it in the place of the old one: at every step there is one that the
    /// log can bring up to date. Answers up to where it is certain to be on disk.
    fn over(self, log: &Log) -> Result<(Behind, u64), OpenError> {
        let Self { path, options, syncs, key, next: Next { behind, at } } = self;
        guarded(|| {
            let directory = log_directory(&path);
            let end = Found::look(&directory)?.bring(&behind.db, at, &*key, &options)?;
            if end != log.end() {
                let what = format!("it was read to sequence {}, and it has {}", end.seq, log.end().seq);
                return Err(LogError::Apart { path: directory, what }.into());
            }
            behind.settle()
        })?;
        let io = |e| OpenError::Io(path.clone(), e);
        let parent = path.parent().unwrap_or(Path::new("/"));
        let exchanged = || {
            put_aside(&path, &*syncs)?;
            std::fs::rename(next(&path), &path)?;
            syncs.names(parent)?;
            let disk = Disk::settle(&path, options.reserve_bytes, syncs.clone())?;
            std::fs::remove_file(unfinished(&path))?;
            syncs.names(parent)?;
            Ok(disk)
        };
        match exchanged() {
            Ok(disk) => Ok((Behind { db: behind.db, disk }, log.end().seq)),
            Err(e) => {
                if let Err(error) = put_back(&path, &*syncs) {
                    warn!(%error, "the next start puts back what was there of sled");
                }
                Err(io(e))
            }
        }
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
        let (reply, done) = oneshot::channel();
        let work = move || {
            // A store that becomes smaller later harms nobody; where the system refuses, the thread works as others do.
            let _ = setpriority_process(None, NICENESS);
            drop(reply.send(keeper.renew()));
        };
        let refuse = |e| OpenError::Io("the thread".into(), e);
        std::thread::Builder::new().name("store-renewal".into()).spawn(work).map_err(refuse)?;
        let ended = || OpenError::Store(StoreError::Unavailable("the thread ended".into()));
        let Some(Renewed { before, after, paused }) = done.await.map_err(|_| ended())?? else { return Ok(false) };
        let (before, after) = (text::bytes(before), text::bytes(after));
        info!(before, after, took = ?began.elapsed(), ?paused, "the store's file was made anew while it was at work");
        Ok(true)
    }
}
