//! Request files: the format is chosen by the extension, everything else is alike.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::path::Path;

use crate::atomic::AtomicFile;
use crate::error::{Place, RequestError};
use crate::jsonl::{JsonLines, write_line};
use crate::parquet_read::ParquetRows;
use crate::parquet_write::ParquetRequests;
use crate::request::Request;

const EXTENSIONS: &[&str] = &[".jsonl", ".parquet"];

enum Format {
    JsonLines,
    Parquet,
}

fn format(path: &Path) -> Result<Format, RequestError> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("jsonl") => Ok(Format::JsonLines),
        Some("parquet") => Ok(Format::Parquet),
        _ => Err(RequestError::Extension { file: path.to_owned(), known: EXTENSIONS }),
    }
}

/// Reads requests one at a time; a file of any size takes the memory of a few.
///
/// Types alone are checked here. The first error ends the iteration.
pub struct RequestReader {
    source: Source,
    failed: bool,
}

enum Source {
    JsonLines(Box<JsonLines>),
    Parquet(Box<ParquetRows>),
}

impl RequestReader {
    /// Opens a `.jsonl` or `.parquet` file.
    ///
    /// # Errors
    /// [`RequestError::Extension`], [`RequestError::Read`]; for Parquet also
    /// [`RequestError::Parquet`], [`RequestError::MissingColumn`] and [`RequestError::ColumnType`].
    pub fn open(path: &Path) -> Result<Self, RequestError> {
        let source = match format(path)? {
            Format::JsonLines => Source::JsonLines(Box::new(JsonLines::open(path)?)),
            Format::Parquet => Source::Parquet(Box::new(ParquetRows::open(path)?)),
        };
        Ok(Self { source, failed: false })
    }

    /// Where the request that came last stands in the file.
    #[must_use]
    pub fn place(&self) -> Place {
        match &self.source {
            Source::JsonLines(lines) => lines.place(),
            Source::Parquet(rows) => rows.place(),
        }
    }

    /// Names (64 at most) in the file that are no field of a request and were passed over:
    /// perhaps labels, perhaps a misspelt `candidates`. Complete at the end of the file.
    #[must_use]
    pub fn ignored_fields(&self) -> &BTreeSet<String> {
        match &self.source {
            Source::JsonLines(lines) => lines.ignored(),
            Source::Parquet(rows) => rows.ignored(),
        }
    }
}

impl Iterator for RequestReader {
    type Item = Result<Request, RequestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = match &mut self.source {
            Source::JsonLines(lines) => lines.read(),
            Source::Parquet(rows) => rows.read(),
        };
        self.failed = read.is_err();
        read.transpose()
    }
}

/// Writes requests to a file that appears, whole, on [`RequestWriter::finish`]. Dropped without it,
/// what was there before remains.
pub struct RequestWriter {
    sink: Sink,
    written: u64,
}

enum Sink {
    JsonLines(Box<AtomicFile>),
    Parquet(Box<ParquetRequests>),
}

impl RequestWriter {
    /// Begins a `.jsonl` or `.parquet` file.
    ///
    /// # Errors
    /// [`RequestError::Extension`], [`RequestError::Write`], [`RequestError::Parquet`].
    pub fn create(path: &Path) -> Result<Self, RequestError> {
        let format = format(path)?;
        let out = AtomicFile::create(path)?;
        let sink = match format {
            Format::JsonLines => Sink::JsonLines(Box::new(out)),
            Format::Parquet => Sink::Parquet(Box::new(ParquetRequests::new(out)?)),
        };
        Ok(Self { sink, written: 0 })
    }

    /// Adds one request, as it is: nothing is checked.
    ///
    /// # Errors
    /// [`RequestError::Write`] or [`RequestError::Parquet`].
    pub fn write(&mut self, request: &Request) -> Result<(), RequestError> {
        match &mut self.sink {
            Sink::JsonLines(out) => write_line(out, request)?,
            Sink::Parquet(rows) => rows.write(request)?,
        }
        self.written += 1;
        Ok(())
    }

    /// Completes the file, gives it its name, and returns how many requests it has.
    ///
    /// # Errors
    /// [`RequestError::Write`] or [`RequestError::Parquet`].
    pub fn finish(self) -> Result<u64, RequestError> {
        match self.sink {
            Sink::JsonLines(out) => out.commit()?,
            Sink::Parquet(rows) => rows.finish()?,
        }
        Ok(self.written)
    }
}

/// Writes all `requests` to a `.jsonl` or `.parquet` file and returns how many there were.
///
/// # Errors
/// Those of [`RequestWriter`].
pub fn write_requests<R: Borrow<Request>>(
    path: &Path,
    requests: impl IntoIterator<Item = R>,
) -> Result<u64, RequestError> {
    let mut writer = RequestWriter::create(path)?;
    for request in requests {
        writer.write(request.borrow())?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, random_requests};

    fn sample(count: usize) -> Vec<Request> {
        let limits = Limits { n_items: 50, n_actions: 4, max_seq_len: 20 };
        let mut requests = random_requests(&limits, count, 3, 5);
        requests[0].user = "tabs\t\"quotes\" ünïcode\n".to_owned();
        requests[1].candidates.clear();
        requests[2].items[0] = i64::MIN;
        requests[2].request_time = i64::MAX;
        requests
    }

    fn read(path: &Path) -> Vec<Request> {
        RequestReader::open(path).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn json_lines_and_parquet_say_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let requests = sample(3000);
        let [a, b, c] = ["a.jsonl", "b.parquet", "c.JSONL"].map(|name| dir.path().join(name));
        assert_eq!(write_requests(&a, &requests).unwrap(), 3000);
        assert_eq!(write_requests(&b, read(&a)).unwrap(), 3000);
        assert_eq!(write_requests(&c, read(&b)).unwrap(), 3000);
        assert_eq!(read(&c), requests);
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&c).unwrap());
    }

    #[test]
    fn writing_twice_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a.parquet", "b.parquet"].map(|name| dir.path().join(name));
        write_requests(&a, sample(100)).unwrap();
        write_requests(&b, sample(100)).unwrap();
        assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
    }

    #[test]
    fn no_requests_is_a_file_too() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.jsonl", "a.parquet"] {
            let path = dir.path().join(name);
            assert_eq!(write_requests(&path, Vec::<Request>::new()).unwrap(), 0);
            assert!(read(&path).is_empty());
        }
    }

    #[test]
    fn an_unfinished_writer_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.jsonl", "a.parquet"] {
            let mut writer = RequestWriter::create(&dir.path().join(name)).unwrap();
            writer.write(&Request::default()).unwrap();
            drop(writer);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_first_error_ends_the_iteration() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, "{}\n{}\n").unwrap();
        let mut reader = RequestReader::open(&path).unwrap();
        assert!(reader.next().unwrap().is_err());
        assert!(reader.next().is_none());
    }

    #[test]
    fn refused_because_of_the_extension() {
        let error = RequestReader::open(Path::new("a.json")).err().unwrap();
        assert_eq!(error.to_string(), "a.json: the extension is none of .jsonl, .parquet");
        assert!(RequestWriter::create(Path::new("a")).is_err());
    }
}
