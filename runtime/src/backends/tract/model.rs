//! From an ONNX file to tract's graph, and what it takes and gives.

use std::{error::Error as _, path::Path};

use onr_graphs::DType;
use onr_onnx::{
    ElemType, Model, OnnxError, elem_types,
    proto::{DimensionProto, GraphProto, NodeProto, ValueInfoProto},
};
use prost::Message as _;
use tract_onnx::{
    Onnx,
    pb::ModelProto,
    prelude::{Framework, InferenceModel, TractResult},
    tract_core::internal::ensure,
};

use super::{NAME, guarded, quant};
use crate::{
    backend::RunError,
    backends::signature::{Axis, Input, Signature},
    tensor::dtype_of,
};

/// A graph as the file has it, sizes still symbolic, constants in memory.
pub(super) struct Parsed {
    pub(super) model: InferenceModel,
    pub(super) signature: Signature,
    /// The outputs, in the order of the graph.
    pub(super) outputs: Vec<Output>,
}

/// An output of a graph.
pub(super) struct Output {
    pub(super) name: String,
    /// Its bytes are FP8.
    pub(super) is_f8: bool,
}

pub(super) fn parse(path: &Path) -> Result<Parsed, RunError> {
    let refused = |reason| RunError::Load { backend: NAME, model: path.to_owned(), reason };
    let mut file = Model::open(path).map_err(|error| refused(in_words(&error)))?;
    if let Some(tensor) = bf16_in(file.graph()) {
        return Err(RunError::Type { backend: NAME, tensor, dtype: DType::BF16 });
    }
    let types = elem_types(file.graph());
    let signature = Signature::new(NAME, inputs(file.graph()).map_err(refused)?);
    let output = |info: &ValueInfoProto| Output {
        name: info.label().to_owned(),
        is_f8: types.get(info.label()) == Some(&ElemType::Float8E4M3Fn),
    };
    let outputs = file.graph().output.iter().map(output).collect();
    let quantized = quant::adapt(&mut file, &types).map_err(refused)?;
    let model = guarded(|| if quantized { read_adapted(file, path) } else { read(path) });
    Ok(Parsed { model: model.map_err(refused)?, signature, outputs })
}

/// With the reason that stands behind the message.
fn in_words(error: &OnnxError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn read(path: &Path) -> TractResult<InferenceModel> {
    let onnx = framework();
    resolved(&onnx, &onnx.proto_model_for_path(path)?, path)
}

/// Reads a file whose messages were changed.
fn read_adapted(file: Model, path: &Path) -> TractResult<InferenceModel> {
    let mut onnx = framework();
    quant::register(&mut onnx);
    let proto = ModelProto::decode(file.proto().encode_to_vec().as_slice())?;
    drop(file);
    let mut model = resolved(&onnx, &proto, path)?;
    drop(proto);
    quant::check(&model)?;
    quant::fold(&mut model)?;
    Ok(model)
}

fn framework() -> Onnx {
    // What the file says of values inside has symbols that would contradict the shapes of a run.
    tract_onnx::onnx().with_ignore_value_info(true)
}

fn resolved(onnx: &Onnx, proto: &ModelProto, path: &Path) -> TractResult<InferenceModel> {
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
    let name = value.label();
    let Some(tensor) = value.tensor() else {
        return Err(format!("input `{name}` is no tensor"));
    };
    let code = tensor.elem_type.unwrap_or_default();
    let dtype =
        dtype(code).ok_or_else(|| format!("input `{name}` has ONNX type {}", type_name(code)))?;
    let axes = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(axis).collect());
    Ok(Input { name: name.to_owned(), dtype, axes })
}

fn axis(dim: &DimensionProto) -> Axis {
    match (dim.dim_value, &dim.dim_param) {
        (Some(size), _) => Axis::new(size, ""),
        (None, Some(name)) => Axis::new(-1, name),
        (None, None) => Axis::Unknown,
    }
}

fn dtype(onnx: i32) -> Option<DType> {
    dtype_of(ElemType::of(onnx)?)
}

fn type_name(onnx: i32) -> String {
    ElemType::of(onnx).map_or_else(|| onnx.to_string(), |known| known.to_string())
}

/// The name of the first value that is BF16, subgraphs included.
fn bf16_in(graph: &GraphProto) -> Option<String> {
    let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    let declared = values.filter(|v| v.tensor().is_some_and(|t| is_bf16(t.elem_type)));
    let mut declared = declared.map(ValueInfoProto::label);
    let mut stored = graph.initializer.iter().filter(|t| is_bf16(t.data_type)).map(|t| t.label());
    let first = stored.next().or_else(|| declared.next()).map(str::to_owned);
    first.or_else(|| graph.node.iter().find_map(bf16_by))
}

/// The output of a node that casts to BF16, holds such a constant, or has a subgraph with one.
fn bf16_by(node: &NodeProto) -> Option<String> {
    let casts = node.op() == "Cast" && is_bf16(node.int("to").and_then(|to| to.try_into().ok()));
    let holds = |tensor: &onr_onnx::proto::TensorProto| is_bf16(tensor.data_type);
    if casts || node.attribute.iter().any(|a| a.t.as_ref().is_some_and(holds)) {
        return node.output.first().cloned();
    }
    node.attribute.iter().find_map(|attribute| attribute.g.as_ref().and_then(bf16_in))
}

fn is_bf16(onnx: Option<i32>) -> bool {
    onnx == Some(ElemType::Bfloat16.code())
}
