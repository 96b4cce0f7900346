//! `onr export`: ONNX graphs and their shared weights.

use std::path::{Path, PathBuf};

use onr_exporter::{
    ExportError, ExportJob, Exported, ExportedGraph, OutDir, WEIGHTS_FILE, artifact, export,
    quantize::{Decision, PLAN_FILE, Plan, Site, apply_to_directory},
};
use onr_graphs::{GraphOptions, Precision};
use onr_onnx::Model;
use onr_runtime::manifest::{MANIFEST_FILE, Manifest, QuantizedExport};
use serde::Serialize;

use super::typed::Typed;
use crate::{
    args::ExportArgs,
    context::Context,
    settings::{ExportSettings, QuantizeSettings, expect_checkpoint},
    show::{Detail, Report, Table, bytes},
};

#[derive(Serialize)]
pub(crate) struct ExportDone {
    out: PathBuf,
    precision: String,
    /// Share of the FLOPs of products with weights on 8-bit numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    narrow_share: Option<f64>,
    #[serde(flatten)]
    exported: Exported,
    #[serde(flatten)]
    typed: Option<Typed>,
}

/// What was put into a directory that is not published yet.
pub(super) struct Staged {
    pub(super) exported: Exported,
    pub(super) manifest: Manifest,
    /// Of graphs in FP16 or BF16.
    pub(super) typed: Option<Typed>,
}

pub(crate) fn run(args: &ExportArgs, context: &Context) -> anyhow::Result<ExportDone> {
    let settings = ExportSettings::resolve(&args.model.model, &args.model.weights, &args.choices)?;
    let out = OutDir::open(&args.out)?;
    let Staged { exported, mut manifest, typed } = stage(&settings, out.staging(), context)?;
    manifest.write(out.staging())?;
    publish(out)?;
    let precision = manifest.precision_words();
    let narrow_share = manifest.narrow_share();
    Ok(ExportDone { out: args.out.clone(), precision, narrow_share, exported, typed })
}

/// Exports into `dir` and begins its manifest.
pub(super) fn stage(
    settings: &ExportSettings,
    dir: &Path,
    context: &Context,
) -> anyhow::Result<Staged> {
    let recipe = settings.quantize.as_ref().map(|q| &q.recipe);
    let decide = |site: &Site| recipe.map_or(Decision::Wide, |recipe| recipe.decide(site));
    stage_with(settings, dir, context, &decide)
}

/// The same with `decide` instead of the recipe.
pub(super) fn stage_with(
    settings: &ExportSettings,
    dir: &Path,
    context: &Context,
    decide: &dyn Fn(&Site) -> Decision,
) -> anyhow::Result<Staged> {
    let mut manifest = Manifest::new(&settings.config, &settings.options, &settings.profile);
    let exported = if settings.needs_plan() {
        let base = tempfile::tempdir_in(dir)?;
        let mut planned = match &settings.quantize {
            Some(quantize) => planned(settings, quantize, base.path(), context, decide)?,
            None => Planned::default(),
        };
        planned.plan = settings.complete(planned.plan)?;
        quantized(settings, &planned, (base.path(), dir), &mut manifest, context)?
    } else {
        plain(settings, &settings.options, dir, context)?
    };
    manifest.checkpoint = Some(exported.checkpoint.clone());
    manifest.add_export(exported.weights.clone(), exported.graphs.clone());
    let typed = Typed::judge(settings, &job(settings, &settings.options, dir), &exported)?;
    Ok(Staged { exported, manifest, typed })
}

fn job<'a>(
    settings: &'a ExportSettings,
    options: &'a GraphOptions,
    out: &'a Path,
) -> ExportJob<'a> {
    ExportJob {
        config: &settings.config,
        options,
        graphs: &settings.graphs,
        checkpoint: &settings.checkpoint,
        strict: settings.strict,
        profile: &settings.profile,
        round_weights: None,
        out,
    }
}

fn plain(
    settings: &ExportSettings,
    options: &GraphOptions,
    dir: &Path,
    context: &Context,
) -> anyhow::Result<Exported> {
    Ok(export(&job(settings, options, dir), context.progress())?)
}

/// A plan, and the FLOPs of products with weights: all, and those on 8-bit numbers.
#[derive(Default)]
struct Planned {
    plan: Plan,
    flops: (u64, u64),
}

/// The plan, made on FP32 graphs: their values have the names that were calibrated.
fn planned(
    settings: &ExportSettings,
    quantize: &QuantizeSettings,
    scratch: &Path,
    context: &Context,
    decide: &dyn Fn(&Site) -> Decision,
) -> anyhow::Result<Planned> {
    let wide = GraphOptions { precision: Precision::F32, ..settings.options };
    let exported = plain(settings, &wide, scratch, context)?;
    expect_checkpoint(&quantize.calibration, &exported.checkpoint)?;
    let open = |g: &ExportedGraph| Ok((g.name.clone(), Model::open(&scratch.join(g.file_name()))?));
    let models = exported.graphs.iter().map(open).collect::<Result<Vec<_>, ExportError>>()?;
    let plan = quantize.plan(&models, decide)?;
    Ok(Planned { flops: quantize.flops(&models, &plan), plan })
}

/// The graphs as the precision says in the first folder, from there as the plan says in the second.
fn quantized(
    settings: &ExportSettings,
    Planned { plan, flops }: &Planned,
    (base, dir): (&Path, &Path),
    manifest: &mut Manifest,
    context: &Context,
) -> anyhow::Result<Exported> {
    let mut exported = plain(settings, &settings.options, base, context)?;
    let done = apply_to_directory(plan, &exported.graphs, base, dir)?;
    (exported.graphs, exported.weights) = (done.graphs, done.weights);
    let text = serde_json::to_vec_pretty(plan)?;
    manifest.files.insert(PLAN_FILE.into(), artifact::write(&dir.join(PLAN_FILE), &text)?);
    manifest.quantized = Some(QuantizedExport {
        format: plan.format.map(|format| format.name().to_owned()),
        method: settings.quantize.as_ref().map(|q| q.recipe.coding.method.to_string()),
        calibration_sha256: settings.quantize.as_ref().map(|q| q.sha256.clone()),
        kv: plan.interface.as_ref().map(|codes| codes.format.name().to_owned()),
        tables: settings.tables.map(|format| format.name().to_owned()),
        flops: flops.0,
        narrow_flops: flops.1,
        products: done.report.iter().map(|g| (g.graph.clone(), g.applied.counts())).collect(),
    });
    Ok(exported)
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
        let share = self.narrow_share.map_or_else(String::new, |share| {
            let percent = 100.0 * share;
            format!("\n{percent:.1} % of the FLOPs of products with weights in {}", self.precision)
        });
        let typed = self.typed.as_ref().map_or_else(String::new, |t| format!("\n{}", t.text()));
        format!("{head}\n{}{share}{typed}", graph_table(&self.exported))
    }

    fn warnings(&self) -> Vec<String> {
        let typed = self.typed.iter().flat_map(Typed::warnings);
        unknown_weights(&self.exported).into_iter().chain(typed).collect()
    }
}
