//! `onr parity`: what lies in a directory against the CPU reference.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use onr_exporter::{Checkpoint, ExportError, onnx::OnnxFile, read_model};
use onr_graphs::{GraphOptions, ModelConfig};
use onr_requests::CheckOptions;
use onr_runtime::{
    backend::{Availability, Backend, RunError},
    backends::{ort::OrtBackend, tract::TractBackend},
    manifest::{Manifest, ManifestError},
    parity::{Golden, ParityJob, ParityReport, Reference, Strength, check, check_golden},
};
use serde::Serialize;

use crate::{
    args::{CandidateArg, ParityArgs},
    context::Context,
    exit::{Exit, Usage},
    settings::{Requests, recorded_checkpoint},
    show::{Report, Table, figure, seconds},
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
    let options = options(&manifest, &args.dir)?;
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
    let mut reports = Vec::new();
    if let Some(golden) = &args.golden {
        reports.push(check_golden(&job, &Golden::read(golden)?)?);
    }
    match checkpoint(args, &manifest) {
        Ok((path, sha256)) => {
            let weights = Checkpoint::open(&path)?;
            let built = Reference::build(&config, &options, &weights, context.progress())?;
            if let Some(recorded) = sha256.filter(|s| s != built.checkpoint_sha256()) {
                let reason =
                    format!("it is not the checkpoint that was exported ({recorded:.12}..)");
                anyhow::bail!(changed(&path, reason));
            }
            reports.push(check(&job, &built, context.progress())?);
        }
        // A golden file is a proof of its own.
        Err(_) if args.golden.is_some() => {}
        Err(e) => return Err(e.into()),
    }
    let passed = reports.iter().all(ParityReport::passed);
    Ok(ParityDone { dir: args.dir.clone(), passed, reports, warnings: requests.warnings })
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
    let recorded = manifest.config().map_err(|problems| ManifestError::Format {
        file: args.dir.join("onr.json"),
        reason: problems.join("; "),
    })?;
    if let Some(path) = &args.model {
        let given = read_model(path)?;
        anyhow::ensure!(
            given == recorded,
            Usage::new(format!("{} is not the model that was exported", path.display()))
                .hint("leave --model out, or export again")
        );
    }
    Ok(recorded)
}

fn options(manifest: &Manifest, dir: &Path) -> anyhow::Result<GraphOptions> {
    let options = manifest.export.as_ref().and_then(|e| e.options());
    options.context(ManifestError::Format {
        file: dir.join("onr.json"),
        reason: "its export has choices that this version does not know".into(),
    })
}

/// The reference's checkpoint, and the SHA-256 that it must have when the manifest named it.
fn checkpoint(args: &ParityArgs, manifest: &Manifest) -> Result<(PathBuf, Option<String>), Usage> {
    if let Some(path) = &args.weights {
        return Ok((path.clone(), None));
    }
    let hint = "give the checkpoint with --weights, or a recorded run with --golden";
    let Some(recorded) = &manifest.checkpoint else {
        return Err(
            Usage::new("the manifest names no checkpoint to build a reference from").hint(hint)
        );
    };
    match recorded_checkpoint(&recorded.path, &args.dir) {
        Some(path) => Ok((path, Some(recorded.sha256.clone()))),
        None => Err(Usage::new(format!(
            "the checkpoint of the manifest, {}, is not there",
            recorded.path.display()
        ))
        .hint(hint)),
    }
}

fn changed(path: &Path, reason: String) -> ExportError {
    ExportError::Weights { file: path.to_owned(), problems: vec![reason] }
}

/// One comparison for people.
pub(super) fn describe(report: &ParityReport) -> String {
    let strength = match report.strength {
        Strength::FromCheckpoint => "",
        Strength::Golden => " (recorded elsewhere)",
        Strength::SameFile => " (weaker: a wrong export would agree with itself)",
    };
    let mut lines = vec![
        format!("reference  {}{strength}", report.reference),
        format!(
            "candidate  {} on {}, {}, {} requests ({})",
            report.candidate,
            report.device,
            report.precision,
            report.requests,
            report.requests_from
        ),
    ];
    let half = report.outputs.iter().any(|o| o.error_ratio.is_some());
    let mut head = vec!["output", "max abs", "max rel", "rms error", "rms", "1 - cosine"];
    if half {
        head.push("x weights");
    }
    let mut table = Table::new(&head);
    for o in &report.outputs {
        let mut row = vec![
            format!("{} {}", o.graph, o.output),
            figure(o.max_abs),
            figure(o.max_rel),
            figure(o.rms_error),
            figure(o.rms_reference),
            figure((1.0 - o.min_cosine).max(0.0)),
        ];
        if half {
            row.push(o.error_ratio.map_or_else(String::new, |r| format!("{r:.2}")));
        }
        table.row(row);
    }
    lines.push(table.text());
    if let Some(order) = &report.order {
        lines.push(format!(
            "order      top-{} overlap {:.4} on average, {:.2} at worst, over {} requests (ties below {})",
            order.k, order.mean_overlap, order.min_overlap, order.requests, figure(order.tie)
        ));
    }
    if let Some(dc) = &report.consistency {
        lines.push(format!(
            "DC         {:.4} nats in the reference, {:.4} in the candidate, shift at most {}",
            dc.reference,
            dc.candidate,
            figure(dc.max_shift)
        ));
    }
    lines.push(format!(
        "time       {} in the reference, {} in the candidate",
        seconds(report.reference_seconds),
        seconds(report.candidate_seconds)
    ));
    if report.passed() {
        lines.push("parity     holds".into());
    } else {
        lines.push("parity     FAILS".into());
        lines.extend(report.failures.iter().map(|f| format!("  {f}")));
    }
    lines.join("\n")
}

impl Report for ParityDone {
    fn human(&self) -> String {
        self.reports.iter().map(describe).collect::<Vec<_>>().join("\n\n")
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn exit(&self) -> Exit {
        if self.passed { Exit::Fine } else { Exit::Tolerance }
    }
}
