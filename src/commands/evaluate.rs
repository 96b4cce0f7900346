//! `onr evaluate`: a checkpoint on behaviours that it has not seen.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use onr_evaluation::{
    CoOccurrence, EvaluateError, EvaluateOptions, Evaluation, Markov, MarkovSettings, Metrics,
    Popularity, Progress, Reach, Recommender, Summary, Truth, evaluate,
};
use onr_exporter::{Checkpoint, ExportError, read_model};
use onr_graphs::ModelConfig;
use onr_interactions::{Event, Store, StoreReport};
use onr_runtime::manifest::Manifest;
use onr_training::{OneRanker, TrainConfig, read_weights};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    candidate::candidate,
    evaluation_file::{EvaluationFile, Judged, StoreId},
    graph_recommender::{GraphRecommender, MOST_ITEMS},
    histories::{self, Reading},
    parity::{manifest_config, manifest_options},
    truth::StoreTruth,
};
use crate::{
    args::EvaluateArgs,
    context::{Context, Scratch},
    exit::Refusal,
    settings::make_parent,
    show::{Detail, Report, Table},
};

/// Users that peers are tuned on, at most. The order of the users has no meaning.
const TUNED_ON: usize = 20_000;

#[derive(Serialize)]
pub(crate) struct Evaluated {
    out: Option<PathBuf>,
    fold: String,
    variant: Option<String>,
    cutoff: usize,
    store: StoreId,
    log: StoreReport,
    recommenders: Vec<Found>,
    #[serde(skip)]
    warnings: Vec<String>,
}

/// A recommender in numbers.
#[derive(Serialize)]
struct Found {
    settings: Value,
    #[serde(flatten)]
    summary: Summary,
}

pub(crate) fn run(args: &EvaluateArgs, context: &Context) -> anyhow::Result<Evaluated> {
    let model = read_model(&args.model.model)?;
    let train = TrainConfig::read(&args.histories.train, &model)?;
    let checkpoint = Checkpoint::open(&args.model.weights)?;
    let params = read_weights(&args.model.weights, &model)?;
    let metadata = |key: &str| checkpoint.metadata().get(key).cloned();
    let ranks = metadata("onr.ranker").as_deref() != Some("untrained");
    histories::limit_threads(args.histories.threads)?;
    let _made = args.out.as_deref().map(make_parent).transpose()?;
    let scratch = Scratch::make()?;
    let vocab = vocab(args);
    let reading =
        Reading { model: &model, train: &train, vocab: vocab.as_deref(), tie_seed: args.tie_seed };
    let store = histories::build(&args.histories, &reading, &scratch.path().join("log"), context)?;
    let truth = args.truth.as_deref().map(|dir| StoreTruth::open(dir, &store)).transpose()?;
    let judge =
        Judge { args, store: &store, truth, temperature: train.consistency.temperature, context };
    let (first, settings) = match &args.graphs {
        None => {
            let first = judge.judge(&mut OneRanker::new("oneranker", &model, &params, ranks))?;
            (first, json!({ "ranker": ranks }))
        }
        Some(dir) => judge.graphs(dir, &model)?,
    };
    let mut recommenders = vec![Judged::new(&first, settings)];
    if args.peers {
        recommenders.extend(judge.peers()?);
    }
    let file = EvaluationFile::new(store.n_users(), &first, recommenders);
    if let Some(out) = &args.out {
        file.write(out)?;
    }
    let mut warnings = histories::noticed(store.report());
    if metadata("onr.untrained").as_deref() == Some("true") {
        warnings.push("the weights are the random ones of `onr init`".to_owned());
    }
    let found = |j: Judged| Found { settings: j.settings, summary: j.summary };
    Ok(Evaluated {
        out: args.out.clone(),
        variant: metadata("onr.variant"),
        cutoff: args.cutoff,
        log: store.report().clone(),
        fold: file.fold,
        store: file.store,
        recommenders: file.recommenders.into_iter().map(found).collect(),
        warnings,
    })
}

/// The vocabulary that the weights were trained with.
fn vocab(args: &EvaluateArgs) -> Option<PathBuf> {
    let beside = || Some(args.model.weights.with_file_name("vocab.json")).filter(|f| f.is_file());
    args.vocab.clone().or_else(beside)
}

/// Everything that all recommenders are judged by.
struct Judge<'a> {
    args: &'a EvaluateArgs,
    store: &'a Store,
    truth: Option<StoreTruth<'a>>,
    temperature: f64,
    context: &'a Context,
}

impl Judge<'_> {
    fn judge<R: Recommender>(&self, recommender: &mut R) -> anyhow::Result<Evaluation> {
        let bars = self.context.progress();
        bars.stage(recommender.name(), self.store.n_users() as u64);
        let before = Cell::new(0);
        let tell = |progress: Progress| {
            bars.advance((progress.done - before.replace(progress.done)) as u64)
        };
        let values = self
            .truth
            .as_ref()
            .map(|truth| move |user: usize, past: &[Event]| truth.values(user, past));
        let options = EvaluateOptions {
            cutoff: self.args.cutoff,
            truth: values.as_ref().map(|values| values as &Truth<'_>),
            temperature: self.temperature,
            progress: Some(&tell),
            ..EvaluateOptions::new(self.args.fold.into())
        };
        match evaluate(recommender, self.store, &options) {
            Ok(evaluation) => Ok(evaluation),
            Err(EvaluateError::Stopped { .. }) => Err(ExportError::Interrupted.into()),
            Err(e) => match self.truth.as_ref().and_then(StoreTruth::failure) {
                Some(cause) => Err(cause.into()),
                None => Err(e.into()),
            },
        }
    }

    /// The graphs of a directory on a backend.
    fn graphs(&self, dir: &Path, model: &ModelConfig) -> anyhow::Result<(Evaluation, Value)> {
        let manifest = Manifest::read(dir)?;
        manifest.verify(dir)?;
        let (config, options) =
            (manifest_config(&manifest, dir)?, manifest_options(&manifest, dir)?);
        if config != *model {
            let what = format!("{} holds graphs of another model", dir.display());
            return Err(Refusal::usage(what).hint("give the --model that was exported").into());
        }
        if config.n_items > MOST_ITEMS {
            let what = format!("every item is scored for every user: at most {MOST_ITEMS} items");
            return Err(Refusal::usage(what).hint("judge the checkpoint, without --graphs").into());
        }
        let backend = candidate(&self.args.backend, self.context)?;
        let mut graphs =
            GraphRecommender::new(backend.as_ref(), dir, &manifest.graphs, &config, &options);
        let settings = json!({ "precision": manifest.precision_name(), "backend": backend.name() });
        Ok((self.judge(&mut graphs)?, settings))
    }

    /// Popularity, Markov chains (tuned, and of the next item alone) and co-occurrence (tuned).
    fn peers(&self) -> anyhow::Result<Vec<Judged>> {
        let users: Vec<usize> = (0..self.store.n_users().min(TUNED_ON)).collect();
        let tuning = |name| self.context.progress().stage(name, 0);
        let mut popularity = Popularity::fit(self.store)?;
        let popularity = Judged::new(&self.judge(&mut popularity)?, json!({}));
        tuning("tuning markov");
        let mut markov = Markov::tuned(self.store, Some(&users))?;
        let settings = chain(markov.settings());
        let markov = Judged::new(&self.judge(&mut markov)?, settings);
        let mut plain = Markov::fit(self.store, MarkovSettings::default())?;
        let settings = chain(plain.settings());
        let plain = Judged::new(&self.judge(&mut plain)?, settings).called("markov-plain");
        tuning("tuning cooccurrence");
        let mut near = CoOccurrence::tuned(self.store, Some(&users))?;
        let of = near.settings();
        let settings = json!({
            "reach": reach(of.reach),
            "past_power": of.past_power,
            "item_power": of.item_power,
            "decay": of.decay,
        });
        Ok(vec![popularity, markov, plain, Judged::new(&self.judge(&mut near)?, settings)])
    }
}

fn chain(of: MarkovSettings) -> Value {
    json!({ "reach": reach(of.reach), "smoothing": of.smoothing })
}

fn reach(of: Reach) -> Value {
    json!({ "window": of.window, "ordered": of.ordered, "fade": of.fade })
}

/// `window 1, ordered true`: settings without their nesting.
fn settings_text(settings: &Value) -> String {
    let Value::Object(fields) = settings else { return String::new() };
    let texts = fields.iter().map(|(name, value)| match value {
        Value::Object(_) => settings_text(value),
        Value::Number(n) => format!("{name} {}", n.as_f64().unwrap_or(0.0) as f32),
        other => format!("{name} {other}"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

const HEAD: [&str; 8] =
    ["list", "HR@1", "HR@5", "HR@10", "NDCG@10", "value-NDCG@10", "MRR", "value@10"];

fn row(name: String, metrics: Option<&Metrics>) -> Vec<String> {
    let text = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
    let of = |get: fn(&Metrics) -> f64| text(metrics.map(get));
    vec![
        name,
        of(|m| m.hr1),
        of(|m| m.hr5),
        of(|m| m.hr10),
        of(|m| m.ndcg10),
        text(metrics.and_then(|m| m.value_ndcg10)),
        of(|m| m.mrr),
        text(metrics.and_then(|m| m.value10)),
    ]
}

impl Evaluated {
    /// All lists of the model, and the list of each peer.
    fn table(&self, positives: bool) -> String {
        let mut table = Table::new(&HEAD);
        let peers = self.recommenders.iter().skip(1);
        let peers = peers.flat_map(|peer| {
            peer.summary.lists.last().map(|list| (peer.summary.recommender.clone(), list))
        });
        let own = self.recommenders.iter().take(1).flat_map(|own| &own.summary.lists);
        for (name, list) in own.map(|list| (list.list.clone(), list)).chain(peers) {
            let metrics = if positives { &list.positives } else { &list.all };
            table.row(row(name, metrics.as_ref()));
        }
        table.text()
    }

    fn stage(&self) -> Option<String> {
        let stage = self.recommenders.first()?.summary.stage?;
        let tau = |tau: Option<f64>| tau.map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"));
        let mut table = Table::new(&["ranker against generator", "tau", "shared of best ten"]);
        for (task, of, overlap) in [
            ("first task", stage.first_tau, stage.first_overlap10),
            ("last task", stage.last_tau, stage.last_overlap10),
        ] {
            table.row([task.to_owned(), tau(of), format!("{:.1} %", 100.0 * overlap)]);
        }
        let of = format!("DC {:.4} over {:.1} candidates", stage.dc, stage.candidates);
        Some(format!("{}\n{of}", table.text()))
    }
}

impl Report for Evaluated {
    fn human(&self, detail: Detail) -> String {
        let Some(own) = self.recommenders.first() else { return String::new() };
        let counts = own.summary.counts;
        let variant = self.variant.as_ref().map_or_else(String::new, |v| format!(" ({v})"));
        let mut lines = vec![
            format!(
                "oneranker{variant}: {}, {} of {} users judged\n{} have too short a history, {} met the \
                 item before",
                self.fold, counts.judged, counts.users, counts.too_short, counts.repeated
            ),
            self.table(false),
        ];
        if detail == Detail::All {
            lines.push(
                "only users whose held-out behaviour is a positive of the list's task".into(),
            );
            lines.push(self.table(true));
        }
        lines.extend(self.stage());
        for peer in self.recommenders.iter().skip(1) {
            let text = settings_text(&peer.settings);
            if !text.is_empty() {
                lines.push(format!("{}: {text}", peer.summary.recommender));
            }
        }
        lines.extend(
            self.out.as_deref().map(Path::display).map(|out| format!("{out}: user by user")),
        );
        lines.join("\n")
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}
