//! HMAC-SHA-256, and the derivation of keys with one purpose each.

use aws_lc_rs::{hkdf, hmac};
use zeroize::Zeroizing;

use crate::ports::Mac;

/// An HMAC-SHA-256 key.
pub struct HmacKey(hmac::Key);

impl HmacKey {
    /// From raw key bytes of any length.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }
}

impl Mac for HmacKey {
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

/// A 32-byte key for one purpose, by HKDF-SHA-256 (RFC 5869) with the purpose as info (CR-07).
pub fn derive(secret: &[u8], purpose: &str) -> Zeroizing<[u8; 32]> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"authd");
    let mut out = Zeroizing::new([0; 32]);
    #[allow(clippy::expect_used)]
    salt.extract(secret)
        .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut()))
        .expect("32 bytes are within what HKDF-SHA-256 can give");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cr_07_purposes_give_different_keys() {
        let secret = [7; 32];
        assert_ne!(*derive(&secret, "cookie"), *derive(&secret, "refresh"));
        assert_eq!(*derive(&secret, "cookie"), *derive(&secret, "cookie"));
    }

    #[test]
    fn parts_are_one_text() {
        let key = HmacKey::new(b"Jefe");
        let whole = key.mac(&[b"what do ya want for nothing?"]);
        assert_eq!(whole, key.mac(&[b"what do ya ", b"want for nothing?"]));
        // RFC 4231 §4.3
        assert_eq!(whole[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }
}
