//! Imports on sled. An account that came with one is found from the import (to take it back) and from the account (to tell
//! whether it did).

use async_trait::async_trait;
use common::{ImportId, UserId};

use super::{
    SledStore,
    codec::{self, Link, Number},
    intents::{insert_session, insert_user, remove_user},
    keys::{self, Kind},
    txn::{Txn, unreadable},
};
use crate::{
    domain::{Act, Event, Fate, Import, Incoming, User, import::Present},
    store::{ImportBatch, Imports, NewSession, StoreError, Undone},
};

fn import_of(tx: &Txn<'_>, user: &UserId) -> Result<Option<ImportId>, StoreError> {
    let Some(Link(id)) = tx.get(&keys::imported(user))? else { return Ok(None) };
    id.parse().map(Some).map_err(|_| StoreError::Damaged("an index entry".into()))
}

/// An account that is here, and the import that it came with.
type Found = Option<(User, Option<ImportId>)>;

fn by_id(tx: &Txn<'_>, id: &UserId) -> Result<Found, StoreError> {
    let Some(user) = tx.get::<User>(&keys::user(id))? else { return Ok(None) };
    Ok(Some((user, import_of(tx, id)?)))
}

fn by_email(tx: &Txn<'_>, user: &User) -> Result<Found, StoreError> {
    let Some(Link(id)) = tx.get(&keys::email(&user.email))? else { return Ok(None) };
    by_id(tx, &id.parse().map_err(|_| StoreError::Damaged("an index entry".into()))?)
}

fn present(found: &Found) -> Option<Present<'_>> {
    found.as_ref().map(|(user, import)| Present { user, import: import.as_ref() })
}

fn take_in(tx: &mut Txn<'_>, import: &ImportId, incoming: &Incoming, act: &Act) -> Result<Fate, StoreError> {
    let (same_id, same_email) = (by_id(tx, incoming.id())?, by_email(tx, &incoming.user)?);
    if let Some(fate) = incoming.fate(import, present(&same_id), present(&same_email)) {
        return Ok(fate);
    }
    let username = match &incoming.user.username {
        Some(name) => !tx.exists(&keys::username(name))?,
        None => true,
    };
    let without = || User { username: None, display_username: None, ..incoming.user.clone() };
    let user = if username { incoming.user.clone() } else { without() };
    insert_user(tx, &user, incoming.credential.as_ref())?;
    tx.put(keys::imported(incoming.id()), &Link(import.to_string()))?;
    tx.put(keys::import_member(import, incoming.id()), &Number(1))?;
    let mut sessions = 0;
    for session in &incoming.sessions {
        if !tx.exists(&keys::session(&session.id))? && !tx.exists(&keys::token(&session.digest))? {
            let session = session.clone();
            let new = NewSession { session, family: None, replaces: vec![], max_per_user: usize::MAX };
            insert_session(tx, &new, act)?;
            sessions += 1;
        }
    }
    Ok(Fate::New { sessions, username })
}

/// Answers what became of each, and what is new: accounts, passwords, sessions.
fn take_all_in(tx: &mut Txn<'_>, batch: &ImportBatch, act: &Act) -> Result<(Vec<Fate>, [u64; 3]), StoreError> {
    let (mut fates, mut new) = (vec![], [0; 3]);
    for incoming in &batch.accounts {
        let fate = take_in(tx, &batch.id, incoming, act)?;
        if let Fate::New { sessions, .. } = fate {
            new = [new[0] + 1, new[1] + u64::from(incoming.credential.is_some()), new[2] + sessions];
        }
        fates.push(fate);
    }
    Ok((fates, new))
}

fn import(tx: &mut Txn<'_>, batch: &ImportBatch, act: &Act, event: Event) -> Result<Vec<Fate>, StoreError> {
    let (fates, [users, passwords, sessions]) = take_all_in(tx, batch, act)?;
    if users == 0 {
        return Ok(fates);
    }
    let key = keys::import(&batch.id);
    let (id, source) = (batch.id.clone(), batch.source.clone());
    let nothing = Import { id, source, users: 0, passwords: 0, sessions: 0, began_at: act.at, changed_at: act.at };
    let old = tx.get::<Import>(&key)?.unwrap_or(nothing);
    let import = Import {
        users: old.users + users,
        passwords: old.passwords + passwords,
        sessions: old.sessions + sessions,
        changed_at: act.at,
        ..old
    };
    tx.put(key, &import)?;
    let event = event.with("import", &batch.id).with("users", &users);
    tx.audit(act, &event.with("passwords", &passwords).with("sessions", &sessions))?;
    Ok(fates)
}

/// The account is gone: it is no import's any more.
pub(super) fn forget_imported(tx: &mut Txn<'_>, user: &UserId) -> Result<(), StoreError> {
    let Some(id) = import_of(tx, user)? else { return Ok(()) };
    tx.delete(keys::imported(user));
    tx.delete(keys::import_member(&id, user));
    let key = keys::import(&id);
    let Some(import) = tx.get::<Import>(&key)? else { return Ok(()) };
    tx.put(key, &Import { users: import.users.saturating_sub(1), ..import })
}

fn undo(tx: &mut Txn<'_>, id: &ImportId, limit: usize, act: &Act, event: Event) -> Result<Option<Undone>, StoreError> {
    let key = keys::import(id);
    let Some(import) = tx.get::<Import>(&key)? else { return Ok(None) };
    let (mut users, mut sessions) = (0, 0);
    for member in tx.keys_with(&keys::import_members(id), limit)?.into_iter().take(limit) {
        let Some(user) = keys::member_in(&member) else { return Err(StoreError::Damaged("an index entry".into())) };
        let user: User = tx.get(&keys::user(&user))?.ok_or_else(|| StoreError::Damaged("an index entry".into()))?;
        sessions += remove_user(tx, &user)?.sessions;
        users += 1;
    }
    if tx.get::<Import>(&key)?.is_some_and(|import| import.users == 0) {
        tx.delete(key);
    }
    tx.audit(act, &event.with("import", id).with("users", &users).with("sessions", &sessions))?;
    Ok(Some(Undone { import, users, sessions }))
}

#[async_trait]
impl Imports for SledStore {
    async fn import(&self, batch: ImportBatch, act: Act, event: Event) -> Result<Vec<Fate>, StoreError> {
        self.act(act, move |tx, act| import(tx, &batch, act, event)).await
    }

    async fn preview_import(&self, batch: ImportBatch) -> Result<Vec<Fate>, StoreError> {
        let act = Act::by_daemon(common::UnixTime::EPOCH);
        self.writer
            .write(move |tx| {
                let (fates, _) = take_all_in(tx, &batch, &act)?;
                tx.abandon();
                Ok(fates)
            })
            .await
    }

    async fn imports(&self) -> Result<Vec<Import>, StoreError> {
        self.scan(|db| {
            let entries = db.scan_prefix(keys::prefix(Kind::Import));
            entries.map(|e| e.map_err(|e| unreadable(&e)).and_then(|(k, v)| codec::decode(&k, &v))).collect()
        })
        .await
    }

    async fn undo_import(
        &self,
        id: ImportId,
        limit: usize,
        act: Act,
        event: Event,
    ) -> Result<Option<Undone>, StoreError> {
        self.act(act, move |tx, act| undo(tx, &id, limit, act, event)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::intents::{SESSIONS, USERS};
    use super::*;
    use crate::{
        domain::{EventKind, PasswordHash},
        store::{
            Rehash, Store,
            contract::{act, credential, restart::open, session, user},
        },
    };

    /// All records but those of the audit trail, of the log's place and of the clock.
    fn records(store: &SledStore) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let is_of_accounts = |key: &[u8]| {
            let tells = [Kind::Audit, Kind::Outbox, Kind::OutboxWaiting];
            !tells.iter().any(|kind| key.starts_with(&keys::prefix(*kind)))
                && (!key.starts_with(&keys::prefix(Kind::Meta)) || key.starts_with(&keys::meta("count/")))
        };
        let all = store.db().iter().map(Result::unwrap).map(|(key, value)| (key.to_vec(), value.to_vec()));
        all.filter(|(key, _)| is_of_accounts(key)).collect()
    }

    fn batch() -> ImportBatch {
        let incoming = |n: u8| {
            let name = format!("imp-{n}");
            let mut sessions = vec![session(&name, 1).session, session(&name, 2).session];
            sessions.iter_mut().for_each(|session| session.family = None);
            Incoming { user: user(&name), named: true, credential: Some(credential(&name, "h0")), sessions }
        };
        ImportBatch { id: "i1".parse().unwrap(), source: "users".into(), accounts: (0..20).map(incoming).collect() }
    }

    #[tokio::test]
    async fn taken_back_an_import_leaves_no_record_and_changes_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let create = async |name: &str| {
            let event = Event::new(EventKind::UserCreated);
            store.create_user(user(name), Some(credential(name, "h")), Some(session(name, 1)), act(), event).await
        };
        create("ada").await.unwrap();
        let before = records(&store);
        store.import(batch(), act(), Event::new(EventKind::UsersImported)).await.unwrap();
        assert!(records(&store).len() > before.len() + 20 * 10);
        let rehash = || Rehash { old: PasswordHash::new("h0"), new: PasswordHash::new("h1"), chosen: false };
        for n in 0..7 {
            let mut new = session(&format!("imp-{n}"), 9);
            new.session.ip_address = "192.0.2.9".into();
            let signed_in = Event::new(EventKind::SignedIn);
            store.open_session(new, 0, Some(rehash()), act(), signed_in).await.unwrap();
        }
        // What happens beside it stays.
        create("bob").await.unwrap();
        let of_bob: BTreeMap<_, _> = records(&store).into_iter().filter(|(key, _)| !before.contains_key(key)).collect();
        let of_bob = of_bob.into_iter().filter(|(key, _)| String::from_utf8_lossy(key).contains("bob"));
        let mut expected: BTreeMap<_, _> = before.into_iter().chain(of_bob).collect();
        let mut steps = 0;
        while let Some(step) =
            store.undo_import("i1".parse().unwrap(), 6, act(), Event::new(EventKind::ImportUndone)).await.unwrap()
        {
            steps += 1;
            assert!(step.users <= 6);
        }
        assert_eq!(steps, 4);
        let after = records(&store);
        for counter in [USERS, SESSIONS] {
            let key = keys::meta(counter);
            let counted: Number = codec::decode(&key, &after[&key]).unwrap();
            assert_eq!(counted, Number(2), "{counter}: ada and bob");
            expected.insert(key.clone(), after[&key].clone());
        }
        // An entry by a digest has no name in it: bob's token.
        let unnamed: Vec<_> = after.keys().filter(|key| !expected.contains_key(*key)).collect();
        assert!(unnamed.iter().all(|key| **key == keys::token(&session("bob", 1).session.digest)), "{unnamed:?}");
        assert!(expected.iter().all(|(key, value)| after.get(key) == Some(value)));
    }
}
