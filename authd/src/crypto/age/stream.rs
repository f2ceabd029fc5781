//! The content: chunks of 64 KiB, each sealed for its place, the last one as the last. Memory holds one chunk.

use std::io::{self, Read, Write};

use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use zeroize::Zeroizing;

use super::{AgeError, FileKey};
use crate::ports::Entropy;

/// So much content is in a chunk; only the last one has less.
pub const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 16;

/// HKDF-SHA-256, 32 bytes of it.
pub(super) fn derived(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    #[allow(clippy::expect_used)]
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut()))
        .expect("32 bytes are within what HKDF-SHA-256 can give");
    out
}

fn cipher(file_key: &FileKey, salt: &[u8; SALT_BYTES]) -> LessSafeKey {
    let key = derived(file_key.as_ref(), salt, b"payload");
    #[allow(clippy::expect_used)]
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).expect("32 bytes are a key"))
}

/// Which chunk it is, and whether it is the last.
fn nonce(chunk: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&chunk.to_be_bytes());
    nonce[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(nonce)
}

/// A file that is being written. Without [`Sealing::finish`] it is no whole file.
pub struct Sealing<W> {
    out: W,
    cipher: LessSafeKey,
    chunk: u64,
    held: Vec<u8>,
}

impl<W: Write> Sealing<W> {
    pub(super) fn begin(mut out: W, header: &[u8], file_key: &FileKey, entropy: &dyn Entropy) -> io::Result<Self> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        out.write_all(header)?;
        out.write_all(&salt)?;
        let held = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
        Ok(Self { out, cipher: cipher(file_key, &salt), chunk: 0, held })
    }

    fn put(&mut self, is_last: bool) -> io::Result<()> {
        let sealed = self.cipher.seal_in_place_append_tag(nonce(self.chunk, is_last), Aad::empty(), &mut self.held);
        sealed.map_err(|_| io::Error::other("the cipher refused"))?;
        self.out.write_all(&self.held)?;
        self.held.clear();
        self.chunk += 1;
        Ok(())
    }

    /// Ends the file. Nothing is synced.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until it is certain that it is not the last.
        if self.held.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.put(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is being read. What is damaged is an error of kind `Other` with an [`AgeError`] inside.
pub struct Opened<R> {
    file: R,
    cipher: LessSafeKey,
    /// Where in the file the next chunk begins.
    at: u64,
    chunk: u64,
    held: Vec<u8>,
    read: usize,
    /// The first byte of the next chunk, by which it is known that there is one.
    ahead: Option<u8>,
    is_over: bool,
}

impl<R: Read> Opened<R> {
    pub(super) fn begin(mut file: R, at: u64, file_key: &FileKey) -> Result<Self, AgeError> {
        let mut salt = [0; SALT_BYTES];
        match file.read_exact(&mut salt) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(AgeError::Damaged { from: at, to: at + SALT_BYTES as u64, what: "it is cut off" });
            }
            read => read?,
        }
        let cipher = cipher(file_key, &salt);
        let at = at + SALT_BYTES as u64;
        Ok(Self { file, cipher, at, chunk: 0, held: vec![], read: 0, ahead: None, is_over: false })
    }

    /// How much of the file was read.
    pub fn offset(&self) -> u64 {
        self.at
    }

    fn next_chunk(&mut self) -> Result<(), AgeError> {
        let mut sealed = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES + 1);
        sealed.extend(self.ahead.take());
        let wanted = CHUNK_BYTES + TAG_BYTES + 1 - sealed.len();
        (&mut self.file).take(wanted as u64).read_to_end(&mut sealed)?;
        if sealed.len() > CHUNK_BYTES + TAG_BYTES {
            self.ahead = sealed.pop();
        }
        let (is_last, len) = (self.ahead.is_none(), sealed.len());
        // What the first chunk is opened with stands before it.
        let from = if self.chunk == 0 { self.at - SALT_BYTES as u64 } else { self.at };
        let damaged = |what| AgeError::Damaged { from, to: self.at + len as u64, what };
        if len < TAG_BYTES || (len == TAG_BYTES && self.chunk > 0) {
            return Err(damaged("it is cut off"));
        }
        let opened = self.cipher.open_in_place(nonce(self.chunk, is_last), Aad::empty(), &mut sealed);
        let opened = opened.map_err(|_| match is_last {
            true => damaged("it is cut off here, or a byte is not what was written"),
            false => damaged("a byte is not what was written"),
        })?;
        let len_opened = opened.len();
        sealed.truncate(len_opened);
        self.held = sealed;
        self.read = 0;
        self.at += len as u64;
        self.chunk += 1;
        self.is_over = is_last;
        Ok(())
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.held.len() {
            if self.is_over {
                return Ok(0);
            }
            self.next_chunk()?;
        }
        let given = out.len().min(self.held.len() - self.read);
        out[..given].copy_from_slice(&self.held[self.read..self.read + given]);
        self.read += given;
        Ok(given)
    }
}
