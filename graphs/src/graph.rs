//! The graph itself: values, nodes, and nothing that knows a file format.

use std::collections::BTreeSet;

use crate::{dim::Dim, dtype::DType};

/// Index of a value in [`Graph::values`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// Position in [`Graph::values`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A tensor of a graph: an input, a weight, a constant, or what a node computes.
#[derive(Clone, PartialEq, Debug)]
pub struct Value {
    /// Unique in its graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Vec<Dim>,
    /// Where it comes from.
    pub role: Role,
}

/// Where a [`Value`] comes from.
#[derive(Clone, PartialEq, Debug)]
pub enum Role {
    /// Fed by the caller.
    Input,
    /// The checkpoint tensor of that name, stored with the value's type.
    Weight {
        /// Name in the checkpoint, as in the contract.
        key: String,
    },
    /// A few numbers that stand in the graph itself.
    Const(Literal),
    /// The output of a node.
    Node,
}

/// Numbers of a constant, before they take the value's element type.
#[derive(Clone, PartialEq, Debug)]
pub enum Literal {
    /// Rounded to nearest even when the value has 16 bits.
    Float(Vec<f32>),
    /// For [`DType::I64`].
    Int(Vec<i64>),
    /// For [`DType::Bool`].
    Bool(Vec<bool>),
}

/// An attribute of a node.
#[derive(Clone, PartialEq, Debug)]
pub enum Attr {
    /// One integer.
    Int(i64),
    /// A list of integers.
    Ints(Vec<i64>),
    /// One float.
    Float(f32),
    /// An element type (`to` of `Cast`).
    Type(DType),
}

/// One operator applied to values.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Unique in its graph: the path of the model part, then the operator.
    pub name: String,
    /// ONNX operator of the default domain.
    pub op: &'static str,
    /// Operands, in the order of the operator.
    pub inputs: Vec<ValueId>,
    /// Results.
    pub outputs: Vec<ValueId>,
    /// Attributes, in the order they were given.
    pub attrs: Vec<(&'static str, Attr)>,
}

/// A graph in topological order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Graph {
    /// `encode`, `append`, `generate`, `rank` or `oneranker`.
    pub name: String,
    /// All values.
    pub values: Vec<Value>,
    /// All nodes; each comes after the nodes whose results it reads.
    pub nodes: Vec<Node>,
    /// What the caller feeds, in the order of the contract.
    pub inputs: Vec<ValueId>,
    /// What the caller gets, in the order of the contract.
    pub outputs: Vec<ValueId>,
}

impl Graph {
    /// The value behind an id of this graph.
    #[must_use]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// The checkpoint tensors that the graph reads, in the order of their first use.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().filter_map(|v| match &v.role {
            Role::Weight { key } => Some((key.as_str(), v)),
            _ => None,
        })
    }

    /// Removes nodes whose results nobody reads, and then values that nobody names.
    pub(crate) fn prune(&mut self) {
        let mut live: BTreeSet<ValueId> = self.outputs.iter().copied().collect();
        let mut keep = vec![false; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev() {
            if node.outputs.iter().any(|o| live.contains(o)) {
                keep[at] = true;
                live.extend(node.inputs.iter().chain(&node.outputs));
            }
        }
        live.extend(&self.inputs);
        let mut keep = keep.into_iter();
        self.nodes.retain(|_| keep.next().unwrap_or(false));
        self.renumber(&live);
    }

    fn renumber(&mut self, live: &BTreeSet<ValueId>) {
        let mut new_id = vec![None; self.values.len()];
        let mut values = Vec::with_capacity(live.len());
        for id in live {
            new_id[id.index()] = Some(ValueId(values.len() as u32));
            values.push(self.values[id.index()].clone());
        }
        self.values = values;
        let ids = self.inputs.iter_mut().chain(&mut self.outputs);
        let node_ids =
            self.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().chain(&mut n.outputs));
        for id in ids.chain(node_ids) {
            *id = new_id[id.index()].unwrap_or(*id);
        }
    }
}
