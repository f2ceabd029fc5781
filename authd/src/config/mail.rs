//! What can be configured of mail: how it is handed over, and from whom it is.

use std::{fmt, str::FromStr};

use common::{Email, text::is_forbidden_in_names};

use super::setting::choice;

choice! {
    /// How mails leave.
    Delivery {
        /// By SMTP where a host is named; else, in development, into the outbox; else not at all.
        Auto = "auto",
        /// By SMTP.
        Smtp = "smtp",
        /// Into a folder, and their links into the log.
        Outbox = "outbox",
        /// Not at all: whatever needs mail is not there.
        Off = "off",
    }
}

choice! {
    /// How the connection to the SMTP server is protected.
    Security {
        /// By TLS, which is asked for on the open connection and must come about.
        StartTls = "starttls",
        /// By TLS from the first byte.
        Tls = "tls",
        /// Not: for a server on this machine.
        None = "none",
    }
}

impl Security {
    /// The port where servers offer this.
    pub const fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// An address, with a name before it or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// What mail programs show.
    pub name: Option<String>,
    /// The address.
    pub email: Email,
}

impl FromStr for Mailbox {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no mailbox: write no-reply@example.com, or Example <no-reply@example.com>");
        let (name, address) = match text.trim().strip_suffix('>').and_then(|rest| rest.split_once('<')) {
            Some((name, address)) => (Some(name.trim().to_owned()).filter(|name| !name.is_empty()), address),
            None => (None, text),
        };
        // RFC 5322 knows quotes and comments; a name needs none of them here.
        let is_plain = |name: &String| {
            name.chars().count() <= 100 && !name.chars().any(|c| is_forbidden_in_names(c) || "<>\"(),;:\\".contains(c))
        };
        if !name.as_ref().is_none_or(is_plain) {
            return Err(wrong());
        }
        Ok(Self { name, email: address.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.email),
            None => write!(f, "{}", self.email),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_read_with_and_without_a_name() {
        let named: Mailbox = "Acme Accounts <No-Reply@Example.com>".parse().unwrap();
        assert_eq!(named.to_string(), "Acme Accounts <no-reply@example.com>");
        assert_eq!("a@example.com".parse::<Mailbox>().unwrap().name, None);
        assert_eq!("<a@example.com>".parse::<Mailbox>().unwrap().name, None);
    }

    #[test]
    fn rc_08_a_senders_name_brings_no_second_mailbox_and_no_header() {
        for bad in [
            "",
            "x",
            "A, B <a@example.com>",
            "A <a@example.com>, <b@example.com>",
            "A\r\nBcc: b@example.com <a@example.com>",
            "A <a@example.com",
            "\"A\" <a@example.com>",
            "A <a@example.com>\r\nBcc: <b@example.com>",
        ] {
            assert!(bad.parse::<Mailbox>().is_err(), "{bad:?}");
        }
    }
}
