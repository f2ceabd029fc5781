//! Files of the age format, version 1 (<https://age-encryption.org/v1>): sealed for public keys, read and written as a stream.
//! Its own small implementation: the crate of that name brings 84 others. What is here is the X25519 recipient, by which
//! `age` and its relatives open a file, and one recipient of ours, the master key.

mod header;
mod keys;
mod stream;

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use self::header::{Header, Stanza};
pub use self::{
    keys::{Identity, NotAKey, Recipient},
    stream::{CHUNK_BYTES, Opened, Sealing},
};
use super::seal::Sealer;
use crate::ports::Entropy;

/// The key of one file.
type FileKey = Zeroizing<[u8; 16]>;

/// What the stanza of the master key is called.
const MASTER: &str = "authd.master-key";
/// The purpose under which the master key seals a file's key.
const PURPOSE: &str = "backup";

/// Why a file does not open.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    /// It is no file of this format.
    #[error("it is not a backup: it does not begin as one")]
    Foreign,
    /// Something in it is not as it was written.
    #[error("it is damaged between offset {from} and {to}: {what}")]
    Damaged {
        /// Where what does not fit begins.
        from: u64,
        /// Where it ends.
        to: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// None of the keys opens it.
    #[error("{given} does not open it: it is sealed for {wanted}; or its header is damaged, offset 0 to {to}")]
    OtherKey {
        /// What was tried.
        given: String,
        /// For what it is sealed, by its own words.
        wanted: String,
        /// Where the header ends.
        to: u64,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<AgeError> for io::Error {
    fn from(e: AgeError) -> Self {
        match e {
            AgeError::Io(e) => e,
            other => Self::other(other),
        }
    }
}

/// What opens a file.
pub enum Key<'a> {
    /// The master key of a store.
    Master(&'a Sealer),
    /// The private half of a recipient.
    Identity(&'a Identity),
}

impl Key<'_> {
    fn describe(&self) -> String {
        match self {
            Self::Master(sealer) => format!("the master key {}", sealer.fingerprint()),
            Self::Identity(identity) => format!("the identity of {}", identity.recipient()),
        }
    }

    fn file_key(&self, header: &Header) -> Option<FileKey> {
        header.stanzas.iter().find_map(|stanza| match self {
            Self::Master(sealer) if stanza.kind == MASTER => {
                let opened = sealer.open(PURPOSE, "file-key", &stanza.body).ok()?;
                Some(Zeroizing::new(opened.as_slice().try_into().ok()?))
            }
            Self::Identity(identity) => identity.unwrap(stanza),
            Self::Master(_) => None,
        })
    }
}

/// Begins a file that this master key and these recipients open.
///
/// # Errors
/// It cannot be written.
pub fn seal<W: Write>(
    out: W,
    master: &Sealer,
    recipients: &[Recipient],
    entropy: &dyn Entropy,
) -> io::Result<Sealing<W>> {
    let mut file_key: FileKey = Zeroizing::new([0; 16]);
    entropy.fill(file_key.as_mut());
    let body = master.seal(entropy, PURPOSE, "file-key", file_key.as_ref());
    let master = Stanza { kind: MASTER.into(), args: vec![master.fingerprint().into()], body };
    let wrapped = recipients.iter().map(|recipient| recipient.wrap(&file_key, entropy));
    let stanzas = std::iter::once(Some(master)).chain(wrapped).collect::<Option<_>>();
    let stanzas = stanzas.ok_or_else(|| io::Error::other("a recipient's key is not one that can be used"))?;
    Sealing::begin(out, &Header { stanzas }.encode(&file_key), &file_key, entropy)
}

/// Opens a file. Nothing of its content is answered before it is known to be right.
///
/// # Errors
/// It is not such a file, the key is not one of its keys, or its header was changed.
pub fn open<R: Read>(mut file: R, key: &Key<'_>) -> Result<Opened<R>, AgeError> {
    let (header, text) = Header::read(&mut file)?;
    let to = text.len() as u64;
    let other = || AgeError::OtherKey { given: key.describe(), wanted: header.describe(), to };
    let file_key = key.file_key(&header).ok_or_else(other)?;
    if !header::is_authentic(&text, &file_key) {
        return Err(AgeError::Damaged { from: 0, to, what: "the header" });
    }
    Opened::begin(file, to, &file_key)
}

#[cfg(test)]
mod tests;
