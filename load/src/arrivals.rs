//! When calls of an open loop are due.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Spacing;

/// Times since the start, one after the other, without an end.
#[derive(Debug)]
pub(crate) struct Arrivals {
    rate: f64,
    count: u64,
    gaps: Option<Gaps>,
}

#[derive(Debug)]
struct Gaps {
    rng: ChaCha8Rng,
    /// Seconds since the start of the last arrival.
    last: f64,
}

impl Arrivals {
    pub(crate) fn new(rate: f64, spacing: Spacing) -> Self {
        let gaps = match spacing {
            Spacing::Even => None,
            Spacing::Poisson { seed } => {
                Some(Gaps { rng: ChaCha8Rng::seed_from_u64(seed), last: 0.0 })
            }
        };
        Self { rate, count: 0, gaps }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let seconds = match &mut self.gaps {
            // Not a sum of gaps: the millionth is still where it belongs.
            None => self.count as f64 / self.rate,
            Some(gaps) => {
                let share: f64 = gaps.rng.random();
                gaps.last -= (1.0 - share).ln() / self.rate;
                gaps.last
            }
        };
        self.count += 1;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_arrivals_stand_where_they_belong() {
        let mut even = Arrivals::new(4.0, Spacing::Even);
        let times: Vec<_> = (0..4).map(|_| even.next().as_millis()).collect();
        assert_eq!(times, [0, 250, 500, 750]);
    }

    #[test]
    fn poisson_keeps_its_rate_its_spread_and_its_seed() {
        let times = |seed| {
            let mut arrivals = Arrivals::new(100.0, Spacing::Poisson { seed });
            (0..10_000).map(|_| arrivals.next().as_secs_f64()).collect::<Vec<_>>()
        };
        let (first, other) = (times(7), times(8));
        assert_eq!(first, times(7));
        assert_ne!(first, other);
        assert!((first[9_999] - 100.0).abs() < 5.0, "{}", first[9_999]);
        let gaps: Vec<f64> = first.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= 0.0));
        // Of exponential gaps, a share of 1 - 1/e is below the mean.
        let short = gaps.iter().filter(|gap| **gap < 0.01).count() as f64 / gaps.len() as f64;
        assert!((short - 0.632).abs() < 0.02, "{short}");
    }
}
