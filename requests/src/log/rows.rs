//! Cells of log rows read as users, items, times and actions.

use std::fmt::Write;
use std::path::Path;

use super::options::{Actions, Columns};
use super::source::{Row, Source};
use crate::columns::Cell;
use crate::error::{Place, RequestError};

const USER: usize = 0;
const ITEM: usize = 1;
const TIME: usize = 2;
/// Wanted columns that come before those of actions and others.
const FIXED: usize = 3;

/// Which columns of a log are read.
#[derive(Debug, Clone, Copy)]
pub struct LogColumns<'o> {
    /// Where the log has users, items, times and ratings.
    pub columns: &'o Columns,
    /// What makes an action.
    pub actions: &'o Actions,
    /// Other columns, for [`LogRow::cell`]; an empty name is the rating column.
    pub more: &'o [String],
}

/// What was asked for and where the log has it.
struct Fields<'o> {
    actions: &'o Actions,
    names: Vec<String>,
    /// Columns of the file: user, item, time, those of the actions, then the others.
    wanted: Vec<usize>,
    /// Where the others begin in `wanted`.
    more: usize,
}

/// One row of a log. Cells are looked at when they are asked for: what is wrong with the others is not
/// noticed.
pub struct LogRow<'a> {
    fields: &'a Fields<'a>,
    row: Row<'a>,
}

/// Hands each row of a log (`.inter`, `.tsv`, `.csv`, `.parquet`) to `visit`, one at a time.
///
/// # Errors
/// [`RequestError::Extension`], [`RequestError::Read`], [`RequestError::Delimited`],
/// [`RequestError::Parquet`], [`RequestError::MissingColumn`] and [`RequestError::ColumnType`] for the
/// file, and what `visit` returns.
pub fn each_log_row<E: From<RequestError>>(
    path: &Path,
    columns: &LogColumns<'_>,
    mut visit: impl FnMut(&LogRow<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut source = Source::open(path)?;
    let fields = &Fields::resolve(path, source.names()?, columns)?;
    source.each(&fields.wanted, |row| visit(&LogRow { fields, row }))
}

impl<'o> Fields<'o> {
    fn resolve(
        path: &Path,
        names: Vec<String>,
        asked: &LogColumns<'o>,
    ) -> Result<Self, RequestError> {
        let LogColumns { columns, actions, more } = asked;
        let find = |given: Option<&str>, usual: &[&str]| {
            let found = match given {
                Some(name) => names.iter().position(|n| n == name),
                None => usual.iter().find_map(|u| names.iter().position(|n| n == u)),
            };
            found.ok_or_else(|| RequestError::MissingColumn {
                file: path.to_owned(),
                column: given.map_or_else(|| usual.join("` or `"), str::to_owned),
                present: names.clone(),
            })
        };
        let named = |name: &String| match name.as_str() {
            "" => find(columns.rating.as_deref(), &["rating"]),
            name => find(Some(name), &[]),
        };
        let mut wanted = vec![
            find(columns.user.as_deref(), &["user_id", "session_id", "userId", "user"])?,
            find(columns.item.as_deref(), &["item_id", "itemId", "movieId", "item"])?,
            find(columns.timestamp.as_deref(), &["timestamp", "time", "ts"])?,
        ];
        match actions {
            Actions::Column(name) => wanted.push(find(Some(name), &[])?),
            Actions::Rule(rule) => {
                for name in rule.columns() {
                    wanted.push(named(name)?);
                }
            }
        }
        let first_other = wanted.len();
        for name in *more {
            wanted.push(named(name)?);
        }
        Ok(Self { actions, names, wanted, more: first_other })
    }
}

impl LogRow<'_> {
    /// The action id of the row, `None` when the rule leaves the row out.
    ///
    /// # Errors
    /// [`RequestError::Cell`].
    pub fn action(&self) -> Result<Option<i32>, RequestError> {
        match self.fields.actions {
            Actions::Rule(rule) => rule
                .apply(|k| self.row.cell(FIXED + k))
                .map_err(|k| self.refuse_wanted(FIXED + k, "a number")),
            Actions::Column(_) => {
                let id = match self.row.cell(FIXED) {
                    Cell::Null | Cell::Float(_) => None,
                    Cell::Text(text) => text.parse().ok(),
                    Cell::Int(n) => i32::try_from(n).ok(),
                };
                id.map(Some).ok_or_else(|| self.refuse_wanted(FIXED, "an integer of 32 bits"))
            }
        }
    }

    /// The external id of the user; `buffer` holds it where the log has an integer.
    ///
    /// # Errors
    /// [`RequestError::Cell`].
    pub fn user<'b>(&'b self, buffer: &'b mut String) -> Result<&'b str, RequestError> {
        id(self.row.cell(USER), buffer).ok_or_else(|| self.refuse_wanted(USER, "an id"))
    }

    /// The external id of the item; `buffer` holds it where the log has an integer.
    ///
    /// # Errors
    /// [`RequestError::Cell`].
    pub fn item<'b>(&'b self, buffer: &'b mut String) -> Result<&'b str, RequestError> {
        id(self.row.cell(ITEM), buffer).ok_or_else(|| self.refuse_wanted(ITEM, "an id"))
    }

    /// Whole unix seconds, rounded down.
    ///
    /// # Errors
    /// [`RequestError::Cell`].
    pub fn time(&self) -> Result<i64, RequestError> {
        seconds(self.row.cell(TIME)).ok_or_else(|| self.refuse_wanted(TIME, "unix seconds"))
    }

    /// The cell of column `k` of [`LogColumns::more`].
    #[must_use]
    pub fn cell(&self, k: usize) -> Cell<'_> {
        self.row.cell(self.fields.more + k)
    }

    /// The text of column `k` of [`LogColumns::more`]; nothing for an empty cell.
    pub(super) fn text<'b>(
        &'b self,
        k: usize,
        buffer: &'b mut String,
        needed: &'static str,
    ) -> Result<&'b str, RequestError> {
        match self.cell(k) {
            Cell::Null => Ok(""),
            cell => id(cell, buffer).ok_or_else(|| self.refuse(k, needed)),
        }
    }

    /// The error that says that column `k` of [`LogColumns::more`] has not what is needed.
    #[must_use]
    pub fn refuse(&self, k: usize, needed: &'static str) -> RequestError {
        self.refuse_wanted(self.fields.more + k, needed)
    }

    /// Where the row stands, for messages.
    #[must_use]
    pub fn place(&self) -> Place {
        self.row.place()
    }

    /// The share of the file that was read before this row, `0..=1`.
    #[must_use]
    pub fn progress(&self) -> f64 {
        self.row.progress()
    }

    fn refuse_wanted(&self, k: usize, needed: &'static str) -> RequestError {
        let value = match self.row.cell(k) {
            Cell::Null => String::new(),
            Cell::Text(text) => text.to_owned(),
            Cell::Int(n) => n.to_string(),
            Cell::Float(n) => n.to_string(),
        };
        let column = self.fields.names[self.fields.wanted[k]].clone();
        RequestError::Cell { place: self.row.place(), column, value, needed }
    }
}

/// An external id: text, or an integer that becomes its decimal text in `buffer`.
fn id<'a>(cell: Cell<'a>, buffer: &'a mut String) -> Option<&'a str> {
    match cell {
        Cell::Null | Cell::Float(_) => None,
        Cell::Text(text) => Some(text).filter(|t| !t.is_empty()),
        Cell::Int(n) => {
            buffer.clear();
            write!(buffer, "{n}").ok()?;
            Some(buffer)
        }
    }
}

/// Whole unix seconds, rounded down.
fn seconds(cell: Cell<'_>) -> Option<i64> {
    let whole = |n: f64| {
        let n = n.floor();
        // i64::MAX as f64 is 2^63, which no longer fits.
        (n >= i64::MIN as f64 && n < i64::MAX as f64).then_some(n as i64)
    };
    match cell {
        Cell::Null => None,
        Cell::Int(n) => i64::try_from(n).ok(),
        Cell::Float(n) => whole(n),
        Cell::Text(text) => text.parse().ok().or_else(|| whole(text.parse().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_and_stay_exact() {
        assert_eq!(seconds(Cell::Text("881250949")), Some(881_250_949));
        assert_eq!(seconds(Cell::Text("8.81250949E8")), Some(881_250_949));
        assert_eq!(seconds(Cell::Text("9007199254740993")), Some(9_007_199_254_740_993));
        assert_eq!(seconds(Cell::Float(-0.5)), Some(-1));
        for bad in ["", "2024-01-01", "inf", "nan", "1e30"] {
            assert_eq!(seconds(Cell::Text(bad)), None, "{bad}");
        }
        assert_eq!(seconds(Cell::Float(9_223_372_036_854_775_808.0)), None);
    }

    #[test]
    fn ids_are_text_or_integers() {
        let buffer = &mut String::new();
        assert_eq!(id(Cell::Text("007"), buffer), Some("007"));
        assert_eq!(id(Cell::Int(7), buffer), Some("7"));
        assert_eq!(id(Cell::Float(7.0), buffer), None);
        assert_eq!(id(Cell::Text(""), buffer), None);
    }
}
