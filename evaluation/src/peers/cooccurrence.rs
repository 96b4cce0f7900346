//! What is near the last items.

use onr_interactions::Event;

use super::counts::{Neighbours, Reach, Training};
use super::{Peer, best_reach, validation};
use crate::{EvaluateError, Histories};

/// How [`CoOccurrence`] counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoOccurrenceSettings {
    /// What counts as near.
    pub reach: Reach,
    /// `a`: counts of an item of the past are divided by its popularity to this power.
    pub past_power: f32,
    /// `b`: the score of an item is divided by its popularity to this power.
    pub item_power: f32,
    /// What an item of the past counts less than the one after it: 1 for all alike.
    pub decay: f32,
}

impl Default for CoOccurrenceSettings {
    /// Fifty behaviours both ways, the near ones more; both popularities by their root; the last item most.
    fn default() -> Self {
        let reach = Reach { window: 50, ordered: false, fade: 0.5 };
        Self { reach, past_power: 0.5, item_power: 0.5, decay: 0.8 }
    }
}

impl CoOccurrenceSettings {
    /// The same counts, other weights.
    fn weights(self) -> impl Iterator<Item = Self> {
        let powers = [0.0, 0.5, 1.0].into_iter().flat_map(|a| [0.0, 0.25, 0.5].map(|b| (a, b)));
        let all = powers.flat_map(|(a, b)| [1.0, 0.8, 0.5].map(|decay| (a, b, decay)));
        all.map(move |(past_power, item_power, decay)| Self {
            past_power,
            item_power,
            decay,
            ..self
        })
    }
}

/// Items by how often they were near the last five items: `sum_i decay^i count(past_i, item) / n(past_i)^a / n(item)^b`,
/// where `past_0` is the last item. Items that were near none of them are ordered by popularity.
#[derive(Debug, Clone)]
pub struct CoOccurrence {
    near: Neighbours,
    popularity: Vec<f32>,
    shares: Vec<f32>,
    settings: CoOccurrenceSettings,
}

impl CoOccurrence {
    /// How many items of the past are looked at.
    pub const LAST: usize = 5;

    /// Counts.
    ///
    /// # Errors
    /// [`EvaluateError::History`], [`EvaluateError::Item`].
    pub fn fit<H: Histories + ?Sized>(
        histories: &H,
        settings: CoOccurrenceSettings,
    ) -> Result<Self, EvaluateError> {
        Ok(Self::new(&Training::read(histories)?, settings))
    }

    /// Settings with a good NDCG@10 on the validation fold of `users` (all, if `None`).
    ///
    /// First the reach is chosen (windows of 1, 3, 5, 10, 20, 50, forwards or both ways, fading by 0 or 0.5), the rest
    /// as in [`CoOccurrenceSettings::default`]; then `past_power` (0, 0.5, 1), `item_power` (0, 0.25, 0.5) and
    /// `decay` (1, 0.8, 0.5) together. The first of equals is taken.
    ///
    /// # Errors
    /// As [`evaluate`](crate::evaluate).
    pub fn tuned<H: Histories + ?Sized>(
        histories: &H,
        users: Option<&[usize]>,
    ) -> Result<Self, EvaluateError> {
        let training = Training::read(histories)?;
        let with =
            |reach| Self::new(&training, CoOccurrenceSettings { reach, ..Default::default() });
        let (mut ndcg, mut peer) = best_reach(
            Self::new(&training, CoOccurrenceSettings::default()),
            with,
            histories,
            users,
        )?;
        let mut chosen = peer.settings;
        for settings in chosen.weights() {
            peer.settings = settings;
            let this = validation(&mut peer, histories, users)?;
            if this > ndcg {
                (ndcg, chosen) = (this, settings);
            }
        }
        peer.settings = chosen;
        Ok(peer)
    }

    fn new(training: &Training, settings: CoOccurrenceSettings) -> Self {
        let popularity = training.popularity().iter().map(|n| *n.max(&1) as f32);
        Self {
            near: Neighbours::count(training, settings.reach),
            popularity: popularity.collect(),
            shares: training.shares(),
            settings,
        }
    }

    /// Settings in use.
    #[must_use]
    pub const fn settings(&self) -> CoOccurrenceSettings {
        self.settings
    }
}

impl Peer for CoOccurrence {
    const NAME: &'static str = "cooccurrence";

    fn n_items(&self) -> usize {
        self.shares.len()
    }

    fn score(&self, past: &[Event], scores: &mut [f32]) {
        let CoOccurrenceSettings { past_power, item_power, decay, .. } = self.settings;
        let mut weight = 1.0;
        for event in past.iter().rev().take(Self::LAST) {
            let n = self.popularity.get(event.item as usize).copied().unwrap_or(1.0);
            let each = weight / n.powf(past_power);
            for (item, count) in self.near.of(event.item) {
                scores[*item as usize] += each * count;
            }
            weight *= decay;
        }
        for ((score, n), share) in scores.iter_mut().zip(&self.popularity).zip(&self.shares) {
            *score = *score / n.powf(item_power) + SMOOTHING * share;
        }
    }
}

/// Too small to change an order that counts make.
const SMOOTHING: f32 = 1e-6;
