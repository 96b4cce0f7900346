//! Histories and recommenders that are made up.

use std::convert::Infallible;

use onr_evaluation::{Counts, Evaluation, List, Ranked, Recommender, UserOutcome};
use onr_interactions::{Event, Fold};

pub(crate) fn event(item: u32) -> Event {
    Event { item, action: 1, labels: 1, value: 0.0, time: 0 }
}

pub(crate) fn history(items: &[u32]) -> Vec<Event> {
    items.iter().map(|item| event(*item)).collect()
}

/// Scatters its input.
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 31)).wrapping_mul(0x9fb2_1c65_1e98_df25);
    let x = (x ^ (x >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

/// Scores that look random, take few values, and depend on the past.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) n: usize,
    pub(crate) n_items: usize,
    pub(crate) levels: u64,
    pub(crate) ranks: bool,
}

impl Made {
    pub(crate) fn score(&self, salt: u64, past: &[Event], task: usize, item: u32) -> f32 {
        let seed = past.iter().fold(salt, |seed, event| mix(seed ^ u64::from(event.item)));
        let level = mix(mix(seed ^ task as u64) ^ u64::from(item)) % self.levels;
        level as f32 / 2.0 - 1.0
    }

    pub(crate) fn logit(&self, past: &[Event], task: usize, item: u32) -> f32 {
        self.score(1, past, task, item)
    }

    pub(crate) fn ranked(&self, past: &[Event], task: usize, item: u32) -> f32 {
        self.score(2, past, task, item)
    }
}

impl Recommender for Made {
    type Error = Infallible;

    fn name(&self) -> &str {
        "made"
    }

    fn tasks(&self) -> Vec<String> {
        (0..self.n).map(|task| format!("t{task}")).collect()
    }

    fn retrieve(&mut self, histories: &[&[Event]]) -> Result<Vec<f32>, Infallible> {
        let mut scores = Vec::new();
        for past in histories {
            for task in 0..self.n {
                // The padding item must be ignored, whatever it has.
                scores.push(f32::NAN);
                scores.extend((1..self.n_items as u32).map(|item| self.logit(past, task, item)));
            }
        }
        Ok(scores)
    }

    fn rank(
        &mut self,
        histories: &[&[Event]],
        candidates: &[Vec<u32>],
    ) -> Result<Option<Vec<Ranked>>, Infallible> {
        let all = histories.iter().zip(candidates).map(|(past, candidates)| {
            let pairs = || candidates.iter().flat_map(|item| (0..self.n).map(|task| (task, *item)));
            Ranked {
                scores: pairs().map(|(task, item)| self.ranked(past, task, item)).collect(),
                generator_logits: pairs()
                    .map(|(task, item)| self.logit(past, task, item))
                    .collect(),
            }
        });
        Ok(self.ranks.then(|| all.collect()))
    }
}

/// An evaluation with one list, `final`, of one task, `t0`.
pub(crate) fn evaluation(rows: impl IntoIterator<Item = (usize, Option<u32>, f32)>) -> Evaluation {
    let outcomes: Vec<UserOutcome> = rows
        .into_iter()
        .map(|(user, place, value)| UserOutcome {
            user,
            item: 1,
            labels: u16::from(value > 0.0),
            value,
            places: vec![place],
            value10: Vec::new(),
            stage: None,
        })
        .collect();
    Evaluation {
        recommender: "made".to_owned(),
        fold: Fold::Test,
        tasks: vec!["t0".to_owned()],
        lists: vec![List { name: "final".to_owned(), task: 0 }],
        counts: Counts { users: outcomes.len(), judged: outcomes.len(), ..Counts::default() },
        outcomes,
    }
}
