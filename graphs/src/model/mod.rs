//! The OneRanker graphs (arXiv 2603.02999, with the attention block of HSTU, arXiv 2402.17152).
//! `docs/model.md` states what they compute.
//!
//! Bottom-up: [`layers`], [`relation`] (biases and visibility), [`attention`], [`block`]; then the
//! stages [`behaviours`], [`generator`], [`ranker`]; then [`oneranker`], which joins them.

mod attention;
mod behaviours;
mod block;
pub mod config;
mod generator;
mod io;
mod layers;
mod oneranker;
mod ranker;
mod relation;
pub mod weights;

use crate::{
    builder::{GraphBuilder, Result},
    dtype::DType,
    graph::Graph,
};
use config::{GraphKind, GraphOptions, ModelConfig};
pub use relation::time_thresholds;

/// What every part of the model is built from.
#[derive(Clone, Copy, Debug)]
struct Model<'a> {
    cfg: &'a ModelConfig,
    opts: &'a GraphOptions,
}

impl Model<'_> {
    /// Element type of operands of products, and of keys and values inside a graph.
    const fn narrow(self) -> DType {
        self.opts.precision.dtype()
    }

    /// Element type of keys, values, task states and item vectors between graphs.
    const fn io(self) -> DType {
        if self.opts.io_f32 { DType::F32 } else { self.narrow() }
    }
}

/// Builds one graph of a model.
///
/// # Errors
/// [`crate::BuildError::Refused`] when this configuration has no such graph; any other error is a
/// defect of the model code, reported with its place.
pub fn build(cfg: &ModelConfig, opts: &GraphOptions, kind: GraphKind) -> Result<Graph> {
    let m = Model { cfg, opts };
    let mut g = GraphBuilder::new(kind.name());
    match kind {
        GraphKind::Encode => behaviours::encode(&mut g, m)?,
        GraphKind::Append => behaviours::append(&mut g, m)?,
        GraphKind::Generate => generator::generate(&mut g, m)?,
        GraphKind::Rank => ranker::rank(&mut g, m)?,
        GraphKind::OneRanker => oneranker::oneranker(&mut g, m)?,
    }
    g.finish()
}
