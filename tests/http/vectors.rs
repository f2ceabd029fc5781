//! Other people's vectors through the code that verifies tokens (TK-08): Project Wycheproof, and the JOSE cookbook. The
//! counts stand here, so that nothing matches nothing in silence.

use std::sync::Arc;

use authd::{
    crypto::{
        entropy::SystemEntropy,
        jwt::Jwt,
        seal::{MasterVault, Sealer},
    },
    domain::{Algorithm, KeySet, SigningKey, token::TokenProblem},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Span, UnixTime};
use serde_json::{Value, json};
use tests::shared;

const NOW: UnixTime = UnixTime::from_secs(1_000_000);

fn jwt() -> Jwt {
    Jwt::new(Arc::new(MasterVault::new(Sealer::new(&[3; 32]), Arc::new(SystemEntropy::default()))))
}

/// A key of the store with this public half.
fn record(algorithm: Algorithm, kid: &str, jwk: &Value) -> SigningKey {
    SigningKey {
        kid: kid.parse().unwrap(),
        algorithm,
        public_jwk: jwk.to_string().into(),
        sealed: Arc::from([]),
        token_life: Span::from_mins(15),
        created_at: NOW,
        published_at: NOW,
        signs_at: NOW,
        retires_at: None,
        gone_at: None,
        revoked_at: None,
    }
}

/// The algorithms that a key could be recorded with: the one it names, or all of ours.
fn algorithms(jwk: &Value) -> Vec<Algorithm> {
    jwk["alg"].as_str().and_then(Algorithm::from_name).map_or(Algorithm::ALL.to_vec(), |one| vec![one])
}

/// Whether a token is taken with this key, or with one of this set, recorded in any way that could be.
fn is_taken(token: &str, key: &Value) -> bool {
    let one = [key.clone()];
    let jwks: &[Value] = key["keys"].as_array().map_or(&one, Vec::as_slice);
    jwks.iter().any(|jwk| {
        algorithms(jwk).into_iter().any(|algorithm| {
            let set = KeySet { version: 1, keys: vec![record(algorithm, jwk["kid"].as_str().unwrap(), jwk)] };
            jwt().authentic(token, &set, NOW).is_ok()
        })
    })
}

fn header_algorithm(token: &str) -> Option<Algorithm> {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    Algorithm::from_name(serde_json::from_slice::<Value>(&header).ok()?["alg"].as_str()?)
}

/// Valid tokens that are refused all the same, and why.
const STRICTER: &[(&str, &str)] = &[("emptyPayload", "a token without claims is none")];

/// What became of vectors.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Valid, of an algorithm that is not one of ours, and refused.
    not_ours: usize,
    /// Valid, and refused by our stricter rules.
    stricter: usize,
}

fn judge_file(path: &str) -> Option<Tally> {
    let file = shared::json(path)?;
    let (mut tally, mut problems) = (Tally::default(), vec![]);
    for group in file["testGroups"].as_array().unwrap() {
        let key = [&group["public"], &group["private"]].into_iter().find(|key| key.is_object()).unwrap();
        for test in group["tests"].as_array().unwrap() {
            // A JWE has five parts, and is never one of ours; some are in the JSON serialisation.
            let shown = [&test["jws"], &test["jwe"]].into_iter().find(|form| !form.is_null()).unwrap();
            let token = &shown.as_str().map_or_else(|| shown.to_string(), str::to_owned);
            let comment = test["comment"].as_str().unwrap();
            match (test["result"].as_str().unwrap(), is_taken(token, key)) {
                ("valid", true) => tally.accepted += 1,
                ("valid", false) if header_algorithm(token).is_none() => tally.not_ours += 1,
                ("valid", false) if STRICTER.iter().any(|(name, _)| *name == comment) => tally.stricter += 1,
                ("invalid", false) => tally.refused += 1,
                (result, taken) => problems.push(format!("{} {comment}: {result}, taken: {taken}", test["tcId"])),
            }
        }
    }
    assert!(problems.is_empty(), "{path}\n{}", problems.join("\n"));
    let total = tally.accepted + tally.refused + tally.not_ours + tally.stricter;
    assert_eq!(file["numberOfTests"], total);
    Some(tally)
}

#[test]
fn tk_08_the_jose_vectors_of_wycheproof() {
    for (file, expected) in [
        ("signature", Tally { accepted: 5, refused: 191, not_ours: 12, stricter: 1 }),
        ("key", Tally { accepted: 1, refused: 10, not_ours: 2, stricter: 0 }),
        ("crypto", Tally { accepted: 2, refused: 30, not_ours: 3, stricter: 0 }),
    ] {
        let path = format!("vectors/wycheproof/json_web_{file}_test.json");
        let Some(tally) = judge_file(&path) else { return };
        assert_eq!(tally, expected, "{file}");
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn tk_08_the_signature_vectors_of_wycheproof() {
    let (eddsa, es256, rs256) = (Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256);
    for (file, algorithm, expected) in [
        ("ed25519_test", eddsa, (44, 35)),
        ("ecdsa_secp256r1_sha256_p1363_test", es256, (87, 41)),
        ("rsa_signature_2048_sha256_test", rs256, (6, 126)),
        ("rsa_signature_3072_sha256_test", rs256, (2, 10)),
        // A curve that is not ours.
        ("ecdsa_secp384r1_sha384_p1363_test", es256, (0, 82)),
    ] {
        let Some(vectors) = shared::json(&format!("vectors/wycheproof/{file}.json")) else { return };
        let (mut accepted, mut refused, mut problems) = (0, 0, vec![]);
        for group in vectors["testGroups"].as_array().unwrap() {
            let jwk = [&group["publicKeyJwk"], &group["keyJwk"]].into_iter().find(|key| key.is_object());
            let jwk = jwk.cloned().or_else(|| rsa_jwk(group)).unwrap_or_else(|| ec_jwk(group));
            let key = record(algorithm, "none", &jwk);
            for test in group["tests"].as_array().unwrap() {
                let message = unhex(test["msg"].as_str().unwrap());
                let signature = URL_SAFE_NO_PAD.encode(unhex(test["sig"].as_str().unwrap()));
                let taken = jwt().check_signature(&key, &message, &signature).is_ok();
                match test["result"].as_str().unwrap() {
                    "valid" if taken => accepted += 1,
                    _ if algorithm == es256 && jwk["crv"] != "P-256" && !taken => refused += 1,
                    "invalid" | "acceptable" if !taken => refused += 1,
                    result => problems.push(format!("{file} {}: {result}, taken: {taken}", test["tcId"])),
                }
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        assert_eq!((accepted, refused), expected, "{file}");
    }
}

/// A group of RSA vectors without a JWK has the numbers.
fn rsa_jwk(group: &Value) -> Option<Value> {
    let number = |name: &str| {
        let bytes = unhex(group["publicKey"][name].as_str()?);
        let start = bytes.iter().position(|b| *b != 0)?;
        Some(URL_SAFE_NO_PAD.encode(&bytes[start..]))
    };
    Some(json!({"kty": "RSA", "n": number("modulus")?, "e": number("publicExponent")?}))
}

/// A group of EC vectors without a JWK has the point.
fn ec_jwk(group: &Value) -> Value {
    let point = unhex(group["publicKey"]["uncompressed"].as_str().unwrap());
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    let curve = if x.len() == 32 { "P-256" } else { "P-384" };
    json!({"kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
}

#[test]
fn tk_08_the_cookbook_of_jose() {
    let compact = |file: &str| {
        let example = shared::json(&format!("vectors/jose-cookbook/{file}.json"))?;
        let token = example["output"]["compact"].as_str()?.to_owned();
        Some((token, example))
    };
    let Some((token, example)) = compact("jws_4_1.rsa_v15_signature") else { return };
    let key = &example["input"]["key"];
    let set = |algorithm| KeySet { version: 1, keys: vec![record(algorithm, key["kid"].as_str().unwrap(), key)] };
    let said = jwt().authentic(&token, &set(Algorithm::Rs256), NOW).unwrap();
    assert_eq!(String::from_utf8(said.payload).unwrap(), example["input"]["payload"].as_str().unwrap());
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let problem = jwt().authentic(&token, &set(algorithm), NOW).map(|_| ()).unwrap_err();
        assert_eq!(problem, TokenProblem::WrongAlgorithm);
    }

    // RFC 8037 appendix A.4: a good signature, and no kid, without which no key is looked for.
    let (token, example) = compact("curve25519_jws").unwrap();
    let key = record(Algorithm::EdDsa, "none", &example["input"]["key"]);
    let (message, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(jwt().check_signature(&key, message.as_bytes(), signature), Ok(()));
    assert_eq!(jwt().check_signature(&key, &message.as_bytes()[1..], signature), Err(TokenProblem::BadSignature));
    let problem = jwt().authentic(&token, &KeySet { version: 1, keys: vec![key] }, NOW).map(|_| ()).unwrap_err();
    assert_eq!(problem, TokenProblem::UnknownKey);

    // PS384, ES512, HS256: not ours, whatever the key is recorded with.
    for file in ["jws_4_2.rsa-pss_signature", "jws_4_3.ecdsa_signature", "jws_4_4.hmac-sha2_integrity_protection"] {
        let (token, example) = compact(file).unwrap();
        let mut key = example["input"]["key"].clone();
        key.as_object_mut().unwrap().remove("alg");
        assert!(!is_taken(&token, &key), "{file}");
    }
    // Detached content, unprotected headers, several signatures: the forms that are not compact, or not whole.
    for file in [
        "jws_4_5.signature_with_detached_content",
        "jws_4_6.protecting_specific_header_fields",
        "jws_4_7.protecting_content_only",
        "jws_4_8.multiple_signatures",
    ] {
        let example = shared::json(&format!("vectors/jose-cookbook/{file}.json")).unwrap();
        let forms = ["compact", "json", "json_flat"];
        let shown: Vec<String> = forms
            .iter()
            .filter_map(|form| match &example["output"][form] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            })
            .collect();
        assert!(!shown.is_empty(), "{file}");
        let keys = example["input"]["key"].as_array().cloned().unwrap_or_else(|| vec![example["input"]["key"].clone()]);
        for (token, key) in shown.iter().flat_map(|token| keys.iter().map(move |key| (token, key))) {
            assert!(!is_taken(token, key), "{file}");
        }
    }
}
