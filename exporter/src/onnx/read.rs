//! What an ONNX file says about itself, without its weights.

use std::{collections::BTreeMap, path::Path};

use onr_graphs::DType;
use onr_onnx::{
    ElemType, Model,
    proto::{EXTERNAL, GraphProto, ValueInfoProto},
};
use serde::Serialize;

use super::encode::elem_type;
use crate::{error::ExportError, export::TensorInfo};

/// An ONNX file, read and checked for where its weights lie.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnnxFile {
    /// Name of the graph.
    pub name: String,
    /// Program that wrote it.
    pub producer: String,
    /// IR version.
    pub ir_version: i64,
    /// Opset of the default domain.
    pub opset: i64,
    /// Free strings of the file.
    pub metadata: BTreeMap<String, String>,
    /// Inputs that are not initializers.
    pub inputs: Vec<TensorInfo>,
    /// Outputs.
    pub outputs: Vec<TensorInfo>,
    /// Number of nodes by operator.
    pub operators: BTreeMap<String, usize>,
    /// Number of initializers.
    pub initializers: usize,
    /// Files beside this one that hold initializers, and how many bytes of each are used.
    pub external: BTreeMap<String, u64>,
}

impl OnnxFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Onnx`] for what is no model or names bytes that its
    /// external file doesn't have, [`ExportError::Escape`] for external data outside its directory.
    pub fn read(path: &Path) -> Result<Self, ExportError> {
        Ok(Self::of(&Model::open(path)?))
    }

    /// What a model says about itself.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let (proto, graph) = (model.proto(), model.graph());
        let props = proto.metadata_props.iter().cloned();
        let mut operators = BTreeMap::new();
        for node in &graph.node {
            *operators.entry(node.op().to_owned()).or_default() += 1;
        }
        Self {
            producer: proto.producer_name.clone().unwrap_or_default(),
            ir_version: proto.ir_version.unwrap_or_default(),
            opset: model.opset(),
            metadata: props.filter_map(|p| Some((p.key?, p.value?))).collect(),
            inputs: inputs(graph),
            outputs: graph.output.iter().map(info).collect(),
            operators,
            initializers: graph.initializer.len(),
            external: external(model),
            name: graph.name.clone().unwrap_or_default(),
        }
    }
}

fn inputs(graph: &GraphProto) -> Vec<TensorInfo> {
    let is_initializer = |v: &&ValueInfoProto| graph.initializer.iter().any(|t| t.name == v.name);
    graph.input.iter().filter(|v| !is_initializer(v)).map(info).collect()
}

/// External files and the bytes used of each.
fn external(model: &Model) -> BTreeMap<String, u64> {
    let mut files: BTreeMap<String, u64> = BTreeMap::new();
    for tensor in model.graph().initializer.iter().filter(|t| t.data_location == Some(EXTERNAL)) {
        let length = model.bytes(tensor).map_or(0, |bytes| bytes.len() as u64);
        *files.entry(tensor.external("location").unwrap_or_default().to_owned()).or_default() +=
            length;
    }
    files
}

fn info(value: &ValueInfoProto) -> TensorInfo {
    let tensor = value.tensor();
    let dims = tensor.and_then(|t| t.shape.as_ref()).map(|s| s.dim.as_slice()).unwrap_or_default();
    let code = tensor.and_then(|t| t.elem_type).unwrap_or_default();
    let ours = DType::ALL.into_iter().find(|t| elem_type(*t).code() == code);
    let theirs =
        || ElemType::of(code).map_or_else(|| format!("onnx-type-{code}"), |t| t.to_string());
    TensorInfo {
        name: value.name.clone().unwrap_or_default(),
        dtype: ours.map_or_else(theirs, |t| t.name().to_owned()),
        shape: dims
            .iter()
            .map(|d| match (&d.dim_param, d.dim_value) {
                (Some(name), _) => name.clone(),
                (None, Some(n)) => n.to_string(),
                (None, None) => "?".to_owned(),
            })
            .collect(),
    }
}
