//! The accept loop of both doors. warp's own has no header time-out, no connection limit and no end to a graceful stop
//! (measured: design, section 3), so `warp::service` runs under hyper's http1 builder here: a permit per connection, time
//! limits for the first request, for silence and for a reader that does not read, and a drain with a deadline.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Notify, Semaphore, watch},
    time::{Instant, Sleep, sleep, timeout},
};
use tracing::{debug, warn};
use warp::reply::Response;

use crate::{
    door::{Head, Peer, PeerCredentials},
    framing::{Doubtful, Scanner},
};

/// What a door allows a connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many at once; further ones wait in the listener's queue.
    pub connections: usize,
    /// How long the first request head may take.
    pub first_head: Duration,
    /// How long a later request head may take, silence before it included.
    pub idle: Duration,
    /// How long the peer may leave an answer unread.
    pub write: Duration,
    /// How long a stop waits for requests under way.
    pub drain: Duration,
}

/// hyper's buffer for a request head: a longer one is answered with 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Where a door listens.
pub enum Listener {
    /// The public door.
    Tcp(TcpListener),
    /// The admin door.
    Unix(UnixListener),
}

/// What answers the requests: `TowerToHyperService<warp::service(…)>`. The head is in the request's extensions as
/// `Arc<Head>`, so that no filter has to clone it.
pub trait Answer:
    hyper::service::Service<http::Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Answer for S where
    S: hyper::service::Service<http::Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// How many connections a door serves now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(self: &Arc<Self>) -> Inside {
        self.0.fetch_add(1, Ordering::Relaxed);
        Inside(self.clone())
    }
}

struct Inside(Arc<Gauge>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits until the flag turns true, or nobody is left who could turn it.
pub async fn told(flag: &mut watch::Receiver<bool>) {
    drop(flag.wait_for(|flag| *flag).await);
}

/// Serves connections until `stop` turns true, then drains for at most `limits.drain`.
pub async fn serve<S: Answer>(
    listener: Listener,
    service: S,
    limits: Limits,
    gauge: Arc<Gauge>,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    loop {
        let next = async {
            // The permit first: beyond the limit nothing is accepted, and nobody is dropped.
            let permit = permits.clone().acquire_owned().await;
            (permit, accept(&listener).await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = told(&mut stop) => break,
        };
        let Ok(permit) = permit else { break };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: existing connections end, and then there is room.
                warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let inside = gauge.enter();
        let (service, stop) = (service.clone(), stop.clone());
        tokio::spawn(async move {
            match stream {
                Stream::Tcp(stream) => connection(stream, peer, service, limits, stop).await,
                Stream::Unix(stream) => connection(stream, peer, service, limits, stop).await,
            }
            drop((permit, inside));
        });
    }
    drop(listener);
    // When all permits are back, all connections have ended.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if timeout(limits.drain, permits.acquire_many(all)).await.is_err() {
        warn!("connections were still busy when the drain ended");
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<(Stream, Peer)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Stream::Tcp(stream), Peer::Tcp(address)))
        }
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let credentials = stream.peer_cred()?;
            let (uid, gid, pid) = (credentials.uid(), credentials.gid(), credentials.pid());
            // The account database may be slow (it may be on the network): not on this thread.
            let (name, groups) = tokio::task::spawn_blocking(move || account(uid, gid)).await.unwrap_or_default();
            Ok((Stream::Unix(stream), Peer::Unix(PeerCredentials { uid, gid, pid, name, groups })))
        }
    }
}

/// The name and all groups of a user by NSS. What cannot be found out is nothing (fail closed).
fn account(uid: u32, gid: u32) -> (Option<String>, Vec<u32>) {
    let Ok(Some(user)) = nix::unistd::User::from_uid(uid.into()) else { return (None, vec![]) };
    let groups = std::ffi::CString::new(user.name.as_bytes())
        .ok()
        .and_then(|name| nix::unistd::getgrouplist(&name, gid.into()).ok())
        .unwrap_or_default();
    (Some(user.name), groups.into_iter().map(nix::unistd::Gid::as_raw).collect())
}

async fn connection<S: Answer, T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    peer: Peer,
    service: S,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let peer = Arc::new(peer);
    let seen = Arc::new(Notify::new());
    let of_service = seen.clone();
    let answering = service_fn(move |mut request: http::Request<Incoming>| {
        of_service.notify_one();
        let head = Head {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: std::mem::take(request.headers_mut()),
            peer: peer.clone(),
        };
        request.extensions_mut().insert(Arc::new(head));
        service.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.idle).max_buf_size(MAX_HEAD_BYTES).half_close(false);
    let connection = builder.serve_connection(TokioIo::new(Guarded::new(stream, limits.write)), answering);
    let mut connection = std::pin::pin!(connection);
    let ended = |outcome: Result<(), hyper::Error>| {
        if let Err(error) = outcome {
            debug!(%error, "a connection ended with an error");
        }
    };
    // A connection that was accepted has a right to its first request: a stop does not close it before (its client could not
    // know whether to ask again), only time does.
    tokio::select! {
        outcome = connection.as_mut() => return ended(outcome),
        () = seen.notified() => {}
        () = sleep(limits.first_head) => return debug!("a connection sent no request in time"),
    }
    tokio::select! {
        outcome = connection.as_mut() => return ended(outcome),
        () = told(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    ended(connection.await);
}

/// What hyper reads in the place of something doubtful. No grammar of a head has room for a NUL, so that it answers with 400
/// and closes, wherever in a head it stands, and after the answers to what came before.
const REFUSED: &[u8] = b"\0\r\n\r\n";

/// A stream whose writes must get on (a peer that does not read for so long loses the connection, HT-02), and whose heads
/// must be such as every reader reads alike (HT-03).
struct Guarded<T> {
    inner: T,
    scanner: Scanner,
    /// What is left of [`REFUSED`] to be read, once something doubtful came.
    refused: Option<&'static [u8]>,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> Guarded<T> {
    fn new(inner: T, limit: Duration) -> Self {
        Self { inner, scanner: Scanner::default(), refused: None, limit, stalled: None }
    }

    fn check<R>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.refused.is_none() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            let Err(Doubtful { sound }) = self.scanner.scan(fresh) else { return Poll::Ready(Ok(())) };
            debug!("a request was ambiguous");
            buf.set_filled(before + sound);
            self.refused = Some(REFUSED);
        }
        // And then the end: nothing that the peer sends is looked at any more.
        let left = self.refused.unwrap_or_default();
        let (now, later) = left.split_at(left.len().min(buf.remaining()));
        buf.put_slice(now);
        self.refused = Some(later);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.check(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.check(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.check(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.check(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
