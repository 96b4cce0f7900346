//! Items in the order of their scores.

/// What items are sorted by: ascending keys are descending scores, equal scores ascending ids. Scores are finite.
pub(crate) fn key(score: f32, id: u32) -> u64 {
    // Adding 0 makes -0 and 0 equal.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(!ascending) << 32 | u64::from(id)
}

/// The id that a key was made of.
pub(crate) const fn id(key: u64) -> u32 {
    (key & 0xffff_ffff) as u32
}

/// Moves the best `k` keys (all, if there are fewer) to the front, in no particular order.
pub(crate) fn best(keys: &mut [u64], k: usize) -> &[u64] {
    if k == 0 || k >= keys.len() {
        return &keys[..k.min(keys.len())];
    }
    keys.select_nth_unstable(k - 1);
    &keys[..k]
}

/// Place of `target` among `keys`, from 1.
pub(crate) fn place(keys: &[u64], target: u64) -> u32 {
    let before = keys.iter().filter(|key| **key < target).count();
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_sort_by_score_then_id(mut items in prop::collection::vec((-3i8..3, 1u32..99), 1..60)) {
            let scores: Vec<(f32, u32)> = items.iter().map(|(s, i)| (f32::from(*s) / 2.0, *i)).collect();
            let mut keys: Vec<u64> = scores.iter().map(|(s, i)| key(*s, *i)).collect();
            keys.sort_unstable();
            items.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            let ids: Vec<u32> = keys.into_iter().map(id).collect();
            prop_assert_eq!(ids, items.into_iter().map(|(_, i)| i).collect::<Vec<_>>());
        }

        #[test]
        fn the_best_are_the_first_of_a_full_sort(
            scores in prop::collection::vec(-5i8..5, 1..60),
            k in 0usize..70,
        ) {
            let mut keys: Vec<u64> =
                (1..).zip(&scores).map(|(i, s)| key(f32::from(*s), i)).collect();
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            for (n, each) in sorted.iter().enumerate() {
                prop_assert_eq!(place(&keys, *each) as usize, n + 1);
            }
            let mut found = best(&mut keys, k).to_vec();
            found.sort_unstable();
            sorted.truncate(k);
            prop_assert_eq!(found, sorted);
        }
    }

    #[test]
    fn both_zeros_are_one_score() {
        assert!(key(-0.0, 1) < key(0.0, 2));
        assert!(key(0.0, 1) < key(-0.0, 2));
        assert!(key(f32::MAX, 9) < key(f32::MIN_POSITIVE, 1));
        assert!(key(-1.0, 9) < key(f32::MIN, 1));
    }
}
