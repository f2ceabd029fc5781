//! `authctl backup …`: the daemon makes and keeps backups; what is done with a file is done by the program authd, by the rights
//! of who asks, so that no daemon opens a path that somebody names.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use common::{
    admin::{BackupContents, BackupJob, BackupList, BackupView, BackupsPruned, PruneBackups, VerifyBackup},
    error::AdminErrorBody,
    text::bytes,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Context;
use crate::{
    cli::{Backup, Format, Global, Recipient},
    client::segment,
    error::{Error, Exit},
    io::{Io, Paint},
    output::{self, Shape, many, text, time},
    times::local,
};

const SHAPE: Shape = Shape {
    plural: "backups",
    id: "name",
    columns: &[text("name", "NAME"), text("bytes", "SIZE"), time("madeAt", "MADE")],
    record: &[],
};

const CONTENTS: Shape = Shape {
    plural: "backups",
    id: "name",
    columns: &[],
    record: &[
        text("name", "name"),
        text("bytes", "bytes"),
        time("madeAt", "made"),
        text("sequence", "sequence"),
        text("users", "users"),
        text("sessions", "sessions"),
        text("fingerprint", "master key"),
        text("recoverable", "recoverable"),
    ],
};

/// What authd tells of a drill; people read it in its own words.
const DRILLED: Shape = Shape {
    plural: "drills",
    id: "name",
    columns: &[],
    record: &[
        text("name", "name"),
        text("passed", "passed"),
        text("openedBy", "opened by"),
        time("madeAt", "made"),
        text("sequence", "sequence"),
        text("users", "users"),
    ],
};

/// A recipient that was made.
const MADE: Shape = Shape {
    plural: "recipients",
    id: "recipient",
    columns: &[],
    record: &[text("recipient", "recipient"), text("file", "file")],
};

const RECIPIENTS: Shape =
    Shape { plural: "recipients", id: "recipient", columns: &[text("recipient", "RECIPIENT")], record: &[] };

/// How often is asked how far a backup has come.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Work on a file, for which there is no need of a daemon.
pub(super) struct OnFile {
    /// The command line of authd that does it.
    words: Vec<PathBuf>,
    /// What it answers with.
    shape: &'static Shape,
}

/// What authd is to do, if this is work on a file.
pub(super) fn without_daemon(command: &Backup) -> Option<OnFile> {
    let words = |verb: &str, file: &PathBuf| vec!["backup".into(), verb.into(), file.clone()];
    let with = |mut words: Vec<PathBuf>, flag: &str, value: &Option<PathBuf>| {
        words.extend(value.iter().flat_map(|value| [PathBuf::from(flag), value.clone()]));
        words
    };
    let (words, shape) = match command {
        Backup::Verify { backup, identity } if identity.is_some() || is_file(backup) => {
            (with(words("verify", backup), "--identity", identity), &CONTENTS)
        }
        Backup::Drill { file, identity, scratch } => {
            (with(with(words("drill", file), "--identity", identity), "--scratch", scratch), &DRILLED)
        }
        Backup::Recipient(Recipient::New { file }) => (words("new-identity", file), &MADE),
        _ => return None,
    };
    Some(OnFile { words, shape })
}

/// Names in the list have no directory.
fn is_file(backup: &Path) -> bool {
    backup.components().count() > 1 || backup.exists()
}

/// The program beside this one, else the one that is found by its name.
fn program() -> PathBuf {
    let own = std::env::current_exe().ok().map(|own| own.with_file_name("authd"));
    own.filter(|path| path.is_file()).unwrap_or_else(|| "authd".into())
}

/// Has authd do it.
pub(super) fn by_authd(global: &Global, io: &mut Io, OnFile { words, shape }: &OnFile) -> Result<Exit, Error> {
    let program = program();
    let is_for_people = global.output == Format::Table && global.fields.is_empty();
    let form = (!is_for_people).then_some("--json");
    let done = Command::new(&program).args(words).args(form).env("AUTHD_LOG__LEVEL", "warn").output();
    let done = done.map_err(|e| {
        Error::failed(format!("{} cannot be run: {e}", program.display())).fix("install authd on this host too")
    })?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if !done.status.success() {
        let exit = match done.status.code() {
            Some(74) => Exit::CheckFailed,
            Some(77) => Exit::NotPermitted,
            _ => Exit::Failed,
        };
        let (message, fix) = err.trim_end().split_once("\n  fix: ").unwrap_or((err.trim_end(), ""));
        let message = message.lines().last().unwrap_or_default().trim_start_matches("authd: ");
        let error = Error::new(exit, message);
        return Err(if fix.is_empty() { error } else { error.fix(fix) });
    }
    if is_for_people {
        write!(io.out, "{out}")?;
    } else {
        let odd = |e| Error::failed(format!("{} answered what is no JSON: {e}", program.display()));
        let found: Value = serde_json::from_str(&out).map_err(odd)?;
        output::record(io, global, shape, &found)?;
    }
    Ok(Exit::Done)
}

pub(super) async fn run(cx: &mut Context<'_>, command: Backup) -> Result<Exit, Error> {
    match command {
        Backup::Create { file } => create(cx, file).await?,
        Backup::List => list(cx).await?,
        Backup::Verify { backup, .. } => {
            let name = backup.to_string_lossy().into_owned();
            let job: BackupJob = cx.admin.post("/v1/backups/verify", &VerifyBackup { name }).await?;
            let found = followed(cx, job, "reading").await?;
            output::record(cx.io, &cx.global, &CONTENTS, &found)?;
            cx.done(&format!("{} is whole: every byte was read", found.name))?;
        }
        Backup::Prune { keep, consent } => prune(cx, keep, consent.yes, consent.dry_run).await?,
        Backup::Recipient(_) => {
            let there: BackupList = cx.admin.get("/v1/backups").await?;
            let items = there.recipients.into_iter().map(|recipient| json!({"recipient": recipient})).collect();
            output::list(cx.io, &cx.global, &RECIPIENTS, items, false)?;
        }
        // Done without a daemon, above.
        Backup::Drill { .. } => {}
    }
    Ok(Exit::Done)
}

/// For people the size has a unit, as everywhere.
fn values(global: &Global, items: &[BackupView]) -> Vec<Value> {
    let value = |item: &BackupView| {
        let mut value = serde_json::to_value(item).unwrap_or_default();
        if global.output == Format::Table {
            value["bytes"] = bytes(item.bytes).into();
        }
        value
    };
    items.iter().map(value).collect()
}

async fn list(cx: &mut Context<'_>) -> Result<(), Error> {
    let there: BackupList = cx.admin.get("/v1/backups").await?;
    output::list(cx.io, &cx.global, &SHAPE, values(&cx.global, &there.items), false)?;
    if cx.global.output == Format::Table {
        let by_itself = match (&there.every, there.keep) {
            (Some(every), Some(keep)) => format!("one every {every}, {keep} kept"),
            _ => "none are made by themselves: set backup.directory".into(),
        };
        cx.io.say(&format!("in {}; {by_itself}", there.directory))?;
        if there.recipients.is_empty() {
            cx.io.say_marked(Paint::Warn, "!", "no recovery recipient: they open with the master key only")?;
        }
    }
    Ok(())
}

/// Waits until a job is done, and shows how far it has come.
async fn followed(cx: &mut Context<'_>, mut job: BackupJob, what: &str) -> Result<BackupContents, Error> {
    let bar = bar(cx, what);
    let id = job.id.clone();
    while job.state == "working" {
        tokio::time::sleep(ASK_EVERY).await;
        let there: BackupList = cx.admin.get("/v1/backups").await?;
        let gone = || Error::failed("the backup was not done: the daemon does not know of it any more");
        job = there.job.filter(|job| job.id == id).ok_or_else(gone)?;
        // The total is an estimate until the end.
        bar.set_length(job.total.max(job.done));
        bar.set_position(job.done);
    }
    bar.finish_and_clear();
    match (job.contents, job.error) {
        (Some(contents), _) => Ok(contents),
        (None, error) => {
            let exit = if what == "reading" { Exit::CheckFailed } else { Exit::Failed };
            Err(Error::new(exit, error.unwrap_or_else(|| "the backup was not done".into())))
        }
    }
}

/// Shown to a person at a terminal only.
fn bar(cx: &Context<'_>, what: &str) -> ProgressBar {
    if cx.io.prompt.is_none() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes} of {total_bytes}, {eta} left");
    let bar = ProgressBar::no_length().with_message(what.to_owned());
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

async fn create(cx: &mut Context<'_>, file: Option<PathBuf>) -> Result<(), Error> {
    let to_stdout = file.as_deref() == Some(Path::new("-"));
    // Before anything is made: a large backup takes long, and a place that cannot be written is known at once.
    let mut target = file.filter(|_| !to_stdout).map(Target::open).transpose()?;
    let made = made(cx).await;
    if let (Err(_), Some(target)) = (&made, &target) {
        target.forget();
    }
    let made = made?;
    if target.is_some() || to_stdout {
        let handed_over = hand_over(cx, &made.name, target.as_mut()).await;
        handed_over.map_err(|e| still_there(e, &made.name))?;
    }
    if to_stdout {
        return Ok(());
    }
    let place = target.as_ref().map_or_else(|| made.name.clone(), |target| target.path.display().to_string());
    cx.done(&format!("{place}: {}, up to {}, read back", many(made.users, "user"), local(made.made_at)))?;
    if !made.recoverable && cx.global.output == Format::Table {
        cx.io.say_marked(Paint::Warn, "!", "no recovery recipient: it opens with the master key only")?;
    }
    if cx.global.output != Format::Table {
        output::record(cx.io, &cx.global, &CONTENTS, &made)?;
    }
    Ok(())
}

async fn made(cx: &mut Context<'_>) -> Result<BackupContents, Error> {
    let job: BackupJob = cx.admin.post("/v1/backups", &json!({})).await?;
    followed(cx, job, "making").await
}

/// To a file or standard output, and out of the daemon's directory.
async fn hand_over(cx: &mut Context<'_>, name: &str, target: Option<&mut Target>) -> Result<(), Error> {
    match target {
        Some(target) => save(cx, name, target).await?,
        None => download(cx, name, None).await?,
    }
    let _: BackupsPruned = cx.admin.delete(&format!("/v1/backups/{}", segment(name))).await?;
    Ok(())
}

/// The backup was made, and what was to be done with it was not: also where the reader of our output has had enough.
fn still_there(error: Error, name: &str) -> Error {
    let there = format!("the backup is made, and stays in the daemon's directory as {name}");
    match error {
        Error::Closed => Error::failed("the output was closed before all of it was written").cause(there),
        Error::Refused(body) => Error::Refused(AdminErrorBody { cause: body.cause.or(Some(there)), ..body }),
        Error::Here { .. } | Error::Declined => error.cause(there),
    }
}

/// A file of the caller's, for its owner only, which has its name when all of it is on disk.
struct Target {
    path: PathBuf,
    /// The name until then.
    unborn: PathBuf,
    file: File,
}

impl Target {
    fn open(path: PathBuf) -> Result<Self, Error> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::new(Exit::Conflict, format!("{} is there already", path.display()))
                .fix("name a file that is not there yet"));
        }
        let mut unborn = path.as_os_str().to_owned();
        unborn.push(".unborn");
        let unborn = PathBuf::from(unborn);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unborn);
        let file = opened.map_err(|e| {
            let error = Error::failed(format!("{} cannot be written: {e}", unborn.display()));
            match e.kind() {
                ErrorKind::AlreadyExists => error.fix("it is left of a backup that broke off: remove it"),
                _ => error,
            }
        })?;
        Ok(Self { path, unborn, file })
    }

    /// Under its own name, on disk.
    fn finish(&self) -> Result<(), Error> {
        let done = self.file.sync_all().and_then(|()| std::fs::hard_link(&self.unborn, &self.path));
        done.map_err(|e| Error::failed(format!("{} cannot be written: {e}", self.path.display())))
    }

    /// Nothing is left of its first name; if that fails, the next run says so.
    fn forget(&self) {
        let _ = std::fs::remove_file(&self.unborn);
    }
}

async fn save(cx: &mut Context<'_>, name: &str, target: &mut Target) -> Result<(), Error> {
    let saved = download(cx, name, Some(&mut target.file)).await.and_then(|()| target.finish());
    target.forget();
    saved
}

async fn download(cx: &mut Context<'_>, name: &str, mut file: Option<&mut File>) -> Result<(), Error> {
    let there: BackupList = cx.admin.get("/v1/backups").await?;
    let size = there.items.iter().find(|item| item.name == name).map_or(0, |item| item.bytes);
    let bar = bar(cx, "saving");
    bar.set_length(size);
    let mut from = 0;
    while from < size {
        let piece = cx.admin.bytes(&format!("/v1/backups/{}?from={from}", segment(name))).await?;
        if piece.is_empty() {
            return Err(Error::failed(format!("{name} ended after {} of {}", bytes(from), bytes(size))));
        }
        match &mut file {
            Some(file) => file.write_all(&piece)?,
            None => cx.io.out.write_all(&piece)?,
        }
        from += piece.len() as u64;
        bar.set_position(from);
    }
    cx.io.out.flush()?;
    bar.finish_and_clear();
    Ok(())
}

async fn prune(cx: &mut Context<'_>, keep: u32, yes: bool, dry_run: bool) -> Result<(), Error> {
    cx.admin.acts(&["backup prune", &keep.to_string()]);
    let would: BackupsPruned = cx.admin.post("/v1/backups/prune", &PruneBackups { keep, dry_run: true }).await?;
    let count = would.removed.len() as u64;
    if dry_run || count == 0 {
        if cx.global.output == Format::Table {
            cx.io.say(&format!("would remove {}", many(count, "backup")))?;
        }
        return output::list(cx.io, &cx.global, &SHAPE, values(&cx.global, &would.removed), false);
    }
    cx.io.confirm(yes, "removing backups", &format!("Remove {}?", many(count, "backup")))?;
    let done: BackupsPruned = cx.admin.post("/v1/backups/prune", &PruneBackups { keep, dry_run: false }).await?;
    cx.done(&format!("removed {}", many(done.removed.len() as u64, "backup")))?;
    if cx.global.output != Format::Table {
        output::list(cx.io, &cx.global, &SHAPE, values(&cx.global, &done.removed), false)?;
    }
    Ok(())
}
