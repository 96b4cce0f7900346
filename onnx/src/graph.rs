//! What a graph says about its values: who makes them, who reads them, of which type they are.

use std::collections::{BTreeMap, HashMap};

use crate::{
    ElemType,
    proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto},
};

/// One place where a value is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// Index of the node.
    pub node: usize,
    /// Which of its inputs.
    pub input: usize,
}

/// Producers and readers of the values of a graph, by name.
///
/// Nodes inside the bodies of `If`, `Loop` and `Scan` are not followed; the values that a body takes from
/// outside have no use here.
#[derive(Debug, Clone, Default)]
pub struct Links {
    producers: HashMap<String, usize>,
    uses: HashMap<String, Vec<Use>>,
}

impl Links {
    /// Reads them off a graph.
    #[must_use]
    pub fn new(graph: &GraphProto) -> Self {
        let mut links = Self::default();
        for (node, proto) in graph.node.iter().enumerate() {
            for name in proto.output.iter().filter(|name| !name.is_empty()) {
                links.producers.insert(name.clone(), node);
            }
            for (input, name) in proto.input.iter().enumerate() {
                links.uses.entry(name.clone()).or_default().push(Use { node, input });
            }
        }
        links
    }

    /// The node that makes a value; none for inputs and initializers.
    #[must_use]
    pub fn producer(&self, value: &str) -> Option<usize> {
        self.producers.get(value).copied()
    }

    /// Where a value is read by nodes.
    #[must_use]
    pub fn uses(&self, value: &str) -> &[Use] {
        self.uses.get(value).map_or(&[], Vec::as_slice)
    }
}

/// Element types of all values, as far as operators tell them; those of an operator that is not known
/// here come from the file's own `value_info`.
#[must_use]
pub fn elem_types(graph: &GraphProto) -> BTreeMap<String, ElemType> {
    let declared = |infos: &[ValueInfoProto]| -> Vec<(String, ElemType)> {
        let typed = |info: &ValueInfoProto| {
            Some((info.label().to_owned(), ElemType::of(info.tensor()?.elem_type?)?))
        };
        infos.iter().filter_map(typed).collect()
    };
    let mut types: BTreeMap<_, _> = declared(&graph.input).into_iter().collect();
    for tensor in &graph.initializer {
        if let Some(elem) = tensor.data_type.and_then(ElemType::of) {
            types.insert(tensor.label().to_owned(), elem);
        }
    }
    let hints: BTreeMap<_, _> = declared(&graph.value_info).into_iter().collect();
    for node in &graph.node {
        for (at, output) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let told = output_type(node, at, &types).or_else(|| hints.get(output).copied());
            if let Some(elem) = told {
                types.insert(output.clone(), elem);
            }
        }
    }
    for (name, elem) in declared(&graph.output) {
        types.entry(name).or_insert(elem);
    }
    types
}

/// Type of output `at` of a node.
fn output_type(
    node: &NodeProto,
    at: usize,
    types: &BTreeMap<String, ElemType>,
) -> Option<ElemType> {
    let of = |input: usize| types.get(node.input.get(input)?).copied();
    let coded =
        |name: &str| node.int(name).and_then(|code| ElemType::of(i32::try_from(code).ok()?));
    if !matches!(node.domain.as_deref(), None | Some("" | "ai.onnx")) {
        return None;
    }
    match node.op() {
        // What a body gives is declared there. A loop's body gives its condition first, for itself.
        "If" => body_type(node, "then_branch", at),
        "Loop" => body_type(node, "body", at + 1),
        "Scan" => body_type(node, "body", at),
        "Cast" => coded("to"),
        "CastLike" | "Where" => of(1),
        "OneHot" => of(2),
        "Shape" | "Size" | "NonZero" | "ArgMax" | "ArgMin" => Some(ElemType::Int64),
        "Equal" | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" | "And" | "Or" | "Not"
        | "Xor" | "IsNaN" | "IsInf" => Some(ElemType::Bool),
        "TopK" | "MaxPool" | "Unique" if at > 0 => Some(ElemType::Int64),
        "Dropout" if at == 1 => Some(ElemType::Bool),
        "LayerNormalization" if at > 0 => Some(ElemType::Float),
        "Constant" => node.attribute.iter().find_map(constant_type),
        "ConstantOfShape" => Some(match node.attribute("value") {
            Some(value) => constant_type(value)?,
            None => ElemType::Float,
        }),
        "QuantizeLinear" => of(2).or_else(|| coded("output_dtype")).or(Some(ElemType::Uint8)),
        "DequantizeLinear" => coded("output_dtype").or_else(|| of(1)),
        "DynamicQuantizeLinear" if at == 1 => Some(ElemType::Float),
        "DynamicQuantizeLinear" => Some(ElemType::Uint8),
        "MatMulInteger" | "ConvInteger" => Some(ElemType::Int32),
        "RandomNormal" | "RandomUniform" => coded("dtype").or(Some(ElemType::Float)),
        "EyeLike" | "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" => {
            coded("dtype").or_else(|| of(0))
        }
        "SequenceAt" | "QLinearMatMul" | "QLinearConv" => None,
        _ => of(0),
    }
}

/// Type of output `at` of a node's body.
fn body_type(node: &NodeProto, name: &str, at: usize) -> Option<ElemType> {
    let body = node.attribute(name)?.g.as_ref()?;
    ElemType::of(body.output.get(at)?.tensor()?.elem_type?)
}

fn constant_type(attribute: &AttributeProto) -> Option<ElemType> {
    match attribute.name.as_deref()? {
        "value" => ElemType::of(attribute.t.as_ref()?.data_type?),
        "value_float" | "value_floats" => Some(ElemType::Float),
        "value_int" | "value_ints" => Some(ElemType::Int64),
        "value_string" | "value_strings" => Some(ElemType::String),
        _ => None,
    }
}
