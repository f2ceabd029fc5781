//! The journal of systemd, in its own protocol, so that `journalctl AUTHD_EVENT=user.disabled` finds what it names: an entry is a
//! datagram of lines `NAME=value` (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>). The entries go through the same queue as lines
//! do, and the same thread sends them, which alone waits for a journal that is slow (F-13).

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixDatagram},
    path::{Path, PathBuf},
    sync::Arc,
};

use common::text::printable;
use nix::sys::stat::fstat;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::queue::Queue;

/// Where it listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// How much of a value is sent, in bytes: the journal takes no datagram beyond the socket's buffer, some 200 KiB.
const MAX_VALUE: usize = 16 * 1024;

/// Whether this stream leads to the journal, as `JOURNAL_STREAM` has it: device and inode.
pub(super) fn is_behind(stream: impl AsFd, variable: Option<&str>) -> bool {
    let Some((device, inode)) = variable.and_then(|value| value.split_once(':')) else { return false };
    fstat(stream).is_ok_and(|stat| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
}

/// What entries are sent to.
pub(super) struct Socket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Socket {
    /// The journal of this host, if it has one.
    pub(super) fn of_host() -> Option<Self> {
        Self::at(&place())
    }

    fn at(path: &Path) -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        path.try_exists().ok()?.then(|| Self { socket, path: path.into() })
    }
}

/// Where the environment says, for tests: a machine that they run on need not have a journal. The variable means nothing to a
/// release build.
#[cfg(debug_assertions)]
fn place() -> PathBuf {
    std::env::var_os("AUTHD_TEST_JOURNAL").map_or_else(|| SOCKET.into(), PathBuf::from)
}

#[cfg(not(debug_assertions))]
fn place() -> PathBuf {
    SOCKET.into()
}

impl Write for Socket {
    /// An entry is a datagram, whole or not at all. Without a connection, so that a journal that was restarted gets it too.
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.socket.send_to(entry, &self.path)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An entry as it grows.
struct Entry(Vec<u8>);

impl Entry {
    /// Syslog's priorities.
    fn new(level: Level) -> Self {
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            Level::DEBUG | Level::TRACE => "7",
        };
        let mut entry = Self(Vec::with_capacity(256));
        entry.line("PRIORITY", priority);
        entry.line("SYSLOG_IDENTIFIER", "authd");
        entry
    }

    /// A field. Nothing in a value ends it: what a terminal or a log could act upon, line ends among it, is written as an
    /// escape (LG-03).
    fn line(&mut self, name: &str, value: &str) {
        let cut = &value[..value.floor_char_boundary(MAX_VALUE)];
        self.0.extend([name.as_bytes(), b"=", printable(cut).as_bytes(), b"\n"].concat());
    }
}

/// The journal's name of a field: `request.id` is `AUTHD_REQUEST_ID`. Who acts on the admin socket is its peer.
fn name_of(field: &str) -> String {
    match field {
        "message" => "MESSAGE".into(),
        "operator.uid" => "AUTHD_PEER_UID".into(),
        "operator.pid" => "AUTHD_PEER_PID".into(),
        other => {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            format!("AUTHD_{}", other.chars().map(plain).collect::<String>())
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.line(&name_of(field.name()), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // What fails to say what it is says what it said until then.
        let _ = write!(text, "{value:?}");
        self.line(&name_of(field.name()), &text);
    }
}

/// Words without fields.
pub(super) fn words(text: &str) -> Vec<u8> {
    let mut entry = Entry::new(Level::ERROR);
    entry.line("MESSAGE", text.trim_end());
    entry.0
}

/// What makes entries of events.
pub(super) struct Journal(pub(super) Arc<Queue>);

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let mut entry = Entry::new(*meta.level());
        entry.line("AUTHD_TARGET", meta.target());
        event.record(&mut entry);
        self.0.push(&entry.0);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::MetadataExt, time::Duration};

    use tracing_subscriber::layer::SubscriberExt;

    use super::{super::queue::QUEUE_BYTES, *};

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn an_event_is_one_entry_with_its_fields_whatever_they_say() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        assert!(Socket::at(&path).is_none(), "there is no journal yet");
        let journal = UnixDatagram::bind(&path).unwrap();
        let queue = Queue::new(QUEUE_BYTES);
        queue.clone().write_to(Socket::at(&path).unwrap()).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal(queue.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let forged = "x\nPRIORITY=0\nMESSAGE=forged\u{1b}[31m";
            tracing::warn!(request.id = "abc", operator.uid = 1000, event = %"user.disabled", code = forged, "disabled {}", 1);
            tracing::info!(long = "é".repeat(MAX_VALUE), "cut");
        });
        queue.push(&words("authd: stopped\n"));
        queue.flush(LONG);
        let read = || {
            let mut bytes = vec![0; 1 << 17];
            let length = journal.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        assert_eq!(
            read(),
            "PRIORITY=4\nSYSLOG_IDENTIFIER=authd\nAUTHD_TARGET=authd::telemetry::journal::tests\nMESSAGE=disabled 1\n\
             AUTHD_REQUEST_ID=abc\nAUTHD_PEER_UID=1000\nAUTHD_EVENT=user.disabled\n\
             AUTHD_CODE=x\\u{a}PRIORITY=0\\u{a}MESSAGE=forged\\u{1b}[31m\n"
        );
        let long = read();
        assert_eq!(long.matches('é').count(), MAX_VALUE / 2);
        assert_eq!(read(), "PRIORITY=3\nSYSLOG_IDENTIFIER=authd\nMESSAGE=authd: stopped\n");
    }

    #[test]
    fn f_13_a_journal_that_takes_nothing_holds_nobody_up_and_one_that_is_gone_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let queue = Queue::new(1 << 16);
        queue.clone().write_to(Socket::at(&path).unwrap()).unwrap();
        // Far more than the socket and the queue hold together, and nobody reads.
        let entry = words(&"x".repeat(1000));
        (0..10_000).for_each(|_| queue.push(&entry));
        assert!(queue.dropped() > 1000, "{}", queue.dropped());
        drop(journal);
        queue.flush(LONG);
        let before = queue.dropped();
        queue.push(&entry);
        queue.flush(LONG);
        assert_eq!(queue.dropped(), before + 1);
        std::fs::remove_file(&path).unwrap();
        let journal = UnixDatagram::bind(&path).unwrap();
        queue.push(&entry);
        assert_eq!(journal.recv(&mut [0; 4096]).unwrap(), entry.len(), "one that is back gets what comes");
    }

    #[test]
    fn the_stream_is_known_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let meta = file.metadata().unwrap();
        let own = format!("{}:{}", meta.dev(), meta.ino());
        assert!(is_behind(&file, Some(&own)));
        for other in [None, Some(""), Some("1:2"), Some("1"), Some(&*format!("{own}1")), Some(&*format!("{own}:"))] {
            assert!(!is_behind(&file, other), "{other:?}");
        }
        assert!(!is_behind(File::open("/dev/null").unwrap(), Some(&own)));
    }
}
