//! Passwords: what may be one, and how its stored form is called (SP 800-63B-4 §3.1.1.2).

use std::{fmt, sync::Arc};

use common::{AccountId, UnixTime, UserId};

use super::stored_hash::StoredHash;

/// A stored password hash: a PHC string, Better Auth's `salt:key` (scrypt), or a form of other software ([`super::stored_hash`]).
/// Its `Debug` shows the scheme only.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Arc<str>);

/// How a stored password was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashScheme {
    /// PHC string `$argon2id$…`: what authd makes.
    Argon2id,
    /// PHC string `$argon2i$…`.
    Argon2i,
    /// PHC string `$argon2d$…`.
    Argon2d,
    /// Better Auth's `hex(salt):hex(key)`, scrypt N=16384, r=16, p=1.
    BetterAuthScrypt,
    /// PHC string `$scrypt$…`.
    Scrypt,
    /// `$2b$…` and its kin.
    Bcrypt,
    /// `$pbkdf2-sha256$…`, also as Django writes it.
    Pbkdf2Sha256,
    /// `$pbkdf2-sha512$…`.
    Pbkdf2Sha512,
    /// Firebase's scrypt, without its project's key.
    FirebaseScrypt,
    /// Anything else; no password matches it.
    Unknown,
}

impl HashScheme {
    /// The word that operators see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Argon2id => "argon2id",
            Self::Argon2i => "argon2i",
            Self::Argon2d => "argon2d",
            Self::BetterAuthScrypt | Self::Scrypt => "scrypt",
            Self::Bcrypt => "bcrypt",
            Self::Pbkdf2Sha256 => "pbkdf2-sha256",
            Self::Pbkdf2Sha512 => "pbkdf2-sha512",
            Self::FirebaseScrypt => "firebase-scrypt",
            Self::Unknown => "unknown",
        }
    }
}

/// Why no password is ever compared with a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashProblem {
    /// Its form is none that is known.
    Unknown,
    /// One comparison would take too long or too much memory.
    TooCostly,
}

impl PasswordHash {
    /// Takes a stored or freshly made hash as it is.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The stored text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which scheme made it, by its form.
    pub fn scheme(&self) -> HashScheme {
        StoredHash::parse(&self.0).map_or(HashScheme::Unknown, |stored| stored.scheme())
    }

    /// Whether passwords can be compared with a hash that other software made.
    ///
    /// # Errors
    /// Its form is not known, or one comparison would cost too much.
    pub fn judge(&self) -> Result<HashScheme, HashProblem> {
        let stored = StoredHash::parse(&self.0).ok_or(HashProblem::Unknown)?;
        if stored.is_affordable() { Ok(stored.scheme()) } else { Err(HashProblem::TooCostly) }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({})", self.scheme().as_str())
    }
}

/// The password of an account: Better Auth's account row of the provider `credential`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The row's id.
    pub id: AccountId,
    /// Whose it is.
    pub user: UserId,
    /// The stored hash.
    pub hash: PasswordHash,
    /// When it was first set.
    pub created_at: UnixTime,
    /// When it last changed.
    pub updated_at: UnixTime,
}

/// The configured rules for new passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Shortest, in UTF-16 code units, as the clients count. Better Auth: 8.
    pub min_length: usize,
    /// Longest, in UTF-16 code units. Better Auth: 128.
    pub max_length: usize,
    /// Passwords that take an attacker fewer guesses than this are refused; `None`: no such check.
    pub min_guesses: Option<u64>,
    /// Words that no password may be: the name of the service and the like.
    pub context_words: Vec<String>,
}

/// Why a text may not become a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordProblem {
    /// Fewer than the least number of characters.
    TooShort,
    /// More than the greatest number of characters; never cut.
    TooLong,
    /// Common, guessable, or the user's own words.
    Compromised,
}

impl PasswordPolicy {
    /// The rules of length (AU-02).
    ///
    /// # Errors
    /// `TooShort` and `TooLong`, counted in UTF-16 code units: four emoji are eight.
    pub fn check_length(&self, password: &str) -> Result<(), PasswordProblem> {
        let length = password.encode_utf16().count();
        if length < self.min_length {
            Err(PasswordProblem::TooShort)
        } else if length > self.max_length {
            Err(PasswordProblem::TooLong)
        } else {
            Ok(())
        }
    }
}

/// Whether the password is one of the user's own words, whatever their case (AU-05): the address, its local part, the
/// name, a word of the configuration.
pub fn is_own_word<'a>(password: &str, words: impl IntoIterator<Item = &'a str>) -> bool {
    let folded = password.trim().to_lowercase();
    words.into_iter().any(|word| !word.trim().is_empty() && word.trim().to_lowercase() == folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> PasswordPolicy {
        PasswordPolicy { min_length: 8, max_length: 128, min_guesses: None, context_words: vec![] }
    }

    #[test]
    fn au_02_lengths_count_as_the_clients_count_them() {
        let at = |n: usize| policy().check_length(&"x".repeat(n));
        assert_eq!(at(7), Err(PasswordProblem::TooShort));
        assert_eq!(at(8), Ok(()));
        assert_eq!(at(128), Ok(()));
        assert_eq!(at(129), Err(PasswordProblem::TooLong));
        assert_eq!(policy().check_length("😀😀😀😀"), Ok(()), "four emoji are eight UTF-16 units");
        assert_eq!(policy().check_length("😀😀😀é"), Err(PasswordProblem::TooShort));
    }

    #[test]
    fn au_05_own_words_are_recognised_whatever_their_case() {
        let words = ["ada@example.com", "ada", "Ada Lovelace", ""];
        assert!(is_own_word("ADA LOVELACE", words));
        assert!(is_own_word(" Ada@Example.com ", words));
        assert!(!is_own_word("ada lovelace 1815", words));
        assert!(!is_own_word("", words));
    }

    #[test]
    fn the_scheme_shows_in_the_form_and_the_hash_does_not_show_in_debug() {
        let argon = PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA");
        assert_eq!(argon.scheme(), HashScheme::Argon2id);
        assert_eq!(format!("{argon:?}"), "PasswordHash(argon2id)");
        let scrypt = PasswordHash::new(format!("{}:{}", "0a".repeat(16), "ff".repeat(64)));
        assert_eq!(scrypt.scheme(), HashScheme::BetterAuthScrypt);
        assert_eq!(PasswordHash::new("x:y").scheme(), HashScheme::Unknown);
    }
}
