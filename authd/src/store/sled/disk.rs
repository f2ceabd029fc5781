//! What sled leaves to us: syncing for good, and stopping before the disk is full.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::statvfs;

/// Below so much free space nothing is written (sled does not recover from a full disk without being opened anew).
pub(super) const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// Removes what is left of a store that was killed while sled made it: a `conf` that may be cut off, which sled would refuse
/// for good. `db` is what sled makes last, so without one nothing has ever been stored.
pub(super) fn clear_unfinished(directory: &Path) -> io::Result<()> {
    if directory.join("db").try_exists()? {
        return Ok(());
    }
    match std::fs::remove_file(directory.join("conf")) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// sled's data file, held open to be synced, and the file system it is on.
pub(super) struct Disk {
    data: File,
    directory: PathBuf,
    reserve: u64,
}

impl Disk {
    /// Syncs everything that opening may have made: sled's files, its directory, and the one above.
    pub(super) fn settle(directory: &Path, reserve: u64) -> io::Result<Self> {
        File::open(directory.join("conf"))?.sync_all()?;
        let data = File::options().read(true).write(true).open(directory.join("db"))?;
        data.sync_all()?;
        File::open(directory)?.sync_all()?;
        if let Some(parent) = directory.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { data, directory: directory.into(), reserve })
    }

    /// Waits until what sled wrote is on the device. What is too large for its file it puts in one of its own, and never
    /// syncs it; our records are too small for that, and this holds should they ever not be.
    pub(super) fn sync(&self) -> io::Result<()> {
        let blobs = self.directory.join("blobs");
        let mut any = false;
        for blob in std::fs::read_dir(&blobs)? {
            File::open(blob?.path())?.sync_data()?;
            any = true;
        }
        if any {
            File::open(&blobs)?.sync_all()?;
        }
        self.data.sync_data()
    }

    /// Whether there is room to write. What cannot be found out counts as room: the write itself will tell.
    pub(super) fn has_space(&self) -> bool {
        statvfs(&self.directory).map_or(true, |fs| {
            let free = fs.blocks_available().saturating_mul(fs.fragment_size());
            free > self.reserve
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::store::sled::{Opening, SledOptions};

    #[test]
    fn a_store_that_was_killed_while_it_was_made_is_made_anew_and_one_with_data_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sled");
        drop(Opening::open(&path, SledOptions::default()).unwrap());
        let conf = std::fs::read(path.join("conf")).unwrap();
        for cut in [0, 4, conf.len() - 4, conf.len()] {
            let unfinished = dir.path().join(format!("cut-{cut}"));
            std::fs::create_dir_all(unfinished.join("blobs")).unwrap();
            std::fs::write(unfinished.join("conf"), &conf[..cut]).unwrap();
            assert!(Opening::open(&unfinished, SledOptions::default()).is_ok(), "{cut}");
        }

        std::fs::write(path.join("conf"), &conf[..conf.len() - 4]).unwrap();
        assert!(Opening::open(&path, SledOptions::default()).is_err(), "this one is damaged");
        assert_eq!(std::fs::read(path.join("conf")).unwrap(), conf[..conf.len() - 4], "and left as it is");
    }
}
