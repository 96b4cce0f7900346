//! Requests as clients of a deployment send them: the inputs of one graph, or of the ensemble.
//!
//! What other graphs make of a request, keys and values for one, comes from running them beforehand.

use std::path::Path;

use onr_exporter::{ExportedGraph, Progress};
use onr_graphs::{DType, GraphKind, GraphOptions, ModelConfig};
use onr_requests::Request;

use crate::{
    backend::Backend,
    parity::{Batch, BatchShape, Chain, NEW, ParityError, append_state, batches, keep_history},
    tensor::Feeds,
};

/// Graphs that the ensemble runs.
const ENSEMBLE: [GraphKind; 3] = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];

/// Candidates are padded to a multiple of this.
const CANDIDATE_STEP: usize = 64;

/// Histories are padded to one of so many lengths.
const LENGTHS: usize = 4;

/// What the requests are for.
#[derive(Clone, Copy)]
pub struct Traffic<'a> {
    /// Runs the graphs whose outputs are needed.
    pub backend: &'a dyn Backend,
    /// Where the graphs lie.
    pub dir: &'a Path,
    /// The graphs.
    pub graphs: &'a [ExportedGraph],
    /// The model.
    pub config: &'a ModelConfig,
    /// What they were exported with.
    pub options: &'a GraphOptions,
}

impl Traffic<'_> {
    /// Graphs that make inputs of this one; `None` is the ensemble, which takes what clients have.
    #[must_use]
    pub const fn before(graph: Option<GraphKind>) -> &'static [GraphKind] {
        match graph {
            None | Some(GraphKind::Encode | GraphKind::OneRanker) => &[],
            Some(GraphKind::Append | GraphKind::Generate) => &[GraphKind::Encode],
            Some(GraphKind::Rank) => &[GraphKind::Encode, GraphKind::Generate],
        }
    }

    /// The inputs of a graph, or of the ensemble, `rows` requests at a time. The first requests are taken again where
    /// the last batch would not be full.
    ///
    /// # Errors
    /// [`ParityError::Run`] when a graph before it does not run, [`ParityError::Missing`] when one is not there, and
    /// [`ParityError::Interrupted`].
    pub fn inputs(
        &self,
        graph: Option<GraphKind>,
        requests: &[Request],
        rows: usize,
        progress: &dyn Progress,
    ) -> Result<Vec<Feeds>, ParityError> {
        let whole = requests.len().next_multiple_of(rows.max(1));
        let filled: Vec<Request> = requests.iter().cycle().take(whole).cloned().collect();
        let shape = BatchShape {
            rows: rows.max(1),
            seq_step: self.config.max_seq_len.div_ceil(LENGTHS),
            candidate_step: CANDIDATE_STEP,
        };
        let mut chain = Chain::new(self.backend, self.dir, self.graphs, &GraphKind::ALL);
        let batches = batches(&filled, self.config, self.options, shape);
        progress.stage("prepare", batches.len() as u64);
        let mut inputs = Vec::with_capacity(batches.len());
        for batch in &batches {
            inputs.push(match graph {
                None => of_ensemble(self.graphs, batch),
                Some(kind) => of_graph(kind, batch, &mut chain)?,
            });
            if progress.advance(1).is_break() {
                return Err(ParityError::Interrupted);
            }
        }
        Ok(inputs)
    }
}

/// What the graphs of the ensemble ask for and none of them makes, in their types.
pub(crate) fn of_ensemble(graphs: &[ExportedGraph], batch: &Batch) -> Feeds {
    let stages = || graphs.iter().filter(|g| ENSEMBLE.iter().any(|k| k.name() == g.name));
    let typed = |name: &String| {
        let info = stages().find_map(|g| g.inputs.iter().find(|info| info.name == *name))?;
        let (value, dtype) = (&batch.inputs[name], DType::from_name(&info.dtype)?);
        Some((name.clone(), value.cast(dtype)?))
    };
    batch.inputs.keys().filter_map(typed).collect()
}

/// The inputs of one graph.
fn of_graph(kind: GraphKind, batch: &Batch, chain: &mut Chain<'_>) -> Result<Feeds, ParityError> {
    let mut state = batch.inputs.clone();
    if !Traffic::before(Some(kind)).is_empty() {
        let encoded = chain.run(GraphKind::Encode, &state)?;
        if kind == GraphKind::Append {
            state = append_state(batch, &encoded, NEW, 0.0);
        } else {
            keep_history(&mut state, &encoded);
        }
    }
    if kind == GraphKind::Rank {
        let generated = chain.run(GraphKind::Generate, &state)?;
        state.extend(generated);
    }
    chain.feeds(kind, &state)
}
