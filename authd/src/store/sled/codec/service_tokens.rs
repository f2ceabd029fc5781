//! The record of a service's token.

use common::UnixTime;
use serde::{Deserialize, Serialize};

use super::Stored;
use crate::domain::{ServiceToken, TokenDigest};

#[derive(Serialize, Deserialize)]
pub(in crate::store::sled) struct ServiceTokenV1 {
    name: String,
    digest: [u8; 32],
    scopes: Vec<String>,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl Stored for ServiceToken {
    type Record = ServiceTokenV1;
    const VERSION: u8 = 1;

    fn to_record(&self) -> ServiceTokenV1 {
        ServiceTokenV1 {
            name: self.name.to_string(),
            digest: self.digest.0,
            scopes: self.scopes.iter().map(ToString::to_string).collect(),
            created_at: self.created_at.as_millis(),
            expires_at: self.expires_at.map(UnixTime::as_millis),
            last_used_at: self.last_used_at.map(UnixTime::as_millis),
        }
    }

    fn from_record(r: ServiceTokenV1) -> Option<Self> {
        Some(Self {
            name: r.name.parse().ok()?,
            digest: TokenDigest(r.digest),
            scopes: r.scopes.iter().map(|scope| scope.parse().ok()).collect::<Option<_>>()?,
            created_at: UnixTime::from_millis(r.created_at),
            expires_at: r.expires_at.map(UnixTime::from_millis),
            last_used_at: r.last_used_at.map(UnixTime::from_millis),
        })
    }
}

#[cfg(test)]
mod tests {
    use common::Scope;

    use super::*;
    use crate::store::sled::codec::{decode, encode, tests::hex};

    #[test]
    fn golden_bytes_of_version_1() {
        let at = UnixTime::from_millis(1_795_348_800_123);
        let token = ServiceToken {
            name: "backend".parse().unwrap(),
            digest: TokenDigest([7; 32]),
            scopes: [Scope::UsersRead, Scope::UsersBan].into(),
            created_at: at,
            expires_at: Some(at),
            last_used_at: None,
        };
        let bytes = encode(b"k", &token).unwrap();
        assert_eq!(
            hex(&bytes),
            "01076261636b656e640707070707070707070707070707070707070707070707070707070707070707020a75736572733a726561640975736572733a62616ef68985b2c06801f68985b2c06800a2f804aa"
        );
        assert_eq!(decode::<ServiceToken>(b"k", &bytes).unwrap(), token);
    }
}
