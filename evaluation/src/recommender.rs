//! What is judged.

use onr_interactions::Event;

/// The ranking stage's answer for one user.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// `[C, N]` row-major: score of each candidate for each task.
    pub scores: Vec<f32>,
    /// `[C, N]` row-major: the generator's logits of the same candidates.
    pub generator_logits: Vec<f32>,
}

/// Something that orders items for users.
///
/// Histories are never empty and as long as the log has them: an implementation cuts them to what it can use.
/// The time of the request is that of the last behaviour.
pub trait Recommender {
    /// Why it could not answer.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What it is called in reports, e.g. `oneranker`, `markov`.
    fn name(&self) -> &str;

    /// `N`: names of the tasks that it orders items for, in causal order; at least one. A peer without
    /// tasks has the single task `impression`.
    fn tasks(&self) -> Vec<String>;

    /// Scores of the whole catalogue, `[B, N, V]` row-major, the padding item (index 0, ignored) included;
    /// larger is better.
    ///
    /// # Errors
    /// Whatever the implementation meets.
    fn retrieve(&mut self, histories: &[&[Event]]) -> Result<Vec<f32>, Self::Error>;

    /// Scores the given candidates (unique dense ids, never empty) of each user, or `None` when there is no ranking
    /// stage. One [`Ranked`] for each history.
    ///
    /// # Errors
    /// Whatever the implementation meets.
    fn rank(
        &mut self,
        histories: &[&[Event]],
        candidates: &[Vec<u32>],
    ) -> Result<Option<Vec<Ranked>>, Self::Error>;
}
