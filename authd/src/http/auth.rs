//! Who is calling: by cookie, or by bearer token.

use std::sync::Arc;

use common::{ErrorCode, SecretString, SessionId};
use http::{HeaderValue, header};

use super::{ApiError, App, Req, cookie::SessionCookie};
use crate::{
    service::{
        sessions::{self, Found},
        tokens::{self, Refusal},
    },
    store::Live,
};

/// What the session cookie of a request stands for.
pub enum CookieSession {
    /// There is no cookie with a good signature.
    None,
    /// There is one, and its session has ended: the browser is to forget it.
    Dead,
    /// A session that may be used, and the token to set the cookie again.
    Alive(Live, SecretString),
}

/// The one bearer token of a request.
fn bearer(req: &Req) -> Result<Option<&str>, ApiError> {
    let ambiguous = || ApiError::new(ErrorCode::AmbiguousCredentials);
    let Some(value) = req.head.single(header::AUTHORIZATION).map_err(|_| ambiguous())? else { return Ok(None) };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim_matches(' '))) } else { Ok(Some("")) }
}

/// 401 as RFC 6750 §3 has it.
fn challenge(code: ErrorCode) -> ApiError {
    let value = match code {
        ErrorCode::Unauthorized => HeaderValue::from_static("Bearer"),
        _ => {
            HeaderValue::from_str(&format!("Bearer error=\"invalid_token\", error_description=\"{}\"", code.message()))
                .unwrap_or(HeaderValue::from_static("Bearer error=\"invalid_token\""))
        }
    };
    ApiError::new(code).header(header::WWW_AUTHENTICATE, value)
}

impl Req {
    /// The session of the cookie. The signature is checked before the store is asked.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn cookie_session(&self, app: &App) -> Result<CookieSession, ApiError> {
        let SessionCookie::Signed(token) = app.cookies.read(&self.head) else { return Ok(CookieSession::None) };
        Ok(match sessions::by_token(&app.services, token.expose()).await? {
            Found::Alive(live) => CookieSession::Alive(live, token),
            Found::Expired(_) | Found::Nothing => CookieSession::Dead,
        })
    }

    /// The session of a plain route: an `Authorization` header alone decides where there is one, else the cookie.
    ///
    /// # Errors
    /// 401 with a challenge and a code that says why.
    pub async fn session(&self, app: &App) -> Result<Live, ApiError> {
        if let Some(token) = bearer(self)? {
            return tokens::verify(&app.services, token).await?.map_err(|refusal| challenge(refusal.code()));
        }
        match self.cookie_session(app).await? {
            CookieSession::Alive(live, _) => Ok(live),
            CookieSession::Dead => Err(challenge(ErrorCode::SessionRevoked)),
            CookieSession::None => Err(challenge(ErrorCode::Unauthorized)),
        }
    }

    /// The session of a JWT of ours in the `Authorization` header, on a route where a bad one is as good as none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn lenient_jwt(&self, app: &App) -> Result<Option<Live>, ApiError> {
        match bearer(self) {
            Ok(Some(token)) if token.contains('.') => Ok(tokens::verify(&app.services, token).await?.ok()),
            _ => Ok(None),
        }
    }

    /// Every session that the request validly shows, by whatever credential: those that a sign-out ends. A JWT counts also
    /// when it has expired.
    ///
    /// # Errors
    /// The store cannot be read; credentials that contradict the rules of RFC 6750.
    pub async fn shown_sessions(&self, app: &App, refresh_token: Option<&str>) -> Result<Vec<SessionId>, ApiError> {
        let mut shown: Vec<SessionId> = vec![];
        let mut add = |id: SessionId| {
            if !shown.contains(&id) {
                shown.push(id);
            }
        };
        if let Some(token) = bearer(self)? {
            match tokens::session_to_end(&app.services, token) {
                Ok(id) => add(id),
                Err(problem) => return Err(challenge(Refusal::Token(problem).code())),
            }
        }
        if let CookieSession::Alive(live, _) = self.cookie_session(app).await? {
            add(live.session.id.clone());
        }
        if let Some(token) = refresh_token {
            match tokens::read_refresh(&app.services, token).await? {
                Some((family, _)) => add(family.session),
                // A token of a session that has ended already: signing out twice is as good as once.
                None if tokens::looks_like_refresh(token) => {}
                None => return Err(ApiError::new(ErrorCode::InvalidToken)),
            }
        }
        Ok(shown)
    }
}

/// A JWT of the session in Better Auth's shape, as a header value.
pub(super) fn set_auth_jwt(app: &App, live: &Live) -> Result<HeaderValue, ApiError> {
    let jwt: Arc<str> = tokens::better_auth_jwt(&app.services, live)?;
    HeaderValue::from_str(&jwt).map_err(|_| ApiError::new(ErrorCode::Internal))
}
