//! The lists that the ranker learns from: targets, hard negatives, other users' targets, anything.

use std::collections::{HashMap, HashSet};

use rand::{Rng, seq::index};
use rand_chacha::ChaCha8Rng;

use crate::{config::RankerConfig, sample::Batch};

/// Lists of equal length for the ranked cuts of a batch.
pub(crate) struct Lists {
    /// `[ranked, count]`: unique within a list.
    pub(crate) items: Vec<u32>,
    /// Candidates of a list.
    pub(crate) count: usize,
    /// `[ranked, N]`: place of each task's target in its list.
    pub(crate) targets: Vec<Option<usize>>,
    /// `[ranked, count]`: log of how often the drawing takes such an item, target or not.
    pub(crate) log_q: Vec<f64>,
}

/// Draws lists for the ranked cuts. `logits` are the generator's, `[cuts * N, V]`.
pub(crate) fn draw(
    batch: &Batch,
    (logits, n_items): (&[f32], usize),
    config: &RankerConfig,
    rng: &mut ChaCha8Rng,
) -> Lists {
    let n_tasks = batch.targets.len() / batch.cuts.len().max(1);
    let negatives = config.hard_negatives + config.in_batch_negatives + config.random_negatives;
    let mut lists =
        Lists { items: vec![], count: n_tasks + negatives, targets: vec![], log_q: vec![] };
    let (frequency, in_batch) = (frequencies(batch), config.in_batch_negatives as f64);
    let anything = config.random_negatives.max(1) as f64 / n_items as f64;
    for &cut in &batch.ranked {
        let mut list = List::new(batch, cut);
        let targets = &batch.targets[cut * n_tasks..(cut + 1) * n_tasks];
        for target in targets.iter().flatten() {
            list.taken.remove(&target.item);
            list.add(target.item);
        }
        let row = cut * n_tasks + rng.random_range(0..n_tasks);
        let logits = &logits[row * n_items..(row + 1) * n_items];
        let hard = list.add_hard(logits, config, rng);
        for _ in 0..config.in_batch_negatives {
            let other = batch.targets[rng.random_range(0..batch.targets.len())];
            other.into_iter().for_each(|target| list.add(target.item));
        }
        list.fill(lists.count, n_items, rng);
        let place = |item: u32| list.items.iter().position(|&i| i == item);
        lists.targets.extend(targets.iter().map(|t| t.and_then(|t| place(t.item))));
        lists.items.extend(&list.items);
        let often = |item: &u32| {
            let hard = if hard.takes(logits, *item) { hard.share } else { 0.0 };
            let targets = in_batch * frequency.get(item).copied().unwrap_or(0.0);
            (hard + targets + anything).ln()
        };
        lists.log_q.extend(list.items.iter().map(often));
    }
    lists
}

/// Share of each item in the targets of a batch, absent targets counted.
fn frequencies(batch: &Batch) -> HashMap<u32, f64> {
    let mut shares = HashMap::new();
    for target in batch.targets.iter().flatten() {
        *shares.entry(target.item).or_insert(0.0) += 1.0 / batch.targets.len() as f64;
    }
    shares
}

/// The best items of a row of logits, some of which were drawn.
struct Hard {
    /// Logit of the last of them.
    least: f32,
    /// Which share was drawn.
    share: f64,
}

impl Hard {
    fn takes(&self, logits: &[f32], item: u32) -> bool {
        logits[item as usize] >= self.least
    }
}

struct List {
    items: Vec<u32>,
    /// In the list, or known to the user already, or padding.
    taken: HashSet<u32>,
}

impl List {
    fn new(batch: &Batch, cut: usize) -> Self {
        let cut = batch.cuts[cut];
        let seen = batch.sequences[cut.sequence].items[..cut.at].iter().copied();
        Self { items: vec![], taken: seen.chain([0]).collect() }
    }

    fn add(&mut self, item: u32) {
        if self.taken.insert(item) {
            self.items.push(item);
        }
    }

    /// Some of the best items.
    fn add_hard(&mut self, logits: &[f32], config: &RankerConfig, rng: &mut ChaCha8Rng) -> Hard {
        let none = Hard { least: f32::INFINITY, share: 0.0 };
        if config.hard_negatives == 0 {
            return none;
        }
        let mut best: Vec<u32> =
            (1..logits.len() as u32).filter(|i| !self.taken.contains(i)).collect();
        let pool = config.hard_from_top.max(config.hard_negatives);
        if best.len() > pool {
            best.select_nth_unstable_by(pool - 1, |&a, &b| {
                logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b))
            });
            best.truncate(pool);
        }
        best.sort_unstable();
        let count = config.hard_negatives.min(best.len());
        for i in index::sample(rng, best.len(), count) {
            self.add(best[i]);
        }
        let least = best.iter().map(|&i| logits[i as usize]).min_by(f32::total_cmp);
        least.map_or(none, |least| Hard { least, share: count as f64 / best.len() as f64 })
    }

    /// Anything, up to `count` items; where nearly all are known to the user, known ones, too.
    fn fill(&mut self, count: usize, n_items: usize, rng: &mut ChaCha8Rng) {
        let mut tries = 0;
        while self.items.len() < count {
            let item = rng.random_range(1..n_items as u32);
            tries += 1;
            if tries > 50 * count && !self.items.contains(&item) {
                self.items.push(item);
            } else {
                self.add(item);
            }
        }
        self.items.truncate(count);
    }
}
