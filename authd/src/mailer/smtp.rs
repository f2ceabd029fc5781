//! Mails to an SMTP server (RFC 5321), with TLS, sign-in and time limits.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use common::SecretString;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::Mailbox,
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls as ClientTls, TlsParameters},
        extension::ClientId,
    },
};

use super::compose;
use crate::ports::{Letter, Mailer, MailerError};

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// By STARTTLS, which must come about.
    Start,
    /// From the first byte.
    Whole,
    /// Not.
    None,
}

/// See the module's text.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    place: String,
    limit: Duration,
}

/// Steps of handing a mail over: greeting, EHLO, TLS, AUTH, MAIL, RCPT, DATA, the text, and some room.
const STEPS: u32 = 10;

impl Smtp {
    /// To this server. `name` is what this one calls itself.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub fn new(
        (host, port): (&str, u16),
        tls: Tls,
        ca_file: Option<&Path>,
        credentials: Option<(String, SecretString)>,
        timeout: Duration,
        from: Mailbox,
    ) -> Result<Self, String> {
        let tls = match tls {
            Tls::None => ClientTls::None,
            Tls::Start => ClientTls::Required(parameters(host, ca_file)?),
            Tls::Whole => ClientTls::Wrapper(parameters(host, ca_file)?),
        };
        let name = ClientId::Domain(from.email.domain().to_owned());
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(port)
            .tls(tls)
            .timeout(Some(timeout))
            .hello_name(name);
        if let Some((user, password)) = credentials {
            builder = builder.credentials(Credentials::new(user, password.expose().to_owned()));
        }
        Ok(Self { transport: builder.build(), from, place: format!("smtp {host}:{port}"), limit: timeout * STEPS })
    }
}

fn parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let pem = std::fs::read(path).map_err(|e| wrong(&e))?;
        let certificate = Certificate::from_pem(&pem).map_err(|e| wrong(&e))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build().map_err(|e| format!("TLS: {e}"))
}

/// A refusal of the server is for good if it says so (5xx); everything else may be otherwise the next time. So may a refused
/// sign-in: it is a mistake of the configuration, and no reason to lose a mail.
fn judge(error: &SmtpError) -> MailerError {
    let is_of_the_mail = error.is_permanent() && !matches!(error.status().map(u16::from), Some(530 | 534 | 535 | 538));
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    let text = common::text::printable(&text).chars().take(300).collect();
    if is_of_the_mail { MailerError::Never(text) } else { MailerError::Later(text) }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, letter: &Letter) -> Result<(), MailerError> {
        let message = compose(letter, &self.from)?;
        // lettre's limit is for each read and write: a server that sends a byte at a time never comes to an end.
        match tokio::time::timeout(self.limit, self.transport.send(message)).await {
            Ok(outcome) => outcome.map(drop).map_err(|e| judge(&e)),
            Err(_) => Err(MailerError::Later("the server took too long".into())),
        }
    }

    fn describe(&self) -> String {
        self.place.clone()
    }
}
