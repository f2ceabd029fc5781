//! `authctl audit …`

use common::{
    Span, UnixTime,
    admin::{AuditErased, AuditVerdict, EraseAudit},
    text::printable,
};
use serde_json::{Map, Value};

use super::Context;
use crate::{
    cli::{Audit, Consent, Format},
    error::{Error, Exit},
    io::Paint,
    output::{self, Shape, many, text, time},
    times,
};

const SHAPE: Shape = Shape {
    plural: "audit records",
    id: "seq",
    columns: &[
        text("seq", "SEQ"),
        time("at", "WHEN"),
        text("event", "EVENT"),
        text("by", "BY"),
        text("user", "USER"),
        text("what", "DETAILS"),
        text("reason", "REASON"),
    ],
    record: &[],
};

const ERASED: Shape = Shape {
    plural: "erasures",
    id: "records",
    columns: &[text("user", "USER"), text("records", "RECORDS"), text("left", "LEFT")],
    record: &[text("user", "user"), text("records", "records"), text("left", "left")],
};

const VERDICT: Shape = Shape { plural: "verdicts", id: "ok", columns: &[], record: &[] };

pub(super) async fn run(cx: &mut Context<'_>, command: Audit) -> Result<Exit, Error> {
    match command {
        Audit::List { user, event, since, page } => {
            let mut query = vec![];
            query.extend(user.map(|user| ("user", user)));
            query.extend(event.map(|event| ("event", event)));
            if let Some(since) = since {
                query.push(("since", when("--since", &since)?.to_string()));
            }
            let addresses = cx.global.output == Format::Table && cx.global.fields.is_empty();
            if addresses {
                query.push(("addresses", "true".into()));
            }
            let limit = if page.all { usize::MAX } else { page.limit };
            let (mut items, more) = cx.admin.pages("/v1/audit", &query, limit).await?;
            // JSON has both as they are, in `actor` and `details`.
            let asked = cx.global.fields.iter().any(|name| name == "by" || name == "what");
            if asked || !cx.global.output.is_json() {
                items.iter_mut().for_each(in_words);
            }
            if addresses {
                items.iter_mut().for_each(by_address);
            }
            output::list(cx.io, &cx.global, &SHAPE, items, more)?;
            Ok(Exit::Done)
        }
        Audit::Verify => verify(cx).await,
        Audit::Erase { user, before, consent } => erase(cx, user, before, &consent).await,
    }
}

/// A time, or how long ago.
fn when(option: &str, text: &str) -> Result<UnixTime, Error> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(times::now().minus(span));
    }
    text.parse().map_err(|e: String| Error::usage(e).fix(format!("{option} 2026-11-22T12:00:00Z, or {option} 7d")))
}

/// Adds who it was, and the details in a line.
fn in_words(item: &mut Value) {
    let actor = item.get("actor").cloned().unwrap_or_default();
    let text = |name: &str| actor.get(name).and_then(Value::as_str).map(str::to_owned);
    let by = match text("kind").as_deref() {
        Some("operator") => {
            text("name").unwrap_or_else(|| format!("uid {}", actor.get("uid").cloned().unwrap_or_default()))
        }
        Some("service") => format!("service {}", text("name").unwrap_or_default()),
        Some("user") if actor.get("user").is_some() && actor.get("user") == item.get("user") => "self".into(),
        Some("user") => text("user").unwrap_or_else(|| "a user".into()),
        Some(kind) => kind.to_owned(),
        None => String::new(),
    };
    let details: Map<String, Value> = item.get("details").and_then(Value::as_object).cloned().unwrap_or_default();
    let what = details.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    let what = what.collect::<Vec<_>>().join(" ");
    let what = match item.get("erasedBy") {
        Some(by) => format!("erased, see {by}"),
        None => what,
    };
    item["by"] = by.into();
    item["what"] = what.into();
}

/// People know each other by address; what is piped or asked for by name is the id.
fn by_address(item: &mut Value) {
    if let Some(email) = item.get("email").cloned() {
        item["user"] = email;
    }
}

async fn verify(cx: &mut Context<'_>) -> Result<Exit, Error> {
    let verdict: AuditVerdict = cx.admin.get("/v1/audit/verify").await?;
    if cx.global.output == Format::Table && cx.global.fields.is_empty() {
        let line = match (verdict.broken_at, &verdict.problem) {
            (Some(seq), problem) => format!(
                "{}  the chain breaks at record {seq}: {}",
                cx.io.paint(Paint::Bad, "broken"),
                printable(problem.as_deref().unwrap_or_default())
            ),
            (None, _) => {
                let mut line =
                    format!("{}  {}, unbroken", cx.io.paint(Paint::Good, "ok"), many(verdict.records, "record"));
                if verdict.erased > 0 {
                    line += &format!("; {} of them erased", verdict.erased);
                }
                if let Some(until) = verdict.removed_until {
                    line += &format!("; {} before them removed, up to {}", verdict.removed, times::local(until));
                }
                line
            }
        };
        writeln!(cx.io.out, "{line}")?;
    } else {
        output::record(cx.io, &cx.global, &VERDICT, &verdict)?;
    }
    Ok(if verdict.ok { Exit::Done } else { Exit::CheckFailed })
}

/// What an erasure takes, in words.
fn taken(erased: &AuditErased) -> String {
    let records = many(erased.records, "record");
    if erased.events == 0 { records } else { format!("{records} and {}", many(erased.events, "event")) }
}

async fn erase(cx: &mut Context<'_>, user: String, before: Option<String>, consent: &Consent) -> Result<Exit, Error> {
    const PATH: &str = "/v1/audit/erase";
    cx.admin.acts(&["audit erase", &user, before.as_deref().unwrap_or_default()]);
    let before = before.as_deref().map(|text| when("--before", text)).transpose()?;
    let would: AuditErased = cx.admin.post(PATH, &EraseAudit { user, before, dry_run: true }).await?;
    if would.records + would.events == 0 {
        return Err(
            Error::nothing("nothing to do: no such record names this user").fix("authctl audit list --user USER")
        );
    }
    if consent.dry_run {
        cx.io.say(&format!("would erase {}", taken(&would)))?;
        output::record(cx.io, &cx.global, &ERASED, &would)?;
        return Ok(Exit::Done);
    }
    let question = format!("Erase for good what {} say of {}?", taken(&would), would.user);
    cx.io.confirm(consent.yes, "erasing audit records", &question)?;
    // By id: what was confirmed is what happens, whoever has the name by now.
    let request = EraseAudit { user: would.user.to_string(), before, dry_run: false };
    let erased: AuditErased = cx.admin.post(PATH, &request).await?;
    cx.done(&format!("erased what {} said", taken(&erased)))?;
    if erased.events_waiting > 0 {
        cx.io.say(&format!(
            "kept until the application has taken them: {} of the user (authctl events list --state waiting, then this command again)",
            many(erased.events_waiting, "event")
        ))?;
    }
    if cx.global.output != Format::Table {
        output::record(cx.io, &cx.global, &ERASED, &erased)?;
    }
    if erased.left > 0 {
        return Err(Error::failed(format!("{} left: too many for one act", many(erased.left, "record")))
            .fix("the same command again"));
    }
    Ok(Exit::Done)
}
