//! Answers requests one after the other, with keys and values kept from earlier ones.
//!
//! A [`Service`] has sessions of one directory on one backend; several, one a thread, may share a store.

mod error;
mod graphs;
mod kept;

use std::{path::Path, sync::Arc};

use onr_graphs::{
    GraphKind, GraphOptions, ItemInput, ModelConfig, Profile,
    flops::{Sizes, flops},
};
use onr_kvstore::{Behaviour, Lookup, Store};
use onr_requests::Request;

use self::graphs::Graphs;
pub use self::{error::ServeError, kept::Kept};
use crate::{
    backend::{Backend, Placement},
    manifest::Manifest,
    tensor::{HostTensor, Value, Values},
};

/// What a service runs.
#[derive(Clone, Copy)]
pub struct Deployment<'a> {
    /// Where the graphs lie.
    pub dir: &'a Path,
    /// What lies there. Its hash is the version under which keys and values are kept.
    pub manifest: &'a Manifest,
    /// The model.
    pub config: &'a ModelConfig,
    /// What it was exported with.
    pub options: &'a GraphOptions,
}

/// Sizes to which requests are padded: an engine that is fast at few shapes wants large steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Capacities of keys and values, and lengths of histories to encode, are multiples of this, at most `max_seq_len`.
    pub slots: usize,
    /// Candidates are padded to a multiple of this.
    pub candidates: usize,
}

impl Default for Steps {
    /// 64 slots; candidates as they are.
    fn default() -> Self {
        Self { slots: 64, candidates: 1 }
    }
}

/// How the keys and values of a request came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// There is no history.
    Empty,
    /// They were in the store.
    Kept,
    /// Those of an earlier history were in the store, and this many behaviours joined them.
    Appended(usize),
    /// They were computed from the whole history.
    Encoded,
}

/// Scores of a request's candidates.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `[1, C, N]`, F32.
    pub scores: HostTensor,
    /// `[1, C, N]`, F32.
    pub generator_logits: HostTensor,
    /// How its keys and values came about.
    pub origin: Origin,
    /// Operations of the products that were run, see [`flops`].
    pub flops: u64,
}

/// Graphs of a directory, open, and the store they share with others.
pub struct Service {
    graphs: Graphs,
    store: Arc<Store<Kept>>,
    version: String,
    config: ModelConfig,
    options: GraphOptions,
    steps: Steps,
    /// Sizes that plans were compiled for; graphs on a CPU take any.
    profile: Profile,
}

impl Service {
    /// Opens `encode`, `generate`, `rank`, and `append` where there is one; without it, what is kept serves histories
    /// that have not changed at all.
    ///
    /// # Errors
    /// [`ServeError::Graph`] when one of the others is not there, [`ServeError::Vectors`] for graphs that take no ids,
    /// [`ServeError::Run`] when the backend refuses one.
    pub fn open(
        backend: &dyn Backend,
        deployment: Deployment<'_>,
        store: Arc<Store<Kept>>,
        steps: Steps,
    ) -> Result<Self, ServeError> {
        let Deployment { dir, manifest, config, options } = deployment;
        if options.item_input == ItemInput::Embeddings {
            return Err(ServeError::Vectors);
        }
        Ok(Self {
            graphs: Graphs::open(backend, dir, &manifest.graphs)?,
            store,
            version: manifest.sha256.clone(),
            config: config.clone(),
            options: *options,
            steps,
            profile: manifest.profile(config.max_seq_len).map_err(ServeError::Profile)?,
        })
    }

    /// Where the graphs run.
    #[must_use]
    pub fn placement(&self) -> Option<Placement> {
        self.graphs.placement()
    }

    /// Scores the candidates of a request, with what is kept of its user where that fits, and keeps what was made.
    ///
    /// # Errors
    /// [`ServeError`]; the store is as it was, or has what was computed before the failure.
    pub fn answer(&mut self, request: &Request) -> Result<Answer, ServeError> {
        let history = self.history(request)?;
        let mut spent = 0;
        let (kept, origin) = match history.len() {
            0 => (self.nobody()?, Origin::Empty),
            _ => match self.store.get(&self.version, &request.user, &history) {
                Lookup::Exact(kept) => (kept, Origin::Kept),
                Lookup::Prefix { value, known } if self.should_append(known, history.len()) => {
                    let new = &history[known..];
                    let grown = self.append(value, known, &history, &mut spent)?;
                    (self.keep(request, &history, grown), Origin::Appended(new.len()))
                }
                _ => {
                    let made = self.encode(&history, &mut spent)?;
                    (self.keep(request, &history, made), Origin::Encoded)
                }
            },
        };
        self.score(request, &history, &kept, origin, spent)
    }

    /// Scores the candidates of a request without looking at the store, which stays as it is.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn answer_anew(&mut self, request: &Request) -> Result<Answer, ServeError> {
        let history = self.history(request)?;
        let mut spent = 0;
        let (kept, origin) = match history.len() {
            0 => (self.nobody()?, Origin::Empty),
            _ => (self.encode(&history, &mut spent)?, Origin::Encoded),
        };
        self.score(request, &history, &kept, origin, spent)
    }

    /// Operations of [`answer_anew`](Self::answer_anew), without running it.
    #[must_use]
    pub fn flops_anew(&self, request: &Request) -> u64 {
        let slots = self.slots(request.items.len());
        let encode = match request.items.len() {
            0 => 0,
            _ => self.count(GraphKind::Encode, Sizes { seq: slots, ..Sizes::default() }),
        };
        encode + self.count_score(slots, self.width(request))
    }

    fn history(&self, request: &Request) -> Result<Vec<Behaviour>, ServeError> {
        let Request { user, items, actions, timestamps, .. } = request;
        let (n, most) = (items.len(), self.config.max_seq_len);
        if actions.len() != n || timestamps.len() != n {
            let (actions, times) = (actions.len(), timestamps.len());
            return Err(ServeError::Lengths { user: user.clone(), items: n, actions, times });
        }
        if n > most {
            return Err(ServeError::TooLong { user: user.clone(), got: n, most });
        }
        let all = items.iter().zip(actions).zip(timestamps);
        Ok(all.map(|((&item, &action), &time)| Behaviour { item, action, time }).collect())
    }

    /// The capacity for so many behaviours.
    fn slots(&self, behaviours: usize) -> usize {
        let slots = behaviours.max(1).next_multiple_of(self.steps.slots.max(1));
        self.within("kv", slots).min(self.config.max_seq_len).max(behaviours)
    }

    /// To how many behaviours new ones are padded: powers of two, so that there are few shapes.
    fn new_width(&self, new: usize) -> usize {
        self.within("new", new.next_power_of_two()).min(self.config.max_seq_len).max(new)
    }

    /// A size as near as the profile allows.
    fn within(&self, symbol: &str, size: usize) -> usize {
        self.profile.get(symbol).map_or(size, |range| size.clamp(range.min, range.max))
    }

    fn width(&self, request: &Request) -> usize {
        request.candidates.len().max(1).next_multiple_of(self.steps.candidates.max(1))
    }

    fn nobody(&self) -> Result<Kept, ServeError> {
        Ok(Kept::of_past(self.graphs.empty_past(self.slots(0))?))
    }

    fn keep(&self, request: &Request, history: &[Behaviour], kept: Kept) -> Kept {
        self.store.put(&self.version, &request.user, history, kept.clone(), kept.bytes());
        kept
    }

    /// Is there an `append` that takes as many new ones, and does it take fewer operations than to encode anew?
    fn should_append(&self, known: usize, len: usize) -> bool {
        let (new, kv) = (self.new_width(len - known), self.slots(len));
        let append = self.count(GraphKind::Append, Sizes { new, kv, ..Sizes::default() });
        let encode = self.count(GraphKind::Encode, Sizes { seq: kv, ..Sizes::default() });
        let fits = self.profile.get("new").is_none_or(|range| new <= range.max);
        self.graphs.has(GraphKind::Append) && fits && append < encode
    }

    fn count(&self, kind: GraphKind, sizes: Sizes) -> u64 {
        flops(&self.config, &self.options, kind, Sizes { batch: 1, ..sizes })
    }

    fn count_score(&self, kv: usize, candidates: usize) -> u64 {
        let sizes = Sizes { kv, candidates, ..Sizes::default() };
        self.count(GraphKind::Generate, sizes) + self.count(GraphKind::Rank, sizes)
    }

    fn encode(&mut self, history: &[Behaviour], spent: &mut u64) -> Result<Kept, ServeError> {
        let seq = self.slots(history.len());
        let mut state = behaviours(history, seq);
        state.insert("timestamps".into(), times(history, seq));
        state.insert("seq_lens".into(), one(history.len() as i64));
        *spent += self.count(GraphKind::Encode, Sizes { seq, ..Sizes::default() });
        Ok(Kept::of_present(self.graphs.run(GraphKind::Encode, &state)?))
    }

    fn append(
        &mut self,
        kept: Kept,
        known: usize,
        history: &[Behaviour],
        spent: &mut u64,
    ) -> Result<Kept, ServeError> {
        let kept = kept.with_room(self.slots(history.len()))?;
        let added = &history[known..];
        let (new, kv) = (self.new_width(added.len()), kept.slots());
        let mut state = behaviours(added, new);
        state.insert("timestamps".into(), times(history, kv));
        state.insert("new_lens".into(), one(added.len() as i64));
        state.insert("past_lens".into(), one(known as i64));
        kept.put_into(&mut state);
        *spent += self.count(GraphKind::Append, Sizes { new, kv, ..Sizes::default() });
        Ok(Kept::of_present(self.graphs.run(GraphKind::Append, &state)?))
    }

    fn score(
        &mut self,
        request: &Request,
        history: &[Behaviour],
        kept: &Kept,
        origin: Origin,
        spent: u64,
    ) -> Result<Answer, ServeError> {
        let width = self.width(request);
        let mut ids = request.candidates.clone();
        ids.resize(width, 0);
        let mut state = Values::from([
            ("candidate_ids".to_owned(), HostTensor::of(&[1, width], ids).into()),
            ("timestamps".to_owned(), times(history, kept.slots())),
            ("seq_lens".to_owned(), one(history.len() as i64)),
            ("request_time".to_owned(), one(request.request_time)),
        ]);
        kept.put_into(&mut state);
        let generated = self.graphs.run(GraphKind::Generate, &state)?;
        state.extend(generated);
        let mut ranked = self.graphs.run(GraphKind::Rank, &state)?;
        let real: Vec<usize> = (0..request.candidates.len()).collect();
        let mut take = |output: &'static str| {
            let whole = ranked.remove(output);
            let whole =
                whole.ok_or(ServeError::Output { graph: GraphKind::Rank.name(), output })?;
            let whole = whole.on_host()?;
            Ok::<_, ServeError>(if width == real.len() { whole } else { whole.pick(1, &real) })
        };
        Ok(Answer {
            scores: take("scores")?,
            generator_logits: take("generator_logits")?,
            origin,
            flops: spent + self.count_score(kept.slots(), width),
        })
    }
}

/// `item_ids` and `action_ids [1, width]`.
fn behaviours(of: &[Behaviour], width: usize) -> Values {
    let row = |field: fn(&Behaviour) -> i64| padded(of.iter().map(field), width);
    Values::from([
        ("item_ids".to_owned(), row(|b| b.item)),
        ("action_ids".to_owned(), row(|b| b.action)),
    ])
}

/// `timestamps [1, slots]`
fn times(of: &[Behaviour], slots: usize) -> Value {
    padded(of.iter().map(|b| b.time), slots)
}

fn padded(values: impl Iterator<Item = i64>, width: usize) -> Value {
    let mut row: Vec<i64> = values.collect();
    row.resize(width, 0);
    HostTensor::of(&[1, row.len()], row).into()
}

fn one(value: i64) -> Value {
    HostTensor::of(&[1], vec![value]).into()
}
