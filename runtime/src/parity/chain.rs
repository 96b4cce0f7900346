//! Graphs run one after the other, as a server would: outputs of one are inputs of the next.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use onr_exporter::{ExportedGraph, TensorInfo};
use onr_graphs::{DType, GraphKind};

use super::{ParityError, batch::Batch, codes::Codes};
use crate::{
    backend::{Backend, Placement, Session},
    tensor::{Data, Feeds, HostTensor},
};

/// The graphs of one directory on one backend. Each is opened when it is first run: what a backend
/// needs to load a large graph is over before the next one begins.
pub struct Chain<'a> {
    backend: &'a dyn Backend,
    stages: BTreeMap<GraphKind, Stage<'a>>,
    /// Time spent inside the backend.
    pub(super) elapsed: Duration,
}

struct Stage<'a> {
    graph: &'a ExportedGraph,
    file: PathBuf,
    session: Option<Box<dyn Session>>,
    /// Of its inputs and outputs; none before they are needed.
    codes: Option<Codes>,
}

impl Stage<'_> {
    fn codes(&mut self) -> Result<&Codes, ParityError> {
        Ok(match &mut self.codes {
            Some(read) => read,
            unread => unread.insert(Codes::read(&self.file)?),
        })
    }
}

/// What stands in key/value slots that hold nothing; any float type holds it exactly, codes hold what
/// [`Chain::as_passed`] says. A graph that reads or writes them shows.
pub(crate) const JUNK: f32 = 7.0;

impl<'a> Chain<'a> {
    /// Those graphs of `dir` that `wanted` names.
    #[must_use]
    pub fn new(
        backend: &'a dyn Backend,
        dir: &Path,
        graphs: &'a [ExportedGraph],
        wanted: &[GraphKind],
    ) -> Self {
        let stage = |graph: &'a ExportedGraph| {
            let kind = GraphKind::from_name(&graph.name).filter(|k| wanted.contains(k))?;
            let file = dir.join(format!("{}.onnx", graph.name));
            Some((kind, Stage { graph, file, session: None, codes: None }))
        };
        let stages = graphs.iter().filter_map(stage).collect();
        Self { backend, stages, elapsed: Duration::ZERO }
    }

    /// Does the directory have this graph?
    #[must_use]
    pub fn has(&self, kind: GraphKind) -> bool {
        self.stages.contains_key(&kind)
    }

    /// Where the graphs run.
    #[must_use]
    pub fn placement(&self) -> Option<Placement> {
        self.stages.values().find_map(|s| Some(s.session.as_ref()?.placement()))
    }

    /// The file of a graph.
    pub(crate) fn file(&self, kind: GraphKind) -> Option<&Path> {
        self.stages.get(&kind).map(|stage| stage.file.as_path())
    }

    /// The inputs of a graph out of what stands in `state`, types adapted to the graph's.
    pub(crate) fn feeds(&mut self, kind: GraphKind, state: &Feeds) -> Result<Feeds, ParityError> {
        let stage = self.stage(kind)?;
        let mut feeds = Feeds::new();
        let graph = stage.graph;
        for info in &graph.inputs {
            let missing = || ParityError::Missing { graph: kind.name(), input: info.name.clone() };
            let value = state.get(&info.name).ok_or_else(missing)?;
            let dtype = DType::from_name(&info.dtype).ok_or_else(missing)?;
            let codes = stage.codes()?;
            let other = dtype != value.dtype();
            let value = match other.then(|| codes.encode(&info.name, value, dtype)).flatten() {
                Some(codes) => codes,
                None => value.cast(dtype).ok_or_else(|| unfit(kind, info, value))?,
            };
            feeds.insert(info.name.clone(), value);
        }
        Ok(feeds)
    }

    /// What the codes among `feeds` stand for; nothing for what is no code.
    pub(crate) fn decoded(&mut self, kind: GraphKind, feeds: &Feeds) -> Result<Feeds, ParityError> {
        let codes = self.stage(kind)?.codes()?;
        let coded =
            feeds.iter().filter(|(_, value)| matches!(value.data(), Data::I8(_) | Data::F8E4M3(_)));
        Ok(coded.map(|(name, value)| (name.clone(), codes.decode(name, value.clone()))).collect())
    }

    fn stage(&mut self, kind: GraphKind) -> Result<&mut Stage<'a>, ParityError> {
        let missing = ParityError::Missing { graph: kind.name(), input: "graph".into() };
        self.stages.get_mut(&kind).ok_or(missing)
    }

    /// Runs one graph on what stands in `state`, types adapted to the graph's. Codes between graphs are numbers
    /// here: every code survives that, and numbers are what can be compared. Ids are I64, as in `state`.
    ///
    /// # Errors
    /// [`ParityError::Run`] when the backend refuses the graph or fails, [`ParityError::Missing`]
    /// when `state` lacks an input.
    pub fn run(&mut self, kind: GraphKind, state: &Feeds) -> Result<Feeds, ParityError> {
        let feeds = self.feeds(kind, state)?;
        let backend = self.backend;
        let started = Instant::now();
        let stage = self.stage(kind)?;
        let session = match &mut stage.session {
            Some(open) => open,
            closed => closed.insert(backend.open(&stage.file)?),
        };
        let outputs = session.run(&feeds)?;
        let spent = started.elapsed();
        let codes = stage.codes()?;
        let numbers = |(name, value): (String, HostTensor)| {
            let value = codes.decode(&name, value);
            let ids = (value.dtype() == DType::I32).then(|| value.cast(DType::I64)).flatten();
            (name, ids.unwrap_or(value))
        };
        let outputs = outputs.into_iter().map(numbers).collect();
        self.elapsed += spent;
        Ok(outputs)
    }

    /// What a number becomes that goes out of a graph under this name.
    pub(super) fn as_passed(&self, kind: GraphKind, name: &str, number: f32) -> f32 {
        let stage = self.stages.get(&kind);
        let info = stage.and_then(|s| s.graph.outputs.iter().find(|info| info.name == name));
        let dtype = info.and_then(|info| DType::from_name(&info.dtype));
        match (stage.and_then(|s| s.codes.as_ref()), dtype) {
            (Some(codes), Some(dtype)) => codes.round_trip(name, number, dtype),
            _ => number,
        }
    }
}

/// Why an input cannot be what its graph takes.
fn unfit(kind: GraphKind, input: &TensorInfo, value: &HostTensor) -> ParityError {
    let beyond = |x: &&i64| i32::try_from(**x).is_err();
    match value.as_i64().and_then(|v| v.iter().find(beyond)) {
        Some(number) if input.dtype == DType::I32.name() => {
            ParityError::Beyond { graph: kind.name(), input: input.name.clone(), number: *number }
        }
        _ => ParityError::Missing { graph: kind.name(), input: input.name.clone() },
    }
}

/// Adds what `encode` or `append` returned to the inputs of the next graphs.
pub fn keep_history(state: &mut Feeds, present: &Feeds) {
    for (name, value) in present {
        if let Some(rest) = name.strip_prefix("present.") {
            state.insert(format!("past_key_values.{rest}"), value.clone());
        }
    }
}

/// Inputs of `append` that lead from a prefix of each history to all of it: the last few behaviours
/// are new, and the slots where they belong hold `filler`.
#[must_use]
pub(crate) fn append_state(batch: &Batch, encoded: &Feeds, new: usize, filler: f32) -> Feeds {
    let rows = batch.inputs["seq_lens"].data().len();
    let fresh = |b: usize| batch.seq_lens.get(b).map_or(0, |n| (*n).min(new - b % 2));
    let len = |b: usize| batch.seq_lens.get(b).copied().unwrap_or(0);
    let lens = |f: &dyn Fn(usize) -> usize| {
        HostTensor::of(&[rows], (0..rows).map(|b| f(b) as i64).collect::<Vec<_>>())
    };
    let mut state = Feeds::from([
        ("new_lens".to_owned(), lens(&fresh)),
        ("past_lens".to_owned(), lens(&|b| len(b) - fresh(b))),
        ("timestamps".to_owned(), batch.inputs["timestamps"].clone()),
    ]);
    for name in ["item_ids", "action_ids", "item_embeddings"] {
        if let Some(whole) = batch.inputs.get(name) {
            state.insert(name.into(), last_rows(whole, new, |b| len(b) - fresh(b)..len(b)));
        }
    }
    keep_history(&mut state, encoded);
    for (name, value) in &mut state {
        if name.starts_with("past_key_values.") {
            *value = filled(value, filler, |b| len(b) - fresh(b));
        }
    }
    state
}

/// `x[b, range(b), ..]` at the front of `[B, len, ..]`, the rest 0.
fn last_rows(
    x: &HostTensor,
    len: usize,
    range: impl Fn(usize) -> std::ops::Range<usize>,
) -> HostTensor {
    let (rows, seq) = (x.shape()[0], x.shape()[1]);
    let width: usize = x.shape()[2..].iter().product();
    let mut shape = x.shape().to_vec();
    shape[1] = len;
    match x.data() {
        Data::I64(v) => HostTensor::of(&shape, copy_rows(v, rows, seq, len, width, range)),
        Data::F32(v) => HostTensor::of(&shape, copy_rows(v, rows, seq, len, width, range)),
        _ => x.clone(),
    }
}

fn copy_rows<T: Copy + Default>(
    v: &[T],
    rows: usize,
    seq: usize,
    len: usize,
    width: usize,
    range: impl Fn(usize) -> std::ops::Range<usize>,
) -> Vec<T> {
    let mut out = vec![T::default(); rows * len * width];
    for b in 0..rows {
        let from = range(b);
        let source = &v[(b * seq + from.start) * width..(b * seq + from.end) * width];
        out[b * len * width..][..source.len()].copy_from_slice(source);
    }
    out
}

/// `[B, H, S, Dh]` with `filler` in slots from `len(b)` on.
pub(super) fn filled(kv: &HostTensor, filler: f32, len: impl Fn(usize) -> usize) -> HostTensor {
    let (Some(mut data), &[rows, heads, slots, width]) = (kv.to_f32(), kv.shape()) else {
        return kv.clone();
    };
    for b in 0..rows {
        for h in 0..heads {
            let start = ((b * heads + h) * slots + len(b)) * width;
            let end = ((b * heads + h) + 1) * slots * width;
            data[start..end].fill(filler);
        }
    }
    let filled = HostTensor::of(kv.shape(), data);
    filled.cast(kv.dtype()).unwrap_or(filled)
}
