//! The master key: the one secret outside the data directory, under which all others are sealed.
//!
//! Its file is one line, `authd-master-key-1:` and 32 random bytes in base64, readable by its owner only. A master key is
//! made only while the store is empty, and is on disk before the first record (design, section 5).

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use nix::{fcntl::OFlag, unistd::geteuid};
use zeroize::Zeroizing;

use crate::{files::create_whole, ports::Entropy};

/// The key itself.
pub type MasterKey = Zeroizing<[u8; 32]>;

const PREFIX: &str = "authd-master-key-1:";

/// Why there is no master key to work with.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// There is no such file.
    #[error("there is no master key at {0}")]
    Missing(PathBuf),
    /// It exists and cannot be read.
    #[error("the master key {0} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// Others may read it, it is somebody else's, or it is no plain file.
    #[error("the master key {path} is not safe: {problem}")]
    Unsafe {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It is not what authd writes.
    #[error("{0} is not an authd master key")]
    NotAKey(PathBuf),
    /// It cannot be written.
    #[error("the master key {0} cannot be written: {1}")]
    Unwritable(PathBuf, io::Error),
}

/// Reads the key.
///
/// The mode and owner of a file under systemd's credentials directory are systemd's business; everywhere else the file
/// must be the daemon's own or root's, with no permission for group or others, and no symbolic link.
///
/// # Errors
/// Any of [`MasterKeyError`] but `Unwritable`.
pub fn load(path: &Path, is_credential: bool) -> Result<MasterKey, MasterKeyError> {
    let unreadable = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => MasterKeyError::Missing(path.into()),
        _ => MasterKeyError::Unreadable(path.into(), e),
    };
    let flags = if is_credential { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(unreadable)?;
    if !is_credential {
        check_safety(path, &file)?;
    }
    let mut text = Zeroizing::new(String::new());
    Read::by_ref(&mut file).take(1024).read_to_string(&mut text).map_err(|_| MasterKeyError::NotAKey(path.into()))?;
    parse(&text).ok_or_else(|| MasterKeyError::NotAKey(path.into()))
}

fn check_safety(path: &Path, file: &File) -> Result<(), MasterKeyError> {
    let unsafe_because = |problem: String| MasterKeyError::Unsafe { path: path.into(), problem };
    let meta = file.metadata().map_err(|e| MasterKeyError::Unreadable(path.into(), e))?;
    if !meta.is_file() {
        return Err(unsafe_because("it is not a plain file".into()));
    }
    if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o777;
        return Err(unsafe_because(format!(
            "its mode is {mode:04o}, so others can read it: chmod 600 {}",
            path.display()
        )));
    }
    if meta.uid() != geteuid().as_raw() && meta.uid() != 0 {
        return Err(unsafe_because(format!(
            "it belongs to uid {}, not to the daemon's own uid {}",
            meta.uid(),
            geteuid()
        )));
    }
    Ok(())
}

fn parse(text: &str) -> Option<MasterKey> {
    let encoded = text.strip_suffix('\n').unwrap_or(text).strip_prefix(PREFIX)?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let key: [u8; 32] = bytes.as_slice().try_into().ok()?;
    // Thirty-two random bytes have fewer than twelve different values about once in 10^20 keys: such a one was typed.
    let mut seen = [false; 256];
    key.iter().for_each(|b| seen[usize::from(*b)] = true);
    (seen.iter().filter(|s| **s).count() >= 12).then(|| Zeroizing::new(key))
}

/// Makes a new key at `path`, which must not exist, and returns it once file and directory are on disk.
///
/// # Errors
/// `Unwritable`.
pub fn create(path: &Path, entropy: &dyn Entropy) -> Result<MasterKey, MasterKeyError> {
    let unwritable = |e| MasterKeyError::Unwritable(path.into(), e);
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(key.as_mut());
    let line = Zeroizing::new(format!("{PREFIX}{}\n", STANDARD.encode(key.as_ref())));
    create_whole(path, 0o600, line.as_bytes(), entropy).map_err(unwritable)?;
    Ok(key)
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
        assert_eq!(*load(&path, false).unwrap(), *key);
        assert!(matches!(create(&path, &SystemEntropy::default()), Err(MasterKeyError::Unwritable(..))));
        assert_eq!(*load(&path, false).unwrap(), *key, "the existing key is untouched");
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
    }

    #[test]
    fn cr_03_what_is_not_random_or_not_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let b64 = |bytes: &[u8]| STANDARD.encode(bytes);
        for bad in [
            String::new(),
            "secret".into(),
            format!("{PREFIX}{}", b64(&[0; 32])),
            format!("{PREFIX}{}", b64(&[7; 31])),
            format!("{PREFIX}{}", b64(b"abababababababababababababababab")),
            format!("{PREFIX}not base64"),
        ] {
            std::fs::write(&path, &bad).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            assert!(matches!(load(&path, false), Err(MasterKeyError::NotAKey(_))), "{bad:?}");
        }
    }
}
