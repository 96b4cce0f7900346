//! Simulated ad logs whose expected values are known, with or without a conflict between interest and value.
//!
//! Items form series, each a ring in an order that their ids don't tell. A user follows a few series, and
//! what comes next depends on the last item seen in *each* of them. Every item has an appeal (how clicky
//! it is) and a price. Under [`Simulation::conflict`] appealing items are cheap, without it the order of interest is that of value.
//!
//! | step | item |
//! | --- | --- |
//! | choose the numbers | [`Simulation`] |
//! | make the log, user by user | [`simulate`], [`SimulatedLog::users`] |
//! | write it as a folder of shards with `truth.json` | [`SimulatedLog::write`] |
//! | ask what is true | [`Truth::open`], [`Moment`] |
//!
//! A log is a function of its [`Simulation`] alone: no clock, no thread count. The first users of a log
//! are those of a log with more users.

mod error;
mod folder;
mod moment;
mod names;
mod parameters;
mod random;
mod sink;
mod state;
mod taste;
mod truth;
mod user;
mod world;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rayon::prelude::*;

pub use error::SimulationError;
pub use folder::{LogFormat, SimulationReport, WriteOptions};
pub use moment::Moment;
pub use parameters::{ClickOdds, ConversionOdds, Simulation};
pub use truth::Truth;
pub use user::{SimulatedRow, SimulatedUser};

use world::World;

/// Users that are made at once, in parallel.
const USERS_AT_ONCE: usize = 256;

/// The labels of a simulated log, as the text of a `train.toml`: an impression is every row, the value is
/// that of the conversion, and the action says how far the user went (3 converted, 2 clicked, 1 neither).
pub const LABELS: &str = r#"actions = "converted==1:3,clicked==1:2,*:1"

[[task]]
name = "impression"
when = "*"

[[task]]
name = "click"
when = "clicked==1"

[[task]]
name = "conversion"
when = "converted==1"

[[task]]
name = "value"
when = "converted==1"
value = { column = "value" }
"#;

/// Sets the world up; its users are made when they are asked for.
///
/// # Errors
/// [`SimulationError::Parameters`] with everything that is wrong.
pub fn simulate(simulation: &Simulation) -> Result<SimulatedLog, SimulationError> {
    Ok(SimulatedLog { world: Arc::new(World::new(simulation)?) })
}

/// A log that takes the memory of its items and of a few users.
#[derive(Debug, Clone)]
pub struct SimulatedLog {
    world: Arc<World>,
}

impl SimulatedLog {
    /// The numbers it was made from.
    #[must_use]
    pub fn simulation(&self) -> &Simulation {
        &self.world.simulation
    }

    /// All users in order, made in parallel, a few hundred at a time.
    pub fn users(&self) -> impl Iterator<Item = SimulatedUser> + '_ {
        let n_users = self.simulation().n_users;
        (0..n_users).step_by(USERS_AT_ONCE).flat_map(move |start| {
            let chunk = start..n_users.min(start + USERS_AT_ONCE);
            chunk.into_par_iter().map(|number| self.user(number)).collect::<Vec<_>>()
        })
    }

    /// User `number`, who is the same whatever `n_users`.
    #[must_use]
    pub fn user(&self, number: usize) -> SimulatedUser {
        SimulatedUser::new(&self.world, number)
    }

    /// The external id of user `number`.
    #[must_use]
    pub fn user_id(&self, number: usize) -> String {
        names::user(number)
    }

    /// The external id of item `number`.
    #[must_use]
    pub fn item_id(&self, number: usize) -> String {
        self.world.items.name(number)
    }

    /// What is true of this log.
    #[must_use]
    pub fn truth(&self) -> Truth {
        Truth::of(Arc::clone(&self.world))
    }
}
