//! Who has to wait before the next sign-in.

use common::admin::{ClearThrottles, Page, ThrottleTarget, ThrottleView, ThrottlesCleared};

use super::{AdminApp, AdminError, AdminReq, users::require_for_role};
use crate::{
    domain::{EventKind, Role},
    door::Reply,
    service::{
        throttle::{self, Which},
        users,
    },
};

/// `GET /v1/throttles`
///
/// # Errors
/// None.
pub async fn list(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    let services = &app.services;
    let items: Vec<ThrottleView> = services
        .throttles
        .waiting(services.clock.now())
        .into_iter()
        .map(|w| ThrottleView { kind: w.kind.into(), subject: w.subject, failures: w.failures, until: w.until })
        .collect();
    Ok(Reply::json(&Page { items, next: None }))
}

/// `POST /v1/throttles/clear`
///
/// # Errors
/// `ValidationError`, `UserNotFound`.
pub async fn clear(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: ClearThrottles = req.json()?;
    let services = &app.services;
    let (which, object) = match wanted.target {
        ThrottleTarget::User(reference) => {
            let user = users::find(services, &reference).await?;
            require_for_role(app, &req, &user.role)?;
            (Which::Account(user.id.clone()), user.id.to_string())
        }
        ThrottleTarget::Source(text) => {
            let wrong = || AdminError::validation(format!("'{text}' is not an IP address"));
            (Which::Source(crate::domain::address::parse(&text).ok_or_else(wrong)?), text.clone())
        }
        ThrottleTarget::All => {
            req.require(Role::Admin, "POST /v1/throttles/clear, for everybody")?;
            (Which::All, "all".into())
        }
    };
    let cleared = throttle::clear(services, which, req.act(services.clock.now())).await?;
    if cleared > 0 {
        req.log_done(EventKind::ThrottleCleared, &object);
    }
    Ok(Reply::json(&ThrottlesCleared { cleared }))
}
