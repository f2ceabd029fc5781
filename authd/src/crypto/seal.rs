//! Sealing of private keys at rest: XChaCha20-Poly1305 with a random nonce and purpose and id as associated data, so that
//! a sealed record opens only in its own place (CR-01).

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use crate::{crypto::mac::derive, digest::sha256, ports::Entropy};

const NONCE_BYTES: usize = 24;

/// Seals and opens with a key derived from the master key.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    fingerprint: String,
}

/// A sealed record that does not open: another master key, another place, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed record does not open with this master key")]
pub struct DoesNotOpen;

impl Sealer {
    /// From the master key.
    pub fn new(master: &[u8; 32]) -> Self {
        let key = derive(master, "authd seal v1");
        let fingerprint = sha256(&*derive(master, "authd master key fingerprint v1"));
        let mut first = [0; 8];
        first.copy_from_slice(&fingerprint[..8]);
        Self {
            cipher: XChaCha20Poly1305::new((&*key).into()),
            fingerprint: format!("{:016x}", u64::from_be_bytes(first)),
        }
    }

    /// Sixteen hexadecimal digits that name the master key and tell nothing of it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Nonce and ciphertext, for this purpose and id only.
    pub fn seal(&self, entropy: &dyn Entropy, purpose: &str, id: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let aad = associated(purpose, id);
        #[allow(clippy::expect_used)]
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
            .expect("encryption fails only for texts of many gigabytes");
        [&nonce[..], &sealed].concat()
    }

    /// Opens what [`Sealer::seal`] made for the same purpose and id.
    ///
    /// # Errors
    /// [`DoesNotOpen`].
    pub fn open(&self, purpose: &str, id: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(DoesNotOpen)?;
        let aad = associated(purpose, id);
        self.cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| DoesNotOpen)
    }
}

fn associated(purpose: &str, id: &str) -> Vec<u8> {
    [purpose.as_bytes(), &[0], id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SystemEntropy;

    #[test]
    fn cr_01_a_sealed_record_opens_only_in_its_place_and_with_its_key() {
        let entropy = SystemEntropy::default();
        let sealer = Sealer::new(&[1; 32]);
        let sealed = sealer.seal(&entropy, "signing", "k1", b"private");
        assert_eq!(**sealer.open("signing", "k1", &sealed).unwrap(), *b"private");
        assert!(sealer.open("signing", "k2", &sealed).is_err());
        assert!(sealer.open("cookie", "k1", &sealed).is_err());
        assert!(Sealer::new(&[2; 32]).open("signing", "k1", &sealed).is_err());
        assert_ne!(sealer.seal(&entropy, "signing", "k1", b"private"), sealed, "a nonce of its own each time");
        for i in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[i] ^= 1;
            assert!(sealer.open("signing", "k1", &damaged).is_err(), "byte {i}");
        }
        assert!(sealer.open("signing", "k1", &sealed[..20]).is_err());
    }

    #[test]
    fn the_fingerprint_tells_keys_apart() {
        assert_ne!(Sealer::new(&[1; 32]).fingerprint(), Sealer::new(&[2; 32]).fingerprint());
        assert_eq!(Sealer::new(&[1; 32]).fingerprint().len(), 16);
    }
}
