//! The operators we emit: one row each.

use std::ops::RangeInclusive;

use crate::{dtype::DType, graph::Graph};

/// What is known about one ONNX operator.
#[derive(Debug)]
pub struct OpSpec {
    /// Name in the default domain.
    pub name: &'static str,
    /// First opset whose semantics we rely on.
    pub since: u32,
    /// Number of inputs.
    pub arity: RangeInclusive<usize>,
    /// Element types of input 0 that TensorRT, ONNX Runtime and tract all accept.
    pub dtypes: &'static [DType],
}

const FLOAT: &[DType] = &[DType::F32, DType::F16, DType::BF16];
const NUMBER: &[DType] = &[DType::F32, DType::F16, DType::BF16, DType::I64];
const INT: &[DType] = &[DType::I64];
const BOOL: &[DType] = &[DType::Bool];
const ANY: &[DType] = &[DType::F32, DType::F16, DType::BF16, DType::I64, DType::Bool];
const CAST: &[DType] = &[DType::F32, DType::F16, DType::BF16, DType::I32, DType::I64, DType::Bool];

const fn row(
    name: &'static str,
    since: u32,
    arity: RangeInclusive<usize>,
    dtypes: &'static [DType],
) -> OpSpec {
    OpSpec { name, since, arity, dtypes }
}

/// Sorted by name; [`spec`] searches it and a test keeps it sorted.
pub const OPS: &[OpSpec] = &[
    row("Abs", 13, 1..=1, NUMBER),
    row("Add", 14, 2..=2, NUMBER),
    row("And", 7, 2..=2, BOOL),
    row("Cast", 13, 1..=1, CAST),
    row("Concat", 13, 1..=usize::MAX, ANY),
    row("Div", 14, 2..=2, FLOAT),
    row("Equal", 13, 2..=2, NUMBER),
    row("Expand", 13, 2..=2, ANY),
    row("Floor", 13, 1..=1, FLOAT),
    row("Gather", 13, 2..=2, ANY),
    row("GatherND", 13, 2..=2, ANY),
    row("Gemm", 13, 2..=3, FLOAT),
    row("GreaterOrEqual", 16, 2..=2, NUMBER),
    row("Identity", 16, 1..=1, ANY),
    row("LayerNormalization", 17, 2..=3, FLOAT),
    row("Less", 13, 2..=2, NUMBER),
    row("LessOrEqual", 16, 2..=2, NUMBER),
    row("Log", 13, 1..=1, FLOAT),
    row("MatMul", 13, 2..=2, FLOAT),
    row("Max", 13, 2..=2, NUMBER),
    row("Min", 13, 2..=2, NUMBER),
    row("Mul", 14, 2..=2, NUMBER),
    row("Range", 11, 3..=3, INT),
    row("ReduceSum", 13, 2..=2, NUMBER),
    row("Reshape", 14, 2..=2, ANY),
    row("Shape", 13, 1..=1, ANY),
    row("Sigmoid", 13, 1..=1, FLOAT),
    row("Slice", 13, 4..=4, ANY),
    row("Softmax", 13, 1..=1, FLOAT),
    row("Split", 13, 2..=2, ANY),
    row("Sqrt", 13, 1..=1, FLOAT),
    row("Sub", 14, 2..=2, NUMBER),
    row("TopK", 11, 2..=2, FLOAT),
    row("Transpose", 13, 1..=1, ANY),
    row("Unsqueeze", 13, 2..=2, ANY),
    row("Where", 16, 3..=3, BOOL),
];

/// The row of an operator.
#[must_use]
pub fn spec(op: &str) -> Option<&'static OpSpec> {
    OPS.binary_search_by(|row| row.name.cmp(op)).ok().map(|i| &OPS[i])
}

/// The lowest opset that can express `graph`: derived from the operators it uses, `LayerNormalization`
/// making it 17. `None` when it has an operator without a row.
#[must_use]
pub fn minimum_opset(graph: &Graph) -> Option<u32> {
    let mut opsets = graph.nodes.iter().map(|n| spec(n.op).map(|s| s.since));
    // The wire format's IR version 8 begins at 15.
    opsets.try_fold(15, |highest, since| Some(highest.max(since?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        assert!(OPS.windows(2).all(|w| w[0].name < w[1].name));
        assert_eq!(spec("MatMul").unwrap().since, 13);
        assert!(spec("NoSuchOp").is_none());
    }
}
