//! The range that loses the least information.
//!
//! Source: S. Migacz, "8-bit Inference with TensorRT", GTC 2017. For each candidate of `i` bins, `P` is the
//! histogram with all that lies beyond added to bin `i - 1`, `Q` the histogram without those outliers, of
//! 128 levels, each spread evenly over those of its bins that are not empty. Level `k` has the bins from
//! `k i / 128` on, rounded up. A candidate with a bin that `P` has and `Q` has not, which only the last bin
//! can be, has infinite divergence.
//!
//! The divergence of a level needs the sums of its bins only, so that prefix sums make a candidate cost 128
//! steps and not `i`.

/// Even steps of a magnitude in INT8, and the smallest candidate in bins.
const LEVELS: usize = 128;

/// Bins of the candidate with the smallest divergence, the smaller of two that are equal. Candidates are
/// `128..=occupied`: the last of them clips nothing.
pub(crate) fn best(bins: &[u64], occupied: usize) -> usize {
    let sums = Sums::of(bins);
    let mut best = (f64::INFINITY, occupied);
    for candidate in LEVELS..=occupied {
        let divergence = sums.divergence(candidate);
        if divergence < best.0 {
            best = (divergence, candidate);
        }
    }
    best.1
}

/// Sums over the bins before each index.
struct Sums {
    counts: Vec<u64>,
    occupied: Vec<u32>,
    /// Of `n ln n` of each bin's count `n`.
    logs: Vec<f64>,
}

impl Sums {
    fn of(bins: &[u64]) -> Self {
        let mut sums = Self { counts: vec![0], occupied: vec![0], logs: vec![0.0] };
        let (mut count, mut occupied, mut log) = (0, 0, 0.0);
        for bin in bins {
            count += bin;
            occupied += u32::from(*bin > 0);
            log += n_ln_n(*bin as f64);
            sums.counts.push(count);
            sums.occupied.push(occupied);
            sums.logs.push(log);
        }
        sums
    }

    /// `sum p ln(p / q)` over the first `candidate` bins.
    fn divergence(&self, candidate: usize) -> f64 {
        let last = candidate - 1;
        let total = self.counts[self.counts.len() - 1];
        let kept = self.counts[candidate];
        let (outliers, in_last) = (total - kept, kept - self.counts[last]);
        if in_last == 0 && outliers > 0 {
            return f64::INFINITY;
        }
        // Everything times `total`: the part of P alone, then that of Q level by level.
        let mut sum = self.logs[last] + n_ln_n((in_last + outliers) as f64);
        for level in 0..LEVELS {
            let from = (level * candidate).div_ceil(LEVELS);
            let to = ((level + 1) * candidate).div_ceil(LEVELS);
            let count = self.counts[to] - self.counts[from];
            if count == 0 {
                continue;
            }
            let occupied = f64::from(self.occupied[to] - self.occupied[from]);
            let p = count + if to == candidate { outliers } else { 0 };
            sum -= p as f64 * (count as f64 / occupied).ln();
        }
        let (total, kept) = (total as f64, kept as f64);
        sum / total - total.ln() + kept.ln()
    }
}

fn n_ln_n(n: f64) -> f64 {
    if n > 0.0 { n * n.ln() } else { 0.0 }
}
