//! The copy of a session that browsers carry for whoever renders pages: Better Auth's `session_data`, in each of its three
//! forms (PROTOCOL section 5), readable by `getCookieCache` of `better-auth/cookies` with the secret made here.

use std::sync::Arc;

use aws_lc_rs::{
    cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    digest, hkdf, hmac,
    iv::FixedLength,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use common::UnixTime;
use zeroize::Zeroizing;

use crate::ports::{CopyForm, Entropy, Mac, SessionCopies};

/// The secret of the copies, as text: what is exported, and whose bytes are the key.
pub fn secret(mac: &dyn Mac) -> Zeroizing<String> {
    Zeroizing::new(B64.encode(mac.mac(&[b"secret of the cookie cache"])))
}

/// Makes copies.
pub struct Copies {
    secret: Zeroizing<String>,
    form: CopyForm,
    entropy: Arc<dyn Entropy>,
}

impl Copies {
    /// With a secret from [`secret`].
    pub fn new(mac: &dyn Mac, form: CopyForm, entropy: Arc<dyn Entropy>) -> Self {
        Self { secret: secret(mac), form, entropy }
    }

    fn mac(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        B64.encode(hmac::sign(&key, text.as_bytes()))
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut random = [0; N];
        self.entropy.fill(&mut random);
        random
    }

    /// The signed text has `expiresAt` as its last member, which the cookie has beside it.
    fn compact(&self, content: &str, until: UnixTime) -> Option<String> {
        let until = until.as_millis();
        let signature = self.mac(&with_members(content, &format!("\"expiresAt\":{until}"))?);
        Some(B64.encode(format!(r#"{{"session":{content},"expiresAt":{until},"signature":"{signature}"}}"#)))
    }

    fn jwt(&self, content: &str, now: UnixTime, until: UnixTime) -> Option<String> {
        let payload = with_members(content, &format!("\"iat\":{},\"exp\":{}", seconds(now), seconds(until)))?;
        let signed = format!("{}.{}", B64.encode(r#"{"alg":"HS256"}"#), B64.encode(payload));
        let signature = self.mac(&signed);
        Some(format!("{signed}.{signature}"))
    }

    /// RFC 7516 with `dir` and `A256CBC-HS512` (RFC 7518 §5.2.5).
    fn jwe(&self, content: &str, now: UnixTime, until: UnixTime) -> Option<String> {
        let mut key = Zeroizing::new([0; 64]);
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"better-auth-session");
        let info: &[&[u8]] = &[b"BetterAuth.js Generated Encryption Key"];
        let extracted = salt.extract(self.secret.as_bytes());
        extracted.expand(info, Length(64)).and_then(|okm| okm.fill(key.as_mut())).ok()?;
        // RFC 7638: the members that are required, in the order of their names.
        let jwk = Zeroizing::new(format!(r#"{{"k":"{}","kty":"oct"}}"#, B64.encode(*key)));
        let kid = B64.encode(digest::digest(&digest::SHA256, jwk.as_bytes()));
        let header = B64.encode(format!(r#"{{"alg":"dir","enc":"A256CBC-HS512","kid":"{kid}"}}"#));
        let jti = uuid(self.random());
        let members = format!("\"iat\":{},\"exp\":{},\"jti\":\"{jti}\"", seconds(now), seconds(until));

        let (of_mac, of_cipher) = key.split_at(32);
        let iv: [u8; 16] = self.random();
        let mut text = with_members(content, &members)?.into_bytes();
        let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, of_cipher).ok()?).ok()?;
        cipher.less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from(iv))).ok()?;
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA512, of_mac));
        let bits = u64::try_from(header.len()).ok()? * 8;
        for part in [header.as_bytes(), &iv, &text, &bits.to_be_bytes()] {
            context.update(part);
        }
        let tag = context.sign();
        Some(format!("{header}..{}.{}.{}", B64.encode(iv), B64.encode(&text), B64.encode(&tag.as_ref()[..32])))
    }
}

impl SessionCopies for Copies {
    fn copy(&self, content: &str, now: UnixTime, until: UnixTime) -> Option<String> {
        match self.form {
            CopyForm::Compact => self.compact(content, until),
            CopyForm::Jwt => self.jwt(content, now, until),
            CopyForm::Jwe => self.jwe(content, now, until),
        }
    }
}

/// A JSON object with these members at its end.
fn with_members(object: &str, members: &str) -> Option<String> {
    Some(format!("{},{members}}}", object.strip_suffix('}')?))
}

fn seconds(at: UnixTime) -> i64 {
    at.as_millis().div_euclid(1000)
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// RFC 9562 §5.4
fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let hex = random.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{entropy::SystemEntropy, mac::HmacKey};

    const CONTENT: &str = r#"{"session":{"id":"s1"},"user":{"name":"Ada"},"updatedAt":1,"version":"1"}"#;

    fn copy(form: CopyForm) -> String {
        let copies = Copies::new(&HmacKey::new(b"key"), form, Arc::new(SystemEntropy::default()));
        let now = UnixTime::from_secs(1_000_000);
        copies.copy(CONTENT, now, UnixTime::from_secs(1_000_060)).unwrap()
    }

    fn text(part: &str) -> String {
        String::from_utf8(B64.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn se_08_the_forms_are_better_auths() {
        let compact = text(&copy(CopyForm::Compact));
        assert!(
            compact.starts_with(&format!(r#"{{"session":{CONTENT},"expiresAt":1000060000,"signature":""#)),
            "{compact}"
        );
        let jwt = copy(CopyForm::Jwt);
        let parts: Vec<&str> = jwt.split('.').collect();
        assert_eq!(text(parts[0]), r#"{"alg":"HS256"}"#);
        assert!(text(parts[1]).ends_with(r#""version":"1","iat":1000000,"exp":1000060}"#), "{jwt}");
        let jwe = copy(CopyForm::Jwe);
        let parts: Vec<&str> = jwe.split('.').collect();
        assert!(text(parts[0]).starts_with(r#"{"alg":"dir","enc":"A256CBC-HS512","kid":""#), "{jwe}");
        assert_eq!((parts.len(), parts[1], B64.decode(parts[4]).unwrap().len()), (5, "", 32));
        assert_ne!(jwe, copy(CopyForm::Jwe), "never the same twice");
    }
}
