//! `authctl token service …`

use common::{
    ServiceName,
    admin::{CreateServiceToken, ServiceTokenMade, ServiceTokenRevoked},
    text::printable,
};
use serde_json::Value;

use super::Context;
use crate::{
    cli::{Consent, Format, ServiceToken},
    error::{Error, Exit},
    io::Paint,
    output::{self, Shape, state, text, time},
};

const SHAPE: Shape = Shape {
    plural: "service tokens",
    id: "name",
    columns: &[
        text("name", "SERVICE"),
        state("state", "STATE"),
        text("scopes", "SCOPES"),
        time("createdAt", "MADE"),
        time("expiresAt", "ENDS"),
        time("lastUsedAt", "LAST USED"),
    ],
    record: &[text("name", "service"), text("scopes", "scopes"), time("expiresAt", "ends")],
};

const MADE: Shape = Shape { plural: "service tokens", id: "token", columns: &[], record: &[] };

pub(super) async fn run(cx: &mut Context<'_>, command: ServiceToken) -> Result<Exit, Error> {
    match command {
        ServiceToken::Create { name, scope, expires } => {
            create(cx, CreateServiceToken { name, scopes: scope, expires }).await?;
        }
        ServiceToken::List => {
            let (items, more) = cx.admin.pages("/v1/service-tokens", &[], usize::MAX).await?;
            output::list(cx.io, &cx.global, &SHAPE, items, more)?;
        }
        ServiceToken::Revoke { name, consent } => revoke(cx, &name, &consent).await?,
    }
    Ok(Exit::Done)
}

/// The token goes to standard output alone, and the words about it elsewhere: so it can be piped to where it is kept.
async fn create(cx: &mut Context<'_>, wanted: CreateServiceToken) -> Result<(), Error> {
    cx.admin.acts(&["token service create", wanted.name.as_str()]);
    let made: ServiceTokenMade = cx.admin.post("/v1/service-tokens", &wanted).await?;
    for note in &made.notes {
        cx.io.say_marked(Paint::Warn, "!", note)?;
    }
    match cx.global.output {
        Format::Table | Format::Id => {
            cx.done(&format!("the token of {}; it is shown this once, and kept by nobody", made.service.name))?;
            writeln!(cx.io.out, "{}", printable(made.token.expose()))?;
        }
        Format::Json | Format::Jsonl | Format::Csv => {
            let mut record = serde_json::to_value(&made.service).unwrap_or_default();
            record["token"] = Value::from(made.token.expose());
            output::record(cx.io, &cx.global, &MADE, &record)?;
        }
    }
    Ok(())
}

async fn revoke(cx: &mut Context<'_>, name: &ServiceName, consent: &Consent) -> Result<(), Error> {
    cx.admin.acts(&["token service revoke", name.as_str()]);
    let path = |dry_run: bool| format!("/v1/service-tokens/{name}/revoke?dry_run={dry_run}");
    if consent.dry_run {
        let would: ServiceTokenRevoked = cx.admin.post(&path(true), &Value::Null).await?;
        cx.io.say(&format!("would revoke the token of {}", would.service.name))?;
        return output::record(cx.io, &cx.global, &SHAPE, &would.service);
    }
    let question = format!("Revoke the token of {name} at once?");
    cx.io.confirm(consent.yes, "revoking a service's token", &question)?;
    let done: ServiceTokenRevoked = cx.admin.post(&path(false), &Value::Null).await?;
    cx.done(&format!("the token of {name} is refused from now on"))?;
    if cx.global.output != Format::Table {
        output::record(cx.io, &cx.global, &SHAPE, &done.service)?;
    }
    Ok(())
}
