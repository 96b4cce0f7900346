//! Exported graphs as a recommender: any backend, any precision, judged like the model in training.

use onr_evaluation::{Ranked, Recommender};
use onr_exporter::ExportedGraph;
use onr_graphs::{GraphKind, GraphOptions, ModelConfig};
use onr_interactions::Event;
use onr_requests::Request;
use onr_runtime::{
    backend::Backend,
    parity::{BatchShape, Chain, ParityError, batches, keep_history},
    tensor::HostTensor,
};

/// Largest catalogue: every item is scored for every user.
pub(super) const MOST_ITEMS: usize = 50_000;

/// Users that run through the graphs at a time.
const ROWS: usize = 8;

/// `encode`, `generate` and `rank` of a directory, with the whole catalogue as candidates. A candidate's score does not
/// depend on the others, so the ranking stage's answer is part of the same run.
pub(super) struct GraphRecommender<'a> {
    chain: Chain<'a>,
    config: &'a ModelConfig,
    options: &'a GraphOptions,
    /// The last histories, and `[B, V, N]` scores and logits for them.
    last: Option<Scored>,
}

struct Scored {
    histories: Vec<Vec<Event>>,
    scores: Vec<f32>,
    logits: Vec<f32>,
}

impl<'a> GraphRecommender<'a> {
    pub(super) fn new(
        backend: &'a dyn Backend,
        dir: &std::path::Path,
        graphs: &'a [ExportedGraph],
        config: &'a ModelConfig,
        options: &'a GraphOptions,
    ) -> Self {
        let stages = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];
        Self { chain: Chain::new(backend, dir, graphs, &stages), config, options, last: None }
    }

    fn request(&self, history: &[Event]) -> Request {
        let known = &history[history.len().saturating_sub(self.config.max_seq_len)..];
        Request {
            user: String::new(),
            items: known.iter().map(|e| e.item.into()).collect(),
            actions: known.iter().map(|e| e.action.into()).collect(),
            timestamps: known.iter().map(|e| e.time).collect(),
            request_time: known.last().map_or(0, |e| e.time),
            candidates: (0..self.config.n_items as i64).collect(),
        }
    }

    /// Scores and logits of the whole catalogue for these histories.
    fn scored(&mut self, histories: &[&[Event]]) -> Result<&Scored, ParityError> {
        let same = |s: &Scored| s.histories.iter().map(Vec::as_slice).eq(histories.iter().copied());
        if !self.last.as_ref().is_some_and(same) {
            let (mut scores, mut logits) = (Vec::new(), Vec::new());
            for part in histories.chunks(ROWS) {
                let requests: Vec<Request> = part.iter().map(|h| self.request(h)).collect();
                let shape = BatchShape { rows: part.len(), seq_step: 50, candidate_step: 1 };
                for batch in batches(&requests, self.config, self.options, shape) {
                    let mut state = batch.inputs;
                    let encoded = self.chain.run(GraphKind::Encode, &state)?;
                    keep_history(&mut state, &encoded);
                    let generated = self.chain.run(GraphKind::Generate, &state)?;
                    state.extend(generated);
                    let ranked = self.chain.run(GraphKind::Rank, &state)?;
                    let numbers =
                        |name| ranked.get(name).and_then(HostTensor::to_f32).unwrap_or_default();
                    scores.extend(numbers("scores"));
                    logits.extend(numbers("generator_logits"));
                }
            }
            let histories = histories.iter().map(|h| h.to_vec()).collect();
            self.last = Some(Scored { histories, scores, logits });
        }
        Ok(self.last.get_or_insert_with(|| Scored {
            histories: Vec::new(),
            scores: Vec::new(),
            logits: Vec::new(),
        }))
    }
}

impl Recommender for GraphRecommender<'_> {
    type Error = ParityError;

    fn name(&self) -> &'static str {
        "oneranker"
    }

    fn tasks(&self) -> Vec<String> {
        self.config.tasks.clone()
    }

    fn retrieve(&mut self, histories: &[&[Event]]) -> Result<Vec<f32>, ParityError> {
        let (items, tasks) = (self.config.n_items, self.config.n_tasks());
        let scored = self.scored(histories)?;
        let mut out = vec![0.0; scored.logits.len()];
        let rows = scored.logits.chunks(items * tasks).zip(out.chunks_mut(items * tasks));
        for (row, out) in rows {
            for (at, value) in row.iter().enumerate() {
                out[at % tasks * items + at / tasks] = *value;
            }
        }
        Ok(out)
    }

    fn rank(
        &mut self,
        histories: &[&[Event]],
        candidates: &[Vec<u32>],
    ) -> Result<Option<Vec<Ranked>>, ParityError> {
        let (items, tasks) = (self.config.n_items, self.config.n_tasks());
        let scored = self.scored(histories)?;
        let pick = |values: &[f32], user: usize, list: &[u32]| -> Vec<f32> {
            let of = |id: &u32| {
                let at = (user * items + *id as usize) * tasks;
                values[at..at + tasks].iter().copied()
            };
            list.iter().flat_map(of).collect()
        };
        let one = |(user, list): (usize, &Vec<u32>)| Ranked {
            scores: pick(&scored.scores, user, list),
            generator_logits: pick(&scored.logits, user, list),
        };
        Ok(Some(candidates.iter().enumerate().map(one).collect()))
    }
}
