//! What must be beaten: counts of what people did, without a model.
//!
//! All are fitted on the training part of every history, and told the whole past of the user they answer for. They
//! order items for the single task `impression` and have no ranking stage.

mod cooccurrence;
mod counts;
mod markov;
mod popularity;

use std::convert::Infallible;

use onr_interactions::{Event, Fold};
use rayon::prelude::*;

pub use cooccurrence::{CoOccurrence, CoOccurrenceSettings};
pub use counts::Reach;
pub use markov::{Markov, MarkovSettings};
pub use popularity::Popularity;

use crate::{EvaluateError, EvaluateOptions, Histories, Metric, Ranked, Recommender, evaluate};

/// A way to score the catalogue after a past.
trait Peer: Sync {
    const NAME: &'static str;

    /// `V`.
    fn n_items(&self) -> usize;

    /// Adds the score of each item to `scores`: `[V]`, zeros.
    fn score(&self, past: &[Event], scores: &mut [f32]);
}

/// Scores of a batch, `[B, V]`.
fn retrieve<P: Peer>(peer: &P, histories: &[&[Event]]) -> Vec<f32> {
    let mut scores = vec![0.0; histories.len() * peer.n_items()];
    scores
        .par_chunks_mut(peer.n_items().max(1))
        .zip(histories)
        .for_each(|(scores, past)| peer.score(past, scores));
    scores
}

macro_rules! recommender {
    ($($peer:ty),*) => {$(
        impl Recommender for $peer {
            type Error = Infallible;

            fn name(&self) -> &str {
                <Self as Peer>::NAME
            }

            fn tasks(&self) -> Vec<String> {
                vec!["impression".to_owned()]
            }

            fn retrieve(&mut self, histories: &[&[Event]]) -> Result<Vec<f32>, Infallible> {
                Ok(retrieve(self, histories))
            }

            fn rank(
                &mut self,
                _: &[&[Event]],
                _: &[Vec<u32>],
            ) -> Result<Option<Vec<Ranked>>, Infallible> {
                Ok(None)
            }
        }
    )*};
}

recommender!(Popularity, Markov, CoOccurrence);

/// NDCG@10 on the validation fold; 0 where nobody can be judged.
fn validation<H: Histories + ?Sized>(
    peer: &mut impl Recommender,
    histories: &H,
    users: Option<&[usize]>,
) -> Result<f64, EvaluateError> {
    let options = EvaluateOptions { users, ..EvaluateOptions::new(Fold::Validation) };
    let evaluation = evaluate(peer, histories, &options)?;
    let mut mean = crate::metrics::Mean::default();
    evaluation
        .outcomes
        .iter()
        .filter_map(|o| Metric::Ndcg10.of(o, 0))
        .for_each(|row| mean.add(row));
    Ok(mean.get().unwrap_or(0.0))
}

/// The best of a kind of peer over all reaches, and its NDCG@10 on the validation fold; of equals the first.
fn best_reach<P: Recommender, H: Histories + ?Sized>(
    fallback: P,
    with: impl Fn(Reach) -> P,
    histories: &H,
    users: Option<&[usize]>,
) -> Result<(f64, P), EvaluateError> {
    let mut best = (f64::NEG_INFINITY, fallback);
    for reach in Reach::grid() {
        let mut peer = with(reach);
        let ndcg = validation(&mut peer, histories, users)?;
        if ndcg > best.0 {
            best = (ndcg, peer);
        }
    }
    Ok(best)
}
