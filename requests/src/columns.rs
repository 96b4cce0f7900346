//! Columns of a Parquet file, whatever wrote it: open, choose, read cell by cell.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use crate::atomic::read_error;
use crate::error::RequestError;

/// One scalar of a log or request file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value: a null, or empty text in a text file.
    Null,
    /// A string; in a text file everything is one.
    Text(&'a str),
    /// An integer, a boolean (0, 1) or a time in unix seconds.
    Int(i128),
    /// A floating-point number, perhaps not finite.
    Float(f64),
}

impl Cell<'_> {
    /// The cell as a number, perhaps not finite; text that reads as one is one.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        match self {
            Cell::Null => None,
            Cell::Text(text) => text.trim().parse().ok(),
            Cell::Int(n) => Some(n as f64),
            Cell::Float(n) => Some(n),
        }
    }
}

/// The scalar types that [`cell`] reads, for error messages.
pub(crate) const SCALARS: &str = "an integer, float, boolean, string or timestamp";

/// A Parquet file whose columns are known and whose rows are not yet read.
pub(crate) struct Table {
    pub(crate) file: Arc<Path>,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl Table {
    /// Opens the file by its Parquet types alone: hints that some other program left for Arrow (views,
    /// dictionaries, large lists) are passed over, so fewer types can occur.
    ///
    /// # Errors
    /// [`RequestError::Read`], or [`RequestError::Parquet`] when it is no Parquet file.
    pub(crate) fn open(path: &Path) -> Result<Self, RequestError> {
        let input = File::open(path).map_err(read_error(path))?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(input, options)
            .map_err(|cause| RequestError::Parquet { file: path.to_owned(), cause })?;
        Ok(Self { file: path.into(), builder })
    }

    /// The names of all columns, in file order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.builder.schema().fields().iter().map(|f| f.name().clone()).collect()
    }

    /// How many rows the file has.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.builder.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Refuses column `index` unless `fits` says that its type will do.
    pub(crate) fn expect_type(
        &self,
        index: usize,
        fits: impl FnOnce(&DataType) -> bool,
        needed: &'static str,
    ) -> Result<(), RequestError> {
        let field = self.builder.schema().field(index);
        if fits(field.data_type()) {
            return Ok(());
        }
        Err(RequestError::ColumnType {
            file: self.file.to_path_buf(),
            column: field.name().clone(),
            found: field.data_type().to_string(),
            needed,
        })
    }

    /// Streams the columns `wanted`, at most `rows` rows at a time.
    pub(crate) fn batches(self, wanted: &[usize], rows: usize) -> Result<Batches, RequestError> {
        let mut roots = wanted.to_vec();
        roots.sort_unstable();
        roots.dedup();
        let order = wanted.iter().map(|w| roots.partition_point(|r| r < w)).collect();
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), roots);
        let reader = self.builder.with_projection(mask).with_batch_size(rows).build();
        let reader = reader
            .map_err(|cause| RequestError::Parquet { file: self.file.to_path_buf(), cause })?;
        Ok(Batches { file: self.file, reader, order })
    }
}

/// Batches of columns, in the order in which they were wanted.
pub(crate) struct Batches {
    file: Arc<Path>,
    reader: ParquetRecordBatchReader,
    order: Vec<usize>,
}

impl Iterator for Batches {
    type Item = Result<Vec<ArrayRef>, RequestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(cause) => {
                let cause = ParquetError::from(cause);
                return Some(Err(RequestError::Parquet { file: self.file.to_path_buf(), cause }));
            }
        };
        Some(Ok(self.order.iter().map(|&i| Arc::clone(batch.column(i))).collect()))
    }
}

/// Whether [`cell`] can read a column of this type.
pub(crate) fn is_scalar(data_type: &DataType) -> bool {
    use DataType::{Boolean, Float32, Float64, Null, Timestamp, Utf8};
    data_type.is_integer()
        || matches!(data_type, Boolean | Float32 | Float64 | Null | Timestamp(..) | Utf8)
}

/// Row `i` of a column that [`is_scalar`]; timestamps become whole unix seconds, rounded down.
pub(crate) fn cell(column: &ArrayRef, i: usize) -> Cell<'_> {
    use DataType as D;
    if column.is_null(i) {
        return Cell::Null;
    }
    let seconds = |n: i128, per: i128| Cell::Int(n.div_euclid(per));
    match column.data_type() {
        D::Utf8 => Cell::Text(column.as_string::<i32>().value(i)),
        D::Boolean => Cell::Int(i128::from(column.as_boolean().value(i))),
        D::Int8 => Cell::Int(int::<Int8Type>(column, i)),
        D::Int16 => Cell::Int(int::<Int16Type>(column, i)),
        D::Int32 => Cell::Int(int::<Int32Type>(column, i)),
        D::Int64 => Cell::Int(int::<Int64Type>(column, i)),
        D::UInt8 => Cell::Int(int::<UInt8Type>(column, i)),
        D::UInt16 => Cell::Int(int::<UInt16Type>(column, i)),
        D::UInt32 => Cell::Int(int::<UInt32Type>(column, i)),
        D::UInt64 => Cell::Int(int::<UInt64Type>(column, i)),
        D::Float32 => Cell::Float(column.as_primitive::<Float32Type>().value(i).into()),
        D::Float64 => Cell::Float(column.as_primitive::<Float64Type>().value(i)),
        D::Timestamp(unit, _) => match unit {
            TimeUnit::Second => seconds(int::<TimestampSecondType>(column, i), 1),
            TimeUnit::Millisecond => seconds(int::<TimestampMillisecondType>(column, i), 1000),
            TimeUnit::Microsecond => seconds(int::<TimestampMicrosecondType>(column, i), 1_000_000),
            TimeUnit::Nanosecond => {
                seconds(int::<TimestampNanosecondType>(column, i), 1_000_000_000)
            }
        },
        _ => Cell::Null,
    }
}

fn int<T: ArrowPrimitiveType>(column: &ArrayRef, i: usize) -> i128
where
    T::Native: Into<i128>,
{
    column.as_primitive::<T>().value(i).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float32Array, StringArray, TimestampMillisecondArray, UInt64Array};

    #[test]
    fn cells_keep_their_value() {
        let big: ArrayRef = Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]));
        assert_eq!(cell(&big, 0), Cell::Int(i128::from(u64::MAX)));
        assert_eq!(cell(&big, 1), Cell::Null);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        assert_eq!(cell(&text, 0), Cell::Text("a"));
        let float: ArrayRef = Arc::new(Float32Array::from(vec![0.5]));
        assert_eq!(cell(&float, 0), Cell::Float(0.5));
    }

    #[test]
    fn times_round_down_before_1970_too() {
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1999, -1]));
        assert_eq!(cell(&times, 0), Cell::Int(1));
        assert_eq!(cell(&times, 1), Cell::Int(-1));
    }
}
