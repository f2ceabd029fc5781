//! The tokens of services: an application's backend acts by one on Better Auth's `/admin/*` routes.

use common::{
    Span, UnixTime,
    admin::{CreateServiceToken, Page, ServiceTokenMade, ServiceTokenRevoked, ServiceTokenView},
};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::{EventKind, ServiceToken},
    door::Reply,
    service::service_tokens::{self as service, Wanted},
};

/// The longest life of a token that has an end.
const LONGEST: Span = Span::from_days(3660);

pub(super) fn view(token: &ServiceToken, now: UnixTime) -> ServiceTokenView {
    ServiceTokenView {
        name: token.name.clone(),
        state: if token.is_active(now) { "active" } else { "expired" }.into(),
        scopes: token.scopes.iter().copied().collect(),
        created_at: token.created_at,
        expires_at: token.expires_at,
        last_used_at: token.last_used_at,
    }
}

/// `GET /v1/service-tokens`
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    let now = app.services.clock.now();
    let items: Vec<_> = service::list(&app.services).await?.iter().map(|token| view(token, now)).collect();
    Ok(Reply::json(&Page { items, next: None }))
}

/// `POST /v1/service-tokens`: the one time that the token is shown.
///
/// # Errors
/// `ValidationError`, `ServiceNameTaken`.
pub async fn create(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: CreateServiceToken = req.json()?;
    if wanted.scopes.is_empty() {
        return Err(AdminError::validation("a token without a scope opens nothing").fix("--scope users:read"));
    }
    if wanted.expires.is_some_and(|life| life == Span::ZERO || life > LONGEST) {
        return Err(AdminError::validation("a token lives longer than no time, and ten years at most"));
    }
    let act = req.act(app.services.clock.now());
    let now = act.at;
    let wanted = Wanted { name: wanted.name, scopes: wanted.scopes.into_iter().collect(), expires: wanted.expires };
    let (made, token) = service::create(&app.services, wanted, act).await?;
    req.log_done(EventKind::ServiceTokenCreated, made.name.as_str());
    let off = app.services.policy.admin.is_none();
    let notes = off.then(|| "no route takes it yet: admin_plugin.enabled is off".to_owned()).into_iter().collect();
    Ok(Reply::json(&ServiceTokenMade { service: view(&made, now), token, notes }))
}

/// `POST /v1/service-tokens/{name}/revoke?dry_run=`
///
/// # Errors
/// `ServiceNotFound`.
pub async fn revoke(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let dry_run = req.query::<bool>("dry_run")?.unwrap_or(false);
    let act = req.act(app.services.clock.now());
    let now = act.at;
    let token = service::revoke(&app.services, req.param("name"), dry_run, act).await?;
    if !dry_run {
        req.log_done(EventKind::ServiceTokenRevoked, token.name.as_str());
    }
    Ok(Reply::json(&ServiceTokenRevoked { service: view(&token, now), dry_run }))
}
