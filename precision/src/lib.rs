//! Models in other precisions.
//!
//! In: a model, what was measured of its values. Out: the model rewritten, and a list of what was decided and
//! why. Never here: running a model, knowledge of OneRanker, files, printing.
//!
//! Design: `docs/precision.md`.

pub mod cast;
pub mod interface;
mod plan;
pub mod qdq;
pub mod smooth;
pub mod tables;
pub mod typed;

pub use plan::{Applied, Plan};

use std::collections::BTreeMap;

/// What was measured of one float tensor, over all runs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Largest finite magnitude.
    pub max_abs: f32,
    /// Elements seen.
    pub count: u64,
    /// Elements that are not 0 and below FP16's smallest normal number, `2^-14`.
    pub subnormal: u64,
    /// Elements that are not 0 and would be in FP16.
    pub flushed: u64,
}

/// Measurements by the name of the value.
pub type Measurements = BTreeMap<String, Measured>;
