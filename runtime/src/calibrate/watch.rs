//! A graph with all its float values as outputs.

use std::{collections::BTreeMap, num::NonZeroUsize, path::Path};

use onr_calibration::TensorStats;
use onr_exporter::Progress;
use onr_onnx::{
    ElemType, Model, elem_types,
    proto::{TensorTypeProto, TypeProto, ValueInfoProto},
};
use onr_precision::qdq::sites;
use prost::Message as _;

use super::{CalibrateError, Runner, Statistics, spread};
use crate::{
    backend::Session,
    backends::ort::{Optimisation, OrtBackend},
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
    /// Channels of the values that weights multiply.
    channels: BTreeMap<String, Option<NonZeroUsize>>,
    weight_bytes: usize,
}

impl Watched {
    /// Marks every float value of a model as an output. Values that weights multiply get the largest magnitude
    /// of each channel too.
    #[must_use]
    pub fn new(name: &str, model: &Model) -> Self {
        let mut channels: BTreeMap<String, Option<NonZeroUsize>> = BTreeMap::new();
        let types = elem_types(model.graph());
        let mut proto = model.detached(DETACHED);
        if let Some(graph) = proto.graph.as_mut() {
            let values = graph.node.iter().flat_map(|n| &n.output);
            let inputs = graph.input.iter().map(|i| i.name.as_ref());
            let all = values.map(Some).chain(inputs).flatten();
            for name in all {
                if types.get(name).is_some_and(|t| t.is_activation()) {
                    channels.insert(name.clone(), None);
                }
            }
            let known: Vec<String> =
                graph.output.iter().chain(&graph.input).map(|v| v.label().to_owned()).collect();
            let marked = channels.keys().filter(|name| !known.contains(name));
            graph.output.extend(marked.map(|name| output(name, types[name])));
        }
        for site in sites(model).iter().filter(|site| site.op != "Conv") {
            if let Some(width) = channels.get_mut(&site.activation) {
                *width = NonZeroUsize::new(site.depth);
            }
        }
        let sizes = model.graph().initializer.iter().filter_map(|t| model.bytes(t).ok());
        let folder = model.path().parent().filter(|p| !p.as_os_str().is_empty());
        Self {
            name: name.to_owned(),
            bytes: proto.encode_to_vec(),
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            channels,
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
    ) -> Result<Watch, CalibrateError> {
        let backend =
            backend.clone().with_optimisation(Optimisation::Disable).with_threads(threads);
        let session = backend.open_bytes(&self.bytes, &self.folder, !self.is_large())?;
        let stats =
            self.channels.iter().map(|(name, n)| (name.clone(), TensorStats::new(*n))).collect();
        Ok(Watch { name: self.name.clone(), session, stats })
    }
}

fn output(name: &str, elem: ElemType) -> ValueInfoProto {
    let tensor_type = Some(TensorTypeProto { elem_type: Some(elem.code()), shape: None });
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// A watched model, loaded, with what it has seen.
pub(super) struct Watch {
    pub(super) name: String,
    session: Box<dyn Session + Send>,
    pub(super) stats: BTreeMap<String, TensorStats>,
}

impl Watch {
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

/// Calibrates one model on samples that `feeds` makes: any ONNX model.
///
/// # Errors
/// [`CalibrateError`].
pub fn calibrate_model(
    watched: &Watched,
    backend: &OrtBackend,
    samples: &[usize],
    feeds: &(dyn Fn(usize) -> Feeds + Sync),
    threads: NonZeroUsize,
    progress: &dyn Progress,
) -> Result<Statistics, CalibrateError> {
    let one = NonZeroUsize::MIN;
    let (workers, inner) = if watched.is_large() { (one, threads) } else { (threads, one) };
    let make = || Ok(Single { watch: watched.open(backend, inner)?, feeds });
    spread(samples, workers, progress, &make)
}

struct Single<'a> {
    watch: Watch,
    feeds: &'a (dyn Fn(usize) -> Feeds + Sync),
}

impl Runner for Single<'_> {
    fn sample(&mut self, at: usize) -> Result<(), CalibrateError> {
        self.watch.run(&(self.feeds)(at), at as u64, &|_| false).map(drop)
    }

    fn statistics(self) -> Statistics {
        Statistics::from([(self.watch.name, self.watch.stats)])
    }
}
