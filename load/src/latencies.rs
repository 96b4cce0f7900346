//! Latencies that are measured elsewhere.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::{
    LoadError,
    measured::Latency,
    tally::{histogram, nanoseconds},
};

/// Latencies by the millisecond, to three digits; an hour is the longest.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    /// [`LoadError::Histogram`].
    pub fn new() -> Result<Self, LoadError> {
        histogram(3).map(Self)
    }

    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(nanoseconds(latency));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Their percentiles; all 0 where there are none.
    #[must_use]
    pub fn summary(&self) -> Latency {
        Latency::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred() {
        let mut latencies = Latencies::new().unwrap();
        assert_eq!(latencies.summary(), Latency::default());
        (1..=100).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        let summary = latencies.summary();
        let near = |got: f64, want: f64| (got - want).abs() < 0.1;
        assert_eq!(latencies.count(), 100);
        assert!(near(summary.p50_ms, 50.0) && near(summary.p99_ms, 99.0), "{summary:?}");
        assert!(near(summary.max_ms, 100.0) && near(summary.mean_ms, 50.5), "{summary:?}");
    }
}
