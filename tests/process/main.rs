//! The programs as processes: files, signals, exit codes, kill -9.
// The helpers of tests are tests too, which clippy cannot see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod authctl;
mod backup;
mod configuration;
mod failures;
mod first_steps;
mod imports;
mod kill_loop;
mod leaks;
mod lifecycle;
mod log;
mod log_injection;
mod log_pipe;
mod manual;
mod master_key;
mod readme;
mod reload;
mod restarts;
mod rewrap;
mod roles;
mod runbooks;
mod store;
mod systemd;
mod webhooks;

/// The host of a test; without built programs the test is skipped.
macro_rules! host {
    () => {
        match tests::process::Host::new() {
            Some(host) => host,
            None => return,
        }
    };
}
use host;
