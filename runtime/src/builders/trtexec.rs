//! Data-centre TensorRT through the `trtexec` of the user's container, out of process.
//!
//! Plans load only in the TensorRT that wrote them, so the tool of the deployment is the right
//! compiler whatever its version. It compiles for the GPU of the machine that it runs on: a list of
//! targets is refused.

mod contents;
pub(crate) mod flags;
pub(crate) mod output;
pub(crate) mod program;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod version;

use std::{
    fs, io,
    path::PathBuf,
    process::{Command, ExitStatus},
    time::Instant,
};

use onr_exporter::progress::Progress;

use self::{
    output::Output,
    program::{Program, Unusable},
};
use super::{
    diagnosis::{diagnose, parser_failed},
    process::{Ending, Tool},
};
use crate::{
    backend::Availability,
    builder::{
        BuildJob, BuiltEngine, EngineBuilder, EngineError, NetworkSummary, PlanKind, PlanWeights,
        Target, list_targets,
    },
};

const NAME: &str = "trtexec";

/// The builder behind `--builder trtexec[=PATH]`.
#[derive(Debug)]
pub struct Trtexec {
    program: Program,
}

impl Trtexec {
    /// The tool at `path`, or of that name in `PATH`. Nothing is started yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { program: Program::new(path) }
    }

    /// Runs the tool to its end; `Ok` only if it says that it succeeded and left a plan.
    fn run(
        &self,
        job: &BuildJob<'_>,
        command: Command,
        progress: &dyn Progress,
    ) -> Result<Output, EngineError> {
        progress.stage("build engine", 0);
        let mut output = Output::default();
        let read = |line: &str| {
            output.read(line);
            if let Some(stage) = output::stage(line) {
                progress.stage(stage, 0);
            }
        };
        let ending = Tool::start(command)
            .and_then(|tool| tool.finish(read, || progress.advance(0)))
            .map_err(|e| {
                failure(job, format!("cannot run {}: {e}", self.program.path().display()))
            })?;
        match ending {
            Ending::Stopped => {
                remove_plan(job);
                Err(EngineError::Interrupted { graph: job.graph.to_owned() })
            }
            Ending::Exited(status) if status.success() => match fs::metadata(job.plan) {
                Ok(plan) if plan.len() > 0 => Ok(output),
                Ok(_) => {
                    Err(failure(job, "it reported success but wrote an empty plan".to_owned()))
                }
                Err(cause) => Err(EngineError::File { file: job.plan.to_owned(), cause }),
            },
            Ending::Exited(status) => {
                remove_plan(job);
                Err(explain(job, &output, status))
            }
        }
    }

    fn library(&self) -> String {
        let path = self.program.path();
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }
}

impl EngineBuilder for Trtexec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn kind(&self) -> PlanKind {
        PlanKind::Tensorrt
    }

    fn availability(&self) -> Availability {
        self.program.availability()
    }

    /// Refuses every list but the empty one.
    fn check_targets(&self, targets: &[Target], _: PlanWeights) -> Result<(), EngineError> {
        if targets.is_empty() {
            return Ok(());
        }
        Err(EngineError::Target {
            builder: NAME,
            target: list_targets(targets),
            reason: "it compiles for the GPU of the machine that it runs on".to_owned(),
            hint: "leave --target out, and build on a machine with the deployment's GPU".to_owned(),
        })
    }

    fn build(
        &self,
        job: &BuildJob<'_>,
        progress: &dyn Progress,
    ) -> Result<BuiltEngine, EngineError> {
        self.check_targets(job.targets, job.weights)?;
        fs::metadata(job.onnx)
            .map_err(|cause| EngineError::File { file: job.onnx.to_owned(), cause })?;
        let missing = |Unusable { what, hint }| EngineError::Missing { builder: NAME, what, hint };
        let about = self.program.about().map_err(missing)?;
        let mut command = self.program.command();
        command.args(flags::build(about, job)?);
        tracing::debug!(?command, "starting trtexec");
        let began = Instant::now();
        let output = self.run(job, command, progress)?;
        Ok(BuiltEngine {
            products: Vec::new(),
            kind: self.kind(),
            builder: NAME.to_owned(),
            version: about.version.to_string(),
            library: self.library(),
            targets: output.device.iter().map(Target::to_string).collect(),
            profiles: job.several(),
            network: NetworkSummary::default(),
            warnings: output.log.warnings,
            weights: job.weights,
            seconds: began.elapsed().as_secs_f64(),
        })
    }
}

fn failure(job: &BuildJob<'_>, reason: String) -> EngineError {
    EngineError::Build { builder: NAME, graph: job.graph.to_owned(), reason }
}

/// The best account of a failed run that its output allows.
fn explain(job: &BuildJob<'_>, output: &Output, status: ExitStatus) -> EngineError {
    let errors = &output.log.errors;
    if !parser_failed(errors) {
        return failure(job, format!("{status}: {}", output.last_words()));
    }
    let d = diagnose(errors);
    EngineError::Parse { onnx: job.onnx.to_owned(), node: d.node, op: d.op, reason: d.reason }
}

/// A failed run may leave half a plan behind.
fn remove_plan(job: &BuildJob<'_>) {
    if let Err(error) = fs::remove_file(job.plan)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(plan = %job.plan.display(), %error, "cannot remove an unfinished plan");
    }
}
