//! Bringing sled's file up to what is committed, every few seconds and beside the writer: nothing that was acknowledged
//! depends on it, but what is replayed at the next start is no longer than this.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use tracing::warn;

use super::{
    behind::{Behind, Current},
    log::Mark,
    writer::Health,
};

/// How far sled has come.
pub(super) struct Progress {
    current: Arc<Current>,
    /// The last sequence that was applied.
    applied: AtomicU64,
    /// The last sequence that is certain to be in sled's file on disk.
    checkpointed: Mutex<u64>,
}

impl Progress {
    pub(super) fn new(current: Arc<Current>, applied: u64) -> Self {
        Self { current, applied: AtomicU64::new(applied), checkpointed: Mutex::new(0) }
    }

    /// The last sequence that was applied.
    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// To be told after sled has taken it.
    pub(super) fn has_applied(&self, seq: u64) {
        self.applied.store(seq, Ordering::Release);
    }

    /// Flushes sled and syncs its file, if anything was applied since. Answers the sequence that is certain now.
    pub(super) fn checkpoint(&self) -> Result<u64, String> {
        // One at a time: the second one has nothing left to do.
        let mut checkpointed = self.checkpointed.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = self.applied.load(Ordering::Acquire);
        if applied > *checkpointed {
            let current = self.current.get();
            current.db.flush().map_err(|e| format!("sled: {e}"))?;
            current.disk.sync().map_err(|e| format!("fdatasync of sled: {e}"))?;
            *checkpointed = applied;
        }
        Ok(*checkpointed)
    }

    /// From now on this one is at work, of which everything up to `reached` is certain to be on disk. Answers the one before.
    pub(super) fn exchange(&self, behind: Behind, reached: u64) -> Arc<Behind> {
        let mut checkpointed = self.checkpointed.lock().unwrap_or_else(PoisonError::into_inner);
        *checkpointed = reached;
        self.current.exchange(behind)
    }
}

/// The thread that does it, now and then and at the end.
pub(super) struct Checkpoints {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn start(
        progress: Arc<Progress>,
        health: Arc<Health>,
        every: Duration,
        mark: Mark,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let work = move || checkpoints(&progress, &health, every, &stopped, &mark);
        let thread = std::thread::Builder::new().name("store-checkpoint".into()).spawn(work)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop = None;
        // It ends by itself; what it found wrong stands in the health.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A checkpoint that fails leaves sled in a state that only a restart finds out, as any of its writes does.
fn checkpoints(progress: &Progress, health: &Health, every: Duration, stopped: &Receiver<()>, mark: &Mark) {
    loop {
        let ends = stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout);
        if health.check().is_ok()
            && let Err(problem) = progress.checkpoint()
        {
            health.poison(&problem);
        }
        if ends {
            if health.check().is_ok()
                && let Err(error) = mark.clear()
            {
                warn!(%error, "the store was closed, and after a restart of the machine it will be made anew all the same");
            }
            return;
        }
    }
}
