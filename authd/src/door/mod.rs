//! What both doors have in common: how a request comes in, how its route is found, how its body is read and checked, how
//! an answer goes out. Knows nothing of users, sessions or roles.

pub mod body;
pub mod head;
pub mod openapi;
pub mod panics;
pub mod reply;
pub mod router;
pub mod validate;

pub use self::{
    body::{Body, BodyError, Raw, Room, Share},
    head::{Head, Peer, PeerCredentials},
    panics::Panic,
    reply::{JSON, Reply},
    router::{Found, Router, Verb},
    validate::{Fields, is_truthy, type_name},
};
pub use crate::json::MAX_MEMBERS;
