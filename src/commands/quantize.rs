//! `onr quantize`: any ONNX model on 8-bit products, from ranges measured on arrays.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    iter,
    path::{Path, PathBuf},
};

use onr_calibration::{Calibration, Method, ModelId, Oddity, TensorStats};
use onr_exporter::artifact::Artifact;
use onr_onnx::{Model, edit};
use onr_precision::qdq::{
    Choice, Format, PassedOver, Quantized, Site, passed_over, quantize, sites,
};
use onr_runtime::backends::ort::OrtBackend;
use serde::Serialize;

use super::measure::{
    GRAPH, NOT_FINITE_HINT, identity, keep_apart, known_nodes, measure, not_finite, recall, stage,
    values,
};
use crate::{
    args::QuantizeArgs,
    context::Context,
    exit::Refusal,
    settings::make_parent,
    show::{Detail, Report, Table, bytes, listed},
};

#[derive(Serialize)]
pub(crate) struct QuantizeDone {
    out: PathBuf,
    model: ModelId,
    precision: &'static str,
    method: String,
    opset: i64,
    batches: u64,
    nodes: Vec<Node>,
    left_out: Vec<PassedOver>,
    /// Of products with constant weights, over all batches.
    flops: u64,
    flops_quantized: u64,
    share: f64,
    size_before: u64,
    size_after: u64,
    #[serde(skip)]
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Node {
    #[serde(flatten)]
    made: Quantized,
    op: String,
    flops: u64,
}

pub(crate) fn run(args: &QuantizeArgs, context: &Context) -> anyhow::Result<QuantizeDone> {
    let format = Format::from(args.precision);
    if format == Format::Fp8 && args.method == Method::Entropy {
        let what = "--method entropy counts 128 even steps, which FP8 does not have";
        return Err(Refusal::usage(what).hint("`minmax`, `percentile` and `mse` know FP8").into());
    }
    let mut model = Model::open(&args.onnx)?;
    let size_before = model.size();
    let outs: Vec<&Path> = iter::once(&*args.out).chain(args.calibration_out.as_deref()).collect();
    keep_apart(&model, &outs)?;
    edit::settle_weights(model.graph_mut());
    let plan = Plan::of(&model, &args.keep)?;
    let _made = outs.into_iter().map(make_parent).collect::<Result<Vec<_>, _>>()?;
    let id = identity(&model);
    let calibration = ranges(args, &model, &plan, &id, context)?;
    let mut notes = judge(&model, &plan, &calibration)?;
    if args.strict && !notes.is_empty() {
        let what = Refusal::wrong(notes.join("; "));
        return Err(what.hint("without --strict these are warnings").into());
    }
    let choices = choices(&plan, &calibration, args.method, format)?;
    let made = quantize(&mut model, &choices, format)?;
    let (size_after, unchecked) = write(args, &model, &calibration, context)?;
    notes.extend(unchecked);
    let flops = flops(&plan, &calibration);
    let nodes = plan.chosen.iter().zip(made).map(|(site, made)| Node {
        made,
        op: site.op.clone(),
        flops: flops[&site.index()],
    });
    let nodes: Vec<Node> = nodes.collect();
    let all: u64 = flops.values().sum();
    let flops_quantized = nodes.iter().map(|node| node.flops).sum();
    Ok(QuantizeDone {
        out: args.out.clone(),
        model: id,
        precision: format.name(),
        method: args.method.to_string(),
        opset: model.opset(),
        batches: calibration.samples(),
        nodes,
        left_out: plan.left_out,
        flops: all,
        flops_quantized,
        share: if all == 0 { 0.0 } else { flops_quantized as f64 / all as f64 },
        size_before,
        size_after,
        notes,
    })
}

/// Writes the model and, where asked, the ranges: both or none. The size of the model, and a warning when
/// nobody could check it.
fn write(
    args: &QuantizeArgs,
    model: &Model,
    calibration: &Calibration,
    context: &Context,
) -> anyhow::Result<(u64, Option<String>)> {
    let staged = stage(model, &args.out)?;
    let unchecked = staged.check(&OrtBackend::new(context.search.clone()))?;
    let size = staged.size;
    let ranges = args.calibration_out.as_deref().map(|file| {
        let mut artifact = Artifact::create(file)?;
        artifact.put(calibration.to_json()?.as_bytes())?;
        anyhow::Ok(artifact)
    });
    let ranges = ranges.transpose()?;
    staged.place()?;
    ranges.map(Artifact::finish).transpose()?;
    Ok((size, unchecked))
}

/// Which products will be quantized.
struct Plan {
    chosen: Vec<Site>,
    /// Could be, but are to stay.
    kept: Vec<Site>,
    left_out: Vec<PassedOver>,
}

impl Plan {
    fn of(model: &Model, keep: &[String]) -> Result<Self, Refusal> {
        let all = sites(model);
        let mut left_out = passed_over(model);
        if all.is_empty() {
            let what = "the model has no MatMul, Gemm or Conv with a constant weight";
            let what = match left_out.first() {
                Some(first) => format!("{what}: of `{}`, {}", first.node, first.why),
                None => what.to_owned(),
            };
            return Err(Refusal::wrong(what).hint("only such products are quantized"));
        }
        known_nodes(model, keep)?;
        let (kept, chosen): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|site| keep.contains(&site.node));
        if chosen.is_empty() {
            return Err(Refusal::usage("--keep leaves nothing to quantize"));
        }
        left_out.extend(kept.iter().map(|site| PassedOver {
            node: site.node.clone(),
            op: site.op.clone(),
            why: "--keep".to_owned(),
        }));
        Ok(Self { chosen, kept, left_out })
    }

    fn all(&self) -> impl Iterator<Item = &Site> {
        self.chosen.iter().chain(&self.kept)
    }
}

/// Runs the model, or reads what an earlier run has counted.
fn ranges(
    args: &QuantizeArgs,
    model: &Model,
    plan: &Plan,
    id: &ModelId,
    context: &Context,
) -> anyhow::Result<Calibration> {
    if let Some(file) = &args.calibration {
        return recall(file, id);
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
    measure(model, id, data, &is_wanted, args.threads, context)
}

/// Refuses ranges that mean nothing, and notes what is odd about the others.
fn judge(model: &Model, plan: &Plan, calibration: &Calibration) -> anyhow::Result<Vec<String>> {
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
    notes.extend(oddities(plan, calibration)?);
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

/// Values of a message.
const SHOWN: usize = 5;

/// The clips of the chosen products.
fn choices(
    plan: &Plan,
    calibration: &Calibration,
    method: Method,
    format: Format,
) -> anyhow::Result<Vec<Choice>> {
    let names: BTreeSet<&str> = plan.chosen.iter().map(|site| site.activation.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let clips = calibration.ranges_of(GRAPH, &names, method, format.target())?;
    let choice = |site: &Site| Choice { site: site.clone(), clip: clips[&site.activation] };
    Ok(plan.chosen.iter().map(choice).collect())
}

/// Multiplications and additions of each product over all batches, by the node's index.
fn flops(plan: &Plan, calibration: &Calibration) -> BTreeMap<usize, u64> {
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

impl Report for QuantizeDone {
    fn human(&self, _: Detail) -> String {
        let mut table =
            Table::new(&["node", "operator", "activation scale", "weight scales", "dead channels"]);
        for Node { made, op, .. } in &self.nodes {
            let (low, high) = made.weight_scales;
            table.row([
                made.node.clone(),
                op.clone(),
                format!("{:.4e}", made.activation_scale),
                format!("{low:.2e} to {high:.2e}"),
                made.dead_channels.to_string(),
            ]);
        }
        let mut text = format!(
            "{}: {}, {} over {} batches, opset {}\n{} (was {}); {:.1} % of the operations of products with weights, {} of {} nodes\n{}",
            self.out.display(),
            self.precision,
            self.method,
            self.batches,
            self.opset,
            bytes(self.size_after),
            bytes(self.size_before),
            100.0 * self.share,
            self.nodes.len(),
            self.nodes.len() + self.left_out.len(),
            table.text()
        );
        if !self.left_out.is_empty() {
            let each = self.left_out.iter().map(|l| format!("{} {} ({})", l.op, l.node, l.why));
            text.push('\n');
            text.push_str(&listed("left as they are:", each));
        }
        text
    }

    fn warnings(&self) -> Vec<String> {
        self.notes.clone()
    }
}
