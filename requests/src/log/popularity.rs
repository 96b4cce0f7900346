//! Candidates drawn by how often the log has them.

use std::collections::HashSet;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::random::stream;

/// Draws that are tried for each candidate wanted before the exact but slower way is taken.
const TRIES: usize = 8;

/// Items to draw from, each as likely as it is frequent.
pub(super) struct Popularity {
    ids: Vec<i64>,
    /// `cumulative[i]` is the frequency of `ids[..=i]` together.
    cumulative: Vec<u64>,
    seed: u64,
}

impl Popularity {
    /// `counts[id]` is how often item `id` occurs; id 0 and items that never occur are not drawn.
    pub(super) fn new(counts: &[u64], seed: u64) -> Self {
        let mut total = 0;
        let seen = (0_i64..).zip(counts).skip(1).filter(|(_, count)| **count > 0);
        let (ids, cumulative) = seen
            .map(|(id, count)| {
                total += count;
                (id, total)
            })
            .unzip();
        Self { ids, cumulative, seed }
    }

    /// `n` different items, or all of them where there are fewer, without replacement. The same for a
    /// user whatever other users there are.
    pub(super) fn draw(&self, n: usize, user: &str) -> Vec<i64> {
        let rng = &mut stream(self.seed, fnv1a(user));
        let n = n.min(self.ids.len());
        let mut chosen = HashSet::with_capacity(n);
        let mut drawn = Vec::with_capacity(n);
        // Drawing again until the item is new is drawing without replacement …
        for _ in 0..n * TRIES {
            if drawn.len() == n {
                break;
            }
            let i = self.one(rng);
            if chosen.insert(i) {
                drawn.push(i);
            }
        }
        // … and so is this, however little weight is left.
        if drawn.len() < n {
            let rest = self.rest(&chosen, n - drawn.len(), rng);
            drawn.extend(rest);
        }
        drawn.into_iter().map(|i| self.ids[i]).collect()
    }

    fn one(&self, rng: &mut ChaCha8Rng) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(1);
        let point = rng.random_range(0..total);
        self.cumulative.partition_point(|&c| c <= point)
    }

    /// `n` more by Efraimidis and Spirakis: the largest `ln(u) / weight`.
    fn rest(&self, chosen: &HashSet<usize>, n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let weight = |i: usize| {
            let below = if i == 0 { 0 } else { self.cumulative[i - 1] };
            (self.cumulative[i] - below) as f64
        };
        let mut keyed: Vec<(f64, usize)> = (0..self.ids.len())
            .filter(|i| !chosen.contains(i))
            .map(|i| (rng.random::<f64>().ln() / weight(i), i))
            .collect();
        keyed.sort_by(|(a, i), (b, j)| b.total_cmp(a).then(i.cmp(j)));
        keyed.truncate(n);
        keyed.into_iter().map(|(_, i)| i).collect()
    }
}

/// A hash that stays the same over versions and machines.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(n: usize) -> Vec<f64> {
        let popularity = Popularity::new(&[99, 6, 0, 3, 1], 4);
        let mut counts = [0.0; 5];
        for user in 0..4000 {
            let drawn = popularity.draw(n, &user.to_string());
            let unique: HashSet<_> = drawn.iter().collect();
            assert_eq!(unique.len(), n);
            drawn.iter().for_each(|&id| counts[usize::try_from(id).unwrap()] += 1.0 / 4000.0);
        }
        counts.to_vec()
    }

    #[test]
    fn the_frequent_are_drawn_more_often_padding_and_unseen_never() {
        let close = |got: Vec<f64>, want: [f64; 5]| {
            got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 0.03, "{got:?}"));
        };
        close(shares(1), [0.0, 0.6, 0.0, 0.3, 0.1]);
        // P(item among the first two drawn one after the other without replacement).
        close(shares(2), [0.0, 0.924, 0.0, 0.776, 0.3]);
    }

    #[test]
    fn the_exact_way_has_the_same_shares() {
        let popularity = Popularity::new(&[0, 6, 3, 1], 4);
        let mut first = [0.0_f64; 3];
        for number in 0..4000 {
            let rest = popularity.rest(&HashSet::new(), 1, &mut stream(1, number));
            first[rest[0]] += 1.0 / 4000.0;
        }
        for (got, want) in first.into_iter().zip([0.6, 0.3, 0.1]) {
            assert!((got - want).abs() < 0.03, "{first:?}");
        }
    }

    #[test]
    fn all_items_can_be_drawn_however_rare() {
        let popularity = Popularity::new(&[0, u64::from(u32::MAX), 1, 1, 1], 0);
        let mut drawn = popularity.draw(9, "u");
        drawn.sort_unstable();
        assert_eq!(drawn, [1, 2, 3, 4]);
        assert!(Popularity::new(&[5], 0).draw(3, "u").is_empty());
    }

    #[test]
    fn a_user_has_one_draw_and_users_differ() {
        let popularity = Popularity::new(&[1; 1000], 11);
        assert_eq!(popularity.draw(20, "ann"), popularity.draw(20, "ann"));
        assert_ne!(popularity.draw(20, "ann"), popularity.draw(20, "bob"));
        assert_ne!(popularity.draw(20, "ann"), Popularity::new(&[1; 1000], 12).draw(20, "ann"));
    }
}
