//! Who follows whom.

use std::ops::Range;

use onr_interactions::Split;
use rayon::prelude::*;

use crate::{EvaluateError, Histories};

/// The training parts of all histories, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Training {
    /// Items of all users.
    items: Vec<u32>,
    /// Where each user begins in `items`, and where the last one ends.
    starts: Vec<usize>,
    /// `[V]`: how often each item occurs.
    popularity: Vec<u32>,
}

impl Training {
    pub(super) fn read<H: Histories + ?Sized>(histories: &H) -> Result<Self, EvaluateError> {
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

    pub(super) const fn n_items(&self) -> usize {
        self.popularity.len()
    }

    /// `[V]`
    pub(super) fn popularity(&self) -> &[u32] {
        &self.popularity
    }

    /// `[V]`: share of each item in all behaviours.
    pub(super) fn shares(&self) -> Vec<f32> {
        let all = self.items.len().max(1) as f64;
        self.popularity.iter().map(|n| (f64::from(*n) / all) as f32).collect()
    }

    /// For each item the places in `items` where it occurs, each with the range of its user.
    fn occurrences(&self) -> Vec<Vec<(usize, Range<usize>)>> {
        let mut of: Vec<Vec<_>> =
            self.popularity.iter().map(|n| Vec::with_capacity(*n as usize)).collect();
        for user in self.starts.windows(2).map(|bounds| bounds[0]..bounds[1]) {
            for at in user.clone() {
                of[self.items[at] as usize].push((at, user.clone()));
            }
        }
        of
    }
}

/// Which behaviours of a history count as near each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// How many behaviours apart two items may be, at least 1; `usize::MAX` for a whole history.
    pub window: usize,
    /// Count only what comes after. Where many behaviours have the same time, order says little.
    pub ordered: bool,
    /// `f`: items that are `d` behaviours apart count `d^-f`.
    pub fade: f32,
}

impl Reach {
    /// What `tuned` peers choose from: windows of 1, 3, 5, 10, 20 and 50, forwards or both ways, fading or not.
    pub(super) fn grid() -> impl Iterator<Item = Self> {
        [1, 3, 5, 10, 20, 50].into_iter().flat_map(|window| {
            let fades: &[f32] = if window == 1 { &[0.0] } else { &[0.0, 0.5] };
            let all = fades.iter().flat_map(|fade| [(false, *fade), (true, *fade)]);
            all.map(move |(ordered, fade)| Self { window, ordered, fade })
        })
    }
}

/// Sparse counts `[V, V]`: for each item the items near it.
#[derive(Debug, Clone)]
pub(super) struct Neighbours {
    /// Where the row of each item begins, and where the last one ends.
    starts: Vec<usize>,
    entries: Vec<(u32, f32)>,
}

impl Neighbours {
    /// Counts the items near each item.
    ///
    /// Takes `2 * window` steps for each behaviour at most, and memory for the pairs that occur.
    pub(super) fn count(training: &Training, reach: Reach) -> Self {
        let longest = training.starts.windows(2).map(|user| user[1] - user[0]).max().unwrap_or(0);
        let weights: Vec<f32> =
            (1..=longest.min(reach.window)).map(|d| (d as f32).powf(-reach.fade)).collect();
        let scratch = || (vec![0f32; training.n_items()], Vec::new());
        let rows: Vec<Vec<(u32, f32)>> = training
            .occurrences()
            .into_par_iter()
            .map_init(scratch, |(counts, touched), occurrences| {
                let mut add = |(item, weight): (&u32, &f32)| {
                    if counts[*item as usize] == 0.0 {
                        touched.push(*item);
                    }
                    counts[*item as usize] += weight;
                };
                for (at, user) in occurrences {
                    training.items[at + 1..user.end].iter().zip(&weights).for_each(&mut add);
                    if !reach.ordered {
                        let before = training.items[user.start..at].iter().rev();
                        before.zip(&weights).for_each(&mut add);
                    }
                }
                touched.sort_unstable();
                let take = |item| (item, std::mem::take(&mut counts[item as usize]));
                touched.drain(..).map(take).collect()
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
    pub(super) fn of(&self, item: u32) -> &[(u32, f32)] {
        let item = item as usize;
        match (self.starts.get(item), self.starts.get(item + 1)) {
            (Some(start), Some(end)) => &self.entries[*start..*end],
            _ => &[],
        }
    }
}
