//! Everything that can go wrong with a simulation.

use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// What stops a simulation, or a question about one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// Numbers that make no world, all of them.
    #[error("the simulation cannot be made: {}", problems.join("; "))]
    Parameters {
        /// What is wrong, one a sentence.
        problems: Vec<String>,
    },
    /// The folder holds something already.
    #[error("{} exists and is not an empty folder", dir.display())]
    Exists {
        /// The folder that was to appear.
        dir: PathBuf,
    },
    /// The operating system would not let us write.
    #[error("cannot write {}", file.display())]
    Write {
        /// The file or folder that was to appear.
        file: PathBuf,
        /// The operating system's reason.
        #[source]
        cause: io::Error,
    },
    /// The Parquet library could not write a shard.
    #[error("{}: not writable as Parquet", file.display())]
    Parquet {
        /// The shard.
        file: PathBuf,
        /// The library's reason.
        #[source]
        cause: ParquetError,
    },
    /// The operating system would not let us read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The `truth.json`.
        file: PathBuf,
        /// The operating system's reason.
        #[source]
        cause: io::Error,
    },
    /// A `truth.json` is not what it should be.
    #[error("{}: not readable as the truth of a simulated log", file.display())]
    Json {
        /// The `truth.json`.
        file: PathBuf,
        /// The JSON parser's reason.
        #[source]
        cause: serde_json::Error,
    },
    /// A `truth.json` was written by a program that makes other worlds.
    #[error("{}: simulation version {found}, this program makes {known}", file.display())]
    Version {
        /// The `truth.json`.
        file: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version that this program makes.
        known: u64,
    },
    /// A question about a user whom no log of this program has.
    #[error("`{user}` is no user of a simulated log")]
    UnknownUser {
        /// The external id.
        user: String,
    },
    /// A question about an item that the log does not have.
    #[error("`{item}` is no item of this simulated log")]
    UnknownItem {
        /// The external id.
        item: String,
    },
    /// A history shows an item twice, which never happens.
    #[error("item `{item}` is twice in the history of `{user}`, who sees nothing twice")]
    SeenTwice {
        /// The external id of the user.
        user: String,
        /// The external id of the item.
        item: String,
    },
}

/// Turns an IO error into [`SimulationError::Write`] of `file`.
pub(super) fn write_error(file: &Path) -> impl FnOnce(io::Error) -> SimulationError + '_ {
    |cause| SimulationError::Write { file: file.to_owned(), cause }
}

/// Turns a Parquet error into [`SimulationError::Parquet`] of `file`.
pub(super) fn parquet_error(file: &Path) -> impl FnOnce(ParquetError) -> SimulationError + '_ {
    |cause| SimulationError::Parquet { file: file.to_owned(), cause }
}
