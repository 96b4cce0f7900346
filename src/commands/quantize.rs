//! `onr quantize`: any ONNX model on 8-bit products, from ranges measured on arrays.

mod ranges;

use std::{
    iter,
    path::{Path, PathBuf},
};

use onr_calibration::{Method, ModelId};
use onr_exporter::artifact::Artifact;
use onr_onnx::{Model, edit};
use onr_precision::qdq::{Format, PassedOver, Quantized, Site, passed_over, quantize, sites};
use onr_runtime::backends::ort::OrtBackend;
use serde::Serialize;

use self::ranges::Ranges;
use super::measure::{identity, keep_apart, known_nodes, stage};
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
    /// How ranges were chosen.
    method: String,
    opset: i64,
    /// That were measured; absent for scales from a TensorRT cache.
    batches: Option<u64>,
    nodes: Vec<Node>,
    left_out: Vec<PassedOver>,
    /// Of products with constant weights, over all batches that were measured.
    flops: u64,
    flops_quantized: u64,
    share: Option<f64>,
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
    flops: Option<u64>,
}

pub(crate) fn run(args: &QuantizeArgs, context: &Context) -> anyhow::Result<QuantizeDone> {
    let format = Format::from(args.precision);
    let method = args.method.unwrap_or(Method::MinMax);
    if format == Format::Fp8 && method == Method::Entropy {
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
    let ranges = Ranges::find(args, &model, &plan, &id, context)?;
    let mut notes = ranges.judge(&model, &plan)?;
    if args.strict && !notes.is_empty() {
        let what = Refusal::wrong(notes.join("; "));
        return Err(what.hint("without --strict these are warnings").into());
    }
    let choices = ranges.choices(&plan, method, format)?;
    let made = quantize(&mut model, &choices, format)?;
    let (size_after, unchecked) = write(args, &model, &ranges, context)?;
    notes.extend(unchecked);
    let flops = ranges.flops(&plan);
    let nodes = plan.chosen.iter().zip(made).map(|(site, made)| Node {
        made,
        op: site.op.clone(),
        flops: flops.get(&site.index()).copied(),
    });
    let nodes: Vec<Node> = nodes.collect();
    let all: u64 = flops.values().sum();
    let flops_quantized = nodes.iter().filter_map(|node| node.flops).sum();
    Ok(QuantizeDone {
        out: args.out.clone(),
        model: id,
        precision: format.name(),
        method: ranges.origin(method),
        opset: model.opset(),
        batches: ranges.batches(),
        nodes,
        left_out: plan.left_out,
        flops: all,
        flops_quantized,
        share: (all > 0).then(|| flops_quantized as f64 / all as f64),
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
    ranges: &Ranges,
    context: &Context,
) -> anyhow::Result<(u64, Option<String>)> {
    let staged = stage(model, &args.out)?;
    let unchecked = staged.check(&OrtBackend::new(context.search.clone()))?;
    let size = staged.size;
    let kept = match (args.calibration_out.as_deref(), ranges) {
        (Some(file), Ranges::Measured(calibration)) => {
            let mut artifact = Artifact::create(file)?;
            artifact.put(calibration.to_json()?.as_bytes())?;
            Some(artifact)
        }
        _ => None,
    };
    staged.place()?;
    kept.map(Artifact::finish).transpose()?;
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
        let over = self.batches.map_or_else(String::new, |n| format!(" over {n} batches"));
        let share = self.share.map_or_else(String::new, |share| {
            format!("{:.1} % of the operations of products with weights, ", 100.0 * share)
        });
        let mut text = format!(
            "{}: {}, {}{over}, opset {}\n{} (was {}); {share}{} of {} nodes\n{}",
            self.out.display(),
            self.precision,
            self.method,
            self.opset,
            bytes(self.size_after),
            bytes(self.size_before),
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
