//! The public door, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod abandoned;
mod administrators;
mod answers;
mod attacks;
mod better_auth;
mod claims;
mod events;
mod failures;
mod fields;
mod hooks;
mod hosts;
mod json_bodies;
mod jwks;
mod limits;
mod mail_links;
mod mail_queue;
mod mutated;
mod naughty;
mod openapi;
mod origins;
mod own_account;
mod own_sessions;
mod passwords;
mod paths;
mod plain;
mod plugins;
mod races;
mod refresh;
mod replay;
mod routes;
mod service_tokens;
mod sessions;
mod takeover;
mod targets;
mod throttles;
mod token_cache;
mod tokens;
mod usernames;
mod vectors;
