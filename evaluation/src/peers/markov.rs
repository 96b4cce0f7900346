//! What follows the last item.

use onr_interactions::Event;

use super::counts::{Neighbours, Training};
use super::{Peer, validation};
use crate::{EvaluateError, Histories};

/// Items by how often they came next after the last item, plus `smoothing` times their share in all behaviours.
#[derive(Debug, Clone)]
pub struct Markov {
    next: Neighbours,
    shares: Vec<f32>,
    smoothing: f32,
}

impl Markov {
    /// What [`Markov::tuned`] chooses from. 1 only orders items that never came next; 1000 makes popularity
    /// as large as the counts.
    pub const GRID: [f32; 8] = [1.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0];

    /// Counts. `smoothing` is in behaviours: as many, spread by popularity, are added to each row.
    ///
    /// # Errors
    /// [`EvaluateError::History`], [`EvaluateError::Item`].
    pub fn fit<H: Histories + ?Sized>(
        histories: &H,
        smoothing: f32,
    ) -> Result<Self, EvaluateError> {
        let training = Training::read(histories)?;
        let next = Neighbours::count(&training, 1, true);
        Ok(Self { next, shares: training.shares(), smoothing })
    }

    /// The smoothing of [`Markov::GRID`] with the best NDCG@10 on the validation fold of `users` (all, if `None`).
    ///
    /// # Errors
    /// As [`evaluate`](crate::evaluate).
    pub fn tuned<H: Histories + ?Sized>(
        histories: &H,
        users: Option<&[usize]>,
    ) -> Result<Self, EvaluateError> {
        let mut peer = Self::fit(histories, Self::GRID[0])?;
        let mut best = (f64::NEG_INFINITY, Self::GRID[0]);
        for smoothing in Self::GRID {
            peer.smoothing = smoothing;
            let ndcg = validation(&mut peer, histories, users)?;
            if ndcg > best.0 {
                best = (ndcg, smoothing);
            }
        }
        peer.smoothing = best.1;
        Ok(peer)
    }

    /// The smoothing in use.
    #[must_use]
    pub const fn smoothing(&self) -> f32 {
        self.smoothing
    }
}

impl Peer for Markov {
    const NAME: &'static str = "markov";

    fn n_items(&self) -> usize {
        self.shares.len()
    }

    fn score(&self, past: &[Event], scores: &mut [f32]) {
        for (score, share) in scores.iter_mut().zip(&self.shares) {
            *score = self.smoothing * share;
        }
        let next = past.last().map_or(&[][..], |last| self.next.of(last.item));
        for (item, count) in next {
            scores[*item as usize] += count;
        }
    }
}
