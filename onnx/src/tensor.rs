//! Constant tensors: their numbers out, numbers in.

use bytes::Bytes;
use half::{bf16, f16};

use crate::{ElemType, proto::TensorProto};

/// The little-endian bytes of a tensor that is stored in place, as `raw_data` has them.
///
/// # Errors
/// What does not fit, in words.
pub fn le_bytes(tensor: &TensorProto) -> Result<Bytes, String> {
    let name = tensor.label();
    let code = tensor.data_type.unwrap_or_default();
    let elem = ElemType::of(code).ok_or_else(|| format!("`{name}` has unknown type {code}"))?;
    let elements = elements(tensor).ok_or_else(|| format!("`{name}` has impossible sizes"))?;
    let bytes = match &tensor.raw_data {
        Some(raw) => raw.clone(),
        None => listed(tensor, elem),
    };
    let want = (elements * elem.bits()).div_ceil(8);
    if elem != ElemType::String && bytes.len() != want {
        return Err(format!("`{name}` has {} bytes where its shape wants {want}", bytes.len()));
    }
    Ok(bytes)
}

fn elements(tensor: &TensorProto) -> Option<usize> {
    let sizes = tensor.dims.iter().map(|d| usize::try_from(*d).ok());
    sizes.into_iter().try_fold(1_usize, |product, size| product.checked_mul(size?))
}

/// Numbers stored as a list of a wider type, as `onnx.proto` says for each element type.
fn listed(tensor: &TensorProto, elem: ElemType) -> Bytes {
    let narrow = |width: usize| -> Vec<u8> {
        tensor.int32_data.iter().flat_map(|n| n.to_le_bytes().into_iter().take(width)).collect()
    };
    let bytes: Vec<u8> = match elem {
        ElemType::Float | ElemType::Complex64 => {
            tensor.float_data.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        ElemType::Double | ElemType::Complex128 => {
            tensor.double_data.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        ElemType::Int64 => tensor.int64_data.iter().flat_map(|n| n.to_le_bytes()).collect(),
        ElemType::Uint64 => tensor.uint64_data.iter().flat_map(|n| n.to_le_bytes()).collect(),
        ElemType::Uint32 => {
            tensor.uint64_data.iter().flat_map(|n| n.to_le_bytes().into_iter().take(4)).collect()
        }
        ElemType::Int32 => narrow(4),
        _ => narrow(elem.bits().div_ceil(8)),
    };
    bytes.into()
}

/// Numbers of an F32, F16 or BF16 tensor, as F32.
#[must_use]
pub fn floats(elem: ElemType, bytes: &[u8]) -> Option<Vec<f32>> {
    let pair = |b: &[u8]| [b[0], b[1]];
    Some(match elem {
        ElemType::Float => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        ElemType::Float16 => {
            bytes.chunks_exact(2).map(|b| f16::from_le_bytes(pair(b)).to_f32()).collect()
        }
        ElemType::Bfloat16 => {
            bytes.chunks_exact(2).map(|b| bf16::from_le_bytes(pair(b)).to_f32()).collect()
        }
        _ => return None,
    })
}

/// A tensor stored in place.
#[must_use]
pub fn tensor(name: &str, elem: ElemType, dims: &[i64], bytes: impl Into<Bytes>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(elem.code()),
        dims: dims.to_vec(),
        raw_data: Some(bytes.into()),
        ..TensorProto::default()
    }
}

/// A float as a tensor without axes, of type F32, F16 or BF16.
#[must_use]
pub fn scalar(name: &str, elem: ElemType, value: f32) -> TensorProto {
    let bytes = match elem {
        ElemType::Float16 => f16::from_f32(value).to_le_bytes().to_vec(),
        ElemType::Bfloat16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    tensor(name, elem, &[], bytes)
}
