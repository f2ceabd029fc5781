//! Whether sled's files can be trusted. sled reuses places in its file before what took their place is certain to be on disk,
//! so after a crash of the machine, not of the process, it may lack some of what it says it has, here and there and without
//! a word. A mark beside the log says since which start of the machine the store is open; a clean stop removes it.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::{super::disk::Syncs, plain, segment};

fn path(directory: &Path) -> PathBuf {
    directory.join("open-since")
}

/// What stands in the mark instead, where sled was seen to be wrong.
const WRONG: &str = "wrong: ";

/// Why sled is not to be taken as it is, if it is not.
pub(super) fn distrust(directory: &Path, syncs: &dyn Syncs) -> io::Result<Option<String>> {
    let read = || String::from_utf8(plain::read(&path(directory))?).map_err(io::Error::other);
    match read() {
        Ok(mark) => Ok(match mark.strip_prefix(WRONG) {
            Some(why) => Some(why.to_owned()),
            None => (mark != syncs.boot()?).then(|| "the machine went down while the store was open".into()),
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// sled is not to be taken as it is the next time.
pub(super) fn is_wrong(directory: &Path, why: &str, syncs: &dyn Syncs) -> io::Result<()> {
    // The writer may be making the next segment.
    segment::make_as("unborn-mark", directory, &path(directory), format!("{WRONG}{why}").as_bytes(), syncs).map(drop)
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
