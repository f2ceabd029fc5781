//! The system's clock, made to go forwards only: a wall clock that steps backwards does not bring back what has expired
//! (F-07), and does not stand still either until the old time is reached again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use common::{Span, UnixTime};

use crate::ports::Clock;

/// A clock of the machine, in milliseconds.
type Reading = Box<dyn Fn() -> i64 + Send + Sync>;

/// How often the wall clock is looked at, in milliseconds of the steady one: a step of it is followed within that time.
const LOOK_EVERY: i64 = 10;

/// The steady clock, plus the largest distance that the wall clock ever was ahead of it.
pub struct SystemClock {
    /// Since 1970.
    wall: Reading,
    /// Of a clock that no one sets.
    steady: Reading,
    /// What that one showed when the wall clock was looked at last.
    looked: AtomicI64,
    ahead: AtomicI64,
}

impl Default for SystemClock {
    fn default() -> Self {
        #[allow(clippy::disallowed_methods)] // the one place that reads it
        let start = Instant::now();
        Self::reading(wall, move || millis(start.elapsed()))
    }
}

impl SystemClock {
    /// One that is so far ahead of the host's. Release builds have none.
    #[cfg(debug_assertions)]
    #[allow(clippy::disallowed_methods)]
    pub fn ahead_for_tests(by: Span) -> Self {
        let start = Instant::now();
        Self::reading(move || wall().saturating_add(millis(by.to_std())), move || millis(start.elapsed()))
    }
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[allow(clippy::disallowed_methods)] // the one place that reads it
fn wall() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

impl SystemClock {
    fn reading(
        wall: impl Fn() -> i64 + Send + Sync + 'static,
        steady: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        let at = steady();
        let ahead = AtomicI64::new(wall().saturating_sub(at));
        Self { wall: Box::new(wall), steady: Box::new(steady), looked: AtomicI64::new(at), ahead }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let steady = (self.steady)();
        // A request asks for the time again and again: most of the time there is nothing to look at and nothing to write.
        let known = match steady.saturating_sub(self.looked.load(Ordering::Relaxed)) < LOOK_EVERY {
            true => self.ahead.load(Ordering::Relaxed),
            false => {
                self.looked.store(steady, Ordering::Relaxed);
                let ahead = (self.wall)().saturating_sub(steady);
                self.ahead.fetch_max(ahead, Ordering::Relaxed).max(ahead)
            }
        };
        UnixTime::from_millis(steady.saturating_add(known))
    }

    fn not_before(&self, time: UnixTime) {
        self.ahead.fetch_max(time.as_millis().saturating_sub((self.steady)()), Ordering::Relaxed);
    }

    fn wall_is_behind(&self) -> Span {
        let now = self.now();
        now.since(UnixTime::from_millis((self.wall)()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn clock() -> (SystemClock, impl Fn(i64, i64)) {
        let shown = Arc::new(Mutex::new((1_000_000, 0)));
        let (of_wall, of_steady) = (shown.clone(), shown.clone());
        let clock = SystemClock::reading(move || of_wall.lock().unwrap().0, move || of_steady.lock().unwrap().1);
        (clock, move |wall, steady| *shown.lock().unwrap() = (wall, steady))
    }

    #[test]
    fn f_07_a_clock_that_steps_back_goes_on_from_where_it_was() {
        let (clock, set) = clock();
        set(1_060_000, 60_000);
        assert_eq!(clock.now().as_millis(), 1_060_000);
        set(460_000, 60_000); // ten minutes back
        assert_eq!(clock.now().as_millis(), 1_060_000);
        set(470_000, 70_000);
        assert_eq!(clock.now().as_millis(), 1_070_000, "it does not stand still");
        assert_eq!(clock.wall_is_behind(), Span::from_mins(10));
        set(1_075_000, 75_000); // set right again
        assert_eq!((clock.now().as_millis(), clock.wall_is_behind()), (1_075_000, Span::ZERO));
    }

    #[test]
    fn a_wall_clock_that_steps_forwards_is_followed() {
        let (clock, set) = clock();
        set(5_000_000, 10);
        assert_eq!(clock.now().as_millis(), 5_000_000, "the machine slept");
        set(6_000_000, 19);
        assert_eq!(clock.now().as_millis(), 5_000_009, "it is not looked at each time");
        set(6_000_000, 20);
        assert_eq!(clock.now().as_millis(), 6_000_000);
        assert_eq!(clock.wall_is_behind(), Span::ZERO);
    }

    #[test]
    fn f_07_time_does_not_begin_before_what_is_on_record() {
        let (clock, set) = clock();
        clock.not_before(UnixTime::from_millis(1_500_000));
        assert_eq!(clock.now().as_millis(), 1_500_000);
        clock.not_before(UnixTime::from_millis(1_200_000));
        set(1_001_000, 1000);
        assert_eq!(clock.now().as_millis(), 1_501_000);
        assert_eq!(clock.wall_is_behind(), Span::from_millis(500_000));
    }
}
