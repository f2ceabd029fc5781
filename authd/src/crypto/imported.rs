//! Password hashes that other software made. A password that matches one is hashed anew at sign-in.

use zeroize::Zeroizing;

use crate::digest::is_same_secret;

/// Better Auth's parameters: N = 2^14, r = 16, p = 1, 64 bytes. About 32 MiB.
const LOG_N: u8 = 14;
const R: u32 = 16;
const P: u32 = 1;
const KEY_BYTES: usize = 64;

/// Whether the password matches a hash `hex(salt):hex(key)` of Better Auth. The salt that goes into scrypt is the **text**
/// of the 32 hexadecimal digits, not the bytes they stand for.
pub fn matches_better_auth_scrypt(normalised: &str, stored: &str) -> bool {
    let Some((salt, key)) = stored.split_once(':') else { return false };
    let Some(expected) = unhex(key).filter(|key| key.len() == KEY_BYTES) else { return false };
    let Ok(params) = scrypt::Params::new(LOG_N, R, P) else { return false };
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    scrypt::scrypt(normalised.as_bytes(), salt.as_bytes(), &params, derived.as_mut()).is_ok()
        && is_same_secret(derived.as_ref(), &expected)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Node's `crypto.scryptSync` for this test.
    const STORED: &str = "7289a8669daed558db1fce049910e30a:ed872d13e04c3cbdc540cdb369be426ecf81bb74960736abf09886154d129689f9898b4846d54f6f6bcbf09c6a6a25a8fa1b67feaabecd044f90b5c2ebf5dfba";

    #[test]
    fn a_password_hashed_by_better_auth_matches() {
        assert!(matches_better_auth_scrypt("correct horse battery", STORED));
        assert!(!matches_better_auth_scrypt("Correct horse battery", STORED));
        assert!(!matches_better_auth_scrypt("", STORED));
    }

    #[test]
    fn damaged_hashes_match_nothing() {
        for bad in ["", ":", "x:y", "00:00", &STORED[..STORED.len() - 2], &STORED.replace('a', "g")] {
            assert!(!matches_better_auth_scrypt("correct horse battery", bad), "{bad}");
        }
    }
}
