//! The log against damage, and against a sled that is behind it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use common::UnixTime;
use tempfile::TempDir;

use super::{
    super::{OpenError, SledOptions, disk::Device, keys, txn::Changes},
    record::{HEADER_BYTES, Header, Record},
    *,
};
use crate::{crypto::mac::HmacKey, store::SealedSecret};

fn key() -> Arc<dyn Mac> {
    Arc::new(HmacKey::new(b"log"))
}

fn scratch() -> sled::Db {
    sled::Config::new().temporary(true).open().unwrap()
}

fn options(segment_bytes: u64) -> SledOptions {
    SledOptions { segment_bytes, ..SledOptions::default() }
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Applied {
    intents: u64,
    torn: u64,
}

/// Opens it behind a sled that is to be taken as it is.
fn open_with(
    mut found: Found,
    db: &sled::Db,
    applied: Position,
    key: Arc<dyn Mac>,
    syncs: Arc<dyn Syncs>,
) -> Result<(Log, Applied), OpenError> {
    let walked = found.check(Some(applied), None, &*key, &*syncs)?;
    let log = found.settle(&walked, key, &options(600), syncs)?;
    let intents = found.apply(db, applied, &walked, &options(600))?;
    Ok((log, Applied { intents, torn: walked.torn }))
}

fn open(directory: &Path, db: &sled::Db, applied: Position) -> Result<(Log, Applied), OpenError> {
    open_with(Found::look(directory)?, db, applied, key(), Arc::new(Device))
}

/// What the `n`-th intent changes: a key of its own, and one that all of them write or delete.
fn intent(n: u64) -> Changes {
    let shared = (!n.is_multiple_of(5)).then(|| n.to_be_bytes().to_vec());
    Changes::from([(format!("own-{n:04}").into_bytes(), Some(vec![b'v'; 40])), (b"shared".to_vec(), shared)])
}

fn state(intents: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut state = BTreeMap::new();
    for n in 1..=intents {
        for (key, value) in intent(n) {
            match value {
                Some(value) => drop(state.insert(key, value)),
                None => drop(state.remove(&key)),
            }
        }
    }
    state
}

/// What is in sled, but for how far it has come.
fn dump(db: &sled::Db) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pairs = db.iter().map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap());
    pairs.filter(|(key, _)| *key != keys::meta(APPLIED)).collect()
}

/// A log in segments of a few records, and where it is behind each of them.
struct Written {
    temp: TempDir,
    ends: Vec<Position>,
}

impl Written {
    /// So many groups, of one intent, two, three, one …
    fn new(groups: u64) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (mut log, _) = open(&temp.path().join("log"), &scratch(), Position::default()).unwrap();
        let mut ends = vec![log.end()];
        for group in 0..groups {
            let mut draft = Draft::default();
            for n in 1..=1 + group % 3 {
                draft.push(&intent(log.end().seq + n));
            }
            ends.push(log.append(draft).unwrap());
        }
        Self { temp, ends }
    }

    fn directory(&self) -> PathBuf {
        self.temp.path().join("log")
    }

    fn end(&self) -> Position {
        self.ends[self.ends.len() - 1]
    }

    fn segments(&self) -> Vec<PathBuf> {
        segment::list(&self.directory(), 0).unwrap().into_iter().map(|segment| segment.path).collect()
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.directory()).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    /// Opens it behind a sled that has come so far; what was replayed must be right.
    fn replayed(&self, applied: Position) -> Result<(Log, Applied), OpenError> {
        let db = scratch();
        for (key, value) in state(applied.seq) {
            db.insert(key, value).unwrap();
        }
        let opened = open(&self.directory(), &db, applied)?;
        assert_eq!(dump(&db), state(opened.0.end().seq));
        Ok(opened)
    }

    /// Must be refused, with nothing changed. Answers in which words.
    fn refused(&self, applied: Position) -> String {
        let before = self.files();
        let db = scratch();
        let refused = open(&self.directory(), &db, applied).err().expect("it was taken").to_string();
        assert_eq!(self.files(), before, "{refused}: and yet something was changed");
        assert!(db.is_empty(), "{refused}: and yet something was replayed");
        refused
    }
}

/// The offsets of the records of a segment.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut found = vec![];
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        found.push(at);
        at += Record::parse(&bytes[at..]).unwrap().len;
    }
    found
}

#[test]
fn f_02_sled_gets_exactly_what_it_has_not_got_however_far_it_has_come() {
    let written = Written::new(20);
    assert!(written.segments().len() > 4, "{:?}", written.segments());
    for applied in written.ends.clone() {
        let (log, done) = written.replayed(applied).unwrap();
        assert_eq!(log.end(), written.end());
        assert_eq!(done, Applied { intents: written.end().seq - applied.seq, torn: 0 });
    }
}

#[test]
fn it_goes_on_where_it_ended_and_is_its_owners_alone() {
    let written = Written::new(5);
    let (mut log, _) = written.replayed(written.end()).unwrap();
    let mut draft = Draft::default();
    draft.push(&intent(log.end().seq + 1));
    let end = log.append(draft).unwrap();
    assert_eq!(written.replayed(Position::default()).unwrap().0.end(), end);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&written.directory()), 0o700);
    written.files().keys().for_each(|path| assert_eq!(mode(path), 0o600, "{}", path.display()));
}

#[test]
fn f_02_a_last_record_that_is_torn_anywhere_is_cut_off_and_all_before_it_stays() {
    let written = Written::new(6);
    let last = written.segments().pop().unwrap();
    let whole = fs::read(&last).unwrap();
    let begin = *records(&whole).last().unwrap();
    let before = written.ends[written.ends.len() - 2];
    for cut in begin..whole.len() {
        let zeros = vec![0; whole.len() - cut];
        let mut hole = whole.clone();
        hole[cut] ^= 0xff;
        for torn in [whole[..cut].to_vec(), [&whole[..cut], &zeros].concat(), hole] {
            if torn == whole {
                continue;
            }
            fs::write(&last, &torn).unwrap();
            let (log, done) = written.replayed(before).unwrap();
            assert_eq!((log.end(), done.intents, done.torn), (before, 0, (torn.len() - begin) as u64), "at {cut}");
            assert_eq!(fs::read(&last).unwrap(), whole[..begin], "at {cut}");
            // And what sled has beyond it is no torn record, but damage.
            fs::write(&last, &torn).unwrap();
            assert!(written.refused(written.end()).contains("the log ends at"), "at {cut}");
        }
    }
}

#[test]
fn f_05_a_flipped_byte_that_others_follow_is_refused_wherever_it_is() {
    let written = Written::new(9);
    let segments = written.segments();
    let last_record = *records(&fs::read(segments.last().unwrap()).unwrap()).last().unwrap();
    for (i, path) in segments.iter().enumerate() {
        let whole = fs::read(path).unwrap();
        let end = if i + 1 == segments.len() { last_record } else { whole.len() };
        for at in 0..end {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x11;
            fs::write(path, damaged).unwrap();
            let words = written.refused(Position::default());
            let named = path.file_name().unwrap().to_str().unwrap();
            assert!(words.contains(named) || words.contains("before it"), "{at}: {words}");
        }
        fs::write(path, whole).unwrap();
    }
    written.replayed(Position::default()).unwrap();
}

#[test]
fn f_05_segments_that_are_missing_cut_off_doubled_or_in_another_order_are_refused() {
    let written = Written::new(20);
    let segments = written.segments();
    let (first, second, third) = (&segments[0], &segments[1], &segments[2]);
    let whole = |path: &PathBuf| fs::read(path).unwrap();
    let back = |path: &PathBuf, bytes: Vec<u8>| fs::write(path, bytes).unwrap();

    let bytes = whole(second);
    fs::remove_file(second).unwrap();
    assert!(written.refused(written.end()).contains("missing"), "even if sled does not need it");
    back(second, bytes.clone());

    for cut in [0, 10, HEADER_BYTES, bytes.len() - 1] {
        fs::write(second, &bytes[..cut]).unwrap();
        written.refused(Position::default());
    }
    let last_but_one = *records(&bytes).last().unwrap();
    fs::write(second, &bytes[..last_but_one]).unwrap();
    assert!(written.refused(Position::default()).contains("does not follow"), "cut off between two records");
    back(second, bytes.clone());

    let double = written.directory().join("99999999999999999999.log");
    fs::write(&double, &bytes).unwrap();
    assert!(written.refused(written.end()).contains("it is the segment of"));
    fs::remove_file(&double).unwrap();

    let other = whole(third);
    fs::write(second, &other).unwrap();
    fs::write(third, &bytes).unwrap();
    assert!(written.refused(written.end()).contains("it is the segment of"));
    back(second, bytes.clone());
    back(third, other);

    // A record of the same segment, once more.
    let at = records(&bytes)[0];
    let record = Record::parse(&bytes[at..]).unwrap().len;
    fs::write(second, [&bytes[..at + record], &bytes[at..]].concat()).unwrap();
    assert!(written.refused(Position::default()).contains("does not follow"));
    back(second, bytes);

    // Without its beginning it is good for a sled that has come so far, and no other.
    let begin = segment::list(&written.directory(), 0).unwrap()[1].header;
    fs::remove_file(first).unwrap();
    assert!(written.refused(Position::default()).contains("the log begins at"));
    written.replayed(Position { seq: begin.first - 1, mac: begin.mac }).unwrap();

    fs::remove_file(segments.last().unwrap()).unwrap();
    assert!(written.refused(written.end()).contains("the log ends at"), "sled is ahead");
}

#[test]
fn f_05_another_key_another_history_and_a_newer_form_are_refused() {
    let written = Written::new(6);
    let other: Arc<dyn Mac> = Arc::new(HmacKey::new(b"another"));
    let found = Found::look(&written.directory()).unwrap();
    let refused = open_with(found, &scratch(), Position::default(), other, Arc::new(Device)).err().unwrap();
    assert!(refused.to_string().contains("does not follow"), "{refused}");

    let elsewhere = Position { mac: [1; 32], ..written.ends[2] };
    assert!(written.refused(elsewhere).contains("not by this log"));
    let between = Position { seq: written.ends[2].seq - 1, ..written.ends[2] };
    assert!(written.refused(between).contains("not by this log"), "in the middle of a group");

    let last = written.segments().pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes[11] = 2;
    fs::write(&last, bytes).unwrap();
    assert!(written.refused(written.end()).contains("format 2, and this authd knows up to 1"));
}

#[test]
fn a_log_without_records_is_blank_also_with_a_torn_first_one() {
    let written = Written::new(1);
    let look = || Found::look(&written.directory()).unwrap();
    assert!(!look().is_blank());
    let path = segment::path(&written.directory(), 1);
    let bytes = fs::read(&path).unwrap();
    for len in [HEADER_BYTES, HEADER_BYTES + 20, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        assert!(look().is_blank(), "{len}");
        assert_eq!(written.replayed(Position::default()).unwrap().0.end(), Position::default());
    }
    assert!(Found::look(&written.temp.path().join("none")).unwrap().is_blank());
}

#[test]
fn pruning_takes_whole_segments_from_the_beginning_and_never_the_last() {
    let written = Written::new(20);
    let headers: Vec<Header> = segment::list(&written.directory(), 0).unwrap().iter().map(|s| s.header).collect();
    let prune = |up_to| prune(&written.directory(), up_to, &Device).unwrap();
    assert_eq!(prune(headers[2].first - 2), 1, "a segment that is needed for one record stays");
    assert_eq!(prune(headers[2].first - 1), 1);
    assert_eq!(segment::list(&written.directory(), 0).unwrap()[0].header, headers[2]);
    let at = Position { seq: headers[2].first - 1, mac: headers[2].mac };
    assert_eq!(written.replayed(at).unwrap().0.end(), written.end());
    assert_eq!(prune(u64::MAX), headers.len() - 3);
    assert_eq!(written.segments().len(), 1);
    let (mut log, _) = written.replayed(written.end()).unwrap();
    let mut draft = Draft::default();
    draft.push(&intent(log.end().seq + 1));
    log.append(draft).unwrap();
}

#[test]
fn f_03_after_a_sync_that_failed_the_last_record_is_written_once_more_before_anything_rests_on_it() {
    struct Refuses;
    impl Syncs for Refuses {
        fn data(&self, _: &File, _: &Path) -> io::Result<()> {
            Err(io::Error::other("no"))
        }

        fn names(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }

        fn boot(&self) -> io::Result<String> {
            Ok(String::new())
        }
    }
    let written = Written::new(3);
    let found = Found::look(&written.directory()).unwrap();
    let db = scratch();
    let refused = open_with(found, &db, Position::default(), key(), Arc::new(Refuses));
    assert!(matches!(refused, Err(OpenError::Log(LogError::Io { .. }))), "it cannot be made certain");
    assert!(db.is_empty(), "so nothing is replayed from it");
}

#[test]
fn cr_08_while_the_master_key_is_being_changed_there_is_a_key_of_the_log_for_each() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("log");
    let secret = |sealed: u8| SealedSecret {
        purpose: "log".into(),
        id: "1".into(),
        sealed: vec![sealed; 72],
        created_at: UnixTime::EPOCH,
    };
    let keys = Keys::new(directory.clone(), Arc::new(Device));
    assert_eq!(keys.list().unwrap(), [""; 0]);
    keys.put("old", &secret(1)).unwrap();
    keys.put("new", &secret(2)).unwrap();
    assert_eq!(keys.list().unwrap(), ["new", "old"]);
    assert_eq!(keys.read("old").unwrap(), Some(secret(1)));
    fs::copy(directory.join("key-new"), directory.join("key-other")).unwrap();
    assert!(keys.read("other").is_err(), "that of another master key");
    keys.keep_only("new").unwrap();
    assert_eq!(keys.list().unwrap(), ["new"]);
    assert_eq!(keys.read("old").unwrap(), None);
    assert!(Found::look(&directory).unwrap().is_blank());
}

/// What a backup has inside, say.
#[test]
fn f_15_a_snapshot_of_a_newer_format_that_comes_from_elsewhere_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let from = |format: u32| {
        let file = temp.path().join(format.to_string());
        let out = File::options().read(true).write(true).create_new(true).open(&file).unwrap();
        let key = key();
        let mut writer = sorted::Writer::begin(out, format, &Position { seq: 7, mac: [1; 32] }, &*key).unwrap();
        writer.push(b"k", Some(b"v")).unwrap();
        writer.finish().unwrap();
        read_stream(Box::new(File::open(&file).unwrap()), Path::new("it"), &key).map(|(_, pairs)| pairs.count())
    };
    assert_eq!(from(FORMAT).unwrap(), 1);
    let refused = from(FORMAT + 1).unwrap_err().to_string();
    assert_eq!(refused, format!("it has format {}, and this authd knows up to {FORMAT}", FORMAT + 1));
}
