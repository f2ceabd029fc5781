//! The life of the process: flags, configuration, start, signals, stop.

use std::{
    io::{self, Write},
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use nix::{
    sys::{
        resource::{Resource, setrlimit},
        stat::{Mode as FileMode, umask},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{geteuid, getpid},
};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
    task::block_in_place,
    time::{Instant, interval, sleep_until},
};
use tracing::{error, info, warn};

use crate::{
    admin,
    app::{self, Parts, Running},
    backup::{self, Wanted},
    card,
    cli::{BackupCommand, Cli, Command, ConfigCommand, Door, FromBackup, StoreCommand},
    clock::SystemClock,
    config::{self, Config, Flags, Mode, Problem},
    crypto::hasher::Cost,
    exit::{Exit, Failure},
    http, init,
    listen::Inherited,
    offline,
    ports::Clock,
    proxies,
    reload::Reloader,
    service::mail,
    store::sled::{SledOptions, Steps, kept_stores},
    takeover, telemetry,
};

/// Runs the program. Messages go to standard error; data, and the start-up card, to standard output.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut flags: Flags = cli.flags.into();
    let refusal = match &cli.command {
        Some(Command::Init(_)) => {
            Some("init takes neither --config nor --development: --dir says where to put what it makes")
        }
        Some(Command::Config(ConfigCommand::Init(_))) => {
            Some("config init takes neither --config nor --development: it prints what a file may say, and reads none")
        }
        _ => None,
    };
    if let Some(message) = refusal.filter(|_| flags.config.is_some() || flags.development) {
        Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    flags.installed = installed_for_tests(&env).or(flags.installed);
    let outcome = match &cli.command {
        Some(Command::Init(wanted)) => init::init(wanted, &flags).and_then(|done| {
            let config = wanted.dir.join("authd.toml");
            let next = format!("\nnext: look through it, then  authd config check --config {}\n", config.display());
            out(&(done.join("\n") + &next))
        }),
        Some(Command::NewMasterKey { file }) => init::new_master_key(file).and_then(|done| out(&done)),
        Some(Command::Openapi { door }) => described(*door),
        Some(Command::Config(ConfigCommand::Init(_))) => given(&flags).and_then(|given| out(&Config::template(&given))),
        Some(Command::Config(ConfigCommand::Check)) => read(&flags, &env).and_then(|config| check(&config)),
        Some(Command::Config(ConfigCommand::Show)) => read(&flags, &env).and_then(|config| out(&config.show())),
        Some(Command::Backup(BackupCommand::NewIdentity { file, json })) => {
            confine();
            backup::new_identity(file).and_then(|done| out(done.as_asked(*json)))
        }
        Some(command @ (Command::Restore { .. } | Command::Backup(_))) => {
            read(&flags, &env).and_then(|config| on_backup(&config, command))
        }
        Some(Command::Routes(wanted)) => read(&flags, &env).and_then(|config| out(&proxies::show(&config, wanted)?)),
        Some(Command::Store(command)) => {
            read(&flags, &env).and_then(|config| on_store(&config, *command, store_for_tests(&env)))
        }
        None => read(&flags, &env).and_then(|config| serve(&with_advice(config), &flags, &env, cli.trust_clock)),
    };
    telemetry::finish(outcome.as_ref().err().map(|failure| format!("authd: {failure}\n")));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.exit as u8),
    }
}

fn out(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(Exit::Io, e.to_string())),
        _ => Ok(()),
    }
}

/// With the routes of all plugins, under the first of the usual mounts.
fn described(door: Door) -> Result<(), Failure> {
    let document = match door {
        Door::Public => http::openapi::document("http://localhost:8000", "/api/auth", http::Plugins::ALL, true),
        Door::Admin => admin::openapi::document(),
    };
    out(&format!("{document:#}\n"))
}

fn on_store(config: &Config, command: StoreCommand, store: SledOptions) -> Result<(), Failure> {
    confine();
    telemetry::start(config.settings.log.format, config.settings.log.level)
        .map_err(|e| Failure::new(Exit::System, format!("no thread for the log: {e}")))?;
    let done = match command {
        StoreCommand::Verify => offline::verify(config, store),
        StoreCommand::Rebuild => offline::rebuild(config, store),
        StoreCommand::Compact => offline::compact(config, store),
        StoreCommand::Migrate { check } => offline::migrate(config, store, check),
        StoreCommand::Snapshot { unverified } => offline::snapshot(config, store, unverified),
    };
    out(&done?)
}

fn on_backup(config: &Config, command: &Command) -> Result<(), Failure> {
    confine();
    telemetry::start(config.settings.log.format, config.settings.log.level)
        .map_err(|e| Failure::new(Exit::System, format!("no thread for the log: {e}")))?;
    let now = SystemClock::default().now();
    let wanted = |from: &FromBackup, old_data: Option<&PathBuf>| Wanted {
        file: from.file.clone(),
        identity: from.identity.clone(),
        fingerprint: from.fingerprint.clone(),
        old_data: old_data.cloned(),
    };
    match command {
        Command::Restore { from, old_data } => out(&backup::restore(config, &wanted(from, old_data.as_ref()), now)?),
        Command::Backup(BackupCommand::Verify { from, json }) => {
            out(backup::verify(config, &wanted(from, None))?.as_asked(*json))
        }
        Command::Backup(BackupCommand::Drill { from, scratch, json }) => {
            let own = || std::env::temp_dir().join(format!("authd-drill-{}", std::process::id()));
            let scratch = scratch.clone().unwrap_or_else(own);
            let scratch = std::path::absolute(&scratch).unwrap_or(scratch);
            out(backup::drill(config, &wanted(from, None), &scratch, now)?.as_asked(*json))
        }
        _ => Ok(()),
    }
}

fn given(flags: &Flags) -> Result<Vec<(String, String)>, Failure> {
    flags.given().map_err(|e| Failure::new(Exit::Configuration, e))
}

fn check(config: &Config) -> Result<(), Failure> {
    takeover::check_deadline(config, SystemClock::default().now())?;
    let templates = template_problems(config);
    if !templates.is_empty() {
        let message = format!("the templates of mails have problems:\n  {}", templates.join("\n  "));
        return Err(Failure::new(Exit::Configuration, message));
    }
    let file = config.file.as_ref().map_or_else(|| "no file".into(), |file| file.display().to_string());
    let mut text = format!("the configuration is sound ({}, {file})\n", config.mode.as_str());
    for advice in config.advice() {
        text += &format!("note: {advice}\n");
    }
    out(&text)
}

/// What keeps mails from being made. A start goes on all the same: the files are read anew for each mail.
fn template_problems(config: &Config) -> Vec<String> {
    let folder = config.settings.mail.templates.as_deref();
    let problems = folder.map(mail::check_templates).unwrap_or_default();
    problems.iter().map(|problem| format!("mail.templates: {problem}")).collect()
}

/// What is worth a word besides the configuration: who serves it, and with which files.
fn with_advice(mut config: Config) -> Config {
    for kept in kept_stores(&config.places.data_dir) {
        config.advice_around.push(format!(
            "{} is the store as it was before this authd: remove it when you will not go back, it has all that was deleted since",
            kept.display()
        ));
    }
    if config.mode == Mode::Production && geteuid().is_root() {
        config.advice_around.push(
            "authd runs as root, which it has no need of: a flaw in it would be one of the whole host; give it a user of its own"
                .into(),
        );
    }
    let templates = template_problems(&config).into_iter();
    config
        .advice_around
        .extend(templates.map(|problem| format!("{problem}; until it is mended, no such mail is sent")));
    config
}

fn read(flags: &Flags, env: &[(String, String)]) -> Result<Config, Failure> {
    config::load(flags, env).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        let count = match problems.len() {
            1 => "1 problem".into(),
            n => format!("{n} problems"),
        };
        let message = format!("the configuration has {count}:\n{}", lines.join("\n"));
        Failure::new(Exit::Configuration, message)
    })
}

/// The cost of hashes where the environment asks for cheap ones: tests that start the daemon hundreds of times do. The
/// variable means nothing to a release build.
#[cfg(debug_assertions)]
fn cost_for_tests(env: &[(String, String)]) -> Option<Cost> {
    let wanted = env.iter().any(|(name, value)| name == "AUTHD_TEST_CHEAP_HASHES" && value == "1");
    wanted.then(|| {
        warn!("AUTHD_TEST_CHEAP_HASHES: passwords are hashed too cheaply to be safe");
        Cost::insecure_for_tests()
    })
}

#[cfg(not(debug_assertions))]
const fn cost_for_tests(_: &[(String, String)]) -> Option<Cost> {
    None
}

/// The clock, as far ahead as the environment asks for. The variable means nothing to a release build.
#[cfg(debug_assertions)]
fn clock_for_tests(env: &[(String, String)]) -> SystemClock {
    let ahead = env.iter().find(|(name, _)| name == "AUTHD_TEST_CLOCK_AHEAD").and_then(|(_, span)| span.parse().ok());
    ahead.map_or_else(SystemClock::default, |ahead: common::Span| {
        warn!("AUTHD_TEST_CLOCK_AHEAD: the clock is wrong, on purpose");
        SystemClock::ahead_for_tests(ahead)
    })
}

#[cfg(not(debug_assertions))]
fn clock_for_tests(_: &[(String, String)]) -> SystemClock {
    SystemClock::default()
}

/// The store, with the fault that the environment asks for. The variable means nothing to a release build.
#[cfg(debug_assertions)]
fn store_for_tests(env: &[(String, String)]) -> SledOptions {
    let mut options = SledOptions::default();
    let Some((_, fault)) = env.iter().find(|(name, _)| name == "AUTHD_TEST_FAULT") else { return options };
    match fault.as_str() {
        "answer-before-commit" => options.faults.answers_too_early = true,
        "no-fdatasync" => options.faults.skips_log_sync = true,
        "replay-skips-one" => options.faults.replay_skips_one = true,
        "next-format" => options.faults.next_format = true,
        "told-before-telling" => options.faults.told_before_telling = true,
        "panic-in-writer" => options.faults.panics_at_group = 8,
        _ => return options,
    }
    warn!("AUTHD_TEST_FAULT: the store breaks what it promises, on purpose");
    options
}

#[cfg(not(debug_assertions))]
fn store_for_tests(_: &[(String, String)]) -> SledOptions {
    SledOptions::default()
}

/// What stands for /etc/authd/authd.toml where the environment says so: the machine that tests run on may have one. The
/// variable means nothing to a release build.
#[cfg(debug_assertions)]
fn installed_for_tests(env: &[(String, String)]) -> Option<PathBuf> {
    env.iter().find(|(name, _)| name == "AUTHD_TEST_INSTALLED_CONFIG").map(|(_, path)| path.into())
}

#[cfg(not(debug_assertions))]
const fn installed_for_tests(_: &[(String, String)]) -> Option<PathBuf> {
    None
}

/// What this process may do and leave behind: files for its owner only, no core dumps with keys in them (CR-04, CR-05).
fn confine() {
    umask(FileMode::from_bits_truncate(0o077));
    if let Err(e) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        warn!("core dumps cannot be switched off: {e}");
    }
    if let Err(e) = nix::sys::prctl::set_dumpable(false) {
        warn!("this process cannot be made undumpable: {e}");
    }
}

fn serve(config: &Config, flags: &Flags, env: &[(String, String)], trust_clock: bool) -> Result<(), Failure> {
    telemetry::start(config.settings.log.format, config.settings.log.level)
        .map_err(|e| Failure::new(Exit::System, format!("no thread for the log: {e}")))?;
    confine();
    let names = env.iter().find(|(name, _)| name == "LISTEN_FDNAMES").map(|(_, value)| value.as_str());
    let inherited = Inherited::take(names)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::System, format!("no threads: {e}")))?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        if getpid().as_raw() == 1 {
            drop(tokio::spawn(reap(listen(SignalKind::child())?)));
        }
        let (cost, store) = (cost_for_tests(env), store_for_tests(env));
        let clock = Arc::new(clock_for_tests(env));
        let steps = Arc::<Steps>::default();
        let parts = Parts { clock, cost, inherited, store, trust_clock, steps: steps.clone(), ..Parts::default() };
        let running = while_it_takes(app::start(config, parts), &steps).await?;
        announce(config, &running, env)?;
        // A little more than requests under way get: closing the store takes a moment too.
        let stop_within = config.settings.http.drain_timeout.to_std() + CLOSE_WITHIN;
        // The same file as at the start, or none: a file that came or went meanwhile must not change the mode.
        let flags =
            Flags { config: config.file.clone(), development: config.mode == Mode::Development, ..flags.clone() };
        let env = env.to_vec();
        run(running, &mut signals, stop_within, Arc::new(move || config::load(&flags, &env).map(with_advice))).await
    })
}

/// Waits for the start, and tells systemd how far it has come: a large store may have to be made anew.
async fn while_it_takes<T>(start: impl Future<Output = T>, steps: &Steps) -> T {
    let mut start = pin!(start);
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => {
                let status = format!("opening the store: {}", steps.now());
                notify(&[NotifyState::ExtendTimeoutUsec(60_000_000), NotifyState::Status(&status)]);
            }
            started = &mut start => return started,
        }
    }
}

fn announce(config: &Config, running: &Running, env: &[(String, String)]) -> Result<(), Failure> {
    for advice in config.advice().filter(|_| config.mode == Mode::Production) {
        warn!("{advice}");
    }
    // Before the log's word, which comes by a thread of its own: on a terminal the two stand in one order.
    if config.mode == Mode::Development {
        out(&card::card(config, running, env))?;
    }
    info!(
        version = env!("CARGO_PKG_VERSION"),
        mode = config.mode.as_str(),
        address = %running.address,
        admin = %running.admin_socket.display(),
        metrics = running.metrics.map(tracing::field::display),
        "authd is ready"
    );
    notify(&[NotifyState::Ready, NotifyState::Status(&running.status())]);
    Ok(())
}

/// Tells systemd, if it listens.
pub(crate) fn notify(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        warn!("systemd cannot be told: {e}");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|e| Failure::new(Exit::System, format!("signals cannot be received: {e}")))
}

/// The first process of a container inherits what others leave behind there, a shell that somebody ran in it, say: it would stay
/// as a zombie until it is asked how it ended. authd has no children of its own from whom this could take anything.
async fn reap(mut ended: Signal) {
    while ended.recv().await.is_some() {
        let more = || waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive);
        while more() {}
    }
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }
}

type ReadAgain = Arc<dyn Fn() -> Result<Config, Vec<Problem>> + Send + Sync>;

/// Reads the configuration again. systemd is told when that begins and ends, so that `systemctl reload` waits for it. On a task
/// of its own: the host's account database may be slow, and the watchdog and a stop do not wait for it.
async fn reload(reloader: Arc<Mutex<Reloader>>, read_again: ReadAgain, status: String) {
    let mut reloader = reloader.lock().await;
    let mut begins = vec![NotifyState::Reloading];
    begins.extend(NotifyState::monotonic_usec_now());
    notify(&begins);
    let status = match reloader.reload(block_in_place(|| read_again())).await {
        0 => status,
        1 => format!("{status}; the configuration as it was before: the changed one has 1 problem (authctl status)"),
        n => format!("{status}; the configuration as it was before: the changed one has {n} problems (authctl status)"),
    };
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// How long closing the store may take once the last request is answered.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

async fn run(
    mut running: Running,
    signals: &mut Signals,
    stop_within: Duration,
    read_again: ReadAgain,
) -> Result<(), Failure> {
    let failed = {
        let life = running.life();
        let mut feeding = pin!(async {
            match sd_notify::watchdog_enabled() {
                Some(limit) => life.feed(limit).await,
                None => std::future::pending().await,
            }
        });
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break None,
                _ = signals.interrupt.recv() => break None,
                _ = signals.hang_up.recv() => {
                    drop(tokio::spawn(reload(running.reloader(), read_again.clone(), running.status())));
                }
                failure = running.failed() => break Some(failure),
                never = &mut feeding => match never {},
            }
        }
    };
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping: requests under way are finished")]);
    info!("authd stops");
    let deadline = Instant::now() + stop_within;
    tokio::select! {
        () = running.stop() => {}
        // Twice asked is asked in earnest. What was acknowledged is on disk already.
        _ = signals.interrupt.recv() => warn!("stopped without waiting for requests under way"),
        () = sleep_until(deadline) => error!("stopping took too long"),
    }
    failed.map_or(Ok(()), Err)
}
