//! The key set (RFC 7517 §5): public halves only, cacheable, with an `ETag`.

use std::sync::{Arc, PoisonError, RwLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use common::UnixTime;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{ApiError, App, Req};
use crate::{
    digest::sha256,
    domain::{
        KeySet,
        key::{JWKS_MAX_AGE, JWKS_STALE},
    },
    door::{Reply, reply::JSON},
    service::keys,
};

/// The answer, made once for every state of the keys.
#[derive(Default)]
pub struct Prepared(RwLock<Option<Arc<Answer>>>);

struct Answer {
    version: u64,
    made_at: UnixTime,
    /// The next moment at which a key changes its state by itself.
    good_until: UnixTime,
    body: Bytes,
    etag: HeaderValue,
}

impl Answer {
    fn make(set: &KeySet, now: UnixTime) -> Self {
        let keys: Vec<&str> = set.published(now).map(|key| &*key.public_jwk).collect();
        let body = format!("{{\"keys\":[{}]}}", keys.join(","));
        let tag = URL_SAFE_NO_PAD.encode(&sha256(body.as_bytes())[..12]);
        Self {
            version: set.version,
            made_at: now,
            good_until: set.next_change(now),
            etag: HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\"")),
            body: body.into(),
        }
    }
}

impl Prepared {
    fn get(&self, set: &KeySet, now: UnixTime) -> Arc<Answer> {
        let good = |a: &Arc<Answer>| a.version == set.version && a.made_at <= now && now < a.good_until;
        if let Some(answer) = self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().filter(|a| good(a)) {
            return answer.clone();
        }
        let answer = Arc::new(Answer::make(set, now));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        answer
    }
}

/// `GET /jwks`
///
/// # Errors
/// None.
pub async fn get(app: &App, req: Req) -> Result<Reply, ApiError> {
    let services = &app.services;
    let answer = app.jwks.get(&keys::current(services), services.clock.now());
    let known = req.head.text(header::IF_NONE_MATCH).is_some_and(|tags| {
        let ours = answer.etag.to_str().unwrap_or_default();
        tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == ours || tag == "*")
    });
    let reply = match known {
        true => Reply::empty(StatusCode::NOT_MODIFIED),
        false => Reply::bytes(JSON, answer.body.clone()),
    };
    let cache = format!("public, max-age={}, stale-while-revalidate={}", JWKS_MAX_AGE.as_secs(), JWKS_STALE.as_secs());
    let reply = reply.header(header::CACHE_CONTROL, cache).header(header::ETAG, answer.etag.clone());
    // Public, and read without credentials: any page may.
    let trusted = req.head.text(header::ORIGIN).is_some_and(|origin| app.settings.origins.trusts(origin));
    Ok(match trusted {
        true => reply,
        false => reply.header(HeaderName::from_static("access-control-allow-origin"), HeaderValue::from_static("*")),
    })
}
