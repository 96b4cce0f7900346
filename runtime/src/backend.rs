//! The seam between parity and the engines that run a model.

use std::path::{Path, PathBuf};

use onr_device::DeviceError;
use onr_graphs::DType;

use crate::tensor::{Feeds, Floats, Value, Values, on_host};

/// One engine that can run an exported graph: tract, ONNX Runtime.
pub trait Backend: Sync {
    /// Short name, as `--candidate` takes it: `tract`, `ort`.
    fn name(&self) -> &'static str;

    /// Can this machine and this build run anything at all? Asked before any work, and the reason
    /// is shown: a skipped backend is never a passed one.
    fn availability(&self) -> Availability;

    /// Loads an ONNX file, external data beside it included.
    ///
    /// # Errors
    /// [`RunError::Missing`] when the engine is not there, [`RunError::Load`] when it refuses the
    /// file.
    fn open(&self, model: &Path) -> Result<Box<dyn Session>, RunError>;

    /// Does it run the files that it is given? One that runs what was made of them before cannot compare two files.
    fn runs_files(&self) -> bool {
        true
    }

    /// What runs `encode`, `generate` and `rank` in one call, keys and values passed on inside: a deployment may have an
    /// ensemble of them. `None` where there is none.
    ///
    /// # Errors
    /// [`RunError::Load`] when there is one that cannot be used.
    fn joined(&self) -> Result<Option<Box<dyn Session>>, RunError> {
        Ok(None)
    }
}

/// A loaded graph. `&mut` because engines own streams, plans and scratch memory.
pub trait Session {
    /// Runs the graph once. `feeds` holds exactly the graph's inputs.
    ///
    /// # Errors
    /// [`RunError::Feed`] when an input is missing, unknown or of the wrong type or rank, and
    /// [`RunError::Run`] when the engine fails.
    fn run(&mut self, feeds: &Feeds) -> Result<Feeds, RunError>;

    /// Runs the graph once on tensors wherever they lie. Outputs that `stays` names stay where the engine computed
    /// them, if it computes elsewhere than on the host.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_values(
        &mut self,
        feeds: &Values,
        stays: &dyn Fn(&str) -> bool,
    ) -> Result<Values, RunError> {
        let _ = stays;
        let lost = |cause| RunError::Device { backend: "host", cause };
        let outputs = self.run(&on_host(feeds).map_err(lost)?)?;
        Ok(outputs.into_iter().map(|(name, tensor)| (name, Value::Host(tensor))).collect())
    }

    /// Runs the graph once and shows every float output where it lies: calibration reads each number
    /// once and keeps none.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn observe(
        &mut self,
        feeds: &Feeds,
        look: &mut dyn FnMut(&str, &[usize], Floats<'_>),
    ) -> Result<(), RunError> {
        for (name, tensor) in self.run(feeds)? {
            if let Some(floats) = Floats::of(&tensor) {
                look(&name, tensor.shape(), floats);
            }
        }
        Ok(())
    }

    /// Where the graph really runs, read back from the engine: how a silent fall-back is caught.
    fn placement(&self) -> Placement;
}

/// Whether a backend or a builder can work here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Availability {
    /// It can.
    Ready {
        /// What it calls itself, version included: `tract 0.23.9`, `onnxruntime 1.31.1`.
        version: String,
        /// The library file, when there is one.
        library: Option<PathBuf>,
    },
    /// It cannot, and what to do about it.
    Missing {
        /// What is not there.
        what: String,
        /// What to do about it.
        hint: String,
    },
}

/// Where a session runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Placement {
    /// `cpu`, `cuda:0`, ...
    pub device: String,
    /// Nodes that the engine moved to another device than asked.
    pub fallback_nodes: usize,
}

/// Everything that can stop a graph from running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The engine or its library is not there.
    #[error("{backend} is not available: {what}")]
    Missing {
        /// Name of the backend.
        backend: &'static str,
        /// What is not there.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The engine refused the model.
    #[error("{backend} cannot load {file}: {reason}", file = model.display())]
    Load {
        /// Name of the backend.
        backend: &'static str,
        /// The ONNX file.
        model: PathBuf,
        /// The engine's own words.
        reason: String,
    },
    /// An input is missing, unknown, or of another type or rank than the graph's.
    #[error("{backend}: input `{input}` {reason}")]
    Feed {
        /// Name of the backend.
        backend: &'static str,
        /// Name of the input.
        input: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine cannot hold this element type.
    #[error("{backend} has no element type {dtype} for `{tensor}`")]
    Type {
        /// Name of the backend.
        backend: &'static str,
        /// Name of the tensor.
        tensor: String,
        /// The type it would need.
        dtype: DType,
    },
    /// The user asked to stop.
    #[error("interrupted while {backend} ran")]
    Interrupted {
        /// Name of the backend.
        backend: &'static str,
    },
    /// A device did what it should not.
    #[error("{backend}: {cause}")]
    Device {
        /// Name of the backend.
        backend: &'static str,
        /// What happened there.
        #[source]
        cause: DeviceError,
    },
    /// The engine failed while it ran.
    #[error("{backend} failed: {reason}")]
    Run {
        /// Name of the backend.
        backend: &'static str,
        /// The engine's own words.
        reason: String,
    },
}

impl RunError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Missing { hint, .. } => Some(hint),
            Self::Device { cause, .. } => cause.hint(),
            _ => None,
        }
    }

    /// What a device said, in a backend's name: that there is none is [`RunError::Missing`].
    #[must_use]
    pub fn of_device(backend: &'static str, cause: DeviceError) -> Self {
        match &cause {
            DeviceError::NoDriver { .. } | DeviceError::NoDevice { .. } => Self::Missing {
                backend,
                hint: cause.hint().unwrap_or_default().to_owned(),
                what: cause.to_string(),
            },
            DeviceError::Input { input, reason } => {
                Self::Feed { backend, input: input.clone(), reason: reason.clone() }
            }
            _ => Self::Device { backend, cause },
        }
    }
}
