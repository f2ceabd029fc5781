//! An HTTP client that does what it is told and nothing more: one connection a request unless it is
//! told to keep it, cookies only if wanted.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

/// Where to connect to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A port.
    Tcp(SocketAddr),
    /// A socket.
    Unix(PathBuf),
}

/// One that is kept.
type Connection = SendRequest<Full<Bytes>>;

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
    host: String,
    headers: Vec<(String, String)>,
    cookies: Option<Arc<Mutex<BTreeMap<String, String>>>>,
    kept: Option<Arc<Mutex<Vec<Connection>>>>,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// A header as text; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// All `Set-Cookie` lines.
    pub fn cookies(&self) -> Vec<String> {
        self.headers.get_all(header::SET_COOKIE).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect()
    }

    /// The error code of the body; empty if there is none.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body.get("code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A text of the body, by a JSON pointer.
    ///
    /// # Panics
    /// If there is none.
    pub fn text(&self, pointer: &str) -> String {
        self.json().pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}: {self:?}")).to_owned()
    }

    /// `<status> <body>`, for snapshots.
    pub fn short(&self) -> String {
        format!("{} {}", self.status, self.body)
    }
}

impl Client {
    pub(crate) fn new(target: Target, host: String) -> Self {
        Self { target, host, headers: vec![], cookies: None, kept: None }
    }

    /// That keeps cookies, shared by its clones.
    #[must_use]
    pub fn with_cookies(self) -> Self {
        Self { cookies: Some(Arc::default()), ..self }
    }

    /// That uses a connection again, shared by its clones. Only for the public door: the admin door takes one request each.
    #[must_use]
    pub fn keeping_connections(self) -> Self {
        Self { kept: Some(Arc::default()), ..self }
    }

    /// What the clients of a server call it.
    pub fn host_of(server: &crate::Server) -> String {
        format!("localhost:{}", server.address.port())
    }

    /// How many connections it keeps that are open and not in use.
    ///
    /// # Panics
    /// Never.
    #[allow(clippy::unwrap_used)]
    pub fn kept_connections(&self) -> usize {
        let Some(kept) = &self.kept else { return 0 };
        let mut kept = kept.lock().unwrap();
        kept.retain(|sender| !sender.is_closed());
        kept.len()
    }

    /// That sends this header with every request, in place of one of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    /// That does not send this header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    /// That shows an access token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// That calls the server by another name.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        Self { host: host.into(), ..self }
    }

    /// The cookies it has, as it sends them.
    ///
    /// # Panics
    /// Never.
    #[allow(clippy::unwrap_used)]
    pub fn cookie_header(&self) -> String {
        let Some(jar) = &self.cookies else { return String::new() };
        jar.lock().unwrap().iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ")
    }

    /// The session cookie it has, as name and value; not the mark of a device that stands beside it.
    pub fn session_cookie(&self) -> String {
        let cookies = self.cookie_header();
        cookies.split("; ").find(|pair| pair.contains("session_token=")).unwrap_or_default().to_owned()
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, None, Bytes::new()).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(Method::POST, path, Some("application/json"), body.to_string().into()).await
    }

    /// POST without a body.
    pub async fn post_empty(&self, path: &str) -> Response {
        self.send(Method::POST, path, None, Bytes::new()).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Response {
        self.send(Method::DELETE, path, None, Bytes::new()).await
    }

    /// Anything.
    ///
    /// # Panics
    /// If the server cannot be reached or breaks off.
    #[allow(clippy::unwrap_used)]
    pub async fn send(&self, method: Method, path: &str, content_type: Option<&str>, body: Bytes) -> Response {
        self.try_send(method, path, content_type, body).await.unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Anything, where the connection may break off.
    ///
    /// # Errors
    /// It broke off.
    ///
    /// # Panics
    /// If the request is none.
    #[allow(clippy::unwrap_used)]
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let cookies = self.cookie_header();
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies);
        }
        let request = request.body(Full::new(body)).unwrap();
        let answer = match &self.target {
            Target::Tcp(address) if let Some(kept) = &self.kept => exchange_on_kept(kept, *address, request).await?,
            Target::Tcp(address) => exchange(TcpStream::connect(address).await?, request).await?,
            Target::Unix(path) => exchange(UnixStream::connect(path).await?, request).await?,
        };
        self.keep(&answer);
        Ok(answer)
    }

    #[allow(clippy::unwrap_used)]
    fn keep(&self, answer: &Response) {
        let Some(jar) = &self.cookies else { return };
        let mut jar = jar.lock().unwrap();
        for line in answer.cookies() {
            let pair = line.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            if line.contains("Max-Age=0;") {
                jar.remove(name)
            } else {
                jar.insert(name.into(), value.into())
            };
        }
    }

    /// Sends bytes as they are, closes the sending half, and reads all that comes back.
    ///
    /// # Panics
    /// If the server cannot be reached.
    #[allow(clippy::unwrap_used)]
    pub async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let Target::Tcp(address) = &self.target else { panic!("raw bytes are for the public door") };
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut out = vec![];
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let _ = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut out)).await;
        out
    }
}

/// On a connection that was used before, if one is left; whoever drops this in the middle closes it.
#[allow(clippy::unwrap_used)]
async fn exchange_on_kept(
    kept: &Mutex<Vec<Connection>>,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
    let mut usable = None;
    while let Some(mut sender) = take(kept) {
        if sender.ready().await.is_ok() {
            usable = Some(sender);
            break;
        }
    }
    let mut sender = match usable {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            // It ends with its sender.
            tokio::spawn(connection);
            sender
        }
    };
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    kept.lock().unwrap().push(sender);
    Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
}

#[allow(clippy::unwrap_used)]
fn take<T>(from: &Mutex<Vec<T>>) -> Option<T> {
    from.lock().unwrap().pop()
}

async fn exchange<T>(
    stream: T,
    request: Request<Full<Bytes>>,
) -> Result<Response, Box<dyn std::error::Error + Send + Sync>>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let (head, body) = answer.into_parts();
    let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    driver.abort();
    Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
}
