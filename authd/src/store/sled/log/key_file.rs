//! The sealed key of the log, beside the log: with it the log can be read before sled is, which may be behind, or empty.
//! The same secret is in the store too, with the others; while the master key is being changed there are two files, each
//! for one master key, so that either opens the log whenever the power goes.

use std::path::{Path, PathBuf};

use super::{
    super::{codec, disk::Syncs, keys},
    LogError, plain,
    segment::{self, io_at},
};
use crate::store::SealedSecret;

const PREFIX: &str = "key-";

fn path(directory: &Path, fingerprint: &str) -> PathBuf {
    directory.join(format!("{PREFIX}{fingerprint}"))
}

/// The fingerprints of the master keys for which there is one.
pub(super) fn list(directory: &Path) -> Result<Vec<String>, LogError> {
    let mut found = vec![];
    for entry in std::fs::read_dir(directory).map_err(io_at(directory))? {
        let name = entry.map_err(io_at(directory))?.file_name();
        let fingerprint = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        // Whatever else is there was not made by authd.
        found.extend(fingerprint.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric())).map(str::to_owned));
    }
    found.sort();
    Ok(found)
}

/// The sealed key for this master key.
pub(super) fn read(directory: &Path, fingerprint: &str) -> Result<Option<SealedSecret>, LogError> {
    let path = path(directory, fingerprint);
    let damaged = |_| LogError::Damaged { path: path.clone(), offset: 0, sequence: 0, what: "no sealed key".into() };
    match plain::read(&path) {
        Ok(bytes) => codec::decode(&place(fingerprint), &bytes).map(Some).map_err(damaged),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_at(&path)(e)),
    }
}

/// Writes it, whole or not at all.
pub(super) fn write(
    directory: &Path,
    fingerprint: &str,
    key: &SealedSecret,
    syncs: &dyn Syncs,
) -> Result<(), LogError> {
    let path = path(directory, fingerprint);
    let bytes = codec::encode(&place(fingerprint), key).map_err(|e| io_at(&path)(std::io::Error::other(e)))?;
    segment::make(directory, &path, &bytes, syncs).map(drop).map_err(io_at(&path))
}

/// Removes those of all other master keys.
pub(super) fn keep_only(directory: &Path, fingerprint: &str, syncs: &dyn Syncs) -> Result<(), LogError> {
    let others: Vec<String> = list(directory)?.into_iter().filter(|other| other != fingerprint).collect();
    for other in &others {
        let path = path(directory, other);
        std::fs::remove_file(&path).map_err(io_at(&path))?;
    }
    if others.is_empty() { Ok(()) } else { syncs.names(directory).map_err(io_at(directory)) }
}

/// What its checksum covers besides: so the file of another master key does not pass for this one.
fn place(fingerprint: &str) -> Vec<u8> {
    keys::secret("log", fingerprint)
}
