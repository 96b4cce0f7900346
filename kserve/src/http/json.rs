//! JSON of the protocol, read into our types. Numbers of 64 bits may come as strings.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::{
    BatchStatistics, Datatype, DynamicBatching, EnsembleStep, InstanceGroup, IoConfig, ModelConfig,
    ModelMetadata, ModelStatistics, Spent, TensorMetadata, VersionPolicy,
};

/// An integer, or a string with one: the JSON of protobuf has both.
#[derive(Clone, Copy, Default)]
struct Int(i64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(i64),
            Text(String),
        }
        match Form::deserialize(from)? {
            Form::Number(number) => Ok(Self(number)),
            Form::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

fn ints(from: Vec<Int>) -> Vec<i64> {
    from.into_iter().map(|int| int.0).collect()
}

/// 0 for what is out of range, which no server sends.
fn number<T: TryFrom<i64> + Default>(int: Int) -> T {
    T::try_from(int.0).unwrap_or_default()
}

fn datatype(name: &str, text: &str) -> Result<Datatype, String> {
    text.parse().map_err(|()| format!("`{name}` is of the unknown type `{text}`"))
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    name: String,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    inputs: Vec<TensorInfo>,
    #[serde(default)]
    outputs: Vec<TensorInfo>,
}

#[derive(Deserialize)]
struct TensorInfo {
    name: String,
    datatype: String,
    #[serde(default)]
    shape: Vec<Int>,
}

impl Metadata {
    pub(super) fn read(self) -> Result<ModelMetadata, String> {
        let tensors = |infos: Vec<TensorInfo>| {
            infos.into_iter().map(TensorInfo::read).collect::<Result<Vec<_>, _>>()
        };
        Ok(ModelMetadata {
            name: self.name,
            versions: self.versions,
            platform: self.platform,
            inputs: tensors(self.inputs)?,
            outputs: tensors(self.outputs)?,
        })
    }
}

impl TensorInfo {
    fn read(self) -> Result<TensorMetadata, String> {
        let datatype = datatype(&self.name, &self.datatype)?;
        Ok(TensorMetadata { name: self.name, datatype, shape: ints(self.shape) })
    }
}

#[derive(Deserialize)]
pub(super) struct Config {
    name: String,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    backend: String,
    #[serde(default)]
    version_policy: Option<Policy>,
    #[serde(default)]
    max_batch_size: Int,
    #[serde(default)]
    input: Vec<Io>,
    #[serde(default)]
    output: Vec<Io>,
    #[serde(default)]
    ensemble_scheduling: Option<Ensemble>,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    instance_group: Vec<Group>,
    #[serde(default)]
    dynamic_batching: Option<Batching>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Policy {
    Latest {
        #[serde(default)]
        num_versions: Int,
    },
    All {},
    Specific {
        #[serde(default)]
        versions: Vec<Int>,
    },
}

#[derive(Deserialize)]
struct Io {
    name: String,
    data_type: String,
    #[serde(default)]
    dims: Vec<Int>,
    #[serde(default)]
    reshape: Option<Reshape>,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize)]
struct Reshape {
    #[serde(default)]
    shape: Vec<Int>,
}

#[derive(Deserialize)]
struct Ensemble {
    #[serde(default)]
    step: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    model_name: String,
    #[serde(default)]
    model_version: Int,
    #[serde(default)]
    input_map: BTreeMap<String, String>,
    #[serde(default)]
    output_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(default)]
    string_value: String,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    count: Int,
    #[serde(default)]
    gpus: Vec<i32>,
    #[serde(default)]
    profile: Vec<String>,
}

#[derive(Deserialize)]
struct Batching {
    #[serde(default)]
    preferred_batch_size: Vec<Int>,
    #[serde(default)]
    max_queue_delay_microseconds: Int,
}

impl Config {
    pub(super) fn read(self) -> Result<ModelConfig, String> {
        let io = |ios: Vec<Io>| ios.into_iter().map(Io::read).collect::<Result<Vec<_>, _>>();
        let steps = self.ensemble_scheduling.map(|ensemble| ensemble.step).unwrap_or_default();
        let parameters = self.parameters.into_iter().map(|(key, value)| (key, value.string_value));
        Ok(ModelConfig {
            name: self.name,
            platform: self.platform,
            backend: self.backend,
            max_batch_size: number(self.max_batch_size),
            inputs: io(self.input)?,
            outputs: io(self.output)?,
            version_policy: self.version_policy.map_or(VersionPolicy::Latest(1), Policy::read),
            steps: steps.into_iter().map(Step::read).collect(),
            parameters: parameters.collect(),
            instances: self.instance_group.into_iter().map(Group::read).collect(),
            dynamic_batching: self.dynamic_batching.map(Batching::read),
        })
    }
}

impl Policy {
    fn read(self) -> VersionPolicy {
        match self {
            Self::Latest { num_versions } => VersionPolicy::Latest(number(num_versions)),
            Self::All {} => VersionPolicy::All,
            Self::Specific { versions } => VersionPolicy::Specific(ints(versions)),
        }
    }
}

impl Io {
    fn read(self) -> Result<IoConfig, String> {
        Ok(IoConfig {
            datatype: datatype(&self.name, &self.data_type)?,
            name: self.name,
            dims: ints(self.dims),
            reshape: self.reshape.map(|reshape| ints(reshape.shape)),
            optional: self.optional,
        })
    }
}

impl Step {
    fn read(self) -> EnsembleStep {
        EnsembleStep {
            model: self.model_name,
            version: self.model_version.0,
            inputs: self.input_map,
            outputs: self.output_map,
        }
    }
}

impl Group {
    fn read(self) -> InstanceGroup {
        let Self { kind, count, gpus, profile } = self;
        InstanceGroup { kind, count: number(count), gpus, profiles: profile }
    }
}

impl Batching {
    fn read(self) -> DynamicBatching {
        DynamicBatching {
            preferred_batch_sizes: self.preferred_batch_size.into_iter().map(number).collect(),
            max_queue_delay_us: number(self.max_queue_delay_microseconds),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Statistics {
    #[serde(default)]
    model_stats: Vec<Stats>,
}

#[derive(Deserialize)]
struct Stats {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    last_inference: u64,
    #[serde(default)]
    inference_count: u64,
    #[serde(default)]
    execution_count: u64,
    #[serde(default)]
    inference_stats: Times,
    #[serde(default)]
    batch_stats: Vec<BatchStatistics>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Times {
    success: Spent,
    fail: Spent,
    queue: Spent,
    compute_input: Spent,
    compute_infer: Spent,
    compute_output: Spent,
}

impl Statistics {
    pub(super) fn read(self) -> Vec<ModelStatistics> {
        self.model_stats.into_iter().map(Stats::read).collect()
    }
}

impl Stats {
    fn read(self) -> ModelStatistics {
        let times = self.inference_stats;
        ModelStatistics {
            name: self.name,
            version: self.version,
            inference_count: self.inference_count,
            execution_count: self.execution_count,
            last_inference: self.last_inference,
            success: times.success,
            fail: times.fail,
            queue: times.queue,
            compute_input: times.compute_input,
            compute_infer: times.compute_infer,
            compute_output: times.compute_output,
            batches: self.batch_stats,
        }
    }
}
