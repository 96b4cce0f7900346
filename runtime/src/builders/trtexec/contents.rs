//! What stands in an ONNX file that old versions of TensorRT must be told, or cannot compile.

use std::{collections::BTreeSet, path::Path};

use onr_onnx::{ElemType, Model, OnnxError, elem_types, proto::ValueInfoProto};

/// Types and nodes of one graph.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Contents {
    /// Names and types of the inputs, in the order of the file.
    pub(super) inputs: Vec<(String, Option<ElemType>)>,
    /// The same of the outputs.
    pub(super) outputs: Vec<(String, Option<ElemType>)>,
    /// Every type of a value or a weight.
    pub(super) types: BTreeSet<ElemType>,
    /// Does it have `QuantizeLinear` or `DequantizeLinear`?
    pub(super) quantized: bool,
    /// Nodes that compute in 32-bit floats, by name.
    pub(super) wide: Vec<String>,
}

/// Operators that compute with floats, and do not only move them.
const ARITHMETIC: [&str; 35] = [
    "Abs",
    "Add",
    "Clip",
    "Cos",
    "CumSum",
    "Div",
    "Einsum",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "Gemm",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Sigmoid",
    "Sin",
    "Softmax",
    "Sqrt",
    "Sub",
    "Tanh",
];

impl Contents {
    /// Reads the file; weights in files beside it are not touched.
    pub(super) fn read(onnx: &Path) -> Result<Self, OnnxError> {
        Ok(Self::of(&Model::open(onnx)?))
    }

    fn of(model: &Model) -> Self {
        let graph = model.graph();
        let types = elem_types(graph);
        let typed = |info: &ValueInfoProto| {
            let name = info.label().to_owned();
            let elem = info.tensor().and_then(|t| t.elem_type).and_then(ElemType::of);
            (name, elem)
        };
        let weight = |info: &&ValueInfoProto| {
            graph.initializer.iter().any(|tensor| tensor.label() == info.label())
        };
        let wide = graph.node.iter().filter(|node| {
            let first = node.output.first().and_then(|output| types.get(output));
            ARITHMETIC.contains(&node.op())
                && node.name.as_deref().is_some_and(|name| !name.is_empty())
                && first == Some(&ElemType::Float)
        });
        Self {
            inputs: graph.input.iter().filter(|info| !weight(info)).map(typed).collect(),
            outputs: graph.output.iter().map(typed).collect(),
            quantized: graph
                .node
                .iter()
                .any(|node| matches!(node.op(), "QuantizeLinear" | "DequantizeLinear")),
            wide: wide.map(|node| node.label().to_owned()).collect(),
            types: types.into_values().collect(),
        }
    }

    /// Inputs, then outputs.
    pub(super) fn interface(&self) -> impl Iterator<Item = &(String, Option<ElemType>)> {
        self.inputs.iter().chain(&self.outputs)
    }
}
