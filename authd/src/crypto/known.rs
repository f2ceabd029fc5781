//! Secrets that are none: too short, of too few characters, repeated, counted, or in everybody's hands (CR-03).

use crate::digest::sha256;

/// The shortest secret that is taken over, in characters. Better Auth's own advice.
pub const MIN_CHARS: usize = 32;

/// The least number of different characters. Thirty-two random hexadecimal digits have fewer about once in 10^8 times.
const MIN_VARIETY: usize = 8;

/// What installations are found with that nobody has thought about: Better Auth's default, and words from guides.
const DEFAULTS: &[&str] = &[
    "better-auth-secret-12345678901234567890",
    "better-auth-secret",
    "secret",
    "changeme",
    "your-secret-key-at-least-32-characters-long",
    "your-super-secret-key-at-least-32-characters",
    "your-secret-key-min-32-characters-long",
    "your-better-auth-secret-at-least-32-characters",
    "generate-a-random-secret-of-32-characters",
];

/// Digests of further publicly known secrets, as far as the rules above do not find them: the first six bytes of each
/// one's SHA-256, a line each. Made from the collections of JWT secrets that attackers try (wallarm/jwt-secrets), which
/// have no place here themselves.
const KNOWN: &str = include_str!("known-secrets.digests");

/// What is wrong with a secret, if anything. The words do not say what it is.
pub fn weakness(secret: &str) -> Option<&'static str> {
    let plain = secret.trim();
    let chars: Vec<char> = plain.chars().collect();
    let mut distinct = chars.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if is_known(plain) {
        Some("it is publicly known")
    } else if chars.len() < MIN_CHARS {
        Some("it has fewer than 32 characters")
    } else if distinct.len() < MIN_VARIETY {
        Some("it has fewer than 8 different characters")
    } else if is_repetitive(&chars) {
        Some("it is the same text again and again")
    } else if is_counted(&chars) {
        Some("it is counted up or down")
    } else {
        None
    }
}

fn is_known(secret: &str) -> bool {
    let lower = secret.to_lowercase();
    if DEFAULTS.contains(&lower.as_str()) {
        return true;
    }
    let digest = sha256(secret.as_bytes());
    let name = digest[..6].iter().fold(String::new(), |out, byte| out + &format!("{byte:02x}"));
    KNOWN.lines().any(|line| line == name)
}

/// Whether a text is a shorter one over and over, perhaps cut off at the end.
pub(super) fn is_repetitive<T: PartialEq>(text: &[T]) -> bool {
    (1..=text.len() / 2).any(|period| text.iter().zip(&text[period..]).all(|(a, b)| a == b))
}

/// Whether more than half of the steps from character to character are the next or the previous one.
fn is_counted(chars: &[char]) -> bool {
    let steps = chars.windows(2).filter(|pair| u32::from(pair[0]).abs_diff(u32::from(pair[1])) == 1).count();
    steps * 2 > chars.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cr_03_short_monotonous_counted_and_well_known_secrets_are_found() {
        for bad in [
            "",
            "secret",
            "changeme",
            "better-auth-secret",
            "better-auth-secret-12345678901234567890",
            "  better-auth-secret-12345678901234567890\n",
            "Better-Auth-Secret-12345678901234567890",
            "hJ2kQ9xLw4mNb7vCz1tRy6uPa3sDf5g", // 31
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "passwordpasswordpasswordpasswordpassword",
            "qW7eR9tY2uqW7eR9tY2uqW7eR9tY2uqW7eR9",
            "0123456789abcdef0123456789abcdef",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "9876543210zyxwvutsrqponmlkjihgfedcba",
        ] {
            assert!(weakness(bad).is_some(), "{bad:?}");
        }
        for good in [
            "hJ2kQ9xLw4mNb7vCz1tRy6uPa3sDf5gE",
            "9f86d081884c7d659a2feaa0c55ad015",
            "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
        ] {
            assert_eq!(weakness(good), None, "{good:?}");
        }
    }
}
