//! Logs to histories, as several verbs need them.

use std::path::Path;

use anyhow::Context as _;
use onr_exporter::ExportError;
use onr_graphs::ModelConfig;
use onr_interactions::{InteractionsError, Store, StoreReport};
use onr_requests::Vocab;
use onr_training::TrainConfig;

use crate::{args::HistoryArgs, context::Context, exit::Refusal, show::Table};

/// What decides a store besides the log.
pub(super) struct Reading<'a> {
    pub(super) model: &'a ModelConfig,
    pub(super) train: &'a TrainConfig,
    pub(super) vocab: Option<&'a Path>,
    pub(super) tie_seed: Option<u64>,
}

/// Builds a store in `dir`.
pub(super) fn build(
    args: &HistoryArgs,
    reading: &Reading<'_>,
    dir: &Path,
    context: &Context,
) -> anyhow::Result<Store> {
    let rules = reading.train.store_options(reading.model);
    let mut options = rules.with_context(|| args.train.display().to_string())?;
    options.tie_seed = reading.tie_seed.unwrap_or(options.tie_seed);
    options.vocab = reading.vocab.map(Vocab::read).transpose()?;
    let progress = context.progress();
    let mut told = None;
    let built = Store::build(&args.interactions, &options, dir, &mut |done, total| {
        let before = told.replace(done).unwrap_or_else(|| {
            progress.stage("log", total);
            0
        });
        progress.advance(done.saturating_sub(before))
    });
    match built {
        Err(InteractionsError::Stopped) => Err(ExportError::Interrupted.into()),
        other => Ok(other?),
    }
}

/// Limits the threads of everything that follows.
pub(super) fn limit_threads(threads: Option<usize>) -> anyhow::Result<()> {
    match threads {
        None => Ok(()),
        Some(0) => Err(Refusal::usage("--threads 0: at least one is needed").into()),
        Some(n) => Ok(rayon::ThreadPoolBuilder::new().num_threads(n).build_global()?),
    }
}

/// What was counted, for people.
pub(super) fn counted(report: &StoreReport, tasks: &[String]) -> String {
    let mut table = Table::new(&["task", "positives", "share"]);
    for (task, n) in tasks.iter().zip(&report.positives) {
        let share = *n as f64 / report.events.max(1) as f64;
        table.row([task.clone(), n.to_string(), format!("{:.2} %", 100.0 * share)]);
    }
    format!(
        "{} rows, {} users, {} items, {} behaviours, {:.2} of value\n{}",
        report.rows,
        report.users,
        report.items,
        report.events,
        report.total_value,
        table.text()
    )
}

/// What people should know about a log.
pub(super) fn noticed(report: &StoreReport) -> Vec<String> {
    let counts = [
        (report.rows_without_action, "rows left out: no clause of `data.actions` matches"),
        (report.unknown_rows, "rows left out: the vocabulary does not know their item"),
        (report.short_users, "users with fewer than three behaviours, who train nothing"),
        (
            report.tied_last,
            "users whose last two behaviours have the same time, ordered by the tie seed",
        ),
    ];
    counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{what}: {n}")).collect()
}
