//! Reading a body within its limits, and what kind of body it is.

use std::{fmt, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
use serde_json::{Map, Value};

use crate::json;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It is larger than the limit.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// The connection broke, or the framing was wrong.
    Broken,
}

/// Reads a body. Nothing beyond the limit is kept, and nothing is read at all if the length says it will be too large.
///
/// # Errors
/// See [`BodyError`].
pub async fn read<S, B, E>(headers: &HeaderMap, body: S, limit: u64, within: Duration) -> Result<Bytes, BodyError>
where
    S: Stream<Item = Result<B, E>> + Send,
    B: Buf + Send,
    E: Send,
{
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge);
    }
    if announced.unwrap_or(0) == 0 && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(Bytes::new());
    }
    let all = async {
        let mut body = std::pin::pin!(body);
        let mut out = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk.map_err(|_| BodyError::Broken)?;
            if (out.len() + chunk.remaining()) as u64 > limit {
                return Err(BodyError::TooLarge);
            }
            while chunk.has_remaining() {
                let piece = chunk.chunk();
                out.extend_from_slice(piece);
                let taken = piece.len();
                chunk.advance(taken);
            }
        }
        Ok(out.freeze())
    };
    tokio::time::timeout(within, all).await.unwrap_or(Err(BodyError::TooSlow))
}

/// A parsed body. Its `Debug` does not show it: passwords are in it.
#[derive(Clone, PartialEq)]
pub enum Body {
    /// There is none (JavaScript's `undefined`, as Better Auth's messages call it).
    Undefined,
    /// JSON, or a form as an object of texts.
    Value(Value),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undefined => "Undefined",
            Self::Value(_) => "Value([redacted])",
        })
    }
}

/// The part of a `Content-Type` before its parameters, in lower case.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Parses JSON. An empty text is no body.
///
/// # Errors
/// What is wrong with it.
pub fn parse_json(bytes: &[u8]) -> Result<Body, &'static str> {
    if bytes.is_empty() { Ok(Body::Undefined) } else { json::parse(bytes).map(Body::Value) }
}

/// Parses `application/x-www-form-urlencoded`: an object of texts, of a doubled name the last.
pub fn parse_form(bytes: &[u8]) -> Body {
    let fields: Map<String, Value> = url::form_urlencoded::parse(bytes)
        .take(json::MAX_MEMBERS)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    Body::Value(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn read_chunks(sizes: &[usize], limit: u64) -> Result<usize, BodyError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::TRANSFER_ENCODING, "chunked".parse().unwrap());
        let chunks: Vec<Result<Bytes, ()>> = sizes.iter().map(|n| Ok(Bytes::from(vec![b'x'; *n]))).collect();
        read(&headers, stream::iter(chunks), limit, Duration::from_secs(5)).await.map(|b| b.len())
    }

    #[tokio::test]
    async fn ht_01_a_body_is_read_up_to_its_limit_and_no_further() {
        assert_eq!(read_chunks(&[10, 20, 2], 32).await, Ok(32));
        assert_eq!(read_chunks(&[10, 20, 3], 32).await, Err(BodyError::TooLarge));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "33".parse().unwrap());
        let never = stream::pending::<Result<Bytes, ()>>();
        let refused = read(&headers, never, 32, Duration::from_secs(5)).await;
        assert_eq!(refused, Err(BodyError::TooLarge), "without waiting for it");
    }

    #[tokio::test(start_paused = true)]
    async fn ht_02_a_body_that_does_not_come_is_given_up() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "3".parse().unwrap());
        let never = stream::pending::<Result<Bytes, ()>>();
        assert_eq!(read(&headers, never, 32, Duration::from_secs(30)).await, Err(BodyError::TooSlow));
    }

    #[test]
    fn forms_are_objects_of_texts() {
        let body = parse_form(b"email=a%40example.com&password=x+y");
        assert_eq!(body, Body::Value(serde_json::json!({"email": "a@example.com", "password": "x y"})));
    }
}
