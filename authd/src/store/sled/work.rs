//! What the store counts of its own work, for metrics.

use std::time::Duration;

use crate::{
    domain::EventKind,
    metrics::{
        Counter, Histogram,
        counter::{MANY, SECONDS},
    },
};

/// What the writer counts.
pub(super) struct Counters {
    groups: Histogram,
    commits: Histogram,
    /// In the order of [`EventKind::ALL`].
    events: Vec<Counter>,
}

impl Default for Counters {
    fn default() -> Self {
        let events = EventKind::ALL.iter().map(|_| Counter::default()).collect();
        Self { groups: Histogram::new(MANY), commits: Histogram::new(SECONDS), events }
    }
}

impl Counters {
    /// A group of so many intents is on disk.
    #[allow(clippy::cast_precision_loss)] // some hundred
    pub(super) fn committed(&self, intents: usize, took: Duration, events: &[EventKind]) {
        self.groups.observe(intents as f64);
        self.commits.observe(took.as_secs_f64());
        for kind in events {
            if let Some(counter) = self.events.get(*kind as usize) {
                counter.one();
            }
        }
    }

    pub(super) fn read(&self, lookups: Vec<(&'static str, u64, u64)>, unreadable: u64) -> crate::store::Work {
        let events = EventKind::ALL.iter().copied().zip(self.events.iter().map(Counter::get)).collect();
        crate::store::Work { events, groups: self.groups.read(), commits: self.commits.read(), lookups, unreadable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_counted_under_its_own_name() {
        let counters = Counters::default();
        for (n, kind) in EventKind::ALL.iter().enumerate() {
            counters.committed(1, Duration::ZERO, &vec![*kind; n]);
        }
        for (n, (kind, count)) in counters.read(vec![], 0).events.into_iter().enumerate() {
            assert_eq!((EventKind::ALL[n], n as u64), (kind, count));
        }
    }
}
