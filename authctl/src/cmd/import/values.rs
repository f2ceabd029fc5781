//! Values of rows as other software writes them: times as text or numbers, flags as 0 and 1, ids as numbers.

use common::UnixTime;
use rusqlite::types::Value;

/// Numbers from here on are milliseconds, those below seconds: the year 1973 in one, 5138 in the other.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// A text; numbers as their digits. Nothing for an absent value.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(n) => Some(n.to_string()),
        Value::Real(n) => Some(n.to_string()),
        Value::Blob(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::Null => None,
    }
}

/// A flag.
pub(super) fn flag(value: &Value) -> bool {
    match value {
        Value::Integer(n) => *n != 0,
        Value::Text(text) => matches!(text.as_str(), "true" | "t" | "1"),
        Value::Real(_) | Value::Blob(_) | Value::Null => false,
    }
}

/// A point in time: RFC 3339, SQLite's `2026-11-22 12:00:00` (which is UTC), seconds or milliseconds.
pub(super) fn time(value: &Value) -> Option<UnixTime> {
    match value {
        Value::Integer(n) => Some(of_number(*n)),
        #[allow(clippy::cast_possible_truncation)] // a time with a fraction of its unit
        Value::Real(n) => Some(of_number(*n as i64)),
        Value::Text(text) => match text.parse::<i64>() {
            Ok(n) => Some(of_number(n)),
            Err(_) => text.parse().or_else(|_| format!("{}Z", text.replacen(' ', "T", 1)).parse()).ok(),
        },
        Value::Blob(_) | Value::Null => None,
    }
}

fn of_number(n: i64) -> UnixTime {
    if n >= MILLISECONDS_FROM { UnixTime::from_millis(n) } else { UnixTime::from_secs(n) }
}

/// A JSON value as a row has it.
pub(super) fn of_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Integer(flag.into()),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => Value::Integer(n),
            (None, Some(n)) => Value::Real(n),
            (None, None) => Value::Null,
        },
        serde_json::Value::String(text) => Value::Text(text),
        other => Value::Text(other.to_string()),
    }
}

/// A value of a row as JSON; nothing for one that is absent, or no text.
pub(super) fn to_json(value: Value) -> Option<serde_json::Value> {
    match value {
        Value::Integer(n) => Some(n.into()),
        Value::Real(n) => Some(n.into()),
        Value::Text(text) => Some(text.into()),
        Value::Blob(_) | Value::Null => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_usual_adapters_write_them() {
        let at = UnixTime::from_millis(1_795_352_294_962);
        let of_text = |text: &str| time(&Value::Text(text.into()));
        assert_eq!(of_text("2026-11-22T12:58:14.962Z"), Some(at), "kysely");
        assert_eq!(of_text("2026-11-22T12:58:14.962+00:00"), Some(at));
        assert_eq!(of_text("1795352294962"), Some(at));
        assert_eq!(time(&Value::Integer(1_795_352_294_962)), Some(at), "Prisma, Drizzle's timestamp_ms");
        let second = UnixTime::from_secs(1_795_352_294);
        assert_eq!(time(&Value::Integer(1_795_352_294)), Some(second), "Drizzle's timestamp");
        assert_eq!(time(&Value::Real(1_795_352_294.5)), Some(second));
        assert_eq!(
            of_text("2026-11-22 11:58:14"),
            Some(UnixTime::from_secs(1_795_352_294 - 3600)),
            "CURRENT_TIMESTAMP"
        );
        for odd in [Value::Null, Value::Text("yesterday".into()), Value::Text(String::new())] {
            assert_eq!(time(&odd), None, "{odd:?}");
        }
    }

    #[test]
    fn flags_and_ids_are_read_whatever_their_type() {
        assert!(flag(&Value::Integer(1)) && flag(&Value::Text("true".into())));
        assert!(!flag(&Value::Integer(0)) && !flag(&Value::Null) && !flag(&Value::Text("false".into())));
        assert_eq!(text(&Value::Integer(17)), Some("17".into()));
        assert_eq!(of_json(serde_json::json!({"a": 1})), Value::Text("{\"a\":1}".into()));
        assert_eq!(of_json(serde_json::json!(true)), Value::Integer(1));
    }
}
