//! Arrays into an archive, as `numpy.savez` writes them.

use std::{fs::File, io::Write as _, path::Path};

use onr_exporter::ExportError;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::header::Header;
use crate::tensor::{Data, Feeds, HostTensor};

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
        let header = Header { dtype: tensor.dtype(), shape };
        let bytes = header.write().zip(bytes(tensor)).ok_or_else(|| fail(refused()))?;
        archive.start_file(format!("{name}.npy"), options).map_err(|e| fail(e.into()))?;
        archive.write_all(&bytes.0).and_then(|()| archive.write_all(&bytes.1)).map_err(fail)?;
    }
    archive.finish().map_err(|e| fail(e.into()))?;
    Ok(())
}

/// Little-endian elements.
fn bytes(tensor: &HostTensor) -> Option<Vec<u8>> {
    macro_rules! le {
        ($values:expr) => {
            $values.iter().flat_map(|x| x.to_le_bytes()).collect()
        };
    }
    Some(match tensor.data() {
        Data::F32(v) => le!(v),
        Data::F16(v) => le!(v),
        Data::F64(v) => le!(v),
        Data::I8(v) => le!(v),
        Data::I32(v) => le!(v),
        Data::I64(v) => le!(v),
        Data::U8(v) => v.clone(),
        Data::Bool(v) => v.iter().map(|b| u8::from(*b)).collect(),
        Data::BF16(_) | Data::F8E4M3(_) => return None,
    })
}
