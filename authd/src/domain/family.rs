//! Refresh tokens: one family per session, a generation per rotation (RFC 9700 §4.14.2). A token is a family, a
//! generation and a MAC over both and the family's salt; nothing stored is a token, and any generation can be computed
//! again.

use common::{FamilyId, SessionId, Span, UnixTime};

use super::EventKind;

/// The place of a refresh token in its family, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// The first one, made at sign-in.
    pub const FIRST: Self = Self(1);
}

/// All refresh tokens of one session.
#[derive(Clone, PartialEq, Eq)]
pub struct Family {
    /// Stands in the token.
    pub id: FamilyId,
    /// The session that ends with it.
    pub session: SessionId,
    /// Random; goes into the MAC, so that a token cannot be made without the store.
    pub salt: [u8; 16],
    /// The one that may be used now.
    pub current: Generation,
    /// The one whose use made `current`.
    pub parent: Option<Generation>,
    /// When the last few generations were rotated away, newest last.
    pub rotations: Vec<(Generation, UnixTime)>,
    /// Who made the last rotation: a digest of user agent and network.
    pub client: ClientDigest,
    /// Whether a repeat of one of today's rotations is in the audit trail already.
    pub repeat_seen: RepeatSeen,
    /// When the sign-in was.
    pub created_at: UnixTime,
}

/// A digest of a client's user agent and network: enough to tell two apart, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientDigest(pub [u8; 16]);

/// Which repeats of a rotation were recorded today, so that a crowd of tabs makes one event and not fifty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepeatSeen {
    /// One from the client that made the rotation.
    pub same_client: bool,
    /// One from another.
    pub other_client: bool,
}

/// What a refresh token that is shown means (design, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is the current one: the next takes its place.
    Rotate,
    /// It was rotated a moment ago: the current one again, for fifty tabs and quick retries.
    Repeat,
    /// It is the parent of the current one, which nobody has shown: its answer was lost (a laptop that slept). The next
    /// takes its place, and the lost one is no token any more.
    Replace,
    /// Somebody shows a token that was used: the family ends (RFC 9700 §4.14.2).
    Reuse,
}

/// How many rotations are remembered: more than happen within the window, unless somebody hammers.
const REMEMBERED: usize = 16;

impl Family {
    /// What showing this generation at `now` means. A rotation is a moment ago for less than `window`. Of two requests at once
    /// the one that came later may be decided first, so a rotation may also lie as little ahead; one that lies further ahead
    /// was made by a clock that was wrong, and is over.
    pub fn judge(&self, shown: Generation, window: Span, now: UnixTime) -> Turn {
        let rotated_at = self.rotations.iter().rev().find(|(g, _)| *g == shown).map(|(_, at)| *at);
        if shown == self.current {
            Turn::Rotate
        } else if rotated_at.is_some_and(|at| now < at.plus(window) && at < now.plus(window)) {
            Turn::Repeat
        } else if self.parent == Some(shown) {
            Turn::Replace
        } else {
            Turn::Reuse
        }
    }

    /// The family after `shown` was rotated at `now` by this client.
    #[must_use]
    pub fn rotated(mut self, shown: Generation, client: ClientDigest, now: UnixTime) -> Self {
        let is_first = self.is_first_of_its_day(now);
        self.rotations.retain(|(generation, _)| *generation != shown);
        self.rotations.push((shown, now));
        let surplus = self.rotations.len().saturating_sub(REMEMBERED);
        self.rotations.drain(..surplus);
        // `current` is the greatest number that was ever given, orphans included.
        self.current = Generation(self.current.0 + 1);
        self.parent = Some(shown);
        self.client = client;
        if is_first {
            self.repeat_seen = RepeatSeen::default();
        }
        self
    }

    /// Whether no rotation came before in the same 24 hours, counted from the sign-in: the others are not recorded. A client
    /// may refresh as often as it likes, and does not fill the audit trail with it (TH-08).
    fn is_first_of_its_day(&self, now: UnixTime) -> bool {
        let day = |at: UnixTime| at.since(self.created_at).as_secs() / Span::from_days(1).as_secs();
        self.rotations.last().is_none_or(|(_, at)| day(*at) != day(now))
    }

    /// What showing this generation does: the family as it is from now on, and the event that tells of it (`None`: nothing
    /// that has to be told). A reuse is for the caller to act upon.
    pub fn used(
        self,
        shown: Generation,
        window: Span,
        client: ClientDigest,
        now: UnixTime,
    ) -> (Turn, Self, Option<EventKind>) {
        match self.judge(shown, window, now) {
            turn @ (Turn::Rotate | Turn::Replace) => {
                let event = self.is_first_of_its_day(now).then_some(EventKind::TokenRefreshed);
                (turn, self.rotated(shown, client, now), event)
            }
            Turn::Repeat => {
                let (fresh, family) = self.repeated(client);
                (Turn::Repeat, family, fresh.then_some(EventKind::RefreshRepeated))
            }
            Turn::Reuse => (Turn::Reuse, self, Some(EventKind::RefreshReused)),
        }
    }

    /// Whether a repeat by this client is to be recorded, and the family that remembers it.
    pub fn repeated(mut self, client: ClientDigest) -> (bool, Self) {
        let seen =
            if client == self.client { &mut self.repeat_seen.same_client } else { &mut self.repeat_seen.other_client };
        let fresh = !*seen;
        *seen = true;
        (fresh, self)
    }
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Family").field("id", &self.id).field("current", &self.current).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Span = Span::from_secs(10);
    const T0: UnixTime = UnixTime::from_secs(1_000_000);
    const ME: ClientDigest = ClientDigest([1; 16]);

    fn family() -> Family {
        Family {
            id: "f".parse().unwrap(),
            session: "s".parse().unwrap(),
            salt: [0; 16],
            current: Generation(1),
            parent: None,
            rotations: vec![],
            client: ME,
            repeat_seen: RepeatSeen::default(),
            created_at: T0,
        }
    }

    fn at(secs: u64) -> UnixTime {
        T0.plus(Span::from_secs(secs))
    }

    #[test]
    fn rf_01_the_four_cases() {
        let first = family();
        assert_eq!(first.judge(Generation(1), WINDOW, at(0)), Turn::Rotate);
        let second = first.rotated(Generation(1), ME, at(0));
        assert_eq!((second.current, second.parent), (Generation(2), Some(Generation(1))));
        // Within the window the current one again; not a millisecond longer, and then the answer counts as lost.
        let end = at(10);
        assert_eq!(second.judge(Generation(1), WINDOW, end.minus(Span::from_millis(1))), Turn::Repeat);
        assert_eq!(second.judge(Generation(1), WINDOW, end), Turn::Replace);
        let third = second.clone().rotated(Generation(2), ME, at(60));
        assert_eq!(third.judge(Generation(2), WINDOW, at(61)), Turn::Repeat);
        assert_eq!(third.judge(Generation(2), WINDOW, at(600)), Turn::Replace);
        assert_eq!(third.judge(Generation(1), WINDOW, at(61)), Turn::Reuse);
        assert_eq!(third.judge(Generation(9), WINDOW, at(61)), Turn::Reuse, "a token of a future that never was");
    }

    #[test]
    fn a_lost_answer_is_replaced_and_the_lost_token_is_dead() {
        let lost = family().rotated(Generation(1), ME, at(0));
        let found = lost.rotated(Generation(1), ME, at(86_400));
        assert_eq!((found.current, found.parent), (Generation(3), Some(Generation(1))));
        assert_eq!(found.judge(Generation(2), WINDOW, at(86_401)), Turn::Reuse, "the orphan");
        assert_eq!(found.judge(Generation(1), WINDOW, at(86_401)), Turn::Repeat, "a quick retry");
        assert_eq!(found.judge(Generation(3), WINDOW, at(86_401)), Turn::Rotate);
    }

    #[test]
    fn rf_02_thief_and_owner_cannot_both_go_on() {
        // The thief copied generation 1 and waits until the window is over; then either order ends the family.
        for thief_first in [true, false] {
            let mut family = family();
            let (mut owner, mut thief) = (Generation(1), Generation(1));
            let mut dead = false;
            for n in 0..4u64 {
                let thiefs_turn = n.is_multiple_of(2) == thief_first;
                let token = if thiefs_turn { &mut thief } else { &mut owner };
                match family.judge(*token, WINDOW, at(n * 60)) {
                    Turn::Rotate | Turn::Replace => {
                        family = family.rotated(*token, ME, at(n * 60));
                        *token = family.current;
                    }
                    Turn::Repeat => panic!("turns are further apart than the window"),
                    Turn::Reuse => {
                        dead = true;
                        break;
                    }
                }
            }
            assert!(dead, "at the latest at either party's second use");
        }
    }

    #[test]
    fn f_07_a_rotation_by_a_clock_that_was_wrong_is_over() {
        let family = family().rotated(Generation(1), ME, at(86_400)).rotated(Generation(2), ME, at(86_460));
        // The clock was a day ahead, and is right now.
        assert_eq!(family.judge(Generation(1), WINDOW, at(50)), Turn::Reuse);
        assert_eq!(family.judge(Generation(2), WINDOW, at(50)), Turn::Replace, "no window of a day");
        let again = family.rotated(Generation(3), ME, at(50));
        assert_eq!(again.rotations.last(), Some(&(Generation(3), at(50))));
        assert_eq!(again.judge(Generation(2), WINDOW, at(55)), Turn::Reuse);
        assert_eq!(again.judge(Generation(3), WINDOW, at(45)), Turn::Repeat, "decided in another order than they came");
        assert_eq!(again.judge(Generation(3), WINDOW, at(61)), Turn::Replace);
    }

    #[test]
    fn th_08_rotations_are_recorded_once_in_24_hours_of_the_session() {
        let day = 86_400;
        let (mut family, mut recorded) = (family(), vec![]);
        for secs in [0, 1, 2, day - 1, day, day + 1, 3 * day, 3 * day + 60, 4 * day - 1] {
            let (turn, used, event) = family.clone().used(family.current, WINDOW, ME, at(secs));
            assert_eq!(turn, Turn::Rotate);
            if event.is_some() {
                recorded.push(secs);
            }
            family = used;
        }
        assert_eq!(recorded, [0, day, 3 * day]);
        // Whatever is shown: lost answers, which are replaced, are no way around.
        let lost = family.parent.unwrap();
        assert_eq!(family.clone().used(lost, Span::ZERO, ME, at(4 * day - 1)).2, None);
        assert!(family.used(Generation(1), WINDOW, ME, at(4 * day - 1)).2.is_some(), "but a reuse is told of");
    }

    #[test]
    fn repeats_are_recorded_once_for_each_kind_of_client() {
        let family = family().rotated(Generation(1), ME, at(0));
        let (fresh, family) = family.repeated(ME);
        assert!(fresh);
        let (fresh, family) = family.repeated(ME);
        assert!(!fresh);
        let (fresh, family) = family.repeated(ClientDigest([2; 16]));
        assert!(fresh);
        assert!(!family.repeated(ClientDigest([3; 16])).0);
    }
}
