//! What is true of a user after a history.

use super::state::State;
use super::taste::Taste;
use super::world::World;

/// A user at the end of a history. Lists are by number of the item, as in its external id: `[n_items]`.
#[derive(Debug)]
pub struct Moment<'a> {
    pub(super) world: &'a World,
    pub(super) taste: Taste,
    pub(super) state: State,
}

impl Moment<'_> {
    /// Probability of each item to be the next impression. Sums to 1; 0 for what was seen.
    #[must_use]
    pub fn interest(&self) -> Vec<f32> {
        narrow(&self.state.interest(self.world, &self.taste))
    }

    /// What each item would be worth if it were shown next: `P(click) P(conversion | click) price`.
    #[must_use]
    pub fn expected_values(&self) -> Vec<f32> {
        narrow(&self.values())
    }

    /// Interest times expected value: what each item contributes to the expected worth of the next
    /// impression, which is the sum.
    #[must_use]
    pub fn utilities(&self) -> Vec<f32> {
        let interest = self.state.interest(self.world, &self.taste);
        let both = interest.iter().zip(self.values());
        narrow(&both.map(|(p, value)| p * value).collect::<Vec<_>>())
    }

    /// Probability of a click on the item of this number if it were shown next.
    ///
    /// # Panics
    /// There is no such item.
    #[must_use]
    pub fn click(&self, item: usize) -> f64 {
        let series = self.world.series(item as u32);
        let successor = self.state.successor(self.world, series);
        self.world.click(item as u32, successor == Some(item as u32))
    }

    /// Probability that a click on the item of this number converts.
    ///
    /// # Panics
    /// There is no such item.
    #[must_use]
    pub fn conversion(&self, item: usize) -> f64 {
        self.taste.conversion(self.world, self.world.series(item as u32))
    }

    fn values(&self) -> Vec<f64> {
        let mut values = vec![0.0; self.world.simulation.n_items];
        for series in 0..self.world.simulation.n_series {
            let conversion = self.taste.conversion(self.world, series);
            let successor = self.state.successor(self.world, series);
            for &item in self.world.chain(series) {
                let click = self.world.click(item, successor == Some(item));
                values[item as usize] = click * conversion * self.world.price(item);
            }
        }
        values
    }
}

fn narrow(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&number| number as f32).collect()
}
