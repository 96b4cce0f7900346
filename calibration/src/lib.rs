//! Ranges of activations, from values that a model took to scales of INT8 and FP8.
//!
//! **In:** values, as slices, and the index of the sample that they belong to.
//! **Out:** statistics that do not depend on order, batches, threads or shards; ranges and scales; the
//! texts of `calibration.json` and of TensorRT's calibration cache.
//! **Never here:** running a model, ONNX, files, printing.
//!
//! | step | item |
//! | --- | --- |
//! | observe a tensor | [`TensorStats`], [`Histogram`] |
//! | keep all tensors of a model, merge shards | [`Calibration`], [`Shard`] |
//! | choose a range, make a scale | [`Method`], [`Target`], [`scale`] |
//! | what quantized values are | [`int8`], [`fp8`] |
//! | a cache for TensorRT 10 and older | [`trt_cache`] |

mod calibration;
mod entropy;
mod error;
mod file;
pub mod fp8;
mod histogram;
pub mod int8;
mod method;
mod mse;
mod shard;
mod simd;
mod stats;
mod survey;
mod tally;
pub mod trt_cache;
mod wire;

pub use calibration::{Calibration, GraphStats, ModelId, Oddity, Suspicion};
pub use error::{CalibrationError, ClipError, MethodError, NonFiniteTensor};
pub use histogram::{BINS, Histogram, MAX_EXPONENT, MIN_EXPONENT};
pub use method::{Method, SMALLEST_SCALE, Target, scale};
pub use shard::Shard;
pub use stats::{F16Losses, NonFinite, NonFiniteKind, TensorStats};
