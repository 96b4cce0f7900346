//! What follows the last item.

use onr_interactions::Event;

use super::counts::{Neighbours, Reach, Training};
use super::{Peer, best_reach, validation};
use crate::{EvaluateError, Histories};

/// How [`Markov`] counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarkovSettings {
    /// What counts as a transition. A chain in the strict sense has `window` 1, `ordered`.
    pub reach: Reach,
    /// In behaviours: as many, spread by popularity, are added to each item's transitions.
    pub smoothing: f32,
}

impl Default for MarkovSettings {
    /// The next item alone; popularity orders only what never came next.
    fn default() -> Self {
        Self { reach: Reach { window: 1, ordered: true, fade: 0.0 }, smoothing: 1.0 }
    }
}

/// Items by how often they came after (or near) the last item, plus `smoothing` times their share in all behaviours.
#[derive(Debug, Clone)]
pub struct Markov {
    next: Neighbours,
    shares: Vec<f32>,
    settings: MarkovSettings,
}

impl Markov {
    /// Counts.
    ///
    /// # Errors
    /// [`EvaluateError::History`], [`EvaluateError::Item`].
    pub fn fit<H: Histories + ?Sized>(
        histories: &H,
        settings: MarkovSettings,
    ) -> Result<Self, EvaluateError> {
        Ok(Self::new(&Training::read(histories)?, settings))
    }

    /// Settings with a good NDCG@10 on the validation fold of `users` (all, if `None`).
    ///
    /// First the reach is chosen (windows of 1, 3, 5, 10, 20, 50, forwards or both ways, fading by 0 or 0.5), smoothing
    /// 1; then the smoothing, among 1, 10, 30, 100, 300, 1000 and 3000. The first of equals is taken.
    ///
    /// # Errors
    /// As [`evaluate`](crate::evaluate).
    pub fn tuned<H: Histories + ?Sized>(
        histories: &H,
        users: Option<&[usize]>,
    ) -> Result<Self, EvaluateError> {
        let training = Training::read(histories)?;
        let with = |reach| Self::new(&training, MarkovSettings { reach, ..Default::default() });
        let (mut ndcg, mut peer) =
            best_reach(Self::new(&training, MarkovSettings::default()), with, histories, users)?;
        let mut chosen = peer.settings;
        for smoothing in [10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0] {
            peer.settings.smoothing = smoothing;
            let this = validation(&mut peer, histories, users)?;
            if this > ndcg {
                (ndcg, chosen) = (this, peer.settings);
            }
        }
        peer.settings = chosen;
        Ok(peer)
    }

    fn new(training: &Training, settings: MarkovSettings) -> Self {
        let next = Neighbours::count(training, settings.reach);
        Self { next, shares: training.shares(), settings }
    }

    /// Settings in use.
    #[must_use]
    pub const fn settings(&self) -> MarkovSettings {
        self.settings
    }
}

impl Peer for Markov {
    const NAME: &'static str = "markov";

    fn n_items(&self) -> usize {
        self.shares.len()
    }

    fn score(&self, past: &[Event], scores: &mut [f32]) {
        for (score, share) in scores.iter_mut().zip(&self.shares) {
            *score = self.settings.smoothing * share;
        }
        let next = past.last().map_or(&[][..], |last| self.next.of(last.item));
        for (item, count) in next {
            scores[*item as usize] += count;
        }
    }
}
