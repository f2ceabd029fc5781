//! The sessions of the caller: listed, and ended one by one or together.

use common::{
    ErrorCode, SessionId,
    api::{SessionBody, StatusBody},
};

use super::session_body;
use crate::{
    domain::Session,
    door::Reply,
    http::{ApiError, App, Req, plain::delete_session_cookies},
    service::sessions::{self, Found},
    store::Ending,
};

const DONE: StatusBody = StatusBody { status: true };

/// `GET /list-sessions`: those that live, oldest first. Each with its handle as `token`, which the revoke routes take.
///
/// # Errors
/// `Unauthorized`; `SessionNotFresh` if the sign-in is too long ago.
pub async fn list(app: &App, req: Req) -> Result<Reply, ApiError> {
    let caller = req.caller(app).await?;
    let Some(own) = sessions::own(&app.services, &caller.live).await? else {
        return Err(ApiError::new(ErrorCode::SessionNotFresh));
    };
    let shown = |session: &Session| caller.shown.as_ref().filter(|_| session.id == caller.live.session.id);
    let body = |session: &Session| session_body(app, session, shown(session).map(|shown| &shown.token));
    let own: Vec<SessionBody> = own.iter().map(|session| body(session)).collect();
    Ok(Reply::json(&own))
}

/// `POST /revoke-session`: by the handle. One that is unknown, and one of somebody else, is left alone and answered alike
/// (AZ-08, recorded).
///
/// # Errors
/// `ValidationError`, `Unauthorized`; `StoreUnavailable` if it could not be made durable.
pub async fn revoke(app: &App, req: Req) -> Result<Reply, ApiError> {
    let handle = req.fields(|f| f.string("token"))?;
    let caller = req.caller(app).await?;
    let mut handle: Option<SessionId> = handle.parse().ok();
    // The session token itself, which the bearer plugin shows.
    if app.settings.plugins.bearer.is_on()
        && let Some(token) = &handle
        && let Found::Alive(live) = sessions::by_token(&app.services, token.as_str()).await?
    {
        handle = Some(live.session.id.clone());
    }
    let is_own = handle.as_ref() == Some(&caller.live.session.id);
    if let Some(id) = handle {
        sessions::revoke_own(&app.services, &caller.live, id, req.requester(app)).await?;
    }
    let mut reply = Reply::json(&DONE);
    if is_own {
        delete_session_cookies(app, &mut reply);
        return Ok(reply);
    }
    Ok(reply)
}

/// `POST /revoke-sessions`: all of them, the caller's own too.
///
/// # Errors
/// `Unauthorized`; `StoreUnavailable` if it could not be made durable.
pub async fn revoke_all(app: &App, req: Req) -> Result<Reply, ApiError> {
    let caller = req.caller(app).await?;
    let all = Ending::OfUser { user: caller.live.user.id.clone(), except: None };
    sessions::revoke_by_owner(&app.services, &caller.live, all, req.requester(app)).await?;
    let mut reply = Reply::json(&DONE);
    delete_session_cookies(app, &mut reply);
    Ok(reply)
}

/// `POST /revoke-other-sessions`: all but the caller's own.
///
/// # Errors
/// `Unauthorized`; `StoreUnavailable` if it could not be made durable.
pub async fn revoke_others(app: &App, req: Req) -> Result<Reply, ApiError> {
    let caller = req.caller(app).await?;
    let live = &caller.live;
    let others = Ending::OfUser { user: live.user.id.clone(), except: Some(live.session.id.clone()) };
    sessions::revoke_by_owner(&app.services, live, others, req.requester(app)).await?;
    Ok(Reply::json(&DONE))
}
