//! Codes between graphs: the numbers that they stand for, and back.

use std::{collections::BTreeMap, path::Path};

use onr_calibration::int8;
use onr_exporter::{ExportError, quantize::SCALE_KEY};
use onr_graphs::DType;
use onr_onnx::{Model, OnnxError};

use crate::tensor::{Data, F8E4M3, HostTensor};

/// What a code of 1 stands for, by the name of the input or output of a graph, as its file says.
#[derive(Debug, Default)]
pub(super) struct Codes(BTreeMap<String, f32>);

impl Codes {
    pub(super) fn read(file: &Path) -> Result<Self, ExportError> {
        let model = Model::open(file)?;
        let mut scales = BTreeMap::new();
        for entry in &model.proto().metadata_props {
            let name = entry.key.as_deref().and_then(|key| key.strip_prefix(SCALE_KEY));
            let Some(name) = name else { continue };
            let text = entry.value.as_deref().unwrap_or_default();
            let scale = text.parse().ok().filter(|scale: &f32| *scale > 0.0 && scale.is_finite());
            let scale = scale.ok_or_else(|| OnnxError::Invalid {
                file: file.to_owned(),
                reason: format!("`{name}` has scale `{text}`"),
            })?;
            scales.insert(name.to_owned(), scale);
        }
        Ok(Self(scales))
    }

    /// Numbers as the codes of an input; `None` for one that has no scale.
    pub(super) fn encode(&self, name: &str, numbers: &HostTensor, to: DType) -> Option<HostTensor> {
        let scale = *self.0.get(name)?;
        let values = numbers.to_f32()?;
        let shape = numbers.shape();
        Some(match to {
            DType::I8 => {
                let codes: Vec<i8> = values.iter().map(|x| int8::quantize(*x, scale)).collect();
                HostTensor::of(shape, codes)
            }
            DType::F8E4M3 => {
                let codes: Vec<F8E4M3> =
                    values.iter().map(|x| F8E4M3::from_f32(x / scale)).collect();
                HostTensor::of(shape, codes)
            }
            _ => return None,
        })
    }

    /// The numbers of an output; as it is where it has no codes.
    pub(super) fn decode(&self, name: &str, output: HostTensor) -> HostTensor {
        let Some(scale) = self.0.get(name) else { return output };
        let numbers: Vec<f32> = match output.data() {
            Data::I8(codes) => codes.iter().map(|c| int8::dequantize(*c, *scale)).collect(),
            Data::F8E4M3(codes) => codes.iter().map(|c| c.to_f32() * scale).collect(),
            _ => return output,
        };
        HostTensor::of(output.shape(), numbers)
    }

    /// What becomes of a number that goes in or out as a code of `dtype`; itself where there is no scale.
    pub(super) fn round_trip(&self, name: &str, number: f32, dtype: DType) -> f32 {
        let codes = self.encode(name, &HostTensor::of(&[1], vec![number]), dtype);
        let back = codes.and_then(|codes| self.decode(name, codes).to_f32());
        back.map_or(number, |values| values[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_whatever_the_scale() {
        let mut scale = 1.1e-38_f32;
        while scale < 1e34 {
            let codes = Codes(BTreeMap::from([("x".to_owned(), scale)]));
            let all: Vec<i8> = (i8::MIN..=i8::MAX).collect();
            let ints = HostTensor::of(&[256], all);
            let back = codes.encode("x", &codes.decode("x", ints.clone()), DType::I8);
            assert_eq!(back, Some(ints), "scale {scale}");
            // NaN saturates no more than it came: nothing makes it.
            let all: Vec<F8E4M3> = (0..=255).filter(|c| c & 0x7f != 0x7f).map(F8E4M3).collect();
            let floats = HostTensor::of(&[all.len()], all);
            let back = codes.encode("x", &codes.decode("x", floats.clone()), DType::F8E4M3);
            assert_eq!(back, Some(floats), "scale {scale}");
            scale *= 1.618_034;
        }
    }

    #[test]
    fn numbers_without_a_scale_stay() {
        let x = HostTensor::of(&[2], vec![1.5_f32, -2.0]);
        let none = Codes::default();
        assert_eq!(none.encode("x", &x, DType::I8), None);
        assert_eq!(none.decode("x", x.clone()), x);
        assert!((none.round_trip("x", 7.0, DType::F16) - 7.0).abs() < f32::EPSILON);
    }
}
