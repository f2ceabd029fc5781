//! What stands in a segment, byte by byte: its header, and the records behind it. See FORMAT.md; the bytes are for good.

use serde::Deserialize;

use super::super::{codec::Stored, txn::Changes};
use crate::{digest::is_same_secret, ports::Mac};

/// The first bytes of a segment.
const MAGIC: &[u8; 8] = b"authdlog";
/// The format of the store that is written: of segments, of records, of the records' values. Each segment names the format in
/// force when it was begun; one with a newer format is refused.
pub const FORMAT: u32 = 1;
/// Magic, version, first sequence, first sequence of the segment before, MAC of the record before, checksum.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 8 + 8 + 32 + 4;
/// Length of the payload, first sequence, number of intents.
const HEAD_BYTES: usize = 4 + 8 + 4;
/// MAC and checksum.
const FOOT_BYTES: usize = 32 + 4;

/// A place in the log: the last intent of a record, and the record's MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct Position {
    pub seq: u64,
    pub mac: [u8; 32],
}

impl Stored for Position {
    type Record = (u64, [u8; 32]);
    const VERSION: u8 = 1;

    fn to_record(&self) -> (u64, [u8; 32]) {
        (self.seq, self.mac)
    }

    fn from_record((seq, mac): (u64, [u8; 32])) -> Option<Self> {
        Some(Self { seq, mac })
    }
}

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The format of the store in which it was begun.
    pub format: u32,
    /// The sequence of its first intent.
    pub first: u64,
    /// That of the segment before it; 0 if there never was one. So a missing segment is seen without reading any.
    pub prior: u64,
    /// The MAC of the record before its first one; zeros at the very beginning.
    pub mac: [u8; 32],
}

/// Why some bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHeader {
    Newer(u32),
    Damaged,
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_be_bytes(*b))
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out =
            [&MAGIC[..], &self.format.to_be_bytes(), &self.first.to_be_bytes(), &self.prior.to_be_bytes()].concat();
        out.extend_from_slice(&self.mac);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }

    /// Reads a header. One of a newer format may have another form, or this one.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NoHeader> {
        let format = bytes.strip_prefix(MAGIC).and_then(|rest| u32_at(rest, 0)).ok_or(NoHeader::Damaged)?;
        let unread = if format > FORMAT { NoHeader::Newer(format) } else { NoHeader::Damaged };
        let body = bytes.get(..HEADER_BYTES - 4).ok_or(unread)?;
        let sum = u32_at(bytes, body.len());
        let (first, prior, mac) = (u64_at(body, 12), u64_at(body, 20), body[28..].first_chunk());
        match (first, prior, mac) {
            (Some(first), Some(prior), Some(mac)) if format > 0 && sum == Some(crc32fast::hash(body)) => {
                Ok(Self { format, first, prior, mac: *mac })
            }
            _ => Err(unread),
        }
    }
}

/// A record, whose checksum is right. Whether it belongs where it stands, [`Record::follows`] says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    /// The sequence of its first intent.
    pub first: u64,
    /// How many intents it has.
    pub count: u32,
    /// How many bytes it takes.
    pub len: usize,
    signed: &'a [u8],
    mac: [u8; 32],
}

/// The changes of one intent, as they stand in a record.
pub(super) type Intent<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;

impl<'a> Record<'a> {
    /// The record that begins here.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let payload = u32_at(bytes, 0)? as usize;
        let (first, count) = (u64_at(bytes, 4)?, u32_at(bytes, 12)?);
        let body = HEAD_BYTES.checked_add(payload)?;
        let len = body.checked_add(FOOT_BYTES)?;
        let whole = bytes.get(..len)?;
        let (checked, sum) = whole.split_last_chunk::<4>()?;
        let (signed, mac) = checked.split_last_chunk::<32>()?;
        let is_one = payload > 0 && first > 0 && count > 0 && first.checked_add(u64::from(count)).is_some();
        (is_one && crc32fast::hash(checked) == u32::from_be_bytes(*sum)).then_some(Self {
            first,
            count,
            len,
            signed,
            mac: *mac,
        })
    }

    /// Where the log is behind this record.
    pub(super) fn end(&self) -> Position {
        Position { seq: self.first + u64::from(self.count) - 1, mac: self.mac }
    }

    /// Whether it was written with this key, behind that record and no other.
    pub(super) fn follows(&self, before: &Position, key: &dyn Mac) -> bool {
        let expected = key.mac(&[&before.mac, self.signed]);
        self.first == before.seq + 1 && is_same_secret(&expected, &self.mac)
    }

    /// What its intents changed, in their order. `None`: it is no record of this form, whatever its MAC says.
    pub(super) fn intents(&self) -> Option<Vec<Intent<'a>>> {
        let mut rest = &self.signed[HEAD_BYTES..];
        let mut intents = vec![];
        while !rest.is_empty() {
            let (intent, behind) = take(rest)?;
            intents.push(intent);
            rest = behind;
        }
        (intents.len() == self.count as usize).then_some(intents)
    }
}

fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<(T, &'a [u8])> {
    postcard::take_from_bytes(bytes).ok()
}

/// The next whole record at `from` or later. Its sequence tells it from bytes that only look like one.
pub(super) fn find(bytes: &[u8], from: usize, after: u64) -> Option<(usize, u64)> {
    // The sequence is looked at first: a checksum at every byte would take for ever.
    let plausible = after..after.saturating_add(1 << 32);
    (from..bytes.len()).find_map(|at| {
        let seq = u64_at(bytes, at + 4).filter(|seq| plausible.contains(seq))?;
        Record::parse(&bytes[at..]).map(|_| (at, seq))
    })
}

/// A length as postcard writes it: seven bits a byte, the lowest first.
fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while let Some(more) = Some(length >> 7).filter(|more| *more > 0) {
        out.push(length.to_le_bytes()[0] | 0x80);
        length = more;
    }
    out.push(length.to_le_bytes()[0]);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// The record of a group in the making: what its intents changed, one after the other.
pub(in super::super) struct Draft {
    /// Room for what stands before the payload, and the payload.
    bytes: Vec<u8>,
    count: u32,
}

impl Default for Draft {
    fn default() -> Self {
        Self { bytes: vec![0; HEAD_BYTES], count: 0 }
    }
}

impl Draft {
    /// Adds an intent. One that changes nothing leaves no trace. These are postcard's bytes; postcard itself would go through
    /// a `Vec<u8>` byte by byte, which took longer than the record's MAC.
    pub(in super::super) fn push(&mut self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        put_length(&mut self.bytes, changes.len());
        for (key, value) in changes {
            put_bytes(&mut self.bytes, key);
            self.bytes.push(u8::from(value.is_some()));
            value.iter().for_each(|value| put_bytes(&mut self.bytes, value));
        }
        self.count += 1;
    }

    /// Whether there is nothing to commit.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its bytes behind `before`, and where the log is then. `None` if it is too long for its length.
    pub(super) fn encode(self, before: &Position, key: &dyn Mac) -> Option<(Vec<u8>, Position)> {
        let mut out = self.bytes;
        let payload = u32::try_from(out.len() - HEAD_BYTES).ok()?;
        out[..4].copy_from_slice(&payload.to_be_bytes());
        out[4..12].copy_from_slice(&(before.seq + 1).to_be_bytes());
        out[12..HEAD_BYTES].copy_from_slice(&self.count.to_be_bytes());
        let mac = key.mac(&[&before.mac, &out]);
        out.extend_from_slice(&mac);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        Some((out, Position { seq: before.seq + u64::from(self.count), mac }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::mac::HmacKey;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |out, b| out + &format!("{b:02x}"))
    }

    fn key() -> HmacKey {
        HmacKey::new(b"log")
    }

    fn draft() -> Draft {
        let mut draft = Draft::default();
        draft.push(&Changes::from([(b"k1".to_vec(), Some(b"value".to_vec())), (b"k2".to_vec(), None)]));
        draft.push(&Changes::new());
        draft.push(&Changes::from([(b"k3".to_vec(), Some(vec![]))]));
        draft
    }

    #[test]
    fn golden_bytes_of_version_1() {
        let header = Header { format: 1, first: 258, prior: 7, mac: [0xaa; 32] };
        assert_eq!(
            hex(&header.encode()),
            format!("{}00000001{:016x}{:016x}{}{}", hex(b"authdlog"), 258, 7, "aa".repeat(32), "e883f236")
        );
        let before = Position { seq: 41, mac: [0xbb; 32] };
        let (bytes, end) = draft().encode(&before, &key()).unwrap();
        assert_eq!(
            hex(&bytes),
            format!(
                "{:08x}{:016x}{:08x}{}{}",
                21,
                42,
                2,
                "02026b31010576616c7565026b320001026b330100",
                "10c11bc24401aea16807736d5fc56d17f6ef4ad9c68be9da6c3137174c6af8fe1119a41b"
            )
        );
        assert_eq!(end.seq, 43);
        assert_eq!(
            hex(&super::super::super::codec::encode(b"k", &before).unwrap()),
            "0129bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb3b883758"
        );
    }

    #[test]
    fn what_was_written_reads_back() {
        let before = Position { seq: 41, mac: [0xbb; 32] };
        let (bytes, end) = draft().encode(&before, &key()).unwrap();
        let record = Record::parse(&bytes).unwrap();
        assert_eq!((record.first, record.count, record.len, record.end()), (42, 2, bytes.len(), end));
        assert!(record.follows(&before, &key()));
        let intents = record.intents().unwrap();
        assert_eq!(intents[0], [(&b"k1"[..], Some(&b"value"[..])), (&b"k2"[..], None)]);
        assert_eq!(intents[1], [(&b"k3"[..], Some(&b""[..]))]);
        let header = Header { format: 1, first: 258, prior: 7, mac: [0xaa; 32] };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn what_is_written_by_hand_is_what_postcard_writes() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            let long = vec![7; length];
            let many = (0..length.min(300)).map(|n| (n.to_be_bytes().to_vec(), None));
            let changes: Changes = many.chain([(long.clone(), Some(long)), (b"k".to_vec(), Some(vec![]))]).collect();
            let mut draft = Draft::default();
            draft.push(&changes);
            assert_eq!(draft.bytes[HEAD_BYTES..], postcard::to_stdvec(&changes).unwrap(), "{length}");
        }
    }

    #[test]
    fn f_05_a_record_in_another_place_or_by_another_key_does_not_fit() {
        let before = Position { seq: 41, mac: [0xbb; 32] };
        let (bytes, _) = draft().encode(&before, &key()).unwrap();
        let record = Record::parse(&bytes).unwrap();
        assert!(!record.follows(&Position { seq: 40, ..before }, &key()));
        assert!(!record.follows(&Position { mac: [0xbc; 32], ..before }, &key()));
        assert!(!record.follows(&before, &HmacKey::new(b"another")));
    }

    #[test]
    fn f_05_every_flipped_bit_is_seen() {
        let (bytes, _) = draft().encode(&Position::default(), &key()).unwrap();
        let header = Header { format: 1, first: 258, prior: 7, mac: [0xaa; 32] }.encode();
        for bit in 0..8 {
            for i in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[i] ^= 1 << bit;
                assert!(Record::parse(&damaged).is_none(), "byte {i} bit {bit}");
            }
            for i in 0..header.len() {
                let mut damaged = header.clone();
                damaged[i] ^= 1 << bit;
                assert!(Header::decode(&damaged).is_err(), "byte {i} bit {bit}");
            }
        }
        assert!(Record::parse(&[0; 4096]).is_none(), "zeros are no record");
    }

    #[test]
    fn f_15_a_newer_header_is_known_as_such() {
        let newer = Header { format: FORMAT + 1, first: 1, prior: 0, mac: [0; 32] };
        assert_eq!(
            Header::decode(&newer.encode()),
            Ok(newer),
            "of the same form: whoever opens it looks at the number"
        );
        let of_another_form = [newer.encode(), vec![0]].concat();
        assert_eq!(Header::decode(&of_another_form[1..]), Err(NoHeader::Damaged));
        assert_eq!(Header::decode(&newer.encode()[..20]), Err(NoHeader::Newer(FORMAT + 1)));
    }

    #[test]
    fn a_record_is_found_behind_damage() {
        let (bytes, _) = draft().encode(&Position { seq: 41, mac: [0; 32] }, &key()).unwrap();
        let text = [&[7; 100], &bytes[..], &[0; 9]].concat();
        assert_eq!(find(&text, 0, 40), Some((100, 42)));
        assert_eq!(find(&text, 101, 40), None);
        assert_eq!(find(&text, 0, 43), None, "an older one is a remnant, and does not follow");
    }
}
