//! The caller's own account: name and picture, password, deletion.

use common::{
    ErrorCode,
    api::{AccountBody, DeletedBody, PasswordChangedBody, StatusBody, UpdatedSessionBody},
};
use http::{StatusCode, header};

use super::redirect;
use super::{session_body, set_again, username::given_username};
use crate::{
    door::{JSON, Reply},
    http::{
        ApiError, App, Req,
        auth::{Caller, wire_token},
        given::application,
        plain::{delete_session_cookies, remember_device, set_session_cookies, token_fields},
    },
    service::{
        ServiceError,
        own::{self, Deletion, DeletionWish, OwnChange, PasswordChange},
        tokens, usernames,
    },
};

/// `POST /update-user`: name, picture, and the application's fields. No other field is settable, whatever the body has (HT-06).
///
/// # Errors
/// `ValidationError`, `Unauthorized`, `EmailCanNotBeUpdated`, `FieldNotAllowed`; 400 without code if nothing is to be changed
/// (recorded).
pub async fn update(app: &App, req: Req) -> Result<Reply, ApiError> {
    // As recorded, what is wrong with a username comes before all else, and before it is known who asks.
    let (username, owner) = (given_username(app, &req)?, req.caller_if_any(app).await?);
    let username = usernames::changes(&app.services, owner.as_deref(), username).await?;
    let (wanted, email) = req.record(|f| {
        let name = f.optional_string("name").map(str::to_owned);
        let image = f.optional_nullable_string("image").map(|image| image.map(str::to_owned));
        let fields = application(f, &app.services.policy.user_fields);
        let locked = application(f, &app.services.policy.locked_fields);
        (OwnChange { name, image, fields, locked, username }, f.is_truthy("email"))
    })?;
    let caller = req.caller(app).await?;
    if email {
        return Err(ApiError::new(ErrorCode::EmailCanNotBeUpdated));
    }
    if !own::update(&app.services, &caller.live, wanted, req.requester(app)).await.map_err(of_own)? {
        return Err(nothing_to_update());
    }
    Ok(with_cookie(app, &req, &caller, Reply::json(&StatusBody { status: true })).await)
}

/// `POST /update-session`: the application's fields of the caller's session.
///
/// # Errors
/// `ValidationError`, `Unauthorized`, `FieldNotAllowed`; 400 without code if nothing is to be changed (recorded).
pub async fn update_session(app: &App, req: Req) -> Result<Reply, ApiError> {
    let policy = &app.services.policy;
    let (fields, locked) =
        req.record(|f| (application(f, &policy.session_fields), application(f, &policy.locked_session_fields)))?;
    let caller = req.caller(app).await?;
    policy.locked_session_fields.changes(locked).map_err(ServiceError::Field)?;
    let updated = own::update_session(&app.services, &caller.live, fields).await.map_err(of_own)?;
    let session = updated.ok_or_else(nothing_to_update)?;
    let token = caller.shown.as_ref().map(|shown| &shown.token);
    let body = UpdatedSessionBody { session: session_body(app, &session, token) };
    Ok(with_cookie(app, &req, &caller, Reply::json(&body)).await)
}

/// With the session's cookie, as recorded: set again, and with the whole age, although the session ends when it did.
async fn with_cookie(app: &App, req: &Req, caller: &Caller, mut reply: Reply) -> Reply {
    set_again(app, req, caller, &mut reply).await;
    reply
}

/// An account that was deleted, or a session that ended, while this request was under way is no caller any more.
fn of_own(error: ServiceError) -> ApiError {
    match error {
        ServiceError::UserNotFound | ServiceError::SessionNotFound => ApiError::new(ErrorCode::Unauthorized),
        error => error.into(),
    }
}

fn nothing_to_update() -> ApiError {
    ApiError::without_code(StatusCode::BAD_REQUEST, "No fields to update")
}

/// `POST /change-password`. Where sessions end, the new one's cookie comes with the answer to who showed a cookie; who showed
/// an access token alone gets no cookie but what there was before: an access token, and a refresh token in token mode.
///
/// # Errors
/// `ValidationError`, `Unauthorized`, the rules of passwords, `InvalidPassword`, `CredentialAccountNotFound`.
pub async fn change_password(app: &App, req: Req) -> Result<Reply, ApiError> {
    let wanted = req.fields(|f| {
        let new = f.string("newPassword").into();
        let current = f.string("currentPassword").into();
        let end_sessions = f.optional_bool("revokeOtherSessions");
        PasswordChange { current, new, end_sessions, access_token: false }
    })?;
    let caller = req.caller(app).await?;
    let has_cookie = caller.shown.is_some() || req.cookie_sessions(app).await?.contains(&caller.live.session.id);
    let wanted = PasswordChange { access_token: !has_cookie, ..wanted };
    let changed = own::change_password(&app.services, &caller.live, wanted, req.requester(app)).await;
    let (user, opened) = changed.map_err(of_own)?;
    let token = opened.as_ref().map(|opened| wire_token(app, &opened.live.session, Some(&opened.token)));
    let tokens = match &opened {
        Some(opened) if !has_cookie => {
            Some(token_fields(app, &opened.live, opened.refresh_token.as_ref(), opened.claims.as_ref()).await?)
        }
        _ => None,
    };
    let mut reply = Reply::json(&PasswordChangedBody { token, user: tokens::user_body(&app.services, &user), tokens });
    match opened {
        Some(opened) => {
            if has_cookie {
                set_session_cookies(app, &req, &opened, &mut reply);
            }
            Ok(reply)
        }
        None => {
            // The marks of before are void: this browser gets a new one, the others at their next sign-in.
            if caller.shown.is_some() && caller.live.session.remember {
                remember_device(app, &req, &user, &mut reply);
            }
            Ok(reply)
        }
    }
}

/// `POST /verify-password`
///
/// # Errors
/// `ValidationError`, `Unauthorized`, `InvalidPassword`.
pub async fn verify_password(app: &App, req: Req) -> Result<Reply, ApiError> {
    let password = req.fields(|f| f.string("password").into())?;
    let caller = req.caller(app).await?;
    let checked = own::check_password(&app.services, &caller.live.user, &password, req.requester(app)).await;
    // As recorded, an account without a password is not told from a wrong one here.
    checked.map_err(|error| if error == ServiceError::NoPassword { ServiceError::WrongPassword } else { error })?;
    Ok(Reply::json(&StatusBody { status: true }))
}

/// `GET /list-accounts`: the password, if there is one.
///
/// # Errors
/// `Unauthorized`.
pub async fn list(app: &App, req: Req) -> Result<Reply, ApiError> {
    let caller = req.caller(app).await?;
    let found = own::credential(&app.services, &caller.live.user).await?;
    let accounts: Vec<AccountBody> = found
        .into_iter()
        .map(|credential| AccountBody {
            id: credential.id.to_string(),
            provider_id: "credential".into(),
            account_id: credential.user.to_string(),
            user_id: credential.user,
            created_at: credential.created_at,
            updated_at: credential.updated_at,
            scopes: vec![],
        })
        .collect();
    Ok(Reply::json(&accounts))
}

/// `POST /delete-user`: with the password, or soon after the sign-in.
///
/// # Errors
/// `ValidationError`, `Unauthorized`, `InvalidPassword`; an empty 404 where it is off, 404 `INVALID_TOKEN` for a token; 400
/// `SESSION_EXPIRED` for a sign-in that is too long ago (recorded).
pub async fn delete(app: &App, req: Req) -> Result<Reply, ApiError> {
    let wish = req.fields(|f| {
        let target = f.optional_string("callbackURL").filter(|text| !text.is_empty()).map(str::to_owned);
        let password = f.optional_string("password").filter(|text| !text.is_empty()).map(Into::into);
        let token = f.optional_string("token").filter(|text| !text.is_empty()).map(Into::into);
        DeletionWish { password, token, target }
    })?;
    let caller = req.caller(app).await?;
    match own::delete(&app.services, &caller.live, wish, req.requester(app)).await.map_err(of_deletion)? {
        Deletion::Done => {
            let mut reply = Reply::json(&DeletedBody { success: true, message: "User deleted".into() });
            delete_session_cookies(app, &mut reply);
            Ok(reply)
        }
        Deletion::MailSent => {
            Ok(Reply::json(&DeletedBody { success: true, message: "Verification email sent".into() }))
        }
        Deletion::Off => Ok(no_such_route()),
        Deletion::NotFresh => Err(ApiError::sign_in_again()),
    }
}

/// As recorded of a deletion that is off.
fn no_such_route() -> Reply {
    Reply::empty(StatusCode::NOT_FOUND).header(header::CONTENT_TYPE, JSON)
}

fn of_deletion(error: ServiceError) -> ApiError {
    match error {
        ServiceError::BadLink => ApiError::invalid_link(),
        error => of_own(error),
    }
}

/// `GET /delete-user/callback`: the link of a mail, in the browser that is signed in.
///
/// # Errors
/// `ValidationError`, 404 `INVALID_TOKEN`, `FailedToGetUserInfo`.
pub async fn delete_by_link(app: &App, req: Req) -> Result<Reply, ApiError> {
    let token = req.required_query("token")?;
    if !app.services.policy.self_delete {
        return Ok(no_such_route());
    }
    let caller = req.optional_caller(app).await?.ok_or(ApiError::new(ErrorCode::FailedToGetUserInfo))?;
    own::delete_by_link(&app.services, &caller.live, &token, req.requester(app)).await.map_err(of_deletion)?;
    let mut reply = match req.head.query("callbackURL").filter(|target| !target.is_empty()) {
        Some(target) => redirect(&target),
        None => Reply::json(&DeletedBody { success: true, message: "User deleted".into() }),
    };
    delete_session_cookies(app, &mut reply);
    Ok(reply)
}
