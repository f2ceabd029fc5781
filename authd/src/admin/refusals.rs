//! What the log says of peers that were refused. Asking costs them nothing, so there is a line at once for each user of the
//! host and what was asked for, and then one a minute with the number of those between.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use common::{Span, UnixTime};
use tracing::warn;

use crate::{domain::Role, door::PeerCredentials};

/// How often there is a line about the same.
const EVERY: Span = Span::from_mins(1);
/// How many are told apart. Those beyond count as one.
const MOST: usize = 1000;

/// Who was refused, and what.
type Refused = (u32, String);

/// See the module's text.
#[derive(Default)]
pub struct Refusals(Mutex<HashMap<Refused, (UnixTime, u64)>>);

impl Refusals {
    /// Whether this one is worth a line, and how many were not since the last.
    fn note(&self, uid: u32, what: &str, now: UnixTime) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut who = (uid, what.to_owned());
        if told.len() >= MOST && !told.contains_key(&who) {
            told.retain(|_, (at, more)| now < at.plus(EVERY) || *more > 0);
            if told.len() >= MOST {
                who = (u32::MAX, String::new());
            }
        }
        let is_new = !told.contains_key(&who);
        let (at, more) = told.entry(who).or_insert((now, 0));
        if is_new || now >= at.plus(EVERY) {
            *at = now;
            return Some(std::mem::take(more));
        }
        *more += 1;
        None
    }

    /// Somebody without a role.
    pub(super) fn without_role(&self, peer: &PeerCredentials, now: UnixTime) {
        if let Some(more) = self.note(peer.uid, "", now) {
            let (uid, pid) = (peer.uid, peer.pid);
            warn!(
                operator.uid = uid,
                operator.pid = pid,
                more,
                "a peer without a role on the admin socket was refused"
            );
        }
    }

    /// Somebody whose role does not allow it; `what` says what.
    pub(super) fn role_too_low(&self, peer: &PeerCredentials, roles: (Role, Role), what: &str, now: UnixTime) {
        if let Some(more) = self.note(peer.uid, what, now) {
            warn!(
                operator.uid = peer.uid,
                operator.pid = peer.pid,
                role = roles.0.as_str(),
                needed = roles.1.as_str(),
                more,
                "a peer was refused what its role does not allow: {what}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn az_04_a_flood_of_refusals_is_a_line_a_minute() {
        let refusals = Refusals::default();
        let at = |mins: u64| UnixTime::from_secs(1_000_000).plus(Span::from_mins(mins));
        let lines: Vec<u64> = (0..24_000).filter_map(|_| refusals.note(7, "status", at(0))).collect();
        assert_eq!(lines, [0]);
        assert_eq!(refusals.note(8, "status", at(0)), Some(0), "of another at once");
        assert_eq!(refusals.note(7, "keys", at(0)), Some(0), "and of something else");
        assert_eq!(refusals.note(7, "status", at(1)), Some(23_999), "none is lost");
        assert_eq!(refusals.note(7, "status", at(1)), None);
        let lines = (0..100_000).filter_map(|uid| refusals.note(uid, "", at(1))).count();
        assert!((MOST - 5..=MOST + 1).contains(&lines) && refusals.0.lock().unwrap().len() <= MOST + 1, "{lines}");
    }
}
