//! What of the recordings is replayed, and what differs with which reason.

/// (file, exchange, why ours differs).
pub(super) const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "http-basics",
        "OPTIONS preflight (no CORS support built in)",
        "CORS is the daemon's own; the real server leaves it to its host",
    ),
    ("admin", "list-users", "without sortBy the order is nobody's word; here it is that of addresses"),
    ("admin", "create-user short password is accepted", "AU-05: the rules of passwords hold for administrators too"),
    ("sql-core", "list-sessions", "SE-04: the sign-in before it ended the session that the browser showed"),
    (
        "user",
        "delete-user without password on a stale session",
        "the clock of the replay went on, so this use prolongs the session; the recording moved the sign-in only",
    ),
];

/// (file, field, why it is not compared).
pub(super) const NOT_COMPARED: &[(&str, &str, &str)] = &[
    ("user", "body.user.email", "the recording changes the address by mail, which is not replayed"),
    ("user", "body.user.emailVerified", "the recording changes the address by mail, which is not replayed"),
];

/// (file, part of the name, why it is not sent again).
pub(super) const NOT_REPLAYED: &[(&str, &str, &str)] = &[
    ("password", "old password no longer works", "the recording resets it by mail, which is not replayed"),
    ("admin", "sign-in after the ban expired", "the recording moved the end of the ban: tests/http/administrators.rs"),
    ("check-order", "rate limit comes before everything", "the limits are off in the replay: tests/http/throttles.rs"),
];

/// (file, exchange, command): what was done to the stored data before it, done by an operator here.
pub(super) const OPERATED: &[(&str, &str, &str)] =
    &[("admin", "get-session of an admin", "user role root@example.com admin --yes")];

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
    ("user", 19),
    ("password", 15),
    ("sql-core", 6),
    ("bearer", 23),
    ("admin", 60),
    ("username", 24),
];

/// The options of the recording that ours has, by the bracket before an exchange's name.
pub(super) fn configuration(option: &str) -> Option<&'static str> {
    match option {
        "" | "no bearer plugin" => Some(""),
        "not enabled" => Some("[account]\nself_delete = false\n"),
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
