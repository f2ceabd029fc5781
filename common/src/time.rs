//! Points in time. Milliseconds inside, whole seconds only in JWT claims.

use std::fmt;

use jiff::Timestamp;
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

#[cfg(test)]
mod tests {
    use super::*;

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
