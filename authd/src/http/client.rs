//! The client's address: the peer's, unless the peer is a trusted proxy (TH-04).

use std::net::IpAddr;

use common::ErrorCode;
use http::{HeaderName, HeaderValue};

use super::{ApiError, App};
use crate::{
    config::Mode,
    domain::address::{canonical, parse},
    door::{Head, Peer},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

fn peer(head: &Head) -> Option<IpAddr> {
    match &*head.peer {
        Peer::Tcp(address) => Some(canonical(address.ip())),
        Peer::Unix(_) => None,
    }
}

fn is_proxy(app: &App, address: IpAddr) -> bool {
    app.settings.trusted_proxies.iter().any(|network| network.contains(address))
}

/// The address that counts: the rightmost entry of `X-Forwarded-For` that is not a trusted proxy itself. What is not an
/// address falls back to the peer.
pub fn address(app: &App, head: &Head) -> Option<IpAddr> {
    let peer = peer(head)?;
    if !is_proxy(app, peer) {
        return Some(peer);
    }
    // A line that is no text counts with its commas: the line before it is nearer to the client, and may be the client's.
    let values: Vec<&[u8]> = head.headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    for entry in values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b',')) {
        match std::str::from_utf8(entry).ok().and_then(|entry| parse(entry.trim())) {
            Some(address) if is_proxy(app, address) => {}
            Some(address) => return Some(address),
            None => return Some(peer),
        }
    }
    Some(peer)
}

/// In development nobody stands in front of the daemon unless it is configured: a request that says otherwise came
/// through a tunnel or a proxy that would make every client look like this machine.
///
/// # Errors
/// `UntrustedProxy`, naming the setting.
pub fn check_forwarding(app: &App, head: &Head) -> Result<(), ApiError> {
    if app.settings.mode != Mode::Development || peer(head).is_some_and(|peer| is_proxy(app, peer)) {
        return Ok(());
    }
    let forwarded = |name: &HeaderName| {
        name == http::header::FORWARDED || name.as_str().starts_with("x-forwarded-") || name.as_str() == "x-real-ip"
    };
    match head.headers.keys().any(forwarded) {
        true => Err(ApiError::new(ErrorCode::UntrustedProxy)),
        false => Ok(()),
    }
}
