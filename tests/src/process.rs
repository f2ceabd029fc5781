//! The programs as users run them: processes with files, signals and exit codes. `./tests/run` builds them first; they lie
//! beside the test's own executable.
//!
//! Nothing here sleeps: a start is over when the log says so, an end when the process is gone. [`LIMIT`] is only there so
//! that a program that hangs fails its test instead of holding it up for good.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::{Client, client::Target, ctl::Outcome, shared};

/// No step of any test takes so long on any machine.
pub const LIMIT: Duration = Duration::from_mins(1);

/// What the log says when both doors are open.
const READY: &str = "authd is ready";

/// A program beside the test's executable (`<target>/debug/deps/process-…`).
fn program(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let path = test.parent()?.parent()?.join(name);
    path.is_file().then_some(path)
}

/// A directory that stands for a machine: a home, places for data and socket, and no other environment.
pub struct Host {
    authd: PathBuf,
    authctl: PathBuf,
    dir: TempDir,
}

impl Host {
    /// `None`, with a word on standard error, if the programs have not been built.
    ///
    /// # Panics
    /// If there can be no temporary directory.
    #[allow(clippy::unwrap_used)]
    pub fn new() -> Option<Self> {
        let (Some(authd), Some(authctl)) = (program("authd"), program("authctl")) else {
            shared::skipped("the binaries (./tests/run builds them)");
            return None;
        };
        let dir = TempDir::new().unwrap();
        // Tests that run authctl as somebody else must let them reach the socket.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o711)).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Some(Self { authd, authctl, dir })
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `HOME`
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// The data directory of [`Host::daemon`].
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The admin socket of [`Host::daemon`].
    pub fn socket(&self) -> PathBuf {
        self.path("admin.sock")
    }

    /// Where the executable of authd is.
    pub fn authd_program(&self) -> &Path {
        &self.authd
    }

    /// Where the executable of authctl is.
    pub fn authctl_program(&self) -> &Path {
        &self.authctl
    }

    /// The master key that development mode made.
    ///
    /// # Panics
    /// If there is not exactly one.
    #[allow(clippy::unwrap_used)]
    pub fn master_key(&self) -> PathBuf {
        let dir = self.home().join(".config/authd");
        let keys: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [key] = keys.as_slice() else { panic!("{keys:?}") };
        key.clone()
    }

    /// A program with nothing but a `HOME` and a `PATH` in its environment.
    pub fn run(&self, program: impl AsRef<OsStr>) -> Run {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.dir.path())
            .kill_on_drop(true);
        Run { command, input: None, stdin: None }
    }

    /// What stands for `/etc/authd/authd.toml`.
    pub fn installed_config(&self) -> PathBuf {
        self.path("etc-authd.toml")
    }

    /// `authd`
    pub fn authd(&self) -> Run {
        self.run(&self.authd).env("AUTHD_TEST_INSTALLED_CONFIG", self.installed_config())
    }

    /// `authd` with the flags for a daemon on a free port, without saying where its data is.
    pub fn bare_daemon(&self) -> Run {
        self.authd().args(["--listen", "127.0.0.1:0"]).flag("--admin-socket", self.socket())
    }

    /// `authd` with all flags for a daemon in development mode. Hashes are cheap.
    pub fn daemon(&self) -> Run {
        self.bare_daemon().args(["--development"]).flag("--data-dir", self.data()).env("AUTHD_TEST_CHEAP_HASHES", "1")
    }

    /// `authctl` on the daemon's socket.
    pub fn authctl(&self) -> Run {
        self.run(&self.authctl).flag("--socket", self.socket())
    }

    /// Runs a command line of authctl. Words are separated by spaces.
    pub async fn ctl(&self, line: &str) -> Outcome {
        self.authctl().args(line.split_whitespace()).end().await
    }

    /// Makes an account whose password is [`crate::PASSWORD`].
    pub async fn create_user(&self, email: &str) -> Outcome {
        self.authctl().args(["user", "create", "--password-stdin", "--email", email]).input(crate::PASSWORD).end().await
    }
}

/// A command line that is being put together.
pub struct Run {
    /// For what the methods below have no word for.
    pub command: Command,
    input: Option<String>,
    stdin: Option<OwnedFd>,
}

impl Run {
    /// With these arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// With a flag that takes a path.
    #[must_use]
    pub fn flag(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.args([name.as_ref(), value.as_ref()])
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without an environment variable.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// With this on standard input.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        self.input = Some(text.into());
        self
    }

    /// With this file as standard input.
    #[must_use]
    pub fn stdin(mut self, file: OwnedFd) -> Self {
        self.stdin = Some(file);
        self
    }

    /// Starts it, with its streams piped here.
    ///
    /// # Panics
    /// If there is no such program.
    #[allow(clippy::unwrap_used)]
    pub async fn spawn(mut self) -> Child {
        let stdin = match (&self.input, self.stdin.take()) {
            (Some(_), _) => Stdio::piped(),
            (None, Some(file)) => file.into(),
            (None, None) => Stdio::null(),
        };
        let mut child = self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if let (Some(text), Some(mut stdin)) = (self.input, child.stdin.take()) {
            // It may end without having read everything.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        child
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it does not end, or by a signal.
    #[allow(clippy::unwrap_used)]
    pub async fn end(self) -> Outcome {
        let child = self.spawn().await;
        let output = timeout(LIMIT, child.wait_with_output()).await.expect_in_time("to end").unwrap();
        outcome(output.status, text(&output.stdout), text(&output.stderr))
    }

    /// Starts a daemon and waits until it is ready.
    ///
    /// # Panics
    /// If it ends instead.
    pub async fn start(self) -> Daemon {
        match self.try_start().await {
            Ok(daemon) => daemon,
            Err(outcome) => panic!("the daemon did not start: {outcome:#?}"),
        }
    }

    /// Starts a daemon and waits until it is ready, or has ended.
    ///
    /// # Errors
    /// How it ended.
    ///
    /// # Panics
    /// If it does neither.
    pub async fn try_start(self) -> Result<Daemon, Outcome> {
        let (daemon, is_ready) = self.begin().await;
        match is_ready {
            true => Ok(daemon),
            false => Err(daemon.wait().await),
        }
    }

    #[allow(clippy::unwrap_used)]
    async fn begin(self) -> (Daemon, bool) {
        let mut child = self.spawn().await;
        let out = read_all(child.stdout.take().unwrap());
        let (sender, mut log) = watch::channel(String::new());
        let reader = read_log(child.stderr.take().unwrap(), sender);
        let is_ready = sees(&mut log, READY).await;
        let line = log.borrow().lines().find_map(|line| {
            serde_json::from_str::<Value>(line).ok().filter(|line| line["message"].as_str() == Some(READY))
        });
        let field = |name: &str| line.as_ref().and_then(|line| line[name].as_str()).unwrap_or_default().to_owned();
        let address = field("address").parse().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let socket = PathBuf::from(field("admin"));
        let pid = child.id().map_or(0, |pid| i32::try_from(pid).unwrap());
        (Daemon { child, pid: Pid::from_raw(pid), address, socket, out, log, _reader: reader }, is_ready)
    }
}

/// A thread of another process that does not run.
pub struct Held(Pid);

impl Drop for Held {
    fn drop(&mut self) {
        // It may be gone.
        let _ = ptrace::detach(self.0, None);
    }
}

trait InTime<T> {
    fn expect_in_time(self, what: &str) -> T;
}

impl<T> InTime<T> for Result<T, tokio::time::error::Elapsed> {
    fn expect_in_time(self, what: &str) -> T {
        self.unwrap_or_else(|_| panic!("it takes more than {LIMIT:?} {what}"))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn outcome(status: ExitStatus, out: String, err: String) -> Outcome {
    let exit = status.code().and_then(|code| u8::try_from(code).ok());
    let Some(exit) = exit else { panic!("it ended by {:?}\n{out}\n{err}", status.signal()) };
    Outcome { exit, out, err }
}

fn read_all(mut stream: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut bytes = vec![];
        let _ = stream.read_to_end(&mut bytes).await;
        text(&bytes)
    })
}

/// Reads on as long as the process writes: a full pipe would stop it.
fn read_log(stream: impl AsyncRead + Unpin + Send + 'static, log: watch::Sender<String>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            log.send_modify(|log| {
                log.push_str(&line);
                log.push('\n');
            });
        }
    })
}

/// Waits until the log has this text. False if the log ends before.
async fn sees(log: &mut watch::Receiver<String>, text: &str) -> bool {
    timeout(LIMIT, log.wait_for(|log| log.contains(text))).await.expect_in_time(&format!("to say '{text}'")).is_ok()
}

/// A daemon that runs. Dropping it kills it.
pub struct Daemon {
    child: Child,
    pid: Pid,
    /// Where its public door is.
    pub address: SocketAddr,
    /// Its admin socket, as the log has it.
    pub socket: PathBuf,
    out: JoinHandle<String>,
    log: watch::Receiver<String>,
    _reader: JoinHandle<()>,
}

impl Daemon {
    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A client of the public door.
    pub fn client(&self) -> Client {
        Client::new(Target::Tcp(self.address), format!("localhost:{}", self.address.port()))
    }

    /// A client of the admin socket.
    pub fn admin(&self) -> Client {
        Client::new(Target::Unix(self.socket.clone()), "authd".into())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until the log has this text.
    ///
    /// # Panics
    /// If it ends before.
    pub async fn logs(&mut self, text: &str) {
        assert!(sees(&mut self.log, text).await, "'{text}' is not in its log: {}", self.log());
    }

    /// Waits until the log is such.
    ///
    /// # Panics
    /// If it ends before.
    pub async fn logs_that(&mut self, is_such: impl Fn(&str) -> bool) {
        let seen = timeout(LIMIT, self.log.wait_for(|log| is_such(log))).await.expect_in_time("to say it").is_ok();
        assert!(seen, "it is not in its log: {}", self.log());
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If it is gone.
    #[allow(clippy::unwrap_used)]
    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// Stops one of its threads, by name, until what is answered is dropped. `None` where that is not permitted. Both by the
    /// same thread, as the kernel wants it: not in a test of several.
    ///
    /// # Panics
    /// If there is no such thread.
    #[allow(clippy::unwrap_used)]
    pub fn hold_thread(&self, name: &str) -> Option<Held> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap().map(|task| task.unwrap().path());
        let is_it = |task: &PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let task = tasks.filter(is_it).last().unwrap();
        let thread = Pid::from_raw(task.file_name().unwrap().to_str().unwrap().parse().unwrap());
        ptrace::seize(thread, ptrace::Options::empty()).ok()?;
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Some(Held(thread))
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// If it does not, or by a signal.
    #[allow(clippy::unwrap_used)]
    pub async fn wait(mut self) -> Outcome {
        let status = timeout(LIMIT, self.child.wait()).await.expect_in_time("to end").unwrap();
        let out = self.out.await.unwrap();
        // The log is whole when its writer is gone.
        let _ = timeout(LIMIT, self.log.wait_for(|_| false)).await.expect_in_time("to close its log");
        outcome(status, out, self.log.borrow().clone())
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(self) -> Outcome {
        self.signal(Signal::SIGTERM);
        self.wait().await
    }

    /// SIGKILL, and waits until the process is gone.
    pub async fn kill(self) {
        // It may have been killed already.
        let _ = kill(self.pid, Signal::SIGKILL);
        self.gone().await;
    }

    /// Waits until the process is gone, however it ends.
    ///
    /// # Panics
    /// If it stays.
    #[allow(clippy::unwrap_used)]
    pub async fn gone(mut self) -> ExitStatus {
        timeout(LIMIT, self.child.wait()).await.expect_in_time("to end").unwrap()
    }
}
