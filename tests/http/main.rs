//! The public door, from outside.

mod better_auth;
mod hosts;
mod json_bodies;
mod jwks;
mod limits;
mod naughty;
mod origins;
mod passwords;
mod plain;
mod replay;
mod routes;
mod sessions;
mod tokens;
