//! How centres move.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::assign::{Assigned, find};
use super::{KMeansError, KMeansOptions, Points};

/// The random stream of the batches; the start uses another one.
const BATCHES: u64 = 1;
/// Points of a batch that one thread takes at a time.
const CHUNK: usize = 64;

/// Moves the centres towards the points of random batches: each by 1 / (points it had so far).
pub(super) fn mini_batches(points: Points<'_>, centres: &mut [f32], options: &KMeansOptions) {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    rng.set_stream(BATCHES);
    let mut counts = vec![1_u64; centres.len() / points.dim];
    let mut batch = vec![(0_usize, 0_u32); options.batch];
    for _ in 0..options.steps {
        batch.iter_mut().for_each(|(index, _)| *index = rng.random_range(0..points.len()));
        batch.par_chunks_mut(CHUNK).flatten().for_each(|(index, nearest)| {
            *nearest = find(points.get(*index), centres).0;
        });
        for &(index, nearest) in &batch {
            let nearest = nearest as usize;
            counts[nearest] += 1;
            let rate = 1.0 / counts[nearest] as f32;
            let centre = &mut centres[nearest * points.dim..(nearest + 1) * points.dim];
            for (c, x) in centre.iter_mut().zip(points.get(index)) {
                *c += rate * (x - *c);
            }
        }
    }
}

/// Lloyd: makes each centre the mean of its points, up to `passes` times or until nothing changes.
///
/// # Errors
/// [`KMeansError::TooFewPoints`].
pub(super) fn lloyd(
    points: Points<'_>,
    centres: &mut [f32],
    passes: usize,
) -> Result<Assigned, KMeansError> {
    let mut assigned = Assigned::new(points, centres);
    assigned.fill(points, centres)?;
    for _ in 0..passes {
        means(points, &assigned, centres);
        let mut next = Assigned::new(points, centres);
        let filled = next.fill(points, centres)?;
        let settled = !filled && next.nearest == assigned.nearest;
        assigned = next;
        if settled {
            break;
        }
    }
    Ok(assigned)
}

/// The mean of the points of each centre. Points are added in their order, in f64.
fn means(points: Points<'_>, assigned: &Assigned, centres: &mut [f32]) {
    let members = Members::of(assigned);
    let zeros = || vec![0.0_f64; points.dim];
    let rows = centres.par_chunks_exact_mut(points.dim).enumerate();
    rows.for_each_init(zeros, |sums, (index, centre)| {
        sums.fill(0.0);
        for &point in members.get(index) {
            for (sum, x) in sums.iter_mut().zip(points.get(point as usize)) {
                *sum += f64::from(*x);
            }
        }
        for (c, sum) in centre.iter_mut().zip(sums) {
            *c = (*sum / f64::from(assigned.sizes[index])) as f32;
        }
    });
}

/// The points of each centre, in their order.
struct Members {
    points: Vec<u32>,
    ends: Vec<usize>,
}

impl Members {
    /// Sorts by counting.
    fn of(assigned: &Assigned) -> Self {
        let mut next = 0;
        let mut ends: Vec<usize> = Vec::with_capacity(assigned.sizes.len());
        for &size in &assigned.sizes {
            ends.push(next);
            next += size as usize;
        }
        let mut points = vec![0; assigned.nearest.len()];
        for (point, &nearest) in assigned.nearest.iter().enumerate() {
            let place = &mut ends[nearest as usize];
            points[*place] = point as u32;
            *place += 1;
        }
        Self { points, ends }
    }

    fn get(&self, index: usize) -> &[u32] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.points[start..self.ends[index]]
    }
}
