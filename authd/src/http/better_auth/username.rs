//! Better Auth's username plugin (PROTOCOL section 14).

use common::{ErrorCode, api::AvailableBody};
use http::StatusCode;

use super::sign_in::signed_in;
use crate::{
    domain::UsernameProblem,
    door::Reply,
    http::{ApiError, App, Req, auth::wish},
    service::{
        ServiceError,
        accounts::{self, Identifier, SignIn},
        usernames::{self, GivenUsername},
    },
};

/// What the body gives for the username and its spelling.
///
/// # Errors
/// `ValidationError`.
pub(in crate::http) fn given_username(app: &App, req: &Req) -> Result<GivenUsername, ApiError> {
    if !app.settings.plugins.username {
        return Ok(GivenUsername::default());
    }
    req.optional_fields(|f| GivenUsername {
        username: f.optional_nullable_string("username").map(|name| name.map(str::to_owned)),
        display: f.optional_nullable_string("displayUsername").map(|name| name.map(str::to_owned)),
    })
}

/// The refusals of these routes: of names with another status than elsewhere, and of a sign-in in words of their own.
pub(in crate::http) fn of_username(error: ServiceError) -> ApiError {
    match error {
        ServiceError::Username(_) => ApiError::from(error).but(StatusCode::UNPROCESSABLE_ENTITY),
        ServiceError::InvalidCredentials => ApiError::new(ErrorCode::InvalidUsernameOrPassword),
        error => error.into(),
    }
}

/// `POST /sign-in/username`
///
/// # Errors
/// As recorded: `VALIDATION_ERROR`, 422 for what cannot be a name, `INVALID_USERNAME_OR_PASSWORD`, `BANNED_USER`.
pub async fn sign_in(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (username, password, remember, callback, new_password) = req.fields(|f| {
        let username = f.string("username").to_owned();
        let password = f.string("password");
        let remember = f.optional_bool("rememberMe");
        let callback = f.optional_string("callbackURL").map(str::to_owned);
        (username, password, remember, callback, f.optional_string("newPassword").map(Into::into))
    })?;
    if username.is_empty() || password.is_empty() {
        return Err(ApiError::new(ErrorCode::InvalidUsernameOrPassword));
    }
    if let Some(rules) = app.services.policy.username {
        rules.normalised(&username).map_err(|problem| of_username(ServiceError::Username(problem)))?;
    }
    let wish = wish(app, &req, remember, false).await?;
    let (by, target) = (Identifier::Username(username), callback.clone());
    let wanted = SignIn { by, password: password.into(), new_password, wish, target };
    let opened = accounts::sign_in(&app.services, wanted, req.requester(app)).await.map_err(of_username)?;
    Ok(signed_in(app, &req, &opened, callback))
}

/// `POST /is-username-available`
///
/// # Errors
/// `ValidationError`, 422 for what cannot be a name (recorded).
pub async fn is_available(app: &App, req: Req) -> Result<Reply, ApiError> {
    let username = req.fields(|f| f.string("username"))?;
    if username.is_empty() {
        return Err(of_username(ServiceError::Username(UsernameProblem::Invalid)));
    }
    let available = usernames::is_available(&app.services, username).await.map_err(of_username)?;
    Ok(Reply::json(&AvailableBody { available }))
}
