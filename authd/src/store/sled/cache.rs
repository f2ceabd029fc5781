//! The hot part of the store in memory: tokens, sessions, users and signing keys. The writer drops what a commit touched
//! after the commit point and before it answers, so a revocation holds from the answer on.
//!
//! The race to guard: a reader misses, reads sled, and is about to fill while the writer commits a change and drops the
//! entry that is not there yet. So every fill names the generation it began under, and a commit that came between voids it.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use common::{SessionId, UserId};
use quick_cache::{Weighter, sync::Cache};
use tokio::sync::watch;

use super::{
    keys::{self, Kind},
    outbox,
    txn::Changes,
};
use crate::{
    domain::{KeySet, Session, TokenDigest, User},
    metrics::Counter,
};

pub(super) struct HotCache {
    tokens: Cache<TokenDigest, SessionId>,
    sessions: Cache<SessionId, Arc<Session>, Bytes>,
    users: Cache<UserId, Arc<User>, Bytes>,
    keys: RwLock<Arc<KeySet>>,
    generation: Mutex<u64>,
    /// Hits and misses of tokens, sessions, users.
    lookups: [[Counter; 2]; 3],
    published: watch::Sender<u64>,
}

/// What an entry takes besides its texts: keys, times, pointers, the cache's own part. Roughly.
const ENTRY_BYTES: u64 = 512;

/// Weighs what is cached by what it takes in memory.
#[derive(Clone)]
struct Bytes;

impl Weighter<SessionId, Arc<Session>> for Bytes {
    fn weight(&self, _: &SessionId, session: &Arc<Session>) -> u64 {
        ENTRY_BYTES + (session.ip_address.len() + session.user_agent.len()) as u64
    }
}

impl Weighter<UserId, Arc<User>> for Bytes {
    fn weight(&self, _: &UserId, user: &Arc<User>) -> u64 {
        let image = user.image.as_ref().map_or(0, String::len);
        ENTRY_BYTES + (user.name.len() + image + 2 * user.email.as_str().len() + user.role.len()) as u64
    }
}

/// The generation under which a read began.
#[derive(Clone, Copy)]
pub(super) struct Began(u64);

impl HotCache {
    /// Of about so many bytes: half of them for sessions and their tokens, half for users, however long people make what is
    /// theirs to choose.
    pub(super) fn new(bytes: u64) -> Self {
        let half = (bytes / 2).max(64 * 1024);
        let entries = usize::try_from(half / ENTRY_BYTES).unwrap_or(usize::MAX);
        Self {
            tokens: Cache::new(entries),
            sessions: Cache::with_weighter(entries, half, Bytes),
            users: Cache::with_weighter(entries, half, Bytes),
            keys: RwLock::default(),
            generation: Mutex::new(0),
            lookups: Default::default(),
            published: watch::Sender::new(0),
        }
    }

    /// The number of the last event that is on disk.
    pub(super) fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// So many there were when the store was opened.
    pub(super) fn has_published(&self, last: u64) {
        self.published.send_replace(last);
    }

    pub(super) fn token(&self, digest: &TokenDigest) -> Option<SessionId> {
        self.counted(0, self.tokens.get(digest))
    }

    pub(super) fn session(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.counted(1, self.sessions.get(id))
    }

    pub(super) fn user(&self, id: &UserId) -> Option<Arc<User>> {
        self.counted(2, self.users.get(id))
    }

    /// The same for the writer, whose looks are not counted.
    pub(super) fn kept_user(&self, id: &UserId) -> Option<Arc<User>> {
        self.users.get(id)
    }

    fn counted<T>(&self, which: usize, found: Option<T>) -> Option<T> {
        self.lookups[which][usize::from(found.is_none())].one();
        found
    }

    /// Each part's name, how many looks into it found something, and how many did not.
    pub(super) fn lookups(&self) -> Vec<(&'static str, u64, u64)> {
        let names = ["tokens", "sessions", "users"].into_iter();
        names.zip(&self.lookups).map(|(name, [hits, misses])| (name, hits.get(), misses.get())).collect()
    }

    pub(super) fn keys(&self) -> Arc<KeySet> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_keys(&self, set: KeySet) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// To be called before sled is read for a fill.
    pub(super) fn begin(&self) -> Began {
        Began(*self.generation.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fill(&self, began: Began, insert: impl FnOnce()) {
        let generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if *generation == began.0 {
            insert();
        }
    }

    pub(super) fn fill_token(&self, began: Began, digest: TokenDigest, id: &SessionId) {
        self.fill(began, || self.tokens.insert(digest, id.clone()));
    }

    pub(super) fn fill_session(&self, began: Began, session: &Arc<Session>) {
        self.fill(began, || self.sessions.insert(session.id.clone(), session.clone()));
    }

    pub(super) fn fill_user(&self, began: Began, user: &Arc<User>) {
        self.fill(began, || self.users.insert(user.id.clone(), user.clone()));
    }

    /// Drops what the commit touched. Whatever it changed, no intent can forget to tell: the keys say it.
    /// Answers whether signing keys are among it.
    pub(super) fn committed(&self, changes: &Changes) -> bool {
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        *generation += 1;
        let (mut signing_keys, mut published) = (false, None);
        for (key, value) in changes {
            match key.first() {
                Some(k) if *k == Kind::Meta as u8 && keys::text(key) == Some(outbox::LAST) => {
                    published = outbox::last_in(key, value.as_deref());
                }
                Some(k) if *k == Kind::Session as u8 => {
                    if let Some(id) = keys::text(key).and_then(|id| id.parse().ok()) {
                        self.sessions.remove::<SessionId>(&id);
                    }
                }
                Some(k) if *k == Kind::SessionByToken as u8 => {
                    if let Ok(digest) = key[1..].try_into() {
                        self.tokens.remove(&TokenDigest(digest));
                    }
                }
                Some(k) if *k == Kind::User as u8 => {
                    if let Some(id) = keys::text(key).and_then(|id| id.parse().ok()) {
                        self.users.remove::<UserId>(&id);
                    }
                }
                Some(k) if *k == Kind::SigningKey as u8 => signing_keys = true,
                _ => {}
            }
        }
        // Last: who is told looks at once, and must not see what was before.
        if let Some(last) = published {
            self.published.send_replace(last);
        }
        signing_keys
    }
}

#[cfg(test)]
mod tests {
    use common::UnixTime;

    use super::*;
    use crate::domain::session::tests::session;

    #[test]
    fn se_07_a_fill_that_a_commit_came_between_does_not_bring_the_session_back() {
        let cache = HotCache::new(1 << 20);
        let s = Arc::new(session(UnixTime::EPOCH, true));
        let began = cache.begin();
        // The reader has read the session from sled; now it is revoked.
        cache.committed(&Changes::from([(keys::session(&s.id), None)]));
        cache.fill_session(began, &s);
        assert!(cache.session(&s.id).is_none());

        cache.fill_session(cache.begin(), &s);
        assert!(cache.session(&s.id).is_some());
        cache.committed(&Changes::from([(keys::session(&s.id), None)]));
        assert!(cache.session(&s.id).is_none());
    }

    #[test]
    fn long_texts_take_the_room_that_they_take() {
        let cache = HotCache::new(1 << 20);
        for n in 0..2000 {
            let mut s = session(UnixTime::EPOCH, true);
            (s.id, s.user_agent) = (format!("session-{n}").parse().unwrap(), "x".repeat(4096));
            cache.fill_session(cache.begin(), &Arc::new(s));
        }
        assert!(cache.sessions.weight() <= 512 * 1024, "{}", cache.sessions.weight());
        assert!((50..=128).contains(&cache.sessions.len()), "{}", cache.sessions.len());
    }
}
