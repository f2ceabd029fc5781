//! The menu of attacks on tokens, through the running door: each recipe is cooked with a genuine token and the keys of the
//! running daemon, so that only what the recipe names is wrong.

use std::net::TcpListener;

use authd::crypto::{master, seal::Sealer};
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use common::Span;
use serde_json::{Map, Value, json};
use tests::{PASSWORD, Server, ctl::ctl, shared};

/// Recipes that are answered otherwise than by 401 from the token's check: (id, what the answer begins with, why).
const OTHERWISE: &[(&str, &str, &str)] = &[
    (
        "format-leading-space",
        "200",
        "RFC 9110 lets any number of spaces stand before a token, and tokens.rs says so too",
    ),
    ("format-inner-newline", "400", "the line is no header line any more"),
    ("format-payload-1mb", "", "no head of 16 KiB: 431, or closed before the answer could be read"),
    ("format-payload-16mb", "", "as one of 1 MiB"),
    ("format-two-authorization-headers", "400", "AMBIGUOUS_CREDENTIALS"),
    ("format-form-access_token", "404", "there is no such method: no route takes a token in a form"),
];

/// Kinds of tokens that do not exist yet.
const NOT_YET: &[&str] = &[
    "cross-password-reset-as-email-verification",
    "cross-email-change-as-email-verification",
    "cross-admin-token-as-access",
    "cross-access-after-password-change-as-access",
];

enum Key {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    fn fresh(algorithm: &str) -> Self {
        match algorithm {
            "EdDSA" => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            "RS256" => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            _ => Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
        }
    }

    fn of(algorithm: &str, pkcs8: &[u8]) -> Self {
        match algorithm {
            "EdDSA" => Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8).unwrap()),
            "RS256" => Self::Rsa(RsaKeyPair::from_pkcs8(pkcs8).unwrap()),
            _ => Self::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap()),
        }
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut out).unwrap();
                out
            }
        }
    }

    /// The public half as bytes, as a JWK, and as X.509 has it.
    fn public(&self) -> (Vec<u8>, Value, Vec<u8>) {
        match self {
            Self::Ed25519(pair) => {
                let raw = pair.public_key().as_ref().to_vec();
                let spki = [&b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..], &raw].concat();
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&raw)});
                (raw, jwk, spki)
            }
            Self::P256(pair) => {
                let raw = pair.public_key().as_ref().to_vec();
                let start = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
                let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&raw[1..33]), "y": b64(&raw[33..])});
                (raw.clone(), jwk, [&start[..], &raw].concat())
            }
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let n = b64(public.modulus().big_endian_without_leading_zero());
                let e = b64(public.exponent().big_endian_without_leading_zero());
                let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(public).unwrap().as_ref().to_vec();
                (public.as_ref().to_vec(), json!({"kty": "RSA", "n": n, "e": e}), spki)
            }
        }
    }
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// Little-endian sum of two numbers of 32 bytes.
fn plus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    a.iter()
        .zip(b)
        .map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(*b) + carry;
            carry = sum >> 8;
            (sum & 0xff) as u8
        })
        .collect()
}

/// What the recipes need of a daemon.
struct Kitchen {
    algorithm: &'static str,
    server: Server,
    token: String,
    jwks: String,
    key: Key,
    attacker: Key,
    canary: u16,
}

impl Kitchen {
    async fn new(algorithm: &'static str, canary: u16) -> Self {
        let server = Server::builder().file(&format!("[keys]\nalgorithm = \"{algorithm}\"\n")).start().await;
        let token = server.sign_up("ada@example.com").await.text("/access_token");
        let jwks = server.client().get("/api/auth/jwks").await.body;
        let sealer = Sealer::new(master::load(&server.dir().join("master.key"), false).unwrap().expose());
        let services = server.services();
        let record = services.store.keys().signing(server.clock.now_time()).unwrap().clone();
        let pkcs8 = sealer.open("signing-key", record.kid.as_str(), &record.sealed).unwrap();
        let (key, attacker) = (Key::of(algorithm, &pkcs8), Key::fresh(algorithm));
        Self { algorithm, server, token, jwks, key, attacker, canary }
    }

    fn part(&self, n: usize) -> Map<String, Value> {
        let part = self.token.split('.').nth(n).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    fn filled(&self, value: &Value) -> Value {
        let claims = self.part(1);
        let issuer = claims["iss"].as_str().unwrap();
        let fill = |text: &str| {
            text.replace("{canary}", &self.canary.to_string())
                .replace("{issuer_host}", issuer.split("://").last().unwrap())
                .replace("{issuer}", issuer)
                .replace("{iss}", issuer)
                .replace("{aud}", claims["aud"].as_str().unwrap())
        };
        match value {
            Value::String(text) => fill(text).into(),
            Value::Array(list) => list.iter().map(|v| self.filled(v)).collect(),
            other => other.clone(),
        }
    }

    fn header(&self, recipe: &Value) -> String {
        let mut header = self.part(0);
        let edits = &recipe["header"];
        for (name, value) in edits["set"].as_object().into_iter().flatten() {
            header.insert(name.clone(), self.filled(value));
        }
        for name in edits["remove"].as_array().into_iter().flatten() {
            header.remove(name.as_str().unwrap()).unwrap();
        }
        if edits["embed"] == "jwk" {
            let mut jwk = self.attacker.public().1;
            if edits["embed_kid"] == "real" {
                jwk["kid"] = header["kid"].clone();
            }
            header.insert("jwk".into(), jwk);
        }
        if let Some(how) = edits["kid_transform"].as_str() {
            let kid = header["kid"].as_str().unwrap().to_owned();
            let changed = match how {
                "upper" => kid.to_uppercase(),
                "lower" => kid.to_lowercase(),
                "leading-space" => format!(" {kid}"),
                "nul-suffix" => format!("{kid}\0"),
                other => panic!("kid_transform {other}"),
            };
            header.insert("kid".into(), changed.into());
        }
        Value::Object(header).to_string()
    }

    fn payload(&self, recipe: &Value) -> String {
        let mut claims = self.part(1);
        for (name, value) in recipe["payload"]["set"].as_object().into_iter().flatten() {
            claims.insert(name.clone(), self.filled(value));
        }
        for name in recipe["payload"]["remove"].as_array().into_iter().flatten() {
            claims.remove(name.as_str().unwrap()).unwrap();
        }
        let mut members: Vec<String> = claims
            .iter()
            .map(|(name, value)| {
                let raw = recipe["payload_raw_replace"][name].as_str().map(str::to_owned);
                format!("\"{name}\":{}", raw.unwrap_or_else(|| value.to_string()))
            })
            .collect();
        for name in recipe["payload_dup"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            members.push(format!("\"{name}\":{}", claims[name]));
        }
        for name in recipe["payload_dup_escaped"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            let (first, rest) = name.split_at(1);
            members.push(format!("\"\\u{:04x}{rest}\":{}", u32::from(first.as_bytes()[0]), claims[name]));
        }
        format!("{{{}}}", members.join(","))
    }

    fn hmac(&self, header: &str, which: &str, message: &str) -> Vec<u8> {
        let (raw, jwk, spki) = self.key.public();
        let encoded = STANDARD.encode(&spki);
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            encoded.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect::<Vec<_>>().join("\n")
        );
        let real = self.part(0);
        let kid = real["kid"].as_str().unwrap();
        let secret: Vec<u8> = match which {
            "pem" => pem.into(),
            "pem-no-final-newline" => pem.trim_end().into(),
            "pem-crlf" => pem.replace('\n', "\r\n").into(),
            "spki-der" => spki,
            "raw-public-bytes" => raw,
            "jwks-body" => self.jwks.clone().into(),
            "jwk-json" => jwk.to_string().into(),
            "issuer" => self.part(1)["iss"].as_str().unwrap().into(),
            // The kid is the thumbprint.
            "thumbprint" => URL_SAFE_NO_PAD.decode(kid).unwrap(),
            "kid" => kid.into(),
            "x-b64url" => jwk["x"].as_str().or(jwk["n"].as_str()).unwrap().into(),
            "empty" => vec![],
            text => text.into(),
        };
        let algorithm = match serde_json::from_str::<Value>(header).unwrap()["alg"].as_str() {
            Some("HS384") => hmac::HMAC_SHA384,
            Some("HS512") => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, &secret), message.as_bytes()).as_ref().to_vec()
    }

    /// The token of a recipe.
    fn cooked(&self, recipe: &Value) -> String {
        let (header, payload) = (self.header(recipe), self.payload(recipe));
        let message = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
        let kept = URL_SAFE_NO_PAD.decode(self.token.rsplit('.').next().unwrap()).unwrap();
        let (r, s) = kept.split_at(32);
        let sign = recipe["sign"].as_str().unwrap();
        let signature = match sign {
            "keep" => kept,
            "empty" => vec![],
            "no-dot" => return message,
            "zeros" | "r-zero-s-zero" => vec![0; 64],
            "truncate1" => kept[..63].to_vec(),
            "truncate-half" => r.to_vec(),
            "std-base64-alphabet" => return format!("{message}.{}", STANDARD.encode(&kept)),
            "r-n-s-n" => hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").repeat(2),
            "swap-r-s" => [s, r].concat(),
            "ed25519-small-order-r" => [&[1][..], &[0; 63]].concat(),
            "ed25519-s-plus-l" => {
                let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
                [r, &plus(s, &order)].concat()
            }
            "der-encoded-ecdsa" => {
                let integer = |n: &[u8]| [&[2, 33, 0][..], n].concat();
                [&[0x30, 70][..], &integer(r), &integer(s)].concat()
            }
            "own-payload-as-signature" => payload.clone().into(),
            "attacker" => self.attacker.sign(&message),
            "test-key" | "genuine-if-possible" | "genuine" => self.key.sign(&message),
            other => match other.split_once(':') {
                Some(("hmac" | "hmac-text", which)) => self.hmac(&header, which, &message),
                _ => panic!("signature {other}"),
            },
        };
        format!("{message}.{}", b64(&signature))
    }

    /// Signed by the daemon's own key, whatever it is.
    fn signed(&self, header: &[u8], payload: &[u8]) -> String {
        let message = format!("{}.{}", b64(header), b64(payload));
        let signature = self.key.sign(&message);
        format!("{message}.{}", b64(&signature))
    }

    /// A genuine token in another form: the request line and the header lines that show it.
    fn transformed(&self, how: &str) -> String {
        let token = &self.token;
        let parts: Vec<&str> = token.split('.').collect();
        let (header, payload) = (self.part(0), self.part(1));
        let (header, payload) = (Value::Object(header).to_string(), Value::Object(payload).to_string());
        let (h, p) = (header.as_bytes(), payload.as_bytes());
        let with_payload = |payload: &[u8]| self.signed(h, payload);
        let bearer = |token: &str| format!("GET /api/auth/me HTTP/1.1\r\nAuthorization: Bearer {token}\r\n");
        let large =
            |bytes: usize| with_payload(format!("{}{}}}", &payload[..payload.len() - 1], " ".repeat(bytes)).as_bytes());
        match how {
            "four-parts" => bearer(&format!("{token}.{}", parts[2])),
            "two-parts" => bearer(&format!("{}.{}", parts[0], parts[1])),
            "one-part" => bearer(parts[0]),
            "json-flattened" => {
                bearer(&json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}).to_string())
            }
            "json-polyglot" => bearer(&format!("{{\"x\":\"{token}\"}}")),
            "leading-space" => bearer(&format!(" {token}")),
            "inner-newline" => bearer(&token.replacen('.', "\n.", 1)),
            "inner-tab" => bearer(&token.replacen('.', "\t.", 1)),
            "pad-header" => bearer(&token.replacen('.', "==.", 1)),
            "leading-dot" => bearer(&format!(".{token}")),
            "bom-in-header" => bearer(&self.signed(&[b"\xef\xbb\xbf", h].concat(), p)),
            "bom-in-payload" => bearer(&with_payload(&[b"\xef\xbb\xbf", p].concat())),
            "utf16-payload" => {
                bearer(&with_payload(&payload.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()))
            }
            "latin1-payload" => bearer(&with_payload(&[&p[..p.len() - 1], b",\"name\":\"Andr\xe9\"}"].concat())),
            "trailing-garbage-payload" => bearer(&with_payload(&[p, b"x"].concat())),
            "payload-null" => bearer(&with_payload(b"null")),
            "payload-empty" => bearer(&with_payload(b"")),
            "payload-1mb" => bearer(&large(1 << 20)),
            "payload-16mb" => bearer(&large(16 << 20)),
            "bearer-twice" => bearer(&format!("Bearer {token}")),
            "bearer-tab" => bearer(token).replace("Bearer ", "Bearer\t"),
            "two-authorization-headers" => {
                format!("{}Authorization: Bearer {token}\r\n", bearer(token))
            }
            "query-access_token" => format!("GET /api/auth/me?access_token={token} HTTP/1.1\r\n"),
            "form-access_token" => {
                "POST /api/auth/me HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n".into()
            }
            "cookie-access_token" => format!("GET /api/auth/me HTTP/1.1\r\nCookie: access_token={token}\r\n"),
            "basic-with-token" => bearer(token).replace("Bearer", "Basic"),
            other => panic!("transform {other}"),
        }
    }

    /// `<status> <code>` of the answer to these lines; empty if there was none.
    async fn ask(&self, lines: &str) -> String {
        let body = match lines.contains("urlencoded") {
            true => format!("access_token={}", self.token),
            false => String::new(),
        };
        let sent = format!(
            "{lines}Host: localhost:{}\r\nContent-Length: {}\r\n\r\n{body}",
            self.server.address.port(),
            body.len()
        );
        let answer = self.server.client().raw(sent.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        format!("{} {code}", answer.get(9..12).unwrap_or_default()).trim().to_owned()
    }

    async fn me(&self, token: &str) -> String {
        self.ask(&format!("GET /api/auth/me HTTP/1.1\r\nAuthorization: Bearer {token}\r\n")).await
    }

    /// A genuine token where it does not belong, or of somebody who has none any more.
    async fn misused(&self, id: &str) -> String {
        let client = self.server.client();
        match id {
            "cross-access-as-refresh" => {
                let answer = client.post("/api/auth/logout", &json!({"refresh_token": self.token})).await;
                format!("{} {}", answer.status, answer.code())
            }
            "cross-session-token-as-access" => {
                let browser = self.server.client().with_cookies();
                let body = json!({"email": "ada@example.com", "password": PASSWORD, "mode": "cookie"});
                assert_eq!(browser.post("/api/auth/login", &body).await.status, 200);
                self.me(browser.session_cookie().split_once('=').unwrap().1).await
            }
            "cross-access-as-session-cookie" => {
                let cookie =
                    format!("GET /api/auth/me HTTP/1.1\r\nCookie: better-auth.session_token={}\r\n", self.token);
                self.ask(&cookie).await
            }
            "cross-access-of-other-instance-same-kid-as-access" => {
                let message = self.token.rsplit_once('.').unwrap().0;
                self.me(&format!("{message}.{}", b64(&self.attacker.sign(message)))).await
            }
            "cross-access-signed-by-retired-key-in-grace-as-access" => {
                ctl(&self.server.socket).run("keys rotate --yes").await.ok();
                self.server.clock.advance(Span::from_mins(10));
                self.me(&self.token).await
            }
            "cross-access-of-deleted-user-as-access" | "cross-access-of-banned-user-as-access" => {
                let verb = if id.contains("deleted") { "delete" } else { "disable" };
                let email = format!("{verb}@example.com");
                let token = self.server.sign_up(&email).await.text("/access_token");
                assert_eq!(self.me(&token).await, "200");
                ctl(&self.server.socket).run(&format!("user {verb} {email} --yes")).await.ok();
                self.me(&token).await
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn tk_01_and_tk_02_and_tk_03_none_of_the_known_attacks_on_tokens_works() {
    let Some(vectors) = shared::json("vectors/jwt-attacks/attacks.json") else { return };
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let mut problems = vec![];
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let kitchen = Kitchen::new(algorithm, canary.local_addr().unwrap().port()).await;
        assert_eq!(kitchen.me(&kitchen.token).await, "200");
        // The kitchen can cook a good token, so what is refused is refused for what is wrong with it.
        assert_eq!(kitchen.me(&kitchen.cooked(&json!({"sign": "test-key"}))).await, "200");
        let (mut refused, mut otherwise, mut not_yet) = (0, 0, 0);
        let recipes = vectors["attacks"].as_array().unwrap();
        // Last what moves the clock.
        let (last, first): (Vec<_>, Vec<_>) = recipes.iter().partition(|r| r["expect"] == "accept");
        for recipe in first.into_iter().chain(last) {
            let id = recipe["id"].as_str().unwrap();
            if NOT_YET.contains(&id) {
                not_yet += 1;
                continue;
            }
            let answer = match (recipe["family"].as_str().unwrap(), recipe["transform"].as_str()) {
                ("cross-use", _) => kitchen.misused(id).await,
                (_, Some(how)) => kitchen.ask(&kitchen.transformed(how)).await,
                _ => kitchen.me(&kitchen.cooked(recipe)).await,
            };
            let listed = OTHERWISE.iter().find(|(other, ..)| *other == id);
            let stable = ["401 INVALID_TOKEN", "401 UNAUTHORIZED", "401 TOKEN_EXPIRED", "401 SESSION_REVOKED"];
            match listed {
                _ if recipe["expect"] == "accept" && answer == "200" => otherwise += 1,
                Some((_, start, _)) if answer.starts_with(start) && (!answer.starts_with("200") || *start == "200") => {
                    otherwise += 1;
                }
                None if stable.contains(&answer.as_str()) => refused += 1,
                _ => problems.push(format!("{} {id}: {answer:?}", kitchen.algorithm)),
            }
        }
        assert_eq!(refused + otherwise + not_yet + problems.len(), recipes.len());
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
        assert!(refused >= 180 && not_yet == NOT_YET.len(), "{refused} {otherwise} {not_yet}");
    }
    assert!(canary.accept().is_err(), "nothing was fetched from where a token says");
}
