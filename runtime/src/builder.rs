//! The seam between `build-engine` and the compilers that turn ONNX into plans.
//!
//! Two kinds of plan exist and never get confused: a plan carries its [`PlanKind`], the library and
//! the version that made it, and all three stand in the manifest.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use onr_exporter::{TensorInfo, progress::Progress};
use onr_graphs::{Dim, Profile};
use onr_onnx::{ElemType, OnnxError};
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

    /// Refuses targets that this builder cannot compile for, before any work is done.
    ///
    /// # Errors
    /// [`EngineError::Target`], which names the way out.
    fn check_targets(&self, targets: &[Target]) -> Result<(), EngineError>;

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
    /// Ranges of the symbols in `inputs`.
    pub profile: &'a Profile,
    /// GPUs to compile for; empty: the builder's default.
    pub targets: &'a [Target],
    /// Most scratch memory that a kernel may use, in bytes.
    pub workspace: Option<u64>,
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

impl fmt::Display for PlanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TensorrtRtx => "TensorRT for RTX",
            Self::Tensorrt => "TensorRT",
        })
    }
}

/// A compute capability, `sm86` as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(pub u32);

impl Target {
    /// The GPUs that a name is accepted for. A builder may know fewer: see
    /// [`EngineBuilder::check_targets`].
    pub const KNOWN: [Self; 11] = [
        Self(75),
        Self(80),
        Self(86),
        Self(87),
        Self(89),
        Self(90),
        Self(100),
        Self(103),
        Self(110),
        Self(120),
        Self(121),
    ];
}

impl Target {
    /// The first capability that computes in an ONNX element type, and the type's name; nothing for types that
    /// all GPUs have.
    #[must_use]
    pub fn least_for(elem: ElemType) -> Option<(Self, &'static str)> {
        match elem {
            ElemType::Float8E4M3Fn => Some((Self(89), "FP8")),
            ElemType::Bfloat16 => Some((Self(80), "BF16")),
            _ => None,
        }
    }
}

/// Refuses GPUs that lack a type: better said before a build than in the middle of it.
///
/// # Errors
/// [`EngineError::Target`] with the first GPU that lacks it.
pub fn check_capability(
    builder: &'static str,
    targets: &[Target],
    elem: ElemType,
) -> Result<(), EngineError> {
    let Some((least, what)) = Target::least_for(elem) else { return Ok(()) };
    match targets.iter().find(|target| **target < least) {
        None => Ok(()),
        Some(target) => Err(EngineError::Target {
            builder,
            target: target.to_string(),
            reason: format!("{what} needs {least} or later"),
            hint: format!(
                "leave {target} out of --target, or choose another --precision for it: int8 and fp16 run on all"
            ),
        }),
    }
}

/// `sm75, sm80, sm86`.
pub(crate) fn list_targets(targets: &[Target]) -> String {
    targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ")
}

/// The text is not the name of a GPU target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a GPU target; known: {known}", known = list_targets(&Target::KNOWN))]
pub struct UnknownTarget {
    /// The text as typed.
    pub text: String,
}

impl FromStr for Target {
    type Err = UnknownTarget;

    /// `sm86`, `sm_86`, `86` or `8.6`.
    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let bare = text.trim().to_ascii_lowercase();
        let bare = bare.strip_prefix("sm").map_or(bare.as_str(), |t| t.trim_start_matches('_'));
        let number = match bare.split_once('.') {
            Some((major, minor)) if minor.len() == 1 => format!("{major}{minor}"),
            _ => bare.to_owned(),
        };
        let plain = number.bytes().all(|b| b.is_ascii_digit());
        let target = number.parse().ok().map(Self).filter(|_| plain);
        target
            .filter(|t| Self::KNOWN.contains(t))
            .ok_or_else(|| UnknownTarget { text: text.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm{}", self.0)
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
    /// What TensorRT understood of the ONNX file.
    pub network: NetworkSummary,
    /// What it made of the products, read back from the plan; empty where a plan does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<PlannedProduct>,
    /// Warnings of TensorRT's log, in order, without repeats.
    pub warnings: Vec<String>,
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

/// The network as TensorRT's parser understood it; empty for builders that cannot be asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkSummary {
    /// Inputs in the order of the network.
    pub inputs: Vec<IoTensor>,
    /// Outputs in the order of the network.
    pub outputs: Vec<IoTensor>,
    /// Number of layers by type, `MatrixMultiply` and the like.
    pub layers: BTreeMap<String, usize>,
    /// Names of layers with a 32-bit float output, in the order of the network.
    pub f32_layers: Vec<String>,
}

impl NetworkSummary {
    /// Compares what was parsed with what was exported: names, types, and sizes where they are fixed.
    /// An empty summary (a tool that cannot be asked) has nothing to compare.
    ///
    /// # Errors
    /// [`EngineError::Interface`] with every difference.
    pub fn check_interface(
        &self,
        graph: &str,
        inputs: &[TensorInfo],
        outputs: &[TensorInfo],
    ) -> Result<(), EngineError> {
        if self.inputs.is_empty() && self.outputs.is_empty() {
            return Ok(());
        }
        let mut problems = differences("input", inputs, &self.inputs);
        problems.extend(differences("output", outputs, &self.outputs));
        if problems.is_empty() {
            Ok(())
        } else {
            Err(EngineError::Interface { graph: graph.to_owned(), problems })
        }
    }
}

fn differences(what: &str, exported: &[TensorInfo], parsed: &[IoTensor]) -> Vec<String> {
    let as_parsed = |t: &TensorInfo| IoTensor {
        name: t.name.clone(),
        dtype: t.dtype.clone(),
        shape: t.shape.iter().map(|d| d.parse().unwrap_or(-1)).collect(),
    };
    let wanted: Vec<IoTensor> = exported.iter().map(as_parsed).collect();
    let missing = wanted.iter().filter(|w| !parsed.contains(w)).map(|w| {
        match parsed.iter().find(|p| p.name == w.name) {
            Some(p) => format!("{what} `{}` is {p}, not {w}", w.name),
            None => format!("{what} `{}` is not there", w.name),
        }
    });
    let known = |p: &&IoTensor| !wanted.iter().any(|w| w.name == p.name);
    let extra = parsed.iter().filter(known);
    missing.chain(extra.map(|p| format!("{what} `{}` was not exported", p.name))).collect()
}

/// One input or output of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoTensor {
    /// Its name.
    pub name: String,
    /// Element type, as [`onr_graphs::DType::name`] writes it.
    pub dtype: String,
    /// Sizes; `-1` where dynamic.
    pub shape: Vec<i64>,
}

impl fmt::Display for IoTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<_> = self.shape.iter().map(i64::to_string).collect();
        write!(f, "{} [{}]", self.dtype, sizes.join(", "))
    }
}

/// Everything that can stop a plan from being built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A library or tool is not there.
    #[error("builder {builder} is not available: {what}")]
    Missing {
        /// Name of the builder.
        builder: &'static str,
        /// What is not there.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The builder cannot compile for this GPU.
    #[error("builder {builder} cannot compile for {target}: {reason}")]
    Target {
        /// Name of the builder.
        builder: &'static str,
        /// The target as typed.
        target: String,
        /// Why not.
        reason: String,
        /// What to do instead.
        hint: String,
    },
    /// The ONNX file can't be read.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// TensorRT's parser refused the graph.
    #[error("TensorRT cannot parse {file}: {at}{reason}", file = onnx.display(), at = at_node(node, op))]
    Parse {
        /// The ONNX file.
        onnx: PathBuf,
        /// Name of the node it stopped at; empty when it blames none.
        node: String,
        /// Its operator.
        op: String,
        /// The parser's own words.
        reason: String,
    },
    /// An input has a symbol that the profile does not name.
    #[error("input `{input}` of graph {graph} has no range for `{symbol}`")]
    Profile {
        /// Name of the graph.
        graph: String,
        /// Name of the input.
        input: String,
        /// The symbol.
        symbol: String,
    },
    /// TensorRT understood other inputs or outputs than were exported.
    #[error("TensorRT understood graph {graph} otherwise: {}", problems.join("; "))]
    Interface {
        /// Name of the graph.
        graph: String,
        /// Each names its tensor.
        problems: Vec<String>,
    },
    /// The optimiser failed.
    #[error("{builder} cannot build graph {graph}: {reason}")]
    Build {
        /// Name of the builder.
        builder: &'static str,
        /// Name of the graph.
        graph: String,
        /// The log's last error, or the tool's exit status.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot use {file}", file = file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The user asked to stop.
    #[error("interrupted while building graph {graph}")]
    Interrupted {
        /// Name of the graph.
        graph: String,
    },
}

/// ``node `enc/MatMul` (MatMul): ``
fn at_node(node: &str, op: &str) -> String {
    if node.is_empty() { String::new() } else { format!("node `{node}` ({op}): ") }
}

impl EngineError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { hint, .. } | Self::Target { hint, .. } => Some(hint.clone()),
            Self::Profile { symbol, .. } => {
                Some(format!("add `{symbol}=min:opt:max` to --profile"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_people_type_them() {
        for text in ["sm86", "SM_86", " 86 ", "8.6"] {
            assert_eq!(text.parse(), Ok(Target(86)), "{text}");
        }
        assert_eq!("12.0".parse(), Ok(Target(120)));
        assert_eq!("sm90".parse(), Ok(Target(90)), "known, though TensorRT for RTX refuses it");
    }

    #[test]
    fn an_unknown_target_lists_the_known_ones() {
        for text in ["sm42", "8.66", "+86", "ampere", ""] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert_eq!(
            "ampere".parse::<Target>().unwrap_err().to_string(),
            "`ampere` is not a GPU target; known: sm75, sm80, sm86, sm87, sm89, sm90, sm100, sm103, \
             sm110, sm120, sm121"
        );
    }
}

#[cfg(test)]
mod interface {
    use super::*;

    fn io(name: &str, dtype: &str, shape: &[i64]) -> IoTensor {
        IoTensor { name: name.into(), dtype: dtype.into(), shape: shape.to_vec() }
    }

    #[test]
    fn differences_are_named_one_by_one() {
        let info = |name: &str, dtype: &str, shape: &[&str]| TensorInfo {
            name: name.into(),
            dtype: dtype.into(),
            shape: shape.iter().map(|&d| d.to_owned()).collect(),
        };
        let exported = [info("a", "i64", &["batch"]), info("b", "f16", &["batch", "4"])];
        let good = [io("b", "f16", &[-1, 4]), io("a", "i64", &[-1])];
        assert!(differences("input", &exported, &good).is_empty());
        let bad = [io("b", "f32", &[-1, 4]), io("c", "i64", &[-1])];
        assert_eq!(
            differences("input", &exported, &bad),
            [
                "input `a` is not there",
                "input `b` is f32 [-1, 4], not f16 [-1, 4]",
                "input `c` was not exported"
            ]
        );
    }
}
