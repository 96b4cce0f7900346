//! How narrow the numbers of a model are.

use onr_graphs::{GraphOptions, Precision};
use onr_onnx::{ElemType, Model, elem_types};
use serde::Serialize;

/// The narrowest numbers that a model computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// 32 bits.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    BF16,
    /// Codes of 8 bits or fewer, with scales.
    Codes,
}

impl Numbers {
    /// The narrowest of two models.
    #[must_use]
    pub fn of(models: [&Model; 2]) -> Self {
        let narrow = |model: &Model| {
            let types = elem_types(model.graph());
            let codes = |op: &str| op.contains("Quantize") || op.starts_with("QLinear");
            let is_coded = model.graph().node.iter().any(|n| codes(n.op()));
            let widths = types.values().map(|elem| match elem {
                ElemType::Float16 => Self::F16,
                ElemType::Bfloat16 => Self::BF16,
                _ => Self::F32,
            });
            let widest = if is_coded { Self::Codes } else { Self::F32 };
            widths.max().unwrap_or(Self::F32).max(widest)
        };
        models.map(narrow).into_iter().max().unwrap_or(Self::F32)
    }

    /// Those of an export.
    #[must_use]
    pub const fn of_export(options: &GraphOptions, has_codes: bool) -> Self {
        match options.precision {
            _ if has_codes => Self::Codes,
            Precision::F32 => Self::F32,
            Precision::F16 => Self::F16,
            Precision::BF16 => Self::BF16,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "fp32",
            Self::F16 => "fp16",
            Self::BF16 => "bf16",
            Self::Codes => "8-bit",
        }
    }
}
