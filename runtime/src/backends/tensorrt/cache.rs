//! What TensorRT for RTX compiles when a plan is loaded, kept for the next load.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use onr_exporter::artifact;
use sha2::{Digest, Sha256};
use trtx::{CudaEngine, CudaGraphStrategy, ExecutionContext, RuntimeCache};

/// The kernels of one plan. The file is of the plan's hash; TensorRT ignores what does not fit the GPU or its version.
pub(super) struct Cache {
    file: PathBuf,
    kernels: OnceLock<Arc<RuntimeCache>>,
}

impl Cache {
    /// That of `plan` in `folder`.
    pub(super) fn new(folder: &Path, plan: &[u8]) -> Self {
        let hash = Sha256::digest(plan);
        let name: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { file: folder.join(format!("{name}.kernels")), kernels: OnceLock::new() }
    }

    /// Writes what was compiled, if that is new. A cache that cannot be written costs time, no answers.
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
}

/// A context that records its runs as CUDA graphs on its own, and reads and fills the cache.
pub(super) fn context(
    engine: &mut CudaEngine<'static>,
    cache: Option<&Cache>,
) -> Result<ExecutionContext<'static>, String> {
    let said = |error: trtx::Error| error.to_string();
    let mut config = engine.create_runtime_config().map_err(said)?;
    config.set_cuda_graph_strategy(CudaGraphStrategy::kWHOLE_GRAPH_CAPTURE).map_err(said)?;
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
