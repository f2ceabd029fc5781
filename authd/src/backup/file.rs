//! A backup, inside of what seals it: a line that names the form, one that says what it is (JSON), one with the master key
//! or a dash, and then a snapshot of the commit log, byte by byte.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use common::{SecretString, UnixTime};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    crypto::{
        age::{self, AgeError, Key, Recipient},
        mac::{HmacKey, derive},
        master::MasterKey,
        seal::Sealer,
    },
    ports::{BackupContent, BackupError, Entropy, Mac, Progress},
    store::{
        SealedSecret,
        sled::{FORMAT, LogError, OpenError, check_copy},
    },
};

const FIRST: &str = "authd backup 1";
/// Where there is no master key.
const NONE: &str = "-";
/// The longest of the first lines.
const MAX_LINE: u64 = 4096;
/// So much is copied at a time.
const PIECE: usize = 256 << 10;

/// What a backup says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// When it was made.
    pub made_at: UnixTime,
    /// Everything up to this sequence of the commit log is in it.
    pub sequence: u64,
    /// The version of the authd that made it.
    pub authd: String,
    /// The format of the store.
    pub store_format: u32,
    /// The fingerprint of the store's master key.
    pub fingerprint: String,
    /// The key of the commit log, sealed under the master key.
    log_key: String,
    log_key_id: String,
    log_key_made_at: UnixTime,
}

impl Content {
    fn sealed_log_key(&self) -> Option<SealedSecret> {
        Some(SealedSecret {
            purpose: crate::store::sled::LOG_PURPOSE.into(),
            id: self.log_key_id.clone(),
            sealed: STANDARD.decode(&self.log_key).ok()?,
            created_at: self.log_key_made_at,
        })
    }
}

/// For whom a backup is sealed.
pub(super) struct Seal<'a> {
    pub master: &'a Sealer,
    pub recipients: &'a [Recipient],
    pub entropy: &'a dyn Entropy,
}

/// Writes a backup of this snapshot.
pub(super) fn write(
    out: impl Write,
    seal: &Seal<'_>,
    (mut snapshot, sequence): (impl Read, u64),
    log_key: &SealedSecret,
    now: UnixTime,
) -> io::Result<()> {
    let Seal { master, recipients, entropy } = seal;
    let content = Content {
        made_at: now,
        sequence,
        authd: env!("CARGO_PKG_VERSION").into(),
        store_format: FORMAT,
        fingerprint: master.fingerprint().into(),
        log_key: STANDARD.encode(&log_key.sealed),
        log_key_id: log_key.id.clone(),
        log_key_made_at: log_key.created_at,
    };
    let content = serde_json::to_string(&content).map_err(io::Error::other)?;
    let line = master.line();
    // Nobody could use it who does not have it already.
    let line = if recipients.is_empty() { NONE } else { line.expose().trim_end() };
    let mut out = age::seal(out, master, recipients, *entropy)?;
    let head = Zeroizing::new(format!("{FIRST}\n{content}\n{line}\n"));
    out.write_all(head.as_bytes())?;
    let mut piece = vec![0; PIECE];
    loop {
        match snapshot.read(&mut piece)? {
            0 => break,
            read => {
                out.write_all(&piece[..read])?;
            }
        }
    }
    out.finish()?.flush()
}

/// A backup that is open: what it says of itself, and what is inside of it.
pub struct Opening {
    /// What it says of itself.
    pub content: Content,
    /// The master key, if it is inside.
    pub(super) master: Option<SecretString>,
    /// Seals and opens as the store does.
    pub(super) sealer: Sealer,
    /// The key of the commit log.
    pub(super) log_key: Arc<dyn Mac>,
    /// The same, sealed.
    pub(super) sealed_log_key: SealedSecret,
    /// The snapshot.
    pub(super) snapshot: Box<dyn Read + Send>,
    pub(super) path: PathBuf,
}

fn line(from: &mut impl BufRead) -> Result<Zeroizing<String>, BackupError> {
    let mut line = Zeroizing::new(String::with_capacity(1024));
    from.take(MAX_LINE).read_line(&mut line).map_err(described)?;
    match line.pop() {
        Some('\n') => Ok(line),
        _ => Err(BackupError::Damaged("what it says of itself cannot be read".into())),
    }
}

/// What the reader of the sealed file found wrong.
fn described(e: io::Error) -> BackupError {
    match e.get_ref().and_then(|inner| inner.downcast_ref::<AgeError>()) {
        Some(found) => BackupError::Damaged(found.to_string()),
        None if e.kind() == io::ErrorKind::InvalidData => BackupError::Damaged(e.to_string()),
        None => BackupError::Io(e),
    }
}

/// The same, of what was found on the way of reading the snapshot.
pub(super) fn told(e: OpenError) -> BackupError {
    match e {
        OpenError::Log(LogError::Io { source, .. }) => described(source),
        OpenError::Log(LogError::Damaged { offset, what, .. }) => {
            BackupError::Damaged(format!("the snapshot inside is damaged, offset {offset}: {what}"))
        }
        OpenError::Log(LogError::Apart { what, .. }) => BackupError::Damaged(what),
        OpenError::Io(_, e) => BackupError::Io(e),
        other => BackupError::Damaged(other.to_string()),
    }
}

impl Opening {
    /// Opens a backup and reads what it says of itself.
    ///
    /// # Errors
    /// The key does not open it, or it is damaged there already.
    pub fn open(file: impl Read + Send + 'static, path: &Path, key: &Key<'_>) -> Result<Self, BackupError> {
        let opened = age::open(BufReader::with_capacity(PIECE, file), key);
        let opened = opened.map_err(|e| match e {
            AgeError::Io(e) => BackupError::Io(e),
            other => BackupError::Damaged(other.to_string()),
        })?;
        let mut inside = BufReader::with_capacity(PIECE, opened);
        let odd = || BackupError::Damaged("it was made by a newer authd, or is no backup of authd".into());
        if *line(&mut inside)? != FIRST {
            return Err(odd());
        }
        let content: Content = serde_json::from_str(&line(&mut inside)?).map_err(|_| odd())?;
        if content.store_format > FORMAT {
            return Err(BackupError::Damaged(format!(
                "it was made by authd {}, whose store has format {}, and this authd knows up to {FORMAT}",
                content.authd, content.store_format
            )));
        }
        let third = line(&mut inside)?;
        let master = (*third != NONE).then(|| SecretString::from(third.as_str()));
        let own = master.as_ref().and_then(MasterKey::parse).map(|key| Sealer::new(key.expose()));
        let sealer = match (key, own) {
            (Key::Master(sealer), _) => Sealer::new(MasterKey::parse(&sealer.line()).ok_or_else(odd)?.expose()),
            (Key::Identity(_), Some(own)) => own,
            (Key::Identity(_), None) => {
                return Err(BackupError::Damaged("the master key is not inside".into()));
            }
        };
        if sealer.fingerprint() != content.fingerprint {
            return Err(BackupError::Damaged(format!(
                "it is of a store with the master key {}, and not {}",
                content.fingerprint,
                sealer.fingerprint()
            )));
        }
        let sealed_log_key = content.sealed_log_key().ok_or_else(odd)?;
        let SealedSecret { purpose, id, sealed, .. } = &sealed_log_key;
        let plain = sealer.open(purpose, id, sealed);
        let plain = plain.map_err(|_| BackupError::Damaged("the key of the commit log does not open".into()))?;
        let log_key: Arc<dyn Mac> = Arc::new(HmacKey::new(&*derive(&plain, &format!("authd {purpose} mac v1"))));
        let snapshot = Box::new(inside);
        Ok(Self { content, master, sealer, log_key, sealed_log_key, snapshot, path: path.into() })
    }

    /// Reads it to its end.
    ///
    /// # Errors
    /// Something in it is not right.
    pub fn verify(self) -> Result<BackupContent, BackupError> {
        let Self { content, master, log_key, snapshot, path, .. } = self;
        let found = check_copy(snapshot, &path, &log_key, &content.fingerprint).map_err(told)?;
        if found.sequence != content.sequence {
            return Err(BackupError::Damaged("it says another sequence than its snapshot".into()));
        }
        Ok(BackupContent {
            sequence: found.sequence,
            made_at: content.made_at,
            users: found.users,
            sessions: found.sessions,
            entries: found.entries,
            fingerprint: content.fingerprint,
            is_recoverable: master.is_some(),
        })
    }
}

/// Counts what is read.
pub(super) struct Counted<R> {
    pub inner: R,
    pub progress: Arc<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.progress.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
