//! What sled leaves to us: syncing for good, and stopping before the disk is full.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::statvfs;

/// Below so much free space nothing is written (sled does not recover from a full disk without being opened anew).
pub(super) const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

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

    /// Waits until what sled wrote is on the device.
    pub(super) fn sync(&self) -> io::Result<()> {
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
