//! Identifiers and tokens made of randomness. Base62, because ids of Better Auth are, and because it survives every
//! context without escaping.

use std::sync::atomic::{AtomicU64, Ordering};

use common::{AccountId, FamilyId, MailId, RequestId, SessionId, UserId};

use crate::ports::Entropy;

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// `length` characters, each of the 62 equally likely (about 5.95 bits each).
pub fn base62(entropy: &dyn Entropy, length: usize) -> String {
    let mut out = String::with_capacity(length);
    let mut buffer = [0; 64];
    while out.len() < length {
        entropy.fill(&mut buffer);
        // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
        out.extend(
            buffer
                .iter()
                .filter(|b| **b < 248)
                .take(length - out.len())
                .map(|b| char::from(ALPHABET[usize::from(*b % 62)])),
        );
    }
    out
}

macro_rules! fresh {
    ($($(#[doc = $doc:literal])+ $name:ident -> $type:ty, $length:literal;)+) => {$(
        $(#[doc = $doc])+
        #[allow(clippy::expect_used)]
        pub fn $name(entropy: &dyn Entropy) -> $type {
            base62(entropy, $length).parse().expect("base62 text of this length is an id")
        }
    )+};
}

fresh! {
    /// 32 characters, as Better Auth's.
    user_id -> UserId, 32;
    /// 32 characters, as Better Auth's.
    account_id -> AccountId, 32;
    /// 32 characters, as Better Auth's.
    session_id -> SessionId, 32;
    /// 24 characters: it stands in every refresh token.
    family_id -> FamilyId, 24;
    /// 24 characters.
    mail_id -> MailId, 24;
}

/// A session token: 32 characters, 190 bits (SE-01).
pub fn session_token(entropy: &dyn Entropy) -> String {
    base62(entropy, 32)
}

/// The ids of requests: unlike each other, and worth nothing to who guesses one. So the system's randomness is drawn once: for
/// each request it would cost a tenth of what a small request costs.
pub struct RequestIds {
    starts: [u64; 2],
    made: AtomicU64,
}

impl RequestIds {
    /// That begin somewhere.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut drawn = [0; 16];
        entropy.fill(&mut drawn);
        let drawn = u128::from_le_bytes(drawn);
        #[allow(clippy::cast_possible_truncation)]
        let starts = [drawn as u64, (drawn >> 64) as u64];
        Self { starts, made: AtomicU64::new(0) }
    }

    /// The next one: 16 characters base62 (95 bits).
    #[allow(clippy::expect_used)]
    pub fn draw(&self) -> RequestId {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 16];
        for (half, start) in text.chunks_exact_mut(8).zip(self.starts) {
            write_base62(mixed(start.wrapping_add(n)), half);
        }
        std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).expect("base62 text is an id")
    }
}

/// Takes neighbours far apart, and no two to one place (the last step of `SplitMix64`).
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The first digits of `n` as a fraction of 2⁶⁴.
fn write_base62(n: u64, places: &mut [u8]) {
    let mut left = n;
    for place in places {
        let scaled = u128::from(left) * ALPHABET.len() as u128;
        *place = ALPHABET[usize::try_from(scaled >> 64).unwrap_or_default()];
        #[allow(clippy::cast_possible_truncation)]
        let rest = scaled as u64;
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::atomic::AtomicU8};

    use super::*;
    use crate::crypto::entropy::SystemEntropy;

    #[test]
    fn se_01_tokens_differ_and_use_the_whole_alphabet_evenly() {
        let entropy = SystemEntropy::default();
        let mut seen = HashSet::new();
        let mut counts = [0u32; 128];
        for _ in 0..20_000 {
            let token = session_token(&entropy);
            assert_eq!(token.len(), 32);
            token.bytes().for_each(|b| counts[usize::from(b)] += 1);
            assert!(seen.insert(token));
        }
        let expected = 20_000.0 * 32.0 / 62.0;
        let chi2: f64 =
            ALPHABET.iter().map(|b| (f64::from(counts[usize::from(*b)]) - expected).powi(2) / expected).sum();
        // 61 degrees of freedom: above 130 about once in a million runs.
        assert!(chi2 < 130.0, "chi-square {chi2}");
    }

    /// Counts upwards, so that every byte occurs equally often.
    struct Counting(AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.iter_mut().for_each(|b| *b = self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    #[test]
    fn no_letter_is_favoured() {
        let text = base62(&Counting(AtomicU8::new(0)), 248);
        let mut counts = [0; 128];
        text.bytes().for_each(|b| counts[usize::from(b)] += 1);
        assert!(ALPHABET.iter().all(|b| counts[usize::from(*b)] == 4));
    }

    #[test]
    fn ids_of_requests_are_unlike_each_other_also_where_the_entropy_gives_the_same_again() {
        let ids = [0, 0].map(|n| RequestIds::new(&Counting(AtomicU8::new(n))));
        let drawn: HashSet<RequestId> = (0..100_000).map(|_| ids[0].draw()).collect();
        assert_eq!(drawn.len(), 100_000);
        let id = ids[1].draw();
        assert!(drawn.contains(&id), "{id} is the first one of that beginning");
        assert!(id.as_str().len() == 16 && id.as_str().bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
        // Each letter is about as frequent as another, wherever it stands.
        let count =
            |place: usize, letter: u8| drawn.iter().filter(|id| id.as_str().as_bytes()[place] == letter).count();
        for place in [0, 7, 8, 15] {
            assert!(ALPHABET.iter().all(|letter| (1_300..1_950).contains(&count(place, *letter))), "{place}");
        }
    }
}
