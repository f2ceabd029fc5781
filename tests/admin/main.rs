//! The admin door, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod acts;
mod audit;
mod door;
mod forgetting;
mod keys;
mod live_settings;
mod reload;
mod sessions;
mod users;
