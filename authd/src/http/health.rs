//! Whether the process lives, and whether it can do its work. Neither tells more than that (OP-06).

use http::StatusCode;

use super::{ApiError, App, Req};
use crate::{door::Reply, service::maintenance};

/// `GET /healthz`: the process answers.
///
/// # Errors
/// None.
pub async fn alive(_: &App, _: Req) -> Result<Reply, ApiError> {
    Ok(Reply::json(&serde_json::json!({"status": "ok"})))
}

/// `GET /readyz`: the store takes changes, a key signs, the clock is right.
///
/// # Errors
/// None: not being ready is an answer, 503.
pub async fn ready(app: &App, _: Req) -> Result<Reply, ApiError> {
    Ok(match maintenance::problems(&app.services).is_empty() {
        true => Reply::json(&serde_json::json!({"status": "ready"})),
        false => Reply::json(&serde_json::json!({"status": "not ready"})).status(StatusCode::SERVICE_UNAVAILABLE),
    })
}
