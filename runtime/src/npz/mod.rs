//! Arrays of a NumPy archive (`numpy.savez`, `numpy.savez_compressed`) as batches of a model's inputs.
//!
//! The first axis of every array counts the batches, the others are the input's own. Batches are read one
//! after another, so memory does not grow with their number, packed or not.

mod batches;
mod error;
mod fit;
mod header;
mod write;

pub use batches::Batches;
pub use error::NpzError;
pub use fit::{InputSpec, inputs};
pub use write::{npy_header, write_npz};

use std::{fs::File, path::Path};

use onr_graphs::DType;
use zip::{CompressionMethod, ZipArchive};

use self::header::Header;

/// An archive that was opened: what its arrays are.
#[derive(Debug)]
pub struct Npz {
    file: std::path::PathBuf,
    arrays: Vec<Array>,
}

/// An array of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    place: Place,
}

/// Where the bytes of a member lie.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u64,
    stored: u64,
    is_packed: bool,
    crc: u32,
}

impl Npz {
    /// Reads the directory of an archive and the header of each array, no elements.
    ///
    /// # Errors
    /// [`NpzError::Read`], [`NpzError::Archive`] for what is no archive, [`NpzError::Array`] for an array that
    /// no input can take.
    pub fn open(path: &Path) -> Result<Self, NpzError> {
        let read = |cause| NpzError::Read { file: path.to_owned(), cause };
        let file = File::open(path).map_err(read)?;
        let refuse = |reason: String| NpzError::Archive { file: path.to_owned(), reason };
        let mut archive = ZipArchive::new(file).map_err(|e| refuse(e.to_string()))?;
        let mut arrays = Vec::with_capacity(archive.len());
        for at in 0..archive.len() {
            let member = archive.by_index_raw(at).map_err(|e| refuse(e.to_string()))?;
            let name = member.name().map_err(|e| refuse(e.to_string()))?;
            let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
                return Err(refuse(format!("`{name}` in it is no array")));
            };
            let is_packed = match member.compression() {
                CompressionMethod::STORE => false,
                CompressionMethod::DEFLATE => true,
                other => return Err(refuse(format!("`{name}` is packed with {other}"))),
            };
            let Some(start) = member.data_start().filter(|_| !member.encrypted()) else {
                return Err(refuse(format!("`{name}` is encrypted")));
            };
            let (stored, crc) = (member.compressed_size(), member.crc32());
            let place = Place { start, stored, is_packed, crc };
            let mut stream = place.open(path).map_err(read)?;
            let wrong =
                |reason| NpzError::Array { file: path.to_owned(), array: name.clone(), reason };
            let Header { dtype, shape } = Header::read(&mut stream).map_err(wrong)?;
            arrays.push(Array { name, dtype, shape, place });
        }
        Ok(Self { file: path.to_owned(), arrays })
    }

    /// The batches of a model's inputs.
    ///
    /// # Errors
    /// [`NpzError::Misfit`] with all that does not fit: arrays that are missing or no inputs, other types,
    /// ranks or sizes than the model's, numbers of batches that differ or are 0.
    pub fn batches(&self, inputs: &[InputSpec]) -> Result<Batches, NpzError> {
        let count = fit::check(&self.arrays, inputs)
            .map_err(|problems| NpzError::Misfit { file: self.file.clone(), problems })?;
        Batches::open(&self.file, &self.arrays, count)
    }
}
