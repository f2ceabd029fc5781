//! An answer on its way out.

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use warp::reply::Response;

/// Status, headers and a whole body. Its `Debug` shows the status only: credentials are in the others.
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// `application/json`
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({})", self.status)
    }
}

/// As many headers as most answers have.
const USUAL_HEADERS: usize = 16;

impl Reply {
    /// No body, no content type.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::with_capacity(USUAL_HEADERS), body: Bytes::new() }
    }

    /// A JSON body with 200.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        // The types that are answered are plain structs: nothing in them can fail to be written.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self::bytes(JSON, body.into())
    }

    /// A body that is ready, with 200.
    pub fn bytes(content_type: HeaderValue, body: Bytes) -> Self {
        Self { body, ..Self::empty(StatusCode::OK).header(header::CONTENT_TYPE, content_type) }
    }

    /// With another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With one more header. A value that cannot stand in a header is left out: nothing of a request reaches one unchecked
    /// (CWE-113).
    #[must_use]
    pub fn header<V: TryInto<HeaderValue>>(mut self, name: HeaderName, value: V) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.push((name, value));
        }
        self
    }

    /// With one more header, by reference.
    pub fn add<V: TryInto<HeaderValue>>(&mut self, name: HeaderName, value: V) {
        if let Ok(value) = value.try_into() {
            self.headers.push((name, value));
        }
    }

    /// Adds these header lines in front of those that it has by that name.
    pub fn add_first(&mut self, name: &HeaderName, values: Vec<HeaderValue>) {
        let behind: Vec<HeaderValue> = self.values(name).cloned().collect();
        self.headers.retain(|(n, _)| n != name);
        self.headers.extend(values.into_iter().chain(behind).map(|value| (name.clone(), value)));
    }

    /// Whether a header of this name was set.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(n, _)| n == name)
    }

    /// The values of a header.
    pub fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value)
    }

    /// The status.
    pub fn code(&self) -> StatusCode {
        self.status
    }

    /// As warp sends it.
    pub fn into_response(self) -> Response {
        let mut response = Response::new(self.body.into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.reserve(self.headers.len());
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}
