//! Who follows whom.

use onr_interactions::Split;
use rayon::prelude::*;

use crate::{EvaluateError, Histories};

/// The training parts of all histories, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Training {
    /// Items of all users.
    items: Vec<u32>,
    /// Where each user begins in `items`, and where the last one ends.
    starts: Vec<usize>,
    /// `[V]`: how often each item occurs.
    popularity: Vec<u32>,
}

impl Training {
    pub(crate) fn read<H: Histories + ?Sized>(histories: &H) -> Result<Self, EvaluateError> {
        let n_items = histories.n_items();
        let mut training =
            Self { items: Vec::new(), starts: vec![0], popularity: vec![0; n_items] };
        let mut history = Vec::new();
        for user in 0..histories.n_users() {
            histories
                .history(user, &mut history)
                .map_err(|e| EvaluateError::History { user, source: Box::new(e) })?;
            for event in Split(&history).training() {
                let item = event.item;
                let wrong = EvaluateError::Item { user, item, n_items };
                if item == 0 {
                    return Err(wrong);
                }
                *training.popularity.get_mut(item as usize).ok_or(wrong)? += 1;
                training.items.push(item);
            }
            training.starts.push(training.items.len());
        }
        Ok(training)
    }

    pub(crate) const fn n_items(&self) -> usize {
        self.popularity.len()
    }

    /// `[V]`
    pub(crate) fn popularity(&self) -> &[u32] {
        &self.popularity
    }

    /// `[V]`: share of each item in all behaviours.
    pub(crate) fn shares(&self) -> Vec<f32> {
        let all = self.items.len().max(1) as f64;
        self.popularity.iter().map(|n| (f64::from(*n) / all) as f32).collect()
    }

    /// For each item the places in `items` where it occurs, and the bounds of the user there.
    fn occurrences(&self) -> Vec<Vec<(usize, usize, usize)>> {
        let mut of: Vec<Vec<_>> =
            self.popularity.iter().map(|n| Vec::with_capacity(*n as usize)).collect();
        for bounds in self.starts.windows(2) {
            for at in bounds[0]..bounds[1] {
                of[self.items[at] as usize].push((at, bounds[0], bounds[1]));
            }
        }
        of
    }
}

/// Sparse counts `[V, V]`: for each item the items near it.
#[derive(Debug, Clone)]
pub(crate) struct Neighbours {
    /// Where the row of each item begins, and where the last one ends.
    starts: Vec<usize>,
    entries: Vec<(u32, f32)>,
}

impl Neighbours {
    /// Counts the items within `window` behaviours after each item, and those before it too unless `ordered`.
    ///
    /// Takes `2 * window` steps for each behaviour at most, and memory for the pairs that occur.
    pub(crate) fn count(training: &Training, window: usize, ordered: bool) -> Self {
        let scratch = || (vec![0f32; training.n_items()], Vec::new());
        let rows: Vec<Vec<(u32, f32)>> = training
            .occurrences()
            .into_par_iter()
            .map_init(scratch, |(counts, touched), occurrences| {
                for (at, start, end) in occurrences {
                    let after = at + 1..end.min(at.saturating_add(window).saturating_add(1));
                    let before =
                        if ordered { at..at } else { start.max(at.saturating_sub(window))..at };
                    for item in training.items[before].iter().chain(&training.items[after]) {
                        if counts[*item as usize] == 0.0 {
                            touched.push(*item);
                        }
                        counts[*item as usize] += 1.0;
                    }
                }
                touched.sort_unstable();
                touched
                    .drain(..)
                    .map(|item| (item, std::mem::take(&mut counts[item as usize])))
                    .collect()
            })
            .collect();
        let mut starts = vec![0];
        starts.extend(rows.iter().scan(0, |sum, row| {
            *sum += row.len();
            Some(*sum)
        }));
        Self { starts, entries: rows.concat() }
    }

    /// The items near `item`, with how often they were.
    pub(crate) fn of(&self, item: u32) -> &[(u32, f32)] {
        let item = item as usize;
        match (self.starts.get(item), self.starts.get(item + 1)) {
            (Some(start), Some(end)) => &self.entries[*start..*end],
            _ => &[],
        }
    }
}
