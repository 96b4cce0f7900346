//! The plan of a graph, found through the manifest that lies beside both.

use std::path::{Path, PathBuf};

use crate::{
    builder::{BuiltEngine, PlanKind},
    manifest::Manifest,
};

/// Who wants to load a plan.
pub(super) struct Reader<'a> {
    /// The kind of plan that it loads.
    pub(super) kind: PlanKind,
    /// Its version: plans load only in the version that wrote them.
    pub(super) version: &'a str,
    /// What messages call it.
    pub(super) name: &'a str,
    /// The word of `--builder` that makes such plans.
    pub(super) builder: &'a str,
}

/// A plan that its reader can load, as far as can be known without trying.
#[derive(Debug)]
pub(super) struct Plan {
    /// The file, absolute.
    pub(super) file: PathBuf,
    /// Name of the graph.
    pub(super) graph: String,
    /// What made it.
    pub(super) engine: BuiltEngine,
    /// The manifest that names it.
    pub(super) manifest: Manifest,
}

/// The plan of the ONNX file `model`.
///
/// # Errors
/// The file that is at fault and why.
pub(super) fn beside(model: &Path, reader: &Reader<'_>) -> Result<Plan, (PathBuf, String)> {
    let dir = model.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let graph = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let builder = reader.builder;
    let advice = format!("`onr build-engine --builder {builder}` writes graphs and plans");
    let of_model = |reason| (model.to_owned(), reason);
    let manifest = Manifest::read(dir).map_err(|error| {
        of_model(format!("it runs plans, and no manifest names one: {error}; {advice}"))
    })?;
    let engine =
        manifest.engines.get(&graph).cloned().ok_or_else(|| {
            of_model(format!("{} has no plan of {graph}; {advice}", dir.display()))
        })?;
    let file = dir.join(format!("{graph}.plan"));
    let made_by = format!("{} {}", engine.kind, engine.version);
    if engine.kind != reader.kind {
        let wanted = match reader.kind {
            PlanKind::Tensorrt => "data-centre plans",
            PlanKind::TensorrtRtx => "plans for it",
        };
        let reason = format!(
            "it is a plan of {made_by}; {wanted} are made by `onr build-engine --builder {builder}`"
        );
        return Err((file, reason));
    }
    if engine.version != reader.version {
        let reason = format!(
            "it was written by {made_by}, {} is {} {}, and a plan loads only in the version that wrote it",
            reader.name, reader.kind, reader.version
        );
        return Err((file, reason));
    }
    match std::fs::metadata(&file).and_then(|_| std::path::absolute(&file)) {
        Ok(file) => Ok(Plan { file, graph, engine, manifest }),
        Err(error) => Err((file, error.to_string())),
    }
}
