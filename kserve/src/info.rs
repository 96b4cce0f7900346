//! What a server says about itself and its models.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Datatype;

/// Who a server is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServerMetadata {
    /// `triton`.
    pub name: String,
    /// Version of the server, not of the protocol: `2.51.0`.
    pub version: String,
    /// Extensions of the protocol that it knows: `binary_tensor_data`, `model_repository`, ...
    #[serde(default)]
    pub extensions: Vec<String>,
}

/// What a model takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelMetadata {
    /// The model.
    pub name: String,
    /// Versions that are served.
    pub versions: Vec<String>,
    /// Platform or backend: `python`, `ensemble`, `tensorrt_plan`.
    pub platform: String,
    /// What it takes.
    pub inputs: Vec<TensorMetadata>,
    /// What it gives.
    pub outputs: Vec<TensorMetadata>,
}

/// Name, type and shape of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMetadata {
    /// Name of the tensor.
    pub name: String,
    /// Its type.
    pub datatype: Datatype,
    /// Its shape as clients send it, batch included; -1 where any size will do.
    pub shape: Vec<i64>,
}

/// The fields of a Triton model's configuration that say how to call and to schedule it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// The model.
    pub name: String,
    /// Older name of the backend: `tensorrt_plan`, `ensemble`. Often empty.
    pub platform: String,
    /// The backend: `python`, `tensorrt`. Empty for ensembles.
    pub backend: String,
    /// Rows in one request at most; 0 if the model has no batch axis.
    pub max_batch_size: u32,
    /// What it takes.
    pub inputs: Vec<IoConfig>,
    /// What it gives.
    pub outputs: Vec<IoConfig>,
    /// Which versions are served.
    pub version_policy: VersionPolicy,
    /// Steps of an ensemble; empty for any other model.
    pub steps: Vec<EnsembleStep>,
    /// Free parameters.
    pub parameters: BTreeMap<String, String>,
    /// Where instances of the model run.
    pub instances: Vec<InstanceGroup>,
    /// How requests are joined, if they are.
    pub dynamic_batching: Option<DynamicBatching>,
}

impl ModelConfig {
    /// Is it made of other models?
    #[must_use]
    pub fn is_ensemble(&self) -> bool {
        !self.steps.is_empty() || self.platform == "ensemble"
    }
}

/// An input or output in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoConfig {
    /// Name of the tensor.
    pub name: String,
    /// Its type.
    pub datatype: Datatype,
    /// Its shape without the batch; -1 where any size will do.
    pub dims: Vec<i64>,
    /// The shape that the backend sees instead of `dims`, if another one; `Some([])` for one number.
    pub reshape: Option<Vec<i64>>,
    /// May a request leave it out? Always false for outputs.
    pub optional: bool,
}

/// Which versions of a model are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionPolicy {
    /// So many of the newest.
    Latest(u32),
    /// All that are there.
    All,
    /// These.
    Specific(Vec<i64>),
}

/// One model in an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsembleStep {
    /// The model.
    pub model: String,
    /// Its version; -1 for the newest.
    pub version: i64,
    /// From inputs of the model to tensors of the ensemble.
    pub inputs: BTreeMap<String, String>,
    /// From outputs of the model to tensors of the ensemble.
    pub outputs: BTreeMap<String, String>,
}

/// Instances of a model in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceGroup {
    /// `KIND_CPU`, `KIND_GPU`, `KIND_AUTO` or `KIND_MODEL`.
    pub kind: String,
    /// How many.
    pub count: u32,
    /// The GPUs, each with as many.
    pub gpus: Vec<i32>,
    /// Optimisation profiles of a TensorRT plan.
    pub profiles: Vec<String>,
}

/// How a server joins requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicBatching {
    /// Sizes that are sent off at once.
    pub preferred_batch_sizes: Vec<u32>,
    /// How long a request waits for others, in microseconds.
    pub max_queue_delay_us: u64,
}

/// A version of a model in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RepositoryModel {
    /// The model.
    pub name: String,
    /// Its version; empty if none was ever loaded.
    #[serde(default)]
    pub version: String,
    /// `READY`, `UNAVAILABLE`, `LOADING`, `UNLOADING`; empty if it was never loaded.
    #[serde(default)]
    pub state: String,
    /// Why it is not ready, in the server's words.
    #[serde(default)]
    pub reason: String,
}

impl RepositoryModel {
    /// Can it be asked now?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == "READY"
    }
}

/// What a model has done since the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ModelStatistics {
    /// The model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Rows computed: a request with 8 rows counts 8.
    pub inference_count: u64,
    /// Calls of the model; several requests may share one.
    pub execution_count: u64,
    /// When it was last asked, in milliseconds since 1970; 0 if never.
    pub last_inference: u64,
    /// Requests that were answered, from arrival to answer.
    pub success: Spent,
    /// Requests that failed.
    pub fail: Spent,
    /// Waiting for an instance.
    pub queue: Spent,
    /// Inputs on their way to the model.
    pub compute_input: Spent,
    /// The model itself.
    pub compute_infer: Spent,
    /// Outputs on their way from the model.
    pub compute_output: Spent,
    /// By size of the batch.
    pub batches: Vec<BatchStatistics>,
}

/// What a model has done with batches of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BatchStatistics {
    /// Rows.
    pub batch_size: u64,
    /// Inputs on their way to the model.
    pub compute_input: Spent,
    /// The model itself.
    pub compute_infer: Spent,
    /// Outputs on their way from the model.
    pub compute_output: Spent,
}

/// How often, and how long in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// How often.
    pub count: u64,
    /// Nanoseconds in all.
    pub ns: u64,
}
