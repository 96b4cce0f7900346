//! A graph with all its float values as outputs.

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroUsize,
    path::Path,
    sync::{Mutex, PoisonError},
};

use onr_calibration::TensorStats;
use onr_exporter::Progress;
use onr_onnx::{Model, elem_types, proto::ValueInfoProto};
use onr_precision::qdq::sites;
use prost::Message as _;

use super::{
    CalibrateError, Runner, Statistics,
    derive::{Derivation, Values},
    spread,
};
use crate::{
    backend::Session,
    backends::ort::{Optimisation, OrtBackend},
    npz::Batches,
    tensor::{Feeds, Floats},
};

/// Weights above this many bytes are never in memory twice: one session for all threads, and no packed copies.
const LARGE: usize = 1 << 28;

/// Tensors of at least this many bytes are read from the model's own file.
const DETACHED: usize = 1 << 12;

/// A model prepared for watching: its bytes with all float values as outputs, and which statistics each
/// value gets.
#[derive(Debug)]
pub struct Watched {
    name: String,
    bytes: Vec<u8>,
    folder: std::path::PathBuf,
    derivation: Derivation,
    weight_bytes: usize,
}

impl Watched {
    /// Marks every float value of a model as an output. Values that weights multiply get the largest magnitude
    /// of each channel too.
    #[must_use]
    pub fn new(name: &str, model: &Model) -> Self {
        Self::only(name, model, &|_| true)
    }

    /// As [`new`](Self::new), for the float values that `wanted` names.
    #[must_use]
    pub fn only(name: &str, model: &Model, wanted: &dyn Fn(&str) -> bool) -> Self {
        let mut values = Values::new();
        let types = elem_types(model.graph());
        let mut proto = model.detached(DETACHED);
        if let Some(graph) = proto.graph.as_mut() {
            let made = graph.node.iter().flat_map(|n| &n.output);
            let inputs = graph.input.iter().filter_map(|i| i.name.as_ref());
            for name in made.chain(inputs).filter(|name| wanted(name)) {
                if types.get(name).is_some_and(|t| t.is_activation()) {
                    values.insert(name.clone(), None);
                }
            }
        }
        for site in sites(model).iter().filter(|site| site.is_by_row) {
            if let Some(width) = values.get_mut(&site.activation) {
                *width = NonZeroUsize::new(site.depth);
            }
        }
        let derivation = Derivation::new(model.graph(), &values);
        if let Some(graph) = proto.graph.as_mut() {
            let known: HashSet<String> =
                graph.output.iter().chain(&graph.input).map(|v| v.label().to_owned()).collect();
            let marked = derivation.watched.keys().filter(|name| !known.contains(*name));
            graph.output.extend(marked.map(|name| output(name)));
        }
        let sizes = model.graph().initializer.iter().filter_map(|t| model.bytes(t).ok());
        let folder = model.path().parent().filter(|p| !p.as_os_str().is_empty());
        Self {
            name: name.to_owned(),
            bytes: proto.encode_to_vec(),
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            derivation,
            weight_bytes: sizes.map(|bytes| bytes.len()).sum(),
        }
    }

    /// Are the weights so large that they should not be in memory twice?
    pub(super) const fn is_large(&self) -> bool {
        self.weight_bytes > LARGE
    }

    /// Loads the model, every node as it stands in the file.
    pub(super) fn open(
        &self,
        backend: &OrtBackend,
        threads: NonZeroUsize,
    ) -> Result<Watch<'_>, CalibrateError> {
        let backend =
            backend.clone().with_optimisation(Optimisation::Disable).with_threads(threads);
        let session = backend.open_bytes(&self.bytes, &self.folder, !self.is_large())?;
        let watched = &self.derivation.watched;
        let stats = watched.iter().map(|(name, n)| (name.clone(), TensorStats::new(*n))).collect();
        Ok(Watch { watched: self, session, stats })
    }
}

/// An output whose type the engine infers: what operators tell us may be less than it knows.
fn output(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}

/// A watched model, loaded, with what it has seen.
pub(super) struct Watch<'a> {
    watched: &'a Watched,
    session: Box<dyn Session + Send>,
    stats: BTreeMap<String, TensorStats>,
}

impl Watch<'_> {
    /// The name of the graph, and what was seen of its values.
    pub(super) fn finish(mut self) -> (String, BTreeMap<String, TensorStats>) {
        self.watched.derivation.complete(&mut self.stats);
        (self.watched.name.clone(), self.stats)
    }

    /// Runs a sample and counts all its float values; returns the outputs that `keep` names.
    pub(super) fn run(
        &mut self,
        feeds: &Feeds,
        sample: u64,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Feeds, CalibrateError> {
        let Self { session, stats, .. } = self;
        let (mut kept, mut failure) = (Feeds::new(), None);
        let mut count = |name: &str, floats: Floats<'_>| {
            if let Some(stats) = stats.get_mut(name) {
                let counted = match floats {
                    Floats::F32(values) => stats.observe(values, sample),
                    Floats::F16(values) => stats.observe_f16(values, sample),
                    Floats::BF16(values) => stats.observe_bf16(values, sample),
                };
                failure = failure.take().or(counted.err());
            }
        };
        for (name, tensor) in feeds {
            if let Some(floats) = Floats::of(tensor) {
                count(name, floats);
            }
        }
        session
            .observe(feeds, &mut |name, shape, floats| {
                count(name, floats);
                if keep(name) {
                    kept.insert(name.to_owned(), floats.to_tensor(shape));
                }
            })
            .map_err(|cause| CalibrateError::Sample { sample, cause })?;
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(kept),
        }
    }
}

/// Calibrates one model on batches of its inputs: any ONNX model. The batches are read as they are needed,
/// one a thread.
///
/// # Errors
/// [`CalibrateError`].
pub fn calibrate_model(
    watched: &Watched,
    backend: &OrtBackend,
    batches: Batches,
    threads: NonZeroUsize,
    progress: &dyn Progress,
) -> Result<Statistics, CalibrateError> {
    let one = NonZeroUsize::MIN;
    let (workers, inner) = if watched.is_large() { (one, threads) } else { (threads, one) };
    // All batches have the same shapes.
    let backend = &backend.clone().with_arena();
    let make = || Ok(Single { watch: watched.open(backend, inner)? });
    let count = usize::try_from(batches.total()).unwrap_or(usize::MAX);
    let batches = Mutex::new(batches.zip(0_u64..));
    let next = || match batches.lock().unwrap_or_else(PoisonError::into_inner).next() {
        None => Ok(None),
        Some((feeds, at)) => Ok(Some((feeds?, at))),
    };
    spread((count, &next), workers, progress, &make)
}

struct Single<'a> {
    watch: Watch<'a>,
}

impl Runner for Single<'_> {
    type Sample = (Feeds, u64);

    fn sample(&mut self, (feeds, at): (Feeds, u64)) -> Result<(), CalibrateError> {
        self.watch.run(&feeds, at, &|_| false).map(drop)
    }

    fn statistics(self) -> Statistics {
        Statistics::from([self.watch.finish()])
    }
}
