//! Everything that can go wrong between a log and a history.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use onr_requests::{Place, RequestError};

/// What is wrong with the rules of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelProblem {
    /// The task's name, or its number from 1 where it has none.
    pub task: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for LabelProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task `{}`: {}", self.task, self.reason)
    }
}

/// What stops a store. [`InteractionsError::hint`] has the advice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InteractionsError {
    /// The rules of the tasks make no sense.
    #[error("{}", listed(problems))]
    Labels {
        /// All that is wrong, in the order of the tasks.
        problems: Vec<LabelProblem>,
    },
    /// A log cannot be read, or a cell has no value that can be used.
    #[error(transparent)]
    Log(#[from] RequestError),
    /// There is no log where one should be.
    #[error("{}: no log in the folder", folder.display())]
    NoLogs {
        /// The folder.
        folder: PathBuf,
    },
    /// The logs have a header at most.
    #[error("the log has no rows")]
    NoRows,
    /// Not one row of the logs is a behaviour.
    #[error(
        "no row of {rows} is a behaviour: {without_action} have no action, {unknown} an item that the vocabulary lacks"
    )]
    NoBehaviours {
        /// Rows of the logs.
        rows: u64,
        /// Rows that no clause of the action rule matches.
        without_action: u64,
        /// Rows whose item is not in the given vocabulary.
        unknown: u64,
    },
    /// A row has an action that the model has no embedding for.
    #[error("{place}: action {action} is not in 1 to {largest}")]
    Action {
        /// The row.
        place: Place,
        /// The action that the rule or the column gives.
        action: i32,
        /// The model's largest action.
        largest: u16,
    },
    /// There are more different items than 32 bits can number.
    #[error("more than {limit} different items")]
    TooManyItems {
        /// The most that there may be.
        limit: u32,
    },
    /// A history that was given has a behaviour that no store can hold.
    #[error("user {user}, behaviour {position}: {reason}")]
    Event {
        /// The history, from 0.
        user: usize,
        /// The behaviour in it, from 0.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no user of this number.
    #[error("user {user} is none of the {n_users} of the store")]
    User {
        /// The user that was asked for, from 0.
        user: usize,
        /// Users in the store.
        n_users: usize,
    },
    /// The operating system would not let us read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The operating system's reason.
        #[source]
        cause: io::Error,
    },
    /// The operating system would not let us write.
    #[error("cannot write {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The operating system's reason.
        #[source]
        cause: io::Error,
    },
    /// A store is of another version.
    #[error("{}: store version {found}, this program reads {known}", file.display())]
    Version {
        /// The description of the store.
        file: PathBuf,
        /// The version in it.
        found: u64,
        /// The version that is understood.
        known: u64,
    },
    /// A file of a store is not what the store's description says.
    #[error("{}: {reason}", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Whoever watches the progress asked to stop.
    #[error("stopped before the store was complete")]
    Stopped,
}

impl InteractionsError {
    /// What the reader could do next; the CLI prints it on a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Log(RequestError::Read { .. }) => return None,
            Self::Log(error) => return error.hint(),
            Self::Labels { .. } => {
                "for example `when = \"rating>=4 && device==phone\"`, or `when = \"*\"` for every row"
            }
            Self::NoLogs { .. } => "a folder of shards has .inter, .tsv, .csv or .parquet files",
            Self::NoBehaviours { .. } => "compare the action rule and the vocabulary with the log",
            Self::Action { .. } => "compare the actions with n_actions in model.toml; 0 is padding",
            Self::Version { .. } | Self::Broken { .. } => "build the store again from the log",
            Self::Read { cause, .. } if cause.kind() == ErrorKind::NotFound => {
                "build the store from a log first"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn listed(problems: &[LabelProblem]) -> String {
    problems.iter().map(LabelProblem::to_string).collect::<Vec<_>>().join("; ")
}

/// Turns an IO error into [`InteractionsError::Read`] of `file`.
pub(crate) fn read_error(file: &Path) -> impl FnOnce(io::Error) -> InteractionsError + '_ {
    |cause| InteractionsError::Read { file: file.to_owned(), cause }
}

/// Turns an IO error into [`InteractionsError::Write`] of `file`.
pub(crate) fn write_error(file: &Path) -> impl FnOnce(io::Error) -> InteractionsError + '_ {
    |cause| InteractionsError::Write { file: file.to_owned(), cause }
}
