//! Graphs that were built in FP16, judged by what was measured in F32.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use onr_calibration::TensorStats;
use onr_onnx::{
    ElemType,
    edit::{cast, node},
    proto::{GraphProto, NodeProto, TensorTypeProto, TypeProto, ValueInfoProto},
    scalar, tensor,
};
use onr_precision::{
    cast::Rule,
    typed::{TypedJob, TypedReport, judge},
};

fn info(name: &str) -> ValueInfoProto {
    let float = TensorTypeProto { elem_type: Some(ElemType::Float.code()), shape: None };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(float), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// `x` times a weight, times another value `v` of the caller, times a constant: `after` of it behind the second
/// product, and the rest, if any, in front.
fn graph(elem: ElemType, before: f32, after: f32) -> GraphProto {
    let op = |op: &str, name: &str, inputs: &[&str]| node(op, name, inputs, &[name]);
    let half = elem != ElemType::Float;
    let mut nodes: Vec<NodeProto> = Vec::new();
    let as_operand = |nodes: &mut Vec<NodeProto>, value: &str| {
        if !half {
            return value.to_owned();
        }
        let name = format!("{value}.narrow");
        nodes.push(cast(value, &name, elem));
        name
    };
    let x = as_operand(&mut nodes, "x");
    nodes.push(op("MatMul", "m", &[&x, "w"]));
    let wide = if half { "m.wide" } else { "m" };
    if half {
        nodes.push(cast("m", wide, ElemType::Float));
    }
    nodes.push(op("Add", "y", &[wide, "bias"]));
    let mut scaled = "y";
    if before != 1.0 {
        nodes.push(op("Mul", "before", &["y", "factor"]));
        scaled = "before";
    }
    nodes.push(op("Where", "picked", &["mask", scaled, "zero"]));
    let (picked, v) = (as_operand(&mut nodes, "picked"), as_operand(&mut nodes, "v"));
    nodes.push(op("MatMul", "p", &[&picked, &v]));
    let wide = if half { "p.wide" } else { "p" };
    if half {
        nodes.push(cast("p", wide, ElemType::Float));
    }
    nodes.push(op("Mul", "z", &[wide, "after"]));
    GraphProto {
        node: nodes,
        input: ["x", "v"].map(info).into(),
        output: vec![info("z")],
        initializer: vec![
            tensor("w", elem, &[4, 4], Vec::new()),
            tensor("bias", ElemType::Float, &[4], Vec::new()),
            tensor("mask", ElemType::Bool, &[1], vec![1]),
            scalar("zero", ElemType::Float, 0.0),
            scalar("factor", ElemType::Float, before),
            scalar("after", ElemType::Float, after),
        ],
        ..GraphProto::default()
    }
}

/// What was measured in F32, with the values of a test in place of harmless ones.
fn measured(changes: &[(&str, &[f32])]) -> BTreeMap<String, TensorStats> {
    let of = |numbers: &[f32]| {
        let mut stats = TensorStats::new(None);
        stats.observe(numbers, 0).unwrap();
        stats
    };
    let harmless = ["x", "v", "m", "y", "picked", "p", "z"].map(|name| (name, &[1.0_f32, 0.5][..]));
    let all = harmless.iter().chain(changes);
    all.map(|(name, numbers)| ((*name).to_owned(), of(numbers))).collect()
}

fn judged(
    narrow: &GraphProto,
    elem: ElemType,
    seen: &BTreeMap<String, TensorStats>,
) -> TypedReport {
    let wide = graph(ElemType::Float, 1.0, 0.003);
    let lookup = |name: &str| seen.get(name).cloned();
    judge(&TypedJob { graph: narrow, to: elem, wide: &wide, measured: Some(&lookup) }).unwrap()
}

fn half(seen: &BTreeMap<String, TensorStats>) -> TypedReport {
    judged(&graph(ElemType::Float16, 1.0 / 16.0, 0.003 * 16.0), ElemType::Float16, seen)
}

#[test]
fn what_overflows_is_named_and_bf16_takes_it() {
    let seen = measured(&[("m", &[40_000.0, 1.0])]);
    let report = half(&seen);
    let [beyond] = &report.overflow[..] else { panic!("{report:?}") };
    assert_eq!(
        (beyond.value.as_str(), beyond.rule, beyond.number),
        ("m", Rule::Overflow, 40_000.0)
    );
    let narrow = graph(ElemType::Bfloat16, 1.0 / 16.0, 0.003 * 16.0);
    let report = judged(&narrow, ElemType::Bfloat16, &seen);
    assert!(report.overflow.is_empty() && report.underflow.is_empty(), "{report:?}");
    assert!(report.judged == 5 && report.unmeasured.is_empty(), "{report:?}");
}

#[test]
fn casts_have_the_numbers_of_what_they_read() {
    let report = half(&measured(&[("x", &[1.0, 1e5])]));
    assert_eq!(report.overflow[0].value, "x.narrow");
    assert_eq!(report.overflow.len(), 1);
}

#[test]
fn a_power_of_two_is_followed_to_where_it_is_taken_back() {
    // In F32 both would be too much; here they are a sixteenth of it.
    let report = half(&measured(&[("picked", &[1e5]), ("p", &[2e5])]));
    assert!(report.overflow.is_empty(), "{report:?}");
    assert_eq!((report.judged, report.unmeasured.len()), (5, 0));
    let report = half(&measured(&[("p", &[6e5])]));
    assert_eq!((report.overflow[0].value.as_str(), report.overflow[0].number), ("p", 37_500.0));
    // Behind the second factor the numbers are those of F32 again.
    let z = report.wide.iter().find(|wide| wide.node == "z").unwrap();
    assert_eq!((z.tensor.as_deref(), z.max_abs), (Some("p.wide"), Some(37_500.0)));
    let report = half(&measured(&[("z", &[7e5])]));
    assert_eq!(report.wide.iter().find(|wide| wide.node == "z").unwrap().max_abs, Some(7e5));
}

#[test]
fn what_becomes_too_small_has_its_share() {
    // Three in four are below 2^-14 once they are a sixteenth.
    let report = half(&measured(&[("picked", &[1.0, 5e-4, 6e-4, 7e-4])]));
    let [small] = &report.underflow[..] else { panic!("{report:?}") };
    assert_eq!((small.value.as_str(), small.rule), ("picked.narrow", Rule::Underflow));
    assert!((small.number - 0.75).abs() < 1e-9, "{small:?}");
    assert!(report.overflow.is_empty());
}

#[test]
fn what_cannot_be_followed_is_counted() {
    let mut seen = measured(&[]);
    seen.remove("m");
    assert_eq!(half(&seen).unmeasured, ["m"]);
    // Names alone prove nothing: this `p` multiplies something else.
    let mut other = graph(ElemType::Float16, 1.0 / 16.0, 0.003 * 16.0);
    other.node.iter_mut().find(|n| n.label() == "p").unwrap().input[0] = "x.narrow".to_owned();
    assert_eq!(judged(&other, ElemType::Float16, &measured(&[])).unmeasured, ["p"]);
    // A factor that is no power of two rounds: nobody measured what comes out.
    let third = graph(ElemType::Float16, 0.3, 0.01);
    let report = judged(&third, ElemType::Float16, &measured(&[]));
    assert_eq!(report.unmeasured, ["picked.narrow", "p"]);
}

#[test]
fn nodes_in_f32_have_their_rule() {
    let report = half(&measured(&[("y", &[3.0])]));
    let rule = |name: &str| report.wide.iter().find(|wide| wide.node == name).map(|wide| wide.rule);
    assert_eq!(rule("y"), Some(Rule::Bias));
    assert_eq!(rule("z"), Some(Rule::FinalScores));
    assert_eq!(rule("before"), Some(Rule::Surrounded));
    assert_eq!(rule("picked"), Some(Rule::RoundedLater));
    assert_eq!((rule("m"), rule("p"), rule("x.narrow/Cast")), (None, None, None));
}

#[test]
fn a_target_of_32_bits_is_refused() {
    let wide = graph(ElemType::Float, 1.0, 0.003);
    let job = TypedJob { graph: &wide, to: ElemType::Float, wide: &wide, measured: None };
    assert!(judge(&job).is_err());
}
