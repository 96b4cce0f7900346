//! Graphs that nobody thought of.

use std::collections::BTreeSet;

use onr_onnx::ElemType;
use onr_precision::cast::IoTypes;
use proptest::prelude::*;

use crate::support::{Build, upto};

const UNARY: [&str; 8] =
    ["Relu", "Sigmoid", "Softmax", "Exp", "Transpose", "Identity", "ReduceSum", "Floor"];
const BINARY: [&str; 5] = ["Add", "Mul", "MatMul", "Div", "Sub"];

/// A node: which operator, and which of the values so far it reads.
type Step = (usize, usize, usize);

/// A graph of square matrices; its last values are its outputs.
fn graph(steps: &[Step], outputs: usize) -> Build {
    let start = Build::new().input("x", ElemType::Float, &[4, 4]).square("w").square("v");
    let mut values = vec!["x".to_owned(), "w".to_owned(), "v".to_owned()];
    let mut build = start.weight("k", &[], &[1e-9]);
    values.push("k".to_owned());
    for (at, (op, a, b)) in steps.iter().enumerate() {
        let (a, b) = (&values[a % values.len()], &values[b % values.len()]);
        let out = format!("n{at}");
        build = match op % (UNARY.len() + BINARY.len()) {
            op if op < UNARY.len() => build.node(UNARY[op], a, &out),
            op => build.node(BINARY[op - UNARY.len()], &format!("{a} {b}"), &out),
        };
        values.push(out);
    }
    let last: Vec<_> = values.split_off(values.len() - outputs.min(steps.len()));
    last.iter().fold(build, |build, value| build.output(value))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..13_usize, 0..40_usize, 0..40_usize), 1..25)
}

proptest! {
    /// `run` checks that types never mix and that values are made before they are read.
    #[test]
    fn every_graph_is_strongly_typed_and_each_cast_is_there_once(
        steps in steps(),
        outputs in 1..4_usize,
        hot in 0..25_usize,
        narrow in any::<bool>(),
        bf16 in any::<bool>(),
    ) {
        let to = if bf16 { ElemType::Bfloat16 } else { ElemType::Float16 };
        let io = if narrow { IoTypes::Narrow } else { IoTypes::Keep };
        let hot = format!("n{hot}");
        let measured = [(hot.as_str(), upto(50_000.0))];
        let cast = graph(&steps, outputs).run(to, &measured, io).unwrap();
        let casts = cast.casts();
        prop_assert_eq!(casts.iter().collect::<BTreeSet<_>>().len(), casts.len());
        prop_assert!(cast.model.graph().initializer.len() == 3, "one copy of each constant");
        let froms = cast.model.graph().node.iter().filter(|n| n.op() == "Cast");
        let made: BTreeSet<_> = froms.clone().map(|n| n.output[0].as_str()).collect();
        for node in froms {
            prop_assert!(!made.contains(node.input[0].as_str()), "a cast of a cast");
        }
        let again = graph(&steps, outputs).run(to, &measured, io).unwrap();
        prop_assert_eq!(cast.model.encode(), again.model.encode());
        prop_assert!(cast.report.bytes_after <= cast.report.bytes_before);
    }
}
