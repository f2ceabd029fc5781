//! Who has to wait: the counters behind the rules of [`crate::domain::throttle`]. They are in memory and bounded (TH-07);
//! those of accounts are written to the store every few seconds, so that no restart frees an account that is under attack.
//!
//! An attempt counts for its account, for the network that it comes from, and for both together (its lane). All three are
//! counted and judged in the same way whether or not there is such an account, and whether or not its owner signed in from
//! here: so nobody learns anything from a wait (AU-06). Where the account has to wait and neither lane nor network does, the
//! hash is made all the same, and only at the owner's own places is the password looked at: that keeps strangers from keeping
//! the owner out (TH-02). A device with which the owner signed in has a counter of its own, and waits for nothing else.

mod noted;
mod operators;
mod put_off;
mod table;
#[cfg(test)]
mod tests;
mod written;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use common::{Email, Span, UnixTime, UserId};
use tokio::sync::{Notify, Semaphore};

pub use self::{
    noted::Indistinct,
    operators::{Waiting, Which, clear},
    written::{load, sweep, write_down},
};
use self::{
    noted::Noted,
    put_off::PutOff,
    table::{HALF, Key, Table, key},
};
use super::device::Nonce;
use crate::domain::{
    address,
    throttle::{FailureRule, Failures, Window, WindowRule},
};

/// Failures from which on an account's counter is written down.
const WRITTEN_FROM: u32 = 5;
/// How many may wait to be written: beyond that (the store takes no changes) a counter waits for its next change.
const WAITING_AT_MOST: usize = 20_000;
/// How much of a device's number is shown: enough to tell two apart.
const NONCE_SHOWN: usize = 4;
/// How many attempts may wait for others that are under way: beyond that they are put off.
const SEATS: usize = 256;

/// A counter of failures, and whom it is about, once that matters.
#[derive(Debug, Default)]
struct Entry {
    failures: Failures,
    /// How many of these are under way: how they end is not known.
    pending: u32,
    /// The number of the last attempt.
    turn: u32,
    /// Of a lane: its account and its network.
    of: Option<[Key; 2]>,
    label: Option<Box<str>>,
    /// Whether the store has it too.
    is_written: bool,
}

impl Entry {
    /// How much it matters: what is under way, then the most failures, then the youngest.
    fn weight(&self, rule: FailureRule, now: UnixTime) -> Option<(u32, u32, UnixTime)> {
        let count = self.failures.count_at(rule, now);
        (self.pending > 0 || count > 0).then_some((self.pending, count, self.failures.last))
    }

    /// Whether the wait is for attempts only of which it is not known yet how they end: if they succeed there is none.
    fn waits_for_others(&self, rule: FailureRule, now: UnixTime) -> bool {
        self.failures.count_at(rule, now).saturating_sub(self.pending) < rule.free.min(rule.most)
    }
}

struct Inner {
    windows: Table<Window>,
    accounts: Table<Entry>,
    sources: Table<Entry>,
    /// By account and network, or by account and device.
    lanes: Table<Entry>,
    /// Changes of profiles, by user; wrong tokens of services, by network.
    acts: Table<Failures>,
    /// Counters of accounts that are not in the store as they are here.
    unwritten: BTreeSet<Key>,
    /// When forgotten ones were looked for in the store.
    swept_at: UnixTime,
}

impl Inner {
    fn table(&mut self, kind: Kind) -> &mut Table<Entry> {
        match kind {
            Kind::Account => &mut self.accounts,
            Kind::Source => &mut self.sources,
            Kind::Lane => &mut self.lanes,
        }
    }

    fn wait(&mut self, (kind, key): (Kind, Key), now: UnixTime) -> Span {
        self.table(kind).get(&key).map_or(Span::ZERO, |entry| entry.failures.wait(kind.rule(), now))
    }

    fn waits_for_others(&mut self, (kind, key): (Kind, Key), now: UnixTime) -> bool {
        self.table(kind).get(&key).is_some_and(|entry| entry.waits_for_others(kind.rule(), now))
    }

    /// Counts an attempt. From some failures on it is worth knowing whose they are.
    fn count(&mut self, kind: Kind, key: Key, now: UnixTime, label: impl FnOnce() -> String) -> Counted {
        let rule = kind.rule();
        let entry = self.table(kind).entry(key, |entry| entry.weight(rule, now));
        let before = entry.failures.last;
        entry.failures.attempt(rule, now);
        entry.pending += 1;
        entry.turn = entry.turn.wrapping_add(1);
        if kind != Kind::Lane && entry.label.is_none() && entry.failures.count >= WRITTEN_FROM {
            entry.label = Some(label().into());
        }
        let counted = Counted { kind, key, turn: entry.turn, before };
        if kind == Kind::Account {
            self.mark(key);
        }
        counted
    }

    /// It is known how an attempt ended. What is taken back leaves nothing behind: no counter is pushed out by attempts
    /// that were none (TH-07).
    fn settle(&mut self, counted: &Counted, outcome: Outcome) {
        if outcome != Outcome::Failed && counted.kind == Kind::Account {
            self.mark(counted.key);
        }
        let table = self.table(counted.kind);
        // A counter that is gone needs nothing taken back.
        let Some(entry) = table.get_mut(&counted.key) else { return };
        entry.pending = entry.pending.saturating_sub(1);
        let is_cleared = counted.kind == Kind::Lane && outcome == Outcome::Succeeded;
        if outcome != Outcome::Failed {
            entry.failures.take_back((entry.turn == counted.turn).then_some(counted.before));
        }
        if is_cleared && entry.pending == 0 || entry.failures.count == 0 {
            table.remove(&counted.key);
        } else if is_cleared {
            entry.failures.count = entry.failures.count.min(entry.pending);
        }
    }

    /// A counter has changed: the store is to know, if it has it or should.
    fn mark(&mut self, account: Key) {
        let matters = |entry: &Entry| entry.is_written || entry.failures.count >= WRITTEN_FROM;
        if self.accounts.get(&account).is_some_and(matters) && self.unwritten.len() < WAITING_AT_MOST {
            self.unwritten.insert(account);
        }
    }
}

/// See the module's text.
pub struct Throttles {
    inner: Mutex<Inner>,
    failures: bool,
    /// Told whenever it is known how an attempt ended.
    settled: Notify,
    seats: Semaphore,
    /// What the log says of attempts that were put off.
    pub(super) put_off: PutOff,
    not_believed: Noted,
    not_readable: Noted,
    not_named: Noted,
}

/// Whose account an attempt is on.
pub enum Account<'a> {
    /// One that exists.
    Known(&'a UserId),
    /// None: it is counted all the same, so that waits do not tell (AU-06).
    Unknown(&'a Email),
    /// None, by another name than an address.
    Unnamed(&'a str),
}

impl Account<'_> {
    fn key(&self) -> Key {
        match self {
            Self::Known(user) => key(&["user", user.as_str()]),
            Self::Unknown(email) => key(&["email", email.as_str()]),
            Self::Unnamed(name) => key(&["username", name]),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::Known(user) => user.to_string(),
            // What was typed may be a password (LG-02).
            Self::Unknown(_) | Self::Unnamed(_) => "unknown".into(),
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Account,
    Source,
    Lane,
}

impl Kind {
    const fn rule(self) -> FailureRule {
        match self {
            Self::Account | Self::Lane => FailureRule::ACCOUNT,
            Self::Source => FailureRule::SOURCE,
        }
    }
}

/// One counter's part in an attempt.
struct Counted {
    kind: Kind,
    key: Key,
    turn: u32,
    /// When the attempt before it was.
    before: UnixTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Failed,
    Succeeded,
    /// No password was looked at.
    None,
}

/// An attempt to sign in that was let through. It counts as failed unless it is said otherwise, also if it is dropped.
pub struct Attempt {
    throttles: Arc<Throttles>,
    counted: Vec<Counted>,
    /// How long the account has to wait. The password is looked at only at a place of its owner's, and a wrong one is answered
    /// with the wait: whether there is such an account, and who uses it here, must not show (AU-06).
    pub put_off: Option<Refused>,
}

impl Attempt {
    /// It succeeded, and does not count. Earlier failures stay counted, but for those of the own lane (TH-03).
    pub fn succeeded(mut self) {
        self.settle(Outcome::Succeeded);
    }

    /// No password was looked at: it does not count.
    pub fn was_none(mut self) {
        self.settle(Outcome::None);
    }

    /// It is one of the owner's, at a place that is known: operators are shown it by this name.
    pub fn is_of(&self, user: &UserId, place: &str) {
        let lane = self.counted.iter().find(|counted| counted.kind == Kind::Lane);
        let mut inner = self.throttles.lock();
        if let Some(entry) = lane.and_then(|lane| inner.lanes.get_mut(&lane.key)) {
            entry.label.get_or_insert_with(|| format!("{user}/{place}").into());
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        let counted = std::mem::take(&mut self.counted);
        if counted.is_empty() {
            return;
        }
        let mut inner = self.throttles.lock();
        counted.iter().for_each(|counted| inner.settle(counted, outcome));
        drop(inner);
        self.throttles.settled.notify_waiters();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.settle(Outcome::Failed);
    }
}

/// Why an attempt is put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// How long to wait.
    pub wait: Span,
    /// The counter that says so: what is said of it in the log is summed up.
    by: Key,
}

enum Problem {
    Refused(Refused),
    /// It depends on attempts that are under way.
    UnderWay(Refused),
}

impl Throttles {
    /// With nothing counted. `failures`: whether failed sign-ins slow down the next ones.
    pub fn new(failures: bool) -> Self {
        let inner = Inner {
            windows: Table::new(HALF),
            accounts: Table::new(HALF),
            sources: Table::new(HALF),
            lanes: Table::new(HALF),
            acts: Table::new(HALF),
            unwritten: BTreeSet::new(),
            swept_at: UnixTime::EPOCH,
        };
        let (not_believed, not_readable, not_named, put_off) = Default::default();
        let (settled, seats) = (Notify::new(), Semaphore::new(SEATS));
        let inner = Mutex::new(inner);
        Self { inner, failures, settled, seats, put_off, not_believed, not_readable, not_named }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request of a client for a path, or refuses it. Requests without a known address share one counter, as
    /// recorded.
    ///
    /// # Errors
    /// How long to wait.
    pub fn request(&self, client: Option<IpAddr>, path: &str, rule: WindowRule, now: UnixTime) -> Result<(), Span> {
        let client = client.map_or_else(|| "no-trusted-ip".into(), |address| address::bucket(address).to_string());
        let weight = |window: &Window| window.is_open(now).then_some(());
        self.lock().windows.entry(key(&[&client, path]), weight).ask(rule, now)
    }

    /// Counts a change of a user's own profile, or refuses it: each leaves a record in the audit trail.
    ///
    /// # Errors
    /// How long to wait.
    pub fn profile_change(&self, user: &UserId, now: UnixTime) -> Result<(), Span> {
        self.counted(&["profile", user.as_str()], FailureRule::PROFILE, now)
    }

    /// Counts a wrong token of a service from this client's network, or says that there were too many.
    ///
    /// # Errors
    /// How long to wait.
    pub fn wrong_token(&self, client: Option<IpAddr>, now: UnixTime) -> Result<(), Span> {
        let client = client.map_or_else(|| "no-trusted-ip".into(), |address| address::bucket(address).to_string());
        self.counted(&["wrong-token", &client], FailureRule::SOURCE, now)
    }

    fn counted(&self, name: &[&str], rule: FailureRule, now: UnixTime) -> Result<(), Span> {
        let mut inner = self.lock();
        let weight = |acts: &Failures| Some(acts.count_at(rule, now)).filter(|count| *count > 0);
        let acts = inner.acts.entry(key(name), weight);
        match acts.wait(rule, now) {
            Span::ZERO => {
                acts.attempt(rule, now);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// Lets an attempt to sign in through and counts it, or refuses it. Where the answer depends on others that are under
    /// way, it waits for them: right passwords that come at once do not put each other off (TH-02), and of wrong ones no
    /// more are looked at than one after the other (TH-03).
    ///
    /// # Errors
    /// It is put off.
    pub async fn admit(
        self: &Arc<Self>,
        account: &Account<'_>,
        source: Option<IpAddr>,
        device: Option<Nonce>,
        now: UnixTime,
    ) -> Result<Attempt, Refused> {
        loop {
            // Listening begins before the question is asked: nothing that ends in between is missed.
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            let refused = match self.begin(account, source, device, now) {
                Ok(attempt) => return Ok(attempt),
                Err(Problem::Refused(refused)) => return Err(refused),
                Err(Problem::UnderWay(refused)) => refused,
            };
            let Ok(_seat) = self.seats.try_acquire() else { return Err(refused) };
            settled.await;
        }
    }

    fn begin(
        self: &Arc<Self>,
        account: &Account<'_>,
        source: Option<IpAddr>,
        device: Option<Nonce>,
        now: UnixTime,
    ) -> Result<Attempt, Problem> {
        let of_account = account.key();
        let bucket = source.map(|address| address::bucket(address).to_string());
        let of_source = bucket.as_deref().map_or([0; 16], |bucket| key(&["source", bucket]));
        let of_lane = match (&device, &bucket) {
            (Some(nonce), _) => Some(key(&["device", &hex(&of_account), &hex(nonce)])),
            (None, Some(bucket)) => Some(key(&["place", &hex(&of_account), bucket])),
            (None, None) => None,
        };
        let (by_account, by_source) = ((Kind::Account, of_account), (Kind::Source, of_source));
        let mut inner = self.lock();

        // What the network has failed at is not the owner's device's fault; all others wait for it.
        let asked = [of_lane.map(|lane| (Kind::Lane, lane)), bucket.is_some().then_some(by_source)];
        let asked: Vec<_> =
            asked.into_iter().flatten().filter(|(kind, _)| device.is_none() || *kind == Kind::Lane).collect();
        let account_waits = if device.is_none() { inner.wait(by_account, now) } else { Span::ZERO };
        let blocking: Vec<_> = asked.iter().copied().filter(|asked| inner.wait(*asked, now) > Span::ZERO).collect();
        let refused = |wait: Span, by: Key| Refused { wait: wait.max(account_waits), by };
        if self.failures {
            let longest = blocking.iter().map(|asked| (inner.wait(*asked, now), asked.1)).max();
            if let Some((wait, by)) = longest {
                let by = if account_waits > Span::ZERO { of_account } else { by };
                let is_open = blocking.iter().all(|asked| inner.waits_for_others(*asked, now));
                let refused = refused(wait, by);
                return Err(if is_open { Problem::UnderWay(refused) } else { Problem::Refused(refused) });
            }
            if account_waits > Span::ZERO && inner.waits_for_others(by_account, now) {
                return Err(Problem::UnderWay(refused(account_waits, of_account)));
            }
        }

        let put_off = (self.failures && account_waits > Span::ZERO).then(|| refused(account_waits, of_account));
        let mut counted = vec![];
        if device.is_none() && put_off.is_none() {
            counted.push(inner.count(Kind::Account, of_account, now, || account.label()));
        }
        if let Some(lane) = of_lane {
            counted.push(inner.count(Kind::Lane, lane, now, String::new));
            if let Some(entry) = inner.lanes.get_mut(&lane) {
                entry.of = Some([of_account, of_source]);
                if let Some(nonce) = &device {
                    let shown = || format!("{}/device-{}", account.label(), hex(&nonce[..NONCE_SHOWN])).into();
                    entry.label.get_or_insert_with(shown);
                }
            }
        }
        if let Some(bucket) = bucket {
            counted.push(inner.count(Kind::Source, of_source, now, || bucket));
        }
        drop(inner);
        Ok(Attempt { throttles: self.clone(), counted, put_off })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
