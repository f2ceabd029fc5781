//! What the log says of attempts that were put off. They cost who makes them nothing, so they are summed up: a line at once
//! for each account or network that has to wait, and then one a minute with their number.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use common::{Span, UnixTime};
use tracing::info;

use super::{Refused, table::Key};

/// How often there is a line about the same account or network.
const EVERY: Span = Span::from_mins(1);
/// How many of them are told apart. What comes beyond is one sum.
const MOST: usize = 1000;
const OTHERS: Key = [0; 16];

struct Told {
    at: UnixTime,
    /// Since then, and not told yet.
    more: u64,
    subject: String,
}

/// See the module's text.
#[derive(Default)]
pub(in crate::service) struct PutOff(Mutex<HashMap<Key, Told>>);

impl PutOff {
    /// Whether this one is worth a line; if it is not, it is counted. `subject`: the account's id, or the network.
    pub(in crate::service) fn note(&self, refused: &Refused, subject: impl FnOnce() -> String, now: UnixTime) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_room = told.len() < MOST || told.contains_key(&refused.by);
        let by = if is_room { refused.by } else { OTHERS };
        let mut is_first = false;
        let one = told.entry(by).or_insert_with(|| {
            is_first = is_room;
            let subject = if is_room { subject() } else { "others".into() };
            Told { at: now, more: 0, subject }
        });
        one.more += u64::from(!is_first);
        is_first
    }

    /// Tells of those that were counted, and forgets those of whom there is nothing to tell any more.
    pub(super) fn sum_up(&self, now: UnixTime) {
        for (subject, count) in self.due(now) {
            info!(subject, count, result = "refused", "further sign-ins were put off: too many have failed");
        }
    }

    fn due(&self, now: UnixTime) -> Vec<(String, u64)> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = vec![];
        told.retain(|_, one| {
            if now < one.at.plus(EVERY) {
                return true;
            }
            let more = std::mem::replace(&mut one.more, 0);
            one.at = now;
            if more > 0 {
                due.push((one.subject.clone(), more));
            }
            more > 0
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn th_07_a_flood_of_sign_ins_that_are_put_off_is_a_line_a_minute() {
        let put_off = PutOff::default();
        let at = |secs: i64| UnixTime::from_secs(1_000_000 + secs);
        let by = |n: u32| {
            let mut by = [1; 16];
            by[..4].copy_from_slice(&n.to_be_bytes());
            Refused { wait: Span::from_secs(1), by }
        };
        let lines = (0..34_000).filter(|_| put_off.note(&by(1), || "ada".into(), at(0))).count();
        assert_eq!(lines, 1);
        assert_eq!(put_off.due(at(59)), []);
        assert_eq!(put_off.due(at(60)), [("ada".to_owned(), 33_999)], "none is lost");
        assert!(!put_off.note(&by(1), || "ada".into(), at(61)), "the flood goes on");
        assert_eq!(put_off.due(at(120)), [("ada".to_owned(), 1)]);
        assert_eq!(put_off.due(at(180)), []);
        assert!(put_off.note(&by(1), || "ada".into(), at(181)), "a new one is told of at once");

        let put_off = PutOff::default();
        let lines = (0..100_000).filter(|n| put_off.note(&by(*n), || n.to_string(), at(0))).count();
        assert_eq!((lines, put_off.due(at(60))), (MOST, vec![("others".to_owned(), 99_000)]), "and there is a bound");
    }
}
