//! The admin door: HTTP/1.1 and JSON over a Unix socket, paths under `/v1`. Who may do what is decided by the kernel's
//! word about the peer, never by anything in a request; and whatever smells of a browser is refused.

pub mod audit;
pub mod error;
pub mod keys;
pub mod request;
pub mod routes;
pub mod sessions;
pub mod status;
pub mod throttles;
pub mod tokens;
pub mod users;

use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, Bytes};
use common::{
    ErrorCode, RequestId, UnixTime,
    admin::{API_VERSION, VERSION_HEADER},
};
use futures_util::{FutureExt, Stream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tracing::{error, warn};
use warp::{Filter, reply::Response};

pub use self::{error::AdminError, request::AdminReq, routes::Route};
use crate::{
    config::Mode,
    door::{Body, BodyError, Found, Head, Peer, PeerCredentials, Reply, Router, body},
    net::Gauge,
    service::{Services, audit as acts},
};

/// The largest body of a request.
const MAX_BODY: u64 = 64 * 1024;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What `status` tells of the daemon beyond what the services know.
#[derive(Debug, Clone)]
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
    /// What the configuration's reader found worth a look.
    pub advice: Vec<String>,
    /// Until when cookies of the server before are taken, if that was configured.
    pub legacy_secret_until: Option<UnixTime>,
    /// The group whose members are administrators; `None` if the host has no such group.
    pub admin_group: Option<u32>,
    /// How many lines the log has lost.
    pub log_lines_dropped: fn() -> u64,
    /// The daemon's own user, who is an administrator.
    pub own_uid: u32,
}

/// Everything that handlers work with.
pub struct AdminApp {
    /// The use cases' ground.
    pub services: Arc<Services>,
    /// What the daemon is.
    pub info: Info,
    /// Connections on the public door.
    pub connections: Arc<Gauge>,
    router: Router<Route>,
    requests: AtomicU64,
}

impl AdminApp {
    /// With the route table built.
    pub fn new(services: Arc<Services>, info: Info, connections: Arc<Gauge>) -> Self {
        let mut router = Router::default();
        for route in routes::ROUTES {
            router.insert(route.verb.method(), route.path, route);
        }
        Self { services, info, connections, router, requests: AtomicU64::new(0) }
    }

    #[allow(clippy::expect_used)]
    fn request_id(&self) -> RequestId {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let started = self.info.started_at.as_millis();
        format!("admin-{started:x}-{number}").parse().expect("hexadecimal digits are an id")
    }

    /// The one filter.
    pub fn filter(
        self: Arc<Self>,
    ) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
        warp::ext::get::<Arc<Head>>().and(warp::body::stream()).then(move |head: Arc<Head>, body| {
            let app = self.clone();
            async move { app.answer(head, body).await }
        })
    }

    async fn answer<S, B>(self: Arc<Self>, head: Arc<Head>, stream: S) -> Response
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf + Send,
    {
        let id = self.request_id();
        let caught = AssertUnwindSafe(self.dispatch(&head, stream, &id)).catch_unwind().await;
        let outcome = caught.unwrap_or_else(|_| {
            error!(request.id = %id, "a handler of the admin door panicked");
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
        let operator = self.permitted(head)?;
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
        let (body, raw) = read_body(head, stream).await?;
        let req = AdminReq {
            head: head.clone(),
            body,
            params,
            request_id: id.clone(),
            reason: request::reason(head)?,
            idempotency: request::idempotency(head, &raw, &operator)?,
            operator,
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

    /// root, the daemon's own user, and members of the admin group. Everybody else is refused, whatever the mode of the
    /// socket's file has become (AZ-04).
    fn permitted(&self, head: &Head) -> Result<PeerCredentials, AdminError> {
        let Peer::Unix(peer) = &*head.peer else { return Err(AdminError::new(ErrorCode::Forbidden)) };
        let member = self.info.admin_group.is_some_and(|group| peer.groups.contains(&group));
        if peer.uid == 0 || peer.uid == self.info.own_uid || member {
            return Ok(peer.clone());
        }
        let who = peer.name.clone().unwrap_or_else(|| format!("uid {}", peer.uid));
        warn!(operator.uid = peer.uid, operator.pid = peer.pid, "a peer without the right to administrate was refused");
        Err(AdminError::new(ErrorCode::Forbidden)
            .cause(format!("{who} is not a member of the group authd-admin"))
            .fix("sudo usermod -aG authd-admin $USER, and log in again"))
    }
}

/// Browsers say where a request comes from. Nothing that does is a command line.
fn is_browser(head: &Head) -> bool {
    head.has(header::ORIGIN)
        || head.has(header::REFERER)
        || head.headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
}

async fn read_body<S, B>(head: &Head, stream: S) -> Result<(Body, Bytes), AdminError>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let bytes = body::read(&head.headers, stream, MAX_BODY, BODY_TIMEOUT).await.map_err(|e| match e {
        BodyError::TooLarge => AdminError::new(ErrorCode::PayloadTooLarge),
        BodyError::TooSlow => AdminError::new(ErrorCode::RequestTimeout),
        BodyError::Broken => AdminError::new(ErrorCode::BadRequest).cause("the body is broken off"),
    })?;
    if bytes.is_empty() {
        return Ok((Body::Undefined, bytes));
    }
    let kind = head.text(header::CONTENT_TYPE).map(body::media_type);
    if kind.as_deref() != Some("application/json") {
        return Err(AdminError::new(ErrorCode::UnsupportedMediaType).fix("send content-type: application/json"));
    }
    let parsed = body::parse_json(&bytes);
    parsed.map(|body| (body, bytes)).map_err(|problem| AdminError::new(ErrorCode::BadRequest).cause(problem))
}
