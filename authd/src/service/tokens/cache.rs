//! What is remembered of JWTs: those that were made a moment ago, and those that were found good.

use std::sync::Arc;

use common::{Kid, SessionId, Span, UnixTime};
use quick_cache::{Weighter, sync::Cache};

use crate::{
    digest::sha256,
    domain::{
        KeySet, User,
        token::{Claims, TokenProblem},
    },
};

/// A JWT that was made for a session a moment ago, and may be handed out again until half its life is over.
pub(super) struct Recent {
    pub(super) jwt: Arc<str>,
    pub(super) kid: Kid,
    /// The configured life by which it was made.
    pub(super) life: Span,
    /// Whom it describes, as they were: a time would not tell two changes within a millisecond apart.
    pub(super) user: Arc<User>,
    pub(super) half_life: UnixTime,
}

/// The recent JWTs, by session.
pub struct RecentJwts(pub(super) Cache<SessionId, Arc<Recent>, JwtBytes>);

/// How much memory the recent JWTs may take: ten thousand of usual length.
const RECENT_BYTES: u64 = 16 << 20;

/// Weighs a JWT by its length, twice: it has the user's fields in it, and those may be long.
#[derive(Clone)]
pub(super) struct JwtBytes;

impl Weighter<SessionId, Arc<Recent>> for JwtBytes {
    fn weight(&self, _: &SessionId, recent: &Arc<Recent>) -> u64 {
        256 + 2 * recent.jwt.len() as u64
    }
}

impl Default for RecentJwts {
    fn default() -> Self {
        Self(Cache::with_weighter(10_000, RECENT_BYTES, JwtBytes))
    }
}

/// What a token is known by: the SHA-256 of all of it. Any faster hash would make a collision a sign-in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(token: &str) -> Self {
        Self(sha256(token.as_bytes()))
    }
}

/// What was verified of a token, once: that its form, type and signature are good, by which key, and what it says.
pub(super) struct Known {
    pub(super) kid: Kid,
    pub(super) claims: Claims,
}

/// The tokens that were found good, so that a signature is verified once and not at every request: that takes longer than all
/// the rest of a request.
///
/// Only what never changes is remembered. Time, issuer and audience, the session and its user, and the state of the key are
/// looked at each time, so whatever ends a token ends it at the next request (TK-11, TK-12). Only tokens that were taken get
/// in: nobody can push good ones out with bad ones.
pub struct VerifiedTokens(Cache<Digest, Arc<Known>, KnownBytes>);

/// How much memory the verified tokens may take: about sixteen thousand of usual length.
const VERIFIED_BYTES: u64 = 8 << 20;

/// Weighs what is known of a token by its texts. The audience may be long, by configuration.
#[derive(Clone)]
struct KnownBytes;

impl Weighter<Digest, Arc<Known>> for KnownBytes {
    fn weight(&self, _: &Digest, known: &Arc<Known>) -> u64 {
        let Claims { issuer, subject, audience, session, .. } = &known.claims;
        let audience: usize = audience.iter().map(|text| 24 + text.len()).sum();
        let texts = issuer.len() + subject.as_str().len() + audience + session.as_str().len();
        320 + (texts + known.kid.as_str().len()) as u64
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Cache::with_weighter(16_000, VERIFIED_BYTES, KnownBytes))
    }
}

impl VerifiedTokens {
    /// What is known of this token, if its key still verifies.
    ///
    /// # Errors
    /// `KeyRevoked`, `KeyNotActive`, `UnknownKey`: as if the token were verified anew.
    pub(super) fn get(&self, token: &Digest, keys: &KeySet, now: UnixTime) -> Result<Option<Arc<Known>>, TokenProblem> {
        let Some(known) = self.0.get(token) else { return Ok(None) };
        keys.verifying(known.kid.as_str(), now)?;
        Ok(Some(known))
    }

    pub(super) fn put(&self, token: Digest, known: Arc<Known>) {
        self.0.insert(token, known);
    }

    /// Forgets a token that is not taken any more.
    pub(super) fn forget(&self, token: &Digest) {
        self.0.remove(token);
    }

    /// How many there are, and how much room they take.
    #[cfg(test)]
    fn size(&self) -> (usize, u64) {
        (self.0.len(), self.0.weight())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verified_tokens_stay_within_their_memory() {
        let tokens = VerifiedTokens::default();
        for n in 0..40_000 {
            let claims = Claims {
                issuer: "https://auth.example".into(),
                subject: "u".repeat(32).parse().unwrap(),
                audience: vec!["x".repeat(600)],
                issued_at: 0,
                not_before: None,
                expires_at: 900,
                session: "s".repeat(32).parse().unwrap(),
            };
            tokens.put(Digest::of(&n.to_string()), Arc::new(Known { kid: "k".parse().unwrap(), claims }));
        }
        let (count, weight) = tokens.size();
        assert!(weight <= VERIFIED_BYTES && count > 4_000, "{count} {weight}");
    }
}
