//! The sessions of the caller: listed, and ended one by one or together.

use common::{
    ErrorCode,
    api::{SessionBody, StatusBody},
};

use super::session_body;
use crate::{
    door::Reply,
    http::{ApiError, App, Req, plain::delete_session_cookies},
    service::sessions,
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
    let own: Vec<SessionBody> = own.iter().map(|session| session_body(session)).collect();
    Ok(caller.answer(Reply::json(&own)))
}

/// `POST /revoke-session`: by the handle. One that is unknown, and one of somebody else, is left alone and answered alike
/// (AZ-08, recorded).
///
/// # Errors
/// `ValidationError`, `Unauthorized`; `StoreUnavailable` if it could not be made durable.
pub async fn revoke(app: &App, req: Req) -> Result<Reply, ApiError> {
    let handle = req.fields(|f| f.string("token"))?;
    let caller = req.caller(app).await?;
    let is_own = handle == caller.live.session.id.as_str();
    if let Ok(id) = handle.parse() {
        sessions::revoke_own(&app.services, &caller.live, id, &req.requester).await?;
    }
    let mut reply = Reply::json(&DONE);
    if is_own {
        delete_session_cookies(app, &mut reply);
        return Ok(reply);
    }
    Ok(caller.answer(reply))
}

/// `POST /revoke-sessions`: all of them, the caller's own too.
///
/// # Errors
/// `Unauthorized`; `StoreUnavailable` if it could not be made durable.
pub async fn revoke_all(app: &App, req: Req) -> Result<Reply, ApiError> {
    let caller = req.caller(app).await?;
    let all = Ending::OfUser { user: caller.live.user.id.clone(), except: None };
    sessions::revoke_by_owner(&app.services, &caller.live.user, all, &req.requester).await?;
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
    sessions::revoke_by_owner(&app.services, &live.user, others, &req.requester).await?;
    Ok(caller.answer(Reply::json(&DONE)))
}
