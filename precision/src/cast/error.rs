//! What stops a cast.

use onr_onnx::{ElemType, OnnxError};

/// What stops a cast. The model is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CastError {
    /// The target is no 16-bit float.
    #[error("cannot cast to {0}: the targets are float16 and bfloat16")]
    Target(ElemType),
    /// The opset has no such type, and raising it would change what the model means.
    #[error("{to} needs opset {needed}; `{operator}` of opset {opset} means something else there")]
    Opset {
        /// The target.
        to: ElemType,
        /// The operator in the way.
        operator: String,
        /// The model's opset.
        opset: i64,
        /// The opset that has the type.
        needed: i64,
    },
    /// Not a number.
    #[error("`{tensor}` holds NaN")]
    NaN {
        /// The value or constant.
        tensor: String,
    },
    /// A constant cannot be read.
    #[error(transparent)]
    Model(#[from] OnnxError),
}

impl CastError {
    /// What the reader could do next.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Opset { .. } => Some("convert the model to a newer opset first"),
            Self::NaN { .. } => {
                Some("the F32 model is broken for this input: cast nothing before it is not")
            }
            _ => None,
        }
    }
}
