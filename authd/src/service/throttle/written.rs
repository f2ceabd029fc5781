//! The counters of accounts in the store: no restart frees an account that is under attack.

use common::{Span, UnixTime};

use super::{Entry, Throttles, WRITTEN_FROM, table::Key};
use crate::{
    domain::throttle::{FailureRule, Failures},
    service::{ServiceError, Services},
    store::Counter,
};

/// How many counters one commit writes.
pub(super) const WRITTEN_AT_ONCE: usize = 500;
/// How often counters are looked for in the store that are forgotten.
const SWEPT_EVERY: Span = Span::from_hours(6);

impl Throttles {
    pub(super) fn load(&self, counters: Vec<Counter>, now: UnixTime) {
        let mut inner = self.lock();
        for counter in counters {
            // What a clock wrote that was ahead is not waited for.
            let failures = Failures::written(counter.count, counter.last.min(now));
            if failures.count_at(FailureRule::ACCOUNT, now) == 0 {
                // Forgotten while nobody looked: it goes from the store as well.
                inner.unwritten.insert(counter.key);
                continue;
            }
            let label = counter.label.map(Into::into);
            let weight = |entry: &Entry| entry.weight(FailureRule::ACCOUNT, now);
            *inner.accounts.entry(counter.key, weight) =
                Entry { failures, label, is_written: true, ..Entry::default() };
        }
    }

    /// Takes up to so many counters that are to be written: those of some weight as they are, others as gone.
    pub(super) fn take_unwritten(&self, now: UnixTime) -> Vec<Counter> {
        let mut inner = self.lock();
        let keys: Vec<Key> = inner.unwritten.iter().take(WRITTEN_AT_ONCE).copied().collect();
        keys.into_iter()
            .map(|key| {
                inner.unwritten.remove(&key);
                let none = Counter { key, count: 0, last: UnixTime::EPOCH, label: None };
                let Some(entry) = inner.accounts.get_mut(&key) else { return none };
                entry.is_written = entry.failures.count_at(FailureRule::ACCOUNT, now) >= WRITTEN_FROM;
                let Failures { count, last, .. } = entry.failures;
                if entry.is_written {
                    Counter { key, count, last, label: entry.label.clone().map(Into::into) }
                } else {
                    none
                }
            })
            .collect()
    }
}

/// Reads the counters of accounts back: at start, before the first sign-in.
///
/// # Errors
/// The store cannot be read: without them nobody may try (LG-06).
pub async fn load(app: &Services) -> Result<(), ServiceError> {
    let counters = app.store.counters().await?;
    app.throttles.load(counters, app.clock.now());
    Ok(())
}

/// Writes down what has changed. What could not be written waits for the next time.
///
/// # Errors
/// The store cannot write.
pub async fn write_down(app: &Services) -> Result<(), ServiceError> {
    app.throttles.put_off.sum_up(app.clock.now());
    loop {
        let counters = app.throttles.take_unwritten(app.clock.now());
        if counters.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = counters.iter().map(|counter| counter.key).collect();
        if let Err(error) = app.store.put_counters(counters, None).await {
            app.throttles.lock().unwritten.extend(keys);
            return Err(error.into());
        }
    }
}

/// Removes counters from the store that are forgotten, from time to time.
///
/// # Errors
/// The store cannot be read or written.
pub async fn sweep(app: &Services) -> Result<(), ServiceError> {
    let now = app.clock.now();
    {
        let mut inner = app.throttles.lock();
        if now < inner.swept_at.plus(SWEPT_EVERY) {
            return Ok(());
        }
        inner.swept_at = now;
    }
    let is_forgotten = |counter: &Counter| {
        Failures::written(counter.count, counter.last.min(now)).count_at(FailureRule::ACCOUNT, now) == 0
    };
    let mut forgotten: Vec<Counter> = app.store.counters().await?;
    forgotten.retain(is_forgotten);
    for chunk in forgotten.chunks(WRITTEN_AT_ONCE) {
        let gone = chunk.iter().map(|counter| Counter { count: 0, ..counter.clone() }).collect();
        app.store.put_counters(gone, None).await?;
    }
    Ok(())
}
