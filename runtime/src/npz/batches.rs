//! The elements of arrays, batch by batch.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use crc32fast::Hasher;
use flate2::bufread::DeflateDecoder;
use onr_graphs::DType;

use super::{Array, NpzError, Place, header::Header};
use crate::tensor::{Feeds, HostTensor};

/// Bytes that are read from the file at once.
const BUFFER: usize = 1 << 16;

/// The batches of an archive, in order. One batch is in memory at a time.
pub struct Batches {
    file: PathBuf,
    columns: Vec<Column>,
    count: u64,
    next: u64,
}

/// An array that is being read.
struct Column {
    name: String,
    dtype: DType,
    /// Of one batch.
    shape: Vec<usize>,
    stream: Checked,
}

impl Batches {
    pub(super) fn open(file: &Path, arrays: &[Array], count: u64) -> Result<Self, NpzError> {
        let columns = arrays.iter().map(|array| {
            let read = |cause| NpzError::Read { file: file.to_owned(), cause };
            let mut stream = array.place.open(file).map_err(read)?;
            let refuse = |reason| NpzError::Array {
                file: file.to_owned(),
                array: array.name.clone(),
                reason,
            };
            Header::read(&mut stream).map_err(refuse)?;
            let shape = array.shape[1..].to_vec();
            Ok(Column { name: array.name.clone(), dtype: array.dtype, shape, stream })
        });
        let columns = columns.collect::<Result<_, NpzError>>()?;
        Ok(Self { file: file.to_owned(), columns, count, next: 0 })
    }

    /// How many there are.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.count
    }

    fn read(&mut self) -> Result<Feeds, NpzError> {
        let is_last = self.next == self.count;
        let mut feeds = Feeds::new();
        for column in &mut self.columns {
            let tensor = column.read().and_then(|tensor| {
                if is_last {
                    column.stream.end()?;
                }
                Ok(tensor)
            });
            let tensor = tensor.map_err(|cause| NpzError::Array {
                file: self.file.clone(),
                array: column.name.clone(),
                reason: format!("batch {}: {cause}", self.next - 1),
            })?;
            feeds.insert(column.name.clone(), tensor);
        }
        Ok(feeds)
    }
}

impl Iterator for Batches {
    type Item = Result<Feeds, NpzError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            return None;
        }
        self.next += 1;
        Some(self.read())
    }
}

impl Column {
    /// The next batch.
    fn read(&mut self) -> io::Result<HostTensor> {
        let elements: usize = self.shape.iter().product();
        let mut bytes = vec![0; elements * self.dtype.size()];
        self.stream.read_exact(&mut bytes)?;
        HostTensor::from_le_bytes(self.dtype, &self.shape, &bytes)
            .ok_or_else(|| io::Error::other(format!("no inputs are {}", self.dtype)))
    }
}

impl Place {
    /// A stream of the unpacked member.
    pub(super) fn open(self, file: &Path) -> io::Result<Checked> {
        let mut source = File::open(file)?;
        source.seek(SeekFrom::Start(self.start))?;
        let source = BufReader::with_capacity(BUFFER, source.take(self.stored));
        let stream: Box<dyn Read + Send> =
            if self.is_packed { Box::new(DeflateDecoder::new(source)) } else { Box::new(source) };
        Ok(Checked { stream, hash: Hasher::new(), crc: self.crc })
    }
}

/// A stream whose checksum is known.
pub(super) struct Checked {
    stream: Box<dyn Read + Send>,
    hash: Hasher,
    crc: u32,
}

impl Read for Checked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(into)?;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}

impl Checked {
    /// To be called when all elements were read.
    fn end(&mut self) -> io::Result<()> {
        if self.read(&mut [0])? > 0 {
            return Err(io::Error::other("the array has more elements than its shape"));
        }
        if self.hash.clone().finalize() != self.crc {
            return Err(io::Error::other("the array is damaged: its checksum is another"));
        }
        Ok(())
    }
}
