//! Backups.

use std::sync::atomic::Ordering;

use common::{
    ErrorCode,
    admin::{BackupJob, BackupList, BackupStatus, BackupView, BackupsPruned, PruneBackups, VerifyBackup},
};
use http::HeaderValue;

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::{Act, EventKind, Role},
    door::Reply,
    service::{
        Services,
        backups::{self, BackupError, BackupFile, Job, State},
    },
};

/// What a backup is, while it goes over the socket.
const SEALED: HeaderValue = HeaderValue::from_static("application/octet-stream");

impl From<BackupError> for AdminError {
    fn from(e: BackupError) -> Self {
        match e {
            BackupError::Missing => Self::new(ErrorCode::NotFound).cause(e.to_string()).fix("authctl backup list"),
            BackupError::Changing => Self::new(ErrorCode::Busy).cause(e.to_string()),
            BackupError::Full => Self::new(ErrorCode::StoreUnavailable)
                .cause(e.to_string())
                .fix("make room where backup.directory is, or authctl backup prune"),
            BackupError::Damaged(_) => Self::new(ErrorCode::Conflict).cause(e.to_string()),
            BackupError::Io(_) => Self::new(ErrorCode::StoreUnavailable).cause(e.to_string()),
        }
    }
}

fn view(file: &BackupFile) -> BackupView {
    BackupView { name: file.name.clone(), bytes: file.bytes, made_at: file.made_at }
}

fn job_view(job: &Job) -> BackupJob {
    let (state, contents, error) = match &job.state {
        State::Working => ("working", None, None),
        State::Done(file, content) => ("done", Some(content.clone().view(file.name.clone(), file.bytes)), None),
        State::Failed(error) => ("failed", None, Some(error.clone())),
    };
    let (done, total) = (&job.progress.done, &job.progress.total);
    BackupJob {
        id: job.id.clone(),
        state: state.into(),
        done: done.load(Ordering::Relaxed),
        total: total.load(Ordering::Relaxed),
        contents,
        error,
    }
}

/// How it stands with backups, and what of that a person should look at.
pub(super) async fn status(app: &Services, problems: &mut Vec<String>) -> BackupStatus {
    let (room, now) = (&app.backups, app.clock.now());
    let (newest, unread) = match backups::newest(app, now).await {
        Ok(newest) => (newest, None),
        Err(e) => (None, Some(e.to_string())),
    };
    let failure = room.unmade().map(|failed| failed.error).or(unread);
    let last = room.job().and_then(|job| if let State::Failed(error) = job.state { Some(error) } else { None });
    if let Some(error) = failure.as_ref().or(last.as_ref()) {
        problems.push(format!("the last backup failed: {error}"));
    }
    let missed = room.schedule.zip(newest.as_ref()).filter(|(plan, newest)| plan.is_missed(newest.made_at, now));
    if let Some((plan, newest)) = missed {
        problems
            .push(format!("the newest backup is of {}, and one is to be made every {}", newest.made_at, plan.every));
    }
    let every = room.schedule.map(|schedule| schedule.every.to_string());
    BackupStatus { last: newest.as_ref().map(view), every, failure }
}

fn begun(job: Option<Job>) -> Result<Reply, AdminError> {
    let busy = || {
        AdminError::new(ErrorCode::Conflict)
            .cause("a backup is being made or read already")
            .fix("wait until it is done: authctl backup list")
    };
    Ok(Reply::json(&job_view(&job.ok_or_else(busy)?)))
}

/// `GET /v1/backups`
///
/// # Errors
/// The directory cannot be read.
pub async fn list(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    let room = &app.services.backups;
    Ok(Reply::json(&BackupList {
        items: backups::list(&app.services).await?.iter().map(view).collect(),
        directory: room.shelf.directory(),
        every: room.schedule.map(|schedule| schedule.every.to_string()),
        keep: room.schedule.map(|schedule| schedule.keep as u64),
        recipients: room.shelf.recipients(),
        job: room.job().as_ref().map(job_view),
    }))
}

/// `POST /v1/backups`: begins one. `GET /v1/backups` tells how far it has come.
///
/// # Errors
/// `Conflict` while another one is made or read.
pub async fn make(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let job = backups::begin(&app.services, req.act(app.services.clock.now()));
    if job.is_some() {
        req.log_done(EventKind::BackupMade, "begun");
    }
    begun(job)
}

/// `POST /v1/backups/verify`: begins to read one to its end.
///
/// # Errors
/// `NotFound`; `Conflict` while another one is made or read.
pub async fn verify(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let VerifyBackup { name } = req.json()?;
    if !backups::list(&app.services).await?.iter().any(|file| file.name == name) {
        return Err(BackupError::Missing.into());
    }
    begun(backups::begin_verifying(&app.services, name))
}

/// `GET /v1/backups/{backup}?from=`: a piece of it; nothing behind its end.
///
/// # Errors
/// `NotFound`.
pub async fn piece(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let from = req.query::<u64>("from")?.unwrap_or(0);
    let piece = backups::piece(&app.services, req.param("backup").to_owned(), from).await?;
    Ok(Reply::bytes(SEALED, piece.into()))
}

/// `POST /v1/backups/prune`
///
/// # Errors
/// The directory cannot be changed.
pub async fn prune(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let PruneBackups { keep, dry_run } = req.json()?;
    let act = req.act(app.services.clock.now());
    let removed = backups::prune(&app.services, keep as usize, dry_run, act).await?;
    if !dry_run {
        req.log_done(EventKind::BackupsRemoved, &removed.len().to_string());
    }
    Ok(Reply::json(&BackupsPruned { removed: removed.iter().map(view).collect(), dry_run }))
}

/// `DELETE /v1/backups/{backup}`: for who may make backups the one that was made last, when it has been fetched; any other is for
/// administrators.
///
/// # Errors
/// `NotFound`, `Forbidden`.
pub async fn remove(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let name = req.param("backup").to_owned();
    let file = backups::list(&app.services).await?.into_iter().find(|file| file.name == name);
    let file = file.ok_or(BackupError::Missing)?;
    let last = app.services.backups.job();
    if !last.is_some_and(|job| matches!(job.state, State::Done(made, _) if made.name == name)) {
        req.require(Role::Admin, "remove a backup")?;
    }
    let act = Act { idempotency: None, ..req.act(app.services.clock.now()) };
    backups::remove(&app.services, name.clone(), act).await?;
    req.log_done(EventKind::BackupsRemoved, &name);
    Ok(Reply::json(&BackupsPruned { removed: vec![view(&file)], dry_run: false }))
}
