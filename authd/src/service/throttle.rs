//! Who has to wait: the counters behind the rules of [`crate::domain::throttle`]. They are in memory and bounded (TH-07);
//! those of accounts are written to the store every few seconds, so that no restart frees an account that is under attack.
//!
//! An account counts failures from everywhere but the devices with which, and the places from which, its owner signed in of
//! late: each of those has a counter of its own, so that strangers cannot keep the owner out (TH-02).

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use common::{Email, Span, UnixTime, UserId, text::printable};
use tracing::warn;

use super::{Requester, ServiceError, Services, device::Nonce};
use crate::{
    digest::sha256,
    domain::{
        Act, Event, EventKind, User, address,
        throttle::{FailureRule, Failures, Place, Window, WindowRule},
    },
    store::Counter,
};

/// How many counters of one kind are kept: as many again are kept of older ones.
const HALF: usize = 50_000;
/// Failures from which on an account's counter is written down.
const WRITTEN_FROM: u32 = 5;
/// How many counters one commit writes.
const WRITTEN_AT_ONCE: usize = 500;
/// How many may wait to be written: beyond that (the store takes no changes) a counter waits for its next change.
const WAITING_AT_MOST: usize = 20_000;
/// How much of a device's name a counter shows: `device-` and eight digits.
const DEVICE_SHOWN: usize = 15;
/// How much of an address that is none the log shows, in bytes.
const ENTRY_SHOWN: usize = 64;
/// How often counters are looked for in the store that are forgotten.
const SWEPT_EVERY: Span = Span::from_hours(6);

/// What a counter is known by: half of the SHA-256 of what it counts.
type Key = [u8; 16];

fn key(parts: &[&str]) -> Key {
    let mut key = [0; 16];
    key.copy_from_slice(&sha256(parts.join("\0").as_bytes())[..16]);
    key
}

/// Counters in two generations: when the younger is full it becomes the older, and the older one goes, but for what still
/// matters. So memory is bounded, and the oldest goes first.
struct Table<V> {
    young: HashMap<Key, V>,
    old: HashMap<Key, V>,
    half: usize,
}

impl<V: Default> Table<V> {
    fn new(half: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half }
    }

    fn get(&self, key: &Key) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The counter of `key`, made if there is none. `matters` says which old ones have to stay.
    fn entry(&mut self, key: Key, matters: impl Fn(&V) -> bool) -> &mut V {
        if !self.young.contains_key(&key) {
            let found = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= self.half {
                let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
                // At most half of the room: were all of it taken by what matters, nothing new could be counted.
                self.young.extend(gone.into_iter().filter(|(_, value)| matters(value)).take(self.half / 2));
            }
            self.young.insert(key, found);
        }
        self.young.entry(key).or_default()
    }

    /// The counter of `key`, if there is one.
    fn get_mut(&mut self, key: &Key) -> Option<&mut V> {
        if self.young.contains_key(key) { self.young.get_mut(key) } else { self.old.get_mut(key) }
    }

    fn remove(&mut self, key: &Key) -> bool {
        let young = self.young.remove(key).is_some();
        self.old.remove(key).is_some() || young
    }

    fn iter(&self) -> impl Iterator<Item = (&Key, &V)> {
        self.young.iter().chain(&self.old)
    }
}

/// A counter of failures, and whom it is about, once that matters.
#[derive(Debug, Default)]
struct Entry {
    failures: Failures,
    label: Option<Box<str>>,
    /// Whether the store has it too.
    is_written: bool,
}

struct Inner {
    windows: Table<Window>,
    accounts: Table<Entry>,
    sources: Table<Entry>,
    /// By account and place.
    places: Table<Entry>,
    /// Counters of accounts that are not in the store as they are here.
    unwritten: BTreeSet<Key>,
    /// When forgotten ones were looked for in the store.
    swept_at: UnixTime,
}

impl Inner {
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

/// What speaks for an attempt before its password is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Stranger,
    /// The owner signed in from this network of late.
    KnownPlace,
    /// The owner signed in with this device, wherever it is now.
    KnownDevice(Nonce),
}

/// An attempt to sign in that was let through; it counts as failed unless it is said otherwise.
pub struct Attempt {
    account: Key,
    source: Option<Key>,
    place: Option<Key>,
    /// How long anybody else would have had to wait here. A wrong password is answered with it: that an account is known
    /// at this place must not show (AU-06).
    pub hidden_wait: Option<Span>,
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

/// Counts an attempt. From `labelled` failures on it is worth knowing whose they are.
fn bump(
    table: &mut Table<Entry>,
    key: Key,
    rule: FailureRule,
    now: UnixTime,
    labelled: u32,
    label: impl FnOnce() -> String,
) {
    let matters = |entry: &Entry| entry.failures.count_at(rule, now) >= rule.free;
    let entry = table.entry(key, matters);
    entry.failures.attempt(rule, now);
    if entry.label.is_none() && entry.failures.count >= labelled {
        entry.label = Some(label().into());
    }
}

fn wait(table: &Table<Entry>, key: &Key, rule: FailureRule, now: UnixTime) -> Span {
    table.get(key).map_or(Span::ZERO, |entry| entry.failures.wait(rule, now))
}

impl Throttles {
    /// With nothing counted. `failures`: whether failed sign-ins slow down the next ones.
    pub fn new(failures: bool) -> Self {
        let inner = Inner {
            windows: Table::new(HALF),
            accounts: Table::new(HALF),
            sources: Table::new(HALF),
            places: Table::new(HALF),
            unwritten: BTreeSet::new(),
            swept_at: UnixTime::EPOCH,
        };
        let (not_believed, not_readable, not_named) = Default::default();
        Self { inner: Mutex::new(inner), failures, not_believed, not_readable, not_named }
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
        let matters = |window: &Window| window.is_open(now);
        self.lock().windows.entry(key(&[&client, path]), matters).ask(rule, now)
    }

    /// Begins an attempt to sign in: counts it, or refuses it.
    ///
    /// # Errors
    /// How long to wait.
    pub fn begin(
        &self,
        account: &Account<'_>,
        source: Option<IpAddr>,
        standing: Standing,
        now: UnixTime,
    ) -> Result<Attempt, Span> {
        let bucket = source.map(|address| address::bucket(address).to_string());
        let of_account = account.key();
        let (kind, place) = match (standing, &bucket) {
            (Standing::KnownDevice(nonce), _) => ("device", format!("device-{}", hex(&nonce))),
            (Standing::KnownPlace, Some(bucket)) => ("place", bucket.clone()),
            (Standing::KnownPlace, None) | (Standing::Stranger, _) => {
                return self.begin_from_elsewhere(account, of_account, bucket.as_deref(), now);
            }
        };
        let rule = FailureRule::ACCOUNT;
        let place_key = key(&[kind, &hex(&of_account), &place]);
        let mut inner = self.lock();
        self.check(wait(&inner.places, &place_key, rule, now))?;
        // Enough of a device's number to tell two apart.
        let shown = place.get(..DEVICE_SHOWN).filter(|_| kind == "device").unwrap_or(&place);
        bump(&mut inner.places, place_key, rule, now, 1, || format!("{}/{shown}", account.label()));
        let (source, hidden_wait) = match bucket {
            None => (None, None),
            Some(bucket) => {
                let source = key(&["source", &bucket]);
                match self.check(wait(&inner.sources, &source, FailureRule::SOURCE, now)) {
                    Ok(()) => {
                        bump(&mut inner.sources, source, FailureRule::SOURCE, now, WRITTEN_FROM, || bucket);
                        (Some(source), None)
                    }
                    Err(wait) => (None, Some(wait)),
                }
            }
        };
        Ok(Attempt { account: of_account, source, place: Some(place_key), hidden_wait })
    }

    fn begin_from_elsewhere(
        &self,
        account: &Account<'_>,
        of_account: Key,
        bucket: Option<&str>,
        now: UnixTime,
    ) -> Result<Attempt, Span> {
        let source = bucket.map(|bucket| key(&["source", bucket]));
        let mut inner = self.lock();
        let waits = wait(&inner.accounts, &of_account, FailureRule::ACCOUNT, now);
        let source_waits = source.map_or(Span::ZERO, |source| wait(&inner.sources, &source, FailureRule::SOURCE, now));
        self.check(waits.max(source_waits))?;
        bump(&mut inner.accounts, of_account, FailureRule::ACCOUNT, now, WRITTEN_FROM, || account.label());
        inner.mark(of_account);
        if let (Some(source), Some(bucket)) = (source, bucket) {
            bump(&mut inner.sources, source, FailureRule::SOURCE, now, WRITTEN_FROM, || bucket.to_owned());
        }
        Ok(Attempt { account: of_account, source, place: None, hidden_wait: None })
    }

    fn check(&self, wait: Span) -> Result<(), Span> {
        if wait == Span::ZERO || !self.failures { Ok(()) } else { Err(wait) }
    }

    /// The attempt succeeded, or no password was looked at: it does not count. Earlier failures stay counted, but for those
    /// of a known place or device (TH-03).
    pub fn take_back(&self, attempt: &Attempt, succeeded: bool) {
        let mut inner = self.lock();
        if let Some(place) = &attempt.place {
            if succeeded {
                inner.places.remove(place);
            } else if let Some(entry) = inner.places.get_mut(place) {
                entry.failures.take_back();
            }
        } else {
            // A counter that is gone needs nothing taken back.
            inner.mark(attempt.account);
            if let Some(entry) = inner.accounts.get_mut(&attempt.account) {
                entry.failures.take_back();
            }
        }
        if let Some(entry) = attempt.source.and_then(|source| inner.sources.get_mut(&source)) {
            entry.failures.take_back();
        }
    }

    /// Everything that has to wait now, the longest first.
    pub fn waiting(&self, now: UnixTime) -> Vec<Waiting> {
        let inner = self.lock();
        let tables = [
            ("account", &inner.accounts, FailureRule::ACCOUNT),
            ("place", &inner.places, FailureRule::ACCOUNT),
            ("source", &inner.sources, FailureRule::SOURCE),
        ];
        let mut found: Vec<Waiting> = vec![];
        for (kind, table, rule) in tables {
            for (_, entry) in table.iter() {
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

    /// The counters that a clearing concerns: of accounts and places, and of sources.
    fn concerned(&self, which: &Which) -> (Vec<Key>, Vec<Key>, Vec<Key>) {
        let inner = self.lock();
        let all = |table: &Table<Entry>| table.iter().map(|(key, _)| *key).collect::<Vec<_>>();
        match which {
            Which::All => (all(&inner.accounts), all(&inner.places), all(&inner.sources)),
            Which::Source(address) => {
                let bucket = address::bucket(*address).to_string();
                let known = Some(key(&["source", &bucket])).filter(|key| inner.sources.get(key).is_some());
                (vec![], vec![], known.into_iter().collect())
            }
            Which::Account(user) => {
                let prefix = format!("{user}/");
                let is_theirs = |entry: &Entry| entry.label.as_deref().is_some_and(|label| label.starts_with(&prefix));
                let places = inner.places.iter().filter(|(_, entry)| is_theirs(entry)).map(|(key, _)| *key);
                let own = Some(Account::Known(user).key()).filter(|key| inner.accounts.get(key).is_some());
                (own.into_iter().collect(), places.collect(), vec![])
            }
        }
    }

    /// Forgets. Answers how many counters there were.
    fn forget(&self, which: &Which) -> u64 {
        let (accounts, places, sources) = self.concerned(which);
        let mut inner = self.lock();
        // Should one be on its way to the store just now, it goes from there again.
        inner.unwritten.extend(&accounts);
        if matches!(which, Which::All) {
            inner.windows = Table::new(HALF);
        }
        let gone = accounts.iter().filter(|key| inner.accounts.remove(key)).count()
            + places.iter().filter(|key| inner.places.remove(key)).count()
            + sources.iter().filter(|key| inner.sources.remove(key)).count();
        gone as u64
    }

    fn load(&self, counters: Vec<Counter>, now: UnixTime) {
        let mut inner = self.lock();
        for counter in counters {
            // What a clock wrote that was ahead is not waited for.
            let failures = Failures { count: counter.count, last: counter.last.min(now) };
            if failures.count_at(FailureRule::ACCOUNT, now) == 0 {
                // Forgotten while nobody looked: it goes from the store as well.
                inner.unwritten.insert(counter.key);
                continue;
            }
            let label = counter.label.map(Into::into);
            *inner.accounts.entry(counter.key, |_| true) = Entry { failures, label, is_written: true };
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
                let Failures { count, last } = entry.failures;
                if entry.is_written {
                    Counter { key, count, last, label: entry.label.clone().map(Into::into) }
                } else {
                    none
                }
            })
            .collect()
    }
}

fn hex(key: &Key) -> String {
    key.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
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
        Failures { count: counter.count, last: counter.last.min(now) }.count_at(FailureRule::ACCOUNT, now) == 0
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
    let (accounts, places, sources) = app.throttles.concerned(&which);
    let mut accounts: BTreeSet<Key> = accounts.into_iter().collect();
    // Also those that are in the store only, because memory was too small for them.
    let stored = app.store.counters().await?.into_iter().map(|counter| counter.key);
    accounts.extend(stored.filter(|key| match &which {
        Which::Account(user) => *key == Account::Known(user).key(),
        Which::Source(_) => false,
        Which::All => true,
    }));
    let count = (accounts.len() + places.len() + sources.len()) as u64;
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

/// What speaks for an attempt of `requester` on the account of `user`.
///
/// # Errors
/// The store cannot be read.
pub async fn standing(
    app: &Services,
    user: &User,
    requester: &Requester,
    now: UnixTime,
) -> Result<Standing, ServiceError> {
    if let Some(nonce) = requester.device.of(app, user, now) {
        return Ok(Standing::KnownDevice(nonce));
    }
    let places = app.store.places(&user.id).await?;
    let bucket = requester.address.map(|address| address::bucket(address).to_string());
    let is_here = |place: &Place| bucket.as_deref() == Some(&place.name) && place.is_known(now);
    Ok(if places.iter().any(is_here) { Standing::KnownPlace } else { Standing::Stranger })
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

    #[test]
    fn th_01_one_account_is_guessed_at_from_a_thousand_sources() {
        let throttles = Throttles::new(true);
        let ada = user("ada");
        let checked = (0..1000)
            .filter(|n| throttles.begin(&Account::Known(&ada), ip(*n), Standing::Stranger, NOW).is_ok())
            .count();
        assert_eq!(checked, 10);
        assert!(throttles.begin(&Account::Known(&user("bob")), ip(1), Standing::Stranger, NOW).is_ok());
        let seen = throttles.waiting(NOW);
        assert_eq!((seen[0].kind, seen[0].subject.as_str(), seen[0].failures), ("account", "ada", 10));
    }

    #[test]
    fn th_01_a_thousand_accounts_are_guessed_at_from_one_source() {
        let throttles = Throttles::new(true);
        let checked = (0..1000)
            .filter(|n| {
                throttles.begin(&Account::Known(&user(&format!("u{n}"))), ip(7), Standing::Stranger, NOW).is_ok()
            })
            .count();
        assert_eq!(checked, 20);
    }

    #[test]
    fn th_02_a_known_place_has_a_counter_of_its_own() {
        let throttles = Throttles::new(true);
        let ada = user("ada");
        for n in 0..1000 {
            let _ = throttles.begin(&Account::Known(&ada), ip(n), Standing::Stranger, NOW);
        }
        let attempt = throttles.begin(&Account::Known(&ada), ip(5000), Standing::KnownPlace, NOW).unwrap();
        throttles.take_back(&attempt, true);
        // And it is limited too, without any effect on others.
        let guesses = (0..50)
            .filter(|_| throttles.begin(&Account::Known(&ada), ip(5000), Standing::KnownPlace, NOW).is_ok())
            .count();
        assert_eq!(guesses, 10);
        assert!(throttles.begin(&Account::Known(&ada), ip(5001), Standing::KnownPlace, NOW).is_ok());
        assert_eq!(throttles.forget(&Which::Account(ada)), 3, "its own, and two places");
        assert_eq!(throttles.waiting(NOW), []);
    }

    #[test]
    fn th_03_a_success_takes_back_itself_and_no_failure() {
        let throttles = Throttles::new(true);
        let ada = user("ada");
        for n in 0..10 {
            throttles.begin(&Account::Known(&ada), ip(n), Standing::Stranger, NOW).unwrap();
            if n < 9 {
                let other = user("own");
                let good = throttles.begin(&Account::Known(&other), ip(n), Standing::Stranger, NOW).unwrap();
                throttles.take_back(&good, true);
            }
        }
        assert!(throttles.begin(&Account::Known(&ada), ip(77), Standing::Stranger, NOW).is_err());
        assert!(
            throttles.begin(&Account::Known(&user("own")), ip(78), Standing::Stranger, NOW).is_ok(),
            "nothing is left of those"
        );
    }

    #[test]
    fn th_07_a_million_keys_take_bounded_room_and_free_no_account_under_attack() {
        let throttles = Throttles::new(true);
        let ada = user("ada");
        for n in 0..10 {
            throttles.begin(&Account::Known(&ada), ip(n), Standing::Stranger, NOW).unwrap();
        }
        let rule = WindowRule::new(3, 10);
        for n in 0..1_000_000u32 {
            let email: Email = format!("u{n}@example.com").parse().unwrap();
            let _ = throttles.begin(&Account::Unknown(&email), ip(n + 10_000), Standing::Stranger, NOW);
            let _ = throttles.request(ip(n), "/sign-in/email", rule, NOW);
        }
        let inner = throttles.lock();
        let all = [inner.accounts.iter().count(), inner.sources.iter().count(), inner.windows.iter().count()];
        assert!(all.iter().all(|n| *n <= 2 * HALF + HALF / 2), "{all:?}");
        assert!(inner.unwritten.len() <= WAITING_AT_MOST, "{}", inner.unwritten.len());
        drop(inner);
        assert!(throttles.begin(&Account::Known(&ada), ip(99), Standing::Stranger, NOW).is_err(), "still under attack");
    }

    #[test]
    fn th_07_a_store_that_takes_nothing_lets_nothing_grow() {
        let throttles = Throttles::new(true);
        for n in 0..30_000u32 {
            let email: Email = format!("u{n}@example.com").parse().unwrap();
            for m in 0..WRITTEN_FROM {
                let _ = throttles.begin(&Account::Unknown(&email), ip(n * 8 + m), Standing::Stranger, NOW);
            }
        }
        assert_eq!(throttles.lock().unwritten.len(), WAITING_AT_MOST);
        let taken = throttles.take_unwritten(NOW);
        assert_eq!(taken.len(), WRITTEN_AT_ONCE);
        assert!(taken.iter().all(|counter| counter.count == WRITTEN_FROM), "those that matter");
    }

    #[test]
    fn th_02_a_counter_from_a_clock_that_was_ahead_is_not_waited_for() {
        let throttles = Throttles::new(true);
        let key = Account::Known(&user("ada")).key();
        let last = NOW.plus(Span::from_days(365));
        throttles.load(vec![Counter { key, count: 14, last, label: Some("ada".into()) }], NOW);
        let wait = throttles.begin(&Account::Known(&user("ada")), ip(1), Standing::Stranger, NOW).err().unwrap();
        assert_eq!(wait, Span::from_secs(16));
    }
}
