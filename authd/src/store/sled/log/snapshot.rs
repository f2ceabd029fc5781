//! Snapshots: everything that the store has at one sequence, made from the snapshot before and the segments since, not from
//! sled. So it is exact whatever sled is like, and nobody waits for it: it reads only what nobody writes to any more.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use common::UnixTime;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::{
    super::disk::Syncs,
    LogError, Pair, Position,
    merge::{Merged, Overlay},
    plain,
    replay::{Walked, walk},
    segment::{self, Segment, io_at},
    sorted::{self, Reader, Writer},
};
use crate::ports::Mac;

/// A snapshot that is there.
#[derive(Debug, Clone)]
pub(in super::super) struct Snapshot {
    pub path: PathBuf,
    /// The format of the store it is of.
    pub format: u32,
    /// Where it stands in the log.
    pub position: Position,
    pub bytes: u64,
    pub made: UnixTime,
}

impl Snapshot {
    /// Refuses one of a format newer than this.
    pub(super) fn up_to(&self, known: u32) -> Result<(), LogError> {
        match self.format > known {
            true => Err(LogError::Newer { path: self.path.clone(), found: self.format, known }),
            false => Ok(()),
        }
    }
}

const EXTENSION: &str = "snapshot";

fn path_of(directory: &Path, seq: u64) -> PathBuf {
    directory.join(format!("{seq:020}.{EXTENSION}"))
}

/// The snapshots that are there, by their names, the oldest first.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>, LogError> {
    let mut found = vec![];
    for entry in std::fs::read_dir(directory).map_err(io_at(directory))? {
        let path = entry.map_err(io_at(directory))?.path();
        let is_one = path.extension().is_some_and(|e| e == EXTENSION)
            && path.file_stem().is_some_and(|stem| stem.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        if is_one {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The newest snapshot, by its name and header.
pub(super) fn newest(directory: &Path) -> Result<Option<Snapshot>, LogError> {
    let Some(path) = list(directory)?.pop() else { return Ok(None) };
    let (format, position) = sorted::header(&path)?;
    if path_of(directory, position.seq) != path {
        let what = format!("it is the snapshot of sequence {}", position.seq);
        return Err(LogError::Damaged { path, offset: 0, sequence: 0, what });
    }
    of(path, format, position).map(Some)
}

/// What the file at `path` says of itself.
fn of(path: PathBuf, format: u32, position: Position) -> Result<Snapshot, LogError> {
    let meta = path.metadata().map_err(io_at(&path))?;
    let made = unix_time(meta.modified().map_err(io_at(&path))?);
    Ok(Snapshot { path, format, position, bytes: meta.len(), made })
}

/// A time of the file system.
pub(in super::super) fn unix_time(at: SystemTime) -> UnixTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Bytes of changes that a merge holds in memory.
const MEMORY: usize = 48 << 20;

/// What the store is after `segments`, which follow the snapshot `ground` (or the very beginning), and where that is. The
/// chain is checked on the way; the last segment may end with a torn record.
pub(super) fn state(
    directory: &Path,
    ground: Option<&Snapshot>,
    segments: &[Segment],
    key: &Arc<dyn Mac>,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<(Merged, Walked)>, LogError> {
    let begin = ground.map_or_else(Position::default, |snapshot| snapshot.position);
    let mut overlay = Overlay::new(directory, key.clone(), MEMORY);
    let mut stopped = false;
    let walked = walk(segments, begin, &**key, &mut |record, path, at| {
        stopped = stopped || !go_on();
        if stopped {
            return Ok(());
        }
        overlay.add(record)?.ok_or_else(|| LogError::Damaged {
            path: path.into(),
            offset: at,
            sequence: record.first - 1,
            what: "a record that cannot be read".into(),
        })
    })?;
    if stopped {
        return Ok(None);
    }
    let ground = ground.map(|snapshot| Reader::open(&snapshot.path, key.clone())).transpose()?;
    Ok(Some((overlay.over(ground), walked)))
}

/// Makes the snapshot, of this format, that reaches to the end of the last segment but one. It has its name when it is whole, on disk and
/// was read back. `None`: there is nothing new, or `go_on` said no.
pub(in super::super) fn make(
    directory: &Path,
    (key, format): (&Arc<dyn Mac>, u32),
    syncs: &dyn Syncs,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Snapshot>, LogError> {
    let ground = newest(directory)?;
    let begin = ground.as_ref().map_or(0, |snapshot| snapshot.position.seq);
    let segments = segment::list(directory, begin)?;
    let Some((open, closed)) = segments.split_last() else { return Ok(None) };
    let end = Position { seq: open.header.first - 1, mac: open.header.mac };
    if end.seq <= begin || closed.is_empty() {
        return Ok(None);
    }
    let Some((merged, walked)) = state(directory, ground.as_ref(), closed, key, go_on)? else { return Ok(None) };
    if walked.end != end {
        let what = format!("the segments before it end at {}", walked.end.seq);
        return Err(LogError::Damaged { path: open.path.clone(), offset: 0, sequence: walked.end.seq, what });
    }
    write(directory, end, merged, (key, format), syncs, go_on)
}

/// Writes a snapshot of these entries, in the order of their keys. It has its name when it is whole, on disk and was read
/// back. `None`: `go_on` said no.
pub(super) fn write(
    directory: &Path,
    end: Position,
    entries: impl Iterator<Item = Result<Pair, LogError>>,
    (key, format): (&Arc<dyn Mac>, u32),
    syncs: &dyn Syncs,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Snapshot>, LogError> {
    let unborn = directory.join(format!("unborn.{EXTENSION}"));
    let io = io_at(&unborn);
    let mut writer = Writer::begin(plain::create(&unborn).map_err(&io)?, format, &end, &**key).map_err(&io)?;
    let written = (|| {
        for entry in entries {
            if !go_on() {
                return Ok(None);
            }
            let (key, value) = entry?;
            writer.push(&key, Some(&value)).map_err(&io)?;
        }
        writer.finish().map(Some).map_err(&io)
    })();
    let written = match written {
        Ok(Some(written)) => written,
        not_done => {
            // It has no meaning, and it may be what fills the disk.
            let _ = std::fs::remove_file(&unborn);
            return not_done.map(|_| None);
        }
    };
    syncs.data(&written.file, &unborn).map_err(&io)?;
    if !read_back(&written.file, &unborn, end, written.entries, key, go_on)? {
        let _ = std::fs::remove_file(&unborn);
        return Ok(None);
    }
    let path = path_of(directory, end.seq);
    std::fs::rename(&unborn, &path).map_err(io_at(&path))?;
    syncs.names(directory).map_err(io_at(directory))?;
    of(path, format, end).map(Some)
}

/// Reads what is on disk, not what is in memory, as far as the system lets go of it.
fn read_back(
    file: &File,
    path: &Path,
    position: Position,
    entries: u64,
    key: &Arc<dyn Mac>,
    go_on: &dyn Fn() -> bool,
) -> Result<bool, LogError> {
    // Best effort: a file system may not know of it.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    let mut reader = Reader::open(path, key.clone())?;
    let mut found = 0;
    for entry in reader.by_ref() {
        entry?;
        found += 1;
        if !go_on() {
            return Ok(false);
        }
    }
    if (found, reader.position()) != (entries, position) {
        let what = format!("{entries} entries were written, and {found} are there");
        return Err(LogError::Damaged { path: path.into(), offset: 0, sequence: position.seq, what });
    }
    Ok(true)
}
