//! The nearest centre of every point.

use rayon::prelude::*;

use super::{KMeansError, Points};

/// Points that one thread takes at a time.
const CHUNK: usize = 256;
/// Partial sums of a distance: independent of each other, so that they fit into vector registers.
const LANES: usize = 16;

/// Points with their nearest centres.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assigned {
    /// `[n]`.
    pub(super) nearest: Vec<u32>,
    /// Squared distance to it, `[n]`.
    pub(super) distances: Vec<f32>,
    /// Points of each centre, `[k]`.
    pub(super) sizes: Vec<u32>,
}

impl Assigned {
    pub(super) fn new(points: Points<'_>, centres: &[f32]) -> Self {
        let n = points.len();
        let (mut nearest, mut distances) = (vec![0; n], vec![0.0; n]);
        let outputs = nearest.par_chunks_mut(CHUNK).zip(distances.par_chunks_mut(CHUNK));
        outputs.enumerate().for_each(|(chunk, (nearest, distances))| {
            for (i, (index, distance)) in nearest.iter_mut().zip(distances).enumerate() {
                (*index, *distance) = find(points.get(chunk * CHUNK + i), centres);
            }
        });
        let mut sizes = vec![0; centres.len() / points.dim];
        nearest.iter().for_each(|&index| sizes[index as usize] += 1);
        Self { nearest, distances, sizes }
    }

    /// Moves centres that have no points, one after the other, to the point that is farthest from its own
    /// centre. `true` if there were any. Moving a centre cannot empty one that was moved before, so it ends.
    ///
    /// # Errors
    /// [`KMeansError::TooFewPoints`] when all points lie on centres already.
    pub(super) fn fill(
        &mut self,
        points: Points<'_>,
        centres: &mut [f32],
    ) -> Result<bool, KMeansError> {
        let mut filled = false;
        while let Some(empty) = self.sizes.iter().position(|&size| size == 0) {
            let farthest = self.farthest();
            if self.distances[farthest] == 0.0 {
                let distinct = self.sizes.iter().filter(|&&size| size > 0).count();
                return Err(KMeansError::TooFewPoints { distinct, k: self.sizes.len() });
            }
            let centre = points.get(farthest);
            centres[empty * points.dim..(empty + 1) * points.dim].copy_from_slice(centre);
            self.attract(points, empty as u32, centre);
            filled = true;
        }
        Ok(filled)
    }

    /// The first of the points that are farthest from their centres.
    fn farthest(&self) -> usize {
        let mut best = 0;
        for (i, distance) in self.distances.iter().enumerate() {
            if *distance > self.distances[best] {
                best = i;
            }
        }
        best
    }

    /// Gives `centre` the points that are nearer to it than to their own.
    fn attract(&mut self, points: Points<'_>, index: u32, centre: &[f32]) {
        let mut distances = self.distances.clone();
        shrink(points, centre, &mut distances);
        for ((new, old), nearest) in distances.iter().zip(&self.distances).zip(&mut self.nearest) {
            if new < old {
                self.sizes[*nearest as usize] -= 1;
                self.sizes[index as usize] += 1;
                *nearest = index;
            }
        }
        self.distances = distances;
    }
}

/// Lowers each of `distances` (`[n]`) to the squared distance from `centre` where that is less.
pub(super) fn shrink(points: Points<'_>, centre: &[f32], distances: &mut [f32]) {
    distances.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, distances)| {
        for (i, distance) in distances.iter_mut().enumerate() {
            let new = squared_distance(points.get(chunk * CHUNK + i), centre);
            *distance = distance.min(new);
        }
    });
}

/// The nearest of `centres` (`[k, dim]`), the first of equally near ones, and the squared distance to it.
pub(super) fn find(point: &[f32], centres: &[f32]) -> (u32, f32) {
    let mut best = (0, f32::INFINITY);
    for (index, centre) in centres.chunks_exact(point.len()).enumerate() {
        let distance = squared_distance(point, centre);
        if distance < best.1 {
            best = (index as u32, distance);
        }
    }
    best
}

pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (mut left, mut right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (x, y) in left.by_ref().zip(right.by_ref()) {
        for lane in 0..LANES {
            let difference = x[lane] - y[lane];
            sums[lane] += difference * difference;
        }
    }
    let rest = left.remainder().iter().zip(right.remainder());
    for (sum, (x, y)) in sums.iter_mut().zip(rest) {
        *sum += (x - y) * (x - y);
    }
    sums.iter().sum()
}
