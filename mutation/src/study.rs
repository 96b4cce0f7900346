//! Many mutants, and what became of them.

use onr_runtime::{
    backends::{ort::OrtBackend, tract::TractBackend},
    libraries::Search,
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    kind::Kind,
    mutant::{Fate, Mutant, World},
    survivor::reason,
};

/// Mutants of one model.
const PER_MODEL: u64 = 5;

/// A mutant and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Seed of its model.
    pub model: u64,
    /// `fp32`, `fp16` or `int8`.
    pub precision: &'static str,
    /// The fault.
    #[serde(flatten)]
    pub mutant: Mutant,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// The nodes that `bisect` names, for a mutant that outputs killed.
    pub blamed: Option<Vec<String>>,
    /// Why it computes the same, if that is known.
    pub reason: Option<&'static str>,
    /// Of one that survives without a reason: how many times as far from the reference as those of the right graphs its
    /// outputs are.
    pub farther: Option<f64>,
}

/// What rounding hides: a fault that adds so little to the errors that numbers of 16 or 8 bits have anyway.
const HIDDEN: f64 = 1.1;

impl Outcome {
    /// Was it not found, though it shows?
    #[must_use]
    pub fn is_missed(&self) -> bool {
        let hidden = self.farther.is_some_and(|ratio| ratio <= HIDDEN);
        self.fate == Fate::Survived && self.reason.is_none() && !hidden
    }

    /// Did bisect name the right node? `None` where it was not asked.
    #[must_use]
    pub fn is_named(&self) -> Option<bool> {
        let blamed = self.blamed.as_ref()?;
        Some(blamed.iter().any(|name| self.mutant.change.right.contains(name)))
    }
}

/// Makes and judges about `count` mutants; the same seed gives the same ones.
///
/// # Errors
/// When something cannot be written, or an engine is missing.
pub fn run(
    seed: u64,
    count: u64,
    seen: &(dyn Fn(&Outcome) + Sync),
) -> anyhow::Result<Vec<Outcome>> {
    let models: Vec<u64> = (0..count.div_ceil(PER_MODEL)).map(|n| seed * 1_000_000 + n).collect();
    let all: anyhow::Result<Vec<Vec<Outcome>>> =
        models.into_par_iter().map(|model| of_model(model, seen)).collect();
    let mut all: Vec<Outcome> = all?.into_iter().flatten().collect();
    all.truncate(usize::try_from(count)?);
    Ok(all)
}

fn of_model(model: u64, seen: &(dyn Fn(&Outcome) + Sync)) -> anyhow::Result<Vec<Outcome>> {
    // As many in FP32, where faults show best, as in the other two.
    let kind = [Kind::F32, Kind::F16, Kind::F32, Kind::Int8][(model % 4) as usize];
    let world = World::new(model, kind, None)?;
    let (ort, tract) = (OrtBackend::new(Search::from_env()), TractBackend::new());
    let mut rng = ChaCha8Rng::seed_from_u64(model ^ 0xbad);
    let mut outcomes = Vec::new();
    for _ in 0..PER_MODEL {
        let (mutant, dir) = world.mutate(&mut rng)?;
        let job = world.job(dir.path(), &ort, &tract);
        let fate = world.fate(&job);
        let blamed = match &fate {
            Fate::Killed { by_outputs: true, .. } => {
                Some(world.blamed(dir.path(), &ort, &tract).unwrap_or_else(|e| vec![e.to_string()]))
            }
            _ => None,
        };
        let reason = match fate {
            Fate::Survived => reason(&mutant, &world.config, &world.model(&mutant.graph)?),
            _ => None,
        };
        let farther = match (&fate, reason) {
            (Fate::Survived, None) => Some(world.farther(&job)?),
            _ => None,
        };
        let precision = kind.name();
        let outcome = Outcome { model, precision, mutant, fate, blamed, reason, farther };
        seen(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
