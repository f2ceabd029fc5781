//! The log: text for people on a terminal, JSON lines elsewhere, on standard error.

use std::{io::IsTerminal, panic::PanicHookInfo, sync::OnceLock};

use common::text::printable;
use tracing::error;
use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

use crate::config::{LogFormat, LogLevel};

/// A panic as one event, whatever it was about: its text on several lines would break a log of JSON lines, and could forge one
/// (LG-03).
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    error!(thread = thread.name().unwrap_or_default(), location, "panicked: {}", printable(&said(info)));
}

fn said(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
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

/// Starts logging for this process. A second call changes nothing.
pub fn start(format: LogFormat, level: LogLevel) {
    let (filter, handle) = reload::Layer::new(filter(level));
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
    } else {
        let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        registry.with(fmt::layer().with_ansi(ansi).with_target(false).with_writer(std::io::stderr)).try_init()
    };
    // Somebody else logs already: in tests.
    if started.is_ok() {
        FILTER.get_or_init(|| handle);
        std::panic::set_hook(Box::new(log_panic));
    }
}
