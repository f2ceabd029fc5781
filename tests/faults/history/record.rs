//! What was asked and what was answered, in the order in which it was.

use std::sync::atomic::{AtomicU64, Ordering};

use common::UnixTime;
use tests::TestClock;

/// A point in the one order of all requests and answers.
pub(super) type Stamp = u64;

/// Stands for the end of what was never answered: it may have been done at any time since, or not at all.
pub(super) const NEVER: Stamp = Stamp::MAX;

/// When something was asked and answered: by the one counter, and by the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct When {
    pub(super) began: Stamp,
    pub(super) ended: Stamp,
    pub(super) from: UnixTime,
    pub(super) to: UnixTime,
}

impl When {
    pub(super) fn is_answered(&self) -> bool {
        self.ended != NEVER
    }
}

/// The counter.
#[derive(Default)]
pub(super) struct Stamps(AtomicU64);

/// What is on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    began: Stamp,
    from: UnixTime,
}

impl Stamps {
    fn next(&self) -> Stamp {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    /// To be called before anything is sent.
    pub(super) fn ask(&self, clock: &TestClock) -> Asked {
        Asked { from: clock.now_time(), began: self.next() }
    }

    /// To be called when the answer is there.
    pub(super) fn answered(&self, asked: Asked, clock: &TestClock) -> When {
        let Asked { began, from } = asked;
        When { began, ended: self.next(), from, to: clock.now_time() }
    }

    /// There is none.
    pub(super) fn unanswered(asked: Asked) -> When {
        let Asked { began, from } = asked;
        When { began, ended: NEVER, from, to: UnixTime::from_millis(i64::MAX) }
    }
}

/// Names a session, a user, a password in a history.
pub(super) type No = u32;

/// A refresh token: its place in the family, and what tells it from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token {
    pub(super) generation: u32,
    pub(super) digest: u64,
}

/// What a check of a session said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Alive,
    Dead,
    /// It answered with another session.
    Another,
}

/// What a refresh answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    Successor(Token),
    /// The token was used before: the session has ended.
    Reused,
    /// The session has ended.
    Dead,
    /// Nothing: whatever was done was done.
    Nothing,
}

/// What ends sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// This one: a sign-out, a revocation.
    Session(No),
    /// All of the user.
    All,
    /// All of the user but this one.
    Others(No),
    Ban,
    Delete,
    /// From the password before to this one. All sessions end that were opened by an earlier one.
    Password(No),
}

/// One act of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A session was opened by this password, and ends after a day if it is not remembered.
    Opened {
        session: No,
        password: No,
        remember: bool,
    },
    /// A sign-in by this password was refused.
    Refused {
        password: No,
    },
    Checked {
        session: No,
        seen: Seen,
    },
    Ended(Ending),
    Enabled,
    Refreshed {
        session: No,
        shown: Token,
        got: Got,
    },
}

/// An act on a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) user: No,
    pub(super) when: When,
    pub(super) what: What,
}

impl Entry {
    /// What else a history says of the session, or the user, that this is about.
    pub(super) fn related(&self, history: &[Self]) -> Vec<Self> {
        let session = |entry: &Self| match entry.what {
            What::Opened { session, .. } | What::Checked { session, .. } | What::Refreshed { session, .. } => {
                Some(session)
            }
            What::Refused { .. } | What::Ended(_) | What::Enabled => None,
        };
        let is_related =
            |entry: &&Self| entry.user == self.user && session(entry).is_none_or(|no| session(self) == Some(no));
        let mut related: Vec<Self> = history.iter().filter(is_related).copied().collect();
        related.sort_by_key(|entry| entry.when.began);
        related
    }
}
