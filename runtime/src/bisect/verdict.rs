//! Is the first wrong value its own node's fault? The node runs alone, on what the reference has.

use std::collections::HashSet;

use onr_onnx::{ElemType, Model};

use super::{
    BisectError, Cause, Distance, Fault, Growth, NodeName, ValueError,
    diff::{Change, changes},
    finding::Evidence,
    hunt::Hunt,
    part,
    plan::{Region, upstream},
    search::behind,
    side::as_type,
};
use crate::tensor::Feeds;

/// Values that are asked for at once where all of a way are wanted.
const CHUNK: usize = 64;

/// Places of the largest growth that are told.
const SHOWN: usize = 8;

/// What is known of a region when it is judged.
struct Scene {
    region: Region,
    /// The pairs that come in, and those that are made.
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    /// Values of the reference and of the candidate, by the candidate's names.
    want: Feeds,
    got: Feeds,
}

impl Hunt<'_> {
    /// The verdict on a value that is wrong though all that it is made from is right.
    pub(super) fn examine(&mut self, value: usize) -> Result<Fault, BisectError> {
        let scene = self.scene(value, &HashSet::new())?;
        let inside = self.compare(&scene.outputs, &scene.want, &scene.got);
        let alone = match self.alone(&scene, &scene.want) {
            Ok(alone) => alone,
            Err(BisectError::Run(error)) => {
                let cause = Cause::NotAlone { reason: error.to_string() };
                return self.fault(value, scene, cause, Vec::new());
            }
            Err(error) => return Err(error),
        };
        if alone.iter().any(|v| v.is_wrong) {
            return self.fault(value, scene, Cause::Own, alone);
        }
        // Does it make of the candidate's own values what it makes in the graph?
        let again = self.play(&scene, &scene.got)?;
        let repeated = scene.outputs.iter().all(|at| {
            let name = &self.plan.pairs[*at].candidate;
            let both = again.get(name).zip(scene.got.get(name));
            both.is_some_and(|(again, got)| !Distance::between(got, again).exceeds(self.tolerance))
        });
        let is_choice = inside.iter().any(|v| v.is_wrong && v.distance.is_exact);
        let cause = match (repeated && inside.iter().any(|v| v.is_wrong), is_choice) {
            (false, _) => Cause::Together,
            (true, true) => Cause::Choice,
            (true, false) => Cause::Accumulated { growth: self.growth(value)? },
        };
        self.fault(value, scene, cause, alone)
    }

    /// The verdict on a value that is right as soon as what is behind it is looked at.
    pub(super) fn together(
        &mut self,
        value: usize,
        others: &[usize],
    ) -> Result<Fault, BisectError> {
        let scene = self.scene(value, &others.iter().copied().collect())?;
        let alone = match self.alone(&scene, &scene.want) {
            Err(BisectError::Run(_)) => Vec::new(),
            other => other?,
        };
        self.fault(value, scene, Cause::Together, alone)
    }

    fn scene(&mut self, value: usize, inside: &HashSet<usize>) -> Result<Scene, BisectError> {
        let region = self.plan.region(&self.candidate, &[value], inside);
        let inputs = self.plan.known(&region.inputs);
        // All that the node of the value makes: a Split is wrong as a whole.
        let node = self.plan.pairs[value].node;
        let made = &self.candidate.model.graph().node[node].output;
        let outputs: Vec<usize> = made.iter().filter_map(|name| self.plan.pair(name)).collect();
        let (theirs, ours) = self.values(&[inputs.clone(), outputs.clone()].concat())?;
        let mut want = self.batches.reference[self.batch].clone();
        let mut got = self.batches.candidate[self.batch].clone();
        for at in inputs.iter().chain(&outputs) {
            let name = &self.plan.pairs[*at].candidate;
            if let (Some(theirs), Some(ours)) = self.both(*at, &theirs, &ours) {
                want.insert(name.clone(), theirs.clone());
                got.insert(name.clone(), ours.clone());
            }
        }
        // Inputs of the graph are in codes on the candidate's side where it takes codes.
        for input in &region.inputs {
            if self.plan.pair(input).is_none()
                && let Some(value) = self.batches.candidate[self.batch].get(input)
            {
                want.insert(input.clone(), value.clone());
            }
        }
        Ok(Scene { region, inputs, outputs, want, got })
    }

    /// What the nodes make alone on the candidate's backend.
    fn play(&mut self, scene: &Scene, values: &Feeds) -> Result<Feeds, BisectError> {
        let inputs = part::inputs(&self.candidate, &scene.region, values);
        let proto = part::part(&self.candidate.model, &scene.region, &inputs, &self.made(scene));
        Ok(self.candidate.load(&proto)?.run(&part::wide(&inputs))?)
    }

    fn made(&self, scene: &Scene) -> Feeds {
        let names = scene.outputs.iter().map(|at| &self.plan.pairs[*at].candidate);
        names.filter_map(|name| Some((name.clone(), scene.got.get(name)?.clone()))).collect()
    }

    fn alone(&mut self, scene: &Scene, values: &Feeds) -> Result<Vec<ValueError>, BisectError> {
        let made = self.play(scene, values)?;
        Ok(self.compare(&scene.outputs, &scene.want, &made))
    }

    /// Pairs by the candidate's names.
    fn compare(&self, pairs: &[usize], want: &Feeds, got: &Feeds) -> Vec<ValueError> {
        let error = |at: &usize| {
            let name = &self.plan.pairs[*at].candidate;
            let (want, got) = (want.get(name)?, got.get(name)?);
            Some(self.error_of(*at, self.batch, Distance::between(want, got)))
        };
        pairs.iter().filter_map(error).collect()
    }

    /// Where on the way to a value errors grow most.
    fn growth(&mut self, value: usize) -> Result<Vec<Growth>, BisectError> {
        let mut way = behind(&self.plan.made_from, value, &HashSet::new());
        way.push(value);
        let mut errors = vec![0.0; self.plan.pairs.len()];
        for chunk in way.chunks(CHUNK) {
            for (at, distance) in chunk.iter().zip(self.distances(chunk)?) {
                errors[*at] = distance.error();
            }
        }
        let mut grown: Vec<Growth> = way
            .iter()
            .map(|at| Growth {
                node: self.node_name(self.plan.pairs[*at].node),
                value: self.plan.pairs[*at].candidate.clone(),
                error: errors[*at],
                before: self.plan.made_from[*at].iter().map(|m| errors[*m]).fold(0.0, f64::max),
            })
            .collect();
        let added = |g: &Growth| if g.error > g.before { g.error - g.before } else { 0.0 };
        grown.sort_by(|a, b| added(b).total_cmp(&added(a)));
        grown.retain(|g| added(g) > 0.0);
        grown.truncate(SHOWN);
        Ok(grown)
    }

    fn fault(
        &mut self,
        value: usize,
        scene: Scene,
        cause: Cause,
        alone: Vec<ValueError>,
    ) -> Result<Fault, BisectError> {
        let inputs = part::inputs(&self.candidate, &scene.region, &scene.want);
        let made = self.made(&scene);
        let proto = part::part(&self.candidate.model, &scene.region, &inputs, &made);
        let node = Model::from_proto(self.candidate.model.path(), proto)?;
        let (changes, against) = match self.two_files {
            true => self.other_file(value, &scene)?,
            false => (Vec::new(), None),
        };
        let culprit = match &cause {
            Cause::Accumulated { growth } => growth.first().map(|g| g.node.clone()),
            _ => changes.iter().find_map(|c| Some(self.node_name(c.node?))),
        };
        let nodes: Vec<NodeName> =
            scene.region.nodes.iter().map(|at| self.node_name(*at)).collect();
        Ok(Fault {
            node: culprit.unwrap_or_else(|| self.node_name(self.plan.pairs[value].node)),
            cause,
            nodes,
            differences: changes.into_iter().map(|c| c.words).collect(),
            batch: self.batch,
            outputs: self.compare(&scene.outputs, &scene.want, &scene.got),
            inputs: self.compare(&scene.inputs, &scene.want, &scene.got),
            alone,
            evidence: Evidence { node, against, inputs: part::wide(&inputs) },
        })
    }

    /// What the other file has in that place, and how it differs.
    fn other_file(
        &self,
        value: usize,
        scene: &Scene,
    ) -> Result<(Vec<Change>, Option<Model>), BisectError> {
        let theirs = |name: &String| self.plan.matching.values.get(name).unwrap_or(name).clone();
        let borders: HashSet<String> = scene.region.inputs.iter().map(&theirs).collect();
        let wanted = [self.plan.pairs[value].reference.as_str()];
        let region = upstream(&self.reference, wanted, &|n| borders.contains(n));
        let changes = changes(
            (&self.candidate, &scene.region),
            (&self.reference, &region),
            &self.plan.matching,
        );
        // By the names of the candidate's inputs, so that both take one archive.
        let mut inputs = Feeds::new();
        for name in &scene.region.inputs {
            let other = theirs(name);
            if other == *name
                && let Some(tensor) = scene.want.get(name)
            {
                let elem = self.reference.types.get(name).copied();
                let typed = elem.and_then(|elem| as_type(tensor, elem));
                inputs.insert(other, typed.unwrap_or_else(|| tensor.clone()));
            }
        }
        let is_whole = region.inputs.iter().all(|name| inputs.contains_key(name));
        if !is_whole || inputs.len() != scene.region.inputs.len() {
            return Ok((changes, None));
        }
        let is_bf16 = |name: &String| self.reference.types.get(name) == Some(&ElemType::Bfloat16);
        if inputs.keys().any(is_bf16) {
            return Ok((changes, None));
        }
        let made = scene.outputs.iter().map(|at| &self.plan.pairs[*at]);
        let made = made
            .filter(|pair| pair.candidate == pair.reference)
            .filter_map(|pair| {
                Some((pair.candidate.clone(), scene.want.get(&pair.candidate)?.clone()))
            })
            .collect::<Feeds>();
        let proto = part::part(&self.reference.model, &region, &inputs, &made);
        let model = Model::from_proto(self.reference.model.path(), proto)?;
        Ok((changes, (!made.is_empty()).then_some(model)))
    }
}
