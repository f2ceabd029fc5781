//! The whole admin interface on a page.

use futures_util::future::BoxFuture;

use super::{AdminApp, AdminError, AdminReq, audit, keys, sessions, status, throttles, tokens, users};
use crate::door::{Reply, Verb};

/// What answers.
pub type Handler = for<'a> fn(&'a AdminApp, AdminReq) -> BoxFuture<'a, Result<Reply, AdminError>>;

/// One route.
#[derive(Clone, Copy)]
pub struct Route {
    /// Its method.
    pub verb: Verb,
    /// Its path.
    pub path: &'static str,
    /// Whether it can change something; then it stands in the audit trail.
    pub changes: bool,
    /// What answers.
    pub handler: Handler,
}

const fn read(verb: Verb, path: &'static str, handler: Handler) -> Route {
    Route { verb, path, changes: false, handler }
}

const fn write(verb: Verb, path: &'static str, handler: Handler) -> Route {
    Route { verb, path, changes: true, handler }
}

macro_rules! handler {
    ($function:path) => {{
        fn call(app: &AdminApp, req: AdminReq) -> BoxFuture<'_, Result<Reply, AdminError>> {
            Box::pin($function(app, req))
        }
        call
    }};
}

use Verb::{Delete, Get, Post};

/// See the module's text.
pub static ROUTES: &[Route] = &[
    read(Get, "/v1/status", handler!(status::show)),
    read(Get, "/v1/users", handler!(users::list)),
    write(Post, "/v1/users", handler!(users::create)),
    read(Get, "/v1/users/{user}", handler!(users::show)),
    write(Delete, "/v1/users/{user}", handler!(users::delete)),
    write(Post, "/v1/users/{user}/password", handler!(users::set_password)),
    write(Post, "/v1/users/{user}/disable", handler!(users::disable)),
    write(Post, "/v1/users/{user}/enable", handler!(users::enable)),
    read(Get, "/v1/sessions", handler!(sessions::list)),
    write(Post, "/v1/sessions/revoke", handler!(sessions::revoke)),
    read(Get, "/v1/sessions/{session}", handler!(sessions::show)),
    read(Get, "/v1/keys", handler!(keys::list)),
    write(Post, "/v1/keys/rotate", handler!(keys::rotate)),
    write(Post, "/v1/keys/rollback", handler!(keys::roll_back)),
    write(Post, "/v1/keys/rewrap", handler!(keys::rewrap)),
    write(Post, "/v1/keys/{kid}/revoke", handler!(keys::revoke)),
    read(Get, "/v1/throttles", handler!(throttles::list)),
    write(Post, "/v1/throttles/clear", handler!(throttles::clear)),
    read(Post, "/v1/tokens/inspect", handler!(tokens::inspect)),
    read(Post, "/v1/tokens/verify", handler!(tokens::verify)),
    read(Get, "/v1/audit", handler!(audit::list)),
    read(Get, "/v1/audit/verify", handler!(audit::verify)),
    write(Post, "/v1/audit/erase", handler!(audit::erase)),
];
