//! The master key: the one secret outside the data directory, under which all others are sealed.
//!
//! Its file is one line, `authd-master-key-1:` and 32 random bytes in base64, readable by its owner only. A master key is
//! made only while the store is empty, and is on disk before the first record (design, section 5).

use std::{
    fmt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use common::SecretString;
use zeroize::Zeroizing;

use super::{
    known::is_repetitive,
    secret_file::{self, FileProblem},
};
use crate::{files::create_whole, ports::Entropy};

/// The key itself. `Debug` prints `[redacted]`, and it is wiped on drop.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl MasterKey {
    /// The bytes. Every call is a place to look at.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The line that stands in a file.
    pub(super) fn line(key: &[u8; 32]) -> SecretString {
        let encoded = Zeroizing::new(STANDARD.encode(key));
        format!("{PREFIX}{}\n", encoded.as_str()).into()
    }

    /// From the line that stands in a file. `None` if it is not what authd writes, or was not drawn at random.
    pub fn parse(line: &SecretString) -> Option<Self> {
        let text = line.expose();
        let encoded = text.strip_suffix('\n').unwrap_or(text).strip_prefix(PREFIX)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        let key = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
        looks_random(&key).then_some(Self(key))
    }
}

/// Whether thirty-two bytes may have been drawn at random: what was typed, counted or repeated was not. A drawn key is
/// refused about once in 10^17 keys (fewer than twelve values, printable throughout, or equal steps all along).
fn looks_random(key: &[u8; 32]) -> bool {
    let mut seen = [false; 256];
    key.iter().for_each(|b| seen[usize::from(*b)] = true);
    let values = seen.iter().filter(|s| **s).count();
    let is_text = key.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
    let is_count = key.windows(3).all(|w| w[1].wrapping_sub(w[0]) == w[2].wrapping_sub(w[1]));
    values >= 12 && !is_text && !is_count && !is_repetitive(key)
}

const PREFIX: &str = "authd-master-key-1:";

/// Why there is no master key to work with.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// There is no such file.
    #[error("there is no master key at {0}")]
    Missing(PathBuf),
    /// It cannot be read, or others can read it too.
    #[error("the master key {0}")]
    File(FileProblem),
    /// It is not what authd writes.
    #[error("{0} is not an authd master key")]
    NotAKey(PathBuf),
    /// It cannot be written.
    #[error("the master key {0} cannot be written: {1}")]
    Unwritable(PathBuf, std::io::Error),
}

/// Reads the key, from a file that is safe (see [`secret_file::read`]).
///
/// # Errors
/// Any of [`MasterKeyError`] but `Unwritable`.
pub fn load(path: &Path, is_credential: bool) -> Result<MasterKey, MasterKeyError> {
    let line = secret_file::read(path, is_credential).map_err(|problem| match problem {
        FileProblem::Missing(path) => MasterKeyError::Missing(path),
        other => MasterKeyError::File(other),
    })?;
    line.and_then(|line| MasterKey::parse(&line)).ok_or_else(|| MasterKeyError::NotAKey(path.into()))
}

/// Makes a new key at `path`, which must not exist, and returns it once file and directory are on disk.
///
/// # Errors
/// `Unwritable`.
pub fn create(path: &Path, entropy: &dyn Entropy) -> Result<MasterKey, MasterKeyError> {
    let unwritable = |e| MasterKeyError::Unwritable(path.into(), e);
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(key.as_mut());
    create_whole(path, 0o600, MasterKey::line(&key).expose().as_bytes(), entropy).map_err(unwritable)?;
    Ok(MasterKey(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::crypto::entropy::SystemEntropy;

    #[test]
    fn a_key_is_made_once_for_its_owner_only_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        assert!(matches!(load(&path, false), Err(MasterKeyError::Missing(_))));
        let key = create(&path, &SystemEntropy::default()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&path, false).unwrap().expose(), key.expose());
        assert!(matches!(create(&path, &SystemEntropy::default()), Err(MasterKeyError::Unwritable(..))));
        assert_eq!(load(&path, false).unwrap().expose(), key.expose(), "the existing key is untouched");
    }

    #[test]
    fn cr_02_a_loose_mode_or_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        create(&path, &SystemEntropy::default()).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(load(&link, false).is_err());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = load(&path, false).unwrap_err().to_string();
        assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
        assert!(load(&path, true).is_ok(), "systemd's credentials have modes of their own");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(load(&path, true).is_err(), "but none that lets everybody read");
    }

    #[test]
    fn cr_03_what_is_not_random_or_not_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let b64 = |bytes: &[u8]| STANDARD.encode(bytes);
        let good = crate::digest::sha256(b"as good as drawn");
        let mut n = 199u8;
        let counted: [u8; 32] = std::array::from_fn(|_| {
            n += 1;
            n
        });
        let repeated = [&good[..16], &good[..16]].concat();
        for bad in [
            String::new(),
            "secret".into(),
            format!("{PREFIX}{}", b64(&[0; 32])),
            format!("{PREFIX}{}", b64(&[7; 31])),
            format!("{PREFIX}{}", b64(b"abababababababababababababababab")),
            format!("{PREFIX}{}", b64(b"correct horse battery staple now")),
            format!("{PREFIX}{}", b64(&counted)),
            format!("{PREFIX}{}", b64(&repeated)),
            format!("{PREFIX}{}\n\n", b64(&good)),
            format!("{PREFIX}{} ", b64(&good)),
            format!(" {PREFIX}{}", b64(&good)),
            format!("{PREFIX}{}\r\n", b64(&good)),
            format!("{PREFIX}{}\n{}", b64(&good), "#".repeat(4096)),
            b64(&good),
            format!("{PREFIX}not base64"),
        ] {
            std::fs::write(&path, &bad).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            assert!(matches!(load(&path, false), Err(MasterKeyError::NotAKey(_))), "{bad:?}");
        }
        std::fs::write(&path, format!("{PREFIX}{}\n", b64(&good))).unwrap();
        assert!(load(&path, false).is_ok());
    }
}
