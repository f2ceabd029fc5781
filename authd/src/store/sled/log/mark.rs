//! Whether sled's files can be trusted. sled reuses places in its file before what took their place is certain to be on disk,
//! so after a crash of the machine, not of the process, it may lack some of what it says it has, here and there and without
//! a word. A mark beside the log says since which start of the machine the store is open; a clean stop removes it.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::{super::disk::Syncs, segment};

fn path(directory: &Path) -> PathBuf {
    directory.join("open-since")
}

/// Whether the machine went down while the store was open.
pub(super) fn machine_went_down(directory: &Path, syncs: &dyn Syncs) -> io::Result<bool> {
    match std::fs::read_to_string(path(directory)) {
        Ok(boot) => Ok(boot != syncs.boot()?),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// The store is open from now on.
pub(super) fn set(directory: &Path, syncs: &dyn Syncs) -> io::Result<()> {
    segment::make(directory, &path(directory), syncs.boot()?.as_bytes(), syncs).map(drop)
}

/// sled has everything, and it is on disk.
pub(super) fn clear(directory: &Path, syncs: &dyn Syncs) -> io::Result<()> {
    std::fs::remove_file(path(directory))?;
    syncs.names(directory)
}
