//! What makes clients one that are not: proxies that are not trusted, and those that name nobody or what is no address.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use common::text::printable;
use tracing::warn;

use super::Throttles;

/// How much of an address that is none the log shows, in bytes.
const ENTRY_SHOWN: usize = 64;

/// Something that a peer did, and how often.
#[derive(Default)]
pub(super) struct Noted(Mutex<Option<(IpAddr, u64)>>);

impl Noted {
    fn lock(&self) -> MutexGuard<'_, Option<(IpAddr, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the first time.
    fn note(&self, peer: IpAddr) -> bool {
        let mut noted = self.lock();
        let count = noted.map_or(0, |(_, count)| count);
        *noted = Some((peer, count + 1));
        count == 0
    }
}

/// The requests that count as one client's because nobody could say whose they are: the last peer, and how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Indistinct {
    /// The peer named other clients, and is no trusted proxy.
    pub not_believed: Option<(IpAddr, u64)>,
    /// A trusted proxy named somebody that could not be read.
    pub not_readable: Option<(IpAddr, u64)>,
    /// A trusted proxy named nobody.
    pub not_named: Option<(IpAddr, u64)>,
}

impl Throttles {
    /// Notes that a peer named another client and was not believed: all who come by it count as one.
    pub fn not_believed(&self, peer: IpAddr) {
        if self.not_believed.note(peer) {
            warn!(%peer, "a peer names other clients and is not in http.trusted_proxies: all who come by it count as one");
        }
    }

    /// Notes that a trusted proxy named somebody that could not be read: all who come so count as one.
    pub fn not_readable(&self, peer: IpAddr, entry: &[u8]) {
        if self.not_readable.note(peer) {
            let entry = printable(&String::from_utf8_lossy(&entry[..entry.len().min(ENTRY_SHOWN)]));
            warn!(%peer, entry, "a trusted proxy names a client by what is no address: all who come so count as one");
        }
    }

    /// Notes that a trusted proxy named nobody: all who come so count as one.
    pub fn not_named(&self, peer: IpAddr) {
        self.not_named.note(peer);
    }

    /// What is counted as one client's and may not be.
    pub fn indistinct(&self) -> Indistinct {
        Indistinct {
            not_believed: *self.not_believed.lock(),
            not_readable: *self.not_readable.lock(),
            not_named: *self.not_named.lock(),
        }
    }
}
