//! Lists of sessions.

use common::Span;
use serde_json::json;
use tests::{PASSWORD, Server};

#[tokio::test]
async fn a_users_sessions_come_by_pages_oldest_first_and_each_once() {
    let server = Server::start().await;
    server.sign_up("ada@example.com").await;
    server.sign_up("bob@example.com").await;
    for n in 0..6 {
        // Two in each millisecond: then the id decides.
        server.clock.advance(Span::from_millis(n % 2));
        server.client().post("/api/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    }
    let page = async |query: &str| {
        let page = server.admin().get(&format!("/v1/sessions?user=ada@example.com{query}")).await.json();
        let items = page["items"].as_array().unwrap().clone();
        let ids: Vec<_> = items.iter().map(|s| (s["createdAt"].clone().to_string(), s["id"].to_string())).collect();
        (ids, page["next"].as_str().map(str::to_owned))
    };
    let (all, next) = page("").await;
    assert_eq!((all.len(), next), (7, None), "her own, and no more are announced");
    assert!(all.is_sorted());
    for limit in 1..=8 {
        let (mut seen, mut cursor) = (vec![], String::new());
        loop {
            let (items, next) = page(&format!("&limit={limit}{cursor}")).await;
            assert!(next.is_none() || items.len() == limit);
            assert!(!items.is_empty(), "nothing is on a page that was announced");
            seen.extend(items);
            match next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, all, "by {limit}");
    }
    // The session that the page ended with may be gone when the next one is asked for.
    let (_, next) = page("&limit=3").await;
    let gone = json!({"target": {"sessions": [serde_json::from_str::<String>(&all[2].1).unwrap()]}});
    assert_eq!(server.admin().post("/v1/sessions/revoke", &gone).await.status, 200);
    assert_eq!(page(&format!("&cursor={}", next.unwrap())).await.0, all[3..]);

    for wrong in ["&cursor=nonsense", "&cursor=", "&cursor=1-", "&limit=0", "&limit=1001"] {
        let refused = server.admin().get(&format!("/v1/sessions?user=ada@example.com{wrong}")).await;
        assert_eq!(refused.code(), "VALIDATION_ERROR", "{wrong}");
    }
}
