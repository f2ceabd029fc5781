//! Tokens that our own key signed, and whose claims are not what they must be (TK-04, TK-07).

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use tests::{Server, server::START};

/// The claims that every access token must have, and `nbf`, which it may have.
const CLAIMS: &[&str] = &["iss", "sub", "aud", "exp", "iat", "jti", "sid", "nbf"];

/// What is no text and no time.
const NEITHER: &[&str] = &["null", "true", "false", "{}", "[]", "[null]", "[7]", "[\"x\",7]", "{\"a\":1}"];

/// What is no text.
const NO_TEXT: &[&str] = &["0", "7", "-1", "1.5", "1e400", "99999999999999999999999999"];

/// What is no time in whole seconds, or one at which no token of ours counts.
const NO_TIME: &[&str] = &[
    "\"\"",
    "\"1800000100\"",
    "\"x\"",
    "1800000100.5",
    "1800000100.0",
    "1e9",
    "1e400",
    "-1",
    "-9223372036854775808",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999",
    "[1800000100]",
];

/// An object whose members are raw JSON.
fn object(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, raw)| format!("\"{name}\":{raw}")).collect();
    format!("{{{}}}", members.join(","))
}

#[tokio::test]
async fn tk_04_tk_07_each_claim_missing_mistyped_out_of_range_or_doubled_is_refused() {
    let server = Server::start().await;
    let token = server.sign_up("ada@example.com").await.text("/access_token");
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let good: Map<String, Value> = serde_json::from_slice(&payload).unwrap();
    let good: Vec<(String, String)> = good.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    let services = server.services();
    let keys = services.store.keys();
    let signed = |claims: &str| services.signer.sign(keys.signing(START).unwrap(), "at+jwt", claims).unwrap();
    let me = async |claims: &str| {
        let answer = server.client().bearer(&signed(claims)).get("/api/auth/me").await;
        format!("{} {}", answer.status, answer.code())
    };
    let with = |claim: &str, raw: &str| {
        let replaced =
            |(name, old): &(String, String)| (name.clone(), if name == claim { raw } else { old }.to_owned());
        object(&good.iter().map(replaced).collect::<Vec<_>>())
    };
    assert_eq!(me(&object(&good)).await, "200 ");

    let mut tried = BTreeMap::new();
    for claim in CLAIMS {
        let is_time = matches!(*claim, "exp" | "iat" | "nbf");
        let mut wrong: Vec<String> =
            NEITHER.iter().chain(if is_time { NO_TIME } else { NO_TEXT }).map(|raw| with(claim, raw)).collect();
        if !is_time {
            wrong.extend(["\"\"", "\" \"", "\"\\u0000\"", "\"\\ud800\""].map(|raw| with(claim, raw)));
        }
        // An nbf far in the past is one that counts.
        if *claim == "nbf" {
            wrong.retain(|claims| !claims.contains("\"nbf\":-"));
        }
        // Any text is a good jti, as far as we look.
        if *claim == "jti" {
            wrong.retain(|claims| !claims.contains("\"jti\":\" \"") && !claims.contains("\"jti\":\"\\u0000\""));
        }
        let others: Vec<_> = good.iter().filter(|(name, _)| name != claim).cloned().collect();
        match *claim {
            "nbf" => assert_eq!(me(&object(&others)).await, "200 ", "the one that need not be there"),
            _ => wrong.push(object(&others)),
        }
        let own = good.iter().find(|(name, _)| name == claim).unwrap();
        let escaped = format!("\\u{:04x}{}", u32::from(claim.as_bytes()[0]), &claim[1..]);
        wrong.push(object(&[&good[..], std::slice::from_ref(own)].concat()));
        wrong.push(object(&[&good[..], &[(escaped, own.1.clone())]].concat()));
        wrong.push(object(&[&[((*claim).to_owned(), "null".to_owned())], &good[..]].concat()));
        for claims in &wrong {
            let answer = me(claims).await;
            // A time before ours is one that has expired.
            let expected =
                claims.contains("\"exp\":-") && answer == "401 TOKEN_EXPIRED" || answer == "401 INVALID_TOKEN";
            assert!(expected, "{answer}: {claims}");
        }
        tried.insert(*claim, wrong.len());
    }
    assert_eq!(tried.values().sum::<usize>(), 191, "{tried:?}");
    assert_eq!(me(&object(&good)).await, "200 ");
}
