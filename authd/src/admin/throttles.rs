//! Who has to wait before the next sign-in.

use common::{
    UserId,
    admin::{ClearThrottles, Page, ThrottleTarget, ThrottleView, ThrottlesCleared},
};

use super::{AdminApp, AdminError, AdminReq, users::require_for_role};
use crate::{
    domain::{EventKind, Role},
    door::Reply,
    service::{
        throttle::{self, Waiting, Which},
        users,
    },
};

/// `GET /v1/throttles`
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    let services = &app.services;
    let mut items = vec![];
    for Waiting { kind, subject, failures, until } in services.throttles.waiting(services.clock.now()) {
        // Of a place the user stands before the slash; a network is nobody's id.
        let user = subject.split('/').next().filter(|_| kind != "source");
        let user = user.and_then(|id| id.parse::<UserId>().ok());
        let email = users::address_of(services, user.as_ref()).await?;
        items.push(ThrottleView { kind: kind.into(), subject, email, failures, until });
    }
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
