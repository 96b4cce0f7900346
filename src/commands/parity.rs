//! `onr parity`: what lies in a directory against the CPU reference.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use onr_exporter::{
    Checkpoint,
    onnx::{OnnxFile, check_weights},
    read_model,
};
use onr_graphs::{GraphOptions, ModelConfig};
use onr_requests::CheckOptions;
use onr_runtime::{
    backend::{Availability, Backend, RunError},
    backends::{ort::OrtBackend, tract::TractBackend},
    manifest::{Manifest, ManifestError},
    parity::{Golden, ParityJob, ParityReport, Reference, check, check_golden},
};
use serde::Serialize;

use super::describe::describe;
use crate::{
    args::{CandidateArg, ParityArgs},
    context::{Context, Scratch},
    exit::{Exit, Refusal},
    settings::{Requests, recorded_checkpoint},
    show::{Detail, Report},
};

#[derive(Serialize)]
pub(crate) struct ParityDone {
    dir: PathBuf,
    passed: bool,
    reports: Vec<ParityReport>,
    #[serde(skip)]
    warnings: Vec<String>,
}

pub(crate) fn run(args: &ParityArgs, context: &Context) -> anyhow::Result<ParityDone> {
    let manifest = Manifest::read(&args.dir)?;
    if !args.no_verify {
        manifest.verify(&args.dir)?;
    }
    let config = model(&manifest, args)?;
    let options = manifest_options(&manifest, &args.dir)?;
    for graph in &manifest.graphs {
        OnnxFile::read(&args.dir.join(format!("{}.onnx", graph.name)))?;
    }
    let candidate = candidate(args.candidate, context)?;
    let reference = TractBackend::new();
    let check_options = CheckOptions { strict: args.strict, sort: args.requests.sort };
    let requests = Requests::load(args.requests.requests.as_deref(), &config, check_options)?;
    let job = ParityJob {
        config: &config,
        options: &options,
        graphs: &manifest.graphs,
        dir: &args.dir,
        candidate: candidate.as_ref(),
        reference: &reference,
        requests: &requests.list,
        requests_from: &requests.from,
        rows: ROWS,
    };
    let _scratch = Scratch::make()?;
    let mut reports = Vec::new();
    let mut warnings = requests.warnings.clone();
    if let Some(golden) = &args.golden {
        reports.push(check_golden(&job, &Golden::read(golden)?)?);
    }
    match checkpoint(args.weights.as_deref(), &manifest, &args.dir) {
        Ok(path) => {
            let weights = Checkpoint::open(&path)?;
            let plan = manifest.plan(&args.dir)?;
            let built = Reference::build(
                &config,
                &options,
                &manifest.graphs,
                &weights,
                plan.as_ref(),
                context.progress(),
            )?;
            warnings.extend(other_checkpoint(args, &manifest, &path, built.checkpoint_sha256())?);
            let mut report = check(&job, &built, context.progress())?;
            // In 16 bits, outputs cannot show a single weight that is a little off. Its bits can.
            report.failures.extend(check_weights(
                &args.dir,
                &manifest.graphs,
                &weights,
                plan.as_ref(),
            )?);
            reports.push(report);
        }
        // A golden file is a proof of its own.
        Err(_) if args.golden.is_some() => {}
        Err(e) => return Err(e.into()),
    }
    let passed = reports.iter().all(ParityReport::passed);
    Ok(ParityDone { dir: args.dir.clone(), passed, reports, warnings })
}

/// Requests of a batch.
pub(super) const ROWS: usize = 8;

/// The backend that runs the candidate, if it is here.
pub(super) fn candidate(
    which: CandidateArg,
    context: &Context,
) -> Result<Box<dyn Backend>, RunError> {
    let backend: Box<dyn Backend> = match which {
        CandidateArg::Ort => Box::new(OrtBackend::new(context.search.clone())),
        CandidateArg::Tract => Box::new(TractBackend::new()),
    };
    match backend.availability() {
        Availability::Ready { .. } => Ok(backend),
        Availability::Missing { what, hint } => {
            Err(RunError::Missing { backend: backend.name(), what, hint })
        }
    }
}

/// The manifest's model, which `--model` may repeat but not change.
fn model(manifest: &Manifest, args: &ParityArgs) -> anyhow::Result<ModelConfig> {
    let recorded = manifest_config(manifest, &args.dir)?;
    if let Some(path) = &args.model {
        let given = read_model(path)?;
        anyhow::ensure!(
            given == recorded,
            Refusal::usage(format!("{} is not the model that was exported", path.display()))
                .hint("leave --model out, or export again")
        );
    }
    Ok(recorded)
}

/// The model of a directory.
pub(super) fn manifest_config(manifest: &Manifest, dir: &Path) -> anyhow::Result<ModelConfig> {
    if manifest.model.is_none() {
        let what = format!("{} holds a file that was compiled as it is", dir.display());
        let hint = "there is no model to build a reference from; its onr.json has the comparison \
                    of two backends";
        return Err(Refusal::usage(what).hint(hint).into());
    }
    let format = |problems: Vec<String>| ManifestError::Format {
        file: dir.join("onr.json"),
        reason: problems.join("; "),
    };
    Ok(manifest.config().map_err(format)?)
}

/// What a directory's graphs were exported with.
pub(super) fn manifest_options(manifest: &Manifest, dir: &Path) -> anyhow::Result<GraphOptions> {
    let options = manifest.export.as_ref().and_then(|e| e.options());
    options.context(ManifestError::Format {
        file: dir.join("onr.json"),
        reason: "its export has choices that this version does not know".into(),
    })
}

/// The reference's checkpoint: the one that was typed, else the manifest's.
pub(super) fn checkpoint(
    typed: Option<&Path>,
    manifest: &Manifest,
    dir: &Path,
) -> Result<PathBuf, Refusal> {
    if let Some(path) = typed {
        return Ok(path.to_owned());
    }
    let hint = "give the checkpoint with --weights, or a recorded run with --golden";
    let Some(recorded) = &manifest.checkpoint else {
        let what = "the manifest names no checkpoint to build a reference from";
        return Err(Refusal::usage(what).hint(hint));
    };
    recorded_checkpoint(&recorded.path, dir).ok_or_else(|| {
        let path = recorded.path.display();
        Refusal::usage(format!("the checkpoint of the manifest, {path}, is not there")).hint(hint)
    })
}

/// Is it the checkpoint that was exported? One that was typed may be another, and is told; one that
/// the manifest names may not.
fn other_checkpoint(
    args: &ParityArgs,
    manifest: &Manifest,
    path: &Path,
    sha256: &str,
) -> Result<Option<String>, Refusal> {
    let Some(recorded) = manifest.checkpoint.as_ref().filter(|c| c.sha256 != sha256) else {
        return Ok(None);
    };
    let what = format!(
        "{} is not the checkpoint that was exported (SHA-256 {sha256:.12}.., not {:.12}..)",
        path.display(),
        recorded.sha256
    );
    if args.weights.is_some() {
        return Ok(Some(what));
    }
    Err(Refusal::wrong(what).hint("export again, or give the checkpoint of then with --weights"))
}

impl Report for ParityDone {
    fn human(&self, detail: Detail) -> String {
        let texts: Vec<_> = self.reports.iter().map(|r| describe(r, detail)).collect();
        texts.join("\n\n")
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn exit(&self) -> Exit {
        if self.passed { Exit::Fine } else { Exit::Tolerance }
    }
}
