//! Stored password hashes taken apart: which scheme, which parameters, and what one comparison costs. What authd makes is
//! argon2id; everything else came with an import and is hashed anew at the owner's next sign-in.

use super::HashScheme;

/// Hashes that others made may ask for more than we configure, but not for everything there is: the memory of one comparison.
pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
/// The passes of one comparison with argon2. With all the memory that is about three seconds.
pub const MAX_ITERATIONS: u32 = 16;
/// bcrypt's cost, of which each step doubles the time: about two seconds.
const MAX_BCRYPT_COST: u32 = 15;
/// PBKDF2's iterations: about two seconds.
const MAX_PBKDF2_ITERATIONS: u32 = 5_000_000;
/// scrypt's `p`: so many times its memory is gone through.
const MAX_SCRYPT_PARALLELISM: u32 = 16;

/// Which function PBKDF2 iterates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prf {
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

/// How a part of a hash is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Base64, with or without padding; passlib has `.` for `+`.
    Base64(&'a str),
    /// As it is: Django's salts.
    Text(&'a str),
}

/// A stored hash. Salts and keys are as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of the schemes' documents
pub enum StoredHash<'a> {
    Argon2 { scheme: HashScheme, memory_kib: u32, iterations: u32 },
    BetterAuthScrypt { salt: &'a str, key: &'a str },
    Bcrypt { cost: u32 },
    Pbkdf2 { prf: Prf, iterations: u32, salt: Part<'a>, key: &'a str },
    Scrypt { log_n: u32, r: u32, p: u32, salt: &'a str, key: &'a str },
    Firebase { log_n: u32, r: u32, salt: &'a str, keystream: &'a str },
}

/// The value of `name` in `m=19456,t=2,p=1`.
fn parameter(list: &str, name: &str) -> Option<u32> {
    list.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?.parse().ok()
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    !digits.is_empty()
        && digits.len() % 4 != 1
        && digits.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'.'))
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl<'a> StoredHash<'a> {
    /// Takes a hash apart.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some((salt, key)) = text.split_once(':') {
            return (is_hex(salt, 16) && is_hex(key, 64)).then_some(Self::BetterAuthScrypt { salt, key });
        }
        let parts: Vec<&str> = text.split('$').collect();
        match *parts.as_slice() {
            ["", name @ ("argon2id" | "argon2i" | "argon2d"), .., list, salt, key]
                if matches!(parts.len(), 5 | 6) && is_base64(salt) && is_base64(key) =>
            {
                let scheme = match name {
                    "argon2id" => HashScheme::Argon2id,
                    "argon2i" => HashScheme::Argon2i,
                    _ => HashScheme::Argon2d,
                };
                Some(Self::Argon2 { scheme, memory_kib: parameter(list, "m")?, iterations: parameter(list, "t")? })
            }
            ["", "2a" | "2b" | "2x" | "2y", cost, rest] if cost.len() == 2 && rest.len() == 53 => {
                let known = rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
                Some(Self::Bcrypt { cost: cost.parse().ok()? }).filter(|_| known)
            }
            // PHC has names, passlib a bare number.
            ["", name @ ("pbkdf2-sha256" | "pbkdf2-sha512"), list, salt, key] if is_base64(salt) && is_base64(key) => {
                let prf = if name == "pbkdf2-sha256" { Prf::Sha256 } else { Prf::Sha512 };
                let iterations = parameter(list, "i").or_else(|| list.parse().ok())?;
                Some(Self::Pbkdf2 { prf, iterations, salt: Part::Base64(salt), key })
            }
            // Django.
            ["pbkdf2_sha256", iterations, salt, key] if is_base64(key) => {
                let iterations = iterations.parse().ok()?;
                Some(Self::Pbkdf2 { prf: Prf::Sha256, iterations, salt: Part::Text(salt), key })
            }
            ["", "scrypt", list, salt, key] if is_base64(salt) && is_base64(key) => Some(Self::Scrypt {
                log_n: parameter(list, "ln")?,
                r: parameter(list, "r")?,
                p: parameter(list, "p")?,
                salt,
                key,
            }),
            ["", "firebase-scrypt", list, salt, keystream] if is_base64(salt) && is_base64(keystream) => {
                Some(Self::Firebase { log_n: parameter(list, "ln")?, r: parameter(list, "r")?, salt, keystream })
            }
            _ => None,
        }
    }

    /// Which scheme made it.
    pub const fn scheme(&self) -> HashScheme {
        match self {
            Self::Argon2 { scheme, .. } => *scheme,
            Self::BetterAuthScrypt { .. } => HashScheme::BetterAuthScrypt,
            Self::Bcrypt { .. } => HashScheme::Bcrypt,
            Self::Pbkdf2 { prf: Prf::Sha256, .. } => HashScheme::Pbkdf2Sha256,
            Self::Pbkdf2 { prf: Prf::Sha512, .. } => HashScheme::Pbkdf2Sha512,
            Self::Scrypt { .. } => HashScheme::Scrypt,
            Self::Firebase { .. } => HashScheme::FirebaseScrypt,
        }
    }

    /// Whether one comparison stays within seconds and within [`MAX_MEMORY_KIB`]: whoever knows the address of an account can
    /// have one made.
    pub fn is_affordable(&self) -> bool {
        let scrypt = |log_n: u32, r: u32, p: u32| {
            let kib = 2_u64.checked_pow(log_n).and_then(|n| n.checked_mul(u64::from(r))).map(|blocks| blocks / 8);
            (1..=MAX_SCRYPT_PARALLELISM).contains(&p) && kib.is_some_and(|kib| kib <= u64::from(MAX_MEMORY_KIB))
        };
        match *self {
            Self::Argon2 { memory_kib, iterations, .. } => memory_kib <= MAX_MEMORY_KIB && iterations <= MAX_ITERATIONS,
            Self::BetterAuthScrypt { .. } => true,
            Self::Bcrypt { cost } => (4..=MAX_BCRYPT_COST).contains(&cost),
            Self::Pbkdf2 { iterations, .. } => (1..=MAX_PBKDF2_ITERATIONS).contains(&iterations),
            Self::Scrypt { log_n, r, p, .. } => scrypt(log_n, r, p),
            Self::Firebase { log_n, r, .. } => scrypt(log_n, r, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{HashProblem, PasswordHash};

    const BCRYPT: &str = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

    #[test]
    fn the_form_of_a_hash_says_what_made_it() {
        let scrypt = format!("{}:{}", "0a".repeat(16), "ff".repeat(64));
        for (text, scheme) in [
            ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", HashScheme::Argon2id),
            ("$argon2i$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g", HashScheme::Argon2i),
            ("$argon2d$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g", HashScheme::Argon2d),
            (&scrypt, HashScheme::BetterAuthScrypt),
            (BCRYPT, HashScheme::Bcrypt),
            ("$pbkdf2-sha256$i=600000,l=32$c2FsdHNhbHQ$aGFzaGhhc2g", HashScheme::Pbkdf2Sha256),
            ("$pbkdf2-sha512$25000$c2Fs.HNhbHQ$aGFzaGhhc2g", HashScheme::Pbkdf2Sha512),
            ("pbkdf2_sha256$600000$seasalt$aGFzaGhhc2g=", HashScheme::Pbkdf2Sha256),
            ("$scrypt$ln=16,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", HashScheme::Scrypt),
            ("$firebase-scrypt$ln=14,r=8$c2FsdHNhbHQ$aGFzaGhhc2g", HashScheme::FirebaseScrypt),
        ] {
            assert_eq!(PasswordHash::new(text).judge(), Ok(scheme), "{text}");
        }
    }

    #[test]
    fn what_is_no_known_form_matches_nothing() {
        let plain = ["", "x:y", "$", "hunter2", "5f4dcc3b5aa765d61d8327deb882cf99", "$1$salt$hash", "{SHA}aGFzaA=="];
        let cut = [&BCRYPT[..59], "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", "$argon2id$v=19$m=a,t=2,p=1$c2Fs$aGFz"];
        let odd = ["$pbkdf2-sha256$i=x$c2Fs$aGFz", "$scrypt$ln=16,r=8$c2Fs$aGFz", "pbkdf2_sha1$1$s$aGFz", "$2b$1x$"];
        for text in plain.into_iter().chain(cut).chain(odd) {
            assert_eq!(PasswordHash::new(text).judge(), Err(HashProblem::Unknown), "{text}");
        }
    }

    #[test]
    fn th_06_a_hash_that_would_take_minutes_or_gigabytes_is_refused() {
        for (most, over) in [
            ("$argon2id$v=19$m=262144,t=16,p=1$c2Fs$aGFz", "$argon2id$v=19$m=262145,t=1,p=1$c2Fs$aGFz"),
            ("$argon2i$v=19$m=8,t=16,p=1$c2Fs$aGFz", "$argon2i$v=19$m=8,t=17,p=1$c2Fs$aGFz"),
            ("$pbkdf2-sha512$i=5000000$c2Fs$aGFz", "$pbkdf2-sha512$i=5000001$c2Fs$aGFz"),
            ("$scrypt$ln=18,r=8,p=16$c2Fs$aGFz", "$scrypt$ln=19,r=8,p=1$c2Fs$aGFz"),
            ("$scrypt$ln=14,r=8,p=1$c2Fs$aGFz", "$scrypt$ln=14,r=8,p=17$c2Fs$aGFz"),
            ("$firebase-scrypt$ln=14,r=8$c2Fs$aGFz", "$firebase-scrypt$ln=64,r=4294967295$c2Fs$aGFz"),
        ] {
            assert!(PasswordHash::new(most).judge().is_ok(), "{most}");
            assert_eq!(PasswordHash::new(over).judge(), Err(HashProblem::TooCostly), "{over}");
        }
        for (cost, expected) in [("15", Ok(HashScheme::Bcrypt)), ("16", Err(HashProblem::TooCostly))] {
            assert_eq!(PasswordHash::new(BCRYPT.replacen("10", cost, 1)).judge(), expected);
        }
    }
}
