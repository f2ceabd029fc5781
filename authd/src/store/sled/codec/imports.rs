//! The record of an import.

use common::UnixTime;
use serde::{Deserialize, Serialize};

use super::Stored;
use crate::domain::Import;

#[derive(Serialize, Deserialize)]
pub(in crate::store::sled) struct ImportV1 {
    id: String,
    source: String,
    users: u64,
    passwords: u64,
    sessions: u64,
    began_at: i64,
    changed_at: i64,
}

impl Stored for Import {
    type Record = ImportV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> ImportV1 {
        ImportV1 {
            id: self.id.to_string(),
            source: self.source.clone(),
            users: self.users,
            passwords: self.passwords,
            sessions: self.sessions,
            began_at: self.began_at.as_millis(),
            changed_at: self.changed_at.as_millis(),
        }
    }

    fn from_record(r: ImportV1) -> Option<Self> {
        Some(Self {
            id: r.id.parse().ok()?,
            source: r.source,
            users: r.users,
            passwords: r.passwords,
            sessions: r.sessions,
            began_at: UnixTime::from_millis(r.began_at),
            changed_at: UnixTime::from_millis(r.changed_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::codec::{decode, encode, tests::hex};

    #[test]
    fn golden_bytes_of_version_1() {
        let at = UnixTime::from_millis(1_795_348_800_123);
        let (id, source) = ("i1".parse().unwrap(), "better-auth".into());
        let import = Import { id, source, users: 3, passwords: 2, sessions: 300, began_at: at, changed_at: at };
        let bytes = encode(b"k", &import).unwrap();
        assert_eq!(hex(&bytes), "010269310b6265747465722d617574680302ac02f68985b2c068f68985b2c068aadae01a");
        assert_eq!(decode::<Import>(b"k", &bytes).unwrap(), import);
    }
}
