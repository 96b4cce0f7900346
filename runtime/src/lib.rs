//! Runs OneRanker graphs, compiles them, and proves that they agree.
//!
//! In: a directory that `onr-exporter` wrote, and requests. Out: outputs of backends, plans of
//! TensorRT, parity figures. Never done here: printing, exit codes, reading the command line.

pub mod backend;
pub mod backends;
mod beside;
pub mod bisect;
pub mod builder;
pub mod builders;
#[cfg(feature = "ort")]
pub mod calibrate;
pub mod deployment;
pub mod inputs;
pub mod items;
pub mod libraries;
pub mod manifest;
pub mod npz;
pub mod numbers;
pub mod parity;
pub mod profiles;
pub mod serving;
pub mod tensor;
pub mod traffic;
pub mod tune;
