//! Better Auth's username plugin: one name is one user's, and a sign-in by it tells no more than one by address.

use common::Span;
use serde_json::{Value, json};
use tests::{Client, PASSWORD, Response, Server, ctl::ctl};

async fn server() -> Server {
    Server::builder().set("username.enabled", "true").set("throttle.failures", "false").start().await
}

fn page(server: &Server) -> Client {
    server.browser("http://localhost:5173")
}

fn account(name: &str, username: &str) -> Value {
    json!({"name": name, "email": format!("{name}@example.com"), "password": PASSWORD, "username": username})
}

async fn sign_up(server: &Server, name: &str, username: &str) -> (Client, Response) {
    let page = page(server);
    let answer = page.post("/api/auth/sign-up/email", &account(name, username)).await;
    (page, answer)
}

async fn sign_in(server: &Server, username: &str, password: &str) -> Response {
    let body = json!({"username": username, "password": password});
    page(server).post("/api/auth/sign-in/username", &body).await
}

fn rounds() -> usize {
    if std::env::var_os("AUTHD_TEST_LONG").is_some() { 1000 } else { 60 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn au_09_of_two_who_want_one_username_at_once_one_gets_it() {
    let server = server().await;
    let (renamed, _) = sign_up(&server, "renamed", "renamed").await;
    for n in 0..rounds() {
        // So often a profile may be changed.
        server.clock.advance(Span::from_mins(10));
        let (name, other) = (format!("Name_{n}"), format!("NAME_{n}"));
        let change = json!({"username": other});
        let path = "/api/auth/update-user";
        // A sign-up against a sign-up, and against a change of a name.
        let (eve, bob) = (format!("eve{n}"), format!("bob{n}"));
        let ((_, first), second) = match n % 2 {
            0 => {
                let (a, b) = tokio::join!(sign_up(&server, &eve, &name), sign_up(&server, &bob, &other));
                (a, b.1)
            }
            _ => tokio::join!(sign_up(&server, &eve, &name), renamed.post(path, &change)),
        };
        let statuses = [first.status, second.status];
        assert!(statuses == [200, 400] || statuses == [400, 200], "{n}: {first:?} {second:?}");
        let lost = if first.status == 400 { &first } else { &second };
        assert_eq!(lost.code(), "USERNAME_IS_ALREADY_TAKEN");
        let owner = server.services().store.user_by_username(&name.to_lowercase()).await.unwrap().unwrap();
        let winner = if first.status == 200 {
            eve
        } else if n % 2 == 0 {
            bob
        } else {
            "renamed".into()
        };
        assert_eq!(owner.name, winner);
    }
}

#[tokio::test]
async fn a_name_that_is_given_up_is_free_and_one_that_is_deleted_too() {
    let server = Server::builder().set("username.enabled", "true").set("account.self_delete", "true").start().await;
    let (ada, _) = sign_up(&server, "ada", "Ada_L").await;
    assert_eq!(sign_in(&server, "ADA_L", PASSWORD).await.status, 200);
    assert_eq!(ada.post("/api/auth/update-user", &json!({"username": "countess"})).await.status, 200);
    assert_eq!(sign_in(&server, "ada_l", PASSWORD).await.status, 401);
    assert_eq!(sign_up(&server, "bob", "ada_l").await.1.status, 200);
    assert_eq!(ada.post("/api/auth/delete-user", &json!({"password": PASSWORD})).await.status, 200);
    assert_eq!(sign_up(&server, "cyd", "countess").await.1.status, 200);
    let server = server.restart().await;
    assert_eq!(sign_in(&server, "countess", PASSWORD).await.text("/user/name"), "cyd");
    assert_eq!(sign_up(&server, "dan", "Countess").await.1.code(), "USERNAME_IS_ALREADY_TAKEN");
}

#[tokio::test]
async fn au_06_a_sign_in_by_username_tells_nothing_of_accounts() {
    let server = server().await;
    sign_up(&server, "ada", "ada").await;
    sign_up(&server, "bob", "bob").await;
    ctl(&server.socket).run("user ban bob@example.com --yes").await.ok();
    ctl(&server.socket).run("user create --email cyd@example.com --username cyd --no-password").await.ok();
    let mut seen = vec![];
    for name in ["ada", "bob", "cyd", "nobody"] {
        let answer = sign_in(&server, name, "wrong password").await;
        let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        seen.push((answer.status, answer.body.clone(), names));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
    assert_eq!(seen[0].0, 401);
    assert_eq!(sign_in(&server, "bob", PASSWORD).await.code(), "BANNED_USER", "told to who knows the password");
}

#[tokio::test]
async fn au_06_guesses_by_username_and_by_address_are_counted_together_and_of_nobody_alike() {
    let server = Server::builder().set("username.enabled", "true").start().await;
    sign_up(&server, "ada", "ada").await;
    let mut counts = vec![];
    for (name, email) in [("ada", "ada@example.com"), ("nobody", "nobody@example.com")] {
        let mut count = 0;
        loop {
            let answer = sign_in(&server, name, "wrong password").await;
            if answer.status == 429 {
                break;
            }
            assert_eq!(answer.status, 401);
            count += 1;
            assert!(count < 50, "{name} is never put off");
        }
        counts.push(count);
        if name == "ada" {
            let body = json!({"email": email, "password": "wrong password"});
            assert_eq!(page(&server).post("/api/auth/sign-in/email", &body).await.status, 429, "one account");
        }
    }
    // The second count begins where the client has failed already: it is no longer, and the same for everybody.
    assert!(counts[0] >= counts[1] && counts[1] > 0, "{counts:?}");
}

#[tokio::test]
async fn the_plain_login_takes_a_username_and_only_while_the_plugin_is_on() {
    let mut server = server().await;
    sign_up(&server, "ada", "Ada_L").await;
    let login = async |server: &Server, body: Value| server.client().post("/api/auth/login", &body).await;
    let by_name = json!({"username": "ada_L", "password": PASSWORD});
    let token = login(&server, by_name.clone()).await;
    assert_eq!(token.text("/user/displayUsername"), "Ada_L");
    let wrong = login(&server, json!({"username": "ada_L", "password": "wrong password"})).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "INVALID_USERNAME_OR_PASSWORD"));
    assert_eq!(login(&server, json!({"username": "", "password": PASSWORD})).await.code(), "VALIDATION_ERROR");
    let both = json!({"username": "nobody", "email": "ada@example.com", "password": PASSWORD});
    assert_eq!(login(&server, both).await.status, 200, "an address counts");

    server.reload(|settings| settings.username.enabled = false).await;
    assert_eq!(login(&server, by_name).await.code(), "VALIDATION_ERROR");
    assert_eq!(sign_in(&server, "ada_l", PASSWORD).await.status, 404);
    let seen = sign_up(&server, "bob", "ada_l").await.1;
    assert!(seen.status == 200 && seen.json()["user"].get("username").is_none(), "no field of anything: {seen:?}");
}

#[tokio::test]
async fn operators_find_users_by_username_and_never_the_wrong_one() {
    let server = server().await;
    sign_up(&server, "ada", "countess").await;
    let found = ctl(&server.socket).run("user show Countess -o json").await.ok().json();
    assert_eq!((found["email"].as_str(), found["username"].as_str()), (Some("ada@example.com"), Some("countess")));
    // Another who is called so, or writes from there, makes it ambiguous: nothing is done to either.
    sign_up(&server, "countess", "eve").await;
    let unsure = ctl(&server.socket).run("user disable countess --yes").await;
    assert!(unsure.exit == 4 || unsure.exit == 3, "{unsure:?}");
    assert!(unsure.err.contains("ada@example.com") && unsure.err.contains("countess@example.com"), "{unsure:?}");
}

#[tokio::test]
async fn ht_07_a_spelling_has_nothing_that_acts() {
    let server = server().await;
    for display in ["\u{1b}[2J", "a\u{202e}b", &"x".repeat(65)] {
        let body = json!({"name": "Eve", "email": "eve@example.com", "password": PASSWORD, "username": "eve", "displayUsername": display});
        let answer = page(&server).post("/api/auth/sign-up/email", &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION_ERROR"), "{display:?}");
    }
}
