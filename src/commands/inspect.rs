//! `onr inspect`: what a file holds.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use onr_exporter::{
    Checkpoint, ExportError, TensorInfo,
    artifact::{FileRecord, hash_file},
    onnx::OnnxFile,
    read_model, write_model,
};
use onr_graphs::model::weights::checkpoint as specs;
use onr_requests::RequestReader;
use onr_runtime::{
    builder::BuiltEngine,
    manifest::{MANIFEST_FILE, Manifest},
};
use serde::Serialize;

use crate::{
    args::InspectArgs,
    exit::Refusal,
    show::{Detail, Report, Table, bytes, listed},
};

/// What was found, by kind of file.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Inspected {
    Model { text: String, tensors: usize, parameters: usize },
    Checkpoint(CheckpointView),
    Onnx(OnnxFile),
    Plan(Box<PlanView>),
    Manifest { dir: PathBuf, manifest: Box<Manifest> },
    Requests { requests: usize, longest_history: usize, candidates: usize },
}

#[derive(Serialize)]
pub(crate) struct CheckpointView {
    metadata: BTreeMap<String, String>,
    tensors: Vec<TensorInfo>,
    parameters: usize,
}

#[derive(Serialize)]
pub(crate) struct PlanView {
    file: FileRecord,
    /// What its first bytes say.
    magic: String,
    /// What the manifest beside it says of exactly these bytes.
    recorded: Option<BuiltEngine>,
}

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<Inspected> {
    let file = &args.file;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if file.is_dir() || name == MANIFEST_FILE {
        let dir =
            if file.is_dir() { file.as_path() } else { file.parent().unwrap_or(Path::new("")) };
        let manifest = Box::new(Manifest::read(dir)?);
        return Ok(Inspected::Manifest { dir: dir.to_owned(), manifest });
    }
    if let Err(cause) = file.metadata() {
        return Err(ExportError::Read { file: file.clone(), cause }.into());
    }
    let extension = file.extension().unwrap_or_default().to_string_lossy().into_owned();
    match extension.as_str() {
        "toml" => model(file),
        "safetensors" | "json" => Ok(Inspected::Checkpoint(checkpoint(file)?)),
        "onnx" => Ok(Inspected::Onnx(OnnxFile::read(file)?)),
        "plan" | "engine" => Ok(Inspected::Plan(Box::new(plan(file)?))),
        "jsonl" | "parquet" => requests(file),
        _ => Err(Refusal::usage(format!("{}: not a kind of file that onr knows", file.display()))
            .hint(
                "a directory with onr.json, or .toml, .safetensors, .onnx, .plan, .jsonl, .parquet",
            )
            .into()),
    }
}

fn model(file: &Path) -> anyhow::Result<Inspected> {
    let config = read_model(file)?;
    let specs = specs(&config);
    let parameters = specs.iter().map(|s| s.shape.iter().product::<usize>()).sum();
    Ok(Inspected::Model { text: write_model(&config), tensors: specs.len(), parameters })
}

fn checkpoint(file: &Path) -> anyhow::Result<CheckpointView> {
    let checkpoint = Checkpoint::open(file)?;
    let stored = checkpoint.keys().filter_map(|k| Some((k, checkpoint.tensor(k)?)));
    let tensors: Vec<TensorInfo> = stored
        .map(|(name, t)| TensorInfo {
            name: name.to_owned(),
            dtype: format!("{:?}", t.dtype).to_lowercase(),
            shape: t.shape.iter().map(usize::to_string).collect(),
        })
        .collect();
    let sizes = checkpoint.keys().filter_map(|k| checkpoint.tensor(k));
    let parameters = sizes.map(|t| t.shape.iter().product::<usize>()).sum();
    Ok(CheckpointView { metadata: checkpoint.metadata().clone(), tensors, parameters })
}

/// A plan says little itself: what made it stands in the manifest, which names it by its hash.
fn plan(file: &Path) -> anyhow::Result<PlanView> {
    let mut magic = [0; 4];
    let read = File::open(file).and_then(|mut f| f.read_exact(&mut magic));
    read.map_err(|cause| match cause.kind() {
        ErrorKind::UnexpectedEof => anyhow::Error::from(Refusal::wrong(format!(
            "{} is no plan: it has less than 4 bytes",
            file.display()
        ))),
        _ => ExportError::Read { file: file.to_owned(), cause }.into(),
    })?;
    let magic = match &magic {
        b"vtrt" => "vtrt (TensorRT for RTX: Triton cannot load it)".to_owned(),
        other => format!("{} (not TensorRT for RTX)", other.escape_ascii()),
    };
    let record = hash_file(file)?;
    let dir = file.parent().unwrap_or(Path::new(""));
    let recorded = Manifest::read(dir).ok().and_then(|m| {
        let (name, _) = m.files.iter().find(|(n, r)| n.ends_with(".plan") && **r == record)?;
        m.engines.get(name.trim_end_matches(".plan")).cloned()
    });
    Ok(PlanView { file: record, magic, recorded })
}

fn requests(file: &Path) -> anyhow::Result<Inspected> {
    let (mut requests, mut longest_history, mut candidates) = (0, 0, 0);
    for request in RequestReader::open(file)? {
        let request = request?;
        requests += 1;
        longest_history = longest_history.max(request.items.len());
        candidates = candidates.max(request.candidates.len());
    }
    Ok(Inspected::Requests { requests, longest_history, candidates })
}

fn tensor_lines(title: &str, tensors: &[TensorInfo]) -> String {
    let mut table = Table::default();
    for t in tensors {
        table.row([t.name.clone(), t.dtype.clone(), format!("[{}]", t.shape.join(", "))]);
    }
    format!("{title}\n{}", table.text())
}

fn onnx_text(file: &OnnxFile) -> String {
    let nodes: usize = file.operators.values().sum();
    let operators = file.operators.iter().map(|(op, n)| format!("{op} {n}"));
    let external: Vec<_> =
        file.external.iter().map(|(name, n)| format!("{name} ({})", bytes(*n))).collect();
    let metadata: Vec<_> = file.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!(
        "graph {}: opset {}, IR {}, by {}\n{}\n{}\n{}\n{}\n{} initializers, external data: {}",
        file.name,
        file.opset,
        file.ir_version,
        file.producer,
        metadata.join(", "),
        tensor_lines("inputs", &file.inputs),
        tensor_lines("outputs", &file.outputs),
        listed(&format!("{nodes} nodes:"), operators),
        file.initializers,
        if external.is_empty() { "none".to_owned() } else { external.join(", ") }
    )
}

fn engine_text(engine: &BuiltEngine) -> String {
    let layers = engine.network.layers.iter().map(|(l, n)| format!("{l} {n}"));
    let io = |tensors: &[onr_runtime::builder::IoTensor]| {
        let infos: Vec<TensorInfo> = tensors
            .iter()
            .map(|t| TensorInfo {
                name: t.name.clone(),
                dtype: t.dtype.clone(),
                shape: t.shape.iter().map(i64::to_string).collect(),
            })
            .collect();
        infos
    };
    let targets = match engine.targets.as_slice() {
        [] => "the GPU of the machine that built it".to_owned(),
        list => list.join(", "),
    };
    let made = format!(
        "{} {}, by builder {} with {}, for {targets}",
        engine.kind, engine.version, engine.builder, engine.library
    );
    if engine.network.inputs.is_empty() {
        return format!("{made}\n{} does not say what it understood", engine.builder);
    }
    format!(
        "{made}\n{}\n{}\n{}\n{} layers with F32 outputs",
        tensor_lines("inputs", &io(&engine.network.inputs)),
        tensor_lines("outputs", &io(&engine.network.outputs)),
        listed("layers:", layers),
        engine.network.f32_layers.len()
    )
}

fn manifest_text(dir: &Path, m: &Manifest) -> String {
    let mut lines = vec![format!("{}: written by onr {}", dir.display(), m.onr)];
    if let Some(e) = &m.export {
        lines.push(format!(
            "export     {}, inputs and outputs {}, integers {}, items as {}, filter {}, top-k {}",
            e.precision, e.io_precision, e.ids, e.item_input, e.filter, e.top_k
        ));
    }
    let ranges: Vec<_> = m.profile.iter().map(|(n, r)| format!("{n}={r}")).collect();
    lines.push(format!("profile    {}", ranges.join(",")));
    for (symbol, axis) in &m.axes {
        let buckets: Vec<_> = axis.buckets.iter().map(usize::to_string).collect();
        let (profiles, buckets) = (axis.profiles.join(", "), buckets.join(", "));
        lines.push(format!("profiles   {symbol}: {profiles}; buckets {buckets}"));
    }
    if let Some(c) = &m.checkpoint {
        let untrained = if c.untrained { ", untrained" } else { "" };
        let path = c.path.display();
        lines.push(format!("checkpoint {path}, {}, {:.16}..{untrained}", bytes(c.size), c.sha256));
    }
    if let Some(e) = m.engines.values().next() {
        lines.push(format!("engines    {} {} for {}", e.kind, e.version, e.targets.join(", ")));
    }
    if let Some(p) = &m.parity {
        let verdict = if p.passed() { "holds" } else { "FAILS" };
        lines.push(format!("parity     {verdict}: {} on {} requests", p.candidate, p.requests));
        lines.push(format!("against    {}", p.reference));
    }
    let mut table = Table::new(&["file", "size", "sha256"]);
    for (name, record) in &m.files {
        table.row([name.clone(), bytes(record.size), format!("{:.16}..", record.sha256)]);
    }
    lines.push(table.text());
    lines.join("\n")
}

impl Report for Inspected {
    fn human(&self, _: Detail) -> String {
        match self {
            Self::Model { text, tensors, parameters } => {
                format!("{text}\n{tensors} tensors, {parameters} parameters")
            }
            Self::Checkpoint(view) => {
                let metadata: Vec<_> =
                    view.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!(
                    "{}\n{} parameters\n{}",
                    tensor_lines("tensors", &view.tensors),
                    view.parameters,
                    metadata.join(", ")
                )
            }
            Self::Onnx(file) => onnx_text(file),
            Self::Plan(view) => {
                let known = view.recorded.as_ref().map_or_else(
                    || "no manifest beside it names this file".to_owned(),
                    engine_text,
                );
                format!("plan, {}, begins with {}\n{known}", bytes(view.file.size), view.magic)
            }
            Self::Manifest { dir, manifest } => manifest_text(dir, manifest),
            Self::Requests { requests, longest_history, candidates } => format!(
                "{requests} requests, longest history {longest_history}, at most {candidates} candidates"
            ),
        }
    }
}
