//! Metrics: what counts ([`counter`], [`requests`]), the one table of what there is, and the page that Prometheus reads
//! (its text format, version 0.0.4). What is on the page is gathered by the admin door.

pub mod counter;
mod families;
#[cfg(test)]
mod manual;
pub mod process;
pub mod requests;

use std::fmt::Write;

pub use self::{
    counter::{Counter, Distribution, Histogram},
    families::{FAMILIES, family},
    requests::Requests,
};

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It grows, from 0 at every start.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size, their sum and their number.
    Histogram,
}

impl Kind {
    /// Prometheus' word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Metrics of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What tells its members apart. Values come from the code, never from a client.
    pub labels: &'static [&'static str],
    /// What it says, with its unit.
    pub help: &'static str,
}

/// The page.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    told: Option<&'static str>,
}

impl Page {
    /// The content type of the page.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// What was written.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Name and kind, before the first of a family.
    fn tell(&mut self, family: &Family) {
        if self.told != Some(family.name) {
            let help = family.help.split_whitespace().collect::<Vec<_>>().join(" ").replace('\\', "\\\\");
            let _ = writeln!(self.text, "# HELP {} {help}", family.name);
            let _ = writeln!(self.text, "# TYPE {} {}", family.name, family.kind.as_str());
            self.told = Some(family.name);
        }
    }

    /// A line: `name_suffix{label="value"} 1`. Values of texts are escaped, though none of them needs it.
    fn line(&mut self, family: &Family, suffix: &str, values: &[&str], more: Option<(&str, &str)>, number: f64) {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let named = family.labels.iter().copied().zip(values.iter().copied()).chain(more);
        let labels: Vec<String> = named.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{suffix}{labels} {number}", family.name);
    }

    /// A number, with a value for each label of its family.
    #[allow(clippy::cast_precision_loss)] // Prometheus has no other numbers
    pub fn count(&mut self, family: &Family, values: &[&str], number: u64) {
        self.number(family, values, number as f64);
    }

    /// Yes is 1.
    pub fn flag(&mut self, family: &Family, yes: bool) {
        self.count(family, &[], u64::from(yes));
    }

    /// A number that need not be whole.
    pub fn number(&mut self, family: &Family, values: &[&str], number: f64) {
        self.tell(family);
        self.line(family, "", values, None, number);
    }

    /// A distribution.
    #[allow(clippy::cast_precision_loss)]
    pub fn distribution(&mut self, family: &Family, values: &[&str], read: &Distribution) {
        self.tell(family);
        let mut below = 0;
        for (count, bound) in read.counts.iter().zip(read.bounds.iter().copied().chain([f64::INFINITY])) {
            below += count;
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
            self.line(family, "_bucket", values, Some(("le", &bound)), below as f64);
        }
        self.line(family, "_sum", values, None, read.sum);
        self.line(family, "_count", values, None, below as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_is_prometheus_text_format() {
        let asked = Family { name: "a_total", kind: Kind::Counter, labels: &["x"], help: "How\n often." };
        let took = Family { name: "b_seconds", kind: Kind::Histogram, labels: &[], help: "How long." };
        let mut page = Page::default();
        page.count(&asked, &["1"], 2);
        page.count(&asked, &["\"\\\n"], 3);
        let histogram = Histogram::new(&[0.5, 1.0]);
        [0.25, 0.5, 3.0].into_iter().for_each(|seconds| histogram.observe(seconds));
        page.distribution(&took, &[], &histogram.read());
        assert_eq!(
            page.into_text(),
            "# HELP a_total How often.\n# TYPE a_total counter\na_total{x=\"1\"} 2\na_total{x=\"\\\"\\\\\\n\"} 3\n\
             # HELP b_seconds How long.\n# TYPE b_seconds histogram\nb_seconds_bucket{le=\"0.5\"} 2\n\
             b_seconds_bucket{le=\"1\"} 2\nb_seconds_bucket{le=\"+Inf\"} 3\nb_seconds_sum 3.75\nb_seconds_count 3\n"
        );
    }

    #[test]
    fn names_are_as_prometheus_asks_for_them() {
        let mut seen = BTreeSet::new();
        for family in FAMILIES {
            let name = family.name;
            assert!(seen.insert(name), "{name} stands there twice");
            assert!(name.starts_with("authd_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            assert_eq!(family.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(family.help.trim().ends_with('.'), "{name}: {}", family.help);
        }
    }
}
