//! Events for the application, in the words of the domain. They are written by the acts that they tell of: see
//! [`super::Store`].

use async_trait::async_trait;
use common::UnixTime;
use tokio::sync::watch;

use super::{Erasure, Page, StoreError};
use crate::domain::{Act, Delivery, Event, Outgoing};

/// An event, and how far it is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outboxed {
    /// The event.
    pub event: Outgoing,
    /// `None`: nobody waits for it (any more).
    pub delivery: Option<Delivery>,
}

/// Which events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that are to be told.
    Waiting,
    /// Those that were given up.
    Dead,
}

/// Which events are told once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Those that were given up.
    Dead,
    /// One.
    One(u64),
    /// All from this one on.
    From(u64),
}

/// What was removed from the outbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Events.
    pub removed: u64,
    /// How many of them were still to be told.
    pub untold: u64,
}

/// What waits to be told, and what was given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many are to be told.
    pub waiting: u64,
    /// Since when the one of them waits that has waited for the longest.
    pub oldest: Option<UnixTime>,
    /// How many were given up.
    pub dead: u64,
}

/// The events of one user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventsOf {
    /// Those that nobody waits for: told, or kept for the stream.
    pub told: u64,
    /// Those that are to be told, or can be told once more.
    pub untold: u64,
}

/// The part of a store that has the events.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Events behind the one of this number, oldest first.
    async fn events(&self, which: Which, after: u64, limit: usize) -> Result<Page<Outboxed>, StoreError>;

    /// How much there is to be told.
    async fn backlog(&self) -> Result<Backlog, StoreError>;

    /// What there is of the user whom an erasure concerns. It takes those away that nobody waits for: see
    /// [`super::Store::erase_audit`].
    async fn events_naming(&self, erasure: Erasure) -> Result<EventsOf, StoreError>;

    /// Notes what became of tries; `None`: the application was told. An event that is not in the outbox any more does not come back.
    async fn note_deliveries(&self, outcomes: Vec<(u64, Option<Delivery>)>) -> Result<(), StoreError>;

    /// Lets events be told once more, as if they had happened now. Answers how many; the event is recorded if there are any.
    async fn replay_events(&self, which: Replay, act: Act, event: Event) -> Result<u64, StoreError>;

    /// Removes the oldest events: those from before `before`, and as many as there are more than `keep`; at most `limit`.
    async fn trim_events(&self, before: UnixTime, keep: u64, limit: usize) -> Result<Trimmed, StoreError>;

    /// The number of the last event that is on disk, as it grows.
    fn published(&self) -> watch::Receiver<u64>;
}
