//! Points in time. Milliseconds inside, whole seconds only in JWT claims.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Span;

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Its text form is RFC 3339 in UTC with exactly three fractional digits, because Better Auth's client turns such a
/// string (and only such a string) into the right `Date`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(i64);

impl UnixTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// Later than any time that is ever reached.
    pub const MAX: Self = Self(253_402_128_000_000);

    /// From milliseconds since the epoch, clamped to the years 1970 to 9999.
    pub const fn from_millis(millis: i64) -> Self {
        if millis < 0 {
            Self(0)
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// From whole seconds since the epoch, as in a `NumericDate` (RFC 7519 §2).
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: the `NumericDate` of JWT claims.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time and `span` later, at most [`UnixTime::MAX`].
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self::from_millis(self.0.saturating_add(span.as_millis_i64()))
    }

    /// This time and `span` earlier, at least the epoch.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self::from_millis(self.0.saturating_sub(span.as_millis_i64()))
    }

    /// How long after `earlier` this is; nothing if it is not after it.
    pub const fn since(self, earlier: Self) -> Span {
        if self.0 <= earlier.0 { Span::ZERO } else { Span::from_millis((self.0 - earlier.0).cast_unsigned()) }
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for UnixTime {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<Timestamp>()
            .map(|t| Self::from_millis(t.as_millisecond()))
            .map_err(|_| format!("'{text}' is not an RFC 3339 time such as 2026-11-22T12:00:00Z"))
    }
}

impl JsonSchema for UnixTime {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "UnixTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A point in time of the years 0 to 9999, as applications keep them: a birthday may be before 1970. Its text form is that of
/// [`UnixTime`]; what is read may also be a day, which is its beginning in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// 0000-01-01T00:00:00Z
    const FIRST: i64 = -62_167_219_200_000;
    /// 9999-12-30T22:00:00Z, the last that every zone can show.
    const LAST: i64 = 253_402_207_200_000;

    /// From milliseconds since 1970-01-01T00:00:00Z; `None` outside of those years.
    pub const fn from_millis(millis: i64) -> Option<Self> {
        if millis >= Self::FIRST && millis <= Self::LAST { Some(Self(millis)) } else { None }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let midnight = || format!("{text}T00:00:00Z").parse::<Timestamp>().ok();
        let found = text.parse::<Timestamp>().ok().or_else(midnight);
        // Never more than is shown: the same text must come back.
        found
            .and_then(|t| Self::from_millis(t.as_nanosecond().div_euclid(1_000_000).try_into().ok()?))
            .ok_or_else(|| format!("'{text}' is not a day or a time such as 2026-11-22T12:00:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_reach_back_before_1970_and_may_be_days() {
        for (text, shown) in [
            ("2000-01-02", "2000-01-02T00:00:00.000Z"),
            ("1815-12-10", "1815-12-10T00:00:00.000Z"),
            ("0000-01-01", "0000-01-01T00:00:00.000Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("2000-01-02T03:04:05+02:00", "2000-01-02T01:04:05.000Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.to_string(), shown);
            assert_eq!(shown.parse::<Moment>().unwrap(), moment);
            assert_eq!(Moment::from_millis(moment.as_millis()), Some(moment));
        }
        for bad in ["", "soon", "2000", "2000-13-01", "2000-01-02T03:04:05", "-000001-01-01T00:00:00Z", "5"] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
        assert!(Moment::from_millis(i64::MAX).is_none() && Moment::from_millis(i64::MIN).is_none());
    }

    #[test]
    fn the_text_form_has_exactly_three_fractional_digits() {
        assert_eq!(UnixTime::from_millis(1_795_348_800_123).to_string(), "2026-11-22T12:00:00.123Z");
        assert_eq!(UnixTime::from_millis(1_795_348_800_000).to_string(), "2026-11-22T12:00:00.000Z");
        assert_eq!(UnixTime::MAX.to_string(), "9999-12-30T00:00:00.000Z");
    }

    #[test]
    fn it_reads_what_it_writes_and_other_offsets() {
        let t = UnixTime::from_millis(1_795_348_800_120);
        assert_eq!(t.to_string().parse::<UnixTime>().unwrap(), t);
        assert_eq!("2026-11-22T13:00:00.12+01:00".parse::<UnixTime>().unwrap(), t);
        assert!("yesterday".parse::<UnixTime>().is_err());
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UnixTime::MAX.plus(Span::from_secs(u64::MAX)), UnixTime::MAX);
        assert_eq!(UnixTime::EPOCH.minus(Span::from_secs(1)), UnixTime::EPOCH);
        assert_eq!(UnixTime::from_secs(5).since(UnixTime::from_secs(9)), Span::ZERO);
    }
}
