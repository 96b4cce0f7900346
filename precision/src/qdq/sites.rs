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
    /// The product: the node's first output.
    pub output: String,
    /// Axis of the weight with the output channels.
    pub channel_axis: usize,
    /// Length of the products' sums: input channels, times the window of a convolution.
    pub depth: usize,
    /// Output channels.
    pub channels: usize,
    /// The sums go over the last axis of the activation.
    pub is_by_row: bool,
    /// Index of the node.
    pub(crate) index: usize,
    /// Which input of the node is the activation.
    pub(crate) input: usize,
}

impl Site {
    /// Index of the node in the graph.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Multiplications and additions per row of the activation.
    #[must_use]
    pub const fn flops_per_row(&self) -> u64 {
        2 * self.depth as u64 * self.channels as u64
    }
}

/// A product that can't run on 8-bit numbers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PassedOver {
    /// Name of the node (of its output, where it has none).
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why.
    pub why: String,
}

/// All `MatMul`, `Gemm` and `Conv` nodes with a constant weight, in the order of the graph.
#[must_use]
pub fn sites(model: &Model) -> Vec<Site> {
    all(model).into_iter().filter_map(Result::ok).collect()
}

/// The products that are no [`sites`], those in the bodies of `If`, `Loop` and `Scan` included.
#[must_use]
pub fn passed_over(model: &Model) -> Vec<PassedOver> {
    let mut over: Vec<_> = all(model).into_iter().filter_map(Result::err).collect();
    let bodies = model.graph().node.iter().flat_map(|node| {
        let bodies = node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs));
        bodies.map(move |body| (node, body))
    });
    bodies.for_each(|(node, body)| inside(body, node.label(), &mut over));
    over
}

/// Products in the body of a node, at any depth.
fn inside(body: &GraphProto, of: &str, over: &mut Vec<PassedOver>) {
    for node in &body.node {
        if is_product(node) {
            over.push(PassedOver::new(node, format!("it is in the body of `{of}`")));
        }
        let bodies = node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs));
        bodies.for_each(|body| inside(body, of, over));
    }
}

impl PassedOver {
    fn new(node: &NodeProto, why: String) -> Self {
        Self { node: node.label().to_owned(), op: node.op().to_owned(), why }
    }
}

fn is_product(node: &NodeProto) -> bool {
    matches!(node.op(), "MatMul" | "Gemm" | "Conv" | "ConvTranspose")
}

fn all(model: &Model) -> Vec<Result<Site, PassedOver>> {
    let graph = model.graph();
    let view = View {
        graph,
        links: Links::new(graph),
        types: elem_types(graph),
        weights: graph.initializer.iter().map(|t| (t.label(), t)).collect(),
    };
    let products = graph.node.iter().enumerate().filter(|(_, node)| is_product(node));
    let site = |(at, node): (usize, &NodeProto)| {
        view.site(at, node).map_err(|why| PassedOver::new(node, why))
    };
    products.map(site).collect()
}

struct View<'a> {
    graph: &'a GraphProto,
    links: Links,
    types: BTreeMap<String, ElemType>,
    weights: BTreeMap<&'a str, &'a TensorProto>,
}

impl View<'_> {
    fn site(&self, index: usize, node: &NodeProto) -> Result<Site, String> {
        if node.op() == "ConvTranspose" || node.input.len() < 2 {
            return Err("engines have no 8-bit kernel for it".to_owned());
        }
        // `W @ x` has its weight on the left; only MatMul occurs that way in practice.
        let left = node.op() == "MatMul" && self.weights.contains_key(node.input[0].as_str());
        let (input, other) = if left { (1, 0) } else { (0, 1) };
        let weight = *self
            .weights
            .get(node.input[other].as_str())
            .ok_or_else(|| self.no_weight(&node.input[other]))?;
        let activation = self.wide(&node.input[input]);
        if self.weights.contains_key(activation) {
            return Err("both its inputs are constant".to_owned());
        }
        for name in [weight.label(), activation] {
            match self.types.get(name) {
                Some(elem) if elem.is_activation() => {}
                Some(elem) => return Err(format!("`{name}` is {elem}")),
                None => return Err(format!("the type of `{name}` is not known")),
            }
        }
        let (channel_axis, channels, depth) = Self::axes(node, weight, left)?;
        Ok(Site {
            node: node.label().to_owned(),
            op: node.op().to_owned(),
            activation: activation.to_owned(),
            weight: weight.label().to_owned(),
            output: node.output.first().cloned().unwrap_or_default(),
            channel_axis,
            depth,
            channels,
            is_by_row: match node.op() {
                "MatMul" => !left,
                "Gemm" => node.int("transA").unwrap_or(0) == 0,
                _ => false,
            },
            index,
            input,
        })
    }

    /// Axis of the output channels, how many there are, and how many products a sum has.
    fn axes(
        node: &NodeProto,
        weight: &TensorProto,
        left: bool,
    ) -> Result<(usize, usize, usize), String> {
        let name = weight.label();
        let dims: Result<Vec<usize>, _> = weight.dims.iter().map(|d| usize::try_from(*d)).collect();
        let dims = dims.map_err(|_| format!("`{name}` has impossible sizes"))?;
        let is_turned = node.int("transB").unwrap_or(0) != 0;
        let channel_axis = match (node.op(), dims.len()) {
            ("MatMul", 2) => usize::from(!left),
            ("Gemm", 2) => usize::from(!is_turned),
            ("Conv", 3..) => 0,
            (_, rank) => return Err(format!("its weight `{name}` has {rank} axes")),
        };
        let (channels, elements) = (dims[channel_axis], dims.iter().product::<usize>());
        let depth = elements.checked_div(channels).filter(|depth| *depth > 0);
        let depth = depth.ok_or_else(|| format!("its weight `{name}` is empty"))?;
        Ok((channel_axis, channels, depth))
    }

    /// Why a value is no weight.
    fn no_weight(&self, value: &str) -> String {
        match self.links.producer(value).map(|at| &self.graph.node[at]) {
            Some(node) if node.op() == "DequantizeLinear" => {
                format!("`{value}` is quantized already")
            }
            _ => format!("`{value}` is no constant"),
        }
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
