//! The public door described in OpenAPI 3.1: what its table of routes does not say itself.

use common::{
    ErrorCode as E,
    api::{
        AccountBody, AvailableBody, DeletedBody, FollowedBody, GetSessionBody, JwtBody, LogoutBody, MeBody, OkBody,
        PasswordChangedBody, PermissionBody, ResetRequestedBody, SessionAndUserBody, SessionBody, SessionsBody,
        SignInBody, SignUpBody, StatusBody, SuccessBody, TokenBody, UpdatedSessionBody, UserBody, UserOnlyBody,
        UsersBody,
    },
};
use serde_json::{Value, json};

use super::{
    ApiError, App, BodyRule, OriginRule, Plugin, Plugins, Req, Route,
    error::{not_permitted, status},
    routes::{Caller, ROUTES},
    throttle,
};
use crate::door::{
    Reply,
    openapi::{
        Described, FORM, Frame, Operation, document as made, email, nullable_text, number, object, op, password,
        some_text, text, truth, words,
    },
};

const PASSWORD_RULES: &[E] = &[E::PasswordTooShort, E::PasswordTooLong, E::PasswordCompromised];
const USERNAME_RULES: &[E] = &[E::UsernameTaken, E::UsernameTooShort, E::UsernameTooLong, E::InvalidUsername];
const FIELD_RULES: &[E] = &[E::FieldNotAllowed, E::MissingField];
const VALIDATION: &[E] = &[E::ValidationError];
const SIGN_IN: &[E] = &[E::BannedUser, E::PasswordChangeRequired, E::EmailNotVerified];

/// What a `coerced` text may be.
fn id() -> Value {
    json!({"description": "The id of a user"})
}

fn mode() -> Value {
    words(&["cookie", "token"])
}

/// The fields that an administrator gives of a user.
fn of_user() -> Value {
    let optional = [
        ("name", text()),
        ("image", nullable_text()),
        ("email", json!({})),
        ("emailVerified", truth()),
        ("role", json!({})),
        ("banned", truth()),
        ("banReason", nullable_text()),
        ("banExpires", json!({"description": "A time, or milliseconds since 1970"})),
        ("username", nullable_text()),
        ("displayUsername", nullable_text()),
    ];
    let mut schema = object(&[], &optional);
    schema["additionalProperties"] = json!({"description": "The application's own fields"});
    schema
}

fn roles() -> Value {
    json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
}

/// Every route of the table has one of these.
pub fn operations() -> Vec<Operation> {
    [plain(), signing(), sessions(), account(), mails(), admin(), others()].into_iter().flatten().collect()
}

fn plain() -> Vec<Operation> {
    let new = [("name", text()), ("rememberMe", truth()), ("mode", mode())];
    let either = json!({
        "anyOf": [{"required": ["email"]}, {"required": ["username"]}],
        "type": "object",
        "properties": {
            "email": text(), "username": text(), "password": password(), "newPassword": text(), "rememberMe": truth(),
            "mode": mode(),
        },
        "required": ["password"],
    });
    let refresh = || object(&[], &[("refresh_token", text())]);
    vec![
        op("POST /signup", "Make an account, and sign in")
            .names::<TokenBody>()
            .names::<UserOnlyBody>()
            .body(object(&[("email", text()), ("password", password())], &new))
            .literal(
                201,
                "The account; with tokens, unless the mailbox must be proved first",
                json!({"anyOf": [
                    {"$ref": "#/components/schemas/TokenBody"}, {"$ref": "#/components/schemas/UserOnlyBody"},
                ]}),
            )
            .codes(VALIDATION)
            .codes(&[E::InvalidEmail, E::SignUpDisabled, E::UserAlreadyExists])
            .codes(PASSWORD_RULES)
            .codes(FIELD_RULES)
            .codes(USERNAME_RULES),
        op("POST /login", "Sign in, by address or username")
            .body(either)
            .json::<TokenBody>(200, "Tokens; in cookie mode the session's cookie too")
            .codes(VALIDATION)
            .codes(&[E::InvalidEmail, E::InvalidEmailOrPassword, E::InvalidUsernameOrPassword])
            .codes(SIGN_IN)
            .codes(PASSWORD_RULES)
            .code_but(422, E::UsernameTooShort)
            .code_but(422, E::UsernameTooLong)
            .code_but(422, E::InvalidUsername),
        op("POST /logout", "End every session that is validly shown")
            .optional_body(refresh())
            .json::<LogoutBody>(200, "How many ended")
            .codes(VALIDATION),
        op("POST /refresh", "A new access token, by a refresh token or the session's cookie")
            .optional_body(refresh())
            .json::<TokenBody>(200, "Tokens")
            .codes(VALIDATION)
            .codes(&[E::RefreshTokenReused, E::BannedUser]),
        op("GET /me", "Who calls, and by which session").json::<MeBody>(200, "The user and the session"),
    ]
}

fn signing() -> Vec<Operation> {
    let more = [("rememberMe", truth()), ("callbackURL", text()), ("newPassword", text())];
    let names = [("username", nullable_text()), ("displayUsername", nullable_text())];
    let optional = [&[("image", text()), ("callbackURL", text()), ("rememberMe", truth())][..], &names[..]].concat();
    vec![
        op("POST /sign-up/email", "Make an account, and sign in")
            .body(object(&[("name", text()), ("email", email()), ("password", password())], &optional))
            .json::<SignUpBody>(200, "The account; `token` is null where nobody was signed in")
            .codes(VALIDATION)
            .codes(&[E::InvalidEmail, E::SignUpDisabled, E::UserAlreadyExists])
            .codes(PASSWORD_RULES)
            .codes(FIELD_RULES)
            .codes(USERNAME_RULES),
        op("POST /sign-in/email", "Sign in by address and password")
            .body(object(&[("email", text()), ("password", text())], &more))
            .json::<SignInBody>(200, "The user")
            .codes(VALIDATION)
            .codes(&[E::InvalidEmail, E::InvalidEmailOrPassword])
            .codes(SIGN_IN)
            .codes(PASSWORD_RULES),
        op("POST /sign-in/username", "Sign in by username and password")
            .body(object(&[("username", text()), ("password", text())], &more))
            .json::<SignInBody>(200, "The user")
            .codes(VALIDATION)
            .codes(&[E::InvalidUsernameOrPassword])
            .codes(SIGN_IN)
            .codes(PASSWORD_RULES)
            .code_but(422, E::UsernameTooShort)
            .code_but(422, E::UsernameTooLong)
            .code_but(422, E::InvalidUsername),
        op("POST /is-username-available", "Whether nobody has the name")
            .body(object(&[("username", text())], &[]))
            .json::<AvailableBody>(200, "Whether")
            .codes(VALIDATION)
            .code_but(422, E::UsernameTooShort)
            .code_but(422, E::UsernameTooLong)
            .code_but(422, E::InvalidUsername),
        op("POST /sign-out", "End the session of the cookie")
            .optional_body(object(&[], &[("callbackURL", text()), ("disableRedirect", truth()), ("state", text())]))
            .json::<SuccessBody>(200, "It is ended; also where there was none")
            .codes(VALIDATION),
    ]
}

fn sessions() -> Vec<Operation> {
    let session = || json!({"anyOf": [{"$ref": "#/components/schemas/GetSessionBody"}, {"type": "null"}]});
    vec![
        op("GET /get-session", "The session and its user")
            .names::<GetSessionBody>()
            .query("disableRefresh", false, text())
            .query("disableCookieCache", false, text())
            .literal(200, "The session, or null", session()),
        op("POST /get-session", "Prolong the session, where that is deferred")
            .names::<GetSessionBody>()
            .literal(200, "The session, or null", session())
            .codes(&[E::DeferredRefreshRequired]),
        op("GET /list-sessions", "The caller's sessions")
            .names::<SessionBody>()
            .literal(200, "Those that live, oldest first", list_of("SessionBody"))
            .codes(&[E::SessionNotFresh]),
        op("POST /revoke-session", "End one of the caller's sessions")
            .body(object(&[("token", text())], &[]))
            .json::<StatusBody>(200, "It is ended; also where there was none")
            .codes(VALIDATION),
        op("POST /revoke-sessions", "End all sessions of the caller")
            .optional_body(json!({}))
            .json::<StatusBody>(200, "They are ended"),
        op("POST /revoke-other-sessions", "End all sessions of the caller but this one")
            .optional_body(json!({}))
            .json::<StatusBody>(200, "They are ended"),
        op("GET /token", "A JWT of the session").json::<JwtBody>(200, "The JWT"),
        op("POST /update-session", "Change the application's fields of the session")
            .body(json!({"type": "object"}))
            .json::<UpdatedSessionBody>(200, "The session as it is now")
            .codes(VALIDATION)
            .codes(FIELD_RULES)
            .uncoded(400),
    ]
}

fn list_of(name: &str) -> Value {
    json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{name}")}})
}

fn account() -> Vec<Operation> {
    let profile = [
        ("name", text()),
        ("image", nullable_text()),
        ("username", nullable_text()),
        ("displayUsername", nullable_text()),
    ];
    let deletion = [("callbackURL", text()), ("password", text()), ("token", text())];
    vec![
        op("POST /update-user", "Change the own name, picture, username and fields")
            .body(object(&[], &profile))
            .json::<StatusBody>(200, "It is changed")
            .codes(VALIDATION)
            .codes(&[E::EmailCanNotBeUpdated])
            .codes(FIELD_RULES)
            .codes(USERNAME_RULES)
            .uncoded(400),
        op("POST /change-password", "Change the own password")
            .body(object(&[("newPassword", text()), ("currentPassword", text())], &[("revokeOtherSessions", truth())]))
            .json::<PasswordChangedBody>(200, "It is changed")
            .codes(VALIDATION)
            .codes(PASSWORD_RULES)
            .codes(&[E::InvalidPassword, E::CredentialAccountNotFound, E::NotWhileImpersonating]),
        op("POST /verify-password", "Whether this is the own password")
            .body(object(&[("password", text())], &[]))
            .json::<StatusBody>(200, "It is")
            .codes(VALIDATION)
            .codes(&[E::InvalidPassword, E::NotWhileImpersonating]),
        op("GET /list-accounts", "The ways in which the caller can sign in").names::<AccountBody>().literal(
            200,
            "The password, if there is one",
            list_of("AccountBody"),
        ),
        op("POST /delete-user", "Delete the own account")
            .body(object(&[], &deletion))
            .json::<DeletedBody>(200, "It is deleted, or a mail was sent")
            .codes(VALIDATION)
            .codes(&[E::InvalidPassword, E::CredentialAccountNotFound, E::NotWhileImpersonating])
            .code_but(404, E::InvalidToken)
            .code_but(400, E::SessionEnded)
            .maybe_empty(404),
        op("GET /delete-user/callback", "The link of a mail that deletes the account")
            .query("token", true, text())
            .query("callbackURL", false, text())
            .json::<DeletedBody>(200, "It is deleted")
            .empty(302, "It is deleted, and the link leads on")
            .codes(VALIDATION)
            .codes(&[E::FailedToGetUserInfo, E::NotWhileImpersonating])
            .code_but(404, E::InvalidToken)
            .maybe_empty(404),
    ]
}

fn mails() -> Vec<Operation> {
    vec![
        op("POST /send-verification-email", "Send a link that proves a mailbox")
            .body(object(&[("email", email())], &[("callbackURL", text())]))
            .json::<StatusBody>(200, "It is sent, if there is something to prove")
            .codes(VALIDATION)
            .codes(&[E::InvalidEmail, E::VerificationEmailNotEnabled, E::EmailMismatch, E::EmailAlreadyVerified]),
        op("GET /verify-email", "The link of a mail that proves a mailbox")
            .names::<FollowedBody>()
            .names::<StatusBody>()
            .query("token", true, text())
            .query("callbackURL", false, text())
            .literal(
                200,
                "It is proved, or the address changed",
                json!({"anyOf": [
                    {"$ref": "#/components/schemas/FollowedBody"}, {"$ref": "#/components/schemas/StatusBody"},
                ]}),
            )
            .empty(302, "The link leads on; `error` in the query says what was wrong")
            .codes(VALIDATION)
            .codes(&[E::InvalidToken, E::TokenExpired, E::InvalidUser, E::UserAlreadyExists]),
        op("POST /change-email", "Ask for another address")
            .body(object(&[("newEmail", email())], &[("callbackURL", text())]))
            .json::<StatusBody>(200, "It is changed, or a mail was sent")
            .codes(VALIDATION)
            .codes(&[E::InvalidEmail, E::ChangeEmailDisabled, E::SessionNotFresh, E::NotWhileImpersonating])
            .codes(&[E::UserAlreadyExists])
            .uncoded(400),
        op("POST /request-password-reset", "Send a link that sets a password")
            .body(object(&[("email", email())], &[("redirectTo", text())]))
            .json::<ResetRequestedBody>(200, "It is sent, if there is such an account")
            .codes(VALIDATION)
            .codes(&[E::InvalidEmail, E::ResetPasswordDisabled]),
        op("GET /reset-password/{token}", "The link of a mail that leads to the page for a new password")
            .query("callbackURL", true, text())
            .empty(302, "To that page, with `token` or `error` in the query")
            .codes(VALIDATION),
        op("POST /reset-password", "Set a password by the token of a link")
            .query("token", false, text())
            .body(object(&[("newPassword", text())], &[("token", text())]))
            .json::<StatusBody>(200, "It is set")
            .codes(VALIDATION)
            .codes(PASSWORD_RULES)
            .code_but(400, E::InvalidToken),
    ]
}

fn admin() -> Vec<Operation> {
    let with_user = || object(&[("userId", id())], &[]);
    // In a query all is text, and what is no number is not refused (recorded).
    let number_in_text = || json!({"type": "string", "description": "A number; other text counts as none given."});
    let operators = ["eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "contains", "starts_with", "ends_with"];
    vec![
        op("GET /admin/list-users", "List users")
            .query("searchValue", false, text())
            .query("searchField", false, words(&["email", "name"]))
            .query("searchOperator", false, words(&["contains", "starts_with", "ends_with"]))
            .query("limit", false, number_in_text())
            .query("offset", false, number_in_text())
            .query("sortBy", false, text())
            .query("sortDirection", false, words(&["asc", "desc"]))
            .query("filterField", false, text())
            .query("filterValue", false, json!({"type": "array", "items": {"type": "string"}}))
            .query("filterOperator", false, words(&operators))
            .json::<UsersBody>(200, "A part of the list")
            .codes(VALIDATION),
        op("GET /admin/get-user", "Show a user")
            .query("id", true, text())
            .json::<UserBody>(200, "The user")
            .codes(VALIDATION)
            .codes(&[E::UserNotFound]),
        op("POST /admin/create-user", "Make an account")
            .body(object(
                &[("email", text()), ("name", text())],
                &[("password", text()), ("role", roles()), ("data", of_user())],
            ))
            .json::<UserOnlyBody>(200, "The account")
            .codes(VALIDATION)
            .codes(&[E::InvalidEmail, E::NoSuchRole, E::MayNotSetRole, E::MayNotBanUsers])
            .code_but(400, E::UserAlreadyExists)
            .codes(PASSWORD_RULES)
            .codes(FIELD_RULES)
            .codes(USERNAME_RULES),
        op("POST /admin/update-user", "Change a user")
            .body(object(&[("userId", id()), ("data", of_user())], &[]))
            .json::<UserBody>(200, "The user as it is now")
            .codes(VALIDATION)
            .codes(&[E::InvalidEmail, E::NoSuchRole, E::InvalidRoleType, E::NoDataToUpdate, E::PasswordNotUpdatable])
            .codes(&[E::UserIdNotUpdatable, E::UserNotFound, E::MayNotBanYourself, E::MayNotSetRole])
            .codes(&[E::MayNotSetEmail, E::MayNotSetPhone, E::MayNotBanUsers])
            .code_but(400, E::UserAlreadyExists)
            .codes(FIELD_RULES)
            .codes(USERNAME_RULES),
        op("POST /admin/set-role", "Give a user roles")
            .body(object(&[("userId", id()), ("role", roles())], &[]))
            .json::<UserOnlyBody>(200, "The user as it is now")
            .codes(VALIDATION)
            .codes(&[E::NoSuchRole, E::UserNotFound]),
        op("POST /admin/ban-user", "Ban a user")
            .body(object(&[("userId", id())], &[("banReason", text()), ("banExpiresIn", number())]))
            .json::<UserOnlyBody>(200, "The user as it is now")
            .codes(VALIDATION)
            .codes(&[E::UserNotFound, E::MayNotBanYourself]),
        op("POST /admin/unban-user", "Lift a ban")
            .body(with_user())
            .json::<UserOnlyBody>(200, "The user as it is now")
            .codes(VALIDATION)
            .codes(&[E::UserNotFound]),
        op("POST /admin/set-user-password", "Set a user's password")
            .body(object(&[("newPassword", some_text()), ("userId", id())], &[]))
            .json::<StatusBody>(200, "It is set")
            .codes(VALIDATION)
            .codes(&[E::UserNotFound])
            .codes(PASSWORD_RULES),
        op("POST /admin/remove-user", "Delete an account")
            .body(with_user())
            .json::<SuccessBody>(200, "It is deleted")
            .codes(VALIDATION)
            .codes(&[E::UserNotFound, E::MayNotRemoveYourself]),
        op("POST /admin/list-user-sessions", "List a user's sessions")
            .body(with_user())
            .json::<SessionsBody>(200, "Those that live")
            .codes(VALIDATION),
        op("POST /admin/revoke-user-session", "End a session")
            .body(object(&[("sessionToken", text())], &[]))
            .json::<SuccessBody>(200, "It is ended; also where there was none")
            .codes(VALIDATION),
        op("POST /admin/revoke-user-sessions", "End all sessions of a user")
            .body(with_user())
            .json::<SuccessBody>(200, "They are ended")
            .codes(VALIDATION),
        op("POST /admin/impersonate-user", "Act as a user")
            .body(with_user())
            .json::<SessionAndUserBody>(200, "The session in which the caller acts as the user")
            .codes(VALIDATION)
            .codes(&[E::UserNotFound, E::MayNotImpersonateAdmins, E::BannedUser, E::Forbidden]),
        op("POST /admin/stop-impersonating", "Act as oneself again")
            .optional_body(json!({}))
            .json::<SessionAndUserBody>(200, "The own session")
            .codes(&[E::InsufficientScope])
            .uncoded(400)
            .uncoded(500),
        op("POST /admin/has-permission", "Whether the caller may do all of this")
            .body(object(
                &[(
                    "permissions",
                    json!({"type": "object", "additionalProperties": {
                        "type": "array", "items": {"type": "string"},
                    }}),
                )],
                &[("role", text())],
            ))
            .json::<PermissionBody>(200, "Whether")
            .codes(VALIDATION)
            .uncoded(400),
    ]
}

fn others() -> Vec<Operation> {
    let jwks = || {
        let keys = json!({"type": "array", "items": {"type": "object", "required": ["kid", "kty", "alg", "use"]}});
        json!({"type": "object", "properties": {"keys": keys}, "required": ["keys"]})
    };
    let health = || json!({"type": "object", "properties": {"status": text()}, "required": ["status"]});
    let keys =
        |route, summary| op(route, summary).literal(200, "The key set", jwks()).empty(304, "It is the same still");
    vec![
        op("GET /error", "Where a link leads that failed")
            .query("error", false, text())
            .query("error_description", false, text())
            .empty(302, "To the front page, with the same in its query"),
        op("GET /ok", "Whether somebody is there").json::<OkBody>(200, "Yes"),
        keys("GET /jwks", "The public keys (RFC 7517)"),
        keys("GET /.well-known/jwks.json", "The public keys (RFC 7517)"),
        op("GET /healthz", "Whether the process answers").literal(200, "It does", health()),
        op("GET /readyz", "Whether it can do its work").literal(200, "It can", health()).literal(
            503,
            "It cannot, now",
            health(),
        ),
        op("GET /openapi.json", "This document; in development mode only").literal(
            200,
            "The document",
            json!({"type": "object", "required": ["openapi", "paths"]}),
        ),
    ]
}

/// What follows from the table.
fn completed(route: &Route, operation: Operation) -> Operation {
    let is_plain = throttle::is_plain(route);
    let mut operation = operation.codes(&[E::UriTooLong, E::Internal, E::Busy, E::StoreUnavailable, E::HandlerTimeout]);
    if !route.any_host {
        operation = operation.codes(&[E::InvalidHost, E::UntrustedProxy]);
    }
    if route.is_mounted {
        operation = operation.codes(&[E::TooManyRequests]);
        operation = if is_plain { operation } else { operation.uncoded(429) };
    }
    if route.body != BodyRule::None {
        operation = operation.codes(&[E::BadRequest, E::UnsupportedMediaType, E::PayloadTooLarge, E::RequestTimeout]);
    }
    operation = asks_hooks(route, operation);
    if route.origin != OriginRule::None {
        let targets =
            [E::InvalidCallbackUrl, E::InvalidRedirectUrl, E::InvalidErrorCallbackUrl, E::InvalidNewUserCallbackUrl];
        operation = operation.codes(&targets).uncoded(400);
    }
    if !matches!(route.origin, OriginRule::None | OriginRule::Targets) {
        operation = operation.codes(&[E::MissingOrNullOrigin, E::InvalidOrigin, E::CrossSiteNavigationLoginBlocked]);
    }
    if is_plain {
        let bearer = [E::InvalidToken, E::TokenExpired, E::SessionRevoked, E::SessionEnded, E::KeyRevoked];
        operation = operation.codes(&bearer).codes(&[E::AmbiguousCredentials]);
    }
    let is_of_admin = route.plugin == Plugin::Admin;
    match route.caller {
        Caller::Anyone => operation,
        Caller::Session if !is_of_admin => operation.codes(&[E::Unauthorized]),
        Caller::Session => of_services(operation),
        Caller::May(permission) => of_services(operation).codes(&[not_permitted(permission), E::InsufficientScope]),
    }
}

/// What the application may refuse by a hook, with codes of its own: passwords with 400, all else with 403.
fn asks_hooks(route: &Route, operation: Operation) -> Operation {
    match route.path {
        "/refresh" | "/token" | "/get-session" | "/verify-email" => {
            operation.codes(&[E::HookRefused, E::HookUnavailable]).any_code(403)
        }
        "/signup"
        | "/login"
        | "/sign-up/email"
        | "/sign-in/email"
        | "/sign-in/username"
        | "/change-password"
        | "/reset-password"
        | "/admin/create-user"
        | "/admin/set-user-password" => operation
            .codes(&[E::HookRefused, E::HookUnavailable])
            .code_but(400, E::HookRefused)
            .any_code(400)
            .any_code(403),
        _ => operation,
    }
}

/// Who has no session is refused without a body (recorded), who has a bad token of a service with one.
fn of_services(operation: Operation) -> Operation {
    operation.codes(&[E::InvalidToken, E::TokenExpired]).maybe_empty(401)
}

fn security(route: &Route) -> Value {
    let (cookie, jwt) = (json!({"sessionCookie": []}), json!({"accessToken": []}));
    match route.caller {
        Caller::Anyone => json!([]),
        Caller::Session if route.path == "/refresh" => json!([cookie, {}]),
        Caller::Session => json!([cookie, jwt]),
        Caller::May(permission) => match permission.scope() {
            Some(scope) => json!([cookie, jwt, {"serviceToken": [scope.as_str()]}]),
            None => json!([cookie]),
        },
    }
}

fn media(rule: BodyRule) -> Vec<&'static str> {
    match rule {
        BodyRule::None => vec![],
        BodyRule::Json | BodyRule::PlainJson => vec!["application/json"],
        BodyRule::JsonOrForm => vec!["application/json", FORM],
    }
}

fn description(route: &Route) -> String {
    let plugin = match route.plugin {
        Plugin::None | Plugin::Development => return String::new(),
        Plugin::Jwt => "jwt.enabled",
        Plugin::Admin => "admin_plugin.enabled",
        Plugin::Username => "username.enabled",
    };
    format!("Only while `{plugin}` is on.")
}

fn tag(route: &Route) -> &'static str {
    match route.plugin {
        Plugin::Admin => "Administrators and services",
        Plugin::Username => "Usernames",
        _ if throttle::is_plain(route) => "Plain endpoints",
        _ if route.any_host || !route.is_mounted => "Keys and health",
        _ => "Better Auth",
    }
}

const DESCRIPTION: &str = "The public door of authd. The routes are served under each of http.mounts; here they stand under the \
first. Every refusal has a stable code, and every answer the header x-request-id.";

/// The document of the public door: with the routes of these plugins, served at `server` under `mount`.
pub fn document(server: &str, mount: &str, plugins: Plugins, is_development: bool) -> Value {
    let cookie = json!({"type": "apiKey", "in": "cookie", "name": "better-auth.session_token"});
    let bearer = |description: &str, format: &str| json!({"type": "http", "scheme": "bearer", "bearerFormat": format, "description": description});
    let frame = Frame {
        title: "authd",
        description: DESCRIPTION,
        server: server.to_owned(),
        schemes: json!({
            "sessionCookie": cookie,
            "accessToken": bearer("An access token of /login, or a JWT of /token.", "JWT"),
            "serviceToken": bearer("authctl token service create", "authd_svc_…"),
        }),
        error_members: &[],
        status,
    };
    let mut operations = operations();
    let routes = ROUTES.iter().filter(|route| plugins.serve(route.plugin, is_development));
    let described = routes.filter_map(|route| {
        let name = format!("{} {}", route.verb.method(), route.path);
        let at = operations.iter().position(|operation| operation.route == name)?;
        let operation = completed(route, operations.swap_remove(at));
        Some(Described {
            verb: route.verb,
            path: if route.is_mounted { format!("{mount}{}", route.path) } else { route.path.to_owned() },
            operation,
            media: media(route.body),
            security: security(route),
            parameters: vec![],
            tag: tag(route),
            description: description(route),
        })
    });
    made(&frame, described.collect())
}

/// `GET /openapi.json`
///
/// # Errors
/// None.
pub async fn get(app: &App, _: Req) -> Result<Reply, ApiError> {
    let settings = &app.settings;
    let mount = settings.mounts.first().map_or("", |mount| mount.prefix());
    Ok(Reply::json(&document(settings.public_url.origin(), mount, settings.plugins, true)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use futures_util::stream;
    use http::{Method, StatusCode};

    use super::*;
    use crate::{
        config::Mode,
        door::openapi::mismatches,
        http::tests::{app, head},
    };

    #[tokio::test]
    async fn op_03_in_production_the_document_is_not_served() {
        for (mode, status) in [(Mode::Development, StatusCode::OK), (Mode::Production, StatusCode::NOT_FOUND)] {
            let head = head(Method::GET, "/openapi.json", "127.0.0.1", &[]);
            let app = Arc::new(app(|settings| {
                settings.mode = mode;
                settings.hosts = vec!["localhost".parse().unwrap()];
            }));
            let body = stream::iter(Vec::<Result<Bytes, warp::Error>>::new());
            assert_eq!(app.answer(head, body).await.status(), status, "{mode:?}");
        }
    }

    #[test]
    fn every_route_has_its_description() {
        let routes = ROUTES.iter().map(|route| (route.verb, route.path));
        assert_eq!(mismatches(routes, &operations()), Vec::<String>::new());
    }

    #[test]
    fn a_route_that_takes_a_body_has_it_described_and_no_other_has() {
        let document = document("", "", Plugins::ALL, true);
        for route in ROUTES {
            let verb = route.verb.method().as_str().to_ascii_lowercase();
            let operation = &document["paths"][route.path][&verb];
            let is_described = operation.get("requestBody").is_some();
            assert_eq!(is_described, route.body != BodyRule::None, "{verb} {}", route.path);
        }
    }
}
