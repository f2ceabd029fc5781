//! What can be configured of hooks and events: where the application is called, and about what.

use std::{fmt, net::IpAddr, str::FromStr};

use url::{Host, Url};

use crate::domain::{Hook, Topic, address::canonical, origin::is_loopback_host};

/// Where the application is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl(Url);

impl TargetUrl {
    /// As it is called.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether nobody on the way can read or answer.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        self.0.host_str().is_some_and(is_loopback_host)
    }

    /// Whether it is an address of this machine or of a private network, as such: a name may lead anywhere.
    pub fn is_near(&self) -> bool {
        let ip = match self.0.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(canonical(IpAddr::V6(ip))),
            Some(Host::Domain(_)) | None => None,
        };
        let is_private = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.is_private(),
            IpAddr::V6(ip) => ip.is_unique_local(),
        };
        self.is_loopback() || ip.is_some_and(is_private)
    }
}

impl FromStr for TargetUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // Not the text itself: there may be a password in it.
        let wrong = |what: &str| Err(format!("{what}: write https://app.example.com/hooks/authd"));
        let Ok(url) = text.parse::<Url>() else { return wrong("it is no URL") };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return wrong("it is neither http nor https");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("it has a user or password in it, which are not sent: requests are signed instead");
        }
        if url.fragment().is_some() {
            return wrong("it has a part behind #, which is not sent");
        }
        Ok(Self(url))
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// A hook by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookName(pub Hook);

impl FromStr for HookName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Hook::ALL.map(Hook::as_str).join(", ");
        Hook::from_name(text).map(Self).ok_or_else(|| format!("'{text}' is no hook: there are {}", names()))
    }
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// An event by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicName(pub Topic);

impl FromStr for TopicName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Topic::ALL.iter().map(|topic| topic.as_str()).collect::<Vec<_>>().join(", ");
        Topic::from_name(text).map(Self).ok_or_else(|| format!("'{text}' is no event: there are {}", names()))
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op_05_a_target_is_a_plain_web_address() {
        for good in ["https://app.example.com/hooks", "http://127.0.0.1:3000/", "http://[::1]:3000/x?y=z"] {
            assert!(good.parse::<TargetUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "app.example.com/hooks",
            "ftp://app.example.com",
            "file:///etc/passwd",
            "unix:/run/x",
            "https://",
            "https://user:secret@app.example.com/",
            "https://app.example.com/#x",
            "javascript:alert(1)",
        ] {
            let refused = bad.parse::<TargetUrl>().unwrap_err();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn op_05_near_is_an_address_and_never_a_name() {
        for near in
            ["127.0.0.1", "localhost", "app.localhost", "[::1]", "10.1.2.3", "192.168.0.1", "172.16.0.1", "[fd00::1]"]
        {
            assert!(format!("http://{near}/").parse::<TargetUrl>().unwrap().is_near(), "{near}");
        }
        for far in
            ["example.com", "10.example.com", "169.254.169.254", "172.32.0.1", "[2001:db8::1]", "[fe80::1]", "0.0.0.0"]
        {
            assert!(!format!("http://{far}/").parse::<TargetUrl>().unwrap().is_near(), "{far}");
        }
    }
}
