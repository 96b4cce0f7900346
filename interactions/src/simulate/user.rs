//! One user of a simulated log.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::random::{Stream, normal, uniform};
use super::state::State;
use super::taste::Taste;
use super::world::World;

/// Unix seconds from which on users begin, November 2023, and for how long they do.
const FIRST: i64 = 1_700_000_000;
const BEGINNINGS: i64 = 30 * 86_400;
/// The shortest and the longest time between two impressions, seconds: a minute, three days.
const SHORTEST_GAP: f64 = 60.0;
const LONGEST_GAP: f64 = 259_200.0;

/// An impression and what became of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimulatedRow {
    /// Number of the item, from 0.
    pub item: u32,
    /// Unix seconds.
    pub timestamp: i64,
    /// Did the user click?
    pub clicked: bool,
    /// Did the click convert?
    pub converted: bool,
    /// What the conversion was worth; 0 without one.
    pub value: f64,
}

/// A user with all impressions, oldest first; their times differ.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedUser {
    /// Number of the user, from 0.
    pub number: usize,
    /// What was shown, in order, nothing twice.
    pub rows: Vec<SimulatedRow>,
}

impl SimulatedUser {
    pub(super) fn new(world: &World, number: usize) -> Self {
        let simulation = &world.simulation;
        let taste = Taste::new(world, number);
        let rng = &mut Stream::Events(number).of(simulation.seed);
        let count = rng.random_range(simulation.min_events..=simulation.max_events);
        let mut state = State::default();
        let mut timestamp = FIRST + rng.random_range(0..BEGINNINGS);
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            let item = state.draw(world, &taste, rng);
            rows.push(outcome(world, &taste, &state, item, timestamp, rng));
            state.show(world, item);
            timestamp += gap(rng);
        }
        Self { number, rows }
    }
}

/// What becomes of showing `item` now.
pub(super) fn outcome(
    world: &World,
    taste: &Taste,
    state: &State,
    item: u32,
    timestamp: i64,
    rng: &mut ChaCha8Rng,
) -> SimulatedRow {
    let series = world.series(item);
    let is_successor = state.successor(world, series) == Some(item);
    let clicked = uniform(rng) < world.click(item, is_successor);
    let converted = clicked && uniform(rng) < taste.conversion(world, series);
    let noise = world.simulation.value_noise;
    let worth = |z: f64| world.price(item) * (noise * z - noise * noise / 2.0).exp();
    let value = if converted { worth(normal(rng)) } else { 0.0 };
    SimulatedRow { item, timestamp, clicked, converted, value }
}

/// Whole seconds whose logarithm is uniform.
fn gap(rng: &mut ChaCha8Rng) -> i64 {
    (SHORTEST_GAP * (uniform(rng) * (LONGEST_GAP / SHORTEST_GAP).ln()).exp()) as i64
}
