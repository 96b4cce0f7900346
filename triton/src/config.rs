//! `config.pbtxt`: the fields of Triton's `model_config.proto` that we write, as types.
//!
//! What is not set is not written, so that Triton's defaults hold. [`ModelConfig::to_string`] is the file.

mod write;

use std::collections::BTreeMap;

/// Configuration of one model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelConfig {
    /// Name of the model, and of its directory.
    pub name: String,
    /// `tensorrt_plan`, `onnxruntime_onnx` or `ensemble`.
    pub platform: Option<String>,
    /// `tensorrt`, `onnxruntime` or `python`.
    pub backend: Option<String>,
    /// Largest batch of a request, and of requests that were joined; 0 where there is no batch axis.
    pub max_batch_size: usize,
    /// Inputs, without their batch axis.
    pub input: Vec<TensorConfig>,
    /// Outputs, without their batch axis.
    pub output: Vec<TensorConfig>,
    /// Where instances of the model run.
    pub instance_group: Vec<InstanceGroup>,
    /// Joins requests of equal shapes.
    pub dynamic_batching: Option<DynamicBatching>,
    /// Shapes whose launches are recorded, for TensorRT.
    pub cuda_graphs: Option<Vec<GraphSpec>>,
    /// Requests that each instance runs before it is ready.
    pub model_warmup: Vec<Warmup>,
    /// Versions that are served.
    pub version_policy: Option<VersionPolicy>,
    /// Strings that the backend, or a client, may read.
    pub parameters: BTreeMap<String, String>,
    /// When TensorRT's backend allocates the memory of a context; among the parameters in the file.
    pub context_allocation: Option<ContextAllocation>,
    /// File of the model in a version's directory, if not the backend's default.
    pub default_model_filename: Option<String>,
    /// Files by compute capability, `8.6`.
    pub cc_model_filenames: BTreeMap<String, String>,
    /// Models that an ensemble calls.
    pub ensemble_scheduling: Vec<EnsembleStep>,
}

/// An input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorConfig {
    /// Name in the model.
    pub name: String,
    /// Type of the elements.
    pub data_type: DataType,
    /// Sizes behind the batch axis; -1 for any.
    pub dims: Vec<i64>,
    /// Sizes behind the batch axis as the model has them, where they differ: `dims` may not be empty.
    pub reshape: Option<Vec<i64>>,
    /// May an input be left out? Not for outputs.
    pub optional: bool,
}

/// Element types, as far as tensors of ours have them. Triton has no FP8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named as in the protocol")]
pub enum DataType {
    Bool,
    Uint8,
    Int8,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
}

/// Instances of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceGroup {
    /// What they run on.
    pub kind: InstanceKind,
    /// How many, on each GPU or on the CPU.
    pub count: usize,
    /// GPUs by number; empty: all.
    pub gpus: Vec<usize>,
    /// Optimisation profiles of a plan by number; those that are not named are ignored.
    pub profile: Vec<String>,
}

/// What instances run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceKind {
    /// A GPU where there is one and the backend can use it, else the CPU.
    Auto,
    /// GPUs only.
    Gpu,
    /// The CPU only.
    Cpu,
}

/// How requests are joined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DynamicBatching {
    /// Batches that are sent off at once; empty: any, as large as the queue allows.
    pub preferred_batch_size: Vec<usize>,
    /// How long a request may wait for others, in microseconds.
    pub max_queue_delay_microseconds: u64,
}

/// Shapes that a CUDA graph is recorded for, without the batch axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphSpec {
    /// Rows.
    pub batch_size: usize,
    /// Sizes of every input.
    pub input: BTreeMap<String, Vec<i64>>,
    /// The smallest request that the graph may run, padded to its size; none: exact shapes only.
    pub lower_bound: Option<LowerBound>,
}

/// The smallest request that a CUDA graph may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowerBound {
    /// Rows.
    pub batch_size: usize,
    /// Sizes of every input.
    pub input: BTreeMap<String, Vec<i64>>,
}

/// A request that an instance runs before it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warmup {
    /// For Triton's log.
    pub name: String,
    /// How many requests of one row each are joined.
    pub batch_size: usize,
    /// The inputs of one row.
    pub inputs: BTreeMap<String, WarmupInput>,
}

/// An input of a [`Warmup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmupInput {
    /// As in [`TensorConfig`].
    pub data_type: DataType,
    /// Sizes behind the batch axis, each known.
    pub dims: Vec<i64>,
    /// Where the elements come from.
    pub data: WarmupData,
}

/// Elements of a warm-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WarmupData {
    /// All 0.
    Zero,
    /// Any bits: fit for nothing that is an id or a length.
    Random,
    /// A file in the model's directory `warmup`: the row's elements, little-endian, nothing else.
    File(String),
}

/// Which versions of a model are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionPolicy {
    /// So many of the highest.
    Latest(u32),
    /// All.
    All,
    /// These.
    Specific(Vec<u64>),
}

/// When TensorRT's backend allocates the memory of an execution context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextAllocation {
    /// Once, for the largest profile.
    Static,
    /// Anew when the profile changes: less memory, and time at each change.
    OnProfileChange,
}

/// One model that an ensemble calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnsembleStep {
    /// The model.
    pub model_name: String,
    /// Its version; -1 for the newest.
    pub model_version: i64,
    /// The ensemble's tensors by the model's inputs.
    pub input_map: BTreeMap<String, String>,
    /// The ensemble's tensors by the model's outputs.
    pub output_map: BTreeMap<String, String>,
}

impl DataType {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Bool,
        Self::Uint8,
        Self::Int8,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
    ];

    /// The type that a manifest calls so (`f16`, `i64`); `None` for FP8, which Triton does not have.
    #[must_use]
    pub fn from_manifest(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "u8" => Self::Uint8,
            "i8" => Self::Int8,
            "i32" => Self::Int32,
            "i64" => Self::Int64,
            "f16" => Self::Fp16,
            "bf16" => Self::Bf16,
            "f32" => Self::Fp32,
            "f64" => Self::Fp64,
            _ => return None,
        })
    }

    /// Name of the enumerator, `TYPE_FP16`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "TYPE_BOOL",
            Self::Uint8 => "TYPE_UINT8",
            Self::Int8 => "TYPE_INT8",
            Self::Int32 => "TYPE_INT32",
            Self::Int64 => "TYPE_INT64",
            Self::Fp16 => "TYPE_FP16",
            Self::Bf16 => "TYPE_BF16",
            Self::Fp32 => "TYPE_FP32",
            Self::Fp64 => "TYPE_FP64",
        }
    }
}

impl InstanceKind {
    /// Name of the enumerator, `KIND_GPU`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "KIND_AUTO",
            Self::Gpu => "KIND_GPU",
            Self::Cpu => "KIND_CPU",
        }
    }
}

impl ContextAllocation {
    /// Key of the parameter.
    pub const PARAMETER: &'static str = "execution_context_allocation_strategy";

    /// Value of the parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::OnProfileChange => "ON_PROFILE_CHANGE",
        }
    }
}
