//! Where the centres begin.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::assign::shrink;
use super::steps::lloyd;
use super::{KMeansOptions, Points};

/// Points of the sample for each centre, and at least.
const SAMPLE_PER_CENTRE: usize = 16;
const SMALLEST_SAMPLE: usize = 4_096;
/// Passes over the sample before starts are compared.
const PASSES: usize = 5;
/// Draws for each centre.
const DRAWS: usize = 3;

/// The best of a few starts, each settled for a few passes. Of many points only a sample takes part.
///
/// Where fewer than `k` points of the sample differ, the last centres repeat the first one. They attract
/// nothing, and are moved when all points are seen.
pub(super) fn start(points: Points<'_>, k: usize, options: &KMeansOptions) -> Vec<f32> {
    let rng = &mut ChaCha8Rng::seed_from_u64(options.seed);
    let size = SMALLEST_SAMPLE.max(k.saturating_mul(SAMPLE_PER_CENTRE));
    let mut sample = Vec::new();
    let mut chosen = points;
    if points.len() > size {
        sample.reserve(size * points.dim);
        for _ in 0..size {
            sample.extend_from_slice(points.get(rng.random_range(0..points.len())));
        }
        chosen.all = &sample;
    }
    let starts = (0..options.starts).map(|_| settled(chosen, k, rng));
    starts.min_by(|a, b| a.1.total_cmp(&b.1)).map_or_else(Vec::new, |(centres, _)| centres)
}

/// Spread centres after a few passes, and the sum of squared distances to them.
fn settled(points: Points<'_>, k: usize, rng: &mut ChaCha8Rng) -> (Vec<f32>, f64) {
    let mut centres = spread(points, k, rng);
    match lloyd(points, &mut centres, PASSES) {
        Ok(assigned) => (centres, total(&assigned.distances)),
        // Too few of them differ: each has a centre.
        Err(_) => (centres, 0.0),
    }
}

/// k-means++: points as centres, each drawn in proportion to the squared distance from those before it, the
/// best of a few draws (greedy k-means++).
fn spread(points: Points<'_>, k: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let first = points.get(rng.random_range(0..points.len()));
    let mut centres = first.to_vec();
    let mut distances = vec![f32::INFINITY; points.len()];
    shrink(points, first, &mut distances);
    for _ in 1..k {
        let drawn: Vec<usize> = (0..DRAWS).filter_map(|_| draw(&distances, rng)).collect();
        centres.extend_from_slice(match best(points, &drawn, &mut distances) {
            Some(next) => points.get(next),
            None => first,
        });
    }
    centres
}

/// The candidate that lowers the sum of `distances` most, the first of equal ones; lowers them.
fn best(points: Points<'_>, candidates: &[usize], distances: &mut Vec<f32>) -> Option<usize> {
    let mut best: Option<(usize, f64, Vec<f32>)> = None;
    for &candidate in candidates {
        let mut lowered = distances.clone();
        shrink(points, points.get(candidate), &mut lowered);
        let sum = total(&lowered);
        if best.as_ref().is_none_or(|(_, least, _)| sum < *least) {
            best = Some((candidate, sum, lowered));
        }
    }
    let (candidate, _, lowered) = best?;
    *distances = lowered;
    Some(candidate)
}

fn total(distances: &[f32]) -> f64 {
    distances.iter().copied().map(f64::from).sum()
}

/// An index in proportion to its weight; none when all weights are 0.
fn draw(weights: &[f32], rng: &mut ChaCha8Rng) -> Option<usize> {
    let mut left = rng.random::<f64>() * total(weights);
    let mut last = None;
    for (index, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        last = Some(index);
        left -= f64::from(weight);
        if left < 0.0 {
            break;
        }
    }
    last
}
