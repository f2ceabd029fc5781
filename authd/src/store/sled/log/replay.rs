//! Opening: is the log whole, does it belong to the store behind it, and what has that store not got yet? First everything
//! is looked at, and only when all of it fits anything is changed.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{info, warn};

use super::{
    super::{OpenError, SledOptions, disk::Syncs, keys, txn::unreadable},
    APPLIED, Log, LogError, Position,
    record::{self, HEADER_BYTES, Header, Record},
    segment::{self, Segment, io_at},
};
use crate::{ports::Mac, store::sled::codec};

/// What is there of a log, before its key is known.
pub(in super::super) struct Found {
    directory: PathBuf,
    segments: Vec<Segment>,
    is_blank: bool,
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Applied {
    /// How many intents sled had not got.
    pub intents: u64,
    /// How many bytes of a record that was never whole were cut off.
    pub torn: u64,
}

/// How the log ends, if all of it fits.
struct Verified {
    /// The first segment that was read.
    from: usize,
    end: Position,
    /// The length of the last segment without what is torn.
    len: u64,
    /// Where its last record begins.
    last_record: Option<u64>,
    torn: u64,
}

/// So many bytes of changes make one batch of a replay.
const BATCH_BYTES: usize = 1 << 20;

impl Found {
    /// Looks at names and headers only.
    pub(in super::super) fn look(directory: &Path) -> Result<Self, LogError> {
        let segments = match directory.try_exists().map_err(io_at(directory))? {
            true => segment::list(directory)?,
            false => vec![],
        };
        let is_blank = match segments.as_slice() {
            [] => true,
            [only] if only.header.first == 1 => {
                let bytes = segment::read(&only.path)?;
                Record::parse(&bytes[HEADER_BYTES..]).is_none() && record::find(&bytes, HEADER_BYTES, 1).is_none()
            }
            _ => false,
        };
        Ok(Self { directory: directory.into(), segments, is_blank })
    }

    /// Whether no record was ever written, whole.
    pub(in super::super) fn is_blank(&self) -> bool {
        self.is_blank
    }

    /// Whether it has everything since the store was made.
    pub(in super::super) fn is_complete(&self) -> bool {
        !self.is_blank && self.segments.first().is_some_and(|segment| segment.header.first == 1)
    }

    pub(in super::super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Checks everything from sled's last record on, cuts off what never was whole, and gives sled what it has not got.
    pub(in super::super) fn open(
        mut self,
        db: &sled::Db,
        applied: Position,
        key: Arc<dyn Mac>,
        options: &SledOptions,
        syncs: Arc<dyn Syncs>,
    ) -> Result<(Log, Applied), OpenError> {
        if self.segments.is_empty() {
            if applied != Position::default() {
                let what = format!("the store has sequence {}, and the log has no segment", applied.seq);
                return Err(self.apart(what).into());
            }
            self.begin(&*syncs)?;
        }
        let verified = self.verify(applied, &*key)?;
        let log = self.settle(&verified, key, options, syncs)?;
        let intents = self.apply(db, applied, &verified, options)?;
        Ok((log, Applied { intents, torn: verified.torn }))
    }

    fn apart(&self, what: String) -> LogError {
        LogError::Apart { path: self.directory.clone(), what }
    }

    fn begin(&mut self, syncs: &dyn Syncs) -> Result<(), LogError> {
        segment::make_directory(&self.directory, syncs).map_err(io_at(&self.directory))?;
        let header = Header { first: 1, prior: 0, mac: [0; 32] };
        let path = segment::path(&self.directory, 1);
        segment::make(&self.directory, &path, &header.encode(), syncs).map_err(io_at(&path))?;
        self.segments.push(Segment { path, header });
        Ok(())
    }

    /// Walks the chain from sled's last record to the end.
    fn verify(&self, applied: Position, key: &dyn Mac) -> Result<Verified, LogError> {
        let reaches = |segment: &Segment| segment.header.first <= applied.seq.saturating_add(1);
        let Some(from) = self.segments.iter().rposition(reaches) else {
            let first = self.segments.first().map_or(0, |segment| segment.header.first);
            return Err(self.apart(format!("the store has sequence {}, and the log begins at {first}", applied.seq)));
        };
        let header = self.segments[from].header;
        let mut end = Position { seq: header.first - 1, mac: header.mac };
        let mut met = end == applied;
        let mut verified = Verified { from, end, len: 0, last_record: None, torn: 0 };
        for (i, segment) in self.segments.iter().enumerate().skip(from) {
            let bytes = segment::read(&segment.path)?;
            let damaged = |offset: usize, sequence: u64, what: &str| LogError::Damaged {
                path: segment.path.clone(),
                offset: offset as u64,
                sequence,
                what: what.into(),
            };
            if (segment.header.first, segment.header.mac) != (end.seq + 1, end.mac) {
                return Err(damaged(0, end.seq, "it does not follow the segment before it"));
            }
            let mut at = HEADER_BYTES;
            verified.last_record = None;
            while at < bytes.len() {
                let Some(record) = Record::parse(&bytes[at..]) else {
                    if i + 1 < self.segments.len() {
                        return Err(damaged(at, end.seq, "no whole record, and a segment follows"));
                    }
                    if let Some((next, seq)) = record::find(&bytes, at, end.seq + 1) {
                        let what = format!("no whole record, and one of sequence {seq} follows at offset {next}");
                        return Err(damaged(at, end.seq, &what));
                    }
                    verified.torn = (bytes.len() - at) as u64;
                    break;
                };
                if !record.follows(&end, key) {
                    return Err(damaged(at, end.seq, "a record that does not follow the one before it"));
                }
                if record.intents().is_none() {
                    return Err(damaged(at, end.seq, "a record that cannot be read"));
                }
                verified.last_record = Some(at as u64);
                end = record.end();
                at += record.len;
                met |= end == applied;
            }
            verified.len = at as u64;
        }
        verified.end = end;
        if !met {
            let what =
                if applied.seq > end.seq { format!("the log ends at {}", end.seq) } else { "not by this log".into() };
            return Err(self.apart(format!("the store has sequence {}, and {what}", applied.seq)));
        }
        Ok(verified)
    }

    /// Makes the last segment ready to be appended to. Its last record is written once more: after a sync that failed, or
    /// never came, it may be in memory only, and what is answered from now on rests on it.
    fn settle(
        &self,
        verified: &Verified,
        key: Arc<dyn Mac>,
        options: &SledOptions,
        syncs: Arc<dyn Syncs>,
    ) -> Result<Log, LogError> {
        let Some(Segment { path, header }) = self.segments.last().cloned() else {
            return Err(self.apart("the log has no segment".into()));
        };
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io_at(&path))?;
        let settled = || {
            if verified.torn > 0 {
                file.set_len(verified.len)?;
                file.sync_all()?;
            }
            if let Some(at) = verified.last_record {
                let mut record = vec![0; usize::try_from(verified.len - at).map_err(std::io::Error::other)?];
                file.read_exact_at(&mut record, at)?;
                file.write_all_at(&record, at)?;
            }
            syncs.data(&file, &path)?;
            syncs.names(&self.directory)
        };
        settled().map_err(io_at(&path))?;
        if verified.torn > 0 {
            let (sequence, bytes) = (verified.end.seq, verified.torn);
            warn!(sequence, bytes, file = %path.display(), "a record at the end of the commit log never was whole: cut off");
        }
        Ok(Log {
            directory: self.directory.clone(),
            path,
            file,
            first: header.first,
            len: verified.len,
            end: verified.end,
            key,
            segment_bytes: options.segment_bytes,
            syncs,
            skips_sync: options.faults().skips_log_sync,
        })
    }

    /// Gives sled what it has not got. Every batch names the record it ends with.
    fn apply(
        &self,
        db: &sled::Db,
        applied: Position,
        verified: &Verified,
        options: &SledOptions,
    ) -> Result<u64, OpenError> {
        let missing = verified.end.seq - applied.seq;
        if missing == 0 {
            return Ok(0);
        }
        info!(from = applied.seq, to = verified.end.seq, "the store is behind its commit log, which is replayed");
        let mut skip_one = options.faults().replay_skips_one;
        let (mut batch, mut size) = (sled::Batch::default(), 0);
        for segment in &self.segments[verified.from..] {
            let bytes = segment::read(&segment.path)?;
            let mut at = HEADER_BYTES;
            let changed = |at: usize| LogError::Damaged {
                path: segment.path.clone(),
                offset: at as u64,
                sequence: applied.seq,
                what: "it has changed since it was checked".into(),
            };
            while at < bytes.len() {
                let record = Record::parse(&bytes[at..]).ok_or_else(|| changed(at))?;
                at += record.len;
                if record.end().seq <= applied.seq {
                    continue;
                }
                for intent in record.intents().ok_or_else(|| changed(at))? {
                    if std::mem::take(&mut skip_one) {
                        continue;
                    }
                    for (key, value) in intent {
                        size += key.len() + value.map_or(0, <[u8]>::len);
                        match value {
                            Some(value) => batch.insert(key, value),
                            None => batch.remove(key),
                        }
                    }
                }
                if size > BATCH_BYTES || record.end() == verified.end {
                    put_applied(&mut batch, record.end())?;
                    db.apply_batch(std::mem::take(&mut batch)).map_err(|e| unreadable(&e))?;
                    size = 0;
                }
            }
            info!(file = %segment.path.display(), "replayed");
        }
        Ok(missing)
    }
}

/// Notes in a batch how far it brings sled.
pub(in super::super) fn put_applied(
    batch: &mut sled::Batch,
    position: Position,
) -> Result<(), crate::store::StoreError> {
    let key = keys::meta(APPLIED);
    let value = codec::encode(&key, &position)?;
    batch.insert(key, value);
    Ok(())
}
