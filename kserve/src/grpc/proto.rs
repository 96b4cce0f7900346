//! The messages of `grpc_service.proto` and `model_config.proto` that are sent or read, with their tags. Fields that
//! nobody reads are left out; a reader skips them. Tensors travel in `raw_*_contents` only.

use std::collections::HashMap;

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

/// A message without fields.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Empty {}

/// The answer to live and ready.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Healthy {
    #[prost(bool, tag = "1")]
    pub(super) yes: bool,
}

/// What metadata, readiness, configuration and statistics are asked with.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelQuestion {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Server {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) extensions: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) versions: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) platform: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) inputs: Vec<TensorHead>,
    #[prost(message, repeated, tag = "5")]
    pub(super) outputs: Vec<TensorHead>,
}

/// Name, type and shape: in metadata, before inputs, before outputs.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorHead {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub(super) shape: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Wanted {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InferQuestion {
    #[prost(string, tag = "1")]
    pub(super) model: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) inputs: Vec<TensorHead>,
    #[prost(message, repeated, tag = "6")]
    pub(super) outputs: Vec<Wanted>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub(super) raw: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InferAnswer {
    #[prost(string, tag = "1")]
    pub(super) model: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) outputs: Vec<TensorHead>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(super) raw: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IndexQuestion {
    #[prost(string, tag = "1")]
    pub(super) repository: String,
    #[prost(bool, tag = "2")]
    pub(super) ready: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Index {
    #[prost(message, repeated, tag = "1")]
    pub(super) models: Vec<IndexRow>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IndexRow {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, tag = "3")]
    pub(super) state: String,
    #[prost(string, tag = "4")]
    pub(super) reason: String,
}

/// Load and unload are asked alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LoadQuestion {
    #[prost(string, tag = "1")]
    pub(super) repository: String,
    #[prost(string, tag = "2")]
    pub(super) model: String,
    #[prost(map = "string, message", tag = "3")]
    pub(super) parameters: HashMap<String, LoadParameter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LoadParameter {
    #[prost(bool, optional, tag = "1")]
    pub(super) yes: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Statistics {
    #[prost(message, repeated, tag = "1")]
    pub(super) models: Vec<ModelStatistics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelStatistics {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(uint64, tag = "3")]
    pub(super) last_inference: u64,
    #[prost(uint64, tag = "4")]
    pub(super) inference_count: u64,
    #[prost(uint64, tag = "5")]
    pub(super) execution_count: u64,
    #[prost(message, optional, tag = "6")]
    pub(super) times: Option<Times>,
    #[prost(message, repeated, tag = "7")]
    pub(super) batches: Vec<BatchStatistics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Times {
    #[prost(message, optional, tag = "1")]
    pub(super) success: Option<Duration>,
    #[prost(message, optional, tag = "2")]
    pub(super) fail: Option<Duration>,
    #[prost(message, optional, tag = "3")]
    pub(super) queue: Option<Duration>,
    #[prost(message, optional, tag = "4")]
    pub(super) compute_input: Option<Duration>,
    #[prost(message, optional, tag = "5")]
    pub(super) compute_infer: Option<Duration>,
    #[prost(message, optional, tag = "6")]
    pub(super) compute_output: Option<Duration>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchStatistics {
    #[prost(uint64, tag = "1")]
    pub(super) batch_size: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) compute_input: Option<Duration>,
    #[prost(message, optional, tag = "3")]
    pub(super) compute_infer: Option<Duration>,
    #[prost(message, optional, tag = "4")]
    pub(super) compute_output: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Duration {
    #[prost(uint64, tag = "1")]
    pub(super) count: u64,
    #[prost(uint64, tag = "2")]
    pub(super) ns: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ConfigAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) config: Option<Config>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Config {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) platform: String,
    #[prost(message, optional, tag = "3")]
    pub(super) version_policy: Option<VersionPolicy>,
    #[prost(int32, tag = "4")]
    pub(super) max_batch_size: i32,
    #[prost(message, repeated, tag = "5")]
    pub(super) inputs: Vec<Input>,
    #[prost(message, repeated, tag = "6")]
    pub(super) outputs: Vec<Output>,
    #[prost(message, repeated, tag = "7")]
    pub(super) instances: Vec<Instances>,
    #[prost(message, optional, tag = "11")]
    pub(super) dynamic_batching: Option<DynamicBatching>,
    #[prost(map = "string, message", tag = "14")]
    pub(super) parameters: HashMap<String, Parameter>,
    #[prost(message, optional, tag = "15")]
    pub(super) ensemble: Option<Ensemble>,
    #[prost(string, tag = "17")]
    pub(super) backend: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Input {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) datatype: i32,
    #[prost(int64, repeated, tag = "4")]
    pub(super) dims: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    pub(super) reshape: Option<Reshape>,
    #[prost(bool, tag = "8")]
    pub(super) optional: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Output {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) datatype: i32,
    #[prost(int64, repeated, tag = "3")]
    pub(super) dims: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    pub(super) reshape: Option<Reshape>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Reshape {
    #[prost(int64, repeated, tag = "1")]
    pub(super) shape: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionPolicy {
    #[prost(oneof = "Policy", tags = "1, 2, 3")]
    pub(super) policy: Option<Policy>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Policy {
    #[prost(message, tag = "1")]
    Latest(Latest),
    #[prost(message, tag = "2")]
    All(Empty),
    #[prost(message, tag = "3")]
    Specific(Specific),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Latest {
    #[prost(uint32, tag = "1")]
    pub(super) versions: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Specific {
    #[prost(int64, repeated, tag = "1")]
    pub(super) versions: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Instances {
    #[prost(int32, tag = "2")]
    pub(super) count: i32,
    #[prost(int32, repeated, tag = "3")]
    pub(super) gpus: Vec<i32>,
    #[prost(enumeration = "Kind", tag = "4")]
    pub(super) kind: i32,
    #[prost(string, repeated, tag = "5")]
    pub(super) profiles: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub(super) enum Kind {
    Auto = 0,
    Gpu = 1,
    Cpu = 2,
    Model = 3,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DynamicBatching {
    #[prost(int32, repeated, tag = "1")]
    pub(super) preferred: Vec<i32>,
    #[prost(uint64, tag = "2")]
    pub(super) max_queue_delay_us: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Parameter {
    #[prost(string, tag = "1")]
    pub(super) text: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ensemble {
    #[prost(message, repeated, tag = "1")]
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Step {
    #[prost(string, tag = "1")]
    pub(super) model: String,
    #[prost(int64, tag = "2")]
    pub(super) version: i64,
    #[prost(map = "string, string", tag = "3")]
    pub(super) inputs: HashMap<String, String>,
    #[prost(map = "string, string", tag = "4")]
    pub(super) outputs: HashMap<String, String>,
}
