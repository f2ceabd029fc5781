//! The queue of mails before a real SMTP server: down, silent, refusing, dying half way.

use authd::service::mail;
use common::Span;
use serde_json::{Value, json};
use tests::{
    Server,
    smtp::{Mood, Smtp},
};

async fn server(port: u16) -> Server {
    let server = Server::builder()
        .set("mail.host", "127.0.0.1")
        .set("mail.port", &port.to_string())
        .set("mail.security", "none")
        .set("mail.from", "Acme <no-reply@example.com>")
        .set("mail.timeout", "1s")
        .set("mail.per_address", "100")
        .set("password.reset_expires_in", "5d")
        .real_mail()
        .start()
        .await;
    assert_eq!(server.sign_up("ada@example.com").await.status, 201);
    server
}

async fn asks(server: &Server) {
    let body = json!({"email": "ada@example.com", "redirectTo": "/reset"});
    assert_eq!(server.client().post("/api/auth/request-password-reset", &body).await.status, 200);
    mail::round(&server.services()).await.unwrap();
}

/// Sends what is due after this time.
async fn later(server: &Server, wait: Span) {
    server.clock.advance(wait);
    mail::round(&server.services()).await.unwrap();
}

async fn queue(server: &Server) -> Vec<Value> {
    server.admin().get("/v1/mail").await.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_mail_is_handed_over_once_to_one_address() {
    let smtp = Smtp::start();
    let server = server(smtp.port).await;
    asks(&server).await;
    let taken = smtp.taken();
    assert_eq!((taken.len(), taken[0].to.as_slice()), (1, ["ada@example.com".to_owned()].as_slice()));
    assert_eq!(taken[0].header("From"), "Acme <no-reply@example.com>");
    assert_eq!(taken[0].header("To"), "ada@example.com");
    let whole = taken[0].text.replace("=\n", "");
    assert!(whole.contains(&format!("{}/api/auth/reset-password/", server.url)), "{whole}");
    assert!(queue(&server).await.is_empty());
    later(&server, Span::from_hours(1)).await;
    assert_eq!(smtp.taken().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_down_silent_or_busy_gets_the_mail_when_it_is_well_again() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let down = server(gone).await;
    asks(&down).await;
    let waiting = queue(&down).await;
    assert_eq!((waiting.len(), &waiting[0]["attempts"], &waiting[0]["state"]), (1, &json!(1), &json!("waiting")));
    let status = down.admin().get("/v1/status").await.json();
    assert_eq!(status["mail"]["waiting"], 1);
    assert!(status["mail"]["lastFailure"]["error"].is_string(), "{status}");
    // A restart goes on with the queue.
    let smtp = Smtp::start();
    let port = smtp.port;
    let server = down.restart_with(move |settings| settings.mail.port = u32::from(port)).await;
    assert_eq!(queue(&server).await.len(), 1);
    later(&server, Span::from_secs(30)).await;
    assert_eq!((smtp.taken().len(), queue(&server).await.len()), (1, 0));

    for mood in [Mood::Silent, Mood::Refuses(451), Mood::DiesInText] {
        let smtp = Smtp::start();
        let server = self::server(smtp.port).await;
        smtp.set(mood);
        asks(&server).await;
        let waiting = queue(&server).await;
        assert_eq!((waiting.len(), &waiting[0]["state"]), (1, &json!("waiting")), "{mood:?}");
        assert!(smtp.taken().is_empty());
        smtp.set(Mood::Takes);
        mail::round(&server.services()).await.unwrap();
        assert!(smtp.taken().is_empty(), "not before its time");
        later(&server, Span::from_secs(30)).await;
        let taken = smtp.taken();
        assert_eq!((taken.len(), queue(&server).await.len()), (1, 0), "{mood:?}");
        assert_eq!(taken[0].header("Message-ID"), format!("<{}@example.com>", waiting[0]["id"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_goes_again_with_the_same_id() {
    let smtp = Smtp::start();
    let server = server(smtp.port).await;
    smtp.set(Mood::DiesAfterText);
    asks(&server).await;
    smtp.set(Mood::Takes);
    later(&server, Span::from_secs(30)).await;
    let ids: Vec<String> = smtp.taken().iter().map(|mail| mail.header("Message-ID").to_owned()).collect();
    assert!(ids.len() == 2 && ids[0] == ids[1] && !ids[0].is_empty(), "{ids:?}");
    assert!(queue(&server).await.is_empty());
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_waits_for_an_operator() {
    let smtp = Smtp::start();
    let server = server(smtp.port).await;
    smtp.set(Mood::Refuses(550));
    asks(&server).await;
    let dead = queue(&server).await;
    assert_eq!((dead.len(), &dead[0]["state"]), (1, &json!("dead")));
    assert!(dead[0]["error"].as_str().unwrap().contains("550"), "{dead:?}");
    let problems = server.admin().get("/v1/status").await.json()["problems"].to_string();
    assert!(problems.contains("given up"), "{problems}");
    smtp.set(Mood::Takes);
    later(&server, Span::from_days(1)).await;
    assert!(smtp.taken().is_empty());
    let retried = server.admin().post("/v1/mail/retry", &json!({"id": dead[0]["id"]})).await;
    assert_eq!(retried.short(), r#"200 {"retried":1}"#);
    mail::round(&server.services()).await.unwrap();
    assert_eq!((smtp.taken().len(), queue(&server).await.len()), (1, 0));
}

#[tokio::test]
async fn a_mail_whose_link_is_worth_nothing_any_more_is_not_sent() {
    let smtp = Smtp::start();
    let server = server(smtp.port).await;
    smtp.set(Mood::Refuses(451));
    asks(&server).await;
    // A newer one voids the first.
    asks(&server).await;
    assert_eq!(queue(&server).await.len(), 2);
    smtp.set(Mood::Takes);
    later(&server, Span::from_secs(30)).await;
    assert_eq!((smtp.taken().len(), queue(&server).await.len()), (1, 0));
    smtp.set(Mood::Refuses(451));
    asks(&server).await;
    smtp.set(Mood::Takes);
    later(&server, Span::from_days(5)).await;
    assert_eq!((smtp.taken().len(), queue(&server).await.len()), (1, 0), "it has expired");
}

#[tokio::test]
async fn a_test_mail_says_what_the_server_said() {
    let smtp = Smtp::start();
    let server = server(smtp.port).await;
    let sent = server.admin().post("/v1/mail/test", &json!({"to": "ops@example.com"})).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(smtp.taken()[0].to, ["ops@example.com"]);
    smtp.set(Mood::Refuses(550));
    let refused = server.admin().post("/v1/mail/test", &json!({"to": "ops@example.com"})).await;
    assert_eq!(refused.code(), "MAIL_FAILED");
    assert!(refused.body.contains("550"), "{refused:?}");
}

#[tokio::test]
async fn cr_02_the_store_has_no_link_that_can_be_used() {
    let smtp = Smtp::start();
    let mut server = server(smtp.port).await;
    smtp.set(Mood::Refuses(451));
    asks(&server).await;
    smtp.set(Mood::Takes);
    later(&server, Span::from_secs(30)).await;
    let text = smtp.taken()[0].text.replace("=\n", "");
    let token: String =
        text.split("/reset-password/").nth(1).unwrap().chars().take_while(char::is_ascii_alphanumeric).collect();
    assert_eq!(token.len(), 24);
    server.stop().await;
    let mut looked_at = 0;
    for entry in walk(&server.data_dir()) {
        let bytes = std::fs::read(&entry).unwrap();
        looked_at += bytes.len();
        assert!(!bytes.windows(token.len()).any(|w| w == token.as_bytes()), "{}", entry.display());
    }
    assert!(looked_at > 1000);
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
