//! The seam between `build-engine` and the compilers that turn ONNX into plans.
//!
//! Two kinds of plan exist and never get confused: a plan carries its [`PlanKind`], the library and
//! the version that made it, and all three stand in the manifest.

mod error;
mod network;
mod target;

pub use error::EngineError;
pub use network::{IoTensor, NetworkSummary};
pub(crate) use target::list_targets;
pub use target::{Target, UnknownTarget, check_capability};

use std::{fmt, path::Path};

use onr_exporter::progress::Progress;
use onr_graphs::{Dim, Profile};
use serde::{Deserialize, Serialize};

use crate::backend::Availability;

/// A compiler from ONNX to plans.
pub trait EngineBuilder: Sync {
    /// Short name, as `--builder` takes it: `tensorrt-rtx`, `trtexec`.
    fn name(&self) -> &'static str;

    /// Which kind of plan comes out.
    fn kind(&self) -> PlanKind;

    /// Can it work here? The version is that of the library or tool.
    fn availability(&self) -> Availability;

    /// Refuses targets that this builder cannot compile for, before any work is done. None: its default ones.
    ///
    /// # Errors
    /// [`EngineError::Target`], which names the way out.
    fn check_targets(&self, targets: &[Target], weights: PlanWeights) -> Result<(), EngineError>;

    /// Compiles one graph. The plan is written to `job.plan` (a temporary path of the caller, who
    /// renames it once everything is well).
    ///
    /// # Errors
    /// [`EngineError`]; nothing that the caller needs to remove but `job.plan` is left behind.
    fn build(
        &self,
        job: &BuildJob<'_>,
        progress: &dyn Progress,
    ) -> Result<BuiltEngine, EngineError>;
}

/// What to compile, and for what.
#[derive(Debug)]
pub struct BuildJob<'a> {
    /// Name of the graph, for messages and the progress bar.
    pub graph: &'a str,
    /// The ONNX file; external data lies beside it.
    pub onnx: &'a Path,
    /// Where the plan is written.
    pub plan: &'a Path,
    /// Names and symbolic shapes of the graph's inputs: neither `trtx` nor `trtexec` gives the names
    /// of dimensions back, so the caller, who exported the graph, says them.
    pub inputs: &'a [(String, Vec<Dim>)],
    /// Ranges of the symbols in `inputs`: at least one profile, disjoint where there are several, which then have their
    /// places in this list as numbers.
    pub profiles: &'a [Profile],
    /// GPUs to compile for; empty: the builder's default.
    pub targets: &'a [Target],
    /// Most scratch memory that a kernel may use, in bytes.
    pub workspace: Option<u64>,
    /// What becomes of the weights.
    pub weights: PlanWeights,
}

/// What a plan does with weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanWeights {
    /// They are in the plan, for good: kernels may be made for their values.
    #[default]
    Fixed,
    /// They are in the plan, and may be exchanged.
    Refittable,
    /// They are to be put in before the plan runs.
    Stripped,
}

impl PlanWeights {
    /// Are they for good? What the manifest need not say.
    #[must_use]
    pub fn fixed(&self) -> bool {
        *self == Self::Fixed
    }
}

/// Which TensorRT a plan belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanKind {
    /// TensorRT for RTX: device-neutral, finished at load on a workstation. Triton cannot load it.
    TensorrtRtx,
    /// Data-centre TensorRT: loads in the version that wrote it; what Triton's backend loads.
    Tensorrt,
}

impl BuildJob<'_> {
    /// What [`BuiltEngine::profiles`] says of it.
    pub(crate) fn several(&self) -> Vec<String> {
        let several = Some(self.profiles).filter(|all| all.len() > 1).unwrap_or_default();
        several.iter().map(Profile::to_string).collect()
    }
}

impl BuiltEngine {
    /// The profiles of the plan by number; `hull` where there is one.
    ///
    /// # Errors
    /// What is wrong with them, for a manifest that this version would not write.
    pub fn profiles(&self, hull: &Profile) -> Result<Vec<Profile>, String> {
        if self.profiles.is_empty() {
            return Ok(vec![hull.clone()]);
        }
        let read = |text: &String| Profile::of_any(text).map_err(|error| error.to_string());
        self.profiles.iter().map(read).collect()
    }
}

impl fmt::Display for PlanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TensorrtRtx => "TensorRT for RTX",
            Self::Tensorrt => "TensorRT",
        })
    }
}

/// What came out of a build, read back rather than assumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuiltEngine {
    /// Which TensorRT the plan belongs to.
    pub kind: PlanKind,
    /// Name of the builder.
    pub builder: String,
    /// Version of the library or tool that compiled it, `1.7.1` or `10.3.0`.
    pub version: String,
    /// File name of the library or tool, without its folder.
    pub library: String,
    /// GPUs that the plan was compiled for, as `sm86`.
    pub targets: Vec<String>,
    /// The profiles of the plan by number, as `kv=1:8:16`, where there are several; else there is one, the manifest's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// What TensorRT understood of the ONNX file.
    pub network: NetworkSummary,
    /// What it made of the products, read back from the plan; empty where a plan does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<PlannedProduct>,
    /// Warnings of TensorRT's log, in order, without repeats.
    pub warnings: Vec<String>,
    /// What the plan does with weights.
    #[serde(default, skip_serializing_if = "PlanWeights::fixed")]
    pub weights: PlanWeights,
    /// Seconds spent inside TensorRT.
    pub seconds: f64,
}

/// A product as it stands in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedProduct {
    /// The ONNX node.
    pub node: String,
    /// Element type of both operands, in TensorRT's words: `int8`, `fp8_e4m3`, `half`, `bf16`, `float`.
    pub operands: String,
    /// Element type of the result, where the plan tells.
    pub result: Option<String>,
}
