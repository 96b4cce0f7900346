//! `onr calibrate`: ranges of all values of all graphs, from real requests.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

use onr_calibration::{
    Calibration, CalibrationError, ModelId, Oddity, Shard, Target, scale, trt_cache,
};
use onr_exporter::{ExportedGraph, artifact};
use onr_graphs::Precision;
use onr_onnx::Model;
use onr_requests::{CheckOptions, Request};
use onr_runtime::{
    backends::ort::OrtBackend,
    calibrate::{ChainJob, Statistics, calibrate_chain},
    manifest::Manifest,
};
use serde::Serialize;

use super::{
    measure::values,
    parity::{manifest_config, manifest_options},
};
use crate::{
    args::{CacheArgs, CalibrateArgs, CalibrateCommand, MergeArgs},
    context::Context,
    exit::Refusal,
    settings::{Requests, make_parent, read_calibration},
    show::{Detail, Report, bytes},
};

#[derive(Serialize)]
pub(crate) struct Calibrated {
    out: PathBuf,
    model: ModelId,
    samples: u64,
    graphs: usize,
    tensors: usize,
    size: u64,
    missing_shards: Vec<String>,
    notes: Vec<String>,
}

pub(crate) fn run(args: &CalibrateArgs, context: &Context) -> anyhow::Result<Calibrated> {
    match &args.merge {
        Some(CalibrateCommand::Merge(merge)) => return merged(merge),
        Some(CalibrateCommand::Cache(cache)) => return cached(cache),
        None => {}
    }
    let (Some(dir), Some(out)) = (&args.dir, &args.out) else {
        return Err(Refusal::usage("onr calibrate needs DIR and --out").into());
    };
    let manifest = Manifest::read(dir)?;
    manifest.verify(dir)?;
    let (config, options) = (manifest_config(&manifest, dir)?, manifest_options(&manifest, dir)?);
    if options.precision != Precision::F32 {
        let what = format!("{} holds {} graphs", dir.display(), options.precision.name());
        return Err(Refusal::usage(what).hint("calibrate an export in --precision fp32").into());
    }
    let check = CheckOptions { strict: false, sort: args.requests.sort };
    let requests = Requests::load(args.requests.requests.as_deref(), &config, check)?;
    let _made = make_parent(out)?;
    let backend = OrtBackend::new(context.search.clone());
    let samples: Vec<usize> =
        (0..requests.list.len()).filter(|at| args.shard.takes(*at as u64)).collect();
    let job = ChainJob {
        dir,
        graphs: &manifest.graphs,
        config: &config,
        options: &options,
        requests: &requests.list,
        samples: &samples,
        backend: &backend,
        threads: args.threads.unwrap_or_else(cores),
    };
    let statistics = calibrate_chain(&job, context.progress())?;
    let checkpoint = manifest.checkpoint.as_ref();
    let model = ModelId {
        name: dir.display().to_string(),
        sha256: checkpoint.map(|c| c.sha256.clone()).unwrap_or_default(),
    };
    let hashes = manifest.graphs.iter().map(|g| (g.name.as_str(), g.file.sha256.as_str()));
    let mut calibration = Calibration::new(model, fingerprint(&requests.list), args.shard);
    calibration.add_samples(samples.len() as u64);
    fill(&mut calibration, statistics, &hashes.collect::<Vec<_>>())?;
    calibration.check_finite().map_err(|error| in_order(error, dir, &manifest.graphs))?;
    let mut done = written(&calibration, out)?;
    done.notes.splice(0..0, requests.warnings);
    Ok(done)
}

/// Values that are not finite in the order in which they are made: the first is where to look.
fn in_order(error: CalibrationError, dir: &Path, graphs: &[ExportedGraph]) -> CalibrationError {
    let CalibrationError::NonFinite { mut tensors } = error else { return error };
    let mut places = BTreeMap::new();
    for (at, graph) in graphs.iter().enumerate() {
        let Ok(model) = Model::open(&dir.join(graph.file_name())) else { continue };
        for (place, name) in values(&model).enumerate() {
            places.insert((graph.name.clone(), name.to_owned()), (at, place));
        }
    }
    let last = (usize::MAX, usize::MAX);
    tensors.sort_by_key(|t| *places.get(&(t.graph.clone(), t.tensor.clone())).unwrap_or(&last));
    CalibrationError::NonFinite { tensors }
}

/// Threads of this machine.
pub(super) fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// SHA-256 over what requests hold, whatever file they came from.
fn fingerprint(requests: &[Request]) -> String {
    let text: Vec<String> = requests.iter().map(|r| format!("{r:?}\n")).collect();
    artifact::sha256(text.concat().as_bytes())
}

/// Puts statistics into a calibration; `hashes` are those of the graphs.
pub(super) fn fill(
    calibration: &mut Calibration,
    statistics: Statistics,
    hashes: &[(&str, &str)],
) -> anyhow::Result<()> {
    for (graph, tensors) in statistics {
        let hash = hashes.iter().find(|(name, _)| *name == graph).map_or("", |(_, hash)| hash);
        for (name, stats) in tensors {
            let channels = stats.channel_count().and_then(NonZeroUsize::new);
            calibration.entry(&graph, hash, &name, channels)?.merge(&stats)?;
        }
    }
    Ok(())
}

fn merged(args: &MergeArgs) -> anyhow::Result<Calibrated> {
    let parts = args.parts.iter().map(|file| read_calibration(file));
    let calibration = Calibration::merge(parts.collect::<anyhow::Result<Vec<_>>>()?)?;
    let _made = make_parent(&args.out)?;
    written(&calibration, &args.out)
}

/// The cache that TensorRT 10 and older read: a scale for each value of a graph.
fn cached(args: &CacheArgs) -> anyhow::Result<Calibrated> {
    let calibration = read_calibration(&args.calibration)?;
    calibration.check_finite()?;
    if let [first, ..] = calibration.missing_shards().as_slice() {
        let what = format!("{} lacks shard {first}", args.calibration.display());
        return Err(Refusal::wrong(what).hint("merge all shards first").into());
    }
    let ranges = calibration.ranges(&args.graph, args.method, Target::Int8)?;
    let scales = ranges.into_iter().map(|(name, range)| (name, scale(range, Target::Int8)));
    let text = trt_cache::write(args.tensorrt, &scales.collect())?;
    let _made = make_parent(&args.out)?;
    let file = artifact::write(&args.out, text.as_bytes())?;
    Ok(Calibrated {
        out: args.out.clone(),
        model: calibration.model().clone(),
        samples: calibration.samples(),
        graphs: 1,
        tensors: text.lines().count() - 1,
        size: file.size,
        missing_shards: Vec::new(),
        notes: Vec::new(),
    })
}

fn written(calibration: &Calibration, out: &Path) -> anyhow::Result<Calibrated> {
    let file = artifact::write(out, calibration.to_json()?.as_bytes())?;
    let missing: Vec<String> = calibration.missing_shards().iter().map(Shard::to_string).collect();
    let odd = calibration.suspicions();
    let dead = odd.iter().filter(|s| matches!(s.what, Oddity::DeadChannels { .. }));
    let mut notes: Vec<String> = dead
        .map(|s| match s.what {
            Oddity::DeadChannels { dead, of } => {
                format!("{}: {dead} of {of} channels of `{}` are always 0", s.graph, s.tensor)
            }
            _ => String::new(),
        })
        .collect();
    if !missing.is_empty() {
        notes.push(format!("shards are missing: {}", missing.join(", ")));
    }
    let graphs = calibration.graphs();
    Ok(Calibrated {
        out: out.to_owned(),
        model: calibration.model().clone(),
        samples: calibration.samples(),
        graphs: graphs.len(),
        tensors: graphs.values().map(|g| g.tensors.len()).sum(),
        size: file.size,
        missing_shards: missing,
        notes,
    })
}

impl Report for Calibrated {
    fn human(&self, _: Detail) -> String {
        format!(
            "{}: {}, {} requests, {} values of {} graphs",
            self.out.display(),
            bytes(self.size),
            self.samples,
            self.tensors,
            self.graphs
        )
    }

    fn warnings(&self) -> Vec<String> {
        self.notes.clone()
    }
}
