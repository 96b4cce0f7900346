//! Weights that lie in an exported directory against those of the checkpoint, number by number.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use onr_graphs::DType;
use prost::Message;

use super::{
    encode::elem_type,
    proto::{EXTERNAL, ModelProto, TensorProto},
};
use crate::{
    checkpoint::{Checkpoint, Mapped, Narrowing, confined, convert, float_type},
    error::ExportError,
    export::ExportedGraph,
};

/// Compares every tensor that graphs of `dir` keep in external data with the checkpoint's tensor of
/// that name, rounded to the same type. Outputs in 16 bits cannot show a single weight that is a little
/// off; its bits can.
///
/// Returns what differs, a line per tensor.
///
/// # Errors
/// [`ExportError::Read`], [`ExportError::Onnx`], [`ExportError::Escape`].
pub fn check_weights(
    dir: &Path,
    graphs: &[ExportedGraph],
    checkpoint: &Checkpoint,
) -> Result<Vec<String>, ExportError> {
    let (mut files, mut seen, mut problems) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for graph in graphs {
        let model = dir.join(format!("{}.onnx", graph.name));
        let bytes = fs::read(&model).map_err(|cause| ExportError::read(&model, cause))?;
        let refuse = |reason: String| ExportError::Onnx { file: model.clone(), reason };
        let decoded = ModelProto::decode(bytes.as_slice()).map_err(|e| refuse(e.to_string()))?;
        let tensors = decoded.graph.map(|g| g.initializer).unwrap_or_default();
        for tensor in tensors.iter().filter(|t| t.data_location == Some(EXTERNAL)) {
            let place =
                Place::of(tensor).ok_or_else(|| refuse("external data without place".into()))?;
            if !seen.insert(place.clone()) {
                continue;
            }
            let file = confined(&model, &place.location)?;
            if !files.contains_key(&file) {
                files.insert(file.clone(), Mapped::open(&file)?);
            }
            let held = files[&file].bytes().get(place.offset..place.offset + place.length);
            problems.extend(difference(&place, held.unwrap_or_default(), checkpoint));
        }
    }
    files.values().for_each(Mapped::release);
    checkpoint.release();
    Ok(problems)
}

/// Where a tensor lies, and as what.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    name: String,
    dtype: DType,
    location: String,
    offset: usize,
    length: usize,
}

impl Place {
    fn of(tensor: &TensorProto) -> Option<Self> {
        let floats = [DType::F32, DType::F16, DType::BF16];
        Some(Self {
            name: tensor.name.clone()?,
            dtype: floats.into_iter().find(|t| Some(elem_type(*t)) == tensor.data_type)?,
            location: tensor.external("location")?.to_owned(),
            offset: tensor.external("offset")?.parse().ok()?,
            length: tensor.external("length")?.parse().ok()?,
        })
    }
}

/// The first number of a tensor that is not the checkpoint's, in words.
fn difference(place: &Place, held: &[u8], checkpoint: &Checkpoint) -> Option<String> {
    let name = &place.name;
    // A tensor that is used in two types has the second one in its name.
    let plain = name.strip_suffix(&format!(".{}", place.dtype)).unwrap_or(name);
    let Some(stored) = checkpoint.tensor(name).or_else(|| checkpoint.tensor(plain)) else {
        return Some(format!("weights: `{name}` is not in the checkpoint"));
    };
    let from = float_type(stored.dtype)?;
    let elements = stored.bytes.len() / from.size();
    if held.len() != elements * place.dtype.size() {
        return Some(format!("weights: `{name}` has {} bytes for {elements} numbers", held.len()));
    }
    let narrowing = Narrowing { from, to: place.dtype };
    let mut scratch = Vec::new();
    for (first, chunk) in stored.chunks(from) {
        let want = match convert(plain, first, chunk, narrowing, &mut scratch) {
            Ok(want) => want,
            Err(e) => return Some(format!("weights: {e}")),
        };
        let held = &held[first * place.dtype.size()..][..want.len()];
        if want != held {
            let at = want.iter().zip(held).position(|(a, b)| a != b).unwrap_or(0);
            let index = first + at / place.dtype.size();
            return Some(format!("weights: `{name}`[{index}] is not what the checkpoint has"));
        }
    }
    None
}
