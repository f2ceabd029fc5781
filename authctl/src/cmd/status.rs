//! `authctl status`

use common::{
    UnixTime,
    admin::{BackupStatus, MailStatus, Status},
    text::bytes,
};
use serde_json::{Value, json};

use super::Context;
use crate::{
    cli::Format,
    error::{Error, Exit},
    io::Paint,
    output::{self, Shape, many, state, text, time},
    times::{local, relative},
};

const SHAPE: Shape = Shape { plural: "daemons", id: "pid", columns: RECORD, record: RECORD };

const RECORD: &[output::Column] = &[
    state("state", "state"),
    text("public", "public"),
    text("listens", "listens on"),
    text("daemon", "daemon"),
    time("startedAt", "started"),
    text("stored", "stored"),
    text("log", "commit log"),
    text("snapshot", "snapshot"),
    text("backup", "backup"),
    text("signingKey", "signing key"),
    text("hashing", "hashing"),
    text("mail", "mail"),
    text("connections", "connections"),
    text("dataDir", "data"),
    text("config", "configuration"),
    time("configReadAt", "config read"),
    text("role", "your role"),
];

/// `smtp mail.example.com:587, 3 waiting, 1 given up; last failure …`
fn mail(mail: &MailStatus) -> String {
    let Some(delivery) = &mail.delivery else { return "off".into() };
    let dead = if mail.dead > 0 { format!(", {} given up", mail.dead) } else { String::new() };
    let failure = mail.last_failure.as_ref();
    let failure = failure.map(|f| format!("; last failure {}: {}", local(f.at), f.error)).unwrap_or_default();
    format!("{delivery}, {} waiting{dead}{failure}", mail.waiting)
}

/// `2026-11-22 17:16  (3h ago), 2.1 MiB; one every 1d`
fn backup(backup: &BackupStatus, now: UnixTime) -> String {
    let last = backup.last.as_ref().map_or_else(
        || "none so far".into(),
        |last| format!("{}  ({}), {}", local(last.made_at), relative(last.made_at, now), bytes(last.bytes)),
    );
    match &backup.every {
        Some(every) => format!("{last}; one every {every}"),
        None => format!("{last}; none is made by itself"),
    }
}

/// What people see of a status.
fn for_people(status: &Status) -> Value {
    let counts = &status.counts;
    let hashing = &status.hashing;
    let stored = [many(counts.users, "user"), many(counts.sessions, "session"), many(counts.audit, "audit record")];
    let files = &status.store;
    let snapshot = files.snapshot.as_ref().map(|snapshot| {
        format!("{}  ({}), {}", local(snapshot.made_at), relative(snapshot.made_at, status.now), bytes(snapshot.bytes))
    });
    json!({
        "state": if status.ready { "ready" } else { "not ready" },
        "public": status.public_url,
        "listens": status.listen.join(", "),
        "daemon": format!("authd {}, {} mode, pid {}", status.version, status.mode, status.pid),
        "startedAt": status.started_at,
        "stored": stored.join(", "),
        "log": bytes(files.log_bytes),
        "snapshot": snapshot.unwrap_or_else(|| "none yet".into()),
        "backup": backup(&status.backup, status.now),
        "signingKey": status.signing_key,
        "hashing": format!("{}, {} waiting, room for {}", many(hashing.threads, "thread"), hashing.queued, hashing.capacity),
        "mail": mail(&status.mail),
        "connections": status.connections,
        "dataDir": status.data_dir,
        "config": status.config,
        "configReadAt": status.config_read_at,
        "role": status.role,
    })
}

pub(super) async fn run(cx: &mut Context<'_>) -> Result<Exit, Error> {
    let status: Status = cx.admin.get("/v1/status").await?;
    if cx.global.output == Format::Table && cx.global.fields.is_empty() {
        output::record(cx.io, &cx.global, &SHAPE, &for_people(&status))?;
        for problem in &status.problems {
            cx.io.say_marked(Paint::Bad, "!", problem)?;
        }
        if !status.needs_restart.is_empty() {
            let keys = status.needs_restart.join(", ");
            cx.io.say_marked(Paint::Bad, "!", &format!("changed, and in force only after a restart: {keys}"))?;
        }
        for note in &status.notes {
            cx.io.say_marked(Paint::Faint, "·", note)?;
        }
    } else {
        output::record(cx.io, &cx.global, &Shape { record: &[], columns: &[], ..SHAPE }, &status)?;
    }
    Ok(if status.ready { Exit::Done } else { Exit::CheckFailed })
}
