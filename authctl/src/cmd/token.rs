//! `authctl token …`

use common::{
    UnixTime,
    admin::{TokenReport, TokenRequest},
    text::printable,
};
use serde_json::Value;

use super::{Context, secrets, service_token};
use crate::{
    cli::{Format, Token},
    error::{Error, Exit},
    io::Paint,
    output::{self, Shape},
    times,
};

const SHAPE: Shape = Shape { plural: "tokens", id: "kind", columns: &[], record: &[] };

pub(super) async fn run(cx: &mut Context<'_>, command: Token) -> Result<Exit, Error> {
    let (path, source, verifying) = match command {
        Token::Service(command) => return service_token::run(cx, command).await,
        Token::Inspect { source } => ("/v1/tokens/inspect", source, false),
        Token::Verify { source } => ("/v1/tokens/verify", source, true),
    };
    let token = secrets::token(cx, &source)?;
    let report: TokenReport = cx.admin.post(path, &TokenRequest { token }).await?;
    match cx.global.output {
        Format::Table if cx.global.fields.is_empty() => match verifying {
            true => verdict(cx, &report, true)?,
            false => explain(cx, &report)?,
        },
        Format::Id => {
            if let Some(session) = &report.session {
                writeln!(cx.io.out, "{}", session.id)?;
            }
        }
        Format::Table | Format::Json | Format::Jsonl | Format::Csv => {
            output::record(cx.io, &cx.global, &SHAPE, &report)?;
        }
    }
    Ok(if verifying && !report.valid { Exit::CheckFailed } else { Exit::Done })
}

/// One line; with the `reason`, where no list of checks says it.
fn verdict(cx: &mut Context<'_>, report: &TokenReport, reason: bool) -> Result<(), Error> {
    let line = match (&report.code, &report.session) {
        (None, Some(session)) => {
            format!("{}  {} of {}", cx.io.paint(Paint::Good, "valid"), report.kind, printable(&session.email))
        }
        (None, None) => {
            let of = report.service.as_ref().map(|service| format!(" of {}", service.name)).unwrap_or_default();
            format!("{}  {}{of}", cx.io.paint(Paint::Good, "valid"), report.kind)
        }
        (Some(code), _) => {
            let reason = report.reason.as_deref().filter(|_| reason);
            let reason = reason.map(|text| format!("  {}", printable(text))).unwrap_or_default();
            format!("{}  {code}{reason}", cx.io.paint(Paint::Bad, "not valid"))
        }
    };
    Ok(writeln!(cx.io.out, "{line}")?)
}

/// A claim for people: times are times.
fn claim(name: &str, value: &Value, now: UnixTime) -> String {
    match (name, value.as_i64()) {
        ("iat" | "exp" | "nbf", Some(secs)) => {
            let at = UnixTime::from_secs(secs);
            format!("{secs}  {}  ({})", times::local(at), times::relative(at, now))
        }
        _ => match value {
            Value::String(text) => printable(text),
            other => printable(&other.to_string()),
        },
    }
}

fn explain(cx: &mut Context<'_>, report: &TokenReport) -> Result<(), Error> {
    verdict(cx, report, false)?;
    let now = times::now();
    for (title, part) in [("header", &report.header), ("claims", &report.claims)] {
        let Some(Value::Object(members)) = part else { continue };
        writeln!(cx.io.out, "\n{}", cx.io.paint(Paint::Strong, title))?;
        let width = members.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in members {
            writeln!(cx.io.out, "  {:<width$}  {}", printable(name), claim(name, value, now))?;
        }
    }
    writeln!(cx.io.out, "\n{}", cx.io.paint(Paint::Strong, "checks"))?;
    for check in &report.checks {
        let mark = if check.ok { cx.io.paint(Paint::Good, "✓") } else { cx.io.paint(Paint::Bad, "✗") };
        writeln!(cx.io.out, "  {mark} {:<10} {}", check.check, printable(&check.found))?;
    }
    Ok(())
}
