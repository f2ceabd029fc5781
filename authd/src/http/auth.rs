//! Who is calling: by cookie, or by bearer token.

use std::sync::Arc;

use common::{ErrorCode, SecretString, SessionId, UnixTime};
use http::{HeaderName, HeaderValue, header};

use super::{
    ApiError, App, Bearer, Req, client,
    cookie::{SessionCookie, Shown},
};
use crate::{
    domain::{ServiceToken, Session, User},
    door::Reply,
    service::{
        administration::Who,
        service_tokens::{self, Refused},
        sessions::{self, Found, Wish},
        tokens::{self, Accepted, Refusal},
    },
    store::Live,
};

pub(super) const SET_AUTH_JWT: HeaderName = HeaderName::from_static("set-auth-jwt");

/// What the session cookie of a request stands for.
pub enum CookieSession {
    /// There is no cookie with a good signature.
    None,
    /// There is one, and its session has ended, for this reason: the browser is to forget it.
    Dead(Refusal),
    /// A session that may be used, and what to set the cookie again from.
    Alive(Live, Shown),
}

/// The caller of one of Better Auth's routes that need a session.
pub struct Caller {
    /// The session and its user.
    pub live: Live,
    /// The cookie that showed it; none if a JWT did.
    pub shown: Option<Shown>,
    /// When the JWT expires that showed it: nothing that is made from it lives longer.
    pub until: Option<UnixTime>,
}

/// The caller of one of the routes of the admin plugin.
pub enum AdminCaller {
    /// A user, by a session.
    User(Caller),
    /// A service, by its token.
    Service(ServiceToken),
}

impl AdminCaller {
    /// For the use cases.
    pub fn who(&self) -> Who<'_> {
        match self {
            Self::User(caller) => Who::User(&caller.live),
            Self::Service(token) => Who::Service(token),
        }
    }

    /// The session of the user, for what no service does.
    ///
    /// # Errors
    /// `InsufficientScope`.
    pub fn session(&self) -> Result<&Caller, ApiError> {
        match self {
            Self::User(caller) => Ok(caller),
            Self::Service(_) => Err(ApiError::out_of_scope(None)),
        }
    }
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
    /// The session token of the `Authorization` header, where the bearer plugin is on: it takes the place of the cookie. What is
    /// none, or has a wrong signature, is as good as absent (recorded).
    fn bearer_session(&self, app: &App) -> Option<Shown> {
        let is_signed = match app.settings.plugins.bearer {
            Bearer::Off => return None,
            Bearer::Signed => true,
            Bearer::On => false,
        };
        app.cookies.read_bearer(bearer(self).ok()??, is_signed)
    }

    /// The session of the cookie. The signature is checked before the store is asked.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn cookie_session(&self, app: &App) -> Result<CookieSession, ApiError> {
        let shown = match (self.bearer_session(app), app.cookies.read(&self.head)) {
            (Some(shown), _) | (None, SessionCookie::Signed(shown)) => shown,
            (None, SessionCookie::None) => return Ok(CookieSession::None),
        };
        Ok(match sessions::by_digest(&app.services, &shown.digest).await? {
            Found::Alive(live) => CookieSession::Alive(live, shown),
            Found::Expired(_) => CookieSession::Dead(Refusal::SessionExpired),
            Found::Nothing => CookieSession::Dead(Refusal::SessionRevoked),
        })
    }

    /// The session of a plain route: an `Authorization` header alone decides where there is one, else the cookie, whose
    /// value is answered too.
    ///
    /// # Errors
    /// 401 with a challenge and a code that says why.
    pub async fn session(&self, app: &App) -> Result<(Live, Option<Shown>), ApiError> {
        if let Some(token) = bearer(self)? {
            let verified = tokens::verify(&app.services, token).await?;
            return verified.map(|accepted| (accepted.live, None)).map_err(|refusal| challenge(refusal.code()));
        }
        match self.cookie_session(app).await? {
            CookieSession::Alive(live, shown) => Ok((live, Some(shown))),
            CookieSession::Dead(refusal) => Err(challenge(refusal.code())),
            CookieSession::None => Err(challenge(ErrorCode::Unauthorized)),
        }
    }

    /// The session of one of Better Auth's routes: our JWT counts where it is good, else the cookie. To ask is a use of the
    /// session and may prolong it, as recorded of every route that needs one; the cookie is then set again by whatever is
    /// answered, refusals included.
    ///
    /// # Errors
    /// `Unauthorized`; a cookie whose session has ended is deleted.
    pub async fn caller(&self, app: &App) -> Result<Caller, ApiError> {
        if let Some(Accepted { live, expires_at }) = self.lenient_jwt(app).await? {
            return Ok(Caller { live, shown: None, until: Some(expires_at) });
        }
        match self.cookie_session(app).await? {
            CookieSession::Alive(live, shown) => {
                let live = match app.settings.defer_refresh {
                    true => live,
                    false => {
                        let (live, cookies) = use_cookie(app, live, &shown).await;
                        self.renew(cookies);
                        live
                    }
                };
                Ok(Caller { live, shown: Some(shown), until: None })
            }
            CookieSession::Dead(_) => {
                let deletions = app.cookies.deletions().into_iter().filter_map(|line| HeaderValue::try_from(line).ok());
                let refusal = ApiError::new(ErrorCode::Unauthorized);
                Err(deletions.fold(refusal, |refusal, cookie| refusal.header(header::SET_COOKIE, cookie)))
            }
            CookieSession::None => Err(ApiError::new(ErrorCode::Unauthorized)),
        }
    }

    /// The user who calls, if there is one; nothing is prolonged by asking.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn caller_if_any(&self, app: &App) -> Result<Option<Arc<User>>, ApiError> {
        if let Some(accepted) = self.lenient_jwt(app).await? {
            return Ok(Some(accepted.live.user));
        }
        match self.cookie_session(app).await? {
            CookieSession::Alive(live, _) => Ok(Some(live.user)),
            CookieSession::Dead(_) | CookieSession::None => Ok(None),
        }
    }

    /// Who calls one of the routes of the admin plugin: what the user, or the service, may is for the use case to say. The token of
    /// a service alone decides where it is shown: no cookie takes its place, and there is nothing that a page of another site
    /// could make a browser send.
    ///
    /// # Errors
    /// As [`Req::caller`], without a body (recorded). For the token of a service 401 with a challenge and a code that says why,
    /// or 429.
    pub async fn admin_caller(&self, app: &App) -> Result<AdminCaller, ApiError> {
        let token = bearer(self).ok().flatten().filter(|text| service_tokens::looks_like_one(text));
        let Some(token) = token else {
            return self.caller(app).await.map(AdminCaller::User).map_err(ApiError::without_body);
        };
        match service_tokens::admit(&app.services, token, client::address(app, &self.head)).await? {
            Ok(service) => Ok(AdminCaller::Service(service)),
            Err(Refused::Unknown) => Err(challenge(ErrorCode::InvalidToken)),
            Err(Refused::Expired) => Err(challenge(ErrorCode::TokenExpired)),
            Err(Refused::Throttled(wait)) => Err(ApiError::throttled(wait)),
        }
    }

    /// As [`Req::caller`], where nobody need be signed in.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn optional_caller(&self, app: &App) -> Result<Option<Caller>, ApiError> {
        match self.caller(app).await {
            Ok(caller) => Ok(Some(caller)),
            Err(error) if error.is(ErrorCode::Unauthorized) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The living sessions of all cookies that we signed: what a sign-in replaces (SE-04) and a sign-out ends. A second
    /// cookie, which somebody planted, does not keep the first one alive.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn cookie_sessions(&self, app: &App) -> Result<Vec<SessionId>, ApiError> {
        let mut found = vec![];
        let bearer = self.bearer_session(app).map(|shown| shown.token);
        // That of an administrator who acts as somebody else is one of them: it comes back when that ends.
        let own = app.cookies.read_admin_session(&self.head).map(|own| own.token);
        for token in bearer.into_iter().chain(app.cookies.read_all(&self.head)).chain(own) {
            if let Found::Alive(live) = sessions::by_token(&app.services, token.expose()).await? {
                found.push(live.session.id.clone());
            }
        }
        Ok(found)
    }

    /// The session of a JWT of ours in the `Authorization` header, on a route where a bad one is as good as none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn lenient_jwt(&self, app: &App) -> Result<Option<Accepted>, ApiError> {
        match bearer(self) {
            Ok(Some(token)) if token.contains('.') => Ok(tokens::verify(&app.services, token).await?.ok()),
            _ => Ok(None),
        }
    }

    /// Every session that the request validly shows, by whatever credential: those that a sign-out ends. A JWT counts also
    /// when it has expired. A bad credential beside a good one does not keep the good one's session alive.
    ///
    /// # Errors
    /// The store cannot be read; nothing valid was shown, and something that is not.
    pub async fn shown_sessions(&self, app: &App, refresh_token: Option<&str>) -> Result<Vec<SessionId>, ApiError> {
        let mut shown = self.cookie_sessions(app).await?;
        let mut refused = None;
        match bearer(self) {
            Ok(None) => {}
            Ok(Some(token)) => match tokens::session_to_end(&app.services, token) {
                Ok(id) => shown.push(id),
                Err(problem) => refused = Some(challenge(Refusal::Token(problem).code())),
            },
            Err(error) => refused = Some(error),
        }
        if let Some(token) = refresh_token {
            match tokens::read_refresh(&app.services, token).await? {
                Some((family, _)) => shown.push(family.session),
                // A token of a session that has ended already: signing out twice is as good as once.
                None if tokens::looks_like_refresh(token) => {}
                None => refused = Some(ApiError::new(ErrorCode::InvalidToken)),
            }
        }
        shown.sort_unstable();
        shown.dedup();
        match refused {
            Some(error) if shown.is_empty() => Err(error),
            _ => Ok(shown),
        }
    }
}

/// What a sign-in asks of its session: that it takes the place of those that the browser shows (SE-04).
pub(super) async fn wish(app: &App, req: &Req, remember: Option<bool>, refreshable: bool) -> Result<Wish, ApiError> {
    let (remember, replaces) = (remember.unwrap_or(true), req.cookie_sessions(app).await?);
    Ok(Wish { remember, refreshable, access_token: false, replaces })
}

/// This use of a session by its cookie: it may prolong the session, and then the cookie is set again; so is one that the
/// server before had signed. Answers the session as it is now.
pub(super) async fn use_cookie(app: &App, live: Live, shown: &Shown) -> (Live, Vec<String>) {
    let prolonged = sessions::used(&app.services, &live).await;
    let is_set = prolonged.is_some() || shown.is_legacy;
    let live = prolonged.unwrap_or(live);
    let cookies = if is_set { app.cookies.session(&shown.token, live.session.remember) } else { vec![] };
    (live, cookies)
}

/// Adds a JWT of the session in Better Auth's shape, where the configuration wants that, for who showed the session's own
/// credential.
pub(super) async fn set_auth_jwt(app: &App, live: &Live, reply: Reply) -> Result<Reply, ApiError> {
    let Some(jwt) = accompanying_jwt(app, live).await? else { return Ok(reply) };
    Ok(reply.header(SET_AUTH_JWT, jwt_header(&jwt)?))
}

/// That JWT, if there is to be one.
pub(super) async fn accompanying_jwt(app: &App, live: &Live) -> Result<Option<Arc<str>>, ApiError> {
    match app.settings.plugins.set_auth_jwt {
        true => Ok(tokens::accompanying_jwt(&app.services, live).await?),
        false => Ok(None),
    }
}

/// A JWT as the value of a header.
pub(super) fn jwt_header(jwt: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(jwt).map_err(|_| ApiError::new(ErrorCode::Internal))
}

/// What stands as `token` on the wire: the handle, which clients compare and hand to the revoke routes, and which is worth
/// nothing as a credential (SE-03). Where the bearer plugin is on, the caller's own session shows its real token (SE-12).
pub(super) fn wire_token(app: &App, session: &Session, own: Option<&SecretString>) -> String {
    match own.filter(|_| app.settings.plugins.bearer.is_on()) {
        Some(token) => token.expose().to_owned(),
        None => session.id.to_string(),
    }
}
