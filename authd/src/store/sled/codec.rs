//! Records on disk: `[version][postcard][crc32 over key and value]`, at most 7 KiB. Record types stand apart from the
//! domain's, one per version, because postcard does not describe itself: what was written once must be readable for good
//! (golden bytes below). The checksum covers the key too, so that a record in the wrong place is a damaged one.

mod audit;
mod imports;
mod mail;
mod outbox;
mod service_tokens;
mod user;

use std::sync::Arc;

use common::{Span, UnixTime};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::keys;
use crate::{
    domain::{
        Algorithm, ClientDigest, Credential, Family, Generation, IdempotencyKey, PasswordHash, RepeatSeen, SigningKey,
        throttle::Place,
    },
    store::{Counter, Meta, SealedSecret, StoreError},
};

/// sled puts a node of its tree of more than 128 KiB in a file of its own, which it never syncs: what is acknowledged must
/// not come there. A node has at most 16 records and as many keys.
pub(super) const MAX_VALUE_BYTES: usize = 7 * 1024;
/// What most records fit into.
const USUAL_BYTES: usize = 256;

fn checksum(key: &[u8], body: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize().to_be_bytes()
}

/// A thing that is stored as the record `R`.
pub(super) trait Stored: Sized {
    /// Its form on disk.
    type Record: Serialize + DeserializeOwned;
    /// The version that is written now.
    const VERSION: u8;
    fn to_record(&self) -> Self::Record;
    fn from_record(record: Self::Record) -> Option<Self>;
    /// What was written as a version before that; `None` if there is no such version.
    fn from_older(_version: u8, _record: &[u8]) -> Option<Self> {
        None
    }
}

fn damaged(key: &[u8]) -> StoreError {
    StoreError::Damaged(keys::describe(key))
}

pub(super) fn encode<T: Stored>(key: &[u8], value: &T) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(USUAL_BYTES);
    out.push(T::VERSION);
    let mut out = postcard::to_extend(&value.to_record(), out).map_err(|_| damaged(key))?;
    out.extend_from_slice(&checksum(key, &out));
    if out.len() > MAX_VALUE_BYTES {
        return Err(StoreError::Unavailable("a record is larger than 7 KiB".into()));
    }
    Ok(out)
}

/// A record whose checksum is right, without it.
pub(super) fn check<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged(key))?;
    if *sum == checksum(key, body) { Ok(body) } else { Err(damaged(key)) }
}

pub(super) fn decode<T: Stored>(key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    match check(key, bytes)?.split_first() {
        Some((version, record)) if *version == T::VERSION => {
            postcard::from_bytes(record).ok().and_then(T::from_record).ok_or_else(|| damaged(key))
        }
        Some((version, _)) if *version > T::VERSION => {
            Err(StoreError::Unavailable("a record was written by a newer authd".into()))
        }
        Some((version, record)) => T::from_older(*version, record).ok_or_else(|| damaged(key)),
        None => Err(damaged(key)),
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct CredentialV1 {
    id: String,
    user: String,
    hash: String,
    created_at: i64,
    updated_at: i64,
}

impl Stored for Credential {
    type Record = CredentialV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> CredentialV1 {
        CredentialV1 {
            id: self.id.to_string(),
            user: self.user.to_string(),
            hash: self.hash.as_str().to_owned(),
            created_at: self.created_at.as_millis(),
            updated_at: self.updated_at.as_millis(),
        }
    }

    fn from_record(r: CredentialV1) -> Option<Self> {
        Some(Self {
            id: r.id.parse().ok()?,
            user: r.user.parse().ok()?,
            hash: PasswordHash::new(r.hash),
            created_at: UnixTime::from_millis(r.created_at),
            updated_at: UnixTime::from_millis(r.updated_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct FamilyV1 {
    id: String,
    session: String,
    salt: [u8; 16],
    current: u64,
    parent: Option<u64>,
    rotations: Vec<(u64, i64)>,
    client: [u8; 16],
    repeat_seen: (bool, bool),
    created_at: i64,
}

impl Stored for Family {
    type Record = FamilyV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> FamilyV1 {
        FamilyV1 {
            id: self.id.to_string(),
            session: self.session.to_string(),
            salt: self.salt,
            current: self.current.0,
            parent: self.parent.map(|g| g.0),
            rotations: self.rotations.iter().map(|(g, at)| (g.0, at.as_millis())).collect(),
            client: self.client.0,
            repeat_seen: (self.repeat_seen.same_client, self.repeat_seen.other_client),
            created_at: self.created_at.as_millis(),
        }
    }

    fn from_record(r: FamilyV1) -> Option<Self> {
        Some(Self {
            id: r.id.parse().ok()?,
            session: r.session.parse().ok()?,
            salt: r.salt,
            current: Generation(r.current),
            parent: r.parent.map(Generation),
            rotations: r.rotations.into_iter().map(|(g, at)| (Generation(g), UnixTime::from_millis(at))).collect(),
            client: ClientDigest(r.client),
            repeat_seen: RepeatSeen { same_client: r.repeat_seen.0, other_client: r.repeat_seen.1 },
            created_at: UnixTime::from_millis(r.created_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SigningKeyV1 {
    kid: String,
    algorithm: String,
    public_jwk: String,
    sealed: Vec<u8>,
    token_life: u64,
    created_at: i64,
    published_at: i64,
    signs_at: i64,
    retires_at: Option<i64>,
    gone_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl Stored for SigningKey {
    type Record = SigningKeyV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> SigningKeyV1 {
        SigningKeyV1 {
            kid: self.kid.to_string(),
            algorithm: self.algorithm.as_str().to_owned(),
            public_jwk: self.public_jwk.to_string(),
            sealed: self.sealed.to_vec(),
            token_life: self.token_life.as_millis(),
            created_at: self.created_at.as_millis(),
            published_at: self.published_at.as_millis(),
            signs_at: self.signs_at.as_millis(),
            retires_at: self.retires_at.map(UnixTime::as_millis),
            gone_at: self.gone_at.map(UnixTime::as_millis),
            revoked_at: self.revoked_at.map(UnixTime::as_millis),
        }
    }

    fn from_record(r: SigningKeyV1) -> Option<Self> {
        Some(Self {
            kid: r.kid.parse().ok()?,
            algorithm: Algorithm::from_name(&r.algorithm)?,
            public_jwk: r.public_jwk.into(),
            sealed: Arc::from(r.sealed),
            token_life: Span::from_millis(r.token_life),
            created_at: UnixTime::from_millis(r.created_at),
            published_at: UnixTime::from_millis(r.published_at),
            signs_at: UnixTime::from_millis(r.signs_at),
            retires_at: r.retires_at.map(UnixTime::from_millis),
            gone_at: r.gone_at.map(UnixTime::from_millis),
            revoked_at: r.revoked_at.map(UnixTime::from_millis),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SecretV1 {
    purpose: String,
    id: String,
    sealed: Vec<u8>,
    created_at: i64,
}

impl Stored for SealedSecret {
    type Record = SecretV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> SecretV1 {
        SecretV1 {
            purpose: self.purpose.clone(),
            id: self.id.clone(),
            sealed: self.sealed.clone(),
            created_at: self.created_at.as_millis(),
        }
    }

    fn from_record(r: SecretV1) -> Option<Self> {
        let created_at = UnixTime::from_millis(r.created_at);
        Some(Self { purpose: r.purpose, id: r.id, sealed: r.sealed, created_at })
    }
}

/// The form of the whole store. A store with a newer one is refused and not touched.
pub(super) const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct MetaV1 {
    fingerprint: String,
    created_at: i64,
}

impl Stored for Meta {
    type Record = MetaV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> MetaV1 {
        MetaV1 { fingerprint: self.fingerprint.clone(), created_at: self.created_at.as_millis() }
    }

    fn from_record(r: MetaV1) -> Option<Self> {
        Some(Self { fingerprint: r.fingerprint, created_at: UnixTime::from_millis(r.created_at) })
    }
}

/// A counter, or the schema's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Number(pub u64);

impl Stored for Number {
    type Record = u64;
    const VERSION: u8 = 1;

    fn to_record(&self) -> u64 {
        self.0
    }

    fn from_record(record: u64) -> Option<Self> {
        Some(Self(record))
    }
}

/// From where a user signed in of late.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places(pub Vec<Place>);

impl Stored for Places {
    type Record = Vec<(String, i64)>;
    const VERSION: u8 = 1;

    fn to_record(&self) -> Self::Record {
        self.0.iter().map(|place| (place.name.clone(), place.last.as_millis())).collect()
    }

    fn from_record(record: Self::Record) -> Option<Self> {
        let place = |(name, last)| Place { name, last: UnixTime::from_millis(last) };
        Some(Self(record.into_iter().map(place).collect()))
    }
}

impl Stored for Counter {
    type Record = ([u8; 16], u32, i64, Option<String>);
    const VERSION: u8 = 1;

    fn to_record(&self) -> Self::Record {
        (self.key, self.count, self.last.as_millis(), self.label.clone())
    }

    fn from_record((key, count, last, label): Self::Record) -> Option<Self> {
        Some(Self { key, count, last: UnixTime::from_millis(last), label })
    }
}

/// An act that had a name: its audit record, and what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub seq: u64,
    pub request: [u8; 32],
}

impl Done {
    pub(super) fn check(found: Option<Self>, key: &IdempotencyKey) -> Result<(), StoreError> {
        match found {
            Some(done) if done.request == key.request => Err(StoreError::Repeated(done.seq)),
            Some(done) => Err(StoreError::OtherAct(done.seq)),
            None => Ok(()),
        }
    }
}

impl Stored for Done {
    type Record = (u64, [u8; 32]);
    const VERSION: u8 = 1;

    fn to_record(&self) -> Self::Record {
        (self.seq, self.request)
    }

    fn from_record((seq, request): Self::Record) -> Option<Self> {
        Some(Self { seq, request })
    }
}

/// An index entry: the id it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link(pub String);

impl Stored for Link {
    type Record = String;
    const VERSION: u8 = 1;

    fn to_record(&self) -> String {
        self.0.clone()
    }

    fn from_record(record: String) -> Option<Self> {
        Some(Self(record))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::{User, session::tests::user};

    pub(super) fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |out, b| out + &format!("{b:02x}"))
    }

    #[test]
    fn golden_bytes_of_version_1() {
        let at = UnixTime::from_millis(1_795_348_800_123);
        let credential = Credential {
            id: "a1".parse().unwrap(),
            user: "u1".parse().unwrap(),
            hash: PasswordHash::new("$argon2id$x"),
            created_at: at,
            updated_at: at,
        };
        assert_eq!(
            hex(&encode(b"k", &credential).unwrap()),
            "010261310275310b246172676f6e3269642478f68985b2c068f68985b2c0684d45a5ff"
        );
        let family = Family {
            id: "f1".parse().unwrap(),
            session: "s1".parse().unwrap(),
            salt: [9; 16],
            current: Generation(2),
            parent: Some(Generation(1)),
            rotations: vec![(Generation(1), at)],
            client: ClientDigest([7; 16]),
            repeat_seen: RepeatSeen { same_client: true, other_client: false },
            created_at: at,
        };
        assert_eq!(
            hex(&encode(b"k", &family).unwrap()),
            "01026631027331090909090909090909090909090909090201010101f68985b2c068070707070707070707070707070707070100f68985b2c068406fcb25"
        );
        let places = Places(vec![Place { name: "192.0.2.1".into(), last: at }]);
        assert_eq!(hex(&encode(b"k", &places).unwrap()), "0101093139322e302e322e31f68985b2c06838271e51");
        let counter = Counter { key: [5; 16], count: 11, last: at, label: Some("u1".into()) };
        assert_eq!(
            hex(&encode(b"k", &counter).unwrap()),
            "01050505050505050505050505050505050bf68985b2c068010275319da5f335"
        );
        let key = SigningKey {
            kid: "k1".parse().unwrap(),
            algorithm: Algorithm::EdDsa,
            public_jwk: "{}".into(),
            sealed: Arc::from([1, 2, 3]),
            token_life: Span::from_mins(15),
            created_at: at,
            published_at: at,
            signs_at: at,
            retires_at: Some(at),
            gone_at: None,
            revoked_at: None,
        };
        assert_eq!(
            hex(&encode(b"k", &key).unwrap()),
            "01026b31054564445341027b7d03010203a0f736f68985b2c068f68985b2c068f68985b2c06801f68985b2c06800009a17d4b9"
        );
    }

    #[test]
    fn what_was_written_reads_back() {
        let user = user();
        let bytes = encode(b"key", &user).unwrap();
        assert_eq!(decode::<User>(b"key", &bytes).unwrap(), user);
    }

    #[test]
    fn f_05_every_flipped_bit_is_seen() {
        let bytes = encode(b"key", &user()).unwrap();
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[i] ^= 1 << bit;
                assert!(decode::<User>(b"key", &damaged).is_err(), "byte {i} bit {bit}");
            }
        }
        assert!(decode::<User>(b"yek", &bytes).is_err(), "a record in another's place");
        assert!(decode::<User>(b"key", &bytes[..bytes.len() - 1]).is_err());
        assert!(decode::<User>(b"key", b"").is_err());
    }

    #[test]
    fn f_15_a_newer_record_is_refused_in_words() {
        let mut bytes = encode(b"key", &user()).unwrap();
        bytes.truncate(bytes.len() - 4);
        bytes[0] = User::VERSION + 1;
        bytes.extend_from_slice(&checksum(b"key", &bytes.clone()));
        let error = decode::<User>(b"key", &bytes).unwrap_err();
        assert!(error.to_string().contains("newer authd"), "{error}");
    }
}
