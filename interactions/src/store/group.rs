//! Rows of a bucket made into histories.

use rayon::slice::ParallelSliceMut;

use super::buckets::Record;
use crate::Event;
use crate::error::InteractionsError;
use crate::hash::mix;

/// Where the tie-break and the dense ids of items come from.
pub(super) struct Grouping<'a> {
    pub(super) tie_seed: u64,
    /// By the number of an item: its dense id.
    pub(super) dense: &'a [u32],
    /// By the number of an item: the hash of its external id.
    pub(super) hashes: &'a [u64],
}

impl Grouping<'_> {
    /// Hands the history of each user to `visit`, in the order of the users' hashes, and returns how many
    /// rows were earlier than their user's row before them in the log.
    pub(super) fn histories(
        &self,
        mut records: Vec<Record>,
        mut visit: impl FnMut(&[Event]) -> Result<(), InteractionsError>,
    ) -> Result<u64, InteractionsError> {
        let mut backwards = 0;
        let mut history = Vec::new();
        records.par_sort_unstable_by_key(|r| (r.user, r.row));
        for rows in records.chunk_by_mut(|a, b| a.user == b.user) {
            backwards += rows.windows(2).filter(|w| w[1].time < w[0].time).count() as u64;
            self.order(rows);
            history.clear();
            history.extend(rows.iter().map(|r| self.event(r)));
            visit(&history)?;
        }
        Ok(backwards)
    }

    /// Orders the rows of one user by time, equal times by the hash of what they are.
    fn order(&self, rows: &mut [Record]) {
        rows.sort_unstable_by_key(|r| (r.time, r.item, r.row));
        for tied in rows.chunk_by_mut(|a, b| a.time == b.time).filter(|tied| tied.len() > 1) {
            let mut repeated = 0;
            let mut before = None;
            let mut keyed: Vec<_> = tied
                .iter()
                .map(|r| {
                    // The same item at the same time again: the log's order tells them apart.
                    repeated = if before == Some(r.item) { repeated + 1 } else { 0 };
                    before = Some(r.item);
                    (self.tie(r, repeated), self.dense[r.item as usize], repeated, *r)
                })
                .collect();
            keyed.sort_unstable_by_key(|&(tie, item, repeated, _)| (tie, item, repeated));
            tied.iter_mut().zip(keyed).for_each(|(slot, (.., record))| *slot = record);
        }
    }

    fn tie(&self, r: &Record, repeated: u64) -> u64 {
        let item = self.hashes[r.item as usize];
        mix(&[self.tie_seed, r.user[0], r.user[1], r.time.cast_unsigned(), item, repeated])
    }

    fn event(&self, r: &Record) -> Event {
        Event {
            item: self.dense[r.item as usize],
            action: r.action,
            labels: r.labels,
            value: r.value,
            time: r.time,
        }
    }
}
