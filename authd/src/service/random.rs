//! Identifiers and tokens made of randomness. Base62, because ids of Better Auth are, and because it survives every
//! context without escaping.

use common::{AccountId, FamilyId, MailId, SessionId, UserId};

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

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::atomic::{AtomicU8, Ordering},
    };

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
}
