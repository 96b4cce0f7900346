//! Clusters of points: k-means with a k-means++ start, mini-batches and full passes at the end.
//!
//! **In:** points as one row-major list `[n, dim]` of f32. **Out:** `k` centres and who belongs to which.
//!
//! Methods: Arthur and Vassilvitskii, "k-means++" (2007), for the start; Sculley, "Web-scale k-means
//! clustering" (2010), for the steps: a centre moves towards a point by 1 / (points it had so far).
//! The result is a function of points and options. It does not depend on the number of threads: points
//! are assigned independently of each other and all sums have one order.

mod assign;
mod error;
mod start;
mod steps;

#[cfg(test)]
mod tests;

pub use error::KMeansError;

use assign::Assigned;
use start::start;
use steps::{lloyd, mini_batches};

/// How much work is done. Memory is of `k * dim + n` numbers whatever is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KMeansOptions {
    /// Starts on a sample of the points, of which the best goes on. At least 1; [`cluster_from`] has none.
    pub starts: usize,
    /// Points of a mini-batch, drawn with replacement. Where there are not more points than this, every
    /// step is a full pass instead. At least 1.
    pub batch: usize,
    /// Mini-batches.
    pub steps: usize,
    /// Most full passes over all points after them; fewer where nothing changes any more.
    pub passes: usize,
    /// Decides all that is random.
    pub seed: u64,
}

impl Default for KMeansOptions {
    fn default() -> Self {
        Self { starts: 5, batch: 4_096, steps: 100, passes: 5, seed: 0 }
    }
}

/// Centres, and the nearest of them for every point. No cluster is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// `[k, dim]`, row-major: the means of the points that they had before the last assignment.
    pub centres: Vec<f32>,
    /// The nearest centre of each point, of equally near ones the first: `[n]`.
    pub assignment: Vec<u32>,
    /// Points of each cluster: `[k]`, none is 0.
    pub sizes: Vec<u32>,
    /// Sum over all points of the squared distance to their centre.
    pub inertia: f64,
}

/// Divides `points` (`[n, dim]`) into `k` clusters.
///
/// # Errors
/// [`KMeansError::Options`], [`KMeansError::Shape`], [`KMeansError::Value`] with the place of a number that
/// is no number or too large; [`KMeansError::TooFewPoints`] when fewer than `k` of the points differ.
pub fn cluster(
    points: &[f32],
    dim: usize,
    k: usize,
    options: &KMeansOptions,
) -> Result<Clusters, KMeansError> {
    let points = Points::new(points, dim, "points")?;
    check(points, k, &[("starts", options.starts), ("batch", options.batch)])?;
    run(points, start(points, k, options), options)
}

/// Like [`cluster`], but begins with `centres` (`[k, dim]`), for example those of an earlier run on points
/// that have moved since. Each of them counts as one point.
///
/// # Errors
/// Those of [`cluster`].
pub fn cluster_from(
    points: &[f32],
    dim: usize,
    centres: &[f32],
    options: &KMeansOptions,
) -> Result<Clusters, KMeansError> {
    let points = Points::new(points, dim, "points")?;
    let k = Points::new(centres, dim, "centres")?.len();
    check(points, k, &[("batch", options.batch)])?;
    run(points, centres.to_vec(), options)
}

/// Sum over `points` (`[n, dim]`) of the squared distance to the nearest of `centres` (`[k, dim]`).
///
/// # Errors
/// [`KMeansError::Options`] without centres, [`KMeansError::Shape`], [`KMeansError::Value`].
pub fn inertia(points: &[f32], dim: usize, centres: &[f32]) -> Result<f64, KMeansError> {
    let points = Points::new(points, dim, "points")?;
    if Points::new(centres, dim, "centres")?.len() == 0 {
        return Err(KMeansError::Options { name: "k" });
    }
    Ok(Assigned::new(points, centres).distances.into_iter().map(f64::from).sum())
}

fn check(
    points: Points<'_>,
    k: usize,
    options: &[(&'static str, usize)],
) -> Result<(), KMeansError> {
    let mut all = [("k", k)].into_iter().chain(options.iter().copied());
    if let Some((name, _)) = all.find(|&(_, number)| number == 0) {
        return Err(KMeansError::Options { name });
    }
    if points.len() < k {
        return Err(KMeansError::TooFewPoints { distinct: points.distinct(), k });
    }
    Ok(())
}

fn run(
    points: Points<'_>,
    mut centres: Vec<f32>,
    options: &KMeansOptions,
) -> Result<Clusters, KMeansError> {
    let mut passes = options.passes;
    if points.len() <= options.batch {
        passes = passes.saturating_add(options.steps);
    } else {
        mini_batches(points, &mut centres, options);
    }
    let Assigned { nearest, sizes, distances } = lloyd(points, &mut centres, passes)?;
    let inertia = distances.iter().copied().map(f64::from).sum();
    Ok(Clusters { centres, assignment: nearest, sizes, inertia })
}

/// Largest magnitude of a coordinate, so that squared distances stay far below the end of f32.
const LARGEST: f32 = 1e15;

/// Checked points, `[n, dim]`.
#[derive(Debug, Clone, Copy)]
struct Points<'a> {
    all: &'a [f32],
    dim: usize,
}

impl<'a> Points<'a> {
    fn new(all: &'a [f32], dim: usize, what: &'static str) -> Result<Self, KMeansError> {
        let whole = dim > 0 && all.len().is_multiple_of(dim);
        if !whole || u32::try_from(all.len() / dim).is_err() {
            return Err(KMeansError::Shape { what, len: all.len(), dim });
        }
        let fits = |x: &f32| x.abs() <= LARGEST;
        if let Some(at) = all.iter().position(|x| !fits(x)) {
            let (index, dimension) = (at / dim, at % dim);
            return Err(KMeansError::Value { what, index, dimension, value: all[at] });
        }
        Ok(Self { all, dim })
    }

    const fn len(self) -> usize {
        self.all.len() / self.dim
    }

    fn get(self, index: usize) -> &'a [f32] {
        &self.all[index * self.dim..(index + 1) * self.dim]
    }

    /// How many points differ. Only for messages about few points.
    fn distinct(self) -> usize {
        let mut rows: Vec<&[f32]> = self.all.chunks_exact(self.dim).collect();
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        rows.dedup();
        rows.len()
    }
}
