//! Everything that can go wrong between a file and a checked request.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;

/// Where a request or a log row came from. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of a text file, counted from 1, the header included.
    Line {
        /// The text file.
        file: Arc<Path>,
        /// The line on which the record begins.
        line: u64,
    },
    /// A row of a Parquet file, counted from 1.
    Row {
        /// The Parquet file.
        file: Arc<Path>,
        /// The row over all row groups.
        row: u64,
    },
    /// A request that never was in a file, counted from 1.
    Request {
        /// Its position in the sequence of requests.
        number: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{} line {line}", file.display()),
            Self::Row { file, row } => write!(f, "{} row {row}", file.display()),
            Self::Request { number } => write!(f, "request {number}"),
        }
    }
}

/// What stops a file or a request. [`RequestError::hint`] has the advice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The operating system would not let us read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file that was being read.
        file: PathBuf,
        /// The operating system's reason.
        #[source]
        cause: std::io::Error,
    },
    /// The operating system would not let us write.
    #[error("cannot write {}", file.display())]
    Write {
        /// The file that was to appear.
        file: PathBuf,
        /// The operating system's reason.
        #[source]
        cause: std::io::Error,
    },
    /// The file's extension chooses no format.
    #[error("{}: the extension is none of {}", file.display(), known.join(", "))]
    Extension {
        /// The file as it was named.
        file: PathBuf,
        /// The extensions that are understood here.
        known: &'static [&'static str],
    },
    /// A line is not the JSON object of a request.
    #[error("{place}{}: {reason} (column {column})", in_field(*field))]
    Json {
        /// The line.
        place: Place,
        /// The field whose value is wrong, where the trouble lies inside one.
        field: Option<&'static str>,
        /// Byte column in the line, from 1.
        column: usize,
        /// What the JSON parser objected to.
        reason: String,
    },
    /// A request lacks a required field.
    #[error("{place}: field `{field}` is missing")]
    MissingField {
        /// The line or row.
        place: Place,
        /// The field that is not there.
        field: &'static str,
    },
    /// A line is longer than any request could be.
    #[error("{place}: longer than {limit} bytes")]
    LineTooLong {
        /// The line.
        place: Place,
        /// The longest line that is read, bytes.
        limit: usize,
    },
    /// The Parquet library refuses the file, or could not write it.
    #[error("{}: not readable or writable as Parquet", file.display())]
    Parquet {
        /// The Parquet file.
        file: PathBuf,
        /// The library's reason.
        #[source]
        cause: ParquetError,
    },
    /// A file lacks a required column.
    #[error("{}: no column `{column}` among {}", file.display(), listed(present))]
    MissingColumn {
        /// The file.
        file: PathBuf,
        /// The column, or the alternatives that were tried.
        column: String,
        /// The columns that the file does have.
        present: Vec<String>,
    },
    /// A Parquet column has a type that is not understood.
    #[error("{}: column `{column}` is {found}, needed is {needed}", file.display())]
    ColumnType {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// The type in the file.
        found: String,
        /// The types that would do.
        needed: &'static str,
    },
    /// A cell that must have a value is null.
    #[error("{place}: field `{field}` is null{}", at_index(*index))]
    Null {
        /// The row.
        place: Place,
        /// The field.
        field: &'static str,
        /// The element of the list, from 0; `None` when the cell itself is null.
        index: Option<usize>,
    },
    /// Items, actions and timestamps do not describe the same behaviours.
    #[error(
        "{place}: user `{user}` has {items} items, {actions} actions and {timestamps} timestamps"
    )]
    Lengths {
        /// The line or row.
        place: Place,
        /// The user of the request.
        user: String,
        /// How many items it lists.
        items: usize,
        /// How many actions it lists.
        actions: usize,
        /// How many timestamps it lists.
        timestamps: usize,
    },
    /// A history is longer than the model's, under `strict`.
    #[error("{place}: user `{user}` has {length} behaviours, the model takes {limit}")]
    TooLong {
        /// The line or row.
        place: Place,
        /// The user of the request.
        user: String,
        /// Behaviours in the request.
        length: usize,
        /// The model's longest history.
        limit: usize,
    },
    /// Time runs backwards inside a history.
    #[error(
        "{place}: times of user `{user}` run backwards at behaviour {position}: {before}, then {after}"
    )]
    Backwards {
        /// The line or row.
        place: Place,
        /// The user of the request.
        user: String,
        /// The later behaviour of the offending pair, from 0.
        position: usize,
        /// Unix seconds of the behaviour before it.
        before: i64,
        /// Its own unix seconds.
        after: i64,
    },
    /// A delimited text file is broken.
    #[error("{}{}: not readable as delimited text", file.display(), at_line(*line))]
    Delimited {
        /// The file.
        file: PathBuf,
        /// The line, from 1, where it is known.
        line: Option<u64>,
        /// The parser's reason.
        #[source]
        cause: csv::Error,
    },
    /// A cell of a log has a value that cannot be used.
    #[error("{place}: column `{column}` is `{value}`, needed is {needed}")]
    Cell {
        /// The line or row.
        place: Place,
        /// The column.
        column: String,
        /// The value as it was read; empty for a null.
        value: String,
        /// What would do.
        needed: &'static str,
    },
    /// A log has more rows than an index of 32 bits can count.
    #[error("{}: more than {limit} rows", file.display())]
    TooManyRows {
        /// The file.
        file: PathBuf,
        /// The most rows that one log may have.
        limit: u64,
    },
    /// The text of an action rule is wrong.
    #[error("action rule `{clause}`: {reason}")]
    ActionRule {
        /// The clause that is wrong, or the whole text when it is empty.
        clause: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An action rule names an action that the model does not have.
    #[error("an action rule gives action {action}, the model has {n_actions} actions (0 to {})", n_actions.saturating_sub(1))]
    RuleAction {
        /// The action id of the rule.
        action: i64,
        /// The model's number of actions, id 0 included.
        n_actions: usize,
    },
    /// An option has a value that makes no sense.
    #[error("{name} is {value}, needed is {needed}")]
    OptionValue {
        /// The option.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        needed: &'static str,
    },
    /// A vocabulary file is not the JSON that it should be.
    #[error("{}: not readable as a vocabulary", file.display())]
    VocabJson {
        /// The file.
        file: PathBuf,
        /// The JSON parser's reason.
        #[source]
        cause: serde_json::Error,
    },
    /// A vocabulary file is of another version.
    #[error("{}: vocabulary version {found}, this program reads {known}", file.display())]
    VocabVersion {
        /// The file.
        file: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version that is understood.
        known: u64,
    },
    /// A vocabulary lists one item twice.
    #[error("item `{item}` is in the vocabulary as id {first} and as id {second}")]
    VocabRepeated {
        /// The external id.
        item: String,
        /// Its first dense id.
        first: usize,
        /// Its second dense id.
        second: usize,
    },
    /// The model has fewer rows than the vocabulary needs.
    #[error("the vocabulary has {items} items, the model has room for {} (n_items {n_items}, the padding id 0 included)", n_items.saturating_sub(1))]
    VocabTooLarge {
        /// Items in the vocabulary, padding not included.
        items: usize,
        /// The model's number of items, padding included.
        n_items: usize,
    },
}

fn in_field(field: Option<&str>) -> String {
    field.map_or_else(String::new, |name| format!(": field `{name}`"))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn at_index(index: Option<usize>) -> String {
    index.map_or_else(String::new, |i| format!(" at index {i}"))
}

fn at_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" line {line}"))
}
