//! Accounts that come from another server, and what becomes of each: nothing that is here already is touched.

use common::{ImportId, UnixTime, UserId};

use super::{Credential, Session, User};

/// An account on its way in, checked.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The account.
    pub user: User,
    /// Whether its id came with it; otherwise its address says which one it is.
    pub named: bool,
    /// Its password.
    pub credential: Option<Credential>,
    /// Its sessions, oldest first, no more than it may have.
    pub sessions: Vec<Session>,
}

/// What came in together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Names it.
    pub id: ImportId,
    /// From what.
    pub source: String,
    /// How many of its accounts there are.
    pub users: u64,
    /// How many passwords came with it.
    pub passwords: u64,
    /// How many sessions came with it.
    pub sessions: u64,
    /// When its first batch was stored.
    pub began_at: UnixTime,
    /// When its last batch was stored.
    pub changed_at: UnixTime,
}

/// What becomes of an account on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is new here: it comes in with its password.
    New {
        /// Sessions that come with it. Others have the ids or tokens of the rest.
        sessions: u64,
        /// Whether its username comes with it, or another user has that.
        username: bool,
    },
    /// It came in with this import before.
    Done,
    /// It is here by the same id and address, from elsewhere.
    There,
    /// Its id is that of an account with another address.
    IdTaken,
    /// Its address is that of another account.
    EmailTaken,
}

/// An account that is here.
#[derive(Debug, Clone, Copy)]
pub struct Present<'a> {
    /// The account.
    pub user: &'a User,
    /// The import that it came with.
    pub import: Option<&'a ImportId>,
}

impl Incoming {
    /// What becomes of it, where there is a user by its id, or one who has its address. `None`: it is new.
    pub fn fate(
        &self,
        import: &ImportId,
        same_id: Option<Present<'_>>,
        same_email: Option<Present<'_>>,
    ) -> Option<Fate> {
        let is_done = |present: Present<'_>| present.import == Some(import);
        match (same_id, same_email) {
            // Whatever was done to it since: its address may be another one by now.
            (Some(present), _) if is_done(present) => Some(Fate::Done),
            (Some(present), _) if present.user.email == self.user.email => Some(Fate::There),
            (Some(_), _) => Some(Fate::IdTaken),
            (None, Some(present)) if !self.named && is_done(present) => Some(Fate::Done),
            (None, Some(_)) => Some(Fate::EmailTaken),
            (None, None) => None,
        }
    }

    /// The id.
    pub const fn id(&self) -> &UserId {
        &self.user.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::session::tests::user;

    fn of<'a>(user: &'a User, import: Option<&'a ImportId>) -> Present<'a> {
        Present { user, import }
    }

    #[test]
    fn nothing_that_is_here_is_touched() {
        let (this, other): (ImportId, ImportId) = ("i1".parse().unwrap(), "i2".parse().unwrap());
        let incoming = |named| Incoming { user: user(), named, credential: None, sessions: vec![] };
        let moved = User { email: "new@example.com".parse().unwrap(), ..user() };
        let stranger = User { id: "u2".parse().unwrap(), ..user() };
        for (named, same_id, same_email, fate) in [
            (true, None, None, None),
            (false, None, None, None),
            (true, Some(of(&user(), Some(&this))), Some(of(&user(), Some(&this))), Some(Fate::Done)),
            (true, Some(of(&moved, Some(&this))), None, Some(Fate::Done)),
            (true, Some(of(&user(), Some(&other))), Some(of(&user(), Some(&other))), Some(Fate::There)),
            (true, Some(of(&user(), None)), Some(of(&user(), None)), Some(Fate::There)),
            (true, Some(of(&moved, None)), None, Some(Fate::IdTaken)),
            (true, Some(of(&moved, Some(&other))), Some(of(&stranger, None)), Some(Fate::IdTaken)),
            (true, None, Some(of(&stranger, None)), Some(Fate::EmailTaken)),
            // Two rows of one source with one address: the first one has it.
            (true, None, Some(of(&stranger, Some(&this))), Some(Fate::EmailTaken)),
            (false, None, Some(of(&stranger, Some(&this))), Some(Fate::Done)),
            (false, None, Some(of(&stranger, Some(&other))), Some(Fate::EmailTaken)),
        ] {
            assert_eq!(incoming(named).fate(&this, same_id, same_email), fate, "{named} {same_id:?} {same_email:?}");
        }
    }
}
