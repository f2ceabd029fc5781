//! Lengths of time as people write them in a configuration: `15m`, `7d`, `500ms`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time in whole milliseconds. Written `500ms`, `30s`, `15m`, `12h`, `7d`, or a sum such as `1h30m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// From minutes.
    pub const fn from_mins(mins: u64) -> Self {
        Self::from_secs(mins.saturating_mul(60))
    }

    /// From hours.
    pub const fn from_hours(hours: u64) -> Self {
        Self::from_mins(hours.saturating_mul(60))
    }

    /// From days of 24 hours.
    pub const fn from_days(days: u64) -> Self {
        Self::from_hours(days.saturating_mul(24))
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// In whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// In milliseconds, as the arithmetic of times needs it.
    pub(crate) const fn as_millis_i64(self) -> i64 {
        if self.0 > i64::MAX as u64 { i64::MAX } else { self.0.cast_signed() }
    }

    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// For timers of the standard library and tokio.
    pub const fn to_std(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("'{text}' is not a duration: write 500ms, 30s, 15m, 12h, 7d or a sum such as 1h30m");
        let mut rest = text.trim();
        let mut total: u64 = 0;
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(refuse());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
            rest = &rest[digits..];
            let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (_, millis) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(refuse)?;
            rest = &rest[letters..];
            total = number.checked_mul(*millis).and_then(|ms| total.checked_add(ms)).ok_or_else(refuse)?;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (unit, millis) in UNITS {
            if left >= millis {
                write!(f, "{}{unit}", left / millis)?;
                left %= millis;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "Such as 500ms, 30s, 15m, 12h, 7d, or a sum: 1h30m", "examples": ["90d"]})
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_people_write() {
        for (text, millis) in
            [("15m", 900_000), ("7d", 604_800_000), ("1h30m", 5_400_000), ("500ms", 500), ("0", 0), (" 10s ", 10_000)]
        {
            assert_eq!(text.parse::<Span>(), Ok(Span::from_millis(millis)), "{text}");
        }
        for bad in ["", "15", "m", "-5m", "1.5h", "5 m", "9999999999999999999d", "5M", "5min"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_it_shows_it_reads_back() {
        for millis in [0, 1, 999, 1000, 61_000, 5_400_000, 604_800_000, 90_061_001] {
            let span = Span::from_millis(millis);
            assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
        assert_eq!(Span::from_secs(604_800).to_string(), "7d");
    }
}
