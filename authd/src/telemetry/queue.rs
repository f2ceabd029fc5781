//! The log's way out: a bounded queue, and a thread that writes. A reader of the log that has stopped reading stops that
//! thread and nothing else; what no longer fits is dropped and counted (F-13).

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// How much may wait to be written: some five thousand lines.
pub(super) const QUEUE_BYTES: usize = 1 << 20;

/// How long to wait with a stream that somebody has made non-blocking, and that is full.
const FULL: Duration = Duration::from_millis(10);

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Of all lines, the one that is being written included.
    bytes: usize,
    dropped: u64,
    /// How many of the dropped ones the log has told of.
    told: u64,
}

/// See the module's text.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), limit })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line if there is room for it. Never waits for the stream.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        // The first one always fits, however long.
        if state.bytes > 0 && state.bytes + line.len() > self.limit {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.to_vec());
        self.changed.notify_all();
    }

    /// How many lines were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until everything is written, but not longer than this.
    pub(super) fn flush(&self, within: Duration) {
        let waited = self.changed.wait_timeout_while(self.lock(), within, |state| state.bytes > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Writes what comes, for ever.
    pub(super) fn write_to(self: Arc<Self>, mut out: impl Write + Send + 'static) -> io::Result<()> {
        thread::Builder::new().name("log".into()).spawn(move || {
            loop {
                self.write_one(&mut out);
            }
        })?;
        Ok(())
    }

    fn write_one(&self, out: &mut impl Write) {
        let line = {
            let waiting = self.changed.wait_while(self.lock(), |state| state.lines.is_empty());
            let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
            state.lines.pop_front().unwrap_or_default()
        };
        let written = write_whole(out, &line);
        let mut state = self.lock();
        state.bytes -= line.len();
        if written.is_err() {
            state.dropped += 1;
        }
        // Told once there is room again, in the log's own form; that line goes through the queue as any other.
        let untold = state.dropped - state.told;
        let tell = written.is_ok() && untold > 0 && state.bytes <= self.limit / 2;
        if tell {
            state.told = state.dropped;
        }
        self.changed.notify_all();
        drop(state);
        if tell {
            warn!(dropped = untold, "log lines were dropped: nobody read them in time");
        }
    }
}

/// As `write_all`, for a stream that may also be non-blocking: half a line would spoil the next one.
fn write_whole(out: &mut impl Write, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => thread::park_timeout(FULL),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// What the subscriber writes a line to.
#[derive(Clone)]
pub(super) struct Lines(pub(super) Arc<Queue>);

impl Write for Lines {
    /// The subscriber writes an event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A stream that takes a line when the test lets it.
    struct Gate {
        open: Receiver<io::Result<()>>,
        out: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let outcome = self.open.recv().unwrap_or_else(|_| Err(ErrorKind::BrokenPipe.into()));
            outcome?;
            self.out.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated(limit: usize) -> (Arc<Queue>, Sender<io::Result<()>>, Receiver<String>) {
        let queue = Queue::new(limit);
        let (let_through, open) = channel();
        let (out, written) = channel();
        queue.clone().write_to(Gate { open, out }).unwrap();
        (queue, let_through, written)
    }

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn f_13_a_stream_that_is_stuck_holds_nobody_up_and_what_does_not_fit_is_counted() {
        let (queue, let_through, written) = gated(100);
        for n in 0..100 {
            queue.push(format!("line {n:04}\n").as_bytes());
        }
        assert_eq!(queue.dropped(), 90, "ten of ten bytes fit");
        for n in 0..10 {
            let_through.send(Ok(())).unwrap();
            assert_eq!(written.recv().unwrap(), format!("line {n:04}\n"));
        }
        queue.flush(LONG);
        queue.push(b"line after\n");
        let_through.send(Ok(())).unwrap();
        assert_eq!(written.recv().unwrap(), "line after\n", "there is room again");
        assert_eq!(queue.dropped(), 90);
    }

    #[test]
    fn f_13_a_flush_waits_for_what_is_under_way_and_not_for_ever() {
        let (queue, let_through, written) = gated(100);
        queue.push(b"last words\n");
        queue.flush(Duration::from_millis(1));
        assert!(written.try_recv().is_err(), "it gave up");
        let_through.send(Ok(())).unwrap();
        queue.flush(LONG);
        assert_eq!(written.try_recv().unwrap(), "last words\n");
    }

    #[test]
    fn a_line_is_written_whole_to_a_stream_that_is_full_for_a_moment_and_one_that_fails_is_counted() {
        let (queue, let_through, written) = gated(100);
        queue.push(b"one\n");
        for outcome in [Err(ErrorKind::WouldBlock.into()), Err(ErrorKind::Interrupted.into()), Ok(())] {
            let_through.send(outcome).unwrap();
        }
        assert_eq!(written.recv().unwrap(), "one\n");
        queue.push(b"two\n");
        let_through.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
        queue.flush(LONG);
        assert_eq!(queue.dropped(), 1);
    }

    #[test]
    fn a_line_longer_than_the_queue_is_not_lost_for_its_length() {
        let (queue, let_through, written) = gated(4);
        queue.push(b"a long one\n");
        let_through.send(Ok(())).unwrap();
        assert_eq!(written.recv().unwrap(), "a long one\n");
    }
}
