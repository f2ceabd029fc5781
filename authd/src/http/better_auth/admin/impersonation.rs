//! Acting as another user, and as oneself again.

use common::{ErrorCode, api::SessionAndUserBody};
use http::{StatusCode, header};

use super::administrator;
use crate::{
    door::Reply,
    http::{
        ApiError, App, Req,
        better_auth::{add_session_data, session_body},
        plain::delete_session_cookies,
    },
    service::{
        impersonation::{self, Stopped},
        tokens,
    },
};

/// `POST /admin/impersonate-user`: a session in which the caller acts as the user; the caller's own waits in a cookie. Who shows
/// a JWT alone has nothing that could wait, and a token makes no session that outlives it.
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotImpersonate`, `UserNotFound`, `MayNotImpersonateAdmins`, `BannedUser`.
pub async fn begin(app: &App, req: Req) -> Result<Reply, ApiError> {
    let user = req.fields(|f| f.coerced("userId"))?;
    let caller = req.admin_caller(app).await?;
    let admin = administrator(app, &req, &caller)?;
    let own = caller.session()?;
    let remember = own.live.session.remember;
    let own = own.shown.as_ref().ok_or_else(|| ApiError::new(ErrorCode::Forbidden))?;
    let opened = impersonation::begin(&app.services, &admin, &user, req.requester(app)).await?;
    let live = &opened.live;
    let mut reply = Reply::json(&SessionAndUserBody {
        session: session_body(app, &live.session, Some(&opened.token)),
        user: tokens::user_body(&app.services, &live.user),
    });
    delete_session_cookies(app, &mut reply);
    reply.add(header::SET_COOKIE, app.cookies.admin_session(&own.token, remember));
    for cookie in app.cookies.session(&opened.token, false) {
        reply.add(header::SET_COOKIE, cookie);
    }
    add_session_data(app, &req, live, &opened.token, &mut reply);
    Ok(reply)
}

/// `POST /admin/stop-impersonating`: the caller's own session again.
///
/// # Errors
/// An empty 401; 400 without code where nobody is acted as, 500 without code where the own session did not wait (recorded).
pub async fn end(app: &App, req: Req) -> Result<Reply, ApiError> {
    let caller = req.admin_caller(app).await?;
    let caller = caller.session()?;
    let kept = app.cookies.read_admin_session(&req.head);
    let token = kept.as_ref().map(|kept| kept.token.expose());
    let stopped = impersonation::end(&app.services, &caller.live, token, req.requester(app)).await?;
    let (own, kept) = match (stopped, kept) {
        (Stopped::Own(own), Some(kept)) => (own, kept),
        (Stopped::WasNone, _) => {
            return Err(ApiError::without_code(StatusCode::BAD_REQUEST, "You are not impersonating anyone"));
        }
        (Stopped::Own(_), None) | (Stopped::NotFound, _) => {
            return Err(ApiError::without_code(StatusCode::INTERNAL_SERVER_ERROR, "Failed to find admin session"));
        }
    };
    let mut reply = Reply::json(&SessionAndUserBody {
        session: session_body(app, &own.session, Some(&kept.token)),
        user: tokens::user_body(&app.services, &own.user),
    });
    for cookie in app.cookies.session(&kept.token, kept.remember) {
        reply.add(header::SET_COOKIE, cookie);
    }
    add_session_data(app, &req, &own, &kept.token, &mut reply);
    if kept.remember {
        reply.add(header::SET_COOKIE, app.cookies.delete_dont_remember());
    }
    reply.add(header::SET_COOKIE, app.cookies.delete_admin_session());
    Ok(reply)
}
