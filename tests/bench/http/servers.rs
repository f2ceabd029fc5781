//! Who answers, each a process of its own: authd, a bare warp route that returns the same bytes, the real Better Auth server.

use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use warp::Filter;

/// A server at work. Dropping it ends it.
pub struct Peer {
    child: Child,
    pub address: SocketAddr,
    /// What `Host` and `Origin` say.
    pub host: String,
    pub dir: Option<TempDir>,
    /// From the start of the process to its first answer.
    pub started_in: Duration,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).unwrap_or_default();
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

impl Peer {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time of all its threads since it began.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
        // The 14th and 15th field, in hundredths of a second on Linux.
        Duration::from_millis(10 * (ticks(11) + ticks(12)))
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
    }
}

/// Starts a program and waits for the line that says where it is.
fn start(mut command: Command, dir: Option<TempDir>, address_in: impl Fn(&str) -> Option<SocketAddr>) -> Peer {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (say, said) = std::sync::mpsc::channel();
    for stream in [
        Box::new(child.stderr.take().unwrap()) as Box<dyn std::io::Read + Send>,
        Box::new(child.stdout.take().unwrap()),
    ] {
        let say = say.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
    }
    drop(say);
    let mut log = String::new();
    let address = loop {
        match said.recv_timeout(Duration::from_mins(1)) {
            Ok(line) => match address_in(&line) {
                Some(address) => break address,
                None => log += &format!("{line}\n"),
            },
            Err(e) => panic!("it does not start ({e}):\n{log}"),
        }
    };
    // What it says from now on is read by the threads, and dropped.
    std::thread::spawn(move || while said.recv().is_ok() {});
    let host = format!("localhost:{}", address.port());
    Peer { child, address, host, dir, started_in: began.elapsed() }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The build beside this program, unless `AUTHD_BIN` names another.
pub fn authd_program() -> PathBuf {
    std::env::var_os("AUTHD_BIN").map_or_else(
        || {
            let this = std::env::current_exe().unwrap();
            let beside = this.ancestors().find(|up| up.join("authd").is_file()).map(|up| up.join("authd"));
            beside.expect("there is an authd beside this program: cargo build --profile shipped --bins")
        },
        PathBuf::from,
    )
}

/// authd as it is out of the box, but for the throttles of requests, which are there to refuse what this does.
pub fn authd(dir: TempDir) -> Peer {
    let mut command = Command::new(authd_program());
    let home = dir.path().to_owned();
    command
        .env_clear()
        .env("HOME", &home)
        .env("AUTHD_THROTTLE__REQUESTS", "off")
        .env("AUTHD_THROTTLE__FAILURES", "false");
    command.env("AUTHD_HTTP__MAX_CONNECTIONS", "12000").env("AUTHD_HTTP__MAX_CONNECTIONS_PER_CLIENT", "12000");
    command.env("AUTHD_SESSION__MAX_PER_USER", "10000");
    command.arg("--development").arg("--data-dir").arg(home.join("data")).args(["--listen", "127.0.0.1:0"]);
    command.arg("--admin-socket").arg(home.join("a.sock"));
    start(command, Some(dir), |line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["message"] == "authd is ready").then(|| event["address"].as_str()?.parse().ok()).flatten()
    })
}

/// `authctl status`, to its end.
pub fn status(dir: &Path) -> Duration {
    let began = Instant::now();
    let done = Command::new(authd_program().with_file_name("authctl"))
        .arg("--socket")
        .arg(dir.join("a.sock"))
        .arg("status")
        .env("HOME", dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    began.elapsed()
}

/// A bare warp route: this program once more, as a process of its own.
pub fn bare() -> Peer {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("bare");
    start(command, None, |line| Some(loopback(line.strip_prefix("bare ")?.parse().ok()?)))
}

/// What [`bare`] runs: `POST /learn` takes an answer as it was sent, and from then on `GET /say/N` gives it, head and body; N counts
/// from 0.
pub async fn serve_bare() {
    static LEARNED: [std::sync::OnceLock<(http::HeaderMap, bytes::Bytes)>; 16] =
        [const { std::sync::OnceLock::new() }; 16];
    let learn = warp::path!("learn").and(warp::body::bytes()).map(|answer: bytes::Bytes| {
        let free = LEARNED.iter().position(|place| place.get().is_none()).unwrap();
        LEARNED[free].set(parts(&answer)).unwrap();
        free.to_string()
    });
    let say = warp::path!("say" / usize).map(|number: usize| {
        let (headers, body) = LEARNED[number].get().unwrap();
        let mut response = warp::reply::Response::new(body.clone().into());
        *response.headers_mut() = headers.clone();
        response
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("bare {}", listener.local_addr().unwrap().port());
    warp::serve(say.or(learn)).incoming(listener).run().await;
}

/// The headers of an answer but for those that hyper writes, and its body.
fn parts(answer: &bytes::Bytes) -> (http::HeaderMap, bytes::Bytes) {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let lines = head.split("\r\n").skip(1).map(|line| line.split_once(": ").unwrap());
    let headers = lines
        .filter(|(name, _)| !matches!(*name, "date" | "content-length" | "connection"))
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    (headers, answer.slice(end + 4..))
}

/// The real Better Auth server on Node, if its packages are there; or why not.
pub fn better_auth() -> Result<Peer, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    if !folder.join("node_modules/better-auth").is_dir() {
        return Err("needs npm ci in tests/node".into());
    }
    if Command::new("node").arg("--version").output().is_err() {
        return Err("needs Node".into());
    }
    let mut command = Command::new("node");
    command.arg(folder.join("peer.mjs")).env("NODE_ENV", "production");
    Ok(start(command, None, |line| Some(loopback(line.strip_prefix("peer http://localhost:")?.parse().ok()?))))
}

/// fastapi-users on uvicorn, if its packages are there; or why not.
pub fn fastapi_users(dir: TempDir) -> Result<Peer, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench");
    let python = folder.join(".venv/bin/python");
    if !python.is_file() {
        return Err("needs the packages of tests/bench/requirements.txt in tests/bench/.venv".into());
    }
    let mut command = Command::new(python);
    command.arg(folder.join("peer_fastapi_users.py")).arg(dir.path().join("users.sqlite"));
    Ok(start(command, Some(dir), |line| Some(loopback(line.strip_prefix("peer ")?.parse().ok()?))))
}

/// Brings accounts in, an account a line.
pub fn import(dir: &Path, accounts: &str) {
    let file = dir.join("accounts.jsonl");
    std::fs::write(&file, accounts).unwrap();
    let mut command = Command::new(authd_program().with_file_name("authctl"));
    command.arg("--socket").arg(dir.join("a.sock")).args(["import", "users", "--yes"]).arg(file).env("HOME", dir);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
}
