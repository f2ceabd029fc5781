//! Events in maps.

use async_trait::async_trait;
use common::UnixTime;
use tokio::sync::watch;

use super::{MemoryStore, State, page};
use crate::{
    digest::sha256,
    domain::{Act, AuditRecord, Delivery, Event, Outgoing, Topic},
    store::{Backlog, Erasure, EventsOf, Outbox, Outboxed, Page, Replay, StoreError, Trimmed, Which},
};

impl MemoryStore {
    pub(super) fn publish(&self, state: &mut State, act: &Act, event: &Event, topics: &[Topic], record: &AuditRecord) {
        if !self.publishing.is_on {
            return;
        }
        for topic in topics {
            state.last_event += 1;
            let mut mark = [0; 8];
            mark.copy_from_slice(&sha256(&record.mac)[..8]);
            let event = Outgoing::new(state.last_event, mark, *topic, act.at, event);
            let delivery = self.publishing.delivers.then(|| Delivery::begun(act.at));
            state.outbox.insert(state.last_event, Outboxed { event, delivery });
        }
        self.published.send_replace(state.last_event);
    }
}

impl State {
    /// The numbers of the events of a user that nobody waits for, and how many others there are.
    pub(super) fn events_naming(&self, erasure: &Erasure) -> (Vec<u64>, u64) {
        let of_user = self.outbox.values().filter(|item| erasure.concerns(&item.event));
        let (told, untold): (Vec<_>, Vec<_>) = of_user.partition(|item| item.delivery.is_none());
        (told.iter().map(|item| item.event.seq).collect(), untold.len() as u64)
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn events(&self, which: Which, after: u64, limit: usize) -> Result<Page<Outboxed>, StoreError> {
        let fits = |item: &&Outboxed| match (which, &item.delivery) {
            (Which::All, _) => true,
            (Which::Waiting, Some(delivery)) => !delivery.is_dead,
            (Which::Dead, Some(delivery)) => delivery.is_dead,
            (Which::Waiting | Which::Dead, None) => false,
        };
        let state = self.state();
        let found = state.outbox.values().filter(|item| item.event.seq > after).filter(fits).cloned().collect();
        Ok(page(found, limit, |item: &Outboxed| item.event.seq.to_string()))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let state = self.state();
        let (dead, waiting): (Vec<_>, Vec<_>) =
            state.outbox.values().filter_map(|item| item.delivery.as_ref()).partition(|delivery| delivery.is_dead);
        let oldest = waiting.iter().map(|delivery| delivery.since).min();
        Ok(Backlog { waiting: waiting.len() as u64, oldest, dead: dead.len() as u64 })
    }

    async fn events_naming(&self, erasure: Erasure) -> Result<EventsOf, StoreError> {
        let (told, untold) = self.state().events_naming(&erasure);
        Ok(EventsOf { told: told.len() as u64, untold })
    }

    async fn note_deliveries(&self, outcomes: Vec<(u64, Option<Delivery>)>) -> Result<(), StoreError> {
        let mut state = self.state();
        for (seq, outcome) in outcomes {
            if let Some(item) = state.outbox.get_mut(&seq) {
                item.delivery = outcome;
            }
        }
        Ok(())
    }

    async fn replay_events(&self, which: Replay, act: Act, event: Event) -> Result<u64, StoreError> {
        let mut state = self.state_for(&act)?;
        let mut replayed = 0u64;
        for (seq, item) in &mut state.outbox {
            let is_meant = match which {
                Replay::Dead => item.delivery.as_ref().is_some_and(|delivery| delivery.is_dead),
                Replay::One(one) => *seq == one,
                Replay::From(from) => *seq >= from,
            };
            if is_meant {
                item.delivery = Some(Delivery::begun(act.at));
                replayed += 1;
            }
        }
        if replayed > 0 {
            self.record(&mut state, &act, &event.with("events", &replayed));
        }
        Ok(replayed)
    }

    async fn trim_events(&self, before: UnixTime, keep: u64, limit: usize) -> Result<Trimmed, StoreError> {
        let mut state = self.state();
        let first = state.last_event.saturating_sub(keep);
        let is_old = |item: &&Outboxed| item.event.at < before || item.event.seq <= first;
        let old: Vec<u64> = state.outbox.values().take(limit).take_while(is_old).map(|item| item.event.seq).collect();
        let mut trimmed = Trimmed::default();
        for item in old.iter().filter_map(|seq| state.outbox.remove(seq)) {
            trimmed.removed += 1;
            trimmed.untold += u64::from(item.delivery.is_some_and(|delivery| !delivery.is_dead));
        }
        Ok(trimmed)
    }

    fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }
}
