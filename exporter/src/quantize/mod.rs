//! OneRanker's graphs with products of 8-bit numbers.
//!
//! The graphs are exported in 16 bits (or FP32), then a [`Plan`] rewrites them. The plan is made from a
//! calibration by a [`Recipe`] for this architecture, or comes from somewhere else (`onr tune`).

mod apply;
mod passed;
mod recipe;

pub use apply::{QuantizedDirectory, QuantizedGraph, apply_to_directory};
pub use passed::passed;
pub use recipe::{Coding, Decision, Part, Recipe, canonical, plan};

pub use onr_precision::{
    Applied, Plan,
    interface::Interface,
    qdq::{Format, Site, sites},
    smooth::norm_before,
    tables::{QuantizedTable, TableFormat},
};

/// The tables that [`TableFormat`]s are for: rows of items. Those of actions and tasks are a few rows.
pub const TABLES: [&str; 1] = ["item_embedding"];

/// What the metadata of an ONNX file calls the scale of an input or output of codes, in front of its name.
pub const SCALE_KEY: &str = "onr.scale.";

/// The file of a directory that has the plan of its graphs.
pub const PLAN_FILE: &str = "quantization.json";
