//! The admin door: HTTP/1.1 and JSON over a Unix socket, paths under `/v1`. Who may do what is decided by the kernel's
//! word about the peer, never by anything in a request; and whatever smells of a browser is refused.

pub mod audit;
pub mod backups;
pub mod error;
pub mod events;
mod fields;
pub mod hooks;
pub mod imports;
pub mod keys;
pub mod mail;
pub mod metrics;
pub mod openapi;
mod refusals;
pub mod request;
pub mod routes;
pub mod service_tokens;
pub mod sessions;
pub mod status;
pub mod store;
pub mod throttles;
pub mod tokens;
pub mod users;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Buf;
use common::{
    ErrorCode, RequestId, SecretString, UnixTime,
    admin::{API_VERSION, VERSION_HEADER},
    text::printable,
};
use futures_util::Stream;
use http::{HeaderName, HeaderValue, StatusCode, header};
use tracing::error;
use warp::{Filter, reply::Response};

pub use self::{
    error::AdminError,
    refusals::Refusals,
    request::AdminReq,
    routes::{Bodies, Route},
};
use crate::{
    config::Mode,
    domain::{Access, Role, access::ADMIN_GROUP},
    door::{Body, BodyError, Found, Head, Panic, Peer, PeerCredentials, Raw, Reply, Router, Share, body, panics},
    live::Live,
    metrics::Requests,
    net::Gauge,
    service::{Services, audit as acts, random::base62},
};

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What `status` tells of the daemon beyond what the services know.
#[derive(Clone)]
pub struct Info {
    /// Development or production.
    pub mode: Mode,
    /// When it started.
    pub started_at: UnixTime,
    /// Where the public door listens.
    pub listen: Vec<String>,
    /// What clients call it.
    pub public_url: String,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The file of the master key; `None` if it is a credential of systemd.
    pub master_key: Option<PathBuf>,
    /// Until when cookies of the server before are taken, if that was configured.
    pub legacy_secret_until: Option<UnixTime>,
    /// The copies of sessions that browsers carry, if they do, and what reads them.
    pub copies: Option<Copies>,
    /// How many lines the log has lost.
    pub log_lines_dropped: fn() -> u64,
    /// How requests of the public door were answered.
    pub requests: Arc<Requests>,
}

/// See [`Info::copies`].
#[derive(Debug, Clone)]
pub struct Copies {
    /// The secret.
    pub secret: SecretString,
    /// The form.
    pub form: String,
    /// What the cookies' names begin with.
    pub prefix: String,
}

/// What of the daemon changes when its configuration is read again.
#[derive(Debug, Clone, Default)]
pub struct LastRead {
    /// When the configuration was read last.
    pub at: UnixTime,
    /// Why what was read then is not in force, if it is not.
    pub problems: Vec<String>,
    /// Settings that are in force only after a restart.
    pub needs_restart: Vec<String>,
    /// What the configuration's reader found worth a look.
    pub advice: Vec<String>,
    /// Who may do what.
    pub access: Access,
    /// Whether nobody is named but the group that is the default.
    pub only_admin_group: bool,
}

/// Everything that handlers work with.
pub struct AdminApp {
    /// The use cases' ground.
    pub services: Arc<Services>,
    /// What the daemon is.
    pub info: Info,
    /// What it is configured to be at the moment.
    pub last_read: LastRead,
    /// Connections on the public door.
    pub connections: Arc<Gauge>,
    router: Arc<Router<Route>>,
    refusals: Arc<Refusals>,
}

impl AdminApp {
    /// With the route table built.
    pub fn new(services: Arc<Services>, info: Info, last_read: LastRead, connections: Arc<Gauge>) -> Self {
        let mut router = Router::default();
        for route in routes::ROUTES {
            router.insert(route.verb.method(), route.path, route);
        }
        let (router, refusals) = (Arc::new(router), Arc::default());
        Self { services, info, last_read, connections, router, refusals }
    }

    /// The same door after its configuration was read again.
    #[must_use]
    pub fn successor(&self, services: Arc<Services>, last_read: LastRead) -> Self {
        let Self { info, connections, router, refusals, .. } = self;
        let (info, connections) = (info.clone(), connections.clone());
        Self { services, info, last_read, connections, router: router.clone(), refusals: refusals.clone() }
    }

    #[allow(clippy::expect_used)]
    fn request_id(&self) -> RequestId {
        let random = base62(&*self.services.entropy, 16);
        format!("admin-{random}").parse().expect("base62 text is an id")
    }

    /// The one filter.
    pub fn filter(
        live: Arc<Live<Self>>,
    ) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
        warp::ext::get::<Arc<Head>>().and(warp::body::stream()).then(move |head: Arc<Head>, body| {
            let app = live.get();
            async move { app.answer(head, body).await }
        })
    }

    async fn answer<S, B>(self: Arc<Self>, head: Arc<Head>, stream: S) -> Response
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf + Send,
    {
        let id = self.request_id();
        let caught = panics::catch(self.dispatch(&head, stream, &id)).await;
        let outcome = caught.unwrap_or_else(|Panic { said, location }| {
            error!(request.id = %id, location, "a handler of the admin door panicked: {}", printable(&said));
            Err(AdminError::new(ErrorCode::Internal))
        });
        let mut reply = outcome.unwrap_or_else(|e| e.logged(&id).into_reply(&id));
        reply.add(HeaderName::from_static(VERSION_HEADER), HeaderValue::from(API_VERSION));
        reply.add(HeaderName::from_static("x-request-id"), id.as_str());
        reply.add(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        reply.add(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if reply.code() == StatusCode::PAYLOAD_TOO_LARGE || head.has(header::TRANSFER_ENCODING) {
            reply.add(header::CONNECTION, HeaderValue::from_static("close"));
        }
        reply.into_response()
    }

    async fn dispatch<S, B>(&self, head: &Arc<Head>, stream: S, id: &RequestId) -> Result<Reply, AdminError>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf + Send,
    {
        let (operator, role) = self.admitted(head)?;
        if is_browser(head) {
            return Err(AdminError::new(ErrorCode::BrowserRefused));
        }
        if head.single(header::HOST).ok().flatten().is_none() {
            return Err(AdminError::new(ErrorCode::InvalidHost));
        }
        if let Some(version) = head.text(HeaderName::from_static(VERSION_HEADER))
            && version.parse() != Ok(API_VERSION)
        {
            return Err(AdminError::new(ErrorCode::VersionMismatch)
                .cause(format!(
                    "the client speaks version {version}, authd {} speaks {API_VERSION}",
                    env!("CARGO_PKG_VERSION")
                ))
                .fix("install authctl and authd of the same version, and restart authd"));
        }
        let (route, params) = match self.router.find(&head.method, head.path()) {
            Found::Route(route, params) => (route, params),
            Found::OtherMethods(methods) => return Err(AdminError::wrong_method(&methods)),
            Found::Nothing => return Err(AdminError::new(ErrorCode::NotFound).cause("there is no such path")),
        };
        if role < route.role {
            let what = format!("{} {}", head.method, route.path);
            self.refusals.role_too_low(&operator, (role, route.role), &what, self.services.clock.now());
            return Err(refused(&operator, role, route.role));
        }
        let (body, raw) = read_body(head, stream, route.bodies).await?;
        let req = AdminReq {
            head: head.clone(),
            route: route.path,
            body,
            params,
            request_id: id.clone(),
            reason: request::reason(head)?,
            idempotency: request::idempotency(head, &raw, &operator)?,
            operator,
            role,
            at: self.services.clock.now(),
            refusals: self.refusals.clone(),
        };
        if route.changes
            && let Some(key) = &req.idempotency
        {
            // Before the handler looks: what a repetition asks for may be gone or there already, because of the first.
            acts::check_not_done(&self.services, key).await?;
        }
        let reply = (route.handler)(self, req).await?;
        Ok(reply)
    }

    /// Who calls, with the highest role of theirs. Who has none is refused, whatever the mode of the socket's file has become
    /// (AZ-04).
    fn admitted(&self, head: &Head) -> Result<(PeerCredentials, Role), AdminError> {
        let Peer::Unix(peer) = &*head.peer else { return Err(AdminError::new(ErrorCode::Forbidden)) };
        let access = &self.last_read.access;
        if let Some(role) = access.role(peer.uid, peer.name.as_deref(), &peer.groups) {
            return Ok((peer.clone(), role));
        }
        self.refusals.without_role(peer, self.services.clock.now());
        let forbidden = AdminError::new(ErrorCode::Forbidden);
        // As configured by default, or on a host without the group.
        Err(match self.last_read.only_admin_group {
            true => forbidden
                .cause(format!("{} is not a member of the group {ADMIN_GROUP}", peer.who()))
                .fix("sudo usermod -aG authd-admin $USER, and log in again"),
            false => forbidden
                .cause(format!("{} has no role on this socket", peer.who()))
                .fix("ask an administrator for one: admin.roles in the configuration, then systemctl reload authd"),
        })
    }
}

/// The refusal of what needs a higher role, in the log and for the caller.
fn refused(operator: &PeerCredentials, role: Role, needed: Role) -> AdminError {
    AdminError::new(ErrorCode::Forbidden)
        .cause(format!("{} has the role {role}, and this needs the role {needed}", operator.who()))
        .fix(format!("ask somebody with the role {needed}, or an administrator for that role: admin.roles.{needed}"))
}

/// Browsers say where a request comes from. Nothing that does is a command line.
fn is_browser(head: &Head) -> bool {
    head.has(header::ORIGIN)
        || head.has(header::REFERER)
        || head.headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
}

async fn read_body<S, B>(head: &Head, stream: S, most: Bodies) -> Result<(Body, Raw), AdminError>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    // The number of connections bounds what all bodies take together.
    let mut share = Share::of(&Arc::default(), most.bytes);
    let bytes = body::read(&head.headers, stream, most.bytes, BODY_TIMEOUT, &mut share).await.map_err(|e| match e {
        BodyError::TooLarge => AdminError::new(ErrorCode::PayloadTooLarge),
        BodyError::TooSlow => AdminError::new(ErrorCode::RequestTimeout),
        BodyError::Broken => AdminError::new(ErrorCode::BadRequest).cause("the body is broken off"),
        BodyError::TooMany => AdminError::new(ErrorCode::Busy),
    })?;
    if bytes.is_empty() {
        return Ok((Body::Undefined, bytes));
    }
    let kind = head.text(header::CONTENT_TYPE).map(body::media_type);
    if kind.as_deref() != Some("application/json") {
        return Err(AdminError::new(ErrorCode::UnsupportedMediaType).fix("send content-type: application/json"));
    }
    let parsed = body::parse_json_crowd(&bytes, most.members);
    parsed.map(|body| (body, bytes)).map_err(|problem| AdminError::new(ErrorCode::BadRequest).cause(problem))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use http::{HeaderMap, Method};

    use super::*;
    use crate::domain::access::Grant;

    /// The roles as the design has them: view looks, helpdesk looks after ordinary accounts, oncall after keys.
    const OUGHT: &[(&str, Role)] = &[
        ("GET /metrics", Role::View),
        ("GET /v1/status", Role::View),
        ("GET /v1/users", Role::View),
        ("POST /v1/users", Role::Helpdesk),
        ("GET /v1/users/{user}", Role::View),
        ("DELETE /v1/users/{user}", Role::Admin),
        ("POST /v1/users/{user}/password", Role::Helpdesk),
        ("POST /v1/users/{user}/disable", Role::Helpdesk),
        ("POST /v1/users/{user}/enable", Role::Helpdesk),
        ("POST /v1/users/{user}/ban", Role::Helpdesk),
        ("POST /v1/users/{user}/role", Role::Helpdesk),
        ("GET /v1/sessions", Role::View),
        ("POST /v1/sessions/revoke", Role::Helpdesk),
        ("GET /v1/sessions/{session}", Role::View),
        ("GET /v1/keys", Role::View),
        ("POST /v1/keys/rotate", Role::Oncall),
        ("POST /v1/keys/rollback", Role::Oncall),
        ("POST /v1/keys/rewrap", Role::Admin),
        ("POST /v1/keys/cookie-cache", Role::Admin),
        ("POST /v1/keys/{kid}/revoke", Role::Oncall),
        ("GET /v1/mail", Role::View),
        ("GET /v1/mail/preview", Role::View),
        ("POST /v1/mail/test", Role::Oncall),
        ("POST /v1/mail/retry", Role::Oncall),
        ("GET /v1/events", Role::View),
        ("POST /v1/events/replay", Role::Oncall),
        ("GET /v1/hooks", Role::View),
        ("POST /v1/hooks/test", Role::Oncall),
        ("GET /v1/throttles", Role::View),
        ("POST /v1/throttles/clear", Role::Helpdesk),
        ("POST /v1/tokens/inspect", Role::View),
        ("POST /v1/tokens/verify", Role::View),
        ("GET /v1/service-tokens", Role::View),
        ("POST /v1/service-tokens", Role::Admin),
        ("POST /v1/service-tokens/{name}/revoke", Role::Oncall),
        ("POST /v1/store/snapshot", Role::Oncall),
        ("GET /v1/backups", Role::View),
        ("POST /v1/backups", Role::Oncall),
        ("POST /v1/backups/verify", Role::Oncall),
        ("POST /v1/backups/prune", Role::Admin),
        ("GET /v1/backups/{backup}", Role::Oncall),
        ("DELETE /v1/backups/{backup}", Role::Oncall),
        ("GET /v1/audit", Role::View),
        ("GET /v1/audit/verify", Role::View),
        ("POST /v1/audit/erase", Role::Admin),
        ("GET /v1/imports", Role::View),
        ("GET /v1/imports/fields", Role::Admin),
        ("POST /v1/imports", Role::Admin),
        ("POST /v1/imports/{import}/undo", Role::Admin),
    ];

    /// The status of a request by a user with this name, under roles that are held by users of their names.
    async fn status_of(name: &str, method: Method, path: &str) -> StatusCode {
        let services = crate::http::tests::app(|_| ()).services;
        let (started_at, data_dir) = (UnixTime::EPOCH, PathBuf::new());
        let mode = Mode::Development;
        let info = Info {
            mode,
            started_at,
            listen: vec![],
            public_url: String::new(),
            config: None,
            data_dir,
            master_key: None,
            legacy_secret_until: None,
            copies: None,
            log_lines_dropped: || 0,
            requests: Arc::new(Requests::of(std::iter::empty())),
        };
        let grants = Role::ALL.map(|role| (role, Grant::User(role.to_string()))).to_vec();
        let last_read = LastRead { access: Access { own_uid: 1, grants }, ..LastRead::default() };
        let app = Arc::new(AdminApp::new(services, info, last_read, Arc::new(Gauge::new(1))));
        let peer = PeerCredentials { uid: 1000, gid: 0, pid: None, name: Some(name.into()), groups: vec![0] };
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("authd"))]);
        let head = Head { method, uri: path.parse().unwrap(), headers, peer: Arc::new(Peer::Unix(peer)) };
        app.answer(Arc::new(head), stream::iter(Vec::<Result<Bytes, warp::Error>>::new())).await.status()
    }

    #[tokio::test]
    async fn az_01_each_route_is_for_its_role_and_those_above_it_and_for_nobody_else() {
        let known: Vec<String> = routes::ROUTES.iter().map(|r| format!("{} {}", r.verb.method(), r.path)).collect();
        let ought: Vec<&str> = OUGHT.iter().map(|(route, _)| *route).collect();
        assert_eq!(known, ought, "a route without a role that somebody thought about");
        for (route, (_, needed)) in routes::ROUTES.iter().zip(OUGHT) {
            let path = route.path.replace(['{', '}'], "");
            for (name, role) in Role::ALL.map(|role| (role.as_str(), Some(role))).into_iter().chain([("eve", None)]) {
                let status = status_of(name, route.verb.method(), &path).await;
                // As good as root: its handler asks for more than any role.
                let is_roots = route.path == "/v1/keys/rewrap";
                let allowed = role.is_some_and(|role| role >= *needed) && !is_roots;
                assert_eq!(status != StatusCode::FORBIDDEN, allowed, "{name}: {path}: {status}");
            }
        }
    }
}
