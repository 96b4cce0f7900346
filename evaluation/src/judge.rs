//! One user: candidates, places, and what the ranking stage changed.

use onr_interactions::Event;

use crate::agreement::{divergence, kendall, overlap};
use crate::error::EvaluateError;
use crate::order::{best, id, key, place};
use crate::outcome::{Closeness, StageOutcome, UserOutcome, ranker_lists};
use crate::{Ranked, Truth};

/// How many items the value of a list is taken over.
const SHOWN: usize = 10;

/// A user with a held-out behaviour that can be found.
pub(crate) struct Case {
    pub(crate) user: usize,
    /// Everything before the held-out behaviour.
    pub(crate) past: Vec<Event>,
    pub(crate) target: Event,
}

/// What every case is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// `N`.
    pub(crate) n: usize,
    /// `V`.
    pub(crate) n_items: usize,
    pub(crate) cutoff: usize,
    pub(crate) temperature: f64,
    pub(crate) truth: Option<&'a Truth<'a>>,
}

/// What the generator's lists say about a case.
pub(crate) struct Retrieved {
    places: Vec<Option<u32>>,
    value10: Vec<f32>,
    /// `[V]`, where truth is given.
    expected: Option<Vec<f32>>,
    /// Ascending and unique; empty if not asked for.
    pub(crate) candidates: Vec<u32>,
}

/// Judges the generator's lists.
///
/// `scores`: `[N, V]`. Candidates for the ranking stage are made if `wanted`.
pub(crate) fn retrieved(
    case: &Case,
    scores: &[f32],
    wanted: bool,
    rules: Rules<'_>,
) -> Result<Retrieved, EvaluateError> {
    let expected = expected(case, rules)?;
    let unseen = unseen(&case.past, rules.n_items);
    let mut found =
        Retrieved { places: Vec::new(), value10: Vec::new(), expected, candidates: Vec::new() };
    let mut keys = Vec::with_capacity(unseen.len());
    for (task, scores) in scores.chunks_exact(rules.n_items).enumerate() {
        check("score", case.user, task, (0..).zip(scores).skip(1))?;
        keys.clear();
        keys.extend(unseen.iter().map(|item| key(scores[*item as usize], *item)));
        let target = key(scores[case.target.item as usize], case.target.item);
        found.places.push(Some(place(&keys, target)));
        if wanted {
            let best = best(&mut keys, rules.cutoff);
            found.candidates.extend(best.iter().map(|key| id(*key)));
        }
        if let Some(expected) = &found.expected {
            found.value10.push(value(&mut keys, expected));
        }
    }
    found.candidates.sort_unstable();
    found.candidates.dedup();
    Ok(found)
}

/// Ends a case whose recommender has no ranking stage: the last task's list is the final one.
pub(crate) fn unranked(case: &Case, mut retrieved: Retrieved) -> UserOutcome {
    retrieved.places.extend(retrieved.places.last().copied());
    retrieved.value10.extend(retrieved.value10.last().copied());
    outcome(case, retrieved, None)
}

/// Judges the ranking stage's lists of `retrieved.candidates`.
pub(crate) fn ranked(
    case: &Case,
    mut retrieved: Retrieved,
    ranked: &Ranked,
    rules: Rules<'_>,
) -> Result<UserOutcome, EvaluateError> {
    let n = rules.n;
    let expected = retrieved.candidates.len() * n;
    for (what, of) in
        [("ranked scores", &ranked.scores), ("ranked logits", &ranked.generator_logits)]
    {
        if of.len() != expected {
            return Err(EvaluateError::Length { what, got: of.len(), expected });
        }
        for task in 0..n {
            let items = retrieved.candidates.iter().copied();
            check(what, case.user, task, items.zip(of.iter().skip(task).step_by(n)))?;
        }
    }
    let column = |of: &[f32], task| of.iter().skip(task).step_by(n).copied().collect::<Vec<f32>>();
    for task in (0..ranker_lists(n)).chain([n - 1]) {
        let scores = column(&ranked.scores, task);
        let mut keys: Vec<u64> =
            retrieved.candidates.iter().zip(&scores).map(|(item, s)| key(*s, *item)).collect();
        let target = retrieved.candidates.binary_search(&case.target.item).ok();
        retrieved.places.push(target.map(|at| place(&keys, keys[at])));
        if let Some(expected) = &retrieved.expected {
            retrieved.value10.push(value(&mut keys, expected));
        }
    }
    let closeness = |task| {
        let (scores, logits) =
            (column(&ranked.scores, task), column(&ranked.generator_logits, task));
        Closeness { tau: kendall(&scores, &logits), overlap10: overlap(&scores, &logits, SHOWN) }
    };
    let stage = StageOutcome {
        candidates: u32::try_from(retrieved.candidates.len()).unwrap_or(u32::MAX),
        dc: divergence(
            &column(&ranked.scores, n - 1),
            &column(&ranked.generator_logits, n - 1),
            rules.temperature,
        ),
        first: closeness(0),
        last: closeness(n - 1),
    };
    Ok(outcome(case, retrieved, Some(stage)))
}

fn outcome(case: &Case, retrieved: Retrieved, stage: Option<StageOutcome>) -> UserOutcome {
    UserOutcome {
        user: case.user,
        item: case.target.item,
        labels: case.target.labels,
        value: case.target.value,
        places: retrieved.places,
        value10: retrieved.value10,
        stage,
    }
}

/// The items `1..V` that are not in the past.
fn unseen(past: &[Event], n_items: usize) -> Vec<u32> {
    let mut seen = vec![false; n_items];
    for event in past {
        seen[event.item as usize] = true;
    }
    (0..).zip(seen).skip(1).filter(|(_, seen)| !seen).map(|(item, _)| item).collect()
}

fn expected(case: &Case, rules: Rules<'_>) -> Result<Option<Vec<f32>>, EvaluateError> {
    let Some(truth) = rules.truth else { return Ok(None) };
    let expected = truth(case.user, &case.past);
    if expected.len() != rules.n_items {
        let got = expected.len();
        return Err(EvaluateError::Length { what: "truth", got, expected: rules.n_items });
    }
    Ok(Some(expected))
}

/// Mean expected value of the best items of a list. Reorders the keys.
fn value(keys: &mut [u64], expected: &[f32]) -> f32 {
    let best = best(keys, SHOWN);
    let sum: f64 = best.iter().map(|key| f64::from(expected[id(*key) as usize])).sum();
    (sum / best.len().max(1) as f64) as f32
}

fn check<'a>(
    what: &'static str,
    user: usize,
    task: usize,
    mut scores: impl Iterator<Item = (u32, &'a f32)>,
) -> Result<(), EvaluateError> {
    match scores.find(|(_, score)| !score.is_finite()) {
        Some((item, score)) => {
            Err(EvaluateError::NotFinite { what, user, task, item, score: *score })
        }
        None => Ok(()),
    }
}
