//! Why a request was not answered.

use onr_device::DeviceError;

use crate::backend::RunError;

/// What keeps a service from opening, or a request from being answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A backend refused or failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The device that keeps keys and values failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The manifest's profile cannot be read.
    #[error("the profile of onr.json cannot be used: {0}")]
    Profile(String),
    /// The directory lacks a graph that every request needs.
    #[error("the directory has no graph {graph}")]
    Graph {
        /// Name of the graph.
        graph: &'static str,
    },
    /// The graphs take items as vectors, which a request does not have.
    #[error("the graphs take items as vectors, and requests have ids")]
    Vectors,
    /// The lists of a history differ in length.
    #[error("the history of `{user}` has {items} items, {actions} actions and {times} times")]
    Lengths {
        /// Who asks.
        user: String,
        /// Items.
        items: usize,
        /// Actions.
        actions: usize,
        /// Times.
        times: usize,
    },
    /// A history is longer than the model takes.
    #[error("the history of `{user}` has {got} behaviours, the model takes {most}")]
    TooLong {
        /// Who asks.
        user: String,
        /// Behaviours.
        got: usize,
        /// `max_seq_len`.
        most: usize,
    },
    /// An input cannot be made in the type that the graph takes.
    #[error("graph {graph} takes `{input}` as {dtype}, which cannot be made")]
    Input {
        /// Name of the graph.
        graph: &'static str,
        /// Name of the input.
        input: String,
        /// The type.
        dtype: String,
    },
    /// A graph did not give what the contract says.
    #[error("graph {graph} has not given `{output}`")]
    Output {
        /// Name of the graph.
        graph: &'static str,
        /// Name of the output.
        output: &'static str,
    },
}

impl ServeError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Run(error) => error.hint(),
            Self::Device(error) => error.hint(),
            Self::Graph { .. } => {
                Some("export encode, generate and rank; append too, to reuse what is kept")
            }
            Self::Vectors => Some("export with `--item-input ids`"),
            Self::Input { .. } => Some("times beyond 2038 need an export with `--ids int64`"),
            _ => None,
        }
    }
}
