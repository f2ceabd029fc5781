//! Refresh tokens: one family per session, a generation per rotation (RFC 9700 §4.14.2). A token is a family, a
//! generation and a MAC over both and the family's salt; nothing stored is a token, and any generation can be computed
//! again.

use common::{FamilyId, SessionId, UnixTime};

/// The place of a refresh token in its family, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// The first one, made at sign-in.
    pub const FIRST: Self = Self(1);
}

/// All refresh tokens of one session.
#[derive(Clone, PartialEq, Eq)]
pub struct Family {
    /// Stands in the token.
    pub id: FamilyId,
    /// The session that ends with it.
    pub session: SessionId,
    /// Random; goes into the MAC, so that a token cannot be made without the store.
    pub salt: [u8; 16],
    /// The one that may be used now.
    pub current: Generation,
    /// The one whose use made `current`.
    pub parent: Option<Generation>,
    /// When the last few generations were rotated away, newest last.
    pub rotations: Vec<(Generation, UnixTime)>,
    /// When the sign-in was.
    pub created_at: UnixTime,
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Family").field("id", &self.id).field("current", &self.current).finish_non_exhaustive()
    }
}
