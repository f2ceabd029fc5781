//! What counts: relaxed atomics, so that nobody waits for being counted. Each is right by itself; two of them that are read one
//! after the other may be of different moments.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often something happened since the start.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// It happened once more.
    pub fn one(&self) {
        self.add(1);
    }

    /// It happened so many times more.
    pub fn add(&self, many: u64) {
        self.0.fetch_add(many, Relaxed);
    }

    /// How often.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The bounds of durations of requests and commits, in seconds.
pub const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The bounds of how many share something.
pub const MANY: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// How what was measured is distributed.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds: what is above the last.
    buckets: Box<[Counter]>,
    /// In millionths.
    sum: Counter,
}

impl Histogram {
    /// With nothing measured. The bounds are upper ones, and rise.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, buckets: (0..=bounds.len()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    /// Something was measured. What is negative or no number counts as 0.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` goes to the nearest there is
    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.one();
        }
        self.sum.add((value * 1e6) as u64);
    }

    /// What was measured until now.
    #[allow(clippy::cast_precision_loss)] // beyond 2^53 millionths, which is 285 years of seconds
    pub fn read(&self) -> Distribution {
        let counts = self.buckets.iter().map(Counter::get).collect();
        Distribution { bounds: self.bounds, counts, sum: self.sum.get() as f64 / 1e6 }
    }
}

/// What a [`Histogram`] had measured at some moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    /// The upper bounds.
    pub bounds: &'static [f64],
    /// How many lie between a bound and the one before; then those above the last.
    pub counts: Vec<u64>,
    /// All that was measured, together.
    pub sum: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_what_is_below_it_and_nothing_is_lost_above_the_last() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.0, 1.0, 1.5, 2.0, 2.000_001, 1e9, -1.0, f64::NAN] {
            histogram.observe(value);
        }
        let read = histogram.read();
        assert_eq!(read.counts, [4, 2, 2]);
        assert!((read.sum - (1e9 + 6.500_001)).abs() < 1e-3, "{}", read.sum);
    }
}
