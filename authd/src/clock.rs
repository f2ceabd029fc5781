//! The system's clock, made monotonic: a wall clock that steps backwards does not bring back what has expired (F-07).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use common::UnixTime;

use crate::ports::Clock;

/// Never earlier than what it said before.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicI64,
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that reads it
    fn now(&self) -> UnixTime {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        UnixTime::from_millis(self.latest.fetch_max(now, Ordering::Relaxed).max(now))
    }
}
