//! Runs of buckets that one profile covers.

use crate::plan::{Bucket, Span};

/// At most `most` profiles of `buckets`, disjoint, from 1 to the last bucket without a gap.
///
/// TensorRT chooses the kernels of a profile for its `opt`, and these run whatever is between `min` and `max`. How much slower a
/// kernel is away from the size that it was chosen for is not known before it is measured; tiles and launches fit sizes
/// of the same magnitude, so the loss is taken to grow with the ratio of both, as a share of the work. What is minimised is thus
/// the distance `|ln bucket - ln opt|` summed over the positions computed in each bucket. In one run the best `opt` is the
/// weighted median of its buckets; the runs come from a dynamic program over all ways to cut. A bucket that no request of the sample
/// falls into counts as one request: it will come, but not often.
pub(crate) fn spans(buckets: &[Bucket], most: usize) -> Vec<Span> {
    let line = Line::of(buckets);
    let n = buckets.len();
    let mut costs: Vec<f64> = (0..=n).map(|end| line.run(0, end).1).collect();
    let mut before = Vec::new();
    for k in 2..=most.min(n) {
        let best = |end: usize| {
            let starts = (k - 1..end).map(|start| (costs[start] + line.run(start, end).1, start));
            starts.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, 0))
        };
        let (next, from): (Vec<_>, Vec<_>) = (0..=n).map(best).unzip();
        costs = next;
        before.push(from);
    }
    let mut cuts = vec![n];
    for from in before.iter().rev() {
        cuts.push(from[cuts[cuts.len() - 1]]);
    }
    cuts.push(0);
    cuts.reverse();
    let span = |cut: &[usize]| Span {
        min: cut[0].checked_sub(1).map_or(1, |last| buckets[last].size + 1),
        opt: buckets[line.run(cut[0], cut[1]).0].size,
        max: buckets[cut[1] - 1].size,
    };
    cuts.windows(2).map(span).collect()
}

/// Buckets on the logarithmic line: sums over the first so many of them.
struct Line {
    logs: Vec<f64>,
    weights: Vec<f64>,
    moments: Vec<f64>,
}

impl Line {
    fn of(buckets: &[Bucket]) -> Self {
        let logs: Vec<f64> = buckets.iter().map(|b| (b.size as f64).ln()).collect();
        let (mut weights, mut moments) = (vec![0.0], vec![0.0]);
        for (at, bucket) in buckets.iter().enumerate() {
            let weight = bucket.requests.max(1) as f64 * bucket.size as f64;
            weights.push(weights[at] + weight);
            moments.push(moments[at] + weight * logs[at]);
        }
        Self { logs, weights, moments }
    }

    /// The best bucket of a run, and what the run costs with it.
    fn run(&self, start: usize, end: usize) -> (usize, f64) {
        if start == end {
            return (start, 0.0);
        }
        let half = self.weights[start].midpoint(self.weights[end]);
        let upto = self.weights[start + 1..end].partition_point(|weight| *weight < half);
        let opt = start + upto;
        let log = self.logs[opt];
        let part = |a: usize, b: usize| {
            (self.weights[b] - self.weights[a]) * log - (self.moments[b] - self.moments[a])
        };
        (opt, part(start, opt) - part(opt, end))
    }
}
