//! Reading a body within its limits, and what kind of body it is. Passwords are in it: its bytes are wiped when they go, and so
//! are the texts that were parsed from them (CR-04).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

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
    /// Together with the others under way it is too large.
    TooMany,
}

/// What the bodies under way take, all connections together (HT-02).
#[derive(Debug, Default)]
pub struct Room(AtomicU64);

/// The part of the room that one request takes, until it is dropped.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    most: u64,
    taken: u64,
}

impl Share {
    /// None yet; all together may take `most` bytes.
    pub fn of(room: &Arc<Room>, most: u64) -> Self {
        Self { room: room.clone(), most, taken: 0 }
    }

    fn grow_to(&mut self, bytes: u64) -> Result<(), BodyError> {
        let more = bytes.saturating_sub(self.taken);
        let grown = |taken: u64| taken.checked_add(more).filter(|taken| *taken <= self.most);
        let counted = self.room.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        counted.map_err(|_| BodyError::TooMany)?;
        self.taken += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// The bytes of a body.
pub type Raw = Zeroizing<Vec<u8>>;

/// The least room that a body is given, in bytes.
const LEAST: usize = 512;

/// Adds a piece. A buffer that has to grow is copied and wiped, and not moved by the allocator, which wipes nothing.
fn add(raw: &mut Raw, piece: &[u8], limit: u64, share: &mut Share) -> Result<(), BodyError> {
    let needed = raw.len() + piece.len();
    if needed as u64 > limit {
        return Err(BodyError::TooLarge);
    }
    if needed > raw.capacity() {
        let room = needed.next_power_of_two().max(LEAST).min(usize::try_from(limit).unwrap_or(usize::MAX));
        share.grow_to(room as u64)?;
        let mut larger = Raw::new(Vec::with_capacity(room));
        larger.extend_from_slice(raw);
        *raw = larger;
    }
    raw.extend_from_slice(piece);
    Ok(())
}

/// Reads a body. Room is taken for what has come, not for what was announced: to announce costs nothing. Nothing beyond the limit is kept, and nothing is read at all if the length says it will be too large.
///
/// # Errors
/// See [`BodyError`].
pub async fn read<S, B, E>(
    headers: &HeaderMap,
    body: S,
    limit: u64,
    within: Duration,
    share: &mut Share,
) -> Result<Raw, BodyError>
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
        return Ok(Raw::default());
    }
    let all = async {
        let mut body = std::pin::pin!(body);
        let mut raw = Raw::default();
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk.map_err(|_| BodyError::Broken)?;
            while chunk.has_remaining() {
                let piece = chunk.chunk();
                add(&mut raw, piece, limit, share)?;
                let taken = piece.len();
                chunk.advance(taken);
            }
        }
        Ok(raw)
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

impl Drop for Body {
    fn drop(&mut self) {
        if let Self::Value(value) = self {
            wipe(value);
        }
    }
}

/// Wipes every text in it.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => {
            for (mut name, mut value) in std::mem::take(fields) {
                name.zeroize();
                wipe(&mut value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
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
    parse_json_crowd(bytes, json::MAX_MEMBERS)
}

/// The same with so many members and elements.
///
/// # Errors
/// As [`parse_json`].
pub fn parse_json_crowd(bytes: &[u8], most: usize) -> Result<Body, &'static str> {
    if bytes.is_empty() { Ok(Body::Undefined) } else { json::parse_crowd(bytes, most).map(Body::Value) }
}

/// Parses `application/x-www-form-urlencoded`: an object of texts, of a doubled name the last. An empty text is no body.
pub fn parse_form(bytes: &[u8]) -> Body {
    if bytes.is_empty() {
        return Body::Undefined;
    }
    let fields: Map<String, Value> = url::form_urlencoded::parse(bytes)
        .take(json::MAX_MEMBERS)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    Body::Value(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use serde_json::json;

    use super::*;

    fn share() -> Share {
        Share::of(&Arc::default(), 1 << 20)
    }

    async fn read_chunks(sizes: &[usize], limit: u64) -> Result<usize, BodyError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::TRANSFER_ENCODING, "chunked".parse().unwrap());
        let chunks: Vec<Result<Bytes, ()>> = sizes.iter().map(|n| Ok(Bytes::from(vec![b'x'; *n]))).collect();
        read(&headers, stream::iter(chunks), limit, Duration::from_secs(5), &mut share()).await.map(|raw| raw.len())
    }

    #[tokio::test]
    async fn ht_01_a_body_is_read_up_to_its_limit_and_no_further() {
        assert_eq!(read_chunks(&[10, 20, 2], 32).await, Ok(32));
        assert_eq!(read_chunks(&[10, 20, 3], 32).await, Err(BodyError::TooLarge));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "33".parse().unwrap());
        let never = stream::pending::<Result<Bytes, ()>>();
        let refused = read(&headers, never, 32, Duration::from_secs(5), &mut share()).await;
        assert_eq!(refused, Err(BodyError::TooLarge), "without waiting for it");
    }

    #[tokio::test(start_paused = true)]
    async fn ht_02_a_body_that_does_not_come_is_given_up() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "3".parse().unwrap());
        let never = stream::pending::<Result<Bytes, ()>>();
        assert_eq!(read(&headers, never, 32, Duration::from_secs(30), &mut share()).await, Err(BodyError::TooSlow));
    }

    #[test]
    fn ht_02_bodies_share_one_room_and_give_it_back() {
        let room = Arc::new(Room::default());
        let taken = || room.0.load(Ordering::Relaxed);
        let [mut a, mut b] = [(); 2].map(|()| Share::of(&room, 3000));
        let (mut of_a, mut of_b) = (Raw::default(), Raw::default());
        assert_eq!(add(&mut of_a, &[1; 600], 2000, &mut a), Ok(()));
        assert_eq!(add(&mut of_a, &[2; 424], 2000, &mut a), Ok(()));
        assert_eq!((taken(), of_a.len()), (1024, 1024), "its capacity, and not what it was said to be");
        assert_eq!(add(&mut of_b, &[3; 1500], 2000, &mut b), Err(BodyError::TooMany), "it would take 2000");
        assert_eq!(add(&mut of_b, &[3; 1000], 2000, &mut b), Ok(()));
        assert_eq!(taken(), 1024 + 1024);
        assert_eq!(add(&mut of_a, &[4; 1], 2000, &mut a), Err(BodyError::TooMany));
        drop(b);
        assert_eq!(taken(), 1024);
        assert_eq!(add(&mut of_a, &[4; 977], 2000, &mut a), Err(BodyError::TooLarge));
        assert_eq!(add(&mut of_a, &[4; 976], 2000, &mut a), Ok(()));
        assert_eq!((taken(), of_a.capacity()), (2000, 2000));
        assert!(of_a[..600] == [1; 600] && of_a[600..1024] == [2; 424] && of_a[1024..] == [4; 976]);
        drop(a);
        assert_eq!(taken(), 0);
    }

    #[test]
    fn cr_04_every_text_of_a_body_is_wiped() {
        let mut value = json!({"password": "secret", "list": ["secret", {"deep": "secret"}], "n": 1, "secret": null});
        wipe(&mut value);
        assert_eq!(value, json!({}), "of an object nothing is left");
        let mut value = json!(["secret", ["secret"], 7]);
        wipe(&mut value);
        assert_eq!(value, json!(["", [""], 7]));
    }

    #[test]
    fn cr_04_a_body_that_grows_leaves_no_copy_behind() {
        let (mut raw, mut share) = (Raw::default(), share());
        add(&mut raw, &[7; 500], 4096, &mut share).unwrap();
        // What stays where it is need not be wiped; what does not fit is copied to another place first.
        let first = raw.as_ptr();
        add(&mut raw, &[7; 12], 4096, &mut share).unwrap();
        assert_eq!((raw.as_ptr(), raw.capacity()), (first, LEAST));
        add(&mut raw, &[7; 1], 4096, &mut share).unwrap();
        assert_eq!((raw.len(), raw.capacity()), (513, 1024), "the allocator was never asked to move it");
    }

    #[test]
    fn forms_are_objects_of_texts() {
        let body = parse_form(b"email=a%40example.com&password=x+y");
        assert_eq!(body, Body::Value(serde_json::json!({"email": "a@example.com", "password": "x y"})));
    }
}
