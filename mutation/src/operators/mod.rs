//! Ways to make a graph wrong.

mod constants;
mod edges;
mod nodes;

use std::fmt;

use onr_onnx::{ElemType, Links, Model, elem_types, proto::GraphProto};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// A kind of fault that exporters, rewrites and engines are known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// Two axes of a `Transpose` swapped, or a square weight transposed.
    Transpose,
    /// An integer constant is one more or less.
    OffByOne,
    /// The constant term of an `Add` is missing.
    DropBias,
    /// A value is `1 ± 2^-k` times what it was, k of 1 to 8.
    Scale,
    /// The two inputs of an operator that cares, swapped.
    SwapInputs,
    /// Another axis.
    WrongAxis,
    /// A float constant is another one.
    WrongConstant,
    /// A mask says the opposite.
    InvertMask,
    /// A choice always takes the same side.
    DropMask,
    /// Lengths of histories are one more or less: a slot too many, or one too few.
    StaleSlot,
    /// Ids or times pass through 32 bits.
    TruncateIds,
    /// An operator that is nearly right.
    WrongOperator,
    /// A function that is not applied.
    SkipNode,
    /// A weight of the same shape from elsewhere.
    OtherWeight,
    /// The scale of the first channel for all.
    PerTensorScale,
    /// A value as it was one row, head or slot before.
    OtherRow,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Transpose,
        Self::OffByOne,
        Self::DropBias,
        Self::Scale,
        Self::SwapInputs,
        Self::WrongAxis,
        Self::WrongConstant,
        Self::InvertMask,
        Self::DropMask,
        Self::StaleSlot,
        Self::TruncateIds,
        Self::WrongOperator,
        Self::SkipNode,
        Self::OtherWeight,
        Self::PerTensorScale,
        Self::OtherRow,
    ];

    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transpose => "transpose",
            Self::OffByOne => "off-by-one",
            Self::DropBias => "drop-bias",
            Self::Scale => "scale",
            Self::SwapInputs => "swap-inputs",
            Self::WrongAxis => "wrong-axis",
            Self::WrongConstant => "wrong-constant",
            Self::InvertMask => "invert-mask",
            Self::DropMask => "drop-mask",
            Self::StaleSlot => "stale-slot",
            Self::TruncateIds => "truncate-ids",
            Self::WrongOperator => "wrong-operator",
            Self::SkipNode => "skip-node",
            Self::OtherWeight => "other-weight",
            Self::PerTensorScale => "per-tensor-scale",
            Self::OtherRow => "other-row",
        }
    }

    /// Changes node `at`, if it can be; says what was done.
    pub fn apply(self, model: &mut Model, at: usize, rng: &mut ChaCha8Rng) -> Option<Change> {
        let mut site = Site { at, rng, model };
        let (what, right) = match self {
            Self::Transpose => nodes::transpose(&mut site),
            Self::OffByOne => constants::off_by_one(&mut site),
            Self::DropBias => constants::drop_bias(&mut site),
            Self::Scale => edges::scale(&mut site),
            Self::SwapInputs => nodes::swap_inputs(&mut site),
            Self::WrongAxis => nodes::wrong_axis(&mut site),
            Self::WrongConstant => constants::wrong_constant(&mut site),
            Self::InvertMask => edges::invert_mask(&mut site),
            Self::DropMask => nodes::drop_mask(&mut site),
            Self::StaleSlot => edges::stale_slot(&mut site),
            Self::TruncateIds => edges::truncate_ids(&mut site),
            Self::WrongOperator => nodes::wrong_operator(&mut site),
            Self::SkipNode => nodes::skip(&mut site),
            Self::OtherWeight => constants::other_weight(&mut site),
            Self::PerTensorScale => constants::per_tensor_scale(&mut site),
            Self::OtherRow => edges::other_row(&mut site),
        }?;
        Some(Change { what, right })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was done to a graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// In words.
    pub what: String,
    /// Nodes that may be blamed: the one that was changed, and the one that was put in.
    pub right: Vec<String>,
}

/// What was done, and who may be blamed.
type Done = Option<(String, Vec<String>)>;

/// A node that may be changed.
struct Site<'a> {
    at: usize,
    rng: &'a mut ChaCha8Rng,
    model: &'a mut Model,
}

impl Site<'_> {
    fn graph(&mut self) -> &mut GraphProto {
        self.model.graph_mut()
    }

    fn node(&self) -> &onr_onnx::proto::NodeProto {
        &self.model.graph().node[self.at]
    }

    /// The node's own name, as the one to blame.
    fn own(&self) -> Vec<String> {
        vec![self.node().label().to_owned()]
    }

    fn elem(&self, value: &str) -> Option<ElemType> {
        elem_types(self.model.graph()).get(value).copied()
    }

    fn is_constant(&self, value: &str) -> bool {
        self.model.initializer(value).is_some()
    }

    /// The nodes that read a value.
    fn readers(&self, value: &str) -> Vec<String> {
        let graph = self.model.graph();
        let links = Links::new(graph);
        links.uses(value).iter().map(|u| graph.node[u.node].label().to_owned()).collect()
    }

    /// A name that nothing has.
    fn fresh(&self, base: &str) -> String {
        format!("{base}/mutant")
    }
}
