//! What must be true, as far as the answers say: an exact model of what was acknowledged.
//!
//! Each client acts on users of its own, one act after the other, so the order in which it got its answers is the order in
//! which the acts happened. An act without an answer leaves its subject open; the first look after the restart settles it,
//! and from then on it counts like any other.

use std::collections::BTreeSet;

/// What is known of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It was acknowledged that it is.
    Yes,
    /// It was acknowledged that it is no more.
    No,
    /// An act on it was not answered.
    Open,
}

impl From<bool> for Known {
    fn from(is: bool) -> Self {
        if is { Self::Yes } else { Self::No }
    }
}

/// A session.
pub(super) struct Session {
    pub(super) id: String,
    /// Its access token, if the answer with it arrived.
    pub(super) token: Option<String>,
    pub(super) alive: Known,
    /// The name under which its revocation was asked for, if there was no answer.
    pub(super) asked_to_end: Option<String>,
    /// Whether something happened to it in this round.
    pub(super) touched: bool,
}

/// An account.
pub(super) struct User {
    pub(super) email: String,
    pub(super) exists: Known,
    pub(super) sessions: Vec<Session>,
    /// A sign-in or sign-up was sent and not answered: there may be one session that nobody knows.
    pub(super) may_have_a_session_more: bool,
    /// All its sessions were to end at once, and there was no answer: all have, or none.
    pub(super) all_or_none: bool,
}

impl User {
    pub(super) fn new(email: String) -> Self {
        Self { email, exists: Known::Open, sessions: vec![], may_have_a_session_more: false, all_or_none: false }
    }

    /// Whether acts on it have a certain outcome.
    pub(super) fn is_settled(&self) -> bool {
        self.exists == Known::Yes && !self.may_have_a_session_more && !self.all_or_none
    }

    pub(super) fn opened(&mut self, id: String, token: Option<String>) {
        self.sessions.push(Session { id, token, alive: Known::Yes, asked_to_end: None, touched: true });
    }

    pub(super) fn alive(&self) -> usize {
        self.sessions.iter().filter(|session| session.alive == Known::Yes).count()
    }
}

/// What one client did.
pub(super) struct Deeds {
    pub(super) name: usize,
    pub(super) users: Vec<User>,
    /// Every address is used once.
    pub(super) addresses: usize,
    /// Keys whose rotation was acknowledged.
    pub(super) kids: Vec<String>,
    /// Rotations without an answer.
    pub(super) open_rotations: usize,
    /// Acts that were acknowledged in this round, each of which has one record in the audit trail.
    pub(super) acknowledged: u64,
    /// Acts that were not.
    pub(super) unanswered: u64,
    /// Answers that are wrong while the daemon runs.
    pub(super) wrong: Vec<String>,
}

impl Deeds {
    pub(super) fn new(name: usize) -> Self {
        Self {
            name,
            users: vec![],
            addresses: 0,
            kids: vec![],
            open_rotations: 0,
            acknowledged: 0,
            unanswered: 0,
            wrong: vec![],
        }
    }

    /// (user, session) of those that are such.
    pub(super) fn sessions(&self, such: impl Fn(&User, &Session) -> bool) -> Vec<(usize, usize)> {
        let users = self.users.iter().enumerate();
        let all = users.flat_map(|(u, user)| (0..user.sessions.len()).map(move |s| (u, s, user)));
        all.filter(|(_, s, user)| such(user, &user.sessions[*s])).map(|(u, s, _)| (u, s)).collect()
    }

    /// The users that are such.
    pub(super) fn users(&self, such: impl Fn(&User) -> bool) -> Vec<usize> {
        self.users.iter().enumerate().filter(|(_, user)| such(user)).map(|(u, _)| u).collect()
    }
}

/// Everything that is known at the last look.
#[derive(Default)]
pub(super) struct World {
    pub(super) clients: Vec<Deeds>,
    pub(super) kids: BTreeSet<String>,
    /// The last record of the audit trail.
    pub(super) audit: u64,
}
