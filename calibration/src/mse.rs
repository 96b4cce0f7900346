//! The range with the smallest expected squared error.
//!
//! Values are taken as spread evenly within their bin. Then the error of a range is a sum over the codes:
//! with `v` the value of a code and `[a, b)` what rounds to it, the integral of `(x - v)^2` over the counts,
//! where the last code takes all that is clipped. Moments up to each point, by prefix sums, make a
//! candidate cost as many steps as there are codes.

use rayon::prelude::*;

/// The best range in bins, the smaller of two that are equal; candidates are the edges of the bins below
/// `top`, the largest magnitude in bins, and `top` itself. `grid` has the magnitudes of the codes.
pub(crate) fn best(bins: &[u64], top: f64, grid: &[f64]) -> f64 {
    let moments = Moments::of(bins);
    let edges = (top.ceil() as usize).clamp(1, bins.len());
    let error = |edge: usize| {
        let range = if edge == edges { top } else { edge as f64 };
        (moments.error(range, grid), range)
    };
    let errors: Vec<_> = (1..=edges).into_par_iter().map(error).collect();
    errors.into_iter().fold((f64::INFINITY, top), |a, b| if b.0 < a.0 { b } else { a }).1
}

/// Integrals of 1, `x` and `x^2` over the counts; `x` in bins.
struct Moments<'a> {
    bins: &'a [u64],
    /// From 0 to each edge.
    edges: Vec<[f64; 3]>,
}

impl<'a> Moments<'a> {
    fn of(bins: &'a [u64]) -> Self {
        let mut edges = vec![[0.0; 3]];
        let mut sums = [0.0; 3];
        for (bin, count) in bins.iter().enumerate() {
            sums = plus(sums, part(*count, bin as f64, (bin + 1) as f64));
            edges.push(sums);
        }
        Self { bins, edges }
    }

    /// From 0 to `x`.
    fn until(&self, x: f64) -> [f64; 3] {
        let bin = x as usize;
        match self.bins.get(bin) {
            Some(count) => plus(self.edges[bin], part(*count, bin as f64, x)),
            None => self.edges[self.bins.len()],
        }
    }

    /// The sum of squared errors, in bins squared, when the largest code stands for `range`.
    fn error(&self, range: f64, grid: &[f64]) -> f64 {
        let step = range / grid[grid.len() - 1];
        let mut from = [0.0; 3];
        let mut sum = 0.0;
        for (code, value) in grid.iter().enumerate() {
            let to = match grid.get(code + 1) {
                Some(next) => self.until((value + next) / 2.0 * step),
                None => self.edges[self.bins.len()],
            };
            let v = value * step;
            sum += (to[2] - from[2]) - 2.0 * v * (to[1] - from[1]) + v * v * (to[0] - from[0]);
            from = to;
        }
        sum
    }
}

fn plus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// The integrals from `a` to `b` within one bin of `count` values.
fn part(count: u64, a: f64, b: f64) -> [f64; 3] {
    let (count, width) = (count as f64, b - a);
    [count * width, count * width * (a + b) / 2.0, count * width * (a * a + a * b + b * b) / 3.0]
}
