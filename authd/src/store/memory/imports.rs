//! Imports in the reference model.

use async_trait::async_trait;
use common::{ImportId, UserId};

use super::{MemoryStore, State};
use crate::{
    domain::{Act, Event, Fate, Import, Incoming, import::Present},
    store::{ImportBatch, Imports, NewSession, StoreError, Undone},
};

impl State {
    fn present(&self, id: &UserId) -> Option<Present<'_>> {
        self.users.get(id).map(|user| Present { user, import: self.imported.get(id) })
    }

    fn take_in(&mut self, import: &ImportId, incoming: Incoming) -> Fate {
        let same_email = self.users.values().find(|user| user.email == incoming.user.email).map(|user| user.id.clone());
        let same_email = same_email.and_then(|id| self.present(&id));
        if let Some(fate) = incoming.fate(import, self.present(incoming.id()), same_email) {
            return fate;
        }
        let id = incoming.id().clone();
        let mut user = incoming.user;
        let username = user.username.as_ref().is_none_or(|name| !self.has_username(name, &id));
        if !username {
            (user.username, user.display_username) = (None, None);
        }
        self.users.insert(id.clone(), user);
        self.imported.insert(id.clone(), import.clone());
        self.credentials.extend(incoming.credential.map(|credential| (id, credential)));
        let mut sessions = 0;
        for session in incoming.sessions {
            if self.sessions.values().all(|other| other.id != session.id && other.digest != session.digest) {
                self.insert(NewSession { session, family: None, replaces: vec![], max_per_user: usize::MAX });
                sessions += 1;
            }
        }
        Fate::New { sessions, username }
    }

    fn take_all_in(&mut self, batch: ImportBatch, act: &Act) -> (Vec<Fate>, (u64, u64, u64)) {
        let (mut fates, mut new) = (vec![], (0, 0, 0));
        for incoming in batch.accounts {
            let has_password = u64::from(incoming.credential.is_some());
            let fate = self.take_in(&batch.id, incoming);
            if let Fate::New { sessions, .. } = fate {
                new = (new.0 + 1, new.1 + has_password, new.2 + sessions);
            }
            fates.push(fate);
        }
        if new.0 > 0 {
            let (id, source) = (batch.id.clone(), batch.source);
            let nothing =
                Import { id, source, users: 0, passwords: 0, sessions: 0, began_at: act.at, changed_at: act.at };
            let import = self.imports.entry(batch.id).or_insert(nothing);
            import.users += new.0;
            import.passwords += new.1;
            import.sessions += new.2;
            import.changed_at = act.at;
        }
        (fates, new)
    }

    /// The account is gone: it is no import's any more.
    pub(super) fn forget_imported(&mut self, user: &UserId) {
        if let Some(import) = self.imported.remove(user)
            && let Some(import) = self.imports.get_mut(&import)
        {
            import.users -= 1;
        }
    }
}

#[async_trait]
impl Imports for MemoryStore {
    async fn import(&self, batch: ImportBatch, act: Act, event: Event) -> Result<Vec<Fate>, StoreError> {
        let mut state = self.state_for(&act)?;
        let id = batch.id.clone();
        let (fates, (users, passwords, sessions)) = state.take_all_in(batch, &act);
        if users > 0 {
            let event = event.with("import", &id).with("users", &users);
            self.record(&mut state, &act, &event.with("passwords", &passwords).with("sessions", &sessions));
        }
        Ok(fates)
    }

    async fn preview_import(&self, batch: ImportBatch) -> Result<Vec<Fate>, StoreError> {
        let mut scratch = self.state().clone();
        Ok(scratch.take_all_in(batch, &Act::by_daemon(common::UnixTime::EPOCH)).0)
    }

    async fn imports(&self) -> Result<Vec<Import>, StoreError> {
        Ok(self.state().imports.values().cloned().collect())
    }

    async fn undo_import(
        &self,
        id: ImportId,
        limit: usize,
        act: Act,
        event: Event,
    ) -> Result<Option<Undone>, StoreError> {
        let mut state = self.state_for(&act)?;
        let Some(import) = state.imports.get(&id).cloned() else { return Ok(None) };
        let members: Vec<UserId> =
            state.imported.iter().filter(|(_, of)| **of == id).map(|(user, _)| user.clone()).take(limit).collect();
        let sessions = members.iter().map(|user| state.remove_user(user).sessions).sum();
        if state.imports.get(&id).is_some_and(|import| import.users == 0) {
            state.imports.remove(&id);
        }
        let undone = Undone { import, users: members.len() as u64, sessions };
        let event = event.with("import", &id).with("users", &undone.users).with("sessions", &sessions);
        self.record(&mut state, &act, &event);
        Ok(Some(undone))
    }
}
