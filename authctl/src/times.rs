//! Times for people: where they are, and how far from now.

use common::UnixTime;
use jiff::{Timestamp, tz::TimeZone};

/// Now, by this machine's clock.
#[allow(clippy::disallowed_methods)] // the one place that reads it
pub fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `3m ago`, `in 7d`, `now`.
pub fn relative(at: UnixTime, now: UnixTime) -> String {
    let (span, past) = if at <= now { (now.since(at), true) } else { (at.since(now), false) };
    let secs = (span.as_millis() + 500) / 1000;
    let rounded = |unit: u64| (secs + unit / 2) / unit;
    let (count, unit) = match secs {
        0..2 => return "now".into(),
        2..120 => (secs, "s"),
        120..7200 => (rounded(60), "m"),
        7200..172_800 => (rounded(3600), "h"),
        172_800..63_072_000 => (rounded(86_400), "d"),
        _ => (rounded(31_536_000), "y"),
    };
    if past { format!("{count}{unit} ago") } else { format!("in {count}{unit}") }
}

/// `2026-11-22 17:42:20`, in the time zone of this machine.
pub fn local(at: UnixTime) -> String {
    match Timestamp::from_millisecond(at.as_millis()) {
        Ok(timestamp) => timestamp.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at.to_string(),
    }
}

/// A line of the daemon's with its points in time as [`local`] writes them.
pub fn localised(line: &str) -> String {
    let word = |word: &str| {
        let end = word.trim_end_matches([',', ';', ')']);
        // An instant in UTC, and not a day or a number.
        let at = end.parse::<UnixTime>().ok().filter(|_| end.contains('T') && end.ends_with('Z'));
        at.map_or_else(|| word.to_owned(), |at| local(at) + &word[end.len()..])
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use common::Span;

    use super::*;

    #[test]
    fn distances_are_short_and_have_a_direction() {
        let now = UnixTime::from_secs(1_700_000_000);
        for (span, past, future) in [
            (Span::from_secs(1), "now", "now"),
            (Span::from_secs(59), "59s ago", "in 59s"),
            (Span::from_mins(3), "3m ago", "in 3m"),
            (Span::from_hours(47), "47h ago", "in 47h"),
            (Span::from_days(7), "7d ago", "in 7d"),
            (Span::from_days(800), "2y ago", "in 2y"),
        ] {
            assert_eq!(relative(now.minus(span), now), past);
            assert_eq!(relative(now.plus(span), now), future);
        }
        assert_eq!(relative(now.plus(Span::from_days(7)).minus(Span::from_millis(1)), now), "in 7d");
    }

    #[test]
    fn points_in_time_of_a_line_are_local() {
        let at = UnixTime::from_secs(1_800_000_000);
        let there = local(at);
        assert_eq!(
            localised(&format!("k signs from {at} on; gone at {at}")),
            format!("k signs from {there} on; gone at {there}")
        );
        assert_eq!(localised(&format!("until {at}; then")), format!("until {there}; then"));
        for same in ["", "7d  1800000000", "2027-01-15", "T Z TZ"] {
            assert_eq!(localised(same), same);
        }
    }
}
