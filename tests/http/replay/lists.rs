//! What of the recordings is replayed, and what differs with which reason.

/// (file, exchange, why ours differs).
pub(super) const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("cookie-cache", "get-session served from session_data (no cookie set again)", COPY),
    ("cookie-cache", "session deleted in the store: cached cookie still answers", COPY),
    (
        "http-basics",
        "OPTIONS preflight (no CORS support built in)",
        "CORS is the daemon's own; the real server leaves it to its host",
    ),
    ("admin", "list-users", "without sortBy the order is nobody's word; here it is that of addresses"),
    ("admin", "create-user short password is accepted", "AU-05: the rules of passwords hold for administrators too"),
    ("sql-core", "list-sessions", "SE-04: the sign-in before it ended the session that the browser showed"),
    (
        "password",
        "existing sessions survive a reset by default",
        "RC-07: nobody had proved the mailbox, so whoever was signed in may be somebody else",
    ),
    (
        "email-verification",
        "sign-up again with the same e-mail: synthetic user, no mail",
        "RC-07: who proves the mailbox gets the account with the password of their own sign-up",
    ),
    (
        "user",
        "delete-user without password on a stale session",
        "the clock of the replay went on, so this use prolongs the session; the recording moved the sign-in only",
    ),
];

const COPY: &str = "SE-07: authd asks the store, and sets the copy of what it finds there";

/// (file, part of the name, the option under which it was recorded, where its name does not say so).
pub(super) const BELONGS: &[(&str, &str, &str)] = &[
    ("email-verification", "verify-email expired token", EXPIRES),
    ("email-verification", "sign-in unverified sends a new mail", EXPIRES),
    ("email-verification", "verify-email with auto sign-in", EXPIRES),
    ("email-verification", "get-session afterwards", EXPIRES),
];

const EXPIRES: &str = "expiresIn 1 s, autoSignInAfterVerification, sendOnSignIn";

/// (file, field, why it is not compared).
pub(super) const NOT_COMPARED: &[(&str, &str, &str)] = &[];

/// (file, part of the name, why it is not sent again).
pub(super) const NOT_REPLAYED: &[(&str, &str, &str)] = &[
    (
        "cookie-cache-compact",
        "[large payload]",
        "the recording says how long a field is, not what it holds: tests/node",
    ),
    ("user", "change-email to a taken address", "the other account was made by a request that is not in the recording"),
    ("password", "with the token in the query", "the link was sent by a request that is not in the recording"),
    ("admin", "sign-in after the ban expired", "the recording moved the end of the ban: tests/http/administrators.rs"),
    ("check-order", "rate limit comes before everything", "the limits are off in the replay: tests/http/throttles.rs"),
];

/// (file, exchange, command): what was done to the stored data before it, done by an operator here.
pub(super) const OPERATED: &[(&str, &str, &str)] = &[
    ("admin", "get-session of an admin", "user role root@example.com admin --yes"),
    (
        "cookie-cache",
        "session deleted in the store: cached cookie still answers",
        "session revoke --user ada@example.com --yes",
    ),
];

/// What is absent in the recording, whose server kept its data in memory, while it has no value.
pub(super) const UNSET: &[&str] =
    &["image", "banReason", "banExpires", "impersonatedBy", "username", "displayUsername"];

/// (file, part of the name, hours): where the recording moved a stored date, the clock of the replay goes on instead.
pub(super) const LATER: &[(&str, &str, u64)] = &[
    ("session", "get-session older than updateAge", 24),
    ("session", "get-session with expired session", 7 * 24),
    ("session", "GET get-session due for refresh", 25),
    ("session", "dont_remember cookie: never refreshed", 23),
    ("user", "delete-user without password on a stale session", 24),
    ("email-verification", "verify-email expired token", 1),
];

/// (file, part of the name): the session of the cookie was opened by a request that is not in the recording.
pub(super) const SIGNED_IN_BEFORE: &[(&str, &str)] = &[
    ("session", "revoke-session own token"),
    ("session", "update-session with no additional fields"),
    ("session", "[deferSessionRefresh] get-session fresh"),
    ("bearer", "sign-out over bearer"),
    ("jwt", "[RS256] token"),
    ("jwt", "[ES256] token"),
    ("jwt", "[disableSettingJwtHeader] get-session"),
    ("user", "[not enabled] delete-user"),
    ("user", "[sendDeleteAccountVerification] delete-user"),
    ("user", "[not enabled] change-email"),
    ("user", "[updateEmailWithoutVerification] change-email"),
];

pub(super) const ROUTES: &[&str] = &[
    "/sign-up/email",
    "/sign-in/email",
    "/sign-out",
    "/get-session",
    "/list-sessions",
    "/revoke-session",
    "/revoke-sessions",
    "/revoke-other-sessions",
    "/token",
    "/update-session",
    "/update-user",
    "/change-password",
    "/verify-password",
    "/list-accounts",
    "/delete-user",
    "/send-verification-email",
    "/verify-email",
    "/request-password-reset",
    "/reset-password",
    "/change-email",
    "/delete-user/callback",
    "/error",
    "/ok",
    "/jwks",
    "/sign-in/username",
    "/is-username-available",
    "/admin/list-users",
    "/admin/get-user",
    "/admin/create-user",
    "/admin/update-user",
    "/admin/set-role",
    "/admin/ban-user",
    "/admin/unban-user",
    "/admin/list-user-sessions",
    "/admin/revoke-user-session",
    "/admin/revoke-user-sessions",
    "/admin/impersonate-user",
    "/admin/stop-impersonating",
    "/admin/remove-user",
    "/admin/set-user-password",
    "/admin/has-permission",
];

/// (file, how many of its exchanges are answered alike, at least): a file of which nothing is compared any more is found.
pub(super) const FILES: &[(&str, usize)] = &[
    ("sign-up", 19),
    ("sign-in", 15),
    ("session", 38),
    ("http-basics", 20),
    ("check-order", 5),
    ("csrf", 38),
    ("cookie-attributes", 9),
    ("jwt", 14),
    ("user", 28),
    ("password", 34),
    ("email-verification", 22),
    ("sql-core", 6),
    ("bearer", 23),
    ("admin", 60),
    ("username", 24),
    ("cookie-cache-compact", 8),
    ("cookie-cache-jwt", 8),
    ("cookie-cache-jwe", 8),
];

/// The options of the recording that ours has, by the bracket before an exchange's name.
pub(super) fn configuration(option: &str) -> Option<&'static str> {
    match option {
        "" | "no bearer plugin" | "large payload" => Some(""),
        "not enabled" => Some("[account]\nself_delete = false\n"),
        EXPIRES => Some(
            "[email]\nverification_required = true\nverification_expires_in = \"1s\"\nauto_sign_in_after_verification = true\nsend_on_sign_in = true\n",
        ),
        "sendVerificationEmail not configured" | "sendResetPassword not configured" => {
            Some("[sign_up]\nenabled = true\n")
        }
        "sendOnSignUp, verification not required" => Some("[email]\nsend_on_sign_up = \"on\"\n"),
        "sendDeleteAccountVerification" => Some("[account]\nself_delete = true\ndelete_by_mail = true\n"),
        "updateEmailWithoutVerification" => Some("[email]\nchange_enabled = true\nchange_unverified_at_once = true\n"),
        "disableSignUp" => Some("[sign_up]\nenabled = false\n"),
        "autoSignIn: false" => Some("[sign_up]\nauto_sign_in = false\n"),
        "https base URL" => Some("https"),
        "RS256" => Some("[keys]\nalgorithm = \"RS256\"\n"),
        "ES256" => Some("[keys]\nalgorithm = \"ES256\"\n"),
        "deferSessionRefresh" => Some("[session]\ndefer_refresh = true\n"),
        "requireSignature" => Some("[bearer]\nenabled = true\nrequire_signature = true\n"),
        "disableSettingJwtHeader" => Some("[jwt]\nset_header = false\n"),
        "cookiePrefix" => Some("[cookies]\nprefix = \"acme\"\n"),
        "crossSubDomainCookies" => Some("[cookies]\ndomain = \".example.com\"\n"),
        _ => None,
    }
}
