//! Mail: what waits, a test, another try, and what mails look like.

use common::admin::{
    MailFailure, MailPreview, MailSent, MailStatus, MailView, MailsRetried, Page, RetryMails, TestMail,
};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::{EventKind, Mail, mail::Template},
    door::Reply,
    service::mail::{self as service, Summary},
};

pub(super) fn view(summary: Summary) -> MailStatus {
    let Summary { delivery, waiting, dead, last_failure, oldest: _ } = summary;
    MailStatus { delivery, waiting, dead, last_failure: last_failure.map(|(at, error)| MailFailure { at, error }) }
}

fn item(mail: Mail) -> MailView {
    MailView {
        id: mail.id,
        state: if mail.is_dead { "dead" } else { "waiting" }.into(),
        template: mail.template.as_str().into(),
        to: mail.to.to_string(),
        created_at: mail.created_at,
        next_try: mail.next_try,
        attempts: mail.attempts,
        error: mail.error,
    }
}

/// `GET /v1/mail`
///
/// # Errors
/// `ValidationError`.
pub async fn queue(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let found = service::queue(&app.services, req.query("cursor")?, req.limit()?).await?;
    Ok(Reply::json(&Page { items: found.items.into_iter().map(item).collect::<Vec<_>>(), next: found.next }))
}

/// `POST /v1/mail/test`
///
/// # Errors
/// `ValidationError`, `Conflict` without mail, `MailFailed` with the server's words.
pub async fn test(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let TestMail { to } = req.json()?;
    let address = to.parse().map_err(|_| AdminError::validation(format!("'{to}' is no e-mail address")))?;
    let services = &app.services;
    service::send_test(services, &address, req.act(services.clock.now())).await?;
    req.log_done(EventKind::MailTested, address.as_str());
    let delivery = service::summary(services).await?.delivery.unwrap_or_default();
    Ok(Reply::json(&MailSent { to: address.to_string(), delivery }))
}

/// `POST /v1/mail/retry`
///
/// # Errors
/// `ValidationError`.
pub async fn retry(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let RetryMails { id } = req.json()?;
    let services = &app.services;
    let object = id.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string);
    let retried = service::retry(services, id, req.act(services.clock.now())).await?;
    if retried > 0 {
        req.log_done(EventKind::MailRetried, &object);
    }
    Ok(Reply::json(&MailsRetried { retried }))
}

/// `GET /v1/mail/preview`
///
/// # Errors
/// `ValidationError` if there is no such template, `MailFailed` if the operator's is wrong.
pub async fn preview(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let name: String = req.query("template")?.unwrap_or_else(|| Template::VerifyEmail.as_str().into());
    let unknown = || {
        let names: Vec<&str> = Template::ALL.iter().map(|template| template.as_str()).collect();
        AdminError::validation(format!("there is no template '{name}': there are {}", names.join(", ")))
    };
    let template = Template::from_name(&name).ok_or_else(unknown)?;
    let shown = service::preview(&app.services, template)?;
    Ok(Reply::json(&MailPreview { template: name, subject: shown.subject, text: shown.text, html: shown.html }))
}
