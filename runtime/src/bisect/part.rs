//! Some nodes of a model as a model of their own.

use std::collections::{BTreeSet, HashSet};

use onr_exporter::onnx::elem_type;
use onr_onnx::{
    ElemType, Model,
    edit::{cast, reads},
    proto::{
        DimensionProto, GraphProto, ModelProto, NodeProto, TensorShapeProto, TensorTypeProto,
        TypeProto, ValueInfoProto,
    },
};

use super::{plan::Region, side::Side, side::as_type};
use crate::tensor::{Feeds, HostTensor};

/// The nodes of a region with the constants that they read. `inputs` are the values that come in, `outputs`
/// those that are wanted.
///
/// BF16 comes in as F32 and is rounded inside: no archive of arrays holds it.
pub(super) fn part(model: &Model, region: &Region, inputs: &Feeds, outputs: &Feeds) -> ModelProto {
    let graph = model.graph();
    let mut nodes: Vec<NodeProto> = Vec::new();
    let narrow: BTreeSet<&String> =
        inputs.iter().filter(|(_, t)| is_bf16(t)).map(|(name, _)| name).collect();
    nodes.extend(narrow.iter().map(|name| cast(name, &rounded(name), ElemType::Bfloat16)));
    for node in region.nodes.iter().map(|at| &graph.node[*at]) {
        let mut node = node.clone();
        for input in node.input.iter_mut().filter(|input| narrow.contains(&**input)) {
            *input = rounded(input);
        }
        nodes.push(node);
    }
    let read: HashSet<String> = nodes.iter().flat_map(reads).collect();
    let constants = graph.initializer.iter().filter(|t| read.contains(t.label())).cloned();
    let graph = GraphProto {
        initializer: constants.collect(),
        name: graph.name.clone(),
        input: inputs.iter().map(|(name, t)| info(name, fed(t))).collect(),
        output: outputs.iter().map(|(name, t)| info(name, (elem_type(t.dtype()), t))).collect(),
        node: nodes,
        ..GraphProto::default()
    };
    let whole = model.proto();
    ModelProto {
        ir_version: whole.ir_version,
        producer_name: whole.producer_name.clone(),
        opset_import: whole.opset_import.clone(),
        functions: whole.functions.clone(),
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// Values as such a model takes them: those of `values` in the candidate's types.
pub(super) fn inputs(side: &Side<'_>, region: &Region, values: &Feeds) -> Feeds {
    let typed = |name: &String| {
        let value = values.get(name)?;
        let elem = side.types.get(name).copied();
        let value = elem.and_then(|elem| as_type(value, elem)).unwrap_or_else(|| value.clone());
        Some((name.clone(), value))
    };
    region.inputs.iter().filter_map(typed).collect()
}

/// The same with what is BF16 as F32.
pub(super) fn wide(inputs: &Feeds) -> Feeds {
    let wide = |tensor: &HostTensor| match is_bf16(tensor) {
        true => as_type(tensor, ElemType::Float).unwrap_or_else(|| tensor.clone()),
        false => tensor.clone(),
    };
    inputs.iter().map(|(name, tensor)| (name.clone(), wide(tensor))).collect()
}

fn is_bf16(tensor: &HostTensor) -> bool {
    elem_type(tensor.dtype()) == ElemType::Bfloat16
}

fn rounded(name: &str) -> String {
    format!("{name}/bf16")
}

fn fed(tensor: &HostTensor) -> (ElemType, &HostTensor) {
    let elem = elem_type(tensor.dtype());
    (if elem == ElemType::Bfloat16 { ElemType::Float } else { elem }, tensor)
}

fn info(name: &str, (elem, tensor): (ElemType, &HostTensor)) -> ValueInfoProto {
    let size = |n: &usize| DimensionProto {
        dim_value: i64::try_from(*n).ok(),
        ..DimensionProto::default()
    };
    let tensor_type = TensorTypeProto {
        elem_type: Some(elem.code()),
        shape: Some(TensorShapeProto { dim: tensor.shape().iter().map(size).collect() }),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
