//! The system's clock, made to go forwards only: a wall clock that steps backwards does not bring back what has expired
//! (F-07), and does not stand still either until the old time is reached again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use common::{Span, UnixTime};

use crate::ports::Clock;

/// What the machine's two clocks show, in milliseconds: the wall clock since 1970, and one that no one sets.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: i64,
    steady: i64,
}

/// The steady clock, plus the largest distance that the wall clock ever was ahead of it.
pub struct SystemClock {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    ahead: AtomicI64,
}

impl Default for SystemClock {
    fn default() -> Self {
        #[allow(clippy::disallowed_methods)] // the one place that reads it
        let start = Instant::now();
        Self::reading(move || Reading { wall: wall(), steady: millis(start.elapsed()) })
    }
}

impl SystemClock {
    /// One that is so far ahead of the host's. Release builds have none.
    #[cfg(debug_assertions)]
    #[allow(clippy::disallowed_methods)]
    pub fn ahead_for_tests(by: Span) -> Self {
        let start = Instant::now();
        Self::reading(move || Reading {
            wall: wall().saturating_add(millis(by.to_std())),
            steady: millis(start.elapsed()),
        })
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
    fn reading(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let Reading { wall, steady } = read();
        Self { read: Box::new(read), ahead: AtomicI64::new(wall.saturating_sub(steady)) }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let Reading { wall, steady } = (self.read)();
        let ahead = wall.saturating_sub(steady);
        let known = self.ahead.load(Ordering::Relaxed);
        // Most of the time there is nothing to write, and to write takes the line of memory away from all other threads.
        let known = if ahead > known { self.ahead.fetch_max(ahead, Ordering::Relaxed).max(ahead) } else { known };
        UnixTime::from_millis(steady.saturating_add(known))
    }

    fn not_before(&self, time: UnixTime) {
        let Reading { steady, .. } = (self.read)();
        self.ahead.fetch_max(time.as_millis().saturating_sub(steady), Ordering::Relaxed);
    }

    fn wall_is_behind(&self) -> Span {
        let now = self.now();
        now.since(UnixTime::from_millis((self.read)().wall))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn clock() -> (SystemClock, impl Fn(i64, i64)) {
        let reading = Arc::new(Mutex::new(Reading { wall: 1_000_000, steady: 0 }));
        let of_clock = reading.clone();
        let clock = SystemClock::reading(move || *of_clock.lock().unwrap());
        (clock, move |wall, steady| *reading.lock().unwrap() = Reading { wall, steady })
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
