//! What the configuration says of mail, put together: where mails go, and the password for it; and the task that sends them.

use std::{net::IpAddr, sync::Arc, time::Duration};

use common::SecretString;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::{
    config::{Config, Delivery, Mailbox, Security},
    crypto::secret_file,
    exit::{Exit, Failure},
    live::Live,
    mailer::{Outbox, Smtp, Tls},
    net,
    ports::Mailer,
    service::{Services, mail},
};

fn refuse(key: &str, message: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Configuration, format!("{key}: {message}"))
}

fn mailbox(of: &Mailbox) -> Result<lettre::message::Mailbox, Failure> {
    let email = of.email.as_str().parse().map_err(|e| refuse("mail.from", e))?;
    Ok(lettre::message::Mailbox::new(of.name.clone(), email))
}

/// From whom mails are where nobody reads them but who wrote the program.
#[allow(clippy::expect_used)]
fn somebody() -> Mailbox {
    Mailbox { name: None, email: "authd@localhost.localdomain".parse().expect("it is an address") }
}

/// What hands mails over, as configured; `None`: there is no mail.
///
/// # Errors
/// The password's file is not safe or missing, certificates cannot be read, the outbox cannot be made.
pub fn open(config: &Config) -> Result<Option<Arc<dyn Mailer>>, Failure> {
    let s = &config.settings.mail;
    let mailer: Arc<dyn Mailer> = match config.mail_delivery() {
        Delivery::Off | Delivery::Auto => return Ok(None),
        Delivery::Outbox => {
            let folder = config.places.outbox.clone();
            let from = mailbox(s.from.as_ref().unwrap_or(&somebody()))?;
            let outbox = Outbox::open(folder.clone(), from);
            Arc::new(outbox.map_err(|e| refuse("mail.outbox", format!("{}: {e}", folder.display())))?)
        }
        Delivery::Smtp => {
            let (Some(host), Some(from)) = (&s.host, &s.from) else {
                return Err(refuse("mail.host", "it must be set, and mail.from, where mail is sent"));
            };
            let port = match u16::try_from(s.port) {
                Ok(port @ 1..) => port,
                _ => s.security.port(),
            };
            let tls = match s.security {
                Security::StartTls => Tls::Start,
                Security::Tls => Tls::Whole,
                Security::None => Tls::None,
            };
            // An IPv6 address stands in brackets where a port follows it, and without them in a certificate.
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let host = if bare.parse::<IpAddr>().is_ok() { bare } else { host };
            let credentials = credentials(config)?;
            let smtp =
                Smtp::new((host, port), tls, s.ca_file.as_deref(), credentials, s.timeout.to_std(), mailbox(from)?);
            Arc::new(smtp.map_err(|e| refuse("mail.ca_file", e))?)
        }
    };
    info!(to = mailer.describe(), "mail is on");
    Ok(Some(mailer))
}

fn credentials(config: &Config) -> Result<Option<(String, SecretString)>, Failure> {
    let Some(user) = config.settings.mail.username.clone() else { return Ok(None) };
    let Some(place) = &config.places.mail_password else {
        return Err(refuse("mail.password_file", "it must be set where mail.username is")
            .fix("name the file with the password, or hand over the credential authd.mail-password"));
    };
    let read = secret_file::read(&place.path, place.is_credential);
    let text = read.map_err(|problem| refuse("mail.password_file", problem))?;
    let shown = place.path.display();
    let text = text.ok_or_else(|| refuse("mail.password_file", format!("{shown} has no password")))?;
    let line = text.expose();
    let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Some((user, SecretString::new(line.to_owned()))))
}

/// How often the daemon looks for mails that are due again.
const MAIL_EVERY: Duration = Duration::from_secs(30);

/// Sends what is queued, at once when it is and again when it is due, until the daemon stops. A mail that is being handed over
/// then goes again at the next start.
pub(crate) async fn send_mail(services: Arc<Live<Services>>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(MAIL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = services.get();
        tokio::select! {
            _ = ticks.tick() => {}
            () = now.mail.queued() => {}
            () = net::told(&mut stopping) => return,
        }
        let now = services.get();
        tokio::select! {
            outcome = mail::round(&now) => {
                if let Err(error) = outcome {
                    warn!(%error, "the mails that are due were not sent; it is tried again");
                }
            }
            () = net::told(&mut stopping) => return,
        }
    }
}
