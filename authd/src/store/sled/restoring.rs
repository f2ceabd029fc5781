//! A store from a snapshot that lay elsewhere: looked through, taken over into a new place without what must not come back,
//! and compared with what another log knows of later times.

use std::{io::Read, path::Path, sync::Arc};

use common::UserId;

use super::{
    codec::{self, Number},
    disk::{Device, Syncs},
    intents::{META, SESSIONS},
    keys::{self, Kind},
    log::{self, Aftermath, Keys, LogError, Position},
    opening::{OpenError, Opened, log_directory},
    txn::unreadable,
};
use crate::{
    domain::{Credential, User},
    ports::Mac,
    store::{Meta, SealedSecret},
};

/// What a snapshot has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Everything up to this sequence.
    pub sequence: u64,
    /// How many entries.
    pub entries: u64,
    /// How many accounts.
    pub users: u64,
    /// How many sessions, which are not taken over.
    pub sessions: u64,
}

/// What is not taken over: sessions and refresh tokens may have been ended since, links used, and mails sent.
const LEFT_OUT: [Kind; 10] = [
    Kind::Session,
    Kind::SessionOfUser,
    Kind::SessionByToken,
    Kind::Expiry,
    Kind::Family,
    Kind::Mail,
    Kind::MailDue,
    Kind::MailLink,
    Kind::MailLinkOfUser,
    Kind::MailLinkExpiry,
];

type Source = Box<dyn Read + Send>;

fn is_of(key: &[u8], kind: Kind) -> bool {
    key.first() == Some(&(kind as u8))
}

/// Counts an entry, and checks that it can be read and that the store is the one that it is said to be.
fn look(copied: &mut Copied, key: &[u8], value: &[u8], fingerprint: &str) -> Result<(), OpenError> {
    codec::check(key, value)?;
    copied.entries += 1;
    if is_of(key, Kind::User) {
        copied.users += 1;
    } else if is_of(key, Kind::Session) {
        copied.sessions += 1;
    } else if key == keys::meta(META) {
        let meta: Meta = codec::decode(key, value)?;
        if meta.fingerprint != fingerprint {
            let what = format!("it is sealed under the master key {}, and not under {fingerprint}", meta.fingerprint);
            return Err(LogError::Apart { path: "the snapshot".into(), what }.into());
        }
    }
    Ok(())
}

/// Reads a snapshot to its end.
///
/// # Errors
/// Something in it is not right.
pub fn check_copy(source: Source, name: &Path, key: &Arc<dyn Mac>, fingerprint: &str) -> Result<Copied, OpenError> {
    let (position, entries) = log::read_stream(source, name, key)?;
    let mut copied = Copied { sequence: position.seq, ..Copied::default() };
    for entry in entries {
        let (key, value) = entry?;
        look(&mut copied, &key, &value, fingerprint)?;
    }
    Ok(copied)
}

/// Makes the commit log of a new store of this format beside `path`, from a snapshot, without sessions, links and mails. `mac` takes the place
/// of the chain's: nothing that another store wrote after the snapshot follows on it.
///
/// # Errors
/// Something in the snapshot is not right, or it cannot be written. What there is then is not to be used.
pub fn copy_into(
    path: &Path,
    source: Source,
    name: &Path,
    (key, sealed): (&Arc<dyn Mac>, &SealedSecret),
    fingerprint: &str,
    (format, mac): (u32, [u8; 32]),
) -> Result<Copied, OpenError> {
    let directory = log_directory(path);
    let syncs: Arc<dyn Syncs> = Arc::new(Device);
    Keys::new(directory.clone(), syncs.clone()).put(fingerprint, sealed)?;
    let (position, entries) = log::read_stream(source, name, key)?;
    let mut copied = Copied { sequence: position.seq, ..Copied::default() };
    let sessions = keys::meta(SESSIONS);
    let mut wrong = None;
    let kept = entries.filter_map(|entry| {
        let (key, mut value) = match entry {
            Ok(entry) => entry,
            Err(e) => return Some(Err(e)),
        };
        if let Err(e) = look(&mut copied, &key, &value, fingerprint) {
            let what = e.to_string();
            wrong = Some(e);
            return Some(Err(LogError::Apart { path: name.into(), what }));
        }
        if key == sessions {
            value = codec::encode(&key, &Number(0)).ok()?;
        }
        (!LEFT_OUT.iter().any(|kind| is_of(&key, *kind))).then_some(Ok((key, value)))
    });
    let written = log::begin_at(&directory, Position { seq: position.seq, mac }, kept, (key, format), &syncs);
    match wrong {
        Some(wrong) => Err(wrong),
        None => Ok(written.map(|()| copied)?),
    }
}

/// What another log knows of an account from later times.
#[derive(Debug, Clone)]
pub enum Later {
    /// It was deleted.
    Deleted(UserId),
    /// It was changed.
    Changed(Box<User>),
    /// It has another password hash.
    Password(Credential),
}

/// What another log knows of later times.
#[derive(Debug, Default)]
pub struct After {
    /// About the accounts that there are.
    pub later: Vec<Later>,
    /// How many accounts were made since, which are not there.
    pub new_users: u64,
    /// Whether nothing is missing between the two.
    pub reaches_back: bool,
    /// The last sequence that could be read.
    pub end: u64,
    /// Why no more than that could be read.
    pub broken: Option<String>,
}

impl Opened {
    /// Compares the accounts with what the log of another store, in the directory `old`, says of times after `since`.
    ///
    /// # Errors
    /// That log cannot be read at all, or a record of this store is damaged.
    pub fn compare_with_later(&self, old: &Path, since: u64) -> Result<After, OpenError> {
        let mut aftermath = Aftermath::read(old, since, &self.log_key, &log_directory(&self.path))?;
        let (reaches_back, end) = (aftermath.reaches_back, aftermath.end);
        let broken = aftermath.broken.take().map(|e| e.to_string());
        let mut after = After { reaches_back, end, broken, ..After::default() };
        let prefix = keys::prefix(Kind::User);
        let mut there = self.db.scan_prefix(&prefix).peekable();
        let gone = |key: &[u8], after: &mut After| {
            let id = keys::text(key).and_then(|text| text.parse().ok());
            after.later.extend(id.map(Later::Deleted));
        };
        while let Some((key, newer)) = aftermath.changes.next_key()? {
            if is_of(&key, Kind::User) {
                while let Some(entry) = there.next_if(|e| !e.as_ref().is_ok_and(|(at, _)| at.as_ref() >= &key[..])) {
                    let (at, _) = entry.map_err(|e| unreadable(&e))?;
                    if aftermath.is_whole {
                        gone(&at, &mut after);
                    }
                }
                let have = there.next_if(|e| e.as_ref().is_ok_and(|(at, _)| at.as_ref() == &key[..]));
                match (have.transpose().map_err(|e| unreadable(&e))?, newer) {
                    (Some((_, have)), Some(newer)) if have.as_ref() != newer.as_slice() => {
                        after.later.push(Later::Changed(Box::new(codec::decode(&key, &newer)?)));
                    }
                    (Some(_), None) => gone(&key, &mut after),
                    (None, Some(_)) => after.new_users += 1,
                    (Some(_), Some(_)) | (None, None) => {}
                }
            } else if is_of(&key, Kind::Credential)
                && let Some(newer) = newer
                && let Some(have) = self.db.get(&key).map_err(|e| unreadable(&e))?
                && have.as_ref() != newer.as_slice()
            {
                after.later.push(Later::Password(codec::decode(&key, &newer)?));
            }
        }
        if aftermath.is_whole {
            for entry in there {
                let (at, _) = entry.map_err(|e| unreadable(&e))?;
                gone(&at, &mut after);
            }
        }
        Ok(after)
    }
}
