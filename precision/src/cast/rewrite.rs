//! Carries the verdicts out: types, casts, names.

use std::collections::{BTreeMap, BTreeSet};

use onr_onnx::{
    ElemType, Model, edit,
    proto::{GraphProto, NodeProto, ValueInfoProto},
};

use super::{
    CastError, IoTypes,
    numbers::Narrow,
    regions::{Verdicts, narrows},
    rules::Judge,
    view::bodies,
    weights::Storage,
};

/// What the model becomes, as data that outlives the view of the old one.
#[derive(Debug)]
pub(super) struct Plan {
    nodes: Vec<NodeProto>,
    /// Values whose name stands for the target type now.
    narrow: BTreeSet<String>,
    storage: Storage,
}

/// A name and the type it has.
type Typed = (String, ElemType);

/// Builds the new list of nodes.
struct Writer<'a> {
    judge: &'a Judge<'a>,
    verdicts: &'a Verdicts,
    storage: &'a Storage,
    narrow: BTreeSet<String>,
    names: BTreeSet<String>,
    /// The name under which a value has a type that is not its own.
    casts: BTreeMap<Typed, String>,
    nodes: Vec<NodeProto>,
}

impl Plan {
    /// Writes the nodes: each in its type, with a `Cast` before its first reader where a value has another.
    pub(super) fn new(judge: &Judge<'_>, verdicts: &Verdicts, mut storage: Storage) -> Self {
        let graph = judge.view.graph;
        let mut names = BTreeSet::new();
        taken(graph, &mut names);
        storage.masks.values_mut().for_each(|mask| *mask = free(&mut names, mask));
        let mut narrow = storage.narrow.clone();
        let inputs = judge.view.inputs.iter().filter(|v| judge.view.is_float(v));
        narrow.extend(inputs.filter(|v| narrows(judge, v)).map(|v| (*v).to_owned()));
        let (nodes, casts) = (Vec::new(), BTreeMap::new());
        let mut writer = Writer { judge, verdicts, storage: &storage, narrow, names, casts, nodes };
        (0..graph.node.len()).for_each(|node| writer.write(node));
        let Writer { nodes, narrow, .. } = writer;
        Self { nodes, narrow, storage }
    }

    /// Puts it into the model.
    ///
    /// # Errors
    /// [`CastError::Model`] when a constant cannot be read.
    pub(super) fn apply(self, model: &mut Model, to: Narrow) -> Result<(), CastError> {
        model.graph_mut().node = self.nodes;
        self.storage.apply(model, to, unread)?;
        let graph = model.graph_mut();
        let infos = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        infos.filter(|v| self.narrow.contains(v.label())).for_each(|v| retype(v, to.elem()));
        Ok(())
    }
}

impl Writer<'_> {
    fn elem(&self) -> ElemType {
        self.judge.view.narrow.elem()
    }

    fn write(&mut self, node: usize) {
        let narrow = self.verdicts.narrow(node);
        let mut proto = self.judge.view.node(node).clone();
        let ports: Vec<_> = self.judge.view.ports(node).map(|p| (p.input, p.fixed)).collect();
        for (input, fixed) in ports {
            let value = std::mem::take(&mut proto.input[input]);
            let fill = self.judge.masks.fills.get(&(node, input)).filter(|_| narrow);
            let mask = fill.and_then(|fill| self.storage.masks.get(&(value.clone(), *fill)));
            proto.input[input] = match mask {
                Some(mask) => mask.clone(),
                None if narrow && !fixed => self.typed(value, self.elem()),
                None => self.typed(value, ElemType::Float),
            };
        }
        if narrow && proto.op() == "Cast" {
            set_to(&mut proto, self.elem());
        }
        let renamed = self.outputs(&mut proto, narrow);
        self.nodes.push(proto);
        for ((from, to), elem) in renamed {
            self.push_cast(&from, &to, elem);
        }
    }

    /// Names the outputs of a node. One whose name has to keep the other type gets a new name, and a `Cast` to
    /// the old one.
    fn outputs(
        &mut self,
        proto: &mut NodeProto,
        narrow: bool,
    ) -> Vec<((String, String), ElemType)> {
        let view = self.judge.view;
        let io = self.judge.job.io;
        let mut renamed = Vec::new();
        for output in proto.output.iter_mut().filter(|v| view.is_float(v)) {
            let body = view.captured.contains(output.as_str());
            let result = view.outputs.contains(output.as_str());
            let fits = self.judge.out_of_range(output).is_none();
            let named = match (body, result, io) {
                (true, ..) | (_, true, IoTypes::Keep) => ElemType::Float,
                (_, true, IoTypes::Narrow) if narrow || fits => self.elem(),
                _ if narrow => self.elem(),
                _ => ElemType::Float,
            };
            let made = if narrow { self.elem() } else { ElemType::Float };
            if named != ElemType::Float {
                self.narrow.insert(output.clone());
            }
            if named != made {
                let inner = free(&mut self.names, &format!("{output}.{made}"));
                self.casts.insert((output.clone(), made), inner.clone());
                renamed.push(((inner.clone(), output.clone()), named));
                *output = inner;
            }
        }
        renamed
    }

    /// The name under which a value has a type; writes the `Cast` if it has none yet.
    fn typed(&mut self, value: String, elem: ElemType) -> String {
        let own = if self.narrow.contains(&value) { self.elem() } else { ElemType::Float };
        if own == elem {
            return value;
        }
        let key = (value, elem);
        if let Some(cast) = self.casts.get(&key) {
            return cast.clone();
        }
        let to = free(&mut self.names, &format!("{}.{elem}", key.0));
        self.push_cast(&key.0, &to, elem);
        self.casts.insert(key, to.clone());
        to
    }

    fn push_cast(&mut self, from: &str, to: &str, elem: ElemType) {
        let mut cast = edit::cast(from, to, elem);
        cast.name = Some(format!("{to}/Cast"));
        self.nodes.push(cast);
    }
}

/// Sets the type that a `Cast` makes.
fn set_to(cast: &mut NodeProto, elem: ElemType) {
    cast.attribute.retain(|a| a.name.as_deref() != Some("to"));
    cast.attribute.push(edit::int("to", elem.code().into()));
}

fn retype(info: &mut ValueInfoProto, elem: ElemType) {
    if let Some(tensor) = info.r#type.as_mut().and_then(|t| t.tensor_type.as_mut()) {
        tensor.elem_type = Some(elem.code());
    }
}

/// All names of a graph and of the bodies in it.
fn taken(graph: &GraphProto, names: &mut BTreeSet<String>) {
    names.extend(graph.input.iter().chain(&graph.output).map(|v| v.label().to_owned()));
    names.extend(graph.initializer.iter().map(|t| t.label().to_owned()));
    for node in &graph.node {
        names.extend(node.input.iter().chain(&node.output).cloned());
        bodies(node).for_each(|body| taken(body, names));
    }
}

/// A name that nobody has, and now one does.
fn free(names: &mut BTreeSet<String>, wish: &str) -> String {
    let mut name = wish.to_owned();
    while !names.insert(name.clone()) {
        name.push('_');
    }
    name
}

/// Whether nothing reads a constant: no node, no body, no result.
fn unread(graph: &GraphProto, name: &str) -> bool {
    let mut read: BTreeSet<&str> = graph.output.iter().map(|v| v.label()).collect();
    read.extend(graph.node.iter().flat_map(|n| &n.input).map(String::as_str));
    let mut inner = BTreeSet::new();
    graph.node.iter().flat_map(bodies).for_each(|body| taken(body, &mut inner));
    !read.contains(name) && !inner.contains(name)
}
