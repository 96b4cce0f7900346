//! What an ONNX file says about itself, without its weights.

use std::{collections::BTreeMap, fs, path::Path};

use onr_graphs::DType;
use prost::Message;
use serde::Serialize;

use super::{
    encode::elem_type,
    proto::{EXTERNAL, GraphProto, ModelProto, ValueInfoProto},
};
use crate::{checkpoint::confined, error::ExportError, export::TensorInfo};

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
        let bytes = fs::read(path).map_err(|cause| ExportError::read(path, cause))?;
        let refuse = |reason: String| ExportError::Onnx { file: path.to_owned(), reason };
        let model = ModelProto::decode(bytes.as_slice()).map_err(|e| refuse(e.to_string()))?;
        let graph = model.graph.ok_or_else(|| refuse("it has no graph".into()))?;
        let default = |d: &Option<String>| matches!(d.as_deref(), None | Some("" | "ai.onnx"));
        let opset = model.opset_import.iter().find(|o| default(&o.domain));
        let props = model.metadata_props.into_iter();
        let mut operators = BTreeMap::new();
        for node in &graph.node {
            *operators.entry(node.op_type.clone().unwrap_or_default()).or_default() += 1;
        }
        Ok(Self {
            producer: model.producer_name.unwrap_or_default(),
            ir_version: model.ir_version.unwrap_or_default(),
            opset: opset.and_then(|o| o.version).unwrap_or_default(),
            metadata: props.filter_map(|p| Some((p.key?, p.value?))).collect(),
            inputs: inputs(&graph),
            outputs: graph.output.iter().map(info).collect(),
            operators,
            initializers: graph.initializer.len(),
            external: external(path, &graph)?,
            name: graph.name.unwrap_or_default(),
        })
    }
}

fn inputs(graph: &GraphProto) -> Vec<TensorInfo> {
    let is_initializer = |v: &&ValueInfoProto| graph.initializer.iter().any(|t| t.name == v.name);
    graph.input.iter().filter(|v| !is_initializer(v)).map(info).collect()
}

/// External files and the bytes used of each, all inside the model's directory.
fn external(path: &Path, graph: &GraphProto) -> Result<BTreeMap<String, u64>, ExportError> {
    let mut files: BTreeMap<String, u64> = BTreeMap::new();
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for tensor in graph.initializer.iter().filter(|t| t.data_location == Some(EXTERNAL)) {
        let location = tensor.external("location").unwrap_or_default().to_owned();
        confined(path, &location)?;
        let number = |key| tensor.external(key).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        let length = number("length");
        *files.entry(location.clone()).or_default() += length;
        let end = ends.entry(location).or_default();
        *end = (*end).max(number("offset").saturating_add(length));
    }
    for (location, end) in ends {
        let file = confined(path, &location)?;
        let size = fs::metadata(&file).map_err(|cause| ExportError::read(&file, cause))?.len();
        if end > size {
            return Err(ExportError::Onnx {
                file: path.to_owned(),
                reason: format!("it reads {end} bytes of {location}, which has {size}"),
            });
        }
    }
    Ok(files)
}

fn info(value: &ValueInfoProto) -> TensorInfo {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let dims = tensor.and_then(|t| t.shape.as_ref()).map(|s| s.dim.as_slice()).unwrap_or_default();
    let elem = tensor.and_then(|t| t.elem_type).unwrap_or_default();
    let known = [DType::F32, DType::F16, DType::BF16, DType::I64, DType::Bool];
    let dtype = known.into_iter().find(|t| elem_type(*t) == elem);
    TensorInfo {
        name: value.name.clone().unwrap_or_default(),
        dtype: dtype.map_or_else(|| format!("onnx-type-{elem}"), |t| t.name().to_owned()),
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
