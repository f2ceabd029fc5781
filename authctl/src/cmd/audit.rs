//! `authctl audit …`

use common::{Span, UnixTime, admin::AuditVerdict};
use serde_json::{Map, Value};

use super::Context;
use crate::{
    cli::{Audit, Format},
    error::{Error, Exit},
    io::Paint,
    output::{self, Shape, text, time},
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

const VERDICT: Shape = Shape { plural: "verdicts", id: "ok", columns: &[], record: &[] };

pub(super) async fn run(cx: &mut Context<'_>, command: Audit) -> Result<Exit, Error> {
    match command {
        Audit::List { user, event, since, page } => {
            let mut query = vec![];
            query.extend(user.map(|user| ("user", user)));
            query.extend(event.map(|event| ("event", event)));
            if let Some(since) = since {
                query.push(("since", since_when(&since)?.to_string()));
            }
            let limit = if page.all { usize::MAX } else { page.limit };
            let (mut items, more) = cx.admin.pages("/v1/audit", &query, limit).await?;
            // JSON has both as they are, in `actor` and `details`.
            let asked = cx.global.fields.iter().any(|name| name == "by" || name == "what");
            if asked || !cx.global.output.is_json() {
                items.iter_mut().for_each(in_words);
            }
            output::list(cx.io, &cx.global, &SHAPE, items, more)?;
            Ok(Exit::Done)
        }
        Audit::Verify => verify(cx).await,
    }
}

/// A time, or how long ago.
fn since_when(text: &str) -> Result<UnixTime, Error> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(times::now().minus(span));
    }
    text.parse().map_err(|e: String| Error::usage(e).fix("--since 2026-11-22T12:00:00Z, or --since 7d"))
}

/// Adds who it was, and the details in a line.
fn in_words(item: &mut Value) {
    let actor = item.get("actor").cloned().unwrap_or_default();
    let text = |name: &str| actor.get(name).and_then(Value::as_str).map(str::to_owned);
    let by = match text("kind").as_deref() {
        Some("operator") => {
            text("name").unwrap_or_else(|| format!("uid {}", actor.get("uid").cloned().unwrap_or_default()))
        }
        Some("user") if actor.get("user") == item.get("user") => "self".into(),
        Some("user") => text("user").unwrap_or_default(),
        Some(kind) => kind.to_owned(),
        None => String::new(),
    };
    let details: Map<String, Value> = item.get("details").and_then(Value::as_object).cloned().unwrap_or_default();
    let what = details.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    let what = what.collect::<Vec<_>>().join(" ");
    item["by"] = by.into();
    item["what"] = what.into();
}

async fn verify(cx: &mut Context<'_>) -> Result<Exit, Error> {
    let verdict: AuditVerdict = cx.admin.get("/v1/audit/verify").await?;
    if cx.global.output == Format::Table && cx.global.fields.is_empty() {
        let line = match (verdict.broken_at, &verdict.problem) {
            (Some(seq), problem) => format!(
                "{}  the chain breaks at record {seq}: {}",
                cx.io.paint(Paint::Bad, "broken"),
                problem.as_deref().unwrap_or_default()
            ),
            (None, _) => format!("{}  {} records, unbroken", cx.io.paint(Paint::Good, "ok"), verdict.records),
        };
        writeln!(cx.io.out, "{line}")?;
    } else {
        output::record(cx.io, &cx.global, &VERDICT, &verdict)?;
    }
    Ok(if verdict.ok { Exit::Done } else { Exit::CheckFailed })
}
