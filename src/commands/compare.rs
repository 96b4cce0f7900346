//! `onr compare`: one list against another, with intervals.

use std::path::{Path, PathBuf};

use onr_evaluation::{
    Among, CompareOptions, Comparison, Estimate, Evaluation, Metric, Side, compare,
};
use serde::Serialize;

use super::evaluation_file::{EvaluationFile, StoreId};
use crate::{
    args::{CompareArgs, MetricArg},
    exit::Refusal,
    show::{Detail, Report, Table},
};

#[derive(Serialize)]
pub(crate) struct Compared {
    of: Vec<PathBuf>,
    list: String,
    against: Vec<PathBuf>,
    against_list: String,
    fold: String,
    #[serde(flatten)]
    comparison: Comparison,
}

/// The runs of a side.
struct Loaded {
    evaluations: Vec<Evaluation>,
    /// Name of the list in each of them.
    list: String,
}

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<Compared> {
    let against_list = args.against_list.as_ref().unwrap_or(&args.list);
    let mut agreement = Agreement {
        seen: vec![],
        run_by_run: args.of.len() == args.against.len(),
        with_values: args.metric == MetricArg::ValueNdcg10,
    };
    let of = load(&args.of, &args.list, &mut agreement)?;
    let against = load(&args.against, against_list, &mut agreement)?;
    let among = args.among.as_deref().map_or(Among::Everyone, Among::PositivesOf);
    let (a, b): (Vec<_>, Vec<_>) =
        (of.evaluations.iter().collect(), against.evaluations.iter().collect());
    let options = CompareOptions { resamples: args.resamples, seed: args.seed };
    let comparison = compare(
        Side { runs: &a, list: &of.list, among },
        Side { runs: &b, list: &against.list, among },
        Metric::from(args.metric),
        options,
    )?;
    Ok(Compared {
        of: args.of.clone(),
        list: args.list.clone(),
        against: args.against.clone(),
        against_list: against_list.clone(),
        fold: agreement.seen.into_iter().next().map(|(_, fold, _)| fold).unwrap_or_default(),
        comparison,
    })
}

/// Are evaluations that are held against each other of the same behaviours? Where both sides have as many
/// runs, run by run: runs of other tie seeds may be pooled. Else all of them.
struct Agreement {
    /// Path, fold and store that each run has to agree with.
    seen: Vec<(PathBuf, String, StoreId)>,
    run_by_run: bool,
    /// Values must agree too.
    with_values: bool,
}

impl Agreement {
    fn hold(&mut self, run: usize, path: &Path, file: &EvaluationFile) -> Result<(), Refusal> {
        let of = if self.run_by_run { run } else { 0 };
        let Some((first, fold, store)) = self.seen.get(of) else {
            self.seen.push((path.to_owned(), file.fold.clone(), file.store.clone()));
            return Ok(());
        };
        let other = |what: &str| {
            let what = format!("{} and {} {what}", first.display(), path.display());
            Err(Refusal::wrong(what)
                .hint("evaluate both with the same log, train.toml, tie seed and fold"))
        };
        if *fold != file.fold {
            return other(&format!("are of different folds: {fold} and {}", file.fold));
        }
        if store.users != file.store.users {
            return other(&format!(
                "are of different logs: {} and {} users",
                store.users, file.store.users
            ));
        }
        if store.held_out != file.store.held_out {
            return other("are of different logs: other held-out items");
        }
        if self.with_values && store.values != file.store.values {
            return other("have other values of the held-out behaviours");
        }
        Ok(())
    }
}

fn load(paths: &[PathBuf], name: &str, agreement: &mut Agreement) -> anyhow::Result<Loaded> {
    let mut loaded = Loaded { evaluations: Vec::new(), list: name.to_owned() };
    for (run, path) in paths.iter().enumerate() {
        let file = EvaluationFile::read(path)?;
        agreement.hold(run, path, &file)?;
        let [own, peers @ ..] = file.recommenders.as_slice() else { continue };
        let peer = peers.iter().find(|peer| peer.name() == name);
        if peer.is_some() {
            "final".clone_into(&mut loaded.list);
        } else if !own.lists().any(|list| list == name) {
            let known: Vec<_> = own.lists().chain(peers.iter().map(|peer| peer.name())).collect();
            return Err(Refusal::usage(format!("{} has no list `{name}`", path.display()))
                .hint(format!("it has {}", known.join(", ")))
                .into());
        }
        loaded.evaluations.push(file.evaluation(peer.unwrap_or(own)));
    }
    Ok(loaded)
}

impl Report for Compared {
    fn human(&self, _: Detail) -> String {
        let c = &self.comparison;
        let mut table = Table::new(&["", "mean", "from", "to"]);
        let mut row = |name: &str, e: &Estimate| {
            let text = |x: f64| format!("{x:.4}");
            table.row([name.to_owned(), text(e.mean), text(e.low), text(e.high)]);
        };
        row(&self.list, &c.a);
        row(&format!("against {}", self.against_list), &c.b);
        row("difference", &c.difference);
        c.ratio.iter().for_each(|ratio| row("ratio", ratio));
        let runs = |n: usize| if n == 1 { "1 run".to_owned() } else { format!("{n} runs") };
        format!(
            "{} on {}, {} users, {} against {}; 95 % intervals of {} resamples\n{}",
            c.metric.name(),
            self.fold,
            c.users,
            runs(self.of.len()),
            runs(self.against.len()),
            c.resamples,
            table.text()
        )
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.comparison.dropped > 0 {
            let n = self.comparison.dropped;
            warnings.push(format!("users who are not in all evaluations, left out: {n}"));
        }
        if self.comparison.ratio.is_none() {
            warnings.push("no ratio: the second mean is 0, at least in one resample".to_owned());
        }
        warnings
    }
}
