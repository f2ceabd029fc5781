//! Connections over pipes, with a clock that is set by hand.

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use warp::Reply;

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const LIMITS: Limits = Limits {
    first_head: Duration::from_secs(10),
    idle: Duration::from_mins(1),
    write: Duration::from_secs(20),
    drain: Duration::from_secs(30),
    keep_alive: true,
};

/// Answers at once with so many bytes.
fn sized(bytes: usize) -> impl Answer {
    service_fn(move |_| async move { Ok("x".repeat(bytes).into_response()) })
}

/// Counts the requests, and answers each with `done` when it is let go.
fn held(come: Arc<Semaphore>, go: Arc<Semaphore>) -> impl Answer {
    service_fn(move |_| {
        let (come, go) = (come.clone(), go.clone());
        async move {
            come.add_permits(1);
            go.acquire().await.unwrap().forget();
            Ok("done".into_response())
        }
    })
}

struct Served {
    client: DuplexStream,
    stop: watch::Sender<bool>,
    /// When the connection had ended.
    ended: tokio::task::JoinHandle<Instant>,
    began: Instant,
}

/// A connection over a pipe of 4 KiB. Nothing but tokio's clock, which is set by hand, and the test move it.
fn served(service: impl Answer) -> Served {
    let (client, server) = duplex(4096);
    let (stop, stopping) = watch::channel(false);
    let peer = Peer::Tcp("127.0.0.1:1".parse().unwrap());
    let ended = tokio::spawn(async move {
        connection(server, peer, service, LIMITS, stopping).await;
        Instant::now()
    });
    Served { client, stop, ended, began: Instant::now() }
}

/// One whole answer of [`held`].
async fn answered(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut out = vec![];
    while !out.ends_with(b"done") {
        assert_ne!(stream.read_buf(&mut out).await.unwrap(), 0, "{}", String::from_utf8_lossy(&out));
    }
    let answer = String::from_utf8(out).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    answer
}

impl Served {
    /// How long it lasted.
    async fn lasted(self) -> Duration {
        self.ended.await.unwrap() - self.began
    }
}

#[tokio::test(start_paused = true)]
async fn ht_02_a_first_head_that_does_not_come_whole_is_given_up() {
    for sent in [&b""[..], b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut served = served(sized(1));
        served.client.write_all(sent).await.unwrap();
        assert_eq!(served.lasted().await, LIMITS.first_head, "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ht_02_a_head_that_trickles_in_is_given_up_too() {
    let mut served = served(sized(1));
    for byte in GET {
        if served.client.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(served.lasted().await, LIMITS.first_head, "each byte anew gives no more time");
}

#[tokio::test(start_paused = true)]
async fn ht_02_a_silent_connection_is_closed_and_a_later_head_has_no_more_time() {
    for later in [&b""[..], b"GET / HTTP"] {
        let go = Arc::new(Semaphore::new(2));
        let mut served = served(held(Arc::new(Semaphore::new(0)), go));
        for _ in 0..2 {
            served.client.write_all(GET).await.unwrap();
            answered(&mut served.client).await;
            sleep(Duration::from_secs(5)).await;
        }
        served.client.write_all(later).await.unwrap();
        let mut rest = vec![];
        served.client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "closed without a word: {}", String::from_utf8_lossy(&rest));
        assert_eq!(served.lasted().await, Duration::from_secs(5) + LIMITS.idle, "{later:?}, after the second answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_body_nobody_read_has_the_answer_and_time_to_take_it() {
    let mut served = served(sized(1));
    served.client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    served.client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(served.lasted().await, guarded::LINGERS);
}

#[tokio::test(start_paused = true)]
async fn ht_02_a_peer_that_does_not_read_is_given_up() {
    let mut stuck = served(sized(1024 * 1024));
    stuck.client.write_all(GET).await.unwrap();
    assert_eq!(stuck.lasted().await, LIMITS.write);

    let mut slow = served(sized(16 * 1024));
    slow.client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut read = 0;
    let mut piece = [0; 1024];
    // Slow, but it gets on: twenty seconds are for one standstill and not for the whole.
    loop {
        match slow.client.read(&mut piece).await.unwrap() {
            0 => break,
            n => read += n,
        }
        sleep(Duration::from_secs(15)).await;
    }
    assert!(read > 16 * 1024, "{read}");
}

#[tokio::test(start_paused = true)]
async fn ht_02_a_later_head_that_trickles_in_has_no_more_time() {
    let mut served = served(held(Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1))));
    served.client.write_all(GET).await.unwrap();
    answered(&mut served.client).await;
    served.client.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    while served.client.write_all(b"x").await.is_ok() {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(served.lasted().await, LIMITS.idle);
}

/// Neither the work on an answer, nor a body that takes its time, nor a peer that takes the answer slowly is silence.
#[tokio::test(start_paused = true)]
async fn an_answer_may_take_longer_than_silence_may_last() {
    let (come, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1)));
    let mut worked_on = served(held(come, go.clone()));
    worked_on.client.write_all(GET).await.unwrap();
    answered(&mut worked_on.client).await;
    worked_on.client.write_all(GET).await.unwrap();
    sleep(LIMITS.idle * 3).await;
    go.add_permits(1);
    answered(&mut worked_on.client).await;
    assert_eq!(worked_on.lasted().await, LIMITS.idle * 4, "and then it is");

    let pieces = || {
        let pieces = futures_util::stream::iter(["do", "ne"]).then(|piece| async move {
            sleep(LIMITS.idle * 2).await;
            Ok::<_, Infallible>(piece)
        });
        warp::reply::stream(pieces).into_response()
    };
    let mut streamed = served(service_fn(move |_| async move { Ok(pieces()) }));
    for _ in 0..2 {
        streamed.client.write_all(GET).await.unwrap();
        let mut out = vec![];
        while !out.ends_with(b"0\r\n\r\n") {
            assert_ne!(streamed.client.read_buf(&mut out).await.unwrap(), 0);
        }
    }
    assert_eq!(streamed.lasted().await, LIMITS.idle * 9);

    let mut taken_slowly = served(sized(256 * 1024));
    for _ in 0..2 {
        taken_slowly.client.write_all(GET).await.unwrap();
        let mut left = 256 * 1024;
        let mut piece = vec![0; 16 * 1024];
        while left > 0 {
            left -= taken_slowly.client.read(&mut piece).await.unwrap().min(left);
            sleep(Duration::from_secs(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_the_request_under_way_and_then_the_connection() {
    let (come, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let mut served = served(held(come.clone(), go.clone()));
    served.client.write_all(GET).await.unwrap();
    come.acquire().await.unwrap().forget();
    served.stop.send_replace(true);
    sleep(Duration::from_secs(5)).await;
    assert!(!served.ended.is_finished(), "its request is still under way");
    go.add_permits(1);
    let answer = answered(&mut served.client).await;
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(served.lasted().await, Duration::from_secs(5), "closed when it was answered");
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_an_idle_connection_at_once_and_one_without_a_request_in_its_time() {
    let mut idle = served(held(Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1))));
    idle.client.write_all(GET).await.unwrap();
    answered(&mut idle.client).await;
    idle.stop.send_replace(true);
    assert_eq!(idle.lasted().await, Duration::ZERO);

    let early = served(sized(1));
    early.stop.send_replace(true);
    assert_eq!(early.lasted().await, LIMITS.first_head, "it was accepted: its request is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_last_connection_and_no_longer_than_it_may() {
    for (busy, in_time) in [(Duration::from_millis(29_999), true), (LIMITS.drain * 2, false)] {
        let gauge = Gauge::new(2);
        let permit = gauge.permits.clone().acquire_owned().await.unwrap();
        tokio::spawn(async move {
            sleep(busy).await;
            drop(permit);
        });
        let began = Instant::now();
        assert_eq!(drained(&gauge, LIMITS.drain).await, in_time);
        assert_eq!(began.elapsed(), busy.min(LIMITS.drain));
    }
}

/// A listener on a port of its own, and what `serve` does with it.
async fn listening(
    service: impl Answer,
    limits: Limits,
) -> (std::net::SocketAddr, Arc<Gauge>, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let gauge = Arc::new(Gauge::new(2));
    let serving =
        tokio::spawn(serve(Listener::Tcp(listener), service, limits, gauge.clone(), Arc::default(), stopping));
    (address, gauge, stop, serving)
}

#[tokio::test]
async fn ht_02_one_client_has_so_many_connections_and_others_are_served_all_the_same() {
    let gauge = Arc::new(Gauge::new(100).per_client(2, |address| address == IpAddr::from([192, 0, 2, 1])));
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let held = [gauge.admit(ip("2001:db8::1")), gauge.admit(ip("2001:db8::2"))];
    assert!(held.iter().all(Option::is_some));
    assert!(gauge.admit(ip("2001:db8::3")).is_none(), "one /64 is one client");
    assert!(gauge.admit(ip("2001:db8:0:1::3")).is_some());
    let proxied: Vec<_> = (0..50).map(|_| gauge.admit(ip("::ffff:192.0.2.1"))).collect();
    assert!(proxied.iter().all(Option::is_some), "a proxy speaks for many");
    drop(held);
    assert!(gauge.admit(ip("2001:db8::3")).is_some());
    drop(proxied);
    assert!(gauge.clients.lock().unwrap().is_empty(), "nothing is kept of who is gone");
}

#[tokio::test]
async fn ht_02_a_connection_too_many_of_one_client_is_closed_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let gauge = Arc::new(Gauge::new(100).per_client(1, |_| false));
    let serving =
        tokio::spawn(serve(Listener::Tcp(listener), sized(1), LIMITS, gauge.clone(), Arc::default(), stopping));
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(GET).await.unwrap();
    assert!(first.read(&mut [0; 64]).await.unwrap() > 0);
    let mut second = TcpStream::connect(address).await.unwrap();
    // Closed, or reset where our bytes came first.
    assert!(matches!(second.read(&mut [0; 64]).await, Ok(0) | Err(_)));
    first.write_all(GET).await.unwrap();
    assert!(first.read(&mut [0; 64]).await.unwrap() > 0, "the first goes on");
    drop((first, stop));
    serving.abort();
}

fn users(is_exempt: impl Fn(u32) -> bool + Send + Sync + 'static) -> Users {
    let has_role = |peer: &PeerCredentials| peer.name.as_deref() == Some("ada");
    Users { each: 2, together: 3, strangers: 1, is_exempt: Box::new(is_exempt), has_role: Box::new(has_role) }
}

#[test]
fn az_04_users_of_the_host_leave_room_on_the_admin_door_for_those_who_look_after_it() {
    let gauge = Arc::new(Gauge::new(8).per_user(users(|uid| uid == 0)));
    let mut held = vec![gauge.admit_user(7), gauge.admit_user(7)];
    assert!(gauge.admit_user(7).is_none(), "two are enough for one user");
    held.push(gauge.admit_user(8));
    assert!(gauge.admit_user(9).is_none(), "and three for all");
    assert!(held.iter().all(Option::is_some));
    let root: Vec<_> = (0..50).map(|_| gauge.admit_user(0)).collect();
    assert!(root.iter().all(Option::is_some));
    drop(held);
    assert!(gauge.admit_user(9).is_some());

    let peer = |uid, name: &str| PeerCredentials { uid, gid: uid, pid: None, name: Some(name.into()), groups: vec![] };
    assert!(!gauge.is_stranger(&peer(7, "ada")) && !gauge.is_stranger(&peer(0, "eve")));
    assert!(gauge.is_stranger(&peer(7, "eve")));
    let first = gauge.admit_stranger();
    assert!(first.is_some() && gauge.admit_stranger().is_none());
    drop((first, root));
    assert!(gauge.clients.lock().unwrap().is_empty(), "nothing is kept of who is gone");
}

/// Silent connections of a user without a role are closed, and one who may is served beside them.
#[tokio::test]
async fn az_04_silent_peers_without_a_role_are_closed_and_keep_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let is_root = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let now_root = is_root.clone();
    let gauge = Gauge::new(4).per_user(users(move |_| now_root.load(Ordering::SeqCst)));
    let (stop, stopping) = watch::channel(false);
    let listener = Listener::Unix(UnixListener::bind(&path).unwrap());
    let serving = tokio::spawn(serve(listener, sized(1), LIMITS, Arc::new(gauge), Arc::default(), stopping));
    let mut silent = vec![];
    for _ in 0..20 {
        silent.push(UnixStream::connect(&path).await.unwrap());
    }
    let is_closed = async |stream: &mut UnixStream| matches!(stream.read(&mut [0; 64]).await, Ok(0) | Err(_));
    for stream in silent.iter_mut().skip(1).rev() {
        assert!(is_closed(stream).await);
    }
    // The first may have its second for a request still.
    is_root.store(true, Ordering::SeqCst);
    let mut root = UnixStream::connect(&path).await.unwrap();
    root.write_all(GET).await.unwrap();
    assert!(root.read(&mut [0; 64]).await.unwrap() > 0);
    assert!(is_closed(&mut silent[0]).await);
    drop(stop);
    serving.abort();
}

async fn asked(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    stream
}

#[tokio::test]
async fn ht_02_connections_beyond_the_limit_wait_until_one_ends() {
    let come = Arc::new(Semaphore::new(0));
    let (address, gauge, _stop, _serving) = listening(held(come.clone(), Arc::new(Semaphore::new(100))), LIMITS).await;
    let (mut first, mut second) = (asked(address).await, asked(address).await);
    answered(&mut first).await;
    answered(&mut second).await;
    let mut third = asked(address).await;
    // While the others are served again and again, the third is not.
    for _ in 0..20 {
        second.write_all(GET).await.unwrap();
        answered(&mut second).await;
    }
    assert_eq!(gauge.get(), 2);
    assert_eq!(come.available_permits(), 22, "requests that were served");
    drop(first);
    answered(&mut third).await;
    assert_eq!(gauge.get(), 2);
}

#[tokio::test]
async fn a_listener_that_waits_is_no_connection() {
    let come = Arc::new(Semaphore::new(0));
    let (address, gauge, _stop, _serving) = listening(held(come.clone(), Arc::new(Semaphore::new(100))), LIMITS).await;
    let counts = async |n: u64| {
        while gauge.get() != n || gauge.waiting.load(Ordering::SeqCst) != 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMITS.drain, counts(0)).await.unwrap();
    let mut stream = asked(address).await;
    answered(&mut stream).await;
    timeout(LIMITS.drain, counts(1)).await.unwrap();
    drop(stream);
    timeout(LIMITS.drain, counts(0)).await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_the_listening_and_waits_for_requests_but_not_for_ever() {
    let limits = Limits { drain: Duration::ZERO, ..LIMITS };
    for (limits, released) in [(LIMITS, true), (limits, false)] {
        let (come, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (address, gauge, stop, serving) = listening(held(come.clone(), go.clone()), limits).await;
        let mut stream = asked(address).await;
        come.acquire().await.unwrap().forget();
        stop.send_replace(true);
        if released {
            go.add_permits(1);
            answered(&mut stream).await;
        }
        serving.await.unwrap();
        assert_eq!(gauge.get(), u64::from(!released), "connections that were left");
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
