//! What this pass knows about operators: one row each.

/// What an operator does to rounding errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Products summed by hardware that accumulates in F32: what a cast is for.
    Product,
    /// Rows of a table.
    Lookup,
    /// The same numbers in another place.
    Layout,
    /// Element by element, or a choice among elements: no error grows.
    Light,
    /// Element by element, with a slope that may be large.
    Steep,
    /// Division.
    Quotient,
    /// Sums over axes.
    Reduce,
    /// Norms.
    Norm,
    /// Softmax and what contains one.
    Softmax,
    /// Orders numbers: rounding makes ties.
    Rank,
    /// From and to 8 bits.
    Quantize,
    /// `Cast`.
    Convert,
    /// Reads the shape only.
    Inspect,
}

/// What this pass knows about one operator.
#[derive(Debug)]
pub(crate) struct Op {
    pub(super) name: &'static str,
    pub(crate) kind: Kind,
    /// First opset that takes FP16.
    f16: i64,
    /// First opset that takes BF16.
    bf16: i64,
    /// First opset in which it means what it means in opset 13; beyond 13 for those that are newer.
    means: i64,
}

impl Op {
    /// First opset that takes the target type.
    pub(super) const fn since(&self, bf16: bool) -> i64 {
        if bf16 { self.bf16 } else { self.f16 }
    }

    /// Whether raising the opset from `opset` to 13 leaves its meaning alone.
    pub(super) const fn keeps_meaning(&self, opset: i64) -> bool {
        opset >= self.means
    }

    /// Inputs that are F32 whatever the node computes in.
    pub(super) fn fixed(&self) -> &'static [usize] {
        match self.name {
            "Resize" => &[1, 2],
            "Dropout" => &[1],
            _ => &[],
        }
    }
}

const fn op(name: &'static str, kind: Kind, f16: i64, bf16: i64, means: i64) -> Op {
    Op { name, kind, f16, bf16, means }
}

/// The operator of that name in ONNX's own domain.
pub(crate) fn find(name: &str) -> Option<&'static Op> {
    OPS.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &OPS[at])
}

/// Operators that move no float and keep their meaning, so that raising the opset may pass them.
pub(super) fn neutral_since(name: &str) -> Option<i64> {
    Some(match name {
        "And" | "Or" | "Not" | "Xor" => 7,
        "Constant" | "If" | "Loop" => 1,
        "ConstantOfShape" | "EyeLike" | "OneHot" | "NonZero" | "Scan" => 9,
        "Range" => 11,
        _ => return None,
    })
}

use Kind::{
    Convert, Inspect, Layout, Light, Lookup, Norm, Product, Quantize, Quotient, Rank, Reduce,
    Softmax, Steep,
};

/// Sorted by name. The numbers are those of the ONNX schemas; 99 stands for never.
#[rustfmt::skip]
const OPS: &[Op] = &[
    op("Abs", Light, 1, 13, 6),
    op("Acos", Steep, 7, 22, 7),
    op("Acosh", Steep, 9, 22, 9),
    op("Add", Light, 1, 13, 7),
    op("ArgMax", Rank, 1, 13, 12),
    op("ArgMin", Rank, 1, 13, 12),
    op("Asin", Steep, 7, 22, 7),
    op("Asinh", Steep, 9, 22, 9),
    op("Atan", Steep, 7, 22, 7),
    op("Atanh", Steep, 9, 22, 9),
    op("Attention", Softmax, 23, 23, 23),
    op("AveragePool", Reduce, 1, 22, 10),
    op("BatchNormalization", Norm, 1, 14, 9),
    op("Cast", Convert, 6, 13, 6),
    op("Ceil", Light, 1, 13, 6),
    op("Clip", Light, 1, 13, 11),
    op("Concat", Layout, 1, 13, 4),
    op("Conv", Product, 1, 22, 1),
    op("ConvTranspose", Product, 1, 22, 1),
    op("Cos", Steep, 7, 22, 7),
    op("Cosh", Steep, 9, 22, 9),
    op("CumSum", Reduce, 14, 14, 11),
    op("DepthToSpace", Layout, 1, 13, 11),
    op("DequantizeLinear", Quantize, 19, 19, 13),
    op("Div", Quotient, 1, 13, 7),
    op("Dropout", Layout, 1, 13, 12),
    op("DynamicQuantizeLinear", Quantize, 99, 99, 11),
    op("Einsum", Product, 12, 28, 12),
    op("Elu", Light, 1, 22, 6),
    op("Equal", Light, 11, 13, 7),
    op("Erf", Light, 9, 13, 9),
    op("Exp", Steep, 1, 13, 6),
    op("Expand", Layout, 8, 13, 8),
    op("Flatten", Layout, 1, 13, 1),
    op("Floor", Light, 1, 13, 6),
    op("Gather", Lookup, 1, 13, 1),
    op("GatherElements", Lookup, 11, 13, 11),
    op("GatherND", Lookup, 11, 13, 12),
    op("Gelu", Light, 20, 20, 20),
    op("Gemm", Product, 1, 13, 11),
    op("GlobalAveragePool", Reduce, 1, 22, 1),
    op("GlobalLpPool", Reduce, 1, 22, 2),
    op("GlobalMaxPool", Light, 1, 22, 1),
    op("Greater", Light, 1, 13, 7),
    op("GreaterOrEqual", Light, 12, 16, 12),
    op("GroupNormalization", Norm, 18, 18, 18),
    op("HardSigmoid", Light, 1, 22, 6),
    op("HardSwish", Light, 14, 22, 14),
    op("Identity", Layout, 1, 13, 1),
    op("InstanceNormalization", Norm, 1, 22, 6),
    op("IsInf", Light, 20, 20, 10),
    op("IsNaN", Light, 9, 13, 9),
    op("LRN", Norm, 1, 13, 1),
    op("LayerNormalization", Norm, 17, 17, 17),
    op("LeakyRelu", Light, 1, 16, 6),
    op("Less", Light, 1, 13, 7),
    op("LessOrEqual", Light, 12, 16, 12),
    op("Log", Steep, 1, 13, 6),
    op("LogSoftmax", Softmax, 1, 13, 13),
    op("LpNormalization", Norm, 1, 22, 1),
    op("LpPool", Reduce, 1, 22, 2),
    op("MatMul", Product, 1, 13, 1),
    op("Max", Light, 1, 13, 8),
    op("MaxPool", Light, 1, 22, 10),
    op("Mean", Light, 1, 13, 8),
    op("MeanVarianceNormalization", Norm, 9, 13, 9),
    op("Min", Light, 1, 13, 8),
    op("Mish", Light, 18, 22, 18),
    op("Mul", Light, 1, 13, 7),
    op("Neg", Light, 1, 13, 6),
    op("PRelu", Light, 1, 16, 9),
    op("Pad", Layout, 1, 13, 11),
    op("Pow", Steep, 1, 13, 7),
    op("QLinearConv", Quantize, 99, 99, 10),
    op("QLinearMatMul", Quantize, 21, 21, 10),
    op("QuantizeLinear", Quantize, 19, 19, 13),
    op("RMSNormalization", Norm, 23, 23, 23),
    op("Reciprocal", Quotient, 1, 13, 6),
    op("ReduceL1", Reduce, 1, 13, 1),
    op("ReduceL2", Reduce, 1, 13, 1),
    op("ReduceLogSum", Reduce, 1, 13, 1),
    op("ReduceLogSumExp", Reduce, 1, 13, 1),
    op("ReduceMax", Light, 1, 13, 1),
    op("ReduceMean", Reduce, 1, 13, 1),
    op("ReduceMin", Light, 1, 13, 1),
    op("ReduceProd", Reduce, 1, 13, 1),
    op("ReduceSum", Reduce, 1, 13, 13),
    op("ReduceSumSquare", Reduce, 1, 13, 1),
    op("Relu", Light, 1, 13, 6),
    op("Reshape", Layout, 1, 13, 5),
    op("Resize", Light, 10, 13, 13),
    op("ReverseSequence", Layout, 10, 28, 10),
    op("Round", Light, 11, 22, 11),
    op("ScatterElements", Light, 11, 13, 11),
    op("ScatterND", Light, 11, 13, 11),
    op("Selu", Light, 1, 22, 6),
    op("Shape", Inspect, 1, 13, 1),
    op("Sigmoid", Light, 1, 13, 6),
    op("Sign", Light, 9, 13, 9),
    op("Sin", Steep, 7, 22, 7),
    op("Sinh", Steep, 9, 22, 9),
    op("Size", Inspect, 1, 13, 1),
    op("Slice", Layout, 1, 13, 10),
    op("Softmax", Softmax, 1, 13, 13),
    op("Softplus", Steep, 1, 22, 1),
    op("Softsign", Light, 1, 22, 1),
    op("SpaceToDepth", Layout, 1, 13, 1),
    op("Split", Layout, 1, 13, 13),
    op("Sqrt", Steep, 1, 13, 6),
    op("Squeeze", Layout, 1, 13, 13),
    op("Sub", Light, 1, 13, 7),
    op("Sum", Light, 1, 13, 8),
    op("Tan", Steep, 7, 22, 7),
    op("Tanh", Light, 1, 13, 6),
    op("ThresholdedRelu", Light, 10, 22, 10),
    op("Tile", Layout, 1, 13, 6),
    op("TopK", Rank, 1, 24, 11),
    op("Transpose", Layout, 1, 13, 1),
    op("Trilu", Layout, 14, 14, 14),
    op("Unsqueeze", Layout, 1, 13, 13),
    op("Where", Light, 9, 16, 9),
];

#[cfg(test)]
mod tests {
    use super::{OPS, find};

    #[test]
    fn rows_are_sorted_so_that_they_are_found() {
        assert!(OPS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(OPS.iter().all(|row| find(row.name).is_some_and(|found| found.name == row.name)));
    }
}
