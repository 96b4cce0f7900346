//! What matters of scores: the order they put candidates in, and how far the two stages agree.

use std::collections::BTreeSet;

/// One request's candidates with the last task's values, unique and without padding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranked {
    /// Candidate ids.
    pub ids: Vec<i64>,
    /// Ranker scores of the last task.
    pub scores: Vec<f64>,
    /// Generator logits of the last task.
    pub logits: Vec<f64>,
}

impl Ranked {
    /// The first occurrence of every id other than 0, with the last column of `scores` and `logits`
    /// (`[candidates, tasks]`).
    #[must_use]
    pub fn last_task(ids: &[i64], scores: &[f32], logits: &[f32], tasks: usize) -> Self {
        let mut seen = BTreeSet::new();
        let mut ranked = Self::default();
        for (j, &id) in ids.iter().enumerate() {
            if id != 0 && seen.insert(id) {
                ranked.ids.push(id);
                ranked.scores.push(f64::from(scores[j * tasks + tasks - 1]));
                ranked.logits.push(f64::from(logits[j * tasks + tasks - 1]));
            }
        }
        ranked
    }

    /// Positions in the final order: by score, ties by the smaller id.
    #[must_use]
    pub fn final_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        order.sort_by(|&a, &b| {
            self.scores[b].total_cmp(&self.scores[a]).then(self.ids[a].cmp(&self.ids[b]))
        });
        order
    }

    /// `KL(softmax(scores) || softmax(logits))` in nats, with the contract's `T_dc = 1`.
    #[must_use]
    pub fn distribution_consistency(&self) -> Option<f64> {
        let (p, q) = (log_softmax(&self.scores)?, log_softmax(&self.logits)?);
        Some(p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum())
    }
}

fn log_softmax(x: &[f64]) -> Option<Vec<f64>> {
    let most = x.iter().copied().reduce(f64::max)?;
    let sum: f64 = x.iter().map(|v| (v - most).exp()).sum();
    Some(x.iter().map(|v| v - most - sum.ln()).collect())
}

/// The share of `got`'s first `k` that belong among `want`'s first `k`. A candidate belongs if its
/// reference score is at most `tie` below that of the `k`-th: a swap of two that the reference
/// itself can't tell apart does not count. `None` for a request without candidates.
#[must_use]
pub fn top_k_overlap(want: &Ranked, got: &Ranked, k: usize, tie: f64) -> Option<f64> {
    let k = k.min(want.ids.len());
    let last = *want.final_order().get(k.checked_sub(1)?)?;
    let enough = want.scores[last] - tie;
    let chosen = got.final_order();
    let belong = chosen.iter().take(k).filter(|&&j| want.scores[j] >= enough).count();
    Some(belong as f64 / k as f64)
}

/// NDCG of `got`'s first `k`, in `want`'s eyes: a candidate's gain is its reference score, from 0 for the lowest of the
/// request to 1 for the highest. `None` where all reference scores are the same.
#[must_use]
pub fn ndcg(want: &Ranked, got: &Ranked, k: usize) -> Option<f64> {
    let (low, high) = want
        .scores
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| (low.min(*s), high.max(*s)));
    if high <= low || !(high - low).is_finite() {
        return None;
    }
    let gained = |order: Vec<usize>| -> f64 {
        let gain = |(place, at): (usize, &usize)| {
            (want.scores[*at] - low) / (high - low) / (place as f64 + 2.0).log2()
        };
        order.iter().take(k).enumerate().map(gain).sum()
    };
    Some(gained(got.final_order()) / gained(want.final_order()))
}

/// Kendall's tau of two scores of the same candidates, over the pairs that are more than `tie` apart in `want`:
/// 1 for the same order, -1 for the opposite one. `None` without such pairs.
#[must_use]
pub fn kendall(want: &[f64], got: &[f64], tie: f64) -> Option<f64> {
    let (mut pairs, mut sum) = (0_u64, 0_i64);
    for (i, (a, x)) in want.iter().zip(got).enumerate() {
        for (b, y) in want[i + 1..].iter().zip(&got[i + 1..]) {
            if (a - b).abs() <= tie {
                continue;
            }
            pairs += 1;
            sum += match ((a - b) * (x - y)).partial_cmp(&0.0) {
                Some(std::cmp::Ordering::Greater) => 1,
                Some(std::cmp::Ordering::Less) => -1,
                _ => 0,
            };
        }
    }
    (pairs > 0).then(|| sum as f64 / pairs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(scores: &[f64]) -> Ranked {
        let ids = (1..=scores.len() as i64).collect();
        Ranked { ids, scores: scores.to_vec(), logits: scores.to_vec() }
    }

    #[test]
    fn duplicates_and_padding_are_left_out() {
        let r = Ranked::last_task(&[5, 0, 5, 2], &[1., 2., 3., 4., 5., 6., 7., 8.], &[0.; 8], 2);
        assert_eq!((r.ids.clone(), r.scores.clone()), (vec![5, 2], vec![2., 8.]));
        assert_eq!(r.final_order(), [1, 0]);
    }

    #[test]
    fn ties_go_to_the_smaller_id() {
        let r = Ranked { ids: vec![9, 3, 5], scores: vec![1., 1., 2.], logits: vec![0.; 3] };
        assert_eq!(r.final_order(), [2, 1, 0]);
    }

    #[test]
    fn overlap_forgives_ties_only() {
        let want = ranked(&[3.0, 2.0, 1.001, 1.0]);
        let swapped = ranked(&[3.0, 2.0, 1.0, 1.001]);
        assert_eq!(top_k_overlap(&want, &swapped, 3, 0.0), Some(2.0 / 3.0));
        assert_eq!(top_k_overlap(&want, &swapped, 3, 0.01), Some(1.0));
        let wrong = ranked(&[0.0, 2.0, 1.001, 1.0]);
        assert_eq!(top_k_overlap(&want, &wrong, 3, 0.01), Some(1.0));
        assert_eq!(top_k_overlap(&want, &wrong, 1, 0.01), Some(0.0));
        assert_eq!(top_k_overlap(&ranked(&[]), &ranked(&[]), 3, 0.0), None);
    }

    #[test]
    fn ndcg_counts_what_was_lost_at_the_top() {
        let want = ranked(&[3.0, 2.0, 1.0]);
        assert_eq!(ndcg(&want, &want, 2), Some(1.0));
        let ideal = 1.0 + 0.5 / 3_f64.log2();
        let swapped = (0.5 + 1.0 / 3_f64.log2()) / ideal;
        assert!((ndcg(&want, &ranked(&[2.0, 3.0, 1.0]), 2).unwrap() - swapped).abs() < 1e-12);
        assert_eq!(ndcg(&ranked(&[1.0, 1.0]), &ranked(&[2.0, 1.0]), 2), None);
    }

    #[test]
    fn tau_counts_pairs_that_are_not_tied() {
        let want = [3.0, 2.0, 1.001, 1.0];
        assert_eq!(kendall(&want, &want, 0.0), Some(1.0));
        assert_eq!(kendall(&want, &[3.0, 2.0, 1.0, 1.001], 0.0), Some(4.0 / 6.0));
        assert_eq!(kendall(&want, &[3.0, 2.0, 1.0, 1.001], 0.01), Some(1.0));
        assert_eq!(kendall(&want, &[-3.0, -2.0, -1.001, -1.0], 0.0), Some(-1.0));
        assert_eq!(kendall(&[1.0, 1.0], &[2.0, 1.0], 0.0), None);
    }

    #[test]
    fn consistency_is_zero_for_equal_distributions_only() {
        assert!(ranked(&[1.0, 2.0]).distribution_consistency().unwrap().abs() < 1e-12);
        let apart = Ranked { ids: vec![1, 2], scores: vec![0., 0.], logits: vec![0., 10.] };
        // KL of (1/2, 1/2) from (e^-10, 1) / (1 + e^-10).
        let q = [1.0 / (1.0 + 10_f64.exp()), 1.0 / (1.0 + (-10_f64).exp())];
        let kl: f64 = q.iter().map(|q| 0.5 * (0.5 / q).ln()).sum();
        assert!((apart.distribution_consistency().unwrap() - kl).abs() < 1e-9);
    }
}
