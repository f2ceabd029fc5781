//! Backups while the daemon runs: asked for by an operator, or made as often as configured. One is made or read at a time; who
//! asks does not wait, and looks how far it has come.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use common::{Span, UnixTime};
use tracing::{info, warn};

use super::{Services, random::base62};
pub use crate::ports::{BackupError, BackupFile};
use crate::{
    domain::{Act, Event, EventKind},
    ports::{BackupContent, Backups, Progress},
    store::StoreError,
};

/// How long after a failure it is tried again.
pub const RETRY_AFTER: Span = Span::from_mins(10);
/// So much later than it should have been made, a backup is missed.
const LATE: Span = Span::from_hours(1);

/// The purpose of the secret that is the commit log's key.
const LOG: &str = "log";

/// When a backup is made without being asked for.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// So often, if anything has changed.
    pub every: Span,
    /// So many are kept.
    pub keep: usize,
}

/// How a job stands.
#[derive(Debug, Clone)]
pub enum State {
    /// It is being done.
    Working,
    /// It is done: this backup is whole.
    Done(BackupFile, BackupContent),
    /// It was not done, and why.
    Failed(String),
}

/// A backup that is made, or read to its end.
#[derive(Debug, Clone)]
pub struct Job {
    /// Tells one from another.
    pub id: String,
    /// How far it has come.
    pub progress: Arc<Progress>,
    /// How it stands.
    pub state: State,
}

/// That none could be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmade {
    /// When it was tried.
    pub at: UnixTime,
    /// Why.
    pub error: String,
}

/// What all who ask for backups share.
pub struct Room {
    /// Where backups are.
    pub shelf: Arc<dyn Backups>,
    /// When one is made by itself.
    pub schedule: Option<Schedule>,
    job: Mutex<Option<Job>>,
    unmade: Mutex<Option<Unmade>>,
    is_busy: AtomicBool,
}

/// What is to be done.
enum Work {
    Make(Box<Act>),
    Verify(String),
}

impl Schedule {
    /// Whether one should be there that is not, where this is the newest.
    pub fn is_missed(&self, newest: UnixTime, now: UnixTime) -> bool {
        now >= newest.plus(self.every).plus(LATE)
    }
}

impl Room {
    /// Without a job yet.
    pub fn new(shelf: Arc<dyn Backups>, schedule: Option<Schedule>) -> Self {
        Self { shelf, schedule, job: Mutex::default(), unmade: Mutex::default(), is_busy: AtomicBool::new(false) }
    }

    /// The last job.
    pub fn job(&self) -> Option<Job> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why none could be made when it was tried last; `None` as soon as one was.
    pub fn unmade(&self) -> Option<Unmade> {
        self.unmade.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_making(&self, failed: Option<Unmade>) {
        *self.unmade.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    }

    /// The job is over: whoever sees that can begin another one.
    fn end(&self, state: State) {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = job.as_mut() {
            job.state = state;
        }
        self.is_busy.store(false, Ordering::Release);
    }
}

/// Begins to make a backup. `None`: something is being done already.
pub fn begin(app: &Arc<Services>, act: Act) -> Option<Job> {
    start(app, Work::Make(Box::new(act)))
}

/// Begins to read a backup to its end. `None`: something is being done already.
pub fn begin_verifying(app: &Arc<Services>, name: String) -> Option<Job> {
    start(app, Work::Verify(name))
}

fn start(app: &Arc<Services>, work: Work) -> Option<Job> {
    let room = app.backups.clone();
    if room.is_busy.swap(true, Ordering::AcqRel) {
        return None;
    }
    let job = Job { id: base62(&*app.entropy, 16).as_str().into(), progress: Arc::default(), state: State::Working };
    *room.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job.clone());
    let (app, clock, begun, makes) = (app.clone(), app.clock.clone(), job.clone(), matches!(work, Work::Make(_)));
    // On a task of its own: a caller that hangs up does not stop it.
    let doing = tokio::spawn(async move {
        match work {
            Work::Make(act) => make(&app, *act, &begun.progress).await,
            Work::Verify(name) => verify(&app, name, &begun.progress).await,
        }
    });
    tokio::spawn(async move {
        let state = match doing.await {
            Ok(Ok((file, content))) => State::Done(file, content),
            Ok(Err(e)) => State::Failed(e.to_string()),
            Err(e) => State::Failed(e.to_string()),
        };
        if let State::Failed(error) = &state {
            warn!(error, "a backup was not made, or is not whole");
        }
        if makes {
            let error = if let State::Failed(error) = &state { Some(error.clone()) } else { None };
            room.note_making(error.map(|error| Unmade { at: clock.now(), error }));
        }
        room.end(state);
    });
    Some(job)
}

fn of_store(e: &StoreError) -> BackupError {
    match e {
        StoreError::Full => BackupError::Full,
        other => BackupError::Io(std::io::Error::other(other.to_string())),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(BackupError::Io(std::io::Error::other(e.to_string()))))
}

/// How often one is made anew because the master key was changed meanwhile.
const ATTEMPTS: usize = 3;

async fn make(app: &Services, act: Act, progress: &Arc<Progress>) -> Result<(BackupFile, BackupContent), BackupError> {
    let mut made = attempt(app, progress).await;
    for _ in 1..ATTEMPTS {
        match made {
            // The snapshot may be from before the change, and the sealer from behind it.
            Err(BackupError::Changing | BackupError::Damaged(_)) => {
                progress.done.store(0, Ordering::Relaxed);
                made = attempt(app, progress).await;
            }
            _ => break,
        }
    }
    let (file, content) = made?;
    let event = Event::new(EventKind::BackupMade)
        .with("name", &file.name)
        .with("sequence", &content.sequence)
        .with("bytes", &file.bytes)
        .with("recipients", &app.backups.shelf.recipients().len());
    app.store.note_event(act, event).await.map_err(|e| of_store(&e))?;
    info!(name = file.name, bytes = file.bytes, sequence = content.sequence, "a backup was made and read back");
    Ok((file, content))
}

async fn attempt(app: &Services, progress: &Arc<Progress>) -> Result<(BackupFile, BackupContent), BackupError> {
    let snapshot = app.upkeep.open_snapshot().await.map_err(|e| of_store(&e))?;
    let secrets = app.store.secrets().await.map_err(|e| of_store(&e))?;
    let log_key = secrets.into_iter().rev().find(|secret| secret.purpose == LOG);
    let log_key = log_key.ok_or_else(|| BackupError::Damaged("the store has no key of its commit log".into()))?;
    let (shelf, now, progress) = (app.backups.shelf.clone(), app.clock.now(), progress.clone());
    blocking(move || shelf.make(snapshot, &log_key, now, &progress)).await
}

async fn verify(
    app: &Services,
    name: String,
    progress: &Arc<Progress>,
) -> Result<(BackupFile, BackupContent), BackupError> {
    let file = list(app).await?.into_iter().find(|file| file.name == name).ok_or(BackupError::Missing)?;
    let (shelf, progress) = (app.backups.shelf.clone(), progress.clone());
    blocking(move || shelf.verify(&name, &progress).map(|content| (file, content))).await
}

/// The backups that there are, the oldest first.
///
/// # Errors
/// The directory cannot be read.
pub async fn list(app: &Services) -> Result<Vec<BackupFile>, BackupError> {
    let shelf = app.backups.shelf.clone();
    blocking(move || shelf.list()).await
}

/// A piece of a backup; empty behind its end.
///
/// # Errors
/// `Missing`, `Io`.
pub async fn piece(app: &Services, name: String, from: u64) -> Result<Vec<u8>, BackupError> {
    let shelf = app.backups.shelf.clone();
    blocking(move || shelf.piece(&name, from)).await
}

/// Removes a backup.
///
/// # Errors
/// `Missing`, `Io`.
pub async fn remove(app: &Services, name: String, act: Act) -> Result<(), BackupError> {
    if !list(app).await?.iter().any(|file| file.name == name) {
        return Err(BackupError::Missing);
    }
    remove_all(app, vec![name], act).await
}

/// Removes all backups but the newest. Answers which; with `preview` which they would be.
///
/// # Errors
/// `Io`.
pub async fn prune(app: &Services, keep: usize, preview: bool, act: Act) -> Result<Vec<BackupFile>, BackupError> {
    let mut old = by_age(list(app).await?, act.at);
    old.truncate(old.len().saturating_sub(keep));
    if !preview && !old.is_empty() {
        remove_all(app, old.iter().map(|file| file.name.clone()).collect(), act).await?;
    }
    Ok(old)
}

/// The oldest first. A backup whose time has not come was made while the clock was wrong: it is older than all others, or it
/// would stay for ever, and keep the next ones from being made.
fn by_age(mut there: Vec<BackupFile>, now: UnixTime) -> Vec<BackupFile> {
    there.sort_by_key(|file| file.made_at <= now);
    there
}

/// The newest backup that there is.
///
/// # Errors
/// The directory cannot be read.
pub async fn newest(app: &Services, now: UnixTime) -> Result<Option<BackupFile>, BackupError> {
    Ok(by_age(list(app).await?, now).pop().filter(|newest| newest.made_at <= now))
}

/// It is in the trail before anything is gone (AZ-06).
async fn remove_all(app: &Services, names: Vec<String>, act: Act) -> Result<(), BackupError> {
    let event = Event::new(EventKind::BackupsRemoved).with("count", &names.len()).with("names", &names.join(" "));
    app.store.note_event(act, event).await.map_err(|e| of_store(&e))?;
    let shelf = app.backups.shelf.clone();
    blocking(move || names.iter().try_for_each(|name| shelf.remove(name))).await
}

/// Begins a backup if it is time for one, and removes those that are too many. Where that failed it is not tried again at once:
/// each try writes a snapshot first.
///
/// # Errors
/// The directory cannot be read or changed.
pub async fn round(app: &Arc<Services>, now: UnixTime) -> Result<(), BackupError> {
    let room = &app.backups;
    let Some(schedule) = room.schedule else { return Ok(()) };
    if room.unmade().is_some_and(|failed| now < failed.at.plus(RETRY_AFTER)) {
        return Ok(());
    }
    let done = keep_up(app, schedule, now).await;
    if let Err(e) = &done {
        room.note_making(Some(Unmade { at: now, error: e.to_string() }));
    }
    done
}

async fn keep_up(app: &Arc<Services>, Schedule { every, keep }: Schedule, now: UnixTime) -> Result<(), BackupError> {
    let newest = newest(app, now).await?;
    if newest.is_none_or(|newest| now >= newest.made_at.plus(every)) {
        // Somebody who asked for one has it made already.
        let _ = begin(app, Act::by_daemon(now));
    }
    prune(app, keep, false, Act::by_daemon(now)).await.map(drop)
}
