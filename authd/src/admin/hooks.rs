//! Hooks: where the application is asked, and a test.

use common::admin::{HookTested, HookView, Page, TestHook};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::{EventKind, Hook},
    door::Reply,
    service::hooks::{self as service, Shown},
};

fn view(shown: Shown) -> HookView {
    let Shown { hook, target, fails_open, rests_until, last_failure } = shown;
    let (failed_at, error) = last_failure.unzip();
    HookView {
        hook: hook.as_str().into(),
        target,
        on_failure: if fails_open { "open" } else { "closed" }.into(),
        state: if rests_until.is_some() { "resting" } else { "ready" }.into(),
        rests_until,
        failed_at,
        error,
    }
}

/// `GET /v1/hooks`
///
/// # Errors
/// None.
pub async fn list(app: &AdminApp, _: AdminReq) -> Result<Reply, AdminError> {
    let services = &app.services;
    let items = service::list(services).into_iter().map(view).collect();
    Ok(Reply::json(&Page::<HookView> { items, next: None }))
}

/// `POST /v1/hooks/test`
///
/// # Errors
/// `ValidationError` if there is no hook of this name, `NotFound` if it is off, `HookUnavailable` with why it did not answer.
pub async fn test(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let TestHook { hook: name } = req.json()?;
    let unknown = || {
        let names = Hook::ALL.map(Hook::as_str).join(", ");
        AdminError::validation(format!("there is no hook '{name}': there are {names}"))
    };
    let hook = Hook::from_name(&name).ok_or_else(unknown)?;
    let services = &app.services;
    let outcome = service::test(services, hook, req.act(services.clock.now())).await?;
    req.log_done(EventKind::HookTested, &name);
    let tested = outcome.map_err(|why| {
        AdminError::new(common::ErrorCode::HookUnavailable)
            .cause(why)
            .fix("see [hooks] in the configuration, and the manual")
    })?;
    Ok(Reply::json(&HookTested { hook: name, target: tested.target, allows: tested.allows, said: tested.said }))
}
