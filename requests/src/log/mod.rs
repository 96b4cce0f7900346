//! Requests from an interaction log: who did what with which item, and when.

mod fields;
mod group;
mod options;
mod popularity;
mod replay;
mod requests;
mod rows;
mod source;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::error::RequestError;
use crate::vocab::Vocab;
use crate::window::Window;

pub use options::{Actions, Columns, LogOptions};
pub use replay::Replay;
pub use requests::{Behaviour, LogReport, LogRequest, LogRequests};
pub use rows::{LogColumns, LogRow, each_log_row};

/// Makes one request per user from a log (`.inter`, `.tsv`, `.csv`, `.parquet`).
///
/// The log is streamed; what stays in memory is about 50 bytes a row while it is grouped, 16 a row
/// afterwards, and each external id once. A user's behaviours are ordered by time, equal times as in
/// the log. With a `vocab`, items that it lacks become -1: graphs read row 0 for them, and reports
/// count them. Without one, [`Vocab::build`] makes it from the log's items, shown candidates included.
/// The result depends on the log's rows and the options alone.
///
/// # Errors
/// [`RequestError::OptionValue`] and [`RequestError::RuleAction`] for options that make no sense;
/// [`RequestError::Extension`], [`RequestError::Read`], [`RequestError::Delimited`],
/// [`RequestError::Parquet`], [`RequestError::MissingColumn`], [`RequestError::ColumnType`],
/// [`RequestError::Cell`] and [`RequestError::TooManyRows`] for the log;
/// [`RequestError::VocabTooLarge`] when the model has no room for all items.
pub fn from_log(
    path: &Path,
    vocab: Option<Vocab>,
    options: &LogOptions,
) -> Result<LogRequests, RequestError> {
    let window = Window::new(options.max_seq_len, options.keep)?;
    options.n_actions.map_or(Ok(()), |n_actions| options.actions.fits(n_actions))?;
    let room = |vocab: &Vocab| options.n_items.map_or(Ok(()), |n_items| vocab.fits(n_items));
    vocab.as_ref().map_or(Ok(()), room)?;
    let collected = fields::collect(path, options)?;
    let vocab = vocab.unwrap_or_else(|| Vocab::build(collected.items.names().map(str::to_owned)));
    room(&vocab)?;
    Ok(LogRequests::new(collected, vocab, window, options))
}
