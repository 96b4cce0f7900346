//! Small models, and running them on both backends.

use std::path::PathBuf;

use half::f16;
use onr_onnx::{
    ElemType,
    proto::{
        AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
        TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type,
    },
};
use prost::Message as _;
use tempfile::TempDir;

use crate::{
    backend::{Backend, RunError},
    backends::tract::TractBackend,
    tensor::{F8E4M3, Feeds, HostTensor},
};

/// A model under construction.
pub(super) struct Net {
    graph: GraphProto,
    opset: i64,
}

impl Net {
    pub(super) fn new(opset: i64) -> Self {
        let graph = GraphProto { name: Some("net".to_owned()), ..GraphProto::default() };
        Self { graph, opset }
    }

    /// An input; a size below zero is any size.
    pub(super) fn input(mut self, name: &str, elem: ElemType, sizes: &[i64]) -> Self {
        self.graph.input.push(info(name, elem, Some(sizes)));
        self
    }

    pub(super) fn output(mut self, name: &str, elem: ElemType) -> Self {
        self.graph.output.push(info(name, elem, None));
        self
    }

    pub(super) fn constant(self, name: &str, elem: ElemType, sizes: &[i64], raw: &[u8]) -> Self {
        self.stored(onr_onnx::tensor(name, elem, sizes, raw.to_vec()))
    }

    pub(super) fn stored(mut self, tensor: TensorProto) -> Self {
        self.graph.initializer.push(tensor);
        self
    }

    pub(super) fn node(mut self, op: &str, inputs: &[&str], output: &str) -> Self {
        let inputs = inputs.iter().map(|&name| name.to_owned()).collect();
        self.graph.node.push(NodeProto {
            op_type: Some(op.to_owned()),
            name: Some(format!("make_{output}")),
            input: inputs,
            output: vec![output.to_owned()],
            ..NodeProto::default()
        });
        self
    }

    /// Gives the last node an integer attribute.
    pub(super) fn with(mut self, name: &str, value: i64) -> Self {
        self.last().attribute.push(AttributeProto {
            name: Some(name.to_owned()),
            i: Some(value),
            r#type: Some(attribute_type::INT),
            ..AttributeProto::default()
        });
        self
    }

    /// Gives the last node a tensor attribute.
    pub(super) fn holding(mut self, tensor: TensorProto) -> Self {
        self.last().attribute.push(AttributeProto {
            name: Some("value".to_owned()),
            t: Some(tensor),
            r#type: Some(attribute_type::TENSOR),
            ..AttributeProto::default()
        });
        self
    }

    fn last(&mut self) -> &mut NodeProto {
        self.graph.node.last_mut().unwrap()
    }

    pub(super) fn write(&self, dir: &TempDir) -> PathBuf {
        let opset = OperatorSetIdProto { domain: None, version: Some(self.opset) };
        let proto = ModelProto {
            ir_version: Some(if self.opset < 19 { 8 } else { 10 }),
            opset_import: vec![opset],
            graph: Some(self.graph.clone()),
            ..ModelProto::default()
        };
        let path = dir.path().join("model.onnx");
        std::fs::write(&path, proto.encode_to_vec()).unwrap();
        path
    }

    pub(super) fn run_on(&self, backend: &dyn Backend, feeds: &Feeds) -> Result<Feeds, RunError> {
        let dir = TempDir::new().unwrap();
        backend.open(&self.write(&dir))?.run(feeds)
    }

    pub(super) fn on_tract(&self, feeds: &Feeds) -> Result<Feeds, RunError> {
        self.run_on(&TractBackend::new(), feeds)
    }

    /// Every output is the same to the bit on tract and on ONNX Runtime, which optimises nothing.
    #[cfg(feature = "ort")]
    pub(super) fn agrees(&self, feeds: &Feeds, words: &str) -> Feeds {
        let want = self.on_ort(feeds);
        let got = self.on_tract(feeds).unwrap_or_else(|e| panic!("{words}: {e}"));
        for (name, want) in &want {
            same(&got[name], want, &format!("{words}: {name}"));
        }
        got
    }

    #[cfg(feature = "ort")]
    pub(super) fn on_ort(&self, feeds: &Feeds) -> Feeds {
        use crate::backends::ort::{Optimisation, OrtBackend};
        let ort = OrtBackend::new(crate::libraries::Search::from_env());
        let ort = ort.with_optimisation(Optimisation::Disable);
        self.run_on(&ort, feeds).unwrap()
    }
}

fn info(name: &str, elem: ElemType, sizes: Option<&[i64]>) -> ValueInfoProto {
    let dim = |size: &i64| DimensionProto {
        dim_value: (*size >= 0).then_some(*size),
        ..DimensionProto::default()
    };
    let shape = sizes.map(|sizes| TensorShapeProto { dim: sizes.iter().map(dim).collect() });
    let tensor = TensorTypeProto { elem_type: Some(elem.code()), shape };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// Panics at the first element that has other bits.
#[cfg(feature = "ort")]
fn same(got: &HostTensor, want: &HostTensor, words: &str) {
    assert_eq!((got.shape(), got.dtype()), (want.shape(), want.dtype()), "{words}");
    let (got, want) = (bits(got), bits(want));
    if let Some(at) = (0..got.len()).find(|at| got[*at] != want[*at]) {
        panic!("{words}: element {at} is {:#x}, ONNX Runtime says {:#x}", got[at], want[at]);
    }
}

#[cfg(feature = "ort")]
fn bits(tensor: &HostTensor) -> Vec<u64> {
    use crate::tensor::Data;
    match tensor.data() {
        Data::F32(v) => v.iter().map(|x| x.to_bits().into()).collect(),
        Data::F16(v) => v.iter().map(|x| x.to_bits().into()).collect(),
        Data::F8E4M3(v) => v.iter().map(|x| x.0.into()).collect(),
        Data::I8(v) => v.iter().map(|x| *x as u64).collect(),
        other => panic!("no bits of {other:?}"),
    }
}

pub(super) fn le_f32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(super) fn le_f16(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()
}

/// Bytes of floats of type `elem`.
pub(super) fn le(elem: ElemType, values: &[f32]) -> Vec<u8> {
    if elem == ElemType::Float { le_f32(values) } else { le_f16(values) }
}

/// A tensor of floats of type `elem`.
pub(super) fn floats(elem: ElemType, shape: &[usize], values: &[f32]) -> HostTensor {
    match elem {
        ElemType::Float => HostTensor::of(shape, values.to_vec()),
        _ => HostTensor::of(shape, values.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>()),
    }
}

/// A tensor of codes that can be an input.
pub(super) fn codes(elem: ElemType, shape: &[usize], codes: &[u8]) -> HostTensor {
    match elem {
        ElemType::Int8 => HostTensor::of(shape, codes.iter().map(|c| *c as i8).collect::<Vec<_>>()),
        _ => HostTensor::of(shape, codes.iter().map(|c| F8E4M3(*c)).collect::<Vec<_>>()),
    }
}
