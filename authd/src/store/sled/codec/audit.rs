//! The records of the audit trail.

use common::UnixTime;
use serde::{Deserialize, Serialize};

use super::Stored;
use crate::domain::{AuditRecord, ChainHead, Checkpoint, Personal};

#[derive(Serialize, Deserialize)]
pub(in super::super) struct AuditV1 {
    seq: u64,
    at: i64,
    open: String,
    personal: PersonalV1,
    digest: [u8; 32],
    mac: [u8; 32],
}

#[derive(Serialize, Deserialize)]
enum PersonalV1 {
    Kept(String),
    Erased(u64, [u8; 32]),
}

impl Stored for AuditRecord {
    type Record = AuditV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> AuditV1 {
        let personal = match &self.personal {
            Personal::Kept(text) => PersonalV1::Kept(text.clone()),
            Personal::Erased { by, proof } => PersonalV1::Erased(*by, *proof),
        };
        let (at, open) = (self.at.as_millis(), self.open.clone());
        AuditV1 { seq: self.seq, at, open, personal, digest: self.digest, mac: self.mac }
    }

    fn from_record(r: AuditV1) -> Option<Self> {
        let personal = match r.personal {
            PersonalV1::Kept(text) => Personal::Kept(text),
            PersonalV1::Erased(by, proof) => Personal::Erased { by, proof },
        };
        let at = UnixTime::from_millis(r.at);
        Some(Self { seq: r.seq, at, open: r.open, personal, digest: r.digest, mac: r.mac })
    }
}

impl Stored for ChainHead {
    type Record = (u64, [u8; 32]);
    const VERSION: u8 = 1;

    fn to_record(&self) -> (u64, [u8; 32]) {
        (self.seq, self.mac)
    }

    fn from_record((seq, mac): (u64, [u8; 32])) -> Option<Self> {
        Some(Self { seq, mac })
    }
}

#[derive(Serialize, Deserialize)]
pub(in super::super) struct CheckpointV1 {
    seq: u64,
    mac: [u8; 32],
    until: i64,
    at: i64,
    told: u64,
    owes: bool,
    finished: bool,
    proof: [u8; 32],
}

impl Stored for Checkpoint {
    type Record = CheckpointV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> CheckpointV1 {
        CheckpointV1 {
            seq: self.last.seq,
            mac: self.last.mac,
            until: self.until.as_millis(),
            at: self.at.as_millis(),
            told: self.told,
            owes: self.owes,
            finished: self.finished,
            proof: self.proof,
        }
    }

    fn from_record(r: CheckpointV1) -> Option<Self> {
        Some(Self {
            last: ChainHead { seq: r.seq, mac: r.mac },
            until: UnixTime::from_millis(r.until),
            at: UnixTime::from_millis(r.at),
            told: r.told,
            owes: r.owes,
            finished: r.finished,
            proof: r.proof,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{decode, encode, tests::hex},
        *,
    };

    #[test]
    fn golden_bytes_of_version_1() {
        let at = UnixTime::from_millis(1_795_348_800_123);
        let (open, personal) = (r#"{"event":"x"}"#.into(), Personal::Kept("{}".into()));
        let kept = AuditRecord { seq: 7, at, open, personal, digest: [1; 32], mac: [2; 32] };
        let erased = AuditRecord { personal: Personal::Erased { by: 9, proof: [3; 32] }, ..kept.clone() };
        let head = ChainHead { seq: 7, mac: [2; 32] };
        let checkpoint = Checkpoint { last: head, until: at, at, told: 5, owes: true, finished: false, proof: [4; 32] };
        assert_eq!(
            hex(&encode(b"k", &kept).unwrap()),
            "0107f68985b2c0680d7b226576656e74223a2278227d00027b7d01010101010101010101010101010101010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202fe18fbb7"
        );
        assert_eq!(
            hex(&encode(b"k", &erased).unwrap()),
            "0107f68985b2c0680d7b226576656e74223a2278227d0109030303030303030303030303030303030303030303030303030303030303030301010101010101010101010101010101010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202d7e6a0f9"
        );
        assert_eq!(
            hex(&encode(b"k", &head).unwrap()),
            "01070202020202020202020202020202020202020202020202020202020202020202612a60fd"
        );
        assert_eq!(
            hex(&encode(b"k", &checkpoint).unwrap()),
            "01070202020202020202020202020202020202020202020202020202020202020202f68985b2c068f68985b2c06805010004040404040404040404040404040404040404040404040404040404040404042d8a3e61"
        );
        for record in [kept, erased] {
            assert_eq!(decode::<AuditRecord>(b"k", &encode(b"k", &record).unwrap()).unwrap(), record);
        }
        assert_eq!(decode::<Checkpoint>(b"k", &encode(b"k", &checkpoint).unwrap()).unwrap(), checkpoint);
    }
}
