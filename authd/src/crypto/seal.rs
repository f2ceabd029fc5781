//! Sealing of private keys at rest: XChaCha20-Poly1305 with a random nonce and purpose and id as associated data, so that
//! a sealed record opens only in its own place (CR-01).

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use common::SecretString;
use zeroize::Zeroizing;

use super::{mac::derive, master::MasterKey};
use crate::{
    digest::sha256,
    domain::SigningKey,
    ports::{Entropy, MasterKeyChange, Vault, VaultError},
};

const NONCE_BYTES: usize = 24;

/// Seals and opens with a key derived from the master key.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    fingerprint: String,
    /// For backups, which bring it back where the host is lost.
    master: Zeroizing<[u8; 32]>,
}

/// Nothing but the name of the master key. The cipher's key is wiped on drop by the cipher itself.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.fingerprint)
    }
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
            master: Zeroizing::new(*master),
        }
    }

    /// The master key, as it stands in its file.
    pub fn line(&self) -> SecretString {
        MasterKey::line(&self.master)
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

/// The purpose under which the private halves of signing keys are sealed.
pub const SIGNING_KEY: &str = "signing-key";

/// The sealer in force, which a change of the master key replaces while the daemon runs.
pub struct MasterVault {
    state: RwLock<State>,
    entropy: Arc<dyn Entropy>,
}

struct State {
    current: Arc<Sealer>,
    /// While the key is being changed: what takes its place.
    next: Option<Arc<Sealer>>,
}

impl MasterVault {
    /// With the sealer of the key that the store was made with.
    pub fn new(sealer: Sealer, entropy: Arc<dyn Entropy>) -> Self {
        Self { state: RwLock::new(State { current: Arc::new(sealer), next: None }), entropy }
    }

    /// The sealer in force.
    ///
    /// # Errors
    /// `Changing`: in a moment it is another one.
    pub fn current(&self) -> Result<Arc<Sealer>, VaultError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.next.is_some() { Err(VaultError::Changing) } else { Ok(state.current.clone()) }
    }

    /// Seals as [`Sealer::seal`]. Refuses while the key is being changed: what was sealed by the old key and written by
    /// its side would be lost.
    ///
    /// # Errors
    /// `Changing`.
    pub fn seal(&self, purpose: &str, id: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match state.next {
            Some(_) => Err(VaultError::Changing),
            None => Ok(state.current.seal(&*self.entropy, purpose, id, plain)),
        }
    }

    /// Opens as [`Sealer::open`], while the key is being changed by either key.
    ///
    /// # Errors
    /// [`DoesNotOpen`].
    pub fn open(&self, purpose: &str, id: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (current, next) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.current.clone(), state.next.clone())
        };
        let opened = current.open(purpose, id, sealed);
        opened.or_else(|e| next.map_or(Err(e), |next| next.open(purpose, id, sealed)))
    }
}

impl Vault for MasterVault {
    fn change(self: Arc<Self>, line: &SecretString) -> Result<Box<dyn MasterKeyChange>, VaultError> {
        let new = Arc::new(Sealer::new(MasterKey::parse(line).ok_or(VaultError::NotAKey)?.expose()));
        let old = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if state.next.is_some() {
                return Err(VaultError::Changing);
            }
            if state.current.fingerprint == new.fingerprint {
                return Err(VaultError::SameKey);
            }
            state.next = Some(new.clone());
            state.current.clone()
        };
        Ok(Box::new(Change { vault: self, old, new }))
    }
}

struct Change {
    vault: Arc<MasterVault>,
    old: Arc<Sealer>,
    new: Arc<Sealer>,
}

impl MasterKeyChange for Change {
    fn from(&self) -> &str {
        &self.old.fingerprint
    }

    fn to(&self) -> &str {
        &self.new.fingerprint
    }

    fn signing_key(&self, key: &SigningKey) -> Result<SigningKey, VaultError> {
        let sealed = self.secret(SIGNING_KEY, key.kid.as_str(), &key.sealed)?.into();
        Ok(SigningKey { sealed, ..key.clone() })
    }

    fn secret(&self, purpose: &str, id: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let opened = self.old.open(purpose, id, sealed);
        let plain = opened.map_err(|_| VaultError::Sealed(format!("{purpose} {id}")))?;
        Ok(self.new.seal(&*self.vault.entropy, purpose, id, &plain))
    }

    fn done(self: Box<Self>) {
        self.vault.state.write().unwrap_or_else(PoisonError::into_inner).current = self.new.clone();
        // The drop ends the change.
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.vault.state.write().unwrap_or_else(PoisonError::into_inner).next = None;
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
    fn cr_08_during_a_change_both_keys_open_and_nothing_is_sealed_and_afterwards_one_key_does_both() {
        let dir = tempfile::tempdir().unwrap();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        let line = |name: &str| {
            let path = dir.path().join(name);
            drop(crate::crypto::master::create(&path, &*entropy).unwrap());
            SecretString::from(std::fs::read_to_string(path).unwrap())
        };
        let (first, second) = (line("first"), line("second"));
        let sealer = |line: &SecretString| Sealer::new(MasterKey::parse(line).unwrap().expose());
        let vault = Arc::new(MasterVault::new(sealer(&first), entropy.clone()));
        let old = vault.seal("cookie", "1", b"secret").unwrap();
        assert_eq!(vault.clone().change(&first).err(), Some(VaultError::SameKey));
        assert_eq!(vault.clone().change(&"secret".into()).err(), Some(VaultError::NotAKey));

        let abandoned = vault.clone().change(&second).unwrap();
        let new = abandoned.secret("cookie", "1", &old).unwrap();
        assert_eq!(vault.clone().change(&second).err(), Some(VaultError::Changing));
        assert_eq!(vault.seal("cookie", "1", b"x").err(), Some(VaultError::Changing));
        for sealed in [&old, &new] {
            assert_eq!(**vault.open("cookie", "1", sealed).unwrap(), *b"secret");
        }
        drop(abandoned);
        assert!(vault.open("cookie", "1", &old).is_ok() && vault.open("cookie", "1", &new).is_err());
        vault.seal("cookie", "1", b"x").unwrap();

        let change = vault.clone().change(&second).unwrap();
        assert_eq!((change.from(), change.to()), (sealer(&first).fingerprint(), sealer(&second).fingerprint()));
        assert!(change.secret("refresh", "1", &old).is_err(), "in its place only");
        change.done();
        assert!(vault.open("cookie", "1", &old).is_err() && vault.open("cookie", "1", &new).is_ok());
        let later = vault.seal("cookie", "1", b"later").unwrap();
        assert_eq!(**sealer(&second).open("cookie", "1", &later).unwrap(), *b"later");
    }

    #[test]
    fn the_fingerprint_tells_keys_apart() {
        assert_ne!(Sealer::new(&[1; 32]).fingerprint(), Sealer::new(&[2; 32]).fingerprint());
        assert_eq!(Sealer::new(&[1; 32]).fingerprint().len(), 16);
    }
}
