//! Handing mails over: to an SMTP server, or into a folder for development. Both write the same message.

mod outbox;
mod smtp;

use std::time::{Duration, UNIX_EPOCH};

use lettre::{
    Message,
    address::Address,
    message::{Mailbox, MultiPart, header::ContentType},
};

pub use self::{
    outbox::Outbox,
    smtp::{Smtp, Tls},
};
use crate::ports::{Letter, MailerError};

/// The message: one recipient, text and HTML. lettre encodes what stands in a header, so nothing in it begins another (RC-08).
fn compose(letter: &Letter, from: &Mailbox) -> Result<Message, MailerError> {
    let never = |what: &str, e: &dyn std::fmt::Display| MailerError::Never(format!("{what}: {e}"));
    let to: Address = letter.to.as_str().parse().map_err(|e| never("the recipient's address", &e))?;
    let millis = u64::try_from(letter.at.as_millis()).unwrap_or_default();
    let subject: String = letter.subject.chars().filter(|c| !c.is_control()).collect();
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(subject)
        .message_id(Some(format!("<{}@{}>", letter.id, from.email.domain())))
        .date(UNIX_EPOCH + Duration::from_millis(millis))
        .multipart(
            MultiPart::alternative()
                .singlepart(part(ContentType::TEXT_PLAIN, letter.text.expose()))
                .singlepart(part(ContentType::TEXT_HTML, letter.html.expose())),
        )
        .map_err(|e| never("the message", &e))
}

fn part(kind: ContentType, text: &str) -> lettre::message::SinglePart {
    lettre::message::SinglePart::builder().header(kind).body(text.to_owned())
}

#[cfg(test)]
mod tests {
    use common::UnixTime;

    use super::*;

    fn letter(subject: &str, text: &str) -> Letter {
        Letter {
            id: "abc123".parse().unwrap(),
            to: "ada@example.com".parse().unwrap(),
            subject: subject.into(),
            text: text.into(),
            html: "<p>é</p>".into(),
            link: None,
            at: UnixTime::from_secs(1_800_000_000),
        }
    }

    fn written(letter: &Letter) -> String {
        let from = "Acme <no-reply@example.com>".parse().unwrap();
        String::from_utf8(compose(letter, &from).unwrap().formatted()).unwrap()
    }

    #[test]
    fn rc_08_no_text_becomes_a_header() {
        let evil = "Hello\r\nBcc: eve@example.com\r\n\r\nbody\0";
        let message = written(&letter(evil, "text\r\n.\r\nMAIL FROM:<x@example.com>"));
        let (head, _) = message.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> =
            head.split("\r\n").filter(|l| !l.starts_with(' ')).filter_map(|l| l.split_once(':')).map(|l| l.0).collect();
        assert_eq!(names, ["From", "To", "Subject", "Message-ID", "Date", "MIME-Version", "Content-Type"], "{head}");
        assert!(head.contains("To: ada@example.com\r\n"), "{head}");
    }

    #[test]
    fn a_mail_that_is_sent_again_has_the_same_id() {
        let message = written(&letter("Hello é", "text"));
        assert!(message.contains("Message-ID: <abc123@example.com>\r\n"), "{message}");
        assert!(message.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"), "{message}");
        assert!(message.contains("text/plain") && message.contains("text/html"));
    }
}
