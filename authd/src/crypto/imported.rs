//! Password hashes that other software made. A password that matches one is hashed anew at sign-in.
//!
//! Better Auth hashes a password in its NFKC form, as authd does. Others hash what was typed: where the two differ, both are
//! tried.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    iv::FixedLength,
    pbkdf2,
};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use crate::{
    digest::is_same_secret,
    domain::stored_hash::{Part, Prf, StoredHash},
};

/// Better Auth's parameters: N = 2^14, r = 16, p = 1. About 32 MiB.
const LOG_N: u8 = 14;
const R: u32 = 16;
const P: u32 = 1;

/// The longest key that is derived, in bytes.
const MAX_KEY: usize = 256;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Whether the password matches a hash of another scheme than argon2. What costs more than may be spent matches nothing.
pub fn matches(password: &str, normalised: &str, text: &str, stored: &StoredHash<'_>) -> bool {
    if !stored.is_affordable() {
        return false;
    }
    let one = |password: &str| matches_one(password.as_bytes(), text, stored).unwrap_or(false);
    match stored {
        StoredHash::BetterAuthScrypt { .. } => one(normalised),
        _ => one(password) || (password != normalised && one(normalised)),
    }
}

fn matches_one(password: &[u8], text: &str, stored: &StoredHash<'_>) -> Option<bool> {
    let is_derived = |key: Vec<u8>, derive: &dyn Fn(&mut [u8]) -> bool| {
        let mut derived = Zeroizing::new(vec![0; key.len()]);
        let fits = !key.is_empty() && key.len() <= MAX_KEY;
        fits && derive(&mut derived) && is_same_secret(&derived, &key)
    };
    match *stored {
        // Its memory is the hashing thread's.
        StoredHash::Argon2 { .. } => None,
        // The salt is the text of the digits, not the bytes they stand for.
        StoredHash::BetterAuthScrypt { salt, key } => {
            let params = scrypt::Params::new(LOG_N, R, P).ok()?;
            let derive = |out: &mut [u8]| scrypt::scrypt(password, salt.as_bytes(), &params, out).is_ok();
            Some(is_derived(unhex(key)?, &derive))
        }
        StoredHash::Bcrypt { .. } => bcrypt::verify(password, text).ok(),
        StoredHash::Pbkdf2 { prf, iterations, salt, key } => {
            let (salt, iterations) = (decode(salt)?, NonZeroU32::new(iterations)?);
            let algorithm = match prf {
                Prf::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
                Prf::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
            };
            let derive = |out: &mut [u8]| {
                pbkdf2::derive(algorithm, iterations, &salt, password, out);
                true
            };
            Some(is_derived(base64(key)?, &derive))
        }
        StoredHash::Scrypt { log_n, r, p, salt, key } => {
            let (salt, params) = (base64(salt)?, scrypt::Params::new(u8::try_from(log_n).ok()?, r, p).ok()?);
            let derive = |out: &mut [u8]| scrypt::scrypt(password, &salt, &params, out).is_ok();
            Some(is_derived(base64(key)?, &derive))
        }
        StoredHash::Firebase { log_n, r, salt, keystream } => {
            let (salt, params) = (base64(salt)?, scrypt::Params::new(u8::try_from(log_n).ok()?, r, 1).ok()?);
            let derive = |out: &mut [u8]| {
                let mut key = Zeroizing::new([0; 32]);
                scrypt::scrypt(password, &salt, &params, key.as_mut()).is_ok() && encrypt_zeros(&key, out).is_some()
            };
            Some(is_derived(base64(keystream)?, &derive))
        }
    }
}

/// What AES-256 in counter mode adds to a text, from a counter of zero. Firebase encrypts its project's key by it and stores
/// the result; an import takes that key off again, so that it is not needed here.
fn encrypt_zeros(key: &[u8; 32], out: &mut [u8]) -> Option<()> {
    let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_256, key).ok()?).ok()?;
    out.fill(0);
    key.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from([0; 16]))).ok().map(drop)
}

fn decode(part: Part<'_>) -> Option<Vec<u8>> {
    match part {
        Part::Base64(text) => base64(text),
        Part::Text(text) => Some(text.as_bytes().to_vec()),
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.replace('.', "+")).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use common::text::normalised_password;

    use super::*;

    /// Made with Node's `crypto.scryptSync` for this test.
    const BETTER_AUTH: &str = "7289a8669daed558db1fce049910e30a:ed872d13e04c3cbdc540cdb369be426ecf81bb74960736abf09886154d129689f9898b4846d54f6f6bcbf09c6a6a25a8fa1b67feaabecd044f90b5c2ebf5dfba";

    fn is_match(password: &str, text: &str) -> bool {
        StoredHash::parse(text).is_some_and(|s| matches(password, &normalised_password(password), text, &s))
    }

    #[test]
    fn a_password_hashed_by_better_auth_matches() {
        assert!(is_match("correct horse battery", BETTER_AUTH));
        assert!(!is_match("Correct horse battery", BETTER_AUTH));
        assert!(!is_match("", BETTER_AUTH));
    }

    #[test]
    fn damaged_hashes_match_nothing() {
        let cut = &BETTER_AUTH[..BETTER_AUTH.len() - 2];
        for bad in ["", ":", "x:y", "00:00", cut, &BETTER_AUTH.replace('a', "g"), "$pbkdf2-sha256$i=1$c2Fs$===="] {
            assert!(!is_match("correct horse battery", bad), "{bad}");
        }
    }

    /// Made with glibc's `crypt`, Python's `hashlib`, and Firebase's own published example.
    #[test]
    fn passwords_of_other_software_match() {
        for (password, stored) in [
            ("correct horse battery", "$2b$04$abcdefghijklmnopqrstuuqREtd3VJD2QVZbuFskFSLk6eRIrQoOS"),
            (
                "correct horse battery",
                "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$BVALGMmC/K/8ELErc5VgJxyPFApArIZRCQsqjEgZWJ4",
            ),
            (
                "correct horse battery",
                "$pbkdf2-sha512$1000$MDEyMzQ1Njc4OWFiY2RlZg$7F/Y1rnWXXurLCfFvAmyjyXtbABhgzBTBNcm//wlnvGBOz7OExlgRFs5qwaY5PzB3/WjR7P4yv/ACDQZpDXIfQ",
            ),
            ("correct horse battery", "pbkdf2_sha256$1000$seasalt$DrdiWD40lyBuydnjvZiDrdQMx1S1mOA9O0QYex0R6ww="),
            (
                "correct horse battery",
                "$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$xXt6EAFzAOlee5Hgl8R5+kLA6sDARjRcMGtm6fZJsa8",
            ),
            (
                "user1password",
                "$firebase-scrypt$ln=14,r=8$42xEC+ixf3L2lwc$GjH2+Jz+dglLj5NuFkZHgBvZnv8Z8VZE5sdIgEAbIgeXy+ZfSpJLu1A++pZcpx0OhX41mDwvu2Olmp+PnfLfyQ",
            ),
        ] {
            assert!(is_match(password, stored), "{stored}");
            assert!(!is_match("another password", stored), "{stored}");
            // Another last character of the salt or of the key.
            let damaged =
                stored.replacen("MDEy", "MDEz", 1).replacen("seasalt", "seasalf", 1).replacen("42xE", "42xF", 1);
            let damaged = damaged.replacen("uuqR", "uuqS", 1);
            assert_ne!(damaged, stored);
            assert!(!is_match(password, &damaged), "{damaged}");
        }
    }

    #[test]
    fn au_04_what_was_typed_and_its_nfkc_form_are_both_tried_where_others_hashed() {
        // bcrypt of "pässwörd" with combining marks, as it was typed there.
        let typed = "pa\u{308}sswo\u{308}rd";
        let stored = bcrypt::hash(typed, 4).unwrap();
        assert!(is_match(typed, &stored));
        let composed = bcrypt::hash("pässwörd", 4).unwrap();
        assert!(is_match(typed, &composed));
        assert!(!is_match("passwort", &composed));
    }
}
