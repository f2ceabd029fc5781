//! The one thread that writes. It takes up to [`GROUP`] intents at a time, decides them one after the other (so they are
//! serialisable), commits what they changed as one record of the commit log, hands it to sled, and answers.

use std::{
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock, Weak,
        mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel},
    },
    thread::JoinHandle,
};

use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tracing::error;

use super::{
    SledOptions,
    behind::{Behind, Current},
    cache::HotCache,
    checkpoint::Progress,
    load_keys,
    log::{self, Draft, Log},
    txn::{Changes, Group, Txn},
    work::Counters,
};
use crate::{domain::ChainHead, metrics::Counter, ports::Mac, store::StoreError};

/// How many intents share one sync.
const GROUP: usize = 512;
/// How many may wait.
const QUEUE: usize = 4096;

/// One intent on its way, whatever its type.
trait Job: Send {
    /// Decides. Whether there is something to commit.
    fn run(&mut self, tx: &mut Txn<'_>) -> bool;
    /// Answers, now that the group is on disk; or is not, and then nobody is told otherwise.
    fn answer(self: Box<Self>, committed: &Result<(), StoreError>);
}

struct Call<F, T> {
    intent: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Call<F, T>
where
    F: FnOnce(&mut Txn<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, tx: &mut Txn<'_>) -> bool {
        let Some(intent) = self.intent.take() else { return false };
        let outcome = intent(tx);
        let commit = outcome.is_ok();
        self.outcome = Some(outcome);
        commit
    }

    fn answer(self: Box<Self>, committed: &Result<(), StoreError>) {
        let outcome = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(StoreError::Unavailable("the intent was not run".into())),
            // A refusal may rest on another intent of the group, which did not happen either.
            (Err(problem), _) => Err(problem.clone()),
        };
        // The client may have hung up; the act is done all the same.
        let _ = self.reply.send(outcome);
    }
}

/// What waits for the writer.
enum Task {
    Intent(Box<dyn Job>),
    /// What is done between two groups, with the log at rest.
    Turn(Box<dyn FnOnce(&mut Log) + Send>),
}

/// The queue's end that requests hold.
pub(super) struct Writer {
    queue: Option<Arc<SyncSender<Task>>>,
    thread: Option<JoinHandle<()>>,
    health: Arc<Health>,
}

/// Whether the store still writes, and the word when it stops.
pub(super) struct Health {
    problem: OnceLock<Arc<str>>,
    stopped: watch::Sender<bool>,
    unreadable: Counter,
    doubts: watch::Sender<bool>,
}

impl Health {
    fn new() -> Self {
        Self {
            problem: OnceLock::new(),
            stopped: watch::Sender::new(false),
            unreadable: Counter::default(),
            doubts: watch::Sender::new(false),
        }
    }

    /// Passes an answer on. One that fails because something cannot be read is counted, and the first of them raises doubts.
    pub(super) fn noted<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Unreadable(_) | StoreError::Damaged(_)) = &answer {
            self.unreadable.one();
            self.doubts.send_if_modified(|is_in_doubt| !std::mem::replace(is_in_doubt, true));
        }
        answer
    }

    /// How many answers failed because something could not be read.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable.get()
    }

    /// Becomes true when there is something that cannot be read.
    pub(super) fn doubts(&self) -> watch::Receiver<bool> {
        self.doubts.subscribe()
    }

    /// Everything was as it should be: the next thing that cannot be read is a first one again.
    pub(super) fn is_beyond_doubt(&self) {
        self.doubts.send_replace(false);
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.problem.get().map_or(Ok(()), |problem| Err(StoreError::Unavailable(problem.clone())))
    }

    /// Becomes true when the store stops writing for good.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    /// From now on nothing is written: what is on disk and what is in memory may differ. Only a restart finds out.
    pub(super) fn poison(&self, problem: &str) {
        if self.problem.set(problem.into()).is_ok() {
            error!(problem, "the store stops taking changes");
            self.stopped.send_replace(true);
        }
    }
}

/// What the thread works with.
pub(super) struct Ground {
    pub current: Arc<Current>,
    pub log: Log,
    pub progress: Arc<Progress>,
    pub cache: Arc<HotCache>,
    pub mac: Arc<dyn Mac>,
    pub chain: ChainHead,
    pub options: SledOptions,
    pub counters: Arc<Counters>,
}

impl Writer {
    pub(super) fn start(ground: Ground) -> std::io::Result<Self> {
        let (queue, tasks) = sync_channel(QUEUE);
        let health = Arc::new(Health::new());
        let of_thread = health.clone();
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| write_groups(ground, &tasks, &of_thread)));
            if ended.is_err() {
                of_thread.poison("the writer panicked");
            }
        })?;
        Ok(Self { queue: Some(Arc::new(queue)), thread: Some(thread), health })
    }

    /// For whoever needs the log at rest, now and then.
    pub(super) fn turns(&self) -> Turns {
        Turns { queue: self.queue.as_ref().map_or_else(Weak::new, Arc::downgrade), health: self.health.clone() }
    }

    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Sends an intent and waits until it is on disk, or refused.
    pub(super) async fn write<T, F>(&self, intent: F) -> Result<T, StoreError>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.health.check()?;
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(|| StoreError::Unavailable("the store is closed".into()))?;
        let call = Call { intent: Some(intent), outcome: None, reply };
        queue.try_send(Task::Intent(Box::new(call))).map_err(|e| match e {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => self.health.check().err().unwrap_or(StoreError::Busy),
        })?;
        let gone = || self.health.check().err().unwrap_or(StoreError::Unavailable("the writer has stopped".into()));
        self.health.noted(answer.await.unwrap_or_else(|_| Err(gone())))
    }
}

/// A way to the writer that does not keep it from ending.
pub(super) struct Turns {
    queue: Weak<SyncSender<Task>>,
    health: Arc<Health>,
}

impl Turns {
    /// Waits until this was done between two groups. Nothing is written meanwhile.
    pub(super) fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || self.health.check().err().unwrap_or(StoreError::Unavailable("the store is closed".into()));
        let (reply, answer) = channel();
        let task = Task::Turn(Box::new(move |log| drop(reply.send(work(log)))));
        self.queue.upgrade().ok_or_else(gone)?.send(task).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())
    }
}

impl Drop for Writer {
    /// Ends the thread after what is queued already.
    fn drop(&mut self) {
        self.queue = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            self.health.poison("the writer panicked");
        }
    }
}

fn write_groups(ground: Ground, tasks: &Receiver<Task>, health: &Health) {
    let Ground { current, mut log, progress, cache, mac, mut chain, options, counters } = ground;
    let faults = options.faults();
    let mut groups = 0_u64;
    let mut held = None;
    let mut late = Changes::default();
    while let Some(first) = held.take().or_else(|| tasks.recv().ok()) {
        let (mut waiting, mut turns) = (vec![], vec![]);
        for task in iter::once(first).chain(tasks.try_iter().take(GROUP - 1)) {
            match task {
                Task::Intent(job) => waiting.push(job),
                Task::Turn(turn) => turns.push(turn),
            }
        }
        let behind = current.get();
        if let Err(problem) = health.check() {
            waiting.into_iter().for_each(|job| job.answer(&Err(problem.clone())));
            continue;
        }
        let mut group = Group { chain, seq: log.end().seq + 1, ..Group::default() };
        let mut draft = Draft::default();
        for job in &mut waiting {
            let mut tx = Txn::new((&behind.db, &cache), &group, &*mac, options.publishing);
            if job.run(&mut tx) {
                let (changes, end, events) = tx.into_parts();
                draft.push(&changes);
                group.changes.extend(changes);
                group.chain = end;
                group.events.extend(events);
            }
        }
        if faults.answers_too_early {
            waiting.drain(..).for_each(|job| job.answer(&Ok(())));
            held = tasks.recv().ok();
        }
        if !draft.is_empty() {
            groups += 1;
            assert!(groups != faults.panics_at_group, "a fault on purpose");
        }
        let (began, has_changes) = (Instant::now(), !draft.is_empty());
        let committed = match has_changes {
            true => commit(&behind, &mut log, draft, &group, health),
            false => Ok(()),
        };
        if committed.is_ok() && has_changes {
            counters.committed(waiting.len(), began.elapsed(), &group.events);
        }
        if committed.is_ok() {
            chain = group.chain;
            progress.has_applied(log.end().seq);
            let changes = match faults.caches_too_late {
                true => std::mem::replace(&mut late, group.changes),
                false => group.changes,
            };
            if cache.committed(&changes) {
                match load_keys(&behind.db) {
                    Ok(set) => cache.set_keys(set),
                    Err(e) => health.poison(&e.to_string()),
                }
            }
        }
        waiting.into_iter().for_each(|job| job.answer(&committed));
        // Whoever takes a turn may exchange what is behind the log. After a failure nobody does: nothing may follow on a record
        // of which nobody knows whether it is whole.
        drop(behind);
        for turn in turns {
            if health.check().is_ok() {
                turn(&mut log);
            }
        }
    }
}

/// One record, one sync: the commit point. Then one batch for sled, with the place of that record in it; that sled has it on
/// disk nobody waits for. A failure leaves memory and disk apart, so it ends all writing; it is never tried again as if it
/// had worked.
fn commit(behind: &Behind, log: &mut Log, draft: Draft, group: &Group, health: &Health) -> Result<(), StoreError> {
    if !behind.disk.has_space() {
        return Err(StoreError::Full);
    }
    let mut batch = sled::Batch::default();
    for (key, value) in &group.changes {
        match value {
            Some(value) => batch.insert(key.as_slice(), value.as_slice()),
            None => batch.remove(key.as_slice()),
        }
    }
    let done = log.append(draft).map_err(|e| format!("commit log: {e}")).and_then(|end| {
        log::put_applied(&mut batch, end).map_err(|e| e.to_string())?;
        behind.db.apply_batch(batch).map_err(|e| format!("sled: {e}"))
    });
    done.map_err(|problem| {
        health.poison(&problem);
        StoreError::Unavailable(problem.into())
    })
}
