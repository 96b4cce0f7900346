//! Tensors to and from ONNX Runtime.
//!
//! Inputs of 16-bit floats and of FP8 are copied, all others are borrowed.

use std::slice;

use half::{bf16, f16};
use onr_graphs::DType;
use ort::{
    memory::Allocator,
    session::SessionInputValue,
    value::{
        DynTensor, DynTensorValueType, DynValue, Outlet, TensorElementType, TensorRef, ValueType,
    },
};

use crate::{
    backends::signature::{Axis, Input},
    tensor::{Data, Element, F8E4M3, Floats, HostTensor},
};

/// One input of a graph; says what it is when it cannot be fed from here.
pub(super) fn input(outlet: &Outlet) -> Result<Input, String> {
    let name = outlet.name().to_owned();
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return Err(format!("input `{name}` is no tensor"));
    };
    let dtype = dtype(*ty).ok_or_else(|| format!("input `{name}` has ONNX type {ty}"))?;
    let axes = shape.iter().zip(dimension_symbols.iter());
    let axes = axes.map(|(size, symbol)| Axis::new(*size, symbol)).collect();
    Ok(Input { name, dtype, axes: Some(axes) })
}

const fn dtype(ty: TensorElementType) -> Option<DType> {
    Some(match ty {
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Float16 => DType::F16,
        TensorElementType::Bfloat16 => DType::BF16,
        TensorElementType::Float8E4M3FN => DType::F8E4M3,
        TensorElementType::Int8 => DType::I8,
        TensorElementType::Float64 => DType::F64,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Uint8 => DType::U8,
        TensorElementType::Int64 => DType::I64,
        TensorElementType::Bool => DType::Bool,
        _ => return None,
    })
}

pub(super) fn to_ort(tensor: &HostTensor) -> ort::Result<SessionInputValue<'_>> {
    let shape = tensor.shape();
    Ok(match tensor.data() {
        Data::F32(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::I8(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::F64(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::I32(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::U8(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::I64(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::Bool(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::F16(values) => raw_in(TensorElementType::Float16, shape, values)?.into(),
        Data::BF16(values) => raw_in(TensorElementType::Bfloat16, shape, values)?.into(),
        Data::F8E4M3(values) => raw_in(TensorElementType::Float8E4M3FN, shape, values)?.into(),
    })
}

/// Says what `value` is when it has no counterpart here.
pub(super) fn from_ort(value: &DynValue) -> Result<HostTensor, String> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err("is no tensor".to_owned());
    };
    let data = match ty {
        TensorElementType::Float32 => safe_out::<f32>(value)?,
        TensorElementType::Int8 => safe_out::<i8>(value)?,
        TensorElementType::Float64 => safe_out::<f64>(value)?,
        TensorElementType::Int32 => safe_out::<i32>(value)?,
        TensorElementType::Uint8 => safe_out::<u8>(value)?,
        TensorElementType::Int64 => safe_out::<i64>(value)?,
        TensorElementType::Bool => safe_out::<bool>(value)?,
        TensorElementType::Float16 => raw_out::<f16>(value, *ty)?,
        TensorElementType::Bfloat16 => raw_out::<bf16>(value, *ty)?,
        TensorElementType::Float8E4M3FN => raw_out::<F8E4M3>(value, *ty)?,
        other => return Err(format!("is {other}, which has no host tensor")),
    };
    let sizes: Result<_, _> = shape.iter().map(|size| usize::try_from(*size)).collect();
    sizes
        .ok()
        .and_then(|sizes| HostTensor::new(sizes, data))
        .ok_or_else(|| format!("does not fill its shape {shape}"))
}

/// Shows the elements of a float tensor; other values are passed over.
pub(super) fn look(
    value: &DynValue,
    look: &mut dyn FnMut(&[usize], Floats<'_>),
) -> Result<(), String> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else { return Ok(()) };
    let shape: Vec<usize> = shape.iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect();
    match ty {
        TensorElementType::Float32 => {
            let (_, elements) =
                value.try_extract_tensor::<f32>().map_err(|e| e.message().to_owned())?;
            look(&shape, Floats::F32(elements));
        }
        TensorElementType::Float16 => {
            if let Data::F16(elements) = raw_out::<f16>(value, *ty)? {
                look(&shape, Floats::F16(&elements));
            }
        }
        TensorElementType::Bfloat16 => {
            if let Data::BF16(elements) = raw_out::<bf16>(value, *ty)? {
                look(&shape, Floats::BF16(&elements));
            }
        }
        _ => {}
    }
    Ok(())
}

fn safe_out<T>(value: &DynValue) -> Result<Data, String>
where
    T: Element + ort::value::PrimitiveTensorElementType + Clone,
{
    let (_, elements) = value.try_extract_tensor::<T>().map_err(|e| e.message().to_owned())?;
    Ok(T::wrap(elements.to_vec()))
}

/// A tensor of ONNX Runtime's own, filled by bytes: `ort` knows `half`'s types only with its
/// feature `half`, and FP8 not at all.
fn raw_in<T: Raw>(ty: TensorElementType, shape: &[usize], values: &[T]) -> ort::Result<DynTensor> {
    let mut tensor = DynTensor::new(&Allocator::default(), ty, shape)?;
    let bytes = size_of_val(values);
    if tensor.size() != Some(bytes) {
        return Err(ort::Error::new("the values do not fill the tensor"));
    }
    if bytes > 0 {
        let target = tensor.data_ptr_mut().cast::<T>();
        // SAFETY: the default allocator's memory is the host's and aligned for every element type,
        // its size was just compared, and nobody else has the new tensor.
        #[expect(unsafe_code, reason = "ort offers these floats only by pointer")]
        unsafe {
            target.copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
    }
    Ok(tensor)
}

/// The elements of a tensor of 16-bit floats or FP8, whose element type `ty` the caller has matched
/// with `T`.
fn raw_out<T: Raw>(value: &DynValue, ty: TensorElementType) -> Result<Data, String> {
    let in_words = |error: ort::Error| error.message().to_owned();
    let tensor = value.view().downcast::<DynTensorValueType>().map_err(in_words)?;
    let count = tensor.shape().num_elements();
    if *tensor.data_type() != ty || !tensor.memory_info().is_cpu_accessible() {
        return Err("is not in the memory of the host".to_owned());
    }
    if count == 0 {
        return Ok(T::wrap(Vec::new()));
    }
    // SAFETY: ONNX Runtime allocated `count` elements of `T`'s size there, aligned, in host memory,
    // and every pattern of bits is a `T`. `tensor` outlives the slice.
    #[expect(unsafe_code, reason = "ort offers these floats only by pointer")]
    let elements = unsafe { slice::from_raw_parts(tensor.data_ptr().cast::<T>(), count) };
    Ok(T::wrap(elements.to_vec()))
}

/// Elements for which any bits are valid.
trait Raw: Element + Copy {}
impl Raw for f16 {}
impl Raw for bf16 {}
impl Raw for F8E4M3 {}
