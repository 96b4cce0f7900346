//! Numbers over users.

use serde::{Deserialize, Serialize};

use crate::{Evaluation, UserOutcome};

/// A mean over users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of users whose held-out item is the first.
    Hr1,
    /// Share of users whose held-out item is among the first five.
    Hr5,
    /// Share of users whose held-out item is among the first ten.
    Hr10,
    /// `1 / log2(place + 1)` within the first ten places, else 0.
    Ndcg10,
    /// `1 / place`; 0 where the item was not retrieved.
    Mrr,
    /// [`Metric::Ndcg10`], users weighted by the value of their held-out behaviour.
    ValueNdcg10,
    /// Expected value of the ten items that the user would be shown.
    Value10,
    /// [`StageOutcome::dc`](crate::StageOutcome::dc), of users with a ranking stage, whatever the list. Less is closer.
    Dc,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Hr1,
        Self::Hr5,
        Self::Hr10,
        Self::Ndcg10,
        Self::Mrr,
        Self::ValueNdcg10,
        Self::Value10,
        Self::Dc,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hr1 => "HR@1",
            Self::Hr5 => "HR@5",
            Self::Hr10 => "HR@10",
            Self::Ndcg10 => "NDCG@10",
            Self::Mrr => "MRR",
            Self::ValueNdcg10 => "value-weighted NDCG@10",
            Self::Value10 => "value@10",
            Self::Dc => "DC",
        }
    }

    /// `(weight, score)` of a user in list number `list`; `None` where the user does not count.
    pub(crate) fn of(self, outcome: &UserOutcome, list: usize) -> Option<(f64, f64)> {
        let place = outcome.places[list];
        let within = |k| f64::from(place.is_some_and(|place| place <= k));
        match self {
            Self::Hr1 => Some((1.0, within(1))),
            Self::Hr5 => Some((1.0, within(5))),
            Self::Hr10 => Some((1.0, within(10))),
            Self::Ndcg10 => Some((1.0, ndcg10(place))),
            Self::Mrr => Some((1.0, place.map_or(0.0, |place| 1.0 / f64::from(place)))),
            Self::ValueNdcg10 => {
                let value = f64::from(outcome.value);
                (value > 0.0).then(|| (value, ndcg10(place)))
            }
            Self::Value10 => Some((1.0, f64::from(*outcome.value10.get(list)?))),
            Self::Dc => Some((1.0, outcome.stage.as_ref()?.dc)),
        }
    }
}

fn ndcg10(place: Option<u32>) -> f64 {
    match place {
        Some(place) if place <= 10 => 1.0 / (f64::from(place) + 1.0).log2(),
        _ => 0.0,
    }
}

/// Users that a metric is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among<'a> {
    /// All who were judged.
    Everyone,
    /// Those whose held-out behaviour is a positive of this task: the next click, where there was a click.
    PositivesOf(&'a str),
}

/// A weighted mean that is being summed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    pub(crate) users: usize,
    weight: f64,
    sum: f64,
}

impl Mean {
    pub(crate) fn add(&mut self, (weight, score): (f64, f64)) {
        self.users += 1;
        self.weight += weight;
        self.sum += weight * score;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.users += other.users;
        self.weight += other.weight;
        self.sum += other.sum;
    }

    /// `None` of nobody.
    pub(crate) fn get(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// What a list is worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Users that the means are over.
    pub users: usize,
    /// Share of users whose held-out item has a place in the list at all.
    pub retrieved: f64,
    /// [`Metric::Hr1`].
    pub hr1: f64,
    /// [`Metric::Hr5`].
    pub hr5: f64,
    /// [`Metric::Hr10`].
    pub hr10: f64,
    /// [`Metric::Ndcg10`].
    pub ndcg10: f64,
    /// [`Metric::Mrr`].
    pub mrr: f64,
    /// Users whose held-out behaviour has a value.
    pub value_users: usize,
    /// [`Metric::ValueNdcg10`] over them; `None` where there are none.
    pub value_ndcg10: Option<f64>,
    /// [`Metric::Value10`]; `None` where no truth was given.
    pub value10: Option<f64>,
}

impl Evaluation {
    /// Metrics of a list over all judged users. `None` where there is no such list, or nobody was judged.
    #[must_use]
    pub fn metrics(&self, list: &str) -> Option<Metrics> {
        self.metrics_among(list, Among::Everyone)
    }

    /// Metrics of a list over some users. `None` where there is no such list or task, or nobody is left.
    #[must_use]
    pub fn metrics_among(&self, list: &str, among: Among<'_>) -> Option<Metrics> {
        let list = self.list(list)?;
        let task = match among {
            Among::Everyone => None,
            Among::PositivesOf(task) => Some(self.task(task)?),
        };
        self.metrics_at(list, task)
    }

    /// By number of the list, and of the task whose positives count.
    pub(crate) fn metrics_at(&self, list: usize, positives_of: Option<usize>) -> Option<Metrics> {
        let outcomes = || self.outcomes.iter().filter(|o| counts(o, positives_of));
        let mean = |metric: Metric| {
            let mut mean = Mean::default();
            outcomes().filter_map(|o| metric.of(o, list)).for_each(|row| mean.add(row));
            mean
        };
        let value = mean(Metric::ValueNdcg10);
        let users = outcomes().count();
        let retrieved = outcomes().filter(|o| o.places[list].is_some()).count();
        Some(Metrics {
            users,
            retrieved: retrieved as f64 / users as f64,
            hr1: mean(Metric::Hr1).get()?,
            hr5: mean(Metric::Hr5).get()?,
            hr10: mean(Metric::Hr10).get()?,
            ndcg10: mean(Metric::Ndcg10).get()?,
            mrr: mean(Metric::Mrr).get()?,
            value_users: value.users,
            value_ndcg10: value.get(),
            value10: mean(Metric::Value10).get(),
        })
    }
}

/// Does a user count where only positives of a task do?
pub(crate) fn counts(outcome: &UserOutcome, positives_of: Option<usize>) -> bool {
    positives_of.is_none_or(|task| outcome.is_positive(task))
}
