//! JSON bodies of the public door.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{SecretString, SessionId, UnixTime, UserId};

/// The user, in Better Auth's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserBody {
    /// Opaque.
    pub id: UserId,
    /// Display name; may be empty.
    pub name: String,
    /// Canonical address.
    pub email: String,
    /// Whether the owner has proved the mailbox.
    pub email_verified: bool,
    /// Address of a picture, or `null`.
    pub image: Option<String>,
    /// When the account was made.
    pub created_at: UnixTime,
    /// When one of these fields last changed.
    pub updated_at: UnixTime,
    /// What the admin plugin adds while it is on.
    #[serde(flatten)]
    pub admin: Option<AdminFields>,
    /// What the username plugin adds while it is on.
    #[serde(flatten)]
    pub usernames: Option<UsernameFields>,
    /// The application's own fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// What Better Auth's admin plugin adds to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminFields {
    /// The roles, separated by commas.
    pub role: String,
    /// Whether there is a ban, also one that has ended since the last sign-in.
    pub banned: bool,
    /// Why.
    pub ban_reason: Option<String>,
    /// Until when; `null` is for good.
    pub ban_expires: Option<UnixTime>,
}

/// What Better Auth's username plugin adds to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsernameFields {
    /// The name to sign in with, in lower case.
    pub username: Option<String>,
    /// How it is spelled.
    pub display_username: Option<String>,
}

/// The session, in Better Auth's shape (`GET /get-session`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionBody {
    /// The session's handle.
    pub id: SessionId,
    /// Better Auth's name for what tells sessions apart. It is the handle, not a credential, while the bearer plugin is off.
    pub token: String,
    /// Whose it is.
    pub user_id: UserId,
    /// When it ends unless it is used before.
    pub expires_at: UnixTime,
    /// When the user signed in.
    pub created_at: UnixTime,
    /// When it was last prolonged.
    pub updated_at: UnixTime,
    /// The client's address at sign-in, or the empty text.
    pub ip_address: String,
    /// The client's `User-Agent` at sign-in, or the empty text.
    pub user_agent: String,
    /// The administrator who acts as the user, or `null`; absent while the admin plugin is off.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub impersonated_by: Option<Option<UserId>>,
    /// The application's own fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// The session as `GET /me` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeSession {
    /// The session's handle.
    pub id: SessionId,
    /// When the user signed in.
    pub created_at: UnixTime,
    /// When it ends unless it is used before.
    pub expires_at: UnixTime,
    /// The client's address at sign-in, or the empty text.
    pub ip_address: String,
    /// The client's `User-Agent` at sign-in, or the empty text.
    pub user_agent: String,
}

/// `GET /me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeBody {
    /// Who is calling.
    pub user: UserBody,
    /// By which session.
    pub session: MeSession,
}

/// What the copy of a session in the browser says (Better Auth's `session_data`, PROTOCOL section 5).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionCopyBody {
    /// The session, without anything that would open it.
    pub session: SessionBody,
    /// Its user.
    pub user: UserBody,
    /// When the copy was made, in milliseconds since 1970.
    pub updated_at: i64,
    /// The form of the copy; `1`.
    pub version: String,
}

/// `GET /get-session` with a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetSessionBody {
    /// The session.
    pub session: SessionBody,
    /// Its user.
    pub user: UserBody,
    /// Whether the client should prolong the session by a POST; absent where this was done at once.
    #[serde(rename = "needsRefresh", skip_serializing_if = "Option::is_none", default)]
    pub needs_refresh: Option<bool>,
}

/// The tokens of an answer, in RFC 6749's fields (§5.1).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenFields {
    /// A JWT (`typ: at+jwt`).
    pub access_token: SecretString,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// Only in token mode.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refresh_token: Option<SecretString>,
    /// Seconds until the refresh token expires if it is not used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refresh_expires_in: Option<u64>,
}

/// What `/signup`, `/login` and `/refresh` answer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenBody {
    /// The tokens.
    #[serde(flatten)]
    pub tokens: TokenFields,
    /// Whose tokens these are.
    pub user: UserBody,
}

/// `POST /logout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogoutBody {
    /// Always true.
    pub success: bool,
    /// How many sessions ended by this call.
    pub ended: u64,
}

/// `{"user": …}`: a sign-up that does not sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserOnlyBody {
    /// The new user.
    pub user: UserBody,
}

/// `POST /sign-up/email`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignUpBody {
    /// See [`SessionBody::token`]; `null` when nobody was signed in.
    pub token: Option<String>,
    /// The new user.
    pub user: UserBody,
}

/// `POST /sign-in/email`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignInBody {
    /// Whether the client should go to `url`.
    pub redirect: bool,
    /// See [`SessionBody::token`].
    pub token: String,
    /// The `callbackURL` that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// Who signed in.
    pub user: UserBody,
}

/// `POST /sign-out`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SuccessBody {
    /// Always true.
    pub success: bool,
}

/// What Better Auth's routes answer that only do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusBody {
    /// Always true.
    pub status: bool,
}

/// `POST /update-session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdatedSessionBody {
    /// The session as it is now.
    pub session: SessionBody,
}

/// `POST /change-password`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PasswordChangedBody {
    /// The handle of the session that was opened when all others ended; `null` if none did.
    pub token: Option<String>,
    /// Whose password it is.
    pub user: UserBody,
    /// The tokens of that session, for callers that came by an access token and so get no cookie.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub tokens: Option<TokenFields>,
}

/// One of the ways in which a user can sign in (`GET /list-accounts`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountBody {
    /// Opaque.
    pub id: String,
    /// `credential`: a password.
    pub provider_id: String,
    /// The user as the provider calls it.
    pub account_id: String,
    /// Whose it is.
    pub user_id: UserId,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it last changed.
    pub updated_at: UnixTime,
    /// Empty for a password.
    pub scopes: Vec<String>,
}

/// What a link of a mail answers that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FollowedBody {
    /// Always true.
    pub status: bool,
    /// Whose address was changed; `null` if it was only proved.
    pub user: Option<UserBody>,
}

/// `POST /request-password-reset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResetRequestedBody {
    /// Always true.
    pub status: bool,
    /// For people; the same whether there is an account or not.
    pub message: String,
}

/// `POST /delete-user`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedBody {
    /// Always true.
    pub success: bool,
    /// For people.
    pub message: String,
}

/// `GET /token`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JwtBody {
    /// A JWT in the shape of Better Auth's jwt plugin.
    pub token: SecretString,
}

/// `GET /ok`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OkBody {
    /// Always true.
    pub ok: bool,
}

/// `GET /admin/list-users`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsersBody {
    /// A part of the list.
    pub users: Vec<UserBody>,
    /// How many users the whole list has.
    pub total: u64,
    /// As it was asked for, if it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<Value>,
    /// As it was asked for, if it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<Value>,
}

/// `POST /admin/list-user-sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionsBody {
    /// The living ones.
    pub sessions: Vec<SessionBody>,
}

/// `POST /admin/impersonate-user` and `/admin/stop-impersonating`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionAndUserBody {
    /// The session that counts from now on.
    pub session: SessionBody,
    /// Its user.
    pub user: UserBody,
}

/// `POST /admin/has-permission`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionBody {
    /// Always `null`.
    pub error: (),
    /// Whether the caller may do all that was asked for.
    pub success: bool,
}

/// `POST /is-username-available`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AvailableBody {
    /// Whether nobody has the name.
    pub available: bool,
}
