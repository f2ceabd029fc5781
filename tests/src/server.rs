//! A daemon in this process.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use authd::{
    app::{self, Around, Parts, Running},
    config::{self, Config, Flags, Settings},
    crypto::hasher::Cost,
    exit::Failure,
    listen::Inherited,
    ports::{Clock, Letter, Mailer, PasswordHasher, TokenSigner},
    service::{Services, mail},
    store::{
        Store,
        sled::{Faults, SledOptions},
    },
};
use common::{Span, UnixTime};
use tempfile::TempDir;

use crate::{Client, Postbox, Response, client::Target};

/// A clock that goes when it is told to. What it shows is what a wall clock shows; authd sees the later of it and the time
/// that it said it had been already.
#[derive(Debug)]
pub struct TestClock {
    shows: AtomicI64,
    floor: AtomicI64,
}

/// Where every test begins.
pub const START: UnixTime = UnixTime::from_secs(1_800_000_000);

impl Clock for TestClock {
    fn now(&self) -> UnixTime {
        self.now_time().max(UnixTime::from_millis(self.floor.load(Ordering::SeqCst)))
    }

    fn not_before(&self, time: UnixTime) {
        self.floor.fetch_max(time.as_millis(), Ordering::SeqCst);
    }

    fn wall_is_behind(&self) -> Span {
        self.now().since(self.now_time())
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self { shows: AtomicI64::new(START.as_millis()), floor: AtomicI64::new(0) }
    }
}

impl TestClock {
    /// Later.
    pub fn advance(&self, span: Span) {
        self.set(self.now_time().plus(span));
    }

    /// What it shows.
    pub fn now_time(&self) -> UnixTime {
        UnixTime::from_millis(self.shows.load(Ordering::SeqCst))
    }

    /// At this time.
    pub fn set(&self, at: UnixTime) {
        self.shows.store(at.as_millis(), Ordering::SeqCst);
    }
}

/// How a server is to be.
pub struct Builder {
    env: Vec<(String, String)>,
    file: Option<String>,
    doubles: Doubles,
}

impl Default for Builder {
    fn default() -> Self {
        // A release build, which benches are, has none that is cheap.
        let cost = cfg!(debug_assertions).then(Cost::insecure_for_tests);
        let mailer = Some(Arc::default());
        let doubles = Doubles { cost, mailer, ..Doubles::default() };
        Self { env: vec![], file: None, doubles }
    }
}

impl Builder {
    /// With a setting: `("http.max_body", "1KiB")`.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let name = format!("AUTHD_{}", key.replace('.', "__")).to_ascii_uppercase();
        self.env.push((name, value.into()));
        self
    }

    /// In production mode, with this configuration file.
    #[must_use]
    pub fn file(mut self, text: &str) -> Self {
        self.file = Some(text.into());
        self
    }

    /// With mail as it is configured, instead of a [`Postbox`].
    #[must_use]
    pub fn real_mail(mut self) -> Self {
        self.doubles.mailer = None;
        self
    }

    /// With hashes that cost what is configured.
    #[must_use]
    pub fn real_hashes(mut self) -> Self {
        self.doubles.cost = None;
        self
    }

    /// With a hasher of the test's own.
    #[must_use]
    pub fn hasher(mut self, hasher: Arc<dyn PasswordHasher>) -> Self {
        self.doubles.hasher = Some(hasher);
        self
    }

    /// With something between the use cases and the store.
    #[must_use]
    pub fn around_store(mut self, wrap: impl Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync + 'static) -> Self {
        self.doubles.store = Some(Arc::new(wrap));
        self
    }

    /// With something between the use cases and the signer.
    #[must_use]
    pub fn around_signer(
        mut self,
        wrap: impl Fn(Arc<dyn TokenSigner>) -> Arc<dyn TokenSigner> + Send + Sync + 'static,
    ) -> Self {
        self.doubles.signer = Some(Arc::new(wrap));
        self
    }

    /// With a store that breaks what it promises, on purpose. Release builds have no way to ask for that, and keep it.
    #[must_use]
    pub fn faults(self, faults: Faults) -> Self {
        #[cfg(debug_assertions)]
        let doubles = Doubles { options: SledOptions { faults, ..self.doubles.options }, ..self.doubles };
        #[cfg(not(debug_assertions))]
        let (doubles, _) = (self.doubles, faults);
        Self { doubles, ..self }
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(self) -> Server {
        self.try_start().await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Starts it, or says why not.
    ///
    /// # Errors
    /// What stands in the way.
    ///
    /// # Panics
    /// If the configuration is wrong.
    #[allow(clippy::unwrap_used)]
    pub async fn try_start(self) -> Result<Server, Failure> {
        let dir = Arc::new(TempDir::new().unwrap());
        let home = dir.path().join("home");
        let mut env = self.env;
        // The test's clock stands still: with Better Auth's limits the fourth sign-in would be the last.
        if !env.iter().any(|(name, _)| name == "AUTHD_THROTTLE__REQUESTS") {
            env.push(("AUTHD_THROTTLE__REQUESTS".into(), "off".into()));
        }
        env.push(("HOME".into(), home.display().to_string()));
        let config_file = self.file.map(|text| {
            let path = dir.path().join("authd.toml");
            std::fs::write(&path, text).unwrap();
            let key = dir.path().join("master.key");
            if !key.exists() {
                authd::crypto::master::create(&key, &authd::crypto::entropy::SystemEntropy::default()).unwrap();
            }
            env.push(("AUTHD_KEYS__MASTER_KEY_FILE".into(), key.display().to_string()));
            path
        });
        let flags = Flags {
            development: config_file.is_none(),
            config: config_file,
            data_dir: Some(dir.path().join("data")),
            listen: Some("127.0.0.1:0".into()),
            admin_socket: Some(dir.path().join("admin.sock")),
            installed: None,
        };
        let config = config::load(&flags, &env).unwrap_or_else(|p| panic!("{p:#?}"));
        let clock = Arc::new(TestClock::default());
        Box::pin(Server::run(config, clock, self.doubles, dir, false)).await
    }
}

/// What stands in the place of the real thing, or before it.
#[derive(Clone, Default)]
struct Doubles {
    cost: Option<Cost>,
    hasher: Option<Arc<dyn PasswordHasher>>,
    store: Option<Around<dyn Store>>,
    signer: Option<Around<dyn TokenSigner>>,
    options: SledOptions,
    mailer: Option<Arc<Postbox>>,
}

/// A running server. Dropping it abandons it; [`Server::stop`] stops it in order.
pub struct Server {
    /// Its clock.
    pub clock: Arc<TestClock>,
    /// Where its public door is.
    pub address: SocketAddr,
    /// What clients call it.
    pub url: String,
    /// Its admin socket.
    pub socket: PathBuf,
    config: Config,
    doubles: Doubles,
    running: Option<Running>,
    dir: Arc<TempDir>,
}

impl Server {
    /// With the defaults of development mode, cheap hashes, and [`START`] on the clock.
    pub async fn start() -> Self {
        Builder::default().start().await
    }

    /// With settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn run(
        config: Config,
        clock: Arc<TestClock>,
        doubles: Doubles,
        dir: Arc<TempDir>,
        trust_clock: bool,
    ) -> Result<Self, Failure> {
        let Doubles { cost, hasher, store, signer, options, mailer } = doubles.clone();
        let parts = Parts {
            steps: Arc::default(),
            clock: clock.clone(),
            cost,
            hasher,
            mailer: mailer.map(|post| post as Arc<dyn Mailer>),
            inherited: Inherited::default(),
            store: options,
            around_store: store,
            around_signer: signer,
            trust_clock,
        };
        let running = app::start(&config, parts).await?;
        Ok(Self {
            clock,
            address: running.address,
            url: running.public_url.clone(),
            socket: running.admin_socket.clone(),
            config,
            doubles,
            running: Some(running),
            dir,
        })
    }

    /// A client of the address where it serves metrics, if there is one.
    pub fn metrics(&self) -> Option<Client> {
        let address = self.running.as_ref().and_then(|running| running.metrics);
        address.map(|address| Client::new(Target::Tcp(address), "metrics.example".into()))
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The directory that has everything of it.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().into()
    }

    /// The use cases' ground, for what no door offers (a sweep now).
    ///
    /// # Panics
    /// If it was stopped.
    #[allow(clippy::expect_used)]
    pub fn services(&self) -> Arc<Services> {
        self.running.as_ref().expect("the server runs").services()
    }

    /// What stands in the place of the mail server.
    ///
    /// # Panics
    /// If it has real mail.
    #[allow(clippy::expect_used)]
    pub fn postbox(&self) -> Arc<Postbox> {
        self.doubles.mailer.clone().expect("it has a postbox")
    }

    /// Sends what is due, and answers all mails that have gone since this was asked.
    ///
    /// # Panics
    /// If the queue cannot be read.
    #[allow(clippy::unwrap_used)]
    pub async fn mails(&self) -> Vec<Letter> {
        mail::round(&self.services()).await.unwrap();
        self.postbox().take()
    }

    /// As [`Server::mails`], where there must be one, with a link: to whom it went, and where the link leads.
    ///
    /// # Panics
    /// If it is otherwise.
    #[allow(clippy::expect_used)]
    pub async fn mailed_link(&self) -> (String, String) {
        let mut mails = self.mails().await;
        let letter = mails.pop().filter(|_| mails.is_empty()).expect("there is one mail");
        let link = letter.link.expect("it has a link").expose().to_owned();
        (letter.to.to_string(), link)
    }

    /// Waits until it finds that it cannot go on.
    ///
    /// # Panics
    /// If it goes on, or was stopped.
    #[allow(clippy::expect_used)]
    pub async fn failed(&mut self) -> Failure {
        let running = self.running.as_mut().expect("the server runs");
        tokio::time::timeout(crate::process::LIMIT, running.failed()).await.expect("it goes on")
    }

    /// Stops it in order.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Stops it and starts it again on the same directory, with the same clock. The port is a new one.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(self) -> Self {
        let clock = self.clock.clone();
        Box::pin(self.again(clock, false)).await
    }

    /// As [`Server::restart`], with other settings.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart_with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.config.settings);
        self.restart().await
    }

    /// Lets it read other settings while it runs, as on SIGHUP.
    ///
    /// # Panics
    /// If it was stopped.
    #[allow(clippy::expect_used)]
    pub async fn reload(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.config.settings);
        self.running.as_mut().expect("the server runs").reload(Ok(self.config.clone())).await;
    }

    /// As after a reboot, with a clock that shows this and knows nothing of the time before.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart_at(self, shows: UnixTime, trust_clock: bool) -> Self {
        let clock = Arc::new(TestClock::default());
        clock.set(shows);
        self.again(clock, trust_clock).await
    }

    async fn again(mut self, clock: Arc<TestClock>, trust_clock: bool) -> Self {
        self.stop().await;
        loop {
            let (config, doubles) = (self.config.clone(), self.doubles.clone());
            match Box::pin(Self::run(config, clock.clone(), doubles, self.dir.clone(), trust_clock)).await {
                // In one process the threads of sled that was stopped may hold its lock for a moment more.
                Err(e) if e.to_string().contains("acquire lock") => tokio::task::yield_now().await,
                started => return started.unwrap_or_else(|e| panic!("{e}")),
            }
        }
    }

    /// A client of the public door, without cookies.
    pub fn client(&self) -> Client {
        Client::new(Target::Tcp(self.address), Client::host_of(self))
    }

    /// A browser on a page of this origin: keeps cookies and says where it comes from.
    pub fn browser(&self, origin: &str) -> Client {
        self.client().with_cookies().header("origin", origin).header("sec-fetch-site", "same-site")
    }

    /// A client of the admin socket.
    pub fn admin(&self) -> Client {
        Client::new(Target::Unix(self.socket.clone()), "authd".into())
    }

    /// Signs up by the plain endpoint, in token mode.
    pub async fn sign_up(&self, email: &str) -> Response {
        let body = serde_json::json!({"email": email, "password": crate::PASSWORD, "name": "Ada"});
        self.client().post("/api/auth/signup", &body).await
    }
}
