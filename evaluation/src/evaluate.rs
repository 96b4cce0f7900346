//! From a recommender and histories to places.

use std::ops::ControlFlow;

use onr_interactions::{Event, Split};
use rayon::prelude::*;

use crate::judge::{Case, Retrieved, Rules, ranked, retrieved, unranked};
use crate::outcome::lists;
use crate::{
    Counts, EvaluateError, EvaluateOptions, Evaluation, Histories, Progress, Ranked, Recommender,
    UserOutcome,
};

/// Judges `recommender` on the held-out behaviour of each user.
///
/// Candidates are the items `1..V` that are not in the user's past. A generator's list has all of them, by the logit
/// of its task; the ranking stage's lists have the union of the best `cutoff` of each generator's list. Equal scores
/// are ordered by the smaller id.
///
/// # Errors
/// [`EvaluateError`]: the recommender or a history fails, an answer has the wrong length or is not finite, an option
/// is not positive, or `progress` breaks.
pub fn evaluate<R: Recommender + ?Sized, H: Histories + ?Sized>(
    recommender: &mut R,
    histories: &H,
    options: &EvaluateOptions<'_>,
) -> Result<Evaluation, EvaluateError> {
    let users = users(histories.n_users(), options)?;
    let tasks = recommender.tasks();
    let name = recommender.name().to_owned();
    if tasks.is_empty() {
        return Err(EvaluateError::NoTasks { recommender: name });
    }
    let n_items = histories.n_items();
    let rules = Rules {
        n: tasks.len(),
        n_items,
        cutoff: options.cutoff,
        temperature: options.temperature,
        truth: options.truth,
    };
    let mut run = Run { recommender, name, rules, ranks: None };
    let mut counts = Counts { users: users.len(), ..Counts::default() };
    let mut outcomes = Vec::new();
    let (mut cases, mut history) = (Vec::with_capacity(options.batch), Vec::new());
    for (done, user) in users.iter().copied().enumerate() {
        histories
            .history(user, &mut history)
            .map_err(|e| EvaluateError::History { user, source: Box::new(e) })?;
        cases.extend(case(user, &history, n_items, options, &mut counts)?);
        let last = done + 1 == users.len();
        if cases.len() == options.batch || last {
            outcomes.extend(run.judge(&std::mem::take(&mut cases))?);
            tell(Progress { done: done + 1, of: users.len() }, options)?;
        }
    }
    counts.judged = outcomes.len();
    let lists = lists(&tasks, run.ranks == Some(true));
    Ok(Evaluation { recommender: run.name, fold: options.fold, tasks, lists, outcomes, counts })
}

/// Checks the options and names the users to judge, by ascending id.
fn users(n_users: usize, options: &EvaluateOptions<'_>) -> Result<Vec<usize>, EvaluateError> {
    let positive = [
        ("cutoff", options.cutoff > 0),
        ("batch", options.batch > 0),
        ("temperature", options.temperature > 0.0),
    ];
    if let Some((option, _)) = positive.into_iter().find(|(_, positive)| !positive) {
        return Err(EvaluateError::Option { option });
    }
    let Some(users) = options.users else { return Ok((0..n_users).collect()) };
    let mut users = users.to_vec();
    users.sort_unstable();
    users.dedup();
    match users.last() {
        Some(&user) if user >= n_users => Err(EvaluateError::NoSuchUser { user, n_users }),
        _ => Ok(users),
    }
}

/// The case of a user, or `None`, counted, where nothing can be judged.
fn case(
    user: usize,
    history: &[Event],
    n_items: usize,
    options: &EvaluateOptions<'_>,
    counts: &mut Counts,
) -> Result<Option<Case>, EvaluateError> {
    if let Some(event) = history.iter().find(|e| e.item == 0 || e.item as usize >= n_items) {
        return Err(EvaluateError::Item { user, item: event.item, n_items });
    }
    let Some((past, target)) = Split(history).held_out(options.fold) else {
        counts.too_short += 1;
        return Ok(None);
    };
    if past.iter().any(|event| event.item == target.item) {
        counts.repeated += 1;
        return Ok(None);
    }
    Ok(Some(Case { user, past: past.to_vec(), target: *target }))
}

fn tell(progress: Progress, options: &EvaluateOptions<'_>) -> Result<(), EvaluateError> {
    match options.progress.map(|tell| tell(progress)) {
        Some(ControlFlow::Break(())) => {
            Err(EvaluateError::Stopped { done: progress.done, of: progress.of })
        }
        _ => Ok(()),
    }
}

/// A recommender that is being judged.
struct Run<'a, R: ?Sized> {
    recommender: &'a mut R,
    name: String,
    rules: Rules<'a>,
    /// Is there a ranking stage? Known after the first batch.
    ranks: Option<bool>,
}

impl<R: Recommender + ?Sized> Run<'_, R> {
    /// One batch.
    fn judge(&mut self, cases: &[Case]) -> Result<Vec<UserOutcome>, EvaluateError> {
        if cases.is_empty() {
            return Ok(Vec::new());
        }
        let pasts: Vec<&[Event]> = cases.iter().map(|case| case.past.as_slice()).collect();
        let retrieved = self.retrieve(cases, &pasts)?;
        let answer = self.rank(&pasts, &retrieved)?;
        let rules = self.rules;
        let both = cases.par_iter().zip(retrieved);
        match answer {
            None => Ok(both.map(|(case, retrieved)| unranked(case, retrieved)).collect()),
            Some(answer) => both
                .zip(&answer)
                .map(|((case, retrieved), of)| ranked(case, retrieved, of, rules))
                .collect(),
        }
    }

    fn retrieve(
        &mut self,
        cases: &[Case],
        pasts: &[&[Event]],
    ) -> Result<Vec<Retrieved>, EvaluateError> {
        let scores = self.recommender.retrieve(pasts).map_err(|e| failed(&self.name, e))?;
        let (rules, wanted) = (self.rules, self.ranks != Some(false));
        let each = rules.n * rules.n_items;
        length("scores of the catalogue", scores.len(), cases.len() * each)?;
        cases
            .par_iter()
            .zip(scores.par_chunks_exact(each))
            .map(|(case, scores)| retrieved(case, scores, wanted, rules))
            .collect()
    }

    fn rank(
        &mut self,
        pasts: &[&[Event]],
        retrieved: &[Retrieved],
    ) -> Result<Option<Vec<Ranked>>, EvaluateError> {
        if self.ranks == Some(false) {
            return Ok(None);
        }
        let candidates: Vec<Vec<u32>> = retrieved.iter().map(|r| r.candidates.clone()).collect();
        let answer =
            self.recommender.rank(pasts, &candidates).map_err(|e| failed(&self.name, e))?;
        if *self.ranks.get_or_insert(answer.is_some()) != answer.is_some() {
            return Err(EvaluateError::SometimesRanked { recommender: self.name.clone() });
        }
        if let Some(answer) = &answer {
            length("answer of the ranking stage", answer.len(), pasts.len())?;
        }
        Ok(answer)
    }
}

fn failed(
    recommender: &str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> EvaluateError {
    EvaluateError::Recommender { recommender: recommender.to_owned(), source: Box::new(source) }
}

fn length(what: &'static str, got: usize, expected: usize) -> Result<(), EvaluateError> {
    if got == expected { Ok(()) } else { Err(EvaluateError::Length { what, got, expected }) }
}
