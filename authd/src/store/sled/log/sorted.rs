//! A file of keys in their order, each with its value or none, in compressed blocks that are chained by MACs: what a snapshot
//! is made of, and what a merge puts aside when memory is to stay bounded. See FORMAT.md; the bytes are for good.

use std::{
    cmp::Ordering,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    LogError, Position, plain,
    record::{FORMAT, u32_at},
    segment::io_at,
};
use crate::{digest::is_same_secret, ports::Mac};

const MAGIC: &[u8; 8] = b"authdsnp";
/// Magic, the store's format, sequence and MAC of the place in the log, checksum.
const HEADER_BYTES: usize = 8 + 4 + 8 + 32 + 4;
/// Length as stored, length unpacked, number of entries.
const HEAD_BYTES: usize = 4 + 4 + 4;
/// MAC and checksum.
const FOOT_BYTES: usize = 32 + 4;
/// A block is full when it has so many bytes, unpacked.
const BLOCK_BYTES: usize = 256 << 10;
/// What no block has; more is damage, and no reason to take memory for it.
const MAX_BLOCK_BYTES: usize = 16 << 20;
/// Sets the MACs of blocks apart from those of records, which the same key makes.
const PURPOSE: &[u8] = b"authd snapshot block";
/// The fastest: what is stored are mostly digests, and identifiers that repeat.
const LEVEL: i32 = 1;

/// A key with its value; none where the key is deleted.
pub(super) type Entry = (Vec<u8>, Option<Vec<u8>>);

fn encode_header(format: u32, position: &Position) -> Vec<u8> {
    let mut out = [&MAGIC[..], &format.to_be_bytes(), &position.seq.to_be_bytes(), &position.mac].concat();
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

/// The format of the store that a file is of, and the place in the log that it stands at. A header of a newer format may have
/// another form, or this one.
fn decode_header(bytes: &[u8], path: &Path) -> Result<(u32, Position), LogError> {
    let damaged = || damaged(path, 0, 0, "its header is damaged");
    let format = bytes.strip_prefix(MAGIC).and_then(|rest| u32_at(rest, 0)).ok_or_else(damaged)?;
    let unread = || match format > FORMAT {
        true => LogError::Newer { path: path.into(), found: format, known: FORMAT },
        false => damaged(),
    };
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(unread)?;
    let seq = body.get(12..20).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
    let mac = body.get(20..).and_then(|b| b.try_into().ok());
    match (seq, mac) {
        (Some(seq), Some(mac)) if format > 0 && crc32fast::hash(body) == u32::from_be_bytes(*sum) => {
            Ok((format, Position { seq, mac }))
        }
        _ => Err(unread()),
    }
}

fn damaged(path: &Path, offset: u64, sequence: u64, what: &str) -> LogError {
    LogError::Damaged { path: path.into(), offset, sequence, what: what.into() }
}

/// The format of the store that the file at `path` is of, and the place in the log at which it stands.
pub(super) fn header(path: &Path) -> Result<(u32, Position), LogError> {
    let mut head = Vec::with_capacity(HEADER_BYTES);
    let file = plain::open(path).map_err(io_at(path))?;
    file.take(HEADER_BYTES as u64).read_to_end(&mut head).map_err(io_at(path))?;
    decode_header(&head, path)
}

/// Writes such a file.
pub(super) struct Writer<'a> {
    file: BufWriter<File>,
    key: &'a dyn Mac,
    /// Of the block before; of the first one, the header.
    before: Vec<u8>,
    block: Vec<u8>,
    in_block: u32,
    entries: u64,
}

/// What was written.
#[derive(Debug)]
pub(super) struct Written {
    pub file: File,
    pub entries: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(file: File, format: u32, position: &Position, key: &'a dyn Mac) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 20, file);
        let header = encode_header(format, position);
        file.write_all(&header)?;
        Ok(Self { file, key, before: header, block: vec![], in_block: 0, entries: 0 })
    }

    /// The keys must come in rising order.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        let block = postcard::to_extend(&(key, value), std::mem::take(&mut self.block));
        self.block = block.map_err(io::Error::other)?;
        self.in_block += 1;
        self.entries += 1;
        if self.block.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.in_block == 0 {
            return Ok(());
        }
        let packed = zstd::bulk::compress(&self.block, LEVEL)?;
        self.put(&packed, self.block.len(), self.in_block)?;
        self.block.clear();
        self.in_block = 0;
        Ok(())
    }

    fn put(&mut self, packed: &[u8], unpacked: usize, entries: u32) -> io::Result<()> {
        let mut out = Vec::with_capacity(HEAD_BYTES + packed.len() + FOOT_BYTES);
        for number in [packed.len(), unpacked] {
            out.extend_from_slice(&u32::try_from(number).map_err(io::Error::other)?.to_be_bytes());
        }
        out.extend_from_slice(&entries.to_be_bytes());
        out.extend_from_slice(packed);
        let mac = self.key.mac(&[PURPOSE, &self.before, &out]);
        out.extend_from_slice(&mac);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        self.file.write_all(&out)?;
        self.before = mac.to_vec();
        Ok(())
    }

    /// Ends the file with how many entries there are, so that one that was cut off is known. Nothing is synced.
    pub(super) fn finish(mut self) -> io::Result<Written> {
        self.end_block()?;
        self.put(&self.entries.to_be_bytes(), 0, 0)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Written { file, entries: self.entries })
    }
}

/// Where such a file is read from.
type Source = Box<dyn Read + Send>;

/// Reads such a file: nothing of a block is answered before the block is known to be right.
pub(super) struct Reader {
    file: BufReader<Source>,
    path: PathBuf,
    key: Arc<dyn Mac>,
    format: u32,
    position: Position,
    before: Vec<u8>,
    /// Where in the file the next block begins.
    at: u64,
    block: Vec<u8>,
    in_block: usize,
    left: u32,
    entries: u64,
    last: Vec<u8>,
    is_over: bool,
}

impl Reader {
    pub(super) fn open(path: &Path, key: Arc<dyn Mac>) -> Result<Self, LogError> {
        Self::of(plain::open(path).map_err(io_at(path))?, path, key)
    }

    /// Reads from the beginning of an open file; `path` is for messages.
    pub(super) fn of(mut file: File, path: &Path, key: Arc<dyn Mac>) -> Result<Self, LogError> {
        file.seek(SeekFrom::Start(0)).map_err(io_at(path))?;
        Self::from_stream(Box::new(file), path, key)
    }

    /// Reads what comes from elsewhere; `path` is for messages.
    pub(super) fn from_stream(mut file: Source, path: &Path, key: Arc<dyn Mac>) -> Result<Self, LogError> {
        let mut head = vec![0; HEADER_BYTES];
        match file.read_exact(&mut head) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged(path, 0, 0, "its header is damaged"));
            }
            read => read.map_err(io_at(path))?,
        }
        let (format, position) = decode_header(&head, path)?;
        let (before, at) = (head, HEADER_BYTES as u64);
        let file = BufReader::with_capacity(1 << 20, file);
        let (block, last) = (vec![], vec![]);
        let path = path.to_owned();
        Ok(Self {
            file,
            path,
            key,
            format,
            position,
            before,
            at,
            block,
            in_block: 0,
            left: 0,
            entries: 0,
            last,
            is_over: false,
        })
    }

    /// The format of the store it is of.
    pub(super) fn format(&self) -> u32 {
        self.format
    }

    /// The place in the log it stands at.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    fn damaged(&self, what: &str) -> LogError {
        damaged(&self.path, self.at, self.position.seq, what)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], LogError> {
        let mut out = [0; N];
        self.fill(&mut out).map(|()| out)
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), LogError> {
        match self.file.read_exact(out) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged("it is cut off")),
            done => done.map_err(io_at(&self.path)),
        }
    }

    /// Reads the next block. The last one brings nothing.
    fn next_block(&mut self) -> Result<(), LogError> {
        let head = self.take::<HEAD_BYTES>()?;
        let length = |at| u32_at(&head, at).unwrap_or(u32::MAX) as usize;
        let (packed, unpacked, entries) = (length(0), length(4), length(8));
        if packed > MAX_BLOCK_BYTES || unpacked > MAX_BLOCK_BYTES {
            return Err(self.damaged("a block that no snapshot has"));
        }
        let mut body = vec![0; HEAD_BYTES + packed];
        body[..HEAD_BYTES].copy_from_slice(&head);
        self.fill(&mut body[HEAD_BYTES..])?;
        let mac = self.take::<32>()?;
        let sum = u32::from_be_bytes(self.take()?);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&body);
        hasher.update(&mac);
        if hasher.finalize() != sum {
            return Err(self.damaged("a block whose checksum is wrong"));
        }
        if !is_same_secret(&self.key.mac(&[PURPOSE, &self.before, &body]), &mac) {
            return Err(self.damaged("a block that does not follow the one before it"));
        }
        let packed = &body[HEAD_BYTES..];
        if entries == 0 {
            if packed != self.entries.to_be_bytes() {
                return Err(self.damaged("it ends early"));
            }
            if self.file.read(&mut [0]).map_err(io_at(&self.path))? != 0 {
                return Err(self.damaged("something follows its end"));
            }
            self.is_over = true;
            return Ok(());
        }
        self.block =
            zstd::bulk::decompress(packed, unpacked).map_err(|_| self.damaged("a block that does not unpack"))?;
        self.at += (body.len() + FOOT_BYTES) as u64;
        (self.in_block, self.left) = (0, u32::try_from(entries).unwrap_or(u32::MAX));
        self.before = mac.to_vec();
        Ok(())
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, LogError> {
        while self.left == 0 {
            if self.is_over {
                return Ok(None);
            }
            self.next_block()?;
        }
        let rest = &self.block[self.in_block..];
        let Ok(((key, value), behind)) = postcard::take_from_bytes::<(&[u8], Option<&[u8]>)>(rest) else {
            return Err(self.damaged("an entry that cannot be read"));
        };
        let (key, value) = (key.to_vec(), value.map(<[u8]>::to_vec));
        let behind = behind.len();
        if self.entries > 0 && self.last.as_slice().cmp(&key) != Ordering::Less {
            return Err(self.damaged("entries out of order"));
        }
        self.in_block = self.block.len() - behind;
        self.left -= 1;
        self.entries += 1;
        self.last.clone_from(&key);
        Ok(Some((key, value)))
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, LogError>;

    /// Nothing comes after an error.
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.next_entry().transpose();
        if matches!(entry, Some(Err(_))) {
            (self.is_over, self.left) = (true, 0);
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::mac::HmacKey;

    const PLACE: Position = Position { seq: 258, mac: [0xaa; 32] };

    fn key() -> Arc<dyn Mac> {
        Arc::new(HmacKey::new(b"log"))
    }

    fn entries(n: u32) -> Vec<Entry> {
        let value = |n: u32| (!n.is_multiple_of(7)).then(|| vec![n.to_be_bytes()[3]; 300]);
        (0..n).map(|n| (format!("key-{n:06}").into_bytes(), value(n))).collect()
    }

    fn written(entries: &[Entry], path: &Path) -> Vec<u8> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        let key = key();
        let mut writer = Writer::begin(file, FORMAT, &PLACE, &*key).unwrap();
        entries.iter().for_each(|(key, value)| writer.push(key, value.as_deref()).unwrap());
        let written = writer.finish().unwrap();
        assert_eq!(written.entries, entries.len() as u64);
        std::fs::read(path).unwrap()
    }

    fn read(path: &Path) -> Result<Vec<Entry>, LogError> {
        Reader::open(path, key())?.collect()
    }

    #[test]
    fn what_was_written_reads_back() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("s");
        for n in [0, 1, 5000] {
            written(&entries(n), &path);
            assert_eq!(read(&path).unwrap(), entries(n), "{n}");
            assert_eq!(header(&path).unwrap(), (FORMAT, PLACE));
        }
    }

    /// The header and an uncompressed block, byte by byte: what was written once must be readable for good.
    #[test]
    fn golden_bytes_of_version_1() {
        let golden = "617574686473 6e70 00000001 0000000000000102\
            aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let golden: String = golden.chars().filter(char::is_ascii_hexdigit).collect();
        let header = encode_header(1, &PLACE);
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&header[..HEADER_BYTES - 4]), golden);
        assert_eq!(hex(&postcard::to_stdvec(&(&b"k1"[..], Some(&b"v"[..]))).unwrap()), "026b31010176");
        assert_eq!(hex(&postcard::to_stdvec(&(&b"k2"[..], None::<&[u8]>)).unwrap()), "026b3200");
    }

    /// A newer format may have another form, or this one: then whoever reads it decides.
    #[test]
    fn f_15_the_format_of_the_store_is_in_the_header() {
        let path = Path::new("s");
        let newer = encode_header(FORMAT + 1, &PLACE);
        assert_eq!(decode_header(&newer, path).unwrap(), (FORMAT + 1, PLACE));
        let says = |bytes: &[u8]| decode_header(bytes, path).unwrap_err().to_string();
        for other in [&newer[..20], &[&newer[..HEADER_BYTES - 4], b"sum?"].concat()] {
            assert_eq!(says(other), format!("s has format {}, and this authd knows up to {FORMAT}", FORMAT + 1));
        }
        let damaged = encode_header(FORMAT, &PLACE);
        assert!(says(&damaged[..20]).contains("damaged"));
        assert!(says(&encode_header(0, &PLACE)).contains("damaged"));
    }

    #[test]
    fn f_05_every_damage_is_seen() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("s");
        let whole = written(&entries(40), &path);
        let refused = |bytes: &[u8], what: &str| {
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path).is_err(), "{what}");
        };
        for i in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[i] ^= 1 << (i % 8);
            refused(&flipped, &format!("byte {i} flipped"));
        }
        for len in 0..whole.len() {
            refused(&whole[..len], &format!("cut to {len}"));
        }
        refused(&[&whole[..], b"x"].concat(), "longer");
    }

    #[test]
    fn f_05_blocks_in_another_order_or_by_another_key_do_not_fit() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("s");
        written(&entries(3000), &path);
        let other = Reader::open(&path, Arc::new(HmacKey::new(b"other"))).unwrap().collect::<Result<Vec<_>, _>>();
        assert!(other.is_err());

        // The second block in the place of the first: its checksum is right, and its MAC is not.
        let bytes = std::fs::read(&path).unwrap();
        let first = HEAD_BYTES + u32_at(&bytes, HEADER_BYTES).unwrap() as usize + FOOT_BYTES;
        std::fs::write(&path, [&bytes[..HEADER_BYTES], &bytes[HEADER_BYTES + first..]].concat()).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("does not follow"));
    }

    #[test]
    fn f_15_a_newer_form_is_known_as_such() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("s");
        let mut bytes = written(&entries(1), &path);
        bytes[11] = 2;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(header(&path), Err(LogError::Newer { found: 2, known: 1, .. })));
    }
}
