//! authd.
pub mod crypto;
pub mod domain;
pub mod json;
pub mod ports;
pub mod store;
