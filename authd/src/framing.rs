//! Bare line feeds in a request's head, which hyper takes for line ends and other readers do not: where the two stand one
//! behind the other, a header of the one is a body of the other (request smuggling, CWE-444; HT-03). hyper does not show
//! them, so the bytes are looked at on their way to it.
//!
//! The scanner follows the heads of a connection: from line to line to the empty one, then over as many bytes of body as
//! the head announces. After a chunked body the doors close the connection, so nothing follows that would have to be found.

/// A line feed without the carriage return before it, or a head that cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubtful;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a head.
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
    /// How long the present line is, this far.
    length: usize,
    /// Whether the byte before was a carriage return.
    after_cr: bool,
    announced: Option<u64>,
    chunked: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        let line = [0; Self::KEPT];
        Self { place: Place::Head, line, length: 0, after_cr: false, announced: None, chunked: false }
    }
}

impl Scanner {
    /// Long enough for `Content-Length:` and any number that is not refused anyway.
    const KEPT: usize = 48;

    /// Follows the next bytes.
    ///
    /// # Errors
    /// [`Doubtful`]: nothing of this connection may be taken any more.
    pub fn scan(&mut self, mut bytes: &[u8]) -> Result<(), Doubtful> {
        while !bytes.is_empty() {
            match self.place {
                Place::Rest => return Ok(()),
                Place::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[here..];
                    self.place = match left - here as u64 {
                        0 => Place::Head,
                        left => Place::Body(left),
                    };
                }
                Place::Head => bytes = self.line(bytes)?,
            }
        }
        Ok(())
    }

    /// Follows one line, as far as it is there. What is behind it.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Doubtful> {
        let end = bytes.iter().position(|b| *b == b'\n');
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        for byte in line.iter().take(Self::KEPT.saturating_sub(self.length)) {
            self.line[self.length] = *byte;
            self.length += 1;
        }
        self.length = self.length.max(usize::from(!line.is_empty()));
        if let Some(last) = line.last() {
            self.after_cr = *last == b'\r';
        }
        let Some(rest) = rest.get(1..) else { return Ok(&[]) };
        if !self.after_cr {
            return Err(Doubtful);
        }
        self.end_of_line()?;
        self.length = 0;
        self.after_cr = false;
        Ok(rest)
    }

    fn end_of_line(&mut self) -> Result<(), Doubtful> {
        let kept = &self.line[..self.length];
        let text = kept.strip_suffix(b"\r").unwrap_or(kept);
        if text.is_empty() {
            // Empty lines before a request line are nothing (RFC 9112 §2.2): then no body is announced either.
            self.place = match (self.chunked, self.announced.take()) {
                (true, _) => Place::Rest,
                (false, None | Some(0)) => Place::Head,
                (false, Some(length)) => Place::Body(length),
            };
            return Ok(());
        }
        let Some(colon) = text.iter().position(|b| *b == b':') else { return Ok(()) };
        let (name, value) = (&text[..colon], &text[colon + 1..]);
        if name.eq_ignore_ascii_case(b"content-length") {
            let number = std::str::from_utf8(value).ok().and_then(|v| v.trim_matches([' ', '\t']).parse().ok());
            // hyper refuses what is no number, and the door what stands there twice.
            self.announced = Some(number.ok_or(Doubtful)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";

    fn scan(text: &str) -> Result<(), Doubtful> {
        Scanner::default().scan(text.as_bytes())
    }

    #[test]
    fn ht_03_a_bare_line_feed_in_a_head_is_found_wherever_it_stands() {
        for bad in [
            "GET /x HTTP/1.1\nHost: localhost\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: localhost\n\r\n",
            "GET /x HTTP/1.1\r\nHost: localhost\r\n\n",
            "GET /x HTTP/1.1\r\nDummy: x\nContent-Length: 23\r\n\r\n",
            "\nGET /x HTTP/1.1\r\n\r\n",
            "POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /x HTTP/1.1\n",
            "POST /x HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        ] {
            assert_eq!(scan(bad), Err(Doubtful), "{bad:?}");
            assert_eq!(scan(&format!("{GET}{bad}")), Err(Doubtful), "{bad:?}, second");
        }
        assert_eq!(scan(&format!("GET /{} HTTP/1.1\n", "x".repeat(500))), Err(Doubtful), "behind a long line");
    }

    #[test]
    fn bodies_are_not_heads() {
        for good in [
            GET.to_owned(),
            format!("\r\n{GET}"),
            format!("POST /x HTTP/1.1\r\nContent-Length: 6\r\n\r\n{{\n\n\n\n}}{GET}"),
            format!("POST /x HTTP/1.1\r\ncontent-length:\t6 \r\n\r\n\n\n\n\n\n\n{GET}"),
            "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n\n0\r\n\r\n".into(),
            format!("POST /x HTTP/1.1\r\nX: {}\r\nContent-Length: 1\r\n\r\n\n{GET}", "y".repeat(100)),
        ] {
            assert_eq!(scan(&good), Ok(()), "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_how_the_bytes_arrive(
            text in "(GET / HTTP/1\\.1|Content-Length: [0-9]{1,2}|X: y{0,60}|\r|\n|\r\n|\r\n\r\n|[a-z]){0,30}",
            cuts in proptest::collection::vec(0usize..200, 0..6),
        ) {
            let whole = scan(&text);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| *c < text.len()).collect();
            cuts.sort_unstable();
            let mut scanner = Scanner::default();
            let mut from = 0;
            let mut pieces = Ok(());
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces = pieces.and_then(|()| scanner.scan(&text.as_bytes()[from..cut]));
                from = cut;
            }
            prop_assert_eq!(pieces, whole);
        }
    }
}
