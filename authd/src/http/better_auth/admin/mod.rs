//! Better Auth's admin plugin: administrators among the users, who look after the others (PROTOCOL
//! section 13); and services, an application's backends, by tokens of their own.

pub mod impersonation;
pub mod permission;
mod search;
pub mod sessions;
pub mod users;

use common::ErrorCode;

use crate::{
    http::{ApiError, App, Req, auth::AdminCaller},
    service::administration::Administrator,
};

/// Who asks, for the use cases. Where the plugin is off there are no such routes; a reload may come in between.
fn administrator<'a>(app: &'a App, req: &'a Req, caller: &'a AdminCaller) -> Result<Administrator<'a>, ApiError> {
    let admin = Administrator::new(&app.services, caller.who(), req.requester(app));
    admin.ok_or_else(|| ApiError::new(ErrorCode::NotFound))
}
