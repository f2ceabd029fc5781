//! Who has to wait: the counters behind the rules of [`crate::domain::throttle`]. They are in memory and bounded (TH-07);
//! those of accounts are written to the store every few seconds, so that no restart frees an account that is under attack.
//!
//! An attempt counts for its account, for the network that it comes from, and for both together (its lane). All three are
//! counted and judged in the same way whether or not there is such an account, and whether or not its owner signed in from
//! here: so nobody learns anything from a wait (AU-06). Where the account has to wait and neither lane nor network does, the
//! hash is made all the same, and only at the owner's own places is the password looked at: that keeps strangers from keeping
//! the owner out (TH-02). A device with which the owner signed in has a counter of its own, and waits for nothing else.

mod put_off;
mod table;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use common::{Email, Span, UnixTime, UserId, text::printable};
use tokio::sync::{Notify, Semaphore};
use tracing::warn;

use self::{
    put_off::PutOff,
    table::{HALF, Key, Table, key},
};
use super::{ServiceError, Services, device::Nonce};
use crate::{
    domain::{
        Act, Event, EventKind, address,
        throttle::{FailureRule, Failures, Window, WindowRule},
    },
    store::Counter,
};

/// Failures from which on an account's counter is written down.
const WRITTEN_FROM: u32 = 5;
/// How many counters one commit writes.
const WRITTEN_AT_ONCE: usize = 500;
/// How many may wait to be written: beyond that (the store takes no changes) a counter waits for its next change.
const WAITING_AT_MOST: usize = 20_000;
/// How much of a device's number is shown: enough to tell two apart.
const NONCE_SHOWN: usize = 4;
/// How much of an address that is none the log shows, in bytes.
const ENTRY_SHOWN: usize = 64;
/// How often counters are looked for in the store that are forgotten.
const SWEPT_EVERY: Span = Span::from_hours(6);
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
    /// Changes of profiles, by user.
    profiles: Table<Failures>,
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

/// Something that a peer did, and how often.
#[derive(Default)]
struct Noted(Mutex<Option<(IpAddr, u64)>>);

impl Noted {
    fn lock(&self) -> MutexGuard<'_, Option<(IpAddr, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the first time.
    fn note(&self, peer: IpAddr) -> bool {
        let mut noted = self.lock();
        let count = noted.map_or(0, |(_, count)| count);
        *noted = Some((peer, count + 1));
        count == 0
    }
}

/// The requests that count as one client's because nobody could say whose they are: the last peer, and how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Indistinct {
    /// The peer named other clients, and is no trusted proxy.
    pub not_believed: Option<(IpAddr, u64)>,
    /// A trusted proxy named somebody that could not be read.
    pub not_readable: Option<(IpAddr, u64)>,
    /// A trusted proxy named nobody.
    pub not_named: Option<(IpAddr, u64)>,
}

/// Whose account an attempt is on.
pub enum Account<'a> {
    /// One that exists.
    Known(&'a UserId),
    /// None: it is counted all the same, so that waits do not tell (AU-06).
    Unknown(&'a Email),
}

impl Account<'_> {
    fn key(&self) -> Key {
        match self {
            Self::Known(user) => key(&["user", user.as_str()]),
            Self::Unknown(email) => key(&["email", email.as_str()]),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::Known(user) => user.to_string(),
            // What was typed may be a password (LG-02).
            Self::Unknown(_) => "unknown".into(),
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
    /// With nothing counted. `failures`: whether failed sign-ins slow down the next ones.
    pub fn new(failures: bool) -> Self {
        let inner = Inner {
            windows: Table::new(HALF),
            accounts: Table::new(HALF),
            sources: Table::new(HALF),
            lanes: Table::new(HALF),
            profiles: Table::new(HALF),
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

    /// Notes that a peer named another client and was not believed: all who come by it count as one.
    pub fn not_believed(&self, peer: IpAddr) {
        if self.not_believed.note(peer) {
            warn!(%peer, "a peer names other clients and is not in http.trusted_proxies: all who come by it count as one");
        }
    }

    /// Notes that a trusted proxy named somebody that could not be read: all who come so count as one.
    pub fn not_readable(&self, peer: IpAddr, entry: &[u8]) {
        if self.not_readable.note(peer) {
            let entry = printable(&String::from_utf8_lossy(&entry[..entry.len().min(ENTRY_SHOWN)]));
            warn!(%peer, entry, "a trusted proxy names a client by what is no address: all who come so count as one");
        }
    }

    /// Notes that a trusted proxy named nobody: all who come so count as one.
    pub fn not_named(&self, peer: IpAddr) {
        self.not_named.note(peer);
    }

    /// What is counted as one client's and may not be.
    pub fn indistinct(&self) -> Indistinct {
        Indistinct {
            not_believed: *self.not_believed.lock(),
            not_readable: *self.not_readable.lock(),
            not_named: *self.not_named.lock(),
        }
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
        let rule = FailureRule::PROFILE;
        let mut inner = self.lock();
        let weight = |changes: &Failures| Some(changes.count_at(rule, now)).filter(|count| *count > 0);
        let changes = inner.profiles.entry(key(&["profile", user.as_str()]), weight);
        match changes.wait(rule, now) {
            Span::ZERO => {
                changes.attempt(rule, now);
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
    fn forget(&self, which: &Which) -> u64 {
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

    fn load(&self, counters: Vec<Counter>, now: UnixTime) {
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
    fn take_unwritten(&self, now: UnixTime) -> Vec<Counter> {
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_000_000);

    #[allow(clippy::unnecessary_wraps)] // as the functions take it
    fn ip(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    fn throttles() -> Arc<Throttles> {
        Arc::new(Throttles::new(true))
    }

    /// One attempt that fails: what came of it.
    fn fails(throttles: &Arc<Throttles>, account: &Account<'_>, source: Option<IpAddr>, now: UnixTime) -> &'static str {
        match throttles.begin(account, source, None, now) {
            Ok(attempt) if attempt.put_off.is_some() => "in vain",
            Ok(_) => "looked at",
            Err(_) => "refused",
        }
    }

    #[test]
    fn th_01_one_account_is_guessed_at_from_a_thousand_sources() {
        let throttles = throttles();
        let ada = user("ada");
        let outcomes: Vec<_> = (0..1000).map(|n| fails(&throttles, &Account::Known(&ada), ip(n), NOW)).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "looked at").count(), 10);
        assert_eq!(fails(&throttles, &Account::Known(&user("bob")), ip(1), NOW), "looked at");
        let seen = throttles.waiting(NOW);
        assert_eq!((seen[0].kind, seen[0].subject.as_str(), seen[0].failures), ("account", "ada", 10));
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn th_01_a_thousand_accounts_are_guessed_at_from_one_source() {
        let throttles = throttles();
        let users = (0..1000).map(|n| user(&format!("u{n}")));
        let outcomes: Vec<_> = users.map(|user| fails(&throttles, &Account::Known(&user), ip(7), NOW)).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "looked at").count(), 20);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "refused").count(), 980);
    }

    #[test]
    fn th_02_a_lane_and_a_device_have_counters_of_their_own() {
        let throttles = throttles();
        let ada = user("ada");
        for n in 0..1000 {
            fails(&throttles, &Account::Known(&ada), ip(n), NOW);
        }
        let attempt = throttles.begin(&Account::Known(&ada), ip(5000), None, NOW).ok().unwrap();
        assert!(attempt.put_off.is_some(), "whether it is the owner's place is for the caller to ask");
        attempt.succeeded();
        // It is limited too, without any effect on others.
        let guesses: Vec<_> = (0..50).map(|_| fails(&throttles, &Account::Known(&ada), ip(5000), NOW)).collect();
        assert_eq!(guesses.iter().filter(|outcome| **outcome == "in vain").count(), 10);
        assert_eq!(fails(&throttles, &Account::Known(&ada), ip(5001), NOW), "in vain");
        let by_device = || throttles.begin(&Account::Known(&ada), ip(5000), Some([7; 16]), NOW);
        assert_eq!((0..50).filter(|_| by_device().is_ok_and(|attempt| attempt.put_off.is_none())).count(), 10);
        let seen = throttles.waiting(NOW);
        assert!(seen.iter().any(|one| one.subject == "ada/device-07070707"), "{seen:?}");
        throttles.forget(&Which::Account(ada.clone()));
        assert!(throttles.waiting(NOW).iter().all(|one| one.kind == "source"));
        assert_eq!(fails(&throttles, &Account::Known(&ada), ip(5002), NOW), "looked at");
    }

    #[test]
    fn au_06_all_is_counted_and_judged_alike_whether_or_not_there_is_an_account() {
        let (ada, nobody): (UserId, Email) = (user("ada"), "nobody@example.com".parse().unwrap());
        let seen = [Account::Known(&ada), Account::Unknown(&nobody)].map(|account| {
            let throttles = throttles();
            let mut seen = vec![];
            let mut now = NOW;
            for n in 0..400 {
                let source = ip(n % 7);
                let verdict = throttles.begin(&account, source, None, now);
                seen.push(match verdict {
                    Ok(attempt) => (true, attempt.put_off.as_ref().map(|refused| refused.wait)),
                    Err(Problem::Refused(refused) | Problem::UnderWay(refused)) => (false, Some(refused.wait)),
                });
                now = now.plus(Span::from_secs(u64::from(n % 5)));
            }
            seen
        });
        assert_eq!(seen[0], seen[1]);
        assert!(seen[0].iter().any(|(hashed, wait)| *hashed && wait.is_some()), "also where the account waits");
    }

    #[test]
    fn th_03_a_success_takes_back_itself_and_no_failure() {
        let throttles = throttles();
        let (ada, own) = (user("ada"), user("own"));
        for n in 0..10 {
            assert_eq!(fails(&throttles, &Account::Known(&ada), ip(n), NOW), "looked at");
            throttles.begin(&Account::Known(&own), ip(n), None, NOW).ok().unwrap().succeeded();
        }
        assert_eq!(fails(&throttles, &Account::Known(&ada), ip(77), NOW), "in vain");
        assert_eq!(fails(&throttles, &Account::Known(&own), ip(78), NOW), "looked at", "nothing is left of those");
    }

    #[tokio::test]
    async fn th_02_right_passwords_that_come_at_once_wait_for_each_other_and_wrong_ones_gain_nothing() {
        let throttles = throttles();
        let ada = user("ada");
        for (right, expected) in [(true, 64), (false, 10)] {
            let attempts = (0..64).map(|n| {
                let (throttles, ada) = (throttles.clone(), ada.clone());
                async move {
                    let attempt = throttles.admit(&Account::Known(&ada), ip(n), None, NOW).await;
                    tokio::task::yield_now().await;
                    match attempt {
                        Ok(attempt) if attempt.put_off.is_some() => false,
                        Ok(attempt) if right => {
                            attempt.succeeded();
                            true
                        }
                        Ok(_) => true,
                        Err(_) => false,
                    }
                }
            });
            let looked_at = futures_util::future::join_all(attempts).await.into_iter().filter(|seen| *seen).count();
            assert_eq!(looked_at, expected, "right: {right}");
        }
    }

    #[test]
    fn th_07_a_million_keys_take_bounded_room_and_free_no_account_under_attack() {
        let throttles = throttles();
        let (ada, eve) = (user("ada"), user("eve"));
        for n in 0..10 {
            fails(&throttles, &Account::Known(&ada), ip(n), NOW);
            if n < 9 {
                fails(&throttles, &Account::Known(&eve), ip(n), NOW);
            }
        }
        let rule = WindowRule::new(3, 10);
        for n in 0..1_000_000u32 {
            let email: Email = format!("u{n}@example.com").parse().unwrap();
            let _ = throttles.begin(&Account::Unknown(&email), ip(n + 10_000), None, NOW);
            let _ = throttles.request(ip(n), "/sign-in/email", rule, NOW);
        }
        let inner = throttles.lock();
        let (accounts, sources, lanes) = (&inner.accounts, &inner.sources, &inner.lanes);
        let all = [accounts, sources, lanes].map(|table| table.iter().count());
        assert!(all.iter().chain([&inner.windows.iter().count()]).all(|n| *n <= 2 * HALF), "{all:?}");
        assert!(inner.unwritten.len() <= WAITING_AT_MOST, "{}", inner.unwritten.len());
        drop(inner);
        assert_eq!(fails(&throttles, &Account::Known(&ada), ip(99), NOW), "in vain", "still under attack");
        assert_eq!(fails(&throttles, &Account::Known(&eve), ip(99), NOW), "looked at");
        assert_eq!(fails(&throttles, &Account::Known(&eve), ip(99), NOW), "in vain", "nine are not forgotten either");
    }

    #[test]
    fn th_07_attempts_of_which_no_password_is_looked_at_leave_nothing_behind() {
        let throttles = throttles();
        let ada = user("ada");
        for n in 0..9 {
            fails(&throttles, &Account::Known(&ada), ip(n + 100), NOW);
        }
        for n in 0..19 {
            fails(&throttles, &Account::Known(&user(&format!("u{n}"))), ip(7), NOW);
        }
        let count = |throttles: &Throttles| throttles.lock().accounts.iter().count();
        let before = count(&throttles);
        for n in 0..120_000u32 {
            let email: Email = format!("u{n}@example.com").parse().unwrap();
            throttles.begin(&Account::Unknown(&email), ip(n + 10_000), None, NOW).ok().unwrap().was_none();
        }
        assert_eq!(count(&throttles), before);
        assert_eq!(fails(&throttles, &Account::Known(&ada), ip(99), NOW), "looked at");
        assert_eq!(fails(&throttles, &Account::Known(&ada), ip(99), NOW), "in vain", "nine and one are ten");
        let guesses = (0..5).map(|n| fails(&throttles, &Account::Known(&user(&format!("w{n}"))), ip(7), NOW));
        assert_eq!(guesses.filter(|outcome| *outcome == "looked at").count(), 1, "nineteen and one are twenty");
    }

    #[test]
    fn th_07_a_store_that_takes_nothing_lets_nothing_grow() {
        let throttles = throttles();
        for n in 0..30_000u32 {
            let email: Email = format!("u{n}@example.com").parse().unwrap();
            for m in 0..WRITTEN_FROM {
                let _ = throttles.begin(&Account::Unknown(&email), ip(n * 8 + m), None, NOW);
            }
        }
        assert_eq!(throttles.lock().unwritten.len(), WAITING_AT_MOST);
        let taken = throttles.take_unwritten(NOW);
        assert_eq!(taken.len(), WRITTEN_AT_ONCE);
        assert!(taken.iter().all(|counter| counter.count == WRITTEN_FROM), "those that matter");
    }

    #[test]
    fn th_02_a_counter_from_a_clock_that_was_ahead_is_not_waited_for() {
        let throttles = throttles();
        let key = Account::Known(&user("ada")).key();
        let last = NOW.plus(Span::from_days(365));
        throttles.load(vec![Counter { key, count: 14, last, label: Some("ada".into()) }], NOW);
        let attempt = throttles.begin(&Account::Known(&user("ada")), ip(1), None, NOW).ok().unwrap();
        assert_eq!(attempt.put_off.as_ref().unwrap().wait, Span::from_secs(16));
    }
}
