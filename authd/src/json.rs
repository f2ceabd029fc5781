//! The one JSON parser for everything that comes from outside: request bodies and tokens. Strict where RFC 8259 leaves
//! room: duplicate members, deep nesting and crowds of members are refused, so that no two readers of one text can see
//! different things in it (HT-05).

use std::cell::Cell;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How deep arrays and objects may be nested.
pub const MAX_DEPTH: usize = 32;
/// How many members and elements a text may have, all levels together.
pub const MAX_MEMBERS: usize = 1000;

/// Parses a whole text.
///
/// # Errors
/// What is wrong, in words that may be shown: no part of the input is in them.
pub fn parse(text: &[u8]) -> Result<Value, &'static str> {
    parse_crowd(text, MAX_MEMBERS)
}

/// Parses a whole text that may have so many members and elements: a batch of things.
///
/// # Errors
/// As [`parse`].
pub fn parse_crowd(text: &[u8], most: usize) -> Result<Value, &'static str> {
    let left = Cell::new(most);
    let problem = Cell::new("not JSON");
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value =
        Strict { depth: 0, left: &left, problem: &problem }.deserialize(&mut reader).map_err(|_| problem.get())?;
    reader.end().map_err(|_| "something follows the JSON text")?;
    Ok(value)
}

/// Parses a text that must be an object.
///
/// # Errors
/// As [`parse`].
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, &'static str> {
    match parse(text)? {
        Value::Object(map) => Ok(map),
        _ => Err("not a JSON object"),
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    left: &'a Cell<usize>,
    problem: &'a Cell<&'static str>,
}

impl<'a> Strict<'a> {
    fn refuse<E: de::Error>(&self, problem: &'static str) -> E {
        self.problem.set(problem);
        E::custom(problem)
    }

    fn deeper<E: de::Error>(&self) -> Result<Strict<'a>, E> {
        if self.depth >= MAX_DEPTH {
            Err(self.refuse("nested too deeply"))
        } else {
            Ok(Self { depth: self.depth + 1, ..*self })
        }
    }

    fn count<E: de::Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| self.refuse("too many members"))?;
        self.left.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = vec![];
        while let Some(item) = seq.next_element_seed(inner)? {
            self.count()?;
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            self.count()?;
            if map.contains_key(&name) {
                return Err(self.refuse("the same member twice"));
            }
            map.insert(name, access.next_value_seed(inner)?);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ht_05_what_two_readers_could_see_differently_is_refused() {
        for (text, problem) in [
            (r#"{"a":1,"a":2}"#, "the same member twice"),
            (r#"{"a":1,"\u0061":2}"#, "the same member twice"),
            (r#"{"x":{"a":1,"a":1}}"#, "the same member twice"),
            (r#"{"a":1} x"#, "something follows the JSON text"),
            (r#"{"a":NaN}"#, "not JSON"),
            (r#"{"a":"\ud800"}"#, "not JSON"),
            ("{\"a\":1,}", "not JSON"),
            ("\u{feff}{}", "not JSON"),
            ("", "not JSON"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(problem), "{text}");
        }
        assert_eq!(parse(b"{\"a\":\"\xff\"}"), Err("not JSON"));
    }

    #[test]
    fn ht_05_depth_and_crowd_are_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(parse(nested(MAX_DEPTH + 1).as_bytes()), Err("nested too deeply"));
        let crowd = |n: usize| format!("[{}]", vec!["0"; n].join(","));
        assert!(parse(crowd(MAX_MEMBERS).as_bytes()).is_ok());
        assert_eq!(parse(crowd(MAX_MEMBERS + 1).as_bytes()), Err("too many members"));
    }

    #[test]
    fn it_reads_what_serde_json_reads() {
        let text = r#"{"s":"x\n","n":[1,-2,3.5,1e3],"t":true,"f":false,"z":null,"o":{"p":{}}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }
}
