//! Which products of a model could run on 8-bit numbers.

use std::collections::BTreeMap;

use onr_onnx::{
    ElemType, Links, Model, elem_types,
    proto::{GraphProto, NodeProto, TensorProto},
};

/// A product of an activation with a constant weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Name of the node (of its output, where it has none).
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The F32 value that is multiplied; what a `Cast` in front of the node reads.
    pub activation: String,
    /// The initializer.
    pub weight: String,
    /// Axis of the weight with the output channels.
    pub channel_axis: usize,
    /// Length of the products' sums: input channels, times the window of a convolution.
    pub depth: usize,
    /// Output channels.
    pub channels: usize,
    /// Index of the node.
    pub(crate) index: usize,
    /// Which input of the node is the activation.
    pub(crate) input: usize,
}

impl Site {
    /// Multiplications and additions per row of the activation.
    #[must_use]
    pub const fn flops_per_row(&self) -> u64 {
        2 * self.depth as u64 * self.channels as u64
    }
}

/// All `MatMul`, `Gemm` and `Conv` nodes with a constant weight, in the order of the graph.
#[must_use]
pub fn sites(model: &Model) -> Vec<Site> {
    let graph = model.graph();
    let view = View {
        graph,
        links: Links::new(graph),
        types: elem_types(graph),
        weights: graph.initializer.iter().map(|t| (t.label(), t)).collect(),
    };
    graph.node.iter().enumerate().filter_map(|(at, node)| view.site(at, node)).collect()
}

struct View<'a> {
    graph: &'a GraphProto,
    links: Links,
    types: BTreeMap<String, ElemType>,
    weights: BTreeMap<&'a str, &'a TensorProto>,
}

impl View<'_> {
    fn site(&self, index: usize, node: &NodeProto) -> Option<Site> {
        let flag = |name: &str| node.int(name).unwrap_or(0) != 0;
        if !matches!(node.op(), "MatMul" | "Gemm" | "Conv") || node.input.len() < 2 {
            return None;
        }
        // `W @ x` has its weight on the left; only MatMul occurs that way in practice.
        let left = node.op() == "MatMul" && self.weights.contains_key(node.input[0].as_str());
        let (input, other) = if left { (1, 0) } else { (0, 1) };
        let weight = self.weights.get(node.input[other].as_str())?;
        let activation = self.wide(&node.input[input]);
        if self.weights.contains_key(activation) {
            return None;
        }
        let floats = |name: &str| self.types.get(name).is_some_and(|t| t.is_activation());
        if !floats(weight.label()) || !floats(activation) {
            return None;
        }
        let dims: Vec<usize> =
            weight.dims.iter().map(|d| usize::try_from(*d)).collect::<Result<_, _>>().ok()?;
        let channel_axis = match (node.op(), dims.len()) {
            ("MatMul", 2) => usize::from(!left),
            ("Gemm", 2) => usize::from(!flag("transB")),
            ("Conv", 3..) => 0,
            _ => return None,
        };
        let channels = dims[channel_axis];
        let elements: usize = dims.iter().product();
        Some(Site {
            node: node.label().to_owned(),
            op: node.op().to_owned(),
            activation: activation.to_owned(),
            weight: weight.label().to_owned(),
            channel_axis,
            depth: elements.checked_div(channels)?,
            channels,
            index,
            input,
        })
    }

    /// What a value is before it was cast to 16 bits.
    fn wide<'b>(&'b self, value: &'b str) -> &'b str {
        let cast = self.links.producer(value).map(|at| &self.graph.node[at]);
        match cast.filter(|node| node.op() == "Cast") {
            Some(cast) if self.types.get(&cast.input[0]) == Some(&ElemType::Float) => {
                &cast.input[0]
            }
            _ => value,
        }
    }
}
