//! Data-centre plans hold their kernels: nothing is compiled when one is loaded, and nothing kept.

use std::path::Path;

use trtx::{CudaEngine, ExecutionContext};

/// Nothing.
pub(super) struct Cache;

impl Cache {
    /// Nothing.
    pub(super) const fn new(_: &Path, _: &[u8]) -> Self {
        Self
    }

    /// Nothing is new.
    #[expect(clippy::unused_self, reason = "the cache of TensorRT for RTX needs it")]
    pub(super) const fn save(&self) {}
}

/// A context.
pub(super) fn context(
    engine: &mut CudaEngine<'static>,
    _: Option<&Cache>,
) -> Result<ExecutionContext<'static>, String> {
    engine.create_execution_context().map_err(|error| error.to_string())
}
