//! Plans of data-centre TensorRT, run by the `trtexec` of the deployment's container.
//!
//! `open("graphs/encode.onnx")` is the plan that `graphs/onr.json` has of it; of the file itself, names, types and
//! shapes are read. Each run is a process: the inputs are written as files, the plan runs once, and the outputs are
//! read from the raw bindings that the tool leaves in its folder.

mod outputs;
#[cfg(test)]
mod tests;

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use onr_exporter::{TensorInfo, onnx::OnnxFile};
use onr_graphs::{DType, Profile};

use self::outputs::Outputs;
use super::{
    plan::{self, Reader},
    signature::{Axis, Input, Signature},
};
use crate::{
    backend::{Availability, Backend, Placement, RunError, Session},
    builder::PlanKind,
    builders::{
        process::{Ending, Tool},
        trtexec::{
            flags::{self, RunInput},
            output::Output,
            program::{Program, Unusable},
        },
    },
    tensor::{Feeds, HostTensor},
};

const NAME: &str = "trtexec";

/// How long one run may take: a process starts, reads a plan and runs it once.
const LIMIT: Duration = Duration::from_secs(600);

/// Asked several times a second whether to go on.
pub type GoOn = Arc<dyn Fn() -> ControlFlow<()> + Send + Sync>;

/// Plans on `trtexec`, as a [`Backend`].
#[derive(Clone)]
pub struct TrtexecBackend {
    program: Arc<Program>,
    limit: Duration,
    go_on: Option<GoOn>,
}

impl TrtexecBackend {
    /// The tool at `path`, or of that name in `PATH`. Nothing is started yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { program: Arc::new(Program::new(path)), limit: LIMIT, go_on: None }
    }

    /// The same with another limit for each run.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The same, stopped within a run as soon as `go_on` breaks.
    #[must_use]
    pub fn stopped_by(mut self, go_on: GoOn) -> Self {
        self.go_on = Some(go_on);
        self
    }

    /// The plan that the manifest beside `model` has of it, and its profiles where there are several.
    fn plan(&self, model: &Path) -> Result<(PathBuf, Vec<Profile>), RunError> {
        let about = self.program.about().map_err(missing)?;
        let reader = Reader {
            kind: PlanKind::Tensorrt,
            version: &about.version.to_string(),
            name: &self.program.path().display().to_string(),
            builder: "trtexec",
        };
        let found =
            plan::beside(model, &reader).map_err(|(file, reason)| refused(&file, reason))?;
        let profiles = found.engine.profiles.iter().map(|text| Profile::of_any(text));
        let profiles = profiles.collect::<Result<Vec<_>, _>>();
        let profiles = profiles.map_err(|error| refused(&found.file, error.to_string()))?;
        Ok((found.file, profiles))
    }
}

impl Backend for TrtexecBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn availability(&self) -> Availability {
        self.program.availability()
    }

    fn open(&self, model: &Path) -> Result<Box<dyn Session>, RunError> {
        let (plan, profiles) = self.plan(model)?;
        let file = OnnxFile::read(model).map_err(|error| refused(model, error.to_string()))?;
        let inputs = tensors(model, &file.inputs)?;
        if let Some(input) = inputs.iter().find(|input| !flags::carries(&input.name)) {
            let reason =
                format!("input `{}` has a character that its flags cannot carry", input.name);
            return Err(refused(model, reason));
        }
        let outputs = Outputs::new(tensors(model, &file.outputs)?)
            .map_err(|reason| refused(model, reason))?;
        let signature = Signature::new(NAME, inputs);
        Ok(Box::new(PlanSession { backend: self.clone(), plan, profiles, signature, outputs }))
    }

    fn runs_files(&self) -> bool {
        false
    }
}

/// A plan; nothing of it is loaded between runs.
struct PlanSession {
    backend: TrtexecBackend,
    plan: PathBuf,
    /// Where there are several.
    profiles: Vec<Profile>,
    signature: Signature,
    outputs: Outputs,
}

impl Session for PlanSession {
    fn run(&mut self, feeds: &Feeds) -> Result<Feeds, RunError> {
        // Goes with this value, whatever happens below.
        let folder = tempfile::Builder::new().prefix("onr-trtexec-").tempdir();
        let folder =
            folder.map_err(|e| failed(format!("cannot make a folder for its files: {e}")))?;
        let inputs = self.write(feeds, folder.path())?;
        let profile = self.profile(feeds)?;
        self.start(&inputs, profile, folder.path())?;
        self.outputs.read(folder.path()).map_err(failed)
    }

    fn placement(&self) -> Placement {
        Placement { device: "cuda".to_owned(), fallback_nodes: 0 }
    }
}

impl PlanSession {
    /// Writes every input to a file of its own.
    fn write<'a>(&'a self, feeds: &'a Feeds, to: &Path) -> Result<Vec<RunInput<'a>>, RunError> {
        let arranged = self.signature.arrange(feeds)?.into_iter().enumerate();
        let write = |(at, (input, tensor)): (usize, (&'a Input, &'a HostTensor))| {
            let file = format!("input-{at}.bin");
            let path = to.join(&file);
            fs::write(&path, tensor.le_bytes())
                .map_err(|e| failed(format!("cannot write {}: {e}", path.display())))?;
            let fixed = |axis: &Axis| matches!(axis, Axis::Fixed(_));
            let dynamic = input.axes.as_ref().is_none_or(|axes| !axes.iter().all(fixed));
            Ok(RunInput { name: &input.name, file, shape: tensor.shape(), dynamic })
        };
        arranged.map(write).collect()
    }

    /// The number of the profile that takes these sizes, where there are several: the tool would take the first one.
    fn profile(&self, feeds: &Feeds) -> Result<Option<usize>, RunError> {
        if self.profiles.is_empty() {
            return Ok(None);
        }
        let sizes = self.signature.sizes(feeds);
        let takes = |profile: &Profile| {
            let mut ranges = profile.ranges().iter();
            ranges.all(|(symbol, range)| sizes.get(symbol).is_none_or(|n| range.contains(*n)))
        };
        let found = self.profiles.iter().position(takes);
        let sizes = || sizes.iter().map(|(symbol, n)| format!("{symbol}={n}"));
        let none = || {
            let sizes = sizes().collect::<Vec<_>>().join(", ");
            failed(format!("{}: none of its profiles takes {sizes}", self.plan.display()))
        };
        found.map(Some).ok_or_else(none)
    }

    /// Runs the plan once, to its end.
    fn start(
        &self,
        inputs: &[RunInput<'_>],
        profile: Option<usize>,
        folder: &Path,
    ) -> Result<(), RunError> {
        let TrtexecBackend { program, limit, go_on } = &self.backend;
        let about = program.about().map_err(missing)?;
        let mut command = program.command();
        command.args(flags::run(about, &self.plan, inputs, profile)).current_dir(folder);
        tracing::debug!(?command, "starting trtexec");
        let began = Instant::now();
        let mut late = false;
        let mut said = Output::default();
        let ending = Tool::start(command).and_then(|tool| {
            tool.finish(
                |line| said.read(line),
                || {
                    late = began.elapsed() >= *limit;
                    match go_on {
                        _ if late => ControlFlow::Break(()),
                        Some(go_on) => go_on(),
                        None => ControlFlow::Continue(()),
                    }
                },
            )
        });
        let path = program.path().display();
        let plan = self.plan.display();
        match ending {
            Err(error) => Err(failed(format!("cannot run {path}: {error}"))),
            Ok(Ending::Exited(status)) if status.success() => Ok(()),
            Ok(Ending::Exited(status)) => {
                Err(failed(format!("{plan}: {status}: {}", said.last_words())))
            }
            Ok(Ending::Stopped) if late => {
                let seconds = limit.as_secs_f32();
                Err(failed(format!("{plan}: no end after {seconds} s: {}", said.last_words())))
            }
            Ok(Ending::Stopped) => Err(RunError::Interrupted { backend: NAME }),
        }
    }
}

/// Tensors of a file as a session checks them.
fn tensors(model: &Path, infos: &[TensorInfo]) -> Result<Vec<Input>, RunError> {
    let tensor = |info: &TensorInfo| {
        let dtype = DType::from_name(&info.dtype).ok_or_else(|| {
            refused(model, format!("`{}` is {}, which no tensor here holds", info.name, info.dtype))
        })?;
        let axis = |size: &String| Axis::new(size.parse().unwrap_or(-1), size);
        Ok(Input {
            name: info.name.clone(),
            dtype,
            axes: Some(info.shape.iter().map(axis).collect()),
        })
    };
    infos.iter().map(tensor).collect()
}

fn missing(Unusable { what, hint }: Unusable) -> RunError {
    RunError::Missing { backend: NAME, what, hint }
}

fn refused(model: &Path, reason: String) -> RunError {
    RunError::Load { backend: NAME, model: model.to_owned(), reason }
}

fn failed(reason: String) -> RunError {
    RunError::Run { backend: NAME, reason }
}
