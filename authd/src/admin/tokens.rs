//! Tokens explained: what one says of itself, and what authd thinks of it.

use common::admin::{TokenCheck, TokenReport, TokenRequest};
use serde_json::Value;

use super::{AdminApp, AdminError, AdminReq, keys, service_tokens, sessions};
use crate::{
    door::Reply,
    service::tokens::{self, Inspected},
};

fn report(app: &AdminApp, inspected: Inspected, with_contents: bool) -> TokenReport {
    let now = app.services.clock.now();
    let failed = inspected.checks.iter().find(|check| !check.ok);
    TokenReport {
        valid: inspected.code.is_none(),
        kind: inspected.kind.into(),
        code: inspected.code.map(|code| code.as_str().into()),
        reason: failed.map(|check| format!("{}: {}", check.name, check.found)),
        checks: inspected
            .checks
            .into_iter()
            .map(|check| TokenCheck { check: check.name.into(), ok: check.ok, found: check.found })
            .collect(),
        header: inspected.header.filter(|_| with_contents).map(Value::Object),
        claims: inspected.claims.map(Value::Object),
        key: inspected.key.map(|key| keys::view(&key, now)),
        service: inspected.service.map(|token| service_tokens::view(&token, now)),
        session: inspected.live.map(|live| sessions::view(&live, now)),
    }
}

/// `POST /v1/tokens/inspect`: always 200, with everything that is known of the token but its signature.
///
/// # Errors
/// The store cannot be read.
pub async fn inspect(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: TokenRequest = req.json()?;
    let inspected = tokens::inspect(&app.services, wanted.token.expose().trim()).await?;
    Ok(Reply::json(&report(app, inspected, true)))
}

/// `POST /v1/tokens/verify`: the same, without the header; `valid` is what matters.
///
/// # Errors
/// The store cannot be read.
pub async fn verify(app: &AdminApp, req: AdminReq) -> Result<Reply, AdminError> {
    let wanted: TokenRequest = req.json()?;
    let inspected = tokens::inspect(&app.services, wanted.token.expose().trim()).await?;
    Ok(Reply::json(&report(app, inspected, false)))
}
