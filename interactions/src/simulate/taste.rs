//! What a user is like: recomputed from the seed and the number of the user whenever it is needed.

use rand::Rng;

use super::random::{Stream, distinct, gamma2, normal, sigmoid};
use super::world::World;

/// The series that a user follows. Weights sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taste {
    pub(super) followed: Vec<Followed>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Followed {
    pub(super) series: usize,
    pub(super) weight: f64,
    affinity: f64,
}

impl Taste {
    /// User `number` follows a few series with weights of a Dirichlet distribution (all parameters 2).
    pub(super) fn new(world: &World, number: usize) -> Self {
        let simulation = &world.simulation;
        let rng = &mut Stream::Taste(number).of(simulation.seed);
        let count = rng.random_range(simulation.min_followed..=simulation.max_followed);
        let series = distinct(rng, count, simulation.n_series);
        let mut followed: Vec<Followed> = series
            .into_iter()
            .map(|series| Followed { series, weight: gamma2(rng), affinity: normal(rng) })
            .collect();
        let sum: f64 = followed.iter().map(|f| f.weight).sum();
        for one in &mut followed {
            one.weight /= sum;
        }
        Self { followed }
    }

    /// Probability of a conversion, given a click on an item of this series.
    pub(super) fn conversion(&self, world: &World, series: usize) -> f64 {
        let odds = &world.simulation.conversion;
        let known = self.followed.iter().find(|f| f.series == series);
        let affinity = match known {
            None => odds.stranger,
            Some(followed) if world.simulation.conflict => followed.affinity,
            Some(_) => 0.0,
        };
        sigmoid(odds.base + odds.affinity * affinity)
    }
}
