//! Everything put together. The only file that names every concrete type.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use common::Span;
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::{
    admin::{self, AdminApp, Info},
    backup::Shelf,
    calling,
    clock::SystemClock,
    config::{Config, CookieDomain, Delivery, Mode, Problem, PublicUrl},
    crypto::{
        entropy::SystemEntropy,
        hasher::{Cost, HasherConfig, HasherPool},
        jwt::Jwt,
        seal::{MasterVault, Sealer},
        session_copy::{self, Copies},
        strength::Strength,
    },
    datadir::DataDir,
    domain::{
        Act, Event, EventKind, KeyPolicy, PasswordPolicy, Publishing, SessionPolicy, origin::TrustedOrigins,
        token::Expected,
    },
    door::PeerCredentials,
    exit::{Exit, Failure},
    http::{self, App, Bearer, Cookies, Plugins},
    life::{Life, Pulse},
    listen::{self, Inherited, SocketFile},
    live::Live,
    net::{self, Gauge, Limits, Listener, Users},
    opening::{bring_up, master_key, open_store, unusable},
    ports::{Clock, Entropy, Mailer, PasswordHasher, SessionCopies, TokenSigner},
    post_office,
    reload::{Reloader, last_read},
    service::{
        Policy, Services,
        backups::{self, Schedule},
        email::EmailPolicy,
        events::EventPolicy,
        keys,
        mail::{self, MailPolicy},
        maintenance,
        throttle::{self, Throttles},
        tokens::{RecentJwts, VerifiedTokens},
    },
    store::{
        Store,
        sled::{SledOptions, SledStore, Steps},
    },
    takeover, telemetry,
};

/// What a test puts in the place of the real thing.
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The cost of a hash, if not the configured one.
    pub cost: Option<Cost>,
    /// The hasher, if not one of this cost on its own threads.
    pub hasher: Option<Arc<dyn PasswordHasher>>,
    /// What hands mails over, if not what is configured.
    pub mailer: Option<Arc<dyn Mailer>>,
    /// Sockets from outside.
    pub inherited: Inherited,
    /// How the store behaves, besides what is configured.
    pub store: SledOptions,
    /// Where one can see how far opening it has come.
    pub steps: Arc<Steps>,
    /// Stands between the use cases and the store: failures, for tests.
    pub around_store: Option<Around<dyn Store>>,
    /// Stands between the use cases and the signer.
    pub around_signer: Option<Around<dyn TokenSigner>>,
    /// Whether the clock is right although the store has records of a later time.
    pub trust_clock: bool,
}

impl Default for Parts {
    fn default() -> Self {
        let clock = Arc::new(SystemClock::default());
        let (inherited, store) = (Inherited::default(), SledOptions::default());
        let (around_store, around_signer) = (None, None);
        Self {
            clock,
            cost: None,
            hasher: None,
            mailer: None,
            inherited,
            store,
            steps: Arc::default(),
            around_store,
            around_signer,
            trust_clock: false,
        }
    }
}

/// Puts something around the real thing.
pub type Around<T> = Arc<dyn Fn(Arc<T>) -> Arc<T> + Send + Sync>;

fn around<T: ?Sized>(wrap: Option<Around<T>>, real: Arc<T>) -> Arc<T> {
    match wrap {
        Some(wrap) => wrap(real),
        None => real,
    }
}

/// A daemon at work.
pub struct Running {
    /// Where the public door listens.
    pub address: SocketAddr,
    /// What clients call it.
    pub public_url: String,
    /// Where metrics are served over TCP.
    pub metrics: Option<SocketAddr>,
    /// The admin socket.
    pub admin_socket: PathBuf,
    /// What was made because it was not there yet.
    pub made_master_key: bool,
    services: Arc<Live<Services>>,
    reloader: Arc<Mutex<Reloader>>,
    /// Tells everything to stop.
    stop: watch::Sender<bool>,
    /// Becomes true when the store has stopped taking changes.
    store_stopped: watch::Receiver<bool>,
    tasks: JoinSet<()>,
    store: Arc<SledStore>,
    doors: Vec<Arc<Pulse>>,
    _socket: Option<SocketFile>,
    _data: DataDir,
}

impl Running {
    /// Waits until something fails that the daemon cannot work without, if it ever does.
    pub async fn failed(&mut self) -> Failure {
        tokio::select! {
            () = net::told(&mut self.store_stopped) => {
                Failure::new(Exit::Io, "the store has stopped taking changes; the log says why")
            }
            Some(ended) = self.tasks.join_next() => {
                let how = ended.map_or_else(|e| e.to_string(), |()| "it returned".into());
                Failure::new(Exit::Software, format!("a part of the daemon has ended: {how}"))
            }
        }
    }

    /// Applies a configuration that was read again, as far as that is possible without a restart.
    pub async fn reload(&self, read: Result<Config, Vec<Problem>>) {
        self.reloader.lock().await.reload(read).await;
    }

    /// What applies a changed configuration, for a task of its own: asking the host who its users are may take long.
    pub fn reloader(&self) -> Arc<Mutex<Reloader>> {
        self.reloader.clone()
    }

    /// The use cases' ground as the configuration is now, for tests.
    pub fn services(&self) -> Arc<Services> {
        self.services.get()
    }

    /// What shows that it lives.
    pub fn life(&self) -> Life {
        Life { store: self.store.clone(), doors: self.doors.clone(), status: self.status() }
    }

    /// What systemd is told of it.
    pub fn status(&self) -> String {
        format!("serving {}", self.public_url)
    }

    /// Stops accepting, waits for requests under way as long as the configuration says, and closes the store.
    pub async fn stop(self) {
        let Self { stop, mut tasks, services, store, reloader, .. } = self;
        stop.send_replace(true);
        store.end_upkeep();
        services.get().events.end();
        while tasks.join_next().await.is_some() {}
        if let Err(error) = throttle::write_down(&services.get()).await {
            warn!(%error, "counters of failed sign-ins were not written down");
        }
        // The last hands on the store: its writer ends after what is queued, and sled flushes.
        drop((services, reloader, store));
    }
}

/// Starts everything.
///
/// # Errors
/// What stands in the way, with the exit code that goes with it.
pub async fn start(config: &Config, parts: Parts) -> Result<Running, Failure> {
    let settings = &config.settings;
    let places = &config.places;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
    let clock = parts.clock;

    let takeover = takeover::load(config, clock.now())?;
    let data = DataDir::claim(&places.data_dir)?;
    let options = store_options(config, parts.store);
    let store_path = data.store();
    let opening = open_store(store_path, options).await?.telling(parts.steps);
    let (master, made_master_key) = master_key(config, &opening, &*entropy)?;
    let sealer = Sealer::new(master.expose());
    let fingerprint = sealer.fingerprint().to_owned();
    drop(master);
    let vault = Arc::new(MasterVault::new(sealer, entropy.clone()));
    let signer: Arc<dyn TokenSigner> = Arc::new(Jwt::new(vault.clone()));
    let store = bring_up(config, opening, &vault, fingerprint, &signer, &entropy, clock.now()).await?;
    let (store, secrets, cookie_mac) = store;
    let store = Arc::new(store);
    settle_time(&store, &*clock, parts.trust_clock).await?;
    // Judged by the time that is settled: the host's clock may be years behind when authd starts.
    takeover::check_deadline(config, clock.now())?;
    let store_stopped = store.stopped();

    let hasher: Arc<dyn PasswordHasher> = match parts.hasher {
        Some(hasher) => hasher,
        None => Arc::new(start_hasher(config, parts.cost, &entropy)?),
    };
    let also_ipv6 = config.mode == Mode::Development;
    let (listeners, address) = listen::public(parts.inherited.http, settings.http.listen, also_ipv6).await?;
    if config.mode == Mode::Development && !address.ip().is_loopback() {
        let message =
            format!("the inherited socket listens on {address}, and development mode is for this machine only");
        return Err(
            Failure::new(Exit::Configuration, message).fix("authd init, and --config; or a socket on 127.0.0.1")
        );
    }
    let public_url = config.public_url(address.port());
    let mailer = match parts.mailer {
        Some(mailer) if config.mail_delivery() != Delivery::Off => Some(mailer),
        _ => post_office::open(config)?,
    };
    let backups = Arc::new(shelf(config, &vault, &entropy));
    let services = Arc::new(Services {
        backups,
        store: around(parts.around_store, store.clone()),
        upkeep: store.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        hasher,
        signer: around(parts.around_signer, signer),
        vault,
        secrets,
        policy: policy(config, &public_url),
        mail: Arc::new(mail::Room::new(mailer)),
        hooks: Arc::new(calling::hooks(config)?),
        events: Arc::new(calling::events(config)?),
        throttles: Arc::new(Throttles::new(settings.throttle.failures)),
        recent_jwts: Arc::new(RecentJwts::default()),
        verified_tokens: Arc::new(VerifiedTokens::default()),
        counts: Arc::default(),
    });

    let listen_on: Vec<String> = listeners.iter().filter_map(|l| l.local_addr().ok()).map(|a| a.to_string()).collect();
    let (prefix, domain) = (settings.cookies.prefix.as_str(), settings.cookies.domain.as_ref());
    let (domain, age) = (domain.map(CookieDomain::as_str), settings.session.expires_in);
    let cookies =
        Cookies::named(cookie_mac, prefix, domain, public_url.is_secure, age).taking_over(takeover, clock.clone());
    let copies = settings.cookies.cache.form().map(|form| {
        let copies: Arc<dyn SessionCopies> = Arc::new(Copies::new(&*services.secrets.copies, form, entropy.clone()));
        (copies, settings.cookies.cache_life)
    });
    let cookies = cookies.copying(copies);
    let (door, first_cookies) = public_door(config, &public_url, &cookies);
    let app = Arc::new(Live::new(Arc::new(App::new(services.clone(), door, first_cookies))));
    let admin_socket =
        listen::admin(parts.inherited.admin, &places.admin_socket, listen::is_for_everybody(config)).await?;

    let metrics = listen::metrics(parts.inherited.metrics, config).await?;

    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let live_app = app.clone();
    let speaks_for_many = move |address: IpAddr| {
        address.is_loopback() || live_app.get().settings.trusted_proxies.iter().any(|n| n.contains(address))
    };
    let connections = Gauge::new(connection_limit(settings.http.max_connections))
        .per_client(settings.http.max_connections_per_client as usize, speaks_for_many);
    let connections = Arc::new(connections);
    let limits = Limits {
        first_head: settings.http.header_timeout.to_std(),
        idle: settings.http.idle_timeout.to_std(),
        write: Duration::from_secs(10),
        drain: settings.http.drain_timeout.to_std(),
        keep_alive: true,
    };
    throttle::load(&services)
        .await
        .map_err(|e| Failure::new(Exit::Io, format!("the throttles cannot be read: {e}")))?;
    if keys::current(&services).signing(clock.now()).is_none() {
        // A store whose keys are all of another time: nobody could be signed in.
        warn!("no key signs at this time: a new one is made");
        keys::tend(&services).await.map_err(|e| Failure::new(Exit::Io, format!("no signing key can be made: {e}")))?;
    }
    keys::allow_longer_tokens(&services)
        .await
        .map_err(|e| Failure::new(Exit::Io, format!("the keys cannot be kept: {e}")))?;
    let doors = serve_public(&mut tasks, listeners, &app, limits, &connections, &stopping);

    let info = Info {
        mode: config.mode,
        started_at: clock.now(),
        listen: listen_on,
        public_url: public_url.origin().to_owned(),
        config: config.file.clone(),
        data_dir: places.data_dir.clone(),
        master_key: (!places.is_credential).then(|| places.master_key.clone()),
        legacy_secret_until: settings.session.legacy_secret_until,
        copies: settings.cookies.cache.form().map(|_| admin::Copies {
            secret: session_copy::secret(&*services.secrets.copies).as_str().into(),
            form: settings.cookies.cache.to_string(),
            prefix: prefix.to_owned(),
        }),
        log_lines_dropped: telemetry::dropped,
        requests: app.get().requests.clone(),
    };
    let last_read = last_read(config, info.started_at, &places.admin_socket);
    let admin = Arc::new(Live::new(Arc::new(AdminApp::new(services.clone(), info, last_read, connections))));
    let live = Arc::new(Live::new(services.clone()));
    let reloader = Arc::new(Mutex::new(Reloader {
        config: config.clone(),
        public_url: public_url.clone(),
        cookies,
        socket: places.admin_socket.clone(),
        socket_file: admin_socket.file.as_ref().map(SocketFile::id),
        services: live.clone(),
        public: app,
        admin: admin.clone(),
    }));
    let of_access = admin.clone();
    let metrics = metrics.map(|(listener, address)| {
        let service = TowerToHyperService::new(warp::service(admin::metrics::filter(admin.clone())));
        let gauge = Arc::new(Gauge::new(METRICS_CONNECTIONS));
        tasks.spawn(net::serve(Listener::Tcp(listener), service, limits, gauge, Arc::default(), stopping.clone()));
        address
    });
    let service = TowerToHyperService::new(warp::service(AdminApp::filter(admin)));
    // A command line asks at once or not at all; whoever holds connections open for longer keeps others out.
    // One request a connection: who asks is looked up when it begins, and groups change.
    let admin_limits = Limits { first_head: ADMIN_IDLE, idle: ADMIN_IDLE, keep_alive: false, ..limits };
    let listener = Listener::Unix(admin_socket.listener);
    let gauge = Arc::new(Gauge::new(ADMIN_CONNECTIONS).per_user(admin_users(of_access)));
    tasks.spawn(net::serve(listener, service, admin_limits, gauge, Arc::default(), stopping.clone()));
    tasks.spawn(post_office::send_mail(live.clone(), stopping.clone()));
    tasks.spawn(calling::tell_events(live.clone(), stopping.clone()));
    tasks.spawn(write_down(live.clone(), stopping.clone()));
    tasks.spawn(keep_snapshots(store.clone(), clock.clone(), stopping.clone()));
    tasks.spawn(keep_backups(live.clone(), stopping.clone()));
    tasks.spawn(tend(live.clone(), stopping));

    Ok(Running {
        address,
        public_url: public_url.origin().to_owned(),
        metrics,
        admin_socket: places.admin_socket.clone(),
        made_master_key,
        services: live,
        reloader,
        stop,
        store_stopped,
        tasks,
        store,
        doors,
        _socket: admin_socket.file,
        _data: data,
    })
}

/// How many connections are served at once that ask for metrics.
const METRICS_CONNECTIONS: usize = 16;
/// How many connections the admin door serves at once.
const ADMIN_CONNECTIONS: usize = 128;
/// How many of them are for root and the daemon's own user alone, so that there is always somebody who can act.
const ADMIN_RESERVE: usize = 32;
/// How many of them one user of the host may have.
const ADMIN_CONNECTIONS_PER_USER: usize = 16;
/// How many of them all users together may have who have no role.
const ADMIN_STRANGERS: usize = 8;
/// How long a connection to the admin door may be silent.
const ADMIN_IDLE: Duration = Duration::from_secs(5);
/// File descriptors that are not for connections: the store, sockets, the log, the runtime.
const OTHER_FILES: u64 = 256;

/// Who may have how many connections on the admin door, by what is configured at the moment.
fn admin_users(admin: Arc<Live<AdminApp>>) -> Users {
    let own = nix::unistd::geteuid().as_raw();
    let role =
        move |peer: &PeerCredentials| admin.get().last_read.access.role(peer.uid, peer.name.as_deref(), &peer.groups);
    Users {
        each: ADMIN_CONNECTIONS_PER_USER,
        together: ADMIN_CONNECTIONS - ADMIN_RESERVE,
        strangers: ADMIN_STRANGERS,
        is_exempt: Box::new(move |uid| uid == 0 || uid == own),
        has_role: Box::new(move |peer| role(peer).is_some()),
    }
}

/// The configured limit, as far as the process may have so many files: beyond that, accepting would fail instead of waiting.
fn connection_limit(wanted: u32) -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let needed = u64::from(wanted) + OTHER_FILES;
    let limit = match soft < needed && setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard).is_ok() {
        true => needed.min(hard),
        false => soft,
    };
    let possible = usize::try_from(limit.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).max(16);
    let wanted = wanted as usize;
    if possible < wanted {
        warn!(possible, "http.max_connections is {wanted}, and this process may not open so many files (LimitNOFILE=)");
    }
    wanted.min(possible)
}

/// Lets time begin where the store's records end: a clock that was set back while the daemon was down brings nothing back
/// either (F-07).
async fn settle_time(store: &SledStore, clock: &dyn Clock, trust_clock: bool) -> Result<(), Failure> {
    let latest = store.latest_time().await.map_err(|e| unusable(&e))?;
    let now = clock.now();
    if trust_clock && now < latest {
        let event = Event::new(EventKind::ClockTrusted).with("latest", &latest);
        store.note_clock(now, Act::by_daemon(now), event).await.map_err(|e| unusable(&e))?;
        return Ok(());
    }
    clock.not_before(latest);
    let behind = clock.wall_is_behind();
    if behind >= maintenance::UNSAFE_CLOCK {
        warn!(%behind, "the host's clock is behind the latest time on record; time goes on from there");
    }
    Ok(())
}

fn serve_public(
    tasks: &mut JoinSet<()>,
    listeners: Vec<TcpListener>,
    app: &Arc<Live<App>>,
    limits: Limits,
    connections: &Arc<Gauge>,
    stopping: &watch::Receiver<bool>,
) -> Vec<Arc<Pulse>> {
    let mut pulses = vec![];
    for listener in listeners {
        let service = TowerToHyperService::new(warp::service(App::filter(app.clone())));
        let pulse = Arc::new(Pulse::default());
        let (listener, connections) = (Listener::Tcp(listener), connections.clone());
        tasks.spawn(net::serve(listener, service, limits, connections, pulse.clone(), stopping.clone()));
        pulses.push(pulse);
    }
    pulses
}

/// How often the daemon looks after its store.
const TEND_EVERY: Duration = Duration::from_secs(30);
/// How often it writes down who has to wait: so much of it `kill -9` may lose.
const WRITE_DOWN_EVERY: Duration = Duration::from_secs(2);

/// Sweeps and rotates until the daemon stops. A failure is logged, and the next round tries again.
async fn tend(services: Arc<Live<Services>>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(TEND_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => match maintenance::round(&services.get()).await {
                Ok(0) => {}
                Ok(swept) => info!(swept, "expired sessions were swept away"),
                Err(error) => warn!(%error, "maintenance failed; it is tried again"),
            },
            () = net::told(&mut stopping) => return,
        }
    }
}

/// Writes down who has to wait, until the daemon stops: beside maintenance, which may take long.
async fn write_down(services: Arc<Live<Services>>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(WRITE_DOWN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let Err(error) = throttle::write_down(&services.get()).await {
                    warn!(%error, "counters of failed sign-ins were not written down");
                }
            }
            () = net::told(&mut stopping) => return,
        }
    }
}

/// How the store uses the machine, as configured.
pub(crate) fn store_options(config: &Config, given: SledOptions) -> SledOptions {
    let (settings, events) = (&config.settings.store, &config.settings.events);
    SledOptions {
        cache_bytes: settings.cache.0,
        reserve_bytes: settings.reserve.0,
        snapshot_every: settings.snapshot_every,
        log_bytes: settings.log_size.0,
        publishing: Publishing { is_on: events.stream || events.url.is_some(), delivers: events.url.is_some() },
        ..given
    }
}

/// Makes a snapshot whenever it is time for one, until the daemon stops.
async fn keep_snapshots(store: Arc<SledStore>, clock: Arc<dyn Clock>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(TEND_EVERY);
    let mut doubts = store.doubts();
    // Those that were there before this began to look.
    doubts.mark_changed();
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once; a start has enough to do.
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let Err(error) = store.snapshot_if_due(clock.now()).await {
                    warn!(%error, "no snapshot of the store could be made; it is tried again");
                }
            }
            Ok(()) = doubts.changed() => {
                let is_in_doubt = *doubts.borrow_and_update();
                if is_in_doubt && let Err(error) = store.settle_doubts().await {
                    warn!(%error, "the store is not what it should be, or that could not be found out");
                }
            }
            () = net::told(&mut stopping) => return,
        }
    }
}

/// Where backups are, and when they are made.
fn shelf(config: &Config, vault: &Arc<MasterVault>, entropy: &Arc<dyn Entropy>) -> backups::Room {
    let settings = &config.settings.backup;
    let directory = settings.directory.clone().unwrap_or_else(|| config.places.data_dir.join("backups"));
    let (recipients, reserve) = (settings.recipients.clone(), config.settings.store.reserve.0);
    let shelf = Shelf::new(directory, recipients, reserve, vault.clone(), entropy.clone());
    let schedule = Schedule { every: settings.every, keep: settings.keep as usize };
    backups::Room::new(Arc::new(shelf), settings.directory.is_some().then_some(schedule))
}

/// Makes backups when it is time for one, until the daemon stops.
async fn keep_backups(services: Arc<Live<Services>>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(TEND_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once; a start has enough to do.
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let services = services.get();
                if let Err(error) = backups::round(&services, services.clock.now()).await {
                    warn!(%error, "no backup could be made; it is tried again");
                }
            }
            () = net::told(&mut stopping) => return,
        }
    }
}

fn start_hasher(config: &Config, cost: Option<Cost>, entropy: &Arc<dyn Entropy>) -> Result<HasherPool, Failure> {
    let password = &config.settings.password;
    let strength = match &password.blocklist_file {
        Some(path) => Strength::with_list(path).map_err(|e| {
            let message = format!("password.blocklist_file: {} cannot be read: {e}", path.display());
            Failure::new(Exit::Configuration, message)
        })?,
        None => Strength::default(),
    };
    let configured = Cost {
        memory_kib: password.argon2_memory,
        iterations: password.argon2_iterations,
        parallelism: password.argon2_parallelism,
    };
    let threads = match password.hash_threads {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
        n => n as usize,
    };
    let config =
        HasherConfig { cost: cost.unwrap_or(configured), threads, queue: password.hash_queue as usize, strength };
    HasherPool::start(&config, entropy).map_err(|e| Failure::new(Exit::System, format!("hashing cannot start: {e}")))
}

/// Which of Better Auth's plugins are on.
pub(crate) fn plugins(config: &Config) -> Plugins {
    let s = &config.settings;
    Plugins {
        bearer: match (s.bearer.enabled, s.bearer.require_signature) {
            (false, _) => Bearer::Off,
            (true, true) => Bearer::Signed,
            (true, false) => Bearer::On,
        },
        jwt: s.jwt.enabled,
        set_auth_jwt: s.jwt.enabled && s.jwt.set_header,
        admin: s.admin_plugin.enabled,
        username: s.username.enabled,
    }
}

/// The public door's part of the configuration.
pub(crate) fn public_door(config: &Config, url: &PublicUrl, cookies: &Cookies) -> (http::Settings, Cookies) {
    let s = &config.settings;
    let door = http::Settings {
        mode: config.mode,
        public_url: url.clone(),
        hosts: s.http.hosts.clone(),
        mounts: s.http.mounts.clone(),
        origins: TrustedOrigins {
            own: url.origin().to_owned(),
            patterns: s.http.trusted_origins.clone(),
            loopback: config.mode == Mode::Development,
        },
        trusted_proxies: s.http.trusted_proxies.clone(),
        client_address: s.http.client_address,
        throttle_requests: s.throttle.requests.is_on(config.mode == Mode::Production),
        max_body: s.http.max_body.0,
        max_body_total: s.http.max_body_total.0,
        body_timeout: s.http.body_timeout,
        plugins: plugins(config),
        defer_refresh: s.session.defer_refresh,
    };
    (door, cookies.living(s.session.expires_in))
}

/// The use cases' part of the configuration.
pub(crate) fn policy(config: &Config, public_url: &PublicUrl) -> Policy {
    let s = &config.settings;
    let origin = public_url.origin();
    let or_origin = |list: &[String]| if list.is_empty() { vec![origin.to_owned()] } else { list.to_vec() };
    Policy {
        password: PasswordPolicy {
            min_length: s.password.min_length as usize,
            max_length: s.password.max_length as usize,
            min_guesses: s.password.blocklist.then(|| u64::from(s.password.min_guesses)),
            context_words: s.password.context_words.clone(),
        },
        session: SessionPolicy {
            expires_in: s.session.expires_in,
            update_age: s.session.update_age,
            absolute: s.session.absolute,
            unremembered: s.session.unremembered,
            fresh_age: s.session.fresh_age,
            max_per_user: s.session.max_per_user as usize,
        },
        keys: KeyPolicy {
            publish_ahead: s.keys.publish_ahead,
            token_life: s.token.expires_in,
            rotate_every: Some(s.keys.rotate_every).filter(|every| *every != Span::ZERO),
        },
        algorithm: s.keys.algorithm,
        token: Expected {
            issuer: s.token.issuer.clone().unwrap_or_else(|| origin.to_owned()),
            audience: or_origin(&s.token.audience),
        },
        prolong_sessions: s.session.prolong,
        token_life: s.token.expires_in,
        reuse_window: s.session.reuse_window,
        sign_up_enabled: s.sign_up.enabled,
        auto_sign_in: s.sign_up.auto_sign_in,
        password_change_ends_sessions: s.account.password_change_ends_sessions,
        self_delete: s.account.self_delete,
        locked_fields: s.admin_plugin.locked_fields(),
        locked_session_fields: s.admin_plugin.locked_session_fields(),
        admin: s.admin_plugin.rules(),
        username: s.username.rules(),
        delete_by_mail: s.account.delete_by_mail,
        delete_expires_in: s.account.delete_expires_in,
        reset_expires_in: s.password.reset_expires_in,
        reset_ends_sessions: s.password.reset_ends_sessions,
        email: EmailPolicy {
            is_required: s.email.verification_required,
            sends_on_sign_up: s.email.send_on_sign_up.is_on(s.email.verification_required),
            sends_on_sign_in: s.email.send_on_sign_in,
            signs_in: s.email.auto_sign_in_after_verification,
            expires_in: s.email.verification_expires_in,
            may_change: s.email.change_enabled,
            asks_old_address: s.email.change_confirmation,
            changes_unverified_at_once: s.email.change_unverified_at_once,
        },
        mail: MailPolicy {
            base: format!("{origin}{}", s.http.mounts.first().map_or("", |mount| mount.prefix())),
            service: s.mail.service_name.clone().unwrap_or_else(|| public_url.host.clone()),
            per_address: s.mail.per_address,
            per_client: s.mail.per_client,
            patience: s.mail.give_up_after,
            templates: s.mail.templates.clone(),
        },
        open_hooks: s.hooks.fail_open.iter().map(|name| name.0).collect(),
        events: EventPolicy {
            topics: s.events.types.iter().map(|name| name.0).collect(),
            patience: s.events.give_up_after,
            retention: s.events.retention,
            keep: u64::from(s.events.keep),
        },
        audit_retention: Some(s.audit.retention).filter(|retention| *retention != Span::ZERO),
        user_fields: s.user.fields.0.clone(),
        session_fields: s.session.fields.0.clone(),
    }
}
