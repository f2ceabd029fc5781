//! The session of the caller: asked for, and ended.

use common::{
    ErrorCode, SecretString,
    api::{GetSessionBody, JwtBody, OkBody, SuccessBody},
};
use http::{HeaderValue, StatusCode, header};
use url::form_urlencoded;

use super::{add_session_data, session_body};
use crate::{
    door::{JSON, Reply},
    http::{
        ApiError, App, Req,
        auth::{CookieSession, SET_AUTH_JWT, accompanying_jwt, jwt_header, set_auth_jwt, use_cookie},
        plain::{delete_session_cookies, sign_out_cookies},
    },
    service::{sessions, tokens},
    store::Live,
};

fn no_store(reply: Reply) -> Reply {
    reply
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .header(header::PRAGMA, HeaderValue::from_static("no-cache"))
}

fn body_of(app: &App, live: &Live, own: Option<&SecretString>, needs_refresh: Option<bool>) -> GetSessionBody {
    let session = session_body(app, &live.session, own);
    GetSessionBody { session, user: tokens::user_body(&app.services, &live.user), needs_refresh }
}

/// For who showed the session's own credential.
async fn shown(app: &App, live: &Live, own: &SecretString, needs_refresh: Option<bool>) -> Result<Reply, ApiError> {
    if needs_refresh.is_some() {
        let body = body_of(app, live, Some(own), needs_refresh);
        return set_auth_jwt(app, live, no_store(Reply::json(&body))).await;
    }
    let jwt = accompanying_jwt(app, live).await?;
    let body = match app.prepared.sessions.get(live, jwt.as_ref()) {
        Some(body) => body,
        None => {
            let jwt = jwt.map(|jwt| Ok::<_, ApiError>((jwt.clone(), jwt_header(&jwt)?))).transpose()?;
            let body = body_of(app, live, Some(app.prepared.place()), None);
            app.prepared.sessions.keep(app.prepared.cut(live, jwt, &body))
        }
    };
    let reply = no_store(Reply::bytes(JSON, body.with(own)));
    Ok(match body.jwt() {
        Some(jwt) => reply.header(SET_AUTH_JWT, jwt),
        None => reply,
    })
}

/// `GET /get-session`: the session and its user, or `null` with 200, never 401. A use that prolongs the session sets the
/// cookie again; a cookie whose session has ended is deleted. Where refresh is deferred it only says whether one is due. Who
/// shows a JWT gets no other in `set-auth-jwt`: it would be the same one, or live longer than what was shown.
///
/// # Errors
/// The store cannot be read.
pub async fn get(app: &App, req: Req) -> Result<Reply, ApiError> {
    answer(app, &req, app.settings.defer_refresh).await
}

/// `POST /get-session`: the prolonging that GET leaves to it where refresh is deferred.
///
/// # Errors
/// `DeferredRefreshRequired` where it is not; the store cannot be read.
pub async fn get_by_post(app: &App, req: Req) -> Result<Reply, ApiError> {
    if !app.settings.defer_refresh {
        let refusal = ApiError::new(ErrorCode::DeferredRefreshRequired);
        return Err(refusal.header(header::PRAGMA, HeaderValue::from_static("no-cache")));
    }
    answer(app, &req, false).await
}

async fn answer(app: &App, req: &Req, is_deferred: bool) -> Result<Reply, ApiError> {
    if let Some(accepted) = req.lenient_jwt(app).await? {
        return Ok(no_store(Reply::json(&body_of(app, &accepted.live, None, None))));
    }
    let (live, token, due, cookies) = match req.cookie_session(app).await? {
        CookieSession::Alive(live, token) if req.has_flag("disableRefresh") => (live, token, None, vec![]),
        CookieSession::Alive(live, token) if is_deferred => {
            let due = live.session.remember.then(|| sessions::is_due(&app.services, &live));
            (live, token, due, vec![])
        }
        CookieSession::Alive(live, token) => {
            let (live, cookies) = use_cookie(app, live, &token).await;
            (live, token, None, cookies)
        }
        CookieSession::Dead(_) => {
            let mut reply = no_store(Reply::json(&()));
            delete_session_cookies(app, &mut reply);
            return Ok(reply);
        }
        CookieSession::None => {
            let mut reply = no_store(Reply::json(&()));
            forget_strays(app, req, &mut reply);
            return Ok(reply);
        }
    };
    let mut reply = shown(app, &live, &token.token, due).await?;
    for cookie in cookies {
        reply.add(header::SET_COOKIE, cookie);
    }
    add_session_data(app, req, &live, &token.token, &mut reply);
    forget_strays(app, req, &mut reply);
    Ok(reply)
}

/// Deletes what a browser has and should not: a copy of a session where there are none, a cookie of the time before there was a
/// domain.
fn forget_strays(app: &App, req: &Req, reply: &mut Reply) {
    let copies = if app.cookies.has_copies() { vec![] } else { app.cookies.forget_session_data(&req.head) };
    for cookie in copies.into_iter().chain(app.cookies.forget_twin(&req.head)) {
        reply.add(header::SET_COOKIE, cookie);
    }
}

/// `POST /sign-out`: 200 also without a session. What the body may have is for other ways of signing in.
///
/// # Errors
/// `ValidationError`; `StoreUnavailable` if it could not be made durable.
pub async fn sign_out(app: &App, req: Req) -> Result<Reply, ApiError> {
    req.optional_fields(|f| {
        f.optional_string("callbackURL");
        f.optional_bool("disableRedirect");
        f.optional_string("state");
    })?;
    let shown = req.cookie_sessions(app).await?;
    sessions::sign_out(&app.services, shown, req.requester(app)).await?;
    let mut reply = Reply::json(&SuccessBody { success: true });
    sign_out_cookies(app, &req, &mut reply);
    Ok(reply)
}

/// `GET /token`: a JWT of the session in the shape of Better Auth's jwt plugin. For who shows a JWT it ends when that one does.
///
/// # Errors
/// `Unauthorized`.
pub async fn token(app: &App, req: Req) -> Result<Reply, ApiError> {
    let caller = req.caller(app).await?;
    let jwt = tokens::better_auth_jwt(&app.services, &caller.live, caller.until).await?;
    Ok(Reply::json(&JwtBody { token: (*jwt).into() }))
}

/// `GET /error`: where a failed link leads. To the front page, with the code and what is said of it, as recorded of the
/// production mode.
///
/// # Errors
/// None.
pub async fn error(_: &App, req: Req) -> Result<Reply, ApiError> {
    let is_code = |code: &str| {
        !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'\''))
    };
    let code = req.head.query("error").filter(|code| is_code(code));
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("error", code.as_deref().unwrap_or("UNKNOWN"));
    if let Some(why) = req.head.query("error_description").filter(|why| !why.is_empty()) {
        query.append_pair("error_description", &why);
    }
    let place = format!("/?{}", query.finish());
    Ok(Reply::empty(StatusCode::FOUND).header(header::LOCATION, place))
}

/// `GET /ok`
///
/// # Errors
/// None.
pub async fn ok(_: &App, _: Req) -> Result<Reply, ApiError> {
    Ok(Reply::json(&OkBody { ok: true }))
}
