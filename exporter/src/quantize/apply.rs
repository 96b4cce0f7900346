//! A plan applied to the graphs of a directory.

use std::path::Path;

use onr_onnx::{Model, proto::StringStringEntryProto};
use onr_precision::{Applied, Plan};
use prost::Message as _;
use serde::Serialize;

use crate::{
    artifact::{self, FileRecord},
    error::ExportError,
    export::{ExportedGraph, WEIGHTS_FILE},
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
        let said = plan.format.map(|format| ("onr.quantized", format.name().to_owned()));
        let tables = applied.tables.iter().map(|t| format!("{}={}", t.table, t.format));
        let tables: Vec<String> = tables.collect();
        let tables = (!tables.is_empty()).then(|| ("onr.tables", tables.join(",")));
        let entries = said.iter().chain(&tables);
        let entries = entries.map(|(key, value)| StringStringEntryProto::new(key, value));
        model.proto_mut().metadata_props.extend(entries);
        let proto = weights.place(&model)?;
        let nodes = model.graph().node.len();
        let file = artifact::write(&to.join(&name), &proto.encode_to_vec())?;
        let opset = u32::try_from(model.opset()).unwrap_or(graph.opset);
        written.push(ExportedGraph { nodes, opset, file, ..graph.clone() });
        report.push(QuantizedGraph { graph: graph.name.clone(), applied });
    }
    Ok(QuantizedDirectory { graphs: written, weights: weights.finish()?, report })
}
