//! A model, its reference, and wrong copies of it.

use std::{collections::BTreeSet, fs, path::Path};

use onr_exporter::{Checkpoint, ExportedGraph, Silent, WEIGHTS_FILE};
use onr_graphs::{Attention, Filter, GraphOptions, ModelConfig, Profile};
use onr_onnx::Model;
use onr_requests::{Limits, Request, random_requests};
use onr_runtime::{
    backend::Backend,
    bisect::{Numbers, Options, Tolerance, bisect_directory},
    parity::{Coded, ParityJob, ParityReport, Reference, check, check_twin, relations},
};
use prost::Message as _;
use rand::{Rng, SeedableRng, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    kind::{Kind, exported},
    models::{random_weights, well_conditioned_config},
    operators::{Change, Operator},
};

/// Requests that parity runs.
const REQUESTS: usize = 24;

/// The checkpoint of a world.
const CHECKPOINT: &str = "weights.safetensors";

/// Candidates of a request.
const CANDIDATES: usize = 16;

/// An exported model and its reference.
#[derive(Debug)]
pub struct World {
    /// The model.
    pub config: ModelConfig,
    /// How it was exported.
    pub options: GraphOptions,
    kind: Kind,
    dir: TempDir,
    graphs: Vec<ExportedGraph>,
    reference: Reference,
    /// The right graphs once more, for `bisect`.
    twin: Reference,
    requests: Vec<Request>,
    profile: Profile,
}

/// A graph with one fault.
#[derive(Debug, Clone, Serialize)]
pub struct Mutant {
    /// The graph.
    pub graph: String,
    /// The node.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The kind of fault.
    pub operator: Operator,
    /// The fault.
    #[serde(flatten)]
    pub change: Change,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// An engine did not run it.
    Refused {
        /// Its words.
        why: String,
    },
    /// Parity failed.
    Killed {
        /// The first check that failed.
        check: String,
        /// Did a relation break too?
        by_relations: bool,
        /// Did the comparison with the reference fail?
        by_outputs: bool,
    },
    /// Nothing was seen.
    Survived,
}

impl World {
    /// The model of a seed, exported in a precision; with this attention, or any.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn new(seed: u64, kind: Kind, attention: Option<Attention>) -> anyhow::Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut config = well_conditioned_config(&mut rng);
        config.attention = attention.unwrap_or(config.attention);
        let filter = [Filter::None, Filter::Global, Filter::User][rng.random_range(0..3)];
        let top_k = rng.random_range(1..config.n_items.min(9));
        let options = GraphOptions { precision: kind.base(), filter, ..GraphOptions::new(top_k) };
        let limits = Limits {
            n_items: config.n_items,
            n_actions: config.n_actions,
            max_seq_len: config.max_seq_len,
        };
        let requests = random_requests(&limits, REQUESTS, seed, CANDIDATES);
        let dir = tempfile::tempdir()?;
        let weights = dir.path().join(CHECKPOINT);
        random_weights(&config, seed, &weights)?;
        let checkpoint = Checkpoint::open(&weights)?;
        let profile =
            Profile::for_model(config.max_seq_len).with("batch=1:4:8,candidates=1:16:40")?;
        let (graphs, plan) = exported(kind, &config, &options, &checkpoint, &requests, dir.path())?;
        let plan = plan.as_ref();
        let reference = Reference::build(&config, &options, &graphs, &checkpoint, plan, &Silent)?;
        let twin = Reference::twin(&config, &options, &graphs, &checkpoint, plan, &Silent)?;
        Ok(Self { config, options, kind, dir, graphs, reference, twin, requests, profile })
    }

    /// Where the right graphs lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A random fault in a random graph, and the folder that has it.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn mutate(&self, rng: &mut ChaCha8Rng) -> anyhow::Result<(Mutant, TempDir)> {
        loop {
            let operator = Operator::ALL[rng.random_range(0..Operator::ALL.len())];
            let graph = &self.graphs[rng.random_range(0..self.graphs.len())];
            let file = self.dir().join(graph.file_name());
            let plain = Model::open(&file)?;
            let mut places: Vec<usize> = (0..plain.graph().node.len()).collect();
            places.shuffle(rng);
            for at in places {
                let mut model = plain.clone();
                let node = &plain.graph().node[at];
                let (name, op) = (node.label().to_owned(), node.op().to_owned());
                let Some(change) = operator.apply(&mut model, at, rng) else { continue };
                let mutant = Mutant { graph: graph.name.clone(), node: name, op, operator, change };
                return Ok((mutant, self.folder_with(graph, &model)?));
            }
        }
    }

    /// The right graphs.
    #[must_use]
    pub fn graphs(&self) -> &[ExportedGraph] {
        &self.graphs
    }

    /// What the checkpoint's tensors are called.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn weight_names(&self) -> anyhow::Result<BTreeSet<String>> {
        let checkpoint = Checkpoint::open(&self.dir().join(CHECKPOINT))?;
        Ok(checkpoint.keys().map(str::to_owned).collect())
    }

    /// What the graphs are compared with.
    #[must_use]
    pub const fn reference(&self) -> &Reference {
        &self.reference
    }

    /// One of the right graphs.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn model(&self, graph: &str) -> anyhow::Result<Model> {
        Ok(Model::open(&self.dir().join(format!("{graph}.onnx")))?)
    }

    /// The folder with one graph replaced.
    fn folder_with(&self, changed: &ExportedGraph, model: &Model) -> anyhow::Result<TempDir> {
        let dir = tempfile::tempdir()?;
        fs::hard_link(self.dir().join(WEIGHTS_FILE), dir.path().join(WEIGHTS_FILE))?;
        for graph in &self.graphs {
            let to = dir.path().join(graph.file_name());
            if graph.name == changed.name {
                fs::write(to, model.proto().encode_to_vec())?;
            } else {
                fs::hard_link(self.dir().join(graph.file_name()), to)?;
            }
        }
        Ok(dir)
    }

    /// The comparison of a folder.
    pub fn job<'a>(
        &'a self,
        dir: &'a Path,
        candidate: &'a dyn Backend,
        reference: &'a dyn Backend,
    ) -> ParityJob<'a> {
        ParityJob {
            config: &self.config,
            options: &self.options,
            graphs: &self.graphs,
            dir,
            candidate,
            reference,
            requests: &self.requests,
            requests_from: "drawn",
            rows: 4,
            coded: Coded { numbers: self.kind == Kind::Int8, keys: false },
        }
    }

    /// What parity says of a folder, relations included.
    ///
    /// # Errors
    /// When an engine refuses or fails.
    pub fn parity(&self, job: &ParityJob<'_>) -> anyhow::Result<ParityReport> {
        let mut report = check(job, &self.reference, &Silent)?;
        report.checks.extend(check_twin(job, &self.twin, &Silent)?);
        report.checks.extend(relations(job, &self.profile, &Silent)?.checks);
        Ok(report)
    }

    /// How many times as far as those of the right graphs the outputs of a folder are from the reference: the largest
    /// ratio of rms errors. 1 where both are exact. Left aside is how far `oneranker` is from `rank`, which no reference has a part in.
    ///
    /// # Errors
    /// When an engine refuses or fails.
    pub fn farther(&self, job: &ParityJob<'_>) -> anyhow::Result<f64> {
        let right = ParityJob { dir: self.dir(), ..*job };
        let errors = |job: &ParityJob<'_>| -> anyhow::Result<Vec<f64>> {
            let report = check(job, &self.reference, &Silent)?;
            let outputs = report.outputs.iter().filter(|output| output.graph != "split");
            Ok(outputs.map(|output| output.rms_error).collect())
        };
        let pairs = errors(job)?.into_iter().zip(errors(&right)?);
        let ratio = |(got, want): (f64, f64)| if got == want { 1.0 } else { got / want };
        Ok(pairs.map(ratio).fold(1.0, f64::max))
    }

    /// What becomes of a mutant.
    #[must_use]
    pub fn fate(&self, job: &ParityJob<'_>) -> Fate {
        let report = match self.parity(job) {
            Ok(report) => report,
            Err(error) => {
                let folder = format!("{}/", job.dir.display());
                return Fate::Refused { why: format!("{error:#}").replace(&folder, "") };
            }
        };
        let failed: Vec<&str> = report
            .checks
            .iter()
            .filter(|check| check.failure().is_some())
            .map(|check| check.name.as_str())
            .collect();
        let is_relation = |name: &&str| name.starts_with("relation.");
        match failed.first() {
            None => Fate::Survived,
            Some(first) => Fate::Killed {
                check: (*first).to_owned(),
                by_relations: failed.iter().any(is_relation),
                by_outputs: failed.iter().any(|name| !is_relation(name)),
            },
        }
    }

    /// The nodes that `bisect` blames; none where it finds nothing.
    ///
    /// # Errors
    /// When an engine refuses or fails.
    pub fn blamed(
        &self,
        dir: &Path,
        candidate: &dyn Backend,
        reference: &dyn Backend,
    ) -> anyhow::Result<Vec<String>> {
        let numbers = Numbers::of_export(&self.options, self.kind == Kind::Int8);
        let close = Options { tolerance: Some(Tolerance::of_twins(numbers)) };
        let mut found =
            bisect_directory(&self.job(dir, candidate, candidate), &self.twin, close, &Silent)?;
        if found.fault().is_none() {
            let job = self.job(dir, candidate, reference);
            found = bisect_directory(&job, &self.reference, Options::default(), &Silent)?;
        }
        let fault = found.fault().and_then(|(_, finding)| finding.fault.as_ref());
        let names = fault.map(|fault| {
            let all = fault.nodes.iter().map(|node| node.name.clone());
            std::iter::once(fault.node.name.clone()).chain(all).collect()
        });
        Ok(names.unwrap_or_default())
    }
}
