//! The loop.

use std::{ops::ControlFlow, path::Path, time::Instant};

use candle_core::DType;
use onr_exporter::artifact;
use onr_graphs::ModelConfig;
use onr_interactions::{Event, Split, Store};

use crate::{
    config::TrainConfig,
    error::TrainingError,
    init,
    kmeans::{Clusters, KMeansOptions, cluster, cluster_from},
    loss::Losses,
    model::Params,
    optimizer::AdamW,
    sample::{Sampler, Users},
    state::{STATE_FILE, read_state, write_state},
};

/// Never learnt by gradients: centres of the item embeddings.
const FROZEN: &[&str] = &["fake_items"];
/// Shortest history that trains: two behaviours to learn from, one to validate, one to test.
const SHORTEST: usize = 4;

/// A training run.
pub struct TrainJob<'a> {
    /// The model.
    pub model: &'a ModelConfig,
    /// How it learns.
    pub config: &'a TrainConfig,
    /// What it learns from: [`Split::training`] of each history.
    pub store: &'a Store,
    /// Of weights, order of users, cuts, negatives and dropout.
    pub seed: u64,
    /// Directory for the state of the run; `None` keeps none.
    pub state: Option<&'a Path>,
}

/// What is told after each step.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Steps that are done.
    pub step: u64,
    /// Steps in all.
    pub of: u64,
    /// Each term with its factor.
    pub terms: Vec<(&'static str, f64)>,
    /// Norm of the gradients before clipping.
    pub gradient_norm: f64,
}

/// The result.
#[derive(Debug)]
pub struct Trained {
    /// The weights.
    pub params: Params,
    /// The step that this run began with: not 0 where it took up an earlier one.
    pub first_step: u64,
    /// Seconds of this run.
    pub seconds: f64,
    /// Mean of each term over each hundredth of the steps of this run: `(step, terms)`.
    pub curve: Vec<(u64, Vec<(&'static str, f64)>)>,
}

/// What the log holds for training.
struct Census {
    eligible: Vec<usize>,
    /// `[V]`
    popularity: Vec<f64>,
}

impl TrainJob<'_> {
    /// Trains from the first step, or from where the state in the directory of this run stands.
    /// `observe` is told after each step; [`ControlFlow::Break`] stops after a state was written.
    ///
    /// # Errors
    /// All of [`TrainingError`].
    pub fn run(
        &self,
        observe: &mut dyn FnMut(&StepReport) -> ControlFlow<()>,
    ) -> Result<Trained, TrainingError> {
        let started = Instant::now();
        if self.store.n_items() > self.model.n_items {
            let (items, n_items) = (self.store.n_items(), self.model.n_items);
            return Err(TrainingError::Items { items, n_items });
        }
        let census = self.census()?;
        let params = Params::new(self.model, DType::F32, |name, shape| {
            init::values(self.model, self.seed, name, shape)
        })?;
        let steps = self.config.schedule.steps;
        let mut optimizer = AdamW::new(self.config.optimizer.clone(), steps);
        let file = self.state.map(|dir| dir.join(STATE_FILE));
        let name = self.name()?;
        let first_step = match &file {
            Some(file) if file.exists() => read_state(file, &params, &mut optimizer, &name)?,
            _ => 0,
        };
        if first_step == 0 {
            self.cluster(&params, 0)?;
        }
        let mut curve = Curve::new(steps);
        let mut users = Users::new(census.eligible, self.seed, self.config.schedule.users_per_step);
        for step in first_step..steps {
            let batch = users.of(step);
            let report = self.step(step, &batch, &params, &mut optimizer, &census.popularity)?;
            let done = step + 1;
            if done.is_multiple_of(self.config.fake_items.cluster_every) || done == steps {
                self.cluster(&params, done)?;
            }
            curve.add(&report);
            let stop = observe(&report).is_break() && done < steps;
            let due = done.is_multiple_of(self.config.schedule.checkpoint_every) || done == steps;
            if let Some(file) = file.as_ref().filter(|_| stop || due) {
                write_state(file, &params, &optimizer, (done, &name))?;
            }
            if stop {
                return Err(TrainingError::Interrupted { step: done });
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Trained { params, first_step, seconds, curve: curve.points })
    }

    /// A name for what decides the result.
    fn name(&self) -> Result<String, TrainingError> {
        let report = serde_json::to_string(self.store.report())
            .map_err(|e| TrainingError::Encode(e.to_string()))?;
        let all = format!(
            "{}\n{}\n{}\n{}\n{report}",
            onr_exporter::write_model(self.model),
            self.config.to_toml()?,
            self.seed,
            self.store.tie_seed()
        );
        Ok(artifact::sha256(all.as_bytes()))
    }

    /// Who can train, how popular each item is, and whether each task has something to learn from.
    fn census(&self) -> Result<Census, TrainingError> {
        let mut census = Census { eligible: vec![], popularity: vec![0.0; self.model.n_items] };
        let mut positives = vec![0_u64; self.config.task.len()];
        let mut history = Vec::new();
        for user in 0..self.store.n_users() {
            self.store.history(user, &mut history)?;
            let training = Split(&history).training();
            for event in training {
                census.popularity[event.item as usize] += 1.0;
            }
            if history.len() < SHORTEST {
                continue;
            }
            census.eligible.push(user);
            for (n, task) in self.config.task.iter().enumerate() {
                let counts =
                    |e: &&Event| e.is_positive(n) && (task.value.is_none() || e.value > 0.0);
                positives[n] += training[1..].iter().filter(counts).count() as u64;
            }
        }
        if census.eligible.is_empty() {
            let (users, events) = (self.store.n_users(), self.store.n_events());
            return Err(TrainingError::NothingToLearn { users, events });
        }
        let mut tasks = self.config.task.iter().zip(&positives);
        if let Some((task, _)) = tasks.find(|(task, n)| **n == 0 && task.weight > 0.0) {
            return Err(TrainingError::NoPositives { task: task.name.clone() });
        }
        Ok(census)
    }

    /// One update.
    fn step(
        &self,
        step: u64,
        users: &[usize],
        params: &Params,
        optimizer: &mut AdamW,
        popularity: &[f64],
    ) -> Result<StepReport, TrainingError> {
        let mut histories = Vec::with_capacity(users.len());
        for &user in users {
            let mut history = Vec::new();
            self.store.history(user, &mut history)?;
            histories.push(history);
        }
        let (model, config, seed) = (self.model, self.config, self.seed);
        let batch = Sampler { model, config, seed }.batch(step, users, &histories);
        let losses = Losses { model, config, popularity, seed };
        let terms = losses.terms(params, &batch, step, config.optimizer.dropout)?;
        let values = terms.values()?;
        let hold = |term: &str, value: f64| {
            let (term, users) = (term.to_owned(), batch.users.clone());
            let wrong = TrainingError::NotFinite { step, term, value, users };
            if value.is_finite() { Ok(()) } else { Err(wrong) }
        };
        for (name, value) in &values {
            hold(name, *value)?;
        }
        let mut gradient_norm = 0.0;
        if let Some(total) = terms.total()? {
            let grads = total.backward()?;
            gradient_norm = AdamW::norm(params, &grads, FROZEN)?;
            hold("the norm of the gradients", gradient_norm)?;
            optimizer.update(params, &grads, (step, gradient_norm), FROZEN)?;
        }
        let of = self.config.schedule.steps;
        Ok(StepReport { step: step + 1, of, terms: values, gradient_norm })
    }

    /// Moves the fake items to where the item embeddings are by now; before the first step they are found.
    fn cluster(&self, params: &Params, step: u64) -> Result<(), TrainingError> {
        if self.model.n_fake_items == 0 {
            return Ok(());
        }
        let options = KMeansOptions {
            steps: self.config.fake_items.kmeans_steps,
            seed: self.seed ^ step,
            ..KMeansOptions::default()
        };
        cluster_items(params, self.model, &options, step > 0)?;
        Ok(())
    }
}

/// Sets the fake items of a model to the centres of its item embeddings, padding left out. With `warm` the
/// clustering begins with the fake items that the model has, which keeps their order.
///
/// # Errors
/// [`TrainingError::Clusters`], e.g. where there are fewer items than fake items.
pub fn cluster_items(
    params: &Params,
    model: &ModelConfig,
    options: &KMeansOptions,
    warm: bool,
) -> Result<Clusters, TrainingError> {
    let items = params.values("item_embedding")?;
    let (points, dim) = (&items[model.d_model..], model.d_model);
    let clusters = if warm {
        cluster_from(points, dim, &params.values("fake_items")?, options)?
    } else {
        cluster(points, dim, model.n_fake_items, options)?
    };
    params.set("fake_items", &clusters.centres)?;
    Ok(clusters)
}

/// Means of the terms over stretches of steps.
struct Curve {
    stretch: u64,
    sums: Vec<(&'static str, f64)>,
    count: u64,
    points: Vec<(u64, Vec<(&'static str, f64)>)>,
}

impl Curve {
    fn new(steps: u64) -> Self {
        Self { stretch: steps.div_ceil(100), sums: vec![], count: 0, points: vec![] }
    }

    fn add(&mut self, report: &StepReport) {
        let names =
            |terms: &[(&'static str, f64)]| -> Vec<_> { terms.iter().map(|t| t.0).collect() };
        if names(&self.sums) != names(&report.terms) {
            self.sums = report.terms.iter().map(|t| (t.0, 0.0)).collect();
            self.count = 0;
        }
        self.sums.iter_mut().zip(&report.terms).for_each(|(sum, term)| sum.1 += term.1);
        self.count += 1;
        if report.step.is_multiple_of(self.stretch) || report.step == report.of {
            let mean = self.sums.iter().map(|(n, s)| (*n, s / self.count as f64)).collect();
            self.points.push((report.step, mean));
            self.sums.clear();
            self.count = 0;
        }
    }
}
