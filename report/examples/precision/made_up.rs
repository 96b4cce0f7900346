//! Numbers that look like those of a model in INT8.

#[path = "../made_up/dice.rs"]
mod dice;

use dice::Dice;
use onr_report::{
    Alone, Figures, FileSize, GraphSize, Group, Left, LeftNode, Limit, Magnitudes, PrecisionReport,
    Product, RequestRow, Requests, Scores, Sizes, Way,
};

const K: u64 = 10;

/// A report of a model with so many layers.
pub(crate) fn report(layers: usize) -> PrecisionReport {
    let mut dice = Dice(7);
    let rows = rows(&mut dice, 1600);
    let products = products(&mut dice, layers);
    let wide =
        products.iter().filter(|p| p.way == Way::Wide).filter_map(|p| p.flops_share).sum::<f64>();
    PrecisionReport {
        model: "oneranker-ml-100k".into(),
        precision: "INT8".into(),
        checkpoint: "sha256:9f2c4be1a07d53c86e1b9d0a4477c2f1e86ab3350d9bb6ce14f02a7781c5e39d"
            .into(),
        calibration: Some(
            "sha256:41b7e0c2d95a8f3376ce21aa904fbd1867c3e05b2f94d8a61709be5532fa8c10".into(),
        ),
        backend: Some("ONNX Runtime, CPU".into()),
        figures: Some(figures(&rows)),
        narrow_share: Some(1.0 - wide),
        budget: budget(&figures(&rows)),
        bands: vec![
            Group::of_places("head", 9_018, 9_102),
            Group::of_places("torso", 4_981, 5_117),
            Group::of_places("tail", 1_649, 1_781),
        ],
        requests: Requests::of(&rows, K, 12),
        scores: Some(Scores::of(&scores(&mut dice, 60_000))),
        products,
        left: left(layers),
        sizes: sizes(layers as u64),
    }
}

fn rows(dice: &mut Dice, n: u64) -> Vec<RequestRow> {
    let row = |user: u64| {
        let history = (dice.even().powi(2) * 240.0) as u64 + 3;
        let hard = dice.even().powi(9) * (0.6 + 5.0 / history as f64);
        let lost = (hard * 3.4).round().min(8.0);
        let swapped = if dice.even() < 0.15 { 1.0 } else { 0.0 };
        RequestRow {
            user: format!("user-{:05}", (user * 7919) % 90_001),
            history,
            candidates: 100 + (dice.even() * 400.0) as u64,
            overlap: 1.0 - lost / K as f64,
            overlap_exact: 1.0 - (lost + swapped) / K as f64,
            kendall: 0.995 - hard * 0.05 - dice.even() * 0.008,
        }
    };
    (0..n).map(row).collect()
}

fn figures(rows: &[RequestRow]) -> Figures {
    let n = rows.len() as f64;
    let mut overlaps: Vec<f64> = rows.iter().map(|r| r.overlap).collect();
    overlaps.sort_by(f64::total_cmp);
    Figures {
        requests: rows.len() as u64,
        k: K,
        tie: 0.01,
        overlap: overlaps.iter().sum::<f64>() / n,
        overlap_p05: overlaps[rows.len() / 20],
        overlap_exact: rows.iter().map(|r| r.overlap_exact).sum::<f64>() / n,
        kendall: rows.iter().map(|r| r.kendall).sum::<f64>() / n,
        dc_reference: 0.412_31,
        dc: 0.418_07,
        dc_shift: 0.009_4,
        score_error: 0.031_2,
    }
}

fn budget(f: &Figures) -> Vec<Limit> {
    let limit = |limit: &str, found, holds| Limit { limit: limit.into(), found, holds };
    vec![
        limit("top10-overlap>=0.97", f.overlap, f.overlap >= 0.97),
        limit("top10-overlap>=0.9@p05", f.overlap_p05, f.overlap_p05 >= 0.9),
        limit("kendall>=0.98", f.kendall, f.kendall >= 0.98),
        limit("dc-shift<=0.02", f.dc_shift, f.dc_shift <= 0.02),
    ]
}

fn scores(dice: &mut Dice, n: usize) -> Vec<(f64, f64)> {
    let pair = |_| {
        let x = -3.4 + 1.6 * dice.normal() + 0.5 * dice.even();
        let bias = if x > 0.0 { -0.02 * x } else { 0.0 };
        (x, x + bias + dice.normal() * (0.03 + 0.01 * x.abs()))
    };
    (0..n).map(pair).collect()
}

fn products(dice: &mut Dice, layers: usize) -> Vec<Product> {
    let mut names = Vec::new();
    for graph in ["encode", "generate", "rank"] {
        if graph != "encode" {
            names.push((graph, format!("{graph}.user_proj")));
        }
        for layer in 0..layers {
            let stack = if graph == "rank" { "rank_layers" } else { "layers" };
            names.push((graph, format!("{graph}.{stack}.{layer}.uvqk")));
            names.push((graph, format!("{graph}.{stack}.{layer}.out")));
        }
    }
    let share = 1.0 / names.len() as f64;
    names.into_iter().map(|(graph, path)| product(dice, graph, &path, share)).collect()
}

fn product(dice: &mut Dice, graph: &str, path: &str, share: f64) -> Product {
    let outliers = dice.even() < 0.3;
    let way = match dice.even() {
        d if d < 0.1 => Way::Wide,
        _ if outliers => Way::Smoothed,
        _ => Way::Narrow,
    };
    let magnitudes = magnitudes(dice, outliers, way != Way::Wide);
    let wide = way == Way::Wide;
    Product {
        node: format!("{path}/MatMul"),
        graph: graph.into(),
        activation: format!("{path}/LayerNormalization"),
        weight: format!("{}.weight", path.split_once('.').map_or(path, |p| p.1)),
        way,
        flops_share: Some(share),
        activation_scale: magnitudes.clip.map(|c| c / 127.0),
        weight_scales: (!wide)
            .then(|| [0.0006 + dice.even() * 0.0004, 0.003 + dice.even() * 0.004]),
        dead_channels: (!wide).then_some(if dice.even() < 0.1 { 3 } else { 0 }),
        alone: Some(Alone {
            way: if outliers { Way::Smoothed } else { Way::Narrow },
            score_error: if wide { 0.03 } else { 0.004 } + dice.even().powi(3) * 0.02,
            overlap: 0.999 - dice.even() * 0.006,
        }),
        magnitudes: Some(magnitudes),
    }
}

fn magnitudes(dice: &mut Dice, outliers: bool, clipped: bool) -> Magnitudes {
    let spread = if outliers { 0.9 } else { 1.7 } * (0.8 + 0.4 * dice.even());
    let end: f64 = if outliers { 32.0 } else { 16.0 };
    let count = |bin: usize| {
        let x = end * (bin as f64 + 0.5) / 2048.0;
        let bulk = 4e6 * (-x * x / (2.0 * spread * spread)).exp();
        let far =
            if outliers && x < 19.0 { 900.0 * (-(x - 12.0).powi(2) / 18.0).exp() } else { 0.0 };
        (bulk + far) as u64
    };
    let counts: Vec<u64> = (0..2048).map(count).collect();
    let clip = clipped.then_some(if outliers { 11.3 } else { spread * (3.3 + 0.6 * dice.even()) });
    Magnitudes::of(&counts, end, (dice.even() * 9e7) as u64, clip)
}

fn left(layers: usize) -> Vec<Left> {
    let each = |rule: &str, meaning: &str, op: &str, name: &str, value: Option<f64>| Left {
        rule: rule.into(),
        meaning: meaning.into(),
        kept: "F32".into(),
        nodes: (0..layers)
            .map(|layer| LeftNode {
                node: format!("encode.layers.{layer}{name}/{op}"),
                op: op.into(),
                tensor: value.map(|_| format!("encode.layers.{layer}{name}/input")),
                value: value.map(|v| v * (1.0 + layer as f64)),
            })
            .collect(),
    };
    vec![
        each("norm", "A norm: it sums squares over an axis.", "LayerNormalization", ".norm", None),
        each("softmax", "A softmax: it sums exponentials over an axis.", "Softmax", "", None),
        each(
            "overflow",
            "A measured value comes too close to the largest number, or exceeds it.",
            "Mul",
            ".gate",
            Some(71_240.0),
        ),
    ]
}

fn sizes(layers: u64) -> Sizes {
    let graph = |graph: &str, before: u64| GraphSize {
        graph: graph.into(),
        before: before * layers,
        after: before * layers * 27 / 100,
    };
    let file = |file: &str, before: Option<u64>, after: Option<u64>| FileSize {
        file: file.into(),
        before,
        after,
    };
    let (before, after) = (2_100_000 * layers, 567_000 * layers);
    Sizes {
        weights_before: before,
        weights_after: after,
        graphs: vec![
            graph("encode", 1_450_000),
            graph("generate", 1_210_000),
            graph("rank", 640_000),
        ],
        files: vec![
            file("weights.data", Some(before), Some(after)),
            file("encode.onnx", Some(48_211), Some(61_940)),
            file("generate.onnx", Some(52_108), Some(66_300)),
            file("rank.onnx", Some(39_400), Some(47_125)),
            file("calibration.json", None, Some(212_480)),
        ],
    }
}
