//! Masks of a softmax.

use onr_onnx::ElemType;
use onr_precision::{
    Measured,
    cast::{IoTypes, Rule},
};

use crate::support::{Build, Cast, upto};

const LOWEST: f32 = -65_504.0;

fn select(fill: f32) -> Build {
    let build = Build::new().float_input("x").input("m", ElemType::Bool, &[2, 4]).square("w");
    let build = build.weight("never", &[], &[fill]).node("MatMul", "x w", "a");
    let build = build.node("Where", "m a never", "b").node("Softmax", "b", "s");
    build.node("MatMul", "s w", "c").node("MatMul", "c w", "y").output("y")
}

fn add(fill: f32) -> Build {
    let build =
        Build::new().float_input("x").square("w").weight("never", &[4], &[0.0, fill, 0.0, fill]);
    let build = build.node("MatMul", "x w", "a").node("Add", "a never", "b");
    let build = build.node("Softmax", "b", "s").node("MatMul", "s w", "c");
    build.node("MatMul", "c w", "y").output("y")
}

#[test]
fn a_fill_becomes_the_lowest_number() {
    for fill in [-1e4, -1e9, f32::MIN, f32::NEG_INFINITY] {
        let cast = select(fill).measured(&[("b", upto(fill.abs().min(f32::MAX)))]);
        assert_eq!(cast.rule("b"), None, "{fill}: a mask pins nothing by its range");
        assert_eq!(cast.rule("s"), Some(Rule::Softmax));
        assert_eq!(cast.inputs("b")[2], "never.lowest");
        assert_eq!(cast.constant("never.lowest").unwrap(), (ElemType::Float16, vec![LOWEST]));
        assert_eq!(cast.constant("never"), None, "nobody reads it any more");
    }
    let cast = select(f32::MIN).bf16();
    let lowest = half::bf16::MIN.to_f32();
    assert_eq!(cast.constant("never.lowest").unwrap(), (ElemType::Bfloat16, vec![lowest]));
}

#[test]
fn a_mask_that_is_added_leaves_room_for_the_scores() {
    let mask = |cast: &Cast| cast.constant("never.half_lowest").unwrap().1;
    let cast = add(f32::NEG_INFINITY).fp16();
    assert_eq!(cast.rule("b"), None);
    assert_eq!(mask(&cast), [0.0, LOWEST / 2.0, 0.0, LOWEST / 2.0]);
    assert_eq!(mask(&add(-1e4).fp16()), [0.0, -1e4, 0.0, -1e4], "it fits as it is");
}

#[test]
fn a_mask_made_from_bools_is_one() {
    let build = Build::new().float_input("x").input("m", ElemType::Bool, &[2, 4]).square("w");
    let build = build.weight("one", &[], &[1.0]).weight("never", &[], &[f32::MIN]);
    let build = build.cast("m", "f", ElemType::Float).node("Sub", "one f", "i");
    let build =
        build.node("Mul", "i never", "n").node("MatMul", "x w", "a").node("Add", "a n", "b");
    let build = build.node("Softmax", "b", "s").node("MatMul", "s w", "c");
    let build = build.node("MatMul", "c w", "y").output("y");
    let cast = build.measured(&[("n", upto(f32::MAX)), ("b", upto(f32::MAX))]);
    assert_eq!(cast.rule("n"), None);
    assert_eq!(cast.rule("b"), None);
    assert_eq!(cast.constant("never.half_lowest").unwrap().1, [LOWEST / 2.0]);
}

#[test]
fn scores_that_are_really_large_are_not_excused_by_a_mask() {
    let cast = select(-1e9).measured(&[("a", upto(40_000.0)), ("b", upto(1e9))]);
    assert_eq!(cast.pin("a"), Some((Rule::Overflow, Some(40_000.0))));
    assert_eq!(cast.pin("b"), Some((Rule::Overflow, Some(40_000.0))));
    assert_eq!(
        cast.constant("never").unwrap(),
        (ElemType::Float, vec![-1e9]),
        "F32 needs no other"
    );
}

#[test]
fn a_fill_that_no_softmax_reads_is_a_number() {
    let build = Build::new().float_input("x").input("m", ElemType::Bool, &[2, 4]).square("w");
    let build = build.weight("never", &[], &[-1e9]).node("MatMul", "x w", "a");
    let build = build.node("Where", "m a never", "b").node("MatMul", "b w", "c");
    let cast = build.node("MatMul", "c w", "y").output("y").fp16();
    assert_eq!(cast.pin("b"), Some((Rule::ConstantRange, Some(-1e9))));
}

#[test]
fn a_constant_that_is_a_mask_and_a_number_is_both() {
    let build = select(-1e4).node("Add", "c never", "z").node("MatMul", "z w", "y2").output("y2");
    let cast = build.run(ElemType::Float16, &[] as &[(&str, Measured)], IoTypes::Keep).unwrap();
    assert_eq!(cast.constant("never.lowest").unwrap().1, [LOWEST]);
    assert_eq!(cast.constant("never").unwrap(), (ElemType::Float16, vec![-1e4]));
}
