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

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http::tests::{app, head};

    /// What counts as the client's address of a request from 127.0.0.1, which is a trusted proxy as 10.0.0.0/8 is.
    fn seen(lines: &[&[u8]]) -> String {
        let app = app(|s| {
            s.trusted_proxies = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        });
        let lines: Vec<(&str, &[u8])> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        address(&app, &head(Method::GET, "/", "127.0.0.1", &lines)).unwrap().to_string()
    }

    #[test]
    fn th_04_the_rightmost_address_that_is_no_proxy_counts() {
        assert_eq!(seen(&[]), "127.0.0.1");
        assert_eq!(seen(&[b"203.0.113.7"]), "203.0.113.7");
        assert_eq!(seen(&[b"1.2.3.4,203.0.113.7,10.1.2.3"]), "203.0.113.7");
        assert_eq!(seen(&[b"1.2.3.4", b"203.0.113.7, 10.1.2.3"]), "203.0.113.7", "lines are one list");
        assert_eq!(seen(&[b"203.0.113.7", b"10.1.2.3"]), "203.0.113.7");
        assert_eq!(seen(&[b"10.1.2.3"]), "127.0.0.1", "nobody but proxies");
    }

    #[test]
    fn th_04_what_is_no_text_is_no_address_and_nothing_left_of_it_counts() {
        for line in [&b"\xff\xfe"[..], b"203.0.113.7, \xff", b"203.0.113.7\xff", b"203.0.113.7\xa0", b"203.0.113.7,"] {
            assert_eq!(seen(&[line]), "127.0.0.1", "{line:?}");
            assert_eq!(seen(&[b"203.0.113.7", line]), "127.0.0.1", "{line:?} after a good line");
            assert_eq!(seen(&[b"203.0.113.7", line, b"10.1.2.3"]), "127.0.0.1", "{line:?} before a proxy");
        }
        assert_eq!(seen(&[b"\xff", b"203.0.113.7"]), "203.0.113.7", "what is left of the address does not matter");
        assert_eq!(seen(&[b"\xff, 203.0.113.7"]), "203.0.113.7");
    }

    #[test]
    fn th_04_a_stranger_is_not_believed() {
        let app = app(|s| s.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]);
        let head = head(Method::GET, "/", "127.0.0.1", &[("x-forwarded-for", b"203.0.113.7")]);
        assert_eq!(address(&app, &head).unwrap().to_string(), "127.0.0.1");
    }
}
