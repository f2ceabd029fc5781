//! The log: text for people on a terminal, entries with fields for the journal of systemd, JSON lines elsewhere, on standard
//! error; written by a thread of its own.

mod journal;
mod queue;

use std::{
    io::{self, IsTerminal, Write},
    panic::PanicHookInfo,
    sync::{Arc, OnceLock},
    time::Duration,
};

use common::text::printable;
use tracing::error;
use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

use self::{
    journal::{Journal, Socket},
    queue::{Lines, QUEUE_BYTES, Queue},
};
use crate::{
    config::{LogFormat, LogLevel},
    door::panics,
};

/// The log of this process, once there is one.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    queue: Arc<Queue>,
    /// Whether the journal takes it, and not standard error.
    is_journal: bool,
}

/// What is logged by this process, once logging was started.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// sled and hyper speak only when something is wrong.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(format!("warn,authd={level}"))
}

/// Logs at another level from now on.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = FILTER.get()
        && let Err(e) = handle.reload(filter(level))
    {
        error!("the level of the log cannot be changed: {e}");
    }
}

/// A panic as one event, whatever it was about: its text on several lines would break a log of JSON lines, and could forge one
/// (LG-03). One of a handler is told of by the door that catches it, with the request that it was about.
pub(crate) fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    if !panics::keep(&location) {
        let said = panics::said(info.payload());
        error!(thread = thread.name().unwrap_or_default(), location, "panicked: {}", printable(&said));
    }
}

/// How many lines the log has lost because nobody read them in time.
pub fn dropped() -> u64 {
    LOG.get().map_or(0, |log| log.queue.dropped())
}

/// The last words of the process, where the log goes: after what the log still has to say, and within the time that a
/// reader gets who may have stopped reading.
pub fn finish(last_words: Option<String>) {
    match (LOG.get(), last_words) {
        (Some(log), words) => {
            match words {
                Some(words) if log.is_journal => log.queue.push(&journal::words(&words)),
                Some(words) => log.queue.push(words.as_bytes()),
                None => {}
            }
            log.queue.flush(LAST_WORDS);
        }
        (None, Some(words)) => drop(io::stderr().write_all(words.as_bytes())),
        (None, None) => {}
    }
}

/// How long the end of the process waits for its log to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Starts logging for this process. A second call changes nothing.
///
/// # Errors
/// There are no more threads.
pub fn start(format: LogFormat, level: LogLevel) -> io::Result<()> {
    let (filter, handle) = reload::Layer::new(filter(level));
    let is_terminal = io::stderr().is_terminal();
    let socket = match format {
        LogFormat::Journal => Socket::of_host(),
        LogFormat::Auto if journal::is_behind(io::stderr(), std::env::var("JOURNAL_STREAM").ok().as_deref()) => {
            Socket::of_host()
        }
        LogFormat::Auto | LogFormat::Text | LogFormat::Json => None,
    };
    let is_text = format == LogFormat::Text || format == LogFormat::Auto && is_terminal;
    let registry = tracing_subscriber::registry().with(filter);
    let queue = Queue::new(QUEUE_BYTES);
    let lines = Lines(queue.clone());
    let started = if socket.is_some() {
        registry.with(Journal(queue.clone())).try_init()
    } else if is_text {
        let ansi = is_terminal && std::env::var_os("NO_COLOR").is_none();
        registry.with(fmt::layer().with_ansi(ansi).with_target(false).with_writer(lines)).try_init()
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(lines)).try_init()
    };
    // Somebody else logs already: in tests.
    if started.is_ok() {
        FILTER.get_or_init(|| handle);
        let is_journal = socket.is_some();
        let log = LOG.get_or_init(|| Log { queue, is_journal });
        match socket {
            Some(socket) => log.queue.clone().write_to(socket)?,
            None => log.queue.clone().write_to(io::stderr())?,
        }
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lg_03_lg_05_a_panic_is_one_line_whatever_it_says() {
        let queue = Queue::new(QUEUE_BYTES);
        let (mut reader, writer) = io::pipe().unwrap();
        let subscriber = fmt().json().flatten_event(true).with_writer(Lines(queue.clone())).finish();
        tracing::subscriber::with_default(subscriber, || {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(log_panic));
            let caught = std::panic::catch_unwind(|| {
                panic!("two\nlines, {{\"level\":\"INFO\"}}\r\n\u{1b}[31m and \u{202e}more")
            });
            std::panic::set_hook(before);
            assert!(caught.is_err());
        });
        queue.clone().write_to(writer).unwrap();
        queue.flush(Duration::from_mins(1));
        let mut bytes = [0; 4096];
        let length = io::Read::read(&mut reader, &mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(line["level"], "ERROR");
        let said = line["message"].as_str().unwrap();
        assert!(said.starts_with("panicked: two") && !said.contains(['\n', '\r', '\u{1b}', '\u{202e}']), "{said:?}");
    }
}
