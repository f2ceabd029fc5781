//! A new password by a link in a mail.

use common::{
    ErrorCode,
    api::{ResetRequestedBody, StatusBody},
};
use http::StatusCode;
use url::Url;

use super::redirect;
use crate::{
    door::Reply,
    http::{ApiError, App, Req},
    service::{ServiceError, reset as service},
};

/// `POST /request-password-reset`
///
/// # Errors
/// `ValidationError`, `ResetPasswordDisabled`.
pub async fn request(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (email, target) =
        req.fields(|f| (f.email("email"), f.optional_string("redirectTo").unwrap_or_default().to_owned()))?;
    let email = email.ok_or(ApiError::new(ErrorCode::InvalidEmail))?;
    service::request(&app.services, &email, &target, req.requester(app)).await.map_err(|error| match error {
        ServiceError::MailOff => ApiError::new(ErrorCode::ResetPasswordDisabled),
        error => error.into(),
    })?;
    let message = "If this email exists in our system, check your email for the reset link".into();
    Ok(Reply::json(&ResetRequestedBody { status: true, message }))
}

/// `GET /reset-password/{token}`: the link of a mail. It leads on to the page that asks for the new password, and changes
/// nothing (RC-05).
///
/// # Errors
/// `ValidationError` without a target.
pub async fn open(app: &App, req: Req) -> Result<Reply, ApiError> {
    let target = req.required_query("callbackURL")?;
    let token = req.param("token");
    let origin = app.settings.public_url.origin();
    let Some(place) = Url::parse(origin).ok().filter(|_| !target.is_empty()).and_then(|base| base.join(&target).ok())
    else {
        let mount = app.settings.mounts.first().map_or("", |mount| mount.prefix());
        return Ok(redirect(&format!("{origin}{mount}/error?error=INVALID_TOKEN")));
    };
    let (name, value) = match service::is_good(&app.services, token).await? {
        true => ("token", token),
        false => ("error", ErrorCode::InvalidToken.as_str()),
    };
    Ok(redirect(with(place, name, value).as_str()))
}

/// The address with this in its query, and nothing else by that name.
fn with(mut place: Url, name: &str, value: &str) -> Url {
    let others: Vec<(String, String)> = place
        .query_pairs()
        .filter(|(other, _)| other != name)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    place.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
    place
}

/// `POST /reset-password`: the token in the body, or in the query.
///
/// # Errors
/// `ValidationError`, `InvalidToken`, the rules of passwords.
pub async fn reset(app: &App, req: Req) -> Result<Reply, ApiError> {
    let (password, token) = req.fields(|f| {
        let password = f.string("newPassword").into();
        (password, f.optional_string("token").map(str::to_owned))
    })?;
    let token = token.filter(|token| !token.is_empty()).or_else(|| req.head.query("token")).unwrap_or_default();
    let bad = |error: ServiceError| match error {
        ServiceError::BadLink => ApiError::from(ServiceError::BadLink).status(StatusCode::BAD_REQUEST),
        error => error.into(),
    };
    if token.is_empty() {
        return Err(bad(ServiceError::BadLink));
    }
    service::reset(&app.services, &token, &password, req.requester(app)).await.map_err(bad)?;
    Ok(Reply::json(&StatusBody { status: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_takes_the_place_of_one_that_is_there() {
        let of = |text: &str| with(Url::parse(text).unwrap(), "token", "T").to_string();
        assert_eq!(of("http://localhost:5173/reset?x=1"), "http://localhost:5173/reset?x=1&token=T");
        assert_eq!(of("http://a.example/?token=planted#f"), "http://a.example/?token=T#f");
        assert_eq!(of("myapp://reset"), "myapp://reset?token=T");
    }
}
