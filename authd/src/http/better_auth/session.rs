//! The session of the caller: asked for, and ended.

use common::{
    ErrorCode,
    api::{GetSessionBody, JwtBody, OkBody, SuccessBody},
};
use http::{HeaderValue, StatusCode, header};

use super::session_body;
use crate::{
    door::Reply,
    http::{
        ApiError, App, Req,
        auth::{CookieSession, set_auth_jwt, use_cookie},
        plain::{SET_AUTH_JWT, delete_session_cookies},
    },
    service::{sessions, tokens},
    store::Live,
};

fn no_store(reply: Reply) -> Reply {
    reply
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .header(header::PRAGMA, HeaderValue::from_static("no-cache"))
}

fn shown(live: &Live) -> Reply {
    no_store(Reply::json(&GetSessionBody { session: session_body(&live.session), user: tokens::user_body(&live.user) }))
}

/// `GET /get-session`: the session and its user, or `null` with 200, never 401. A use that prolongs the session sets the
/// cookie again; a cookie whose session has ended is deleted. Who shows a JWT gets no other in `set-auth-jwt`: it would be the
/// same one, or live longer than what was shown.
///
/// # Errors
/// The store cannot be read.
pub async fn get(app: &App, req: Req) -> Result<Reply, ApiError> {
    if let Some(accepted) = req.lenient_jwt(app).await? {
        return Ok(shown(&accepted.live));
    }
    match req.cookie_session(app).await? {
        CookieSession::Alive(live, token) => {
            let (live, cookies) = match req.has_flag("disableRefresh") {
                true => (live, vec![]),
                false => use_cookie(app, live, &token).await,
            };
            let mut reply = shown(&live).header(SET_AUTH_JWT, set_auth_jwt(app, &live)?);
            for cookie in cookies {
                reply.add(header::SET_COOKIE, cookie);
            }
            Ok(reply)
        }
        CookieSession::Dead(_) => {
            let mut reply = no_store(Reply::json(&()));
            delete_session_cookies(app, &mut reply);
            Ok(reply)
        }
        CookieSession::None => Ok(no_store(Reply::json(&()))),
    }
}

/// `POST /get-session`: only with deferred refresh, which is off.
///
/// # Errors
/// `DeferredRefreshRequired`, always.
pub async fn get_by_post(_: &App, _: Req) -> Result<Reply, ApiError> {
    Err(ApiError::new(ErrorCode::DeferredRefreshRequired).header(header::PRAGMA, HeaderValue::from_static("no-cache")))
}

/// `POST /sign-out`: 200 also without a session.
///
/// # Errors
/// `StoreUnavailable` if it could not be made durable.
pub async fn sign_out(app: &App, req: Req) -> Result<Reply, ApiError> {
    let shown = req.cookie_sessions(app).await?;
    sessions::sign_out(&app.services, shown, &req.requester).await?;
    let mut reply = Reply::json(&SuccessBody { success: true });
    delete_session_cookies(app, &mut reply);
    Ok(reply)
}

/// `GET /token`: a JWT of the session in the shape of Better Auth's jwt plugin. For who shows a JWT it ends when that one does.
///
/// # Errors
/// `Unauthorized`.
pub async fn token(app: &App, req: Req) -> Result<Reply, ApiError> {
    let caller = req.caller(app).await?;
    let jwt = tokens::better_auth_jwt(&app.services, &caller.live, caller.until)?;
    Ok(caller.answer(Reply::json(&JwtBody { token: (*jwt).into() })))
}

/// `GET /error`: where a failed link leads. To the front page, with the code, as recorded of the production mode.
///
/// # Errors
/// None.
pub async fn error(_: &App, req: Req) -> Result<Reply, ApiError> {
    let is_code = |code: &str| {
        !code.is_empty()
            && code.len() <= 64
            && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    let code = req.head.query("error").filter(|code| is_code(code));
    let place = format!("/?error={}", code.as_deref().unwrap_or("UNKNOWN"));
    Ok(Reply::empty(StatusCode::FOUND).header(header::LOCATION, place))
}

/// `GET /ok`
///
/// # Errors
/// None.
pub async fn ok(_: &App, _: Req) -> Result<Reply, ApiError> {
    Ok(Reply::json(&OkBody { ok: true }))
}
