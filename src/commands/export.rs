//! `onr export`: ONNX graphs and their shared weights.

use std::path::{Path, PathBuf};

use onr_exporter::{ExportError, ExportJob, Exported, OutDir, WEIGHTS_FILE, export};
use onr_runtime::manifest::{MANIFEST_FILE, Manifest};
use serde::Serialize;

use crate::{
    args::ExportArgs,
    context::Context,
    settings::ExportSettings,
    show::{Detail, Report, Table, bytes},
};

#[derive(Serialize)]
pub(crate) struct ExportDone {
    out: PathBuf,
    precision: String,
    #[serde(flatten)]
    exported: Exported,
}

pub(crate) fn run(args: &ExportArgs, context: &Context) -> anyhow::Result<ExportDone> {
    let settings = ExportSettings::resolve(&args.model.model, &args.model.weights, &args.choices)?;
    let out = OutDir::open(&args.out)?;
    let (exported, mut manifest) = stage(&settings, out.staging(), context)?;
    manifest.write(out.staging())?;
    publish(out)?;
    let precision = settings.options.precision.name().to_owned();
    Ok(ExportDone { out: args.out.clone(), precision, exported })
}

/// Exports into `dir` and begins its manifest.
pub(super) fn stage(
    settings: &ExportSettings,
    dir: &Path,
    context: &Context,
) -> anyhow::Result<(Exported, Manifest)> {
    let job = ExportJob {
        config: &settings.config,
        options: &settings.options,
        graphs: &settings.graphs,
        checkpoint: &settings.checkpoint,
        strict: settings.strict,
        profile: &settings.profile,
        round_weights: None,
        out: dir,
    };
    let exported = export(&job, context.progress())?;
    let mut manifest = Manifest::new(&settings.config, &settings.options, &settings.profile);
    manifest.checkpoint = Some(exported.checkpoint.clone());
    manifest.add_export(exported.weights.clone(), exported.graphs.clone());
    Ok((exported, manifest))
}

/// Publishes what was staged. What the directory's earlier manifest named goes; other files are none
/// of our business.
pub(super) fn publish(out: OutDir) -> Result<(), ExportError> {
    let earlier = Manifest::read(out.dir()).map(|m| m.files).unwrap_or_default();
    out.publish(MANIFEST_FILE, |name| earlier.contains_key(name))
}

/// What an export says about weights that the model does not have.
pub(super) fn unknown_weights(exported: &Exported) -> Vec<String> {
    let names = &exported.unknown_weights;
    match names.as_slice() {
        [] => Vec::new(),
        [first, ..] => vec![format!(
            "tensors of the checkpoint that the model does not have: {} (`{first}` first)",
            names.len()
        )],
    }
}

/// The graphs as a table.
pub(super) fn graph_table(exported: &Exported) -> String {
    let mut table = Table::new(&["graph", "nodes", "inputs", "outputs", "opset", "size"]);
    for g in &exported.graphs {
        table.row([
            format!("{}.onnx", g.name),
            g.nodes.to_string(),
            g.inputs.len().to_string(),
            g.outputs.len().to_string(),
            g.opset.to_string(),
            bytes(g.file.size),
        ]);
    }
    table.row([
        WEIGHTS_FILE.into(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        bytes(exported.weights.size),
    ]);
    table.text()
}

impl Report for ExportDone {
    fn human(&self, _: Detail) -> String {
        let untrained = if self.exported.checkpoint.untrained { ", untrained weights" } else { "" };
        let head = format!("{} ({}{untrained})", self.out.display(), self.precision);
        format!("{head}\n{}", graph_table(&self.exported))
    }

    fn warnings(&self) -> Vec<String> {
        unknown_weights(&self.exported)
    }
}
