//! What the rules ask of a model: types, constants, who reads a value and in which type.

use std::collections::{BTreeMap, BTreeSet};

use onr_onnx::{
    ElemType, Links, Model, elem_types,
    proto::{GraphProto, NodeProto},
};

use super::{
    CastError,
    numbers::{Narrow, Stats},
    ops::{self, Kind, Op},
};

/// A float input of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Port<'m> {
    pub(super) node: usize,
    pub(super) input: usize,
    pub(super) value: &'m str,
    /// It is F32 whatever the node computes in.
    pub(super) fixed: bool,
}

/// A model and what can be read off it.
pub(super) struct View<'m> {
    pub(super) graph: &'m GraphProto,
    pub(super) narrow: Narrow,
    pub(super) opset: i64,
    links: Links,
    types: BTreeMap<String, ElemType>,
    /// F32 constants that no caller of the model can replace.
    pub(super) constants: BTreeMap<&'m str, Stats>,
    pub(super) inputs: BTreeSet<&'m str>,
    pub(super) outputs: BTreeSet<&'m str>,
    /// Values that the bodies of `If`, `Loop` and `Scan` take from the graph: their names and types stay.
    pub(super) captured: BTreeSet<String>,
}

impl<'m> View<'m> {
    /// Reads a model, constants included.
    ///
    /// # Errors
    /// [`CastError::NaN`] and [`CastError::Model`] for constants.
    pub(super) fn new(model: &'m Model, narrow: Narrow) -> Result<Self, CastError> {
        let graph = model.graph();
        let inputs: BTreeSet<_> = graph.input.iter().map(|v| v.label()).collect();
        let mut constants = BTreeMap::new();
        for tensor in &graph.initializer {
            let float = tensor.data_type == Some(ElemType::Float.code());
            if float && !inputs.contains(tensor.label()) {
                let stats = Stats::of(&model.bytes(tensor)?, narrow);
                if stats.nan {
                    return Err(CastError::NaN { tensor: tensor.label().to_owned() });
                }
                constants.insert(tensor.label(), stats);
            }
        }
        model.release();
        let mut captured = BTreeSet::new();
        for node in &graph.node {
            bodies(node).for_each(|body| capture(body, &mut captured));
        }
        Ok(Self {
            graph,
            narrow,
            opset: model.opset(),
            links: Links::new(graph),
            types: elem_types(graph),
            constants,
            inputs,
            outputs: graph.output.iter().map(|v| v.label()).collect(),
            captured,
        })
    }

    pub(super) fn node(&self, node: usize) -> &'m NodeProto {
        &self.graph.node[node]
    }

    /// The row of a node's operator; none outside ONNX's own domain.
    pub(super) fn op(&self, node: usize) -> Option<&'static Op> {
        let proto = self.node(node);
        if own_domain(proto) { ops::find(proto.op()) } else { None }
    }

    pub(super) fn kind(&self, node: usize) -> Option<Kind> {
        self.op(node).map(|op| op.kind)
    }

    pub(super) fn type_of(&self, value: &str) -> Option<ElemType> {
        self.types.get(value).copied()
    }

    pub(super) fn is_float(&self, value: &str) -> bool {
        self.type_of(value) == Some(ElemType::Float)
    }

    pub(super) fn producer(&self, value: &str) -> Option<usize> {
        self.links.producer(value)
    }

    /// A constant of one element.
    pub(super) fn scalar(&self, value: &str) -> Option<f32> {
        self.constants.get(value).filter(|stats| stats.count == 1).map(|stats| stats.largest)
    }

    /// Float inputs of which a type is asked. `Shape` and a `Cast` to another type take any.
    pub(super) fn ports(&self, node: usize) -> impl Iterator<Item = Port<'m>> {
        let proto = self.node(node);
        let op = self.op(node);
        let to_float = proto.output.first().is_some_and(|value| self.is_float(value));
        let any = match op.map(|op| op.kind) {
            Some(Kind::Inspect) => true,
            Some(Kind::Convert) => !to_float,
            _ => false,
        };
        let fixed = op.map_or(&[][..], Op::fixed);
        let names: Vec<_> = proto.input.iter().enumerate().filter(|_| !any).collect();
        names
            .into_iter()
            .filter(|(_, value)| self.is_float(value))
            .map(move |(input, value)| Port { node, input, value, fixed: fixed.contains(&input) })
    }

    /// Float inputs of a node that are computed, not constant.
    pub(super) fn computed(&self, node: usize) -> impl Iterator<Item = &'m str> {
        let values: Vec<_> = self.ports(node).map(|port| port.value).collect();
        values.into_iter().filter(|value| !self.constants.contains_key(value))
    }

    /// Float outputs of a node.
    pub(super) fn results(&self, node: usize) -> impl Iterator<Item = &'m str> {
        self.node(node).output.iter().map(String::as_str).filter(|value| self.is_float(value))
    }

    /// Float ports that read a value.
    pub(super) fn readers(&self, value: &str) -> Vec<Port<'m>> {
        let uses = self.links.uses(value).iter();
        uses.flat_map(|at| self.ports(at.node).filter(|port| port.input == at.input)).collect()
    }

    /// Whether this pass has anything to say about a node: it makes or reads F32, or values of no known
    /// type. A `Cast` from another float type is a border that somebody drew: it stays.
    pub(super) fn concerns(&self, node: usize) -> bool {
        if self.kind(node) == Some(Kind::Convert) {
            let from = self.node(node).input.first().and_then(|value| self.type_of(value));
            let foreign =
                matches!(from, Some(ElemType::Float16 | ElemType::Bfloat16 | ElemType::Double));
            return !foreign && self.results(node).next().is_some();
        }
        let floats = self.ports(node).next().is_some() || self.results(node).next().is_some();
        floats || self.untyped(node).is_some() || bodies(self.node(node)).next().is_some()
    }

    /// A value of no known type that a node touches.
    pub(super) fn untyped(&self, node: usize) -> Option<&'m str> {
        let proto = self.node(node);
        let mut values = proto.input.iter().chain(&proto.output);
        values.find(|v| !v.is_empty() && self.type_of(v).is_none()).map(String::as_str)
    }

    /// Whether a node looks rows of a constant up: the constant is a table, and worth being narrow.
    pub(super) fn looks_up(&self, node: usize) -> bool {
        let table = self.node(node).input.first();
        self.kind(node) == Some(Kind::Lookup)
            && table.is_some_and(|table| self.constants.contains_key(table.as_str()))
    }

    /// Length of an axis of a value, where the file tells it. Negative axes count from the end.
    pub(super) fn length(&self, value: &str, axis: i64) -> Option<i64> {
        let infos = self.graph.value_info.iter().chain(&self.graph.input);
        let info = infos.into_iter().find(|info| info.label() == value)?;
        let dims = &info.tensor()?.shape.as_ref()?.dim;
        let at = if axis < 0 { axis + i64::try_from(dims.len()).ok()? } else { axis };
        dims.get(usize::try_from(at).ok()?)?.dim_value
    }
}

/// Whether a node's operator is ONNX's own.
pub(super) fn own_domain(node: &NodeProto) -> bool {
    matches!(node.domain.as_deref(), None | Some("" | "ai.onnx"))
}

/// Bodies of a node.
pub(super) fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs))
}

/// Adds the names that a body reads and does not make.
fn capture(body: &GraphProto, captured: &mut BTreeSet<String>) {
    let mut own: BTreeSet<&str> = body.input.iter().map(|v| v.label()).collect();
    own.extend(body.initializer.iter().map(|t| t.label()));
    own.extend(body.node.iter().flat_map(|n| &n.output).map(String::as_str));
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for node in &body.node {
        wanted.extend(node.input.iter().cloned());
        bodies(node).for_each(|inner| capture(inner, &mut wanted));
    }
    wanted.extend(body.output.iter().map(|v| v.label().to_owned()));
    captured.extend(wanted.into_iter().filter(|name| !name.is_empty() && !own.contains(&**name)));
}
