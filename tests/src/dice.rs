//! Chance that can be had again: a seed decides who does what and when something is made to fail. How the acts of several
//! clients mingle inside the daemon is the machine's own chance.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A splitmix generator (Steele, Lea, Flood 2014): small, and good enough to throw dice with.
pub struct Dice(u64);

impl Dice {
    /// From `AUTHD_TEST_SEED`, or else another one at every run.
    ///
    /// # Panics
    /// If that is no number.
    #[allow(clippy::unwrap_used)]
    pub fn seed() -> u64 {
        let given = std::env::var("AUTHD_TEST_SEED").ok();
        given.map_or_else(|| RandomState::new().build_hasher().finish(), |seed| seed.parse().unwrap())
    }

    /// By this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Another one, whose throws do not depend on how often this one is thrown from now on.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// A number below `n`.
    ///
    /// # Panics
    /// Never, on a machine of 64 bits.
    #[allow(clippy::unwrap_used)]
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    /// Once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of them, if there are any.
    pub fn pick<T>(&mut self, from: Vec<T>) -> Option<T> {
        let n = from.len();
        if n == 0 { None } else { from.into_iter().nth(self.below(n)) }
    }
}

/// Whether the long form of an experiment is wanted: `AUTHD_TEST_LONG=1`.
pub fn is_long() -> bool {
    std::env::var("AUTHD_TEST_LONG").is_ok_and(|long| long == "1")
}

/// How large an experiment is: in every run, and with `AUTHD_TEST_LONG=1`.
pub fn size(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}
