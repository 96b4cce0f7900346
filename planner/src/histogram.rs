//! How often each size was asked for.

use std::collections::BTreeMap;

/// Requests by their size on one axis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: BTreeMap<usize, u64>,
}

impl Histogram {
    /// Counts one request. A size of 0 is an empty history or no candidate: it is padded as 1 is.
    pub fn add(&mut self, size: usize) {
        *self.counts.entry(size).or_default() += 1;
    }

    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The largest size; `None` without requests.
    #[must_use]
    pub fn largest(&self) -> Option<usize> {
        self.counts.keys().next_back().copied()
    }

    /// Sizes in ascending order, with their requests.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.iter().map(|(size, requests)| (*size, *requests))
    }
}

impl FromIterator<usize> for Histogram {
    fn from_iter<I: IntoIterator<Item = usize>>(sizes: I) -> Self {
        let mut histogram = Self::default();
        sizes.into_iter().for_each(|size| histogram.add(size));
        histogram
    }
}
