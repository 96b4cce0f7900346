//! Element types of ONNX tensors.

use std::fmt;

/// Element type of a tensor, `TensorProto.DataType`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the names are ONNX's")]
#[repr(i32)]
pub enum ElemType {
    Float = 1,
    Uint8 = 2,
    Int8 = 3,
    Uint16 = 4,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    String = 8,
    Bool = 9,
    Float16 = 10,
    Double = 11,
    Uint32 = 12,
    Uint64 = 13,
    Complex64 = 14,
    Complex128 = 15,
    Bfloat16 = 16,
    Float8E4M3Fn = 17,
    Float8E4M3FnUz = 18,
    Float8E5M2 = 19,
    Float8E5M2FnUz = 20,
    Uint4 = 21,
    Int4 = 22,
    Float4E2M1 = 23,
}

/// All types, with the name that messages use.
const NAMES: [(ElemType, &str); 23] = [
    (ElemType::Float, "float32"),
    (ElemType::Uint8, "uint8"),
    (ElemType::Int8, "int8"),
    (ElemType::Uint16, "uint16"),
    (ElemType::Int16, "int16"),
    (ElemType::Int32, "int32"),
    (ElemType::Int64, "int64"),
    (ElemType::String, "string"),
    (ElemType::Bool, "bool"),
    (ElemType::Float16, "float16"),
    (ElemType::Double, "float64"),
    (ElemType::Uint32, "uint32"),
    (ElemType::Uint64, "uint64"),
    (ElemType::Complex64, "complex64"),
    (ElemType::Complex128, "complex128"),
    (ElemType::Bfloat16, "bfloat16"),
    (ElemType::Float8E4M3Fn, "float8e4m3fn"),
    (ElemType::Float8E4M3FnUz, "float8e4m3fnuz"),
    (ElemType::Float8E5M2, "float8e5m2"),
    (ElemType::Float8E5M2FnUz, "float8e5m2fnuz"),
    (ElemType::Uint4, "uint4"),
    (ElemType::Int4, "int4"),
    (ElemType::Float4E2M1, "float4e2m1"),
];

impl ElemType {
    /// The type of that number in the file.
    #[must_use]
    pub fn of(code: i32) -> Option<Self> {
        NAMES.iter().map(|(t, _)| *t).find(|t| t.code() == code)
    }

    /// Its number in the file.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// Its name in messages: `float32`, `int8`, `float8e4m3fn`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(t, _)| *t == self).map_or("?", |(_, name)| *name)
    }

    /// Bits of one element; 0 for strings.
    #[must_use]
    pub const fn bits(self) -> usize {
        match self {
            Self::String => 0,
            Self::Uint4 | Self::Int4 | Self::Float4E2M1 => 4,
            Self::Uint8
            | Self::Int8
            | Self::Bool
            | Self::Float8E4M3Fn
            | Self::Float8E4M3FnUz
            | Self::Float8E5M2
            | Self::Float8E5M2FnUz => 8,
            Self::Uint16 | Self::Int16 | Self::Float16 | Self::Bfloat16 => 16,
            Self::Float | Self::Int32 | Self::Uint32 => 32,
            Self::Int64 | Self::Uint64 | Self::Double | Self::Complex64 => 64,
            Self::Complex128 => 128,
        }
    }

    /// F32, F16 or BF16: the types that activations come in.
    #[must_use]
    pub const fn is_activation(self) -> bool {
        matches!(self, Self::Float | Self::Float16 | Self::Bfloat16)
    }
}

impl fmt::Display for ElemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
