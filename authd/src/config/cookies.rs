//! What can be configured of cookies: names, and the domain they are for (SE-05).

use std::{fmt, str::FromStr};

use super::setting::choice;
use crate::ports::CopyForm;

choice! {
    /// Whether browsers carry a copy of the session, and in which form.
    CookieCache {
        /// They do not.
        Off = "off",
        /// As JSON with an HMAC.
        Compact = "compact",
        /// As a signed JWT.
        Jwt = "jwt",
        /// As an encrypted one.
        Jwe = "jwe",
    }
}

impl CookieCache {
    /// The form, if there is a copy.
    pub const fn form(self) -> Option<CopyForm> {
        match self {
            Self::Off => None,
            Self::Compact => Some(CopyForm::Compact),
            Self::Jwt => Some(CopyForm::Jwt),
            Self::Jwe => Some(CopyForm::Jwe),
        }
    }
}

/// What cookies' names begin with: a token of RFC 6265 without dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookiePrefix(String);

impl CookiePrefix {
    /// `better-auth`
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CookiePrefix {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let good = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let reserved = text.to_ascii_lowercase();
        if text.is_empty() || text.len() > 64 || !good {
            Err(format!("'{text}' is no prefix for cookies: up to 64 letters, digits, - and _"))
        } else if reserved.starts_with("__secure-") || reserved.starts_with("__host-") {
            Err(format!(
                "'{text}' begins with what browsers have a meaning for: leave it out, it is put there by itself"
            ))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for CookiePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A domain whose hosts share cookies. Never a public suffix: browsers would refuse the cookie, or hand it to everybody's hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieDomain(String);

impl CookieDomain {
    /// In lower case, with a dot before it where one was written: it means nothing (RFC 6265 §5.2.3), and is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a host is this domain or below it (RFC 6265 §5.1.3).
    pub fn covers(&self, host: &str) -> bool {
        let name = self.0.trim_start_matches('.');
        host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for CookieDomain {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
        let url = url::Url::parse(&format!("http://{name}/"));
        let is_same = url.is_ok_and(|url| matches!(url.host(), Some(url::Host::Domain(host)) if host == name));
        if !is_same || name.contains('*') || name.split('.').any(str::is_empty) {
            return Err(format!("'{text}' is no domain: write example.com, without scheme and port"));
        }
        // What is below it counts too: the list has *.kawasaki.jp, whose hosts are suffixes.
        match psl::domain_str(&name).and(psl::domain_str(&format!("any.{name}"))) {
            Some(_) => Ok(Self(text.to_ascii_lowercase())),
            None => Err(format!(
                "'{text}' is a public suffix: hosts of other people are below it, and would receive the cookies of your users. \
                 Write your own domain below it"
            )),
        }
    }
}

impl fmt::Display for CookieDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn se_05_cookies_are_for_a_domain_of_ones_own_or_for_none() {
        for (text, name) in [
            ("example.com", "example.com"),
            (".Example.COM", ".example.com"),
            ("app.example.co.uk", "app.example.co.uk"),
            ("auth.internal", "auth.internal"),
            ("ada.github.io", "ada.github.io"),
            ("city.kawasaki.jp", "city.kawasaki.jp"),
        ] {
            assert_eq!(text.parse::<CookieDomain>().unwrap().as_str(), name);
        }
        for bad in ["com", "co.uk", ".co.uk", "github.io", "localhost", "kawasaki.jp", "other.kawasaki.jp"] {
            assert!(bad.parse::<CookieDomain>().unwrap_err().contains("public suffix"), "{bad}");
        }
        for bad in [
            "",
            ".",
            "example.com.",
            "https://example.com",
            "example.com:80",
            "127.0.0.1",
            "[::1]",
            "a..b",
            "*.a.b",
            "a b",
        ] {
            assert!(bad.parse::<CookieDomain>().unwrap_err().contains("no domain"), "{bad}");
        }
        for domain in ["example.com", ".example.com"] {
            let domain: CookieDomain = domain.parse().unwrap();
            let good = ["example.com", "auth.example.com"];
            assert!(good.iter().all(|host| domain.covers(host)));
            assert!(!["notexample.com", "example.com.evil", "com", ""].iter().any(|host| domain.covers(host)));
        }
    }

    #[test]
    fn prefixes_of_cookies_are_plain_words() {
        assert_eq!("my-app_2".parse::<CookiePrefix>().unwrap().as_str(), "my-app_2");
        for bad in ["", "a.b", "a b", "a;b", "ä", "__Secure-a", "__host-a", &"a".repeat(65)] {
            assert!(bad.parse::<CookiePrefix>().is_err(), "{bad}");
        }
    }
}
