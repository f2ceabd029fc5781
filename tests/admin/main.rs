//! The admin door, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod audit;
mod door;
mod keys;
mod reload;
mod users;
