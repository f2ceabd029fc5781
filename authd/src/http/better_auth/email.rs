//! The caller's address: proved and changed by links in mails.

use common::{
    ErrorCode,
    api::{FollowedBody, StatusBody},
};

use super::{redirect, set_again};
use crate::{
    door::Reply,
    http::{ApiError, App, Req, auth::wish, plain::set_session_cookies},
    service::{
        ServiceError,
        email::{self, Followed},
        tokens,
    },
};

/// `POST /send-verification-email`
///
/// # Errors
/// `ValidationError`, `VerificationEmailNotEnabled`; for who is signed in also `EmailMismatch`, `EmailAlreadyVerified`.
pub async fn send_verification(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (email, target) =
        req.fields(|f| (f.email("email"), f.optional_string("callbackURL").unwrap_or_default().to_owned()))?;
    let email = email.ok_or(ApiError::new(ErrorCode::InvalidEmail))?;
    let caller = req.optional_caller(app).await?;
    let live = caller.as_ref().map(|caller| &caller.live);
    email::send_proof(&app.services, &email, live, &target, req.requester(app)).await?;
    Ok(Reply::json(&StatusBody { status: true }))
}

/// `GET /verify-email`: the link of a mail, for a mailbox or a change of address.
///
/// # Errors
/// `ValidationError`; `InvalidToken`, `TokenExpired`, `InvalidUser`, which a target gets as `error`.
pub async fn verify(app: &App, req: Req) -> Result<Reply, ApiError> {
    let token = req.required_query("token")?;
    let target = req.head.query("callbackURL").filter(|target| !target.is_empty());
    let caller = req.optional_caller(app).await?;
    let live = caller.as_ref().map(|caller| &caller.live);
    let wish = wish(app, &req, None, false).await?;
    let place = target.as_deref().unwrap_or_default();
    let followed = match email::follow(&app.services, &token, live, place, &wish, req.requester(app)).await {
        Ok(followed) => followed,
        Err(problem @ (ServiceError::BadLink | ServiceError::LinkExpired | ServiceError::OtherUser)) => {
            let refusal = ApiError::from(problem);
            return match (target, refusal.code()) {
                (Some(target), Some(code)) => Ok(redirect(&with_error(&target, code))),
                _ => Err(refusal),
            };
        }
        Err(error) => return Err(error.into()),
    };
    let user = match &followed {
        Followed::Changed(user) => Some(tokens::user_body(&app.services, user)),
        Followed::Verified(_) | Followed::Agreed => None,
    };
    let mut reply = match &target {
        Some(target) => redirect(target),
        None if matches!(followed, Followed::Agreed) => Reply::json(&StatusBody { status: true }),
        None => Reply::json(&FollowedBody { status: true, user }),
    };
    match (&followed, &caller) {
        (Followed::Verified(Some(opened)), _) => set_session_cookies(app, &req, opened, &mut reply),
        (Followed::Changed(_), Some(caller)) => set_again(app, &req, caller, &mut reply).await,
        _ => {}
    }
    Ok(reply)
}

/// The target with the code in its query, kept relative if it was.
fn with_error(target: &str, code: ErrorCode) -> String {
    let (place, fragment) = target.split_once('#').map_or((target, None), |(place, rest)| (place, Some(rest)));
    let joint = if place.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|rest| format!("#{rest}")).unwrap_or_default();
    format!("{place}{joint}error={code}{fragment}")
}

/// `POST /change-email`
///
/// # Errors
/// `ValidationError`, `Unauthorized`, `ChangeEmailDisabled`, `SessionNotFresh`; 400 without code if it is the same address, or
/// if there is no mail (recorded).
pub async fn change(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (to, target) =
        req.fields(|f| (f.email("newEmail"), f.optional_string("callbackURL").unwrap_or_default().to_owned()))?;
    let to = to.ok_or(ApiError::new(ErrorCode::InvalidEmail))?;
    let caller = req.caller(app).await?;
    let asked = email::ask_for_change(&app.services, &caller.live, &to, &target, req.requester(app)).await;
    let changed = asked.map_err(|error| match error {
        ServiceError::MailOff => ApiError::new(ErrorCode::VerificationEmailNotEnabled).without_its_code(),
        ServiceError::UserNotFound => ApiError::new(ErrorCode::Unauthorized),
        error => error.into(),
    })?;
    let mut reply = Reply::json(&StatusBody { status: true });
    if changed.is_some() {
        set_again(app, &req, &caller, &mut reply).await;
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_goes_into_the_query_whatever_is_there_already() {
        let of = |target| with_error(target, ErrorCode::InvalidToken);
        assert_eq!(of("/welcome"), "/welcome?error=INVALID_TOKEN");
        assert_eq!(of("/welcome?a=1"), "/welcome?a=1&error=INVALID_TOKEN");
        assert_eq!(of("https://a.example/x#y"), "https://a.example/x?error=INVALID_TOKEN#y");
    }
}
