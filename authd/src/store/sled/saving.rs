//! A snapshot of sled itself, for when the snapshot before is damaged: from that one no new one can be made any more, and
//! the commit log grows.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    codec, keys,
    log::{self, LogError, Snapshots},
    opening::{OpenError, Opened, guarded, log_directory},
    txn::unreadable,
};

/// A snapshot whose very header is damaged, under another name: with it in its place nothing can be opened.
pub struct Aside(Option<(PathBuf, PathBuf)>);

/// Puts the newest snapshot aside if its header is damaged.
///
/// # Errors
/// The directory cannot be read or changed.
pub fn put_aside_damaged(log: &Path) -> Result<Aside, OpenError> {
    let Some(path) = log::damaged_snapshot(log)? else { return Ok(Aside(None)) };
    let aside = path.with_extension("damaged");
    std::fs::rename(&path, &aside).map_err(|e| OpenError::Io(path.clone(), e))?;
    Ok(Aside(Some((path, aside))))
}

impl Aside {
    /// Removes it, or puts it back.
    ///
    /// # Errors
    /// The directory cannot be changed.
    pub fn settle(self, is_replaced: bool) -> io::Result<()> {
        match self.0 {
            Some((_, aside)) if is_replaced => std::fs::remove_file(aside),
            Some((path, aside)) => std::fs::rename(aside, path),
            None => Ok(()),
        }
    }
}

impl Opened {
    /// Makes a snapshot of sled as it is, and shortens the log. Answers its sequence and its size in bytes.
    ///
    /// # Errors
    /// A record of sled is damaged, or the snapshot cannot be written. Then the snapshot that was there stays.
    pub fn save(mut self) -> Result<(u64, u64), OpenError> {
        // Only what can be read goes into the place of what could not.
        guarded(|| {
            for entry in self.db.iter() {
                let (key, value) = entry.map_err(|e| unreadable(&e))?;
                codec::check(&key, &value)?;
            }
            Ok(())
        })?;
        let directory = log_directory(&self.path);
        self.log.rotate().map_err(|e| OpenError::Io(directory.clone(), e))?;
        let own = keys::meta(log::APPLIED);
        let entries = self.db.iter().filter(|entry| !entry.as_ref().is_ok_and(|(key, _)| *key == own));
        let entries = entries.map(|entry| {
            let unread = |e: sled::Error| LogError::Apart { path: self.path.clone(), what: format!("sled: {e}") };
            entry.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(unread)
        });
        let snapshots = Snapshots::new(directory, (self.log_key.clone(), self.options.format()), self.syncs.clone());
        let made = snapshots.write(self.log.end(), entries)?;
        snapshots.prune(&made)?;
        let done = (made.position.seq, made.bytes);
        self.close()?;
        Ok(done)
    }
}
