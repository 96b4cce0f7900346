//! INT8 and FP8 by `QuantizeLinear` and `DequantizeLinear`.
//!
//! Activations have one scale, weights one per output channel, both symmetric and in F32. A node in 16 bits becomes
//! one in F32 between its `DequantizeLinear`s: compilers see `DequantizeLinear` x `DequantizeLinear` and
//! multiply codes, and a scale may be smaller than 16 bits can say.

mod bypass;
mod rewrite;
mod sites;
mod weights;

pub use bypass::bypass_activations;
pub use rewrite::{Choice, Quantized, quantize};
pub use sites::{PassedOver, Site, passed_over, sites};
pub use weights::{Codes, quantize_weight};

pub(crate) use weights::encode;

use onr_calibration::Target;
use onr_onnx::{ElemType, OnnxError};

/// An 8-bit number format.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Signed integers; weights in `[-127, 127]`.
    Int8,
    /// FP8 E4M3 without infinities, saturating at 448.
    Fp8,
}

impl Format {
    /// The word of `--precision`: `int8`, `fp8`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp8 => "fp8",
        }
    }

    /// The grid that ranges are chosen for.
    #[must_use]
    pub const fn target(self) -> Target {
        match self {
            Self::Int8 => Target::Int8,
            Self::Fp8 => Target::Fp8E4M3,
        }
    }

    /// The element type of codes.
    #[must_use]
    pub const fn elem(self) -> ElemType {
        match self {
            Self::Int8 => ElemType::Int8,
            Self::Fp8 => ElemType::Float8E4M3Fn,
        }
    }

    /// The first opset whose `QuantizeLinear` has the format.
    #[must_use]
    pub const fn opset(self) -> i64 {
        match self {
            Self::Int8 => 13,
            Self::Fp8 => 19,
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Int8, Self::Fp8].into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| format!("`{text}` is no 8-bit format; known: int8, fp8"))
    }
}

/// Why a model can't be quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QdqError {
    /// A weight has NaN or infinity.
    #[error("`{tensor}`[{index}] is not finite")]
    NotFinite {
        /// The weight.
        tensor: String,
        /// Index of its first bad element.
        index: usize,
    },
    /// A range is not a positive number.
    #[error("`{tensor}` would be clipped at {clip}, which is not a positive number")]
    Clip {
        /// The activation.
        tensor: String,
        /// What was asked for.
        clip: f32,
    },
    /// A smoothing factor is not a positive number, or there are too few or too many.
    #[error("smoothing `{tensor}`: {reason}")]
    Smooth {
        /// The weight or activation.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// The model can't take the operators.
    #[error("{0}")]
    Model(String),
    /// A tensor can't be read.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}
