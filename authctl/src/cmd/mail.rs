//! `authctl mail …`

use std::io::Write;

use common::{
    admin::{MailPreview, MailSent, MailsRetried, RetryMails, TestMail},
    text::printable,
};

use super::Context;
use crate::{
    cli::{Format, Mail},
    client::segment,
    error::{Error, Exit},
    output::{self, Shape, state, text, time},
};

const SHAPE: Shape = Shape {
    plural: "mails",
    id: "id",
    columns: &[
        text("id", "ID"),
        state("state", "STATE"),
        text("template", "MAIL"),
        text("to", "TO"),
        time("createdAt", "QUEUED"),
        text("attempts", "TRIED"),
        time("nextTry", "NEXT"),
        text("error", "ERROR"),
    ],
    record: &[],
};

const SENT: Shape =
    Shape { plural: "mails", id: "to", columns: &[], record: &[text("to", "to"), text("delivery", "handed over to")] };

const RETRIED: Shape =
    Shape { plural: "mails", id: "retried", columns: &[], record: &[text("retried", "tried again")] };

const PREVIEW: Shape = Shape { plural: "mails", id: "template", columns: &[], record: &[] };

pub(super) async fn run(cx: &mut Context<'_>, command: Mail) -> Result<Exit, Error> {
    match command {
        Mail::Queue { page } => {
            let limit = if page.all { usize::MAX } else { page.limit };
            let (items, more) = cx.admin.pages("/v1/mail", &[], limit).await?;
            output::list(cx.io, &cx.global, &SHAPE, items, more)?;
        }
        Mail::Test { to } => {
            cx.admin.acts(&["mail test", &to]);
            let sent: MailSent = cx.admin.post("/v1/mail/test", &TestMail { to }).await?;
            cx.done(&format!("a test mail to {} was handed over to {}", sent.to, sent.delivery))?;
            if cx.global.output != Format::Table {
                output::record(cx.io, &cx.global, &SENT, &sent)?;
            }
        }
        Mail::Retry { id, .. } => {
            let named = id.clone().unwrap_or_else(|| "all".to_owned());
            cx.admin.acts(&["mail retry", &named]);
            let wrong = |_| Error::nothing(format!("nothing to do: no mail has the id {named}"));
            let id = id.map(|id| id.parse()).transpose().map_err(wrong)?;
            let done: MailsRetried = cx.admin.post("/v1/mail/retry", &RetryMails { id }).await?;
            if done.retried == 0 {
                return Err(Error::nothing("nothing to do: no such mail has failed"));
            }
            cx.done(&format!("{} tried again now", done.retried))?;
            if cx.global.output != Format::Table {
                output::record(cx.io, &cx.global, &RETRIED, &done)?;
            }
        }
        Mail::Preview { template, html } => {
            let path = format!("/v1/mail/preview?template={}", segment(&template));
            let shown: MailPreview = cx.admin.get(&path).await?;
            if cx.global.output == Format::Table && cx.global.fields.is_empty() {
                let body = if html { shown.html } else { format!("Subject: {}\n\n{}", shown.subject, shown.text) };
                for line in body.trim_end().lines() {
                    writeln!(cx.io.out, "{}", printable(line))?;
                }
            } else {
                output::record(cx.io, &cx.global, &PREVIEW, &shown)?;
            }
        }
    }
    Ok(Exit::Done)
}
