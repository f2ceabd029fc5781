//! authctl as its users know it, run in this process against a daemon in this process.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod commands;
mod help;
mod imports;
mod mistakes;
mod prompts;
