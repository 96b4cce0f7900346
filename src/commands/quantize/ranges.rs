//! Where the ranges of activations come from, and what is odd about them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::Path,
};

use anyhow::Context as _;
use onr_calibration::{
    Calibration, Method, ModelId, Oddity, Target, TensorStats,
    trt_cache::{self, Cache},
};
use onr_exporter::ExportError;
use onr_onnx::Model;
use onr_precision::qdq::{Choice, Format, Site};

use super::{
    super::measure::{GRAPH, NOT_FINITE_HINT, measure, not_finite, recall, values},
    Plan,
};
use crate::{args::QuantizeArgs, context::Context, exit::Refusal};

/// Values that a message names.
const SHOWN: usize = 5;

/// Where the ranges of activations come from.
pub(super) enum Ranges {
    /// Counted on arrays, now or in an earlier run.
    Measured(Calibration),
    /// Scales of INT8 from a calibration cache of TensorRT.
    Cached(Cache),
}

impl Ranges {
    /// Runs the model, or reads what an earlier run or TensorRT has counted.
    pub(super) fn find(
        args: &QuantizeArgs,
        model: &Model,
        plan: &Plan,
        id: &ModelId,
        context: &Context,
    ) -> anyhow::Result<Self> {
        if let Some(file) = &args.calibration {
            return match cache(file)? {
                Some(cache) => Self::cached(args, plan, file, cache),
                None => recall(file, id).map(Self::Measured),
            };
        }
        let data = args.data.as_deref().ok_or_else(|| Refusal::usage("--data is missing"))?;
        let graph = model.graph();
        let mut wanted: BTreeSet<String> =
            graph.input.iter().chain(&graph.output).map(|v| v.label().to_owned()).collect();
        for site in plan.all() {
            wanted.insert(site.activation.clone());
            if !site.is_by_row {
                wanted.insert(site.output.clone());
            }
        }
        let is_wanted = |name: &str| args.calibration_out.is_some() || wanted.contains(name);
        measure(model, id, data, &is_wanted, args.threads, context).map(Self::Measured)
    }

    fn cached(args: &QuantizeArgs, plan: &Plan, file: &Path, cache: Cache) -> anyhow::Result<Self> {
        let name = file.display();
        if Format::from(args.precision) != Format::Int8 {
            let what = format!("{name} is a TensorRT cache: its scales are those of INT8");
            return Err(Refusal::usage(what).hint("FP8 needs --data").into());
        }
        if args.method.is_some() {
            let what = format!("--method: the scales in {name} were chosen by TensorRT");
            return Err(Refusal::usage(what).hint("leave --method out").into());
        }
        let lacking: Vec<&Site> =
            plan.chosen.iter().filter(|s| !cache.scales.contains_key(&s.activation)).collect();
        let Some(first) = lacking.first() else { return Ok(Self::Cached(cache)) };
        let what = format!(
            "{name} has no scale of `{}`, which `{}` reads ({} of {} products)",
            first.activation,
            first.node,
            lacking.len(),
            plan.chosen.len()
        );
        let nodes: Vec<&str> = lacking.iter().map(|site| site.node.as_str()).collect();
        let hint = match lacking.len() == plan.chosen.len() {
            true => {
                "is it the cache of this model? TensorRT names values as the ONNX file does".into()
            }
            false => format!("leave them out: --keep {}", nodes.join(",")),
        };
        Err(Refusal::wrong(what).hint(hint).into())
    }

    /// How they were chosen.
    pub(super) fn origin(&self, method: Method) -> String {
        match self {
            Self::Measured(_) => method.to_string(),
            Self::Cached(cache) => format!("scales of TensorRT {}", cache.version),
        }
    }

    /// Batches that were measured.
    pub(super) fn batches(&self) -> Option<u64> {
        match self {
            Self::Measured(calibration) => Some(calibration.samples()),
            Self::Cached(_) => None,
        }
    }

    /// Refuses ranges that mean nothing, and notes what is odd about the others.
    pub(super) fn judge(&self, model: &Model, plan: &Plan) -> anyhow::Result<Vec<String>> {
        let Self::Measured(calibration) = self else { return Ok(Vec::new()) };
        let mut notes = not_numbers(model, plan, calibration)?;
        notes.extend(oddities(plan, calibration)?);
        Ok(notes)
    }

    /// The clips of the chosen products.
    pub(super) fn choices(
        &self,
        plan: &Plan,
        method: Method,
        format: Format,
    ) -> anyhow::Result<Vec<Choice>> {
        let clips = match self {
            Self::Measured(calibration) => {
                let names: BTreeSet<&str> =
                    plan.chosen.iter().map(|site| site.activation.as_str()).collect();
                let names: Vec<&str> = names.into_iter().collect();
                calibration.ranges_of(GRAPH, &names, method, format.target())?
            }
            Self::Cached(cache) => {
                let clip = |scale: &f32| scale * Target::Int8.max_code();
                cache.scales.iter().map(|(name, scale)| (name.clone(), clip(scale))).collect()
            }
        };
        let choice = |site: &Site| Choice { site: site.clone(), clip: clips[&site.activation] };
        Ok(plan.chosen.iter().map(choice).collect())
    }

    /// Multiplications and additions of each product over all batches, by the node's index; empty where nothing
    /// was measured.
    pub(super) fn flops(&self, plan: &Plan) -> BTreeMap<usize, u64> {
        let Self::Measured(calibration) = self else { return BTreeMap::new() };
        let seen = |name: &str| calibration.tensor(GRAPH, name).map_or(0, TensorStats::count);
        let of = |site: &Site| {
            let rows = match site.is_by_row {
                true => seen(&site.activation) / site.depth as u64,
                false => seen(&site.output) / site.channels as u64,
            };
            (site.index(), rows * site.flops_per_row())
        };
        plan.all().map(of).collect()
    }
}

/// A calibration cache of TensorRT, if the file is one.
fn cache(file: &Path) -> anyhow::Result<Option<Cache>> {
    let bytes =
        fs::read(file).map_err(|cause| ExportError::Read { file: file.to_owned(), cause })?;
    if !bytes.starts_with(b"TRT-") {
        return Ok(None);
    }
    let of = || format!("{} is unusable", file.display());
    let text = std::str::from_utf8(&bytes).with_context(of)?;
    trt_cache::read(text).map(Some).with_context(of)
}

/// Refuses numbers that are none where a product reads them, and notes the others.
fn not_numbers(
    model: &Model,
    plan: &Plan,
    calibration: &Calibration,
) -> anyhow::Result<Vec<String>> {
    let graph = model.graph();
    let read: HashSet<&str> = plan.chosen.iter().map(|site| site.activation.as_str()).collect();
    let published: HashSet<&str> =
        graph.input.iter().chain(&graph.output).map(|v| v.label()).collect();
    let (mut bad, mut notes) = (Vec::new(), Vec::new());
    for name in values(model) {
        let Ok(stats) = calibration.tensor(GRAPH, name) else { continue };
        let Some(words) = not_finite(name, stats) else { continue };
        let is_nan = stats.nan() > 0;
        if read.contains(name) || (is_nan && published.contains(name)) {
            bad.push(words);
        } else {
            notes.push(words);
        }
    }
    if !bad.is_empty() {
        let more = bad.len().saturating_sub(SHOWN);
        bad.truncate(SHOWN);
        if more > 0 {
            bad.push(format!("and {more} more"));
        }
        return Err(Refusal::wrong(bad.join("; ")).hint(NOT_FINITE_HINT).into());
    }
    Ok(notes)
}

/// Refuses activations that never change, and notes channels that are always 0.
fn oddities(plan: &Plan, calibration: &Calibration) -> Result<Vec<String>, Refusal> {
    let mut notes = Vec::new();
    for suspicion in calibration.suspicions() {
        let name = suspicion.tensor.as_str();
        let nodes = plan.chosen.iter().filter(|site| site.activation == name);
        let nodes: Vec<_> = nodes.map(|site| site.node.as_str()).collect();
        match suspicion.what {
            _ if nodes.is_empty() => {}
            Oddity::Constant { value, count } => {
                let batches = calibration.samples();
                let what = format!("`{name}` is {value} in all {batches} batches ({count} values)");
                let hint = format!("calibrate on other data, or --keep {}", nodes.join(","));
                return Err(Refusal::wrong(what).hint(hint));
            }
            Oddity::DeadChannels { dead, of } => {
                notes.push(format!("{dead} of {of} channels of `{name}` are 0 in all batches"));
            }
            _ => {}
        }
    }
    Ok(notes)
}
