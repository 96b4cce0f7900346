//! What was decided, and why.

use std::fmt;

use serde::Serialize;

/// Why a node stays in F32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// The caller asked for it.
    Keep,
    /// It holds a body: `If`, `Loop`, `Scan`. Bodies stay as they are.
    Subgraph,
    /// Its operator is not ONNX's own: another domain, or a function of the model.
    UnknownOperator,
    /// The schema of its operator does not take the target type at this opset; the value is the first
    /// opset that does.
    UnsupportedType,
    /// It touches a value of which nobody tells the type.
    UnknownType,
    /// It is part of a `QuantizeLinear`/`DequantizeLinear` pattern, which compilers match in F32.
    Quantization,
    /// It makes or reads floats that were integers too large to be exact.
    IntegerCast,
    /// It reads a constant beyond the largest number.
    ConstantRange,
    /// It reads a constant that would vanish or lose most of its digits.
    ConstantUnderflow,
    /// A measured value comes too close to the largest number, or exceeds it.
    Overflow,
    /// Too many of the measured numbers are too small.
    Underflow,
    /// A norm: it sums squares over an axis.
    Norm,
    /// A softmax: it sums exponentials over an axis.
    Softmax,
    /// A sum over an axis that is long, or of unknown length; the value is the length.
    Reduction,
    /// A function whose output changes much faster than its input somewhere: `Exp`, `Log`, `Pow`.
    Steep,
    /// It divides by numbers that may be small.
    Quotient,
    /// What it makes ends as an integer or as a size.
    Index,
    /// What it makes is a result of the model, or is ranked.
    FinalScores,
    /// All it reads and all that reads it is F32: casts would cost and gain nothing.
    Surrounded,
    /// It adds a bias to a product. This rule and those below are of graphs that were built in 16 bits, see
    /// [`typed`](crate::typed).
    Bias,
    /// An activation function, or a gate: a product of two computed values, element by element.
    Gate,
    /// It adds up, masks or scales what products of two computed values made: scores of keys, sums of values.
    Attention,
    /// A sum of computed values: the residual stream.
    Residual,
    /// It moves, picks or scales numbers of F32: they are rounded once, behind it.
    RoundedLater,
}

impl Rule {
    /// Stable name: it appears in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Subgraph => "subgraph",
            Self::UnknownOperator => "unknown-operator",
            Self::UnsupportedType => "unsupported-type",
            Self::UnknownType => "unknown-type",
            Self::Quantization => "quantization",
            Self::IntegerCast => "integer-cast",
            Self::ConstantRange => "constant-range",
            Self::ConstantUnderflow => "constant-underflow",
            Self::Overflow => "overflow",
            Self::Underflow => "underflow",
            Self::Norm => "norm",
            Self::Softmax => "softmax",
            Self::Reduction => "reduction",
            Self::Steep => "steep",
            Self::Quotient => "quotient",
            Self::Index => "index",
            Self::FinalScores => "final-scores",
            Self::Surrounded => "surrounded",
            Self::Bias => "bias",
            Self::Gate => "gate",
            Self::Attention => "attention",
            Self::Residual => "residual",
            Self::RoundedLater => "rounded-later",
        }
    }

    /// Whether a node of this rule may read a weight that was rounded for others.
    ///
    /// Where the *sum* has to be F32 the terms need not be: a weight that other nodes read rounded is as
    /// good here. Where the *numbers* pinned the node, or the caller did, it gets what the file had.
    pub(super) const fn takes_rounded_weights(self) -> bool {
        matches!(
            self,
            Self::Norm
                | Self::Softmax
                | Self::Reduction
                | Self::UnsupportedType
                | Self::FinalScores
                | Self::Surrounded
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A node that stays in F32, or an input of the graph that does although I/O was to be narrowed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pinned {
    /// Label of the node.
    pub node: String,
    /// Its operator; `Input` for an input of the graph.
    pub op: String,
    /// Why.
    pub rule: Rule,
    /// The value or constant that decided, where one did.
    pub tensor: Option<String>,
    /// The number that decided, where one did.
    pub value: Option<f64>,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.node, self.op, self.rule)?;
        if let Some(tensor) = &self.tensor {
            write!(f, ", `{tensor}`")?;
        }
        if let Some(value) = self.value {
            write!(f, " = {value:e}")?;
        }
        Ok(())
    }
}

/// What a cast did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CastReport {
    /// Nodes that compute in the target type now.
    pub narrowed: usize,
    /// Nodes that could have and do not, in the graph's order.
    pub pinned: Vec<Pinned>,
    /// Bytes of all constants before.
    pub bytes_before: u64,
    /// Bytes of all constants after.
    pub bytes_after: u64,
}
