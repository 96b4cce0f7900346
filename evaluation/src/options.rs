//! What to judge, and on whom.

use std::ops::ControlFlow;

use onr_interactions::{Event, Fold};

/// The expected value of each item for a user after a past: `(user, past) -> [V]`, the padding item included.
pub type Truth<'a> = dyn Fn(usize, &[Event]) -> Vec<f32> + Sync + 'a;

/// How far an evaluation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Users that are done, those who could not be judged included.
    pub done: usize,
    /// Users in all.
    pub of: usize,
}

/// How [`evaluate`](crate::evaluate) judges.
#[derive(Clone, Copy)]
pub struct EvaluateOptions<'a> {
    /// Which behaviour is held out.
    pub fold: Fold,
    /// `K`: items of each task's list that the ranking stage gets. At least 1.
    pub cutoff: usize,
    /// Users in one call of the recommender. At least 1. `batch * N * V` scores are in memory at a time.
    pub batch: usize,
    /// Judge these users only; all users where `None`. Order and repetitions do not matter.
    pub users: Option<&'a [usize]>,
    /// Expected values, where they are known (simulated logs). Called from several threads.
    pub truth: Option<&'a Truth<'a>>,
    /// `T_dc`: temperature of the softmaxes in the distance between ranker and generator. Positive.
    pub temperature: f64,
    /// Told after each batch; [`ControlFlow::Break`] stops the evaluation.
    pub progress: Option<&'a dyn Fn(Progress) -> ControlFlow<()>>,
}

impl EvaluateOptions<'_> {
    /// All users, 100 candidates of each task, batches of 64, no truth.
    #[must_use]
    pub const fn new(fold: Fold) -> Self {
        Self {
            fold,
            cutoff: 100,
            batch: 64,
            users: None,
            truth: None,
            temperature: 1.0,
            progress: None,
        }
    }
}
