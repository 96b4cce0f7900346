//! How much two scores of the same candidates agree.

use crate::order::{best, id, key};

/// `KL(softmax(p / t) || softmax(q / t))` in nats; not negative, 0 for equal distributions.
pub(crate) fn divergence(p: &[f32], q: &[f32], t: f64) -> f64 {
    let (p, q) = (log_softmax(p, t), log_softmax(q, t));
    // Rounding may leave a sum just below 0.
    p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>().max(0.0)
}

fn log_softmax(x: &[f32], t: f64) -> Vec<f64> {
    let max = x.iter().fold(f64::NEG_INFINITY, |max, x| max.max(f64::from(*x)));
    let shifted: Vec<f64> = x.iter().map(|x| (f64::from(*x) - max) / t).collect();
    let sum: f64 = shifted.iter().map(|x| x.exp()).sum();
    shifted.iter().map(|x| x - sum.ln()).collect()
}

/// Kendall's tau-b of two scores: 1 for the same order, -1 for the opposite one. `None` where one of them
/// holds all candidates for equal, or there is one candidate. Takes `n log n` steps (Knight).
pub(crate) fn kendall(x: &[f32], y: &[f32]) -> Option<f64> {
    let mut pairs: Vec<(f32, f32)> = x.iter().copied().zip(y.iter().copied()).collect();
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    #[expect(clippy::float_cmp, reason = "a tie is an equal score")]
    let (ties_x, ties_both) =
        (ties(&pairs, |a, b| a.0 == b.0), ties(&pairs, |a, b| a.0 == b.0 && a.1 == b.1));
    let mut ys: Vec<f32> = pairs.iter().map(|pair| pair.1).collect();
    let swaps = sort_counting(&mut ys, &mut Vec::with_capacity(x.len()));
    #[expect(clippy::float_cmp, reason = "a tie is an equal score")]
    let ties_y = ties(&ys, |a, b| a == b);
    let all = pairs_of(x.len());
    let concordant_less_discordant = all - ties_x - ties_y + ties_both - 2.0 * swaps as f64;
    let scale = ((all - ties_x) * (all - ties_y)).sqrt();
    (scale > 0.0).then(|| concordant_less_discordant / scale)
}

/// How many pairs `n` things make.
fn pairs_of(n: usize) -> f64 {
    n as f64 * (n as f64 - 1.0) / 2.0
}

/// Pairs of equal neighbours in a sorted slice.
fn ties<T>(sorted: &[T], same: impl FnMut(&T, &T) -> bool) -> f64 {
    sorted.chunk_by(same).map(|group| pairs_of(group.len())).sum()
}

/// Sorts ascending and counts the pairs that were in the wrong order.
fn sort_counting(x: &mut [f32], scratch: &mut Vec<f32>) -> u64 {
    if x.len() < 2 {
        return 0;
    }
    let middle = x.len() / 2;
    let mut swaps = sort_counting(&mut x[..middle], scratch);
    swaps += sort_counting(&mut x[middle..], scratch);
    scratch.clear();
    let (mut left, mut right) = (0, middle);
    while left < middle && right < x.len() {
        if x[right] < x[left] {
            swaps += (middle - left) as u64;
            scratch.push(x[right]);
            right += 1;
        } else {
            scratch.push(x[left]);
            left += 1;
        }
    }
    scratch.extend_from_slice(&x[left..middle]);
    let merged = scratch.len();
    x[..merged].copy_from_slice(scratch);
    swaps
}

/// Share of the best `k` of one score that are among the best `k` of the other, ties by the smaller place.
pub(crate) fn overlap(x: &[f32], y: &[f32], k: usize) -> f64 {
    let ids = |scores: &[f32]| {
        let mut keys: Vec<u64> = (0..).zip(scores).map(|(i, s)| key(*s, i)).collect();
        best(&mut keys, k).iter().map(|key| id(*key)).collect::<Vec<u32>>()
    };
    let (a, b) = (ids(x), ids(y));
    a.iter().filter(|i| b.contains(i)).count() as f64 / a.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow_kendall(x: &[f32], y: &[f32]) -> Option<f64> {
        let (mut sum, mut x_pairs, mut y_pairs) = (0.0, 0.0, 0.0);
        for i in 0..x.len() {
            for j in 0..i {
                let sign = |a: f32, b: f32| f64::from(i8::from(a > b) - i8::from(a < b));
                let (dx, dy) = (sign(x[i], x[j]), sign(y[i], y[j]));
                sum += dx * dy;
                x_pairs += dx * dx;
                y_pairs += dy * dy;
            }
        }
        let scale = f64::sqrt(x_pairs * y_pairs);
        (scale > 0.0).then(|| sum / scale)
    }

    proptest! {
        #[test]
        fn kendall_is_the_one_over_all_pairs(
            pairs in prop::collection::vec((-4i8..4, -4i8..4), 1..50),
        ) {
            let x: Vec<f32> = pairs.iter().map(|p| f32::from(p.0)).collect();
            let y: Vec<f32> = pairs.iter().map(|p| f32::from(p.1)).collect();
            match (kendall(&x, &y), slow_kendall(&x, &y)) {
                (Some(fast), Some(slow)) => prop_assert!((fast - slow).abs() < 1e-12),
                (fast, slow) => prop_assert_eq!(fast, slow),
            }
        }

        #[test]
        fn divergence_is_the_formula(
            pairs in prop::collection::vec((-4f32..4.0, -4f32..4.0), 1..30),
            t in 0.3f64..3.0,
        ) {
            let softmax = |x: Vec<f64>| {
                let sum: f64 = x.iter().map(|x| (x / t).exp()).sum();
                x.iter().map(|x| (x / t).exp() / sum).collect::<Vec<f64>>()
            };
            let p = softmax(pairs.iter().map(|p| f64::from(p.0)).collect());
            let q = softmax(pairs.iter().map(|p| f64::from(p.1)).collect());
            let direct: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
            let (x, y): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            prop_assert!((divergence(&x, &y, t) - direct).abs() < 1e-10);
        }
    }

    #[test]
    fn divergence_stands_large_scores() {
        let far = divergence(&[1e4, -1e4], &[-1e4, 1e4], 1.0);
        assert!((far - 2e4).abs() < 1e-6, "{far}");
        assert!(divergence(&[3e4, 1.0], &[3e4, 1.0], 1.0).abs() < 1e-12);
    }

    #[test]
    fn overlap_counts_the_common_best() {
        assert!((overlap(&[4.0, 3.0, 2.0, 1.0], &[4.0, 1.0, 3.0, 2.0], 2) - 0.5).abs() < 1e-12);
        assert!((overlap(&[1.0, 2.0], &[2.0, 1.0], 10) - 1.0).abs() < 1e-12);
    }
}
