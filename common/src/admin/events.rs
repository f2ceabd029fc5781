//! Events on the admin door.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{SessionId, UnixTime, UserId};

/// An event in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Its place: ask for those behind it with this as `cursor`.
    pub seq: u64,
    /// Its name, the `webhook-id` by which it is told.
    pub id: String,
    /// What it is about: `user.created` and so on.
    pub r#type: String,
    /// When it happened.
    pub at: UnixTime,
    /// To whom.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<UserId>,
    /// Which session it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<SessionId>,
    /// What else it says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub details: BTreeMap<String, String>,
    /// `waiting`, `told`, `dead` (given up), or `kept` where the application is told nothing.
    pub state: String,
    /// How often it was tried, while it waits or is dead.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempts: Option<u32>,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_try: Option<UnixTime>,
    /// Why the last time failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// `POST /v1/events/replay`: one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayEvents {
    /// Those that were given up.
    #[serde(default)]
    pub dead: bool,
    /// The one of this number.
    #[serde(default)]
    pub one: Option<u64>,
    /// All from this number on.
    #[serde(default)]
    pub from: Option<u64>,
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsReplayed {
    /// How many are told once more.
    pub replayed: u64,
}
