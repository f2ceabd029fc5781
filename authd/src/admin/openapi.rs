//! The admin door described in OpenAPI 3.1: what its table of routes does not say itself.

use common::{
    ErrorCode as E,
    admin::{
        ACT_HEADER, AuditErased, AuditVerdict, AuditView, BackupJob, BackupList, BackupsPruned, BanUser,
        ClearThrottles, CookieCacheSecret, CreateServiceToken, CreateUser, EraseAudit, EventView, EventsReplayed,
        HookTested, HookView, IDEMPOTENCY_HEADER, KeyView, KeysChanged, KeysRewrapped, MailPreview, MailSent, MailView,
        MailsRetried, Page, PruneBackups, REASON_HEADER, ReplayEvents, RetryMails, RevokeSessions, Revoked, RewrapKeys,
        RotateKeys, ServiceTokenMade, ServiceTokenRevoked, ServiceTokenView, SessionView, SetPassword, SetRole,
        SnapshotMade, Status, TestHook, TestMail, ThrottleView, ThrottlesCleared, TokenReport, TokenRequest,
        UserChanged, UserView, VERSION_HEADER, VerifyBackup,
    },
    import::{ImportBatch, ImportFields, ImportReport, ImportUndone, ImportView, UndoImport},
};
use serde_json::{Value, json};

use super::{
    error::status,
    routes::{ROUTES, Route},
};
use crate::{
    domain::{EventKind, mail::Template},
    door::openapi::{Described, Frame, Operation, document as made, flag, op, text, words},
};

const PASSWORD_RULES: &[E] = &[E::PasswordTooShort, E::PasswordTooLong, E::PasswordCompromised];
const USERNAME_RULES: &[E] = &[E::UsernameTaken, E::UsernameTooShort, E::UsernameTooLong, E::InvalidUsername];
const ONE_USER: &[E] = &[E::UserNotFound, E::AmbiguousUser];

fn limit() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 1000})
}

fn any_number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// Every route of the table has one of these.
pub fn operations() -> Vec<Operation> {
    [users(), sessions(), keys(), mail(), hooks(), tokens(), others(), backups(), imports()]
        .into_iter()
        .flatten()
        .collect()
}

fn users() -> Vec<Operation> {
    let one = |route, summary| op(route, summary).codes(ONE_USER);
    vec![
        op("GET /v1/users", "List accounts, by address")
            .query("search", false, text())
            .query("banned", false, flag())
            .query("cursor", false, text())
            .query("limit", false, limit())
            .json::<Page<UserView>>(200, "A page"),
        op("POST /v1/users", "Make an account")
            .takes::<CreateUser>()
            .json::<UserView>(201, "The account")
            .codes(&[E::InvalidEmail, E::UserAlreadyExists, E::NoSuchRole, E::MissingField, E::FieldNotAllowed])
            .codes(PASSWORD_RULES)
            .codes(USERNAME_RULES),
        one("GET /v1/users/{user}", "Show an account").json::<UserView>(200, "The account"),
        one("DELETE /v1/users/{user}", "Delete an account")
            .query("dry_run", false, flag())
            .json::<UserChanged>(200, "What was deleted, or would be"),
        one("POST /v1/users/{user}/password", "Set a password")
            .takes::<SetPassword>()
            .json::<UserChanged>(200, "It is set")
            .codes(PASSWORD_RULES),
        one("POST /v1/users/{user}/disable", "Shut an account")
            .query("dry_run", false, flag())
            .json::<UserChanged>(200, "What was done, or would be"),
        one("POST /v1/users/{user}/enable", "Open an account again").json::<UserChanged>(200, "What was done"),
        one("POST /v1/users/{user}/ban", "Ban a user")
            .query("dry_run", false, flag())
            .takes::<BanUser>()
            .json::<UserChanged>(200, "What was done, or would be"),
        one("POST /v1/users/{user}/role", "Give a user roles")
            .query("dry_run", false, flag())
            .takes::<SetRole>()
            .json::<UserChanged>(200, "What was done, or would be")
            .codes(&[E::NoSuchRole]),
    ]
}

fn sessions() -> Vec<Operation> {
    vec![
        op("GET /v1/sessions", "List sessions")
            .query("user", false, text())
            .query("cursor", false, text())
            .query("limit", false, limit())
            .json::<Page<SessionView>>(200, "A page")
            .codes(ONE_USER),
        op("GET /v1/sessions/{session}", "Show a session")
            .json::<SessionView>(200, "The session")
            .codes(&[E::SessionNotFound]),
        op("POST /v1/sessions/revoke", "End sessions")
            .takes::<RevokeSessions>()
            .json::<Revoked>(200, "How many ended, or would")
            .codes(&[E::UnexpectedCount])
            .codes(ONE_USER),
    ]
}

fn keys() -> Vec<Operation> {
    vec![
        op("GET /v1/keys", "List signing keys").json::<Page<KeyView>>(200, "All of them"),
        op("POST /v1/keys/rotate", "Let a new key take over")
            .takes::<RotateKeys>()
            .json::<KeysChanged>(200, "What happens when")
            .codes(&[E::Conflict]),
        op("POST /v1/keys/rollback", "Take the last rotation back")
            .query("dry_run", false, flag())
            .json::<KeysChanged>(200, "What happens when")
            .codes(&[E::Conflict]),
        op("POST /v1/keys/rewrap", "Change the master key")
            .takes::<RewrapKeys>()
            .json::<KeysRewrapped>(200, "What was done, and what is to be done")
            .codes(&[E::Conflict]),
        op("POST /v1/keys/cookie-cache", "Show the secret of the copies of sessions in browsers")
            .json::<CookieCacheSecret>(200, "The secret")
            .codes(&[E::Conflict]),
        op("POST /v1/keys/{kid}/revoke", "Declare a key unusable")
            .query("dry_run", false, flag())
            .json::<KeysChanged>(200, "What happens when")
            .codes(&[E::Conflict, E::KeyNotFound]),
    ]
}

fn mail() -> Vec<Operation> {
    let templates: Vec<&str> = Template::ALL.iter().map(|template| template.as_str()).collect();
    vec![
        op("GET /v1/mail", "Mails that wait, and mails that were given up")
            .query("cursor", false, text())
            .query("limit", false, limit())
            .json::<Page<MailView>>(200, "A page"),
        op("GET /v1/mail/preview", "What a mail looks like")
            .query("template", false, words(&templates))
            .json::<MailPreview>(200, "With made-up values")
            .codes(&[E::MailFailed]),
        op("POST /v1/mail/test", "Send a test mail")
            .takes::<TestMail>()
            .json::<MailSent>(200, "It was handed over")
            .codes(&[E::Conflict, E::MailFailed]),
        op("POST /v1/mail/retry", "Try mails again at once")
            .takes::<RetryMails>()
            .json::<MailsRetried>(200, "How many"),
    ]
}

fn hooks() -> Vec<Operation> {
    vec![
        op("GET /v1/events", "Events that the application is told of")
            .query("state", false, words(&["all", "waiting", "dead"]))
            .query("cursor", false, any_number())
            .query("latest", false, any_number())
            .query("wait", false, any_number())
            .query("limit", false, limit())
            .json::<Page<EventView>>(200, "A page"),
        op("POST /v1/events/replay", "Tell events once more")
            .takes::<ReplayEvents>()
            .json::<EventsReplayed>(200, "How many")
            .codes(&[E::Conflict]),
        op("GET /v1/hooks", "Where the application is asked").json::<Page<HookView>>(200, "All of them"),
        op("POST /v1/hooks/test", "Call a hook")
            .takes::<TestHook>()
            .json::<HookTested>(200, "What it answered")
            .codes(&[E::NotFound, E::HookUnavailable, E::Conflict]),
    ]
}

fn tokens() -> Vec<Operation> {
    vec![
        op("POST /v1/tokens/inspect", "Explain a token")
            .takes::<TokenRequest>()
            .json::<TokenReport>(200, "All that is known of it"),
        op("POST /v1/tokens/verify", "Whether a token would be taken")
            .takes::<TokenRequest>()
            .json::<TokenReport>(200, "Whether, in `valid`"),
        op("GET /v1/service-tokens", "List services that have a token")
            .json::<Page<ServiceTokenView>>(200, "All of them"),
        op("POST /v1/service-tokens", "Make a token for a service")
            .takes::<CreateServiceToken>()
            .json::<ServiceTokenMade>(200, "The token, this once")
            .codes(&[E::ServiceNameTaken]),
        op("POST /v1/service-tokens/{name}/revoke", "Revoke the token of a service")
            .query("dry_run", false, flag())
            .json::<ServiceTokenRevoked>(200, "What was revoked, or would be")
            .codes(&[E::ServiceNotFound]),
    ]
}

fn backups() -> Vec<Operation> {
    vec![
        op("GET /v1/backups", "List backups, and how far the one is that is being made")
            .json::<BackupList>(200, "Those in the daemon's directory"),
        op("POST /v1/backups", "Begin to make a backup").json::<BackupJob>(200, "What was begun").codes(&[E::Conflict]),
        op("POST /v1/backups/verify", "Begin to read a backup to its end")
            .takes::<VerifyBackup>()
            .json::<BackupJob>(200, "What was begun")
            .codes(&[E::NotFound, E::Conflict]),
        op("POST /v1/backups/prune", "Remove the oldest backups")
            .takes::<PruneBackups>()
            .json::<BackupsPruned>(200, "Which were removed, or would be"),
        op("GET /v1/backups/{backup}", "A piece of a backup, sealed as it is")
            .query("from", false, any_number())
            .text(200, "The piece; nothing behind its end", "application/octet-stream")
            .codes(&[E::NotFound, E::Conflict]),
        op("DELETE /v1/backups/{backup}", "Remove a backup")
            .json::<BackupsPruned>(200, "Which was removed")
            .codes(&[E::NotFound, E::Forbidden]),
    ]
}

fn others() -> Vec<Operation> {
    let events: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    vec![
        op("GET /v1/status", "How the daemon is").json::<Status>(200, "How it is"),
        op("GET /metrics", "Metrics, for Prometheus").text(200, "The page", crate::metrics::Page::CONTENT_TYPE),
        op("GET /v1/throttles", "Who has to wait").json::<Page<ThrottleView>>(200, "All of them"),
        op("POST /v1/throttles/clear", "Let somebody try again at once")
            .takes::<ClearThrottles>()
            .json::<ThrottlesCleared>(200, "How many counters there were")
            .codes(ONE_USER),
        op("POST /v1/store/snapshot", "Make a snapshot of the store").json::<SnapshotMade>(200, "Whether one was made"),
        op("GET /v1/audit", "List audit records, newest first")
            .query("user", false, text())
            .query("event", false, words(&events))
            .query("since", false, json!({"type": "string", "format": "date-time"}))
            .query("addresses", false, flag())
            .query("cursor", false, any_number())
            .query("limit", false, limit())
            .json::<Page<AuditView>>(200, "A page")
            .codes(ONE_USER),
        op("GET /v1/audit/verify", "Check the whole chain").json::<AuditVerdict>(200, "Whether it holds, in `ok`"),
        op("POST /v1/audit/erase", "Erase what the records say of a user")
            .takes::<EraseAudit>()
            .json::<AuditErased>(200, "How many were erased, or would be")
            .codes(ONE_USER),
    ]
}

fn imports() -> Vec<Operation> {
    vec![
        op("GET /v1/imports", "List imports").json::<Page<ImportView>>(200, "All of them"),
        op("GET /v1/imports/fields", "What an import may have").json::<ImportFields>(200, "The fields"),
        op("POST /v1/imports", "Take a batch of accounts in")
            .takes::<ImportBatch>()
            .json::<ImportReport>(200, "What became of each"),
        op("POST /v1/imports/{import}/undo", "Take an import back, a step")
            .takes::<UndoImport>()
            .json::<ImportUndone>(200, "What was deleted")
            .codes(&[E::NotFound]),
    ]
}

/// What follows from the table, and from the checks before a handler.
fn completed(route: &Route, operation: Operation) -> Operation {
    let operation = operation
        .codes(&[E::ValidationError, E::BadRequest, E::InvalidHost, E::Forbidden, E::BrowserRefused])
        .codes(&[E::UnsupportedMediaType, E::PayloadTooLarge, E::RequestTimeout, E::VersionMismatch])
        .codes(&[E::Busy, E::StoreUnavailable, E::Internal]);
    if route.changes { operation.codes(&[E::AlreadyDone, E::IdempotencyKeyReused]) } else { operation }
}

fn parameters(route: &Route) -> Vec<Value> {
    let header = |name: &str, what: &str, schema: Value| json!({"name": name, "in": "header", "required": false, "description": what, "schema": schema});
    // Percent-encoded: of what is sent it cannot be said how long it may be.
    let key = json!({"type": "string", "minLength": 1, "pattern": "^[!-~]+$"});
    let version = header(VERSION_HEADER, "The version of this interface that the client speaks", json!({"const": "1"}));
    if !route.changes {
        return vec![version];
    }
    vec![
        version,
        header(REASON_HEADER, "Why, for the audit trail, in 500 characters; percent-encoded", text()),
        header(
            IDEMPOTENCY_HEADER,
            "Asked for twice by the same key, an act is done once: 128 printable ASCII characters; percent-encoded",
            key,
        ),
        header(ACT_HEADER, "What the key stands for, in the caller's words; percent-encoded", text()),
    ]
}

fn tag(route: &Route) -> &'static str {
    match route.path.split('/').nth(2) {
        Some("users") => "Users",
        Some("sessions") => "Sessions",
        Some("keys") => "Keys",
        Some("mail") => "Mail",
        Some("tokens" | "service-tokens") => "Tokens",
        Some("audit") => "Audit",
        Some("backups") => "Backups",
        Some("imports") => "Imports",
        _ => "Daemon",
    }
}

const DESCRIPTION: &str = "The admin door of authd: HTTP/1.1 over a Unix socket (curl --unix-socket). Who calls is the kernel's word \
about the peer, and nothing in a request; whatever looks like a browser is refused.";

/// The document of the admin door.
pub fn document() -> Value {
    let frame = Frame {
        title: "authd, the admin socket",
        description: DESCRIPTION,
        server: "http://localhost".into(),
        schemes: json!({}),
        error_members: &["cause", "fix", "requestId"],
        status,
    };
    let mut operations = operations();
    let described = ROUTES.iter().filter_map(|route| {
        let name = format!("{} {}", route.verb.method(), route.path);
        let at = operations.iter().position(|operation| operation.route == name)?;
        let operation = completed(route, operations.swap_remove(at));
        let takes_none = route.verb == crate::door::Verb::Get;
        Some(Described {
            verb: route.verb,
            path: route.path.to_owned(),
            operation,
            media: if takes_none { vec![] } else { vec!["application/json"] },
            security: json!([]),
            parameters: parameters(route),
            tag: tag(route),
            description: format!("For the role `{}` and those above it.", route.role),
        })
    });
    made(&frame, described.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::openapi::mismatches;

    #[test]
    fn every_route_has_its_description() {
        let routes = ROUTES.iter().map(|route| (route.verb, route.path));
        assert_eq!(mismatches(routes, &operations()), Vec::<String>::new());
    }
}
