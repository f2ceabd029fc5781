//! The stream of a connection, with what hyper does not look after.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use tracing::debug;

use super::silence::Silence;
use crate::framing::{Doubtful, Scanner};

/// What hyper reads in the place of something doubtful. No grammar of a head has room for a NUL, so that it answers with 400
/// and closes, wherever in a head it stands, and after the answers to what came before.
const REFUSED: &[u8] = b"\0\r\n\r\n";

/// A stream whose writes must get on (a peer that does not read for so long loses the connection, HT-02), whose heads must come in
/// time (HT-02) and be such as every reader reads alike (HT-03), and whose peer can take the last answer before it is closed (RFC 9112 §9.6).
pub(super) struct Guarded<T> {
    inner: T,
    scanner: Scanner,
    /// What is left of [`REFUSED`] to be read, once something doubtful came.
    refused: Option<&'static [u8]>,
    silence: Silence,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    lingering: Option<Box<Lingering>>,
}

/// After the last answer to a peer that may still be sending (of a chunked body it is not known whether it ended): what comes is read
/// and thrown away for a while. Closed at once, the connection would be reset, and the peer might lose the answer that says why
/// (RFC 9112 §9.6).
struct Lingering {
    until: Pin<Box<Sleep>>,
    /// So many bytes are thrown away.
    left: usize,
}

/// How long, and how much: with the largest body that is taken it stays within what HT-01 allows to be read.
pub(super) const LINGERS: Duration = Duration::from_secs(1);
const LINGERS_BYTES: usize = 64 << 10;

impl Lingering {
    fn new() -> Self {
        Self { until: Box::pin(sleep(LINGERS)), left: LINGERS_BYTES }
    }

    /// Ready when the peer has closed, or has had its time.
    fn poll<T: AsyncRead + Unpin>(&mut self, stream: &mut T, cx: &mut Context<'_>) -> Poll<()> {
        while self.until.as_mut().poll(cx).is_pending() {
            let mut space = [MaybeUninit::uninit(); 8 * 1024];
            let mut thrown = ReadBuf::uninit(&mut space);
            let outcome = ready!(Pin::new(&mut *stream).poll_read(cx, &mut thrown));
            let count = thrown.filled().len();
            self.left = self.left.saturating_sub(count);
            if outcome.is_err() || count == 0 || self.left == 0 {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl<T> Guarded<T> {
    pub(super) fn new(inner: T, limit: Duration, silence: Silence) -> Self {
        Self { inner, scanner: Scanner::default(), refused: None, silence, limit, stalled: None, lingering: None }
    }

    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.silence.begins_anew(cx);
        }
        self.check(cx, result)
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
            let this = &mut *self;
            match Pin::new(&mut this.inner).poll_read(cx, buf) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => {
                    ready!(this.silence.poll(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
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

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.written(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.check(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            let result = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.check(cx, result))?;
            if this.refused.is_none() && !this.scanner.is_amid() {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this.lingering.get_or_insert_with(|| Box::new(Lingering::new()));
        lingering.poll(&mut this.inner, cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A stream that read this much, and its peer.
    async fn seen(request: &str) -> (Guarded<DuplexStream>, DuplexStream) {
        let (mut peer, stream) = duplex(4096);
        let silence = Silence::new(Duration::from_mins(1), Arc::default());
        let mut guarded = Guarded::new(stream, Duration::from_secs(20), silence);
        peer.write_all(request.as_bytes()).await.unwrap();
        let mut space = vec![0; 4096];
        assert_ne!(guarded.read(&mut space).await.unwrap(), 0);
        (guarded, peer)
    }

    const WHOLE: &str = "POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    const PART: &str = "POST /x HTTP/1.1\r\nContent-Length: 300\r\n\r\nabc";

    #[tokio::test(start_paused = true)]
    async fn after_a_whole_request_nothing_is_waited_for() {
        let (mut guarded, _peer) = seen(WHOLE).await;
        let began = Instant::now();
        guarded.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_goes_on_sending_has_the_answer_and_so_much_time() {
        for request in [PART, "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "GET / HTTP/1.1\nX: y"] {
            let (mut guarded, mut peer) = seen(request).await;
            guarded.write_all(b"no").await.unwrap();
            let began = Instant::now();
            let shut = tokio::spawn(async move { guarded.shutdown().await });
            let mut answer = String::new();
            peer.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "no", "{request:?}");
            for _ in 0..10 {
                peer.write_all(&[b'x'; 4096]).await.expect("it is still read");
            }
            assert_eq!(began.elapsed(), Duration::ZERO, "it may be sent at once");
            shut.await.unwrap().unwrap();
            assert_eq!(began.elapsed(), LINGERS, "{request:?}");
            drop(peer);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_closes_is_not_waited_for() {
        let (mut guarded, peer) = seen(PART).await;
        drop(peer);
        let began = Instant::now();
        guarded.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_without_end_has_so_many_bytes() {
        let (mut guarded, mut peer) = seen(PART).await;
        let began = Instant::now();
        let shut = tokio::spawn(async move { guarded.shutdown().await });
        let mut sent = 0;
        while peer.write_all(&[b'x'; 4096]).await.is_ok() {
            sent += 4096;
        }
        shut.await.unwrap().unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!((LINGERS_BYTES..LINGERS_BYTES + 64 * 1024).contains(&sent), "{sent}");
    }
}
