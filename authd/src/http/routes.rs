//! The whole public interface on a page. The router, the tests and the manual read this table too.

use futures_util::future::BoxFuture;

use super::{
    ApiError, App, Req,
    better_auth::{self, admin},
    health, jwks, openapi, plain,
};
use crate::{
    domain::Permission,
    door::{Reply, Verb},
};

/// Which bodies a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// None; what is sent is not read.
    None,
    /// JSON; a body without a content type is as good as none (recorded).
    Json,
    /// JSON or a form (recorded).
    JsonOrForm,
    /// JSON; a body without a content type is refused.
    PlainJson,
}

/// Which requests must come from a trusted origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginRule {
    /// None: nothing is changed.
    None,
    /// None, for it is a link in a mail; but where it leads must be trusted.
    Targets,
    /// Those with a cookie (recorded of Better Auth).
    WithCookie,
    /// Those with a cookie, an `Origin`, a `Referer` or a `Sec-Fetch-Site`.
    FromBrowser,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Everybody.
    Anyone,
    /// Only with a session, by cookie or by token.
    Session,
    /// Only with a session of a user whose roles allow this.
    May(Permission),
}

/// Which plugin a route belongs to: where it is off, there is no such route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    /// None: it is always there.
    None,
    /// Better Auth's jwt plugin.
    Jwt,
    /// Better Auth's admin plugin.
    Admin,
    /// Better Auth's username plugin.
    Username,
    /// None, and there is such a route in development mode only.
    Development,
}

/// What answers.
pub type Handler = for<'a> fn(&'a App, Req) -> BoxFuture<'a, Result<Reply, ApiError>>;

/// One route.
#[derive(Clone, Copy)]
pub struct Route {
    /// Its method.
    pub verb: Verb,
    /// Its path, under the mounts or not.
    pub path: &'static str,
    /// Whether it stands under every mount.
    pub is_mounted: bool,
    /// Whether it may be asked by any `Host`.
    pub any_host: bool,
    /// Who may call.
    pub caller: Caller,
    /// Which bodies it takes.
    pub body: BodyRule,
    /// Which requests must come from a trusted origin.
    pub origin: OriginRule,
    /// Which plugin it belongs to.
    pub plugin: Plugin,
    /// What answers.
    pub handler: Handler,
}

impl Route {
    const fn get(path: &'static str, caller: Caller, handler: Handler) -> Self {
        let (body, origin, plugin) = (BodyRule::None, OriginRule::None, Plugin::None);
        Self { verb: Verb::Get, path, is_mounted: true, any_host: false, caller, body, origin, plugin, handler }
    }

    const fn post(path: &'static str, caller: Caller, body: BodyRule, origin: OriginRule, handler: Handler) -> Self {
        let plugin = Plugin::None;
        Self { verb: Verb::Post, path, is_mounted: true, any_host: false, caller, body, origin, plugin, handler }
    }

    const fn of(self, plugin: Plugin) -> Self {
        Self { plugin, ..self }
    }

    /// A link in a mail.
    const fn link(path: &'static str, handler: Handler) -> Self {
        Self { origin: OriginRule::Targets, ..Self::get(path, Anyone, handler) }
    }

    const fn at_root(self) -> Self {
        Self { is_mounted: false, ..self }
    }

    const fn by_any_host(self) -> Self {
        Self { any_host: true, ..self }
    }
}

macro_rules! handler {
    ($function:path) => {{
        fn call(app: &App, req: Req) -> BoxFuture<'_, Result<Reply, ApiError>> {
            Box::pin($function(app, req))
        }
        call
    }};
}

use BodyRule::{Json, JsonOrForm, PlainJson};
use Caller::{Anyone, May, Session};
use OriginRule::{FromBrowser, WithCookie};
use Permission as P;

/// See the module's text.
pub static ROUTES: &[Route] = &[
    // The plain endpoints.
    Route::post("/signup", Anyone, PlainJson, FromBrowser, handler!(plain::sign_up)),
    Route::post("/login", Anyone, PlainJson, FromBrowser, handler!(plain::sign_in)),
    Route::post("/logout", Anyone, PlainJson, FromBrowser, handler!(plain::sign_out)),
    Route::post("/refresh", Session, PlainJson, FromBrowser, handler!(plain::refresh)),
    Route::get("/me", Session, handler!(plain::me)),
    // Better Auth's wire.
    Route::post("/sign-up/email", Anyone, JsonOrForm, WithCookie, handler!(better_auth::sign_up::email)),
    Route::post("/sign-in/email", Anyone, JsonOrForm, WithCookie, handler!(better_auth::sign_in::email)),
    Route::post("/sign-out", Anyone, Json, WithCookie, handler!(better_auth::session::sign_out)),
    Route::get("/get-session", Anyone, handler!(better_auth::session::get)),
    Route::post("/get-session", Anyone, BodyRule::None, WithCookie, handler!(better_auth::session::get_by_post)),
    Route::get("/list-sessions", Session, handler!(better_auth::sessions::list)),
    Route::post("/revoke-session", Session, Json, WithCookie, handler!(better_auth::sessions::revoke)),
    Route::post("/revoke-sessions", Session, Json, WithCookie, handler!(better_auth::sessions::revoke_all)),
    Route::post("/revoke-other-sessions", Session, Json, WithCookie, handler!(better_auth::sessions::revoke_others)),
    Route::get("/token", Session, handler!(better_auth::session::token)).of(Plugin::Jwt),
    Route::post("/update-session", Session, Json, WithCookie, handler!(better_auth::account::update_session)),
    Route::post("/update-user", Session, Json, WithCookie, handler!(better_auth::account::update)),
    Route::post("/change-password", Session, Json, WithCookie, handler!(better_auth::account::change_password)),
    Route::post("/verify-password", Session, Json, WithCookie, handler!(better_auth::account::verify_password)),
    Route::get("/list-accounts", Session, handler!(better_auth::account::list)),
    Route::post("/delete-user", Session, Json, WithCookie, handler!(better_auth::account::delete)),
    Route::link("/delete-user/callback", handler!(better_auth::account::delete_by_link)),
    Route::post("/send-verification-email", Anyone, Json, WithCookie, handler!(better_auth::email::send_verification)),
    Route::link("/verify-email", handler!(better_auth::email::verify)),
    Route::post("/change-email", Session, Json, WithCookie, handler!(better_auth::email::change)),
    Route::post("/request-password-reset", Anyone, Json, WithCookie, handler!(better_auth::reset::request)),
    Route::link("/reset-password/{token}", handler!(better_auth::reset::open)),
    Route::post("/reset-password", Anyone, Json, WithCookie, handler!(better_auth::reset::reset)),
    Route::get("/error", Anyone, handler!(better_auth::session::error)),
    Route::get("/ok", Anyone, handler!(better_auth::session::ok)),
    // Better Auth's admin plugin.
    Route::get("/admin/list-users", May(P::LIST), handler!(admin::users::list)).of(Plugin::Admin),
    Route::get("/admin/get-user", May(P::GET), handler!(admin::users::get)).of(Plugin::Admin),
    Route::post("/admin/create-user", May(P::CREATE), Json, WithCookie, handler!(admin::users::create))
        .of(Plugin::Admin),
    Route::post("/admin/update-user", May(P::UPDATE), Json, WithCookie, handler!(admin::users::update))
        .of(Plugin::Admin),
    Route::post("/admin/set-role", May(P::SET_ROLE), Json, WithCookie, handler!(admin::users::set_role))
        .of(Plugin::Admin),
    Route::post("/admin/ban-user", May(P::BAN), Json, WithCookie, handler!(admin::users::ban)).of(Plugin::Admin),
    Route::post("/admin/unban-user", May(P::BAN), Json, WithCookie, handler!(admin::users::unban)).of(Plugin::Admin),
    Route::post(
        "/admin/set-user-password",
        May(P::SET_PASSWORD),
        Json,
        WithCookie,
        handler!(admin::users::set_password),
    )
    .of(Plugin::Admin),
    Route::post("/admin/remove-user", May(P::DELETE), Json, WithCookie, handler!(admin::users::remove))
        .of(Plugin::Admin),
    Route::post("/admin/list-user-sessions", May(P::LIST_SESSIONS), Json, WithCookie, handler!(admin::sessions::list))
        .of(Plugin::Admin),
    Route::post(
        "/admin/revoke-user-session",
        May(P::REVOKE_SESSIONS),
        Json,
        WithCookie,
        handler!(admin::sessions::revoke),
    )
    .of(Plugin::Admin),
    Route::post(
        "/admin/revoke-user-sessions",
        May(P::REVOKE_SESSIONS),
        Json,
        WithCookie,
        handler!(admin::sessions::revoke_all),
    )
    .of(Plugin::Admin),
    Route::post(
        "/admin/impersonate-user",
        May(P::IMPERSONATE),
        Json,
        WithCookie,
        handler!(admin::impersonation::begin),
    )
    .of(Plugin::Admin),
    Route::post("/admin/stop-impersonating", Session, Json, WithCookie, handler!(admin::impersonation::end))
        .of(Plugin::Admin),
    Route::post("/admin/has-permission", Session, Json, WithCookie, handler!(admin::permission::has)).of(Plugin::Admin),
    // Better Auth's username plugin.
    Route::post("/sign-in/username", Anyone, Json, WithCookie, handler!(better_auth::username::sign_in))
        .of(Plugin::Username),
    Route::post("/is-username-available", Anyone, Json, WithCookie, handler!(better_auth::username::is_available))
        .of(Plugin::Username),
    // Keys and health.
    Route::get("/jwks", Anyone, handler!(jwks::get)).by_any_host(),
    Route::get("/.well-known/jwks.json", Anyone, handler!(jwks::get)).at_root().by_any_host(),
    Route::get("/healthz", Anyone, handler!(health::alive)).at_root().by_any_host(),
    Route::get("/readyz", Anyone, handler!(health::ready)).at_root().by_any_host(),
    Route::get("/openapi.json", Anyone, handler!(openapi::get)).at_root().of(Plugin::Development),
];
