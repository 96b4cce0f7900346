//! One shard of a log: rows as CSV or Parquet.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::error::{SimulationError, parquet_error, write_error};
use super::folder::LogFormat;
use super::user::SimulatedRow;

/// Rows that are collected before they are encoded, and rows of a row group.
const BATCH_ROWS: usize = 8_192;
const GROUP_ROWS: usize = 1 << 18;

const COLUMNS: [&str; 6] = ["user_id", "item_id", "timestamp", "clicked", "converted", "value"];

/// A file that is being written.
pub(super) struct Sink {
    file: PathBuf,
    format: Format,
}

enum Format {
    Csv(BufWriter<File>),
    Parquet(Box<Parquet>),
}

struct Parquet {
    writer: ArrowWriter<File>,
    columns: Builders,
}

#[derive(Default)]
struct Builders {
    user: StringBuilder,
    item: StringBuilder,
    timestamp: Int64Builder,
    clicked: Int32Builder,
    converted: Int32Builder,
    value: Float64Builder,
    rows: usize,
}

impl Sink {
    /// # Errors
    /// [`SimulationError::Write`], [`SimulationError::Parquet`].
    pub(super) fn create(file: &Path, format: LogFormat) -> Result<Self, SimulationError> {
        let out = File::create(file).map_err(write_error(file))?;
        let format = match format {
            LogFormat::Csv => {
                let mut out = BufWriter::new(out);
                writeln!(out, "{}", COLUMNS.join(",")).map_err(write_error(file))?;
                Format::Csv(out)
            }
            LogFormat::Parquet => {
                Format::Parquet(Box::new(Parquet::new(out).map_err(parquet_error(file))?))
            }
        };
        Ok(Self { file: file.to_owned(), format })
    }

    pub(super) fn write(
        &mut self,
        user: &str,
        item: &str,
        row: &SimulatedRow,
    ) -> Result<(), SimulationError> {
        match &mut self.format {
            Format::Csv(out) => {
                let (clicked, converted) = (u8::from(row.clicked), u8::from(row.converted));
                let (time, value) = (row.timestamp, row.value);
                writeln!(out, "{user},{item},{time},{clicked},{converted},{value}")
                    .map_err(write_error(&self.file))
            }
            Format::Parquet(out) => out.write(user, item, row).map_err(parquet_error(&self.file)),
        }
    }

    /// Writes what is left and waits until it is on the disk.
    pub(super) fn finish(self) -> Result<(), SimulationError> {
        let Self { file, format } = self;
        let out = match format {
            Format::Csv(out) => out.into_inner().map_err(|e| write_error(&file)(e.into_error()))?,
            Format::Parquet(out) => out.finish().map_err(parquet_error(&file))?,
        };
        out.sync_all().map_err(write_error(&file))
    }
}

impl Parquet {
    fn new(out: File) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(out, schema(), Some(properties))?;
        Ok(Self { writer, columns: Builders::default() })
    }

    fn write(&mut self, user: &str, item: &str, row: &SimulatedRow) -> Result<(), ParquetError> {
        let columns = &mut self.columns;
        columns.user.append_value(user);
        columns.item.append_value(item);
        columns.timestamp.append_value(row.timestamp);
        columns.clicked.append_value(row.clicked.into());
        columns.converted.append_value(row.converted.into());
        columns.value.append_value(row.value);
        columns.rows += 1;
        if columns.rows == BATCH_ROWS { self.encode() } else { Ok(()) }
    }

    fn encode(&mut self) -> Result<(), ParquetError> {
        let mut full = mem::take(&mut self.columns);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(full.user.finish()),
            Arc::new(full.item.finish()),
            Arc::new(full.timestamp.finish()),
            Arc::new(full.clicked.finish()),
            Arc::new(full.converted.finish()),
            Arc::new(full.value.finish()),
        ];
        self.writer.write(&RecordBatch::try_new(schema(), arrays)?)
    }

    fn finish(mut self) -> Result<File, ParquetError> {
        self.encode()?;
        self.writer.into_inner()
    }
}

fn schema() -> SchemaRef {
    let types = [
        DataType::Utf8,
        DataType::Utf8,
        DataType::Int64,
        DataType::Int32,
        DataType::Int32,
        DataType::Float64,
    ];
    let field = |(name, kind)| Field::new(name, kind, false);
    Arc::new(Schema::new(COLUMNS.into_iter().zip(types).map(field).collect::<Vec<_>>()))
}
