//! `authctl import …`: reads another server's accounts here, row by row, and hands them to authd in batches. authd checks
//! everything again and decides.
//!
//! The source is read three times: for the name of what is in it, to ask authd what would happen, and to do it. An account that is there is left as it
//! is, so an import that broke off goes on where it was, and one that is done does nothing.

mod better_auth;
mod export;
mod firebase;
mod source;
mod users;
mod values;

use common::{
    ImportId,
    import::{Finding, Findings, ImportBatch, ImportFields, ImportReport, ImportUndone, ImportView, UndoImport},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use self::source::{Pass, Source, Summary};
use super::Context;
use crate::{
    cli::{Consent, Import},
    client::segment,
    error::{Error, Exit},
    output::{self, Shape, many, text, time},
};

const PLAN: Shape = Shape {
    plural: "accounts",
    id: "finding",
    columns: &[text("group", "GROUP"), text("count", "COUNT"), text("what", "WHAT"), text("examples", "EXAMPLES")],
    record: &[],
};

const IMPORT: Shape = Shape {
    plural: "imports",
    id: "id",
    columns: &[
        text("id", "ID"),
        text("source", "SOURCE"),
        text("users", "ACCOUNTS"),
        text("passwords", "PASSWORDS"),
        text("sessions", "SESSIONS"),
        time("beganAt", "BEGAN"),
        time("changedAt", "CHANGED"),
    ],
    record: &[
        text("id", "id"),
        text("source", "source"),
        text("deletedUsers", "deleted accounts"),
        text("endedSessions", "ended sessions"),
    ],
};

pub(super) async fn run(cx: &mut Context<'_>, command: Import) -> Result<Exit, Error> {
    match command {
        Import::BetterAuth { file, consent } => {
            let mut source = better_auth::open(&file)?;
            source.room = room(cx).await?;
            import(cx, "better-auth", &source, &consent).await
        }
        Import::Users { file, firebase_hash_config, consent } => {
            let firebase = firebase_hash_config.as_deref().map(firebase::Project::read).transpose()?;
            let users = users::Users::new(&file, firebase, room(cx).await?);
            import(cx, "users", &users, &consent).await
        }
        Import::List => {
            let (items, more) = cx.admin.pages("/v1/imports", &[], usize::MAX).await?;
            output::list(cx.io, &cx.global, &IMPORT, items, more)?;
            Ok(Exit::Done)
        }
        Import::Undo { import, consent } => undo(cx, &import, &consent).await,
    }
}

/// What authd has room for.
async fn room(cx: &mut Context<'_>) -> Result<ImportFields, Error> {
    cx.admin.get("/v1/imports/fields").await
}

/// A bar, where a person looks.
fn bar(cx: &Context<'_>, total: u64, what: &'static str) -> ProgressBar {
    if cx.io.prompt.is_none() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:10} {wide_bar} {human_pos}/{human_len}  {eta}");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(what)
}

/// What one reading of the source brought.
struct Read {
    findings: Findings,
    /// What is left out as a whole, with how often it has a value.
    left_out: Vec<(Finding, String, u64)>,
    /// Names the rows.
    import: ImportId,
    accounts: u64,
}

fn id_of(name: &str, summary: &Summary) -> Result<ImportId, Error> {
    format!("{name}-{}", summary.digest).parse().map_err(|_| Error::failed("the import has no name"))
}

/// The name of what is in the source: the same rows have the same.
async fn named(cx: &Context<'_>, name: &str, source: &dyn Source) -> Result<ImportId, Error> {
    let bar = bar(cx, source.accounts()?, "reading");
    let mut pass = Pass::start(source)?;
    while let Some(accounts) = pass.next().await {
        bar.inc(accounts.len() as u64);
    }
    bar.finish_and_clear();
    id_of(name, &pass.finish()?)
}

/// Reads the whole source and hands it to authd, which stores it or only says what would happen.
async fn read(
    cx: &mut Context<'_>,
    name: &str,
    source: &dyn Source,
    import: &ImportId,
    dry_run: bool,
) -> Result<Read, Error> {
    let bar = bar(cx, source.accounts()?, if dry_run { "checking" } else { "importing" });
    let mut pass = Pass::start(source)?;
    let mut findings = Findings::default();
    while let Some(accounts) = pass.next().await {
        bar.inc(accounts.len() as u64);
        let batch = ImportBatch { import: import.clone(), source: name.into(), dry_run, accounts };
        let report: ImportReport = cx.admin.post("/v1/imports", &batch).await?;
        findings.merge(&report.findings);
    }
    bar.finish_and_clear();
    let summary = pass.finish()?;
    findings.merge(&summary.findings);
    let import = id_of(name, &summary)?;
    Ok(Read { findings, left_out: summary.left_out, import, accounts: summary.accounts })
}

/// A row for everything that was found, in the order in which people read it.
fn rows(read: &Read) -> Vec<Value> {
    let found = Finding::ALL.iter().filter_map(|finding| {
        let found = read.findings.0.get(finding)?;
        Some(json!({
            "group": finding.group(),
            "finding": finding.as_str(),
            "count": found.count,
            "what": finding.describe(),
            "examples": found.examples,
            "import": read.import,
        }))
    });
    let left_out = read.left_out.iter().map(|(finding, name, count)| {
        json!({
            "group": finding.group(),
            "finding": finding.as_str(),
            "count": count,
            "what": format!("{} {name}", finding.as_str()),
            "examples": [],
            "import": read.import,
        })
    });
    found.chain(left_out).collect()
}

async fn import(cx: &mut Context<'_>, name: &str, source: &dyn Source, consent: &Consent) -> Result<Exit, Error> {
    let id = named(cx, name, source).await?;
    let plan = read(cx, name, source, &id, true).await?;
    if consent.dry_run {
        cx.io.say(&format!("import {id}: nothing is written"))?;
        output::list(cx.io, &cx.global, &PLAN, rows(&plan), false)?;
        return Ok(Exit::Done);
    }
    let (users, sessions) = (plan.findings.count(Finding::User), plan.findings.count(Finding::Session));
    if users == 0 {
        output::list(cx.io, &cx.global, &PLAN, rows(&plan), false)?;
        return Err(Error::nothing("nothing to do: no account of it is new"));
    }
    let others = plan.accounts.saturating_sub(users);
    let others = match others {
        0 => String::new(),
        1 => "; 1 other stays out: see --dry-run".into(),
        others => format!("; {others} others stay out: see --dry-run"),
    };
    let counted = |users, sessions| format!("{} with {}", many(users, "account"), many(sessions, "session"));
    let question = format!("Import {}?{others}", counted(users, sessions));
    cx.io.confirm(consent.yes, "an import", &question)?;
    let done = read(cx, name, source, &id, false).await.map_err(|e| went_wrong(e, &id))?;
    let (users, sessions) = (done.findings.count(Finding::User), done.findings.count(Finding::Session));
    cx.done(&format!("imported {} as {id}", counted(users, sessions)))?;
    if done.import != id {
        cx.io.say("the source changed while it was read: import it again for what was added")?;
    }
    cx.io.say(&format!("take it back with: authctl import undo {id}"))?;
    output::list(cx.io, &cx.global, &PLAN, rows(&Read { import: id, ..done }), false)?;
    Ok(Exit::Done)
}

/// Some batches may be stored by then.
fn went_wrong(error: Error, import: &ImportId) -> Error {
    match error {
        Error::Here { .. } => error.fix(format!(
            "the same command goes on where this one ended; authctl import undo {import} takes back what is done"
        )),
        Error::Refused(_) | Error::Declined | Error::Closed => error,
    }
}

async fn undo(cx: &mut Context<'_>, import: &str, consent: &Consent) -> Result<Exit, Error> {
    let path = format!("/v1/imports/{}/undo", segment(import));
    let preview: ImportUndone = cx.admin.post(&path, &UndoImport { dry_run: true }).await?;
    let ImportView { id, users, .. } = preview.import;
    if consent.dry_run {
        cx.io.say(&format!("would delete {}, with everything that belongs to them", many(users, "account")))?;
        return report(cx, &id, 0, 0);
    }
    let question = format!("Delete {} of {id}, with everything that belongs to them?", many(users, "account"));
    cx.io.confirm(consent.yes, "taking an import back", &question)?;
    let bar = bar(cx, users, "deleting");
    let (mut deleted, mut ended) = (0, 0);
    loop {
        let step: ImportUndone = cx.admin.post(&path, &UndoImport::default()).await?;
        bar.inc(step.users);
        (deleted, ended) = (deleted + step.users, ended + step.sessions);
        if step.left == 0 {
            break;
        }
    }
    bar.finish_and_clear();
    cx.done(&format!("{id} is taken back: deleted {}, ended {}", many(deleted, "account"), many(ended, "session")))?;
    report(cx, &id, deleted, ended)
}

fn report(cx: &mut Context<'_>, id: &ImportId, deleted: u64, ended: u64) -> Result<Exit, Error> {
    let item = json!({ "id": id, "deletedUsers": deleted, "endedSessions": ended });
    output::record(cx.io, &cx.global, &IMPORT, &item)?;
    Ok(Exit::Done)
}
