//! `POST /sign-in/email`

use common::{ErrorCode, api::SignInBody, email::is_wire_syntax};
use http::header;
use percent_encoding::{CONTROLS, utf8_percent_encode};

use crate::{
    door::Reply,
    http::{
        ApiError, App, Req,
        auth::{wire_token, wish},
        plain::set_session_cookies,
    },
    service::{
        accounts::{self, Identifier, SignIn},
        sessions::Opened,
        tokens,
    },
};

/// Signs in.
///
/// # Errors
/// As recorded: `VALIDATION_ERROR`, `INVALID_EMAIL`, `INVALID_EMAIL_OR_PASSWORD`, `BANNED_USER`.
pub async fn email(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (email, password, callback, remember, new_password) = req.fields(|f| {
        let email = f.string("email");
        let password = f.string("password").into();
        let callback = f.optional_string("callbackURL").map(str::to_owned);
        let remember = f.optional_bool("rememberMe");
        (email, password, callback, remember, f.optional_string("newPassword").map(Into::into))
    })?;
    req.check_form(app)?;
    let invalid = || ApiError::new(ErrorCode::InvalidEmail);
    let email = if is_wire_syntax(email) { email.parse().map_err(|_| invalid())? } else { return Err(invalid()) };
    let wish = wish(app, &req, remember, false).await?;
    let wanted = SignIn { by: Identifier::Email(email), password, new_password, wish, target: callback.clone() };
    let opened = accounts::sign_in(&app.services, wanted, req.requester(app)).await?;
    Ok(signed_in(app, &req, &opened, callback))
}

/// The answer to who signed in.
pub(super) fn signed_in(app: &App, req: &Req, opened: &Opened, callback: Option<String>) -> Reply {
    let live = &opened.live;
    let redirect = callback.as_ref().is_some_and(|url| !url.is_empty());
    let body = SignInBody {
        redirect,
        token: wire_token(app, &live.session, Some(&opened.token)),
        url: callback.clone(),
        user: tokens::user_body(&app.services, &live.user),
    };
    let mut reply = Reply::json(&body);
    if let Some(url) = callback.filter(|_| redirect) {
        // RFC 9110 §10.2.2: a URI reference, and that is ASCII.
        reply.add(header::LOCATION, utf8_percent_encode(&url, CONTROLS).to_string());
    }
    set_session_cookies(app, req, opened, &mut reply);
    reply
}
