//! `onr simulate`: a log whose expected values are known.

use std::{
    fs,
    path::{Path, PathBuf},
};

use onr_exporter::{
    ExportError, artifact,
    leftovers::{self, Leftover},
    write_model,
};
use onr_graphs::{Attention, ModelConfig};
use onr_interactions::simulate::{
    LABELS, Simulation, SimulationError, SimulationReport, WriteOptions, simulate,
};
use onr_training::TrainConfig;
use serde::Serialize;

use crate::{
    args::SimulateArgs,
    context::Context,
    exit::Refusal,
    settings::make_parent,
    show::{Detail, Report},
};

/// Folders that are being made begin with this.
const STAGING: &str = ".onr-simulating-";

#[derive(Serialize)]
pub(crate) struct Simulated {
    out: PathBuf,
    simulation: Simulation,
    users: u64,
    rows: u64,
    clicks: u64,
    conversions: u64,
    value: f64,
    files: u64,
}

pub(crate) fn run(args: &SimulateArgs, context: &Context) -> anyhow::Result<Simulated> {
    let simulation = simulation(args);
    let log = simulate(&simulation)?;
    let model = model(simulation.n_items);
    let train = train(&model)?;
    let _made = make_parent(&args.out)?;
    if occupied(&args.out) {
        return Err(SimulationError::Exists { dir: args.out.clone() }.into());
    }
    let failed = |cause| ExportError::Write { file: args.out.clone(), cause };
    let parent = args.out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    leftovers::sweep(parent, STAGING);
    let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(parent).map_err(failed)?;
    let _lock = leftovers::hold(staging.path());
    let _leftover = Leftover::note(staging.path());
    let dir = staging.path().join("log");
    let bars = context.bars();
    context.progress().stage("simulation", simulation.n_users as u64);
    let options = WriteOptions { format: args.format.into(), rows_per_file: args.rows_per_file };
    let report = log.write(&dir, options, &mut |_| {
        // The library has no way to stop: an impatient end is by force.
        let _ = context.progress().advance(1);
    })?;
    artifact::write(&dir.join("model.toml"), write_model(&model).as_bytes())?;
    artifact::write(&dir.join("train.toml"), train.to_toml()?.as_bytes())?;
    if bars.is_interrupted() {
        return Err(ExportError::Interrupted.into());
    }
    fs::rename(&dir, &args.out).map_err(failed)?;
    let SimulationReport { users, rows, clicks, conversions, value, files } = report;
    let out = args.out.clone();
    Ok(Simulated { out, simulation, users, rows, clicks, conversions, value, files })
}

fn occupied(dir: &Path) -> bool {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(cause) => cause.kind() != std::io::ErrorKind::NotFound,
    }
}

/// What was typed; small catalogues have few series and short histories.
fn simulation(args: &SimulateArgs) -> Simulation {
    let usual = Simulation::default();
    let series = args.series.unwrap_or_else(|| (args.items / 50).max(usual.max_followed));
    let max_events = usual.max_events.min(args.items);
    Simulation {
        n_users: args.users,
        n_items: args.items,
        n_series: series,
        min_events: usual.min_events.min(max_events),
        max_events,
        conflict: !args.no_conflict,
        seed: args.seed,
        price_slope: args.price_slope,
        ..usual
    }
}

/// A model of a size that learns such a log in minutes on a CPU.
fn model(items: usize) -> ModelConfig {
    ModelConfig {
        n_items: items + 1,
        n_actions: 4,
        d_model: 32,
        n_heads: 4,
        n_layers: 2,
        n_rank_layers: 1,
        max_seq_len: 64,
        attention: Attention::Hstu,
        tasks: ["impression", "click", "conversion", "value"].map(str::to_owned).to_vec(),
        n_fake_items: 16.min(items / 4),
        rel_pos_buckets: 64,
        time_buckets: 32,
        layer_norm_eps: 1e-5,
        temperature: 0.1,
    }
}

/// The labels of the log, all other keys at their defaults; where these ask for more negatives than there are items,
/// at fewer.
fn train(model: &ModelConfig) -> Result<TrainConfig, Refusal> {
    let labels = format!("[data]\n{LABELS}");
    let third = (model.n_items / 3).saturating_sub(model.n_tasks());
    let few = format!("\n[ranker]\nhard_negatives = {third}\nrandom_negatives = {third}\n");
    TrainConfig::parse(&labels, model)
        .or_else(|_| TrainConfig::parse(&(labels + &few), model))
        .map_err(|problems| {
            Refusal::usage(format!("no train.toml fits such a log: {}", problems.join("; ")))
                .hint("raise --items")
        })
}

impl Report for Simulated {
    fn human(&self, _: Detail) -> String {
        let out = self.out.display();
        let of = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        format!(
            "{out}: {} impressions of {} users and {} items in {} {}\n  \
             {:.1} % clicked, {:.1} % of those converted, {:.2} of value\n\
             next: onr train --model {out}/model.toml --train {out}/train.toml --interactions {out} --out run",
            self.rows,
            self.users,
            self.simulation.n_items,
            self.files,
            if self.files == 1 { "file" } else { "files" },
            of(self.clicks, self.rows),
            of(self.conversions, self.clicks),
            self.value
        )
    }
}
