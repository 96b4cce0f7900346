//! Which part of a long history a model sees, chosen so that key/value caches stay of use.

use crate::error::RequestError;

/// The cut of a history that grows one behaviour at a time.
///
/// A history longer than `max_seq_len` must lose its oldest behaviours. Losing one with each new one
/// would shift every position and make cached keys and values worthless at each step. So a history
/// that overflows is cut back to its most recent `floor(keep * max_seq_len)` behaviours, and then grows
/// again to `max_seq_len` with the same beginning. Where it begins follows from its length alone.
///
/// With `max_seq_len` 4 and `keep` 0.5:
///
/// | behaviours | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
/// | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
/// | first one seen | 0 | 0 | 0 | 0 | 3 | 3 | 3 | 6 | 6 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    max_seq_len: usize,
    /// Behaviours left after a cut, `1..=max_seq_len`.
    kept: usize,
}

impl Window {
    /// `keep` is the share of `max_seq_len` that a cut leaves; 1.0 makes a sliding window.
    ///
    /// # Errors
    /// [`RequestError::OptionValue`] unless `max_seq_len >= 1` and `0 < keep <= 1`.
    pub fn new(max_seq_len: usize, keep: f64) -> Result<Self, RequestError> {
        let refuse =
            |name, value: String, needed| RequestError::OptionValue { name, value, needed };
        if max_seq_len == 0 {
            return Err(refuse("max_seq_len", "0".to_owned(), "at least 1"));
        }
        if !(keep > 0.0 && keep <= 1.0) {
            return Err(refuse("keep", keep.to_string(), "above 0 and at most 1"));
        }
        // 0.29 * 100 is 28.999999999999996: a hair is added so that the floor is the one meant.
        let kept = (keep * max_seq_len as f64 + 1e-9).floor() as usize;
        Ok(Self { max_seq_len, kept: kept.clamp(1, max_seq_len) })
    }

    /// The first behaviour that is seen when there are `n`: `0` while they fit, else the start
    /// left by the last cut. The part seen, `start(n)..n`, has at most `max_seq_len` behaviours.
    #[must_use]
    pub fn start(&self, n: usize) -> usize {
        if n <= self.max_seq_len {
            return 0;
        }
        let first_cut = self.max_seq_len + 1;
        let period = first_cut - self.kept;
        let last_cut = first_cut + (n - first_cut) / period * period;
        last_cut - self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn starts(max_seq_len: usize, keep: f64, n: std::ops::RangeInclusive<usize>) -> Vec<usize> {
        let window = Window::new(max_seq_len, keep).unwrap();
        n.map(|n| window.start(n)).collect()
    }

    #[test]
    fn the_table_of_the_documentation() {
        assert_eq!(starts(4, 0.5, 1..=9), [0, 0, 0, 0, 3, 3, 3, 6, 6]);
    }

    #[test]
    fn keep_one_slides_and_a_tiny_keep_leaves_one() {
        assert_eq!(starts(3, 1.0, 0..=6), [0, 0, 0, 0, 1, 2, 3]);
        assert_eq!(starts(3, 0.01, 3..=8), [0, 3, 3, 3, 6, 6]);
        assert_eq!(starts(1, 0.75, 0..=3), [0, 0, 1, 2]);
    }

    #[test]
    fn the_floor_is_the_one_meant() {
        assert_eq!(Window::new(100, 0.29).unwrap().kept, 29);
        assert_eq!(Window::new(10, 0.75).unwrap().kept, 7);
    }

    #[test]
    fn refused_because_of_impossible_values() {
        for (length, keep) in [(0, 0.5), (4, 0.0), (4, -1.0), (4, 1.5), (4, f64::NAN)] {
            assert!(Window::new(length, keep).is_err(), "{length} {keep}");
        }
    }

    proptest! {
        #[test]
        fn grows_between_cuts_and_never_overflows(
            max_seq_len in 1_usize..40,
            keep in 0.001_f64..=1.0,
            upto in 1_usize..300,
        ) {
            let window = Window::new(max_seq_len, keep).unwrap();
            // The definition, step by step.
            let mut start = 0;
            for n in 1..=upto {
                if n - start > max_seq_len {
                    start = n - window.kept;
                }
                prop_assert_eq!(window.start(n), start, "n {}", n);
                prop_assert!((1..=max_seq_len).contains(&(n - start)));
            }
        }

        #[test]
        fn the_start_moves_only_when_the_window_was_full(
            max_seq_len in 1_usize..40,
            keep in 0.001_f64..=1.0,
            n in 1_usize..10_000,
        ) {
            let window = Window::new(max_seq_len, keep).unwrap();
            let (before, after) = (window.start(n), window.start(n + 1));
            prop_assert!(after >= before);
            prop_assert_eq!(after != before, n - before == max_seq_len);
        }
    }
}
