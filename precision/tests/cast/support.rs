//! Models built by hand, and what tests ask of a cast one.
#![expect(clippy::unwrap_used, reason = "only tests call this")]
use std::{collections::BTreeMap, path::Path};

use onr_onnx::{
    ElemType, Model, edit, elem_types, floats,
    proto::{
        AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
        TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    },
    tensor,
};
use onr_precision::{
    Measured, Measurements,
    cast::{CastError, CastJob, CastReport, IoTypes, Rule, cast},
};

/// A graph under construction.
pub(crate) struct Build {
    pub(crate) graph: GraphProto,
    opset: i64,
}

pub(crate) fn info(name: &str, elem: ElemType, dims: &[i64]) -> ValueInfoProto {
    let dim = |d: &i64| DimensionProto { dim_value: Some(*d), ..DimensionProto::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: Some(elem.code()), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

impl Build {
    pub(crate) fn new() -> Self {
        Self::at(17)
    }

    pub(crate) fn at(opset: i64) -> Self {
        let graph = GraphProto { name: Some("test".to_owned()), ..GraphProto::default() };
        Self { graph, opset }
    }

    pub(crate) fn input(mut self, name: &str, elem: ElemType, dims: &[i64]) -> Self {
        self.graph.input.push(info(name, elem, dims));
        self
    }

    pub(crate) fn float_input(self, name: &str) -> Self {
        self.input(name, ElemType::Float, &[2, 4])
    }

    pub(crate) fn output(mut self, name: &str) -> Self {
        self.graph.output.push(info(name, ElemType::Float, &[2, 4]));
        self
    }

    pub(crate) fn weight(mut self, name: &str, dims: &[i64], numbers: &[f32]) -> Self {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.graph.initializer.push(tensor(name, ElemType::Float, dims, bytes));
        self
    }

    /// A 4x4 weight of harmless numbers.
    pub(crate) fn square(self, name: &str) -> Self {
        let numbers: Vec<f32> = (0..16).map(|i| 0.1 * (i as f32 - 7.5)).collect();
        self.weight(name, &[4, 4], &numbers)
    }

    pub(crate) fn ints(mut self, name: &str, numbers: &[i64]) -> Self {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let dims = [numbers.len() as i64];
        self.graph.initializer.push(tensor(name, ElemType::Int64, &dims, bytes));
        self
    }

    /// A node named after its first output; words are split at spaces.
    pub(crate) fn node(self, op: &str, inputs: &str, outputs: &str) -> Self {
        self.with(op, inputs, outputs, |_| {})
    }

    pub(crate) fn with(
        mut self,
        op: &str,
        inputs: &str,
        outputs: &str,
        change: impl FnOnce(&mut NodeProto),
    ) -> Self {
        let inputs: Vec<_> = inputs.split_whitespace().collect();
        let outputs: Vec<_> = outputs.split_whitespace().collect();
        let mut node = edit::node(op, outputs[0], &inputs, &outputs);
        change(&mut node);
        self.graph.node.push(node);
        self
    }

    pub(crate) fn cast(self, input: &str, output: &str, to: ElemType) -> Self {
        self.with("Cast", input, output, |n| n.attribute.push(edit::int("to", to.code().into())))
    }

    pub(crate) fn model(self) -> Model {
        let import = OperatorSetIdProto { domain: None, version: Some(self.opset) };
        let proto = ModelProto {
            ir_version: Some(8),
            opset_import: vec![import],
            graph: Some(self.graph),
            ..ModelProto::default()
        };
        Model::from_proto(Path::new("test.onnx"), proto).unwrap()
    }

    pub(crate) fn fp16(self) -> Cast {
        self.run(ElemType::Float16, &[], IoTypes::Keep).unwrap()
    }

    pub(crate) fn bf16(self) -> Cast {
        self.run(ElemType::Bfloat16, &[], IoTypes::Keep).unwrap()
    }

    pub(crate) fn measured(self, measured: &[(&str, Measured)]) -> Cast {
        self.run(ElemType::Float16, measured, IoTypes::Keep).unwrap()
    }

    pub(crate) fn run(
        self,
        to: ElemType,
        measured: &[(&str, Measured)],
        io: IoTypes,
    ) -> Result<Cast, CastError> {
        run(self.model(), to, measured, io)
    }
}

/// Casts a model; the node `kept` stays.
pub(crate) fn run(
    mut model: Model,
    to: ElemType,
    measured: &[(&str, Measured)],
    io: IoTypes,
) -> Result<Cast, CastError> {
    let measured: Measurements = measured.iter().map(|(n, m)| ((*n).to_owned(), *m)).collect();
    let job = CastJob { to, measured: Some(&measured), io, keep: &|label| label == "kept" };
    let report = cast(&mut model, &job)?;
    let cast = Cast { model, report };
    cast.check_types();
    Ok(cast)
}

/// An attribute that holds a body.
pub(crate) fn body(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(5),
        g: Some(graph),
        ..AttributeProto::default()
    }
}

/// Ordinary numbers up to `max_abs`.
pub(crate) fn upto(max_abs: f32) -> Measured {
    Measured { max_abs, count: 1000, subnormal: 0, flushed: 0 }
}

/// A cast model.
pub(crate) struct Cast {
    pub(crate) model: Model,
    pub(crate) report: CastReport,
}

impl Cast {
    /// The rule that pinned a node, with its number.
    pub(crate) fn pin(&self, node: &str) -> Option<(Rule, Option<f64>)> {
        let pinned = self.report.pinned.iter().find(|p| p.node == node)?;
        Some((pinned.rule, pinned.value))
    }

    pub(crate) fn rule(&self, node: &str) -> Option<Rule> {
        self.pin(node).map(|(rule, _)| rule)
    }

    /// Type of each value, after the cast.
    pub(crate) fn types(&self) -> BTreeMap<String, ElemType> {
        elem_types(self.model.graph())
    }

    pub(crate) fn inputs(&self, node: &str) -> Vec<String> {
        let nodes = &self.model.graph().node;
        nodes.iter().find(|n| n.label() == node).unwrap().input.clone()
    }

    /// Casts as `from -> to`.
    pub(crate) fn casts(&self) -> Vec<String> {
        let casts = self.model.graph().node.iter().filter(|n| n.op() == "Cast");
        casts.map(|n| format!("{} -> {}", n.input[0], n.output[0])).collect()
    }

    pub(crate) fn constant(&self, name: &str) -> Option<(ElemType, Vec<f32>)> {
        let tensor = self.model.initializer(name)?;
        let elem = ElemType::of(tensor.data_type?)?;
        Some((elem, floats(elem, &self.model.bytes(tensor).unwrap())?))
    }

    /// What a strongly typed engine asks: no operator mixes F32 with a narrow type, and every value is made
    /// before it is read.
    pub(crate) fn check_types(&self) {
        let graph = self.model.graph();
        let types = self.types();
        let mut made: Vec<&str> = graph.input.iter().map(|v| v.label()).collect();
        made.extend(graph.initializer.iter().map(|t| t.label()));
        for node in &graph.node {
            let read = node.input.iter().filter(|v| !v.is_empty());
            for value in read {
                assert!(made.contains(&&**value), "{} reads {value} too early", node.label());
            }
            made.extend(node.output.iter().map(|v| &**v));
            if node.op() != "Cast" && node.domain.is_none() {
                let of_type = |(at, v): (usize, &String)| {
                    let fixed = node.op() == "Resize" && at > 0;
                    types.get(v).copied().filter(|_| !fixed)
                };
                let floats = node.input.iter().enumerate().filter_map(of_type);
                let mut floats: Vec<_> = floats.filter(|e| e.is_activation()).collect();
                floats.dedup();
                assert!(floats.len() < 2, "{} ({}) mixes {floats:?}", node.label(), node.op());
            }
        }
        for output in &graph.output {
            let told = output.tensor().unwrap().elem_type.and_then(ElemType::of);
            assert_eq!(told, types.get(output.label()).copied(), "{}", output.label());
        }
    }
}
