//! What one worker counts.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use crate::LoadError;

/// The shortest latency that is told apart, and the longest that is counted as what it is, nanoseconds.
const RANGE: (u64, u64) = (1_000, 3_600_000_000_000);

/// Words of a failure that are kept.
const WORDS: usize = 240;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it is counted under: `timeout`, `refused`.
    pub kind: String,
    /// What happened; of each kind the first is kept.
    pub words: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: impl Into<String>, words: impl Into<String>) -> Self {
        Self { kind: kind.into(), words: words.into() }
    }
}

/// Failures of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) count: u64,
    pub(crate) first: Duration,
    pub(crate) words: String,
}

/// A histogram of latencies that keeps so many significant digits.
pub(crate) fn histogram<C: hdrhistogram::Counter>(digits: u8) -> Result<Histogram<C>, LoadError> {
    Histogram::new_with_bounds(RANGE.0, RANGE.1, digits).map_err(LoadError::Histogram)
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Counts of a worker, or of several together.
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) rows: u64,
    pub(crate) warm_up: u64,
    pub(crate) unsent: u64,
    pub(crate) failed: BTreeMap<String, Failed>,
    pub(crate) latency: Histogram<u64>,
    /// When the last measured call ended.
    pub(crate) last: Duration,
}

impl Tally {
    pub(crate) fn new() -> Result<Self, LoadError> {
        Ok(Self {
            requests: 0,
            rows: 0,
            warm_up: 0,
            unsent: 0,
            failed: BTreeMap::new(),
            latency: histogram(3)?,
            last: Duration::ZERO,
        })
    }

    pub(crate) fn answered(&mut self, rows: u64, latency: Duration) {
        self.requests += 1;
        self.rows += rows;
        self.latency.saturating_record(nanoseconds(latency));
    }

    pub(crate) fn failed(&mut self, failure: Failure, at: Duration) {
        let words = failure.words;
        let new = || {
            let words = match words.char_indices().nth(WORDS) {
                Some((cut, _)) => format!("{}..", &words[..cut]),
                None => words,
            };
            Failed { count: 0, first: at, words }
        };
        self.failed.entry(failure.kind).or_insert_with(new).count += 1;
    }

    /// Adds what another worker counted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.rows += other.rows;
        self.warm_up += other.warm_up;
        self.unsent += other.unsent;
        self.last = self.last.max(other.last);
        // Both have the same bounds, and then it cannot fail.
        let _ = self.latency.add(&other.latency);
        for (kind, theirs) in other.failed {
            match self.failed.get_mut(&kind) {
                None => {
                    self.failed.insert(kind, theirs);
                }
                Some(ours) => {
                    let count = ours.count + theirs.count;
                    if theirs.first < ours.first {
                        *ours = theirs;
                    }
                    ours.count = count;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn workers_are_merged() {
        let (mut a, mut b) = (Tally::new().unwrap(), Tally::new().unwrap());
        (1..=99).for_each(|i| a.answered(2, i * MS));
        b.answered(8, 1000 * MS);
        a.failed(Failure::new("lost", "later"), 7 * MS);
        b.failed(Failure::new("lost", "first"), 5 * MS);
        b.failed(Failure::new("lost", "last"), 9 * MS);
        b.failed(Failure::new("timeout", "t"), 9 * MS);
        (a.last, b.last, b.unsent) = (3 * MS, 9 * MS, 4);
        a.merge(b);
        assert_eq!((a.requests, a.rows, a.unsent, a.last), (100, 206, 4, 9 * MS));
        assert_eq!(a.latency.len(), 100);
        assert_eq!(a.latency.value_at_quantile(0.5) / 1_000_000, 50);
        assert_eq!(a.latency.max() / 1_000_000, 1000);
        let lost = &a.failed["lost"];
        assert_eq!((lost.count, lost.words.as_str()), (3, "first"));
        assert_eq!(a.failed["timeout"].count, 1);
    }

    #[test]
    fn an_hour_is_the_longest_and_long_words_are_cut() {
        let mut tally = Tally::new().unwrap();
        tally.answered(1, Duration::from_secs(100_000));
        assert!(tally.latency.max() >= 3_600_000_000_000);
        tally.failed(Failure::new("k", "é".repeat(1000)), MS);
        assert_eq!(tally.failed["k"].words.chars().count(), WORDS + 2);
    }
}
