//! Tensors to a safetensors file whose bytes depend on nothing but them.

use std::{collections::BTreeMap, path::Path};

use safetensors::Dtype;
use serde::Serialize;

use super::Stored;
use crate::{
    artifact::{Artifact, FileRecord},
    error::ExportError,
};

/// An entry of the header; fields in a fixed order.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Metadata(&'a BTreeMap<String, String>),
    Tensor { dtype: Dtype, shape: &'a [usize], data_offsets: [u64; 2] },
}

/// Writes a checkpoint: tensors of wide numbers first, then by name, so that each is aligned to its type. Equal
/// input gives equal bytes (the library's own writer puts the metadata in an order of the moment).
///
/// # Errors
/// [`ExportError::Write`].
pub fn write(
    out: &Path,
    tensors: &BTreeMap<String, Stored<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<FileRecord, ExportError> {
    let mut ordered: Vec<(&str, Stored<'_>)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    ordered.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype.bitsize()));
    let header = header(&ordered, metadata).map_err(|e| ExportError::write(out, e.into()))?;
    let mut file = Artifact::create(out)?;
    file.put(&header)?;
    for (_, tensor) in ordered {
        file.put(tensor.bytes)?;
    }
    file.finish()
}

/// Its length, then JSON padded to 8 bytes.
fn header(
    tensors: &[(&str, Stored<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut entries = BTreeMap::from([("__metadata__", Entry::Metadata(metadata))]);
    let mut offset = 0;
    for (name, Stored { dtype, shape, bytes }) in tensors {
        let end = offset + bytes.len() as u64;
        let data_offsets = [offset, end];
        entries.insert(name, Entry::Tensor { dtype: *dtype, shape, data_offsets });
        offset = end;
    }
    let mut json = serde_json::to_vec(&entries)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes()[..], &json].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checkpoint;

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (wide, half) = ([1.5_f32, -2.0].map(f32::to_le_bytes).concat(), vec![0, 60, 0, 64]);
        let tensor = |dtype, bytes| Stored {
            dtype,
            shape: if dtype == Dtype::F32 { &[1, 2] } else { &[2] },
            bytes,
        };
        let tensors = BTreeMap::from([
            ("a.half".to_owned(), tensor(Dtype::F16, &half)),
            ("b.wide".to_owned(), tensor(Dtype::F32, &wide)),
        ]);
        let metadata: BTreeMap<String, String> =
            (0..9).map(|n| (format!("key{n}"), n.to_string())).collect();
        let file = dir.path().join("x.safetensors");
        let record = write(&file, &tensors, &metadata).unwrap();
        assert_eq!(record, write(&file, &tensors, &metadata).unwrap());
        let read = Checkpoint::open(&file).unwrap();
        assert_eq!(read.metadata(), &metadata);
        assert_eq!(read.values("b.wide").unwrap(), Some(vec![1.5, -2.0]));
        assert_eq!(read.values("a.half").unwrap(), Some(vec![1.0, 2.0]));
        assert_eq!(read.tensor("a.half").unwrap().bytes, half);
    }
}
