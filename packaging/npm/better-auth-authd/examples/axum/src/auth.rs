//! Verifies authd's access tokens: an extractor for axum, with jsonwebtoken.

use std::time::Duration;

use axum::{
    Json,
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

/// How long a key set is used without being asked for again: what its `Cache-Control` says.
const LIFESPAN: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is known of whoever calls.
#[derive(Debug, Deserialize)]
pub struct User {
    /// The user's id.
    pub sub: String,
    /// The session's.
    #[expect(dead_code, reason = "required: a token without a session is none of ours")]
    sid: String,
}

/// Verifies tokens of one authd.
pub struct Verifier {
    url: String,
    validation: Validation,
    cooldown: Duration,
    client: reqwest::Client,
    keys: Mutex<Option<(JwkSet, Instant)>>,
}

/// Why a request is refused.
pub enum Refusal {
    Unauthorized,
    InvalidToken,
    KeysUnavailable,
}

impl Verifier {
    /// `issuer` is authd's http.public_url, and the audience where token.audience is not set. The key set is asked for when a
    /// token names a key that is not in it, but not more often than `cooldown`, whatever `kid`s strangers make up.
    pub fn new(issuer: &str, url: Option<String>, cooldown: Duration) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let url = url.unwrap_or_else(|| format!("{issuer}/.well-known/jwks.json"));
        Self { url, validation, cooldown, client: reqwest::Client::new(), keys: Mutex::new(None) }
    }

    async fn verify(&self, token: &str) -> Result<User, Refusal> {
        let header = decode_header(token).map_err(|_| Refusal::InvalidToken)?;
        if header.typ.as_deref() != Some("at+jwt") {
            return Err(Refusal::InvalidToken);
        }
        let key = self.key(&header.kid.ok_or(Refusal::InvalidToken)?).await?;
        decode(token, &key, &self.validation).map(|verified| verified.claims).map_err(|_| Refusal::InvalidToken)
    }

    /// The key of this name. While the set is fetched, others wait: they want it too.
    async fn key(&self, kid: &str) -> Result<DecodingKey, Refusal> {
        let mut keys = self.keys.lock().await;
        let age = keys.as_ref().map(|(_, at)| at.elapsed());
        let is_known = keys.as_ref().is_some_and(|(set, _)| set.find(kid).is_some());
        let ought_to_ask = age.is_none_or(|age| age >= if is_known { LIFESPAN } else { self.cooldown });
        if ought_to_ask {
            match self.fetch().await {
                Ok(set) => *keys = Some((set, Instant::now())),
                // An outage of authd is none of ours: a key that is known goes on.
                Err(_) if is_known => {}
                Err(_) => return Err(Refusal::KeysUnavailable),
            }
        }
        let jwk = keys.as_ref().and_then(|(set, _)| set.find(kid)).ok_or(Refusal::InvalidToken)?;
        DecodingKey::from_jwk(jwk).map_err(|_| Refusal::InvalidToken)
    }

    async fn fetch(&self) -> reqwest::Result<JwkSet> {
        self.client.get(&self.url).timeout(TIMEOUT).send().await?.error_for_status()?.json().await
    }
}

impl<S: AsRef<Verifier> + Sync> FromRequestParts<S> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = header.and_then(|value| value.split_once(' ')).ok_or(Refusal::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Unauthorized);
        }
        state.as_ref().verify(token).await
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, challenge) = match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Bearer"),
            Self::InvalidToken => (StatusCode::UNAUTHORIZED, "INVALID_TOKEN", "Bearer error=\"invalid_token\""),
            Self::KeysUnavailable => {
                return (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({ "code": "KEYS_UNAVAILABLE" })))
                    .into_response();
            }
        };
        (status, [(header::WWW_AUTHENTICATE, challenge)], Json(serde_json::json!({ "code": code }))).into_response()
    }
}
