//! What sled leaves to us: syncing for good, and stopping before the disk is full.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::sys::statvfs::statvfs;

/// Below so much free space nothing is written (sled does not recover from a full disk without being opened anew).
pub(super) const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// Everything that the store relies on to be on disk goes through here, so that a test knows what a power cut would leave.
pub(super) trait Syncs: Send + Sync {
    /// Waits until what was written to the file at `path` is on the device.
    fn data(&self, file: &File, path: &Path) -> io::Result<()>;
    /// Waits until the names in this directory are.
    fn names(&self, directory: &Path) -> io::Result<()>;
    /// Names the time since the machine was started: what was written before it may be lost if it was not synced.
    fn boot(&self) -> io::Result<String>;
}

/// The real thing.
pub(super) struct Device;

impl Syncs for Device {
    fn data(&self, file: &File, _: &Path) -> io::Result<()> {
        file.sync_data()
    }

    fn names(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn boot(&self) -> io::Result<String> {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
    }
}

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

/// A directory by which sled finds its files wherever the directory goes: its path is that of the open descriptor.
pub(super) struct Place {
    /// `None` where there is no `/proc`.
    open: Option<File>,
    path: PathBuf,
}

impl Place {
    /// Makes the directory, if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let open = File::open(path)?;
        let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        Ok(match by_descriptor.is_dir() {
            true => Self { open: Some(open), path: by_descriptor },
            false => Self { open: None, path: path.into() },
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether sled still finds its files when the directory has another name.
    pub(super) fn can_move(&self) -> bool {
        self.open.is_some()
    }
}

/// sled's data file, held open to be synced, and the file system it is on.
pub(super) struct Disk {
    data: File,
    directory: PathBuf,
    place: Place,
    reserve: u64,
    syncs: Arc<dyn Syncs>,
}

impl Disk {
    /// Syncs everything that opening may have made: sled's files, its directory, and the one above.
    pub(super) fn settle(directory: &Path, place: Place, reserve: u64, syncs: Arc<dyn Syncs>) -> io::Result<Self> {
        let conf = directory.join("conf");
        syncs.data(&File::open(&conf)?, &conf)?;
        let data = directory.join("db");
        let file = File::options().read(true).write(true).open(&data)?;
        syncs.data(&file, &data)?;
        syncs.names(directory)?;
        if let Some(parent) = directory.parent() {
            syncs.names(parent)?;
        }
        Ok(Self { data: file, directory: directory.into(), place, reserve, syncs })
    }

    /// The same after the directory was given another name, once more synced.
    pub(super) fn moved(self, directory: &Path) -> io::Result<Self> {
        let Self { place, reserve, syncs, .. } = self;
        Self::settle(directory, place, reserve, syncs)
    }

    /// Whether the directory may be given another name while sled is open.
    pub(super) fn can_move(&self) -> bool {
        self.place.can_move()
    }

    /// Waits until what sled wrote is on the device. What is too large for its file it puts in one of its own, and never
    /// syncs it; our records are too small for that, and this holds should they ever not be.
    pub(super) fn sync(&self) -> io::Result<()> {
        let blobs = self.directory.join("blobs");
        let mut any = false;
        for blob in std::fs::read_dir(&blobs)? {
            let blob = blob?.path();
            self.syncs.data(&File::open(&blob)?, &blob)?;
            any = true;
        }
        if any {
            self.syncs.names(&blobs)?;
        }
        self.syncs.data(&self.data, &self.directory.join("db"))
    }

    /// Whether there is room to write. What cannot be found out counts as room: the write itself will tell.
    pub(super) fn has_space(&self) -> bool {
        self.has_space_for(0)
    }

    /// Whether there is room for so many bytes more.
    pub(super) fn has_space_for(&self, bytes: u64) -> bool {
        self.free_bytes().is_none_or(|free| free > self.reserve.saturating_add(bytes))
    }

    /// How much room is free, if that can be found out.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        statvfs(&self.directory).ok().map(|fs| fs.blocks_available().saturating_mul(fs.fragment_size()))
    }

    /// Below so much nothing is written.
    pub(super) fn reserve_bytes(&self) -> u64 {
        self.reserve
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
