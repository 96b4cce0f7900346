//! Files of a run: the checkpoint that it makes, and what it needs to go on after a kill.

use std::{collections::BTreeMap, path::Path};

use onr_exporter::checkpoint::{self, Stored};
use onr_graphs::ModelConfig;
use safetensors::{Dtype, SafeTensors};

use crate::{
    error::TrainingError,
    model::Params,
    optimizer::{AdamW, Moments},
};

/// The trained weights, in a run's directory.
pub const WEIGHTS_FILE: &str = "weights.safetensors";
/// What a run needs to go on.
pub const STATE_FILE: &str = "state.safetensors";

const STEP: &str = "onr.step";
const RUN: &str = "onr.run";

/// F32 values with a shape.
struct Values {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Values {
    fn new(shape: &[usize], values: &[f32]) -> Self {
        Self { shape: shape.to_vec(), bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }
}

impl Values {
    fn stored(&self) -> Stored<'_> {
        Stored { dtype: Dtype::F32, shape: &self.shape, bytes: &self.bytes }
    }
}

fn write(
    path: &Path,
    tensors: &BTreeMap<String, Values>,
    metadata: BTreeMap<String, String>,
) -> Result<(), TrainingError> {
    let tensors = tensors.iter().map(|(name, values)| (name.clone(), values.stored())).collect();
    checkpoint::write(path, &tensors, &metadata)?;
    Ok(())
}

fn weights(params: &Params) -> Result<BTreeMap<String, Values>, TrainingError> {
    let one = |(name, var): (&str, &candle_core::Var)| {
        Ok((name.to_owned(), Values::new(var.dims(), &params.values(name)?)))
    };
    params.iter().map(one).collect()
}

/// Writes a checkpoint under the names of the contract, F32.
///
/// # Errors
/// [`TrainingError::Checkpoint`] when the file can't be written.
pub fn write_weights(
    path: &Path,
    params: &Params,
    metadata: &[(&str, String)],
) -> Result<(), TrainingError> {
    let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
    let format = [("format".to_owned(), "pt".to_owned())];
    write(path, &weights(params)?, metadata.chain(format).collect())
}

/// Reads a checkpoint of any stored type.
///
/// # Errors
/// Those of [`onr_exporter::Checkpoint`].
pub fn read_weights(path: &Path, cfg: &ModelConfig) -> Result<Params, TrainingError> {
    let checkpoint = onr_exporter::Checkpoint::open(path)?;
    checkpoint.check(cfg, &|_| false, false)?;
    let mut values = BTreeMap::new();
    for (name, _) in shapes(cfg) {
        if let Some(tensor) = checkpoint.values(&name)? {
            values.insert(name, tensor);
        }
    }
    let params = Params::new(cfg, candle_core::DType::F32, |name, shape| {
        // `check` has found all of them, in these shapes.
        values.remove(name).unwrap_or_else(|| vec![0.0; shape.iter().product()])
    })?;
    Ok(params)
}

fn shapes(cfg: &ModelConfig) -> impl Iterator<Item = (String, Vec<usize>)> {
    onr_graphs::model::weights::checkpoint(cfg).into_iter().map(|spec| (spec.key, spec.shape))
}

/// Writes what a run needs to go on after `step` steps. `run` names the run: another configuration, seed
/// or log has another name.
pub(crate) fn write_state(
    path: &Path,
    params: &Params,
    optimizer: &AdamW,
    (step, run): (u64, &str),
) -> Result<(), TrainingError> {
    let mut tensors: BTreeMap<String, Values> =
        weights(params)?.into_iter().map(|(name, v)| (format!("param.{name}"), v)).collect();
    for (name, moments) in &optimizer.moments {
        let mut put = |kind: &str, values: &[f32]| {
            tensors.insert(format!("{kind}.{name}"), Values::new(&[values.len()], values));
        };
        put("mean", &moments.mean);
        put("square", &moments.square);
    }
    let metadata = [(STEP.to_owned(), step.to_string()), (RUN.to_owned(), run.to_owned())];
    write(path, &tensors, metadata.into())
}

/// Takes a run up where it was: the number of steps that are done.
pub(crate) fn read_state(
    path: &Path,
    params: &Params,
    optimizer: &mut AdamW,
    run: &str,
) -> Result<u64, TrainingError> {
    let wrong = |why: String| TrainingError::State { file: path.to_owned(), why };
    let bytes = std::fs::read(path)
        .map_err(|cause| TrainingError::Read { file: path.to_owned(), cause })?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    if metadata.get(RUN).map(String::as_str) != Some(run) {
        return Err(wrong(
            "belongs to a run with another model, configuration, seed or log; remove it to begin anew"
                .to_owned(),
        ));
    }
    let step = metadata.get(STEP).and_then(|s| s.parse().ok());
    let step = step.ok_or_else(|| wrong("does not say how many steps are done".to_owned()))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| wrong(e.to_string()))?;
    for (name, tensor) in file.tensors() {
        let values: Vec<f32> =
            tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        match name.split_once('.') {
            Some(("param", name)) => params.set(name, &values)?,
            Some(("mean", name)) => entry(optimizer, name).mean = values,
            Some(("square", name)) => entry(optimizer, name).square = values,
            _ => return Err(wrong(format!("has an unknown tensor `{name}`"))),
        }
    }
    Ok(step)
}

fn entry<'a>(optimizer: &'a mut AdamW, name: &str) -> &'a mut Moments {
    optimizer.moments.entry(name.to_owned()).or_default()
}
