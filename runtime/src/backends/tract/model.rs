//! From an ONNX file to tract's graph, and what it takes and gives.

use std::path::Path;

use onr_graphs::DType;
use tract_onnx::{
    Onnx,
    pb::{
        GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
        tensor_proto::DataType,
        tensor_shape_proto::{Dimension, dimension},
        type_proto,
    },
    prelude::{Framework, InferenceModel, TractResult},
    tract_core::internal::ensure,
};

use super::{NAME, guarded};
use crate::{
    backend::RunError,
    backends::signature::{Axis, Input, Signature},
};

/// A graph as the file has it, sizes still symbolic, constants in memory.
pub(super) struct Parsed {
    pub(super) model: InferenceModel,
    pub(super) signature: Signature,
    /// Names of the outputs, in the order of the graph.
    pub(super) outputs: Vec<String>,
}

pub(super) fn parse(path: &Path) -> Result<Parsed, RunError> {
    let refused = |reason| RunError::Load { backend: NAME, model: path.to_owned(), reason };
    // What the file says of values inside has symbols that would contradict the shapes of a run.
    let onnx = tract_onnx::onnx().with_ignore_value_info(true);
    let proto = guarded(|| onnx.proto_model_for_path(path)).map_err(refused)?;
    let graph = proto.graph.as_ref().ok_or_else(|| refused("it holds no graph".to_owned()))?;
    if let Some(tensor) = bf16_in(graph) {
        return Err(RunError::Type { backend: NAME, tensor, dtype: DType::BF16 });
    }
    let signature = Signature::new(NAME, inputs(graph).map_err(refused)?);
    let outputs = graph.output.iter().map(|output| output.name.clone()).collect();
    let model = guarded(|| read(&onnx, &proto, path)).map_err(refused)?;
    Ok(Parsed { model, signature, outputs })
}

fn read(onnx: &Onnx, proto: &ModelProto, path: &Path) -> TractResult<InferenceModel> {
    let folder = path.parent().and_then(Path::to_str);
    let parsed = onnx.parse(proto, folder)?;
    let missing = parsed.unresolved_inputs;
    ensure!(missing.is_empty(), "nothing makes the values {missing:?}");
    Ok(parsed.model)
}

/// The inputs that must be fed: old files list initialisers among them.
fn inputs(graph: &GraphProto) -> Result<Vec<Input>, String> {
    let fed = |value: &&ValueInfoProto| graph.initializer.iter().all(|i| i.name != value.name);
    graph.input.iter().filter(fed).map(input).collect()
}

fn input(value: &ValueInfoProto) -> Result<Input, String> {
    let name = &value.name;
    let Some(type_proto::Value::TensorType(tensor)) =
        value.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return Err(format!("input `{name}` is no tensor"));
    };
    let dtype = dtype(tensor.elem_type)
        .ok_or_else(|| format!("input `{name}` has ONNX type {}", type_name(tensor.elem_type)))?;
    let axes = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(axis).collect());
    Ok(Input { name: name.clone(), dtype, axes })
}

fn axis(dim: &Dimension) -> Axis {
    match &dim.value {
        Some(dimension::Value::DimValue(size)) => Axis::new(*size, ""),
        Some(dimension::Value::DimParam(name)) => Axis::new(-1, name),
        None => Axis::Unknown,
    }
}

fn dtype(onnx: i32) -> Option<DType> {
    Some(match DataType::try_from(onnx).ok()? {
        DataType::Float => DType::F32,
        DataType::Float16 => DType::F16,
        DataType::Bfloat16 => DType::BF16,
        DataType::Int64 => DType::I64,
        DataType::Bool => DType::Bool,
        _ => return None,
    })
}

fn type_name(onnx: i32) -> String {
    DataType::try_from(onnx)
        .map_or_else(|_| onnx.to_string(), |known| known.as_str_name().to_owned())
}

/// The name of the first value that is BF16, subgraphs included.
fn bf16_in(graph: &GraphProto) -> Option<String> {
    let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    let declared = values.filter(|value| {
        let kind = value.r#type.as_ref().and_then(|t| t.value.as_ref());
        matches!(kind, Some(type_proto::Value::TensorType(t)) if is_bf16(t.elem_type))
    });
    let mut declared = declared.map(|value| &value.name);
    let mut stored = graph.initializer.iter().filter(|t| is_bf16(t.data_type)).map(|t| &t.name);
    let first = stored.next().or_else(|| declared.next()).cloned();
    first.or_else(|| graph.node.iter().find_map(bf16_by))
}

/// The output of a node that casts to BF16, holds such a constant, or has a subgraph with one.
fn bf16_by(node: &NodeProto) -> Option<String> {
    let bf16 = |tensor: &TensorProto| is_bf16(tensor.data_type);
    node.attribute.iter().find_map(|attribute| {
        let casts = node.op_type == "Cast"
            && attribute.name == "to"
            && i32::try_from(attribute.i).is_ok_and(is_bf16);
        if casts || attribute.t.as_ref().is_some_and(bf16) {
            return node.output.first().cloned();
        }
        attribute.g.as_ref().and_then(bf16_in)
    })
}

const fn is_bf16(onnx: i32) -> bool {
    onnx == DataType::Bfloat16 as i32
}
