//! Data-centre TensorRT through the `trtexec` of the user's container, out of process.
//!
//! Plans load only in the TensorRT that wrote them, so the tool of the deployment is the right
//! compiler whatever its version. It compiles for the GPU of the machine that it runs on: a list of
//! targets is refused.

mod output;
#[cfg(test)]
mod tests;
mod version;

use std::{
    ffi::OsString,
    fs, io,
    ops::ControlFlow,
    path::PathBuf,
    process::{Command, ExitStatus},
    sync::OnceLock,
    time::{Duration, Instant},
};

use onr_exporter::progress::Progress;

use self::{output::Output, version::Version};
use super::{
    diagnosis::{diagnose, parser_failed},
    process::{Ending, Tool},
    shapes::{InputShapes, dynamic_inputs},
};
use crate::{
    backend::Availability,
    builder::{
        BuildJob, BuiltEngine, EngineBuilder, EngineError, NetworkSummary, PlanKind, Target,
        list_targets,
    },
};

const NAME: &str = "trtexec";

/// How long `trtexec --help` may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The builder behind `--builder trtexec=PATH`.
#[derive(Debug)]
pub struct Trtexec {
    path: PathBuf,
    /// Asked once; a failure is not remembered.
    version: OnceLock<Version>,
}

impl Trtexec {
    /// The tool at `path`, or of that name in `PATH`. Nothing is started yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), version: OnceLock::new() }
    }

    /// The version of its TensorRT, from the banner above its help.
    fn version(&self) -> Result<Version, EngineError> {
        if let Some(version) = self.version.get() {
            return Ok(*version);
        }
        let missing = |what: String| EngineError::Missing {
            builder: NAME,
            what,
            hint: "give the trtexec of the deployment's container, usually \
                   /usr/src/tensorrt/bin/trtexec"
                .to_owned(),
        };
        let path = self.path.display();
        let lines = self.help().map_err(|e| missing(format!("cannot run {path}: {e}")))?;
        let version = lines.iter().find_map(|l| Version::from_banner(l)).ok_or_else(|| {
            let said = lines.iter().rfind(|l| !l.is_empty()).map_or("nothing", String::as_str);
            missing(format!("{path} does not name its TensorRT version; it said: {said}"))
        })?;
        version
            .check()
            .map_err(|reason| missing(format!("{path} is TensorRT {version}: {reason}")))?;
        Ok(*self.version.get_or_init(|| version))
    }

    fn help(&self) -> io::Result<Vec<String>> {
        let mut command = Command::new(&self.path);
        command.arg("--help");
        let mut lines = Vec::new();
        let began = Instant::now();
        let patient = || match began.elapsed() < PATIENCE {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        match Tool::start(command)?.finish(|l| lines.push(l.to_owned()), patient)? {
            // Old versions end their help with a failure; the banner is all that matters.
            Ending::Exited(_) => Ok(lines),
            Ending::Stopped => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn command(&self, job: &BuildJob<'_>, shapes: &[InputShapes], version: Version) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(flag("--onnx=", job.onnx)).arg(flag("--saveEngine=", job.plan));
        if !shapes.is_empty() {
            for (name, pick) in ENDS {
                command.arg(format!("{name}={}", spec(shapes, pick)));
            }
        }
        // TensorRT 11 knows nothing but strongly typed networks.
        if version.major < 11 {
            command.arg("--stronglyTyped");
        }
        command.arg("--skipInference");
        if let Some(bytes) = job.workspace {
            command.arg(format!("--memPoolSize=workspace:{bytes}B"));
        }
        command
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
        let ending = Tool::start(command)
            .and_then(|tool| tool.finish(|line| output.read(line), || progress.advance(0)))
            .map_err(|e| failure(job, format!("cannot run {}: {e}", self.path.display())))?;
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
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
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
        match self.version() {
            Ok(version) => Availability::Ready {
                version: format!("TensorRT {version}"),
                library: Some(self.path.clone()),
            },
            Err(EngineError::Missing { what, hint, .. }) => Availability::Missing { what, hint },
            Err(other) => Availability::Missing { what: other.to_string(), hint: String::new() },
        }
    }

    /// Refuses every list but the empty one.
    fn check_targets(&self, targets: &[Target]) -> Result<(), EngineError> {
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
        self.check_targets(job.targets)?;
        fs::metadata(job.onnx)
            .map_err(|cause| EngineError::File { file: job.onnx.to_owned(), cause })?;
        let version = self.version()?;
        let shapes = dynamic_inputs(job)?;
        check_names(job, &shapes)?;
        let command = self.command(job, &shapes, version);
        tracing::debug!(?command, "starting trtexec");
        let began = Instant::now();
        let output = self.run(job, command, progress)?;
        Ok(BuiltEngine {
            products: Vec::new(),
            kind: self.kind(),
            builder: NAME.to_owned(),
            version: version.to_string(),
            library: self.library(),
            targets: output.device.iter().map(Target::to_string).collect(),
            network: NetworkSummary::default(),
            warnings: output.log.warnings,
            seconds: began.elapsed().as_secs_f64(),
        })
    }
}

/// One end of a range.
type Pick = fn(&InputShapes) -> &[usize];

/// The shape flags, and which shape belongs to each.
const ENDS: [(&str, Pick); 3] =
    [("--minShapes", |s| &s.min), ("--optShapes", |s| &s.opt), ("--maxShapes", |s| &s.max)];

/// `ids:1x8,lens:1`.
fn spec(shapes: &[InputShapes], pick: Pick) -> String {
    let sizes = |s| pick(s).iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    shapes.iter().map(|s| format!("{}:{}", s.name, sizes(s))).collect::<Vec<_>>().join(",")
}

/// `trtexec` splits its shapes at these characters.
fn check_names(job: &BuildJob<'_>, shapes: &[InputShapes]) -> Result<(), EngineError> {
    match shapes.iter().find(|s| s.name.contains([',', ':', '\''])) {
        None => Ok(()),
        Some(s) => {
            let reason =
                format!("input `{}` has a character that its shape flags cannot carry", s.name);
            Err(failure(job, reason))
        }
    }
}

fn flag(name: &str, path: &std::path::Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(path);
    flag
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
