//! `authctl keys …`

use std::path::Path;

use common::{
    admin::{CookieCacheSecret, KeysChanged, KeysRewrapped, RewrapKeys, RotateKeys},
    text::printable,
};
use serde_json::Value;

use super::{Context, secrets::master_key};
use crate::{
    cli::{Consent, Format, Keys},
    client::segment,
    error::{Error, Exit},
    output::{self, Shape, state, text, time},
    times::localised,
};

const SHAPE: Shape = Shape {
    plural: "keys",
    id: "kid",
    columns: &[
        text("kid", "KEY"),
        text("algorithm", "ALG"),
        state("state", "STATE"),
        time("signsAt", "SIGNS"),
        time("retiresAt", "RETIRES"),
        time("goneAt", "GONE"),
    ],
    record: &[],
};

const REWRAPPED: Shape =
    Shape { plural: "changes", id: "to", columns: &[text("from", "FROM"), text("to", "TO")], record: &[] };

const COOKIE_CACHE: Shape = Shape {
    plural: "secrets",
    id: "secret",
    columns: &[text("secret", "SECRET"), text("strategy", "STRATEGY")],
    record: &[],
};

const CHANGED: Shape = Shape { plural: "changes", id: "kid", columns: &[], record: &[] };

pub(super) async fn run(cx: &mut Context<'_>, command: Keys) -> Result<Exit, Error> {
    match command {
        Keys::List => {
            let (items, more) = cx.admin.pages("/v1/keys", &[], usize::MAX).await?;
            output::list(cx.io, &cx.global, &SHAPE, items, more)?;
            Ok(Exit::Done)
        }
        Keys::Rotate { now, consent } => {
            cx.admin.acts(&["keys rotate", if now { "--now" } else { "" }]);
            let request = |dry_run| {
                let body = RotateKeys { now, dry_run };
                ("/v1/keys/rotate".to_owned(), serde_json::to_value(body).unwrap_or_default())
            };
            change(cx, "rotating the signing key", "Rotate the signing key?", &consent, request).await
        }
        Keys::Rollback { consent } => {
            cx.admin.acts(&["keys rollback"]);
            let request = |dry_run| (format!("/v1/keys/rollback?dry_run={dry_run}"), Value::Null);
            change(cx, "taking a rotation back", "Take the last rotation back?", &consent, request).await
        }
        Keys::CookieCache => {
            cx.admin.acts(&["keys cookie-cache"]);
            let shown: CookieCacheSecret = cx.admin.post("/v1/keys/cookie-cache", &Value::Null).await?;
            match cx.global.output {
                Format::Table | Format::Id => writeln!(cx.io.out, "{}", printable(&shown.secret))?,
                _ => output::record(cx.io, &cx.global, &COOKIE_CACHE, &shown)?,
            }
            Ok(Exit::Done)
        }
        Keys::Rewrap { new_master_key, consent } => rewrap(cx, &new_master_key, &consent).await,
        Keys::Revoke { kid, consent } => {
            cx.admin.acts(&["keys revoke", &kid]);
            let request = |dry_run| (format!("/v1/keys/{}/revoke?dry_run={dry_run}", segment(&kid)), Value::Null);
            let question = format!("Revoke {kid} at once? Everybody who holds a token of it must get a new one.");
            change(cx, "revoking a key", &question, &consent, request).await
        }
    }
}

/// Changes the master key, and says where the file has to go.
async fn rewrap(cx: &mut Context<'_>, file: &Path, consent: &Consent) -> Result<Exit, Error> {
    let new_master_key = master_key(file)?;
    cx.admin.acts(&["keys rewrap", &file.display().to_string()]);
    let request = |dry_run| RewrapKeys { new_master_key: new_master_key.clone(), dry_run };
    if consent.dry_run || !consent.yes && cx.io.prompt.is_some() {
        let would: KeysRewrapped = cx.admin.post("/v1/keys/rewrap", &request(true)).await?;
        if consent.dry_run {
            return show_rewrapped(cx, &would);
        }
        would.timeline.iter().try_for_each(|line| cx.io.say(&format!("  {}", localised(line))))?;
    }
    cx.io.confirm(consent.yes, "changing the master key", "Change the master key?")?;
    let done: KeysRewrapped = cx.admin.post("/v1/keys/rewrap", &request(false)).await?;
    let exit = show_rewrapped(cx, &done)?;
    let place = done.master_key_file.as_deref().unwrap_or("/etc/authd/master.key");
    cx.io.say(&format!("next: mv {} {place}", file.display()))?;
    Ok(exit)
}

fn show_rewrapped(cx: &mut Context<'_>, done: &KeysRewrapped) -> Result<Exit, Error> {
    match cx.global.output {
        Format::Table if done.dry_run => {
            done.timeline.iter().try_for_each(|line| cx.io.say(&format!("  {}", localised(line))))?;
        }
        Format::Table => {
            for line in &done.timeline {
                cx.done(&localised(line))?;
            }
        }
        Format::Id => writeln!(cx.io.out, "{}", printable(&done.to))?,
        Format::Csv => {
            output::list(cx.io, &cx.global, &REWRAPPED, vec![serde_json::to_value(done).unwrap_or_default()], false)?;
        }
        Format::Json | Format::Jsonl => output::record(cx.io, &cx.global, &REWRAPPED, done)?,
    }
    Ok(Exit::Done)
}

/// Shows what would happen, asks, does it, shows what happened.
async fn change(
    cx: &mut Context<'_>,
    what: &str,
    question: &str,
    consent: &Consent,
    request: impl Fn(bool) -> (String, Value),
) -> Result<Exit, Error> {
    if consent.dry_run || !consent.yes && cx.io.prompt.is_some() {
        let (path, body) = request(true);
        let would: KeysChanged = cx.admin.post(&path, &body).await?;
        if consent.dry_run {
            return show(cx, &would);
        }
        would_say(cx, &would)?;
    }
    cx.io.confirm(consent.yes, what, question)?;
    let (path, body) = request(false);
    let changed: KeysChanged = cx.admin.post(&path, &body).await?;
    show(cx, &changed)
}

fn would_say(cx: &mut Context<'_>, would: &KeysChanged) -> Result<(), Error> {
    would.timeline.iter().try_for_each(|line| cx.io.say(&format!("  {}", localised(line))))
}

fn show(cx: &mut Context<'_>, changed: &KeysChanged) -> Result<Exit, Error> {
    match cx.global.output {
        Format::Table if changed.dry_run => would_say(cx, changed)?,
        Format::Table => {
            for line in &changed.timeline {
                cx.done(&localised(line))?;
            }
        }
        // A key that was made to be shown is not there afterwards: what would be touched is the other one.
        Format::Id => match &changed.previous {
            Some(previous) if changed.dry_run => writeln!(cx.io.out, "{}", previous.kid)?,
            _ => writeln!(cx.io.out, "{}", changed.key.kid)?,
        },
        Format::Csv => {
            let keys = changed.previous.iter().chain([&changed.key]);
            let items = keys.map(|key| serde_json::to_value(key).unwrap_or_default()).collect();
            output::list(cx.io, &cx.global, &SHAPE, items, false)?;
        }
        Format::Json | Format::Jsonl => output::record(cx.io, &cx.global, &CHANGED, changed)?,
    }
    Ok(Exit::Done)
}
