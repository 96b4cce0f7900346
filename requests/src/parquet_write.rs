//! Requests as a Parquet file: one row a request, lists of int64.

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, Int64Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::atomic::AtomicFile;
use crate::error::RequestError;
use crate::request::Request;

/// Rows and list elements that are collected before they are encoded.
const BATCH_ROWS: usize = 1024;
const BATCH_ELEMENTS: usize = 1 << 18;
/// Encoded bytes after which a row group ends, so that memory stays bounded.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Collects requests into batches and encodes them.
pub(crate) struct ParquetRequests {
    path: PathBuf,
    writer: ArrowWriter<AtomicFile>,
    columns: Builders,
}

struct Builders {
    user: StringBuilder,
    items: ListBuilder<Int64Builder>,
    actions: ListBuilder<Int64Builder>,
    timestamps: ListBuilder<Int64Builder>,
    request_time: Int64Builder,
    candidates: ListBuilder<Int64Builder>,
    elements: usize,
}

impl ParquetRequests {
    /// # Errors
    /// [`RequestError::Parquet`] when the header cannot be written.
    pub(crate) fn new(out: AtomicFile) -> Result<Self, RequestError> {
        let path = out.path().to_owned();
        let level = ZstdLevel::try_new(3).map_err(refuse(&path))?;
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let writer =
            ArrowWriter::try_new(out, schema(), Some(properties)).map_err(refuse(&path))?;
        Ok(Self { path, writer, columns: Builders::new() })
    }

    pub(crate) fn write(&mut self, request: &Request) -> Result<(), RequestError> {
        self.columns.push(request);
        if self.columns.user.len() >= BATCH_ROWS || self.columns.elements >= BATCH_ELEMENTS {
            self.encode().map_err(refuse(&self.path))?;
        }
        Ok(())
    }

    /// Writes the footer and gives the file its name.
    pub(crate) fn finish(mut self) -> Result<(), RequestError> {
        self.encode().map_err(refuse(&self.path))?;
        self.writer.into_inner().map_err(refuse(&self.path))?.commit()
    }

    fn encode(&mut self) -> Result<(), ParquetError> {
        let batch = self.columns.take()?;
        self.writer.write(&batch)?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES {
            self.writer.flush()?;
        }
        Ok(())
    }
}

impl Builders {
    fn new() -> Self {
        let list = || ListBuilder::new(Int64Builder::new()).with_field(element());
        Self {
            user: StringBuilder::new(),
            items: list(),
            actions: list(),
            timestamps: list(),
            request_time: Int64Builder::new(),
            candidates: list(),
            elements: 0,
        }
    }

    fn push(&mut self, request: &Request) {
        self.user.append_value(&request.user);
        self.request_time.append_value(request.request_time);
        let lists = [
            (&mut self.items, &request.items),
            (&mut self.actions, &request.actions),
            (&mut self.timestamps, &request.timestamps),
            (&mut self.candidates, &request.candidates),
        ];
        for (builder, values) in lists {
            builder.values().append_slice(values);
            builder.append(true);
            self.elements += values.len();
        }
    }

    fn take(&mut self) -> Result<RecordBatch, ParquetError> {
        let mut full = mem::replace(self, Self::new());
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(full.user.finish()),
            Arc::new(full.items.finish()),
            Arc::new(full.actions.finish()),
            Arc::new(full.timestamps.finish()),
            Arc::new(full.request_time.finish()),
            Arc::new(full.candidates.finish()),
        ];
        Ok(RecordBatch::try_new(schema(), arrays)?)
    }
}

fn element() -> Field {
    Field::new("element", DataType::Int64, false)
}

fn schema() -> SchemaRef {
    let list = |name| Field::new(name, DataType::List(Arc::new(element())), false);
    Arc::new(Schema::new(vec![
        Field::new("user", DataType::Utf8, false),
        list("items"),
        list("actions"),
        list("timestamps"),
        Field::new("request_time", DataType::Int64, false),
        list("candidates"),
    ]))
}

fn refuse(path: &std::path::Path) -> impl FnOnce(ParquetError) -> RequestError + '_ {
    |cause| RequestError::Parquet { file: path.to_owned(), cause }
}
