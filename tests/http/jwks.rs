//! The key set before, during and after a rotation.

use common::Span;
use serde_json::{Value, json};
use tests::{Server, ctl::ctl};

async fn kids(server: &Server) -> Vec<String> {
    let set = server.client().get("/api/auth/jwks").await;
    assert_eq!(set.status, 200);
    set.json()["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn kid_of_new_token(server: &Server) -> String {
    let login = json!({"email": "ada@example.com", "password": tests::PASSWORD});
    let token = server.client().post("/api/auth/login", &login).await.text("/access_token");
    let report = ctl(&server.socket).input(&token).run("token inspect -o json").await.ok();
    report.json()["header"]["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_key_set_is_the_same_at_every_address_and_cacheable() {
    let server = Server::start().await;
    let set = server.client().get("/.well-known/jwks.json").await;
    assert_eq!(set.header("cache-control"), "public, max-age=300, stale-while-revalidate=60");
    assert_eq!(set.header("access-control-allow-origin"), "*", "public, without credentials");
    for path in ["/api/jwks", "/api/auth/jwks"] {
        assert_eq!(server.client().get(path).await.body, set.body);
    }
    let tag = set.header("etag").to_owned();
    assert!(tag.len() > 8);
    let known = server.client().header("if-none-match", &tag).get("/api/auth/jwks").await;
    assert_eq!((known.status, known.body.as_str(), known.header("etag")), (304, "", tag.as_str()));
    let weak = server.client().header("if-none-match", &format!("\"x\", W/{tag}")).get("/api/auth/jwks").await;
    assert_eq!(weak.status, 304);
    assert_eq!(server.client().header("if-none-match", "\"x\"").get("/api/auth/jwks").await.status, 200);
    let any_host = server.client().host("auth.internal").get("/api/auth/jwks").await;
    assert_eq!(any_host.status, 200, "backends ask by whatever name they have");
}

#[tokio::test]
async fn tk_10_a_rotation_breaks_no_token() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let old = kids(&server).await.remove(0);
    let rotated = ctl(&server.socket).run("keys rotate --yes -o json").await.ok().json();
    let new = rotated["key"]["kid"].as_str().unwrap().to_owned();
    assert_eq!(kids(&server).await, [old.clone(), new.clone()], "published before it signs");
    assert_eq!(kid_of_new_token(&server).await, old);
    let bearer = server.client().bearer(&made.text("/access_token"));
    assert_eq!(bearer.get("/api/auth/me").await.status, 200);
    server.clock.advance(Span::from_mins(10));
    assert_eq!(kid_of_new_token(&server).await, new);
    assert_eq!(bearer.get("/api/auth/me").await.status, 200, "signed by the retiring key");
    assert_eq!(kids(&server).await, [old.clone(), new.clone()]);
    // The last token of the old key has expired, and every cache of the set with it.
    server.clock.advance(Span::from_mins(15 + 1 + 6));
    assert_eq!(kids(&server).await, [new]);
    assert_eq!(bearer.get("/api/auth/me").await.code(), "INVALID_TOKEN", "its key is gone; the token expired long ago");
}

#[tokio::test]
async fn rotations_roll_back_and_wait_for_each_other() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    let old = kids(&server).await.remove(0);
    ctl(&server.socket).run("keys rotate --yes").await.ok();
    let second = ctl(&server.socket).run("keys rotate --yes").await;
    assert_eq!(second.exit, 4, "{second:?}");
    assert!(second.err.contains("keys rollback"), "{second:?}");
    ctl(&server.socket).run("keys rollback --yes").await.ok();
    assert_eq!(kids(&server).await, std::slice::from_ref(&old));
    let nothing = ctl(&server.socket).run("keys rollback --yes").await;
    assert_eq!(nothing.exit, 4, "{nothing:?}");
    let now = ctl(&server.socket).run("keys rotate --now --yes -o json").await.ok().json();
    assert_eq!(kid_of_new_token(&server).await, now["key"]["kid"].as_str().unwrap());
    ctl(&server.socket).run("keys rollback --yes").await.ok();
    assert_eq!(kid_of_new_token(&server).await, old, "signs again");
}

#[tokio::test]
async fn tk_11_a_revoked_key_is_out_from_the_answer_on() {
    let server = Server::start().await;
    let made = server.sign_up("ada@example.com").await;
    let bearer = server.client().bearer(&made.text("/access_token"));
    assert_eq!(bearer.get("/api/auth/me").await.status, 200);
    let old = kids(&server).await.remove(0);
    ctl(&server.socket).args(&["keys", "revoke", &old, "--yes"]).await.ok();
    assert_eq!(bearer.get("/api/auth/me").await.code(), "KEY_REVOKED");
    let left = kids(&server).await;
    assert!(left.len() == 1 && left[0] != old);
    assert_eq!(kid_of_new_token(&server).await, left[0]);
    let server = server.restart().await;
    assert_eq!(kids(&server).await, left);
    let unknown = ctl(&server.socket).run("keys revoke nobody --yes").await;
    assert_eq!(unknown.exit, 3);
}

#[tokio::test]
async fn keys_rotate_by_themselves_when_they_are_old_and_leave_nothing_behind() {
    let server = Server::start().await;
    let old = kids(&server).await.remove(0);
    let tend = || async { authd::service::maintenance::round(&server.services()).await.unwrap() };
    server.clock.advance(Span::from_days(89));
    tend().await;
    assert_eq!(kids(&server).await, std::slice::from_ref(&old));
    server.clock.advance(Span::from_days(1));
    tend().await;
    assert_eq!(kids(&server).await.len(), 2);
    server.clock.advance(Span::from_hours(1));
    tend().await;
    let keys = server.services().store.keys();
    let gone = keys.get(&old).unwrap();
    assert!(gone.sealed.is_empty(), "the private half of a key that is gone is erased");
    let audit = ctl(&server.socket).run("audit list --event keys.erased -o json").await.ok();
    assert_eq!(audit.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn tk_09_no_private_member_is_ever_shown() {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let server = Server::builder().set("keys.algorithm", algorithm).start().await;
        for _ in 0..3 {
            ctl(&server.socket).run("keys rotate --now --yes").await.ok();
            let set = server.client().get("/api/auth/jwks").await.json();
            for key in set["keys"].as_array().unwrap() {
                for member in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
                    assert!(key.get(member).is_none(), "{member}");
                }
                assert_eq!((&key["use"], &key["alg"]), (&Value::from("sig"), &Value::from(algorithm)));
            }
        }
    }
}

#[tokio::test]
async fn f_07_after_a_clock_that_was_far_ahead_a_key_signs_all_the_same() {
    use common::Span;
    let server = Server::start().await;
    let right = server.clock.now_time();
    // The first key is rotated out and erased by a clock that is half a year ahead.
    for days in [100, 101, 180] {
        server.clock.set(right.plus(Span::from_days(days)));
        authd::service::maintenance::round(&server.services()).await.unwrap();
        authd::service::maintenance::round(&server.services()).await.unwrap();
    }
    let server = server.restart_at(right, true).await;
    assert_eq!(server.client().get("/readyz").await.status, 200);
    let made = server.sign_up("ada@example.com").await;
    assert_eq!(made.status, 201, "{made:?}");
    let me = server.client().bearer(&made.text("/access_token")).get("/api/auth/me").await;
    assert_eq!(me.status, 200, "{me:?}");
}
