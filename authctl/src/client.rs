//! The client of the admin socket: one HTTP request a connection, with a time limit over all of it.

use std::{
    collections::HashSet,
    io::ErrorKind,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use common::{
    admin::{ACT_HEADER, API_VERSION, IDEMPOTENCY_HEADER, Page, REASON_HEADER, VERSION_HEADER},
    error::AdminErrorBody,
};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use nix::unistd::geteuid;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::net::UnixStream;

use crate::{
    cli::Global,
    error::{Error, Exit},
};

/// The largest answer that is taken, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// What may not stand in a header as it is.
const HEADER_UNSAFE: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// The service's own socket.
const SYSTEM_SOCKET: &str = "/run/authd/admin.sock";
/// How long to wait where the queue of the socket is full.
const QUEUE_WAIT: Duration = Duration::from_millis(20);

/// The admin socket of one daemon.
pub struct Admin {
    socket: PathBuf,
    trust: Trust,
    timeout: Duration,
    reason: Option<String>,
    idempotency: String,
    act: Option<String>,
    /// Requests as curl commands, if they were asked for.
    pub shown: Option<Vec<String>>,
}

/// Whose server is asked. What is asked may be a password or the new master key, and whoever may write to the socket's
/// directory can put a server of their own there: the kernel says who it is (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trust {
    own: u32,
    /// The owner of the directory, where somebody who may be believed says that it is authd's.
    vouched: Option<u32>,
}

impl Trust {
    /// root, who listens where systemd does, and the caller's own user.
    fn of_found() -> Self {
        Self { own: geteuid().as_raw(), vouched: None }
    }

    /// And for a socket that was named, or is the service's, the owner of its directory: if nobody else could have made it,
    /// or written to it.
    fn of_named(socket: &Path) -> Self {
        Self { vouched: owner(socket), ..Self::of_found() }
    }

    fn includes(self, uid: u32) -> bool {
        uid == 0 || uid == self.own || self.vouched == Some(uid)
    }
}

/// The one user, beside root, who could have put the socket where it is.
fn owner(socket: &Path) -> Option<u32> {
    let parent = socket.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = parent.canonicalize().ok()?;
    let owner = dir.metadata().ok()?.uid();
    let is_theirs =
        |at: &Path| at.metadata().is_ok_and(|meta| meta.mode() & 0o022 == 0 && [0, owner].contains(&meta.uid()));
    dir.ancestors().all(is_theirs).then_some(owner)
}

/// A text as one segment of a path, or one value of a query.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The sockets that are looked for, in order.
pub fn candidates(env: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let dir = |name: &str| env(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    let mut found = vec![PathBuf::from(SYSTEM_SOCKET)];
    found.extend(dir("XDG_RUNTIME_DIR").map(|run| run.join("authd/admin.sock")));
    let state = dir("XDG_STATE_HOME").or_else(|| dir("HOME").map(|home| home.join(".local/state")));
    found.extend(state.map(|state| state.join("authd/admin.sock")));
    found
}

/// The first candidate that may be trusted.
fn search(candidates: &[PathBuf], notes: &mut Vec<String>) -> Result<(PathBuf, Trust), Error> {
    for path in candidates {
        let Ok(meta) = path.symlink_metadata() else { continue };
        let trust = if path == Path::new(SYSTEM_SOCKET) { Trust::of_named(path) } else { Trust::of_found() };
        if trust.includes(meta.uid()) {
            return Ok((path.clone(), trust));
        }
        notes.push(format!("{} is passed over: it belongs to uid {}", path.display(), meta.uid()));
    }
    let tried: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
    let mut cause = format!("looked for {}", tried.join(", "));
    notes.iter().for_each(|note| cause += &format!("; {note}"));
    Err(Error::new(Exit::Unreachable, "no admin socket is found")
        .cause(cause)
        .fix("start authd (systemctl start authd), or name its socket with --socket PATH"))
}

impl Admin {
    /// The daemon that the options name, and what there is to say about those that were passed over.
    ///
    /// # Errors
    /// No socket is named and none is found.
    pub fn find(global: &Global) -> Result<(Self, Vec<String>), Error> {
        let mut notes = vec![];
        let by_variable = std::env::var_os("AUTHCTL_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from);
        let (socket, trust) = match (&global.socket, by_variable) {
            (Some(socket), _) => (socket.clone(), Trust::of_named(socket)),
            // `su` keeps the variables of whoever was there before.
            (None, Some(socket)) => (socket, Trust::of_found()),
            (None, None) => search(&candidates(|name| std::env::var(name).ok()), &mut notes)?,
        };
        let idempotency = match &global.idempotency_key {
            Some(key) => key.clone(),
            None => random_key()?,
        };
        let admin = Self {
            socket,
            trust,
            timeout: Duration::from_secs(global.timeout),
            reason: global.reason.clone(),
            idempotency,
            act: None,
            shown: global.show_request.then(Vec::new),
        };
        Ok((admin, notes))
    }

    /// Says what this command does, in words that are the same whenever it is repeated: what an idempotency key stands for.
    pub fn acts(&mut self, words: &[&str]) {
        self.act = Some(words.join(" "));
    }

    /// Asks.
    ///
    /// # Errors
    /// The daemon cannot be reached, does not answer, or refuses.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, None).await
    }

    /// All items of a list, page by page, up to `limit`; and whether there are more. The time limit is over all pages: a server
    /// whose cursors never end is not followed for ever.
    ///
    /// # Errors
    /// As [`Admin::get`]; a cursor that comes again, or more items than were asked for.
    pub async fn pages(
        &mut self,
        path: &str,
        query: &[(&str, String)],
        limit: usize,
    ) -> Result<(Vec<Value>, bool), Error> {
        let timeout = self.timeout;
        let within = tokio::time::timeout(timeout, self.all_pages(path, query, limit)).await;
        within.unwrap_or_else(|_| {
            Err(Error::new(Exit::TimedOut, format!("the list did not end within {}s", timeout.as_secs()))
                .fix("ask for less with --limit N, or wait longer with --timeout SECONDS"))
        })
    }

    async fn all_pages(
        &mut self,
        path: &str,
        query: &[(&str, String)],
        limit: usize,
    ) -> Result<(Vec<Value>, bool), Error> {
        let odd =
            |what: &str| Error::new(Exit::VersionMismatch, format!("the list of authd cannot be followed: {what}"));
        let mut items: Vec<Value> = vec![];
        let mut seen: HashSet<String> = HashSet::new();
        let mut cursor: Option<String> = None;
        loop {
            // One more than is wanted tells whether there are more: a cursor may lead to nothing that the query wants.
            let want = (limit.saturating_add(1) - items.len()).min(1000);
            let mut pairs: Vec<String> =
                query.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
            pairs.push(format!("limit={want}"));
            pairs.extend(cursor.as_ref().map(|cursor| format!("cursor={}", segment(cursor))));
            let page: Page<Value> = self.get(&format!("{path}?{}", pairs.join("&"))).await?;
            if page.items.len() > want {
                return Err(odd("it has more items than were asked for"));
            }
            items.extend(page.items);
            cursor = page.next;
            if cursor.is_none() || items.len() > limit {
                let more = items.len() > limit;
                items.truncate(limit);
                return Ok((items, more));
            }
            if cursor.as_ref().is_some_and(|cursor| !seen.insert(cursor.clone())) {
                return Err(odd("its cursor comes again"));
            }
        }
    }

    /// Does.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let body = serde_json::to_value(body).map_err(|e| Error::failed(e.to_string()))?;
        self.call(Method::POST, path, Some(body)).await
    }

    /// Removes.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub async fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Error> {
        self.call(Method::DELETE, path, None).await
    }

    /// What is no JSON.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub async fn bytes(&mut self, path: &str) -> Result<Bytes, Error> {
        self.answer(Method::GET, path, None).await
    }

    /// Asks for a text.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub async fn text(&mut self, path: &str) -> Result<String, Error> {
        let bytes = self.answer(Method::GET, path, None).await?;
        String::from_utf8(bytes.into()).map_err(|e| not_understood(&e))
    }

    async fn call<T: DeserializeOwned>(&mut self, method: Method, path: &str, body: Option<Value>) -> Result<T, Error> {
        let bytes = self.answer(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|e| not_understood(&e))
    }

    async fn answer(&mut self, method: Method, path: &str, body: Option<Value>) -> Result<Bytes, Error> {
        if let Some(shown) = &mut self.shown {
            shown.push(curl(&self.socket, &method, path, body.as_ref(), self.reason.as_deref()));
        }
        let changes = method != Method::GET && !path.starts_with("/v1/tokens/");
        let exchange = self.exchange(&method, path, body, changes);
        let (status, bytes) = match tokio::time::timeout(self.timeout, exchange).await {
            Ok(result) => result?,
            Err(_) => {
                let error =
                    Error::new(Exit::TimedOut, format!("authd did not answer within {}s", self.timeout.as_secs()));
                return Err(match changes {
                    true => error.cause("it may have been done").fix(format!(
                        "look, or ask again with --idempotency-key {}: then it is done once",
                        self.idempotency
                    )),
                    false => error.fix("see the log of authd, or wait longer with --timeout SECONDS"),
                });
            }
        };
        if status.is_success() {
            return Ok(bytes);
        }
        match serde_json::from_slice::<AdminErrorBody>(&bytes) {
            Ok(body) => Err(Error::Refused(body)),
            Err(_) => Err(Error::failed(format!("authd answered {status}, without a reason"))),
        }
    }

    /// A connection to a server that may be trusted. Nothing was sent yet.
    async fn connect(&self) -> Result<UnixStream, Error> {
        let stream = loop {
            match UnixStream::connect(&self.socket).await {
                // Many ask at once: authd is about to take them.
                Err(e) if e.kind() == ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_WAIT).await,
                outcome => break outcome.map_err(|e| unreachable(&self.socket, &e))?,
            }
        };
        let uid = stream.peer_cred().map_err(|e| unreachable(&self.socket, &e))?.uid();
        if self.trust.includes(uid) {
            return Ok(stream);
        }
        let shown = self.socket.display();
        Err(Error::new(Exit::Unreachable, format!("what listens on {shown} is not trusted: it runs as uid {uid}"))
            .cause("authd runs as root, as you, or as the owner of a directory that --socket names and nobody else can write to or replace")
            .fix("nothing was sent; name the socket of authd with --socket PATH, or ask as root or as that user"))
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<Value>,
        changes: bool,
    ) -> Result<(StatusCode, Bytes), Error> {
        let stream = self.connect().await?;
        let maybe = |error: Error| if changes { error.cause("it may have been done") } else { error };
        let lost = |e: hyper::Error| maybe(Error::failed(format!("the connection to authd broke off: {e}")));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "authd")
            .header(VERSION_HEADER, API_VERSION)
            .header(header::USER_AGENT, concat!("authctl/", env!("CARGO_PKG_VERSION")));
        if changes {
            request = request.header(IDEMPOTENCY_HEADER, &self.idempotency);
            for (name, text) in [(REASON_HEADER, &self.reason), (ACT_HEADER, &self.act)] {
                if let Some(text) = text {
                    request = request.header(name, utf8_percent_encode(text, HEADER_UNSAFE).to_string());
                }
            }
        }
        let bytes = match &body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes)).map_err(|e| Error::usage(format!("this cannot be sent: {e}")))?;
        let answer = sender.send_request(request).await.map_err(lost)?;
        check_version(answer.headers())?;
        let status = answer.status();
        let collected = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let bytes =
            collected.map_err(|e| maybe(Error::failed(format!("the answer of authd broke off: {e}"))))?.to_bytes();
        driver.abort();
        Ok((status, bytes))
    }
}

fn not_understood(error: &dyn std::fmt::Display) -> Error {
    Error::new(Exit::VersionMismatch, "the answer of authd cannot be understood").cause(error.to_string())
}

fn check_version(headers: &http::HeaderMap) -> Result<(), Error> {
    let version = headers.get(VERSION_HEADER).and_then(|value| value.to_str().ok());
    match version {
        Some(version) if version.parse() == Ok(API_VERSION) => Ok(()),
        Some(version) => Err(Error::new(
            Exit::VersionMismatch,
            format!("authd speaks version {version} of the admin interface, and this authctl version {API_VERSION}"),
        )
        .fix("install authctl and authd of the same version, and restart authd")),
        None => Err(Error::new(Exit::VersionMismatch, "what listens there is not authd")),
    }
}

fn unreachable(socket: &Path, error: &std::io::Error) -> Error {
    let shown = socket.display();
    let is_other = socket.metadata().is_ok_and(|meta| !meta.file_type().is_socket());
    match error.kind() {
        _ if is_other => Error::new(Exit::Unreachable, format!("{shown} is no socket"))
            .fix("name the socket of authd with --socket PATH, such as /run/authd/admin.sock"),
        ErrorKind::NotFound => Error::new(Exit::Unreachable, format!("there is no admin socket at {shown}"))
            .cause("authd is not running, or keeps its socket elsewhere")
            .fix("start authd (systemctl start authd), or name its socket with --socket PATH"),
        ErrorKind::ConnectionRefused => Error::new(Exit::Unreachable, format!("nobody listens on {shown}"))
            .cause("authd has stopped without removing its socket")
            .fix("start authd (systemctl start authd)"),
        ErrorKind::PermissionDenied => Error::new(Exit::NotPermitted, format!("you may not use {shown}"))
            .cause("its mode lets in only root, authd's own user and members of the group authd-admin")
            .fix("ask an administrator: for a role (admin.roles, and SocketMode=0666 under systemd), or for the group"),
        _ => Error::new(Exit::Unreachable, format!("{shown} cannot be used: {error}")),
    }
}

fn random_key() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::failed(format!("no randomness: {e}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// The request as a curl command. Secrets are left out.
fn curl(socket: &Path, method: &Method, path: &str, body: Option<&Value>, reason: Option<&str>) -> String {
    let mut line = format!("curl -s --unix-socket {} ", quote(&socket.display().to_string()));
    if *method != Method::GET {
        line += &format!("-X {method} ");
    }
    if let Some(reason) = reason.filter(|_| *method != Method::GET) {
        line += &format!("-H {} ", quote(&format!("{REASON_HEADER}: {}", utf8_percent_encode(reason, HEADER_UNSAFE))));
    }
    if let Some(body) = body {
        let mut body = body.clone();
        for name in ["password", "token", "newMasterKey"] {
            if let Some(secret) = body.get_mut(name).filter(|v| v.is_string()) {
                *secret = Value::from(format!("<{name}>"));
            }
        }
        line += &format!("-H 'content-type: application/json' -d {} ", quote(&body.to_string()));
    }
    line + &quote(&format!("http://authd{path}"))
}

/// For a POSIX shell.
fn quote(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/:._-@%=,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cl_01_a_shown_request_has_no_secret_in_it() {
        let body = json!({"email": "ada@example.com", "password": "it's secret"});
        let line = curl(Path::new("/run/a b.sock"), &Method::POST, "/v1/users", Some(&body), Some("moved in"));
        assert_eq!(
            line,
            "curl -s --unix-socket '/run/a b.sock' -X POST -H 'authd-reason: moved%20in' -H 'content-type: application/json' \
             -d '{\"email\":\"ada@example.com\",\"password\":\"<password>\"}' http://authd/v1/users"
        );
    }

    #[test]
    fn az_04_a_server_is_trusted_if_it_is_roots_or_the_callers_own_or_of_a_directory_that_is_vouched_for() {
        let found = Trust { own: 1000, vouched: None };
        assert!(found.includes(0) && found.includes(1000) && !found.includes(65534));
        let named = Trust { vouched: Some(990), ..found };
        assert!(named.includes(990) && !named.includes(65534));

        // Below /tmp anybody could have made the directory.
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(owner(&dir.path().join("admin.sock")), None);
        assert_eq!(owner(Path::new("/run/admin.sock")), Some(0));
        assert_eq!(owner(Path::new("/nonexistent/admin.sock")), None);
        assert_eq!(Trust::of_found().own, dir.path().metadata().unwrap().uid());
    }

    #[test]
    fn az_04_a_candidate_of_another_user_is_passed_over_with_a_word() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, own) = (dir.path().join("theirs"), dir.path().join("own"));
        std::fs::write(&theirs, "").unwrap();
        if std::os::unix::fs::chown(&theirs, Some(65534), None).is_err() {
            return; // only root can give a file away
        }
        let mut notes = vec![];
        let refused = search(&[theirs.clone(), own.clone()], &mut notes).unwrap_err();
        assert_eq!(refused.exit(), Exit::Unreachable);
        std::fs::write(&own, "").unwrap();
        notes.clear();
        let (path, trust) = search(&[theirs, own.clone()], &mut notes).unwrap();
        assert_eq!((path, trust), (own, Trust::of_found()));
        assert!(notes[0].contains("passed over") && notes[0].contains("uid 65534"), "{notes:?}");
    }

    #[test]
    fn the_services_socket_comes_before_the_users_own() {
        let env = |name: &str| match name {
            "XDG_RUNTIME_DIR" => Some("/run/user/1000".into()),
            "HOME" => Some("/home/ada".into()),
            _ => None,
        };
        let found: Vec<String> = candidates(env).iter().map(|p| p.display().to_string()).collect();
        assert_eq!(
            found,
            ["/run/authd/admin.sock", "/run/user/1000/authd/admin.sock", "/home/ada/.local/state/authd/admin.sock"]
        );
    }
}
