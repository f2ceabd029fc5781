//! What operators see of the counters, and how they clear them.

use std::{collections::BTreeSet, net::IpAddr};

use common::{Span, UnixTime, UserId};

use super::{
    Account, Entry, Throttles,
    table::{HALF, Key, Table, key},
    written::WRITTEN_AT_ONCE,
};
use crate::{
    domain::{Act, Event, EventKind, address, throttle::FailureRule},
    service::{ServiceError, Services},
    store::Counter,
};
/// What counts, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `account`, `place` or `source`; a known device is a place.
    pub kind: &'static str,
    /// Whom it is about: a user's id, a network, or both with a slash between them (`USER/device-…` of a known device);
    /// `unknown` for an address that nobody has.
    pub subject: String,
    /// Failures that are not forgotten.
    pub failures: u32,
    /// When the next attempt may be made.
    pub until: UnixTime,
}

impl Throttles {
    /// Everything that has to wait now, the longest first.
    pub fn waiting(&self, now: UnixTime) -> Vec<Waiting> {
        let inner = self.lock();
        let tables = [
            ("account", &inner.accounts, FailureRule::ACCOUNT),
            ("place", &inner.lanes, FailureRule::ACCOUNT),
            ("source", &inner.sources, FailureRule::SOURCE),
        ];
        let mut found: Vec<Waiting> = vec![];
        for (kind, table, rule) in tables {
            // Lanes without a name are those of strangers: their accounts and networks are there.
            for (_, entry) in table.iter().filter(|(_, entry)| kind != "place" || entry.label.is_some()) {
                let (wait, failures) = (entry.failures.wait(rule, now), entry.failures.count_at(rule, now));
                if wait > Span::ZERO || failures >= rule.free {
                    let subject = entry.label.as_deref().unwrap_or_default().to_owned();
                    found.push(Waiting { kind, subject, failures, until: now.plus(wait) });
                }
            }
        }
        found.sort_by(|a, b| (b.until, b.failures, &a.subject).cmp(&(a.until, a.failures, &b.subject)));
        found
    }

    /// The counters that a clearing concerns: of accounts, of lanes, and of sources.
    fn concerned(&self, which: &Which) -> (Vec<Key>, Vec<Key>, Vec<Key>) {
        let inner = self.lock();
        let all = |table: &Table<Entry>| table.iter().map(|(key, _)| *key).collect::<Vec<_>>();
        let lanes_of = |key: Key| {
            let is_theirs = |entry: &Entry| entry.of.is_some_and(|of| of.contains(&key));
            inner.lanes.iter().filter(|(_, entry)| is_theirs(entry)).map(|(key, _)| *key).collect()
        };
        match which {
            Which::All => (all(&inner.accounts), all(&inner.lanes), all(&inner.sources)),
            Which::Source(address) => {
                let source = key(&["source", &address::bucket(*address).to_string()]);
                let known = Some(source).filter(|key| inner.sources.get(key).is_some());
                (vec![], lanes_of(source), known.into_iter().collect())
            }
            Which::Account(user) => {
                let account = Account::Known(user).key();
                let own = Some(account).filter(|key| inner.accounts.get(key).is_some());
                (own.into_iter().collect(), lanes_of(account), vec![])
            }
        }
    }

    /// Forgets. Answers how many counters there were.
    pub(super) fn forget(&self, which: &Which) -> u64 {
        let (accounts, lanes, sources) = self.concerned(which);
        let mut inner = self.lock();
        // Should one be on its way to the store just now, it goes from there again.
        inner.unwritten.extend(&accounts);
        if matches!(which, Which::All) {
            inner.windows = Table::new(HALF);
        }
        let gone = accounts.iter().filter(|key| inner.accounts.remove(key)).count()
            + lanes.iter().filter(|key| inner.lanes.remove(key)).count()
            + sources.iter().filter(|key| inner.sources.remove(key)).count();
        gone as u64
    }
}

/// What an operator clears.
#[derive(Debug, Clone)]
pub enum Which {
    /// The counters of an account, from everywhere.
    Account(UserId),
    /// Those of a client's network.
    Source(IpAddr),
    /// All there are.
    All,
}

/// Forgets failures, at an operator's word: in the store first, so that no restart brings them back. Answers how many
/// counters there were; with none, nothing is done.
///
/// # Errors
/// The store cannot write.
pub async fn clear(app: &Services, which: Which, act: Act) -> Result<u64, ServiceError> {
    let (accounts, lanes, sources) = app.throttles.concerned(&which);
    let mut accounts: BTreeSet<Key> = accounts.into_iter().collect();
    // Also those that are in the store only, because memory was too small for them.
    let stored = app.store.counters().await?.into_iter().map(|counter| counter.key);
    accounts.extend(stored.filter(|key| match &which {
        Which::Account(user) => *key == Account::Known(user).key(),
        Which::Source(_) => false,
        Which::All => true,
    }));
    let count = (accounts.len() + lanes.len() + sources.len()) as u64;
    if count == 0 {
        return Ok(0);
    }
    let event = Event::new(EventKind::ThrottleCleared);
    let event = match &which {
        Which::Account(user) => event.user(user),
        Which::Source(address) => event.with("source", address),
        Which::All => event.with("all", &true),
    };
    let none = |key: Key| Counter { key, count: 0, last: UnixTime::EPOCH, label: None };
    let mut gone: Vec<Counter> = accounts.into_iter().map(none).collect();
    // In steps, because a large one would hold up everybody; the act goes with the last.
    while gone.len() > WRITTEN_AT_ONCE {
        let rest = gone.split_off(WRITTEN_AT_ONCE);
        app.store.put_counters(std::mem::replace(&mut gone, rest), None).await?;
    }
    app.store.put_counters(gone, Some((act, event))).await?;
    app.throttles.forget(&which);
    Ok(count)
}
