//! A checkpoint and a model configuration to ONNX files that share one file of weights.

use std::{collections::BTreeMap, path::Path};

use onr_graphs::{
    DType, Graph, GraphKind, GraphOptions, ItemInput, ModelConfig, Precision, Profile, build,
    graph::ValueId, ops::minimum_opset,
};
use onr_onnx::proto::GraphProto;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::{
    artifact::{self, Artifact, FileRecord},
    checkpoint::{Checkpoint, CheckpointRecord, Narrowing, convert, dither, float_type},
    error::ExportError,
    onnx::{Placement, encode},
    progress::Progress,
};

/// The file that holds the weights of all graphs of a directory.
pub const WEIGHTS_FILE: &str = "weights.data";

/// First bytes of tensors in [`WEIGHTS_FILE`] are multiples of this.
const ALIGNMENT: u64 = 64;

/// Most elements of a TensorRT tensor.
const MAX_ELEMENTS: usize = i32::MAX as usize;

/// What to export, and where.
#[derive(Debug, Clone, Copy)]
pub struct ExportJob<'a> {
    /// The model.
    pub config: &'a ModelConfig,
    /// Precision and the shape of the interface.
    pub options: &'a GraphOptions,
    /// Which graphs, in any order.
    pub graphs: &'a [GraphKind],
    /// The weights.
    pub checkpoint: &'a Checkpoint,
    /// Refuse a checkpoint with names that the model does not have.
    pub strict: bool,
    /// Ranges that the graphs must be buildable for.
    pub profile: &'a Profile,
    /// Give weights the values that an export in this precision would hold, in an FP32 export: what
    /// rounding them costs can be measured apart from everything else. Weights that are stored in 16
    /// bits get errors of the size that rounding them once made.
    pub round_weights: Option<Precision>,
    /// An existing directory.
    pub out: &'a Path,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// The graphs, in the order of the contract.
    pub graphs: Vec<ExportedGraph>,
    /// [`WEIGHTS_FILE`].
    pub weights: FileRecord,
    /// Where the weights came from.
    pub checkpoint: CheckpointRecord,
    /// Tensors of the checkpoint that the model does not have.
    pub unknown_weights: Vec<String>,
}

/// One ONNX file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportedGraph {
    /// Name of the graph; the file is `<name>.onnx`.
    pub name: String,
    /// Opset of the default domain.
    pub opset: u32,
    /// Number of nodes.
    pub nodes: usize,
    /// Inputs, in the order of the file.
    pub inputs: Vec<TensorInfo>,
    /// Outputs, in the order of the file.
    pub outputs: Vec<TensorInfo>,
    /// The file.
    pub file: FileRecord,
}

impl ExportedGraph {
    /// `<name>.onnx`
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.onnx", self.name)
    }
}

/// Name, type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// Name in the ONNX file.
    pub name: String,
    /// Element type, as [`DType::name`] writes it.
    pub dtype: String,
    /// Sizes: numbers, or symbols such as `batch`.
    pub shape: Vec<String>,
}

/// Exports graphs and their weights. Equal input gives equal bytes.
///
/// # Errors
/// [`ExportError`]; whatever was being written is removed.
pub fn export(job: &ExportJob<'_>, progress: &dyn Progress) -> Result<Exported, ExportError> {
    let skip = |key: &str| {
        job.options.item_input == ItemInput::Embeddings
            && (key == "item_embedding" || key == "action_embedding")
    };
    let unknown_weights = job.checkpoint.check(job.config, &skip, job.strict)?;
    let graphs = build_graphs(job)?;
    let (layout, total) = place(&graphs);
    progress.stage("export", total);
    // The checkpoint is hashed on another core while its tensors are converted on this one.
    let (weights, checkpoint) = rayon::join(
        || write_weights(job, &layout, progress),
        || job.checkpoint.record_unless(&|| progress.advance(0)),
    );
    let (weights, checkpoint) = (weights?, checkpoint?);
    job.checkpoint.release();
    let placed: BTreeMap<_, _> = layout.into_iter().map(|t| ((t.key, t.dtype), t.place)).collect();
    let graphs =
        graphs.iter().map(|graph| write_graph(job, graph, &placed)).collect::<Result<_, _>>()?;
    Ok(Exported { graphs, weights, checkpoint, unknown_weights })
}

/// The graphs of a job, built and checked but not written.
///
/// # Errors
/// [`ExportError::Graph`], [`ExportError::Retrieval`].
pub fn build_graphs(job: &ExportJob<'_>) -> Result<Vec<Graph>, ExportError> {
    let mut kinds = job.graphs.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.contains(&GraphKind::OneRanker) {
        check_retrieval(job)?;
    }
    kinds.into_iter().map(|kind| Ok(build(job.config, job.options, kind)?)).collect()
}

/// The graphs of a job as messages, in F32 if `wide`: weights have types and sizes, no bytes.
pub(crate) fn outlines(job: &ExportJob<'_>, wide: bool) -> Result<Vec<GraphProto>, ExportError> {
    let precision = if wide { Precision::F32 } else { job.options.precision };
    let options = GraphOptions { precision, ..*job.options };
    let graphs = build_graphs(&ExportJob { options: &options, ..*job })?;
    let placed: BTreeMap<_, _> =
        place(&graphs).0.into_iter().map(|t| ((t.key, t.dtype), t.place)).collect();
    let outline = |graph: &Graph| {
        let mut proto = encode(graph, WEIGHTS_FILE, &placed, &[]).graph.unwrap_or_default();
        for tensor in &mut proto.initializer {
            tensor.external_data.clear();
            tensor.data_location = None;
        }
        proto
    };
    Ok(graphs.iter().map(outline).collect())
}

/// `B * N * V` logits must fit one tensor at the largest batch.
fn check_retrieval(job: &ExportJob<'_>) -> Result<(), ExportError> {
    let batch = job.profile.get("batch").map_or(1, |r| r.max);
    let (tasks, items) = (job.config.n_tasks(), job.config.n_items);
    let logits = batch.checked_mul(tasks).and_then(|n| n.checked_mul(items));
    if logits.is_none_or(|n| n > MAX_ELEMENTS) {
        return Err(ExportError::Retrieval { batch, tasks, items, limit: MAX_ELEMENTS });
    }
    Ok(())
}

/// A tensor and its place in [`WEIGHTS_FILE`].
struct Placed {
    key: String,
    dtype: DType,
    place: Placement,
}

/// Places every tensor that any graph reads once, in the order of first use.
fn place(graphs: &[Graph]) -> (Vec<Placed>, u64) {
    let mut layout: Vec<Placed> = Vec::new();
    let mut end = 0;
    for (key, value) in graphs.iter().flat_map(Graph::weights) {
        if layout.iter().any(|t| t.key == key && t.dtype == value.dtype) {
            continue;
        }
        let elements: usize = value.shape.iter().filter_map(onr_graphs::Dim::fixed).product();
        let offset = u64::next_multiple_of(end, ALIGNMENT);
        let length = (elements * value.dtype.size()) as u64;
        end = offset + length;
        let place = Placement { offset, length };
        layout.push(Placed { key: key.to_owned(), dtype: value.dtype, place });
    }
    (layout, end)
}

fn write_weights(
    job: &ExportJob<'_>,
    layout: &[Placed],
    progress: &dyn Progress,
) -> Result<FileRecord, ExportError> {
    let mut file = Artifact::create(&job.out.join(WEIGHTS_FILE))?;
    let rounded = rounded_keys(job)?;
    let (mut scratch, mut narrowed) = (Vec::new(), Vec::new());
    for tensor in layout {
        let gap = tensor.place.offset - file.size();
        file.put(&[0; ALIGNMENT as usize][..gap as usize])?;
        let Some(stored) = job.checkpoint.tensor(&tensor.key) else { continue };
        let Some(from) = float_type(stored.dtype) else { continue };
        let rounding = rounded.get(&tensor.key).copied();
        for (first, chunk) in stored.chunks(from) {
            // Numbers that are stored in 16 bits were rounded before: only their rounding errors
            // can be made anew.
            let through = rounding.filter(|_| from == DType::F32).unwrap_or(from);
            let way = Narrowing { from, to: through };
            let bytes = convert(&tensor.key, first, chunk, way, &mut narrowed)?;
            let way = Narrowing { from: through, to: tensor.dtype };
            let bytes = convert(&tensor.key, first, bytes, way, &mut scratch)?;
            match rounding.filter(|_| from != DType::F32) {
                None => file.put(bytes)?,
                Some(to) => file.put(&dither(&tensor.key, first, bytes, to))?,
            }
            if progress.advance(bytes.len() as u64).is_break() {
                return Err(ExportError::Interrupted);
            }
        }
    }
    file.finish()
}

/// The tensors that an export in `round_weights` would hold in 16 bits, and that type.
fn rounded_keys(job: &ExportJob<'_>) -> Result<BTreeMap<String, DType>, ExportError> {
    let Some(precision) = job.round_weights else { return Ok(BTreeMap::new()) };
    let options = GraphOptions { precision, ..*job.options };
    let graphs = build_graphs(&ExportJob { options: &options, round_weights: None, ..*job })?;
    let narrow =
        graphs.iter().flat_map(Graph::weights).filter(|(_, v)| v.dtype == precision.dtype());
    Ok(narrow.map(|(key, v)| (key.to_owned(), v.dtype)).collect())
}

fn write_graph(
    job: &ExportJob<'_>,
    graph: &Graph,
    placed: &BTreeMap<(String, DType), Placement>,
) -> Result<ExportedGraph, ExportError> {
    let metadata =
        [("onr.graph", graph.name.as_str()), ("onr.precision", job.options.precision.name())];
    let bytes = encode(graph, WEIGHTS_FILE, placed, &metadata).encode_to_vec();
    let file = artifact::write(&job.out.join(format!("{}.onnx", graph.name)), &bytes)?;
    let infos = |ids: &[ValueId]| ids.iter().map(|&i| info(graph, i)).collect();
    Ok(ExportedGraph {
        name: graph.name.clone(),
        opset: minimum_opset(graph).unwrap_or(17),
        nodes: graph.nodes.len(),
        inputs: infos(&graph.inputs),
        outputs: infos(&graph.outputs),
        file,
    })
}

fn info(graph: &Graph, id: ValueId) -> TensorInfo {
    let value = graph.value(id);
    TensorInfo {
        name: value.name.clone(),
        dtype: value.dtype.name().to_owned(),
        shape: value.shape.iter().map(ToString::to_string).collect(),
    }
}
