//! JSON Web Tokens. Tokens are taken apart by the strict parser of this crate and verified by `jsonwebtoken`, with the
//! algorithm of the key's record and nothing that the token says (RFC 8725 §3.1). They are signed with key pairs that are
//! kept parsed: `jsonwebtoken` would parse the private key at every signature.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Kid, Span, UnixTime};
use jsonwebtoken::{
    DecodingKey,
    jwk::{Jwk, ThumbprintHash},
};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::seal::{MasterVault, SIGNING_KEY};
use crate::{
    domain::{
        Algorithm, KeySet, SigningKey,
        token::{ACCESS_TOKEN_TYPE, Claims, TokenProblem},
    },
    json,
    ports::{DecodedToken, SignerError, TokenSigner, VerifiedToken},
};

/// The longest token that is looked at, in bytes (TK-07).
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Signs and verifies; keeps what it parsed.
pub struct Jwt {
    vault: Arc<MasterVault>,
    random: SystemRandom,
    private: Mutex<Vec<(Kid, Arc<Private>)>>,
    public: Mutex<Vec<(Kid, Arc<DecodingKey>)>>,
}

enum Private {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// How many parsed keys are kept: more than are ever alive at once.
const KEPT: usize = 16;

/// The value for this key from the list, or made and put there.
fn kept<T, E>(list: &Mutex<Vec<(Kid, Arc<T>)>>, kid: &Kid, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, found)) = list.iter().find(|(k, _)| k == kid) {
        return Ok(found.clone());
    }
    let made = Arc::new(make()?);
    if list.len() >= KEPT {
        list.remove(0);
    }
    list.push((kid.clone(), made.clone()));
    Ok(made)
}

impl Jwt {
    /// With the vault that opens the private keys.
    pub fn new(vault: Arc<MasterVault>) -> Self {
        Self { vault, random: SystemRandom::new(), private: Mutex::default(), public: Mutex::default() }
    }

    fn private(&self, key: &SigningKey) -> Result<Arc<Private>, SignerError> {
        kept(&self.private, &key.kid, || {
            let unreadable = || SignerError::Sealed(key.kid.to_string());
            let pkcs8 = self.vault.open(SIGNING_KEY, key.kid.as_str(), &key.sealed).map_err(|_| unreadable())?;
            match key.algorithm {
                Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(&pkcs8).map(Private::Ed25519),
                Algorithm::Es256 => {
                    EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).map(Private::P256)
                }
                Algorithm::Rs256 => RsaKeyPair::from_pkcs8(&pkcs8).map(Private::Rsa),
            }
            .map_err(|_| unreadable())
        })
    }

    fn signature(&self, key: &Private, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let refused = |_| SignerError::Refused("sign");
        match key {
            Private::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Private::P256(pair) => pair.sign(&self.random, message).map(|s| s.as_ref().to_vec()).map_err(refused),
            Private::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &self.random, message, &mut out).map_err(refused)?;
                Ok(out)
            }
        }
    }
}

impl TokenSigner for Jwt {
    fn generate(&self, algorithm: Algorithm, token_life: Span, now: UnixTime) -> Result<SigningKey, SignerError> {
        let refused = || SignerError::Refused("make a key");
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (pkcs8, mut jwk): (Zeroizing<Vec<u8>>, Value) = match algorithm {
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(|_| refused())?;
                let pkcs8 = pair.to_pkcs8().map_err(|_| refused())?.as_ref().to_vec();
                (pkcs8.into(), json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())}))
            }
            Algorithm::Es256 => {
                let pair =
                    EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| refused())?;
                let pkcs8 = pair.to_pkcs8v1().map_err(|_| refused())?.as_ref().to_vec();
                let point = pair.public_key().as_ref();
                (pkcs8.into(), json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..65])}))
            }
            Algorithm::Rs256 => {
                let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(|_| refused())?;
                let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| refused())?;
                let public = pair.public_key();
                let n = b64(public.modulus().big_endian_without_leading_zero());
                let e = b64(public.exponent().big_endian_without_leading_zero());
                (pkcs8.as_ref().to_vec().into(), json!({"kty": "RSA", "n": n, "e": e}))
            }
        };
        let parsed: Jwk = serde_json::from_value(jwk.clone()).map_err(|_| refused())?;
        let kid = parsed.thumbprint(ThumbprintHash::SHA256).map_err(|_| refused())?;
        if kid.starts_with('-') {
            // `authctl keys revoke KID` would take it for an option. One in 64; another pair is another thumbprint.
            return self.generate(algorithm, token_life, now);
        }
        jwk["kid"] = kid.clone().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = algorithm.as_str().into();
        let kid: Kid = kid.parse().map_err(|_| refused())?;
        let sealed = self.vault.seal(SIGNING_KEY, kid.as_str(), &pkcs8).map_err(|_| SignerError::Changing)?;
        Ok(SigningKey {
            sealed: sealed.into(),
            kid,
            algorithm,
            public_jwk: jwk.to_string().into(),
            token_life,
            created_at: now,
            published_at: now,
            signs_at: now,
            retires_at: None,
            gone_at: None,
            revoked_at: None,
        })
    }

    fn sign(&self, key: &SigningKey, typ: &str, claims: &str) -> Result<String, SignerError> {
        let private = self.private(key)?;
        // Ids of keys are RFC 7638 thumbprints or passed the rules of ids: nothing in them needs escaping but these two.
        let kid = key.kid.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        let typ = if typ.is_empty() { String::new() } else { format!(r#","typ":"{typ}""#) };
        let header = format!(r#"{{"alg":"{}","kid":"{kid}"{typ}}}"#, key.algorithm.as_str());
        let mut token = String::with_capacity(128 + claims.len() * 4 / 3 + 96);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.signature(&private, token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn verify(&self, token: &str, keys: &KeySet, now: UnixTime) -> Result<VerifiedToken, TokenProblem> {
        let Authentic { kind, kid, payload } = self.authentic(token, keys, now)?;
        let payload = json::parse_object(&payload).map_err(TokenProblem::Malformed)?;
        if kind == ACCESS_TOKEN_TYPE && !payload.contains_key("jti") {
            return Err(TokenProblem::BadClaim("jti"));
        }
        Ok(VerifiedToken { kind, kid, claims: claims(&payload)? })
    }

    fn decode(&self, token: &str) -> Result<DecodedToken, TokenProblem> {
        let parts = Parts::of(token)?;
        let payload = json::parse_object(&parts.payload).map_err(TokenProblem::Malformed)?;
        Ok(DecodedToken { header: parts.header()?, payload })
    }
}

/// A compact JWS whose form, key and signature are good, whatever it says.
pub struct Authentic {
    /// As [`VerifiedToken::kind`].
    pub kind: String,
    /// The key that signed it.
    pub kid: Kid,
    /// What it says.
    pub payload: Vec<u8>,
}

impl Jwt {
    /// Form, header, key and signature: what comes before the claims, apart for those who have vectors without claims.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn authentic(&self, token: &str, keys: &KeySet, now: UnixTime) -> Result<Authentic, TokenProblem> {
        let parts = Parts::of(token)?;
        let header = parts.header()?;
        // One header, three members: whatever else a JWS may carry (`crit`, `b64`, `zip`, `jwk`, `jku`, `x5u` …) is not ours.
        if header.keys().any(|name| !matches!(name.as_str(), "alg" | "kid" | "typ")) {
            return Err(TokenProblem::Malformed("an unexpected header parameter"));
        }
        let text = |name: &'static str| match header.get(name) {
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(TokenProblem::Malformed("a header parameter of the wrong type")),
            None => Ok(None),
        };
        let alg = text("alg")?.ok_or(TokenProblem::Malformed("no alg"))?;
        let kid = text("kid")?.ok_or(TokenProblem::UnknownKey)?;
        let kind = text("typ")?.unwrap_or_default().to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind).to_owned();
        // No type is one thing, and a type without a name another.
        if kind.is_empty() && header.contains_key("typ") {
            return Err(TokenProblem::WrongType);
        }
        let key = keys.verifying(kid, now)?;
        if alg != key.algorithm.as_str() {
            return Err(TokenProblem::WrongAlgorithm);
        }
        self.check_signature(key, parts.message.as_bytes(), parts.signature)?;
        Ok(Authentic { kind, kid: key.kid.clone(), payload: parts.payload })
    }

    /// Whether this is the key's signature of the message, in base64url.
    ///
    /// # Errors
    /// `BadSignature`; `UnknownKey` if the public key is none.
    pub fn check_signature(&self, key: &SigningKey, message: &[u8], signature: &str) -> Result<(), TokenProblem> {
        let decoding = kept(&self.public, &key.kid, || {
            let jwk: Value = serde_json::from_str(&key.public_jwk).map_err(|_| TokenProblem::UnknownKey)?;
            if !is_for_verifying(&jwk, key.algorithm) {
                return Err(TokenProblem::UnknownKey);
            }
            let jwk: Jwk = serde_json::from_value(jwk).map_err(|_| TokenProblem::UnknownKey)?;
            DecodingKey::from_jwk(&jwk).map_err(|_| TokenProblem::UnknownKey)
        })?;
        let algorithm = match key.algorithm {
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        };
        let good = jsonwebtoken::crypto::verify(signature, message, &decoding, algorithm);
        if good.unwrap_or(false) { Ok(()) } else { Err(TokenProblem::BadSignature) }
    }
}

/// Whether a public JWK is a key of this algorithm, and nothing in it says that it is for something else than verifying
/// signatures (RFC 7517 §4.2 to §4.4).
fn is_for_verifying(jwk: &Value, algorithm: Algorithm) -> bool {
    let is = |name, wanted: &str| jwk.get(name).is_some_and(|found| found == wanted);
    let may_be = |name, wanted: &str| jwk.get(name).is_none_or(|found| found == wanted);
    let kind = match algorithm {
        Algorithm::EdDsa => is("kty", "OKP") && is("crv", "Ed25519"),
        Algorithm::Es256 => is("kty", "EC") && is("crv", "P-256"),
        Algorithm::Rs256 => is("kty", "RSA"),
    };
    let verify = json!("verify");
    let operations = jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.contains(&verify)));
    kind && may_be("alg", algorithm.as_str()) && may_be("use", "sig") && operations
}

/// The three parts of a compact JWS (RFC 7515 §7.1), each checked to be canonical base64url.
struct Parts<'a> {
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: &'a str,
    message: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, TokenProblem> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenProblem::Malformed("longer than any token of ours"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenProblem::Malformed("not three parts"));
        };
        let decode = |part: &str| {
            if part.is_empty() {
                return Err(TokenProblem::Malformed("an empty part"));
            }
            URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenProblem::Malformed("not canonical base64url"))
        };
        decode(signature)?;
        Ok(Self {
            header: decode(header)?,
            payload: decode(payload)?,
            signature,
            message: &token[..header.len() + 1 + payload.len()],
        })
    }

    fn header(&self) -> Result<Map<String, Value>, TokenProblem> {
        json::parse_object(&self.header).map_err(TokenProblem::Malformed)
    }
}

/// Reads the claims that every token of ours has. A claim of the wrong JSON type is a refusal and never the same as an
/// absent one (TK-04).
fn claims(payload: &Map<String, Value>) -> Result<Claims, TokenProblem> {
    let text = |name: &'static str| match payload.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(TokenProblem::BadClaim(name)),
    };
    let seconds = |name: &'static str| match payload.get(name).and_then(Value::as_i64) {
        Some(secs) => Ok(secs),
        None => Err(TokenProblem::BadClaim(name)),
    };
    let audience = match payload.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => several
            .iter()
            .map(|aud| aud.as_str().map(str::to_owned).ok_or(TokenProblem::BadClaim("aud")))
            .collect::<Result<_, _>>()?,
        _ => return Err(TokenProblem::BadClaim("aud")),
    };
    let not_before = if payload.contains_key("nbf") { Some(seconds("nbf")?) } else { None };
    // `jti` is in every access token; Better Auth's plain JWTs have none.
    if payload.get("jti").is_some_and(|jti| jti.as_str().is_none_or(str::is_empty)) {
        return Err(TokenProblem::BadClaim("jti"));
    }
    Ok(Claims {
        issuer: text("iss")?,
        subject: text("sub")?.parse().map_err(|_| TokenProblem::BadClaim("sub"))?,
        audience,
        issued_at: seconds("iat")?,
        not_before,
        expires_at: seconds("exp")?,
        session: text("sid")?.parse().map_err(|_| TokenProblem::BadClaim("sid"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{entropy::SystemEntropy, seal::Sealer};

    const NOW: UnixTime = UnixTime::from_secs(1_000_000);

    fn jwt() -> Jwt {
        Jwt::new(Arc::new(MasterVault::new(Sealer::new(&[3; 32]), Arc::new(SystemEntropy::default()))))
    }

    const CLAIMS: &str = r#"{"iss":"i","sub":"u","aud":"a","iat":1,"exp":2,"jti":"j","sid":"s"}"#;

    #[test]
    fn no_key_is_called_like_an_option() {
        let jwt = jwt();
        for _ in 0..400 {
            let key = jwt.generate(Algorithm::EdDsa, Span::from_mins(15), NOW).unwrap();
            assert!(!key.kid.as_str().starts_with('-'), "{}", key.kid);
        }
    }

    #[test]
    fn tokens_of_every_algorithm_verify_and_no_other_key_or_algorithm_will_do() {
        let jwt = jwt();
        for algorithm in Algorithm::ALL {
            let key = jwt.generate(algorithm, Span::from_mins(15), NOW).unwrap();
            let set = KeySet { version: 1, keys: vec![key.clone()] };
            let token = jwt.sign(&key, "at+jwt", CLAIMS).unwrap();
            let verified = jwt.verify(&token, &set, NOW).unwrap();
            assert_eq!((verified.kind.as_str(), verified.claims.subject.as_str()), ("at+jwt", "u"));

            let other = jwt.generate(algorithm, Span::from_mins(15), NOW).unwrap();
            let impostor = SigningKey { kid: key.kid.clone(), ..other };
            let open = jwt.vault.open(SIGNING_KEY, jwt_kid(&impostor), &impostor.sealed).unwrap();
            let sealed = jwt.vault.seal(SIGNING_KEY, key.kid.as_str(), &open).unwrap();
            let forged = self::jwt().sign(&SigningKey { sealed: sealed.into(), ..impostor }, "at+jwt", CLAIMS).unwrap();
            assert_eq!(jwt.verify(&forged, &set, NOW).unwrap_err(), TokenProblem::BadSignature);
        }
    }

    /// The kid under which a generated key was sealed: its thumbprint.
    fn jwt_kid(key: &SigningKey) -> &str {
        let start = key.public_jwk.find(r#""kid":""#).unwrap() + 7;
        &key.public_jwk[start..start + 43]
    }

    #[test]
    fn tk_01_the_algorithm_is_that_of_the_key() {
        let jwt = jwt();
        let key = jwt.generate(Algorithm::EdDsa, Span::from_mins(15), NOW).unwrap();
        let set = KeySet { version: 1, keys: vec![key.clone()] };
        let token = jwt.sign(&key, "", CLAIMS).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        for alg in ["none", "HS256", "ES256", "eddsa", "EdDSA ", "Ed25519"] {
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","kid":"{}"}}"#, key.kid));
            let problem = jwt.verify(&format!("{header}.{rest}"), &set, NOW).unwrap_err();
            assert_eq!(problem, TokenProblem::WrongAlgorithm, "{alg}");
        }
    }

    #[test]
    fn tk_07_odd_forms_are_refused() {
        let jwt = jwt();
        let key = jwt.generate(Algorithm::EdDsa, Span::from_mins(15), NOW).unwrap();
        let set = KeySet { version: 1, keys: vec![key.clone()] };
        let token = jwt.sign(&key, "", CLAIMS).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let odd = [
            String::new(),
            format!("{}.{}", parts[0], parts[1]),
            format!("{token}."),
            format!("{token}.x"),
            format!(" {token}"),
            format!("{token}\n"),
            format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            "x".repeat(MAX_TOKEN_BYTES + 1),
        ];
        for odd in odd {
            assert!(matches!(jwt.verify(&odd, &set, NOW), Err(TokenProblem::Malformed(_))), "{odd}");
        }
        for extra in [
            r#""crit":["exp"]"#,
            r#""b64":false"#,
            r#""zip":"DEF""#,
            r#""jwk":{}"#,
            r#""jku":"http://x""#,
            r#""alg":"EdDSA""#,
        ] {
            let header = format!(r#"{{"alg":"EdDSA","kid":"{}",{extra}}}"#, key.kid);
            let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), parts[1]);
            let signature = jwt.signature(&jwt.private(&key).unwrap(), message.as_bytes()).unwrap();
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
            assert!(matches!(jwt.verify(&token, &set, NOW), Err(TokenProblem::Malformed(_))), "{extra}");
        }
    }

    #[test]
    fn tk_04_a_claim_of_the_wrong_type_is_refused_and_not_taken_as_absent() {
        let jwt = jwt();
        let key = jwt.generate(Algorithm::EdDsa, Span::from_mins(15), NOW).unwrap();
        let set = KeySet { version: 1, keys: vec![key.clone()] };
        for (claims, bad) in [
            (CLAIMS.replace(r#""exp":2"#, r#""exp":"2""#), "exp"),
            (CLAIMS.replace(r#""exp":2"#, r#""exp":2.5"#), "exp"),
            (CLAIMS.replace(r#""exp":2"#, r#""exp":null"#), "exp"),
            (CLAIMS.replace(r#","exp":2"#, ""), "exp"),
            (CLAIMS.replace(r#""iat":1"#, r#""iat":[1]"#), "iat"),
            (CLAIMS.replace(r#""jti":"j""#, r#""jti":"j","nbf":null"#), "nbf"),
            (CLAIMS.replace(r#""jti":"j""#, r#""jti":7"#), "jti"),
            (CLAIMS.replace(r#","jti":"j""#, ""), "jti"),
            (CLAIMS.replace(r#""sub":"u""#, r#""sub":"""#), "sub"),
            (CLAIMS.replace(r#""sid":"s""#, r#""sid":true"#), "sid"),
            (CLAIMS.replace(r#""aud":"a""#, r#""aud":["a",1]"#), "aud"),
            (CLAIMS.replace(r#""iss":"i","#, ""), "iss"),
        ] {
            let token = jwt.sign(&key, "at+jwt", &claims).unwrap();
            assert_eq!(jwt.verify(&token, &set, NOW).unwrap_err(), TokenProblem::BadClaim(bad), "{claims}");
        }
    }

    #[test]
    fn tk_09_the_public_jwk_has_public_members_only() {
        let jwt = jwt();
        for algorithm in Algorithm::ALL {
            let key = jwt.generate(algorithm, Span::from_mins(15), NOW).unwrap();
            let jwk: Value = serde_json::from_str(&key.public_jwk).unwrap();
            let mut names: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            let expected: &[&str] = match algorithm {
                Algorithm::EdDsa => &["alg", "crv", "kid", "kty", "use", "x"],
                Algorithm::Es256 => &["alg", "crv", "kid", "kty", "use", "x", "y"],
                Algorithm::Rs256 => &["alg", "e", "kid", "kty", "n", "use"],
            };
            assert_eq!(names, expected);
            assert_eq!((jwk["alg"].as_str(), jwk["use"].as_str()), (Some(algorithm.as_str()), Some("sig")));
            assert_eq!(jwk["kid"].as_str(), Some(key.kid.as_str()));
        }
    }

    #[test]
    fn a_revoked_or_gone_key_verifies_nothing() {
        let jwt = jwt();
        let key = jwt.generate(Algorithm::EdDsa, Span::from_mins(15), NOW).unwrap();
        let token = jwt.sign(&key, "", CLAIMS).unwrap();
        let verify = |key: SigningKey| jwt.verify(&token, &KeySet { version: 1, keys: vec![key] }, NOW).unwrap_err();
        assert_eq!(verify(SigningKey { revoked_at: Some(NOW), ..key.clone() }), TokenProblem::KeyRevoked);
        assert_eq!(verify(SigningKey { gone_at: Some(NOW), ..key.clone() }), TokenProblem::KeyNotActive);
        assert_eq!(jwt.verify(&token, &KeySet::default(), NOW).unwrap_err(), TokenProblem::UnknownKey);
    }
}
