//! The header: for whom a file is sealed, in lines of text, and a MAC over them.

use std::io::{self, Read};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::{AgeError, FileKey, MASTER, stream::derived};

const FIRST: &str = "age-encryption.org/v1\n";
/// More than a file for twenty recipients needs.
const MAX_BYTES: usize = 16 << 10;
/// How long the lines of a body are.
const COLUMNS: usize = 64;

/// The file's key, wrapped for somebody.
pub(super) struct Stanza {
    pub kind: String,
    pub args: Vec<String>,
    pub body: Vec<u8>,
}

pub(super) struct Header {
    pub stanzas: Vec<Stanza>,
}

fn mac(text: &[u8], file_key: &FileKey) -> hmac::Tag {
    let key = derived(file_key.as_ref(), b"", b"header");
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), text)
}

/// What the MAC covers of a header, and the MAC.
fn parts(text: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let line = text.strip_suffix(b"\n")?;
    let at = line.iter().rposition(|b| *b == b'\n')? + 1;
    let encoded = line[at..].strip_prefix(b"--- ")?;
    Some((&text[..at + 3], STANDARD_NO_PAD.decode(encoded).ok()?))
}

pub(super) fn is_authentic(text: &[u8], file_key: &FileKey) -> bool {
    let key = derived(file_key.as_ref(), b"", b"header");
    parts(text).is_some_and(|(covered, found)| {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), covered, &found).is_ok()
    })
}

impl Header {
    pub(super) fn encode(&self, file_key: &FileKey) -> Vec<u8> {
        let mut out = FIRST.to_owned();
        for Stanza { kind, args, body } in &self.stanzas {
            out += &format!("-> {kind} {}\n", args.join(" "));
            let body = STANDARD_NO_PAD.encode(body);
            let mut rest = body.as_str();
            // The last line is a short one, an empty one if need be: so it is known where a body ends.
            while rest.len() >= COLUMNS {
                let (line, behind) = rest.split_at(COLUMNS);
                out += &format!("{line}\n");
                rest = behind;
            }
            out += &format!("{rest}\n");
        }
        out += "---";
        let tag = mac(out.as_bytes(), file_key);
        out += &format!(" {}\n", STANDARD_NO_PAD.encode(tag));
        out.into_bytes()
    }

    /// Reads the header, and not a byte more. Also answers its very text.
    pub(super) fn read(file: &mut impl Read) -> Result<(Self, Vec<u8>), AgeError> {
        let mut text = vec![0; FIRST.len()];
        match file.read_exact(&mut text) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(AgeError::Foreign),
            read => read?,
        }
        if text != FIRST.as_bytes() {
            return Err(AgeError::Foreign);
        }
        loop {
            let begin = text.len();
            read_line(file, &mut text)?;
            if text[begin..].starts_with(b"---") {
                break;
            }
        }
        match Self::parse(&text) {
            Some(header) => Ok((header, text)),
            None => Err(damaged(text.len())),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        parts(text)?;
        let lines = std::str::from_utf8(text).ok()?.lines().skip(1);
        let (mut stanzas, mut body, mut is_open) = (vec![], String::new(), false);
        for line in lines.take_while(|line| !line.starts_with("---")) {
            match line.strip_prefix("-> ") {
                Some(words) if !is_open => {
                    let mut words = words.split(' ').map(str::to_owned);
                    stanzas.push(Stanza { kind: words.next()?, args: words.collect(), body: vec![] });
                    is_open = true;
                }
                None if is_open => {
                    body += line;
                    if line.len() < COLUMNS {
                        stanzas.last_mut()?.body = STANDARD_NO_PAD.decode(&body).ok()?;
                        body.clear();
                        is_open = false;
                    }
                }
                _ => return None,
            }
        }
        (!is_open).then_some(Self { stanzas })
    }

    /// For whom it is, for people: `the master key 0123456789abcdef and 1 recipient`.
    pub(super) fn describe(&self) -> String {
        let mut masters = self.stanzas.iter().filter(|stanza| stanza.kind == MASTER);
        let master = masters.find_map(|stanza| stanza.args.first());
        let of_master = master.map(|name| format!("the master key {}", common::text::printable(name)));
        let others = self.stanzas.iter().filter(|stanza| stanza.kind != MASTER).count();
        let of_others = match others {
            0 => None,
            1 => Some("1 recipient".to_owned()),
            n => Some(format!("{n} recipients")),
        };
        of_master.into_iter().chain(of_others).collect::<Vec<_>>().join(" and ")
    }
}

fn damaged(to: usize) -> AgeError {
    AgeError::Damaged { from: 0, to: to as u64, what: "the header" }
}

fn read_line(file: &mut impl Read, text: &mut Vec<u8>) -> Result<(), AgeError> {
    loop {
        let mut byte = [0];
        if text.len() >= MAX_BYTES || file.read(&mut byte)? == 0 {
            return Err(damaged(text.len()));
        }
        text.push(byte[0]);
        if byte[0] == b'\n' {
            return Ok(());
        }
    }
}
