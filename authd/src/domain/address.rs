//! Client addresses: one spelling for each, and one bucket per household (IPv6 by /64).

use std::net::{IpAddr, Ipv6Addr};

/// Parses an address. No ports, no zones, no brackets, no octal or hexadecimal IPv4, no white space:
/// what is not an address falls back to the peer (TH-04).
pub fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(canonical)
}

/// Parses a node as proxies write it (RFC 7239 §6): an address, an IPv6 one perhaps in brackets, and perhaps a port, which
/// may be hidden behind a name. What a port is said to be does not matter, but a text that is no port is no address either.
pub fn parse_node(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let is_good = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return parse(address).filter(|_| is_good && address.contains(':'));
    }
    parse(text).or_else(|| {
        let (address, port) = text.split_once(':')?;
        parse(address).filter(|_| is_port(port))
    })
}

fn is_port(text: &str) -> bool {
    let is_hidden = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    let is_number = text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok();
    is_number || text.strip_prefix('_').is_some_and(is_hidden)
}

/// IPv4-mapped IPv6 addresses, and those of NAT64 (`64:ff9b::/96`, RFC 6052), are the IPv4 addresses they stand for: the /64 of
/// the latter is the whole internet.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                IpAddr::from((u32::from(high) << 16 | u32::from(low)).to_be_bytes())
            }
            _ => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        },
        IpAddr::V4(_) => address,
    }
}

/// What throttles count by: an IPv4 address, or the /64 of an IPv6 address, since one subscriber owns the whole of it.
pub fn bucket(address: IpAddr) -> IpAddr {
    match canonical(address) {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The bucket of an address that is there as text, as text; `None` for what is not an address.
pub fn place(text: &str) -> Option<String> {
    parse(text).map(|address| bucket(address).to_string())
}

/// An address range such as `10.0.0.0/8`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address| match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 4),
            IpAddr::V6(v6) => (u128::from(v6), 6),
        };
        let ((a, family), (b, other)) = (bits(self.base), bits(canonical(address)));
        let shift = 128 - u32::from(self.prefix);
        family == other && a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    }

    /// Whether it takes in more than any network of one's own: wider than `10.0.0.0/8` or `fc00::/7`, as `0.0.0.0/0` is.
    pub fn is_too_wide(&self) -> bool {
        match self.base {
            IpAddr::V4(_) => self.prefix < 8,
            IpAddr::V6(_) => self.prefix < 7,
        }
    }
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("'{text}' is neither an IP address nor a range such as 10.0.0.0/8");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let base = parse(address).ok_or_else(refuse)?;
        let widest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(p) => p.parse::<u8>().ok().filter(|p| *p <= widest).ok_or_else(refuse)?,
            None => widest,
        };
        Ok(Self { base, prefix })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widest = if self.base.is_ipv4() { 32 } else { 128 };
        if self.prefix == widest { write!(f, "{}", self.base) } else { write!(f, "{}/{}", self.base, self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn th_04_an_address_of_nat64_is_the_one_it_stands_for() {
        assert_eq!(parse("64:ff9b::c000:207").unwrap().to_string(), "192.0.2.7");
        assert_ne!(bucket(parse("64:ff9b::c000:207").unwrap()), bucket(parse("64:ff9b::c000:208").unwrap()));
        assert_eq!(parse("64:ff9b:1::c000:207").unwrap().to_string(), "64:ff9b:1::c000:207", "another prefix");
    }

    #[test]
    fn th_04_spellings_of_one_address_share_a_bucket() {
        let b = |text| bucket(parse(text).unwrap());
        assert_eq!(b("::ffff:192.0.2.7"), b("192.0.2.7"));
        assert_eq!(b("2001:db8:0:1::1"), b("2001:DB8:0:1:dead:beef:0:1"));
        assert_ne!(b("2001:db8:0:1::1"), b("2001:db8:0:2::1"));
        assert_ne!(b("192.0.2.7"), b("192.0.2.8"));
        for bad in ["192.0.2.7:80", "0300.0.2.7", "[::1]", "fe80::1%eth0", "localhost", "", " 1.1.1.1"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn th_04_a_node_may_have_brackets_and_a_port() {
        for (text, expected) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7:1234", Some("192.0.2.7")),
            ("192.0.2.7:65535", Some("192.0.2.7")),
            ("192.0.2.7:_secret-1.x", Some("192.0.2.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:DB8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[::ffff:192.0.2.7]:1", Some("192.0.2.7")),
            ("192.0.2.7:65536", None),
            ("192.0.2.7:1234:5", None),
            ("192.0.2.7:", None),
            ("192.0.2.7:+80", None),
            ("192.0.2.7:_", None),
            ("192.0.2.7:_a b", None),
            ("[192.0.2.7]", None),
            ("[192.0.2.7]:80", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]443", None),
            ("[2001:db8::1]:", None),
            ("[[2001:db8::1]]", None),
            ("[2001:db8::1%eth0]", None),
            ("unknown", None),
            ("_hidden", None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(parse_node(text).map(|a| a.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_range_contains_what_shares_its_prefix() {
        let net: Network = "10.1.0.0/16".parse().unwrap();
        assert!(net.contains("10.1.255.3".parse().unwrap()));
        assert!(net.contains("::ffff:10.1.0.9".parse().unwrap()));
        assert!(!net.contains("10.2.0.0".parse().unwrap()));
        assert!(!net.contains("::1".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()) && all.is_too_wide());
        let wide = |text: &str| text.parse::<Network>().unwrap().is_too_wide();
        assert!(["0.0.0.0/0", "::/0", "10.0.0.0/7", "128.0.0.0/1", "fc00::/6"].into_iter().all(wide));
        assert!(!["10.0.0.0/8", "fc00::/7", "127.0.0.1", "::1"].into_iter().any(wide));
        let one: Network = "2001:db8::1".parse().unwrap();
        assert!(one.contains("2001:db8::1".parse().unwrap()) && !one.contains("2001:db8::2".parse().unwrap()));
        for bad in ["10.0.0.0/33", "x", "10.0.0.0/", "::/129", "10.0.0.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
