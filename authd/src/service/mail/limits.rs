//! How many mails with a link one address gets, and one client causes, in an hour (RC-09). Nobody is told: the answers are
//! the same, and so is the work.

use std::sync::Mutex;

use common::{Span, UnixTime};
use quick_cache::sync::Cache;

use crate::digest::sha256;

/// The time in which they are counted.
const WINDOW: Span = Span::from_hours(1);
/// How many addresses and clients are remembered; the least used are forgotten.
const REMEMBERED: usize = 100_000;

/// See the module's text.
pub(super) struct Limits {
    sent: Cache<[u8; 16], Vec<UnixTime>>,
    /// Looking and counting are one step.
    turn: Mutex<()>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sent: Cache::new(REMEMBERED), turn: Mutex::default() }
    }
}

fn key(kind: &str, whose: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&sha256(format!("{kind}\n{whose}").as_bytes())[..16]);
    key
}

impl Limits {
    /// Counts one for each of these, unless one of them has had as many as it may.
    pub(super) fn take(&self, of: &[(&str, &str, usize)], now: UnixTime) -> bool {
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let recent = |key: &[u8; 16]| -> Vec<UnixTime> {
            let found = self.sent.get(key).unwrap_or_default();
            found.into_iter().filter(|at| now < at.plus(WINDOW)).collect()
        };
        let counted: Vec<_> = of
            .iter()
            .map(|(kind, whose, most)| {
                let key = key(kind, whose);
                (key, recent(&key), *most)
            })
            .collect();
        if counted.iter().any(|(_, recent, most)| recent.len() >= *most) {
            return false;
        }
        for (key, mut recent, _) in counted {
            recent.push(now);
            self.sent.insert(key, recent);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc_09_three_in_an_hour_and_then_none_until_the_first_is_an_hour_old() {
        let limits = Limits::default();
        let at = |minute: u64| UnixTime::from_secs(1_800_000_000).plus(Span::from_mins(minute));
        let take = |address: &str, client: &str, minute| {
            limits.take(&[("address", address, 3), ("client", client, 5)], at(minute))
        };
        assert!((0..3).all(|minute| take("ada", "here", minute)));
        assert!(!take("ada", "here", 3) && !take("ada", "there", 59));
        assert!(take("ada", "there", 60), "the first is an hour old");
        assert!(!take("ada", "there", 60), "the second is not");
        assert!(take("bob", "here", 4) && take("bob", "here", 4), "what was refused was not counted");
        assert!(!take("eve", "here", 5), "one client causes no more than five");
        assert!(take("eve", "there", 5));
    }
}
