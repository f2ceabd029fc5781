//! Who asks: connections that write the same bytes again and again and read the answers, with as little work of their own as
//! can be, because they share the processors with who answers.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep_until,
};

/// What one connection asks, from its number and that of the request.
pub type Ask = Arc<dyn Fn(usize, u64) -> Vec<u8> + Send + Sync>;

/// The same bytes each time.
pub fn always(bytes: Vec<u8>) -> Ask {
    Arc::new(move |_, _| bytes.clone())
}

/// What came of a load.
#[derive(Default, Clone)]
pub struct Outcome {
    /// How long each answer took, in nanoseconds, sorted.
    pub took: Vec<u64>,
    /// Answers with another status than the first of the load.
    pub odd: u64,
    /// How long it lasted.
    pub lasted: Duration,
}

impl Outcome {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.took.len() as f64 / self.lasted.as_secs_f64()
    }

    /// The time within which this share of the answers came, in milliseconds.
    pub fn within(&self, share: f64) -> f64 {
        let last = self.took.len().saturating_sub(1);
        let at = ((self.took.len() as f64 * share) as usize).min(last);
        self.took.get(at).map_or(f64::NAN, |took| *took as f64 / 1e6)
    }
}

/// A connection, and what of an answer it has read.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8 << 10) })
    }

    /// Sends a request and reads the answer: its status. The answer is in the buffer until the next.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "this is no answer");
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(whole) = whole(&self.buffer) {
                let status = self.buffer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
                return if whole { status.ok_or_else(broken) } else { continue };
            }
        }
    }

    pub fn answer(&self) -> &[u8] {
        &self.buffer
    }

    /// How long the server told to wait.
    fn retry_after(&self) -> Option<Duration> {
        let rest = &self.buffer[memmem::find(&self.buffer, b"\r\nretry-after: ")? + 15..];
        let digits = &rest[..memmem::find(rest, b"\r\n")?];
        std::str::from_utf8(digits).ok()?.parse().ok().map(Duration::from_secs)
    }
}

/// Whether an answer is there whole; `None` as long as its head is not. Looks as little as can be at each: the longer of two answers
/// must not cost more to read.
fn whole(bytes: &[u8]) -> Option<bool> {
    let head = memmem::find(bytes, b"\r\n\r\n")?;
    let field = |name: &[u8]| {
        let rest = &bytes[memmem::find(&bytes[..head], name)? + name.len()..head];
        std::str::from_utf8(&rest[..memmem::find(rest, b"\r\n").unwrap_or(rest.len())]).ok()
    };
    match field(b"ontent-length: ").or_else(|| field(b"ontent-Length: ")) {
        Some(length) => Some(bytes.len() >= head + 4 + length.parse::<usize>().ok()?),
        None if field(b"ransfer-encoding: ").or_else(|| field(b"ransfer-Encoding: ")).is_some() => {
            Some(bytes.ends_with(b"0\r\n\r\n"))
        }
        None => Some(true),
    }
}

/// Each connection asks as soon as it was answered.
pub async fn closed(to: SocketAddr, connections: usize, lasts: Duration, ask: Ask) -> io::Result<Outcome> {
    run(to, connections, lasts, ask, Manner::AtOnce).await
}

/// The same by clients that do as they are told: who is refused with `Retry-After` waits for so long, and up to as long again, so that
/// not all come back together.
pub async fn patient(to: SocketAddr, connections: usize, lasts: Duration, ask: Ask) -> io::Result<Outcome> {
    run(to, connections, lasts, ask, Manner::AsTold).await
}

/// All together ask so many times a second, whether answers come or not: what has to wait is measured from when it was due.
pub async fn paced(to: SocketAddr, connections: usize, lasts: Duration, rate: u32, ask: Ask) -> io::Result<Outcome> {
    run(to, connections, lasts, ask, Manner::Paced(rate)).await
}

#[derive(Clone, Copy)]
enum Manner {
    AtOnce,
    AsTold,
    Paced(u32),
}

async fn run(to: SocketAddr, connections: usize, lasts: Duration, ask: Ask, manner: Manner) -> io::Result<Outcome> {
    let mut at_work = JoinSet::new();
    let mut open = vec![];
    for _ in 0..connections {
        open.push(Connection::open(to).await?);
    }
    let began = Instant::now();
    for (n, mut connection) in open.into_iter().enumerate() {
        let ask = ask.clone();
        at_work.spawn(async move {
            let mut of_this = Outcome::default();
            let mut first = None;
            for i in 0.. {
                let mut due = Instant::now();
                if let Manner::Paced(rate) = manner {
                    let at = (i * connections as u64 + n as u64) as f64 / f64::from(rate);
                    due = began + Duration::from_secs_f64(at);
                    sleep_until(due.into()).await;
                }
                if began.elapsed() >= lasts {
                    break;
                }
                let status = connection.ask(&ask(n, i)).await?;
                of_this.odd += u64::from(*first.get_or_insert(status) != status || status >= 400);
                of_this.took.push(u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX));
                if let (Manner::AsTold, Some(wait)) = (manner, connection.retry_after()) {
                    let until = Instant::now() + wait.mul_f64(1.0 + n as f64 / connections as f64);
                    sleep_until(until.min(began + lasts).into()).await;
                }
            }
            Ok::<_, io::Error>(of_this)
        });
    }
    let mut outcome = Outcome::default();
    while let Some(done) = at_work.join_next().await {
        let done = done.map_err(io::Error::other)??;
        outcome.took.extend(done.took);
        outcome.odd += done.odd;
    }
    outcome.lasted = began.elapsed();
    outcome.took.sort_unstable();
    Ok(outcome)
}
