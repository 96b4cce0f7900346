//! Weights that lie in an exported directory against those of the checkpoint, number by number.

use std::{collections::BTreeSet, path::Path};

use bytes::Bytes;
use onr_graphs::DType;
use onr_onnx::{
    Model,
    proto::{EXTERNAL, TensorProto},
};
use onr_precision::Plan;

use super::{codes::check_codes, encode::elem_type, rows::check_rows};
use crate::{
    checkpoint::{Checkpoint, Narrowing, convert, float_type},
    error::ExportError,
    export::ExportedGraph,
};

/// Compares every tensor that graphs of `dir` keep in external data with the checkpoint's tensor of
/// that name, rounded to the same type. Outputs in 16 bits cannot show a single weight that is a little
/// off; its bits can. What a `plan` made of weights has a name with a slash: codes are checked against it.
///
/// Returns what differs, a line per tensor.
///
/// # Errors
/// [`ExportError::Read`], [`ExportError::Onnx`], [`ExportError::Escape`].
pub fn check_weights(
    dir: &Path,
    graphs: &[ExportedGraph],
    checkpoint: &Checkpoint,
    plan: Option<&Plan>,
) -> Result<Vec<String>, ExportError> {
    let (mut seen, mut problems) = (BTreeSet::new(), Vec::new());
    for graph in graphs {
        let model = Model::open(&dir.join(format!("{}.onnx", graph.name)))?;
        let large = |t: &&TensorProto| {
            t.data_location == Some(EXTERNAL) || plan.is_some() && t.label().ends_with("/codes")
        };
        for tensor in model.graph().initializer.iter().filter(large) {
            if let Some(plan) = plan.filter(|_| tensor.label().contains('/')) {
                problems.extend(check_codes(&model, tensor, checkpoint, plan)?);
                problems.extend(check_rows(&model, tensor, checkpoint, plan)?);
                continue;
            }
            let held = Held::of(&model, tensor)?;
            let place: Vec<_> = tensor.external_data.iter().map(|e| e.value.clone()).collect();
            if seen.insert((held.name.clone(), held.dtype, place)) {
                problems.extend(difference(&held, checkpoint));
            }
        }
        model.release();
    }
    checkpoint.release();
    Ok(problems)
}

/// A tensor of a graph.
struct Held {
    name: String,
    dtype: DType,
    bytes: Bytes,
}

impl Held {
    fn of(model: &Model, tensor: &TensorProto) -> Result<Self, ExportError> {
        let floats = [DType::F32, DType::F16, DType::BF16];
        let dtype = floats.into_iter().find(|t| Some(elem_type(*t).code()) == tensor.data_type);
        let name = tensor.label().to_owned();
        let dtype = dtype.ok_or_else(|| ExportError::Onnx {
            file: model.path().to_owned(),
            reason: format!("weight `{name}` is not of a float type"),
        })?;
        Ok(Self { dtype, bytes: model.bytes(tensor)?, name })
    }
}

/// The first number of a tensor that is not the checkpoint's, in words.
fn difference(tensor: &Held, checkpoint: &Checkpoint) -> Option<String> {
    let (name, held) = (&tensor.name, &tensor.bytes);
    // A tensor that is used in two types has the second one in its name.
    let plain = name.strip_suffix(&format!(".{}", tensor.dtype)).unwrap_or(name);
    let Some(stored) = checkpoint.tensor(name).or_else(|| checkpoint.tensor(plain)) else {
        return Some(format!("weights: `{name}` is not in the checkpoint"));
    };
    let from = float_type(stored.dtype)?;
    let elements = stored.bytes.len() / from.size();
    if held.len() != elements * tensor.dtype.size() {
        return Some(format!("weights: `{name}` has {} bytes for {elements} numbers", held.len()));
    }
    let narrowing = Narrowing { from, to: tensor.dtype };
    let mut scratch = Vec::new();
    for (first, chunk) in stored.chunks(from) {
        let want = match convert(plain, first, chunk, narrowing, &mut scratch) {
            Ok(want) => want,
            Err(e) => return Some(format!("weights: {e}")),
        };
        let held = &held[first * tensor.dtype.size()..][..want.len()];
        if want != held {
            let at = want.iter().zip(held).position(|(a, b)| a != b).unwrap_or(0);
            let index = first + at / tensor.dtype.size();
            return Some(format!("weights: `{name}`[{index}] is not what the checkpoint has"));
        }
    }
    None
}
