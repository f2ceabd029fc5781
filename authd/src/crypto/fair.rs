//! A queue in which networks take turns, and households within them: each waits for as many others as there are, and not for
//! as many requests as they make.

use std::{collections::VecDeque, net::IpAddr};

use crate::domain::address;

/// Whose turn it is, from the widest network to the narrowest: an IPv4 address; an IPv6 /48, /56 and /64, since one subscriber
/// may have any of these. All whose address is not known are one.
pub(super) fn path(client: Option<IpAddr>) -> Vec<u128> {
    match client.map(address::canonical) {
        None => vec![u128::MAX],
        Some(IpAddr::V4(v4)) => vec![1 << 127 | u128::from(u32::from(v4))],
        Some(IpAddr::V6(v6)) => [80, 72, 64].map(|shift| u128::from(v6) >> shift).to_vec(),
    }
}

/// The jobs of a network, and of the networks in it.
pub(super) struct Fair<T> {
    jobs: VecDeque<T>,
    within: VecDeque<(u128, Self)>,
    len: usize,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), within: VecDeque::new(), len: 0 }
    }
}

impl<T> Fair<T> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a job behind the others of the same network, and the network behind the others if it had none.
    pub(super) fn push(&mut self, path: &[u128], job: T) {
        self.len += 1;
        let Some((first, rest)) = path.split_first() else { return self.jobs.push_back(job) };
        let place = self.within.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
            self.within.push_back((*first, Self::default()));
            self.within.len() - 1
        });
        self.within[place].1.push(rest, job);
    }

    /// The next job. The network that it is from goes to the end.
    pub(super) fn pop(&mut self) -> Option<T> {
        let job = match self.within.pop_front() {
            None => self.jobs.pop_front(),
            Some((name, mut network)) => {
                let job = network.pop();
                if network.len > 0 {
                    self.within.push_back((name, network));
                }
                job
            }
        };
        self.len -= usize::from(job.is_some());
        job
    }

    /// Takes the youngest job of whoever has so many that one more of this newcomer's is fairer; `None` if nobody has.
    pub(super) fn make_room(&mut self, newcomer: &[u128]) -> Option<T> {
        let (first, rest) = newcomer.split_first()?;
        let of_newcomer = self.within.iter().position(|(name, _)| name == first);
        let has = of_newcomer.map_or(0, |place| self.within[place].1.len);
        let (largest, most) =
            self.within.iter().map(|(_, network)| network.len).enumerate().max_by_key(|(_, len)| *len)?;
        let job =
            if has + 1 < most { self.take_youngest(largest) } else { self.within[of_newcomer?].1.make_room(rest) };
        self.len -= usize::from(job.is_some());
        job
    }

    fn take_youngest(&mut self, place: usize) -> Option<T> {
        let network = &mut self.within[place].1;
        let largest = network.within.iter().map(|(_, inner)| inner.len).enumerate().max_by_key(|(_, len)| *len);
        let job = match largest {
            Some((inner, _)) => network.take_youngest(inner),
            None => network.jobs.pop_back(),
        };
        network.len -= usize::from(job.is_some());
        if network.len == 0 {
            self.within.remove(place);
        }
        job
    }

    /// Keeps those of which this is true.
    pub(super) fn retain(&mut self, keep: &impl Fn(&T) -> bool) {
        self.jobs.retain(keep);
        self.within.iter_mut().for_each(|(_, network)| network.retain(keep));
        self.within.retain(|(_, network)| network.len > 0);
        self.len = self.jobs.len() + self.within.iter().map(|(_, network)| network.len).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<u128> {
        path(address::parse(text))
    }

    fn queue(clients: &[&str]) -> Fair<String> {
        let mut queue = Fair::default();
        clients.iter().for_each(|client| queue.push(&of(client), (*client).to_owned()));
        queue
    }

    fn order(mut queue: Fair<String>) -> Vec<String> {
        let len = queue.len();
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!((order.len(), queue.len(), queue.within.len()), (len, 0, 0));
        order
    }

    #[test]
    fn th_06_networks_take_turns_and_households_within_them() {
        let crowd: Vec<String> = (0..60).map(|n| format!("2001:db8:1:{n:x}::1")).collect();
        let mut all: Vec<&str> = crowd.iter().map(String::as_str).collect();
        all.extend(["198.51.100.1", "2001:db8:2::1", "2001:db8:1:ff00::1", "198.51.100.1"]);
        let order = order(queue(&all));
        assert_eq!(order[1..3], ["198.51.100.1", "2001:db8:2::1"], "each other network is next, whatever the /56 has");
        assert!(order[..6].contains(&"2001:db8:1:ff00::1".to_owned()), "another household of the same /48: {order:?}");
        assert_eq!(order.iter().position(|client| client == all[0]), Some(0));
        assert_eq!(path(None), path(None));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn th_06_who_has_most_makes_room_for_who_has_least() {
        let crowd: Vec<String> = (0..60).map(|n| format!("2001:db8:1:{n:x}::1")).collect();
        let mut queue = queue(&crowd.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(queue.make_room(&of("2001:db8:1:1::1")), None, "not for one of their own that has its share");
        assert!(queue.make_room(&of("198.51.100.1")).is_some());
        queue.push(&of("198.51.100.1"), "a guest".into());
        assert!(queue.make_room(&of("2001:db8:1:ff00::1")).is_some(), "for another household of the same /48");
        queue.push(&of("2001:db8:1:ff00::1"), "a neighbour".into());
        assert_eq!(queue.len(), 60);
        for _ in 0..100 {
            let Some(_) = queue.make_room(&of("198.51.100.1")) else { break };
            queue.push(&of("198.51.100.1"), "a guest".into());
        }
        let order = order(queue);
        let guests = order.iter().filter(|job| *job == "a guest").count();
        assert!((29..=30).contains(&guests), "half and half: {guests}");
        assert!(order.contains(&"a neighbour".to_owned()));
    }

    #[test]
    fn what_is_not_kept_leaves_nothing_behind() {
        let mut queue = queue(&["2001:db8::1", "192.0.2.1", "2001:db8::1"]);
        queue.retain(&|job| job != "2001:db8::1");
        assert_eq!((queue.len(), queue.within.len()), (1, 1));
        assert_eq!(order(queue), ["192.0.2.1"]);
        assert_eq!(Fair::<()>::default().make_room(&of("192.0.2.1")), None);
    }
}
