//! What the graphs of a package are called on a server.

use onr_graphs::GraphKind;

/// The deployed model of a graph: `NAME_encode` and so on, and `NAME_fused` for the graph `oneranker`, because `NAME`
/// itself is the ensemble of the others.
#[must_use]
pub fn model_name(package: &str, graph: &str) -> String {
    let part = if graph == GraphKind::OneRanker.name() { "fused" } else { graph };
    format!("{package}_{part}")
}
