//! What is true of a simulated log, from the few numbers that it was made from.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::SimulationError;
use super::moment::Moment;
use super::names;
use super::parameters::Simulation;
use super::state::State;
use super::taste::Taste;
use super::world::World;

/// The name of the file in the folder of the log.
pub(super) const TRUTH: &str = "truth.json";

/// Counts the changes that give another log for the same numbers.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    simulation: Simulation,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// Probabilities and expected values of every (user, history, item), computed when asked for.
///
/// Takes the memory of the items. Exact in `f64`; another machine's `exp` may differ in the last digit.
#[derive(Debug, Clone)]
pub struct Truth {
    world: Arc<World>,
}

impl Truth {
    pub(super) fn of(world: Arc<World>) -> Self {
        Self { world }
    }

    /// Makes the world again from the `truth.json` in the folder of a log.
    ///
    /// # Errors
    /// [`SimulationError::Read`], [`SimulationError::Json`], [`SimulationError::Version`],
    /// [`SimulationError::Parameters`].
    pub fn open(dir: &Path) -> Result<Self, SimulationError> {
        let file = dir.join(TRUTH);
        let text = fs::read_to_string(&file)
            .map_err(|cause| SimulationError::Read { file: file.clone(), cause })?;
        let bad_json = |cause| SimulationError::Json { file: file.clone(), cause };
        let Version { version } = serde_json::from_str(&text).map_err(bad_json)?;
        if version != VERSION {
            return Err(SimulationError::Version { file, found: version, known: VERSION });
        }
        let File { simulation, .. } = serde_json::from_str(&text).map_err(bad_json)?;
        Ok(Self { world: Arc::new(World::new(&simulation)?) })
    }

    /// The numbers that the log was made from.
    #[must_use]
    pub fn simulation(&self) -> &Simulation {
        &self.world.simulation
    }

    /// The external id of item `number`.
    #[must_use]
    pub fn item_id(&self, number: usize) -> String {
        self.world.items.name(number)
    }

    /// The number of an item: its index in every list of a [`Moment`]. `None` for an unknown id.
    #[must_use]
    pub fn item_number(&self, id: &str) -> Option<usize> {
        self.world.items.number(id)
    }

    /// The user with external id `user` after the impressions `history`, oldest first: all of them from
    /// the beginning, clicked or not. It may end anywhere, and may be another history than the log's.
    ///
    /// # Errors
    /// [`SimulationError::UnknownUser`], [`SimulationError::UnknownItem`],
    /// [`SimulationError::SeenTwice`].
    pub fn moment<S: AsRef<str>>(
        &self,
        user: &str,
        history: &[S],
    ) -> Result<Moment<'_>, SimulationError> {
        let number = names::user_number(user)
            .ok_or_else(|| SimulationError::UnknownUser { user: user.to_owned() })?;
        let mut state = State::default();
        for item in history.iter().map(S::as_ref) {
            let number = self
                .item_number(item)
                .ok_or_else(|| SimulationError::UnknownItem { item: item.to_owned() })?;
            if !state.show(&self.world, number as u32) {
                let (user, item) = (user.to_owned(), item.to_owned());
                return Err(SimulationError::SeenTwice { user, item });
            }
        }
        Ok(Moment { world: &self.world, taste: Taste::new(&self.world, number), state })
    }

    /// The contents of `truth.json`.
    ///
    /// # Errors
    /// [`SimulationError::Json`].
    pub(super) fn json(&self, file: &Path) -> Result<String, SimulationError> {
        let contents = File { version: VERSION, simulation: self.simulation().clone() };
        let json = serde_json::to_string_pretty(&contents);
        json.map(|text| text + "\n")
            .map_err(|cause| SimulationError::Json { file: file.to_owned(), cause })
    }
}
