//! The parts of the model that are nodes of their own in candle's autograd graph.
//!
//! Each does in one pass what a chain of candle's operations does in many; gradients of all are held against finite differences.

pub(crate) mod attention;
pub(crate) mod bias_silu;
pub(crate) mod cross_entropy;
pub(crate) mod dropout;
pub(crate) mod layer_norm;
mod real;
pub(crate) mod residual;
mod rows;
mod simd;

use candle_core::{Result, Tensor};

/// Runs `f` on the numbers of an F32 tensor.
pub(crate) fn with_f32<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    real::with::<f32, R>(tensor, |values| Ok(f(values)))
}
