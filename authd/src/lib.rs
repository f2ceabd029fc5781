//! authd: Better Auth's backend as one daemon over an embedded store.
//!
//! The path of a request: [`net`] → [`door`] → the route table of [`http`] or [`admin`] → a function of [`service`] → a
//! verdict of [`domain`] → one intent of [`store`]. ARCHITECTURE.md has the map in prose.

pub mod admin;
pub mod app;
pub mod backup;
pub mod calling;
pub mod card;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod datadir;
pub mod digest;
pub mod domain;
pub mod door;
pub mod exit;
pub mod files;
pub mod framing;
pub mod http;
pub mod init;
pub mod json;
pub mod life;
pub mod listen;
pub mod live;
pub mod mailer;
pub mod metrics;
pub mod net;
pub mod nss;
pub mod offline;
mod opening;
pub mod ports;
pub mod post_office;
pub mod proxies;
pub mod reload;
pub mod run;
pub mod service;
pub mod store;
pub mod takeover;
pub mod telemetry;
pub mod webhook;
