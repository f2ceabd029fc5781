//! `POST /sign-up/email`

use common::{ErrorCode, api::SignUpBody};

use super::username::given_username;
use crate::{
    door::Reply,
    http::{
        ApiError, App, Req,
        auth::{wire_token, wish},
        given::application,
        plain::set_session_cookies,
    },
    service::{
        accounts::{self, SignUp},
        tokens, usernames,
    },
};

/// Makes an account and signs it in.
///
/// # Errors
/// As recorded: `VALIDATION_ERROR`, `PASSWORD_TOO_SHORT`, `USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL` and the like.
pub async fn email(app: &App, req: Req) -> Result<Reply, ApiError> {
    // As recorded, what is wrong with a username comes before all else.
    let username = given_username(app, &req)?;
    usernames::of_new(&app.services, username.clone()).await?;
    let (name, email, password, image, target, remember, fields, locked) = req.open_fields(|f| {
        let name = f.string("name").to_owned();
        let email = f.email("email");
        let password = f.password("password");
        let image = f.optional_string("image").map(str::to_owned);
        let target = f.optional_string("callbackURL").map(str::to_owned);
        let remember = f.optional_bool("rememberMe");
        let locked = application(f, &app.services.policy.locked_fields);
        (name, email, password, image, target, remember, application(f, &app.services.policy.user_fields), locked)
    })?;
    req.check_form(app)?;
    let email = email.ok_or(ApiError::new(ErrorCode::InvalidEmail))?;
    let wish = wish(app, &req, remember, false).await?;
    let wanted = SignUp { email, name, image, fields, locked, username, password, wish, target };
    let made = accounts::sign_up(&app.services, wanted, req.requester(app)).await?;
    let token = made.opened.as_ref().map(|opened| wire_token(app, &opened.live.session, Some(&opened.token)));
    let mut reply = Reply::json(&SignUpBody { token, user: tokens::user_body(&app.services, &made.user) });
    if let Some(opened) = &made.opened {
        set_session_cookies(app, &req, opened, &mut reply);
    }
    Ok(reply)
}
