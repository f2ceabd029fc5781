//! Recipients and identities: X25519 keys as age writes them, `age1…` and `AGE-SECRET-KEY-1…`.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use common::SecretString;
use zeroize::Zeroizing;

use super::{FileKey, header::Stanza, stream::derived};
use crate::ports::Entropy;

const PUBLIC: Hrp = Hrp::parse_unchecked("age");
const SECRET: Hrp = Hrp::parse_unchecked("age-secret-key-");
const KIND: &str = "X25519";
const INFO: &[u8] = b"age-encryption.org/v1/X25519";

/// A text that is none of these keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a key of age")]
pub struct NotAKey;

fn from_bech32(text: &str, hrp: Hrp) -> Option<Zeroizing<[u8; 32]>> {
    let parsed = CheckedHrpstring::new::<Bech32>(text).ok().filter(|parsed| parsed.hrp() == hrp)?;
    let mut key = Zeroizing::new([0; 32]);
    let mut bytes = parsed.byte_iter();
    key.iter_mut().try_for_each(|byte| bytes.next().map(|read| *byte = read))?;
    bytes.next().is_none().then_some(key)
}

/// A public key, for which files are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

impl FromStr for Recipient {
    type Err = NotAKey;
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        from_bech32(text, PUBLIC).map(|key| Self(*key)).ok_or(NotAKey)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bech32::encode::<Bech32>(PUBLIC, &self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl Recipient {
    /// The file's key, wrapped for this recipient. `None`: it is a key with which nothing can be kept secret.
    pub(super) fn wrap(&self, file_key: &FileKey, entropy: &dyn Entropy) -> Option<Stanza> {
        let once = Identity::generate(entropy);
        let share = once.recipient().0;
        let key = agreed(&once, &self.0, &share, &self.0)?;
        let mut body = file_key.to_vec();
        cipher(&key)?.seal_in_place_append_tag(nonce(), Aad::empty(), &mut body).ok()?;
        Some(Stanza { kind: KIND.into(), args: vec![STANDARD_NO_PAD.encode(share)], body })
    }
}

/// A private key. `Debug` prints nothing of it, and it is wiped on drop.
pub struct Identity(Zeroizing<[u8; 32]>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Identity {
    /// A new one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(key.as_mut());
        Self(key)
    }

    /// From the text of a file that `age-keygen` or [`Identity::file`] made: the first line that is neither empty nor a
    /// comment.
    ///
    /// # Errors
    /// That is no such key.
    pub fn parse(text: &SecretString) -> Result<Self, NotAKey> {
        let line = text.expose().lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        line.and_then(|line| from_bech32(line, SECRET)).map(Self).ok_or(NotAKey)
    }

    /// As it stands in a file.
    pub fn file(&self) -> SecretString {
        #[allow(clippy::expect_used)]
        let line = bech32::encode_upper::<Bech32>(SECRET, self.0.as_ref()).expect("32 bytes are not too long");
        let line = Zeroizing::new(line);
        format!("# public key: {}\n{}\n", self.recipient(), line.as_str()).into()
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        #[allow(clippy::expect_used)]
        let key = self.private().compute_public_key().expect("every 32 bytes have a public key");
        let mut public = [0; 32];
        public.copy_from_slice(key.as_ref());
        Recipient(public)
    }

    fn private(&self) -> PrivateKey {
        #[allow(clippy::expect_used)]
        PrivateKey::from_private_key(&X25519, self.0.as_ref()).expect("every 32 bytes are a private key")
    }

    /// The file's key, if this stanza is for this identity.
    pub(super) fn unwrap(&self, stanza: &Stanza) -> Option<FileKey> {
        let [share] = stanza.args.as_slice() else { return None };
        let share: [u8; 32] = STANDARD_NO_PAD.decode(share).ok()?.try_into().ok()?;
        if stanza.kind != KIND || stanza.body.len() != 32 {
            return None;
        }
        let key = agreed(self, &share, &share, &self.recipient().0)?;
        let mut body = Zeroizing::new(stanza.body.clone());
        let opened = cipher(&key)?.open_in_place(nonce(), Aad::empty(), &mut body).ok()?;
        Some(Zeroizing::new((&*opened).try_into().ok()?))
    }
}

/// The key that both halves arrive at.
fn agreed(own: &Identity, other: &[u8; 32], share: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let salt = [&share[..], &public[..]].concat();
    let other = UnparsedPublicKey::new(&X25519, other);
    agree(&own.private(), other, NotAKey, |secret| Ok(derived(secret, &salt, INFO))).ok()
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new)
}

/// The key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
