//! The graphs of a directory, each on what the graphs before it made.

use std::{collections::BTreeMap, num::NonZeroUsize, path::Path};

use onr_exporter::{ExportedGraph, Progress};
use onr_graphs::{DType, GraphKind, GraphOptions, ModelConfig};
use onr_onnx::Model;
use onr_requests::Request;

use super::{
    CalibrateError, Runner, Statistics, each, spread,
    watch::{Watch, Watched},
};
use crate::{
    backends::ort::OrtBackend,
    parity::{BatchShape, append_state, batches},
    tensor::Feeds,
};

/// How many of a history's behaviours `append` gets as new ones, at most.
const NEW: usize = 4;

/// A directory and the requests to calibrate it on.
#[derive(Clone, Copy)]
pub struct ChainJob<'a> {
    /// Where the graphs lie.
    pub dir: &'a Path,
    /// The graphs, in FP32.
    pub graphs: &'a [ExportedGraph],
    /// The model.
    pub config: &'a ModelConfig,
    /// What the graphs were exported with.
    pub options: &'a GraphOptions,
    /// All requests, checked.
    pub requests: &'a [Request],
    /// Which of them to run.
    pub samples: &'a [usize],
    /// Runs the graphs.
    pub backend: &'a OrtBackend,
    /// Requests at a time.
    pub threads: NonZeroUsize,
}

/// Calibrates all graphs: keys, values and states come from the graphs that make them in production.
///
/// # Errors
/// [`CalibrateError`].
pub fn calibrate_chain(
    job: &ChainJob<'_>,
    progress: &dyn Progress,
) -> Result<Statistics, CalibrateError> {
    let mut watched = BTreeMap::new();
    for graph in job.graphs {
        let Some(kind) = GraphKind::from_name(&graph.name) else { continue };
        let model = Model::open(&job.dir.join(format!("{}.onnx", graph.name)))?;
        watched.insert(kind, (Watched::new(&graph.name, &model), graph));
    }
    let large = watched.values().any(|(w, _)| w.is_large());
    let one = NonZeroUsize::MIN;
    let (workers, inner) = if large { (one, job.threads) } else { (job.threads, one) };
    let make = || {
        let mut stages = BTreeMap::new();
        for (kind, (watched, graph)) in &watched {
            let inputs = graph.inputs.iter().map(|i| (i.name.clone(), i.dtype.clone())).collect();
            let outputs = graph.outputs.iter().map(|o| o.name.clone()).collect();
            let watch = watched.open(job.backend, inner)?;
            stages.insert(*kind, Stage { watch, inputs, outputs });
        }
        Ok(Chain { job: *job, stages })
    };
    spread((job.samples.len(), &*each(job.samples)), workers, progress, &make)
}

struct Stage<'a> {
    watch: Watch<'a>,
    /// Names and types.
    inputs: Vec<(String, String)>,
    outputs: Vec<String>,
}

struct Chain<'a> {
    job: ChainJob<'a>,
    stages: BTreeMap<GraphKind, Stage<'a>>,
}

impl Chain<'_> {
    /// Runs a graph on what stands in `state`, if the directory has it.
    fn run(&mut self, kind: GraphKind, state: &Feeds, at: usize) -> Result<Feeds, CalibrateError> {
        let Some(stage) = self.stages.get_mut(&kind) else { return Ok(Feeds::new()) };
        let mut feeds = Feeds::new();
        for (name, dtype) in &stage.inputs {
            let value = state.get(name).ok_or_else(|| CalibrateError::Missing {
                graph: kind.name().to_owned(),
                input: name.clone(),
            })?;
            // What no type takes is refused by the engine, which says what it wants.
            let fit = DType::from_name(dtype).and_then(|dtype| value.cast(dtype));
            feeds.insert(name.clone(), fit.unwrap_or_else(|| value.clone()));
        }
        let outputs = &stage.outputs;
        stage.watch.run(&feeds, at as u64, &|name| outputs.iter().any(|o| o == name))
    }
}

impl Runner for Chain<'_> {
    type Sample = usize;

    fn sample(&mut self, at: usize) -> Result<(), CalibrateError> {
        let job = self.job;
        let shape = BatchShape { rows: 1, seq_step: 1, candidate_step: 1 };
        let batch = batches(&job.requests[at..=at], job.config, job.options, shape).remove(0);
        let mut state = batch.inputs.clone();
        let encoded = self.run(GraphKind::Encode, &state, at)?;
        if let Some(new) = NonZeroUsize::new(batch.seq_lens[0].min(NEW)) {
            self.run(GraphKind::Append, &append_state(&batch, &encoded, new.get(), 0.0), at)?;
        }
        for (name, value) in encoded {
            state.insert(name.replacen("present.", "past_key_values.", 1), value);
        }
        let generated = self.run(GraphKind::Generate, &state, at)?;
        state.extend(generated);
        self.run(GraphKind::Rank, &state, at)?;
        self.run(GraphKind::OneRanker, &batch.inputs, at)?;
        Ok(())
    }

    fn statistics(self) -> Statistics {
        self.stages.into_values().map(|s| s.watch.finish()).collect()
    }
}
