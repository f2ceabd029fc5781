//! Signs of life, by which systemd's watchdog is fed: the store's writer and the loops that accept connections on the public
//! door are asked again and again, and each of them has to answer by itself. That this process has a thread left which can
//! answer systemd says nothing about them.

use std::{convert::Infallible, future::Future, pin::pin, sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    sync::{Notify, oneshot},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{error, info};

use crate::{run::notify, store::sled::SledStore};

/// By which one asks a loop for a sign of life.
#[derive(Default)]
pub struct Pulse {
    asked: Notify,
    waiting: std::sync::Mutex<Option<oneshot::Sender<()>>>,
}

impl Pulse {
    /// Waits until the loop has answered.
    pub async fn beat(&self) {
        let (answer, answered) = oneshot::channel();
        *self.waiting() = Some(answer);
        self.asked.notify_one();
        // Nobody drops it but who asks once more.
        drop(answered.await);
    }

    /// For the loop, among the other things that it waits for.
    pub async fn asked(&self) {
        self.asked.notified().await;
        if let Some(answer) = self.waiting().take() {
            // Who asked may have given up.
            let _ = answer.send(());
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What has to live for the daemon to be of any use.
pub struct Life {
    /// Its writer.
    pub store: Arc<SledStore>,
    /// Of the loops that accept connections on the public door.
    pub doors: Vec<Arc<Pulse>>,
    /// What systemd is told of a daemon that lives.
    pub status: String,
}

impl Life {
    /// Feeds the watchdog, which bites after `limit`, for as long as everything lives.
    pub async fn feed(&self, limit: Duration) -> Infallible {
        // Early enough that a part may take its time.
        let mut ticks = interval(limit / 4);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sign_of("the store's writer", limit / 2, self.of_store()).await;
            for door in &self.doors {
                self.sign_of("the public door", limit / 2, door.beat()).await;
            }
            notify(&[NotifyState::Watchdog]);
        }
    }

    /// A queue that is full is no sign: who takes from it may have stopped.
    async fn of_store(&self) {
        while self.store.beat().await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for a part's sign, and says so where it is long in coming: systemd ends the process without a word of ours.
    async fn sign_of(&self, part: &str, soon: Duration, sign: impl Future<Output = ()>) {
        let mut sign = pin!(sign);
        if timeout(soon, sign.as_mut()).await.is_ok() {
            return;
        }
        error!(part, "no sign of life: systemd's watchdog is not fed until there is one");
        notify(&[NotifyState::Status(&format!("no sign of life from {part}"))]);
        sign.await;
        info!(part, "lives again");
        notify(&[NotifyState::Status(&self.status)]);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_pulse_beats_when_the_loop_takes_its_turn_and_not_before() {
        let pulse = Pulse::default();
        let mut beat = pin!(pulse.beat());
        assert!(beat.as_mut().now_or_never().is_none(), "nobody has answered");
        pulse.asked().await;
        beat.await;
        assert!(pulse.asked().now_or_never().is_none(), "asked once, answered once");
    }

    #[tokio::test]
    async fn a_sign_that_nobody_waits_for_any_more_is_not_taken_for_the_next_one() {
        let pulse = Pulse::default();
        assert!(pulse.beat().now_or_never().is_none());
        pulse.asked().await;
        assert!(pulse.beat().now_or_never().is_none(), "the answer to the first is not one to the second");
    }
}
