//! A plan to a safetensors file, in pieces of bounded size.

use std::{collections::BTreeMap, path::Path};

use half::{bf16, f16};
use onr_graphs::DType;
use serde::Serialize;

use super::{
    canvas::Canvas,
    plan::{Content, Planned},
};
use crate::{
    artifact::{Artifact, FileRecord},
    error::ExportError,
    progress::Progress,
};

/// How much of a tensor is gathered and written at a time.
const CHUNK: usize = 1 << 20;

/// Why a file was not written.
pub(super) enum Failed {
    /// Of the file or the user.
    Write(ExportError),
    /// A number does not survive its rule.
    Number(String),
}

impl From<ExportError> for Failed {
    fn from(error: ExportError) -> Self {
        Self::Write(error)
    }
}

/// Writes the tensors: those of wide numbers first, so that every one is aligned to its type.
pub(super) fn write(
    tensors: &[Planned<'_>],
    metadata: &BTreeMap<String, String>,
    out: &Path,
    progress: &dyn Progress,
) -> Result<FileRecord, Failed> {
    let mut ordered: Vec<&Planned<'_>> = tensors.iter().collect();
    ordered.sort_by_key(|t| std::cmp::Reverse(t.dtype.size()));
    progress.stage("import", ordered.iter().map(|t| t.bytes()).sum());
    let mut writer = Writer { file: Artifact::create(out)?, progress };
    let header = header(&ordered, metadata).map_err(|e| ExportError::write(out, e.into()))?;
    writer.file.put(&header)?;
    for tensor in ordered {
        writer.tensor(tensor)?;
    }
    Ok(writer.file.finish()?)
}

impl Planned<'_> {
    /// Length in the file.
    fn bytes(&self) -> u64 {
        let sizes = self.spec.shape.iter().map(|n| *n as u64);
        sizes.fold(self.dtype.size() as u64, u64::saturating_mul)
    }
}

/// An entry of the header; fields in a fixed order, so that equal input gives equal bytes.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Metadata(&'a BTreeMap<String, String>),
    Tensor { dtype: &'static str, shape: &'a [usize], data_offsets: [u64; 2] },
}

/// The safetensors header: its length, then JSON padded to 8 bytes.
fn header(
    tensors: &[&Planned<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut entries = BTreeMap::from([("__metadata__", Entry::Metadata(metadata))]);
    let mut offset = 0_u64;
    for tensor in tensors {
        let end = offset.saturating_add(tensor.bytes());
        let dtype = match tensor.dtype {
            DType::F16 => "F16",
            DType::BF16 => "BF16",
            _ => "F32",
        };
        let shape = &tensor.spec.shape[..];
        entries
            .insert(&tensor.spec.key, Entry::Tensor { dtype, shape, data_offsets: [offset, end] });
        offset = end;
    }
    let mut text = serde_json::to_vec(&entries)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
}

struct Writer<'a> {
    file: Artifact,
    progress: &'a dyn Progress,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.file.put(bytes)?;
        if self.progress.advance(bytes.len() as u64).is_break() {
            return Err(ExportError::Interrupted);
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &Planned<'_>) -> Result<(), Failed> {
        match &tensor.content {
            Content::Fill(value) => Ok(self.fill(*value, tensor.bytes())?),
            Content::Numbers { canvas, scale: None } => match canvas.in_place() {
                Some(bytes) => Ok(bytes.chunks(CHUNK).try_for_each(|chunk| self.put(chunk))?),
                None => self.gathered(tensor, canvas, 1.0),
            },
            Content::Numbers { canvas, scale: Some(factor) } => {
                self.gathered(tensor, canvas, *factor)
            }
        }
    }

    fn fill(&mut self, value: f32, bytes: u64) -> Result<(), ExportError> {
        let block: Vec<u8> = value.to_le_bytes().into_iter().cycle().take(CHUNK).collect();
        let mut left = bytes;
        while left > 0 {
            let count = left.min(CHUNK as u64);
            self.put(&block[..count as usize])?;
            left -= count;
        }
        Ok(())
    }

    /// Some rows at a time, brought together from wherever they lie.
    fn gathered(
        &mut self,
        tensor: &Planned<'_>,
        canvas: &Canvas<'_>,
        factor: f32,
    ) -> Result<(), Failed> {
        let size = tensor.dtype.size();
        let step = (CHUNK / (canvas.columns() * size).max(1)).max(1);
        let mut buffer = Vec::new();
        for start in (0..canvas.rows()).step_by(step) {
            canvas.read(start..canvas.rows().min(start + step), size, &mut buffer);
            if factor.to_bits() != 1_f32.to_bits() {
                scale(&mut buffer, tensor.dtype, factor).map_err(|(at, value)| {
                    let index = start * canvas.columns() + at;
                    let (key, dtype) = (&tensor.spec.key, tensor.dtype);
                    Failed::Number(format!(
                        "`{key}`[{index}] is {value}, and {factor} times that is beyond the largest \
                         {dtype}"
                    ))
                })?;
            }
            self.put(&buffer)?;
        }
        Ok(())
    }
}

/// Multiplies in F32 and rounds to nearest even.
///
/// # Errors
/// Position and value of a finite number whose product is not.
fn scale(bytes: &mut [u8], dtype: DType, factor: f32) -> Result<(), (usize, f32)> {
    match dtype {
        DType::F16 => each(
            bytes,
            factor,
            |b| f16::from_le_bytes(b).to_f32(),
            |x| f16::from_f32(x).to_le_bytes(),
        ),
        DType::BF16 => each(
            bytes,
            factor,
            |b| bf16::from_le_bytes(b).to_f32(),
            |x| bf16::from_f32(x).to_le_bytes(),
        ),
        _ => each(bytes, factor, f32::from_le_bytes, f32::to_le_bytes),
    }
}

fn each<const N: usize>(
    bytes: &mut [u8],
    factor: f32,
    read: impl Fn([u8; N]) -> f32,
    write: impl Fn(f32) -> [u8; N],
) -> Result<(), (usize, f32)> {
    let (numbers, _) = bytes.as_chunks_mut::<N>();
    for (at, number) in numbers.iter_mut().enumerate() {
        let value = read(*number);
        *number = write(value * factor);
        if value.is_finite() && !read(*number).is_finite() {
            return Err((at, value));
        }
    }
    Ok(())
}
