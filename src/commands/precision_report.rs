//! What `onr accuracy` found, and what lies in the directory, as a page.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use onr_calibration::Calibration;
use onr_exporter::{
    ExportError,
    quantize::{Plan, Site, canonical, sites},
};
use onr_onnx::{ElemType, Links, Model, elem_types, floats};
use onr_report::{
    Alone, Figures, FileSize, GraphSize, Group, Left, LeftNode, Limit, Magnitudes, PrecisionReport,
    Product, RequestRow, Requests, Scores, Sizes, Way,
};
use onr_requests::Request;
use onr_runtime::{
    manifest::Manifest,
    parity::{Accuracy, Ranked, RequestAccuracy},
};
use serde_json::Value;

/// Rows of the table of the worst requests.
const WORST: usize = 10;

/// The stages that a request runs through; the other graphs repeat their products.
const STAGES: [&str; 3] = ["encode", "generate", "rank"];

/// Everything that a report is made of.
pub(super) struct Findings<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) dir: &'a Path,
    /// Where FP32 graphs lie.
    pub(super) reference: &'a Path,
    pub(super) calibration: Option<&'a Calibration>,
    pub(super) requests: &'a [Request],
    pub(super) want: &'a [Ranked],
    pub(super) got: &'a [Ranked],
    pub(super) accuracy: Accuracy,
    pub(super) backend: String,
}

impl Findings<'_> {
    pub(super) fn report(&self) -> anyhow::Result<PrecisionReport> {
        let plan = self.manifest.plan(self.dir)?;
        let tuned = fs::read(self.dir.join("tune.json")).ok();
        let tuned: Value = tuned.and_then(|t| serde_json::from_slice(&t).ok()).unwrap_or_default();
        let (mut products, mut left, mut graphs) = (Vec::new(), LeftNodes::default(), Vec::new());
        for graph in &self.manifest.graphs {
            let (before, after) =
                (self.model(self.reference, graph)?, self.model(self.dir, graph)?);
            graphs.push(GraphSize {
                graph: graph.name.clone(),
                before: before.as_ref().map_or(0, weight_bytes),
                after: after.as_ref().map_or(0, weight_bytes),
            });
            let (Some(before), Some(after)) = (before, after) else { continue };
            if STAGES.contains(&graph.name.as_str()) {
                let of = Graph { name: &graph.name, before: &before, after: &after };
                products.extend(self.products(&of, plan.as_ref(), &tuned)?);
                left.add(&after);
            }
        }
        let total: f64 = products.iter().filter_map(|p| p.flops_share).sum();
        for product in &mut products {
            product.flops_share = product.flops_share.map(|flops| flops / total.max(1.0));
        }
        let rows: Vec<RequestRow> = self.rows();
        let checkpoint = self.manifest.checkpoint.as_ref();
        Ok(PrecisionReport {
            model: self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            precision: self.manifest.precision_name().to_uppercase(),
            checkpoint: checkpoint.map(|c| c.sha256.clone()).unwrap_or_default(),
            calibration: self
                .manifest
                .quantized
                .as_ref()
                .and_then(|q| q.calibration_sha256.clone()),
            backend: Some(self.backend.clone()),
            figures: Some(figures(&self.accuracy)),
            narrow_share: self.manifest.narrow_share(),
            budget: limits(&tuned),
            bands: self.bands(),
            requests: Requests::of(&rows, self.accuracy.k as u64, WORST),
            scores: Some(self.scores()),
            products,
            left: left.into_report(),
            sizes: self.sizes(graphs)?,
        })
    }

    fn model(
        &self,
        dir: &Path,
        graph: &onr_exporter::ExportedGraph,
    ) -> Result<Option<Model>, ExportError> {
        let file = dir.join(graph.file_name());
        if !file.is_file() {
            return Ok(None);
        }
        Ok(Some(Model::open(&file)?))
    }

    fn rows(&self) -> Vec<RequestRow> {
        let (k, tie) = (self.accuracy.k, self.accuracy.tie);
        let each = self.requests.iter().zip(self.want.iter().zip(self.got));
        each.filter_map(|(request, (want, got))| {
            let found = RequestAccuracy::of(want, got, k, tie)?;
            Some(RequestRow {
                user: request.user.clone(),
                history: request.items.len() as u64,
                candidates: want.ids.len() as u64,
                overlap: found.overlap,
                overlap_exact: found.overlap_exact,
                kendall: found.kendall,
            })
        })
        .collect()
    }

    /// Places of the reference's first `k` that are kept, by how often items occur in the histories: the items that
    /// make up half of all behaviours, the next 30 %, the rest.
    fn bands(&self) -> Vec<Group> {
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for item in self.requests.iter().flat_map(|r| &r.items) {
            *counts.entry(*item).or_default() += 1;
        }
        let mut order: Vec<(u64, i64)> = counts.into_iter().map(|(item, n)| (n, item)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let total: u64 = order.iter().map(|(n, _)| n).sum();
        let (mut seen, mut band) = (0, BTreeMap::new());
        for (n, item) in order {
            band.insert(item, usize::from(seen * 2 >= total) + usize::from(seen * 5 >= total * 4));
            seen += n;
        }
        let mut places = [(0_u64, 0_u64); 3];
        for (want, got) in self.want.iter().zip(self.got) {
            let first = |ranked: &Ranked| -> BTreeSet<i64> {
                let order = ranked.final_order();
                order.iter().take(self.accuracy.k).map(|at| ranked.ids[*at]).collect()
            };
            let kept = first(got);
            for item in first(want) {
                let places = &mut places[band.get(&item).copied().unwrap_or(2)];
                places.0 += u64::from(kept.contains(&item));
                places.1 += 1;
            }
        }
        let names = ["head (50 %)", "torso (30 %)", "tail (20 %)"];
        let each = names.iter().zip(places).filter(|(_, (_, of))| *of > 0);
        each.map(|(name, (kept, of))| Group::of_places(*name, kept, of)).collect()
    }

    fn scores(&self) -> Scores {
        let each = self.want.iter().zip(self.got);
        let pairs = each.flat_map(|(w, g)| w.scores.iter().copied().zip(g.scores.iter().copied()));
        Scores::of(&pairs.collect::<Vec<_>>())
    }

    fn sizes(&self, graphs: Vec<GraphSize>) -> Result<Sizes, ExportError> {
        let size = |dir: &Path, name: &str| fs::metadata(dir.join(name)).ok().map(|m| m.len());
        let names = self.manifest.files.keys().filter(|name| {
            Path::new(name).extension().is_some_and(|e| e == "onnx" || e == "data" || e == "plan")
        });
        let files: Vec<FileSize> = names
            .map(|name| FileSize {
                file: name.clone(),
                before: size(self.reference, name),
                after: size(self.dir, name),
            })
            .collect();
        let weights = |dir: &Path| size(dir, onr_exporter::WEIGHTS_FILE).unwrap_or(0);
        let (weights_before, weights_after) = (weights(self.reference), weights(self.dir));
        Ok(Sizes { weights_before, weights_after, graphs, files })
    }

    /// Products with weights of one graph.
    fn products(
        &self,
        graph: &Graph<'_>,
        plan: Option<&Plan>,
        tuned: &Value,
    ) -> Result<Vec<Product>, ExportError> {
        let links = Links::new(graph.after.graph());
        let mut products = Vec::new();
        for site in sites(graph.before) {
            let stats = self.calibration.and_then(|c| c.tensor(graph.name, &site.activation).ok());
            let clip = plan.and_then(|plan| plan.products.get(&site.node));
            let smoothed = plan.is_some_and(|plan| plan.smooth.contains_key(&site.weight));
            let way = match (clip, smoothed) {
                (None, _) => Way::Wide,
                (Some(_), true) => Way::Smoothed,
                (Some(_), false) => Way::Narrow,
            };
            let shown = clip.filter(|_| way == Way::Narrow).map(|c| f64::from(*c));
            let magnitudes = stats.filter(|_| way != Way::Smoothed).map(|stats| {
                let h = stats.histogram();
                Magnitudes::of(h.bins(), f64::from(h.exponent()).exp2(), stats.zeros(), shown)
            });
            let rows = stats.map(|s| s.count() as f64 / site.depth.max(1) as f64);
            let scales = graph.scales(&links, &site)?;
            products.push(Product {
                node: site.node.clone(),
                graph: graph.name.to_owned(),
                activation: site.activation.clone(),
                weight: site.weight.clone(),
                way,
                flops_share: rows.map(|rows| rows * site.flops_per_row() as f64),
                magnitudes,
                activation_scale: scales.as_ref().map(|s| s.activation),
                weight_scales: scales.as_ref().map(|s| s.weight),
                dead_channels: scales.as_ref().map(|s| s.dead),
                alone: alone(tuned, &canonical(&site.node)),
            });
        }
        Ok(products)
    }
}

/// A graph before and after.
struct Graph<'a> {
    name: &'a str,
    before: &'a Model,
    after: &'a Model,
}

struct Scales {
    activation: f64,
    weight: [f64; 2],
    dead: u64,
}

impl Graph<'_> {
    /// The scales around a product that was quantized.
    fn scales(&self, links: &Links, site: &Site) -> Result<Option<Scales>, ExportError> {
        let graph = self.after.graph();
        let Some(node) = graph.node.iter().find(|n| n.label() == site.node) else {
            return Ok(None);
        };
        let mut found: Vec<Vec<f32>> = Vec::new();
        for input in node.input.iter().take(2) {
            let Some(maker) = links.producer(input).map(|at| &graph.node[at]) else {
                return Ok(None);
            };
            let scale = maker.input.get(1).filter(|_| maker.op() == "DequantizeLinear");
            let Some(tensor) = scale.and_then(|name| self.after.initializer(name)) else {
                return Ok(None);
            };
            let bytes = self.after.bytes(tensor)?;
            found.push(floats(ElemType::Float, &bytes).unwrap_or_default());
        }
        let [activation, weight] = &found[..] else { return Ok(None) };
        let fold = |f: fn(f32, f32) -> f32, start| f64::from(weight.iter().copied().fold(start, f));
        Ok(Some(Scales {
            activation: f64::from(activation.first().copied().unwrap_or(f32::NAN)),
            weight: [fold(f32::min, f32::INFINITY), fold(f32::max, 0.0)],
            dead: weight.iter().filter(|s| **s <= onr_calibration::SMALLEST_SCALE).count() as u64,
        }))
    }
}

fn weight_bytes(model: &Model) -> u64 {
    let tensors = &model.graph().initializer;
    tensors.iter().filter_map(|t| model.bytes(t).ok()).map(|b| b.len() as u64).sum()
}

fn figures(a: &Accuracy) -> Figures {
    Figures {
        requests: a.requests as u64,
        k: a.k as u64,
        tie: a.tie,
        overlap: a.overlap,
        overlap_p05: a.overlap_p05,
        overlap_exact: a.overlap_exact,
        kendall: a.kendall,
        dc_reference: a.dc_reference,
        dc: a.dc,
        dc_shift: a.dc_shift,
        score_error: a.score_error,
    }
}

/// The limits of `tune.json`.
fn limits(tuned: &Value) -> Vec<Limit> {
    let held = tuned["held"].as_array().map(Vec::as_slice).unwrap_or_default();
    let limit = |h: &Value| {
        Some(Limit {
            limit: h["limit"].as_str()?.to_owned(),
            found: h["found"].as_f64()?,
            holds: h["holds"].as_bool()?,
        })
    };
    held.iter().filter_map(limit).collect()
}

/// What a product costs alone, by `tune.json`.
fn alone(tuned: &Value, product: &str) -> Option<Alone> {
    let all = tuned["sensitivity"].as_array()?;
    let own = all.iter().find(|s| s["product"] == product)?;
    let way = if own["way"] == "smoothed" { Way::Smoothed } else { Way::Narrow };
    let (score_error, overlap) = (own["score_error"].as_f64()?, own["overlap"].as_f64()?);
    Some(Alone { way, score_error, overlap })
}

/// Nodes that compute in a wider type, by why.
#[derive(Default)]
struct LeftNodes(BTreeMap<(&'static str, String), Vec<LeftNode>>);

/// The rules of our own graphs.
const RULES: [(&str, &str); 4] = [
    ("norm", "Means and variances are sums over many numbers: they accumulate in F32."),
    ("softmax", "Exponentials and their sums are computed in F32."),
    ("final-scores", "Scores decide the order: their product is one of F32."),
    (
        "attention",
        "Products of two activations stay in 16 bits: no constant weight to scale by channel.",
    ),
];

impl LeftNodes {
    fn add(&mut self, model: &Model) {
        let types = elem_types(model.graph());
        let links = Links::new(model.graph());
        for node in &model.graph().node {
            let elem = node.output.first().and_then(|o| types.get(o)).copied();
            let coded = node.input.first().and_then(|i| links.producer(i));
            let coded = coded.is_some_and(|at| model.graph().node[at].op() == "DequantizeLinear");
            let rule = match (node.op(), elem) {
                ("LayerNormalization", _) => "norm",
                ("Softmax", _) => "softmax",
                ("MatMul" | "Gemm", Some(ElemType::Float)) if !coded => "final-scores",
                ("MatMul", Some(_)) if !coded && model.initializer(&node.input[1]).is_none() => {
                    "attention"
                }
                _ => continue,
            };
            let kept = match elem {
                Some(ElemType::Float16) => "F16",
                Some(ElemType::Bfloat16) => "BF16",
                _ => "F32",
            };
            let left = LeftNode {
                node: node.label().to_owned(),
                op: node.op().to_owned(),
                ..LeftNode::default()
            };
            self.0.entry((rule, kept.to_owned())).or_default().push(left);
        }
    }

    fn into_report(self) -> Vec<Left> {
        let meaning =
            |rule: &str| RULES.iter().find(|(name, _)| *name == rule).map_or("", |(_, text)| text);
        let each = self.0.into_iter();
        each.map(|((rule, kept), nodes)| Left {
            rule: rule.to_owned(),
            meaning: meaning(rule).to_owned(),
            kept,
            nodes,
        })
        .collect()
    }
}
