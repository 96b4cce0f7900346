//! What a model's graphs compute in.

use std::{collections::BTreeMap, num::NonZeroUsize, path::Path};

use onr_calibration::{Calibration, ModelId, Shard};
use onr_exporter::{
    Checkpoint, ExportJob, ExportedGraph, Silent, export,
    quantize::{Format, Plan, Recipe, apply_to_directory, plan},
};
use onr_graphs::{GraphKind, GraphOptions, ModelConfig, Precision, Profile};
use onr_onnx::Model;
use onr_requests::Request;
use onr_runtime::{
    backends::ort::OrtBackend,
    calibrate::{ChainJob, calibrate_chain},
    libraries::Search,
};

/// What a model's graphs compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// FP32.
    F32,
    /// FP16.
    F16,
    /// FP16 with the products of the INT8 recipe, calibrated on the requests.
    Int8,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Int8];

    /// As in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "fp32",
            Self::F16 => "fp16",
            Self::Int8 => "int8",
        }
    }

    /// The precision of what is not in 8 bits.
    #[must_use]
    pub const fn base(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::F16 | Self::Int8 => Precision::F16,
        }
    }
}

/// Exports all graphs of a model; with the plan, where products are in 8 bits.
///
/// # Errors
/// When something cannot be written, or ONNX Runtime is missing.
pub fn exported(
    kind: Kind,
    config: &ModelConfig,
    options: &GraphOptions,
    checkpoint: &Checkpoint,
    requests: &[Request],
    out: &Path,
) -> anyhow::Result<(Vec<ExportedGraph>, Option<Plan>)> {
    let write = |options: &GraphOptions, out: &Path| {
        let job = ExportJob {
            config,
            options,
            graphs: &GraphKind::ALL,
            checkpoint,
            strict: true,
            profile: &Profile::for_model(config.max_seq_len),
            round_weights: None,
            out,
        };
        export(&job, &Silent)
    };
    if kind != Kind::Int8 {
        return Ok((write(options, out)?.graphs, None));
    }
    let (wide, narrow) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let exact = GraphOptions { precision: Precision::F32, ..*options };
    let graphs = write(&exact, wide.path())?.graphs;
    let plan = int8_plan(config, &exact, &graphs, requests, wide.path())?;
    let graphs = write(options, narrow.path())?.graphs;
    let done = apply_to_directory(&plan, &graphs, narrow.path(), out)?;
    Ok((done.graphs, Some(plan)))
}

/// The recipe's plan, calibrated on all requests.
fn int8_plan(
    config: &ModelConfig,
    options: &GraphOptions,
    graphs: &[ExportedGraph],
    requests: &[Request],
    dir: &Path,
) -> anyhow::Result<Plan> {
    let backend = OrtBackend::new(Search::from_env());
    let samples: Vec<usize> = (0..requests.len()).collect();
    let job = ChainJob {
        dir,
        graphs,
        config,
        options,
        requests,
        samples: &samples,
        backend: &backend,
        threads: NonZeroUsize::MIN,
    };
    let id = ModelId { name: "drawn".into(), sha256: String::new() };
    let mut calibration = Calibration::new(id, "drawn", Shard::WHOLE);
    calibration.add_samples(samples.len() as u64);
    for (graph, tensors) in calibrate_chain(&job, &Silent)? {
        for (name, stats) in tensors {
            let channels = stats.channel_count().and_then(NonZeroUsize::new);
            calibration.entry(&graph, "", &name, channels)?.merge(&stats)?;
        }
    }
    let models: anyhow::Result<BTreeMap<String, Model>> = graphs
        .iter()
        .map(|g| Ok((g.name.clone(), Model::open(&dir.join(g.file_name()))?)))
        .collect();
    let recipe = Recipe::new(Format::Int8);
    let models: Vec<(String, Model)> = models?.into_iter().collect();
    Ok(plan(&models, &calibration, recipe.coding, &|site| recipe.decide(site))?)
}
