//! Two requests that cannot both win: exactly one does, and what is left is what the winner was told. The long form, a thousand
//! rounds of each: `AUTHD_TEST_LONG=1`.

use serde_json::{Value, json};
use tests::{Client, PASSWORD, Response, Server};

const EMAIL: &str = "ada@example.com";

fn rounds() -> usize {
    if std::env::var_os("AUTHD_TEST_LONG").is_some() { 1000 } else { 60 }
}

async fn server() -> Server {
    Server::builder().set("account.self_delete", "true").set("throttle.failures", "false").start().await
}

async fn sign_in(server: &Server, password: &str) -> (Client, Response) {
    let page = server.browser("http://localhost:5173");
    let answer = page.post("/api/auth/sign-in/email", &json!({"email": EMAIL, "password": password})).await;
    (page, answer)
}

/// The one of two answers that is a success. The other must be a refusal, and no failure of ours.
fn winner(answers: [Response; 2]) -> (usize, [Response; 2]) {
    let good: Vec<usize> = (0..2).filter(|n| answers[*n].status == 200).collect();
    assert_eq!(good.len(), 1, "{answers:?}");
    let lost = &answers[1 - good[0]];
    assert!((400..500).contains(&lost.status) && lost.status != 404, "{lost:?}");
    (good[0], answers)
}

async fn both(a: (&Client, &str, &Value), b: (&Client, &str, &Value)) -> [Response; 2] {
    let (first, second) = tokio::join!(a.0.post(a.1, a.2), b.0.post(b.1, b.2));
    [first, second]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn au_09_of_two_sign_ups_with_one_address_one_wins() {
    let server = server().await;
    for n in 0..rounds() {
        let pages = [(); 2].map(|()| server.browser("http://localhost:5173"));
        let email = format!("ada{n}@example.com");
        let body = |name: &str| json!({"name": name, "email": email, "password": PASSWORD});
        let (ada, eve) = (body("Ada"), body("Eve"));
        let path = "/api/auth/sign-up/email";
        let (won, answers) = winner(both((&pages[0], path, &ada), (&pages[1], path, &eve)).await);
        assert_eq!(answers[1 - won].code(), "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL");
        let user = pages[won].get("/api/auth/get-session").await.json()["user"].clone();
        assert_eq!(user, answers[won].json()["user"]);
        assert_eq!(pages[1 - won].get("/api/auth/get-session").await.body, "null");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn au_10_of_two_changes_of_a_password_one_wins() {
    let server = server().await;
    server.sign_up(EMAIL).await;
    let mut current = PASSWORD.to_owned();
    for n in 0..rounds() {
        let (laptop, _) = sign_in(&server, &current).await;
        let (phone, signed_in) = sign_in(&server, &current).await;
        assert_eq!(signed_in.status, 200, "{signed_in:?}");
        let new = [format!("{PASSWORD} laptop {n}"), format!("{PASSWORD} phone {n}")];
        let body =
            |new: &str| json!({"currentPassword": current, "newPassword": new, "revokeOtherSessions": n % 2 == 0});
        let (a, b) = (body(&new[0]), body(&new[1]));
        let path = "/api/auth/change-password";
        let (won, _) = winner(both((&laptop, path, &a), (&phone, path, &b)).await);
        assert_eq!(sign_in(&server, &new[1 - won]).await.1.status, 401, "the loser's was never in force");
        assert_eq!(sign_in(&server, &current).await.1.status, 401);
        current.clone_from(&new[won]);
        assert_eq!(sign_in(&server, &current).await.1.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_deletions_of_an_account_one_wins() {
    let server = server().await;
    for _ in 0..rounds() {
        server.sign_up(EMAIL).await;
        let (laptop, _) = sign_in(&server, PASSWORD).await;
        let (phone, _) = sign_in(&server, PASSWORD).await;
        let body = json!({"password": PASSWORD});
        let path = "/api/auth/delete-user";
        winner(both((&laptop, path, &body), (&phone, path, &body)).await);
        assert_eq!(sign_in(&server, PASSWORD).await.1.status, 401);
    }
    assert_eq!(server.admin().get("/v1/users").await.json()["items"].as_array().map(Vec::len), Some(0));
}
