//! Strings that break other people's programs.

use common::text::is_forbidden_in_names;
use serde_json::json;
use tests::{PASSWORD, Server, ctl::ctl, shared};

#[tokio::test]
async fn ht_07_naughty_strings_come_back_as_they_went_in_or_are_refused() {
    let Some(strings) = shared::json("vectors/blns/blns.json") else { return };
    let server = Server::start().await;
    let mut kept = 0;
    for (n, string) in strings.as_array().unwrap().iter().filter_map(|s| s.as_str()).enumerate() {
        let email = format!("user{n}@example.com");
        let body = json!({"email": email, "password": PASSWORD, "name": string});
        let made = server.client().post("/api/auth/signup", &body).await;
        let allowed = string.chars().count() <= 256 && !string.chars().any(is_forbidden_in_names);
        if allowed {
            assert_eq!((made.status, made.text("/user/name").as_str()), (201, string), "{string:?}");
            kept += 1;
        } else {
            assert_eq!((made.status, made.code().as_str()), (400, "VALIDATION_ERROR"), "{string:?}");
        }
        for body in [json!({"email": string, "password": PASSWORD}), json!({"email": email, "password": string})] {
            let answer = server.client().post("/api/auth/login", &body).await;
            assert!((400..500).contains(&answer.status), "{string:?}: {answer:?}");
        }
        let callback = json!({"email": email, "password": "wrong", "callbackURL": string});
        let answer = server.client().post("/api/auth/sign-in/email", &callback).await;
        assert!((400..500).contains(&answer.status), "{string:?}: {answer:?}");
    }
    assert!(kept > 100, "{kept}");
    // LG-03: what an operator sees in a terminal has nothing in it that acts.
    let table = ctl(&server.socket).run("user list --all").await.ok().out;
    assert!(table.lines().count() > 100);
    assert!(!table.contains('\u{1b}') && !table.chars().any(|c| is_forbidden_in_names(c) && c != '\n'));
}

#[tokio::test]
async fn au_09_outside_addresses_have_one_canonical_form_or_none() {
    let Some(vectors) = shared::json("vectors/email/isemail.json") else { return };
    let server = Server::start().await;
    let mut accounts = std::collections::BTreeSet::new();
    for vector in vectors.as_array().unwrap() {
        let Some(address) = vector["address"].as_str().or_else(|| vector["email"].as_str()) else { continue };
        let body = json!({"email": address, "password": PASSWORD});
        let made = server.client().post("/api/auth/signup", &body).await;
        match made.status {
            201 => assert!(accounts.insert(made.text("/user/email")), "two accounts for {address:?}"),
            422 => assert!(accounts.contains(&address.parse::<common::Email>().unwrap().to_string())),
            400 => assert_eq!(made.code(), "VALIDATION_ERROR", "{address:?}"),
            _ => panic!("{address:?}: {made:?}"),
        }
        let wire = server.client().post("/api/auth/sign-in/email", &body).await;
        assert!(matches!(wire.status, 200 | 400 | 401), "{address:?}: {wire:?}");
    }
    assert!(!accounts.is_empty());
}

#[tokio::test]
async fn wb_08_no_string_becomes_a_header_line() {
    let Some(lines) = shared::lines("vectors/payloads/crlf.txt") else { return };
    let server = Server::start().await;
    for line in lines {
        for text in [line.clone(), percent_encoding::percent_decode_str(&line).decode_utf8_lossy().into_owned()] {
            let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": text, "callbackURL": format!("/{text}")});
            for route in ["/api/auth/signup", "/api/auth/sign-up/email", "/api/auth/sign-in/email"] {
                let answer = server.client().post(route, &body).await;
                assert!(answer.status < 500, "{text:?}: {answer:?}");
                for name in ["x-injected", "injected", "crlf", "set-cookie2"] {
                    assert_eq!(answer.header(name), "", "{text:?}");
                }
                assert!(answer.cookies().iter().all(|c| c.starts_with("better-auth.")), "{text:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn rc_04_no_callback_leads_to_a_foreign_origin() {
    let Some(lines) = shared::lines("vectors/payloads/open-redirect.txt") else { return };
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let mut refused = 0;
    for line in &lines {
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "callbackURL": line});
        let answer = server.client().post("/api/auth/sign-in/email", &body).await;
        let location = answer.header("location");
        if location.is_empty() {
            refused += 1;
            continue;
        }
        let base = url_of(&server.url, location);
        assert_eq!(base, server.url, "{line:?} leads to {location:?}");
    }
    assert!(refused * 10 > lines.len() * 5, "{refused} of {}", lines.len());
}

/// The origin to which a browser on our pages would go.
fn url_of(base: &str, location: &str) -> String {
    let base = url::Url::parse(base).unwrap();
    base.join(location).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}
