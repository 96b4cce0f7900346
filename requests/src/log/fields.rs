//! Log rows gathered in memory.

use std::path::Path;

use super::group::Collected;
use super::options::LogOptions;
use super::rows::{LogColumns, LogRow, each_log_row};
use crate::error::RequestError;

/// Streams the log into memory.
pub(super) fn collect(path: &Path, options: &LogOptions) -> Result<Collected, RequestError> {
    let shown = options.columns.candidates.as_slice();
    let columns = LogColumns { columns: &options.columns, actions: &options.actions, more: shown };
    let mut collected = Collected::default();
    let mut text = [String::new(), String::new(), String::new()];
    each_log_row(path, &columns, |row| {
        collected.rows += 1;
        let Some(action) = row.action()? else {
            collected.rows_without_action += 1;
            return Ok(());
        };
        let pushed = add(row, action, !shown.is_empty(), &mut text, &mut collected)?;
        let too_many =
            || RequestError::TooManyRows { file: path.to_owned(), limit: u32::MAX.into() };
        pushed.ok_or_else(too_many)
    })?;
    Ok(collected)
}

/// `None` when there are too many rows.
fn add(
    row: &LogRow<'_>,
    action: i32,
    has_shown: bool,
    [user, item, shown]: &mut [String; 3],
    collected: &mut Collected,
) -> Result<Option<()>, RequestError> {
    let (user, item, time) = (row.user(user)?, row.item(item)?, row.time()?);
    let needed = "item ids, separated by spaces or `|`";
    let shown = if has_shown { Some(row.text(0, shown, needed)?) } else { None };
    Ok(collected.push(user, item, time, action, shown))
}
