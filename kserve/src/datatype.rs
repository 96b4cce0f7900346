//! Element types of the protocol, and which Rust numbers they are.

use std::fmt;
use std::str::FromStr;

/// Type of a tensor's elements. Displayed as the protocol spells it; parsed from that and from `TYPE_FP32`, the
/// spelling of a model configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Datatype {
    /// One byte, 0 or 1.
    Bool,
    /// 8 bits, unsigned.
    Uint8,
    /// 16 bits, unsigned.
    Uint16,
    /// 32 bits, unsigned.
    Uint32,
    /// 64 bits, unsigned.
    Uint64,
    /// 8 bits, signed.
    Int8,
    /// 16 bits, signed.
    Int16,
    /// 32 bits, signed.
    Int32,
    /// 64 bits, signed.
    Int64,
    /// IEEE 754 half precision.
    Fp16,
    /// The upper half of an FP32. Only as bytes: JSON has no form for it.
    Bf16,
    /// IEEE 754 single precision.
    Fp32,
    /// IEEE 754 double precision.
    Fp64,
    /// Strings of bytes, each with its length before it. A model configuration calls it `TYPE_STRING`.
    Bytes,
}

/// Name in the protocol, and bytes per element; 0 where elements differ in length.
const TABLE: [(Datatype, &str, usize); 14] = [
    (Datatype::Bool, "BOOL", 1),
    (Datatype::Uint8, "UINT8", 1),
    (Datatype::Uint16, "UINT16", 2),
    (Datatype::Uint32, "UINT32", 4),
    (Datatype::Uint64, "UINT64", 8),
    (Datatype::Int8, "INT8", 1),
    (Datatype::Int16, "INT16", 2),
    (Datatype::Int32, "INT32", 4),
    (Datatype::Int64, "INT64", 8),
    (Datatype::Fp16, "FP16", 2),
    (Datatype::Bf16, "BF16", 2),
    (Datatype::Fp32, "FP32", 4),
    (Datatype::Fp64, "FP64", 8),
    (Datatype::Bytes, "BYTES", 0),
];

impl Datatype {
    /// Every type, in the order of this enum.
    pub const ALL: [Self; 14] = {
        let mut all = [Self::Bool; 14];
        let mut i = 0;
        while i < all.len() {
            all[i] = TABLE[i].0;
            i += 1;
        }
        all
    };

    /// As the protocol spells it: `FP32`.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Bytes per element; `None` for [`Datatype::Bytes`], whose elements differ.
    #[must_use]
    pub fn size(self) -> Option<usize> {
        Some(TABLE[self as usize].2).filter(|size| *size > 0)
    }

    /// The type with this number in Triton's `DataType`. `None` for 0 and for numbers from its future.
    pub(crate) fn from_number(number: i32) -> Option<Self> {
        match number {
            10 => Some(Self::Fp16),
            11 => Some(Self::Fp32),
            12 => Some(Self::Fp64),
            13 => Some(Self::Bytes),
            14 => Some(Self::Bf16),
            1..=9 => Self::ALL.get(usize::try_from(number).ok()? - 1).copied(),
            _ => None,
        }
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Datatype {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let name = match text.strip_prefix("TYPE_") {
            Some("STRING") => "BYTES",
            Some(name) => name,
            None => text,
        };
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0).ok_or(())
    }
}

/// A Rust number that is an element as it stands: little-endian, nothing converted.
pub trait Element: Copy + private::Sealed {
    /// The protocol's type for it.
    const DATATYPE: Datatype;

    /// Appends the element's bytes.
    fn put(self, bytes: &mut Vec<u8>);

    /// The element from exactly as many bytes as its type has.
    fn take(bytes: &[u8]) -> Option<Self>;
}

mod private {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($number:ty => $datatype:ident),+ $(,)?) => {$(
        impl private::Sealed for $number {}
        impl Element for $number {
            const DATATYPE: Datatype = Datatype::$datatype;

            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn take(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_le_bytes)
            }
        }
    )+};
}

elements! {
    u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64,
    i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64,
    f32 => Fp32, f64 => Fp64,
}

impl private::Sealed for bool {}
impl Element for bool {
    const DATATYPE: Datatype = Datatype::Bool;

    fn put(self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self));
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        matches!(bytes, [_]).then(|| bytes[0] != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum() {
        for (place, (datatype, ..)) in TABLE.iter().enumerate() {
            assert_eq!(*datatype as usize, place);
        }
    }

    #[test]
    fn names_of_the_protocol_and_of_configurations() {
        for datatype in Datatype::ALL {
            assert_eq!(datatype.name().parse(), Ok(datatype));
        }
        assert_eq!("TYPE_FP16".parse(), Ok(Datatype::Fp16));
        assert_eq!("TYPE_STRING".parse(), Ok(Datatype::Bytes));
        assert_eq!("fp16".parse::<Datatype>(), Err(()));
        assert_eq!("STRING".parse::<Datatype>(), Err(()));
    }

    #[test]
    fn numbers_of_model_config_proto() {
        let named = [(1, "BOOL"), (2, "UINT8"), (5, "UINT64"), (6, "INT8"), (9, "INT64")];
        let more = [(10, "FP16"), (11, "FP32"), (12, "FP64"), (13, "BYTES"), (14, "BF16")];
        for (number, name) in named.into_iter().chain(more) {
            assert_eq!(Datatype::from_number(number).map(Datatype::name), Some(name));
        }
        assert_eq!([0, 15, -1].map(Datatype::from_number), [None; 3]);
    }
}
