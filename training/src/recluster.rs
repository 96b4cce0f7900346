//! Other fake items for a checkpoint that is there.

use std::{collections::BTreeMap, path::Path};

use onr_exporter::{
    Checkpoint, ExportError,
    artifact::FileRecord,
    checkpoint::{self, Narrowing, Stored, convert, float_type},
};
use onr_graphs::{DType, ModelConfig};
use serde::Serialize;

use crate::{
    error::TrainingError,
    kmeans::{KMeansError, KMeansOptions, cluster, inertia},
};

const ITEMS: &str = "item_embedding";
const FAKES: &str = "fake_items";

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Reclustered {
    /// How many fake items there were before; 0 where the checkpoint had none.
    pub before: usize,
    /// Items of each fake item, in their order.
    pub sizes: Vec<u32>,
    /// Sum of the squared distances of items to the nearest fake item, before; `None` where there was none.
    pub inertia_before: Option<f64>,
    /// The same now, before the centres are rounded to the stored type.
    pub inertia: f64,
    /// The new checkpoint.
    pub file: FileRecord,
}

/// Writes `checkpoint` to `out` with the fake items of `model` set to the centres of its item embeddings, padding
/// left out. All other tensors and the metadata stay as they are, in their stored types.
///
/// # Errors
/// [`TrainingError::Clusters`] for fewer different items than fake items, or none; [`TrainingError::Checkpoint`] for
/// tensors that are missing, not finite or do not fit `model`, and for a file that can't be written.
pub fn recluster(
    checkpoint: &Checkpoint,
    model: &ModelConfig,
    options: &KMeansOptions,
    out: &Path,
) -> Result<Reclustered, TrainingError> {
    checkpoint.check(model, &|key| key == FAKES, false)?;
    if model.n_fake_items == 0 {
        return Err(KMeansError::Options { name: "n_fake_items" }.into());
    }
    let items = checkpoint.values(ITEMS)?.unwrap_or_default();
    let (points, dim) = (items.get(model.d_model..).unwrap_or_default(), model.d_model);
    let old = checkpoint.values(FAKES)?.filter(|old| !old.is_empty());
    let inertia_before = old.as_ref().map(|old| inertia(points, dim, old)).transpose()?;
    let clusters = cluster(points, dim, model.n_fake_items, options)?;
    let stored =
        |key| checkpoint.tensor(key).and_then(|t| float_type(t.dtype).map(|d| (t.dtype, d)));
    let (dtype, to) =
        stored(FAKES).or_else(|| stored(ITEMS)).unwrap_or((safetensors::Dtype::F32, DType::F32));
    let bytes = narrow(&clusters.centres, to)?;
    let shape = [model.n_fake_items, dim];
    let mut tensors: BTreeMap<String, Stored<'_>> =
        checkpoint.keys().filter_map(|k| Some((k.to_owned(), checkpoint.tensor(k)?))).collect();
    tensors.insert(FAKES.to_owned(), Stored { dtype, shape: &shape, bytes: &bytes });
    let file = checkpoint::write(out, &tensors, checkpoint.metadata())?;
    let before = old.map_or(0, |old| old.len() / dim);
    let (sizes, inertia) = (clusters.sizes, clusters.inertia);
    Ok(Reclustered { before, sizes, inertia_before, inertia, file })
}

/// Numbers in the type that a checkpoint has them in.
fn narrow(values: &[f32], to: DType) -> Result<Vec<u8>, ExportError> {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let narrowing = Narrowing { from: DType::F32, to };
    Ok(convert(FAKES, 0, &bytes, narrowing, &mut Vec::new())?.to_vec())
}
