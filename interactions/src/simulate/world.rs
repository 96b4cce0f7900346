//! The items: which series they belong to, how clicky they are and what they cost.

use super::error::SimulationError;
use super::names::ItemNames;
use super::parameters::Simulation;
use super::random::{Stream, normal, shuffle, sigmoid};

/// All that is the same for every user. Memory is proportional to the number of items.
#[derive(Debug)]
pub(super) struct World {
    pub(super) simulation: Simulation,
    pub(super) items: ItemNames,
    /// Item number of each place; the places of series `s` are `starts[s]..starts[s + 1]`, in order.
    chains: Vec<u32>,
    starts: Vec<usize>,
    /// Index into `chains` of each item.
    places: Vec<u32>,
    /// Series of each item.
    series: Vec<u32>,
    appeal: Vec<f64>,
    price: Vec<f64>,
    /// Sum of `exp(appeal)` over the places of the same series up to this one.
    pulls: Vec<f64>,
}

impl World {
    /// # Errors
    /// [`SimulationError::Parameters`].
    pub(super) fn new(simulation: &Simulation) -> Result<Self, SimulationError> {
        simulation.check()?;
        let (n, n_series) = (simulation.n_items, simulation.n_series);
        let rng = &mut Stream::World.of(simulation.seed);
        let mut chains: Vec<u32> = (0..n as u32).collect();
        shuffle(rng, &mut chains);
        let appeal: Vec<f64> = (0..n).map(|_| normal(rng)).collect();
        let ln_price = |appeal: f64, noise: f64| {
            let price = simulation.price_noise * noise - simulation.price_slope * appeal;
            if simulation.conflict { price } else { 0.0 }
        };
        let price = appeal.iter().map(|&a| ln_price(a, normal(rng)).exp()).collect();
        let starts: Vec<usize> = (0..=n_series).map(|s| s * n / n_series).collect();
        let mut world = Self {
            simulation: simulation.clone(),
            items: ItemNames::new(n),
            chains,
            starts,
            places: vec![0; n],
            series: vec![0; n],
            appeal,
            price,
            pulls: vec![0.0; n],
        };
        world.index();
        Ok(world)
    }

    /// Fills what follows from the order of the items and their appeal.
    fn index(&mut self) {
        for series in 0..self.simulation.n_series {
            let mut sum = 0.0;
            for place in self.starts[series]..self.starts[series + 1] {
                let item = self.chains[place] as usize;
                self.places[item] = place as u32;
                self.series[item] = series as u32;
                sum += self.appeal[item].exp();
                self.pulls[place] = sum;
            }
        }
    }

    /// The items of a series in order; after the last comes the first.
    pub(super) fn chain(&self, series: usize) -> &[u32] {
        &self.chains[self.starts[series]..self.starts[series + 1]]
    }

    pub(super) fn series(&self, item: u32) -> usize {
        self.series[item as usize] as usize
    }

    /// The position of an item in the chain of its series.
    pub(super) fn position(&self, item: u32) -> usize {
        self.places[item as usize] as usize - self.starts[self.series(item)]
    }

    #[cfg(test)]
    pub(super) fn appeal(&self, item: u32) -> f64 {
        self.appeal[item as usize]
    }

    /// How strongly an item draws impressions that are out of order: `exp(appeal)`.
    pub(super) fn pull(&self, item: u32) -> f64 {
        self.appeal[item as usize].exp()
    }

    pub(super) fn price(&self, item: u32) -> f64 {
        self.price[item as usize]
    }

    /// The item of a series at `share` (of `[0, 1)`) of the summed pull.
    pub(super) fn by_pull(&self, series: usize, share: f64) -> u32 {
        let (start, end) = (self.starts[series], self.starts[series + 1]);
        let sums = &self.pulls[start..end];
        let target = share * sums[sums.len() - 1];
        self.chains[start + sums.partition_point(|&sum| sum <= target).min(sums.len() - 1)]
    }

    /// Probability of a click, given that the item is shown.
    pub(super) fn click(&self, item: u32, is_successor: bool) -> f64 {
        let odds = &self.simulation.click;
        let order = if is_successor { odds.successor } else { 0.0 };
        let appeal = if self.simulation.conflict { self.appeal[item as usize] } else { 0.0 };
        sigmoid(odds.base + odds.appeal * appeal + order)
    }
}
