//! Bytes that a graph has to read and write: the other axis of a roofline.

use std::path::Path;

use onr_onnx::{ElemType, Model};
use onr_runtime::tensor::Values;

/// The weight of which a run reads single rows.
const TABLE: &str = "item_embedding";

/// What a graph reads besides its inputs, in bytes.
pub(super) struct Weights {
    /// All weights but the item table, once a run.
    whole: u64,
    /// One row of the item table; 0 without one.
    row: u64,
}

impl Weights {
    /// Of an ONNX file, as it stores them.
    pub(super) fn of(file: &Path) -> anyhow::Result<Self> {
        let model = Model::open(file)?;
        let mut found = Self { whole: 0, row: 0 };
        for weight in &model.graph().initializer {
            let elements: u64 = weight.dims.iter().map(|d| (*d).max(0) as u64).product();
            let bits = weight.data_type.and_then(ElemType::of).map_or(0, |elem| elem.bits() as u64);
            let bytes = (elements * bits).div_ceil(8);
            match weight.dims.first() {
                Some(rows) if weight.label() == TABLE => found.row = bytes / (*rows).max(1) as u64,
                _ => found.whole += bytes,
            }
        }
        Ok(found)
    }

    /// Bytes of one run: inputs and outputs, weights, and the rows of the items that the inputs name, each once.
    pub(super) fn of_run(&self, feeds: &Values, outputs: &Values) -> u64 {
        let tensors: usize =
            feeds.values().chain(outputs.values()).map(|value| value.bytes()).sum();
        let named = |name: &str| feeds.get(name).map_or(0, |ids| ids.shape().iter().product());
        let looked_up: usize = ["item_ids", "candidate_ids"].map(named).iter().sum();
        tensors as u64 + self.whole + looked_up as u64 * self.row
    }
}
