//! Refusals on the public door. The only place that knows which status goes with which code.

use std::borrow::Cow;

use common::{ErrorCode, RequestId, Span, error::ErrorBody};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tracing::{error, warn};

use crate::{
    domain::{FieldProblem, Hook, PasswordProblem, Permission, UsernameProblem},
    door::{Reply, reply::JSON},
    service::ServiceError,
};

/// A refusal: what the client sees, and for the log what it does not.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: Option<ErrorCode>,
    /// The application's own code, which takes the place of that on the wire.
    own_code: Option<String>,
    message: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Box<ServiceError>>,
    is_empty: bool,
}

/// How long a client should wait that found us busy, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
const X_RETRY_AFTER: HeaderName = HeaderName::from_static("x-retry-after");

/// The status of a code. Total, so that a new code makes somebody decide.
pub fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as E;
    match code {
        E::ValidationError
        | E::BadRequest
        | E::InvalidEmail
        | E::PasswordTooShort
        | E::PasswordTooLong
        | E::PasswordCompromised
        | E::SignUpDisabled
        | E::AmbiguousCredentials
        | E::InvalidPassword
        | E::CredentialAccountNotFound
        | E::EmailCanNotBeUpdated
        | E::MayNotBanYourself
        | E::MayNotRemoveYourself
        | E::NoSuchRole
        | E::InvalidRoleType
        | E::NoDataToUpdate
        | E::PasswordNotUpdatable
        | E::UserIdNotUpdatable
        | E::UsernameTaken
        | E::UsernameTooShort
        | E::UsernameTooLong
        | E::InvalidUsername
        | E::FieldNotAllowed
        | E::MissingField
        | E::VerificationEmailNotEnabled
        | E::ResetPasswordDisabled
        | E::EmailAlreadyVerified
        | E::EmailMismatch
        | E::ChangeEmailDisabled
        | E::UntrustedProxy => StatusCode::BAD_REQUEST,
        E::Unauthorized
        | E::InvalidEmailOrPassword
        | E::InvalidUsernameOrPassword
        | E::InvalidToken
        | E::TokenExpired
        | E::SessionRevoked
        | E::SessionEnded
        | E::KeyRevoked
        | E::InvalidUser
        | E::RefreshTokenReused => StatusCode::UNAUTHORIZED,
        E::BannedUser
        | E::NotWhileImpersonating
        | E::MayNotSetRole
        | E::MayNotCreateUsers
        | E::MayNotListUsers
        | E::MayNotListSessions
        | E::MayNotBanUsers
        | E::MayNotImpersonate
        | E::MayNotRevokeSessions
        | E::MayNotDeleteUsers
        | E::MayNotSetPassword
        | E::MayNotGetUser
        | E::MayNotUpdateUsers
        | E::MayNotSetEmail
        | E::MayNotSetPhone
        | E::MayNotImpersonateAdmins
        | E::EmailNotVerified
        | E::MissingOrNullOrigin
        | E::InvalidOrigin
        | E::CrossSiteNavigationLoginBlocked
        | E::InvalidCallbackUrl
        | E::InvalidRedirectUrl
        | E::InvalidErrorCallbackUrl
        | E::InvalidNewUserCallbackUrl
        | E::PasswordChangeRequired
        | E::SessionNotFresh
        | E::Forbidden
        | E::HookRefused
        | E::BrowserRefused => StatusCode::FORBIDDEN,
        E::NotFound | E::FailedToGetUserInfo | E::UserNotFound | E::SessionNotFound | E::KeyNotFound => {
            StatusCode::NOT_FOUND
        }
        E::MethodNotAllowed | E::DeferredRefreshRequired => StatusCode::METHOD_NOT_ALLOWED,
        E::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        E::Conflict
        | E::AlreadyDone
        | E::IdempotencyKeyReused
        | E::UnexpectedCount
        | E::AmbiguousUser
        | E::VersionMismatch
        | E::CheckFailed => StatusCode::CONFLICT,
        E::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        E::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        E::UriTooLong => StatusCode::URI_TOO_LONG,
        E::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        E::InvalidHost => StatusCode::MISDIRECTED_REQUEST,
        E::UserAlreadyExists => StatusCode::UNPROCESSABLE_ENTITY,
        E::MailFailed => StatusCode::BAD_GATEWAY,
        E::Busy | E::StoreUnavailable | E::HandlerTimeout | E::HookUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        E::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl ApiError {
    /// With the code's own message.
    pub fn new(code: ErrorCode) -> Self {
        Self::with_message(code, code.message())
    }

    /// With a more precise message.
    pub fn with_message(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: status(code),
            code: Some(code),
            own_code: None,
            message: message.into(),
            headers: vec![],
            cause: None,
            is_empty: false,
        }
    }

    /// To be tried again after `wait`. Whole seconds, rounded up: who waits so long is let through.
    pub fn throttled(wait: Span) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let after = HeaderValue::from(seconds);
        Self::new(ErrorCode::TooManyRequests).header(header::RETRY_AFTER, after.clone()).header(X_RETRY_AFTER, after)
    }

    /// As on Better Auth's own routes: there a refusal of this kind has no code (recorded).
    #[must_use]
    pub fn as_recorded(self) -> Self {
        let code = self.code.filter(|code| *code != ErrorCode::TooManyRequests);
        Self { code, ..self }
    }

    /// One of the recorded refusals that have no code.
    pub fn without_code(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code: None,
            own_code: None,
            message: message.into(),
            headers: vec![],
            cause: None,
            is_empty: false,
        }
    }

    /// As recorded of a route that gives this refusal without its code.
    #[must_use]
    pub fn without_its_code(self) -> Self {
        Self { code: None, ..self }
    }

    /// The application does not want it: a bad password is a bad request, everything else is not allowed.
    fn by_the_application(hook: Hook, code: Option<String>, message: Option<String>) -> Self {
        let message = message.map_or(Cow::Borrowed(ErrorCode::HookRefused.message()), Cow::Owned);
        let refusal = Self { own_code: code, ..Self::with_message(ErrorCode::HookRefused, message) };
        if hook == Hook::Password { refusal.but(StatusCode::BAD_REQUEST) } else { refusal }
    }

    /// The sign-in is too long ago for this act. Better Auth's code is the one of an ended session, with another status.
    pub fn sign_in_again() -> Self {
        let message = "Session expired. Re-authenticate to perform this action.";
        Self { status: StatusCode::BAD_REQUEST, ..Self::with_message(ErrorCode::SessionEnded, message) }
    }

    /// The token of a link in a mail is not one that was sent.
    pub fn invalid_link() -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::with_message(ErrorCode::InvalidToken, "Invalid token") }
    }

    /// With another status than this code has elsewhere, as recorded.
    #[must_use]
    pub fn but(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with another status: Better Auth's routes do not agree on one for a bad link.
    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Whether it is this refusal.
    pub fn is(&self, code: ErrorCode) -> bool {
        self.code == Some(code)
    }

    /// The code as a link's target gets it.
    pub fn code(&self) -> Option<ErrorCode> {
        self.code
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Writes to the log what a person should see: a fault of ours, once, where it becomes an answer.
    #[must_use]
    pub fn logged(self, id: &RequestId) -> Self {
        if let Some(cause) = &self.cause {
            if self.status == StatusCode::INTERNAL_SERVER_ERROR {
                error!(request.id = %id, error = %cause, "a request failed");
            } else {
                warn!(request.id = %id, error = %cause, "a request was put off");
            }
        }
        self
    }

    /// As the admin plugin refuses who has no session: without a body (recorded).
    #[must_use]
    pub fn without_body(self) -> Self {
        Self { is_empty: true, ..self }
    }

    /// As an answer: `{"code","message"}`.
    pub fn into_reply(self) -> Reply {
        if self.is_empty {
            let reply = Reply::empty(self.status).header(header::CONTENT_TYPE, JSON);
            return self.headers.into_iter().fold(reply, |reply, (name, value)| reply.header(name, value));
        }
        let code = self.own_code.or_else(|| self.code.map(|code| code.as_str().to_owned()));
        let body = ErrorBody { code, message: self.message.into_owned() };
        let reply = Reply::json(&body).status(self.status);
        let busy = self.status == StatusCode::SERVICE_UNAVAILABLE;
        // Better Auth's client looks for its own header.
        let reply = match busy {
            true => reply.header(header::RETRY_AFTER, RETRY_AFTER).header(X_RETRY_AFTER, RETRY_AFTER),
            false => reply,
        };
        self.headers.into_iter().fold(reply, |reply, (name, value)| reply.header(name, value))
    }
}

/// The code of what the caller's roles do not allow.
fn not_permitted(permission: Permission) -> ErrorCode {
    match (permission.resource, permission.action) {
        ("user", "create") => ErrorCode::MayNotCreateUsers,
        ("user", "list") => ErrorCode::MayNotListUsers,
        ("user", "get") => ErrorCode::MayNotGetUser,
        ("user", "update") => ErrorCode::MayNotUpdateUsers,
        ("user", "set-role") => ErrorCode::MayNotSetRole,
        ("user", "set-email") => ErrorCode::MayNotSetEmail,
        ("user", "set-phone") => ErrorCode::MayNotSetPhone,
        ("user", "set-password") => ErrorCode::MayNotSetPassword,
        ("user", "ban") => ErrorCode::MayNotBanUsers,
        ("user", "impersonate") => ErrorCode::MayNotImpersonate,
        ("user", "delete") => ErrorCode::MayNotDeleteUsers,
        ("session", "list") => ErrorCode::MayNotListSessions,
        ("session", "revoke") => ErrorCode::MayNotRevokeSessions,
        _ => ErrorCode::Forbidden,
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        use ServiceError as S;
        let code = match &error {
            S::InvalidName(why) => {
                let message = format!("[body.name] Invalid name: {why}");
                return Self::with_message(ErrorCode::ValidationError, message);
            }
            // No public route sets a role.
            S::InvalidRole => ErrorCode::ValidationError,
            S::InvalidImage(why) => {
                let message = format!("[body.image] Invalid image: {why}");
                return Self::with_message(ErrorCode::ValidationError, message);
            }
            S::Field(FieldProblem::Missing(name)) => {
                return Self::with_message(ErrorCode::MissingField, format!("{name} is required"));
            }
            S::Field(FieldProblem::NotAllowed(name)) => {
                return Self::with_message(ErrorCode::FieldNotAllowed, format!("{name} is not allowed to be set"));
            }
            S::Field(FieldProblem::TooLarge(most)) => {
                let message = format!("[body] Too large: the application's fields may have {most} bytes together");
                return Self::with_message(ErrorCode::ValidationError, message);
            }
            S::Password(PasswordProblem::TooShort) => ErrorCode::PasswordTooShort,
            S::Password(PasswordProblem::TooLong) => ErrorCode::PasswordTooLong,
            S::Password(PasswordProblem::Compromised) => ErrorCode::PasswordCompromised,
            S::Throttled(wait) => return Self::throttled(*wait),
            S::SignUpDisabled => ErrorCode::SignUpDisabled,
            S::UserExists => ErrorCode::UserAlreadyExists,
            S::InvalidCredentials => ErrorCode::InvalidEmailOrPassword,
            S::WrongPassword => ErrorCode::InvalidPassword,
            S::NoPassword => ErrorCode::CredentialAccountNotFound,
            S::Banned(message) => return Self::with_message(ErrorCode::BannedUser, message.clone()),
            S::NotPermitted(permission) => not_permitted(*permission),
            S::InvalidEmail => ErrorCode::InvalidEmail,
            S::Impersonating => ErrorCode::NotWhileImpersonating,
            S::MayNotImpersonate => ErrorCode::MayNotImpersonateAdmins,
            S::MayNotBanYourself => ErrorCode::MayNotBanYourself,
            S::MayNotRemoveYourself => ErrorCode::MayNotRemoveYourself,
            S::NoSuchRole => ErrorCode::NoSuchRole,
            S::UsernameTaken => ErrorCode::UsernameTaken,
            S::Username(UsernameProblem::TooShort) => ErrorCode::UsernameTooShort,
            S::Username(UsernameProblem::TooLong) => ErrorCode::UsernameTooLong,
            S::Username(UsernameProblem::Invalid) => ErrorCode::InvalidUsername,
            S::PasswordChangeRequired => ErrorCode::PasswordChangeRequired,
            S::Busy | S::Contention => ErrorCode::Busy,
            S::UserNotFound => ErrorCode::UserNotFound,
            S::AmbiguousUser(_) => ErrorCode::AmbiguousUser,
            S::SessionNotFound => ErrorCode::SessionNotFound,
            S::BadLink => return Self::with_message(ErrorCode::InvalidToken, "Invalid token"),
            S::LinkExpired => return Self::with_message(ErrorCode::TokenExpired, "Token expired"),
            S::OtherUser => ErrorCode::InvalidUser,
            S::EmailNotVerified => ErrorCode::EmailNotVerified,
            S::EmailVerified => ErrorCode::EmailAlreadyVerified,
            S::EmailMismatch => ErrorCode::EmailMismatch,
            S::SameEmail => return Self::without_code(StatusCode::BAD_REQUEST, "Email is the same"),
            S::ChangeEmailOff => ErrorCode::ChangeEmailDisabled,
            S::NotFresh => ErrorCode::SessionNotFresh,
            S::MailOff => ErrorCode::VerificationEmailNotEnabled,
            S::MailFailed(_) => ErrorCode::MailFailed,
            S::HookRefused { hook, code, message } => {
                return Self::by_the_application(*hook, code.clone(), message.clone());
            }
            S::HookUnavailable(_) => ErrorCode::HookUnavailable,
            S::HookOff(_) => ErrorCode::NotFound,
            S::Keys(_) => ErrorCode::Conflict,
            S::Repeated(_) => ErrorCode::AlreadyDone,
            S::OtherAct(_) => ErrorCode::IdempotencyKeyReused,
            S::Unexpected(_) => ErrorCode::UnexpectedCount,
            S::Store(crate::store::StoreError::Damaged(_))
            | S::NoSigningKey(_)
            | S::Signer(_)
            | S::NotAMasterKey
            | S::SameMasterKey
            | S::Sealed(_) => ErrorCode::Internal,
            S::Store(_) | S::HasherFailed => ErrorCode::StoreUnavailable,
        };
        let needs_a_word = matches!(code, ErrorCode::Internal | ErrorCode::StoreUnavailable);
        Self { cause: needs_a_word.then(|| Box::new(error)), ..Self::new(code) }
    }
}
