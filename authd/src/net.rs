//! The accept loop of both doors. warp's own has no header time-out, no connection limit and no end to a graceful stop
//! (measured: design, section 3), so `warp::service` runs under hyper's http1 builder here: a permit per connection, time
//! limits for the first request, for silence and for a reader that does not read, and a drain with a deadline.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};
use warp::reply::Response;

use crate::{
    domain::address::{bucket, canonical},
    door::{Head, Peer, PeerCredentials},
    life::Pulse,
    nss,
};

mod guarded;
mod silence;
#[cfg(test)]
mod tests;

use guarded::Guarded;
use silence::{Answered, Silence, Traffic};

/// What a door allows a connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long the first request head may take.
    pub first_head: Duration,
    /// How long a later request head may take, silence before it included.
    pub idle: Duration,
    /// How long the peer may leave an answer unread.
    pub write: Duration,
    /// How long a stop waits for requests under way.
    pub drain: Duration,
    /// Whether a connection takes more than one request.
    pub keep_alive: bool,
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

/// The connections of a door, whichever of its listeners they came by.
pub struct Gauge {
    limit: usize,
    permits: Arc<Semaphore>,
    /// Permits of listeners that wait for somebody to come.
    waiting: AtomicUsize,
    per_client: usize,
    is_exempt: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    users: Option<Users>,
    clients: Mutex<HashMap<Client, usize>>,
}

/// How many connections the users of this host may have on the admin door.
pub struct Users {
    /// One of them.
    pub each: usize,
    /// All of them: what is left is for those who may have any number.
    pub together: usize,
    /// All of those together who have no role. They are told so, and that takes a request.
    pub strangers: usize,
    /// Who may have any number: root and the daemon's own user.
    pub is_exempt: Box<dyn Fn(u32) -> bool + Send + Sync>,
    /// Who has a role.
    pub has_role: Box<dyn Fn(&PeerCredentials) -> bool + Send + Sync>,
}

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    /// A client of the public door.
    Address(IpAddr),
    /// A user of this host, on the admin door.
    User(u32),
    /// All users of this host but the exempt ones.
    Users,
    /// Those of them who have no role.
    Strangers,
}

/// A connection that counts for its client until this is dropped.
struct Guest(Option<(Arc<Gauge>, Vec<Client>)>);

impl Drop for Guest {
    fn drop(&mut self) {
        let Some((gauge, counted)) = &self.0 else { return };
        let mut clients = gauge.clients.lock().unwrap_or_else(PoisonError::into_inner);
        for client in counted {
            if let Some(count) = clients.get_mut(client) {
                *count -= 1;
                if *count == 0 {
                    clients.remove(client);
                }
            }
        }
    }
}

/// A listener that waits with a permit in its hand: no connection yet.
struct Waiting<'a>(&'a Gauge);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gauge {
    /// For so many at once; further ones wait in the listener's queue.
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self {
            limit,
            permits: Arc::new(Semaphore::new(limit)),
            waiting: AtomicUsize::new(0),
            per_client: usize::MAX,
            is_exempt: Box::new(|_| true),
            users: None,
            clients: Mutex::default(),
        }
    }

    /// And so many of one client (IPv6: of one /64), but for the exempt ones, who speak for others.
    #[must_use]
    pub fn per_client(self, limit: usize, is_exempt: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self { per_client: limit, is_exempt: Box::new(is_exempt), ..self }
    }

    /// And so many of the users of this host, so that nobody keeps those out who look after the service.
    #[must_use]
    pub fn per_user(self, users: Users) -> Self {
        Self { users: Some(users), ..self }
    }

    /// Whether this client may have one more.
    fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Guest> {
        let client = canonical(client);
        if (self.is_exempt)(client) {
            return Some(Guest(None));
        }
        self.enter(&[(Client::Address(bucket(client)), self.per_client)])
    }

    /// Whether this user of the host may have one more.
    fn admit_user(self: &Arc<Self>, uid: u32) -> Option<Guest> {
        match &self.users {
            Some(users) if !(users.is_exempt)(uid) => {
                self.enter(&[(Client::User(uid), users.each), (Client::Users, users.together)])
            }
            _ => Some(Guest(None)),
        }
    }

    /// Whether this peer has no role.
    fn is_stranger(&self, peer: &PeerCredentials) -> bool {
        self.users.as_ref().is_some_and(|users| !(users.is_exempt)(peer.uid) && !(users.has_role)(peer))
    }

    /// Whether one more may be told of having no role.
    fn admit_stranger(self: &Arc<Self>) -> Option<Guest> {
        self.enter(&[(Client::Strangers, self.users.as_ref()?.strangers)])
    }

    /// Counts one more for each of these, unless one of them has as many as it may.
    fn enter(self: &Arc<Self>, wanted: &[(Client, usize)]) -> Option<Guest> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.iter().any(|(client, limit)| clients.get(client).copied().unwrap_or_default() >= *limit) {
            return None;
        }
        for (client, _) in wanted {
            *clients.entry(*client).or_default() += 1;
        }
        Some(Guest(Some((self.clone(), wanted.iter().map(|(client, _)| *client).collect()))))
    }

    /// How many are served at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many are served now.
    pub fn get(&self) -> u64 {
        let taken = self.limit - self.permits.available_permits();
        taken.saturating_sub(self.waiting.load(Ordering::SeqCst)) as u64
    }

    /// A listener holds a permit and waits, for as long as this lives.
    fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(self)
    }
}

/// How often it is said that no connection can be accepted, or that somebody has too many.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// How long the request of a peer may take who has no role.
const STRANGERS_HEAD: Duration = Duration::from_secs(1);

/// Waits until the flag turns true, or nobody is left who could turn it.
pub async fn told(flag: &mut watch::Receiver<bool>) {
    drop(flag.wait_for(|flag| *flag).await);
}

/// Serves connections until `stop` turns true, then drains for at most `limits.drain`. Gives signs of life by `pulse`.
pub async fn serve<S: Answer>(
    listener: Listener,
    service: S,
    limits: Limits,
    gauge: Arc<Gauge>,
    pulse: Arc<Pulse>,
    mut stop: watch::Receiver<bool>,
) {
    let permits = &gauge.permits;
    let mut complained: Option<Instant> = None;
    let mut told_of_users: Option<Instant> = None;
    loop {
        let next = async {
            // The permit first: beyond the limit nothing is accepted, and nobody is dropped.
            let permit = permits.clone().acquire_owned().await;
            let _waiting = gauge.wait();
            (permit, accept(&listener).await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = pulse.asked() => continue,
            () = told(&mut stop) => break,
        };
        let Ok(permit) = permit else { break };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: existing connections end, and then there is room.
                if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    warn!(%error, served = gauge.get(), "connections cannot be accepted");
                    complained = Some(Instant::now());
                }
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let guest = match &stream {
            Stream::Tcp(_, Peer::Tcp(address)) => gauge.admit(address.ip()),
            Stream::Tcp(..) => Some(Guest(None)),
            Stream::Unix(_, peer) => {
                let guest = gauge.admit_user(peer.uid);
                if guest.is_none() && told_of_users.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    let (uid, pid) = (peer.uid, peer.pid);
                    warn!(
                        operator.uid = uid,
                        operator.pid = pid,
                        "a user has too many connections to the admin socket; further ones are closed"
                    );
                    told_of_users = Some(Instant::now());
                }
                guest
            }
        };
        // Closed without a word: a client with so many connections learns nothing from one more answer.
        let Some(guest) = guest else { continue };
        let (service, stop) = (service.clone(), stop.clone());
        match stream {
            Stream::Tcp(stream, peer) => {
                let serving = connection(stream, peer, service, limits, stop);
                tokio::spawn(async move {
                    serving.await;
                    drop((permit, guest));
                });
            }
            Stream::Unix(stream, peer) => {
                let gauge = gauge.clone();
                tokio::spawn(async move {
                    of_user(stream, peer, service, limits, stop, &gauge).await;
                    drop((permit, guest));
                });
            }
        }
    }
    drop(listener);
    if !drained(&gauge, limits.drain).await {
        warn!("connections were still busy when the drain ended");
    }
}

/// Waits until all connections have ended, which is when all permits are back. Whether they have, in the time there is.
async fn drained(gauge: &Gauge, within: Duration) -> bool {
    let all = u32::try_from(gauge.limit).unwrap_or(u32::MAX);
    timeout(within, gauge.permits.acquire_many(all)).await.is_ok()
}

struct UCred {
    uid: u32,
    gid: u32,
    pid: Option<i32>,
}

enum Stream {
    Tcp(TcpStream, Peer),
    Unix(UnixStream, UCred),
}

async fn accept(listener: &Listener) -> io::Result<Stream> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream, Peer::Tcp(address)))
        }
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let credentials = stream.peer_cred()?;
            let peer = UCred { uid: credentials.uid(), gid: credentials.gid(), pid: credentials.pid() };
            Ok(Stream::Unix(stream, peer))
        }
    }
}

/// A connection to the admin socket.
async fn of_user<S: Answer>(
    stream: UnixStream,
    UCred { uid, gid, pid }: UCred,
    service: S,
    mut limits: Limits,
    stop: watch::Receiver<bool>,
    gauge: &Arc<Gauge>,
) {
    // The account database may be slow (it may be on the network): not on this thread, nor in the way of the next connection.
    let (name, groups) = tokio::task::spawn_blocking(move || nss::account(uid, gid)).await.unwrap_or_default();
    let peer = PeerCredentials { uid, gid, pid, name, groups };
    let mut stranger = None;
    if gauge.is_stranger(&peer) {
        // Closed without a word where there are many: only time would end them.
        stranger = gauge.admit_stranger();
        if stranger.is_none() {
            return;
        }
        (limits.first_head, limits.idle) = (STRANGERS_HEAD, STRANGERS_HEAD);
    }
    connection(stream, Peer::Unix(peer), service, limits, stop).await;
    drop(stranger);
}

/// Serves a connection to its end. There may be many and most are idle, so each takes little: what is made here and only used
/// below would be kept twice in the state of an `async fn`.
fn connection<S: Answer, T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    peer: Peer,
    service: S,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send {
    let peer = Arc::new(peer);
    let seen = Arc::new(Notify::new());
    let of_service = seen.clone();
    let traffic = Arc::new(Traffic::default());
    let silence = Silence::new(limits.idle, traffic.clone());
    let answering = service_fn(move |mut request: http::Request<Incoming>| {
        of_service.notify_one();
        let under_way = traffic.begin();
        let head = Head {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: std::mem::take(request.headers_mut()),
            peer: peer.clone(),
        };
        request.extensions_mut().insert(Arc::new(head));
        // hyper keeps room for the future as long as the connection lives, and most connections are idle most of the time.
        let answer = service.call(request);
        Box::pin(async move { answer.await.map(|answer| answer.map(|body| Answered::new(body, under_way))) })
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES).half_close(false);
    // Most answers are small: to copy the body behind the head costs less than to hand the kernel two pieces.
    builder.keep_alive(limits.keep_alive).writev(false);
    let connection = builder.serve_connection(TokioIo::new(Guarded::new(stream, limits.write, silence)), answering);
    let mut connection = Box::pin(connection);
    let ended = |outcome: Result<(), hyper::Error>| {
        if let Err(error) = outcome {
            debug!(%error, "a connection ended with an error");
        }
    };
    let first_head = limits.first_head;
    async move {
        // A connection that was accepted has a right to its first request: a stop does not close it before (its client could
        // not know whether to ask again), only time does.
        tokio::select! {
            outcome = connection.as_mut() => return ended(outcome),
            () = seen.notified() => {}
            () = sleep(first_head) => return debug!("a connection sent no request in time"),
        }
        tokio::select! {
            outcome = connection.as_mut() => return ended(outcome),
            () = told(&mut stop) => connection.as_mut().graceful_shutdown(),
        }
        ended(connection.await);
    }
}
