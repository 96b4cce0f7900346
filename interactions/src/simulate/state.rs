//! What a user has seen, and what that says about the next impression.

use std::collections::{BTreeMap, HashSet};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::random::uniform;
use super::taste::Taste;
use super::world::World;

/// Draws that may hit a seen item before the unseen ones are listed. Either way the distribution is
/// the same.
const BLIND_DRAWS: usize = 16;

/// A history as far as it matters: which items, and the last one of each series.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    seen: HashSet<u32>,
    visits: BTreeMap<usize, Visit>,
}

#[derive(Debug, Clone, Copy)]
struct Visit {
    /// Position in the chain of the last item.
    last: usize,
    /// How many items of the series were seen.
    count: usize,
}

impl State {
    /// Adds an impression; `false` if the item was seen before.
    pub(super) fn show(&mut self, world: &World, item: u32) -> bool {
        if !self.seen.insert(item) {
            return false;
        }
        let visit = self.visits.entry(world.series(item)).or_insert(Visit { last: 0, count: 0 });
        *visit = Visit { last: world.position(item), count: visit.count + 1 };
        true
    }

    /// The next unseen item of the series after the last one that was seen; none before the first and
    /// after all.
    pub(super) fn successor(&self, world: &World, series: usize) -> Option<u32> {
        let last = self.visits.get(&series)?.last;
        let chain = world.chain(series);
        let onwards = chain[last + 1..].iter().chain(&chain[..last]);
        onwards.copied().find(|item| !self.seen.contains(item))
    }

    fn is_exhausted(&self, world: &World, series: usize) -> bool {
        self.visits.get(&series).is_some_and(|v| v.count == world.chain(series).len())
    }

    fn unseen<'a>(&'a self, world: &'a World, series: usize) -> impl Iterator<Item = u32> + 'a {
        world.chain(series).iter().copied().filter(|item| !self.seen.contains(item))
    }

    /// Probability of each item, by number, to be the next impression: `[n_items]`, sums to 1.
    pub(super) fn interest(&self, world: &World, taste: &Taste) -> Vec<f64> {
        let mut interest = vec![0.0; world.simulation.n_items];
        for (series, share) in self.shares(world, taste).into_iter().enumerate() {
            let successor = self.successor(world, series);
            let in_order = successor.map_or(0.0, |_| world.simulation.in_order);
            let sum: f64 = self.unseen(world, series).map(|item| world.pull(item)).sum();
            for item in self.unseen(world, series) {
                interest[item as usize] = share * (1.0 - in_order) * world.pull(item) / sum;
            }
            if let Some(item) = successor {
                interest[item as usize] += share * in_order;
            }
        }
        interest
    }

    /// Probability of each series to be that of the next impression; series without unseen items have 0
    /// and the others more.
    fn shares(&self, world: &World, taste: &Taste) -> Vec<f64> {
        let simulation = &world.simulation;
        let mut shares = vec![simulation.stray / simulation.n_series as f64; simulation.n_series];
        for followed in &taste.followed {
            shares[followed.series] += (1.0 - simulation.stray) * followed.weight;
        }
        for (series, share) in shares.iter_mut().enumerate() {
            if self.is_exhausted(world, series) {
                *share = 0.0;
            }
        }
        let sum: f64 = shares.iter().sum();
        shares.iter().map(|share| share / sum).collect()
    }

    /// Draws the next impression. Some item must be unseen.
    pub(super) fn draw(&self, world: &World, taste: &Taste, rng: &mut ChaCha8Rng) -> u32 {
        let series = self.draw_series(world, taste, rng);
        match self.successor(world, series) {
            Some(item) if uniform(rng) < world.simulation.in_order => item,
            _ => self.draw_by_pull(world, series, rng),
        }
    }

    fn draw_series(&self, world: &World, taste: &Taste, rng: &mut ChaCha8Rng) -> usize {
        let (stray, n) = (world.simulation.stray, world.simulation.n_series);
        let open = |series: &usize| !self.is_exhausted(world, *series);
        let n_open = n - self.visits.keys().filter(|s| !open(s)).count();
        let followed = || taste.followed.iter().filter(|f| open(&f.series));
        let weights: f64 = followed().map(|f| (1.0 - stray) * f.weight).sum();
        let mut left = uniform(rng) * (weights + stray * n_open as f64 / n as f64);
        for one in followed() {
            left -= (1.0 - stray) * one.weight;
            if left < 0.0 {
                return one.series;
            }
        }
        let nth = rng.random_range(0..n_open);
        (0..n).filter(open).nth(nth).unwrap_or_default()
    }

    fn draw_by_pull(&self, world: &World, series: usize, rng: &mut ChaCha8Rng) -> u32 {
        let mut item = 0;
        for _ in 0..BLIND_DRAWS {
            item = world.by_pull(series, uniform(rng));
            if !self.seen.contains(&item) {
                return item;
            }
        }
        let sum: f64 = self.unseen(world, series).map(|item| world.pull(item)).sum();
        let mut left = uniform(rng) * sum;
        for unseen in self.unseen(world, series) {
            item = unseen;
            left -= world.pull(unseen);
            if left < 0.0 {
                break;
            }
        }
        item
    }
}
