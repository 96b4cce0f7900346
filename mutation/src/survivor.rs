//! Why a mutant may survive: it computes the same for all that the contract allows.

use onr_graphs::ModelConfig;
use onr_onnx::{
    ElemType, Links, Model, elem_types, floats,
    proto::{NodeProto, TensorProto},
};

use crate::{mutant::Mutant, operators::Operator};

/// How far a maker is looked for.
const NEAR: usize = 6;

/// What a rule looks at.
struct Case<'a> {
    mutant: &'a Mutant,
    config: &'a ModelConfig,
    model: &'a Model,
    at: usize,
}

/// A rule: whether it is the reason, and the reason.
type Rule<'a> = (fn(&Case<'a>) -> bool, &'static str);

/// The first that holds is the reason.
const fn rules<'a>() -> [Rule<'a>; 17] {
    [
        (Case::is_vector_axis, "a vector has one axis: -1 is 0"),
        (Case::is_fill, "what hides a score is still far below any score"),
        (Case::is_tiny, "a tiny number that only keeps a division from 0"),
        (Case::is_order_only, "retrieval asks for the order, which a positive factor keeps"),
        (Case::is_estimate, "the bucket is an estimate, which a table of borders puts right"),
        (Case::is_cut, "a cast to integers follows, which cuts as Floor does"),
        (Case::is_retrieved, "what was retrieved is in the table, and needs no guard"),
        (Case::is_distance, "a distance in time has no sign"),
        (Case::is_no_distance, "no distance and one second are both in the first bucket"),
        (Case::is_first_id, "id 0 is read from row 0, as strange ids are"),
        (Case::is_beside_one, "an axis of one place comes before or behind another one"),
        (
            Case::is_fused_norm,
            "ONNX Runtime fuses an addition and the norm behind it, over the last axis whatever is asked",
        ),
        (Case::is_same_shape, "both numbers name the same size, or an end beyond the end"),
        (
            Case::is_sorted_times,
            "histories are in order of time: a later behaviour is never before an earlier one",
        ),
        (Case::is_one_row, "a table of one row has one place to read from"),
        (Case::is_one_time, "all times fall into one bucket"),
        (Case::is_normed, "a norm follows, which takes a factor out again"),
    ]
}

/// Why a mutant computes the same, if that is known.
#[must_use]
pub fn reason(mutant: &Mutant, config: &ModelConfig, model: &Model) -> Option<&'static str> {
    let at = model.graph().node.iter().position(|node| node.label() == mutant.node)?;
    let case = Case { mutant, config, model, at };
    rules().into_iter().find(|(is, _)| is(&case)).map(|(_, reason)| reason)
}

impl Case<'_> {
    fn node(&self) -> &NodeProto {
        &self.model.graph().node[self.at]
    }

    fn is(&self, operator: Operator) -> bool {
        self.mutant.operator == operator
    }

    /// The node that makes an input.
    fn maker(&self, input: usize) -> Option<&NodeProto> {
        let graph = self.model.graph();
        let links = Links::new(graph);
        Some(&graph.node[links.producer(self.node().input.get(input)?)?])
    }

    /// Is an input made of what such a node makes, at most some nodes away?
    fn descends(&self, input: usize, op: &str) -> bool {
        let graph = self.model.graph();
        let links = Links::new(graph);
        let mut open: Vec<(&str, usize)> =
            self.node().input.get(input).map(|name| (name.as_str(), 0)).into_iter().collect();
        while let Some((name, steps)) = open.pop() {
            let Some(at) = links.producer(name) else { continue };
            let node = &graph.node[at];
            if node.op() == op {
                return true;
            }
            if steps < NEAR {
                open.extend(node.input.iter().map(|name| (name.as_str(), steps + 1)));
            }
        }
        false
    }

    /// Nodes that read what this one makes, and what those make, through operators that `passes`.
    fn reaches(&self, op: &str, passes: &[&str]) -> bool {
        self.reaches_through(op, &|node| passes.contains(&node.op()))
    }

    /// As [`reaches`](Self::reaches), through nodes that `passes`.
    fn reaches_through(&self, op: &str, passes: &dyn Fn(&NodeProto) -> bool) -> bool {
        let graph = self.model.graph();
        let links = Links::new(graph);
        let mut open = vec![self.at];
        let mut found = false;
        while let Some(at) = open.pop() {
            for output in &graph.node[at].output {
                for reader in links.uses(output).iter().map(|u| u.node) {
                    match &graph.node[reader] {
                        reached if reached.op() == op => found = true,
                        passed if passes(passed) => open.push(reader),
                        _ => return false,
                    }
                }
            }
        }
        found
    }

    /// The scalar float constants of the node.
    fn scalars(&self) -> Vec<f32> {
        let constants = self.node().input.iter().filter_map(|name| self.model.initializer(name));
        constants.filter_map(|t| self.scalar(t)).collect()
    }

    /// The one number of a float tensor.
    fn scalar(&self, tensor: &TensorProto) -> Option<f32> {
        let elem = ElemType::of(tensor.data_type?)?;
        let one = tensor.dims.iter().product::<i64>() == 1;
        one.then(|| floats(elem, &self.model.bytes(tensor).ok()?)?.first().copied())?
    }

    fn is_vector_axis(&self) -> bool {
        self.is(Operator::WrongAxis)
            && self.node().op() == "Gather"
            && self.is_vector(0)
            && self.mutant.change.what.starts_with("axis -1")
    }

    /// Has an input one axis?
    fn is_vector(&self, input: usize) -> bool {
        let constant = self.node().input.get(input).and_then(|n| self.model.initializer(n));
        constant.is_some_and(|t| t.dims.len() == 1)
            || self.maker(input).is_some_and(|node| node.op() == "Shape")
    }

    fn is_fill(&self) -> bool {
        self.is(Operator::WrongConstant)
            && self.node().op() == "Where"
            && self.scalars().iter().any(|x| *x <= -1e9)
    }

    fn is_tiny(&self) -> bool {
        self.is(Operator::WrongConstant) && self.scalars().iter().any(|x| *x > 0.0 && *x < 1e-9)
    }

    fn is_order_only(&self) -> bool {
        let steady = [Operator::WrongConstant, Operator::Scale].contains(&self.mutant.operator);
        let scaled = ["Reshape", "Cast", "Gemm", "MatMul", "Slice", "Where", "Transpose"];
        steady && self.mutant.node.starts_with("retrieve/") && self.reaches("TopK", &scaled)
    }

    fn is_estimate(&self) -> bool {
        let nearly = [Operator::WrongConstant, Operator::OffByOne, Operator::WrongOperator];
        nearly.contains(&self.mutant.operator)
            && (self.reaches("Floor", &["Sub", "Mul"]) || self.node().op() == "Floor")
    }

    /// A cast to integers cuts a number that is not negative as `Floor` does.
    fn is_cut(&self) -> bool {
        self.is(Operator::SkipNode) && self.node().op() == "Floor" && self.reaches("Max", &["Cast"])
    }

    /// What `TopK` chose is looked up: it is always in the table.
    fn is_retrieved(&self) -> bool {
        self.is(Operator::DropMask)
            && self.mutant.change.what == "takes input 1 always"
            && self.descends(1, "TopK")
            && self.reaches("Gather", &[])
    }

    fn is_same_shape(&self) -> bool {
        let what = &self.mutant.change.what;
        self.is(Operator::OffByOne)
            && ((self.node().op() == "Reshape" && what.contains("-1 for 0"))
                || what.contains("9223372036854775806 for"))
    }

    fn is_sorted_times(&self) -> bool {
        self.node().op() == "Abs"
    }

    /// The weight that an input is, or is made of by operators that keep its numbers.
    fn weight(&self, input: usize) -> Option<&TensorProto> {
        let graph = self.model.graph();
        let links = Links::new(graph);
        let mut name = self.node().input.get(input)?;
        loop {
            if let Some(weight) = self.model.initializer(name) {
                return Some(weight);
            }
            let maker = &graph.node[links.producer(name)?];
            if !["Cast", "Transpose", "Unsqueeze"].contains(&maker.op()) {
                return None;
            }
            name = maker.input.first()?;
        }
    }

    fn is_distance(&self) -> bool {
        self.is(Operator::SwapInputs) && self.node().op() == "Sub" && self.reaches("Abs", &[])
    }

    fn is_no_distance(&self) -> bool {
        self.is(Operator::OffByOne)
            && self.node().op() == "Max"
            && self.mutant.change.what.ends_with("0 for 1")
            && self.maker(0).is_some_and(|node| node.op() == "Abs")
    }

    /// Is it the lower border of ids?
    fn is_first_id(&self) -> bool {
        let of_ids = |name: &String| name.ends_with("_ids");
        [Operator::OffByOne, Operator::WrongOperator].contains(&self.mutant.operator)
            && self.node().op() == "GreaterOrEqual"
            && ["1 for 0", "Greater for"].iter().any(|w| self.mutant.change.what.contains(w))
            && self.node().input.first().is_some_and(of_ids)
    }

    /// A new axis beside one that was new itself.
    fn is_beside_one(&self) -> bool {
        let axis = |node: &NodeProto| {
            let axes = self.model.initializer(node.input.get(1)?)?;
            let bytes = self.model.bytes(axes).ok()?;
            Some(i64::from_le_bytes(bytes.get(..8)?.try_into().ok()?))
        };
        let places = self.mutant.change.what.strip_prefix("input 1: ");
        let pair = places.and_then(|text| text.split_once(" for "));
        let both = |one: i64| pair == Some((&(one + 1).to_string(), &one.to_string()));
        self.is(Operator::OffByOne)
            && self.node().op() == "Unsqueeze"
            && self.maker(0).filter(|m| m.op() == "Unsqueeze").and_then(axis).is_some_and(both)
    }

    fn is_fused_norm(&self) -> bool {
        self.is(Operator::WrongAxis)
            && self.node().op() == "LayerNormalization"
            && self.maker(0).is_some_and(|node| node.op() == "Add")
    }

    fn is_one_row(&self) -> bool {
        if self.node().op() == "Gather" {
            let axis = usize::try_from(self.node().int("axis").unwrap_or(0)).unwrap_or(0);
            let table = self.node().input.first().and_then(|name| self.model.initializer(name));
            if let Some(table) = table {
                return table.dims.get(axis) == Some(&1);
            }
            // Tables of biases have their places along the last axis.
            return self.weight(0).is_some_and(|table| table.dims.last() == Some(&1));
        }
        // Where the sums of two tables lie, if one of them has one place.
        let is_bias = |weight: &TensorProto| weight.label().ends_with("_bias");
        if self.node().op() == "Unsqueeze" && self.weight(0).is_some_and(is_bias) {
            return self.config.rel_pos_buckets == 1 || self.config.time_buckets == 1;
        }
        // The guard of such a table.
        self.config.n_actions == 1 && self.is_guard_of_actions()
    }

    /// Does the node make integers or truths?
    fn counts(&self) -> bool {
        let types = elem_types(self.model.graph());
        let made = self.node().output.first().and_then(|name| types.get(name));
        matches!(made, Some(ElemType::Int64 | ElemType::Int32 | ElemType::Bool))
    }

    fn is_one_time(&self) -> bool {
        let passes = ["Unsqueeze", "Sub", "Abs", "Max", "Cast", "GatherND", "Where"];
        let is_time = |weight: &TensorProto| weight.label().contains("time");
        let is_times = |name: &String| ["timestamps", "request_time"].contains(&name.as_str());
        let cut = &self.mutant.change.what;
        let of_time = ["`timestamps`", "`request_time`"].iter().any(|name| cut.contains(name))
            || self.node().input.iter().any(is_times)
            || self.weight(0).is_some_and(is_time)
            || self.reaches("Log", &passes)
            || self.reaches("Floor", &["Mul", "Sub"])
            || (self.counts() && self.descends(0, "Floor"));
        self.config.time_buckets <= 1 && of_time
    }

    /// Is it one of the nodes that send strange actions to row 0?
    fn is_guard_of_actions(&self) -> bool {
        let graph = self.model.graph();
        let links = Links::new(graph);
        let mut open = vec![self.at];
        while let Some(at) = open.pop() {
            for output in &graph.node[at].output {
                for reader in links.uses(output).iter().map(|u| u.node) {
                    let node = &graph.node[reader];
                    match node.op() {
                        "Gather" => {
                            return node.input[0].contains("action");
                        }
                        "And" | "Where" => open.push(reader),
                        _ => return false,
                    }
                }
            }
        }
        false
    }

    fn is_normed(&self) -> bool {
        let linear = |node: &NodeProto| match node.op() {
            // Other than one between scores and -1e30, a choice between numbers and 0 keeps a factor.
            "Where" => {
                let other = node.input.get(2).and_then(|name| self.model.initializer(name));
                other.and_then(|t| self.scalar(t)) == Some(0.0)
            }
            op => ["Mul", "Transpose", "Reshape", "Cast", "MatMul"].contains(&op),
        };
        self.is(Operator::Scale) && self.reaches_through("LayerNormalization", &linear)
    }
}
