//! `train.toml`: everything about training that is not the model itself.

use std::{fs, path::Path};

use onr_graphs::ModelConfig;
use onr_interactions::{InteractionsError, LabelRule, Labels, StoreOptions, ValueRule};
use onr_requests::{Actions, Columns};
use serde::{Deserialize, Serialize};

use crate::error::TrainingError;

/// A `train.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// One for each task of the model, in its order.
    pub task: Vec<TaskConfig>,
    /// `[data]`
    pub data: DataConfig,
    /// `[schedule]`
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// `[optimizer]`
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// `[generator]`
    #[serde(default)]
    pub generator: GeneratorConfig,
    /// `[ranker]`
    #[serde(default)]
    pub ranker: RankerConfig,
    /// `[consistency]`
    #[serde(default)]
    pub consistency: ConsistencyConfig,
    /// `[fake_items]`
    #[serde(default)]
    pub fake_items: FakeItemsConfig,
}

/// `[[task]]`: what is a positive of a task, and how much the task weighs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// As in `model.toml`.
    pub name: String,
    /// Rows that are positives: a condition on columns of the log, `*` for all.
    pub when: String,
    /// What a positive is worth; a task with `value` weighs its positives by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueRule>,
    /// Factor of the task in the losses of generator and ranker.
    #[serde(default = "one")]
    pub weight: f64,
}

/// `[data]`: how rows become behaviours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Which row gets which action id, as in `onr requests --actions`.
    pub actions: String,
    /// Seed of the order of behaviours with equal times.
    #[serde(default)]
    pub tie_seed: u64,
    /// Column of users; the usual names where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Column of items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Column of unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Column of ratings, for conditions without a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<String>,
}

/// `[schedule]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Updates.
    pub steps: u64,
    /// Histories in one step.
    pub users_per_step: usize,
    /// Places of each history from which the future is predicted.
    pub cuts_per_user: usize,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { steps: 1500, users_per_step: 16, cuts_per_user: 32, checkpoint_every: 250 }
    }
}

/// `[optimizer]`: AdamW (Loshchilov and Hutter, 2019) with a linear warm-up and a cosine to zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// At the end of the warm-up.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Decoupled; of matrices only.
    pub weight_decay: f64,
    /// Steps until the learning rate is reached.
    pub warmup_steps: u64,
    /// Largest norm of all gradients together.
    pub clip_norm: f64,
    /// Share of numbers that are dropped, of embeddings and of each block's output.
    pub dropout: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 6e-3,
            beta1: 0.9,
            beta2: 0.98,
            weight_decay: 0.01,
            warmup_steps: 100,
            clip_norm: 1.0,
            dropout: 0.15,
        }
    }
}

/// `[generator]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratorConfig {
    /// Factor of the generator's loss.
    pub weight: f64,
    /// Items that a target competes with, drawn by popularity and corrected by log Q; 0: the whole catalogue.
    pub sampled_negatives: usize,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self { weight: 1.0, sampled_negatives: 0 }
    }
}

/// The ranker's loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RankerLoss {
    /// Softmax cross-entropy over each list of candidates.
    Listwise,
    /// Binary cross-entropy of each candidate.
    Bce,
}

/// `[ranker]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RankerConfig {
    /// Factor of the ranker's loss; 0 trains no ranker.
    pub weight: f64,
    /// Which loss.
    pub loss: RankerLoss,
    /// Cuts of each history that are ranked.
    pub cuts_per_user: usize,
    /// Negatives out of the best items of a random task's logits.
    pub hard_negatives: usize,
    /// How many best items those are drawn from.
    pub hard_from_top: usize,
    /// Negatives that are targets of other histories in the step.
    pub in_batch_negatives: usize,
    /// Negatives out of the whole catalogue, each item alike.
    pub random_negatives: usize,
    /// Factor of the generator's order as a soft target for the ranker.
    pub distillation: f64,
    /// Keep the ranker's gradients out of the generator.
    pub detach: bool,
    /// Share of the steps before the ranker's terms begin.
    pub start: f64,
}

impl Default for RankerConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            loss: RankerLoss::Listwise,
            cuts_per_user: 8,
            hard_negatives: 48,
            hard_from_top: 100,
            in_batch_negatives: 0,
            random_negatives: 16,
            distillation: 0.0,
            detach: false,
            start: 0.0,
        }
    }
}

/// `[consistency]`: the DC loss, `KL(softmax(scores / T) || softmax(generator_logits / T))` of the last
/// task over a list's candidates, the ranker the teacher (OneRanker, section on distribution consistency).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsistencyConfig {
    /// Factor of the loss; 0 switches it off.
    pub weight: f64,
    /// `T_dc`
    pub temperature: f64,
    /// Share of the steps before the term begins: a teacher has to learn first.
    pub start: f64,
}

impl Default for ConsistencyConfig {
    fn default() -> Self {
        Self { weight: 0.1, temperature: 1.0, start: 0.3 }
    }
}

/// `[fake_items]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FakeItemsConfig {
    /// Steps between two clusterings of the item embeddings; there is one more after the last step.
    pub cluster_every: u64,
    /// Steps of mini-batch k-means in each.
    pub kmeans_steps: usize,
}

impl Default for FakeItemsConfig {
    fn default() -> Self {
        Self { cluster_every: 100, kmeans_steps: 20 }
    }
}

const fn one() -> f64 {
    1.0
}

impl TrainConfig {
    /// Reads a `train.toml` and holds it against the model.
    ///
    /// # Errors
    /// [`TrainingError::Read`], [`TrainingError::Config`] with all problems of the file.
    pub fn read(path: &Path, model: &ModelConfig) -> Result<Self, TrainingError> {
        let read = |cause| TrainingError::Read { file: path.to_owned(), cause };
        let text = fs::read_to_string(path).map_err(read)?;
        let config = |problems| TrainingError::Config { file: path.to_owned(), problems };
        Self::parse(&text, model).map_err(config)
    }

    /// The configuration in the text of a `train.toml`.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn parse(text: &str, model: &ModelConfig) -> Result<Self, Vec<String>> {
        let parsed: Self =
            toml::from_str(text).map_err(|e| vec![e.to_string().trim_end().to_owned()])?;
        let problems = parsed.problems(model);
        if problems.is_empty() { Ok(parsed) } else { Err(problems) }
    }

    /// How a log becomes the store that this configuration learns from.
    ///
    /// # Errors
    /// [`InteractionsError::Labels`] for rules of the tasks, [`InteractionsError::Log`] for `data.actions`.
    pub fn store_options(&self, model: &ModelConfig) -> Result<StoreOptions, InteractionsError> {
        let rules = self.task.iter().map(|task| LabelRule {
            name: task.name.clone(),
            when: task.when.clone(),
            value: task.value.clone(),
        });
        let data = &self.data;
        Ok(StoreOptions {
            columns: Columns {
                user: data.user.clone(),
                item: data.item.clone(),
                timestamp: data.timestamp.clone(),
                rating: data.rating.clone(),
                candidates: None,
            },
            actions: Actions::Rule(data.actions.parse()?),
            n_items: Some(model.n_items),
            n_actions: Some(model.n_actions),
            tie_seed: data.tie_seed,
            ..StoreOptions::new(Labels::new(rules.collect())?)
        })
    }

    /// The text of a `train.toml` with this configuration.
    ///
    /// # Errors
    /// [`TrainingError::Encode`]: none is known that can't be written.
    pub fn to_toml(&self) -> Result<String, TrainingError> {
        toml::to_string(self).map_err(|e| TrainingError::Encode(e.to_string()))
    }

    /// What is impossible, or does not fit the model.
    #[must_use]
    pub fn problems(&self, model: &ModelConfig) -> Vec<String> {
        let mut found = Vec::new();
        let names: Vec<_> = self.task.iter().map(|t| t.name.as_str()).collect();
        let shares_a_state = model.n_tasks() == 1 && names.len() > 1;
        if names != model.tasks && !shares_a_state {
            found.push(format!(
                "the [[task]] tables are {names:?}, the tasks of the model {:?}: names and order must agree",
                model.tasks
            ));
        }
        let mut hold = |fine: bool, what: &str| {
            if !fine {
                found.push(what.to_owned());
            }
        };
        let factor = |x: f64| x.is_finite() && x >= 0.0;
        let share = |x: f64| (0.0..1.0).contains(&x);
        for task in &self.task {
            hold(
                factor(task.weight),
                &format!("`weight` of task `{}` must be 0 or more", task.name),
            );
        }
        let (s, o, r, c) = (&self.schedule, &self.optimizer, &self.ranker, &self.consistency);
        hold(s.steps > 0, "`schedule.steps` must be at least 1");
        hold(s.users_per_step > 0, "`schedule.users_per_step` must be at least 1");
        hold(s.cuts_per_user > 0, "`schedule.cuts_per_user` must be at least 1");
        hold(s.checkpoint_every > 0, "`schedule.checkpoint_every` must be at least 1");
        hold(
            o.learning_rate > 0.0 && factor(o.learning_rate),
            "`optimizer.learning_rate` must be above 0",
        );
        hold(share(o.beta1) && share(o.beta2), "`optimizer.beta1` and `beta2` must be in [0, 1)");
        hold(factor(o.weight_decay), "`optimizer.weight_decay` must be 0 or more");
        hold(o.clip_norm > 0.0, "`optimizer.clip_norm` must be above 0");
        hold(share(o.dropout), "`optimizer.dropout` must be in [0, 1)");
        hold(factor(self.generator.weight), "`generator.weight` must be 0 or more");
        hold(factor(r.weight), "`ranker.weight` must be 0 or more");
        hold(factor(r.distillation), "`ranker.distillation` must be 0 or more");
        hold(share(r.start), "`ranker.start` must be in [0, 1)");
        hold(r.cuts_per_user > 0, "`ranker.cuts_per_user` must be at least 1");
        let negatives = r.hard_negatives + r.in_batch_negatives + r.random_negatives;
        hold(negatives > 0, "the ranker needs at least one kind of negatives");
        let room = model.n_items - 1;
        hold(
            negatives + model.n_tasks() <= room,
            &format!("{negatives} negatives and the targets are more than the {room} items"),
        );
        hold(factor(c.weight), "`consistency.weight` must be 0 or more");
        hold(
            c.temperature > 0.0 && factor(c.temperature),
            "`consistency.temperature` must be above 0",
        );
        hold(share(c.start), "`consistency.start` must be in [0, 1)");
        hold(self.fake_items.cluster_every > 0, "`fake_items.cluster_every` must be at least 1");
        found
    }
}
