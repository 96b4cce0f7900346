//! Element types.

use std::fmt;

/// Element type of a tensor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum DType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    BF16,
    /// FP8 with 4 bits of exponent, 3 of fraction and no infinities: ONNX's `FLOAT8E4M3FN`.
    F8E4M3,
    /// Signed 8-bit integer: codes that stand for numbers, with a scale elsewhere.
    I8,
    /// IEEE binary64: inputs of models that are not ours.
    F64,
    /// Signed 32-bit integer: ids, lengths and times outside a graph, where that was asked for; inputs of models that
    /// are not ours.
    I32,
    /// Unsigned 8-bit integer: inputs of models that are not ours.
    U8,
    /// Signed 64-bit integer: every id, length and time inside a graph.
    I64,
    /// One byte, 0 or 1.
    Bool,
}

impl DType {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::F8E4M3,
        Self::F64,
        Self::I8,
        Self::I32,
        Self::U8,
        Self::I64,
        Self::Bool,
    ];

    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
            Self::F8E4M3 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Is this a floating-point type?
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::F8E4M3 | Self::F64)
    }

    /// The name used in manifests, dumps and messages: `f32`, `f16`, `bf16`, `f8e4m3`, `f64`,
    /// `i8`, `i32`, `u8`, `i64`, `bool`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F8E4M3 => "f8e4m3",
            Self::I8 => "i8",
            Self::F64 => "f64",
            Self::I32 => "i32",
            Self::U8 => "u8",
            Self::I64 => "i64",
            Self::Bool => "bool",
        }
    }

    /// The type of that [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
