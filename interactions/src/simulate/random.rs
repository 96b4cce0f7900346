//! Random streams and what is drawn from them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream is for. Streams don't depend on the order in which they are used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// The items.
    World,
    /// What a user is like.
    Taste(usize),
    /// What a user did.
    Events(usize),
}

impl Stream {
    pub(super) fn of(self, seed: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(match self {
            Self::World => 0,
            Self::Taste(user) => 2 * user as u64 + 2,
            Self::Events(user) => 2 * user as u64 + 3,
        });
        rng
    }
}

/// A number of `[0, 1)`.
pub(super) fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    rng.random()
}

/// A number of the standard normal distribution (Box and Muller).
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(rng)).cos()
}

/// A number of the gamma distribution of shape 2 and scale 1.
pub(super) fn gamma2(rng: &mut ChaCha8Rng) -> f64 {
    -(1.0 - uniform(rng)).ln() - (1.0 - uniform(rng)).ln()
}

/// `count` different numbers of `0..n` in random order (Floyd's algorithm, then a shuffle).
pub(super) fn distinct(rng: &mut ChaCha8Rng, count: usize, n: usize) -> Vec<usize> {
    let mut list = Vec::with_capacity(count);
    for upper in n - count..n {
        let drawn = rng.random_range(0..=upper);
        list.push(if list.contains(&drawn) { upper } else { drawn });
    }
    shuffle(rng, &mut list);
    list
}

/// Puts the list into random order.
pub(super) fn shuffle<T>(rng: &mut ChaCha8Rng, list: &mut [T]) {
    for i in (1..list.len()).rev() {
        list.swap(i, rng.random_range(0..=i));
    }
}

/// `1 / (1 + exp(-x))`.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_are_right() {
        let rng = &mut Stream::World.of(3);
        let mean = |f: &mut dyn FnMut() -> f64| (0..40_000).map(|_| f()).sum::<f64>() / 40_000.0;
        assert!(mean(&mut || normal(rng)).abs() < 0.02);
        assert!((mean(&mut || normal(rng).powi(2)) - 1.0).abs() < 0.04);
        assert!((mean(&mut || gamma2(rng)) - 2.0).abs() < 0.04);
    }

    #[test]
    fn distinct_numbers_are_distinct_and_all_occur() {
        let rng = &mut Stream::Taste(4).of(3);
        let mut counts = [0_u32; 6];
        for _ in 0..3_000 {
            let list = distinct(rng, 2, 6);
            assert_ne!(list[0], list[1]);
            counts[list[0]] += 1;
        }
        assert!(counts.iter().all(|c| (400..600).contains(c)), "{counts:?}");
        let mut all = distinct(rng, 6, 6);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    }
}
