//! The numbers that a simulated log is made from.

use serde::{Deserialize, Serialize};

use super::error::SimulationError;
use super::names::MOST_USERS;

/// Everything that decides a simulated log. Equal values give equal logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simulation {
    /// How many users; the first ones don't depend on it.
    pub n_users: usize,
    /// How many items, divided evenly into the series.
    pub n_items: usize,
    /// How many series (interests).
    pub n_series: usize,
    /// Fewest impressions of a user.
    pub min_events: usize,
    /// Most impressions of a user; not more than there are items, since nothing is shown twice.
    pub max_events: usize,
    /// Under conflict appealing items are clicked more and cost less, and users buy more in some of their series.
    /// Without it only interest says what an item is worth: all cost 1, and clicks and conversions
    /// depend on whether the series is followed and the item its next.
    pub conflict: bool,
    /// Decides all that is random.
    pub seed: u64,
    /// Fewest series that a user follows.
    pub min_followed: usize,
    /// Most series that a user follows.
    pub max_followed: usize,
    /// Probability that an impression is of any series, all alike; above 0.
    pub stray: f64,
    /// Probability that an impression is the next one of its series, once the user has seen one of it.
    /// Otherwise it is any item of the series, by `exp(appeal)`.
    pub in_order: f64,
    /// Under conflict `ln price` is noise less this times the appeal.
    pub price_slope: f64,
    /// Standard deviation of that noise.
    pub price_noise: f64,
    /// Standard deviation of `ln value` around the price; the mean of the value is the price.
    pub value_noise: f64,
    /// What clicks depend on.
    pub click: ClickOdds,
    /// What conversions depend on.
    pub conversion: ConversionOdds,
}

/// `P(click) = sigmoid(base + appeal * appeal of the item + successor * [next of its series])`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickOdds {
    /// Log odds of an item without appeal, out of order.
    pub base: f64,
    /// Per unit of appeal.
    pub appeal: f64,
    /// For the item that is next in its series.
    pub successor: f64,
}

/// `P(conversion | click) = sigmoid(base + affinity * affinity of the user to the series)`.
///
/// Affinities are `N(0, 1)` for series that the user follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConversionOdds {
    /// Log odds at affinity 0.
    pub base: f64,
    /// Per unit of affinity.
    pub affinity: f64,
    /// The affinity to series that the user does not follow.
    pub stranger: f64,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            n_users: 20_000,
            n_items: 2_000,
            n_series: 40,
            min_events: 20,
            max_events: 60,
            conflict: true,
            seed: 0,
            min_followed: 3,
            max_followed: 5,
            stray: 0.05,
            in_order: 0.75,
            price_slope: 1.0,
            price_noise: 0.3,
            value_noise: 0.5,
            click: ClickOdds::default(),
            conversion: ConversionOdds::default(),
        }
    }
}

impl Default for ClickOdds {
    fn default() -> Self {
        Self { base: -1.0, appeal: 1.0, successor: 0.5 }
    }
}

impl Default for ConversionOdds {
    fn default() -> Self {
        Self { base: -0.7, affinity: 0.8, stranger: -1.0 }
    }
}

impl Simulation {
    /// # Errors
    /// [`SimulationError::Parameters`] with everything that is wrong.
    pub(super) fn check(&self) -> Result<(), SimulationError> {
        let mut problems = Vec::new();
        let mut need = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        need((1..=MOST_USERS).contains(&self.n_users), "n_users is not of 1..=1000000000");
        need(u32::try_from(self.n_items).is_ok(), "n_items is too large for 32 bits");
        need((1..=self.n_items).contains(&self.n_series), "n_series is not of 1..=n_items");
        need(
            (1..=self.max_events).contains(&self.min_events),
            "min_events is not of 1..=max_events",
        );
        need(
            self.max_events <= self.n_items,
            "max_events is above n_items, nothing is shown twice",
        );
        let followed = 1..=self.max_followed;
        need(followed.contains(&self.min_followed), "min_followed is not of 1..=max_followed");
        need(self.max_followed <= self.n_series, "max_followed is above n_series");
        need(self.stray > 0.0 && self.stray <= 1.0, "stray is not above 0 and up to 1");
        need((0.0..=1.0).contains(&self.in_order), "in_order is not of 0..=1");
        for (name, number) in self.numbers() {
            // Beyond this, `exp` of a sum of them could leave the range of f64.
            need(number.abs() <= 50.0, &format!("{name} is not of -50..=50"));
            need(survives(number), &format!("{name} has more digits than truth.json keeps"));
        }
        let noises = [("price_noise", self.price_noise), ("value_noise", self.value_noise)];
        for (name, noise) in noises {
            need(noise >= 0.0, &format!("{name} is negative"));
        }
        if problems.is_empty() { Ok(()) } else { Err(SimulationError::Parameters { problems }) }
    }

    fn numbers(&self) -> [(&'static str, f64); 11] {
        [
            ("stray", self.stray),
            ("in_order", self.in_order),
            ("price_slope", self.price_slope),
            ("price_noise", self.price_noise),
            ("value_noise", self.value_noise),
            ("click.base", self.click.base),
            ("click.appeal", self.click.appeal),
            ("click.successor", self.click.successor),
            ("conversion.base", self.conversion.base),
            ("conversion.affinity", self.conversion.affinity),
            ("conversion.stranger", self.conversion.stranger),
        ]
    }
}

/// Is the number the same after it was written as JSON and read? The parser rounds the last of 17 digits.
fn survives(number: f64) -> bool {
    let written = serde_json::to_string(&number).unwrap_or_default();
    serde_json::from_str::<f64>(&written).is_ok_and(|read| read == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_a_world() {
        Simulation::default().check().unwrap();
    }

    #[test]
    fn all_problems_are_told_together() {
        let wrong = Simulation {
            n_users: 0,
            n_series: 3_000,
            min_events: 61,
            max_followed: 4_000,
            stray: 0.0,
            price_slope: f64::NAN,
            value_noise: -1.0,
            ..Simulation::default()
        };
        let Err(SimulationError::Parameters { problems }) = wrong.check() else {
            panic!("accepted");
        };
        for name in ["n_users", "n_series", "min_events", "max_followed", "stray", "price_slope"] {
            assert!(problems.iter().any(|p| p.starts_with(name)), "{name}: {problems:?}");
        }
        assert!(problems.contains(&"value_noise is negative".to_owned()));
    }

    #[test]
    fn what_is_not_said_has_its_default_and_what_is_unknown_is_refused() {
        let some: Simulation =
            serde_json::from_str(r#"{"n_users": 7, "click": {"base": 1}}"#).unwrap();
        let click = ClickOdds { base: 1.0, ..ClickOdds::default() };
        assert_eq!(some, Simulation { n_users: 7, click, ..Simulation::default() });
        assert!(serde_json::from_str::<Simulation>(r#"{"n_user": 7}"#).is_err());
    }
}
