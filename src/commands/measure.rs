//! What `quantize` and `cast` share: measuring a model on arrays, and writing the changed model.

use std::{
    collections::BTreeSet,
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use onr_calibration::{Calibration, ModelId, Shard, TensorStats};
use onr_exporter::{
    ExportError, artifact,
    leftovers::{self, Leftover},
    onnx::save,
};
use onr_onnx::Model;
use onr_runtime::{
    backend::RunError,
    backends::ort::OrtBackend,
    calibrate::{Watched, calibrate_model},
    npz::{self, Npz},
};

use super::calibrate::{cores, fill};
use crate::{context::Context, exit::Refusal, settings::read_calibration};

/// What a calibration says it is of.
pub(super) fn identity(model: &Model) -> ModelId {
    let name = model.path().file_name().unwrap_or_default();
    ModelId { name: name.to_string_lossy().into_owned(), sha256: model.sha256() }
}

/// The one graph of such a calibration.
pub(super) const GRAPH: &str = "model";

/// Runs a model on all batches of an archive and counts the values that `wanted` names.
pub(super) fn measure(
    model: &Model,
    id: &ModelId,
    data: &Path,
    wanted: &dyn Fn(&str) -> bool,
    threads: Option<NonZeroUsize>,
    context: &Context,
) -> anyhow::Result<Calibration> {
    let batches = Npz::open(data)?.batches(&npz::inputs(model))?;
    let count = batches.total();
    let progress = context.progress();
    let hash = artifact::hash_file_unless(data, &|| progress.advance(0))?;
    let watched = Watched::only(GRAPH, model, wanted);
    // Its pages are those of the files; the engine maps them once more.
    model.release();
    let backend = OrtBackend::new(context.search.clone());
    let threads = threads.unwrap_or_else(cores);
    let statistics = calibrate_model(&watched, &backend, batches, threads, progress)?;
    let mut calibration = Calibration::new(id.clone(), hash.sha256, Shard::WHOLE);
    calibration.add_samples(count);
    fill(&mut calibration, statistics, &[(GRAPH, &id.sha256)])?;
    Ok(calibration)
}

/// Reads what an earlier run has counted of this model.
pub(super) fn recall(file: &Path, id: &ModelId) -> anyhow::Result<Calibration> {
    let calibration = read_calibration(file)?;
    let of = || format!("{} can't be used", file.display());
    calibration.expect_model(id).with_context(of)?;
    calibration.expect_graph(GRAPH, &id.sha256).with_context(of)?;
    let missing = calibration.missing_shards();
    if !missing.is_empty() {
        let what = format!("{} lacks {} shards", file.display(), missing.len());
        return Err(Refusal::wrong(what).into());
    }
    Ok(calibration)
}

/// Refuses names that are no nodes of the model.
pub(super) fn known_nodes(model: &Model, keep: &[String]) -> Result<(), Refusal> {
    let nodes: BTreeSet<&str> = model.graph().node.iter().map(|n| n.label()).collect();
    let Some(name) = keep.iter().find(|name| !nodes.contains(name.as_str())) else { return Ok(()) };
    let near = nodes.iter().filter(|node| node.contains(name.as_str())).take(3);
    let near: Vec<_> = near.map(|node| format!("`{node}`")).collect();
    let what = Refusal::usage(format!("--keep: the model has no node `{name}`"));
    Err(match near.as_slice() {
        [] => what.hint("`onr quantize` and `onr cast` list the nodes by name"),
        _ => what.hint(format!("did you mean {}?", near.join(" or "))),
    })
}

/// What is not finite of a value, and where first.
pub(super) fn not_finite(name: &str, stats: &TensorStats) -> Option<String> {
    let first = stats.first_non_finite()?;
    let kinds = [
        (stats.nan(), "NaN"),
        (stats.positive_infinity(), "+inf"),
        (stats.negative_infinity(), "-inf"),
    ];
    let kinds: Vec<_> =
        kinds.iter().filter(|(n, _)| *n > 0).map(|(n, kind)| format!("{n} times {kind}")).collect();
    let kinds = kinds.join(", ");
    Some(format!(
        "`{name}` is {kinds} of {} values, first in batch {}",
        stats.count(),
        first.sample
    ))
}

/// What the reader of such words could do next.
pub(super) const NOT_FINITE_HINT: &str =
    "run that batch through the model to see where it leaves the numbers";

/// The inputs of a graph and what its nodes make, in the order of the graph.
pub(super) fn values(model: &Model) -> impl Iterator<Item = &str> {
    let graph = model.graph();
    let inputs = graph.input.iter().map(|i| i.label());
    inputs.chain(graph.node.iter().flat_map(|n| &n.output).map(String::as_str))
}

/// Refuses to write over what is read.
pub(super) fn keep_apart(model: &Model, outs: &[&Path]) -> Result<(), Refusal> {
    let read: Vec<&Path> = std::iter::once(model.path()).chain(model.external_files()).collect();
    let is_same = |a: &Path, b: &Path| match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    };
    let beside: Vec<PathBuf> = outs.iter().map(|out| data_file(out)).collect();
    for out in outs.iter().copied().chain(beside.iter().map(PathBuf::as_path)) {
        if read.iter().any(|file| is_same(file, out)) {
            let what = format!("{} is part of the model that is read", out.display());
            return Err(Refusal::usage(what).hint("write to another name"));
        }
    }
    match outs {
        [a, b] if a == b => Err(Refusal::usage(format!("{} would be written twice", a.display()))),
        _ => Ok(()),
    }
}

/// Where [`save`] puts the tensors of a large model.
fn data_file(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".data");
    out.with_file_name(name)
}

/// A model that was written and checked, but has no name yet. Dropped, nothing remains.
pub(super) struct Staged {
    dir: tempfile::TempDir,
    out: PathBuf,
    /// Bytes of its files.
    pub(super) size: u64,
    _leftover: Leftover,
}

/// Writes a model beside `out`, for [`Staged::place`] to give it the name.
pub(super) fn stage(model: &Model, out: &Path) -> anyhow::Result<Staged> {
    let name = out.file_name().unwrap_or_default();
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |cause: io::Error| ExportError::Write { file: out.to_owned(), cause };
    if name.is_empty() || out.is_dir() {
        return Err(fail(io::ErrorKind::IsADirectory.into()).into());
    }
    let prefix = format!(".onr-{}-", name.to_string_lossy());
    leftovers::sweep(parent, &prefix);
    let dir = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).map_err(fail)?;
    let leftover = Leftover::note(dir.path());
    let file = dir.path().join(name);
    save(model, &file)?;
    let size = |file: &Path| fs::metadata(file).map_or(0, |m| m.len());
    let size = size(&file) + size(&data_file(&file));
    Ok(Staged { dir, out: out.to_owned(), size, _leftover: leftover })
}

impl Staged {
    /// Whether ONNX Runtime takes the file; a warning where it is not here.
    pub(super) fn check(&self, backend: &OrtBackend) -> anyhow::Result<Option<String>> {
        let file = self.file();
        match backend.check(&file) {
            Ok(()) => Ok(None),
            Err(RunError::Missing { what, .. }) => {
                Ok(Some(format!("the result was not checked by ONNX Runtime: {what}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(self.out.file_name().unwrap_or_default())
    }

    /// Gives the files their names.
    pub(super) fn place(self) -> anyhow::Result<()> {
        let fail = |cause| ExportError::Write { file: self.out.clone(), cause };
        let file = self.file();
        if data_file(&file).exists() {
            fs::rename(data_file(&file), data_file(&self.out)).map_err(fail)?;
        }
        fs::rename(&file, &self.out).map_err(fail)?;
        Ok(())
    }
}
