//! Initializers of a graph, as far as factors go.

use std::collections::BTreeMap;

use onr_onnx::{
    ElemType, floats, le_bytes,
    proto::{GraphProto, TensorProto},
};

/// Initializers by name.
pub(super) struct Constants<'a>(BTreeMap<&'a str, &'a TensorProto>);

impl<'a> Constants<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Self {
        Self(graph.initializer.iter().map(|t| (t.label(), t)).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether it has axes, so that it is no mere factor.
    pub(super) fn is_list(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|tensor| elements(tensor) != 1)
    }

    /// The number of a float constant of one element that lies in the file.
    pub(super) fn scalar(&self, name: &str) -> Option<f32> {
        let tensor = self.0.get(name).filter(|tensor| elements(tensor) == 1)?;
        let elem = tensor.data_type.and_then(ElemType::of)?;
        floats(elem, &le_bytes(tensor).ok()?)?.first().copied()
    }

    /// Sizes.
    pub(super) fn dims(&self, name: &str) -> Option<&'a [i64]> {
        self.0.get(name).map(|tensor| tensor.dims.as_slice())
    }
}

fn elements(tensor: &TensorProto) -> i64 {
    tensor.dims.iter().product()
}

/// The exponent of a power of two, whatever its sign.
pub(super) fn power(x: f32) -> Option<i32> {
    let bits = x.to_bits();
    let exponent = ((bits >> 23) & 0xff).cast_signed();
    (bits & 0x7f_ffff == 0 && (1..=254).contains(&exponent)).then_some(exponent - 127)
}
