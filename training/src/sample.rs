//! What one step learns from: histories, cuts and the targets of each cut. A function of (seed, step).

use onr_graphs::ModelConfig;
use onr_interactions::{Event, Split};
use rand::{Rng, SeedableRng, seq::SliceRandom, seq::index};
use rand_chacha::ChaCha8Rng;

use crate::{
    config::TrainConfig,
    model::{Cut, Sequence},
};

/// What a cut should have predicted for one task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Target {
    pub(crate) item: u32,
    /// 1, or what the positive was worth where the task weighs by value.
    pub(crate) weight: f32,
}

/// One step's histories.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Numbers of the users in the store.
    pub(crate) users: Vec<usize>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) cuts: Vec<Cut>,
    /// `[cuts, N]`: the first behaviour after the cut that is a positive of the task.
    pub(crate) targets: Vec<Option<Target>>,
    /// Cuts that are ranked.
    pub(crate) ranked: Vec<usize>,
}

/// Independent random numbers for one use in one step.
pub(crate) fn rng(seed: u64, step: u64, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    rng.set_stream(step);
    rng
}

const ORDER: u64 = 1;
const CUTS: u64 = 2;
/// Purpose of the numbers that draw negatives.
pub(crate) const NEGATIVES: u64 = 3;

/// Chooses the users of each step: all of them once in each epoch, in another order each time.
pub(crate) struct Users {
    eligible: Vec<usize>,
    seed: u64,
    per_step: usize,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Users {
    /// `eligible` must not be empty.
    pub(crate) const fn new(eligible: Vec<usize>, seed: u64, per_step: usize) -> Self {
        Self { eligible, seed, per_step, epoch: None }
    }

    /// The users of a step.
    pub(crate) fn of(&mut self, step: u64) -> Vec<usize> {
        let (n, per_step) = (self.eligible.len() as u64, self.per_step as u64);
        let first = step * per_step;
        let mut users: Vec<usize> = (first..first + per_step.min(n)).map(|i| self.at(i)).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    fn at(&mut self, i: u64) -> usize {
        let n = self.eligible.len() as u64;
        let epoch = i / n;
        if self.epoch.as_ref().is_none_or(|(e, _)| *e != epoch) {
            let mut order = self.eligible.clone();
            order.shuffle(&mut rng(self.seed, epoch, ORDER));
            self.epoch = Some((epoch, order));
        }
        self.epoch.as_ref().map_or(0, |(_, order)| order[(i % n) as usize])
    }
}

/// Sizes and rules of sampling.
pub(crate) struct Sampler<'a> {
    pub(crate) model: &'a ModelConfig,
    pub(crate) config: &'a TrainConfig,
    pub(crate) seed: u64,
}

impl Sampler<'_> {
    /// The batch of a step from the whole histories of its users.
    pub(crate) fn batch(&self, step: u64, users: &[usize], histories: &[Vec<Event>]) -> Batch {
        let mut rng = rng(self.seed, step, CUTS);
        let mut batch = Batch { users: users.to_vec(), ..Batch::default() };
        for history in histories {
            let mut events = Split(history).training().to_vec();
            shuffle_ties(&mut events, &mut rng);
            self.add(&mut batch, &events, &mut rng);
        }
        batch
    }

    /// One history: a window of at most `M` behaviours, cuts in it, targets after each.
    fn add(&self, batch: &mut Batch, events: &[Event], rng: &mut ChaCha8Rng) {
        let Some(most) = events.len().checked_sub(1).filter(|&n| n > 0) else { return };
        let length = most.min(self.model.max_seq_len);
        let start = rng.random_range(0..=most - length);
        let known = &events[start..start + length];
        let sequence = batch.sequences.len();
        batch.sequences.push(Sequence {
            items: known.iter().map(|e| e.item).collect(),
            actions: known.iter().map(|e| e.action.into()).collect(),
            times: known.iter().map(|e| e.time).collect(),
        });
        let first = batch.cuts.len();
        let mut places =
            index::sample(rng, length, length.min(self.config.schedule.cuts_per_user)).into_vec();
        places.sort_unstable();
        for at in places.into_iter().map(|p| p + 1) {
            // The time of the target itself would give it away.
            batch.cuts.push(Cut { sequence, at, time: known[at - 1].time });
            self.targets(&events[start + at..], &mut batch.targets);
        }
        let count = batch.cuts.len() - first;
        let ranked = index::sample(rng, count, count.min(self.config.ranker.cuts_per_user));
        let mut ranked: Vec<_> = ranked.into_iter().map(|i| first + i).collect();
        ranked.sort_unstable();
        batch.ranked.extend(ranked);
    }

    fn targets(&self, future: &[Event], out: &mut Vec<Option<Target>>) {
        for (n, task) in self.config.task.iter().enumerate() {
            let next = future.iter().find(|e| e.is_positive(n));
            let weight = |e: &Event| if task.value.is_some() { e.value } else { 1.0 };
            out.push(next.map(|e| Target { item: e.item, weight: weight(e) }));
        }
    }
}

/// Another order of behaviours with equal times: which came first is not known, so it is not learnt.
fn shuffle_ties(events: &mut [Event], rng: &mut ChaCha8Rng) {
    events.chunk_by_mut(|a, b| a.time == b.time).for_each(|tied| tied.shuffle(rng));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_comes_once_in_an_epoch() {
        let mut users = Users::new((0..12).collect(), 5, 4);
        let epoch = |users: &mut Users, e: u64| {
            let mut all: Vec<_> = (0..3).flat_map(|s| users.of(3 * e + s)).collect();
            let order = all.clone();
            all.sort_unstable();
            (order, all)
        };
        let (first, second) = (epoch(&mut users, 0), epoch(&mut users, 1));
        assert_eq!(first.1, (0..12).collect::<Vec<_>>());
        assert_eq!(second.1, first.1);
        assert_ne!(first.0, second.0);
        assert_eq!(epoch(&mut users, 0).0, first.0);
    }
}
