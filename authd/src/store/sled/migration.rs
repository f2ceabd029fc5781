//! A store of an older format becomes one of the format that is written now. First it is kept as it was, so that the authd before
//! can have it back; then, by one file that gets its name, it has the new format. A kill leaves it in the one or the other.
//!
//! Records of older formats stay as they are and are read for good (`codec.rs`), so nothing else has to change: what an older
//! authd would not understand is written behind the segment that names the new format, and it refuses that.

use std::{
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{info, warn};

use super::{
    SledOptions,
    behind::remove,
    disk::{Disk, Syncs},
    log::{Found, Log, LogError, plain},
    opening::{OpenError, Opening},
};
use crate::{ports::Mac, store::StoreError};

/// What a store that is kept is called, up to the format that came after it.
const KEPT: &str = "before-format-";

/// Where the store is kept as it was before it had this format: beside `log`.
fn kept(log: &Path, format: u32) -> PathBuf {
    log.with_file_name(format!("{KEPT}{format}"))
}

/// The stores that are kept in a data directory, as they were before another format.
pub fn kept_stores(data: &Path) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix(KEPT).is_some_and(|format| !format.is_empty() && format.bytes().all(|b| b.is_ascii_digit()))
    };
    let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_one).collect();
    found.sort();
    found
}

/// What format a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats {
    /// This one.
    pub found: u32,
    /// And this one is written by this program.
    pub written: u32,
    /// So many bytes it takes to keep the store as it is.
    pub bytes: u64,
}

impl Opening {
    /// What format the store has, and what it takes to give it the one that is written now.
    ///
    /// # Errors
    /// Its files cannot be looked at.
    pub fn formats(&self) -> Result<Formats, OpenError> {
        let (snapshot, (_, segments)) = self.found.sizes()?;
        let bytes = snapshot.map_or(0, |(_, bytes)| bytes) + segments;
        Ok(Formats { found: self.found.format(), written: self.options.format(), bytes })
    }
}

/// Gives the store the format that is written now, if it has an older one. `log` is at the end of `found`.
pub(super) fn migrate(
    found: &Found,
    log: &mut Log,
    disk: &Disk,
    key: Arc<dyn Mac>,
    options: &SledOptions,
    syncs: &Arc<dyn Syncs>,
) -> Result<(), OpenError> {
    let (from, to) = (found.format(), options.format());
    if from >= to {
        return Ok(());
    }
    let kept = kept(found.directory(), to);
    if !found.is_blank() {
        warn!(from, to, kept = %kept.display(), "the store gets another format; it is kept as it is");
        keep(found, log, &kept, disk, key, syncs)?;
    }
    log.raise().map_err(|e| OpenError::Io(found.directory().into(), e))?;
    info!(from, to, "the store has another format now");
    Ok(())
}

/// Copies all that the store is made of, reads the copy back, and gives it its name.
fn keep(
    found: &Found,
    log: &Log,
    kept: &Path,
    disk: &Disk,
    key: Arc<dyn Mac>,
    syncs: &Arc<dyn Syncs>,
) -> Result<(), OpenError> {
    let apart = |what: &str| LogError::Apart { path: found.directory().into(), what: what.into() };
    if !found.is_complete() {
        return Err(apart("it has not everything, so that the store cannot be kept before its format changes").into());
    }
    let (snapshot, (_, segments)) = found.sizes()?;
    if !disk.has_space_for(snapshot.map_or(0, |(_, bytes)| bytes) + segments) {
        return Err(OpenError::Store(StoreError::Full));
    }
    let unfinished = kept.with_extension("unfinished");
    copy(found, &unfinished, &**syncs).map_err(|e| OpenError::Io(unfinished.clone(), e))?;
    let mut copied = Found::look(&unfinished.join("log"))?.up_to(found.format())?;
    let read_back = copied.check(None, None, &*key, &**syncs)?;
    copied.read_snapshot(key)?;
    if read_back.end != log.end() {
        return Err(apart("what was kept of it is not the whole").into());
    }
    let name = || {
        // Of a migration that was killed before the store had the new format.
        remove(kept)?;
        std::fs::rename(&unfinished, kept)?;
        kept.parent().map_or(Ok(()), |parent| syncs.names(parent))
    };
    name().map_err(|e| OpenError::Io(kept.into(), e))
}

fn copy(found: &Found, to: &Path, syncs: &dyn Syncs) -> io::Result<()> {
    remove(to)?;
    let log = to.join("log");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&log)?;
    let keys = std::fs::read_dir(found.directory())?.map(|entry| entry.map(|entry| entry.path()));
    let keys: Vec<PathBuf> = keys.collect::<Result<_, _>>()?;
    let is_key = |path: &&PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"key-"));
    for file in found.files().chain(keys.iter().filter(is_key).map(PathBuf::as_path)) {
        let path = log.join(file.file_name().unwrap_or_default());
        let mut copied = plain::create(&path)?;
        io::copy(&mut plain::open(file)?, &mut copied)?;
        copied.flush()?;
        syncs.data(&copied, &path)?;
    }
    syncs.names(&log)?;
    syncs.names(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_kept_whole_counts_as_kept() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["before-format-2", "before-format-10", "before-format-3.unfinished", "before-format-", "log"] {
            std::fs::create_dir(temp.path().join(name)).unwrap();
        }
        let names = kept_stores(temp.path()).into_iter().map(|path| path.file_name().unwrap().to_owned());
        assert_eq!(names.collect::<Vec<_>>(), ["before-format-10", "before-format-2"]);
    }
}
