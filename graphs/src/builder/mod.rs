//! Builds a [`Graph`] op by op. Types and shapes are inferred as each op is added, so that a mistake
//! is reported at the model line that makes it.
//!
//! One file per family of operators: [`elementwise`], [`linear`], [`index`], [`shape`].

mod elementwise;
mod index;
mod linear;
mod shape;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    dim::Dim,
    dtype::DType,
    error::BuildError,
    graph::{Attr, Graph, Literal, Node, Role, Value, ValueId},
    validate::validate,
};

pub use index::{Order, TopK};

/// A value in one [`GraphBuilder`]. Copying it copies a handle, never data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tensor {
    builder: u64,
    value: ValueId,
}

/// What methods of the builder return.
pub type Result<T = Tensor> = std::result::Result<T, BuildError>;

/// A [`Graph`] under construction.
#[derive(Debug)]
pub struct GraphBuilder {
    id: u64,
    graph: Graph,
    /// Segments of the model path; they name nodes and weights alike.
    path: Vec<String>,
    /// Stages (`encode`, `rank`) that name nodes only: two stages share the weights of a layer.
    stages: Vec<String>,
    node_names: BTreeMap<String, usize>,
    weights: BTreeMap<(String, DType), Tensor>,
    constants: Vec<Tensor>,
}

impl GraphBuilder {
    /// An empty graph of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            graph: Graph { name: name.to_owned(), ..Graph::default() },
            path: Vec::new(),
            stages: Vec::new(),
            node_names: BTreeMap::new(),
            weights: BTreeMap::new(),
            constants: Vec::new(),
        }
    }

    /// Runs `f` with `segment` appended to the path, and always restores it. The path names nodes
    /// (`encode.layers.0.uvqk/MatMul`) and weights (`layers.0.uvqk.weight`).
    ///
    /// # Errors
    /// Those of `f`.
    pub fn within<T>(
        &mut self,
        segment: impl Into<String>,
        f: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.path.push(segment.into());
        let result = f(self);
        self.path.pop();
        result
    }

    /// Runs `f` with `stage` before the names of its nodes; weights keep their names.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn stage<T>(&mut self, stage: &str, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.stages.push(stage.to_owned());
        let result = f(self);
        self.stages.pop();
        result
    }

    /// A tensor that the caller feeds.
    pub fn input(&mut self, name: &str, dtype: DType, shape: &[Dim]) -> Tensor {
        let tensor = self.value(name.to_owned(), dtype, shape.to_vec(), Role::Input);
        self.graph.inputs.push(tensor.value);
        tensor
    }

    /// The checkpoint tensor `name` under the current path, stored as `dtype`. A second use is the
    /// same value.
    ///
    /// # Errors
    /// [`BuildError::Weight`] when it was used with another shape before.
    pub fn weight(&mut self, name: &str, dtype: DType, shape: &[Dim]) -> Result {
        let mut key = self.path.join(".");
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(name);
        if let Some(&known) = self.weights.get(&(key.clone(), dtype)) {
            let first = self.shape(known);
            if first != shape {
                return Err(BuildError::Weight { key, first, second: shape.to_vec() });
            }
            return Ok(known);
        }
        // The same weight in a second element type is a second value with a name of its own.
        let taken = self.weights.keys().any(|(k, _)| *k == key);
        let name = if taken { format!("{key}.{dtype}") } else { key.clone() };
        let tensor = self.value(name, dtype, shape.to_vec(), Role::Weight { key: key.clone() });
        self.weights.insert((key, dtype), tensor);
        Ok(tensor)
    }

    /// A constant float of `dtype`, rank 0.
    pub fn float(&mut self, dtype: DType, x: f32) -> Tensor {
        self.constant(dtype, &[], Literal::Float(vec![x]))
    }

    /// A constant integer, rank 0.
    pub fn int(&mut self, n: i64) -> Tensor {
        self.constant(DType::I64, &[], Literal::Int(vec![n]))
    }

    /// A constant list of integers, rank 1.
    pub fn ints(&mut self, numbers: &[i64]) -> Tensor {
        self.constant(DType::I64, &[numbers.len()], Literal::Int(numbers.to_vec()))
    }

    /// A constant mask, row-major.
    pub fn mask(&mut self, shape: &[usize], bits: Vec<bool>) -> Tensor {
        self.constant(DType::Bool, shape, Literal::Bool(bits))
    }

    fn constant(&mut self, dtype: DType, shape: &[usize], literal: Literal) -> Tensor {
        let shape: Vec<Dim> = shape.iter().map(|&n| n.into()).collect();
        let role = Role::Const(literal);
        let same = self.constants.iter().find(|t| {
            let v = self.graph.value(t.value);
            v.dtype == dtype && v.shape == shape && v.role == role
        });
        if let Some(&known) = same {
            return known;
        }
        let name = format!("const.{}", self.constants.len());
        let tensor = self.value(name, dtype, shape, role);
        self.constants.push(tensor);
        tensor
    }

    /// Shape of a tensor of this graph.
    ///
    /// # Panics
    /// For a tensor of another graph with more values; every operator checks before it asks.
    #[must_use]
    pub fn shape(&self, t: Tensor) -> Vec<Dim> {
        self.graph.value(t.value).shape.clone()
    }

    /// Element type of a tensor of this graph.
    #[must_use]
    pub fn dtype(&self, t: Tensor) -> DType {
        self.graph.value(t.value).dtype
    }

    /// Makes `t` the graph's next output, named `name`.
    ///
    /// # Errors
    /// Those of an operator: an input or a weight that is handed through gets an `Identity`.
    pub fn output(&mut self, name: &str, t: Tensor) -> Result<()> {
        let is_node = matches!(self.graph.value(t.value).role, Role::Node);
        let renamed = self.graph.outputs.contains(&t.value);
        let t = if is_node && !renamed { t } else { self.unary("Identity", t)? };
        self.graph.values[t.value.index()].name = name.to_owned();
        self.graph.outputs.push(t.value);
        Ok(())
    }

    /// The finished graph, without what no output needs.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] when the graph breaks a rule of [`validate`].
    pub fn finish(mut self) -> Result<Graph> {
        self.graph.prune();
        validate(&self.graph)
            .map_err(|reason| BuildError::Invalid { graph: self.graph.name.clone(), reason })?;
        Ok(self.graph)
    }

    /// The current path, for messages.
    fn path(&self) -> String {
        let parts: Vec<_> = self.stages.iter().chain(&self.path).map(String::as_str).collect();
        parts.join(".")
    }

    fn value(&mut self, name: String, dtype: DType, shape: Vec<Dim>, role: Role) -> Tensor {
        let value = ValueId(self.graph.values.len() as u32);
        self.graph.values.push(Value { name, dtype, shape, role });
        Tensor { builder: self.id, value }
    }

    /// Adds a node with one result.
    fn push(
        &mut self,
        op: &'static str,
        inputs: &[Tensor],
        attrs: Vec<(&'static str, Attr)>,
        dtype: DType,
        shape: Vec<Dim>,
    ) -> Result {
        Ok(self.push_many(op, inputs, attrs, vec![(dtype, shape)])?[0])
    }

    fn push_many(
        &mut self,
        op: &'static str,
        inputs: &[Tensor],
        attrs: Vec<(&'static str, Attr)>,
        results: Vec<(DType, Vec<Dim>)>,
    ) -> Result<Vec<Tensor>> {
        self.own(op, inputs)?;
        let path = self.path();
        let base = if path.is_empty() { op.to_owned() } else { format!("{path}/{op}") };
        let count = self.node_names.entry(base.clone()).or_default();
        let name = if *count == 0 { base } else { format!("{base}_{count}") };
        *count += 1;
        let single = results.len() == 1;
        let outputs: Vec<Tensor> = results
            .into_iter()
            .enumerate()
            .map(|(i, (dtype, shape))| {
                let name = if single { name.clone() } else { format!("{name}:{i}") };
                self.value(name, dtype, shape, Role::Node)
            })
            .collect();
        self.graph.nodes.push(Node {
            name,
            op,
            inputs: inputs.iter().map(|t| t.value).collect(),
            outputs: outputs.iter().map(|t| t.value).collect(),
            attrs,
        });
        Ok(outputs)
    }

    /// Refuses handles of another builder, before their ids are used as indices.
    fn own(&self, op: &'static str, tensors: &[Tensor]) -> Result<()> {
        if tensors.iter().any(|t| t.builder != self.id) {
            return Err(BuildError::Foreign { op, at: self.path() });
        }
        Ok(())
    }

    fn bad_shapes(&self, op: &'static str, tensors: &[Tensor]) -> BuildError {
        let shapes = tensors.iter().map(|&t| self.shape(t)).collect();
        BuildError::Shapes { op, at: self.path(), shapes }
    }

    fn bad_types(&self, op: &'static str, tensors: &[Tensor]) -> BuildError {
        let dtypes = tensors.iter().map(|&t| self.dtype(t)).collect();
        BuildError::Types { op, at: self.path(), dtypes }
    }

    fn axis(&self, op: &'static str, t: Tensor, axis: usize) -> Result<Vec<Dim>> {
        let shape = self.shape(t);
        if axis >= shape.len() {
            return Err(BuildError::Axis { op, at: self.path(), axis, rank: shape.len() });
        }
        Ok(shape)
    }
}

/// The shape of two operands of an element-wise operator, `None` when they don't broadcast.
fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let at = |s: &[Dim], i: usize| {
        (i + s.len()).checked_sub(rank).map_or(Dim::Fixed(1), |j| s[j].clone())
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (Dim::Fixed(1), y) => Some(y),
            (x, Dim::Fixed(1)) => Some(x),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Dim> {
        names.iter().map(|&n| n.parse::<usize>().map_or(Dim::named(n), Dim::Fixed)).collect()
    }

    #[test]
    fn products_contract_symbols_too() {
        let mut g = GraphBuilder::new("t");
        let a = g.input("a", DType::F32, &named(&["batch", "q", "kv"]));
        let b = g.input("b", DType::F32, &named(&["batch", "kv", "8"]));
        let c = g.input("c", DType::F32, &named(&["batch", "seq", "8"]));
        let y = g.matmul(a, b).unwrap();
        assert_eq!(g.shape(y), named(&["batch", "q", "8"]));
        let wrong = g.within("attn", |g| g.matmul(a, c)).unwrap_err();
        assert_eq!(wrong.to_string(), "MatMul at `attn` contracts kv with seq");
        assert_eq!(g.path(), "");
    }

    #[test]
    fn handles_of_another_graph_are_refused() {
        let (mut g, mut other) = (GraphBuilder::new("a"), GraphBuilder::new("b"));
        let foreign = other.input("x", DType::F32, &named(&["batch"]));
        let own = g.input("x", DType::F32, &named(&["batch"]));
        assert!(matches!(g.add(own, foreign), Err(BuildError::Foreign { op: "Add", .. })));
        assert!(matches!(g.unsqueeze(foreign, 0), Err(BuildError::Foreign { .. })));
    }

    #[test]
    fn reshape_keeps_the_volume() {
        let mut g = GraphBuilder::new("t");
        let x = g.input("x", DType::F32, &named(&["batch", "3", "8"]));
        assert!(g.reshape(x, &[Dim::named("batch").times(3), 8.into()]).is_ok());
        assert!(g.reshape(x, &[Dim::named("batch"), 4.into(), 6.into()]).is_ok());
        assert!(g.reshape(x, &[Dim::named("batch"), 4.into(), 5.into()]).is_err());
        assert!(g.reshape(x, &[Dim::named("rows"), 24.into()]).is_err());
    }

    #[test]
    fn one_weight_has_one_shape_and_one_value() {
        let mut g = GraphBuilder::new("t");
        let first =
            g.within("fc", |g| g.weight("weight", DType::F32, &named(&["2", "3"]))).unwrap();
        let again =
            g.within("fc", |g| g.weight("weight", DType::F32, &named(&["2", "3"]))).unwrap();
        assert_eq!(first, again);
        let wrong = g.within("fc", |g| g.weight("weight", DType::F32, &named(&["3", "2"])));
        assert_eq!(
            wrong.unwrap_err().to_string(),
            "weight `fc.weight` is used as [2,3] and as [3,2]"
        );
    }

    #[test]
    fn what_no_output_needs_is_pruned() {
        let mut g = GraphBuilder::new("t");
        let x = g.input("x", DType::F32, &named(&["batch"]));
        let w = g.weight("unused", DType::F32, &named(&["1"])).unwrap();
        let _dead = g.mul(x, w).unwrap();
        let y = g.sigmoid(x).unwrap();
        g.output("y", y).unwrap();
        let graph = g.finish().unwrap();
        assert_eq!(graph.nodes.len(), 1);
        assert_eq!(graph.weights().count(), 0);
        assert_eq!(graph.value(graph.outputs[0]).name, "y");
    }
}
