//! Tables of rows that are looked up by id: codes with one scale a row.
//!
//! Rows differ in magnitude far more than the numbers of a row do: popular items have long vectors, rare ones
//! short ones. A scale for each row keeps the relative error of all of them alike.
//!
//! What a lookup reads are 32-bit words of four 8-bit or eight 4-bit codes, which integer arithmetic
//! takes apart behind the lookup. ONNX allows no lookup of FP8 or 4-bit numbers, TensorRT takes INT8
//! constants for nothing but `DequantizeLinear`, and stores those of `uint8` in 32 bits each.
//!
//! A graph that multiplies with the whole table (a retrieval) reads the same bytes as INT8, FP8 or INT4 through
//! `DequantizeLinear`, for its lookups too: one graph can't have both, as TensorRT refuses two constants of
//! different sizes at one place of a file.

mod rewrite;
mod rows;

pub use rewrite::{QuantizedTable, quantize_tables};
pub use rows::{Rows, quantize_rows};

use std::{fmt, str::FromStr};

use onr_calibration::fp8;
use onr_onnx::ElemType;

/// How the numbers of a table are stored.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// Signed integers in `[-127, 127]`.
    Int8,
    /// FP8 E4M3 without infinities.
    Fp8,
    /// Signed integers in `[-8, 7]`, two a byte, the first in the low half.
    Int4,
}

impl TableFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Int8, Self::Fp8, Self::Int4];

    /// The word of `--tables`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp8 => "fp8",
            Self::Int4 => "int4",
        }
    }

    /// The element type of codes that `DequantizeLinear` reads.
    #[must_use]
    pub const fn elem(self) -> ElemType {
        match self {
            Self::Int8 => ElemType::Int8,
            Self::Fp8 => ElemType::Float8E4M3Fn,
            Self::Int4 => ElemType::Int4,
        }
    }

    /// The first opset whose `DequantizeLinear` has the format.
    #[must_use]
    pub const fn opset(self) -> i64 {
        match self {
            Self::Int8 => 13,
            Self::Fp8 => 19,
            Self::Int4 => 21,
        }
    }

    /// Codes of one 32-bit word.
    #[must_use]
    pub const fn per_word(self) -> usize {
        32 / self.elem().bits()
    }

    /// Words of a row: its last codes may be padding.
    #[must_use]
    pub const fn words(self, columns: usize) -> usize {
        columns.div_ceil(self.per_word())
    }

    /// How many codes there are.
    pub(crate) const fn codes(self) -> usize {
        1 << self.elem().bits()
    }

    /// The number that a code stands for; 0 for NaN, which no table has.
    #[must_use]
    pub fn decode(self, code: u8) -> f32 {
        match self {
            Self::Int8 => f32::from(code.cast_signed()),
            Self::Fp8 if code & fp8::NAN == fp8::NAN => 0.0,
            Self::Fp8 => fp8::decode(code),
            Self::Int4 => f32::from(((code & 0xf) << 4).cast_signed() >> 4),
        }
    }
}

impl fmt::Display for TableFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TableFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| format!("`{text}` is no format of tables; known: int8, fp8, int4"))
    }
}
