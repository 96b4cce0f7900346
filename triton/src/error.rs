//! Everything that can stop a package, and what to do about it.

use std::path::PathBuf;

use onr_exporter::ExportError;
use onr_runtime::manifest::ManifestError;

use crate::{options::Backend, text::ParseError};

/// Why a package could not be planned, written, checked or rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// A directory is not one of ours, or not what its manifest says.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file cannot be read or written, the repository is locked, or the user asked to stop.
    #[error(transparent)]
    File(#[from] ExportError),
    /// A directory without exported graphs.
    #[error("{dir} has no exported graphs: its plan was compiled from a file as it is", dir = dir.display())]
    NoGraphs {
        /// The directory.
        dir: PathBuf,
    },
    /// Not a name for models.
    #[error("`{name}` is not a name for models")]
    Name {
        /// As typed.
        name: String,
    },
    /// Options that exclude each other or are out of range.
    #[error("{what}")]
    Options {
        /// What is wrong.
        what: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// Plans that Triton cannot load.
    #[error("{dir} has plans of TensorRT for RTX, which Triton cannot load", dir = dir.display())]
    RtxPlans {
        /// The directory.
        dir: PathBuf,
    },
    /// Plans that cannot run yet.
    #[error("{dir} has plans without weights", dir = dir.display())]
    StrippedPlans {
        /// The directory.
        dir: PathBuf,
    },
    /// Graphs without plans.
    #[error("{dir} has no plan of {graphs}", dir = dir.display(), graphs = graphs.join(", "))]
    NoPlans {
        /// The directory.
        dir: PathBuf,
        /// Graphs without one.
        graphs: Vec<String>,
    },
    /// A tensor that is not a batch.
    #[error("`{tensor}` of graph {graph} is [{}] and has no batch axis", shape.join(", "))]
    NoBatchAxis {
        /// The graph.
        graph: String,
        /// The tensor.
        tensor: String,
        /// Its sizes.
        shape: Vec<String>,
    },
    /// A type that the backend, or Triton itself, does not have.
    #[error("`{tensor}` of graph {graph} is {dtype}, which {who} does not have")]
    Type {
        /// The graph.
        graph: String,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
        /// `Triton`, or the backend.
        who: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// Directories that do not belong together.
    #[error("{dir} and {first} do not belong together: {what} differ", dir = dir.display(), first = first.display())]
    Different {
        /// The first directory.
        first: PathBuf,
        /// The one that differs from it.
        dir: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// Several directories, and one whose GPU is not known or known already.
    #[error("the plans of {dir} are for {targets}, and each directory must be for one GPU of its own", dir = dir.display())]
    Target {
        /// The directory.
        dir: PathBuf,
        /// GPUs that its manifest names.
        targets: String,
    },
    /// Optimisation profiles that overlap.
    #[error("optimisation profiles {first} and {second} overlap")]
    Profiles {
        /// Number of one.
        first: usize,
        /// Number of the other.
        second: usize,
    },
    /// The repository has something under a name that we did not write.
    #[error("{dir} is not a model that `onr package` wrote: {reason}", dir = dir.display())]
    Foreign {
        /// Directory of the model.
        dir: PathBuf,
        /// How that was seen.
        reason: String,
    },
    /// Clients would break.
    #[error("model {model} would change under its clients:{}", list(changes))]
    Changed {
        /// The model.
        model: String,
        /// Each names a tensor.
        changes: Vec<String>,
    },
    /// A model of the same name that this package would leave behind.
    #[error("{models} of package {name} would stay behind, of another checkpoint than the others", models = models.join(", "))]
    LeftBehind {
        /// Name of the package.
        name: String,
        /// The models.
        models: Vec<String>,
    },
    /// No model of such a package.
    #[error("{dir} has no package {name}", dir = dir.display())]
    NoPackage {
        /// The repository.
        dir: PathBuf,
        /// Name of the package.
        name: String,
    },
    /// Nothing to go back to.
    #[error("version {version} of {model} is its only one")]
    OnlyVersion {
        /// The model.
        model: String,
        /// Its version.
        version: u64,
    },
    /// Models whose newest versions are not of one package.
    #[error("the models of package {name} have different newest versions: {}", versions.join(", "))]
    Versions {
        /// Name of the package.
        name: String,
        /// `model version`.
        versions: Vec<String>,
    },
    /// Files that are not what was recorded.
    #[error("{dir} does not match its records:{}", list(problems), dir = dir.display())]
    Mismatch {
        /// The repository.
        dir: PathBuf,
        /// Each names its file.
        problems: Vec<String>,
    },
}

impl PackageError {
    pub(crate) fn unreadable(dir: PathBuf, error: &ParseError) -> Self {
        Self::Foreign { dir, reason: format!("its config.pbtxt cannot be read: {error}") }
    }

    pub(crate) fn options(what: impl Into<String>, hint: &'static str) -> Self {
        Self::Options { what: what.into(), hint }
    }

    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Manifest(e) => return e.hint(),
            Self::File(e) => return e.hint(),
            Self::Options { hint, .. } | Self::Type { hint, .. } => hint,
            Self::NoGraphs { .. } => "`onr export` and `onr build-engine --model` write some",
            Self::Name { .. } => "letters, digits, `_`, `-` and `.`, not beginning with `.` or `-`",
            Self::RtxPlans { .. } => {
                "build with `--builder trtexec=PATH` in the container of the deployment, or choose \
                 `--backend onnxruntime` or `--backend python`"
            }
            Self::StrippedPlans { .. } => {
                "`onr refit` puts them in, on a GPU of the deployment's kind"
            }
            Self::NoPlans { .. } => {
                "`onr build-engine --builder trtexec=PATH` compiles them in the container of the deployment; \
                 `--backend onnxruntime` needs none"
            }
            Self::NoBatchAxis { .. } => {
                "export with `--with-filter user`, or leave the graph out (`--graphs`)"
            }
            Self::Different { .. } => {
                "build each from the same export, with the TensorRT of the deployment, one for each GPU"
            }
            Self::Target { .. } => {
                "build each directory with `--builder trtexec=PATH` on the GPU that will run it"
            }
            Self::Profiles { .. } => {
                "Triton chooses by shape: build with ranges that exclude each other"
            }
            Self::Foreign { .. } => "choose another `--name` or another `--out`",
            Self::Changed { .. } => {
                "choose another `--name`: the old models stay for the old clients"
            }
            Self::LeftBehind { .. } => {
                "export these graphs too, remove their directories, or choose another `--name`"
            }
            Self::NoPackage { .. } => {
                "`--name` says which; `onr verify` of the repository lists them"
            }
            Self::OnlyVersion { .. } => "remove the models' directories to take the package away",
            Self::Versions { .. } => "package again: all models get the same new version",
            Self::Mismatch { .. } => "package again, or copy the repository again",
        };
        Some(text.to_owned())
    }
}

impl Backend {
    /// The backend in an error about types.
    pub(crate) fn who(self) -> String {
        format!("Triton's {} backend", self.name())
    }
}

fn list(lines: &[String]) -> String {
    match lines {
        [one] => format!(" {one}"),
        many => many.iter().map(|line| format!("\n  {line}")).collect(),
    }
}
