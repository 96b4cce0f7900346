//! What an export chose, as it stands in the manifest.

use std::collections::BTreeMap;

use onr_graphs::{Filter, GraphOptions, IdType, ItemInput, Precision};
use serde::{Deserialize, Serialize};

/// The choices of an export that are not part of the model, in the words of the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportChoices {
    /// `fp32`, `fp16` or `bf16`.
    pub precision: String,
    /// `fp32` where inputs and outputs keep F32, else as `precision`.
    pub io_precision: String,
    /// `int64` or `int32`: ids, lengths and times of inputs and outputs.
    #[serde(default = "int64", skip_serializing_if = "is_int64")]
    pub ids: String,
    /// `ids` or `embeddings`.
    pub item_input: String,
    /// `none`, `global` or `user`.
    pub filter: String,
    /// Candidates that `oneranker` retrieves per task.
    pub top_k: usize,
}

/// Products of 8-bit numbers and tables in codes; `quantization.json` has the plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantizedExport {
    /// `int8` or `fp8`; absent where no product runs on 8-bit numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How ranges were chosen, where they were needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// SHA-256 of the calibration, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_sha256: Option<String>,
    /// `int8`, `fp8` or `int4`; absent where tables are floats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<String>,
    /// `int8` or `fp8` where keys and values between graphs are codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv: Option<String>,
    /// By graph: products of 8-bit numbers, and those that are not.
    pub products: BTreeMap<String, (usize, usize)>,
    /// FLOPs of products with weights in `encode`, `generate` and `rank`, on the calibration's requests.
    pub flops: u64,
    /// Those of them on 8-bit numbers.
    pub narrow_flops: u64,
}

fn int64() -> String {
    IdType::Int64.name().to_owned()
}

fn is_int64(ids: &str) -> bool {
    ids == IdType::Int64.name()
}

impl From<&GraphOptions> for ExportChoices {
    fn from(o: &GraphOptions) -> Self {
        let io = if o.io_f32 { Precision::F32 } else { o.precision };
        Self {
            precision: o.precision.name().into(),
            io_precision: io.name().into(),
            ids: o.ids.name().into(),
            item_input: item_input_name(o.item_input).into(),
            filter: filter_name(o.filter).into(),
            top_k: o.top_k,
        }
    }
}

impl ExportChoices {
    /// The same choices for the graph builder; `None` for words that no version wrote.
    #[must_use]
    pub fn options(&self) -> Option<GraphOptions> {
        let precisions = [Precision::F32, Precision::F16, Precision::BF16];
        let precision = precisions.into_iter().find(|p| p.name() == self.precision)?;
        let inputs = [ItemInput::Ids, ItemInput::Embeddings];
        let filters = [Filter::None, Filter::Global, Filter::User];
        Some(GraphOptions {
            precision,
            io_f32: self.io_precision == Precision::F32.name(),
            ids: IdType::from_name(&self.ids)?,
            item_input: inputs.into_iter().find(|i| item_input_name(*i) == self.item_input)?,
            filter: filters.into_iter().find(|f| filter_name(*f) == self.filter)?,
            top_k: self.top_k,
        })
    }
}

const fn item_input_name(input: ItemInput) -> &'static str {
    match input {
        ItemInput::Ids => "ids",
        ItemInput::Embeddings => "embeddings",
    }
}

const fn filter_name(filter: Filter) -> &'static str {
    match filter {
        Filter::None => "none",
        Filter::Global => "global",
        Filter::User => "user",
    }
}
