//! Sessions.

use common::{
    ErrorCode, UnixTime,
    admin::{Page, RevokeSessions, RevokeTarget, Revoked, SessionView},
};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::EventKind,
    door::Reply,
    service::{sessions, users},
    store::{Ending, Live},
};

pub(super) fn view(live: &Live, now: UnixTime) -> SessionView {
    let session = &live.session;
    SessionView {
        id: session.id.clone(),
        user_id: session.user.clone(),
        email: live.user.email.to_string(),
        state: session.state(now).as_str().into(),
        methods: session.methods.clone(),
        refreshable: session.family.is_some(),
        impersonated_by: session.impersonation.as_ref().map(|impersonation| impersonation.by.clone()),
        ip_address: session.ip_address.clone(),
        user_agent: session.user_agent.clone(),
        created_at: session.created_at,
        updated_at: session.updated_at,
        expires_at: session.expires_at,
        absolute_expires_at: session.absolute_expires_at,
    }
}

/// `GET /v1/sessions?user=&cursor=&limit=`
///
/// # Errors
/// `ValidationError`, `UserNotFound`.
pub async fn list(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let services = &app.services;
    let now = services.clock.now();
    let (cursor, limit) = (req.head.query("cursor"), req.limit()?);
    let page = match req.head.query("user") {
        Some(reference) => {
            let user = users::find(services, &reference).await?;
            let page = sessions::page_of_user(services, &user, cursor.as_deref(), limit).await?;
            page.ok_or_else(|| AdminError::validation("cursor is none of this list"))?
        }
        None => sessions::list(services, cursor, limit).await?,
    };
    Ok(Reply::json(&Page { items: page.items.iter().map(|live| view(live, now)).collect(), next: page.next }))
}

/// `GET /v1/sessions/{session}`
///
/// # Errors
/// `SessionNotFound`.
pub async fn show(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let services = &app.services;
    let id = req.param("session").parse().map_err(|_| AdminError::new(ErrorCode::SessionNotFound))?;
    let live = sessions::show(services, &id).await?;
    Ok(Reply::json(&view(&live, services.clock.now())))
}

/// `POST /v1/sessions/revoke`
///
/// # Errors
/// `ValidationError`, `UserNotFound`, `UnexpectedCount`.
pub async fn revoke(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: RevokeSessions = req.json()?;
    let services = &app.services;
    let which = match wanted.target {
        RevokeTarget::Sessions(ids) if ids.is_empty() => return Err(AdminError::validation("no session is named")),
        RevokeTarget::Sessions(ids) => Ending::These(ids),
        RevokeTarget::User(reference) => {
            Ending::OfUser { user: users::find(services, &reference).await?.id.clone(), except: None }
        }
    };
    let ended = match wanted.dry_run {
        true => sessions::preview_revoke(services, &which).await?,
        false => sessions::revoke(services, which, wanted.expect_count, req.act(services.clock.now())).await?,
    };
    if !wanted.dry_run && ended.sessions > 0 {
        req.log_done(EventKind::SessionRevoked, &format!("{} sessions of {} users", ended.sessions, ended.users));
    }
    Ok(Reply::json(&Revoked { ended: ended.sessions, users: ended.users, dry_run: wanted.dry_run }))
}
