//! Bodies about a session that are ready: they say the same until the session, its user or the configuration changes, and are asked
//! for more often than all the rest.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use common::{SecretString, SessionId};
use http::HeaderValue;
use quick_cache::{Weighter, sync::Cache};
use serde::Serialize;

use crate::{ports::Entropy, service::random, store::Live};

/// How much memory the bodies of one route may take: some eight thousand of usual length.
const KEPT_BYTES: u64 = 12 << 20;
/// What an entry takes besides its bodies, roughly.
const ENTRY_BYTES: u64 = 384;

/// What is ready of the answers about sessions.
pub(super) struct Prepared {
    /// Of `/get-session`, without the token of who asks.
    pub(super) sessions: Kept,
    /// Of `/me`.
    pub(super) me: Kept,
    /// Stands where a token comes, while a body is made. Nobody knows it, so nothing that users choose can look like it.
    place: SecretString,
}

/// The bodies of one route, by session.
pub(super) struct Kept(Cache<SessionId, Arc<Body>, Weight>);

/// A body that is ready.
pub(super) struct Body {
    /// What it describes, as they were: the store gives the same again until one of them changes.
    live: Live,
    /// The JWT that goes along, and as a header.
    jwt: Option<(Arc<str>, HeaderValue)>,
    before: Bytes,
    /// What follows the token, if there is one in it.
    after: Option<Bytes>,
}

#[derive(Clone)]
pub(super) struct Weight;

impl Weighter<SessionId, Arc<Body>> for Weight {
    fn weight(&self, _: &SessionId, body: &Arc<Body>) -> u64 {
        let bytes = body.before.len() + body.after.as_ref().map_or(0, Bytes::len);
        let jwt = body.jwt.as_ref().map_or(0, |(jwt, _)| 2 * jwt.len());
        ENTRY_BYTES + (bytes + jwt) as u64
    }
}

impl Prepared {
    /// Nothing yet.
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        let place = SecretString::new(random::session_token(entropy));
        Self { sessions: Kept::default(), me: Kept::default(), place }
    }

    /// What stands for the token of who asks, while a body is made.
    pub(super) fn place(&self) -> &SecretString {
        &self.place
    }

    /// Makes a body ready, cut where the token comes.
    pub(super) fn cut<T: Serialize>(&self, live: &Live, jwt: Option<(Arc<str>, HeaderValue)>, value: &T) -> Body {
        // The types that are answered are plain structs: nothing in them can fail to be written.
        let text = Bytes::from(serde_json::to_string(value).unwrap_or_default());
        let place = format!("\"{}\"", self.place.expose());
        let at = text.windows(place.len()).position(|part| part == place.as_bytes());
        let (before, after) = match at {
            Some(at) => (text.slice(..at), Some(text.slice(at + place.len()..))),
            None => (text, None),
        };
        Body { live: live.clone(), jwt, before, after }
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self(Cache::with_weighter(8_000, KEPT_BYTES, Weight))
    }
}

impl Kept {
    /// The body that goes with the session, the user and the JWT as they are.
    pub(super) fn get(&self, live: &Live, jwt: Option<&Arc<str>>) -> Option<Arc<Body>> {
        self.0.get(&live.session.id).filter(|body| {
            let is_same_jwt = match (&body.jwt, jwt) {
                (Some((kept, _)), Some(jwt)) => Arc::ptr_eq(kept, jwt),
                (None, None) => true,
                _ => false,
            };
            // Both are held here, so nothing else can have come to stand in their place.
            is_same_jwt && Arc::ptr_eq(&body.live.session, &live.session) && Arc::ptr_eq(&body.live.user, &live.user)
        })
    }

    pub(super) fn keep(&self, body: Body) -> Arc<Body> {
        let body = Arc::new(body);
        self.0.insert(body.live.session.id.clone(), body.clone());
        body
    }
}

impl Body {
    /// The whole body, for who showed this token.
    pub(super) fn with(&self, token: &SecretString) -> Bytes {
        let Some(after) = &self.after else { return self.before.clone() };
        let token = serde_json::to_string(token.expose()).unwrap_or_default();
        let mut whole = BytesMut::with_capacity(self.before.len() + token.len() + after.len());
        for part in [&self.before, token.as_bytes(), after] {
            whole.extend_from_slice(part);
        }
        whole.freeze()
    }

    /// The whole body, of one that says no token.
    pub(super) fn whole(&self) -> Bytes {
        self.before.clone()
    }

    /// The JWT that goes along.
    pub(super) fn jwt(&self) -> Option<HeaderValue> {
        self.jwt.as_ref().map(|(_, value)| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use common::UnixTime;

    use super::*;
    use crate::{
        crypto::entropy::SystemEntropy,
        domain::session::tests::{session, user},
    };

    fn live() -> Live {
        Live { session: Arc::new(session(UnixTime::EPOCH, true)), user: Arc::new(user()) }
    }

    #[test]
    fn a_body_is_cut_where_the_token_comes_and_says_whatever_token_is_shown() {
        let prepared = Prepared::new(&SystemEntropy::default());
        let value = serde_json::json!({"a": "é\"token\"", "token": prepared.place().expose(), "z": [1]});
        let body = prepared.cut(&live(), None, &value);
        for token in ["abc", "with \"quotes\" \\ and \u{1}", ""] {
            let said: serde_json::Value = serde_json::from_slice(&body.with(&token.into())).unwrap();
            assert_eq!(said, serde_json::json!({"a": "é\"token\"", "token": token, "z": [1]}));
        }
        let body = prepared.cut(&live(), None, &serde_json::json!({"token": "handle"}));
        assert_eq!(body.with(&"abc".into()), r#"{"token":"handle"}"#);
    }

    #[test]
    fn a_body_is_kept_for_the_same_session_user_and_jwt_and_for_no_other() {
        let (prepared, live) = (Prepared::new(&SystemEntropy::default()), live());
        let jwt: Arc<str> = "jwt".into();
        let made = |live: &Live| {
            prepared.cut(live, Some((jwt.clone(), HeaderValue::from_static("jwt"))), &serde_json::json!({}))
        };
        prepared.sessions.keep(made(&live));
        assert!(prepared.sessions.get(&live, Some(&jwt)).is_some());
        let changed_user = Live { user: Arc::new(user()), ..live.clone() };
        let changed_session = Live { session: Arc::new(Clone::clone(&*live.session)), ..live.clone() };
        for (other, jwt) in [(&changed_user, Some(&jwt)), (&changed_session, Some(&jwt)), (&live, None)] {
            assert!(prepared.sessions.get(other, jwt).is_none());
        }
        assert!(
            prepared.sessions.get(&live, Some(&"jwt".into())).is_none(),
            "made anew, and it may say something else"
        );
        prepared.sessions.keep(made(&changed_user));
        assert!(prepared.sessions.get(&changed_user, Some(&jwt)).is_some());
        assert!(prepared.sessions.get(&live, Some(&jwt)).is_none(), "one for a session");
    }

    #[test]
    fn what_is_kept_stays_within_its_memory() {
        let prepared = Prepared::new(&SystemEntropy::default());
        for n in 0..20_000 {
            let mut one = session(UnixTime::EPOCH, true);
            one.id = format!("session-{n}").parse().unwrap();
            let live = Live { session: Arc::new(one), user: Arc::new(user()) };
            prepared.me.keep(prepared.cut(&live, None, &"x".repeat(4000)));
        }
        let (count, weight) = (prepared.me.0.len(), prepared.me.0.weight());
        assert!(weight <= KEPT_BYTES && count > 1_000, "{count} {weight}");
    }
}
