//! What the caller may do, for applications that ask.

use std::collections::BTreeSet;

use common::{ErrorCode, api::PermissionBody};
use http::StatusCode;
use serde_json::Value;

use super::administrator;
use crate::{
    domain::Statements,
    door::{Body, Reply},
    http::{ApiError, App, Req},
};

/// Actions by resource, if the value has that form.
fn statements(value: &Value) -> Option<Statements> {
    let actions = |value: &Value| -> Option<BTreeSet<String>> {
        value.as_array()?.iter().map(|action| action.as_str().map(str::to_owned)).collect()
    };
    value.as_object()?.iter().map(|(resource, value)| Some((resource.clone(), actions(value)?))).collect()
}

/// `POST /admin/has-permission`: whether the caller's roles allow all of this. Whom else the body names does not matter.
///
/// # Errors
/// `ValidationError`, an empty 401; 400 without code for the key that older clients send (recorded).
pub async fn has(app: &App, req: Req) -> Result<Reply, ApiError> {
    let invalid = |message: &'static str| ApiError::with_message(ErrorCode::ValidationError, message);
    req.optional_fields(|f| f.optional_string("role"))?;
    let body = match &req.body {
        Body::Value(Value::Object(fields)) => fields,
        Body::Value(_) | Body::Undefined => return Err(invalid("[body] Invalid input")),
    };
    let asked = match (body.get("permissions"), body.get("permission")) {
        (Some(_), Some(_)) => return Err(invalid("[body] Invalid input: more than one option matched")),
        (Some(value), None) => statements(value).ok_or_else(|| invalid("[body] Invalid input"))?,
        (None, Some(value)) => {
            statements(value).ok_or_else(|| invalid("[body] Invalid input"))?;
            let message = "invalid permission check. no permission(s) were passed.";
            return Err(ApiError::without_code(StatusCode::BAD_REQUEST, message));
        }
        (None, None) => return Err(invalid("[body] Invalid input")),
    };
    let caller = req.admin_caller(app).await?;
    let success = administrator(app, &req, &caller)?.allows(&asked);
    Ok(Reply::json(&PermissionBody { error: (), success }))
}
