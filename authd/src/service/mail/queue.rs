//! Sending what is queued, and what operators do with the queue.

use common::{Email, MailId, SecretString, UnixTime};
use futures_util::{StreamExt, stream};
use tracing::{info, warn};

use super::{
    notice,
    template::{self, Rendered, TemplateProblem, Values},
    token, url, wake,
};
use crate::{
    domain::{
        Act, Event, EventKind, LinkState, Mail, Purpose,
        mail::{MailedLink, Template},
    },
    ports::{Letter, Mailer, MailerError},
    service::{ServiceError, Services},
    store::Page,
};

/// How many mails one round looks at.
const CHUNK: usize = 64;
/// How many are handed over at once.
const AT_ONCE: usize = 4;

/// Sends what is due. Answers how many were handed over. A mail is taken out of the queue once that is done: if the daemon is
/// killed in between, it goes again, with the same `Message-ID`.
///
/// # Errors
/// The store cannot be read or written.
pub async fn round(app: &Services) -> Result<u64, ServiceError> {
    let Some(mailer) = app.mail.mailer.as_deref() else { return Ok(0) };
    let _turn = app.mail.turn.lock().await;
    let mut sent = 0;
    loop {
        let due = app.store.due_mails(app.clock.now(), CHUNK).await?;
        let many = due.len();
        let outcomes = stream::iter(due).map(|mail| attend(app, mailer, mail)).buffer_unordered(AT_ONCE);
        for outcome in outcomes.collect::<Vec<_>>().await {
            sent += u64::from(outcome?);
        }
        if many < CHUNK {
            return Ok(sent);
        }
    }
}

/// Does with one mail what is to be done. Answers whether it was sent.
async fn attend(app: &Services, mailer: &dyn Mailer, mail: Mail) -> Result<bool, ServiceError> {
    let now = app.clock.now();
    if mail.is_dead || !is_worth_sending(app, &mail, now).await? {
        if !mail.is_dead {
            info!(mail = %mail.id, template = mail.template.as_str(), "a mail was not sent: its link is not good any more");
        }
        app.store.remove_mail(mail.id).await?;
        return Ok(false);
    }
    let outcome = match write(app, &mail) {
        Ok(letter) => mailer.send(&letter).await,
        // The operator's template is wrong, and can be mended.
        Err(problem) => Err(MailerError::Later(problem.to_string())),
    };
    match outcome {
        Ok(()) => {
            app.counts.mails_sent.one();
            app.store.remove_mail(mail.id).await?;
            Ok(true)
        }
        Err(error) => {
            let now = app.clock.now();
            let for_good = matches!(error, MailerError::Never(_));
            app.mail.failed(now, &error.to_string());
            app.counts.mail_failures.one();
            let (id, template) = (mail.id.clone(), mail.template.as_str());
            let mail = mail.failed(error.to_string(), for_good, app.policy.mail.patience, now);
            let (attempts, given_up, next_try) = (mail.attempts, mail.is_dead, mail.next_try);
            warn!(mail = %id, template, attempts, given_up, %next_try, %error, "a mail was not sent");
            app.store.note_mail(mail).await?;
            Ok(false)
        }
    }
}

/// Whether it still says something: a link that has expired, was used or is void helps nobody.
async fn is_worth_sending(app: &Services, mail: &Mail, now: UnixTime) -> Result<bool, ServiceError> {
    if now >= mail.send_by {
        return Ok(false);
    }
    let Some(MailedLink { digest, purpose, .. }) = &mail.link else { return Ok(true) };
    let Some(link) = app.store.link(digest).await? else { return Ok(false) };
    let owner = app.store.user(&link.user).await?;
    Ok(link.state(owner.as_deref(), *purpose, now) == LinkState::Good)
}

fn rendered(app: &Services, mail: &Mail, link: &str) -> Result<Rendered, TemplateProblem> {
    let policy = &app.policy.mail;
    let name = template::shown_name(&mail.name);
    let greeting = if name.is_empty() { "Hello,".to_owned() } else { format!("Hello {name},") };
    let expires = mail.link.as_ref().map(|_| mail.send_by.since(mail.created_at).to_string()).unwrap_or_default();
    // A mail to the new address speaks of the account's own as little as it can: there may be somebody else.
    let values: Values<'_> = [
        ("service", &policy.service),
        ("greeting", &greeting),
        ("name", name),
        ("email", mail.to.as_str()),
        ("new_email", mail.new_email.as_ref().map_or("", Email::as_str)),
        ("link", link),
        ("expires", &expires),
    ];
    template::render(mail.template, policy.templates.as_deref(), &values)
}

fn write(app: &Services, mail: &Mail) -> Result<Letter, TemplateProblem> {
    let link = mail.link.as_ref().map(|link| {
        let token = token(app, link.purpose, &link.nonce);
        url(&app.policy.mail.base, link.purpose, token.expose(), &link.target)
    });
    let Rendered { subject, text, html } = rendered(app, mail, link.as_ref().map_or("", SecretString::expose))?;
    let (id, to, at) = (mail.id.clone(), mail.to.clone(), mail.created_at);
    Ok(Letter { id, to, subject, text: text.into(), html: html.into(), link, at })
}

/// A page of the queue.
///
/// # Errors
/// The store cannot be read.
pub async fn queue(app: &Services, after: Option<String>, limit: usize) -> Result<Page<Mail>, ServiceError> {
    Ok(app.store.mails(after, limit).await?)
}

/// How the queue is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Where mails go; `None`: there is no mail.
    pub delivery: Option<String>,
    /// How many wait.
    pub waiting: u64,
    /// When the oldest of them was queued.
    pub oldest: Option<UnixTime>,
    /// How many were given up, and can be looked at for a while.
    pub dead: u64,
    /// The last failure since the start, and when that was.
    pub last_failure: Option<(UnixTime, String)>,
}

/// See [`Summary`].
///
/// # Errors
/// The store cannot be read.
pub async fn summary(app: &Services) -> Result<Summary, ServiceError> {
    const PAGE: usize = 1000;
    let last_failure = app.mail.last_failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let delivery = app.mail.mailer.as_ref().map(|mailer| mailer.describe());
    let mut summary = Summary { delivery, last_failure, ..Summary::default() };
    let mut after = None;
    loop {
        let page = app.store.mails(after, PAGE).await?;
        for mail in &page.items {
            if mail.is_dead {
                summary.dead += 1;
            } else {
                summary.waiting += 1;
                summary.oldest = Some(summary.oldest.map_or(mail.created_at, |oldest| oldest.min(mail.created_at)));
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(summary);
        }
    }
}

/// Lets one mail be tried again at once, or all that have failed.
///
/// # Errors
/// The store cannot be written.
pub async fn retry(app: &Services, which: Option<MailId>, act: Act) -> Result<u64, ServiceError> {
    let retried = app.store.retry_mails(which, act, Event::new(EventKind::MailRetried)).await?;
    if retried > 0 {
        wake(app);
    }
    Ok(retried)
}

/// Sends a test mail now, past the queue, and says how that went.
///
/// # Errors
/// `MailOff`, `MailFailed` with the server's words.
pub async fn send_test(app: &Services, to: &Email, act: Act) -> Result<(), ServiceError> {
    let mailer = app.mail.mailer.as_deref().ok_or(ServiceError::MailOff)?;
    let mail = notice(app, Template::Test, None, to, None, act.at).mail;
    let letter = write(app, &mail).map_err(|problem| ServiceError::MailFailed(problem.to_string()))?;
    // First the record: whoever uses mail to tell things leaves a trace.
    app.store.note_event(act, Event::new(EventKind::MailTested).with("to", to)).await?;
    if let Err(error) = mailer.send(&letter).await {
        app.mail.failed(app.clock.now(), &error.to_string());
        return Err(ServiceError::MailFailed(error.to_string()));
    }
    Ok(())
}

/// A template with made-up values.
pub type Preview = Rendered;

/// What a mail of this kind would look like, with the templates as they are now.
///
/// # Errors
/// `MailFailed` with what is wrong with the operator's template.
#[allow(clippy::expect_used)]
pub fn preview(app: &Services, template: Template) -> Result<Preview, ServiceError> {
    let now = app.clock.now();
    let to: Email = "ada@example.com".parse().expect("it is an address");
    let new: Email = "ada.new@example.com".parse().expect("it is an address");
    let mut mail = notice(app, template, None, &to, Some(&new), now).mail;
    mail.name = "Ada".into();
    let purpose = Purpose::ALL.into_iter().find(|purpose| Template::of(*purpose) == template);
    let link = purpose.map(|purpose| {
        mail.link = Some(MailedLink { nonce: [0; 16], digest: super::digest(""), purpose, target: "/".into() });
        mail.send_by = now.plus(app.policy.email.expires_in);
        url(&app.policy.mail.base, purpose, "EXAMPLE", "/")
    });
    let shown = rendered(app, &mail, link.as_ref().map_or("", SecretString::expose));
    shown.map_err(|problem| ServiceError::MailFailed(problem.to_string()))
}
