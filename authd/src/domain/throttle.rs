//! How often something may be tried: Better Auth's windows for requests, and growing waits after failed sign-ins. Counting
//! is a matter of the caller's lock; here are the rules.

use common::{Span, UnixTime};

/// So many requests, and then none until the window has passed since the last one that was let through (recorded:
/// PROTOCOL section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRule {
    /// The window.
    pub window: Span,
    /// How many requests.
    pub max: u32,
}

impl WindowRule {
    /// So many in so many seconds.
    pub const fn new(max: u32, secs: u64) -> Self {
        Self { window: Span::from_secs(secs), max }
    }
}

/// The requests of one client for one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    count: u32,
    end: UnixTime,
}

impl Window {
    /// Counts a request, or refuses it.
    ///
    /// # Errors
    /// How long to wait.
    pub fn ask(&mut self, rule: WindowRule, now: UnixTime) -> Result<(), Span> {
        let count = if self.is_open(now) { self.count } else { 0 };
        if count >= rule.max {
            return Err(self.end.since(now));
        }
        *self = Self { count: count + 1, end: now.plus(rule.window) };
        Ok(())
    }

    /// Whether it still counts.
    pub fn is_open(&self, now: UnixTime) -> bool {
        now < self.end
    }
}

/// How failed sign-ins slow down the next ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRule {
    /// So many cost nothing.
    pub free: u32,
    /// The wait after that, doubled with each further failure …
    pub first: Span,
    /// … up to this.
    pub longest: Span,
    /// So many failures at most, counted as they are forgotten: then one has to be forgotten first.
    pub most: u32,
    /// How long it takes to forget one.
    pub forget: Span,
}

impl FailureRule {
    /// Against guessing at one account, from everywhere: ten are free, then 1 s, 2 s, 4 s … 60 s; after a hundred, one an
    /// hour (SP 800-63B-4 §3.2.2: never more than 100 in a row). Nothing locks an account for good (TH-02).
    pub const ACCOUNT: Self = Self {
        free: 10,
        first: Span::from_secs(1),
        longest: Span::from_secs(60),
        most: 100,
        forget: Span::from_hours(1),
    };
    /// Against guessing at many accounts from one place, which may be an office or a carrier: twenty are free, one is
    /// forgotten every half minute.
    pub const SOURCE: Self = Self {
        free: 20,
        first: Span::from_secs(1),
        longest: Span::from_secs(60),
        most: u32::MAX,
        forget: Span::from_secs(30),
    };
    /// Changes of one's own profile, which leave a record in the audit trail each: sixty, and then one each ten minutes.
    pub const PROFILE: Self = Self {
        free: 60,
        first: Span::from_secs(1),
        longest: Span::from_secs(1),
        most: 60,
        forget: Span::from_mins(10),
    };
}

/// The failed sign-ins of one account, or from one place. An attempt counts from its beginning: of many at once each one is
/// counted before the next is judged (TH-03).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// As of `since`.
    pub count: u32,
    /// From when on the next one is being forgotten. Attempts do not move it, or who tries often would never be forgiven.
    pub since: UnixTime,
    /// The last attempt.
    pub last: UnixTime,
}

impl Failures {
    /// So many, the last one then: as they are written down.
    pub const fn written(count: u32, last: UnixTime) -> Self {
        Self { count, since: last, last }
    }

    /// What is left of the count at `now`.
    pub fn count_at(&self, rule: FailureRule, now: UnixTime) -> u32 {
        let forgotten = now.since(self.since).as_millis() / rule.forget.as_millis().max(1);
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    /// How long to wait before the next attempt; zero if it may be made.
    pub fn wait(&self, rule: FailureRule, now: UnixTime) -> Span {
        let count = self.count_at(rule, now);
        if count >= rule.most {
            let forgotten = u64::from(self.count - rule.most + 1) * rule.forget.as_millis();
            return self.since.plus(Span::from_millis(forgotten)).since(now);
        }
        match count.checked_sub(rule.free) {
            None => Span::ZERO,
            Some(beyond) => {
                let doubled = rule.first.as_millis().saturating_mul(1 << beyond.min(20));
                self.last.plus(Span::from_millis(doubled).min(rule.longest)).since(now)
            }
        }
    }

    /// Counts an attempt.
    pub fn attempt(&mut self, rule: FailureRule, now: UnixTime) {
        let count = self.count_at(rule, now);
        let forgotten = u64::from(self.count - count).saturating_mul(rule.forget.as_millis());
        let since = if count == 0 { now } else { self.since.plus(Span::from_millis(forgotten)) };
        *self = Self { count: count.saturating_add(1), since, last: now.max(self.last) };
    }

    /// Takes an attempt back: it succeeded, or was none. If none came after it, the last one is again the one `before` it.
    pub fn take_back(&mut self, before: Option<UnixTime>) {
        self.count = self.count.saturating_sub(1);
        self.last = before.unwrap_or(self.last);
    }
}

/// A place from which somebody signed in: a network, as throttles count by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The address bucket, as text.
    pub name: String,
    /// When the last sign-in from there was, to the day.
    pub last: UnixTime,
}

impl Place {
    /// How long a place counts as the owner's after a sign-in.
    pub const LIFE: Span = Span::from_days(30);
    /// How many are kept of one account.
    const MOST: usize = 16;

    /// The places of an account after a sign-in from `name`; `None` if they are as they were (a sign-in of the same day).
    pub fn remembered(places: &[Self], name: &str, now: UnixTime) -> Option<Vec<Self>> {
        let fresh = |place: &Self| place.name == name && now < place.last.plus(Span::from_days(1));
        if places.iter().any(fresh) {
            return None;
        }
        let mut kept: Vec<Self> = places.iter().filter(|p| p.name != name && p.is_known(now)).cloned().collect();
        kept.push(Self { name: name.to_owned(), last: now });
        kept.sort_by_key(|place| place.last);
        kept.drain(..kept.len().saturating_sub(Self::MOST));
        Some(kept)
    }

    /// Whether it still counts as the owner's.
    pub fn is_known(&self, now: UnixTime) -> bool {
        now < self.last.plus(Self::LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(1_000_000).plus(Span::from_secs(secs))
    }

    #[test]
    fn the_recorded_window_is_moved_by_what_is_let_through_and_not_by_what_is_refused() {
        let rule = WindowRule::new(3, 10);
        let mut window = Window::default();
        // Three requests nine seconds apart use the budget up.
        for secs in [0, 9, 18] {
            assert_eq!(window.ask(rule, at(secs)), Ok(()));
        }
        assert_eq!(window.ask(rule, at(27)), Err(Span::from_secs(1)));
        assert_eq!(window.ask(rule, at(28).minus(Span::from_millis(1))), Err(Span::from_millis(1)));
        assert_eq!(window.ask(rule, at(28)), Ok(()));
        assert!(window.is_open(at(37)) && !window.is_open(at(38)));
    }

    #[test]
    fn th_01_waits_grow_and_a_hundred_in_a_row_are_never_passed() {
        let rule = FailureRule::ACCOUNT;
        let mut failures = Failures::default();
        let mut now = at(0);
        let mut waits = vec![];
        for _ in 0..110 {
            let wait = failures.wait(rule, now);
            waits.push(wait.as_secs());
            now = now.plus(wait);
            assert_eq!(failures.wait(rule, now), Span::ZERO, "the wait is as long as was said");
            failures.attempt(rule, now);
            assert!(failures.count <= 100);
        }
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..18], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits[99], 60);
        assert_eq!(waits[100], 60, "one was forgotten meanwhile");
        assert!(waits[101] > 60 && waits[101] <= 3600, "until the next one is: {}", waits[101]);
        assert_eq!(waits[102..], [3600; 8], "one an hour");
    }

    #[test]
    fn th_02_no_wait_is_for_ever_and_quiet_time_is_forgotten() {
        let rule = FailureRule::ACCOUNT;
        let mut failures = Failures::written(100, at(0));
        assert_eq!(failures.wait(rule, at(0)), Span::from_hours(1));
        let day = at(86_400);
        assert_eq!((failures.count_at(rule, day), failures.wait(rule, day)), (76, Span::ZERO));
        failures.attempt(rule, day);
        assert_eq!(failures.count, 77);
        failures.take_back(Some(at(0)));
        assert_eq!((failures.count, failures.last), (76, at(0)));
        assert_eq!(failures.count_at(rule, at(86_400 * 30)), 0);
    }

    #[test]
    fn th_02_failures_are_forgotten_in_time_however_often_somebody_tries() {
        let rule = FailureRule::SOURCE;
        let mut failures = Failures::written(20, at(0));
        // A sign-in that succeeds every 20 s, for ten minutes.
        for n in 1..=30 {
            let before = failures.last;
            failures.attempt(rule, at(20 * n));
            failures.take_back(Some(before));
            assert_eq!(u64::from(failures.count_at(rule, at(20 * n))), 20 - (20 * n) / 30, "{n}");
            assert_eq!(failures.last, at(0), "a success makes nobody wait");
        }
        // And one that fails every 40 s adds up to nothing.
        let mut failures = Failures::written(0, at(0));
        for n in 1..=600 {
            failures.attempt(rule, at(40 * n));
        }
        assert!(failures.count_at(rule, at(40 * 600)) <= 2, "{failures:?}");
    }

    #[test]
    fn places_are_remembered_for_thirty_days_and_the_oldest_goes_first() {
        let first = Place::remembered(&[], "192.0.2.1", at(0)).unwrap();
        assert_eq!(Place::remembered(&first, "192.0.2.1", at(86_399)), None, "the same day: nothing to write");
        let later = Place::remembered(&first, "192.0.2.1", at(86_400)).unwrap();
        assert_eq!((later.len(), later[0].last), (1, at(86_400)));
        assert!(first[0].is_known(at(30 * 86_400 - 1)) && !first[0].is_known(at(30 * 86_400)));
        let mut places = first;
        for n in 0..40 {
            places = Place::remembered(&places, &format!("p{n}"), at(n)).unwrap();
        }
        assert_eq!((places.len(), places[0].name.as_str()), (16, "p24"));
        assert_eq!(Place::remembered(&places, "new", at(31 * 86_400)).unwrap().len(), 1, "the rest is too old");
    }

    #[test]
    fn f_07_a_clock_that_steps_back_frees_nobody() {
        let rule = FailureRule::ACCOUNT;
        let mut failures = Failures::written(16, at(100));
        assert!(failures.wait(rule, at(0)) >= Span::from_secs(60));
        failures.attempt(rule, at(0));
        assert_eq!(failures, Failures::written(17, at(100)));
    }
}
