//! authd.
pub mod config;
pub mod crypto;
pub mod digest;
pub mod domain;
pub mod door;
pub mod http;
pub mod json;
pub mod net;
pub mod ports;
pub mod service;
pub mod store;
