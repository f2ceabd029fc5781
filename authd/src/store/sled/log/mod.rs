//! The commit log: what a group of intents changed is appended here and synced, and that is the commit point. sled behind
//! it may lose its tail, or all of it: what it has not is replayed from here when it is opened. FORMAT.md has the bytes and
//! the rules.

mod aftermath;
mod key_file;
mod mark;
mod merge;
pub(super) mod plain;
mod record;
mod replay;
mod segment;
mod snapshot;
mod sorted;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use self::record::FORMAT;
use self::record::{HEADER_BYTES, Header};
pub(super) use self::{
    aftermath::Aftermath,
    record::{Draft, Position},
    replay::{Found, Walked, put_applied},
    snapshot::{Snapshot, unix_time},
};
use super::disk::Syncs;
use crate::{ports::Mac, store::SealedSecret};

/// The purpose of the secret that is the log's key.
pub const PURPOSE: &str = "log";
/// The name under which sled keeps how far it has come.
pub(super) const APPLIED: &str = "log";

/// Why the log is not taken. Nothing is repaired, nothing is deleted.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none, and the store has data.
    #[error("the store has data and its commit log {0} is not there")]
    Missing(PathBuf),
    /// A segment or snapshot was written by a newer authd.
    #[error("{path} has format {found}, and this authd knows up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// In the file.
        found: u32,
        /// Of this program.
        known: u32,
    },
    /// Something in it does not fit.
    #[error("the commit log is damaged: {}, offset {offset}, after sequence {sequence}: {what}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The last sequence before it that is known to be right; 0 if none is.
        sequence: u64,
        /// What does not fit.
        what: String,
    },
    /// The log and the store behind it are not of one piece.
    #[error("the commit log {path} and the store do not fit: {what}")]
    Apart {
        /// The directory.
        path: PathBuf,
        /// How.
        what: String,
    },
}

/// The log's end, to which the writer appends.
pub(super) struct Log {
    directory: PathBuf,
    path: PathBuf,
    file: File,
    /// The format of segments that are begun.
    format: u32,
    /// First sequence of the segment, and that of the one before it.
    first: u64,
    prior: u64,
    len: u64,
    end: Position,
    key: Arc<dyn Mac>,
    segment_bytes: u64,
    syncs: Arc<dyn Syncs>,
    /// A fault on purpose.
    skips_sync: bool,
}

impl Log {
    /// Where the log ends.
    pub(super) fn end(&self) -> Position {
        self.end
    }

    /// Appends one record with one write and syncs it. After an error nobody knows what is on disk: it must not be tried
    /// again.
    pub(super) fn append(&mut self, draft: Draft) -> io::Result<Position> {
        let too_long = || io::Error::new(io::ErrorKind::FileTooLarge, "the group is too large for one record");
        let (bytes, end) = draft.encode(&self.end, &*self.key).ok_or_else(too_long)?;
        if self.len + bytes.len() as u64 > self.segment_bytes {
            self.rotate()?;
        }
        self.file.write_all_at(&bytes, self.len)?;
        if !self.skips_sync {
            self.syncs.data(&self.file, &self.path)?;
        }
        self.len += bytes.len() as u64;
        self.end = end;
        Ok(end)
    }

    /// Begins the next segment, unless this one is empty. It has its name before anything is appended to it.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        if self.len <= HEADER_BYTES as u64 {
            return Ok(());
        }
        self.begin(self.first)
    }

    /// Begins a segment of the format that is written now; in the place of one that has nothing yet, if there is such a one.
    pub(super) fn raise(&mut self) -> io::Result<()> {
        let is_empty = self.len <= HEADER_BYTES as u64;
        self.begin(if is_empty { self.prior } else { self.first })
    }

    fn begin(&mut self, prior: u64) -> io::Result<()> {
        let header = Header { format: self.format, first: self.end.seq + 1, prior, mac: self.end.mac };
        let path = segment::path(&self.directory, header.first);
        self.file = segment::make(&self.directory, &path, &header.encode(), &*self.syncs)?;
        self.path = path;
        (self.first, self.prior, self.len) = (header.first, prior, HEADER_BYTES as u64);
        Ok(())
    }
}

/// What the mark of an open store is about.
pub(super) struct Mark {
    directory: PathBuf,
    syncs: Arc<dyn Syncs>,
}

impl Mark {
    pub(super) fn new(directory: PathBuf, syncs: Arc<dyn Syncs>) -> Self {
        Self { directory, syncs }
    }

    /// Why sled is not to be taken as it is, if it is not.
    pub(super) fn distrust(&self) -> io::Result<Option<String>> {
        mark::distrust(&self.directory, &*self.syncs)
    }

    /// sled is not what it should be, and is not to be taken as it is the next time.
    pub(super) fn is_wrong(&self, why: &str) -> io::Result<()> {
        mark::is_wrong(&self.directory, why, &*self.syncs)
    }

    /// The store is open from now on.
    pub(super) fn set(&self) -> io::Result<()> {
        mark::set(&self.directory, &*self.syncs)
    }

    /// sled has everything, and it is on disk.
    pub(super) fn clear(&self) -> io::Result<()> {
        mark::clear(&self.directory, &*self.syncs)
    }
}

/// The sealed keys of the log: the files, for whoever does not write to the log itself.
pub(super) struct Keys {
    directory: PathBuf,
    syncs: Arc<dyn Syncs>,
}

impl Keys {
    pub(super) fn new(directory: PathBuf, syncs: Arc<dyn Syncs>) -> Self {
        Self { directory, syncs }
    }

    /// Those of which master keys there are, by their fingerprints.
    pub(super) fn list(&self) -> Result<Vec<String>, LogError> {
        if self.directory.is_dir() { key_file::list(&self.directory) } else { Ok(vec![]) }
    }

    /// The one for this master key.
    pub(super) fn read(&self, fingerprint: &str) -> Result<Option<SealedSecret>, LogError> {
        key_file::read(&self.directory, fingerprint)
    }

    /// Writes the one for this master key down.
    pub(super) fn put(&self, fingerprint: &str, key: &SealedSecret) -> Result<(), LogError> {
        segment::make_directory(&self.directory, &*self.syncs).map_err(segment::io_at(&self.directory))?;
        key_file::write(&self.directory, fingerprint, key, &*self.syncs)
    }

    /// Removes those for all other master keys.
    pub(super) fn keep_only(&self, fingerprint: &str) -> Result<(), LogError> {
        key_file::keep_only(&self.directory, fingerprint, &*self.syncs)
    }
}

/// A key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// The snapshots of a log, for whoever does not write to the log itself.
pub(super) struct Snapshots {
    directory: PathBuf,
    key: Arc<dyn Mac>,
    /// The format of those that are written.
    format: u32,
    syncs: Arc<dyn Syncs>,
}

impl Snapshots {
    pub(super) fn new(directory: PathBuf, (key, format): (Arc<dyn Mac>, u32), syncs: Arc<dyn Syncs>) -> Self {
        Self { directory, key, format, syncs }
    }

    /// The newest one, by its header.
    pub(super) fn newest(&self) -> Result<Option<Snapshot>, LogError> {
        snapshot::newest(&self.directory)
    }

    /// Makes one that reaches to the end of the last segment but one, on disk and read back. `None`: there is nothing new,
    /// or `go_on` said no.
    pub(super) fn make(&self, go_on: &dyn Fn() -> bool) -> Result<Option<Snapshot>, LogError> {
        snapshot::make(&self.directory, (&self.key, self.format), &*self.syncs, go_on)
    }

    /// Makes one of these entries, in the order of their keys: what the store has at this position.
    pub(super) fn write(
        &self,
        position: Position,
        entries: impl Iterator<Item = Result<Pair, LogError>>,
    ) -> Result<Snapshot, LogError> {
        let key = (&self.key, self.format);
        let made = snapshot::write(&self.directory, position, entries, key, &*self.syncs, &|| true)?;
        let not_done = || io::Error::other("it was not written");
        made.ok_or_else(|| LogError::Io { path: self.directory.clone(), source: not_done() })
    }

    /// What a snapshot has, key by key in their order.
    pub(super) fn read(&self, snapshot: &Snapshot) -> Result<impl Iterator<Item = Result<Pair, LogError>>, LogError> {
        let reader = sorted::Reader::open(&snapshot.path, self.key.clone())?;
        Ok(reader.map(|entry| entry.map(|(key, value)| (key, value.unwrap_or_default()))))
    }

    /// The newest one, open: it can be read to its end, also when it has been replaced.
    pub(super) fn open_newest(&self) -> Result<Option<(Snapshot, File)>, LogError> {
        let Some(snapshot) = self.newest()? else { return Ok(None) };
        let file = plain::open(&snapshot.path).map_err(segment::io_at(&snapshot.path))?;
        Ok(Some((snapshot, file)))
    }

    /// Of these keys those that no record behind `position` changed.
    pub(super) fn unchanged_since(
        &self,
        position: Position,
        mut keys: BTreeSet<Vec<u8>>,
    ) -> Result<BTreeSet<Vec<u8>>, LogError> {
        for segment in segment::list(&self.directory, position.seq)? {
            let bytes = segment::read(&segment.path)?;
            let mut at = HEADER_BYTES;
            // The writer may be at its end just now: what is not whole yet sled has not got either.
            while let Some(record) = bytes.get(at..).and_then(record::Record::parse) {
                at += record.len;
                for (key, _) in record.intents().into_iter().flatten().flatten() {
                    keys.remove(key);
                }
            }
        }
        Ok(keys)
    }

    /// Removes what this snapshot replaces, oldest first: segments, and snapshots before it. The last segment always stays.
    pub(super) fn prune(&self, snapshot: &Snapshot) -> Result<usize, LogError> {
        prune(&self.directory, snapshot.position.seq, &*self.syncs)
    }

    /// How many segments no snapshot replaces, and how many bytes they have.
    pub(super) fn log_size(&self) -> Result<(u64, u64), LogError> {
        let behind = self.newest()?.map_or(0, |snapshot| snapshot.position.seq);
        segment::list(&self.directory, behind)?.into_iter().try_fold((0, 0), |(segments, bytes), segment| {
            let meta = segment.path.metadata().map_err(segment::io_at(&segment.path))?;
            Ok((segments + 1, bytes + meta.len()))
        })
    }
}

/// What a snapshot has, key by key in their order.
pub(super) type Pairs = Box<dyn Iterator<Item = Result<Pair, LogError>> + Send>;

/// Reads a snapshot that comes from elsewhere: where it stands, and what it has, key by key in their order. `name` is for
/// messages.
pub(super) fn read_stream(
    source: Box<dyn Read + Send>,
    name: &Path,
    key: &Arc<dyn Mac>,
) -> Result<(Position, Pairs), LogError> {
    let reader = sorted::Reader::from_stream(source, name, key.clone())?;
    if reader.format() > FORMAT {
        return Err(LogError::Newer { path: name.into(), found: reader.format(), known: FORMAT });
    }
    let position = reader.position();
    let entries = reader.map(|entry| entry.map(|(key, value)| (key, value.unwrap_or_default())));
    Ok((position, Box::new(entries)))
}

/// Makes the log of a new store of this format from these entries: a snapshot at `position`, and the segment behind it.
pub(super) fn begin_at(
    directory: &Path,
    position: Position,
    entries: impl Iterator<Item = Result<Pair, LogError>>,
    (key, format): (&Arc<dyn Mac>, u32),
    syncs: &Arc<dyn Syncs>,
) -> Result<(), LogError> {
    Snapshots::new(directory.into(), (key.clone(), format), syncs.clone()).write(position, entries)?;
    let header = Header { format, first: position.seq + 1, prior: 0, mac: position.mac };
    let path = segment::path(directory, header.first);
    segment::make(directory, &path, &header.encode(), &**syncs).map(drop).map_err(segment::io_at(&path))
}

/// The newest snapshot, if even its header is damaged.
pub(super) fn damaged_snapshot(directory: &Path) -> Result<Option<PathBuf>, LogError> {
    match snapshot::newest(directory) {
        Err(LogError::Damaged { path, .. }) => Ok(Some(path)),
        Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(|_| None),
    }
}

/// Removes the segments all of whose records are at or below `up_to`, and the snapshots below it, the oldest first. The last
/// segment always stays. Answers how many segments went.
fn prune(directory: &Path, up_to: u64, syncs: &dyn Syncs) -> Result<usize, LogError> {
    let remove = |path: &Path| std::fs::remove_file(path).map_err(segment::io_at(path));
    // By their names: after a power cut some may be missing among those that a snapshot replaced.
    let segments = segment::names(directory)?;
    let mut gone = 0;
    for pair in segments.windows(2) {
        if pair[1].0.is_none_or(|first| first > up_to.saturating_add(1)) {
            break;
        }
        remove(&pair[0].1)?;
        gone += 1;
    }
    let snapshots = snapshot::list(directory)?;
    for old in &snapshots[..snapshots.len().saturating_sub(1)] {
        remove(old)?;
    }
    syncs.names(directory).map_err(segment::io_at(directory))?;
    Ok(gone)
}
