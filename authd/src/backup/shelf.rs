//! The daemon's own directory of backups: its user's alone. Nothing in it is opened through a link, and nothing touched whose
//! name is not one of ours.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use common::UnixTime;
use nix::{
    fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise},
    unistd::geteuid,
};

use super::file::{Counted, Opening, Seal, write};
use crate::{
    crypto::{
        age::{Key, Recipient},
        seal::{MasterVault, Sealer},
    },
    ports::{BackupContent, BackupError, BackupFile, Backups, Entropy, Progress},
    store::{OpenSnapshot, SealedSecret},
};

const PREFIX: &str = "authd-";
const EXTENSION: &str = ".backup";
const UNBORN: &str = "unborn";
/// So much is handed out at a time.
const PIECE: u64 = 1 << 20;
/// Without waiting, and not through a link.
const FLAGS: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOFOLLOW).union(OFlag::O_NOCTTY);

/// See the module's text.
pub struct Shelf {
    directory: PathBuf,
    recipients: Vec<Recipient>,
    vault: Arc<MasterVault>,
    entropy: Arc<dyn Entropy>,
    reserve: u64,
}

/// `authd-<time>-<sequence>.backup`: in the order of their names the oldest first.
fn name(now: UnixTime, sequence: u64) -> String {
    let time: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{PREFIX}{time}-{sequence:020}{EXTENSION}")
}

/// When the backup of this name was made. The file's own time is that of the last copy.
fn time_of(name: &str) -> Option<UnixTime> {
    let (seconds, rest) = name.strip_prefix(PREFIX)?.split('-').next()?.split_at_checked(15)?;
    format!("{seconds}.{rest}").parse().ok()
}

fn is_ours(name: &str) -> bool {
    let inner = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(EXTENSION));
    inner.is_some_and(|inner| !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

/// Opens a backup as it may lie anywhere: a plain file.
pub(super) fn open_plain(path: &Path, flags: OFlag) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a plain file")),
    }
}

impl Shelf {
    /// In this directory, which is made when it is needed; sealed also for `recipients`. Nothing is written that would leave
    /// less than `reserve` bytes free.
    pub fn new(
        directory: PathBuf,
        recipients: Vec<Recipient>,
        reserve: u64,
        vault: Arc<MasterVault>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { directory, recipients, vault, entropy, reserve }
    }

    fn path(&self, name: &str) -> Result<PathBuf, BackupError> {
        if is_ours(name) { Ok(self.directory.join(name)) } else { Err(BackupError::Missing) }
    }

    fn open(&self, name: &str) -> Result<File, BackupError> {
        open_plain(&self.path(name)?, FLAGS).map_err(|e| match e.kind() {
            ErrorKind::NotFound => BackupError::Missing,
            _ => BackupError::Io(e),
        })
    }

    fn sealer(&self) -> Result<Arc<Sealer>, BackupError> {
        self.vault.current().map_err(|_| BackupError::Changing)
    }

    /// Makes the directory, or checks that nobody else can put anything there.
    fn settle(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            // What is put into it is on disk only if the directory is.
            Ok(()) => {
                let above = self.directory.parent().filter(|above| !above.as_os_str().is_empty());
                File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        let meta = self.directory.symlink_metadata()?;
        let is_own = meta.is_dir() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o022 == 0;
        match is_own {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "{} is not a directory of authd's user (uid {}) that nobody else can write to",
                self.directory.display(),
                geteuid()
            ))),
        }
    }

    fn check_room(&self, needed: u64) -> Result<(), BackupError> {
        let stat = nix::sys::statvfs::statvfs(&self.directory).map_err(io::Error::from)?;
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        if free < needed.saturating_add(self.reserve) { Err(BackupError::Full) } else { Ok(()) }
    }

    /// Writes it under no name yet, and reads it back from the disk.
    fn unborn(
        &self,
        unborn: &Path,
        snapshot: OpenSnapshot,
        log_key: &SealedSecret,
        now: UnixTime,
        progress: &Arc<Progress>,
    ) -> Result<BackupContent, BackupError> {
        let master = self.sealer()?;
        let seal = Seal { master: &master, recipients: &self.recipients, entropy: &*self.entropy };
        let OpenSnapshot { file: source, sequence, .. } = snapshot;
        let source = Counted { inner: source, progress: progress.clone() };
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(unborn)?;
        write(io::BufWriter::with_capacity(1 << 20, &file), &seal, (source, sequence), log_key, now)?;
        file.sync_all()?;
        // Best effort: what is read back should come from the disk.
        let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        file.seek(SeekFrom::Start(0))?;
        let file = Counted { inner: file, progress: progress.clone() };
        Opening::open(file, unborn, &Key::Master(&master))?.verify()
    }
}

impl Backups for Shelf {
    fn make(
        &self,
        snapshot: OpenSnapshot,
        log_key: &SealedSecret,
        now: UnixTime,
        progress: &Arc<Progress>,
    ) -> Result<(BackupFile, BackupContent), BackupError> {
        self.settle()?;
        self.check_room(snapshot.bytes)?;
        progress.total.store(snapshot.bytes * 2, Ordering::Relaxed);
        let unborn = self.directory.join(UNBORN);
        match std::fs::remove_file(&unborn) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        let name = name(now, snapshot.sequence);
        let made = self.unborn(&unborn, snapshot, log_key, now, progress).and_then(|content| {
            std::fs::rename(&unborn, self.directory.join(&name))?;
            File::open(&self.directory)?.sync_all()?;
            Ok(content)
        });
        match made {
            Ok(content) => {
                let bytes = self.directory.join(&name).symlink_metadata()?.len();
                Ok((BackupFile { name, bytes, made_at: now }, content))
            }
            Err(e) => {
                // It has no meaning, and it may be what fills the disk.
                let _ = std::fs::remove_file(&unborn);
                Err(match e {
                    BackupError::Io(e) if e.kind() == ErrorKind::StorageFull => BackupError::Full,
                    other => other,
                })
            }
        }
    }

    fn list(&self) -> Result<Vec<BackupFile>, BackupError> {
        let entries = match std::fs::read_dir(&self.directory) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
            entries => entries?,
        };
        let mut found = vec![];
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let meta = entry.metadata()?;
            if meta.is_file() && is_ours(&name) {
                let changed = UnixTime::from_millis(meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000);
                let made_at = time_of(&name).unwrap_or(changed);
                found.push(BackupFile { name, bytes: meta.len(), made_at });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn verify(&self, name: &str, progress: &Arc<Progress>) -> Result<BackupContent, BackupError> {
        let file = self.open(name)?;
        progress.total.store(file.metadata()?.len(), Ordering::Relaxed);
        let file = Counted { inner: file, progress: progress.clone() };
        Opening::open(file, &self.path(name)?, &Key::Master(&*self.sealer()?))?.verify()
    }

    fn piece(&self, name: &str, from: u64) -> Result<Vec<u8>, BackupError> {
        let mut file = self.open(name)?;
        // Beyond what a file of this file system can hold, a seek is an error and not the end.
        if from >= file.metadata()?.len() {
            return Ok(vec![]);
        }
        file.seek(SeekFrom::Start(from))?;
        let mut piece = vec![];
        file.take(PIECE).read_to_end(&mut piece)?;
        Ok(piece)
    }

    fn remove(&self, name: &str) -> Result<(), BackupError> {
        match std::fs::remove_file(self.path(name)?) {
            Err(e) if e.kind() == ErrorKind::NotFound => Err(BackupError::Missing),
            done => Ok(done?),
        }
    }

    fn directory(&self) -> String {
        self.directory.display().to_string()
    }

    fn recipients(&self) -> Vec<String> {
        self.recipients.iter().map(Recipient::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_it_was_made_and_one_of_another_form_does_not() {
        let at = UnixTime::from_millis(1_800_000_000_123);
        assert_eq!(name(at, 7), "authd-20270115T080000123Z-00000000000000000007.backup");
        assert_eq!(time_of(&name(at, 7)), Some(at));
        for odd in ["authd-copy.backup", "authd-1-2.backup", "authd-20270115T080000123-1.backup", "authd-é.backup"] {
            assert_eq!(time_of(odd), None, "{odd}");
        }
    }
}
