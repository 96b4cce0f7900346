//! What TensorRT for RTX compiles when a plan is loaded, kept for the next load.

use std::{
    fs,
    path::{Path, PathBuf},
};

use onr_exporter::artifact;
use sha2::{Digest, Sha256};
use trtx::{CudaEngine, ExecutionContext};

/// The kernels of one plan. The file is of the plan's hash; TensorRT ignores what does not fit the GPU or its version.
pub(super) struct Cache {
    file: PathBuf,
    #[cfg(not(feature = "tensorrt"))]
    kernels: std::sync::OnceLock<std::sync::Arc<trtx::RuntimeCache>>,
}

impl Cache {
    /// That of `plan` in `folder`.
    pub(super) fn new(folder: &Path, plan: &[u8]) -> Self {
        let hash = Sha256::digest(plan);
        let name: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self {
            file: folder.join(format!("{name}.kernels")),
            #[cfg(not(feature = "tensorrt"))]
            kernels: std::sync::OnceLock::new(),
        }
    }

    /// Writes what was compiled, if that is new. A cache that cannot be written costs time, no answers.
    #[cfg(not(feature = "tensorrt"))]
    pub(super) fn save(&self) {
        let Some(Ok(kernels)) = self.kernels.get().map(|cache| cache.serialize()) else { return };
        if fs::read(&self.file).is_ok_and(|old| old.as_slice() == kernels.as_ref()) {
            return;
        }
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let made = fs::create_dir_all(folder).map_err(|e| e.to_string());
        let written = made.and_then(|()| {
            artifact::write(&self.file, kernels.as_ref()).map(drop).map_err(|e| e.to_string())
        });
        if let Err(error) = written {
            tracing::warn!(file = %self.file.display(), %error, "compiled kernels cannot be kept");
        }
    }

    /// Data-centre plans hold their kernels.
    #[cfg(feature = "tensorrt")]
    #[expect(clippy::unused_self, reason = "the other TensorRT needs it")]
    pub(super) const fn save(&self) {}
}

/// A context that records its runs as CUDA graphs on its own, and reads and fills the cache.
#[cfg(not(feature = "tensorrt"))]
pub(super) fn context(
    engine: &mut CudaEngine<'static>,
    cache: Option<&Cache>,
) -> Result<ExecutionContext<'static>, String> {
    let said = |error: trtx::Error| error.to_string();
    let mut config = engine.create_runtime_config().map_err(said)?;
    config.set_cuda_graph_strategy(trtx::CudaGraphStrategy::kWHOLE_GRAPH_CAPTURE).map_err(said)?;
    if let Some(cache) = cache {
        if cache.kernels.get().is_none() {
            let fresh = config.create_runtime_cache().map_err(said)?;
            if let Ok(bytes) = fs::read(&cache.file)
                && let Err(error) = fresh.deserialize(&bytes)
            {
                tracing::info!(file = %cache.file.display(), %error, "kept kernels are of no use");
            }
            let _ = cache.kernels.set(fresh.into());
        }
        if let Some(kernels) = cache.kernels.get() {
            config.set_runtime_cache(kernels.clone()).map_err(said)?;
        }
    }
    engine.create_execution_context_with_config(config.into()).map_err(said)
}

/// A plain context.
#[cfg(feature = "tensorrt")]
pub(super) fn context(
    engine: &mut CudaEngine<'static>,
    _: Option<&Cache>,
) -> Result<ExecutionContext<'static>, String> {
    engine.create_execution_context().map_err(|error| error.to_string())
}
