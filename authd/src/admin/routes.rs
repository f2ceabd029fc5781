//! The whole admin interface on a page.

use common::import::MAX_BYTES;
use futures_util::future::BoxFuture;

use super::{
    AdminApp, AdminError, AdminReq, audit, backups, events, hooks, imports, keys, mail, metrics, service_tokens,
    sessions, status, store, throttles, tokens, users,
};
use crate::{
    domain::Role,
    door::{MAX_MEMBERS, Reply, Verb},
};

/// What answers.
pub type Handler = for<'a> fn(&'a AdminApp, AdminReq) -> BoxFuture<'a, Result<Reply, AdminError>>;

/// One route.
#[derive(Clone, Copy)]
pub struct Route {
    /// Its method.
    pub verb: Verb,
    /// Its path.
    pub path: &'static str,
    /// The least role that may call it. A handler may ask for more, for what it is about to be done to.
    pub role: Role,
    /// Whether it can change something; then it stands in the audit trail.
    pub changes: bool,
    /// How large its bodies may be.
    pub bodies: Bodies,
    /// What answers.
    pub handler: Handler,
}

/// How large the body of a request may be.
#[derive(Debug, Clone, Copy)]
pub struct Bodies {
    /// In bytes.
    pub bytes: u64,
    /// Members and elements, all levels together.
    pub members: usize,
}

/// What most requests need.
const USUAL: Bodies = Bodies { bytes: 64 * 1024, members: MAX_MEMBERS };
/// A batch of things.
const BATCH: Bodies = Bodies { bytes: MAX_BYTES, members: 65_536 };

impl Route {
    const fn with_batches(self) -> Self {
        Self { bodies: BATCH, ..self }
    }
}

const fn read(verb: Verb, path: &'static str, role: Role, handler: Handler) -> Route {
    Route { verb, path, role, changes: false, bodies: USUAL, handler }
}

const fn write(verb: Verb, path: &'static str, role: Role, handler: Handler) -> Route {
    Route { verb, path, role, changes: true, bodies: USUAL, handler }
}

macro_rules! handler {
    ($function:path) => {{
        fn call(app: &AdminApp, req: AdminReq) -> BoxFuture<'_, Result<Reply, AdminError>> {
            Box::pin($function(app, req))
        }
        call
    }};
}

use Role::{Admin, Helpdesk, Oncall, View};
use Verb::{Delete, Get, Post};

/// See the module's text.
pub static ROUTES: &[Route] = &[
    // Where those who collect metrics look for them.
    read(Get, "/metrics", View, handler!(metrics::show)),
    read(Get, "/v1/status", View, handler!(status::show)),
    read(Get, "/v1/users", View, handler!(users::list)),
    write(Post, "/v1/users", Helpdesk, handler!(users::create)),
    read(Get, "/v1/users/{user}", View, handler!(users::show)),
    write(Delete, "/v1/users/{user}", Admin, handler!(users::delete)),
    write(Post, "/v1/users/{user}/password", Helpdesk, handler!(users::set_password)),
    write(Post, "/v1/users/{user}/disable", Helpdesk, handler!(users::disable)),
    write(Post, "/v1/users/{user}/enable", Helpdesk, handler!(users::enable)),
    write(Post, "/v1/users/{user}/ban", Helpdesk, handler!(users::ban)),
    write(Post, "/v1/users/{user}/role", Helpdesk, handler!(users::set_role)),
    read(Get, "/v1/sessions", View, handler!(sessions::list)),
    write(Post, "/v1/sessions/revoke", Helpdesk, handler!(sessions::revoke)),
    read(Get, "/v1/sessions/{session}", View, handler!(sessions::show)),
    read(Get, "/v1/keys", View, handler!(keys::list)),
    write(Post, "/v1/keys/rotate", Oncall, handler!(keys::rotate)),
    write(Post, "/v1/keys/rollback", Oncall, handler!(keys::roll_back)),
    write(Post, "/v1/keys/rewrap", Admin, handler!(keys::rewrap)),
    write(Post, "/v1/keys/cookie-cache", Admin, handler!(keys::cookie_cache)),
    write(Post, "/v1/keys/{kid}/revoke", Oncall, handler!(keys::revoke)),
    read(Get, "/v1/mail", View, handler!(mail::queue)),
    read(Get, "/v1/mail/preview", View, handler!(mail::preview)),
    write(Post, "/v1/mail/test", Oncall, handler!(mail::test)),
    write(Post, "/v1/mail/retry", Oncall, handler!(mail::retry)),
    read(Get, "/v1/events", View, handler!(events::list)),
    write(Post, "/v1/events/replay", Oncall, handler!(events::replay)),
    read(Get, "/v1/hooks", View, handler!(hooks::list)),
    write(Post, "/v1/hooks/test", Oncall, handler!(hooks::test)),
    read(Get, "/v1/throttles", View, handler!(throttles::list)),
    write(Post, "/v1/throttles/clear", Helpdesk, handler!(throttles::clear)),
    read(Post, "/v1/tokens/inspect", View, handler!(tokens::inspect)),
    read(Post, "/v1/tokens/verify", View, handler!(tokens::verify)),
    read(Get, "/v1/service-tokens", View, handler!(service_tokens::list)),
    write(Post, "/v1/service-tokens", Admin, handler!(service_tokens::create)),
    write(Post, "/v1/service-tokens/{name}/revoke", Oncall, handler!(service_tokens::revoke)),
    // It changes nothing that anybody is accountable for.
    read(Post, "/v1/store/snapshot", Oncall, handler!(store::snapshot)),
    read(Get, "/v1/backups", View, handler!(backups::list)),
    write(Post, "/v1/backups", Oncall, handler!(backups::make)),
    read(Post, "/v1/backups/verify", Oncall, handler!(backups::verify)),
    write(Post, "/v1/backups/prune", Admin, handler!(backups::prune)),
    // Sealed as it lies there: it opens with the master key, or a recovery identity.
    read(Get, "/v1/backups/{backup}", Oncall, handler!(backups::piece)),
    // Once more is as good as once: no name for the act.
    read(Delete, "/v1/backups/{backup}", Oncall, handler!(backups::remove)),
    read(Get, "/v1/audit", View, handler!(audit::list)),
    read(Get, "/v1/audit/verify", View, handler!(audit::verify)),
    write(Post, "/v1/audit/erase", Admin, handler!(audit::erase)),
    read(Get, "/v1/imports", View, handler!(imports::list)),
    read(Get, "/v1/imports/fields", Admin, handler!(imports::fields)),
    write(Post, "/v1/imports", Admin, handler!(imports::store)).with_batches(),
    write(Post, "/v1/imports/{import}/undo", Admin, handler!(imports::undo)),
];
