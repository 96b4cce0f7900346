//! Tensors as bytes, little-endian, as files and servers have them.

use half::{bf16, f16};
use onr_graphs::DType;

use super::{Data, F8E4M3, HostTensor};

impl HostTensor {
    /// The elements, row-major and little-endian.
    #[must_use]
    pub fn le_bytes(&self) -> Vec<u8> {
        macro_rules! le {
            ($values:expr) => {
                $values.iter().flat_map(|x| x.to_le_bytes()).collect()
            };
        }
        match self.data() {
            Data::F32(v) => le!(v),
            Data::F16(v) => le!(v),
            Data::BF16(v) => le!(v),
            Data::F64(v) => le!(v),
            Data::I32(v) => le!(v),
            Data::I64(v) => le!(v),
            Data::I8(v) => le!(v),
            Data::U8(v) => v.clone(),
            Data::F8E4M3(v) => v.iter().map(|code| code.0).collect(),
            Data::Bool(v) => v.iter().map(|bit| u8::from(*bit)).collect(),
        }
    }

    /// A tensor of little-endian elements; `None` where there are not as many as the shape says.
    #[must_use]
    pub fn from_le_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Option<Self> {
        macro_rules! le {
            ($number:ty) => {{
                let (elements, rest) = bytes.as_chunks();
                rest.is_empty().then_some(())?;
                elements.iter().map(|b| <$number>::from_le_bytes(*b)).collect()
            }};
        }
        let data = match dtype {
            DType::F32 => Data::F32(le!(f32)),
            DType::F16 => Data::F16(le!(f16)),
            DType::BF16 => Data::BF16(le!(bf16)),
            DType::F64 => Data::F64(le!(f64)),
            DType::I32 => Data::I32(le!(i32)),
            DType::I64 => Data::I64(le!(i64)),
            DType::I8 => Data::I8(le!(i8)),
            DType::U8 => Data::U8(bytes.to_vec()),
            DType::F8E4M3 => Data::F8E4M3(bytes.iter().map(|code| F8E4M3(*code)).collect()),
            DType::Bool => Data::Bool(bytes.iter().map(|byte| *byte != 0).collect()),
            _ => return None,
        };
        Self::new(shape.to_vec(), data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_back() {
        let tensors = [
            HostTensor::of(&[2], vec![1.5_f32, -0.0]),
            HostTensor::of(&[1, 2], vec![f16::from_f32(1.5), f16::NEG_INFINITY]),
            HostTensor::of(&[2], vec![i64::MIN, 7]),
            HostTensor::of(&[3], vec![true, false, true]),
            HostTensor::of(&[2], vec![-1_i8, 2]),
        ];
        for tensor in tensors {
            let bytes = tensor.le_bytes();
            let again = HostTensor::from_le_bytes(tensor.dtype(), tensor.shape(), &bytes);
            assert_eq!(again.as_ref(), Some(&tensor));
            let short = &bytes[..bytes.len() - 1];
            assert_eq!(HostTensor::from_le_bytes(tensor.dtype(), tensor.shape(), short), None);
        }
    }
}
