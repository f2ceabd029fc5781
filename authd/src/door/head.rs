//! A request without its body, as the accept loop hands it over.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

/// Who is at the other end of the connection: the kernel's word, not the request's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// On the public door.
    Tcp(SocketAddr),
    /// On the admin door.
    Unix(PeerCredentials),
}

/// `SO_PEERCRED`, and the groups of the user by the host's own account database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Effective user of the peer when it connected.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its process.
    pub pid: Option<i32>,
    /// The account's name, if the host knows it.
    pub name: Option<String>,
    /// All groups of the account. Empty if they could not be looked up: then the peer is in none.
    pub groups: Vec<u32>,
}

impl PeerCredentials {
    /// What people call it: the account's name, or its number.
    pub fn who(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("uid {}", self.uid))
    }
}

/// A header that should stand there once, as text, and does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSingle;

/// Method, target, headers and peer. Shared, because the filter's layers clone it. Its `Debug` shows neither headers
/// nor query: credentials are in them.
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target as it was sent.
    pub uri: Uri,
    /// The headers as they were sent.
    pub headers: HeaderMap,
    /// Who sent it.
    pub peer: Arc<Peer>,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} {})", self.method, self.uri.path())
    }
}

impl Head {
    /// The path as it was sent, not decoded: routes are matched literally, so no spelling of a path reaches a handler but
    /// its own (TH-05).
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The value of a query parameter, decoded; the first one.
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    }

    /// All values of a query parameter, decoded.
    pub fn queries(&self, name: &str) -> Vec<String> {
        let query = self.uri.query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name).map(|(_, v)| v.into_owned()).collect()
    }

    /// The only value of a header.
    ///
    /// # Errors
    /// It stands there more than once, or is not text.
    pub fn single(&self, name: impl Into<HeaderName>) -> Result<Option<&str>, NotSingle> {
        let mut values = self.headers.get_all(name.into()).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| NotSingle),
            (Some(_), Some(_)) => Err(NotSingle),
        }
    }

    /// The first value of a header, if it is text.
    pub fn text(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers.get(name.into()).and_then(|value| value.to_str().ok())
    }

    /// Whether the header is there at all.
    pub fn has(&self, name: impl Into<HeaderName>) -> bool {
        self.headers.contains_key(name.into())
    }

    /// Whether a body is announced. Any length but a plain `0` counts: at worst a connection is closed that could stay.
    pub fn has_body(&self) -> bool {
        let length = self.headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
        self.headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != b"0")
    }

    /// `User-Agent`, cut to 512 characters, without anything a terminal would act on.
    pub fn user_agent(&self) -> String {
        let agent = self.headers.get(header::USER_AGENT).map(|v| String::from_utf8_lossy(v.as_bytes()));
        let cut: String = agent.unwrap_or_default().chars().take(512).collect();
        common::text::printable(&cut)
    }
}
