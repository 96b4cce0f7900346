//! A plan applied to the graphs of a directory.

use std::path::Path;

use onr_graphs::DType;
use onr_onnx::{Model, proto::StringStringEntryProto};
use onr_precision::{Applied, Plan, qdq::Format};
use prost::Message as _;
use serde::Serialize;

use super::SCALE_KEY;
use crate::{
    artifact::{self, FileRecord},
    error::ExportError,
    export::{ExportedGraph, TensorInfo, WEIGHTS_FILE},
    onnx::Weights,
};

/// One graph, rewritten.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuantizedGraph {
    /// Its name.
    pub graph: String,
    /// What became of its products.
    #[serde(flatten)]
    pub applied: Applied,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedDirectory {
    /// The graphs.
    pub graphs: Vec<ExportedGraph>,
    /// Their weights.
    pub weights: FileRecord,
    /// What became of the products.
    pub report: Vec<QuantizedGraph>,
}

/// Rewrites the graphs of `from` into `to`, where they share a new file of weights.
///
/// # Errors
/// [`ExportError`].
pub fn apply_to_directory(
    plan: &Plan,
    graphs: &[ExportedGraph],
    from: &Path,
    to: &Path,
) -> Result<QuantizedDirectory, ExportError> {
    let mut weights = Weights::create(to, WEIGHTS_FILE)?;
    let (mut written, mut report) = (Vec::new(), Vec::new());
    for graph in graphs {
        let name = graph.file_name();
        let mut model = Model::open(&from.join(&name))?;
        let applied = plan.apply(&mut model)?;
        model.proto_mut().metadata_props.extend(said(plan, &applied));
        let proto = weights.place(&model)?;
        let nodes = model.graph().node.len();
        let file = artifact::write(&to.join(&name), &proto.encode_to_vec())?;
        let opset = u32::try_from(model.opset()).unwrap_or(graph.opset);
        let (inputs, outputs) = (coded(plan, &graph.inputs), coded(plan, &graph.outputs));
        let name = graph.name.clone();
        written.push(ExportedGraph { name, nodes, opset, file, inputs, outputs });
        report.push(QuantizedGraph { graph: graph.name.clone(), applied });
    }
    Ok(QuantizedDirectory { graphs: written, weights: weights.finish()?, report })
}

/// What a file says of itself, for clients that have nothing but it.
fn said(plan: &Plan, applied: &Applied) -> Vec<StringStringEntryProto> {
    let mut entries = Vec::new();
    let mut say = |key: &str, value: &str| entries.push(StringStringEntryProto::new(key, value));
    if let Some(format) = plan.format {
        say("onr.quantized", format.name());
    }
    if !applied.tables.is_empty() {
        let tables = applied.tables.iter().map(|t| format!("{}={}", t.table, t.format));
        say("onr.tables", &tables.collect::<Vec<_>>().join(","));
    }
    for passed in &applied.passed {
        say(&format!("{SCALE_KEY}{}", passed.tensor), &passed.scale.to_string());
    }
    entries
}

/// Inputs or outputs with the types that the plan gives them.
fn coded(plan: &Plan, infos: &[TensorInfo]) -> Vec<TensorInfo> {
    let of = |info: &TensorInfo| {
        let interface = plan.interface.as_ref();
        let interface = interface.filter(|interface| interface.scales.contains_key(&info.name));
        let dtype = interface.map(|interface| match interface.format {
            Format::Int8 => DType::I8,
            Format::Fp8 => DType::F8E4M3,
        });
        let dtype = dtype.map_or_else(|| info.dtype.clone(), |dtype| dtype.name().to_owned());
        TensorInfo { dtype, ..info.clone() }
    };
    infos.iter().map(of).collect()
}
