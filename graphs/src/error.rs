//! What can go wrong while a graph is built.

use crate::{Dim, dim::show_shape, dtype::DType};

/// Everything that can stop a graph from being built. Each variant names the model part (`at`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A tensor handle of another builder.
    #[error("{op} at `{at}` was given a tensor of another graph")]
    Foreign {
        /// The operator.
        op: &'static str,
        /// Path of the model part.
        at: String,
    },
    /// Inner sizes of a product differ.
    #[error("MatMul at `{at}` contracts {lhs} with {rhs}")]
    Contraction {
        /// Path of the model part.
        at: String,
        /// Last axis of the left side.
        lhs: Dim,
        /// Second to last axis of the right side.
        rhs: Dim,
    },
    /// Shapes that do not fit the operator.
    #[error("{op} at `{at}` cannot take shapes {}", shapes.iter().map(|s| show_shape(s)).collect::<Vec<_>>().join(" and "))]
    Shapes {
        /// The operator.
        op: &'static str,
        /// Path of the model part.
        at: String,
        /// The shapes of its operands.
        shapes: Vec<Vec<Dim>>,
    },
    /// Element types that do not fit the operator.
    #[error("{op} at `{at}` cannot take types {dtypes:?}")]
    Types {
        /// The operator.
        op: &'static str,
        /// Path of the model part.
        at: String,
        /// The types of its operands.
        dtypes: Vec<DType>,
    },
    /// An axis that the tensor does not have.
    #[error("{op} at `{at}` names axis {axis} of a tensor of rank {rank}")]
    Axis {
        /// The operator.
        op: &'static str,
        /// Path of the model part.
        at: String,
        /// The axis.
        axis: usize,
        /// The rank.
        rank: usize,
    },
    /// One checkpoint tensor used with two shapes.
    #[error("weight `{key}` is used as {} and as {}", show_shape(first), show_shape(second))]
    Weight {
        /// Name in the checkpoint.
        key: String,
        /// Shape of the first use.
        first: Vec<Dim>,
        /// Shape of this use.
        second: Vec<Dim>,
    },
    /// The finished graph breaks a rule of the IR.
    #[error("graph {graph} is not well formed: {reason}")]
    Invalid {
        /// Name of the graph.
        graph: String,
        /// The rule and the node.
        reason: String,
    },
    /// A configuration for which this graph cannot be made.
    #[error("graph {graph} cannot be built: {reason}")]
    Refused {
        /// Name of the graph.
        graph: &'static str,
        /// Why not.
        reason: String,
    },
}
