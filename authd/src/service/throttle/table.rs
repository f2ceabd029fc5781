//! Counters in bounded room: what matters least goes first.

use std::collections::HashMap;

use crate::digest::sha256;

/// How many counters of one kind are kept: as many again are kept of older ones.
pub(super) const HALF: usize = 50_000;

/// What a counter is known by: half of the SHA-256 of what it counts.
pub(super) type Key = [u8; 16];

/// The key of what these parts name.
pub(super) fn key(parts: &[&str]) -> Key {
    let mut key = [0; 16];
    key.copy_from_slice(&sha256(parts.join("\0").as_bytes())[..16]);
    key
}

/// Counters in two generations: when the younger is full it becomes the older, and the older one goes, but for what still
/// matters. So memory is bounded, and the oldest goes first.
pub(super) struct Table<V> {
    young: HashMap<Key, V>,
    old: HashMap<Key, V>,
    half: usize,
}

impl<V: Default> Table<V> {
    pub(super) fn new(half: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The counter of `key`, made if there is none. `weight` says how much an entry matters, `None` that it says nothing any
    /// more: what weighs something goes only when nothing is left that does not, and the heaviest stay (TH-07).
    pub(super) fn entry<W: Ord + Copy>(&mut self, key: Key, weight: impl Fn(&V) -> Option<W>) -> &mut V {
        if !self.young.contains_key(&key) {
            let found = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= self.half {
                self.make_room(weight);
            }
            self.young.insert(key, found);
        }
        self.young.entry(key).or_default()
    }

    fn make_room<W: Ord + Copy>(&mut self, weight: impl Fn(&V) -> Option<W>) {
        self.young.retain(|_, value| weight(value).is_some());
        // Some room at least, or the next one would have to look at all of them again.
        if self.young.len() <= self.half / 4 * 3 {
            return;
        }
        let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        let mut kept: Vec<(W, Key, V)> =
            gone.into_iter().filter_map(|(key, value)| Some((weight(&value)?, key, value))).collect();
        // At most half of the room: were all of it taken by what matters, nothing new could be counted.
        let most = self.half / 2;
        if kept.len() > most {
            kept.select_nth_unstable_by(most, |a, b| b.0.cmp(&a.0));
            kept.truncate(most);
        }
        self.young.extend(kept.into_iter().map(|(_, key, value)| (key, value)));
    }

    /// The counter of `key`, if there is one.
    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut V> {
        if self.young.contains_key(key) { self.young.get_mut(key) } else { self.old.get_mut(key) }
    }

    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let young = self.young.remove(key).is_some();
        self.old.remove(key).is_some() || young
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &V)> {
        self.young.iter().chain(&self.old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn th_07_what_weighs_something_outlives_what_weighs_nothing_and_the_heaviest_outlive_the_rest() {
        let weight = |n: &u32| (*n > 0).then_some(*n);
        let name = |n: u32| key(&[&n.to_string()]);
        let mut table = Table::new(100);
        *table.entry(key(&["nine"]), weight) = 9;
        for n in 0..10_000 {
            table.entry(name(n), weight);
        }
        assert_eq!(table.get(&key(&["nine"])), Some(&9), "whatever number of empty ones comes");
        for n in 0..10_000 {
            *table.entry(name(n), weight) = 1;
        }
        assert_eq!(table.get(&key(&["nine"])), Some(&9), "also of lighter ones");
        assert!(table.iter().count() <= 200, "{}", table.iter().count());
        for n in 0..10_000 {
            *table.entry(name(n), weight) = 10;
        }
        assert_eq!(table.get(&key(&["nine"])), None, "the room is bounded");
        assert!(table.get(&name(9_999)).is_some() && table.iter().count() <= 200);
    }
}
