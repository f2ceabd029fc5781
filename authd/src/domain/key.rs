//! The life of a signing key: staged → published → signing → retiring → gone, and revoked at any time.
//!
//! A key's state is computed from the times that stand in its record, so no transition needs a write of its own and a
//! crash can fall between no two of them. A key is published before it signs, for at least as long as verifiers may
//! cache the key set, and stays published after it stopped until its last token has expired everywhere.

use std::sync::Arc;

use common::{Kid, Span, UnixTime};

use super::token::TokenProblem;

/// How long verifiers may go on using a key set they fetched: the `max-age` and `stale-while-revalidate` of the answer.
pub const JWKS_MAX_AGE: Span = Span::from_secs(300);
/// See [`JWKS_MAX_AGE`].
pub const JWKS_STALE: Span = Span::from_secs(60);
/// The clock difference that verifiers are given.
pub const LEEWAY: Span = Span::from_secs(60);

/// The one signature algorithm of a key (RFC 8725 §3.1). Asymmetric only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    #[default]
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits.
    Rs256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// The registered name (`alg`), compared exactly.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// By its exact registered name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == name)
    }
}

/// A signing key. The private half is sealed; only the signer can open it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// RFC 7638 thumbprint.
    pub kid: Kid,
    /// Its one algorithm.
    pub algorithm: Algorithm,
    /// The public members of the JWK, as JSON text.
    pub public_jwk: Arc<str>,
    /// The private key, sealed under the master key. Empty once it can never be needed again.
    pub sealed: Arc<[u8]>,
    /// The longest life that a token signed by it may have.
    pub token_life: Span,
    /// When it was made.
    pub created_at: UnixTime,
    /// From when it is in the key set.
    pub published_at: UnixTime,
    /// From when it signs.
    pub signs_at: UnixTime,
    /// When it stops signing.
    pub retires_at: Option<UnixTime>,
    /// When it leaves the key set.
    pub gone_at: Option<UnixTime>,
    /// When it was revoked.
    pub revoked_at: Option<UnixTime>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm.as_str(), self.kid)
    }
}

/// What a key is at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Made, not yet shown.
    Staged,
    /// Shown, does not sign yet.
    Published,
    /// Signs.
    Signing,
    /// No longer signs; its tokens still verify.
    Retiring,
    /// Its tokens have all expired.
    Gone,
    /// Declared unusable; nothing it signed is taken any more.
    Revoked,
}

impl KeyState {
    /// The word that operators see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retiring => "retiring",
            Self::Gone => "gone",
            Self::Revoked => "revoked",
        }
    }

    /// Whether the key is in the key set, and its tokens are taken.
    pub const fn verifies(self) -> bool {
        matches!(self, Self::Published | Self::Signing | Self::Retiring)
    }
}

/// The configured times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPolicy {
    /// How long a key is published before it signs.
    pub publish_ahead: Span,
    /// The longest life of a token.
    pub token_life: Span,
    /// How often a new key takes over by itself; `None`: never.
    pub rotate_every: Option<Span>,
}

impl KeyPolicy {
    /// How long a key stays published after it stopped signing: until its last token has expired, by the clock of the
    /// slowest verifier, and no cache holds the set any more. The key may have signed tokens of a longer life than the one
    /// that is configured now.
    pub fn retention(&self, key: &SigningKey) -> Span {
        self.token_life.max(key.token_life).plus(LEEWAY).plus(JWKS_MAX_AGE).plus(JWKS_STALE)
    }
}

impl SigningKey {
    /// The state at `now`. A limit is reached in the very millisecond it names.
    pub fn state(&self, now: UnixTime) -> KeyState {
        let reached = |limit: Option<UnixTime>| limit.is_some_and(|limit| now >= limit);
        if self.revoked_at.is_some() {
            KeyState::Revoked
        } else if reached(self.gone_at) {
            KeyState::Gone
        } else if now < self.published_at {
            KeyState::Staged
        } else if reached(self.retires_at) {
            KeyState::Retiring
        } else if now < self.signs_at {
            KeyState::Published
        } else {
            KeyState::Signing
        }
    }

    fn next_change(&self, now: UnixTime) -> Option<UnixTime> {
        [Some(self.published_at), Some(self.signs_at), self.retires_at, self.gone_at]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }
}

/// Why the keys cannot be changed as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyProblem {
    /// A rotation is under way already: this key signs from that time on.
    RotationUnderWay(Kid, UnixTime),
    /// There is no earlier key that could sign again.
    NothingToRollBack,
    /// No key by that id.
    Unknown,
    /// It is revoked already.
    AlreadyRevoked,
    /// It has left the key set; nothing it signed is taken any more.
    Gone,
    /// There are [`MAX_KEYS`] in the key set.
    TooMany,
}

/// How many keys the key set may have before a rotation adds one more: each verifier has to fetch and keep them all.
pub const MAX_KEYS: usize = 16;

/// All signing keys that are stored, as of one version of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    /// Grows with every change; a change names the version it was decided on.
    pub version: u64,
    /// In the order in which they were made.
    pub keys: Vec<SigningKey>,
}

/// A decided change: the records to write, the key that signs afterwards (now or later), and the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The records to write.
    pub put: Vec<SigningKey>,
    /// Which key signs next.
    pub key: Kid,
    /// Which key it takes over from.
    pub previous: Option<Kid>,
}

impl KeySet {
    /// The key by this id.
    pub fn get(&self, kid: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.kid.as_str() == kid)
    }

    /// The key by this id, if what it signed is taken at `now`.
    ///
    /// # Errors
    /// `UnknownKey`, `KeyRevoked`, `KeyNotActive`.
    pub fn verifying(&self, kid: &str, now: UnixTime) -> Result<&SigningKey, TokenProblem> {
        let key = self.get(kid).ok_or(TokenProblem::UnknownKey)?;
        match key.state(now) {
            state if state.verifies() => Ok(key),
            KeyState::Revoked => Err(TokenProblem::KeyRevoked),
            _ => Err(TokenProblem::KeyNotActive),
        }
    }

    /// The key that signs at `now`. One whose private half was erased never does, whatever a clock that was set back says.
    pub fn signing(&self, now: UnixTime) -> Option<&SigningKey> {
        let signs = |key: &&SigningKey| key.state(now) == KeyState::Signing && !key.sealed.is_empty();
        self.keys.iter().filter(signs).max_by_key(|key| key.signs_at)
    }

    /// The key that will take over.
    pub fn pending(&self, now: UnixTime) -> Option<&SigningKey> {
        self.keys.iter().find(|key| matches!(key.state(now), KeyState::Published | KeyState::Staged))
    }

    /// The keys whose public half is shown at `now`.
    pub fn published(&self, now: UnixTime) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().filter(move |key| key.state(now).verifies())
    }

    /// When the next key changes its state by itself.
    pub fn next_change(&self, now: UnixTime) -> UnixTime {
        self.keys.iter().filter_map(|key| key.next_change(now)).min().unwrap_or(UnixTime::MAX)
    }

    /// Whether the signing key is old enough to be replaced by itself.
    pub fn rotation_due(&self, policy: &KeyPolicy, now: UnixTime) -> bool {
        match (policy.rotate_every, self.signing(now)) {
            (Some(every), Some(key)) => {
                self.pending(now).is_none() && now >= key.signs_at.plus(every).minus(policy.publish_ahead)
            }
            _ => false,
        }
    }

    /// When the next key takes over by itself, or as it was decided already.
    pub fn next_rotation(&self, policy: &KeyPolicy, now: UnixTime) -> Option<UnixTime> {
        let pending = self.pending(now).map(|key| key.signs_at);
        pending.or_else(|| Some(self.signing(now)?.signs_at.plus(policy.rotate_every?)))
    }

    /// The keys that may sign tokens of a longer life than before, since the configuration changed: they remember it, and
    /// one that hands over later stays published for as long as that takes.
    pub fn with_longer_tokens(&self, policy: &KeyPolicy, now: UnixTime) -> Vec<SigningKey> {
        let may_sign =
            |key: &&SigningKey| matches!(key.state(now), KeyState::Staged | KeyState::Published | KeyState::Signing);
        let longer = self.keys.iter().filter(may_sign).filter(|key| key.token_life < policy.token_life);
        longer
            .map(|key| SigningKey {
                token_life: policy.token_life,
                gone_at: key.retires_at.map(|at| at.plus(policy.retention(key))),
                ..key.clone()
            })
            .collect()
    }

    /// Publishes `fresh` and lets it sign after `publish_ahead`, or at once. With a rotation under way, "at once" lets
    /// the key that is published already sign now, and `fresh` is not used.
    ///
    /// # Errors
    /// `RotationUnderWay` unless `at_once`; `TooMany`.
    pub fn rotate(
        &self,
        policy: &KeyPolicy,
        mut fresh: SigningKey,
        at_once: bool,
        now: UnixTime,
    ) -> Result<KeyChange, KeyProblem> {
        let current = self.signing(now);
        let next = match self.pending(now) {
            Some(pending) if at_once => {
                SigningKey { signs_at: now, published_at: pending.published_at.min(now), ..pending.clone() }
            }
            Some(pending) => return Err(KeyProblem::RotationUnderWay(pending.kid.clone(), pending.signs_at)),
            None if current.is_some() && self.published(now).count() >= MAX_KEYS => return Err(KeyProblem::TooMany),
            None => {
                fresh.published_at = now;
                fresh.signs_at = if at_once || current.is_none() { now } else { now.plus(policy.publish_ahead) };
                fresh
            }
        };
        Ok(Self::hand_over(policy, next, current))
    }

    fn hand_over(policy: &KeyPolicy, next: SigningKey, current: Option<&SigningKey>) -> KeyChange {
        let key = next.kid.clone();
        let previous = current.map(|current| current.kid.clone());
        let mut put = vec![];
        if let Some(current) = current {
            put.push(SigningKey {
                retires_at: Some(next.signs_at),
                gone_at: Some(next.signs_at.plus(policy.retention(current))),
                ..current.clone()
            });
        }
        put.push(next);
        KeyChange { put, key, previous }
    }

    /// Takes the last rotation back: a key that is only published leaves the set (it signed nothing); a key that signs
    /// already hands over to the one before it, which is still published everywhere.
    ///
    /// # Errors
    /// `NothingToRollBack` if no earlier key is left.
    pub fn roll_back(&self, policy: &KeyPolicy, now: UnixTime) -> Result<KeyChange, KeyProblem> {
        let current = self.signing(now);
        if let (Some(pending), Some(current)) = (self.pending(now), current) {
            let dropped = SigningKey { retires_at: Some(now), gone_at: Some(now), ..pending.clone() };
            let stays = SigningKey { retires_at: None, gone_at: None, ..current.clone() };
            return Ok(KeyChange {
                key: stays.kid.clone(),
                previous: Some(dropped.kid.clone()),
                put: vec![dropped, stays],
            });
        }
        let earlier = self
            .keys
            .iter()
            .filter(|key| key.state(now) == KeyState::Retiring)
            .max_by_key(|key| key.retires_at)
            .ok_or(KeyProblem::NothingToRollBack)?;
        let again = SigningKey { signs_at: now, retires_at: None, gone_at: None, ..earlier.clone() };
        Ok(Self::hand_over(policy, again, current))
    }

    /// Revokes a key at once: out of the set, out of verification, its private half dropped. If it was the one that
    /// signs, the published successor or else `fresh` signs from now on.
    ///
    /// # Errors
    /// `Unknown`, `AlreadyRevoked`; `Gone` if it has left the set.
    pub fn revoke(&self, kid: &str, mut fresh: SigningKey, now: UnixTime) -> Result<KeyChange, KeyProblem> {
        let key = self.get(kid).ok_or(KeyProblem::Unknown)?;
        match key.state(now) {
            KeyState::Revoked => return Err(KeyProblem::AlreadyRevoked),
            KeyState::Gone => return Err(KeyProblem::Gone),
            KeyState::Staged | KeyState::Published | KeyState::Signing | KeyState::Retiring => {}
        }
        let mut put = vec![SigningKey { revoked_at: Some(now), sealed: Arc::from([]), ..key.clone() }];
        let still_signing = self.signing(now).filter(|signing| signing.kid != key.kid);
        if let Some(signing) = still_signing {
            // The successor was revoked before it signed: the present key has nobody to hand over to.
            if self.pending(now).is_some_and(|pending| pending.kid == key.kid) {
                put.push(SigningKey { retires_at: None, gone_at: None, ..signing.clone() });
            }
            return Ok(KeyChange { key: signing.kid.clone(), previous: Some(key.kid.clone()), put });
        }
        let next = match self.pending(now).filter(|pending| pending.kid != key.kid) {
            Some(pending) => {
                SigningKey { published_at: pending.published_at.min(now), signs_at: now, ..pending.clone() }
            }
            None => {
                fresh.published_at = now;
                fresh.signs_at = now;
                fresh
            }
        };
        let change = KeyChange { key: next.kid.clone(), previous: Some(key.kid.clone()), put: vec![] };
        put.push(next);
        Ok(KeyChange { put, ..change })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> KeyPolicy {
        KeyPolicy {
            publish_ahead: Span::from_mins(10),
            token_life: Span::from_mins(15),
            rotate_every: Some(Span::from_days(90)),
        }
    }

    fn fresh(kid: &str, now: UnixTime) -> SigningKey {
        SigningKey {
            kid: kid.parse().unwrap(),
            algorithm: Algorithm::EdDsa,
            public_jwk: "{}".into(),
            sealed: Arc::from([1u8]),
            token_life: policy().token_life,
            created_at: now,
            published_at: now,
            signs_at: now,
            retires_at: None,
            gone_at: None,
            revoked_at: None,
        }
    }

    fn apply(set: &KeySet, change: &KeyChange) -> KeySet {
        let mut next = set.clone();
        next.version += 1;
        for key in &change.put {
            match next.keys.iter_mut().find(|k| k.kid == key.kid) {
                Some(slot) => *slot = key.clone(),
                None => next.keys.push(key.clone()),
            }
        }
        next
    }

    const T0: UnixTime = UnixTime::from_secs(1_000_000);
    const MS: Span = Span::from_millis(1);

    fn states(set: &KeySet, now: UnixTime) -> Vec<(&str, &str)> {
        set.keys.iter().map(|k| (k.kid.as_str(), k.state(now).as_str())).collect()
    }

    fn one() -> KeySet {
        KeySet { version: 1, keys: vec![fresh("a", T0)] }
    }

    #[test]
    fn tk_10_a_key_is_published_before_it_signs_and_until_its_last_token_has_expired() {
        let now = T0.plus(Span::from_days(1));
        let change = one().rotate(&policy(), fresh("b", now), false, now).unwrap();
        let set = apply(&one(), &change);
        let takes_over = now.plus(Span::from_mins(10));
        assert_eq!(states(&set, now), [("a", "signing"), ("b", "published")]);
        assert_eq!(states(&set, takes_over.minus(MS)), [("a", "signing"), ("b", "published")]);
        assert_eq!(states(&set, takes_over), [("a", "retiring"), ("b", "signing")]);
        let last = takes_over.plus(policy().retention(&one().keys[0]));
        assert_eq!(states(&set, last.minus(MS)), [("a", "retiring"), ("b", "signing")]);
        assert_eq!(states(&set, last), [("a", "gone"), ("b", "signing")]);
        assert!(
            policy().retention(&one().keys[0]) >= policy().token_life.plus(LEEWAY).plus(JWKS_MAX_AGE).plus(JWKS_STALE)
        );
        assert_eq!(set.next_change(now), takes_over);
    }

    #[test]
    fn there_is_one_signing_key_at_every_moment_of_a_rotation() {
        let now = T0.plus(Span::from_days(1));
        let set = apply(&one(), &one().rotate(&policy(), fresh("b", now), false, now).unwrap());
        for minute in 0..60 {
            let at = now.plus(Span::from_mins(minute));
            let signing = set.keys.iter().filter(|k| k.state(at) == KeyState::Signing).count();
            assert_eq!(signing, 1, "at minute {minute}");
        }
    }

    #[test]
    fn a_second_rotation_waits_for_the_first_unless_it_must_be_now() {
        let now = T0.plus(Span::from_days(1));
        let set = apply(&one(), &one().rotate(&policy(), fresh("b", now), false, now).unwrap());
        let refused = set.rotate(&policy(), fresh("c", now), false, now).unwrap_err();
        assert!(matches!(refused, KeyProblem::RotationUnderWay(kid, _) if kid.as_str() == "b"));
        let set = apply(&set, &set.rotate(&policy(), fresh("c", now), true, now).unwrap());
        assert_eq!(states(&set, now), [("a", "retiring"), ("b", "signing")]);
    }

    #[test]
    fn a_rotation_can_be_taken_back_before_and_after_the_new_key_signs() {
        let now = T0.plus(Span::from_days(1));
        let rotated = apply(&one(), &one().rotate(&policy(), fresh("b", now), false, now).unwrap());
        let back = apply(&rotated, &rotated.roll_back(&policy(), now).unwrap());
        assert_eq!(states(&back, now), [("a", "signing"), ("b", "gone")]);
        assert_eq!(back.signing(UnixTime::MAX).unwrap().kid.as_str(), "a");

        let later = now.plus(Span::from_mins(11));
        let back = apply(&rotated, &rotated.roll_back(&policy(), later).unwrap());
        assert_eq!(states(&back, later), [("a", "signing"), ("b", "retiring")]);
        assert_eq!(one().roll_back(&policy(), now), Err(KeyProblem::NothingToRollBack));
    }

    #[test]
    fn tk_11_a_revoked_key_is_out_at_once_and_another_signs() {
        let now = T0.plus(Span::from_days(1));
        let alone = apply(&one(), &one().revoke("a", fresh("c", now), now).unwrap());
        assert_eq!(states(&alone, now), [("a", "revoked"), ("c", "signing")]);
        assert!(alone.get("a").unwrap().sealed.is_empty(), "the private half is dropped");

        let rotated = apply(&one(), &one().rotate(&policy(), fresh("b", now), false, now).unwrap());
        let current = apply(&rotated, &rotated.revoke("a", fresh("c", now), now).unwrap());
        assert_eq!(states(&current, now), [("a", "revoked"), ("b", "signing")]);
        let successor = apply(&rotated, &rotated.revoke("b", fresh("c", now), now).unwrap());
        assert_eq!(states(&successor, now), [("a", "signing"), ("b", "revoked")]);
        assert_eq!(successor.signing(UnixTime::MAX).unwrap().kid.as_str(), "a", "it has nobody to hand over to");

        // A hand-over that is under way goes on when a third key is revoked.
        let soon = now.plus(Span::from_mins(11));
        let three = apply(&rotated, &rotated.rotate(&policy(), fresh("c", soon), false, soon).unwrap());
        assert_eq!(states(&three, soon), [("a", "retiring"), ("b", "signing"), ("c", "published")]);
        let goes_on = apply(&three, &three.revoke("a", fresh("d", soon), soon).unwrap());
        let (then, end) = (soon.plus(Span::from_mins(10)), soon.plus(Span::from_hours(1)));
        assert_eq!(states(&goes_on, then), [("a", "revoked"), ("b", "retiring"), ("c", "signing")]);
        assert_eq!(states(&goes_on, end), [("a", "revoked"), ("b", "gone"), ("c", "signing")]);

        assert_eq!(alone.revoke("a", fresh("d", now), now), Err(KeyProblem::AlreadyRevoked));
        assert_eq!(alone.revoke("zzz", fresh("d", now), now), Err(KeyProblem::Unknown));
    }

    #[test]
    fn tk_10_a_key_outlives_the_longest_tokens_that_it_may_have_signed() {
        let now = T0.plus(Span::from_days(1));
        let day = KeyPolicy { token_life: Span::from_days(1), ..policy() };
        let rotated = apply(&one(), &one().rotate(&policy(), fresh("b", now), false, now).unwrap());

        // Longer in the middle of a rotation: the old key still signs for ten minutes, and must be there for a day.
        let longer = rotated.with_longer_tokens(&day, now);
        assert_eq!(longer.len(), 2);
        let set = apply(&rotated, &KeyChange { put: longer, key: "b".parse().unwrap(), previous: None });
        assert!(set.with_longer_tokens(&day, now).is_empty());
        assert_eq!(states(&set, now.plus(Span::from_days(1))), [("a", "retiring"), ("b", "signing")]);

        // Shorter again: what was signed for a day is good for a day.
        let later = now.plus(Span::from_days(3));
        let set = apply(&set, &set.rotate(&policy(), fresh("c", later), true, later).unwrap());
        assert_eq!(set.get("b").unwrap().state(later.plus(Span::from_days(1))), KeyState::Retiring);
    }

    #[test]
    fn rotation_falls_due_so_that_the_new_key_signs_when_the_old_one_is_as_old_as_configured() {
        let due = T0.plus(Span::from_days(90)).minus(Span::from_mins(10));
        assert!(!one().rotation_due(&policy(), due.minus(MS)));
        assert!(one().rotation_due(&policy(), due));
        let never = KeyPolicy { rotate_every: None, ..policy() };
        assert!(!one().rotation_due(&never, UnixTime::MAX));
    }
}
