//! The signature of a call, as Standard Webhooks has it: an HMAC-SHA-256 over id, time and body, under a secret that both
//! sides have.

use base64::{Engine, engine::general_purpose::STANDARD};
use common::SecretString;
use zeroize::Zeroizing;

use crate::{crypto::mac::HmacKey, ports::Mac};

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// How long a secret is at least, and at most, in bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// Signs calls, with each of its secrets: while one takes the place of another, receivers know one of the two.
pub struct Signer(Vec<HmacKey>);

impl Signer {
    /// From a file's text: a secret on each line.
    ///
    /// # Errors
    /// What is wrong with it, for the operator. No part of it is in there.
    pub fn from_text(text: &SecretString) -> Result<Self, String> {
        let lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.map(key).collect::<Result<Vec<_>, _>>()?;
        match keys.len() {
            1..=3 => Ok(Self(keys)),
            _ => Err("it must have one secret, or up to three, each on a line of its own".into()),
        }
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let head = format!("{id}.{seconds}.");
        let signed = self.0.iter().map(|key| format!("v1,{}", STANDARD.encode(key.mac(&[head.as_bytes(), body]))));
        signed.collect::<Vec<_>>().join(" ")
    }
}

fn key(line: &str) -> Result<HmacKey, String> {
    let wrong = || "a secret is whsec_ and 24 to 64 random bytes in base64: printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\"";
    let encoded = line.strip_prefix(PREFIX).ok_or_else(wrong)?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| wrong())?);
    let is_random = bytes.iter().any(|b| Some(b) != bytes.first());
    if LENGTH.contains(&bytes.len()) && is_random { Ok(HmacKey::new(&bytes)) } else { Err(wrong().into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(text: &str) -> Result<Signer, String> {
        Signer::from_text(&SecretString::from(text))
    }

    #[test]
    fn a_signature_is_the_one_that_the_standards_example_has() {
        // standardwebhooks: the secret, message and signature of its libraries' tests.
        let signer = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_twice() {
        let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let two = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let both = signer(&format!("{one}\r\n{two}\n")).unwrap().sign("m", 1, b"x");
        let apart: Vec<String> = [one, two].iter().map(|s| signer(s).unwrap().sign("m", 1, b"x")).collect();
        assert_eq!(both, apart.join(" "));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        for bad in
            ["", "\n", "secret", "whsec_", "whsec_AAAA", "whsec_!!!", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
        {
            let refused = signer(bad).err().unwrap();
            assert!(!refused.contains("AAAA"), "{refused}");
        }
        assert!(signer(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n".repeat(4)).is_err());
    }
}
