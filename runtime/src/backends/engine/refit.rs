//! Other weights for a plan that was built to take them.

use std::{fs, path::Path};

use onr_device::DeviceError;
use onr_exporter::artifact::{self, FileRecord};
use onr_graphs::DType;
use onr_onnx::{ElemType, Model};

use super::EngineBackend;
use crate::{backend::RunError, tensor::dtype_of};

impl EngineBackend {
    /// Writes to `out` what `plan` is with the weights of `onnx`: the same graph, exported from another checkpoint.
    ///
    /// # Errors
    /// [`RunError::Load`] when the plan does not take other weights, or these not; [`RunError::Missing`] without a
    /// device.
    pub fn refit(&self, plan: &Path, onnx: &Path, out: &Path) -> Result<FileRecord, RunError> {
        let device = self.device()?;
        let refuse = |file: &Path, reason: String| self.refused(file, reason);
        let model = Model::open(onnx).map_err(|error| refuse(onnx, error.to_string()))?;
        let mut weights = Vec::new();
        for tensor in &model.graph().initializer {
            let elem = tensor.data_type.and_then(ElemType::of);
            let Some(dtype) = elem.and_then(dtype_of) else { continue };
            let bytes = model.bytes(tensor).map_err(|error| refuse(onnx, error.to_string()))?;
            weights.push((tensor.label().to_owned(), dtype, bytes));
        }
        let views: Vec<(&str, DType, &[u8])> = weights
            .iter()
            .map(|(name, dtype, bytes)| (name.as_str(), *dtype, &bytes[..]))
            .collect();
        let old = fs::read(plan).map_err(|error| refuse(plan, error.to_string()))?;
        let fresh = device.enter().and_then(|()| self.engines.refit(&old, &views));
        let fresh = fresh.map_err(|cause| match cause {
            DeviceError::Plan { reason } => refuse(plan, reason),
            other => RunError::of_device(self.name, other),
        })?;
        artifact::write(out, &fresh).map_err(|error| refuse(out, error.to_string()))
    }
}
