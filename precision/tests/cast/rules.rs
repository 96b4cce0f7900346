//! Each rule of the cast: where it holds, where it does not, and with which number.

use crate::support::{Build, info, upto};
use onr_onnx::ElemType;
use onr_precision::{
    Measured,
    cast::{IoTypes, Rule},
};

/// A product, something, a product: whatever is in the middle has a narrow neighbour on each side.
pub(crate) fn between(op: &str, extra: &str) -> Build {
    middle(Build::new().square("w"), op, extra)
}

pub(crate) fn middle(build: Build, op: &str, extra: &str) -> Build {
    let build = build.float_input("x").square("w2").square("w3");
    let build = build.node("MatMul", "x w3", "a").node(op, &format!("a {extra}"), "b");
    build.node("MatMul", "b w2", "c").node("Relu", "c", "d").node("MatMul", "d w2", "y").output("y")
}

#[test]
fn products_and_what_lies_between_are_narrow() {
    let cast = between("Relu", "").fp16();
    assert_eq!(cast.rule("a"), None);
    assert_eq!(cast.rule("b"), None);
    assert_eq!(cast.rule("y"), Some(Rule::FinalScores));
    assert_eq!(cast.report.narrowed, 4);
    assert_eq!(cast.constant("w3").unwrap().0, ElemType::Float16);
    assert_eq!(cast.casts(), ["x -> x.float16", "d -> d.float32", "w2 -> w2.float32"]);
}

#[test]
fn operators_that_amplify_errors_stay() {
    for (op, rule) in [
        ("Softmax", Rule::Softmax),
        ("Exp", Rule::Steep),
        ("Log", Rule::Steep),
        ("Sqrt", Rule::Steep),
        ("Reciprocal", Rule::Quotient),
    ] {
        assert_eq!(between(op, "").fp16().rule("b"), Some(rule), "{op}");
        assert_eq!(between(op, "").bf16().rule("b"), Some(rule), "{op}");
    }
    let norm = middle(Build::new().weight("s", &[4], &[1.0; 4]), "LayerNormalization", "s");
    let cast = norm.fp16();
    assert_eq!(cast.rule("b"), Some(Rule::Norm));
    assert_eq!(cast.constant("s").unwrap().0, ElemType::Float, "read by F32 only");
    let power = middle(Build::new().weight("two", &[], &[2.0]), "Pow", "two");
    assert_eq!(power.fp16().rule("b"), Some(Rule::Steep));
}

#[test]
fn long_sums_stay_and_short_ones_do_not() {
    let sum = |length: i64| {
        let mut build = Build::new().float_input("x").square("w").ints("axis", &[-1]);
        build.graph.value_info.push(info("a", ElemType::Float, &[2, length]));
        let build = build.node("MatMul", "x w", "a").node("ReduceSum", "a axis", "b");
        build
            .node("Mul", "a b", "c")
            .node("MatMul", "c w", "d")
            .node("MatMul", "d w", "y")
            .output("y")
    };
    assert_eq!(sum(16).fp16().rule("b"), None);
    assert_eq!(sum(17).fp16().pin("b"), Some((Rule::Reduction, Some(17.0))));
    assert_eq!(between("ReduceMean", "").fp16().pin("b"), Some((Rule::Reduction, None)));
}

#[test]
fn division_is_narrow_where_the_divisor_is_known() {
    let by = |x: f32| middle(Build::new().weight("k", &[], &[x]), "Div", "k").fp16();
    assert_eq!(by(8.0).rule("b"), None);
    assert_eq!(by(1e-5).pin("b"), Some((Rule::ConstantUnderflow, Some(f64::from(1e-5_f32)))));
    assert_eq!(between("Div", "a").fp16().rule("b"), Some(Rule::Quotient));
    assert_eq!(between("Div", "a").measured(&[("a", upto(3.0))]).rule("b"), None);
    let small = Measured { subnormal: 1, ..upto(3.0) };
    let cast = between("Div", "a").measured(&[("a", small)]);
    assert_eq!(cast.pin("b"), Some((Rule::Quotient, Some(f64::from(2_f32.powi(-14))))));
}

#[test]
fn overflow_pins_who_makes_and_who_reads() {
    let cast = between("Relu", "").measured(&[("a", upto(32_752.0))]);
    assert_eq!(cast.pin("a"), Some((Rule::Overflow, Some(32_752.0))));
    assert_eq!(cast.pin("b"), Some((Rule::Overflow, Some(32_752.0))));
    assert_eq!(cast.rule("c"), None);
    assert_eq!(between("Relu", "").measured(&[("a", upto(32_751.0))]).rule("a"), None);
    let bf16 = between("Relu", "").run(ElemType::Bfloat16, &[("a", upto(1e30))], IoTypes::Keep);
    assert_eq!(bf16.unwrap().rule("a"), None);
}

#[test]
fn underflow_is_a_share_of_the_elements() {
    let seen = |subnormal, flushed| Measured { subnormal, flushed, ..upto(1.0) };
    let rule = |m| between("Relu", "").measured(&[("b", m)]).pin("b");
    assert_eq!(rule(seen(100, 10)), None);
    assert_eq!(rule(seen(101, 10)), Some((Rule::Underflow, Some(0.101))));
    assert_eq!(rule(seen(11, 11)), Some((Rule::Underflow, Some(0.011))));
    let bf16 = between("Relu", "").run(ElemType::Bfloat16, &[("b", seen(900, 900))], IoTypes::Keep);
    assert_eq!(bf16.unwrap().rule("b"), None);
}

#[test]
fn a_scale_pair_stays_whole() {
    let build = Build::new().weight("tiny", &[], &[1e-9]).weight("huge", &[], &[1e9]);
    let build = build.float_input("x").square("w").node("MatMul", "x w", "a");
    let build = build.node("Mul", "a tiny", "b").node("Mul", "b huge", "c");
    let cast = build.node("MatMul", "c w", "d").node("MatMul", "d w", "y").output("y").fp16();
    assert_eq!(cast.pin("b"), Some((Rule::ConstantUnderflow, Some(f64::from(1e-9_f32)))));
    assert_eq!(cast.pin("c"), Some((Rule::ConstantRange, Some(f64::from(1e9_f32)))));
    assert_eq!(cast.inputs("c"), ["b", "huge"], "nothing between them");
    assert_eq!(cast.rule("d"), None);
}

#[test]
fn a_product_of_harmless_factors_is_caught_by_measuring() {
    let build = || {
        let build = Build::new().weight("k", &[], &[1e-4]).weight("up", &[], &[3e4]);
        let build = build.float_input("x").square("w").node("MatMul", "x w", "a");
        let build = build.node("Mul", "a k", "b").node("Mul", "b k", "c").node("Mul", "c up", "d");
        build.node("MatMul", "d w", "e").node("MatMul", "e w", "y").output("y")
    };
    assert_eq!(build().fp16().rule("c"), None);
    let gone = Measured { max_abs: 1e-8, count: 1000, subnormal: 1000, flushed: 1000 };
    let cast = build().measured(&[("c", gone)]);
    assert_eq!(cast.pin("c"), Some((Rule::Underflow, Some(1.0))));
    assert_eq!(cast.pin("d"), Some((Rule::Underflow, Some(1.0))), "it would read zeros");
}

#[test]
fn a_weight_out_of_range_pins_its_reader_and_infinity_does_not() {
    let weights = |x: f32| middle(Build::new().weight("k", &[4], &[0.5, x, 1.0, 1.0]), "Add", "k");
    let cast = weights(-65_520.0).fp16();
    assert_eq!(cast.pin("b"), Some((Rule::ConstantRange, Some(-65_520.0))));
    assert_eq!(cast.constant("k").unwrap().1[1], -65_520.0);
    assert_eq!(weights(65_519.0).fp16().rule("b"), None);
    let cast = weights(f32::NEG_INFINITY).fp16();
    assert_eq!(cast.rule("b"), None);
    assert_eq!(cast.constant("k").unwrap().1[1], f32::NEG_INFINITY);
}

#[test]
fn integers_become_floats_where_they_are_exact() {
    let ids = |elem, measured: &[(&str, Measured)]| {
        let build = Build::new().input("ids", elem, &[2, 4]).float_input("x").square("w");
        let build = build.cast("ids", "f", ElemType::Float).node("MatMul", "x w", "a");
        let build = build.node("Add", "a f", "b").node("MatMul", "b w", "c");
        build.node("MatMul", "c w", "y").output("y").measured(measured)
    };
    assert_eq!(ids(ElemType::Bool, &[]).rule("f"), None);
    assert_eq!(ids(ElemType::Int64, &[]).pin("f"), Some((Rule::IntegerCast, None)));
    assert_eq!(ids(ElemType::Int64, &[]).rule("b"), Some(Rule::IntegerCast));
    let small = ids(ElemType::Int64, &[("f", upto(2048.0))]);
    assert_eq!(small.rule("f"), None);
    assert!(small.casts().contains(&"ids -> f".to_owned()), "the cast itself makes FP16");
    let large = ids(ElemType::Int64, &[("f", upto(2049.0))]);
    assert_eq!(large.pin("b"), Some((Rule::IntegerCast, Some(2049.0))));
}

#[test]
fn floats_that_become_integers_stay() {
    let build = Build::new().float_input("x").square("w").square("table");
    let build = build.node("MatMul", "x w", "a").node("Log", "a", "l").weight("k", &[], &[3.3]);
    let build =
        build.node("Mul", "l k", "m").node("Floor", "m", "f").cast("f", "i", ElemType::Int64);
    let build = build.node("Gather", "table i", "g").node("MatMul", "g w", "h");
    let cast = build.node("MatMul", "h w", "y").output("y").fp16();
    assert_eq!(cast.rule("l"), Some(Rule::Steep));
    assert_eq!(cast.rule("m"), Some(Rule::Index));
    assert_eq!(cast.rule("f"), Some(Rule::Index));
    assert_eq!(cast.rule("a"), None, "a product ends the chain");
    assert_eq!(cast.rule("g"), None);
}

#[test]
fn what_is_ranked_stays() {
    let build = Build::new().float_input("x").square("w").ints("k", &[2]);
    let build = build.node("MatMul", "x w", "a").node("MatMul", "a w", "b");
    let build = build.node("TopK", "b k", "top ids").node("MatMul", "a w", "c");
    let cast = build.node("MatMul", "c w", "y").output("y").fp16();
    assert_eq!(cast.rule("top"), Some(Rule::FinalScores));
    assert_eq!(cast.rule("b"), Some(Rule::FinalScores));
    assert_eq!(cast.rule("a"), None);
}

#[test]
fn a_result_that_others_read_does_not_pin_its_layer() {
    let build = Build::new().float_input("x").square("w").node("MatMul", "x w", "key");
    let build = build.node("MatMul", "key w", "b").node("MatMul", "b w", "y");
    let cast = build.output("y").output("key").fp16();
    assert_eq!(cast.rule("key"), None);
    assert_eq!(cast.inputs("b")[0], "key.float16");
    assert!(cast.casts().contains(&"key.float16 -> key".to_owned()));
}

#[test]
fn the_caller_decides_over_everything() {
    let build = Build::new().float_input("x").square("w").node("MatMul", "x w", "kept");
    let cast = build.node("MatMul", "kept w", "b").node("MatMul", "b w", "y").output("y").fp16();
    assert_eq!(cast.rule("kept"), Some(Rule::Keep));
    assert_eq!(cast.constant("w").unwrap().0, ElemType::Float, "it gets what the file had");
    assert!(cast.casts().contains(&"w -> w.float16".to_owned()));
}
