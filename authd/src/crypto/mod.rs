//! The cryptography: implementations of the ports on aws-lc-rs, argon2, scrypt and chacha20poly1305. Nothing here knows
//! of users or requests.

pub mod age;
pub mod entropy;
mod fair;
pub mod hasher;
pub mod imported;
pub mod jwt;
pub mod known;
pub mod mac;
pub mod master;
pub mod seal;
pub mod secret_file;
pub mod session_copy;
pub mod strength;
