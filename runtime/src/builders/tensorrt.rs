//! TensorRT in process, through the crate `trtx`: TensorRT for RTX, which needs neither a GPU nor a driver, or
//! data-centre TensorRT, which needs both. [`flavor`] says which.
//!
//! TensorRT works on a thread of its own; what it says travels over a channel, so that progress and
//! log records come out on the caller's thread, in order, and a panic inside the binding ends as an
//! error. One build at a time: the library has one logger for the whole process.

mod compile;
#[cfg(feature = "tensorrt")]
mod device;
mod flavor;
pub(crate) mod library;
pub(crate) mod logger;
mod monitor;
mod network;
mod readback;
mod supervise;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use onr_device::cuda::CudaDriver;
use onr_exporter::progress::Progress;
use onr_onnx::{ElemType, Model, elem_types};

use self::{
    compile::{Failure, Work, compile},
    flavor::{BOUND, own_target},
    supervise::{Supervised, supervise},
};
use super::{
    diagnosis::{diagnose, last_words},
    log::LogBook,
    shapes::dynamic_inputs,
};
use crate::{
    backend::Availability,
    builder::{
        BuildJob, BuiltEngine, EngineBuilder, EngineError, NetworkSummary, PlanKind, PlanWeights,
        Target, check_capability, list_targets,
    },
};

const NAME: &str = BOUND.name;

/// The library that this build binds, in sentences.
pub(crate) const TITLE: &str = BOUND.title;

/// The builder behind `--builder tensorrt-rtx`, or `--builder tensorrt` in a build with the feature `tensorrt`.
#[derive(Debug, Clone)]
pub struct TensorRt {
    library: PathBuf,
    parser: PathBuf,
}

impl TensorRt {
    /// The word of `--builder` for it: which of the two this build has.
    pub const NAME: &str = NAME;

    /// The kind of its plans.
    pub const KIND: PlanKind = BOUND.kind;

    /// The GPUs that TensorRT for RTX compiles for. Hopper (`sm90`) is not among them.
    pub const TARGETS: [Target; 6] =
        [Target(75), Target(80), Target(86), Target(89), Target(120), Target(121)];

    /// What a plan is compiled for when nobody says: workstation GPUs of three generations.
    pub const DEFAULT_TARGETS: [Target; 3] = [Target(86), Target(89), Target(120)];

    /// The builder with TensorRT's library and that of its ONNX parser. Nothing is loaded yet; what is loaded first
    /// stays for the life of the process.
    #[must_use]
    pub fn new(library: PathBuf, parser: PathBuf) -> Self {
        Self { library, parser }
    }

    /// Loads the libraries, and says which version they are.
    pub(crate) fn load(&self) -> Result<library::Version, EngineError> {
        library::load(&self.library, &self.parser).map_err(|m| EngineError::Missing {
            builder: NAME,
            what: m.what,
            hint: m.hint,
        })
    }
}

impl EngineBuilder for TensorRt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn kind(&self) -> PlanKind {
        BOUND.kind
    }

    /// Loads the libraries to ask for their version.
    fn availability(&self) -> Availability {
        let usable = self.load().and_then(|version| {
            own_target().map_err(no_gpu)?;
            Ok(version)
        });
        match usable {
            Ok(version) => Availability::Ready {
                version: format!("{} {version}", BOUND.title),
                library: Some(self.library.clone()),
            },
            Err(EngineError::Missing { what, hint, .. }) => Availability::Missing { what, hint },
            Err(other) => Availability::Missing { what: other.to_string(), hint: String::new() },
        }
    }

    fn check_targets(&self, targets: &[Target], weights: PlanWeights) -> Result<(), EngineError> {
        check_weights(targets, weights)?;
        let Some(target) = targets.iter().find(|t| !BOUND.targets.contains(t)) else {
            return Ok(());
        };
        let (reason, hint) = match BOUND.kind {
            PlanKind::TensorrtRtx => (
                format!("{} knows {} only", BOUND.title, list_targets(BOUND.targets)),
                "use --builder trtexec=PATH with the data-centre TensorRT of that machine",
            ),
            PlanKind::Tensorrt => (
                "it compiles for the GPU of the machine that it runs on".to_owned(),
                "leave --target out, and build on a machine with the deployment's GPU",
            ),
        };
        let (target, hint) = (target.to_string(), hint.to_owned());
        Err(EngineError::Target { builder: NAME, target, reason, hint })
    }

    fn build(
        &self,
        job: &BuildJob<'_>,
        progress: &dyn Progress,
    ) -> Result<BuiltEngine, EngineError> {
        self.check_targets(job.targets, job.weights)?;
        fs::metadata(job.onnx)
            .map_err(|cause| EngineError::File { file: job.onnx.to_owned(), cause })?;
        let shapes = dynamic_inputs(job)?;
        let version = self.load()?;
        let needs = needs(job)?;
        let targets = match own_target().map_err(no_gpu)? {
            Some(target) => vec![target],
            None => targets(job.targets, &needs),
        };
        for elem in needs {
            check_capability(NAME, &targets, elem)?;
        }
        let began = Instant::now();
        let work = Work { job, shapes: &shapes, targets: &targets };
        let (network, log) = settle(job, supervise(progress, |link| compile(&work, link)))?;
        let plan = fs::read(job.plan)
            .map_err(|cause| EngineError::File { file: job.plan.to_owned(), cause })?;
        Ok(BuiltEngine {
            products: readback::products(&plan),
            kind: self.kind(),
            builder: NAME.to_owned(),
            version: version.to_string(),
            library: file_name(&self.library),
            targets: targets.iter().map(Target::to_string).collect(),
            profiles: job.several(),
            network,
            warnings: log.warnings,
            weights: job.weights,
            seconds: began.elapsed().as_secs_f64(),
        })
    }
}

/// Plans that take other weights are compiled for one GPU at a time, and only where there is a driver: TensorRT for RTX
/// 1.7 fails inside for two targets, and without a driver, whichever of its flags for refitting is set.
fn check_weights(targets: &[Target], weights: PlanWeights) -> Result<(), EngineError> {
    let list = if targets.is_empty() { BOUND.default_targets } else { targets };
    if weights.fixed() {
        return Ok(());
    }
    if list.len() > 1 {
        return Err(EngineError::Target {
            builder: NAME,
            target: list_targets(list),
            reason: "a plan that takes other weights is for one GPU".to_owned(),
            hint: "name it with --target, as in `--target sm89`".to_owned(),
        });
    }
    CudaDriver::open(0).map(drop).map_err(|error| EngineError::Missing {
        builder: NAME,
        what: error.to_string(),
        hint:
            "plans that take other weights are compiled where there is a GPU; without --refit and \
               --strip-weights none is needed"
                .to_owned(),
    })
}

fn no_gpu(what: String) -> EngineError {
    let hint = "it compiles on the GPU that it compiles for: run it on such a machine".to_owned();
    EngineError::Missing { builder: NAME, what, hint }
}

/// Element types of the graph that not every GPU has.
fn needs(job: &BuildJob<'_>) -> Result<BTreeSet<ElemType>, EngineError> {
    let model = Model::open(job.onnx)?;
    let types = elem_types(model.graph()).into_values();
    Ok(types.filter(|elem| Target::least_for(*elem).is_some()).collect())
}

/// The targets asked for, without repeats, or those of the default ones that have what the graph needs.
fn targets(asked: &[Target], needs: &BTreeSet<ElemType>) -> Vec<Target> {
    let least = needs.iter().filter_map(|elem| Target::least_for(*elem)).map(|(t, _)| t).max();
    let able = |target: &&Target| !asked.is_empty() || least.is_none_or(|least| **target >= least);
    let from = if asked.is_empty() { BOUND.default_targets } else { asked };
    let mut targets = Vec::with_capacity(from.len());
    for target in from.iter().filter(able) {
        if !targets.contains(target) {
            targets.push(*target);
        }
    }
    targets
}

/// Turns what the worker brought home into the caller's result.
fn settle(
    job: &BuildJob<'_>,
    done: Supervised<Result<NetworkSummary, Failure>>,
) -> Result<(NetworkSummary, LogBook), EngineError> {
    let error = match done.result {
        _ if done.cancelled => EngineError::Interrupted { graph: job.graph.to_owned() },
        Some(Ok(network)) => return Ok((network, done.log)),
        Some(Err(failure)) => explain(job, failure, &done.log),
        None => failed(job, "the binding panicked".to_owned()),
    };
    remove_plan(job.plan);
    Err(error)
}

/// The best account of a failure that TensorRT's log allows.
fn explain(job: &BuildJob<'_>, failure: Failure, log: &LogBook) -> EngineError {
    match failure {
        Failure::Parse => {
            let d = diagnose(&log.errors);
            EngineError::Parse {
                onnx: job.onnx.to_owned(),
                node: d.node,
                op: d.op,
                reason: d.reason,
            }
        }
        Failure::Empty => EngineError::Parse {
            onnx: job.onnx.to_owned(),
            node: String::new(),
            op: String::new(),
            reason: "it holds no graph".to_owned(),
        },
        Failure::Build(error) => failed(job, last_words(&log.errors).unwrap_or(error)),
        Failure::Refused(reason) => failed(job, reason),
        Failure::File { file, cause } => EngineError::File { file, cause },
    }
}

fn failed(job: &BuildJob<'_>, reason: String) -> EngineError {
    EngineError::Build { builder: NAME, graph: job.graph.to_owned(), reason }
}

/// A failed or cancelled build leaves nothing behind.
fn remove_plan(plan: &Path) {
    if let Err(error) = fs::remove_file(plan)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(plan = %plan.display(), %error, "cannot remove an unfinished plan");
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
