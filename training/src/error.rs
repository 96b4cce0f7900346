//! What can go wrong in training.

use std::{io, path::PathBuf};

use onr_exporter::ExportError;
use onr_interactions::InteractionsError;

use crate::kmeans::KMeansError;

/// Why there is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// A file can't be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// `train.toml` is wrong.
    #[error("{}: {}", file.display(), problems.join("; "))]
    Config {
        /// The file.
        file: PathBuf,
        /// Everything that is wrong in it.
        problems: Vec<String>,
    },
    /// A configuration has no text.
    #[error("cannot write the configuration: {0}")]
    Encode(String),
    /// Nobody to learn from.
    #[error(
        "no user has the four behaviours that training needs (two to learn from, one to validate, one to test): \
         the log has {users} users and {events} behaviours"
    )]
    NothingToLearn {
        /// Users in the log.
        users: usize,
        /// Behaviours in the log.
        events: u64,
    },
    /// A task that nothing teaches.
    #[error("task `{task}` has no positive among the behaviours that train: check its `when`")]
    NoPositives {
        /// The task.
        task: String,
    },
    /// The log's items do not fit the model.
    #[error("the log has {items} items (padding included), the model {n_items}")]
    Items {
        /// Of the log.
        items: usize,
        /// Of the model.
        n_items: usize,
    },
    /// A loss or a gradient is no number.
    #[error(
        "step {step}: {term} is {value}; the histories in the step are those of users {users:?}"
    )]
    NotFinite {
        /// The step, from 0.
        step: u64,
        /// Which term.
        term: String,
        /// What it is.
        value: f64,
        /// Numbers of the users in the store.
        users: Vec<usize>,
    },
    /// A state that belongs to another run.
    #[error("{}: {why}", file.display())]
    State {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// Stopped by the user; the last checkpoint is kept.
    #[error("interrupted after step {step}")]
    Interrupted {
        /// Steps that are done.
        step: u64,
    },
    /// From the arithmetic.
    #[error("tensor arithmetic failed")]
    Tensor(#[from] candle_core::Error),
    /// From the histories.
    #[error(transparent)]
    Interactions(#[from] InteractionsError),
    /// From clustering.
    #[error("clustering the item embeddings failed")]
    Clusters(#[from] KMeansError),
    /// From reading or writing a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] ExportError),
}
