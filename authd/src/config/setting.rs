//! The types that a setting can have, and how each is read from TOML, from an environment variable or a flag, and shown.

use std::{fmt, net::SocketAddr, ops::Range, path::PathBuf, str::FromStr};

use common::{Span, UnixTime, UserId};
use toml::de::DeValue;

use super::{CookieCache, CookieDomain, CookiePrefix, Delivery, HookName, Mailbox, Security, TargetUrl, TopicName};
use crate::crypto::age::Recipient;
use crate::domain::{Algorithm, UserRole, access::Principal, address::Network, origin::OriginPattern};

/// What is wrong with the value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which part of it, below the setting's own path; empty for all of it.
    pub path: String,
    /// Where that stands in the file, if not where the setting does.
    pub at: Option<Range<usize>>,
    /// For the operator.
    pub message: String,
}

impl Fault {
    /// Of the value as a whole.
    pub fn whole(message: String) -> Self {
        Self { path: String::new(), at: None, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// A type that a setting can have.
pub trait Setting: Sized {
    /// The word for it in the manual.
    const KIND: &'static str;

    /// From the text of an environment variable, a flag or a default.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    fn from_text(text: &str) -> Result<Self, String>;

    /// From a value of a configuration file.
    ///
    /// # Errors
    /// As [`Setting::from_text`].
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            other => Err(format!("expected {}, found {}", Self::KIND, other.type_str())),
        }
    }

    /// From a value of a configuration file, with everything that is wrong in it and where.
    ///
    /// # Errors
    /// As [`Setting::from_text`].
    fn read(value: &DeValue<'_>) -> Result<Self, Vec<Fault>> {
        Self::from_toml(value).map_err(|message| vec![Fault::whole(message)])
    }

    /// As it would be written in a configuration file; `None` where the setting is unset.
    fn to_toml(&self) -> Option<String>;
}

pub(super) fn quoted(value: impl fmt::Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

macro_rules! choice {
    ($(#[doc = $doc:literal])+ $name:ident { $( $(#[doc = $vdoc:literal])+ $variant:ident = $word:literal ),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $vdoc])+ $variant ),+ }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    other => Err(format!("'{other}' is none of {}", [$($word),+].join(", "))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $( Self::$variant => $word ),+ })
            }
        }
    };
}

pub(super) use choice;

macro_rules! textual {
    ($type:ty, $kind:literal, $parse:expr) => {
        impl Setting for $type {
            const KIND: &'static str = $kind;
            fn from_text(text: &str) -> Result<Self, String> {
                let parse: fn(&str) -> Result<$type, String> = $parse;
                parse(text)
            }
            fn to_toml(&self) -> Option<String> {
                Some(quoted(self))
            }
        }
    };
}

textual!(String, "text", |text| Ok(text.to_owned()));
textual!(Span, "a duration such as 15m", |text| text.parse());
textual!(Network, "an IP address or range", |text| text.parse());
textual!(OriginPattern, "an origin", |text| text.parse());
textual!(Principal, "a user, or @group", |text| text.parse());
textual!(UserRole, "a role with what it may, such as support user:list user:get", |text| text.parse());
textual!(UserId, "the id of a user", |text| text.parse().map_err(|_| format!("'{text}' is no id")));
textual!(SocketAddr, "an address with port such as 127.0.0.1:8000", |text| {
    text.parse().map_err(|_| format!("'{text}' is not an IP address with a port, such as 127.0.0.1:8000 or [::1]:8000"))
});
textual!(PublicUrl, "a URL without a path", |text| text.parse());
textual!(CookiePrefix, "letters, digits, - and _", |text| text.parse());
textual!(CookieDomain, "a domain", |text| text.parse());
textual!(Mount, "a path such as /api/auth", |text| text.parse());
textual!(Host, "a host name", |text| text.parse());
textual!(ByteSize, "a size such as 64KiB", |text| text.parse());
textual!(AddressHeader, "x-forwarded-for or forwarded", |text| text.parse());
textual!(Switch, "auto, on or off", |text| text.parse());
textual!(Delivery, "auto, smtp, outbox or off", |text| text.parse());
textual!(Security, "starttls, tls or none", |text| text.parse());
textual!(CookieCache, "off, compact, jwt or jwe", |text| text.parse());
textual!(Mailbox, "a mailbox such as no-reply@example.com", |text| text.parse());
textual!(Recipient, "a recipient of age such as age1…", |text| {
    text.parse().map_err(|_| format!("'{text}' is not a recipient of age (age1…)"))
});
textual!(TargetUrl, "an http or https URL", |text| text.parse());
textual!(HookName, "the name of a hook such as sign_in.before", |text| text.parse());
textual!(TopicName, "the name of an event such as user.created", |text| text.parse());
textual!(LogFormat, "auto, text, json or journal", |text| text.parse());
textual!(LogLevel, "error, warn, info, debug or trace", |text| text.parse());

impl Setting for PathBuf {
    const KIND: &'static str = "a path";
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a path cannot be empty".into()) } else { Ok(text.into()) }
    }
    fn to_toml(&self) -> Option<String> {
        Some(quoted(self.display()))
    }
}

impl Setting for Algorithm {
    const KIND: &'static str = "EdDSA, ES256 or RS256";
    fn from_text(text: &str) -> Result<Self, String> {
        Self::from_name(text).ok_or_else(|| format!("'{text}' is none of EdDSA, ES256, RS256"))
    }
    fn to_toml(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}

impl Setting for UnixTime {
    const KIND: &'static str = "a day or a time such as 2026-11-22T12:00:00Z";
    /// A day is its beginning in UTC.
    fn from_text(text: &str) -> Result<Self, String> {
        let midnight = || format!("{text}T00:00:00Z").parse().ok();
        text.parse().ok().or_else(midnight).ok_or_else(|| format!("'{text}' is not {}", Self::KIND))
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            DeValue::Datetime(time) => Self::from_text(&time.to_string()),
            other => Err(format!("expected {}, found {}", Self::KIND, other.type_str())),
        }
    }
    fn to_toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for bool {
    const KIND: &'static str = "true or false";
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(format!("'{other}' is neither true nor false")),
        }
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("expected true or false, found {}", value.type_str()))
    }
    fn to_toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u32 {
    const KIND: &'static str = "a whole number";
    fn from_text(text: &str) -> Result<Self, String> {
        text.replace('_', "").parse().map_err(|_| format!("'{text}' is not a whole number of 0 or more"))
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Integer(n) => u32::from_str_radix(&n.as_str().replace('_', ""), n.radix())
                .map_err(|_| format!("'{}' is not a whole number of 0 or more", n.as_str())),
            other => Err(format!("expected a whole number, found {}", other.type_str())),
        }
    }
    fn to_toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::from_text(text).map(Some) }
    }
    /// The empty text is no value, here as in a variable.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) if text.is_empty() => Ok(None),
            value => T::from_toml(value).map(Some),
        }
    }
    fn to_toml(&self) -> Option<String> {
        self.as_ref().and_then(T::to_toml)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: &'static str = "a list";
    fn from_text(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(T::from_text).collect()
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Array(items) => items.iter().map(|item| T::from_toml(item.get_ref())).collect(),
            other => Err(format!("expected a list of {}, found {}", T::KIND, other.type_str())),
        }
    }
    fn to_toml(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(T::to_toml).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

/// What clients call the service: scheme, host and port, nothing more. Its text form is an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    /// Whether it is https.
    pub is_secure: bool,
    /// The host, with brackets if it is an IPv6 address.
    pub host: String,
    /// Host and port as they stand in a `Host` header.
    pub authority: String,
}

impl PublicUrl {
    /// `http://localhost:<port>`: what a service without a public URL is called.
    pub fn localhost(port: u16) -> Self {
        let authority = if port == 80 { "localhost".to_owned() } else { format!("localhost:{port}") };
        Self { origin: format!("http://{authority}"), is_secure: false, host: "localhost".into(), authority }
    }

    /// As an origin: `https://auth.example.com`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it leads to this machine only.
    pub fn is_loopback(&self) -> bool {
        crate::domain::origin::is_loopback_host(&self.host)
    }
}

impl FromStr for PublicUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let url = url::Url::parse(text).map_err(|_| format!("'{text}' is no URL: write https://auth.example.com"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("'{text}' is neither http nor https"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("'{text}' has a path: write the origin alone, and the path under http.mounts"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a public URL carries no user name or password".into());
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let origin = url.origin().ascii_serialization();
        Ok(Self { is_secure: url.scheme() == "https", origin, host, authority })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

/// A path under which all routes are served; empty for the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount(String);

impl Mount {
    /// `/api/auth`, or the empty text for `/`.
    pub fn prefix(&self) -> &str {
        &self.0
    }
}

impl FromStr for Mount {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let segments_ok = |path: &str| {
            path.split('/').skip(1).all(|segment| {
                !segment.is_empty()
                    && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'))
                    && segment != "."
                    && segment != ".."
            })
        };
        if trimmed.is_empty() && text == "/" || trimmed.starts_with('/') && segments_ok(trimmed) {
            Ok(Self(trimmed.to_owned()))
        } else {
            Err(format!("'{text}' is not a path such as /api/auth"))
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

/// A host as it may stand in a `Host` header, with or without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// In lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let url = url::Url::parse(&format!("http://{text}/"));
        let same = url.is_ok_and(|url| {
            url.path() == "/" && url.username().is_empty() && url.query().is_none() && url.host_str().is_some()
        });
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if same && text.chars().all(is_plain) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!("'{text}' is not a host such as auth.example.com or auth.internal:8000"))
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number of bytes: `64KiB`, `128MiB`, `1GiB`, or plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZES: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl FromStr for ByteSize {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("'{text}' is not a size: write 64KiB, 128MiB or 1GiB");
        let (number, factor) = SIZES
            .iter()
            .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, *factor)))
            .unwrap_or((text, 1));
        number.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZES.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

choice! {
    /// Whether something is done.
    Switch {
        /// As the setting says.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
}

impl Switch {
    /// Whether it is on, where `auto` means this.
    pub const fn is_on(self, auto: bool) -> bool {
        match self {
            Self::Auto => auto,
            Self::On => true,
            Self::Off => false,
        }
    }
}

choice! {
    /// In which header a trusted proxy names its client.
    AddressHeader {
        /// `X-Forwarded-For`.
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded",
    }
}

choice! {
    /// How log lines look.
    LogFormat {
        /// Text on a terminal, the journal's under systemd, JSON elsewhere.
        Auto = "auto",
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
        /// Entries with fields for the journal of systemd; JSON where there is none.
        Journal = "journal",
    }
}

choice! {
    /// What is logged.
    LogLevel {
        /// A person should look.
        Error = "error",
        /// Something is degraded.
        Warn = "warn",
        /// The life of the daemon.
        Info = "info",
        /// Every request.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same<T: Setting + PartialEq + fmt::Debug>(text: &str) {
        let value = T::from_text(text).unwrap();
        let shown = value.to_toml().unwrap();
        let document = format!("x = {shown}");
        let table = toml::de::DeTable::parse(&document).unwrap();
        let read = T::from_toml(table.get_ref().get("x").unwrap().get_ref()).unwrap();
        assert_eq!(read, value, "{shown}");
    }

    #[test]
    fn what_is_shown_reads_back() {
        same::<Span>("1h30m");
        same::<Vec<Mount>>("/api/auth, /api");
        same::<ByteSize>("64KiB");
        same::<PublicUrl>("https://auth.example.com:8443");
        same::<Vec<OriginPattern>>("https://a.example, *.b.example, myapp://");
        same::<Option<PathBuf>>("/etc/authd/x \"y\"");
        same::<u32>("19_456");
        same::<bool>("true");
        same::<Algorithm>("ES256");
        same::<SocketAddr>("[::1]:8000");
        same::<Option<UnixTime>>("2026-11-22T12:00:00+01:00");
    }

    #[test]
    fn a_day_is_its_beginning_in_utc_and_may_be_written_with_or_without_quotes() {
        let day: UnixTime = "2026-11-22T00:00:00Z".parse().unwrap();
        for text in ["\"2026-11-22\"", "2026-11-22", "2026-11-22T00:00:00Z", "\"2026-11-22T01:00:00+01:00\""] {
            let document = format!("x = {text}");
            let table = toml::de::DeTable::parse(&document).unwrap();
            let read = UnixTime::from_toml(table.get_ref().get("x").unwrap().get_ref());
            assert_eq!(read, Ok(day), "{text}");
        }
        for bad in ["22.11.2026", "2026-11", "2026-11-22T12:00:00", "soon", "2026-02-30"] {
            assert!(UnixTime::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn public_urls_are_origins() {
        let url: PublicUrl = "HTTPS://Auth.Example.com:443/".parse().unwrap();
        assert_eq!(
            (url.origin(), url.authority.as_str(), url.is_secure),
            ("https://auth.example.com", "auth.example.com", true)
        );
        for bad in ["auth.example.com", "ftp://x", "https://x/api", "https://u:p@x", "https://x?y", ""] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
        assert_eq!(PublicUrl::localhost(8000).origin(), "http://localhost:8000");
    }

    #[test]
    fn mounts_are_plain_paths() {
        assert_eq!("/api/auth/".parse::<Mount>().unwrap().prefix(), "/api/auth");
        assert_eq!("/".parse::<Mount>().unwrap().prefix(), "");
        for bad in ["api", "//", "/a//b", "/a/../b", "/a b", "/{x}", "", "/%61"] {
            assert!(bad.parse::<Mount>().is_err(), "{bad}");
        }
    }
}
