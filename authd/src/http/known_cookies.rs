//! Session cookies whose signature was found good. Most requests show one that was shown a moment ago: it is known by one hash, where
//! decoding it, its signature and the digest of its token are three.

use quick_cache::sync::Cache;

use super::cookie::Shown;
use crate::{digest::sha256, domain::TokenDigest};

/// How many are known, of some 150 bytes each.
const KEPT: usize = 16_000;
/// Of ours none is longer.
const MAX_BYTES: usize = 256;

/// The cookies that one key has signed, by the digest of the whole value as it was sent: neither cookies nor tokens are kept.
pub(super) struct KnownCookies(Cache<TokenDigest, Known>);

#[derive(Clone)]
struct Known {
    /// How many bytes at the beginning of the value are the token.
    length: usize,
    digest: TokenDigest,
}

/// Where a value is, or would be.
pub(super) struct Place(Option<TokenDigest>);

impl Default for KnownCookies {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl KnownCookies {
    /// What a value stands for, if it is known; and where it would be.
    pub(super) fn find(&self, encoded: &str) -> Result<Shown, Place> {
        if encoded.len() > MAX_BYTES {
            return Err(Place(None));
        }
        let place = TokenDigest(sha256(encoded.as_bytes()));
        let known = self.0.get(&place).and_then(|known| {
            let token = encoded.get(..known.length)?.into();
            Some(Shown { token, digest: known.digest, is_legacy: false })
        });
        known.ok_or(Place(Some(place)))
    }

    /// Remembers that this value was verified. Not one whose token is written with escapes, nor what is good for a time only.
    pub(super) fn keep(&self, place: &Place, encoded: &str, shown: &Shown) {
        let token = shown.token.expose();
        if let Some(place) = place.0.filter(|_| !shown.is_legacy && encoded.starts_with(token)) {
            self.0.insert(place, Known { length: token.len(), digest: shown.digest });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    };

    use common::{Span, UnixTime};
    use http::{HeaderMap, HeaderValue, Method, header};

    use crate::{
        crypto::mac::HmacKey,
        door::{Head, Peer},
        http::cookie::{Cookies, SessionCookie, Shown},
        ports::{Clock, Mac, Takeover},
    };

    /// Counts how often it is asked.
    struct Counting(HmacKey, AtomicUsize);

    impl Counting {
        fn new(secret: &[u8]) -> Arc<Self> {
            Arc::new(Self(HmacKey::new(secret), AtomicUsize::default()))
        }

        fn count(&self) -> usize {
            self.1.load(Ordering::Relaxed)
        }
    }

    impl Mac for Counting {
        fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.mac(parts)
        }
    }

    #[derive(Default)]
    struct Hands(AtomicI64);

    impl Clock for Hands {
        fn now(&self) -> UnixTime {
            UnixTime::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn read(cookies: &Cookies, pair: &str) -> Option<Shown> {
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(pair).unwrap())]);
        let peer = Arc::new(Peer::Tcp("127.0.0.1:1".parse().unwrap()));
        match cookies.read(&Head { method: Method::GET, uri: "/".parse().unwrap(), headers, peer }) {
            SessionCookie::Signed(shown) => Some(shown),
            SessionCookie::None => None,
        }
    }

    fn signed(cookies: &Cookies, token: &str) -> String {
        cookies.session(&token.into(), true).remove(0).split(';').next().unwrap().to_owned()
    }

    const TOKEN: &str = "2xk7QmVt0pBzYw9cRs4LdNfGhJ1uAe5K";

    #[test]
    fn se_06_a_cookie_is_verified_once_and_any_other_value_again() {
        let mac = Counting::new(b"one");
        let cookies = Cookies::new(mac.clone(), false, Span::from_days(7));
        let pair = signed(&cookies, TOKEN);
        let before = mac.count();
        let first = read(&cookies, &pair).unwrap();
        let second = read(&cookies, &pair).unwrap();
        assert_eq!(mac.count() - before, 1);
        assert_eq!((second.token.expose(), second.is_legacy), (TOKEN, false));
        assert_eq!(first.digest, second.digest);

        let at = pair.len() - 8;
        let other = if pair.as_bytes()[at] == b'A' { "B" } else { "A" };
        let wrong = format!("{}{other}{}", &pair[..at], &pair[at + 1..]);
        let unescaped = pair.replace("%3D", "=");
        for n in 2..4 {
            assert!(read(&cookies, &wrong).is_none());
            assert_eq!(mac.count() - before, n, "what was refused is not known");
        }
        assert_eq!(read(&cookies, &unescaped).unwrap().token.expose(), TOKEN);
        assert_eq!(mac.count() - before, 4, "the same written otherwise is verified");

        let rotated = Cookies::new(Counting::new(b"two"), false, Span::from_days(7));
        assert!(read(&rotated, &pair).is_none(), "under another key nothing is known");
    }

    #[test]
    fn a_token_with_escapes_or_of_odd_length_is_read_as_it_is_each_time() {
        let mac = Counting::new(b"one");
        let cookies = Cookies::new(mac.clone(), false, Span::from_days(7));
        for token in ["a b", "é", "", "with.dots.in.it", &"t".repeat(300)] {
            let pair = signed(&cookies, token);
            for _ in 0..3 {
                let shown = read(&cookies, &pair).unwrap();
                assert_eq!(shown.token.expose(), token);
                assert_eq!(shown.digest, crate::service::sessions::digest(token));
            }
        }
    }

    #[test]
    fn a_cookie_of_the_server_before_is_not_known_beyond_its_time() {
        let (before, clock) = (Counting::new(b"before"), Arc::new(Hands::default()));
        let until = UnixTime::from_millis(1000);
        let cookies = Cookies::new(Counting::new(b"one"), false, Span::from_days(7))
            .taking_over(Some(Takeover { mac: before.clone(), until }), clock.clone());
        let pair = signed(&Cookies::new(before, false, Span::from_days(7)), TOKEN);
        for _ in 0..2 {
            assert!(read(&cookies, &pair).unwrap().is_legacy);
        }
        clock.0.store(1000, Ordering::Relaxed);
        assert!(read(&cookies, &pair).is_none());
    }
}
