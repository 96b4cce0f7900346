//! Tensors on the host, as they go in and out of backends.

mod axes;
mod bytes;
mod value;

use std::{collections::BTreeMap, sync::Arc};

use half::{bf16, f16};
use onr_calibration::fp8;
use onr_graphs::DType;
use onr_onnx::ElemType;

pub use value::{Value, Values, on_host};

/// Named tensors: the inputs of a run, or its outputs.
pub type Feeds = BTreeMap<String, HostTensor>;

/// A dense row-major tensor in host memory. Its elements never change, so a clone shares them.
#[derive(Clone, PartialEq, Debug)]
pub struct HostTensor {
    shape: Vec<usize>,
    data: Arc<Data>,
}

/// The code of an FP8 number, [`DType::F8E4M3`]. Equal codes are equal here: NaN is, and zero has two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct F8E4M3(pub u8);

impl F8E4M3 {
    /// The nearest number; what is beyond 448 saturates.
    #[must_use]
    pub fn from_f32(value: f32) -> Self {
        Self(fp8::encode(value))
    }

    /// The number, exact.
    #[must_use]
    pub fn to_f32(self) -> f32 {
        fp8::decode(self.0)
    }
}

/// The elements of a [`HostTensor`], row-major.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "one variant per `DType`, named alike")]
pub enum Data {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    F8E4M3(Vec<F8E4M3>),
    I8(Vec<i8>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    U8(Vec<u8>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
}

/// The elements of a tensor of floats that are no codes, wherever they lie.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "one variant per such `DType`, named alike")]
pub enum Floats<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
}

impl<'a> Floats<'a> {
    /// The elements of a tensor; `None` for integers and FP8.
    #[must_use]
    pub fn of(tensor: &'a HostTensor) -> Option<Self> {
        match tensor.data() {
            Data::F32(values) => Some(Self::F32(values)),
            Data::F16(values) => Some(Self::F16(values)),
            Data::BF16(values) => Some(Self::BF16(values)),
            _ => None,
        }
    }

    /// A copy as a tensor.
    #[must_use]
    pub fn to_tensor(self, shape: &[usize]) -> HostTensor {
        match self {
            Self::F32(values) => HostTensor::of(shape, values.to_vec()),
            Self::F16(values) => HostTensor::of(shape, values.to_vec()),
            Self::BF16(values) => HostTensor::of(shape, values.to_vec()),
        }
    }
}

impl Data {
    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F16(v) => v.len(),
            Self::BF16(v) => v.len(),
            Self::F8E4M3(v) => v.len(),
            Self::I8(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    /// Is there no element?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl HostTensor {
    /// A tensor of `data` in `shape`; `None` when their sizes differ.
    #[must_use]
    pub fn new(shape: Vec<usize>, data: Data) -> Option<Self> {
        (shape.iter().product::<usize>() == data.len()).then(|| Self { shape, data: data.into() })
    }

    /// The sizes of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match self.data() {
            Data::F32(_) => DType::F32,
            Data::F16(_) => DType::F16,
            Data::BF16(_) => DType::BF16,
            Data::F8E4M3(_) => DType::F8E4M3,
            Data::I8(_) => DType::I8,
            Data::F64(_) => DType::F64,
            Data::I32(_) => DType::I32,
            Data::U8(_) => DType::U8,
            Data::I64(_) => DType::I64,
            Data::Bool(_) => DType::Bool,
        }
    }

    /// The elements as F32, widened where they are stored in fewer bits; `None` for integers and F64.
    #[must_use]
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        match self.data() {
            Data::F32(v) => Some(v.clone()),
            Data::F16(v) => Some(v.iter().map(|x| x.to_f32()).collect()),
            Data::BF16(v) => Some(v.iter().map(|x| x.to_f32()).collect()),
            Data::F8E4M3(v) => Some(v.iter().map(|x| x.to_f32()).collect()),
            _ => None,
        }
    }

    /// The elements as F64: floats, integers and codes alike; bools are 0 and 1.
    #[must_use]
    pub fn to_f64(&self) -> Vec<f64> {
        fn wide<T: Copy>(values: &[T], of: impl Fn(T) -> f64) -> Vec<f64> {
            values.iter().map(|x| of(*x)).collect()
        }
        match self.data() {
            Data::F32(v) => wide(v, f64::from),
            Data::F16(v) => wide(v, f64::from),
            Data::BF16(v) => wide(v, f64::from),
            Data::F8E4M3(v) => wide(v, |x| f64::from(x.to_f32())),
            Data::I8(v) => wide(v, f64::from),
            Data::F64(v) => v.clone(),
            Data::I32(v) => wide(v, f64::from),
            Data::U8(v) => wide(v, f64::from),
            Data::I64(v) => wide(v, |x| x as f64),
            Data::Bool(v) => wide(v, f64::from),
        }
    }

    /// The elements, if they are integers.
    #[must_use]
    pub fn as_i64(&self) -> Option<&[i64]> {
        match self.data() {
            Data::I64(v) => Some(v),
            _ => None,
        }
    }

    /// The same values as `dtype`: between floats, rounded to nearest even; between I64 and I32, where all numbers fit.
    /// FP8 saturates, other floats overflow to infinities. `None` for anything else.
    #[must_use]
    pub fn cast(&self, dtype: DType) -> Option<Self> {
        if self.dtype() == dtype {
            return Some(self.clone());
        }
        let data = match (self.data(), dtype) {
            (Data::I64(v), DType::I32) => {
                let narrow: Result<_, _> = v.iter().map(|x| i32::try_from(*x)).collect();
                Data::I32(narrow.ok()?)
            }
            (Data::I32(v), DType::I64) => Data::I64(v.iter().copied().map(i64::from).collect()),
            _ => self.cast_float(dtype)?,
        };
        Some(Self { shape: self.shape.clone(), data: data.into() })
    }

    fn cast_float(&self, dtype: DType) -> Option<Data> {
        let wide = self.to_f32()?;
        Some(match dtype {
            DType::F32 => Data::F32(wide),
            DType::F16 => Data::F16(wide.into_iter().map(f16::from_f32).collect()),
            DType::BF16 => Data::BF16(wide.into_iter().map(bf16::from_f32).collect()),
            DType::F8E4M3 => Data::F8E4M3(wide.into_iter().map(F8E4M3::from_f32).collect()),
            _ => return None,
        })
    }
}

/// The type of that number in a file; `None` for what no host tensor holds.
#[must_use]
pub fn dtype_of(elem: ElemType) -> Option<DType> {
    Some(match elem {
        ElemType::Float => DType::F32,
        ElemType::Float16 => DType::F16,
        ElemType::Bfloat16 => DType::BF16,
        ElemType::Float8E4M3Fn => DType::F8E4M3,
        ElemType::Int8 => DType::I8,
        ElemType::Double => DType::F64,
        ElemType::Int32 => DType::I32,
        ElemType::Uint8 => DType::U8,
        ElemType::Int64 => DType::I64,
        ElemType::Bool => DType::Bool,
        _ => return None,
    })
}

/// Element types that a [`HostTensor`] is made from.
pub trait Element: Sized {
    /// Wraps the vector.
    fn wrap(values: Vec<Self>) -> Data;
}

macro_rules! element {
    ($($t:ty => $variant:ident),*) => {$(
        impl Element for $t {
            fn wrap(values: Vec<Self>) -> Data {
                Data::$variant(values)
            }
        }
    )*};
}
element!(
    f32 => F32, f16 => F16, bf16 => BF16, F8E4M3 => F8E4M3, f64 => F64, i8 => I8, i32 => I32, u8 => U8,
    i64 => I64, bool => Bool
);

impl HostTensor {
    /// A tensor of `values` in `shape`.
    ///
    /// # Panics
    /// When the sizes differ: a bug of the caller, who made both. Use [`HostTensor::new`] for data
    /// from outside.
    #[must_use]
    pub fn of<T: Element>(shape: &[usize], values: Vec<T>) -> Self {
        let len = values.len();
        Self::new(shape.to_vec(), T::wrap(values))
            .unwrap_or_else(|| panic!("{len} elements do not fill shape {shape:?}"))
    }
}
