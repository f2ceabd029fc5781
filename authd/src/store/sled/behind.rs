//! sled itself, behind the commit log: opening it, making it anew, and having one that is at work exchanged for another.

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use super::{
    codec,
    disk::{self, Disk, Place, Syncs},
    keys,
    log::{self, Found, Position, plain},
    opening::{OpenError, SledOptions, guarded, sled_says},
};
use crate::ports::Mac;

/// After so many bytes of keys and values a sled that is made anew is closed and opened again: of what it was given at a
/// stretch it keeps all in memory, whatever its cache may take (3.9 GiB for a million users).
const REOPENED_EVERY: usize = 64 << 20;

/// How long sled's threads may hold its files after it was closed.
const LETS_GO: Duration = Duration::from_secs(10);

/// sled, open.
pub(super) struct Behind {
    pub db: sled::Db,
    pub disk: Disk,
}

impl Behind {
    pub(super) fn open(path: &Path, options: &SledOptions, syncs: &Arc<dyn Syncs>) -> Result<Self, OpenError> {
        let io = |e| OpenError::Io(path.into(), e);
        disk::clear_unfinished(path).map_err(io)?;
        let place = Place::open(path).map_err(io)?;
        let config = sled::Config::new()
            .path(place.path())
            .mode(sled::Mode::LowSpace)
            .cache_capacity((options.cache_bytes / 2).max(1 << 20))
            .flush_every_ms(Some(500))
            .use_compression(false);
        let db = guarded(|| config.open().map_err(sled_says)).map_err(|e| e.at(path))?;
        let disk = Disk::settle(path, place, options.reserve_bytes, syncs.clone()).map_err(io)?;
        Ok(Self { db, disk })
    }

    /// How far it has come.
    pub(super) fn applied(&self) -> Result<Option<Position>, OpenError> {
        let key = keys::meta(log::APPLIED);
        let bytes = self.db.get(&key).map_err(sled_says)?;
        bytes.map(|bytes| codec::decode(&key, &bytes)).transpose().map_err(OpenError::Store)
    }

    /// The same once more, with nothing in memory.
    pub(super) fn reopened(
        self,
        path: &Path,
        options: &SledOptions,
        syncs: &Arc<dyn Syncs>,
    ) -> Result<Self, OpenError> {
        self.settle()?;
        drop(self);
        let closed = Instant::now();
        loop {
            match Self::open(path, options, syncs) {
                // Its threads let go of its files a moment after it was closed.
                Err(e) if e.to_string().contains("acquire lock") && closed.elapsed() < LETS_GO => {
                    std::thread::yield_now();
                }
                opened => return opened,
            }
        }
    }

    /// A new one at `path`, where nothing is, with what the snapshot has, if there is one; and up to where that is. Nothing
    /// is certain to be on disk yet.
    pub(super) fn loaded(
        found: &Found,
        key: Arc<dyn Mac>,
        path: &Path,
        options: &SledOptions,
        syncs: &Arc<dyn Syncs>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(Self, Position), OpenError> {
        let mut slot = Some(Self::open(path, options, syncs)?);
        let gone = |why: &str| OpenError::Io(path.into(), std::io::Error::new(ErrorKind::Interrupted, why));
        guarded(|| {
            let mut loaded = 0;
            let reached = found.load(key, |batch, bytes| {
                if !go_on() {
                    return Err(gone("the store is to close"));
                }
                slot.as_ref().ok_or_else(|| gone("sled is closed"))?.db.apply_batch(batch).map_err(sled_says)?;
                loaded += bytes;
                if loaded > REOPENED_EVERY {
                    loaded = 0;
                    let full = slot.take().ok_or_else(|| gone("sled is closed"))?;
                    slot = Some(full.reopened(path, options, syncs)?);
                }
                Ok(())
            })?;
            Ok((slot.take().ok_or_else(|| gone("sled is closed"))?, reached))
        })
    }

    /// Makes certain what a replay brought.
    pub(super) fn settle(&self) -> Result<(), OpenError> {
        self.db.flush().map_err(sled_says)?;
        self.disk.sync().map_err(|e| OpenError::Io("sled".into(), e))
    }
}

/// Where sled's files go that are not taken as they are.
pub(super) fn aside(path: &Path) -> PathBuf {
    path.with_extension("aside")
}

/// Where a sled is made that is to take its place.
pub(super) fn next(path: &Path) -> PathBuf {
    path.with_extension("next")
}

/// There while sled is made anew: what is in it then is not the whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("unfinished")
}

/// Removes what a kill left half made, before sled is looked at. What there was before comes back: if it is not to be taken as
/// it is, that is found out once more.
pub(super) fn clear_half_made(path: &Path, syncs: &dyn Syncs) -> std::io::Result<()> {
    remove(&next(path))?;
    if !unfinished(path).try_exists()? {
        return Ok(());
    }
    warn!(sled = %path.display(), "the store was being made anew when authd ended: what there is of it goes");
    put_back(path, syncs)
}

/// What the marker says where there was nothing to put aside.
const NOTHING: &[u8] = b"nothing was there";

/// Puts what is there of sled aside, to make it anew. What this does can be taken back at every step.
pub(super) fn put_aside(path: &Path, syncs: &dyn Syncs) -> std::io::Result<()> {
    let (aside, unfinished) = (aside(path), unfinished(path));
    let parent = path.parent().unwrap_or(Path::new("/"));
    let is_there = path.try_exists()?;
    // That of the time before goes first: from now on what is aside is what is to come back.
    remove(&aside)?;
    syncs.names(parent)?;
    let mut marker = plain::create(&unfinished)?;
    marker.write_all(if is_there { b"" } else { NOTHING })?;
    syncs.data(&marker, &unfinished)?;
    syncs.names(parent)?;
    if is_there {
        std::fs::rename(path, &aside)?;
    }
    syncs.names(parent)
}

/// Puts back what was there before sled was being made anew.
pub(super) fn put_back(path: &Path, syncs: &dyn Syncs) -> std::io::Result<()> {
    let (aside, unfinished) = (aside(path), unfinished(path));
    let parent = path.parent().unwrap_or(Path::new("/"));
    if aside.try_exists()? {
        remove(path)?;
        std::fs::rename(&aside, path)?;
    } else if plain::read(&unfinished)? == NOTHING {
        remove(path)?;
    }
    syncs.names(parent)?;
    std::fs::remove_file(unfinished)?;
    syncs.names(parent)
}

/// Removes what is left of a sled that was replaced.
///
/// # Errors
/// The system refuses.
pub fn remove_aside(path: &Path) -> std::io::Result<()> {
    remove(&aside(path))
}

pub(super) fn remove(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// sled at work. It may be exchanged: whoever asks for it anew has the one that has everything.
pub(super) struct Current(RwLock<Arc<Behind>>);

impl Current {
    pub(super) fn new(behind: Behind) -> Self {
        Self(RwLock::new(Arc::new(behind)))
    }

    pub(super) fn get(&self) -> Arc<Behind> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers the one before.
    pub(super) fn exchange(&self, behind: Behind) -> Arc<Behind> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), Arc::new(behind))
    }
}
