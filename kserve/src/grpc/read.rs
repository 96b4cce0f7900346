//! Messages into our types.

use super::proto;
use crate::{
    BatchStatistics, Datatype, DynamicBatching, EnsembleStep, InstanceGroup, IoConfig, ModelConfig,
    ModelMetadata, ModelStatistics, RepositoryModel, ServerMetadata, Spent, TensorMetadata,
    VersionPolicy,
};

pub(super) fn server(from: proto::Server) -> ServerMetadata {
    ServerMetadata { name: from.name, version: from.version, extensions: from.extensions }
}

pub(super) fn metadata(from: proto::Metadata) -> Result<ModelMetadata, String> {
    let tensors = |heads: Vec<proto::TensorHead>| {
        heads.into_iter().map(tensor).collect::<Result<Vec<_>, _>>()
    };
    Ok(ModelMetadata {
        name: from.name,
        versions: from.versions,
        platform: from.platform,
        inputs: tensors(from.inputs)?,
        outputs: tensors(from.outputs)?,
    })
}

fn tensor(from: proto::TensorHead) -> Result<TensorMetadata, String> {
    let proto::TensorHead { name, datatype, shape } = from;
    let unknown = |()| format!("`{name}` is of the unknown type `{datatype}`");
    let datatype = datatype.parse().map_err(unknown)?;
    Ok(TensorMetadata { name, datatype, shape })
}

pub(super) fn index(from: proto::Index) -> Vec<RepositoryModel> {
    let rows = from.models.into_iter();
    let row = |proto::IndexRow { name, version, state, reason }| RepositoryModel {
        name,
        version,
        state,
        reason,
    };
    rows.map(row).collect()
}

pub(super) fn config(from: proto::Config) -> Result<ModelConfig, String> {
    let inputs = from.inputs.into_iter().map(|input| {
        let proto::Input { name, datatype, dims, reshape, optional } = input;
        io(name, datatype, dims, reshape, optional)
    });
    let outputs = from.outputs.into_iter().map(|output| {
        let proto::Output { name, datatype, dims, reshape } = output;
        io(name, datatype, dims, reshape, false)
    });
    let steps = from.ensemble.map(|ensemble| ensemble.steps).unwrap_or_default();
    let parameters = from.parameters.into_iter().map(|(key, value)| (key, value.text));
    let policy = from.version_policy.and_then(|policy| policy.policy);
    Ok(ModelConfig {
        name: from.name,
        platform: from.platform,
        backend: from.backend,
        max_batch_size: u32::try_from(from.max_batch_size).unwrap_or(0),
        inputs: inputs.collect::<Result<_, _>>()?,
        outputs: outputs.collect::<Result<_, _>>()?,
        version_policy: policy.map_or(VersionPolicy::Latest(1), version_policy),
        steps: steps.into_iter().map(step).collect(),
        parameters: parameters.collect(),
        instances: from.instances.into_iter().map(instances).collect(),
        dynamic_batching: from.dynamic_batching.map(dynamic_batching),
    })
}

fn io(
    name: String,
    datatype: i32,
    dims: Vec<i64>,
    reshape: Option<proto::Reshape>,
    optional: bool,
) -> Result<IoConfig, String> {
    let known = Datatype::from_number(datatype);
    let datatype = known.ok_or_else(|| format!("`{name}` is of the unknown type {datatype}"))?;
    let reshape = reshape.map(|reshape| reshape.shape);
    Ok(IoConfig { name, datatype, dims, reshape, optional })
}

fn version_policy(from: proto::Policy) -> VersionPolicy {
    match from {
        proto::Policy::Latest(latest) => VersionPolicy::Latest(latest.versions),
        proto::Policy::All(_) => VersionPolicy::All,
        proto::Policy::Specific(specific) => VersionPolicy::Specific(specific.versions),
    }
}

fn step(from: proto::Step) -> EnsembleStep {
    EnsembleStep {
        model: from.model,
        version: from.version,
        inputs: from.inputs.into_iter().collect(),
        outputs: from.outputs.into_iter().collect(),
    }
}

fn instances(from: proto::Instances) -> InstanceGroup {
    let kind = match from.kind() {
        proto::Kind::Auto => "KIND_AUTO",
        proto::Kind::Gpu => "KIND_GPU",
        proto::Kind::Cpu => "KIND_CPU",
        proto::Kind::Model => "KIND_MODEL",
    };
    let count = u32::try_from(from.count).unwrap_or(0);
    InstanceGroup { kind: kind.into(), count, gpus: from.gpus, profiles: from.profiles }
}

fn dynamic_batching(from: proto::DynamicBatching) -> DynamicBatching {
    let sizes = from.preferred.into_iter().filter_map(|size| u32::try_from(size).ok());
    DynamicBatching {
        preferred_batch_sizes: sizes.collect(),
        max_queue_delay_us: from.max_queue_delay_us,
    }
}

pub(super) fn statistics(from: proto::Statistics) -> Vec<ModelStatistics> {
    from.models.into_iter().map(model_statistics).collect()
}

fn model_statistics(from: proto::ModelStatistics) -> ModelStatistics {
    let times = from.times.unwrap_or_default();
    let batches = from.batches.into_iter().map(|batch| BatchStatistics {
        batch_size: batch.batch_size,
        compute_input: duration(batch.compute_input),
        compute_infer: duration(batch.compute_infer),
        compute_output: duration(batch.compute_output),
    });
    ModelStatistics {
        name: from.name,
        version: from.version,
        inference_count: from.inference_count,
        execution_count: from.execution_count,
        last_inference: from.last_inference,
        success: duration(times.success),
        fail: duration(times.fail),
        queue: duration(times.queue),
        compute_input: duration(times.compute_input),
        compute_infer: duration(times.compute_infer),
        compute_output: duration(times.compute_output),
        batches: batches.collect(),
    }
}

fn duration(from: Option<proto::Duration>) -> Spent {
    from.map_or(Spent::default(), |d| Spent { count: d.count, ns: d.ns })
}
