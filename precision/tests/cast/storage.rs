//! Constants, casts, inputs and outputs.

use onr_onnx::ElemType::{self, Float, Float16};
use onr_precision::cast::{IoTypes, Rule};

use crate::support::{Build, Cast, info, upto};

/// A table that is looked up and, transposed, scores.
fn tied() -> Build {
    let build = Build::new().input("ids", ElemType::Int64, &[2]).square("table").square("w");
    let build = build.node("Gather", "table ids", "g").node("MatMul", "g w", "a");
    let build = build.node("Transpose", "table", "t").node("MatMul", "a t", "y");
    build.output("y")
}

#[test]
fn a_table_is_narrow_even_if_only_f32_reads_its_rows() {
    let build = Build::new().input("ids", ElemType::Int64, &[2]).square("table").square("w");
    let build = build.weight("s", &[4], &[1.0; 4]).node("Gather", "table ids", "g");
    let build = build.node("LayerNormalization", "g s", "n").node("MatMul", "n w", "a");
    let cast = build.node("MatMul", "a w", "y").output("y").fp16();
    assert_eq!(cast.constant("table").unwrap().0, Float16);
    assert_eq!(cast.inputs("n")[0], "g.float32", "rows are cast, not the table");
}

#[test]
fn a_shared_table_is_one_narrow_copy() {
    let cast = tied().fp16();
    assert_eq!(cast.constant("table").unwrap().0, Float16);
    assert_eq!(cast.model.graph().initializer.len(), 2);
    assert_eq!(cast.rule("y"), Some(Rule::FinalScores));
    assert_eq!(cast.casts().iter().filter(|c| c.starts_with("table")).count(), 1);
    assert_eq!((cast.report.bytes_before, cast.report.bytes_after), (128, 64));
}

#[test]
fn a_reader_that_needs_the_digits_gets_them_from_one_f32_copy() {
    let build = Build::new().float_input("x").square("w").node("MatMul", "x w", "a");
    let build =
        build.node("MatMul", "a w", "b").node("MatMul", "b w", "c").node("MatMul", "c w", "d");
    let cast = build.node("MatMul", "d w", "y").output("y").measured(&[("b", upto(6e4))]);
    assert_eq!(cast.constant("w").unwrap().0, Float);
    assert_eq!(cast.casts().iter().filter(|c| *c == "w -> w.float16").count(), 1);
    assert_eq!(cast.report.bytes_before, cast.report.bytes_after);
}

#[test]
fn weights_keep_their_signs_and_round_to_even() {
    let tiny = [-1e-9, 2049.0, -2051.0, 0.1, 0.2, 0.3, 0.4, 0.5];
    let mut numbers = [0.5_f32; 1600];
    numbers[..8].copy_from_slice(&tiny);
    let build = Build::new().input("x", Float, &[2, 40]).weight("w", &[40, 40], &numbers);
    let build = build.node("MatMul", "x w", "a").node("MatMul", "a w", "b");
    let cast = build.node("MatMul", "b w", "y").output("y").fp16();
    let (elem, stored) = cast.constant("w").unwrap();
    assert_eq!(elem, Float16);
    assert!(stored[0].is_sign_negative() && stored[0] == 0.0);
    assert_eq!(stored[1..3], [2048.0, -2052.0]);
}

#[test]
fn one_cast_a_value_and_direction() {
    let build = Build::new().float_input("x").square("w").node("MatMul", "x w", "a");
    let build = build.node("MatMul", "x w", "b").node("Softmax", "a", "s").node("Exp", "a", "e");
    let build = build.node("Add", "s e", "f").node("Softmax", "f", "p").node("MatMul", "p b", "g");
    let cast = build.node("MatMul", "g w", "y").output("y").fp16();
    let casts = cast.casts();
    assert_eq!(casts.iter().filter(|c| c.starts_with("x ->")).count(), 1);
    assert_eq!(casts.iter().filter(|c| c.starts_with("a ->")).count(), 1);
    assert_eq!(cast.rule("f"), Some(Rule::Surrounded));
    assert_eq!(cast.inputs("f"), ["s", "e"], "between F32 and F32 nothing is cast");
}

#[test]
fn what_only_moves_f32_stays_f32_for_an_f32_reader() {
    let build = Build::new().float_input("x").square("w").weight("s", &[4], &[1.0; 4]);
    let build = build.node("MatMul", "x w", "a").node("LayerNormalization", "a s", "n");
    let build =
        build.node("Transpose", "n", "t").node("Identity", "t", "i").node("Softmax", "i", "p");
    let build = build.node("MatMul", "t w", "b").node("MatMul", "p b", "c");
    let cast = build.node("MatMul", "c w", "y").output("y").fp16();
    assert_eq!(cast.rule("t"), Some(Rule::Surrounded));
    assert_eq!(cast.inputs("p"), ["i"]);
    assert_eq!(cast.inputs("b")[0], "t.float16");
}

#[test]
fn io_keeps_its_types_unless_asked() {
    let build = || {
        let build = Build::new().float_input("x").square("w").node("MatMul", "x w", "a");
        build.node("Softmax", "a", "s").output("s").node("MatMul", "a w", "y").output("y")
    };
    let io = |cast: &Cast| {
        let graph = cast.model.graph();
        let infos = graph.input.iter().chain(&graph.output);
        infos.map(|v| v.tensor().unwrap().elem_type.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(io(&build().fp16()), [1, 1, 1]);
    let narrow = build().run(Float16, &[], IoTypes::Narrow).unwrap();
    assert_eq!(io(&narrow), [10, 10, 10]);
    assert_eq!(narrow.rule("y"), None);
    assert_eq!(narrow.casts(), ["a -> a.float32", "s.float32 -> s"]);
    let hot = build().run(Float16, &[("x", upto(1e6)), ("s", upto(1e6))], IoTypes::Narrow).unwrap();
    assert_eq!(io(&hot), [1, 1, 10], "what would overflow keeps its type");
    assert_eq!(hot.pin("x"), Some((Rule::Overflow, Some(1e6))));
}

#[test]
fn declared_types_follow() {
    let mut build = Build::new().float_input("x").square("w").node("MatMul", "x w", "a");
    build.graph.value_info.push(info("a", Float, &[2, 4]));
    build.graph.value_info.push(info("s", Float, &[2, 4]));
    let build = build.node("Softmax", "a", "s").node("MatMul", "s w", "b");
    let cast = build.node("MatMul", "b w", "y").output("y").fp16();
    let told = cast.model.graph().value_info.iter();
    let told: Vec<_> = told.map(|v| v.tensor().unwrap().elem_type.unwrap()).collect();
    assert_eq!(told, [10, 1]);
}

#[test]
fn constants_in_nodes_are_constants() {
    let build = Build::new().float_input("x").square("w").node("MatMul", "x w", "a");
    let mut build = build.node("Constant", "", "k").node("Mul", "a k", "b");
    build.graph.node[1].attribute.push(onr_onnx::proto::AttributeProto {
        name: Some("value_float".to_owned()),
        r#type: Some(1),
        f: Some(1e-9),
        ..Default::default()
    });
    let cast = build.node("MatMul", "b w", "c").node("MatMul", "c w", "y").output("y").fp16();
    assert_eq!(cast.rule("b"), Some(Rule::ConstantUnderflow));
}

#[test]
fn a_name_that_is_taken_is_not_used_again() {
    let build = Build::new().float_input("x").square("w").float_input("x.float16");
    let build = build.node("MatMul", "x w", "a").node("Add", "a x.float16", "b");
    let cast = build.node("MatMul", "b w", "c").node("MatMul", "c w", "y").output("y").fp16();
    assert_eq!(cast.inputs("a")[0], "x.float16_");
}

#[test]
fn a_cast_model_is_cast_already() {
    let once = tied().fp16();
    let again = crate::support::run(once.model.clone(), Float16, &[], IoTypes::Keep).unwrap();
    assert_eq!(once.casts(), again.casts());
}
