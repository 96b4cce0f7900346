//! Rows of a log, whatever its format, one at a time.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use crate::atomic::read_error;
use crate::columns::{Cell, SCALARS, Table, cell, is_scalar};
use crate::error::{Place, RequestError};

const EXTENSIONS: &[&str] = &[".inter", ".tsv", ".csv", ".parquet"];
const RECBOLE_TYPES: [&str; 4] = ["token", "token_seq", "float", "float_seq"];
/// Rows of Parquet that are decoded at once.
const BATCH_ROWS: usize = 8192;

/// A log whose columns are known and whose rows are not yet read.
pub(super) struct Source {
    file: Arc<Path>,
    /// Bytes of a text file, rows of Parquet.
    size: u64,
    data: Data,
}

enum Data {
    Text(Box<csv::Reader<File>>),
    Parquet(Box<Table>),
}

/// One row, by the columns that were wanted.
pub(super) struct Row<'a> {
    file: &'a Arc<Path>,
    size: u64,
    data: RowData<'a>,
}

enum RowData<'a> {
    Text { record: &'a StringRecord, wanted: &'a [usize] },
    Parquet { columns: &'a [ArrayRef], index: usize, row: u64 },
}

impl Source {
    /// Opens a log; the extension chooses the format.
    pub(super) fn open(path: &Path) -> Result<Self, RequestError> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let data = match extension.as_deref() {
            Some("inter" | "tsv") => Data::Text(Box::new(text(path, b'\t')?)),
            Some("csv") => Data::Text(Box::new(text(path, b',')?)),
            Some("parquet") => Data::Parquet(Box::new(Table::open(path)?)),
            _ => {
                let file = path.to_owned();
                return Err(RequestError::Extension { file, known: EXTENSIONS });
            }
        };
        let size = match &data {
            Data::Text(reader) => reader.get_ref().metadata().map_err(read_error(path))?.len(),
            Data::Parquet(table) => table.rows(),
        };
        Ok(Self { file: path.into(), size, data })
    }

    /// The names of all columns, without RecBole's types.
    pub(super) fn names(&mut self) -> Result<Vec<String>, RequestError> {
        match &mut self.data {
            Data::Parquet(table) => Ok(table.names()),
            Data::Text(reader) => {
                let header = reader.headers().map_err(|e| delimited(&self.file, e))?;
                Ok(header.iter().map(|name| without_type(name).to_owned()).collect())
            }
        }
    }

    /// Hands each row to `visit`; its cell `k` is that of column `wanted[k]`.
    pub(super) fn each<E: From<RequestError>>(
        self,
        wanted: &[usize],
        mut visit: impl FnMut(Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { file, size, data } = self;
        let visit = |data: RowData<'_>| visit(Row { file: &file, size, data });
        match data {
            Data::Text(reader) => each_line(&file, *reader, wanted, visit),
            Data::Parquet(table) => each_row(*table, wanted, visit),
        }
    }
}

impl Row<'_> {
    /// The `k`-th wanted cell.
    pub(super) fn cell(&self, k: usize) -> Cell<'_> {
        match &self.data {
            RowData::Parquet { columns, index, .. } => cell(&columns[k], *index),
            RowData::Text { record, wanted } => match record.get(wanted[k]) {
                None | Some("") => Cell::Null,
                Some(text) => Cell::Text(text),
            },
        }
    }

    /// The share of the file that was read before this row, `0..=1`.
    pub(super) fn progress(&self) -> f64 {
        let before = match &self.data {
            RowData::Parquet { row, .. } => row - 1,
            RowData::Text { record, .. } => record.position().map_or(0, csv::Position::byte),
        };
        before as f64 / self.size.max(1) as f64
    }

    /// Where the row stands, for messages.
    pub(super) fn place(&self) -> Place {
        let file = Arc::clone(self.file);
        match &self.data {
            RowData::Parquet { row, .. } => Place::Row { file, row: *row },
            RowData::Text { record, .. } => {
                let line = record.position().map_or(0, csv::Position::line);
                Place::Line { file, line }
            }
        }
    }
}

fn text(path: &Path, delimiter: u8) -> Result<csv::Reader<File>, RequestError> {
    let input = File::open(path).map_err(read_error(path))?;
    // RecBole and other tab-separated logs have no quotes: one in a value is a part of it.
    let quoting = delimiter != b'\t';
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).quoting(quoting).trim(Trim::All).buffer_capacity(1 << 18);
    Ok(builder.from_reader(input))
}

fn each_line<E: From<RequestError>>(
    file: &Path,
    mut reader: csv::Reader<File>,
    wanted: &[usize],
    mut visit: impl FnMut(RowData<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| delimited(file, e))? {
        visit(RowData::Text { record: &record, wanted })?;
    }
    Ok(())
}

fn each_row<E: From<RequestError>>(
    table: Table,
    wanted: &[usize],
    mut visit: impl FnMut(RowData<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for &index in wanted {
        table.expect_type(index, is_scalar, SCALARS)?;
    }
    let mut row = 0;
    for batch in table.batches(wanted, BATCH_ROWS)? {
        let columns = &batch?;
        for index in 0..columns.first().map_or(0, |c| c.len()) {
            row += 1;
            visit(RowData::Parquet { columns, index, row })?;
        }
    }
    Ok(())
}

fn without_type(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((bare, kind)) if RECBOLE_TYPES.contains(&kind) => bare,
        _ => name,
    }
}

fn delimited(file: &Path, cause: csv::Error) -> RequestError {
    let line = cause.position().map(csv::Position::line);
    let file = file.to_owned();
    if !cause.is_io_error() {
        return RequestError::Delimited { file, line, cause };
    }
    match cause.into_kind() {
        ErrorKind::Io(cause) => RequestError::Read { file, cause },
        other => RequestError::Read { file, cause: std::io::Error::other(format!("{other:?}")) },
    }
}
