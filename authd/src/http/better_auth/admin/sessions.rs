//! Sessions of other users.

use common::api::{SessionBody, SessionsBody, SuccessBody};

use super::administrator;
use crate::{
    door::Reply,
    http::{ApiError, App, Req, better_auth::session_body},
    service::administration,
};

const DONE: SuccessBody = SuccessBody { success: true };

/// `POST /admin/list-user-sessions`: with handles as tokens, which the route below takes.
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotListSessions`.
pub async fn list(app: &App, req: Req) -> Result<Reply, ApiError> {
    let user = req.fields(|f| f.coerced("userId"))?;
    let caller = req.admin_caller(app).await?;
    let admin = administrator(app, &req, &caller)?;
    let found = administration::sessions_of(&app.services, &admin, &user).await?;
    let own = caller.session().ok();
    let shown = |id| own.filter(|own| own.live.session.id == id)?.shown.as_ref().map(|shown| &shown.token);
    let sessions: Vec<SessionBody> =
        found.iter().map(|session| session_body(app, session, shown(session.id.clone()))).collect();
    Ok(Reply::json(&SessionsBody { sessions }))
}

/// `POST /admin/revoke-user-session`: by the handle. One that is unknown is answered alike (recorded).
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotRevokeSessions`.
pub async fn revoke(app: &App, req: Req) -> Result<Reply, ApiError> {
    let handle = req.fields(|f| f.string("sessionToken"))?;
    let caller = req.admin_caller(app).await?;
    let admin = administrator(app, &req, &caller)?;
    let known = match app.settings.plugins.bearer.is_on() {
        true => administration::handle_of(&app.services, handle).await?,
        false => None,
    };
    let handle = known.as_ref().map_or(handle, |id| id.as_str());
    administration::revoke(&app.services, &admin, handle).await?;
    Ok(Reply::json(&DONE))
}

/// `POST /admin/revoke-user-sessions`: all of one user.
///
/// # Errors
/// `ValidationError`, an empty 401, `MayNotRevokeSessions`.
pub async fn revoke_all(app: &App, req: Req) -> Result<Reply, ApiError> {
    let user = req.fields(|f| f.coerced("userId"))?;
    let caller = req.admin_caller(app).await?;
    administration::revoke_all(&app.services, &administrator(app, &req, &caller)?, &user).await?;
    Ok(Reply::json(&DONE))
}
