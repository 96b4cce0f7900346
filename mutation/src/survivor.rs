//! Why a mutant may survive: it computes the same for all that the contract allows.

use onr_graphs::ModelConfig;
use onr_onnx::{
    ElemType, Links, Model, floats,
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
const fn rules<'a>() -> [Rule<'a>; 12] {
    [
        (Case::is_vector_axis, "a vector has one axis: -1 is 0"),
        (Case::is_fill, "what hides a score is still far below any score"),
        (Case::is_tiny, "a tiny number that only keeps a division from 0"),
        (Case::is_order_only, "retrieval asks for the order, which a positive factor keeps"),
        (Case::is_estimate, "the bucket is an estimate, which a table of borders puts right"),
        (Case::is_cut, "a cast to integers follows, which cuts as Floor does"),
        (Case::is_retrieved, "what was retrieved is in the table, and needs no guard"),
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

    fn is_one_row(&self) -> bool {
        let rows = |op: &NodeProto| {
            let table = op.input.first().and_then(|name| self.model.initializer(name));
            table.filter(|_| op.op() == "Gather").map(|t| t.dims.clone())
        };
        if let Some(dims) = rows(self.node()) {
            let axis = usize::try_from(self.node().int("axis").unwrap_or(0)).unwrap_or(0);
            return dims.get(axis) == Some(&1);
        }
        // The guard of such a table.
        self.config.n_actions == 1 && self.is_guard_of_actions()
    }

    fn is_one_time(&self) -> bool {
        let passes = ["Unsqueeze", "Sub", "Abs", "Max", "Cast", "GatherND", "Where"];
        let of_time = self.mutant.change.what.contains("time")
            || self.reaches("Log", &passes)
            || self.reaches("Floor", &["Mul", "Sub"])
            || self.descends(0, "Floor");
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
