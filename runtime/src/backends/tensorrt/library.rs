//! Loads plans, and gives them other weights.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use onr_device::{DeviceError, Engine, Engines, Weights};
use trtx::{CudaEngine, DataType, Logger, Refitter, Runtime, SerializationFlag, trtx_sys};

use super::{engine::TensorRtEngine, names::data_type};
use crate::builders::{
    diagnosis::last_words,
    tensorrt::{TITLE, logger::hearing_errors},
};

/// TensorRT's runtime library, as [`Engines`].
#[derive(Debug)]
pub struct TensorRtEngines {
    version: String,
    cache: Option<PathBuf>,
}

/// A plan in memory, with what it must not outlive.
pub(super) struct Loaded {
    // Dropped in this order.
    pub(super) engine: CudaEngine<'static>,
    _runtime: Runtime<'static>,
}

impl TensorRtEngines {
    /// The library that is loaded in this process, of that version.
    pub(super) const fn new(version: String, cache: Option<PathBuf>) -> Self {
        Self { version, cache }
    }
}

/// What TensorRT said to `work` when it failed: its log knows more than its errors.
pub(super) fn explained<T>(
    work: impl FnOnce(&'static Logger) -> Result<T, String>,
) -> Result<T, String> {
    let (done, errors) = hearing_errors(work).map_err(|error| error.to_string())?;
    done.map_err(|error| last_words(&errors).unwrap_or(error))
}

fn said(error: trtx::Error) -> String {
    error.to_string()
}

/// Loads a plan onto the current device.
fn load(plan: &[u8], logger: &'static Logger) -> Result<Loaded, String> {
    let mut runtime = Runtime::new(logger).map_err(said)?;
    check(&runtime, plan)?;
    let engine = runtime.deserialize_cuda_engine(plan).map_err(said)?;
    Ok(Loaded { engine, _runtime: runtime })
}

/// What TensorRT for RTX thinks of a plan by its header, before it tries.
#[cfg(not(feature = "tensorrt"))]
fn check(runtime: &Runtime<'_>, plan: &[u8]) -> Result<(), String> {
    let (validity, why) = runtime.engine_validity(plan).map_err(said)?;
    match validity {
        trtx::EngineValidity::kINVALID => {
            let reasons: Vec<_> = why.iter_names().map(|(name, _)| name.to_lowercase()).collect();
            Err(format!("{TITLE} cannot run it here: {}", reasons.join(", ").replace('_', " ")))
        }
        _ => Ok(()),
    }
}

#[cfg(feature = "tensorrt")]
#[expect(clippy::unnecessary_wraps, reason = "the other TensorRT can tell")]
fn check(_: &Runtime<'_>, _: &[u8]) -> Result<(), String> {
    Ok(())
}

impl Engines for TensorRtEngines {
    fn title(&self) -> String {
        format!("{TITLE} {}", self.version)
    }

    fn load(&self, plan: &[u8]) -> Result<Arc<dyn Engine>, DeviceError> {
        let refuse = |reason| DeviceError::Plan { reason };
        let loaded = explained(|logger| load(plan, logger)).map_err(refuse)?;
        Ok(Arc::new(TensorRtEngine::new(loaded, plan, self.cache.as_deref()).map_err(refuse)?))
    }

    fn refit(&self, plan: &[u8], weights: &Weights<'_>) -> Result<Vec<u8>, DeviceError> {
        explained(|logger| refit(plan, weights, logger))
            .map_err(|reason| DeviceError::Plan { reason })
    }
}

/// Most names of weights that are asked for: more than any model has.
const MANY: i32 = 1 << 20;

fn refit(plan: &[u8], weights: &Weights<'_>, logger: &'static Logger) -> Result<Vec<u8>, String> {
    let mut loaded = load(plan, logger)?;
    let mut refitter = Refitter::new(&loaded.engine, logger).map_err(said)?;
    let wanted: BTreeSet<_> = refitter.all_weights(MANY).map_err(said)?.into_iter().collect();
    if wanted.is_empty() {
        return Err("it was not built to get other weights: `onr build-engine --refit` does".into());
    }
    // Aligned for every type, and alive until the engine has its weights.
    let mut given = Vec::with_capacity(wanted.len());
    for (name, dtype, bytes) in weights.iter().filter(|(name, ..)| wanted.contains(*name)) {
        let kind =
            data_type(*dtype).ok_or_else(|| format!("TensorRT has no type {dtype}: `{name}`"))?;
        let words: Vec<u64> = bytes.chunks(8).map(word).collect();
        let count = bytes.len() / dtype.size();
        set(&mut refitter, name, kind, &words, count)
            .map_err(|error| format!("`{name}`: {error}"))?;
        given.push(words);
    }
    let missing = refitter.missing_weights(MANY).map_err(said)?;
    if !missing.is_empty() {
        return Err(format!("it also needs {}", missing.join(", ")));
    }
    refitter.refit_cuda_engine().map_err(said)?;
    drop(refitter);
    drop(given);
    let mut config = loaded.engine.create_serialization_config().map_err(said)?;
    config.set_flag(SerializationFlag::kINCLUDE_REFIT).map_err(said)?;
    let fresh = loaded.engine.serialize_with_config(&mut config).map_err(said)?;
    Ok(fresh.to_vec())
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

#[expect(unsafe_code, reason = "trtx has no safe way to make weights")]
fn set(
    refitter: &mut Refitter<'_, '_>,
    name: &str,
    kind: DataType,
    words: &[u64],
    count: usize,
) -> trtx::Result<()> {
    let weights = trtx_sys::nvinfer1::Weights {
        type_: kind.into(),
        values: words.as_ptr().cast(),
        count: count as i64,
    };
    let location = trtx_sys::TensorLocation::kHOST.into();
    // SAFETY: `words` holds `count` elements of that type and lives until the engine was refitted.
    unsafe { refitter.set_named_weights_with_location(name, weights, location) }
}
