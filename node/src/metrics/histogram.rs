//! How long things took, counted by length.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds for pieces of work and for waiting, in microseconds: from a hundredth of a second to half an
/// hour.
pub const WORK_BOUNDS: &[u64] = &[
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
];

/// Bounds for decisions and durable writes, in microseconds: from a millisecond to ten seconds.
pub const DECISION_BOUNDS: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// Bounds for answers of the API, in microseconds: from five milliseconds to ten seconds. Few, because
/// there are as many histograms as there is to be asked.
pub const ANSWER_BOUNDS: &[u64] = &[5_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// Counts times, each in the narrowest of some ranges that has it.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds of the ranges, in microseconds, ascending; one more range has no bound.
    bounds: &'static [u64],
    counts: Vec<AtomicU64>,
    sum_us: AtomicU64,
}

/// A histogram as it was at an instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Seconds, and how many times were no longer than that.
    pub buckets: Vec<(f64, u64)>,
    /// How many times were counted.
    pub count: u64,
    /// Seconds of all of them together.
    pub sum_seconds: f64,
}

impl Histogram {
    /// Nothing is counted yet.
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_us: AtomicU64::new(0) }
    }

    /// Counts one time.
    pub fn observe(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let range = self.bounds.partition_point(|bound| *bound < us);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        self.counts[range].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> Reading {
        let mut count = 0;
        let mut up_to = |counter: &AtomicU64| {
            count += counter.load(Ordering::Relaxed);
            count
        };
        let sums: Vec<u64> = self.counts.iter().map(&mut up_to).collect();
        let bounds = self.bounds.iter().map(|us| *us as f64 / 1e6);
        let sum_seconds = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        Reading { buckets: bounds.zip(sums).collect(), count, sum_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_every_range_that_has_it() {
        let histogram = Histogram::new(&[1_000, 5_000]);
        for us in [1, 1_000, 1_001, 5_000, 5_001, u64::MAX / 4] {
            histogram.observe(Duration::from_micros(us));
        }
        let reading = histogram.read();
        assert_eq!(reading.buckets, [(0.001, 2), (0.005, 4)]);
        assert_eq!(reading.count, 6);
        assert!(reading.sum_seconds > 1e9);
        for bounds in [WORK_BOUNDS, DECISION_BOUNDS, ANSWER_BOUNDS] {
            assert!(bounds.is_sorted());
        }
    }
}
