//! Is one list better than the other, or are these users just so?

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::metrics::{Mean, counts};
use crate::{Among, CompareError, Evaluation, Metric};

/// One side of a comparison: a list of one evaluation, or of several that are pooled (runs with other seeds).
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The runs.
    pub runs: &'a [&'a Evaluation],
    /// Name of the list in each of them.
    pub list: &'a str,
    /// Which rows count.
    pub among: Among<'a>,
}

/// How [`compare`] draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompareOptions {
    /// How many times users are drawn again.
    pub resamples: usize,
    /// Everything random follows from it.
    pub seed: u64,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self { resamples: 2_000, seed: 0 }
    }
}

/// A number with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Over the users as they are.
    pub mean: f64,
    /// The 2.5% quantile of the resamples.
    pub low: f64,
    /// The 97.5% quantile of the resamples.
    pub high: f64,
}

/// One list against another, over the same users.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What is compared.
    pub metric: Metric,
    /// Users in all runs of both sides: they are resampled.
    pub users: usize,
    /// Users who are in some run and not in all: they are left out everywhere.
    pub dropped: usize,
    /// Resamples in which both means are defined; the quantiles are over them.
    pub resamples: usize,
    /// The first side.
    pub a: Estimate,
    /// The second side.
    pub b: Estimate,
    /// `a - b`.
    pub difference: Estimate,
    /// `a / b`; `None` where the second mean is 0, be it in one resample.
    pub ratio: Option<Estimate>,
}

/// Paired bootstrap over users of `a` against `b`.
///
/// Users are drawn with replacement, each with the rows of all runs of both sides. A mean is over all rows of a side,
/// so that a seed is no user more. The answer follows from `options.seed` whatever the number of threads.
///
/// # Errors
/// [`CompareError`]: a side without runs, a list or task that a run lacks, nobody whom the metric is defined for.
pub fn compare(
    a: Side<'_>,
    b: Side<'_>,
    metric: Metric,
    options: CompareOptions,
) -> Result<Comparison, CompareError> {
    if options.resamples == 0 {
        return Err(CompareError::NoResamples);
    }
    let (users, dropped) = shared(a.runs, b.runs)?;
    let rows: Vec<[Mean; 2]> = rows(a, metric, &users)?
        .into_iter()
        .zip(rows(b, metric, &users)?)
        .map(|(a, b)| [a, b])
        .collect();
    let nobody = CompareError::NoUsers { metric: metric.name() };
    let whole = means(rows.iter()).ok_or(nobody.clone())?;
    let resampled: Vec<[f64; 2]> = (0..options.resamples as u64)
        .into_par_iter()
        .filter_map(|stream| {
            let mut random = ChaCha8Rng::seed_from_u64(options.seed);
            random.set_stream(stream);
            means((0..rows.len()).map(|_| &rows[random.random_range(0..rows.len())]))
        })
        .collect();
    let estimate = |of: fn([f64; 2]) -> f64| {
        let mut values: Vec<f64> = resampled.iter().map(|means| of(*means)).collect();
        values.sort_unstable_by(f64::total_cmp);
        Some(Estimate {
            mean: of(whole),
            low: quantile(&values, 0.025)?,
            high: quantile(&values, 0.975)?,
        })
    };
    let has_ratio = whole[1] > 0.0 && resampled.iter().all(|means| means[1] > 0.0);
    Ok(Comparison {
        metric,
        users: users.len(),
        dropped,
        resamples: resampled.len(),
        a: estimate(|[a, _]| a).ok_or(nobody.clone())?,
        b: estimate(|[_, b]| b).ok_or(nobody.clone())?,
        difference: estimate(|[a, b]| a - b).ok_or(nobody)?,
        ratio: if has_ratio { estimate(|[a, b]| a / b) } else { None },
    })
}

/// Users in all runs, by ascending id, and how many are in some only.
fn shared(a: &[&Evaluation], b: &[&Evaluation]) -> Result<(Vec<usize>, usize), CompareError> {
    if a.is_empty() || b.is_empty() {
        return Err(CompareError::NoRuns);
    }
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for run in a.iter().chain(b) {
        for user in run.outcomes.iter().map(|o| o.user).collect::<BTreeSet<_>>() {
            *seen.entry(user).or_default() += 1;
        }
    }
    let all = seen.len();
    let runs = a.len() + b.len();
    let users: Vec<usize> =
        seen.into_iter().filter(|(_, n)| *n == runs).map(|(user, _)| user).collect();
    let dropped = all - users.len();
    Ok((users, dropped))
}

/// The sums of each of `users` over the runs of a side.
fn rows(side: Side<'_>, metric: Metric, users: &[usize]) -> Result<Vec<Mean>, CompareError> {
    let mut rows = vec![Mean::default(); users.len()];
    for run in side.runs {
        let recommender = || run.recommender.clone();
        let list = run.list(side.list).ok_or_else(|| CompareError::NoList {
            recommender: recommender(),
            list: side.list.to_owned(),
        })?;
        let task = match side.among {
            Among::Everyone => None,
            Among::PositivesOf(task) => Some(run.task(task).ok_or_else(|| {
                CompareError::NoTask { recommender: recommender(), task: task.to_owned() }
            })?),
        };
        for outcome in run.outcomes.iter().filter(|o| counts(o, task)) {
            let Ok(at) = users.binary_search(&outcome.user) else { continue };
            metric.of(outcome, list).into_iter().for_each(|row| rows[at].add(row));
        }
    }
    Ok(rows)
}

/// Means of both sides over some users; `None` where one is undefined.
fn means<'a>(rows: impl Iterator<Item = &'a [Mean; 2]>) -> Option<[f64; 2]> {
    let mut sums = [Mean::default(); 2];
    for row in rows {
        sums[0].merge(&row[0]);
        sums[1].merge(&row[1]);
    }
    Some([sums[0].get()?, sums[1].get()?])
}

/// Of sorted values, between neighbours by straight lines; `None` of none.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}
