//! `evaluation.json`: what `onr evaluate` found, user by user, for `onr compare`.

use std::{fs, path::Path};

use onr_evaluation::{Closeness, Counts, Evaluation, List, StageOutcome, Summary, UserOutcome};
use onr_exporter::{ExportError, artifact};
use onr_interactions::Fold;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Refusal;

const VERSION: u64 = 1;

/// Read before the rest, so that another version is named even if the rest looks different.
#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

/// Users, one entry of each list a user.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EvaluationFile {
    version: u64,
    /// `test` or `validation`.
    pub(super) fold: String,
    pub(super) store: StoreId,
    users: Vec<usize>,
    items: Vec<u32>,
    labels: Vec<u16>,
    values: Vec<f32>,
    pub(super) recommenders: Vec<Judged>,
}

/// What two evaluations must share to be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreId {
    /// Users of the log, judged or not.
    pub(super) users: usize,
    /// SHA-256 of who was judged on which item.
    pub(super) held_out: String,
    /// SHA-256 of what that was worth.
    pub(super) values: String,
}

/// One recommender; the first is the model, the others are peers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Judged {
    pub(super) settings: Value,
    tasks: Vec<String>,
    lists: Vec<List>,
    counts: Counts,
    pub(super) summary: Summary,
    /// `[lists][users]`, from 1; 0 where the item was not retrieved.
    places: Vec<Vec<u32>>,
    /// `[lists][users]`; nothing without truth.
    value10: Vec<Vec<f32>>,
    stage: Option<Stage>,
}

/// What the ranking stage did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    candidates: Vec<u32>,
    dc: Vec<f32>,
    first_tau: Vec<Option<f32>>,
    first_overlap10: Vec<f32>,
    last_tau: Vec<Option<f32>>,
    last_overlap10: Vec<f32>,
}

impl Stage {
    fn add(&mut self, of: &StageOutcome) {
        self.candidates.push(of.candidates);
        self.dc.push(of.dc as f32);
        self.first_tau.push(of.first.tau.map(|x| x as f32));
        self.first_overlap10.push(of.first.overlap10 as f32);
        self.last_tau.push(of.last.tau.map(|x| x as f32));
        self.last_overlap10.push(of.last.overlap10 as f32);
    }

    fn get(&self, at: usize) -> Option<StageOutcome> {
        let closeness = |tau: &[Option<f32>], overlap: &[f32]| {
            let overlap10 = f64::from(*overlap.get(at)?);
            Some(Closeness { tau: tau.get(at)?.map(f64::from), overlap10 })
        };
        Some(StageOutcome {
            candidates: *self.candidates.get(at)?,
            dc: f64::from(*self.dc.get(at)?),
            first: closeness(&self.first_tau, &self.first_overlap10)?,
            last: closeness(&self.last_tau, &self.last_overlap10)?,
        })
    }
}

impl Judged {
    pub(super) fn new(evaluation: &Evaluation, settings: Value) -> Self {
        let lists = || 0..evaluation.lists.len();
        let outcomes = &evaluation.outcomes;
        let truth = outcomes.iter().any(|o| !o.value10.is_empty());
        let mut stage = None;
        for of in outcomes.iter().filter_map(|o| o.stage.as_ref()) {
            stage.get_or_insert_with(Stage::default).add(of);
        }
        Self {
            settings,
            tasks: evaluation.tasks.clone(),
            lists: evaluation.lists.clone(),
            counts: evaluation.counts,
            summary: evaluation.summary(),
            places: lists()
                .map(|list| outcomes.iter().map(|o| o.places[list].unwrap_or(0)).collect())
                .collect(),
            value10: lists()
                .filter(|_| truth)
                .map(|list| outcomes.iter().map(|o| o.value10[list]).collect())
                .collect(),
            stage,
        }
    }

    /// The same under another name.
    pub(super) fn called(mut self, name: &str) -> Self {
        name.clone_into(&mut self.summary.recommender);
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.summary.recommender
    }

    pub(super) fn lists(&self) -> impl Iterator<Item = &str> {
        self.lists.iter().map(|list| list.name.as_str())
    }
}

impl EvaluationFile {
    /// `evaluation` is one of those behind `recommenders`: all have the same users.
    pub(super) fn new(n_users: usize, evaluation: &Evaluation, recommenders: Vec<Judged>) -> Self {
        let outcomes = &evaluation.outcomes;
        let held_out = outcomes.iter().flat_map(|o| {
            let user = (o.user as u64).to_le_bytes();
            user.into_iter().chain(o.item.to_le_bytes()).collect::<Vec<u8>>()
        });
        let values = outcomes.iter().flat_map(|o| o.value.to_le_bytes());
        let hash = |bytes: Vec<u8>| artifact::sha256(&bytes);
        Self {
            version: VERSION,
            fold: fold_name(evaluation.fold).to_owned(),
            store: StoreId {
                users: n_users,
                held_out: hash(held_out.collect()),
                values: hash(values.collect()),
            },
            users: outcomes.iter().map(|o| o.user).collect(),
            items: outcomes.iter().map(|o| o.item).collect(),
            labels: outcomes.iter().map(|o| o.labels).collect(),
            values: outcomes.iter().map(|o| o.value).collect(),
            recommenders,
        }
    }

    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string(self)? + "\n";
        artifact::write(file, json.as_bytes())?;
        Ok(())
    }

    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)
            .map_err(|cause| ExportError::Read { file: file.to_owned(), cause })?;
        let wrong = |why: String| {
            Refusal::wrong(format!("{} is no evaluation: {why}", file.display()))
                .hint("`onr evaluate --out` writes one")
        };
        let VersionOnly { version } =
            serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if version != VERSION {
            return Err(wrong(format!("it has version {version}, known is {VERSION}")).into());
        }
        let read: Self = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        match read.problem() {
            Some(problem) => Err(wrong(problem.to_owned()).into()),
            None => Ok(read),
        }
    }

    /// Lists of other lengths than there are users.
    fn problem(&self) -> Option<&'static str> {
        let n = self.users.len();
        let whole = |judged: &Judged| {
            let lists = judged.lists.len();
            let stage = judged.stage.as_ref().is_none_or(|s| n == 0 || s.get(n - 1).is_some());
            judged.places.len() == lists
                && judged.places.iter().all(|list| list.len() == n)
                && (judged.value10.is_empty() || judged.value10.len() == lists)
                && judged.value10.iter().all(|list| list.len() == n)
                && judged.lists.iter().all(|list| list.task < judged.tasks.len())
                && stage
        };
        let fine = [self.items.len(), self.labels.len(), self.values.len()] == [n; 3]
            && fold_of(&self.fold).is_some()
            && !self.recommenders.is_empty()
            && self.recommenders.iter().all(whole);
        (!fine).then_some("its lists do not fit each other")
    }

    /// The evaluation of one of the recommenders.
    pub(super) fn evaluation(&self, judged: &Judged) -> Evaluation {
        let outcome = |at: usize| UserOutcome {
            user: self.users[at],
            item: self.items[at],
            labels: self.labels[at],
            value: self.values[at],
            places: judged.places.iter().map(|l| Some(l[at]).filter(|p| *p > 0)).collect(),
            value10: judged.value10.iter().map(|list| list[at]).collect(),
            stage: judged.stage.as_ref().and_then(|stage| stage.get(at)),
        };
        Evaluation {
            recommender: judged.name().to_owned(),
            fold: fold_of(&self.fold).unwrap_or(Fold::Test),
            tasks: judged.tasks.clone(),
            lists: judged.lists.clone(),
            outcomes: (0..self.users.len()).map(outcome).collect(),
            counts: judged.counts,
        }
    }
}

const fn fold_name(fold: Fold) -> &'static str {
    match fold {
        Fold::Test => "test",
        Fold::Validation => "validation",
    }
}

fn fold_of(name: &str) -> Option<Fold> {
    [Fold::Test, Fold::Validation].into_iter().find(|fold| fold_name(*fold) == name)
}
