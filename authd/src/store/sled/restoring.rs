//! A store from a snapshot that lay elsewhere: looked through, taken over into a new place without what must not come back,
//! and compared with what another log knows of later times.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::Path,
    sync::Arc,
};

use common::{ServiceName, UserId};

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
    domain::{Credential, ServiceToken, TokenDigest, User},
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

/// What another log knows of later times.
#[derive(Debug, Default)]
pub struct After {
    /// Accounts that were deleted.
    pub deleted: Vec<UserId>,
    /// Accounts that were changed, as they were at last.
    pub changed: Vec<User>,
    /// Passwords that were set.
    pub passwords: Vec<Credential>,
    /// Services whose tokens were revoked.
    pub revoked_services: Vec<ServiceName>,
    /// How many accounts were made since, which are not there.
    pub new_users: u64,
    /// How many tokens of services.
    pub new_services: u64,
    /// How many records of the audit trail are not there.
    pub new_records: u64,
    /// How many of those that are there were erased.
    pub erased_records: u64,
    /// Whether nothing is missing between the two.
    pub reaches_back: bool,
    /// The last sequence that could be read.
    pub end: u64,
    /// Why no more than that could be read.
    pub broken: Option<String>,
}

/// The tokens of services that there are, while they are looked for in the other log.
#[derive(Default)]
struct Services {
    here: BTreeMap<ServiceName, TokenDigest>,
    alive: BTreeSet<ServiceName>,
    gone: BTreeSet<ServiceName>,
    new: u64,
}

impl Services {
    /// The newest word on the token of a service. Another one under the same name is another one.
    fn note(&mut self, name: ServiceName, newer: Option<&ServiceToken>) {
        match (self.here.get(&name), newer) {
            (Some(have), Some(newer)) if *have == newer.digest => drop(self.alive.insert(name)),
            (Some(_), newer) => {
                self.new += u64::from(newer.is_some());
                self.gone.insert(name);
            }
            (None, newer) => self.new += u64::from(newer.is_some()),
        }
    }

    /// Those that were revoked; `is_whole`: whatever was not heard of is gone.
    fn revoked(self, is_whole: bool) -> Vec<ServiceName> {
        let Self { here, alive, gone, .. } = self;
        here.into_keys().filter(|name| gone.contains(name) || is_whole && !alive.contains(name)).collect()
    }
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
        let mut services = Services { here: self.services()?, ..Services::default() };
        let prefix = keys::prefix(Kind::User);
        let mut there = self.db.scan_prefix(&prefix).peekable();
        let gone = |key: &[u8], after: &mut After| {
            let id = keys::text(key).and_then(|text| text.parse().ok());
            after.deleted.extend(id);
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
                        after.changed.push(codec::decode(&key, &newer)?);
                    }
                    (Some(_), None) => gone(&key, &mut after),
                    (None, Some(_)) => after.new_users += 1,
                    (Some(_), Some(_)) | (None, None) => {}
                }
            } else if is_of(&key, Kind::ServiceToken) {
                let newer = newer.map(|newer| codec::decode::<ServiceToken>(&key, &newer)).transpose()?;
                if let Some(name) = keys::text(&key).and_then(|text| text.parse().ok()) {
                    services.note(name, newer.as_ref());
                }
            } else if let Some(newer) = newer {
                self.compare_value(&key, &newer, &mut after)?;
            }
        }
        if aftermath.is_whole {
            for entry in there {
                let (at, _) = entry.map_err(|e| unreadable(&e))?;
                gone(&at, &mut after);
            }
        }
        after.new_services = services.new;
        after.revoked_services = services.revoked(aftermath.is_whole);
        Ok(after)
    }

    /// Compares a password, or a record of the audit trail.
    fn compare_value(&self, key: &[u8], newer: &[u8], after: &mut After) -> Result<(), OpenError> {
        let is_password = is_of(key, Kind::Credential);
        if !is_password && !is_of(key, Kind::Audit) {
            return Ok(());
        }
        let have = self.db.get(key).map_err(|e| unreadable(&e))?;
        let is_other = have.as_ref().is_some_and(|have| have.as_ref() != newer);
        if is_password {
            let credential: Credential = codec::decode(key, newer)?;
            let owner = self.db.contains_key(keys::user(&credential.user)).map_err(|e| unreadable(&e))?;
            // The first password of an account that had none is one too.
            if is_other || have.is_none() && owner {
                after.passwords.push(credential);
            }
        } else {
            // What changes in a record that was written is that it is erased.
            after.erased_records += u64::from(is_other);
            after.new_records += u64::from(have.is_none());
        }
        Ok(())
    }

    fn services(&self) -> Result<BTreeMap<ServiceName, TokenDigest>, OpenError> {
        let entries = self.db.scan_prefix(keys::prefix(Kind::ServiceToken));
        let tokens = entries.map(|entry| {
            let (key, value) = entry.map_err(|e| unreadable(&e))?;
            Ok(codec::decode::<ServiceToken>(&key, &value).map(|token| (token.name, token.digest))?)
        });
        tokens.collect()
    }
}
