//! The work itself, on the worker thread: ONNX file to plan.

use std::{
    fs, io,
    mem::ManuallyDrop,
    path::{self, PathBuf},
};

use trtx::{
    Builder, BuilderConfig, BuilderFlag, MemoryPoolType, OnnxParser, OptProfileSelector,
    optimization_profile::OptimizationProfile, trtx_sys::Dims,
};

use super::{
    super::shapes::InputShapes,
    flavor::aim,
    logger::Session,
    monitor::Monitor,
    network::{check_inputs, summarize},
    supervise::{Event, Link},
};
use crate::builder::{BuildJob, NetworkSummary, PlanWeights, Target};

/// `NetworkDefinitionCreationFlag::kSTRONGLY_TYPED` of TensorRT for RTX and of TensorRT 11, as a bit. The only kind of
/// network that these libraries still build; `trtx` calls the bit `EXPLICIT_BATCH`.
const STRONGLY_TYPED: u32 = 1;

/// The parser's verbosity, `ILogger::Severity::kWARNING`. Its log goes through our logger anyway.
const PARSER_VERBOSITY: i32 = 2;

/// One job with everything resolved.
pub(super) struct Work<'a> {
    pub(super) job: &'a BuildJob<'a>,
    /// The dynamic inputs in each profile.
    pub(super) shapes: &'a [Vec<InputShapes>],
    pub(super) targets: &'a [Target],
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum Failure {
    /// The parser refused the file; its log says why.
    Parse,
    /// The parser accepted a file without a graph, as it does with any text.
    Empty,
    /// TensorRT failed with this error; its log says more.
    Build(String),
    /// We refused, for this reason.
    Refused(String),
    /// A file cannot be read or written.
    File { file: PathBuf, cause: io::Error },
}

impl From<trtx::Error> for Failure {
    fn from(error: trtx::Error) -> Self {
        Self::Build(error.to_string())
    }
}

/// Compiles, writes the plan, and returns the network as TensorRT understood it.
///
/// Locals die in reverse order: the builder after everything that it made.
pub(super) fn compile(work: &Work<'_>, link: Link) -> Result<NetworkSummary, Failure> {
    let job = work.job;
    let session = Session::begin(&link);
    let logger = session.logger()?;
    let mut builder = Builder::new(logger)?;
    let network = builder.create_network(STRONGLY_TYPED)?;
    let mut config = builder.create_config()?;
    let mut parser = OnnxParser::new(network, logger)?;
    link.tell(Event::Stage("parse".to_owned(), 1));
    parser.parse_from_file(&onnx_path(job)?, PARSER_VERBOSITY).map_err(|_| Failure::Parse)?;
    link.tell(Event::Steps(1));
    let network = parser.network_mut();
    let summary = summarize(network)?;
    if summary.layers.is_empty() && summary.inputs.is_empty() {
        return Err(Failure::Empty);
    }
    check_inputs(&summary.inputs, job.inputs).map_err(Failure::Refused)?;
    configure(&mut config, work, &link)?;
    for (number, shapes) in (0..).zip(work.shapes) {
        // In C++ the builder owns the profile. `trtx` drops it in place as well, which does nothing
        // only as long as its generator finds no destructor.
        let mut profile = ManuallyDrop::new(builder.creata_optimization_profile()?);
        fill(&mut profile, shapes)?;
        let given = config.add_optimization_profile(&mut profile)?;
        if given != number {
            return Err(Failure::Refused(format!("profile {number} became number {given}")));
        }
    }
    if link.cancelled() {
        return Err(Failure::Refused("cancelled".to_owned()));
    }
    let plan = builder.build_serialized_network(network, &mut config)?;
    write(job, &plan)?;
    Ok(summary)
}

/// The file's absolute path: the parser looks for external data in its folder.
fn onnx_path(job: &BuildJob<'_>) -> Result<String, Failure> {
    let failure = |cause| Failure::File { file: job.onnx.to_owned(), cause };
    let path = path::absolute(job.onnx).map_err(failure)?.into_os_string().into_string();
    path.map_err(|_| {
        failure(io::Error::new(io::ErrorKind::InvalidInput, "TensorRT needs a path in UTF-8"))
    })
}

fn configure(config: &mut BuilderConfig<'_>, work: &Work<'_>, link: &Link) -> Result<(), Failure> {
    aim(config, work.targets).map_err(Failure::Refused)?;
    if let Some(bytes) = work.job.workspace {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        config.set_memory_pool_limit(MemoryPoolType::kWORKSPACE, bytes);
    }
    if !work.job.weights.fixed() {
        config.set_flag(BuilderFlag::kREFIT);
    }
    if work.job.weights == PlanWeights::Stripped {
        config.set_flag(BuilderFlag::kSTRIP_PLAN);
    }
    Ok(config.set_progress_monitor(Box::new(Monitor::new(link.clone())))?)
}

fn fill(profile: &mut OptimizationProfile<'_>, shapes: &[InputShapes]) -> Result<(), Failure> {
    for input in shapes {
        let ends = [
            (OptProfileSelector::kMIN, &input.min),
            (OptProfileSelector::kOPT, &input.opt),
            (OptProfileSelector::kMAX, &input.max),
        ];
        for (end, shape) in ends {
            profile.set_dimensions(&input.name, end, &dims(shape)?)?;
        }
    }
    Ok(())
}

fn dims(shape: &[usize]) -> Result<Dims, Failure> {
    let sizes: Result<Vec<i64>, _> = shape.iter().map(|n| i64::try_from(*n)).collect();
    match sizes {
        Ok(sizes) if sizes.len() <= 8 => Ok(Dims::from_slice(&sizes)),
        _ => Err(Failure::Refused(format!("TensorRT cannot hold the shape {shape:?}"))),
    }
}

fn write(job: &BuildJob<'_>, plan: &[u8]) -> Result<(), Failure> {
    fs::write(job.plan, plan).map_err(|cause| Failure::File { file: job.plan.to_owned(), cause })
}
