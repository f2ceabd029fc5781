//! Opening: is the log whole, does it belong to the store behind it, and what has that store not got yet? First everything
//! is looked at, and only when all of it fits anything is changed.

use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{debug, info, warn};

use super::{
    super::{OpenError, SledOptions, Step, Steps, disk::Syncs, keys, opening::sled_says},
    APPLIED, Log, LogError, Position,
    merge::Merged,
    plain,
    record::{self, FORMAT, HEADER_BYTES, Header, Record},
    segment::{self, Segment, io_at},
    snapshot::{self, Snapshot},
    sorted::Reader,
};
use crate::{ports::Mac, store::sled::codec};

/// What is there of a log, before its key is known.
pub(in super::super) struct Found {
    directory: PathBuf,
    snapshot: Option<Snapshot>,
    /// Those behind the snapshot.
    segments: Vec<Segment>,
    is_blank: bool,
    /// The newest format that is taken, and in which segments are begun.
    known: u32,
    /// How far sled has come, for those who wait.
    pub steps: Arc<Steps>,
}

/// How some segments end, if all of it fits.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Walked {
    pub end: Position,
    /// The length of the last segment without what is torn.
    len: u64,
    /// Where its last record begins.
    last_record: Option<u64>,
    pub torn: u64,
}

/// Walks the chain of these segments, of which the first begins behind `begin`, and shows every record with its place. Only
/// the last one may end with bytes that are no record.
pub(super) fn walk(
    segments: &[Segment],
    begin: Position,
    key: &dyn Mac,
    each: &mut dyn FnMut(&Record<'_>, &Path, u64) -> Result<(), LogError>,
) -> Result<Walked, LogError> {
    let mut walked = Walked { end: begin, len: 0, last_record: None, torn: 0 };
    for (i, segment) in segments.iter().enumerate() {
        let bytes = segment::read(&segment.path)?;
        let damaged = |offset: usize, sequence: u64, what: &str| LogError::Damaged {
            path: segment.path.clone(),
            offset: offset as u64,
            sequence,
            what: what.into(),
        };
        if (segment.header.first, segment.header.mac) != (walked.end.seq + 1, walked.end.mac) {
            return Err(damaged(0, walked.end.seq, "it does not follow the segment before it"));
        }
        let mut at = HEADER_BYTES;
        walked.last_record = None;
        while at < bytes.len() {
            let Some(record) = Record::parse(&bytes[at..]) else {
                if i + 1 < segments.len() {
                    return Err(damaged(at, walked.end.seq, "no whole record, and a segment follows"));
                }
                if let Some((next, seq)) = record::find(&bytes, at, walked.end.seq + 1) {
                    let what = format!("no whole record, and one of sequence {seq} follows at offset {next}");
                    return Err(damaged(at, walked.end.seq, &what));
                }
                walked.torn = (bytes.len() - at) as u64;
                break;
            };
            if !record.follows(&walked.end, key) {
                return Err(damaged(at, walked.end.seq, "a record that does not follow the one before it"));
            }
            each(&record, &segment.path, at as u64)?;
            walked.last_record = Some(at as u64);
            walked.end = record.end();
            at += record.len;
        }
        walked.len = at as u64;
    }
    Ok(walked)
}

/// So many bytes of changes make one batch of a replay. sled frees nothing of what a batch replaced before the batch is over:
/// with 1 MiB, making a store of 10,000 users anew took 400 MiB of memory, with 64 KiB 35, and its file is smaller. And while it takes
/// a batch, it lets nobody read, not in another sled of the process either.
const BATCH_BYTES: usize = 8 << 10;

impl Found {
    /// Looks at names and headers only.
    pub(in super::super) fn look(directory: &Path) -> Result<Self, LogError> {
        let (snapshot, segments) = match directory.try_exists().map_err(io_at(directory))? {
            true => {
                let snapshot = snapshot::newest(directory)?;
                let behind = snapshot.as_ref().map_or(0, |snapshot| snapshot.position.seq);
                (snapshot, segment::list(directory, behind)?)
            }
            false => (None, vec![]),
        };
        let is_blank = match (&snapshot, segments.as_slice()) {
            (None, []) => true,
            (None, [only]) if only.header.first == 1 => {
                let bytes = segment::read(&only.path)?;
                Record::parse(&bytes[HEADER_BYTES..]).is_none() && record::find(&bytes, HEADER_BYTES, 1).is_none()
            }
            _ => false,
        };
        Ok(Self { directory: directory.into(), snapshot, segments, is_blank, known: FORMAT, steps: Arc::default() })
    }

    /// Refuses a snapshot and segments of a format newer than this one, which is what is written from now on.
    pub(in super::super) fn up_to(self, known: u32) -> Result<Self, LogError> {
        self.snapshot.as_ref().map_or(Ok(()), |snapshot| snapshot.up_to(known))?;
        match self.segments.iter().find(|segment| segment.header.format > known) {
            Some(Segment { path, header }) => Err(LogError::Newer { path: path.clone(), found: header.format, known }),
            None => Ok(Self { known, ..self }),
        }
    }

    /// The format that the store has: that of its newest segment; the one that is written where there is none yet.
    pub(in super::super) fn format(&self) -> u32 {
        self.segments.last().map_or(self.known, |segment| segment.header.format)
    }

    /// The files that make the store, all of them.
    pub(in super::super) fn files(&self) -> impl Iterator<Item = &Path> {
        let snapshot = self.snapshot.iter().map(|snapshot| snapshot.path.as_path());
        snapshot.chain(self.segments.iter().map(|segment| segment.path.as_path()))
    }

    /// Whether no record was ever written, whole.
    pub(in super::super) fn is_blank(&self) -> bool {
        self.is_blank
    }

    /// Whether the store can be made from it alone: from a snapshot, or from its beginning.
    pub(in super::super) fn is_complete(&self) -> bool {
        let begin = self.segments.first().map(|segment| segment.header.first);
        !self.is_blank && begin == Some(self.ground().seq + 1)
    }

    /// Where its snapshot stands, or the very beginning.
    fn ground(&self) -> Position {
        self.snapshot.as_ref().map_or_else(Position::default, |snapshot| snapshot.position)
    }

    pub(in super::super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the records are there that a store of this position lacks.
    pub(in super::super) fn reaches_back_to(&self, applied: Position) -> bool {
        self.segments.first().is_none_or(|segment| segment.header.first <= applied.seq.saturating_add(1))
    }

    /// Checks everything from `begin` on, the snapshot or what sled has come to, and that the log passes through `meets`.
    /// Nothing is changed, but a log that is not there begins.
    pub(in super::super) fn check(
        &mut self,
        begin: Option<Position>,
        meets: Option<Position>,
        key: &dyn Mac,
        syncs: &dyn Syncs,
    ) -> Result<Walked, OpenError> {
        let begin = begin.unwrap_or_else(|| self.ground());
        if self.segments.is_empty() {
            if begin != Position::default() {
                let what = format!("the store has sequence {}, and the log has no segment", begin.seq);
                return Err(self.apart(what).into());
            }
            self.begin(syncs)?;
        }
        Ok(self.verify(begin, meets, key)?)
    }

    fn apart(&self, what: String) -> LogError {
        LogError::Apart { path: self.directory.clone(), what }
    }

    fn begin(&mut self, syncs: &dyn Syncs) -> Result<(), LogError> {
        segment::make_directory(&self.directory, syncs).map_err(io_at(&self.directory))?;
        let header = Header { format: self.known, first: 1, prior: 0, mac: [0; 32] };
        let path = segment::path(&self.directory, 1);
        segment::make(&self.directory, &path, &header.encode(), syncs).map_err(io_at(&path))?;
        self.segments.push(Segment { path, header });
        Ok(())
    }

    /// Walks the chain from `begin` to the end.
    fn verify(&self, begin: Position, meets: Option<Position>, key: &dyn Mac) -> Result<Walked, LogError> {
        let reaches = |segment: &Segment| segment.header.first <= begin.seq.saturating_add(1);
        let Some(from) = self.segments.iter().rposition(reaches) else {
            let first = self.segments.first().map_or(0, |segment| segment.header.first);
            return Err(self.apart(format!("the store has sequence {}, and the log begins at {first}", begin.seq)));
        };
        let header = self.segments[from].header;
        let ground = Position { seq: header.first - 1, mac: header.mac };
        let mut missing: Vec<Position> = [Some(begin), meets].into_iter().flatten().collect();
        missing.retain(|position| *position != ground);
        let walked = walk(&self.segments[from..], ground, key, &mut |record, path, at| {
            let end = record.end();
            missing.retain(|position| *position != end);
            match record.intents() {
                Some(_) => Ok(()),
                None => Err(LogError::Damaged {
                    path: path.into(),
                    offset: at,
                    sequence: record.first - 1,
                    what: "a record that cannot be read".into(),
                }),
            }
        })?;
        if let Some(missed) = missing.first() {
            let end = walked.end.seq;
            let what = if missed.seq > end { format!("the log ends at {end}") } else { "not by this log".into() };
            return Err(self.apart(format!("the store has sequence {}, and {what}", missed.seq)));
        }
        Ok(walked)
    }

    /// Makes the last segment ready to be appended to. Its last record is written once more: after a sync that failed, or
    /// never came, it may be in memory only, and what is answered from now on rests on it.
    pub(in super::super) fn settle(
        &self,
        verified: &Walked,
        key: Arc<dyn Mac>,
        options: &SledOptions,
        syncs: Arc<dyn Syncs>,
    ) -> Result<Log, LogError> {
        let Some(Segment { path, header }) = self.segments.last().cloned() else {
            return Err(self.apart("the log has no segment".into()));
        };
        let file = plain::change(&path).map_err(io_at(&path))?;
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
            format: self.known,
            first: header.first,
            prior: header.prior,
            len: verified.len,
            end: verified.end,
            key,
            segment_bytes: options.segment_bytes,
            syncs,
            skips_sync: options.faults().skips_log_sync,
        })
    }

    /// Reads the snapshot from end to end: is it whole?
    pub(in super::super) fn read_snapshot(&self, key: Arc<dyn Mac>) -> Result<(), LogError> {
        let Some(snapshot) = &self.snapshot else { return Ok(()) };
        Reader::open(&snapshot.path, key)?.try_for_each(|entry| entry.map(drop))
    }

    /// Hands on what the snapshot has, in batches for an empty sled and with their bytes; answers where that is.
    pub(in super::super) fn load(
        &self,
        key: Arc<dyn Mac>,
        mut put: impl FnMut(sled::Batch, usize) -> Result<(), OpenError>,
    ) -> Result<Position, OpenError> {
        let Some(snapshot) = &self.snapshot else { return Ok(Position::default()) };
        info!(sequence = snapshot.position.seq, bytes = snapshot.bytes, "the store is made from its snapshot");
        let (mut batch, mut size, mut entries) = (sled::Batch::default(), 0, 0_u64);
        for entry in Reader::open(&snapshot.path, key)? {
            let (key, value) = entry?;
            let value = value.unwrap_or_default();
            size += key.len() + value.len();
            batch.insert(key, value);
            entries += 1;
            if size > BATCH_BYTES {
                self.steps.at(Step::Loading(entries));
                put(std::mem::take(&mut batch), std::mem::take(&mut size))?;
            }
            if entries.is_multiple_of(1_000_000) {
                info!(entries, "loaded");
            }
        }
        put_applied(&mut batch, snapshot.position)?;
        put(batch, size)?;
        info!(entries, "the snapshot is loaded");
        Ok(snapshot.position)
    }

    /// Without the segment to which the writer may be appending.
    pub(in super::super) fn closed(mut self) -> Self {
        self.segments.pop();
        self
    }

    /// Checks what follows on `at`, gives it to sled, and answers where that ends.
    pub(in super::super) fn bring(
        &self,
        db: &sled::Db,
        at: Position,
        key: &dyn Mac,
        options: &SledOptions,
    ) -> Result<Position, OpenError> {
        if self.segments.is_empty() {
            return Ok(at);
        }
        let walked = self.verify(at, None, key)?;
        self.apply(db, at, &walked, options)?;
        Ok(walked.end)
    }

    /// The snapshot, by its sequence and size, and how many segments with how many bytes there are behind it.
    #[allow(clippy::type_complexity, reason = "two pairs of numbers")]
    pub(in super::super) fn sizes(&self) -> Result<(Option<(u64, u64)>, (u64, u64)), LogError> {
        let mut bytes = 0;
        for segment in &self.segments {
            bytes += segment.path.metadata().map_err(io_at(&segment.path))?.len();
        }
        let snapshot = self.snapshot.as_ref().map(|snapshot| (snapshot.position.seq, snapshot.bytes));
        Ok((snapshot, (self.segments.len() as u64, bytes)))
    }

    /// What the store should have, key by key in their order, and where the log ends.
    pub(in super::super) fn state(&self, key: &Arc<dyn Mac>) -> Result<(Merged, Walked), LogError> {
        let state = snapshot::state(&self.directory, self.snapshot.as_ref(), &self.segments, key, &|| true)?;
        state.ok_or_else(|| self.apart("it was not read to its end".into()))
    }

    /// Gives sled what it has not got. Every batch names the record it ends with.
    pub(in super::super) fn apply(
        &self,
        db: &sled::Db,
        applied: Position,
        verified: &Walked,
        options: &SledOptions,
    ) -> Result<u64, OpenError> {
        let missing = verified.end.seq - applied.seq;
        if missing == 0 {
            return Ok(0);
        }
        let mut skip_one = options.faults().replay_skips_one;
        let (mut batch, mut size) = (sled::Batch::default(), 0);
        let needed = self.segments.iter().rposition(|segment| segment.header.first <= applied.seq.saturating_add(1));
        for segment in &self.segments[needed.unwrap_or(0)..] {
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
                    db.apply_batch(std::mem::take(&mut batch)).map_err(sled_says)?;
                    self.steps.at(Step::Replaying { sequence: record.end().seq, end: verified.end.seq });
                    size = 0;
                }
            }
            debug!(file = %segment.path.display(), "replayed");
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
