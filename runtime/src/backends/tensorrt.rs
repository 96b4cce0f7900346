//! TensorRT's runtime through `trtx`: TensorRT for RTX, or data-centre TensorRT in a build with that feature.

#[cfg_attr(feature = "tensorrt", path = "tensorrt/no_cache.rs")]
mod cache;
mod engine;
mod library;
mod names;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use onr_device::{Device, cuda::CudaDriver};

pub use self::library::TensorRtEngines;
use super::engine::EngineBackend;
use crate::{backend::RunError, builders::TensorRt};

/// How plans are run.
#[derive(Debug, Clone)]
pub struct TensorRtOptions {
    /// The GPU's number, among those that the driver shows.
    pub device: usize,
    /// Folder for what TensorRT for RTX compiles when it loads a plan: the next load need not. None: nothing is kept.
    pub cache: Option<PathBuf>,
    /// Most recorded runs (CUDA graphs) that a session keeps; TensorRT for RTX records on its own.
    pub recordings: usize,
}

impl Default for TensorRtOptions {
    fn default() -> Self {
        Self { device: 0, cache: None, recordings: 8 }
    }
}

impl TensorRt {
    /// Runs plans that this builder made, on a GPU. The libraries are loaded at once, the driver when it is needed.
    ///
    /// # Errors
    /// [`RunError::Missing`] without the libraries.
    pub fn backend(&self, options: TensorRtOptions) -> Result<EngineBackend, RunError> {
        let version = self.load().map_err(|error| RunError::Missing {
            backend: Self::NAME,
            hint: error.hint().unwrap_or_default(),
            what: error.to_string(),
        })?;
        let own_recordings = if cfg!(feature = "tensorrt") { options.recordings } else { 0 };
        let engines = Arc::new(TensorRtEngines::new(version.to_string(), options.cache));
        let open = move || Ok(Device::new(CudaDriver::open(options.device)?, Device::IDLE));
        let kind = (Self::KIND, version.to_string());
        Ok(EngineBackend::new(Self::NAME, kind, engines, open).with_recordings(own_recordings))
    }
}
