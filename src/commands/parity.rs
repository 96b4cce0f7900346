//! `onr parity`: what lies in a directory against the CPU reference.

mod junit;
mod metrics;
mod outcome;
mod page;
mod record;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use onr_exporter::{
    Checkpoint, artifact,
    onnx::{OnnxFile, check_weights},
    read_model,
};
use onr_graphs::{GraphOptions, ModelConfig};
use onr_requests::CheckOptions;
use onr_runtime::{
    backend::{Backend, RunError},
    backends::tract::TractBackend,
    manifest::{Manifest, ManifestError},
    parity::{
        Check, Excuse, Golden, ParityJob, ParityReport, Reference, check, check_golden, check_twin,
        relations,
    },
};

use self::outcome::{ParityDone, Run, SkippedBackend};
use super::{candidate::candidate, parity_pair};
use crate::{
    args::{CandidateArg, ParityArgs, ParityCommand},
    context::{Context, Scratch},
    exit::Refusal,
    settings::{Requests, make_parent, recorded_checkpoint},
};

pub(crate) fn run(args: &ParityArgs, context: &Context) -> anyhow::Result<ParityDone> {
    if let Some(ParityCommand::Record(args)) = &args.other {
        return record::run(args, context);
    }
    if args.pair.onnx.is_some() {
        parity_pair::check(args)?;
    }
    let excuses = args.excuses.as_deref().map(Excuse::read).transpose()?.unwrap_or_default();
    let mut done = ParityDone::default();
    let mut candidates = Vec::new();
    for which in wanted(args) {
        match candidate(&which, context) {
            Ok(backend) => candidates.push(backend),
            // What nobody else asked for must be there, or there is no proof at all.
            Err(error) if args.candidate.len() == 1 && args.require.is_empty() => {
                return Err(error.into());
            }
            Err(RunError::Missing { backend, what, hint }) => {
                let required = args.require.contains(&which);
                done.skipped.push(SkippedBackend { backend: backend.into(), what, hint, required });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let _scratch = Scratch::make()?;
    if let Some(onnx) = &args.pair.onnx {
        for candidate in &candidates {
            let mut report = parity_pair::prove(onnx, &args.pair, candidate.as_ref(), context)?;
            report.excuse(&excuses);
            done.runs.push(Run { dir: onnx.clone(), report });
        }
    }
    for dir in &args.dirs {
        let proof = Proof { args, context, dir };
        proof.run(&candidates, &excuses, &mut done)?;
    }
    write(args, &done)?;
    Ok(done)
}

/// Writes the outcome for others to read.
fn write(args: &ParityArgs, done: &ParityDone) -> anyhow::Result<()> {
    type Text = fn(&ParityDone) -> anyhow::Result<String>;
    let outputs: [(_, Text); 3] = [
        (&args.junit, junit::text),
        (&args.metrics, metrics::text),
        (&args.report, |done| Ok(page::text(done))),
    ];
    for (file, text) in outputs {
        if let Some(file) = file {
            let _made = make_parent(file)?;
            artifact::write(file, text(done)?.as_bytes())?;
        }
    }
    Ok(())
}

/// The backends to run on, each once: those of `--candidate` and of `--require`.
fn wanted(args: &ParityArgs) -> Vec<CandidateArg> {
    let mut all = Vec::new();
    for which in args.candidate.iter().chain(&args.require) {
        if !all.contains(which) {
            all.push(which.clone());
        }
    }
    all
}

/// One directory.
struct Proof<'a> {
    args: &'a ParityArgs,
    context: &'a Context,
    dir: &'a Path,
}

impl Proof<'_> {
    /// Runs one directory on all backends.
    fn run(
        &self,
        candidates: &[Box<dyn Backend>],
        excuses: &[Excuse],
        done: &mut ParityDone,
    ) -> anyhow::Result<()> {
        let (args, dir) = (self.args, self.dir);
        let manifest = Manifest::read(dir)?;
        if !args.no_verify {
            manifest.verify(dir)?;
        }
        let config = model(&manifest, args, dir)?;
        let options = manifest_options(&manifest, dir)?;
        for graph in &manifest.graphs {
            OnnxFile::read(&dir.join(format!("{}.onnx", graph.name)))?;
        }
        let reference = TractBackend::new();
        let check_options = CheckOptions { strict: args.strict, sort: args.requests.sort };
        let mut requests =
            Requests::load(args.requests.requests.as_deref(), &config, check_options)?;
        done.warn(&requests.warnings);
        requests.keep(args.limit);
        let golden = args.golden.as_deref().map(Golden::read).transpose()?;
        let built = self.reference(&manifest, &config, &options, done)?;
        for candidate in candidates {
            let job = ParityJob {
                config: &config,
                options: &options,
                graphs: &manifest.graphs,
                dir,
                candidate: candidate.as_ref(),
                reference: &reference,
                requests: &requests.list,
                requests_from: &requests.from,
                rows: ROWS,
                coded: (&manifest).into(),
            };
            let mut reports = Vec::new();
            if let Some(golden) = &golden {
                let checkpoint = manifest.checkpoint.as_ref().map(|c| c.sha256.as_str());
                reports.push(check_golden(&job, golden, &manifest.kind(), checkpoint)?);
            }
            if let Some(Built { reference, twin, weights }) = &built {
                let mut report = check(&job, reference, self.context.progress())?;
                report.checks.extend(weights.iter().cloned());
                report.checks.extend(match twin {
                    Some(twin) => check_twin(&job, twin, self.context.progress())?,
                    None => {
                        vec![Check::skipped("graph", "the tables are too large to build all twice")]
                    }
                });
                reports.push(report);
            }
            self.relate(&job, &manifest, &mut reports)?;
            for mut report in reports {
                report.excuse(excuses);
                done.runs.push(Run { dir: dir.to_owned(), report });
            }
        }
        Ok(())
    }

    /// Adds what needs no reference to the last report.
    fn relate(
        &self,
        job: &ParityJob<'_>,
        manifest: &Manifest,
        reports: &mut [ParityReport],
    ) -> anyhow::Result<()> {
        let Some(report) = reports.last_mut().filter(|_| !self.args.no_relations) else {
            return Ok(());
        };
        let format =
            |reason: String| ManifestError::Format { file: self.dir.join("onr.json"), reason };
        let profile = manifest.profile(job.config.max_seq_len).map_err(format)?;
        let found = relations(job, &profile, self.context.progress())?;
        report.checks.extend(found.checks);
        report.candidate_seconds += found.elapsed.as_secs_f64();
        Ok(())
    }

    /// What an export would write today.
    fn twin(
        &self,
        manifest: &Manifest,
        (config, options): (&ModelConfig, &GraphOptions),
        checkpoint: &Checkpoint,
    ) -> anyhow::Result<Option<Reference>> {
        if manifest.weights_size() > Reference::LARGE {
            return Ok(None);
        }
        let plan = manifest.plan(self.dir)?;
        let progress = self.context.progress();
        let twin = Reference::twin(
            config,
            options,
            &manifest.graphs,
            checkpoint,
            plan.as_ref(),
            progress,
        )?;
        Ok(Some(twin))
    }

    /// The reference and what is wrong with the weights; `None` where a golden file is the whole proof.
    fn reference(
        &self,
        manifest: &Manifest,
        config: &ModelConfig,
        options: &GraphOptions,
        done: &mut ParityDone,
    ) -> anyhow::Result<Option<Built>> {
        let (args, dir) = (self.args, self.dir);
        let path = match checkpoint(args.weights.as_deref(), manifest, dir) {
            Ok(path) => path,
            // A golden file is a proof of its own.
            Err(_) if args.golden.is_some() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let checkpoint = Checkpoint::open(&path)?;
        let plan = manifest.plan(dir)?;
        let reference = Reference::build(
            config,
            options,
            &manifest.graphs,
            &checkpoint,
            plan.as_ref(),
            self.context.progress(),
        )?;
        let other = other_checkpoint(args, manifest, &path, reference.checkpoint_sha256())?;
        done.warnings.extend(other);
        // In 16 bits, outputs cannot show a single weight that is a little off. Its bits can.
        let wrong = check_weights(dir, &manifest.graphs, &checkpoint, plan.as_ref())?;
        let weights = match wrong.is_empty() {
            true => vec![Check::of("weights", None)],
            false => wrong.into_iter().map(|why| Check::failed("weights", why)).collect(),
        };
        let twin = self.twin(manifest, (config, options), &checkpoint)?;
        Ok(Some(Built { reference, twin, weights }))
    }
}

/// What a directory is compared with.
struct Built {
    reference: Reference,
    /// What an export would write today; none where that would be too much.
    twin: Option<Reference>,
    /// What is wrong with `weights.data`.
    weights: Vec<Check>,
}

/// Requests of a batch.
pub(super) const ROWS: usize = 8;

/// The manifest's model, which `--model` may repeat but not change.
fn model(manifest: &Manifest, args: &ParityArgs, dir: &Path) -> anyhow::Result<ModelConfig> {
    let recorded = manifest_config(manifest, dir)?;
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
