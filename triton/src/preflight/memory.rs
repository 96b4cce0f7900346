//! What instances and users take of a GPU.

use onr_exporter::{ExportedGraph, TensorInfo, WEIGHTS_FILE};
use onr_graphs::{DType, Profile};
use serde::Serialize;

use super::{CheckName, check::Check};
use crate::{options::Backend, package::Package, source::Source};

/// Bytes on one GPU, from the manifest. What kernels need besides is in no manifest: it is not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// By model.
    pub models: Vec<ModelMemory>,
    /// Instances of each model.
    pub instances: u64,
    /// Users whose keys and values are held.
    pub users: u64,
    /// Keys and values of one user with the longest history.
    pub bytes_per_user: u64,
    /// All of it.
    pub total: u64,
    /// Memory of the GPU, where it is known.
    pub available: Option<u64>,
}

/// Bytes of one instance of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelMemory {
    /// The model.
    pub model: String,
    /// The plan, or the ONNX file with its weights.
    pub weights: u64,
    /// Inputs and outputs of the largest request: the part of a context that a manifest tells.
    pub context: u64,
}

/// How many of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) instances: u64,
    pub(super) users: u64,
    pub(super) available: Option<u64>,
    pub(super) max_batch: u64,
}

/// Adds up what a package of `source` takes.
pub(super) fn measure(
    source: &Source,
    package: Option<&Package>,
    backend: Backend,
    load: Load,
) -> Memory {
    let graphs = &source.manifest.graphs;
    let models = graphs.iter().map(|graph| {
        let planned = package.and_then(|p| {
            p.models.iter().find(|m| m.graph.as_deref() == Some(graph.name.as_str()))
        });
        let model = planned.map_or_else(|| graph.name.clone(), |m| m.config.name.clone());
        let tensors = graph.inputs.iter().chain(&graph.outputs);
        let bytes = tensors.map(|t| tensor_bytes(t, &source.profile, load.max_batch));
        let context = bytes.fold(0, u64::saturating_add);
        ModelMemory { model, weights: weights(source, graph, backend), context }
    });
    let models: Vec<ModelMemory> = models.collect();
    let one = models.iter().map(|m| m.weights.saturating_add(m.context));
    let instances = one.fold(0, u64::saturating_add).saturating_mul(load.instances);
    let bytes_per_user = bytes_per_user(source);
    let total = instances.saturating_add(bytes_per_user.saturating_mul(load.users));
    let Load { instances, users, available, .. } = load;
    Memory { models, instances, users, bytes_per_user, total, available }
}

/// Each instance loads a copy of its own.
fn weights(source: &Source, graph: &ExportedGraph, backend: Backend) -> u64 {
    let size = |name: &str| source.manifest.files.get(name).map_or(0, |file| file.size);
    match backend {
        Backend::TensorRt => size(&format!("{}.plan", graph.name)),
        _ => size(&graph.file_name()).saturating_add(size(WEIGHTS_FILE)),
    }
}

/// What `encode` makes for one user: `2 L H Dh S` elements, and their scales where they are codes.
fn bytes_per_user(source: &Source) -> u64 {
    let tensors = |graph: &str, output: bool| {
        let graph = source.manifest.graphs.iter().find(|g| g.name == graph)?;
        let (all, begin) = match output {
            true => (&graph.outputs, "present."),
            false => (&graph.inputs, "past_key_values."),
        };
        let bytes = all.iter().filter(|t| t.name.starts_with(begin));
        let sum = bytes.map(|t| tensor_bytes(t, &source.profile, 1)).fold(0, u64::saturating_add);
        Some(sum).filter(|sum| *sum > 0)
    };
    tensors("encode", true).or_else(|| tensors("generate", false)).unwrap_or(0)
}

/// Bytes of a tensor at the largest sizes of a profile.
fn tensor_bytes(tensor: &TensorInfo, profile: &Profile, batch: u64) -> u64 {
    let size = DType::from_name(&tensor.dtype).map_or(1, DType::size) as u64;
    let sizes = tensor.shape.iter().map(|text| axis(text, profile, batch));
    sizes.fold(size, u64::saturating_mul)
}

/// `64`, `kv`, `kv+3`, `2*kv+3`.
fn axis(text: &str, profile: &Profile, batch: u64) -> u64 {
    if let Ok(fixed) = text.parse() {
        return fixed;
    }
    let (scale, rest) =
        text.split_once('*').map_or((1, text), |(s, r)| (s.parse().unwrap_or(1), r));
    let (symbol, offset) =
        rest.split_once('+').map_or((rest, 0), |(s, o)| (s, o.parse().unwrap_or(0)));
    let value = match symbol {
        "batch" => batch,
        other => profile.get(other).map_or(1, |range| range.max as u64),
    };
    value.saturating_mul(scale).saturating_add(offset)
}

/// Does it fit?
pub(super) fn check(memory: &Memory, backend: Backend) -> Check {
    const NAME: CheckName = CheckName::Memory;
    let total = bytes(memory.total);
    if backend == Backend::Python {
        return Check::skipped(NAME, format!("the backend python runs on the CPU: {total} there"));
    }
    let Some(available) = memory.available else {
        let why =
            format!("{total} are needed, and how much there is is not known: give --gpu-memory");
        return Check::skipped(NAME, why);
    };
    if memory.total <= available {
        let found =
            format!("{total} of {}, without the scratch memory of kernels", bytes(available));
        return Check::passed(NAME, found);
    }
    Check::failed(
        NAME,
        format!(
            "{total} are needed, without the scratch memory of kernels, and {} are there",
            bytes(available)
        ),
        "fewer --instances or --users, a profile of smaller sizes, fewer `--graphs`, `--kv int8` or another --precision",
    )
}

/// `1.5 MB`.
fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].iter();
    let mut unit = units.next();
    while value >= 1000.0 {
        value /= 1000.0;
        unit = units.next().or(unit);
    }
    let unit = unit.copied().unwrap_or_default();
    if n < 1000 { format!("{n} {unit}") } else { format!("{value:.1} {unit}") }
}
