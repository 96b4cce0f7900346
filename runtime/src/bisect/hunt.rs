//! One search on two sides: rounds of runs with more values as outputs.

use std::path::Path;

use onr_exporter::Progress;

use super::{
    BisectError, Distance, Finding, NodeName, Numbers, Options, Tolerance, ValueError,
    plan::Plan,
    search::{First, search},
    side::Side,
};
use crate::{
    backend::Backend,
    tensor::{Feeds, HostTensor},
};

/// The inputs of both sides, batch by batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batches<'a> {
    pub(super) reference: &'a [Feeds],
    pub(super) candidate: &'a [Feeds],
}

/// A search.
pub(super) struct Hunt<'a> {
    pub(super) reference: Side<'a>,
    pub(super) candidate: Side<'a>,
    pub(super) plan: Plan,
    pub(super) tolerance: f64,
    /// Two files, not one.
    pub(super) two_files: bool,
    pub(super) batches: Batches<'a>,
    /// The batch that is looked at.
    pub(super) batch: usize,
    numbers: Numbers,
    progress: &'a dyn Progress,
}

impl<'a> Hunt<'a> {
    pub(super) fn new(
        reference: (&'a dyn Backend, &Path),
        candidate: (&'a dyn Backend, &Path),
        batches: Batches<'a>,
        options: Options,
        progress: &'a dyn Progress,
    ) -> Result<Self, BisectError> {
        let is_same = reference.1 == candidate.1;
        let reference = Side::open(reference.0, reference.1)?;
        let candidate = Side::open(candidate.0, candidate.1)?;
        let plan = Plan::new(&candidate, &reference, is_same)?;
        let numbers = Numbers::of([&reference.model, &candidate.model]);
        let tolerance = options.tolerance.unwrap_or(Tolerance::of(numbers));
        let two_files = !is_same;
        Ok(Self {
            reference,
            candidate,
            plan,
            tolerance,
            two_files,
            batches,
            batch: 0,
            numbers,
            progress,
        })
    }

    pub(super) fn run(mut self) -> Result<Finding, BisectError> {
        self.progress.stage("bisect", 0);
        let outputs = self.judge()?;
        let wrong = outputs.iter().filter(|o| o.is_wrong);
        let worst = wrong.max_by(|a, b| a.distance.error().total_cmp(&b.distance.error()));
        let fault = match worst.map(|worst| worst.batch) {
            None => None,
            Some(batch) => {
                self.batch = batch;
                // The earliest that is wrong on that batch.
                let targets = self.plan.targets.clone();
                let wrong = self.wrong(&targets)?;
                let first = targets.iter().zip(wrong).find(|(_, wrong)| *wrong).map(|(t, _)| *t);
                // One that differs from run to run is still the one to look at.
                let named = outputs.iter().position(|o| o.is_wrong).map(|at| targets[at]);
                match first.or(named) {
                    Some(start) => Some(self.follow(start)?),
                    None => None,
                }
            }
        };
        Ok(Finding {
            numbers: self.numbers,
            tolerance: self.tolerance,
            values: self.plan.pairs.len(),
            unmatched: self.plan.unmatched.clone(),
            outputs,
            loads: self.reference.loads + self.candidate.loads,
            fault,
        })
    }

    /// The outputs on all batches, each with its worst.
    fn judge(&mut self) -> Result<Vec<ValueError>, BisectError> {
        let targets = self.plan.targets.clone();
        let (ours, theirs) = self.names(&targets);
        let mut want = self.reference.marked(&theirs)?;
        let mut got = self.candidate.marked(&ours)?;
        let mut worst: Vec<Option<ValueError>> = vec![None; targets.len()];
        for batch in 0..self.batches.reference.len() {
            let want = self.reference.run(want.as_mut(), &self.batches.reference[batch])?;
            let got = self.candidate.run(got.as_mut(), &self.batches.candidate[batch])?;
            self.step()?;
            for (at, worst) in targets.iter().zip(&mut worst) {
                let (Some(want), Some(got)) = self.both(*at, &want, &got) else { continue };
                let new = self.error_of(*at, batch, Distance::between(want, got));
                let is_worse = |old: &ValueError| {
                    (new.is_wrong, new.distance.error()) > (old.is_wrong, old.distance.error())
                };
                if worst.as_ref().is_none_or(is_worse) {
                    *worst = Some(new);
                }
            }
        }
        Ok(worst.into_iter().flatten().collect())
    }

    /// From a wrong output to what is behind it.
    fn follow(&mut self, start: usize) -> Result<super::Fault, BisectError> {
        let made_from = self.plan.made_from.clone();
        match search(&made_from, start, &mut |values| self.wrong(values))? {
            First::Value(value) => self.examine(value),
            First::Together { value, others } => self.together(value, &others),
        }
    }

    /// Are these pairs wrong?
    fn wrong(&mut self, pairs: &[usize]) -> Result<Vec<bool>, BisectError> {
        let distances = self.distances(pairs)?;
        Ok(distances.iter().map(|d| d.exceeds(self.tolerance)).collect())
    }

    /// How far these pairs are apart.
    pub(super) fn distances(&mut self, pairs: &[usize]) -> Result<Vec<Distance>, BisectError> {
        let (want, got) = self.values(pairs)?;
        let distance = |at: &usize| match self.both(*at, &want, &got) {
            (Some(want), Some(got)) => Ok(Distance::between(want, got)),
            _ => Err(self.lost(*at)),
        };
        pairs.iter().map(distance).collect()
    }

    /// These pairs on the batch that is looked at, under each side's names, with what else the graphs give.
    pub(super) fn values(&mut self, pairs: &[usize]) -> Result<(Feeds, Feeds), BisectError> {
        let (ours, theirs) = self.names(pairs);
        let mut session = self.reference.marked(&theirs)?;
        let want = self.reference.run(session.as_mut(), &self.batches.reference[self.batch])?;
        drop(session);
        let mut session = self.candidate.marked(&ours)?;
        let got = self.candidate.run(session.as_mut(), &self.batches.candidate[self.batch])?;
        self.step()?;
        Ok((want, got))
    }

    fn names(&self, pairs: &[usize]) -> (Vec<String>, Vec<String>) {
        let pairs = pairs.iter().map(|at| &self.plan.pairs[*at]);
        let mut theirs: Vec<String> = pairs.clone().map(|p| p.reference.clone()).collect();
        theirs.sort_unstable();
        theirs.dedup();
        (pairs.map(|p| p.candidate.clone()).collect(), theirs)
    }

    /// Both tensors of a pair, where a backend gave them.
    pub(super) fn both<'f>(
        &self,
        at: usize,
        want: &'f Feeds,
        got: &'f Feeds,
    ) -> (Option<&'f HostTensor>, Option<&'f HostTensor>) {
        let pair = &self.plan.pairs[at];
        (want.get(&pair.reference), got.get(&pair.candidate))
    }

    fn lost(&self, at: usize) -> BisectError {
        BisectError::Lost { value: self.plan.pairs[at].candidate.clone() }
    }

    pub(super) fn error_of(&self, at: usize, batch: usize, distance: Distance) -> ValueError {
        let pair = &self.plan.pairs[at];
        let other = (pair.reference != pair.candidate).then(|| pair.reference.clone());
        ValueError {
            name: pair.candidate.clone(),
            reference: other,
            batch,
            is_wrong: distance.exceeds(self.tolerance),
            distance,
        }
    }

    pub(super) fn node_name(&self, at: usize) -> NodeName {
        let nodes = &self.candidate.model.graph().node;
        NodeName {
            name: nodes[at].label().to_owned(),
            op: nodes[at].op().to_owned(),
            position: at,
            of: nodes.len(),
        }
    }

    fn step(&self) -> Result<(), BisectError> {
        match self.progress.advance(1).is_break() {
            true => Err(BisectError::Interrupted),
            false => Ok(()),
        }
    }
}
