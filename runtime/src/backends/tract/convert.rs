//! Tensors to and from tract.

use onr_graphs::DType;
use tract_onnx::{
    prelude::{Datum, DatumType, IntoTValue, TValue, Tensor, TractResult},
    tract_core::internal::bail,
};

use crate::tensor::{Data, Element, F8E4M3, HostTensor};

/// tract's name of an element type.
pub(super) fn datum_type(dtype: DType) -> TractResult<DatumType> {
    Ok(match dtype {
        DType::F32 => DatumType::F32,
        DType::F16 => DatumType::F16,
        DType::I8 => DatumType::I8,
        // Its codes: tract has no FP8.
        DType::F8E4M3 => DatumType::U8,
        DType::F64 => DatumType::F64,
        DType::I32 => DatumType::I32,
        DType::U8 => DatumType::U8,
        DType::I64 => DatumType::I64,
        DType::Bool => DatumType::Bool,
        other => bail!("no element type {other}"),
    })
}

pub(super) fn to_tract(tensor: &HostTensor) -> TractResult<TValue> {
    let shape = tensor.shape();
    let made = match tensor.data() {
        Data::F32(values) => Tensor::from_shape(shape, values),
        Data::F16(values) => Tensor::from_shape(shape, values),
        Data::I8(values) => Tensor::from_shape(shape, values),
        Data::F8E4M3(values) => {
            let codes: Vec<_> = values.iter().map(|code| code.0).collect();
            Tensor::from_shape(shape, &codes)
        }
        Data::I64(values) => Tensor::from_shape(shape, values),
        Data::Bool(values) => Tensor::from_shape(shape, values),
        Data::F64(values) => Tensor::from_shape(shape, values),
        Data::I32(values) => Tensor::from_shape(shape, values),
        Data::U8(values) => Tensor::from_shape(shape, values),
        Data::BF16(_) => bail!("no element type {}", tensor.dtype()),
    };
    made.map(IntoTValue::into_tvalue)
}

/// Says what `value` is when it has no counterpart here. Bytes are FP8 where the graph has FP8.
pub(super) fn from_tract(value: &Tensor, is_f8: bool) -> Result<HostTensor, String> {
    match value.datum_type() {
        DatumType::U8 if is_f8 => made(value, elements(value)?.into_iter().map(F8E4M3).collect()),
        DatumType::I8 => copy::<i8>(value),
        DatumType::U8 => copy::<u8>(value),
        DatumType::I32 => copy::<i32>(value),
        DatumType::F64 => copy::<f64>(value),
        DatumType::F32 => copy::<f32>(value),
        DatumType::F16 => copy::<half::f16>(value),
        DatumType::I64 => copy::<i64>(value),
        DatumType::Bool => copy::<bool>(value),
        // Sizes stay symbolic numbers inside tract, also when they are outputs.
        DatumType::TDim => {
            let numbers = value.cast_to_dt(i64::datum_type()).map_err(|e| format!("{e:#}"))?;
            copy::<i64>(&numbers)
        }
        other => Err(format!("is {other:?}, which has no host tensor")),
    }
}

fn copy<T: Datum + Element + Clone>(value: &Tensor) -> Result<HostTensor, String> {
    made::<T>(value, elements(value)?)
}

fn elements<T: Datum + Clone>(value: &Tensor) -> Result<Vec<T>, String> {
    let plain = value.try_as_plain_ram().and_then(|view| view.as_slice::<T>());
    plain.map(<[T]>::to_vec).map_err(|e| format!("{e:#}"))
}

fn made<T: Element>(value: &Tensor, elements: Vec<T>) -> Result<HostTensor, String> {
    HostTensor::new(value.shape().to_vec(), T::wrap(elements))
        .ok_or_else(|| format!("does not fill its shape {:?}", value.shape()))
}
