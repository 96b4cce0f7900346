//! Cells of log rows made into users, items, times and actions.

use std::fmt::Write;
use std::path::Path;

use super::group::Collected;
use super::options::{Actions, LogOptions};
use super::source::{Row, Source};
use crate::columns::Cell;
use crate::error::RequestError;

const USER: usize = 0;
const ITEM: usize = 1;
const TIME: usize = 2;
/// Wanted columns that come before those of actions and candidates.
const FIXED: usize = 3;

/// What was asked for and where the log has it.
struct Fields<'o> {
    options: &'o LogOptions,
    names: Vec<String>,
    /// Columns of the file: user, item, time, those of the actions, candidates.
    wanted: Vec<usize>,
    candidates: Option<usize>,
}

/// Streams the log into memory.
pub(super) fn collect(path: &Path, options: &LogOptions) -> Result<Collected, RequestError> {
    let mut source = Source::open(path)?;
    let fields = Fields::resolve(path, source.names()?, options)?;
    let mut collected = Collected::default();
    let mut text = [String::new(), String::new(), String::new()];
    source.each(&fields.wanted, |row| fields.add(path, &row, &mut text, &mut collected))?;
    Ok(collected)
}

impl<'o> Fields<'o> {
    fn resolve(
        path: &Path,
        names: Vec<String>,
        options: &'o LogOptions,
    ) -> Result<Self, RequestError> {
        let columns = &options.columns;
        let find = |given: &Option<String>, usual: &[&str]| {
            let found = match given {
                Some(name) => names.iter().position(|n| n == name),
                None => usual.iter().find_map(|u| names.iter().position(|n| n == u)),
            };
            found.ok_or_else(|| RequestError::MissingColumn {
                file: path.to_owned(),
                column: given.clone().unwrap_or_else(|| usual.join("` or `")),
                present: names.clone(),
            })
        };
        let mut wanted = vec![
            find(&columns.user, &["user_id", "session_id", "userId", "user"])?,
            find(&columns.item, &["item_id", "itemId", "movieId", "item"])?,
            find(&columns.timestamp, &["timestamp", "time", "ts"])?,
        ];
        match &options.actions {
            Actions::Column(name) => wanted.push(find(&Some(name.clone()), &[])?),
            Actions::Rule(rule) => {
                for name in rule.columns() {
                    let rating = || find(&columns.rating, &["rating"]);
                    let named = || find(&Some(name.clone()), &[]);
                    wanted.push(if name.is_empty() { rating()? } else { named()? });
                }
            }
        }
        let candidates = columns.candidates.as_ref().map(|_| wanted.len());
        if candidates.is_some() {
            wanted.push(find(&columns.candidates, &[])?);
        }
        Ok(Self { options, names, wanted, candidates })
    }

    fn add(
        &self,
        path: &Path,
        row: &Row<'_>,
        text: &mut [String; 3],
        collected: &mut Collected,
    ) -> Result<(), RequestError> {
        collected.rows += 1;
        let Some(action) = self.action(row)? else {
            collected.rows_without_action += 1;
            return Ok(());
        };
        let [user, item, shown] = text;
        let user = id(row.cell(USER), user).ok_or_else(|| self.refuse(row, USER, "an id"))?;
        let item = id(row.cell(ITEM), item).ok_or_else(|| self.refuse(row, ITEM, "an id"))?;
        let time = seconds(row.cell(TIME)).ok_or_else(|| self.refuse(row, TIME, "unix seconds"))?;
        let shown = match self.candidates.map(|k| (k, row.cell(k))) {
            None => None,
            Some((_, Cell::Null)) => Some(""),
            Some((k, cell)) => {
                let needed = "item ids, separated by spaces or `|`";
                Some(id(cell, shown).ok_or_else(|| self.refuse(row, k, needed))?)
            }
        };
        collected.push(user, item, time, action, shown).ok_or_else(|| RequestError::TooManyRows {
            file: path.to_owned(),
            limit: u32::MAX.into(),
        })
    }

    /// The action id of a row, `None` when the rule leaves the row out.
    fn action(&self, row: &Row<'_>) -> Result<Option<i32>, RequestError> {
        match &self.options.actions {
            Actions::Rule(rule) => rule
                .apply(|k| row.cell(FIXED + k))
                .map_err(|k| self.refuse(row, FIXED + k, "a number")),
            Actions::Column(_) => {
                let id = match row.cell(FIXED) {
                    Cell::Null | Cell::Float(_) => None,
                    Cell::Text(text) => text.parse().ok(),
                    Cell::Int(n) => i32::try_from(n).ok(),
                };
                id.map(Some).ok_or_else(|| self.refuse(row, FIXED, "an integer of 32 bits"))
            }
        }
    }

    fn refuse(&self, row: &Row<'_>, k: usize, needed: &'static str) -> RequestError {
        let value = match row.cell(k) {
            Cell::Null => String::new(),
            Cell::Text(text) => text.to_owned(),
            Cell::Int(n) => n.to_string(),
            Cell::Float(n) => n.to_string(),
        };
        let column = self.names[self.wanted[k]].clone();
        RequestError::Cell { place: row.place(), column, value, needed }
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
