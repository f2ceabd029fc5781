//! What both doors have in common: how a request comes in, how its route is found, how its body is read and checked, how
//! an answer goes out. Knows nothing of users, sessions or roles.

pub mod body;
pub mod head;
pub mod reply;
pub mod router;
pub mod validate;

pub use self::{
    body::{Body, BodyError},
    head::{Head, Peer, PeerCredentials},
    reply::Reply,
    router::{Found, Router, Verb},
    validate::Fields,
};
