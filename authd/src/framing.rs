//! What two readers of one connection could take differently: where they stand one behind the other, a header of the one
//! is a body of the other (request smuggling, CWE-444; HT-03). hyper settles most of it by a rule of its own and does not
//! tell, so the bytes are looked at on their way to it, and what is ambiguous never gets there.
//!
//! The scanner follows the heads of a connection: from line to line to the empty one, then over as many bytes of body as
//! the head announces. After a chunked body the doors close the connection, so nothing follows that would have to be found.

/// A line that is not to be taken by anybody: a bare line feed or carriage return, a fold, two lengths, a length beside a
/// coding, a coding that is not plain `chunked`, a target that is more than a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubtful {
    /// How many of the bytes stand before that line, or before its part in them.
    pub sound: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a request line, or in the empty lines that may stand before it (RFC 9112 §2.2).
    Request,
    /// Behind it, in the head.
    Head,
    /// So many bytes of body are to come.
    Body(u64),
    /// Whatever follows is no head: the connection is closed after this request.
    Rest,
}

/// Where a connection is. Small: there is one for each.
#[derive(Debug)]
pub struct Scanner {
    place: Place,
    /// The beginning of the present line, as far as it can matter.
    line: [u8; Self::KEPT],
    /// How long the present line is, this far; no more is counted than one byte beyond what is kept.
    length: usize,
    /// The last two bytes of the present line.
    tail: [u8; 2],
    /// Whether the request line said HTTP/1.1.
    is_1_1: bool,
    announced: Option<u64>,
    chunked: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            place: Place::Request,
            line: [0; Self::KEPT],
            length: 0,
            tail: [0; 2],
            is_1_1: false,
            announced: None,
            chunked: false,
        }
    }
}

impl Scanner {
    /// Long enough for `Transfer-Encoding: chunked` and for `Content-Length:` with any number there is. A line of theirs that
    /// is longer is made of zeros or white space, and the number would be behind what is kept: it is doubtful.
    const KEPT: usize = 48;

    /// Follows the next bytes.
    ///
    /// # Errors
    /// [`Doubtful`]: nothing of this connection may be taken any more, from that line on.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<(), Doubtful> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.place {
                Place::Rest => return Ok(()),
                Place::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.place = match left - here as u64 {
                        0 => Place::Request,
                        left => Place::Body(left),
                    };
                    here
                }
                Place::Request | Place::Head => self.line(rest).ok_or(Doubtful { sound: at })?,
            };
        }
        Ok(())
    }

    /// Whether there may be more of a request than what was seen of it.
    pub fn is_amid(&self) -> bool {
        self.place != Place::Request || self.length > 0
    }

    /// Follows one line, as far as it is there. How many bytes that were; `None` if it is doubtful.
    fn line(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = memchr::memchr(b'\n', bytes);
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        // A carriage return ends a line or stands nowhere.
        let (last, before) = piece.split_last().map_or((None, piece), |(last, before)| (Some(*last), before));
        let has_bare_cr = memchr::memchr(b'\r', before).is_some() || self.tail[1] == b'\r' && !piece.is_empty();
        if has_bare_cr || self.place == Place::Request && !piece.iter().all(|b| is_of_request_line(*b)) {
            return None;
        }
        let kept = self.length.min(Self::KEPT);
        let taken = piece.len().min(Self::KEPT - kept);
        self.line[kept..kept + taken].copy_from_slice(&piece[..taken]);
        self.length = (self.length + piece.len()).min(Self::KEPT + 1);
        if let Some(last) = last {
            self.tail = [before.last().copied().unwrap_or(self.tail[1]), last];
        }
        let Some(end) = end else { return Some(piece.len()) };
        if self.tail[1] != b'\r' {
            return None;
        }
        self.end_of_line()?;
        self.length = 0;
        self.tail = [0; 2];
        Some(end + 1)
    }

    fn end_of_line(&mut self) -> Option<()> {
        let is_whole = self.length <= Self::KEPT;
        let kept = &self.line[..self.length.min(Self::KEPT)];
        let text = if is_whole { kept.strip_suffix(b"\r").unwrap_or(kept) } else { kept };
        match self.place {
            Place::Request if text.is_empty() => return Some(()),
            Place::Request => {
                self.is_1_1 = self.tail[0] == b'1';
                self.place = Place::Head;
                return Some(());
            }
            _ => {}
        }
        if text.is_empty() {
            self.place = match (std::mem::take(&mut self.chunked), self.announced.take()) {
                (true, _) => Place::Rest,
                (false, None | Some(0)) => Place::Request,
                (false, Some(length)) => Place::Body(length),
            };
            return Some(());
        }
        // A fold (RFC 9112 §5.2) begins with white space, and so would a name that ends in it be another one elsewhere.
        let colon = text.iter().position(|b| *b == b':');
        let name = &text[..colon.unwrap_or(text.len())];
        if name.iter().any(|b| matches!(b, b' ' | b'\t')) {
            return None;
        }
        let value = || {
            let value = text.get(colon? + 1..).filter(|_| is_whole)?;
            std::str::from_utf8(value).ok().map(|value| value.trim_matches([' ', '\t']))
        };
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = value().filter(|v| v.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
            // Twice is once too often, also where both say the same.
            if self.chunked || self.announced.replace(length).is_some() {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_plain = value()?.eq_ignore_ascii_case("chunked");
            if !is_plain || !self.is_1_1 || self.announced.is_some() || std::mem::replace(&mut self.chunked, true) {
                return None;
            }
        }
        Some(())
    }
}

/// What may stand in a request line. Not a fragment: clients keep it to themselves (RFC 9112 §3.2), and hyper would drop it
/// where another reader does not.
fn is_of_request_line(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\r') && byte != b'#'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";

    fn scan(text: &str) -> Result<(), Doubtful> {
        Scanner::default().scan(text.as_bytes())
    }

    /// Each is doubtful as the first request and as the second, at once and byte by byte.
    fn all_doubtful<T: AsRef<str>>(cases: impl IntoIterator<Item = T>) {
        for bad in cases {
            let bad = bad.as_ref();
            assert!(scan(bad).is_err(), "{bad:?}");
            assert!(scan(&format!("{GET}{bad}")).is_err(), "{bad:?}, second");
            let mut scanner = Scanner::default();
            assert!(bad.bytes().any(|byte| scanner.scan(&[byte]).is_err()), "{bad:?}, byte by byte");
        }
    }

    #[test]
    fn ht_03_a_bare_line_feed_in_a_head_is_found_wherever_it_stands() {
        all_doubtful([
            "GET /x HTTP/1.1\nHost: localhost\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: localhost\n\r\n",
            "GET /x HTTP/1.1\r\nHost: localhost\r\n\n",
            "GET /x HTTP/1.1\r\nDummy: x\nContent-Length: 23\r\n\r\n",
            "\nGET /x HTTP/1.1\r\n\r\n",
            "POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /x HTTP/1.1\n",
        ]);
        all_doubtful([format!("GET /{} HTTP/1.1\n", "x".repeat(500))]);
    }

    #[test]
    fn ht_03_a_bare_carriage_return_a_fold_and_white_space_in_a_name_are_found() {
        all_doubtful([
            "GET /x\r HTTP/1.1\r\n\r\n",
            "GET /x HTTP/1.1\r\nFoo: 1\rBar: 2\r\n\r\n",
            "GET /x HTTP/1.1\r\nFoo: 1\r\r\n\r\n",
            "\r\r\nGET /x HTTP/1.1\r\n\r\n",
            "GET /x HTTP/1.1\r\nFoo: bar\r\n Content-Length: 38\r\n\r\n",
            "GET /x HTTP/1.1\r\nFoo: bar\r\n\tfolded\r\n\r\n",
            "GET /x HTTP/1.1\r\n Foo: bar\r\n\r\n",
            "GET /x HTTP/1.1\r\nContent-Length : 4\r\n\r\n",
            "GET /x HTTP/1.1\r\nTransfer-Encoding\t: chunked\r\n\r\n",
            "GET /x HTTP/1.1\r\nno colon\r\n\r\n",
        ]);
    }

    #[test]
    fn ht_03_lengths_and_codings_are_given_once_and_plainly() {
        let head = |fields: &[&str]| format!("POST /x HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"));
        all_doubtful([
            head(&["Content-Length: 5", "Transfer-Encoding: chunked"]),
            head(&["Transfer-Encoding: chunked", "X: y", "content-length: 5"]),
            head(&["Content-Length: 5", "Content-Length: 5"]),
            head(&["Content-Length: 0", "Content-Length: 0"]),
            head(&["Content-Length: 5, 5"]),
            head(&["Content-Length: +5"]),
            head(&["Content-Length: -0"]),
            head(&["Content-Length: 0x5"]),
            head(&["Content-Length: x"]),
            head(&["Content-Length:"]),
            head(&["Content-Length: 18446744073709551616"]),
            head(&[&format!("Content-Length: {}5", "0".repeat(60))]),
            head(&[&format!("Content-Length:{}5", " ".repeat(60))]),
            head(&["Content-Length"]),
            head(&["Transfer-Encoding: gzip, chunked"]),
            head(&["Transfer-Encoding: identity"]),
            head(&["Transfer-Encoding: xchunked"]),
            head(&["Transfer-Encoding: chunked, chunked"]),
            head(&["Transfer-Encoding: \"chunked\""]),
            head(&["Transfer-Encoding: \x0bchunked"]),
            head(&["Transfer-Encoding: \x0cchunked"]),
            head(&["Transfer-Encoding:"]),
            head(&[&format!("Transfer-Encoding:{}chunked", " ".repeat(60))]),
            head(&["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]),
            head(&["Transfer-Encoding: chunked", "transfer-encoding: identity"]),
            "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        ]);
    }

    #[test]
    fn ht_03_a_target_is_visible_ascii_without_a_fragment() {
        all_doubtful([
            "GET /x#y HTTP/1.1\r\n\r\n",
            "GET /x?y#z HTTP/1.1\r\n\r\n",
            "GET /ä HTTP/1.1\r\n\r\n",
            "GET /x\0 HTTP/1.1\r\n\r\n",
            "GET /x\x7f HTTP/1.1\r\n\r\n",
            "GET\t/x HTTP/1.1\r\n\r\n",
        ]);
        all_doubtful([format!("GET /{}#y HTTP/1.1\r\n\r\n", "x".repeat(500))]);
    }

    #[test]
    fn what_stands_before_a_doubtful_line_is_sound() {
        let first = "GET /x HTTP/1.1\r\n";
        assert_eq!(scan(&format!("{GET}{first}Foo: 1\n\r\n")), Err(Doubtful { sound: GET.len() + first.len() }));
        let mut scanner = Scanner::default();
        scanner.scan(b"GET /x HTTP/1.1\r\nFoo: ").unwrap();
        assert_eq!(scanner.scan(b"1\n"), Err(Doubtful { sound: 0 }));
    }

    #[test]
    fn bodies_are_not_heads() {
        for good in [
            GET.to_owned(),
            format!("\r\n{GET}"),
            format!("POST /x HTTP/1.1\r\nContent-Length: 6\r\n\r\n{{\n\n\n\n}}{GET}"),
            format!("POST /x HTTP/1.1\r\ncontent-length:\t6 \r\n\r\n\n\n\n\n\n\n{GET}"),
            format!("POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\n\n\n{GET}"),
            "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n\n0\r\n\r\n".into(),
            "POST /x HTTP/1.1\r\ntransfer-encoding:Chunked \r\n\r\n1\n\n0\r\n\r\n".into(),
            format!("POST /x HTTP/1.1\r\nX: {}\r\nContent-Length: 1\r\n\r\n\n{GET}", "y".repeat(100)),
            format!("POST /x HTTP/1.1\r\nX{}: y#ä\t z\r\nContent-Length: 1\r\n\r\n\n{GET}", "x".repeat(100)),
            format!(
                "POST /x HTTP/1.1\r\nContent-Length: 1\r\n\r\n\nPOST /x HTTP/1.1\r\nContent-Length: 1\r\n\r\n\n{GET}"
            ),
        ] {
            assert_eq!(scan(&good), Ok(()), "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_how_the_bytes_arrive(
            text in "(GET / HTTP/1\\.[01]|Content-Length: [0-9]{1,2}|Transfer-Encoding: (chunked|x)|X: y{0,60}|\r|\n|\r\n|\r\n\r\n|[a-z #]){0,30}",
            cuts in proptest::collection::vec(0usize..200, 0..6),
        ) {
            let whole = scan(&text).is_ok();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| *c < text.len()).collect();
            cuts.sort_unstable();
            let mut scanner = Scanner::default();
            let mut from = 0;
            let mut pieces = true;
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces = pieces && scanner.scan(&text.as_bytes()[from..cut]).is_ok();
                from = cut;
            }
            prop_assert_eq!(pieces, whole);
        }
    }
}
