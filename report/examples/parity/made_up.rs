//! Numbers that look like those of one model in three precisions on two backends.

#[path = "../made_up/dice.rs"]
mod dice;

use dice::Dice;
use onr_report::{
    Consistency, MissingBackend, OrderFigures, Outcome, OutputFigures, OutputLimit, ParityCheck,
    ParityPage, ParityRun, RequestRow, Requests, Scores, WorstRequest,
};

const K: u64 = 10;

/// A kind of run.
#[derive(Clone, Copy)]
struct Kind {
    directory: &'static str,
    backend: &'static str,
    precision: &'static str,
    against: &'static str,
    /// Relative error of the first output.
    error: f64,
    limit: fn(f64) -> OutputLimit,
}

const KINDS: [Kind; 5] = [
    Kind {
        directory: "out/graphs-fp32",
        backend: "ort",
        precision: "fp32",
        against: "from-checkpoint",
        error: 1.5e-7,
        limit: |rms| OutputLimit::Largest(3e-5 * rms),
    },
    Kind {
        directory: "out/graphs-fp32",
        backend: "ort",
        precision: "fp32",
        against: "golden",
        error: 3e-7,
        limit: |rms| OutputLimit::Largest(1e-4 * rms),
    },
    Kind {
        directory: "out/graphs-fp16",
        backend: "ort",
        precision: "fp16",
        against: "from-checkpoint",
        error: 3e-4,
        limit: |rms| OutputLimit::Rms(1.6e-3 * rms),
    },
    Kind {
        directory: "out/graphs-int8",
        backend: "ort",
        precision: "int8",
        against: "from-checkpoint",
        error: 8e-3,
        limit: |rms| OutputLimit::Rms(1.8e-2 * rms),
    },
    Kind {
        directory: "out/graphs-fp16",
        backend: "tract",
        precision: "fp16",
        against: "same-file",
        error: 2e-4,
        limit: |rms| OutputLimit::Largest(3e-2 * rms),
    },
];

/// A page of a model with so many layers. INT8 fails from the middle layer on.
pub(crate) fn page(layers: usize) -> ParityPage {
    let mut dice = Dice(11);
    ParityPage {
        version: "0.1.0".into(),
        runs: KINDS.iter().map(|kind| run(&mut dice, *kind, layers)).collect(),
        missing: vec![MissingBackend {
            backend: "cuda".into(),
            reason: "the CUDA provider of ONNX Runtime is not in libonnxruntime.so".into(),
            hint: "install onnxruntime-gpu and name its folder with --ort-lib".into(),
            required: false,
        }],
        warnings: vec![
            "3 requests have more behaviours than max_seq_len; the oldest were left out".into(),
        ],
    }
}

fn run(dice: &mut Dice, kind: Kind, layers: usize) -> ParityRun {
    let bad = kind.precision == "int8";
    let outputs = outputs(dice, kind, layers);
    let rows = rows(dice, if bad { 0.3 } else { 0.0 });
    let least = rows.iter().map(|r| r.overlap).fold(1.0, f64::min);
    let tract = kind.backend == "tract";
    ParityRun {
        directory: kind.directory.into(),
        backend: kind.backend.into(),
        candidate: if tract { "tract 0.23.9" } else { "ONNX Runtime 1.31.1" }.into(),
        device: "CPU".into(),
        precision: kind.precision.into(),
        against: kind.against.into(),
        reference: reference(kind).into(),
        requests: rows.len() as u64,
        requests_from: "requests.jsonl".into(),
        reference_seconds: Some(6.31),
        candidate_seconds: Some(0.842),
        order: Some(OrderFigures {
            k: K,
            tie: kind.error * 2.0,
            requests: rows.len() as u64,
            overlap: rows.iter().map(|r| r.overlap).sum::<f64>() / rows.len() as f64,
            overlap_least: least,
            kendall: Some(1.0 - kind.error),
            ndcg_shift: Some(kind.error * 0.01),
        }),
        consistency: Some(Consistency {
            reference: 0.412_31,
            candidate: 0.412_31 + kind.error * 0.4,
            shift: kind.error * 2.0,
        }),
        checks: checks(kind, &outputs),
        scores: Some(Scores::of(&scores(dice, kind.error))),
        by_request: Requests::of(&rows, K, if bad { 5 } else { 0 }),
        worst: Some(worst(least, kind.error)),
        outputs,
    }
}

fn reference(kind: Kind) -> &'static str {
    match kind.against {
        "golden" => "golden.safetensors, recorded by PyTorch 2.9",
        "same-file" => "the same files, on ONNX Runtime 1.31.1",
        _ => "FP32 graphs built anew from weights.safetensors, on tract 0.23.9",
    }
}

fn outputs(dice: &mut Dice, kind: Kind, layers: usize) -> Vec<OutputFigures> {
    let mut names = Vec::new();
    for graph in ["encode", "append"] {
        for layer in 0..layers {
            names.push((graph, format!("present.{layer}.key"), layer));
            names.push((graph, format!("present.{layer}.value"), layer));
        }
    }
    for layer in layers / 2..layers {
        names.push(("generate", format!("prompt.{layer}.key"), layer));
        names.push(("generate", format!("prompt.{layer}.value"), layer));
    }
    for output in ["task_states", "user_embeddings"] {
        names.push(("generate", output.into(), layers));
    }
    for graph in ["rank", "oneranker", "split"] {
        names.push((graph, "generator_logits".into(), layers));
        names.push((graph, "scores".into(), layers + 1));
    }
    names.push(("oneranker", "retrieved logits".into(), layers));
    names.sort_by_key(|(graph, output, _)| (*graph != "encode", *graph == "rank", output.clone()));
    let order = ["encode", "append", "generate", "rank", "oneranker", "split"];
    names.sort_by_key(|(graph, _, _)| order.iter().position(|o| o == graph));
    let fails = |graph: &str, depth: usize| {
        kind.precision == "int8" && graph == "encode" && depth > layers / 2
    };
    let one = |(graph, output, depth): (&str, String, usize)| {
        let rms = 0.4 + dice.even();
        let jump = if fails(graph, depth) { 6.0 } else { 1.0 };
        let relative = kind.error * jump * (1.0 + 0.22 * depth as f64) * (0.85 + 0.3 * dice.even());
        let error = if depth == 0 && kind.precision == "fp32" { 0.0 } else { relative * rms };
        OutputFigures {
            graph: graph.into(),
            output,
            max_abs: error * (4.0 + 3.0 * dice.even()),
            max_rel: relative * 7.5,
            rms_error: error,
            rms_reference: rms,
            min_cosine: Some(1.0 - relative * relative),
            sqnr_db: (error > 0.0).then(|| -20.0 * relative.log10()),
            max_ulp: (kind.precision != "int8").then_some((relative * 4e7) as u64 % 100_000),
            error_ratio: (kind.precision != "fp32").then_some(1.02 + 0.3 * dice.even()),
            limit: Some((kind.limit)(rms)),
            worst_request: Some((dice.even() * 64.0) as u64),
        }
    };
    names.into_iter().map(one).collect()
}

fn checks(kind: Kind, outputs: &[OutputFigures]) -> Vec<ParityCheck> {
    let judged = |o: &OutputFigures| {
        let (error, limit) = match o.limit {
            Some(OutputLimit::Largest(limit)) => (o.max_abs, limit),
            Some(OutputLimit::Rms(limit)) => (o.rms_error, limit),
            None => (0.0, 0.0),
        };
        let why =
            format!("rms error {error:.1e} is above 2 x {:.1e} (rounded weights)", limit / 2.0);
        let outcome = if error > limit { Outcome::Failed { why } } else { Outcome::Passed };
        check(&format!("{}.{}", o.graph, o.output), outcome)
    };
    let mut all: Vec<_> = outputs.iter().map(judged).collect();
    let order = if kind.precision == "int8" {
        Outcome::Excused {
            why: "top-10 overlap 0.9871 is below 0.99".into(),
            reason: "rare items lose places in INT8; the product owner accepts 98 % until the next training".into(),
        }
    } else {
        Outcome::Passed
    };
    all.extend([check("order", order), check("weights", Outcome::Passed)]);
    if kind.against != "golden" {
        all.extend(RELATIONS.iter().map(|name| relation(kind, name)));
    }
    all
}

const RELATIONS: [&str; 12] = [
    "repeated-runs",
    "concurrent-runs",
    "identical-rows",
    "other-rows",
    "permuted-candidates",
    "added-candidates",
    "padding",
    "append",
    "profile.batch",
    "profile.seq",
    "profile.candidates",
    "profile.new",
];

fn relation(kind: Kind, name: &str) -> ParityCheck {
    let outcome = match (kind.backend, name) {
        ("tract", "append" | "profile.new") => {
            Outcome::Skipped { why: "the directory has no graph append".into() }
        }
        ("ort", "profile.batch") if kind.precision == "int8" => Outcome::Failed {
            why: "batch 64: encode.present.7.key: rms error 3.1e-2 is above 2.0e-2".into(),
        },
        _ => Outcome::Passed,
    };
    check(&format!("relation.{name}"), outcome)
}

fn check(name: &str, outcome: Outcome) -> ParityCheck {
    ParityCheck { name: name.into(), outcome }
}

fn rows(dice: &mut Dice, hard: f64) -> Vec<RequestRow> {
    let row = |user: u64| {
        let history = (dice.even().powi(2) * 240.0) as u64 + 3;
        let lost = (dice.even().powi(8) * 6.0 * hard * (0.6 + 5.0 / history as f64)).round();
        RequestRow {
            user: format!("user-{:05}", (user * 7919) % 90_001),
            history,
            candidates: 100 + (dice.even() * 400.0) as u64,
            overlap: 1.0 - lost / K as f64,
            overlap_exact: 1.0 - lost / K as f64,
            kendall: 0.999 - hard * 0.05 * dice.even(),
        }
    };
    (0..512).map(row).collect()
}

fn scores(dice: &mut Dice, error: f64) -> Vec<(f64, f64)> {
    let pair = |_| {
        let x = -3.4 + 1.6 * dice.normal() + 0.5 * dice.even();
        (x, x + dice.normal() * error * (2.0 + x.abs()))
    };
    (0..30_000).map(pair).collect()
}

fn worst(overlap: f64, error: f64) -> WorstRequest {
    let items = |of: &[u32]| of.iter().map(u32::to_string).collect();
    WorstRequest {
        index: 311,
        user: Some("user-06908".into()),
        overlap,
        score_error: error * 9.0,
        history: 37,
        candidates: 412,
        items: items(&[1193, 661, 914, 3408, 2355, 1197, 1287, 2804, 594, 919, 595, 938]),
        first_reference: items(&[50, 181, 100, 258, 174, 127, 286, 1, 98, 288]),
        first_candidate: items(&[50, 181, 100, 174, 258, 127, 286, 1, 56, 288]),
    }
}
