//! Requests from a Parquet file, a small batch of rows in memory at a time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use crate::columns::{Batches, Cell, Table, cell};
use crate::error::{Place, RequestError};
use crate::request::{FIELDS, Request};

/// Rows that are decoded at once: 24 MiB at 4096 behaviours each.
const BATCH_ROWS: usize = 256;

/// Streams the requests of a Parquet file.
pub(crate) struct ParquetRows {
    file: Arc<Path>,
    batches: Batches,
    /// The columns of the current batch in the order of [`FIELDS`], `candidates` perhaps missing.
    columns: Vec<ArrayRef>,
    next: usize,
    row: u64,
    ignored: BTreeSet<String>,
}

impl ParquetRows {
    /// # Errors
    /// [`RequestError::Read`], [`RequestError::Parquet`], [`RequestError::MissingColumn`] and
    /// [`RequestError::ColumnType`].
    pub(crate) fn open(path: &Path) -> Result<Self, RequestError> {
        let table = Table::open(path)?;
        let names = table.names();
        let mut wanted = Vec::new();
        for field in FIELDS {
            match names.iter().position(|n| n == field) {
                Some(index) => {
                    let (fits, needed) = types(field);
                    table.expect_type(index, fits, needed)?;
                    wanted.push(index);
                }
                None if field == "candidates" => {}
                None => {
                    let file = path.to_owned();
                    return Err(RequestError::MissingColumn {
                        file,
                        column: field.to_owned(),
                        present: names,
                    });
                }
            }
        }
        let ignored = names.into_iter().filter(|n| !FIELDS.contains(&n.as_str())).collect();
        let batches = table.batches(&wanted, BATCH_ROWS)?;
        Ok(Self { file: path.into(), batches, columns: Vec::new(), next: 0, row: 0, ignored })
    }

    /// The row of the request that [`ParquetRows::read`] returned last.
    pub(crate) fn place(&self) -> Place {
        Place::Row { file: Arc::clone(&self.file), row: self.row }
    }

    /// Names of columns that are no field of a request.
    pub(crate) fn ignored(&self) -> &BTreeSet<String> {
        &self.ignored
    }

    /// The next request, or `None` at the end of the file.
    pub(crate) fn read(&mut self) -> Result<Option<Request>, RequestError> {
        while self.columns.first().is_none_or(|c| self.next >= c.len()) {
            match self.batches.next() {
                None => return Ok(None),
                Some(columns) => self.columns = columns?,
            }
            self.next = 0;
        }
        self.row += 1;
        let row = self.next;
        self.next += 1;
        self.request(row).map(Some)
    }

    fn request(&self, row: usize) -> Result<Request, RequestError> {
        let null = |field, index| RequestError::Null { place: self.place(), field, index };
        let list =
            |k: usize| integers(&self.columns[k], row).map_err(|index| null(FIELDS[k], index));
        let user = match cell(&self.columns[0], row) {
            Cell::Text(text) => text.to_owned(),
            Cell::Int(id) => id.to_string(),
            Cell::Null | Cell::Float(_) => return Err(null("user", None)),
        };
        let request_time = match cell(&self.columns[4], row) {
            Cell::Int(time) => i64::try_from(time).map_err(|_| null("request_time", None))?,
            _ => return Err(null("request_time", None)),
        };
        let candidates = match self.columns.get(5) {
            Some(column) if !column.is_null(row) => list(5)?,
            _ => Vec::new(),
        };
        Ok(Request {
            user,
            items: list(1)?,
            actions: list(2)?,
            timestamps: list(3)?,
            request_time,
            candidates,
        })
    }
}

type Fits = fn(&DataType) -> bool;

/// Which types the column of a field may have.
fn types(field: &str) -> (Fits, &'static str) {
    fn int(t: &DataType) -> bool {
        matches!(t, DataType::Int64 | DataType::Int32)
    }
    match field {
        "user" => (|t| t.is_integer() || *t == DataType::Utf8, "a string or an integer"),
        "request_time" => (int, "int64 or int32"),
        _ => (
            |t| matches!(t, DataType::List(element) if int(element.data_type())),
            "a list of int64 or int32",
        ),
    }
}

/// The list in row `i`; `Err` has the index of a null element, or `None` for a null list.
fn integers(column: &ArrayRef, i: usize) -> Result<Vec<i64>, Option<usize>> {
    let lists = column.as_list::<i32>();
    if lists.is_null(i) {
        return Err(None);
    }
    let values = lists.value(i);
    if values.null_count() > 0 {
        return Err((0..values.len()).find(|&j| values.is_null(j)));
    }
    Ok(match values.as_primitive_opt::<Int64Type>() {
        Some(values) => values.values().to_vec(),
        None => values.as_primitive::<Int32Type>().values().iter().map(|&v| v.into()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::builder::{Int32Builder, ListBuilder};
    use arrow_array::{Int32Array, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;

    /// Two rows; list `k` of `lists` is nulled or has a null element where asked.
    fn lists(second: Option<&[Option<i32>]>) -> ArrayRef {
        let mut builder = ListBuilder::new(Int32Builder::new());
        builder.append_value([Some(1)]);
        builder.append_option(second.map(<[_]>::to_vec));
        Arc::new(builder.finish())
    }

    fn write(columns: Vec<(&str, ArrayRef)>) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.parquet");
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        (dir, path)
    }

    fn columns(items: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("request_time", Arc::new(Int64Array::from(vec![9, 9]))),
            ("items", items),
            ("label", Arc::new(Int64Array::from(vec![0, 1]))),
            ("actions", lists(Some(&[Some(1)]))),
            ("timestamps", lists(Some(&[Some(5)]))),
            ("user", Arc::new(Int32Array::from(vec![7, 8]))),
        ]
    }

    #[test]
    fn reads_any_column_order_smaller_integers_and_no_candidates() {
        let (_dir, path) = write(columns(lists(Some(&[Some(3)]))));
        let mut rows = ParquetRows::open(&path).unwrap();
        let first = rows.read().unwrap().unwrap();
        assert_eq!((first.user.as_str(), &first.items[..], first.request_time), ("7", &[1][..], 9));
        assert_eq!(rows.read().unwrap().unwrap().timestamps, [5]);
        assert!(rows.place().to_string().ends_with("r.parquet row 2"));
        assert_eq!(rows.read().unwrap(), None);
        assert_eq!(rows.ignored().iter().collect::<Vec<_>>(), ["label"]);
    }

    #[test]
    fn refused_because_of_nulls() {
        let element = [Some(1), None];
        for (items, needle) in [
            (None, "row 2: field `items` is null"),
            (Some(&element[..]), "row 2: field `items` is null at index 1"),
        ] {
            let (_dir, path) = write(columns(lists(items)));
            let mut rows = ParquetRows::open(&path).unwrap();
            rows.read().unwrap();
            let error = rows.read().unwrap_err().to_string();
            assert!(error.ends_with(needle), "{error}");
        }
    }

    #[test]
    fn refused_because_of_columns() {
        let (_dir, path) = write(columns(Arc::new(StringArray::from(vec!["1 2", "3"]))));
        let error = ParquetRows::open(&path).err().unwrap().to_string();
        assert!(error.contains("column `items` is Utf8, needed is a list of int64"), "{error}");

        let mut without = columns(lists(None));
        without.remove(3);
        let (_dir, path) = write(without);
        let error = ParquetRows::open(&path).err().unwrap().to_string();
        assert!(error.contains("no column `actions` among request_time, items"), "{error}");

        std::fs::write(&path, "not parquet").unwrap();
        assert!(matches!(ParquetRows::open(&path), Err(RequestError::Parquet { .. })));
    }
}
