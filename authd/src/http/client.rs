//! The client's address: the peer's, unless the peer is a trusted proxy (TH-04).

use std::net::IpAddr;

use common::ErrorCode;
use http::{HeaderName, HeaderValue, header};

use super::{ApiError, App};
use crate::{
    config::{AddressHeader, Mode},
    domain::address::{canonical, parse_node},
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

/// Whom a trusted proxy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named<'a> {
    /// The rightmost entry that is not a trusted proxy itself.
    Client(IpAddr),
    /// Nobody but proxies.
    Proxies,
    /// There is no such header.
    Nobody,
    /// This, which is no address.
    Unreadable(&'a [u8]),
}

/// The address that counts: the one that a trusted proxy names, or else the peer's own.
pub fn address(app: &App, head: &Head) -> Option<IpAddr> {
    let peer = peer(head)?;
    if !is_proxy(app, peer) {
        return Some(peer);
    }
    match named(app, head) {
        Named::Client(address) => Some(address),
        Named::Proxies | Named::Nobody | Named::Unreadable(_) => Some(peer),
    }
}

fn named<'a>(app: &App, head: &'a Head) -> Named<'a> {
    let by = app.settings.client_address;
    let name = match by {
        AddressHeader::XForwardedFor => X_FORWARDED_FOR,
        AddressHeader::Forwarded => header::FORWARDED,
    };
    let read = |entry| match by {
        AddressHeader::XForwardedFor => std::str::from_utf8(entry).ok().and_then(|entry| parse_node(entry.trim())),
        AddressHeader::Forwarded => forwarded_for(entry),
    };
    // A line that is no text counts with its commas: the line before it is nearer to the client, and may be the client's.
    let values: Vec<&[u8]> = head.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    for entry in values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b',')) {
        match read(entry) {
            Some(address) if is_proxy(app, address) => {}
            Some(address) => return Named::Client(address),
            None => return Named::Unreadable(entry),
        }
    }
    if values.is_empty() { Named::Nobody } else { Named::Proxies }
}

/// The address of one element of `Forwarded` (RFC 7239 §4): `for=192.0.2.43`, `for="[2001:db8::1]:4711"`. A comma inside a
/// quoted text parts it in two that are no addresses, which is as good as none: addresses have no commas.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let element = std::str::from_utf8(element).ok()?;
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
    }
    let value = found?;
    let node = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        // A token has neither brackets nor colons.
        None if value.contains([':', '[', ']']) => return None,
        None => value,
    };
    // Here IPv6 addresses have their brackets (RFC 7239 §6).
    parse_node(node).filter(|address| address.is_ipv4() || node.starts_with('['))
}

/// Who comes by a proxy and cannot be told from others that do is noted for `status`, because all of them count as one: where a
/// peer names another client and is not trusted to, and where a trusted proxy names nobody, or somebody that cannot be read.
/// `of_all`: the route is asked by proxies for themselves too, and by everybody alike.
///
/// A peer that is not trusted is no matter for `status` in development, but refused. In development nobody stands in front of the daemon unless it is configured: a request that says
/// otherwise came through a tunnel or a proxy that would make every client look like this machine.
///
/// # Errors
/// `UntrustedProxy`, naming the setting.
pub fn check_forwarding(app: &App, head: &Head, of_all: bool) -> Result<(), ApiError> {
    let Some(peer) = peer(head) else { return Ok(()) };
    let throttles = &app.services.throttles;
    if is_proxy(app, peer) {
        match named(app, head) {
            Named::Client(_) | Named::Proxies => {}
            Named::Unreadable(entry) => throttles.not_readable(peer, entry),
            Named::Nobody if of_all => {}
            Named::Nobody => throttles.not_named(peer),
        }
        return Ok(());
    }
    let forwarded = |name: &HeaderName| {
        name == header::FORWARDED || name.as_str().starts_with("x-forwarded-") || name.as_str() == "x-real-ip"
    };
    if !head.headers.keys().any(forwarded) {
        return Ok(());
    }
    if app.settings.mode == Mode::Development {
        return Err(ApiError::new(ErrorCode::UntrustedProxy));
    }
    throttles.not_believed(peer);
    Ok(())
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
    fn th_04_the_forwarded_header_is_read_where_it_is_the_configured_one() {
        let app = app(|s| {
            s.trusted_proxies = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
            s.client_address = AddressHeader::Forwarded;
        });
        let seen = |value: &str| {
            let lines = [("forwarded", value.as_bytes()), ("x-forwarded-for", b"198.51.100.1")];
            address(&app, &head(Method::GET, "/", "127.0.0.1", &lines)).unwrap().to_string()
        };
        for (value, expected) in [
            ("for=203.0.113.7", "203.0.113.7"),
            ("For=\"203.0.113.7:4711\";proto=https;by=10.0.0.1", "203.0.113.7"),
            ("for=1.2.3.4, for=203.0.113.7;host=x, for=10.1.2.3", "203.0.113.7"),
            ("for=\"[2001:DB8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
        ] {
            assert_eq!(seen(value), expected, "{value}");
        }
        for odd in [
            "for=unknown",
            "for=_hidden",
            "for=\"203.0.113.7",
            "for=203.0.113.7:80",
            "for=[2001:db8::1]",
            "for=\"2001:db8::1\"",
            "for=\"[203.0.113.7]\"",
            "for=\"[2001:db8::1]:\"",
            "for=\"[2001:db8::1]x\"",
            "for=203.0.113.7;for=203.0.113.8",
            "proto=https",
            "203.0.113.7",
            "for=203.0.113.7,",
            "",
        ] {
            assert_eq!(seen(odd), "127.0.0.1", "{odd}");
        }
    }

    #[test]
    fn th_04_a_stranger_is_not_believed() {
        let app = app(|s| s.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]);
        let head = head(Method::GET, "/", "127.0.0.1", &[("x-forwarded-for", b"203.0.113.7")]);
        assert_eq!(address(&app, &head).unwrap().to_string(), "127.0.0.1");
    }
}
