//! Arrays into an archive, as `numpy.savez` writes them.

use std::{fs::File, io::Write as _, path::Path};

use onr_exporter::ExportError;
use onr_graphs::DType;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::header::Header;
use crate::tensor::Feeds;

/// What an array file (`.npy`, format 1.0, C order) begins with; its elements come next, little-endian. `None`
/// for a type that NumPy does not have.
#[must_use]
pub fn npy_header(dtype: DType, shape: &[usize]) -> Option<Vec<u8>> {
    Header { dtype, shape: shape.to_vec() }.write()
}

/// Writes one batch: each array gets a first axis of 1.
///
/// # Errors
/// [`ExportError::Write`], also for BF16 and FP8, which NumPy does not have.
pub fn write_npz(path: &Path, batch: &Feeds) -> Result<(), ExportError> {
    let fail = |cause| ExportError::Write { file: path.to_owned(), cause };
    let mut archive = ZipWriter::new(File::create(path).map_err(fail)?);
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    for (name, tensor) in batch {
        let refused = || std::io::Error::other(format!("NumPy has no {}", tensor.dtype()));
        let shape = [&[1], tensor.shape()].concat();
        let header = npy_header(tensor.dtype(), &shape).ok_or_else(|| fail(refused()))?;
        archive.start_file(format!("{name}.npy"), options).map_err(|e| fail(e.into()))?;
        archive
            .write_all(&header)
            .and_then(|()| archive.write_all(&tensor.le_bytes()))
            .map_err(fail)?;
    }
    archive.finish().map_err(|e| fail(e.into()))?;
    Ok(())
}
