//! The public door: the route table, the checks before a handler in their recorded order, and what every answer carries.

pub mod auth;
pub mod better_auth;
pub mod client;
pub mod cookie;
pub mod error;
mod given;
pub mod health;
pub mod jwks;
mod known_cookies;
pub mod openapi;
pub mod origin;
pub mod plain;
mod prepared;
pub mod request;
pub mod routes;
pub mod throttle;

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Buf;
use common::{ErrorCode, RequestId, Span, text::printable};
use futures_util::Stream;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use tracing::{debug, error};
use warp::{Filter, reply::Response};

use self::prepared::Prepared;
pub use self::{
    cookie::Cookies,
    error::ApiError,
    request::Req,
    routes::{BodyRule, OriginRule, Plugin, Route},
};
use crate::{
    config::{AddressHeader, Host, Mode, Mount, PublicUrl},
    domain::{address::Network, origin::TrustedOrigins},
    door::{Body, BodyError, Found, Head, Panic, Reply, Room, Router, Share, body, panics},
    live::Live,
    metrics::Requests,
    service::{Services, random::RequestIds},
};

/// What the public door is configured to do.
#[derive(Clone)]
pub struct Settings {
    /// Development or production.
    pub mode: Mode,
    /// What clients call the service.
    pub public_url: PublicUrl,
    /// What else they may call it.
    pub hosts: Vec<Host>,
    /// The paths under which the routes are served.
    pub mounts: Vec<Mount>,
    /// Which web origins may call with cookies.
    pub origins: TrustedOrigins,
    /// Which peers may name the client's address.
    pub trusted_proxies: Vec<Network>,
    /// Where they name it.
    pub client_address: AddressHeader,
    /// Whether requests are limited per client and path.
    pub throttle_requests: bool,
    /// The largest body, in bytes.
    pub max_body: u64,
    /// How much all bodies under way may take together, in bytes.
    pub max_body_total: u64,
    /// How long a body may take.
    pub body_timeout: Span,
    /// Which of Better Auth's plugins are on.
    pub plugins: Plugins,
    /// Whether `GET /get-session` writes nothing, and a POST prolongs.
    pub defer_refresh: bool,
}

/// Which of Better Auth's plugins are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plugins {
    /// Sessions without cookies.
    pub bearer: Bearer,
    /// JWTs by `/token`.
    pub jwt: bool,
    /// JWTs by a header, too.
    pub set_auth_jwt: bool,
    /// Administrators among the users.
    pub admin: bool,
    /// Names to sign in with.
    pub username: bool,
}

impl Plugins {
    /// All of them.
    pub const ALL: Self = Self { bearer: Bearer::On, jwt: true, set_auth_jwt: true, admin: true, username: true };

    /// Whether there are routes of this one.
    pub fn serve(self, plugin: Plugin, is_development: bool) -> bool {
        match plugin {
            Plugin::None => true,
            Plugin::Jwt => self.jwt,
            Plugin::Admin => self.admin,
            Plugin::Username => self.username,
            Plugin::Development => is_development,
        }
    }
}

/// What the bearer plugin takes for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// Nothing.
    Off,
    /// A signed session token.
    Signed,
    /// A session token, signed or not.
    On,
}

impl Bearer {
    /// Whether session tokens are shown, and taken, beside cookies.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

/// Everything that handlers work with.
pub struct App {
    /// The use cases' ground.
    pub services: Arc<Services>,
    /// The configuration of this door.
    pub settings: Settings,
    /// How cookies are signed and read.
    pub cookies: Cookies,
    /// The key set's prepared answer.
    pub jwks: jwks::Prepared,
    /// How its requests were answered.
    pub requests: Arc<Requests>,
    router: Arc<Router<Route>>,
    bodies: Arc<Room>,
    ids: Arc<RequestIds>,
    prepared: Prepared,
}

/// What is known of a request while it is answered.
#[derive(Default)]
struct Seen {
    route: Option<&'static Route>,
    has_read_body: bool,
}

/// The session token for clients without cookies.
const SET_AUTH_TOKEN: HeaderName = HeaderName::from_static("set-auth-token");

/// The request's id, on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl App {
    /// With the route table built for the configured mounts.
    pub fn new(services: Arc<Services>, settings: Settings, cookies: Cookies) -> Self {
        let mut router = Router::default();
        for route in routes::ROUTES {
            if route.is_mounted {
                for mount in &settings.mounts {
                    router.insert(route.verb.method(), &format!("{}{}", mount.prefix(), route.path), route);
                }
            } else {
                router.insert(route.verb.method(), route.path, route);
            }
        }
        let (jwks, router, bodies) = (jwks::Prepared::default(), Arc::new(router), Arc::default());
        let requests = Arc::new(Requests::of(routes::ROUTES.iter().map(|route| (route.verb.as_str(), route.path))));
        let entropy = &*services.entropy;
        let (ids, prepared) = (Arc::new(RequestIds::new(entropy)), Prepared::new(entropy));
        Self { services, settings, cookies, jwks, requests, router, bodies, ids, prepared }
    }

    /// The same door after its configuration was read again. The mounts are those of the start.
    #[must_use]
    pub fn successor(&self, services: Arc<Services>, settings: Settings, cookies: Cookies) -> Self {
        let (router, requests, bodies) = (self.router.clone(), self.requests.clone(), self.bodies.clone());
        // What was prepared is as the configuration of before would have it.
        let prepared = Prepared::new(&*services.entropy);
        let (jwks, ids) = (jwks::Prepared::default(), self.ids.clone());
        Self { services, settings, cookies, jwks, requests, router, bodies, ids, prepared }
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

    async fn answer<S, B>(self: Arc<Self>, head: Arc<Head>, body: S) -> Response
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf + Send,
    {
        let (id, began, mut seen) = (self.ids.draw(), Instant::now(), Seen::default());
        let caught = panics::catch(self.dispatch(&head, body, &id, &mut seen)).await;
        let mut reply = caught.unwrap_or_else(|Panic { said, location }| {
            error!(request.id = %id, location, "a handler panicked: {}", printable(&said));
            ApiError::new(ErrorCode::Internal).into_reply()
        });
        self.dress(&head, &mut reply, &id);
        // After a chunked body, or one that was not read to its end, the next request must not be looked for in what follows
        // (HT-03).
        let is_unread = head.has_body() && !seen.has_read_body;
        let closes =
            is_unread || head.has(header::TRANSFER_ENCODING) || reply.code() == StatusCode::MISDIRECTED_REQUEST;
        if closes && !reply.has(&header::CONNECTION) {
            reply.add(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let route = seen.route.and_then(|route| routes::ROUTES.element_offset(route));
        self.requests.answered(route, reply.code().as_u16(), began.elapsed().as_secs_f64());
        debug!(request.id = %id, http.method = %head.method, http.status = reply.code().as_u16(), "answered");
        reply.into_response()
    }

    /// The checks in the order that was recorded of the real server: limit of requests → route → content type → JSON → origin,
    /// and in the handler: schema → form → session. Before them the host, because nothing of a request counts that was not
    /// meant for us.
    ///
    /// `seen`: what is known of the request, as soon as it is.
    async fn dispatch<S, B>(&self, head: &Arc<Head>, stream: S, id: &RequestId, seen: &mut Seen) -> Reply
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf + Send,
    {
        if let Err(e) = check_request_line(head) {
            return e.into_reply();
        }
        let found = match self.router.find(&head.method, head.path()) {
            Found::Route(route, _) if !self.serves(route) => Found::Nothing,
            found => found,
        };
        if let Found::Route(route, _) = &found {
            seen.route = Some(*route);
        }
        let any_host = matches!(&found, Found::Route(route, _) if route.any_host);
        let is_plain = matches!(&found, Found::Route(route, _) if throttle::is_plain(route));
        if let Err(e) = self.check_host(head, any_host).and_then(|()| client::check_forwarding(self, head, any_host)) {
            return e.into_reply();
        }
        if let Some(reply) = origin::preflight(self, head) {
            return reply;
        }
        if let Err(wait) = throttle::check(self, head, matches!(&found, Found::Route(..))) {
            self.requests.throttled.one();
            let refused = ApiError::throttled(wait);
            return if is_plain { refused } else { refused.as_recorded() }.into_reply();
        }
        // As recorded: an unknown path and a wrong method are the same empty 404.
        let Found::Route(route, params) = found else { return Reply::empty(StatusCode::NOT_FOUND) };
        let renewed = request::Renewed::default();
        let outcome = async {
            // As long as the handler has the body.
            let mut share = Share::of(&self.bodies, self.settings.max_body_total);
            let body = self.body(head, stream, route.body, (&mut share, &mut seen.has_read_body)).await?;
            origin::check(self, head, route.origin, &body)?;
            let req = Req::new(head.clone(), body, params, id.clone(), renewed.clone());
            in_time((route.handler)(self, req)).await
        };
        let recorded = |e: ApiError| if is_plain { e } else { e.as_recorded() };
        let mut reply = outcome.await.unwrap_or_else(|e| recorded(e).logged(id).into_reply());
        if let Some(cookies) = renewed.get()
            && !self.cookies.are_of_sessions(&reply)
        {
            // The mark of a device stays the last.
            let cookies = cookies.iter().filter_map(|cookie| cookie.parse().ok()).collect();
            reply.add_first(&header::SET_COOKIE, cookies);
        }
        // As recorded: wherever an answer sets the session cookie. Not on the plain routes, whose modes say what a page gets.
        if self.settings.plugins.bearer.is_on()
            && !is_plain
            && let Some(token) = self.cookies.set_by(&reply)
        {
            reply.add(SET_AUTH_TOKEN, token);
        }
        reply
    }

    /// Whether there is this route: whether the plugin that it belongs to is on.
    fn serves(&self, route: &Route) -> bool {
        self.settings.plugins.serve(route.plugin, self.settings.mode == Mode::Development)
    }

    fn check_host(&self, head: &Head, any_host: bool) -> Result<(), ApiError> {
        let refuse = || ApiError::new(ErrorCode::InvalidHost);
        let host = head.single(header::HOST).map_err(|_| refuse())?.ok_or_else(refuse)?;
        let served = |host: &str| {
            let settings = &self.settings;
            if settings.public_url.authority.eq_ignore_ascii_case(host) {
                return true;
            }
            let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) if !host.ends_with(']') => (name, port),
                _ => (host, "80"),
            };
            if !is_port(port) {
                return false;
            }
            let is = |other: &str| other.eq_ignore_ascii_case(host) || other.eq_ignore_ascii_case(name);
            settings.hosts.iter().any(|known| is(known.as_str()))
                || settings.mode == Mode::Development && crate::domain::origin::is_loopback_host(name)
        };
        // A target in absolute form names a host too (RFC 9112 §3.2.2).
        let target_ok = head.uri.authority().is_none_or(|authority| served(authority.as_str()));
        if any_host || served(host) && target_ok { Ok(()) } else { Err(refuse()) }
    }

    async fn body<S, B>(
        &self,
        head: &Head,
        stream: S,
        rule: BodyRule,
        (share, has_read): (&mut Share, &mut bool),
    ) -> Result<Body, ApiError>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send,
        B: Buf + Send,
    {
        if rule == BodyRule::None {
            return Ok(Body::Undefined);
        }
        // An empty one is as good as none.
        let content_type = head.text(header::CONTENT_TYPE).filter(|kind| !kind.is_empty());
        let kind = content_type.map(body::media_type);
        let is_form = kind.as_deref() == Some("application/x-www-form-urlencoded");
        let allowed = match kind.as_deref() {
            None | Some("application/json") => true,
            Some(_) => is_form && rule == BodyRule::JsonOrForm,
        };
        if !allowed {
            return Err(unsupported(content_type.unwrap_or_default(), rule));
        }
        let within = self.settings.body_timeout.to_std();
        let bytes = body::read(&head.headers, stream, self.settings.max_body, within, share).await?;
        *has_read = true;
        match (kind, rule) {
            // On Node a body without a type is as good as none; on our own routes it is refused.
            (None, BodyRule::PlainJson) if !bytes.is_empty() => Err(unsupported("", rule)),
            (None, _) => Ok(Body::Undefined),
            (Some(_), _) if is_form => Ok(body::parse_form(&bytes)),
            (Some(_), _) => body::parse_json(&bytes).map_err(|_| ApiError::new(ErrorCode::BadRequest)),
        }
    }

    /// What every answer carries, errors included (WB-05, WB-06).
    fn dress(&self, head: &Head, reply: &mut Reply, id: &RequestId) {
        const FIXED: [(HeaderName, HeaderValue); 5] = [
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
            (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-site")),
            (header::VARY, HeaderValue::from_static("Origin")),
        ];
        for (name, value) in FIXED {
            reply.add(name, value);
        }
        if !reply.has(&header::CACHE_CONTROL) {
            reply.add(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if self.settings.public_url.is_secure {
            reply.add(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        reply.add(REQUEST_ID, id.as_str());
        origin::allow(self, head, reply);
    }
}

/// The longest target, in bytes (HT-01).
const MAX_TARGET: usize = 8 * 1024;

/// What a request line may ask for: no method that is for proxies, of which this is none, and no target beyond the limit.
fn check_request_line(head: &Head) -> Result<(), ApiError> {
    let refused = if matches!(head.method, Method::TRACE | Method::CONNECT) {
        ApiError::with_message(ErrorCode::BadRequest, "This is not a proxy")
    } else if target_length(head) > MAX_TARGET {
        ApiError::new(ErrorCode::UriTooLong)
    } else {
        return Ok(());
    };
    Err(refused.header(header::CONNECTION, HeaderValue::from_static("close")))
}

/// A target may be a URL with scheme and authority.
fn target_length(head: &Head) -> usize {
    let scheme = head.uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    scheme + authority + head.uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// How long a handler may take, once the body is there (HT-02).
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);

/// A handler that takes too long is dropped, as one is whose client hangs up, and as harmlessly: a use case changes the store
/// by one message to the writer, and what is in that message happens whole or not at all, whoever still waits for it. So the
/// answer cannot say that nothing was done.
async fn in_time(handler: impl Future<Output = Result<Reply, ApiError>>) -> Result<Reply, ApiError> {
    let mut handler = pin!(handler);
    // Most have their answer at once, and need no timer.
    if let Poll::Ready(outcome) = poll_fn(|cx| Poll::Ready(handler.as_mut().poll(cx))).await {
        return outcome;
    }
    let outcome = tokio::time::timeout(HANDLER_TIMEOUT, handler).await;
    outcome.unwrap_or_else(|_| Err(ApiError::new(ErrorCode::HandlerTimeout)))
}

fn unsupported(content_type: &str, rule: BodyRule) -> ApiError {
    let allowed = match rule {
        BodyRule::JsonOrForm => "application/x-www-form-urlencoded, application/json",
        BodyRule::Json | BodyRule::PlainJson | BodyRule::None => "application/json",
    };
    let shown = printable(content_type);
    ApiError::with_message(
        ErrorCode::UnsupportedMediaType,
        format!("Content-Type \"{shown}\" is not allowed. Allowed types: {allowed}"),
    )
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(ErrorCode::PayloadTooLarge),
            BodyError::TooSlow => Self::new(ErrorCode::RequestTimeout),
            BodyError::Broken => Self::with_message(ErrorCode::BadRequest, "The body is broken off"),
            BodyError::TooMany => Self::new(ErrorCode::Busy),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{future::pending, net::IpAddr, sync::Mutex, time::Duration};

    use async_trait::async_trait;
    use bytes::Bytes;
    use common::{SecretString, UnixTime};
    use futures_util::stream;
    use http::HeaderMap;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::{
        crypto::{
            entropy::SystemEntropy,
            jwt::Jwt,
            mac::HmacKey,
            seal::{MasterVault, Sealer},
        },
        domain::{Algorithm, KeyPolicy, PasswordHash, PasswordPolicy, SessionPolicy, token::Expected},
        door::Peer,
        ports::{Clock, HasherError, HasherLoad, PasswordHasher, Secrets, Verdict},
        service::{
            Policy,
            email::EmailPolicy,
            mail::MailPolicy,
            tokens::{RecentJwts, VerifiedTokens},
        },
        store::{contract::T0, memory::MemoryStore},
    };

    struct Still;

    impl Clock for Still {
        fn now(&self) -> UnixTime {
            T0
        }
    }

    /// Finds that no password matches, after so long.
    struct Slow(Option<Duration>);

    #[async_trait]
    impl PasswordHasher for Slow {
        async fn hash(&self, _: SecretString, _: Option<IpAddr>) -> Result<PasswordHash, HasherError> {
            pending().await
        }

        async fn verify(
            &self,
            _: SecretString,
            _: Option<PasswordHash>,
            _: Option<IpAddr>,
        ) -> Result<Verdict, HasherError> {
            match self.0 {
                Some(after) => sleep(after).await,
                None => pending().await,
            }
            Ok(Verdict { matches: false, outdated: false })
        }

        async fn guesses(&self, _: SecretString, _: Vec<String>, _: Option<IpAddr>) -> Result<u64, HasherError> {
            pending().await
        }

        fn load(&self) -> HasherLoad {
            HasherLoad { threads: 1, waiting: 0, capacity: 1 }
        }
    }

    /// Does nothing but panic.
    struct Panicking;

    #[async_trait]
    impl PasswordHasher for Panicking {
        async fn hash(&self, _: SecretString, _: Option<IpAddr>) -> Result<PasswordHash, HasherError> {
            panic!("a fault on purpose")
        }

        async fn verify(
            &self,
            _: SecretString,
            _: Option<PasswordHash>,
            _: Option<IpAddr>,
        ) -> Result<Verdict, HasherError> {
            panic!("a fault\non purpose")
        }

        async fn guesses(&self, _: SecretString, _: Vec<String>, _: Option<IpAddr>) -> Result<u64, HasherError> {
            panic!("a fault on purpose")
        }

        fn load(&self) -> HasherLoad {
            HasherLoad { threads: 1, waiting: 0, capacity: 1 }
        }
    }

    /// The door over an empty store in memory, at [`T0`], with a hasher that never answers.
    pub(crate) fn app(change: impl FnOnce(&mut Settings)) -> App {
        app_with(Slow(None), change)
    }

    fn app_with(hasher: impl PasswordHasher + 'static, change: impl FnOnce(&mut Settings)) -> App {
        let mac = || Arc::new(HmacKey::new(b"a secret of at least thirty-two characters"));
        let entropy = Arc::new(SystemEntropy::default());
        let day = Span::from_days(1);
        let policy = Policy {
            password: PasswordPolicy { min_length: 8, max_length: 128, min_guesses: None, context_words: vec![] },
            session: SessionPolicy {
                expires_in: day,
                update_age: day,
                absolute: day,
                unremembered: day,
                fresh_age: day,
                max_per_user: 10,
            },
            keys: KeyPolicy { publish_ahead: Span::ZERO, token_life: day, rotate_every: None },
            algorithm: Algorithm::EdDsa,
            token: Expected { issuer: "x".into(), audience: vec!["x".into()] },
            prolong_sessions: true,
            token_life: day,
            reuse_window: Span::ZERO,
            sign_up_enabled: true,
            auto_sign_in: true,
            password_change_ends_sessions: true,
            self_delete: true,
            delete_by_mail: false,
            delete_expires_in: Span::ZERO,
            reset_expires_in: Span::ZERO,
            reset_ends_sessions: true,
            email: EmailPolicy::default(),
            mail: MailPolicy::default(),
            open_hooks: vec![],
            events: crate::service::events::EventPolicy::default(),
            audit_retention: None,
            locked_fields: crate::domain::FieldSet::default(),
            locked_session_fields: crate::domain::FieldSet::default(),
            admin: None,
            username: None,
            user_fields: Arc::default(),
            session_fields: Arc::default(),
        };
        let vault = Arc::new(MasterVault::new(Sealer::new(&[7; 32]), entropy.clone()));
        let store = Arc::new(MemoryStore::new(mac()));
        let nowhere = crate::backup::Shelf::new("/nonexistent".into(), vec![], 0, vault.clone(), entropy.clone());
        let services = Services {
            backups: Arc::new(crate::service::backups::Room::new(Arc::new(nowhere), None)),
            store: store.clone(),
            upkeep: store,
            clock: Arc::new(Still),
            entropy,
            hasher: Arc::new(hasher),
            signer: Arc::new(Jwt::new(vault.clone())),
            vault,
            secrets: Secrets { cookie: mac(), refresh: mac(), device: mac(), link: mac(), copies: mac() },
            policy,
            mail: Arc::default(),
            hooks: Arc::default(),
            events: Arc::default(),
            throttles: Arc::new(crate::service::throttle::Throttles::new(true)),
            recent_jwts: Arc::new(RecentJwts::default()),
            verified_tokens: Arc::new(VerifiedTokens::default()),
            counts: Arc::default(),
        };
        let mut settings = Settings {
            mode: Mode::Development,
            public_url: PublicUrl::localhost(8000),
            hosts: vec![],
            mounts: vec!["/api/auth".parse().unwrap()],
            origins: TrustedOrigins::default(),
            trusted_proxies: vec![],
            client_address: AddressHeader::XForwardedFor,
            throttle_requests: false,
            max_body: 1024,
            max_body_total: 1024,
            body_timeout: Span::from_secs(30),
            plugins: Plugins { bearer: Bearer::Off, jwt: true, set_auth_jwt: true, admin: false, username: false },
            defer_refresh: false,
        };
        change(&mut settings);
        App::new(Arc::new(services), settings, Cookies::new(mac(), false, day))
    }

    /// A head from `peer` with these header lines.
    pub(crate) fn head(method: Method, target: &str, peer: &str, lines: &[(&str, &[u8])]) -> Arc<Head> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let peer = Arc::new(Peer::Tcp(format!("{peer}:1").parse().unwrap()));
        Arc::new(Head { method, uri: target.parse().unwrap(), headers, peer })
    }

    /// A sign-in by this door: the status and the code.
    async fn sign_in_at(app: App) -> (StatusCode, String) {
        let body = r#"{"email":"ada@example.com","password":"correct horse"}"#;
        let length = body.len().to_string();
        let lines: [(&str, &[u8]); 2] = [("content-type", b"application/json"), ("content-length", length.as_bytes())];
        let head = head(Method::POST, "/api/auth/login", "127.0.0.1", &lines);
        let answer = Arc::new(app).answer(head, stream::iter([Ok(Bytes::from(body))])).await;
        let status = answer.status();
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }

    /// What is logged.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn lg_05_a_handler_that_panics_is_one_line_with_its_request_and_a_500_of_its_own() {
        let (sink, before) = (Sink::default(), std::panic::take_hook());
        let writer = sink.clone();
        let log = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
        let logging = tracing::subscriber::set_default(log);
        std::panic::set_hook(Box::new(crate::telemetry::log_panic));
        let answered = sign_in_at(app_with(Panicking, |_| ())).await;
        std::panic::set_hook(before);
        drop(logging);
        assert_eq!(answered, (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR".into()));
        let logged = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = logged.lines().filter(|line| line.contains("panicked")).collect();
        assert_eq!(lines.len(), 1, "{logged}");
        let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        let said = line["message"].as_str().unwrap();
        assert!(said.starts_with("a handler panicked: a fault") && said.ends_with("on purpose"), "{line}");
        assert!(line["location"].as_str().unwrap().contains("src/http/mod.rs:"), "{line}");
        assert_eq!(line["request.id"].as_str().unwrap().len(), 16);
    }

    /// Signs in with a hasher that takes so long: the status, the code, and how long it took by tokio's clock.
    async fn sign_in(after: Option<Duration>) -> (StatusCode, String, Duration) {
        let app = app_with(Slow(after), |_| ());
        let began = Instant::now();
        let (status, code) = sign_in_at(app).await;
        (status, code, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn ht_02_a_handler_has_thirty_seconds_and_its_client_is_told_when_it_took_longer() {
        let (just, late) = (Duration::from_millis(29_999), Duration::from_millis(30_001));
        let answered = (StatusCode::UNAUTHORIZED, "INVALID_EMAIL_OR_PASSWORD".to_owned(), just);
        assert_eq!(sign_in(Some(just)).await, answered);
        let refused = (StatusCode::SERVICE_UNAVAILABLE, "HANDLER_TIMEOUT".to_owned(), HANDLER_TIMEOUT);
        assert_eq!(sign_in(Some(late)).await, refused);
        assert_eq!(sign_in(None).await, refused);
        assert_eq!(HANDLER_TIMEOUT, Duration::from_secs(30));
    }
}
