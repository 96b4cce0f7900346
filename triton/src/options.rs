//! What a package may choose.

use std::{fmt, str::FromStr};

use onr_runtime::deployment;
use serde::{Deserialize, Serialize};

use crate::{config::ContextAllocation, error::PackageError};

/// Which of Triton's backends runs the graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Plans of data-centre TensorRT.
    TensorRt,
    /// ONNX files.
    OnnxRuntime,
    /// ONNX files and a script that runs them on the CPU with Python's `onnxruntime`: for a canary, or a server
    /// without GPUs and without the backend `onnxruntime`.
    Python,
}

impl Backend {
    /// As `--backend` takes it, which is Triton's name too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TensorRt => "tensorrt",
            Self::OnnxRuntime => "onnxruntime",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Choices of a package. Sizes are rows of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageOptions {
    /// Name of the ensemble; those of the other models begin with it.
    pub name: PackageName,
    /// None: `tensorrt` if every graph has a plan that Triton can load, else `onnxruntime`.
    pub backend: Option<Backend>,
    /// Largest batch, at most the profile's; none: the profile's.
    pub max_batch: Option<usize>,
    /// Instances of each model, on each GPU or on the CPU.
    pub instances: usize,
    /// GPUs by number; empty: all that the backend can use.
    pub gpus: Vec<usize>,
    /// How long a request may wait for others to join, in microseconds.
    pub queue_delay_us: u64,
    /// Batches that are sent off at once; empty: any.
    pub preferred_batches: Vec<usize>,
    /// How many of the newest versions Triton serves.
    pub keep_versions: u32,
    /// Record CUDA graphs at the profile's best shapes; for plans.
    pub cuda_graphs: bool,
    /// Give the ensemble `user_embeddings` as an output too.
    pub user_embeddings: bool,
    /// When TensorRT allocates the memory of a context; none: Triton's default. For plans.
    pub context_allocation: Option<ContextAllocation>,
}

impl PackageOptions {
    /// What is chosen when nothing is typed.
    #[must_use]
    pub const fn new(name: PackageName) -> Self {
        Self {
            name,
            backend: None,
            max_batch: None,
            instances: 1,
            gpus: Vec::new(),
            queue_delay_us: 0,
            preferred_batches: Vec::new(),
            keep_versions: 1,
            cuda_graphs: false,
            user_embeddings: false,
            context_allocation: None,
        }
    }

    /// Refuses what does not go with a backend.
    ///
    /// # Errors
    /// [`PackageError::Options`].
    pub(crate) fn check(&self, backend: Backend) -> Result<(), PackageError> {
        let plans = [
            ("--cuda-graphs", self.cuda_graphs),
            ("--context-allocation", self.context_allocation.is_some()),
        ];
        let unfit = plans.iter().find(|(_, set)| *set && backend != Backend::TensorRt);
        if let Some((option, _)) = unfit {
            let what = format!("{option} is for the backend tensorrt, not for {backend}");
            let hint = "leave it out, or build plans that Triton loads";
            return Err(PackageError::options(what, hint));
        }
        if backend == Backend::Python && !self.gpus.is_empty() {
            let what = "--gpus is not for the backend python, which runs on the CPU";
            return Err(PackageError::options(what, "leave it out"));
        }
        let zero = [
            ("--instances", self.instances == 0),
            ("--keep-versions", self.keep_versions == 0),
            ("--preferred-batches", self.preferred_batches.contains(&0)),
        ];
        match zero.iter().find(|(_, is)| *is) {
            Some((option, _)) => {
                Err(PackageError::options(format!("{option} must be at least 1"), "1 is the least"))
            }
            None => Ok(()),
        }
    }
}

/// A name that models may begin with: it is a directory's, and stands in URLs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageName(String);

impl PackageName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the model of a graph: `NAME_encode`; of `oneranker`, `NAME_fused`.
    #[must_use]
    pub fn model(&self, graph: &str) -> String {
        deployment::model_name(&self.0, graph)
    }
}

impl FromStr for PackageName {
    type Err = PackageError;

    fn from_str(text: &str) -> Result<Self, PackageError> {
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let good = !text.is_empty() && !text.starts_with(['.', '-']) && text.chars().all(inside);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(PackageError::Name { name: text.to_owned() })
        }
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
