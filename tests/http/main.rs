//! The public door, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod attacks;
mod better_auth;
mod hosts;
mod json_bodies;
mod jwks;
mod limits;
mod naughty;
mod origins;
mod passwords;
mod plain;
mod refresh;
mod replay;
mod routes;
mod sessions;
mod takeover;
mod tokens;
