//! The trained model as a [`Recommender`].

use candle_core::{DType, Result, Tensor};
use onr_evaluation::{Ranked, Recommender};
use onr_graphs::ModelConfig;
use onr_interactions::Event;

use crate::model::{Cut, Forward, Params, Sequence, Tokens};

/// A model in candle that is judged.
pub struct OneRanker<'a> {
    name: String,
    model: &'a ModelConfig,
    params: &'a Params,
    ranks: bool,
}

impl<'a> OneRanker<'a> {
    /// A model under a name. `ranks` is false where the ranker was not trained: the generator's order is final.
    #[must_use]
    pub fn new(name: &str, model: &'a ModelConfig, params: &'a Params, ranks: bool) -> Self {
        Self { name: name.to_owned(), model, params, ranks }
    }

    fn forward(&self) -> Forward<'_> {
        Forward { cfg: self.model, params: self.params, dropout: 0.0, seed: 0 }
    }

    /// The latest behaviours of each user, and one cut after them.
    fn requests(&self, histories: &[&[Event]]) -> (Vec<Sequence>, Vec<Cut>) {
        let one = |(sequence, history): (usize, &&[Event])| {
            let known = &history[history.len().saturating_sub(self.model.max_seq_len)..];
            let time = known.last().map_or(0, |e| e.time);
            let tokens = Sequence {
                items: known.iter().map(|e| e.item).collect(),
                actions: known.iter().map(|e| e.action.into()).collect(),
                times: known.iter().map(|e| e.time).collect(),
            };
            (tokens, Cut { sequence, at: known.len(), time })
        };
        histories.iter().enumerate().map(one).unzip()
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

impl Recommender for OneRanker<'_> {
    type Error = candle_core::Error;

    fn name(&self) -> &str {
        &self.name
    }

    fn tasks(&self) -> Vec<String> {
        self.model.tasks.clone()
    }

    fn retrieve(&mut self, histories: &[&[Event]]) -> Result<Vec<f32>> {
        let (sequences, cuts) = self.requests(histories);
        let tokens = Tokens::new(self.model, &sequences, &cuts);
        let forward = self.forward();
        let generated = forward.generate(&tokens)?;
        let rows = cuts.len() * self.model.n_tasks();
        let users = generated.user_embeddings.reshape((rows, self.model.d_model))?;
        numbers(&forward.catalogue_logits(&users)?)
    }

    fn rank(
        &mut self,
        histories: &[&[Event]],
        candidates: &[Vec<u32>],
    ) -> Result<Option<Vec<Ranked>>> {
        if !self.ranks {
            return Ok(None);
        }
        let (sequences, cuts) = self.requests(histories);
        let tokens = Tokens::new(self.model, &sequences, &cuts);
        let forward = self.forward();
        let generated = forward.generate(&tokens)?;
        let count = candidates.iter().map(Vec::len).max().unwrap_or(0);
        let padded: Vec<u32> = candidates
            .iter()
            .flat_map(|list| list.iter().copied().chain(std::iter::repeat(0)).take(count))
            .collect();
        let all: Vec<usize> = (0..cuts.len()).collect();
        let scores = numbers(&forward.rank((&tokens, &generated), &all, &padded, false)?)?;
        let logits = forward.candidate_logits(&generated.user_embeddings, &padded, count)?;
        let logits = numbers(&logits)?;
        let stride = count * self.model.n_tasks();
        let one = |(i, list): (usize, &Vec<u32>)| {
            let at = i * stride..i * stride + list.len() * self.model.n_tasks();
            Ranked { scores: scores[at.clone()].to_vec(), generator_logits: logits[at].to_vec() }
        };
        Ok(Some(candidates.iter().enumerate().map(one).collect()))
    }
}
