//! Every error code that a client, a script or an operator can meet, in one list. Append-only: a code that was published
//! keeps its spelling and its meaning.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $code:literal, $message:literal; )+) => {
        /// A stable error code. On the wire it is the text of [`ErrorCode::as_str`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $( $(#[doc = $doc])+ $variant, )+ }

        impl ErrorCode {
            /// All codes, in the order of their publication.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $code, )+ }
            }

            /// The message that goes with it where nothing more precise is known.
            pub const fn message(self) -> &'static str {
                match self { $( Self::$variant => $message, )+ }
            }

            /// When it is given, for the manual.
            pub const fn describe(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+), )+ }
            }
        }
    };
}

codes! {
    // Better Auth's, with its texts.
    /// A field of the body or the query has the wrong form; the message names each.
    ValidationError = "VALIDATION_ERROR", "Invalid input";
    /// The body is not JSON.
    BadRequest = "BAD_REQUEST", "Invalid JSON in request body";
    /// The body is of a content type that the route does not take.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", "Content-Type is not allowed";
    /// No session, or one that has ended.
    Unauthorized = "UNAUTHORIZED", "Unauthorized";
    /// The e-mail address is not one.
    InvalidEmail = "INVALID_EMAIL", "Invalid email";
    /// Wrong password, or nobody by that address: the answer does not tell which.
    InvalidEmailOrPassword = "INVALID_EMAIL_OR_PASSWORD", "Invalid email or password";
    /// Fewer characters than `password.min_length`.
    PasswordTooShort = "PASSWORD_TOO_SHORT", "Password too short";
    /// More characters than `password.max_length`.
    PasswordTooLong = "PASSWORD_TOO_LONG", "Password too long";
    /// The address has an account already.
    UserAlreadyExists = "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL", "User already exists. Use another email.";
    /// `sign_up.enabled` is off.
    SignUpDisabled = "EMAIL_PASSWORD_SIGN_UP_DISABLED", "Email and password sign up is not enabled";
    /// The account is banned or disabled; told only after the right password.
    BannedUser = "BANNED_USER", "You have been banned from this application. Please contact support if you believe this is an error.";
    /// A request that needs an `Origin` came without one, or with `null`.
    MissingOrNullOrigin = "MISSING_OR_NULL_ORIGIN", "Missing or null Origin";
    /// The `Origin` is not in `http.trusted_origins`.
    InvalidOrigin = "INVALID_ORIGIN", "Invalid origin";
    /// A form on another site tried to sign its visitor in.
    CrossSiteNavigationLoginBlocked = "CROSS_SITE_NAVIGATION_LOGIN_BLOCKED", "Cross-site navigation login blocked. This request appears to be a CSRF attack.";
    /// `callbackURL` leads to an origin that is not trusted.
    InvalidCallbackUrl = "INVALID_CALLBACK_URL", "Invalid callbackURL";
    /// `redirectTo` leads to an origin that is not trusted.
    InvalidRedirectUrl = "INVALID_REDIRECT_URL", "Invalid redirectURL";
    /// `errorCallbackURL` leads to an origin that is not trusted.
    InvalidErrorCallbackUrl = "INVALID_ERROR_CALLBACK_URL", "Invalid errorCallbackURL";
    /// `newUserCallbackURL` leads to an origin that is not trusted.
    InvalidNewUserCallbackUrl = "INVALID_NEW_USER_CALLBACK_URL", "Invalid newUserCallbackURL";
    /// `POST /get-session` without `session.defer_refresh`.
    DeferredRefreshRequired = "METHOD_NOT_ALLOWED_DEFER_SESSION_REQUIRED", "POST method requires deferSessionRefresh to be enabled in session config";

    // authd's own.
    /// The new password is common, too easy to guess, or contains the user's own words.
    PasswordCompromised = "PASSWORD_COMPROMISED", "This password is too easy to guess. Choose another one.";
    /// The password was set by an administrator for one use and must be changed first.
    PasswordChangeRequired = "PASSWORD_CHANGE_REQUIRED", "The password must be changed before signing in";
    /// The bearer token is not one of ours, is damaged or is of the wrong kind.
    InvalidToken = "INVALID_TOKEN", "The token is not valid";
    /// The token was valid and has expired.
    TokenExpired = "TOKEN_EXPIRED", "The token has expired";
    /// The token is well signed, and its session was signed out or revoked.
    SessionRevoked = "SESSION_REVOKED", "The session has ended";
    /// The token is well signed, and its session has expired.
    SessionEnded = "SESSION_EXPIRED", "The session has expired";
    /// The key that signed the token was revoked.
    KeyRevoked = "KEY_REVOKED", "The key that signed this token was revoked";
    /// Credentials came in two ways at once (RFC 6750 §2).
    AmbiguousCredentials = "AMBIGUOUS_CREDENTIALS", "Send credentials in one way only";
    /// The body is larger than `http.max_body`.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", "The body is too large";
    /// The body did not arrive within `http.body_timeout`.
    RequestTimeout = "REQUEST_TIMEOUT", "The body did not arrive in time";
    /// The `Host` header is absent, doubled, or names a host that is not served here.
    InvalidHost = "INVALID_HOST", "This host is not served here";
    /// The request carries forwarding headers, and the peer is not in `http.trusted_proxies`.
    UntrustedProxy = "UNTRUSTED_PROXY", "This request came through a proxy that is not trusted: add the proxy's address to http.trusted_proxies";
    /// The daemon has more to do than it can do now; `Retry-After` says when to come again.
    Busy = "SERVICE_UNAVAILABLE", "The service is busy. Please try again.";
    /// The store cannot write. A full disk changed nothing; after a failed write it is not known.
    StoreUnavailable = "STORE_UNAVAILABLE", "The store cannot take changes now";
    /// A fault of ours. The request id finds it in the log.
    Internal = "INTERNAL_SERVER_ERROR", "Internal Server Error";
    /// No such thing, or no such route.
    NotFound = "NOT_FOUND", "Not found";
    /// The route exists, and does not take this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", "Method not allowed";
    /// The target of the request is longer than 8 KiB.
    UriTooLong = "URI_TOO_LONG", "The URL is too long";
    /// The request was not answered within 30 s. What it asked for may be done all the same.
    HandlerTimeout = "HANDLER_TIMEOUT", "The request took too long. It may have been carried out all the same.";

    /// Too many requests, or too many failed attempts; `Retry-After` says when to come again.
    TooManyRequests = "TOO_MANY_REQUESTS", "Too many requests. Please try again later.";
    /// The refresh token was used before; somebody has a copy of it, and the session has ended.
    RefreshTokenReused = "REFRESH_TOKEN_REUSED", "This refresh token was used before. The session has ended; sign in again.";

    // The admin door.
    /// The caller may not do this.
    Forbidden = "FORBIDDEN", "Not permitted";
    /// The request looks as if a browser had sent it.
    BrowserRefused = "BROWSER_REFUSED", "The admin socket does not serve browsers";
    /// The state has changed, or does not allow this now.
    Conflict = "CONFLICT", "This cannot be done in the present state";
    /// A write with this idempotency key was done before.
    AlreadyDone = "ALREADY_DONE", "This was done before";
    /// The idempotency key was used for another write.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", "This idempotency key was used for something else";
    /// The number of things touched is not the expected one.
    UnexpectedCount = "UNEXPECTED_COUNT", "The number of things touched is not the expected one";
    /// Several users answer to this name.
    AmbiguousUser = "AMBIGUOUS_USER", "Several users match";
    /// No user by this id, e-mail address or name.
    UserNotFound = "USER_NOT_FOUND", "User not found";
    /// No such session.
    SessionNotFound = "SESSION_NOT_FOUND", "Session not found";
    /// No such signing key.
    KeyNotFound = "KEY_NOT_FOUND", "Key not found";
    /// Client and daemon speak different versions of the admin interface.
    VersionMismatch = "VERSION_MISMATCH", "The versions of authctl and authd do not go together";
    /// A check was made and failed (an audit chain, a token).
    CheckFailed = "CHECK_FAILED", "The check failed";
    /// The sign-in is longer ago than `session.fresh_age`.
    SessionNotFresh = "SESSION_NOT_FRESH", "Session is not fresh";
    /// The current password is another one.
    InvalidPassword = "INVALID_PASSWORD", "Invalid password";
    /// The account has no password.
    CredentialAccountNotFound = "CREDENTIAL_ACCOUNT_NOT_FOUND", "Credential account not found";
    /// `/update-user` does not change addresses.
    EmailCanNotBeUpdated = "EMAIL_CAN_NOT_BE_UPDATED", "Email can not be updated";
    /// A field of the application (`user.fields`, `session.fields`) that clients may not set.
    FieldNotAllowed = "FIELD_NOT_ALLOWED", "Field is not allowed to be set";
    /// A field of the application that must have a value.
    MissingField = "MISSING_FIELD", "Field is required";
    /// As an administrator who acts as a user one may not do what only the user may.
    NotWhileImpersonating = "NOT_WHILE_IMPERSONATING", "This cannot be done while acting as another user";

    // Better Auth's admin plugin.
    /// The roles of the caller do not allow it.
    MayNotSetRole = "YOU_ARE_NOT_ALLOWED_TO_CHANGE_USERS_ROLE", "You are not allowed to change users role";
    /// The roles of the caller do not allow it.
    MayNotCreateUsers = "YOU_ARE_NOT_ALLOWED_TO_CREATE_USERS", "You are not allowed to create users";
    /// The roles of the caller do not allow it.
    MayNotListUsers = "YOU_ARE_NOT_ALLOWED_TO_LIST_USERS", "You are not allowed to list users";
    /// The roles of the caller do not allow it.
    MayNotListSessions = "YOU_ARE_NOT_ALLOWED_TO_LIST_USERS_SESSIONS", "You are not allowed to list users sessions";
    /// The roles of the caller do not allow it.
    MayNotBanUsers = "YOU_ARE_NOT_ALLOWED_TO_BAN_USERS", "You are not allowed to ban users";
    /// The roles of the caller do not allow it.
    MayNotImpersonate = "YOU_ARE_NOT_ALLOWED_TO_IMPERSONATE_USERS", "You are not allowed to impersonate users";
    /// The roles of the caller do not allow it.
    MayNotRevokeSessions = "YOU_ARE_NOT_ALLOWED_TO_REVOKE_USERS_SESSIONS", "You are not allowed to revoke users sessions";
    /// The roles of the caller do not allow it.
    MayNotDeleteUsers = "YOU_ARE_NOT_ALLOWED_TO_DELETE_USERS", "You are not allowed to delete users";
    /// The roles of the caller do not allow it.
    MayNotSetPassword = "YOU_ARE_NOT_ALLOWED_TO_SET_USERS_PASSWORD", "You are not allowed to set users password";
    /// The roles of the caller do not allow it.
    MayNotGetUser = "YOU_ARE_NOT_ALLOWED_TO_GET_USER", "You are not allowed to get user";
    /// The roles of the caller do not allow it.
    MayNotUpdateUsers = "YOU_ARE_NOT_ALLOWED_TO_UPDATE_USERS", "You are not allowed to update users";
    /// The roles of the caller do not allow it.
    MayNotSetEmail = "YOU_ARE_NOT_ALLOWED_TO_SET_USERS_EMAIL", "You are not allowed to update users email";
    /// The roles of the caller do not allow it.
    MayNotSetPhone = "YOU_ARE_NOT_ALLOWED_TO_SET_USERS_PHONE_NUMBER", "You are not allowed to update users phone number";
    /// The user is an administrator, or oneself.
    MayNotImpersonateAdmins = "YOU_CANNOT_IMPERSONATE_ADMINS", "You cannot impersonate admins";
    /// Administrators do not ban themselves.
    MayNotBanYourself = "YOU_CANNOT_BAN_YOURSELF", "You cannot ban yourself";
    /// Administrators do not delete themselves here.
    MayNotRemoveYourself = "YOU_CANNOT_REMOVE_YOURSELF", "You cannot remove yourself";
    /// There is no role of this name in `admin_plugin.roles`.
    NoSuchRole = "YOU_ARE_NOT_ALLOWED_TO_SET_NON_EXISTENT_VALUE", "You are not allowed to set a non-existent role value";
    /// A role is a text.
    InvalidRoleType = "INVALID_ROLE_TYPE", "Invalid role type";
    /// Nothing is to be changed of the user.
    NoDataToUpdate = "NO_DATA_TO_UPDATE", "No data to update";
    /// `/admin/update-user` sets no password.
    PasswordNotUpdatable = "PASSWORD_CANNOT_BE_UPDATED_VIA_UPDATE_USER", "Password cannot be updated through update-user. Use the set-user-password endpoint instead";
    /// The id of a user is for ever.
    UserIdNotUpdatable = "USER_ID_CANNOT_BE_UPDATED", "User id cannot be updated";

    // Better Auth's username plugin.
    /// Wrong password, or nobody by that name.
    InvalidUsernameOrPassword = "INVALID_USERNAME_OR_PASSWORD", "Invalid username or password";
    /// Another user has this name.
    UsernameTaken = "USERNAME_IS_ALREADY_TAKEN", "Username is already taken. Please try another.";
    /// The name is shorter than `username.min_length`.
    UsernameTooShort = "USERNAME_TOO_SHORT", "Username is too short";
    /// The name is longer than `username.max_length`.
    UsernameTooLong = "USERNAME_TOO_LONG", "Username is too long";
    /// The name has other characters than letters, digits, `_` and `.`.
    InvalidUsername = "INVALID_USERNAME", "Username is invalid";
    /// The password is right, and the mailbox must be proved first (`email.verification_required`).
    EmailNotVerified = "EMAIL_NOT_VERIFIED", "Email not verified";
    /// There is no mail here (`[mail]`), so no link can be sent.
    VerificationEmailNotEnabled = "VERIFICATION_EMAIL_NOT_ENABLED", "Verification email isn't enabled";
    /// There is no mail here (`[mail]`), so no password can be reset.
    ResetPasswordDisabled = "RESET_PASSWORD_DISABLED", "Reset password isn't enabled";
    /// The caller's mailbox is proved already.
    EmailAlreadyVerified = "EMAIL_ALREADY_VERIFIED", "Email is already verified";
    /// The address is not the caller's.
    EmailMismatch = "EMAIL_MISMATCH", "Email mismatch";
    /// `email.change_enabled` is off.
    ChangeEmailDisabled = "CHANGE_EMAIL_DISABLED", "Change email is disabled";
    /// The link changes the address of another user than the one who is signed in.
    InvalidUser = "INVALID_USER", "Invalid user";
    /// The link deletes an account, and nobody is signed in.
    FailedToGetUserInfo = "FAILED_TO_GET_USER_INFO", "Failed to get user info";
    /// The mail server did not take the mail, or its template is wrong.
    MailFailed = "MAIL_FAILED", "The mail was not sent";

    /// The application refused it in a hook, and gave no code of its own. Where it gives one, that stands here.
    HookRefused = "HOOK_REFUSED", "This is not allowed here";
    /// The application did not answer a hook in time, or not as it must. Nothing was done; try again later.
    HookUnavailable = "HOOK_UNAVAILABLE", "This cannot be decided now. Please try again later.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ErrorCode {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(())
    }
}

/// The body of every refusal on the public door, as Better Auth's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One of [`ErrorCode`]; a few of Better Auth's recorded errors have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// For people.
    pub message: String,
}

/// The body of every refusal on the admin door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminErrorBody {
    /// One of [`ErrorCode`].
    pub code: String,
    /// What happened.
    pub message: String,
    /// Why, where it is known and the caller may know it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    /// What to type next.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
    /// Finds the request in the log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_upper_case_and_read_back() {
        let mut seen = HashSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()), "{code} twice");
            assert!(code.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit()), "{code}");
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(!code.message().is_empty() && !code.describe().is_empty());
        }
    }
}
