//! Refusals on the admin door: what happened, why, and what to type next.

use std::borrow::Cow;

use common::{ErrorCode, RequestId, error::AdminErrorBody};
use http::{HeaderValue, Method, StatusCode, header};
use tracing::error;

use crate::{
    domain::{
        FieldProblem, PasswordProblem, UsernameProblem,
        key::{KeyProblem, MAX_KEYS},
    },
    door::Reply,
    service::ServiceError,
    store::StoreError,
};

/// A refusal.
#[derive(Debug)]
pub struct AdminError {
    status: StatusCode,
    code: ErrorCode,
    message: Cow<'static, str>,
    cause: Option<String>,
    fix: Option<Cow<'static, str>>,
    allow: Option<String>,
}

/// The status of a code on this door.
pub fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as E;
    match code {
        E::Forbidden | E::BrowserRefused => StatusCode::FORBIDDEN,
        E::NotFound | E::UserNotFound | E::SessionNotFound | E::KeyNotFound | E::ServiceNotFound => {
            StatusCode::NOT_FOUND
        }
        E::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        E::Conflict
        | E::AlreadyDone
        | E::IdempotencyKeyReused
        | E::UnexpectedCount
        | E::AmbiguousUser
        | E::ServiceNameTaken
        | E::UserAlreadyExists => StatusCode::CONFLICT,
        E::VersionMismatch => StatusCode::UPGRADE_REQUIRED,
        E::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        E::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        E::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        E::Busy | E::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        E::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl AdminError {
    /// With the code's own message.
    pub fn new(code: ErrorCode) -> Self {
        let message = code.message().into();
        Self { status: status(code), code, message, cause: None, fix: None, allow: None }
    }

    /// Something in the request has the wrong form.
    pub fn validation(cause: impl Into<String>) -> Self {
        Self::new(ErrorCode::ValidationError).cause(cause)
    }

    pub(super) fn wrong_method(allowed: &[Method]) -> Self {
        let allow = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        Self { allow: Some(allow), ..Self::new(ErrorCode::MethodNotAllowed) }
    }

    /// Why.
    #[must_use]
    pub fn cause(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// What to type next.
    #[must_use]
    pub fn fix(self, fix: impl Into<Cow<'static, str>>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    pub(super) fn logged(self, id: &RequestId) -> Self {
        if self.status.is_server_error() {
            error!(request.id = %id, code = %self.code, cause = self.cause, "a request on the admin door failed");
        }
        self
    }

    pub(super) fn into_reply(self, id: &RequestId) -> Reply {
        let body = AdminErrorBody {
            code: self.code.as_str().into(),
            message: self.message.into_owned(),
            cause: self.cause,
            fix: self.fix.map(Cow::into_owned),
            request_id: Some(id.to_string()),
        };
        let reply = Reply::json(&body).status(self.status);
        let reply = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => reply.header(header::RETRY_AFTER, HeaderValue::from_static("1")),
            _ => reply,
        };
        match self.allow {
            Some(allow) => reply.header(header::ALLOW, allow),
            None => reply,
        }
    }
}

impl From<ServiceError> for AdminError {
    fn from(error: ServiceError) -> Self {
        use ServiceError as S;
        match error {
            S::InvalidRole => Self::validation("a role has 1 to 128 printable ASCII characters, and no space"),
            S::InvalidImage(why) => Self::validation(format!("the image cannot be used: {why}")),
            S::InvalidName(why) => Self::validation(format!("the name cannot be used: {why}")),
            S::Field(FieldProblem::Missing(name)) => Self::new(ErrorCode::MissingField)
                .cause(format!("the field {name} must have a value"))
                .fix(format!("--field {name}=VALUE")),
            // Operators may set every field.
            S::Field(FieldProblem::NotAllowed(name)) => Self::new(ErrorCode::FieldNotAllowed).cause(name),
            S::Field(FieldProblem::TooLarge(most)) => {
                Self::validation(format!("the fields may have {most} bytes together"))
            }
            S::Password(PasswordProblem::TooShort) => {
                Self::new(ErrorCode::PasswordTooShort).fix("see password.min_length")
            }
            S::Password(PasswordProblem::TooLong) => {
                Self::new(ErrorCode::PasswordTooLong).fix("see password.max_length")
            }
            S::Password(PasswordProblem::Compromised) => Self::new(ErrorCode::PasswordCompromised)
                .cause("it is common, easy to guess, or made of the user's own words")
                .fix("choose another one, or let one be made with --generate"),
            S::SignUpDisabled => Self::new(ErrorCode::SignUpDisabled),
            S::UserExists => Self::new(ErrorCode::UserAlreadyExists),
            S::InvalidCredentials => Self::new(ErrorCode::InvalidEmailOrPassword),
            S::WrongPassword => Self::new(ErrorCode::InvalidPassword),
            S::NoPassword => Self::new(ErrorCode::CredentialAccountNotFound),
            S::Banned(_) => Self::new(ErrorCode::BannedUser),
            // Of what administrators among the users do, on the public door.
            S::NotPermitted(_)
            | S::OutOfScope(_)
            | S::Impersonating
            | S::MayNotImpersonate
            | S::MayNotBanYourself
            | S::MayNotRemoveYourself => Self::new(ErrorCode::Forbidden),
            S::ServiceNameTaken => Self::new(ErrorCode::ServiceNameTaken)
                .fix("take another name, or revoke that one: authctl token service revoke NAME"),
            S::ServiceNotFound => Self::new(ErrorCode::ServiceNotFound).fix("authctl token service list"),
            S::NoSuchRole => Self::new(ErrorCode::NoSuchRole).fix("see admin_plugin.roles: authd config show"),
            S::InvalidEmail => Self::new(ErrorCode::InvalidEmail),
            S::UsernameTaken => Self::new(ErrorCode::UsernameTaken),
            S::Username(UsernameProblem::TooShort) => Self::new(ErrorCode::UsernameTooShort),
            S::Username(UsernameProblem::TooLong) => Self::new(ErrorCode::UsernameTooLong),
            S::Username(UsernameProblem::Invalid) => Self::new(ErrorCode::InvalidUsername),
            S::PasswordChangeRequired => Self::new(ErrorCode::PasswordChangeRequired),
            S::Busy | S::Contention | S::Throttled(_) => Self::new(ErrorCode::Busy),
            S::UserNotFound => Self::new(ErrorCode::UserNotFound).fix("authctl user list --search TEXT"),
            S::AmbiguousUser(candidates) => Self::new(ErrorCode::AmbiguousUser)
                .cause(candidates.join(", "))
                .fix("name the user by e-mail address or id"),
            S::SessionNotFound => Self::new(ErrorCode::SessionNotFound).fix("authctl session list"),
            S::Keys(problem) => keys(&problem),
            S::OtherAct(seq) => Self::new(ErrorCode::IdempotencyKeyReused)
                .cause(format!("audit record {seq} has what it was used for"))
                .fix("take another key"),
            S::Repeated(seq) => Self::new(ErrorCode::AlreadyDone).cause(format!("audit record {seq}")),
            S::Unexpected(n) => {
                Self::new(ErrorCode::UnexpectedCount).cause(format!("{n} would be touched; nothing was done"))
            }
            S::Store(StoreError::Full) => Self::new(ErrorCode::StoreUnavailable)
                .cause("the disk is too full")
                .fix("free some space; see store.reserve"),
            S::Store(StoreError::Damaged(what)) => {
                Self::new(ErrorCode::Internal).cause(format!("the record {what} is damaged")).fix("restore a backup")
            }
            S::Store(error) => Self::new(ErrorCode::StoreUnavailable)
                .cause(error.to_string())
                .fix("see the log of authd, and restart it"),
            S::HasherFailed => Self::new(ErrorCode::StoreUnavailable).cause("the hashing failed"),
            S::NoSigningKey(_) => {
                Self::new(ErrorCode::Internal).cause("no key signs now").fix("authctl keys rotate --now")
            }
            S::NotAMasterKey => Self::new(ErrorCode::ValidationError)
                .cause("the file does not have a master key that authd made")
                .fix("make one with: authd new-master-key FILE"),
            S::SameMasterKey => {
                Self::new(ErrorCode::Conflict).cause("that is the master key in force; nothing was done")
            }
            S::Sealed(what) => Self::new(ErrorCode::Internal)
                .cause(format!("{what} does not open with the master key"))
                .fix("restore a backup; nothing was changed"),
            S::HookRefused { code, message, .. } => {
                let said = [code, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
                Self::new(ErrorCode::HookRefused).cause(format!("the application refused it ({said})"))
            }
            S::HookUnavailable(hook) => Self::new(ErrorCode::HookUnavailable)
                .cause(format!("the application does not answer to {}", hook.as_str()))
                .fix(format!("authctl hook test {}", hook.as_str())),
            S::HookOff(hook) => Self::new(ErrorCode::NotFound)
                .cause(format!("{} has no address", hook.as_str()))
                .fix("see [hooks] in the configuration"),
            S::MailOff => Self::new(ErrorCode::Conflict).cause("there is no mail").fix("set mail.host and mail.from"),
            S::MailFailed(why) => Self::new(ErrorCode::MailFailed).cause(why).fix("see [mail] in the configuration"),
            // What the public door alone asks for.
            S::BadLink | S::LinkExpired | S::OtherUser => Self::new(ErrorCode::InvalidToken),
            S::EmailNotVerified => Self::new(ErrorCode::EmailNotVerified),
            S::EmailVerified => Self::new(ErrorCode::EmailAlreadyVerified),
            S::EmailMismatch | S::SameEmail | S::ChangeEmailOff => Self::new(ErrorCode::EmailMismatch),
            S::NotFresh => Self::new(ErrorCode::SessionNotFresh),
            S::Signer(error) => Self::new(ErrorCode::Internal).cause(error.to_string()),
        }
    }
}

fn keys(problem: &KeyProblem) -> AdminError {
    let conflict = AdminError::new(ErrorCode::Conflict);
    match problem {
        KeyProblem::RotationUnderWay(kid, at) => conflict
            .cause(format!("a rotation is under way: {kid} signs from {at} on"))
            .fix("wait, or take it back with: authctl keys rollback; or let it sign at once with: authctl keys rotate --now"),
        KeyProblem::NothingToRollBack => conflict.cause("no earlier key is left that could sign again"),
        KeyProblem::Unknown => AdminError::new(ErrorCode::KeyNotFound).fix("authctl keys list"),
        KeyProblem::AlreadyRevoked => conflict.cause("the key is revoked already"),
        KeyProblem::TooMany => conflict
            .cause(format!("there are {MAX_KEYS} keys in the key set"))
            .fix("wait until one has left it (authctl keys list), or revoke the one that must not sign: authctl keys revoke KID"),
        KeyProblem::Gone => conflict.cause("the key has left the key set; nothing it signed is taken any more"),
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        ServiceError::from(error).into()
    }
}
