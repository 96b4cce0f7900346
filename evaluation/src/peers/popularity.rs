//! The same list for everybody.

use onr_interactions::Event;

use super::Peer;
use super::counts::Training;
use crate::{EvaluateError, Histories};

/// Items by how often they occur in training.
#[derive(Debug, Clone)]
pub struct Popularity {
    counts: Vec<u32>,
}

impl Popularity {
    /// Counts.
    ///
    /// # Errors
    /// [`EvaluateError::History`], [`EvaluateError::Item`].
    pub fn fit<H: Histories + ?Sized>(histories: &H) -> Result<Self, EvaluateError> {
        Ok(Self { counts: Training::read(histories)?.popularity().to_vec() })
    }
}

impl Peer for Popularity {
    const NAME: &'static str = "popularity";

    fn n_items(&self) -> usize {
        self.counts.len()
    }

    fn score(&self, _: &[Event], scores: &mut [f32]) {
        for (score, count) in scores.iter_mut().zip(&self.counts) {
            *score = *count as f32;
        }
    }
}
