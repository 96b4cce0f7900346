//! What a cast leaves alone, and what it refuses.

use onr_onnx::{ElemType, proto::OperatorSetIdProto};
use onr_precision::cast::{CastError, IoTypes, Rule};

use crate::{
    rules::{between, middle},
    support::{Build, body, info, run, upto},
};

#[test]
fn unknown_operators_and_unknown_types_stay() {
    let build = Build::new().float_input("x").square("w").node("MatMul", "x w", "a");
    let build = build.with("Magic", "a", "b", |n| n.domain = Some("com.microsoft".to_owned()));
    let build = build.node("Relu", "b", "c").node("NonMaxSuppression", "a", "z");
    let mut build = build.node("MatMul", "c w", "y").output("y");
    build.graph.value_info.push(info("z", ElemType::Int64, &[1, 3]));
    let cast = build.fp16();
    assert_eq!(cast.rule("b"), Some(Rule::UnknownOperator));
    assert_eq!(cast.rule("c"), Some(Rule::UnknownType));
    assert_eq!(cast.rule("z"), Some(Rule::UnsupportedType));
    assert_eq!(cast.rule("a"), None);
}

#[test]
fn bodies_stay_and_get_f32() {
    let branch = || {
        let build = Build::new().node("Mul", "a k", "inner").output("inner");
        build.graph
    };
    let build = Build::new().float_input("x").input("cond", ElemType::Bool, &[]).square("w");
    let build = build.weight("k", &[], &[0.5]).node("MatMul", "x w", "a").node("Mul", "a k", "s");
    let build = build.with("If", "cond", "b", |n| {
        n.attribute = vec![body("then_branch", branch()), body("else_branch", branch())];
    });
    let build = build.node("Add", "b s", "c").node("MatMul", "c w", "d");
    let cast = build.node("MatMul", "d w", "y").output("y").fp16();
    assert_eq!(cast.rule("b"), Some(Rule::Subgraph));
    assert_eq!(cast.types()["a"], ElemType::Float, "the body reads it by name");
    assert_eq!(cast.types()["k"], ElemType::Float);
    assert_eq!(cast.types()["b"], ElemType::Float);
    assert_eq!(cast.rule("c"), None);
    assert_eq!(cast.inputs("c"), ["b.float16", "s"]);
}

#[test]
fn quantized_products_keep_their_pattern() {
    let build = Build::at(19).float_input("x").square("w").weight("s", &[], &[0.01]);
    let mut build = build.node("MatMul", "x w", "a").node("QuantizeLinear", "a s zero", "q");
    build.graph.initializer.push(onr_onnx::tensor("zero", ElemType::Int8, &[], vec![0]));
    let build = build.node("DequantizeLinear", "q s zero", "dq").node("MatMul", "dq w", "p");
    let cast = build.node("MatMul", "p w", "b").node("MatMul", "b w", "y").output("y").fp16();
    assert_eq!(cast.rule("q"), Some(Rule::Quantization));
    assert_eq!(cast.rule("dq"), Some(Rule::Quantization));
    assert_eq!(cast.rule("p"), Some(Rule::Quantization));
    assert_eq!(cast.rule("b"), None);
}

#[test]
fn schemas_decide_what_takes_bf16() {
    let conv = |opset| {
        let build = Build::at(opset).input("x", ElemType::Float, &[1, 4, 8, 8]);
        let build = build.weight("w", &[4, 4, 1, 1], &[0.1; 16]);
        let build =
            build.node("Conv", "x w", "a").node("Conv", "a w", "b").node("Conv", "b w", "y");
        build.output("y").bf16()
    };
    assert_eq!(conv(17).pin("a"), Some((Rule::UnsupportedType, Some(22.0))));
    assert_eq!(conv(22).rule("a"), None);
}

#[test]
fn the_opset_rises_where_nothing_changes_its_meaning() {
    let model = |op: &str| {
        let build = Build::at(11).float_input("x").square("w").node("MatMul", "x w", "a");
        build.node(op, "a", "b").node("MatMul", "b w", "y").output("y")
    };
    let cast = model("Relu").bf16();
    assert_eq!(cast.model.opset(), 13);
    assert_eq!(model("Relu").fp16().model.opset(), 11, "FP16 needs no newer one");
    let refused = model("Softmax").run(ElemType::Bfloat16, &[], IoTypes::Keep).err().unwrap();
    let CastError::Opset { operator, opset, needed, .. } = &refused else { panic!("{refused}") };
    assert_eq!((operator.as_str(), *opset, *needed), ("Softmax", 11, 13));
    assert!(refused.hint().is_some());
}

#[test]
fn nan_and_other_targets_are_refused() {
    let build = || between("Relu", "");
    let nan = build().run(ElemType::Float16, &[("a", upto(f32::NAN))], IoTypes::Keep).err();
    assert_eq!(nan.unwrap().to_string(), "`a` holds NaN");
    let nan = middle(Build::new().weight("k", &[2], &[1.0, f32::NAN]), "Add", "k");
    let nan = nan.run(ElemType::Float16, &[], IoTypes::Keep).err();
    assert_eq!(nan.unwrap().to_string(), "`k` holds NaN");
    let int8 = build().run(ElemType::Int8, &[], IoTypes::Keep).err().unwrap();
    assert_eq!(int8.to_string(), "cannot cast to int8: the targets are float16 and bfloat16");
}

#[test]
fn operands_that_must_be_f32_stay() {
    let build = Build::new().input("x", ElemType::Float, &[1, 1, 2, 4]).square("w");
    let build = build.weight("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
    let build = build.node("MatMul", "x w", "a").node("Resize", "a none scales", "b");
    let mut build = build.node("MatMul", "b w", "c").node("MatMul", "c w", "y").output("y");
    build.graph.node[1].input[1] = String::new();
    let cast = run(build.model(), ElemType::Float16, &[], IoTypes::Keep).unwrap();
    assert_eq!(cast.rule("b"), None);
    assert_eq!(cast.constant("scales").unwrap().0, ElemType::Float);
}

#[test]
fn functions_of_the_model_are_operators_nobody_knows() {
    let build = Build::new().float_input("x").square("w").node("MatMul", "x w", "a");
    let build = build.with("Own", "a", "b", |n| n.domain = Some("mine".to_owned()));
    let mut model = build.node("MatMul", "a w", "y").output("y").model();
    let import = OperatorSetIdProto { domain: Some("mine".to_owned()), version: Some(1) };
    model.proto_mut().opset_import.push(import);
    let cast = run(model, ElemType::Float16, &[], IoTypes::Keep).unwrap();
    let own = cast.report.pinned.iter().find(|p| p.op == "Own").unwrap();
    assert_eq!(own.to_string(), "b (Own): unknown-operator");
}
