//! `onr train`: from a log to a checkpoint.

use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use onr_exporter::{ExportError, OutDir, artifact, read_model, write_model};
use onr_graphs::ModelConfig;
use onr_interactions::{Store, StoreReport};
use onr_training::{
    STATE_FILE, StepReport, TrainConfig, TrainJob, Trained, WEIGHTS_FILE, Without, baseline,
    write_weights,
};
use serde::Serialize;

use super::histories::{self, Reading};
use crate::{
    args::TrainArgs,
    context::Context,
    exit::Refusal,
    show::{Bars, Detail, Report},
};

/// Losses of a stretch of the run.
#[derive(Serialize)]
struct Point {
    step: u64,
    losses: BTreeMap<&'static str, f64>,
}

/// `training.json`, and the report.
#[derive(Serialize)]
pub(crate) struct TrainDone {
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<PathBuf>,
    onr: &'static str,
    variant: String,
    seed: u64,
    steps: u64,
    /// Not 0 where an earlier run was gone on with.
    first_step: u64,
    seconds: f64,
    tasks: Vec<String>,
    log: StoreReport,
    /// Means over stretches of this run's steps.
    curve: Vec<Point>,
}

/// What will be trained.
struct Variant {
    name: String,
    model: ModelConfig,
    train: TrainConfig,
}

pub(crate) fn run(args: &TrainArgs, context: &Context) -> anyhow::Result<TrainDone> {
    let variant = variant(args)?;
    histories::limit_threads(args.histories.threads)?;
    let out = OutDir::open(&args.out)?;
    let log = out.staging().join("log");
    let (model, train) = (&variant.model, &variant.train);
    let reading = Reading { model, train, vocab: args.vocab.as_deref(), tie_seed: None };
    let store = histories::build(&args.histories, &reading, &log, context)?;
    if args.fresh {
        discard(&out.dir().join(STATE_FILE))?;
    }
    context.be_patient();
    let job =
        TrainJob { model, config: train, store: &store, seed: args.seed, state: Some(out.dir()) };
    let mut watch = Watch { bars: context.bars(), began: false };
    let trained = job.run(&mut |step| watch.tell(step))?;
    let done = stage(args, &variant, &store, &trained, out.staging())?;
    drop(store);
    let failed = |cause| ExportError::Write { file: log.clone(), cause };
    fs::remove_dir_all(&log).map_err(failed)?;
    out.publish(WEIGHTS_FILE, |_| false)?;
    Ok(TrainDone { out: Some(args.out.clone()), ..done })
}

/// The configurations with parts left out.
fn variant(args: &TrainArgs) -> anyhow::Result<Variant> {
    let mut model = read_model(&args.model)?;
    let mut train = TrainConfig::read(&args.histories.train, &model)?;
    train.schedule.steps = args.steps.unwrap_or(train.schedule.steps);
    train.data.tie_seed = args.tie_seed.unwrap_or(train.data.tie_seed);
    let mut parts: Vec<Without> = args.without.iter().map(|part| (*part).into()).collect();
    parts.sort_unstable();
    parts.dedup();
    let names: Vec<_> = parts.iter().map(|part| part.name()).collect();
    let name = match (args.baseline, names.as_slice()) {
        (true, _) => "baseline".to_owned(),
        (false, []) => "full".to_owned(),
        (false, names) => format!("without {}", names.join(", ")),
    };
    parts.iter().for_each(|part| part.apply(&mut model, &mut train));
    if args.baseline {
        baseline(&mut model, &mut train);
    }
    let problems = train.problems(&model);
    if !problems.is_empty() {
        return Err(Refusal::usage(format!("{name}: {}", problems.join("; "))).into());
    }
    Ok(Variant { name, model, train })
}

/// Forgets an earlier run.
fn discard(state: &Path) -> Result<(), ExportError> {
    match fs::remove_file(state) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(ExportError::Write { file: state.to_owned(), cause })
        }
        _ => Ok(()),
    }
}

/// Shows how far the steps are.
struct Watch<'a> {
    bars: &'a Bars,
    began: bool,
}

impl Watch<'_> {
    fn tell(&mut self, report: &StepReport) -> ControlFlow<()> {
        if !self.began {
            self.began = true;
            self.bars.steps("step", report.step - 1, report.of);
        }
        let losses: Vec<_> =
            report.terms.iter().map(|(name, x)| format!("{name} {x:.3}")).collect();
        if report.step.is_multiple_of(report.of.div_ceil(100)) {
            let losses = losses.join(", ");
            tracing::info!(
                step = report.step,
                of = report.of,
                norm = report.gradient_norm,
                "{losses}"
            );
        }
        self.bars.note(losses.join(" "));
        onr_exporter::Progress::advance(self.bars, 1)
    }
}

/// Puts the files of a run into `dir`.
fn stage(
    args: &TrainArgs,
    variant: &Variant,
    store: &Store,
    trained: &Trained,
    dir: &Path,
) -> anyhow::Result<TrainDone> {
    let Variant { name, model, train } = variant;
    let steps = train.schedule.steps;
    let ranker = if train.ranker.weight > 0.0 { "trained" } else { "untrained" };
    let metadata = [
        ("onr.trained_steps", steps.to_string()),
        ("onr.seed", args.seed.to_string()),
        ("onr.ranker", ranker.to_owned()),
        ("onr.variant", name.clone()),
    ];
    write_weights(&dir.join(WEIGHTS_FILE), &trained.params, &metadata)?;
    artifact::write(&dir.join("model.toml"), write_model(model).as_bytes())?;
    artifact::write(&dir.join("train.toml"), train.to_toml()?.as_bytes())?;
    store.vocab().write(&dir.join("vocab.json"))?;
    let point = |(step, terms): &(u64, Vec<(&'static str, f64)>)| Point {
        step: *step,
        losses: terms.iter().copied().collect(),
    };
    let done = TrainDone {
        out: None,
        onr: env!("CARGO_PKG_VERSION"),
        variant: name.clone(),
        seed: args.seed,
        steps,
        first_step: trained.first_step,
        seconds: trained.seconds,
        tasks: store.tasks().to_vec(),
        log: store.report().clone(),
        curve: trained.curve.iter().map(point).collect(),
    };
    let json = serde_json::to_string_pretty(&done)? + "\n";
    artifact::write(&dir.join("training.json"), json.as_bytes())?;
    Ok(done)
}

impl Report for TrainDone {
    fn human(&self, _: Detail) -> String {
        let out = self.out.as_deref().unwrap_or(Path::new("")).display();
        let went_on = match self.first_step {
            0 => String::new(),
            n if n == self.steps => ", all of them done before".to_owned(),
            n => format!(", gone on with after step {n}"),
        };
        let losses = self.curve.last().map_or_else(String::new, |last| {
            let losses: Vec<_> =
                last.losses.iter().map(|(name, x)| format!("{name} {x:.4}")).collect();
            format!("\nlosses at the end: {}", losses.join(", "))
        });
        format!(
            "{}\n{out} ({}, seed {}): {} steps{went_on}, {:.1} s{losses}",
            histories::counted(&self.log, &self.tasks),
            self.variant,
            self.seed,
            self.steps,
            self.seconds,
        )
    }

    fn warnings(&self) -> Vec<String> {
        histories::noticed(&self.log)
    }
}
