//! What every tensor of the model is made of, decided before anything is written.

use std::{borrow::Cow, collections::BTreeSet};

use onr_graphs::{
    DType, ModelConfig,
    model::weights::{WeightSpec, checkpoint as specs},
};

use super::{
    canvas::Canvas,
    gather::Gatherer,
    map::{ImportMap, Origin, Rule},
    pattern::Captures,
};
use crate::{checkpoint::Checkpoint, config::nearest};

/// All tensors of the model, in the order of the contract.
pub(super) struct Plan<'a> {
    pub(super) tensors: Vec<Planned<'a>>,
    /// Foreign tensors, or slices of them, that no tensor is made of.
    pub(super) unused: Vec<String>,
}

/// One tensor of the model.
pub(super) struct Planned<'a> {
    pub(super) spec: WeightSpec,
    pub(super) dtype: DType,
    pub(super) content: Content<'a>,
    pub(super) done: Done,
}

/// Its numbers.
pub(super) enum Content<'a> {
    Fill(f32),
    Numbers { canvas: Canvas<'a>, scale: Option<f32> },
}

/// What was done to it, for the report.
#[derive(Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) transposed: bool,
    pub(super) merged: bool,
    pub(super) reordered: bool,
}

/// Finds a source for every tensor.
///
/// # Errors
/// Every problem.
pub(super) fn plan<'a>(
    map: &ImportMap,
    source: &'a Checkpoint,
    cfg: &ModelConfig,
) -> Result<Plan<'a>, Vec<String>> {
    let specs = specs(cfg);
    let mut problems = idle(map, cfg, &specs);
    let mut chooser = Chooser { map, source, ambiguous: BTreeSet::new() };
    let mut gatherer = Gatherer::new(source, cfg);
    let mut tensors = Vec::new();
    for spec in specs {
        match chooser.choose(&spec.key) {
            Ok(Some((rule, captures))) => {
                tensors.extend(tensor(&mut gatherer, spec, &rule, &captures))
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    let (more, uses) = gatherer.finish();
    problems.extend(more);
    if problems.is_empty() {
        Ok(Plan { tensors, unused: uses.unused(source.keys()) })
    } else {
        Err(problems)
    }
}

/// One tensor, or `None` with the problem noted.
fn tensor<'a>(
    gatherer: &mut Gatherer<'a>,
    spec: WeightSpec,
    rule: &Rule,
    captures: &Captures,
) -> Option<Planned<'a>> {
    match &rule.origin {
        Origin::Fill(value) => {
            let content = Content::Fill(*value);
            Some(Planned { spec, dtype: DType::F32, content, done: Done::default() })
        }
        Origin::Pieces(recipe) => {
            let (canvas, dtype) = gatherer.gather(&spec, rule, recipe, captures)?;
            let done = Done {
                transposed: spec.shape.len() > 1
                    && recipe.pieces.iter().any(|p| p.transpose == Some(true)),
                merged: recipe.pieces.len() > 1,
                reordered: recipe.reorder.is_some(),
            };
            let content = Content::Numbers { canvas, scale: recipe.scale };
            Some(Planned { spec, dtype, content, done })
        }
    }
}

/// Finds the rule of a tensor.
struct Chooser<'a> {
    map: &'a ImportMap,
    source: &'a Checkpoint,
    /// Pairs of rules that were complained about.
    ambiguous: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Chooser<'a> {
    /// The one rule of the highest rank, or the foreign tensor of the same name. `None` when it is
    /// ambiguous and that has been said.
    fn choose(&mut self, key: &str) -> Result<Option<(Cow<'a, Rule>, Captures)>, String> {
        let matching = self.map.rules.iter().filter_map(|r| Some((r, r.to.matches(key)?)));
        let mut matching: Vec<_> = matching.collect();
        let highest = matching.iter().map(|(rule, _)| rule.rank()).max();
        matching.retain(|(rule, _)| Some(rule.rank()) == highest);
        match &matching[..] {
            [] => self.identity(key).map(|rule| Some((Cow::Owned(rule), Captures::new()))),
            [(rule, captures)] => Ok(Some((Cow::Borrowed(rule), captures.clone()))),
            [(a, _), (b, _), ..] if self.ambiguous.insert((&a.label, &b.label)) => {
                let (a, b) = (a.full_label(), b.full_label());
                Err(format!("{a} and {b} both give `{key}`; one of them must go"))
            }
            _ => Ok(None),
        }
    }

    fn identity(&self, key: &str) -> Result<Rule, String> {
        if !self.map.identity {
            return Err(format!("`{key}`: no rule gives it, and the map says `identity = false`"));
        }
        // What onr has written lies as onr wants it.
        let ours = self.source.metadata().keys().any(|k| k.starts_with("onr."));
        Ok(Rule::identity(key, ours.then_some(false)))
    }
}

/// Own rules that give no tensor of this model, nor one that it would have with fake items and a
/// time bias: a map may serve models with and without them.
fn idle(map: &ImportMap, cfg: &ModelConfig, specs: &[WeightSpec]) -> Vec<String> {
    let full = ModelConfig {
        n_fake_items: cfg.n_fake_items.max(1),
        time_buckets: cfg.time_buckets.max(1),
        ..cfg.clone()
    };
    let full = self::specs(&full);
    let numberless = |key: &str| {
        let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        key.split('.').map(|s| if number(s) { "#" } else { s }).collect::<Vec<_>>().join(".")
    };
    let outlines: Vec<String> = specs.iter().map(|spec| numberless(&spec.key)).collect();
    let names: Vec<&str> = outlines.iter().map(String::as_str).collect();
    let matches_none = |rule: &&Rule| !full.iter().any(|spec| rule.to.matches(&spec.key).is_some());
    let problem = |rule: &Rule| {
        let near = nearest(&rule.to.outline(), &names);
        let near = near.and_then(|near| specs.iter().find(|spec| numberless(&spec.key) == near));
        let guess = near.map_or_else(String::new, |s| format!("; did you mean `{}`?", s.key));
        format!("{}: the model has no such tensor{guess}", rule.full_label())
    };
    map.rules.iter().filter(|rule| rule.own).filter(matches_none).map(problem).collect()
}
